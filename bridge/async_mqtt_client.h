// An MQTT 5 connection with many requests in flight, for programs that serve many users over one
// connection. Beside mqtt_client.cc the only file that knows paho.mqtt.cpp; what is said there
// about paho 1.2.0 holds here too.
//
// Everything goes with QoS 0: the answer to a request is its acknowledgement, and what was lost
// with the connection is told as lost. Each publish names the topic that its answer is wanted on,
// below answer/<client-id>/ (PROTOCOL: asking), so that answers find their requests whatever they
// hold.
//
// Connects by itself, and again after a loss: at once, then after kRetryFirst doubled up to
// kRetryMax.
//
// Threads: any may publish. Events are called on this client's own threads, one at a time for each
// of them, never after the destructor has returned; they must not wait.
#ifndef PARLEY_BRIDGE_ASYNC_MQTT_CLIENT_H_
#define PARLEY_BRIDGE_ASYNC_MQTT_CLIENT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "bridge/mqtt_client.h"
#include "storage/status.h"

namespace parley {

class AsyncMqttClient {
 public:
  static constexpr std::chrono::milliseconds kRetryFirst{100};
  static constexpr std::chrono::milliseconds kRetryMax{5000};
  // Publishes that wait for the socket; one more is refused.
  static constexpr int kUnsentMax = 20'000;

  struct Events {
    std::function<void()> connected;       // and subscribed to the answers
    std::function<void(Status why)> lost;  // or not reached: kUnavailable, kDenied
    std::function<void(MqttMessage message)> message;
  };

  // Begins to connect. `options.timeout` is that of a connection.
  AsyncMqttClient(const MqttOptions& options, Events events);
  ~AsyncMqttClient();  // disconnects
  AsyncMqttClient(const AsyncMqttClient&) = delete;
  AsyncMqttClient& operator=(const AsyncMqttClient&) = delete;

  // The answer comes on answer/<client-id>/<answer_to>. kUnavailable: not connected. kBusy:
  // kUnsentMax wait.
  Status Publish(const std::string& topic, const std::string& payload,
                 const std::string& answer_to);

 private:
  struct Paho;
  std::unique_ptr<Paho> paho_;
};

}  // namespace parley

#endif  // PARLEY_BRIDGE_ASYNC_MQTT_CLIENT_H_
