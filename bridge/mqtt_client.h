// An MQTT 3.1.1 connection for the programs of this room; with async_mqtt_client.h the only file
// that knows paho.mqtt.cpp.
//
// What paho 1.2.0 wants of its user: callbacks are set before connect (setting them later can
// deadlock, eclipse/paho.mqtt.cpp#356), the connect options outlive the connection (#325), and its
// own message queue is not used (#385, #556).
//
// Threads: one thread uses a client. Paho's own threads only fill the queue of messages, which has
// no limit: this end asks for what it gets.
#ifndef PARLEY_BRIDGE_MQTT_CLIENT_H_
#define PARLEY_BRIDGE_MQTT_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "storage/status.h"

namespace parley {

struct MqttOptions {
  std::string host = "127.0.0.1";  // an IPv6 address without brackets
  uint16_t port = 1883;
  std::string client_id;
  std::string username;
  std::string password;
  std::string ca_file = {};                 // TLS, by these certificates; empty: without TLS
  std::chrono::milliseconds timeout{5000};  // of the connection, and of each acknowledgement
};

// "tcp://127.0.0.1:1883" or "ssl://…", for paho and for messages.
std::string MqttUri(const MqttOptions& options);

// "push:5f0c…": of a device of its own, so that any number may be there at once.
std::string FreshClientId(const std::string& user);

struct MqttMessage {
  std::string topic;
  std::string payload;
};

class MqttClient {
 public:
  // kDenied: the broker refused the login. kUnavailable: it can't be reached.
  static Result<std::unique_ptr<MqttClient>> Connect(const MqttOptions& options);
  ~MqttClient();  // disconnects
  MqttClient(const MqttClient&) = delete;
  MqttClient& operator=(const MqttClient&) = delete;

  // QoS 1; returns when it is acknowledged. kUnavailable: the connection is lost.
  Status Publish(const std::string& topic, const std::string& payload);
  // QoS 1. kDenied: the broker refused it.
  Status Subscribe(const std::string& filter);
  // The next message; none after `timeout`. kUnavailable: the connection is lost and all that came
  // before has been received.
  Result<std::optional<MqttMessage>> Receive(std::chrono::milliseconds timeout);

 private:
  struct Paho;
  explicit MqttClient(std::unique_ptr<Paho> paho);
  std::unique_ptr<Paho> paho_;
};

}  // namespace parley

#endif  // PARLEY_BRIDGE_MQTT_CLIENT_H_
