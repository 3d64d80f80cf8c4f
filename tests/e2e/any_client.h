// One device of a user on one of the client libraries that people use, all behind one interface, so
// that the same conversation can be had with each. The device's client id is <user>:phone.
//
// Waiting calls throw MqttError at their deadline. One thread uses a client.
#ifndef PARLEY_TESTS_E2E_ANY_CLIENT_H_
#define PARLEY_TESTS_E2E_ANY_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace parley::e2e {

class AnyClient {
 public:
  virtual ~AnyClient() = default;

  // Connects and subscribes to the user's messages and receipts.
  virtual void Open() = 0;
  virtual void Close() = 0;
  virtual void Publish(const std::string& topic, const std::string& payload) = 0;
  // Publishes a receipt of this device. Returns when the broker has it.
  virtual void Confirm(const std::string& receipt) = 0;
  // The next payload that arrives on a topic subscribed to.
  virtual std::string Next(const std::string& topic) = 0;
  // Publishes and returns what comes for it on answer/<client id>.
  virtual std::string Request(const std::string& topic, const std::string& payload) = 0;
};

struct AnyClientOptions {
  uint16_t port = 0;
  std::string user = {};
  std::string password = {};
  int version = 4;           // 4: MQTT 3.1.1, 5: MQTT 5
  std::string ca_file = {};  // set: over TLS, and the server's certificate must be one of its
  bool websockets = false;   // Paho alone
};

// mosquitto_sub for what arrives, a mosquitto_pub or mosquitto_rr for each thing that is sent,
// under client ids of their own but for receipts.
std::unique_ptr<AnyClient> MosquittoTools(const AnyClientOptions& options);
// paho.mqtt.cpp.
std::unique_ptr<AnyClient> Paho(const AnyClientOptions& options);
// MQTT.js, in a Node.js process that runs js/device.js. `npm ci` there first: script/test does.
std::unique_ptr<AnyClient> MqttJs(const AnyClientOptions& options);

using MakeAnyClient = std::function<std::unique_ptr<AnyClient>(const AnyClientOptions&)>;

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_ANY_CLIENT_H_
