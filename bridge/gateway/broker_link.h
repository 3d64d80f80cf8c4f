// The gateway's way to the broker: requests go out, and each gets one answer, sooner or later.
//
// Threads: all of it on the thread that runs `io`.
// Limits: `in_flight_max` requests without an answer; one more is kBusy, which is how a broker that
// is slower than the gateway's clients holds them back. Long polls, which are meant to wait, count
// by themselves (`waiting_max`).
#ifndef PARLEY_BRIDGE_GATEWAY_BROKER_LINK_H_
#define PARLEY_BRIDGE_GATEWAY_BROKER_LINK_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bridge/async_mqtt_client.h"
#include "storage/status.h"

namespace boost::asio {
class io_context;
}

namespace parley::gateway {

struct LinkLimits {
  size_t in_flight_max = 5'000;
  size_t waiting_max = 10'000;
  std::chrono::seconds timeout{10};  // of an answer
};

// What the broker answered: the text of one JSON object; or that it didn't.
using Answered = std::function<void(Result<std::string> answer)>;

class BrokerLink {
 public:
  virtual ~BrokerLink() = default;

  // Publishes and calls `answered` once, at once where it can't go. kBusy: too many are in flight.
  // kUnavailable: there is no connection, or it was lost or silent before the answer: whether it
  // was done isn't known. `wait`: how much longer than others it may take, being a long poll.
  virtual void Ask(const std::string& topic, const std::string& payload, Answered answered,
                   std::chrono::seconds wait = std::chrono::seconds(0)) = 0;
  // Publishes what is only answered where it is refused, which nobody hears then.
  virtual void Tell(const std::string& topic, const std::string& payload) = 0;

  virtual bool connected() const = 0;
  // How often it has been connected.
  virtual uint64_t connections() const = 0;
  virtual size_t in_flight() const = 0;

  // Connects, and stays so. `io` must run until Stop, and what it has queued then be run or dropped
  // before it ends.
  static std::shared_ptr<BrokerLink> Open(boost::asio::io_context* io, const MqttOptions& mqtt,
                                          const LinkLimits& limits);
  // Disconnects; all that is in flight is answered with kUnavailable.
  virtual void Stop() = 0;
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_BROKER_LINK_H_
