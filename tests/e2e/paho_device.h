// A device on paho.mqtt.cpp's stock asynchronous client, as an application would have it: the
// library reads, acknowledges and sends on threads of its own, here only what arrived is kept.
//
// One thread uses a device. Every wait has a deadline; one that passes throws MqttError, which
// fails the test that waits. What paho 1.2.0 wants of its user: callbacks are set before connect,
// and its own message queue is not used.
#ifndef PARLEY_TESTS_E2E_PAHO_DEVICE_H_
#define PARLEY_TESTS_E2E_PAHO_DEVICE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/e2e/mqtt_client.h"

namespace parley::e2e {

struct PahoOptions {
  uint16_t port = 0;
  std::string user = {};
  std::string password = {};
  std::string client_id = {};
  int version = 4;           // 4: MQTT 3.1.1, 5: MQTT 5
  std::string ca_file = {};  // set: over TLS, and the server's certificate must be one of its
  bool websockets = false;
};

class PahoDevice {
 public:
  explicit PahoDevice(PahoOptions options);
  ~PahoDevice();  // ends the connection with a DISCONNECT where it stands
  PahoDevice(PahoDevice&&) noexcept;
  PahoDevice& operator=(PahoDevice&&) noexcept;
  PahoDevice(const PahoDevice&) = delete;
  PahoDevice& operator=(const PahoDevice&) = delete;

  const PahoOptions& options() const;
  std::string inbox() const { return "chat/" + options().user; }
  std::string answers() const { return "answer/" + options().client_id; }

  // Connecting in two steps, so that many devices do it at once. The session is a clean one.
  void StartLogin();
  void AwaitLogin();
  void Login() {
    StartLogin();
    AwaitLogin();
  }
  // QoS 1; likewise.
  void StartSubscribe(const std::string& topic);
  void AwaitSubscribed();
  void Subscribe(const std::string& topic) {
    StartSubscribe(topic);
    AwaitSubscribed();
  }

  // QoS 1, without waiting; Flush waits until all that was published is acknowledged.
  void Publish(const std::string& topic, const std::string& payload);
  void Flush();

  // What has arrived on `topic` and was not taken yet, in order.
  std::vector<MqttMessage> Take(const std::string& topic);
  // The first of it, waited for.
  MqttMessage Next(const std::string& topic, Clock::duration timeout = kDeadline);
  // Returns when something is there to be taken, after `timeout`, or when the connection is lost:
  // false.
  bool AwaitArrival(Clock::duration timeout);

  // Asks without waiting and returns the rid; AwaitAnswer returns the answer as it came. `members`
  // are those of the request in JSON, such as "\"after\":0", or nothing.
  std::string StartAsk(const std::string& method, const std::string& members);
  std::string AwaitAnswer(const std::string& rid);

  // DISCONNECT, waited for.
  void Disconnect();
  // Waits until the library has noticed that the connection is gone. What was on its way out is
  // given up.
  void AwaitLost();

 private:
  struct Paho;
  std::unique_ptr<Paho> paho_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_PAHO_DEVICE_H_
