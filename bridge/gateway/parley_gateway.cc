// parley-gateway: the chat by HTTP, and the page to chat on.
#include <sys/resource.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "bridge/gateway/api.h"
#include "bridge/gateway/http_server.h"
#include "bridge/gateway/metrics_service.h"
#include "bridge/gateway/problem.h"
#include "bridge/gateway/router.h"
#include "bridge/gateway/static_files.h"

namespace parley::gateway {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;
constexpr std::chrono::seconds kStopPatience{10};
// The broker closes the connection of who sends it more in a packet (max_packet_size, 1 MiB).
constexpr size_t kBodyBytesMost = 900 << 10;

struct Options {
  std::string address = "127.0.0.1";
  uint16_t port = 8080;
  std::string web;
  std::string mqtt_ws;
  std::string vapid_public_key;
  MqttOptions mqtt;
  std::string token_file;
  bool behind_proxy = false;
  HttpLimits http;
  LinkLimits link;
  MetricsOptions metrics;
};

int Fail(int code, const std::string& why) {
  std::cerr << "parley-gateway: " << why << "\n";
  return code;
}

void AddHttpOptions(CLI::App* app, Options* options) {
  app->add_option("--listen", options->address, "The address to serve HTTP on")
      ->capture_default_str();
  app->add_option("--port", options->port, "Its port; 0: a free one")->capture_default_str();
  app->add_option("--web", options->web, "The directory of the built web page, served at /");
  app->add_option("--mqtt-ws", options->mqtt_ws,
                  "The broker's WebSocket URL (ws://…, wss://…), which the page connects to");
  app->add_flag("--behind-proxy", options->behind_proxy,
                "Believe X-Forwarded-For's last address: a proxy in front sets it");
  app->add_option("--vapid-public-key", options->vapid_public_key,
                  "What `parley-push vapid` prints: the page then offers notifications");
  app->add_option(
         "--connections-max", options->http.connections_max,
         "HTTP connections; one more takes the place of one that is idle, or is answered with 503")
      ->capture_default_str();
  app->add_option_function<unsigned>(
         "--request-timeout",
         [options](unsigned seconds) {
           options->http.request_timeout = std::chrono::seconds(seconds);
         },
         "Seconds in which a request that has begun, and a connection's first, must be there")
      ->default_str("10");
  app->add_option("--body-max", options->http.body_bytes_max, "Bytes of a request's body")
      ->capture_default_str()
      ->check(CLI::Range(size_t{1024}, kBodyBytesMost));
}

void AddMetricsOptions(CLI::App* app, Options* options) {
  app->add_option("--metrics-port", options->metrics.port,
                  "Serve /metrics to Prometheus on this port; 0: a free one. Not served otherwise");
  app->add_option("--metrics-listen", options->metrics.address,
                  "The address to serve it on: whoever reaches it reads it")
      ->capture_default_str();
}

void AddBrokerOptions(CLI::App* app, Options* options) {
  app->add_option("--broker-host", options->mqtt.host, "The broker's address")
      ->capture_default_str();
  app->add_option("--broker-port", options->mqtt.port, "Its MQTT port")->capture_default_str();
  app->add_option("--broker-cafile", options->mqtt.ca_file,
                  "Speak TLS to it, whose certificate one of this file's has signed");
  app->add_option("--user", options->mqtt.username,
                  "The gateway's own account, which must have the role service")
      ->capture_default_str();
  app->add_option("--token-file", options->token_file,
                  "A file with that account's token or password in one line, which nobody else may "
                  "read. Without it only the page is served")
      ->envname("PARLEY_GATEWAY_TOKEN_FILE");
  app->add_option(
         "--in-flight-max", options->link.in_flight_max,
         "Requests without an answer of the broker's; one more is answered with 503 (busy)")
      ->capture_default_str();
  app->add_option("--polls-max", options->link.waiting_max,
                  "Long polls that wait, each user's for one page being one; one more is answered "
                  "with 503 (busy)")
      ->capture_default_str();
}

// The secret's first line. kDenied: others may read the file.
Result<std::string> ReadToken(const std::string& path) {
  struct stat info {};
  std::ifstream in(path);
  std::string token;
  if (!in || stat(path.c_str(), &info) != 0) return Error(Code::kNotFound, path + " can't be read");
  if ((info.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
    return Error(Code::kDenied, path + " may be read or written by others: chmod 600 it");
  }
  if (!std::getline(in, token) || token.empty())
    return Error(Code::kBadRequest, path + " is empty");
  return token;
}

// A file descriptor for each connection.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

HttpResponse Json(const std::string& text, int http_status = 200) {
  HttpResponse response{.status = http_status};
  response.headers.emplace_back("Cache-Control", "no-cache");
  response.SetBody("application/json", text + "\n");
  return response;
}

void AddPage(Router* router, const std::shared_ptr<const StaticFiles>& page,
             const Options& options) {
  nlohmann::json config = {{"mqtt_ws", nullptr}};
  if (!options.mqtt_ws.empty()) config["mqtt_ws"] = options.mqtt_ws;
  if (!options.vapid_public_key.empty()) config["vapid_public_key"] = options.vapid_public_key;
  router->Add("GET", "/v1/config.json",
              [text = config.dump()](const ExchangePtr& exchange, const PathMembers&) {
                exchange->Answer(Json(text));
              });
  router->Otherwise([page](const ExchangePtr& exchange, const PathMembers&) {
    const HttpRequest& request = exchange->request();
    bool reads = request.method == "GET" || request.method == "HEAD";
    if (page && reads) return exchange->Answer(page->Answer(request));
    exchange->Answer(Problem({Code::kNotFound, "there is nothing at this path"}));
  });
}

// `link` is null where only the page is served.
void AddHealth(Router* router, const std::shared_ptr<BrokerLink>& link) {
  router->Add("GET", "/healthz", [link](const ExchangePtr& exchange, const PathMembers&) {
    bool ok = !link || link->connected();
    exchange->Answer(Json(ok ? R"({"status":"ok"})" : R"({"status":"no broker"})", ok ? 200 : 503));
  });
}

// Until SIGTERM or SIGINT: then what is being answered still is, for kStopPatience.
class Service {
 public:
  explicit Service(const Options& options) : options_(options), metrics_(options.metrics) {}

  int Run() {
    if (Status status = Open(); !status.ok()) {
      return Fail(status.code() == Code::kUnavailable ? kFailed : kWrongUsage, status.message());
    }
    std::cout << "parley-gateway: ready on http://" << options_.address << ":" << server_->port()
              << std::endl;
    if (!metrics_.Url().empty()) std::cout << "parley-gateway: " << metrics_.Url() << std::endl;
    signals_.async_wait([this](const auto& error, int) {
      if (!error) Stop();
    });
    while (!Done() && io_.run_one() > 0) {
    }
    metrics_.Stop();
    if (link_) link_->Stop();
    return 0;
  }

 private:
  Status Open() {
    std::shared_ptr<const StaticFiles> page;
    if (!options_.web.empty()) {
      auto loaded = StaticFiles::Load(options_.web, options_.mqtt_ws);
      if (!loaded) return loaded.error();
      page = std::make_shared<const StaticFiles>(std::move(*loaded));
    }
    if (Status status = OpenApi(); !status.ok()) return status;
    AddHealth(&router_, link_);
    AddPage(&router_, page, options_);
    auto server = HttpServer::Listen(&io_, options_.address, options_.port, options_.http,
                                     [this](const ExchangePtr& exchange) {
                                       metrics_.Measure(exchange);
                                       router_.Handle(exchange);
                                     });
    if (!server) return server.error();
    server_ = *server;
    return OpenMetrics();
  }

  Status OpenApi() {
    if (options_.token_file.empty()) return {};
    auto token = ReadToken(options_.token_file);
    if (!token) return token.error();
    mqtt_ = options_.mqtt;
    mqtt_->password = *token;
    mqtt_->client_id = FreshClientId(mqtt_->username);
    link_ = BrokerLink::Open(&io_, *mqtt_, options_.link);
    api_.emplace(&io_, link_, options_.behind_proxy);
    api_->AddTo(&router_);
    return {};
  }

  // The figures come by a connection of their own.
  Status OpenMetrics() {
    std::optional<MqttOptions> mqtt = mqtt_;
    if (mqtt) mqtt->client_id = FreshClientId(mqtt->username);
    return metrics_.Open(&io_, mqtt, [this] {
      GatewayState state{.connections = server_->connections()};
      if (!link_) return state;
      state.open_polls = api_->polls_waiting();
      state.in_flight = link_->in_flight();
      state.connected = link_->connected();
      state.reconnects = std::max<uint64_t>(link_->connections(), 1) - 1;
      return state;
    });
  }

  // Polls are answered at once: they would only wait.
  void Stop() {
    stopping_ = true;
    server_->Stop();
    if (api_) api_->EndPolls();
    patience_.expires_after(kStopPatience);
    patience_.async_wait([this](const auto& cancelled) { late_ = !cancelled; });
  }

  bool Done() const { return stopping_ && (late_ || server_->connections() == 0); }

  const Options& options_;
  Router router_;
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_{io_, SIGTERM, SIGINT};
  boost::asio::steady_timer patience_{io_};
  std::optional<MqttOptions> mqtt_;  // none: only the page is served
  std::shared_ptr<BrokerLink> link_;
  std::optional<Api> api_;
  std::shared_ptr<HttpServer> server_;
  MetricsService metrics_;
  bool stopping_ = false;
  bool late_ = false;
};

}  // namespace
}  // namespace parley::gateway

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("The chat by HTTP, and the page to chat on.", "parley-gateway");
  parley::gateway::Options options;
  options.mqtt.username = "gateway";
  parley::gateway::AddHttpOptions(&app, &options);
  parley::gateway::AddBrokerOptions(&app, &options);
  parley::gateway::AddMetricsOptions(&app, &options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : parley::gateway::kWrongUsage;
  }
  parley::gateway::RaiseFileLimit();
  return parley::gateway::Service(options).Run();
}
