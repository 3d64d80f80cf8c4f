#include "bridge/gateway/metrics_service.h"

#include <iostream>
#include <utility>

#include "bridge/gateway/problem.h"

namespace parley::gateway {
namespace {

constexpr HttpLimits kLimits{.connections_max = 20};
constexpr std::chrono::seconds kConnectTimeout{2};

}  // namespace

Status MetricsService::Open(boost::asio::io_context* io, const std::optional<MqttOptions>& mqtt,
                            std::function<GatewayState()> state) {
  if (!options_.port) return {};
  state_ = std::move(state);
  router_.Add("GET", "/metrics",
              [this](const ExchangePtr& exchange, const PathMembers&) { Answer(exchange); });
  router_.Otherwise([](const ExchangePtr& exchange, const PathMembers&) {
    exchange->Answer(Problem({Code::kNotFound, "there is nothing but /metrics here"}));
  });
  auto server =
      HttpServer::Listen(io, options_.address, *options_.port, kLimits,
                         [this](const ExchangePtr& exchange) { router_.Handle(exchange); });
  if (!server) return server.error();
  server_ = *server;
  if (!mqtt) return {};
  MqttOptions of_feed = *mqtt;
  of_feed.timeout = kConnectTimeout;
  feed_ = std::make_unique<FiguresFeed>(std::move(of_feed), [](const std::string& line) {
    std::cerr << "parley-gateway: " + line + "\n";
  });
  return {};
}

void MetricsService::Measure(const ExchangePtr& exchange) {
  if (server_) metrics_.Measure(exchange);
}

void MetricsService::Stop() {
  if (server_) server_->Stop();
  feed_.reset();
}

std::string MetricsService::Url() const {
  if (!server_) return "";
  return "http://" + options_.address + ":" + std::to_string(server_->port()) + "/metrics";
}

void MetricsService::Answer(const ExchangePtr& exchange) const {
  HttpResponse response;
  response.SetBody(kMetricsType,
                   metrics_.Text(feed_ ? feed_->figures() : FiguresFeed::Figures(), state_()));
  exchange->Answer(std::move(response));
}

}  // namespace parley::gateway
