// /metrics of a running gateway beside a running broker, and what is made to read it: the dashboard
// and the alert rules in contrib/.
#include <chrono>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <thread>

#include "chat/figures.h"
#include "tests/catch.h"
#include "tests/e2e/rest_client.h"
#include "tests/e2e/scrape.h"
#include "tests/free_port.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({.options = {{"plugin_opt_sys_interval_s", "1"}}}, 5);
  return server;
}

class Measured {
 public:
  Measured() : port_(FreePort()), gateway_(Server(), {"--metrics-port", std::to_string(port_)}) {}

  Gateway& gateway() { return gateway_; }
  std::string Text() const {
    RestResponse response = RestClient(port_).Get("/metrics");
    REQUIRE(response.status == 200);
    REQUIRE(response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8");
    return response.text;
  }
  // The first scrape that `wanted` accepts.
  template <class F>
  Scrape Await(F wanted) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (std::chrono::steady_clock::now() < deadline) {
      Scrape scrape = Scrape::Parse(Text());
      if (wanted(scrape)) return scrape;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    throw std::runtime_error("no such scrape came:\n" + Text());
  }
  // With all of the broker's figures.
  Scrape AwaitAll() const {
    return Await([](const Scrape& scrape) {
      return scrape.types.contains("parley_wake_info") &&
             scrape.types.contains("parley_last_update_seconds");
    });
  }

 private:
  const uint16_t port_;
  Gateway gateway_;
};

std::string ReadSource(const std::string& path) {
  std::ifstream in(std::string(PARLEY_SOURCE_DIR) + "/" + path);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::set<std::string> MetricsNamedIn(const std::string& text) {
  static const std::regex name(R"(\bparley_[a-z0-9_]+\b)");
  return {std::sregex_token_iterator(text.begin(), text.end(), name), std::sregex_token_iterator()};
}

TEST_CASE("what Prometheus is served keeps its rules and holds every figure") {
  Measured measured;
  const Scrape scrape = measured.AwaitAll();
  for (const FigureRow& row : FigureRows()) {
    CAPTURE(row.metric);
    CHECK(scrape.types.contains(std::string(row.metric)));
  }
  CHECK(scrape.types.at("parley_callback_seconds") == "histogram");
  CHECK(scrape.types.at("parley_refused_total") == "counter");
  CHECK(scrape.samples.contains("parley_refused_total{reason=\"busy\"}"));
  CHECK(scrape.samples.contains("parley_store_bytes{store=\"0\"}"));
  CHECK(scrape.samples.at("parley_gateway_mqtt_connected") == 1);
  measured.Await([](const Scrape& later) {
    auto sessions = later.samples.find("parley_sessions");
    return sessions != later.samples.end() && sessions->second == 2;  // both are the gateway's
  });
}

TEST_CASE("the dashboard and the alerts read nothing that isn't served") {
  Measured measured;
  const Scrape scrape = measured.AwaitAll();
  const std::string dashboard = ReadSource("contrib/grafana/parley.json");
  CHECK(Json::parse(dashboard)["panels"].size() > 10);
  for (const std::string& text : {dashboard, ReadSource("contrib/prometheus/alerts.yml")}) {
    const std::set<std::string> named = MetricsNamedIn(text);
    CHECK(named.size() > 8);
    CHECK(named.contains("parley_push_jobs"));
    CHECK(named.contains("parley_push_dead_letters_total"));
    for (const std::string& name : named) {
      CAPTURE(name);
      CHECK(scrape.names.contains(name));
    }
  }
}

TEST_CASE("requests are counted by route, method and code, and /metrics is not for everybody") {
  Measured measured;
  RestClient alice = measured.gateway().As(Server().NewUser("alice"));
  for (int i = 0; i < 2; ++i) CHECK(alice.Get("/v1/conversations").status == 200);
  CHECK(alice.Get("/metrics").status == 404);
  CHECK(measured.gateway().Open().Get("/v1/conversations").status == 401);
  const Scrape scrape = Scrape::Parse(measured.Text());
  const auto requests = [&](const std::string& labels) {
    return scrape.samples.at("parley_gateway_requests_total{" + labels + "}");
  };
  CHECK(requests(R"(code="200",method="GET",route="/v1/conversations")") == 2);
  CHECK(requests(R"(code="401",method="GET",route="/v1/conversations")") == 1);
  CHECK(requests(R"(code="404",method="GET",route="other")") == 1);
  CHECK(scrape.samples.at(R"(parley_gateway_request_seconds_count{route="/v1/conversations"})") ==
        3);
}

TEST_CASE("a gateway without its broker is not healthy, says so, and tells no old figures") {
  Measured measured;
  measured.AwaitAll();
  Server().Stop();
  measured.gateway().AwaitHealth(503);
  const Scrape without = measured.Await(
      [](const Scrape& scrape) { return !scrape.types.contains("parley_messages_stored_total"); });
  CHECK(without.samples.at("parley_gateway_mqtt_connected") == 0);
  Server().Start();
  measured.gateway().AwaitHealth(200);
  CHECK(measured.AwaitAll().samples.at("parley_gateway_mqtt_reconnects_total") == 1);
}

}  // namespace
}  // namespace parley::e2e
