// /metrics on a listener of its own, so that what operators see isn't served to the world: off
// unless it is given a port, and on 127.0.0.1 unless it is given an address. It asks for no
// password; who can reach it reads all figures.
//
// Threads: the gateway's one.
#ifndef PARLEY_BRIDGE_GATEWAY_METRICS_SERVICE_H_
#define PARLEY_BRIDGE_GATEWAY_METRICS_SERVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bridge/gateway/figures_feed.h"
#include "bridge/gateway/http_server.h"
#include "bridge/gateway/metrics.h"
#include "bridge/gateway/router.h"

namespace parley::gateway {

struct MetricsOptions {
  std::string address = "127.0.0.1";
  std::optional<uint16_t> port = {};  // none: there are no metrics; 0: a free one
};

class MetricsService {
 public:
  explicit MetricsService(MetricsOptions options) : options_(std::move(options)) {}

  // Listens, and follows the broker's figures where there is an `mqtt`; `state` is asked at each
  // scrape. Nothing where there is no port. kUnavailable: it can't be listened on.
  Status Open(boost::asio::io_context* io, const std::optional<MqttOptions>& mqtt,
              std::function<GatewayState()> state);
  // Of each request that the gateway gets.
  void Measure(const ExchangePtr& exchange);
  void Stop();

  // http://127.0.0.1:9464/metrics; empty where there are no metrics.
  std::string Url() const;

 private:
  void Answer(const ExchangePtr& exchange) const;

  const MetricsOptions options_;
  Metrics metrics_;
  Router router_;
  std::function<GatewayState()> state_;
  std::unique_ptr<FiguresFeed> feed_;
  std::shared_ptr<HttpServer> server_;
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_METRICS_SERVICE_H_
