// parley-gateway: the chat by HTTP, and the page to chat on.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "bridge/gateway/http_server.h"
#include "bridge/gateway/problem.h"
#include "bridge/gateway/router.h"
#include "bridge/gateway/static_files.h"

namespace parley::gateway {
namespace {

constexpr int kWrongUsage = 2;
constexpr std::chrono::seconds kStopPatience{10};

struct Options {
  std::string address = "127.0.0.1";
  uint16_t port = 8080;
  std::string web;
  std::string mqtt_ws;
  HttpLimits limits;
};

int Fail(int code, const std::string& why) {
  std::cerr << "parley-gateway: " << why << "\n";
  return code;
}

void AddOptions(CLI::App* app, Options* options) {
  app->add_option("--listen", options->address, "the address to serve HTTP on")
      ->capture_default_str();
  app->add_option("--port", options->port, "its port; 0: a free one")->capture_default_str();
  app->add_option("--web", options->web, "the directory of the built web page, served at /");
  app->add_option("--mqtt-ws", options->mqtt_ws,
                  "the broker's WebSocket URL (ws://…, wss://…), which the page connects to");
  app->add_option("--connections-max", options->limits.connections_max,
                  "HTTP connections at most; one more is answered with 503")
      ->capture_default_str();
  app->add_option("--body-max", options->limits.body_bytes_max, "bytes of a request's body")
      ->capture_default_str();
}

// A file descriptor for each connection.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void AddPage(Router* router, const std::shared_ptr<const StaticFiles>& page,
             const std::string& mqtt_ws) {
  const std::string config =
      nlohmann::json{{"mqtt_ws", mqtt_ws.empty() ? nlohmann::json() : nlohmann::json(mqtt_ws)}}
          .dump();
  router->Add("GET", "/v1/config.json", [config](const ExchangePtr& exchange, const PathMembers&) {
    HttpResponse response;
    response.headers.emplace_back("Cache-Control", "no-cache");
    response.SetBody("application/json", config + "\n");
    exchange->Answer(std::move(response));
  });
  router->Otherwise([page](const ExchangePtr& exchange, const PathMembers&) {
    const HttpRequest& request = exchange->request();
    bool reads = request.method == "GET" || request.method == "HEAD";
    if (page && reads) return exchange->Answer(page->Answer(request));
    exchange->Answer(Problem({Code::kNotFound, "there is nothing at this path"}));
  });
}

void AddHealth(Router* router) {
  router->Add("GET", "/healthz", [](const ExchangePtr& exchange, const PathMembers&) {
    HttpResponse response;
    response.SetBody("application/json", "{\"status\":\"ok\"}\n");
    exchange->Answer(std::move(response));
  });
}

// Runs until SIGTERM or SIGINT: then what is being answered still is, for kStopPatience.
void Serve(boost::asio::io_context* io, HttpServer* server) {
  boost::asio::signal_set signals(*io, SIGTERM, SIGINT);
  boost::asio::steady_timer patience(*io);
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (error) return;
    server->Stop();
    patience.expires_after(kStopPatience);
    patience.async_wait([io](const boost::system::error_code& expired) {
      if (!expired) io->stop();
    });
  });
  while (!io->stopped() && (io->run_one() > 0)) {
    if (patience.expiry() != decltype(patience)::time_point() && server->connections() == 0) break;
  }
}

int Run(const Options& options) {
  std::shared_ptr<const StaticFiles> page;
  if (!options.web.empty()) {
    auto loaded = StaticFiles::Load(options.web, options.mqtt_ws);
    if (!loaded) return Fail(kWrongUsage, loaded.error().message());
    page = std::make_shared<const StaticFiles>(std::move(*loaded));
  }
  RaiseFileLimit();
  Router router;
  AddHealth(&router);
  AddPage(&router, page, options.mqtt_ws);
  boost::asio::io_context io(1);
  auto server =
      HttpServer::Listen(&io, options.address, options.port, options.limits,
                         [&router](const ExchangePtr& exchange) { router.Handle(exchange); });
  if (!server) return Fail(1, server.error().message());
  std::cout << "parley-gateway: ready on http://" << options.address << ":" << (*server)->port()
            << std::endl;
  Serve(&io, server->get());
  return 0;
}

}  // namespace
}  // namespace parley::gateway

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("The chat by HTTP, and the page to chat on.", "parley-gateway");
  parley::gateway::Options options;
  parley::gateway::AddOptions(&app, &options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : parley::gateway::kWrongUsage;
  }
  return parley::gateway::Run(options);
}
