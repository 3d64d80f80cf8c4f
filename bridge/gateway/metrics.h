// What Prometheus reads at /metrics, by prometheus-cpp's core: the broker's figures under the names
// of chat/figures.h, and the gateway's own (parley_gateway_…), which say how requests went by route
// and what waits.
//
// Threads: the gateway's one.
#ifndef PARLEY_BRIDGE_GATEWAY_METRICS_H_
#define PARLEY_BRIDGE_GATEWAY_METRICS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "bridge/gateway/http.h"

namespace parley::gateway {

// What the gateway's other parts say when they are asked.
struct GatewayState {
  size_t connections = 0;   // HTTP
  size_t open_polls = 0;    // long polls that wait
  size_t in_flight = 0;     // requests that the broker has not answered
  bool connected = false;   // to the broker
  uint64_t reconnects = 0;  // … again after a loss
};

class Metrics {
 public:
  Metrics();
  ~Metrics();

  // Counts the request when it is answered, under the route that the router has found by then.
  void Measure(const ExchangePtr& exchange);
  // In Prometheus' text format. `broker`: the figures by name; none where they aren't known.
  std::string Text(const std::map<std::string, std::string>& broker,
                   const GatewayState& state) const;

 private:
  struct Families;
  const std::unique_ptr<Families> families_;
};

inline constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_METRICS_H_
