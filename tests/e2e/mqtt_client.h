// A small MQTT client for tests: one blocking socket, MQTT 3.1.1 (version 4) or 5, every packet
// under the test's control. It shows what a library hides: reason codes, flags, properties,
// acknowledgements held back, malformed bytes.
//
// One thread uses a client at a time. Nothing happens between calls: packets are read, and QoS 1
// and 2 are acknowledged, only inside a call that waits. Every wait has a deadline; one that
// passes, or a connection that the broker closes meanwhile, throws MqttError with what had arrived
// by then, which fails the test that waits.
#ifndef PARLEY_TESTS_E2E_MQTT_CLIENT_H_
#define PARLEY_TESTS_E2E_MQTT_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parley::e2e {

using Clock = std::chrono::steady_clock;

// Generous: it is reached by failing tests only. Sanitizers and a busy machine must fit in.
inline constexpr std::chrono::seconds kDeadline{20};

class MqttError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct MqttWill {
  std::string topic = {};
  std::string payload = {};
  int qos = 0;
  bool retain = false;
  uint32_t delay_s = 0;  // MQTT 5
};

struct MqttConnect {
  std::string client_id = {};
  std::optional<std::string> user = {};
  std::optional<std::string> password = {};
  int version = 4;  // 4: MQTT 3.1.1, 5: MQTT 5
  bool clean = true;
  uint16_t keepalive_s = 60;
  std::optional<MqttWill> will = {};
  uint32_t session_expiry_s = 0;    // MQTT 5
  uint16_t receive_maximum = 0;     // MQTT 5; 0: not sent
  std::string source_address = {};  // a loopback address to come from, such as 127.0.0.2
};

struct MqttPublish {
  int qos = 1;
  bool retain = false;
  bool dup = false;
  uint16_t packet_id = 0;  // 0: the next one
  // MQTT 5
  std::optional<std::string> content_type = {};
  std::optional<std::string> response_topic = {};
  std::optional<std::string> correlation_data = {};
};

struct MqttMessage {
  std::string topic = {};
  std::string payload = {};
  int qos = 0;
  bool retain = false;
  bool dup = false;
  uint16_t packet_id = 0;
  std::optional<std::string> content_type = {};
  std::optional<std::string> response_topic = {};
  std::optional<std::string> correlation_data = {};
};

// True if `topic` matches `filter` with MQTT's wildcards.
bool TopicMatches(std::string_view filter, std::string_view topic);

class MqttClient {
 public:
  explicit MqttClient(uint16_t port) : port_(port) {}
  ~MqttClient();
  MqttClient(MqttClient&& other) noexcept;
  MqttClient(const MqttClient&) = delete;
  MqttClient& operator=(const MqttClient&) = delete;

  // Opens a connection and returns CONNACK's code, 0 for success; -1 if the broker closed without a
  // CONNACK.
  int Connect(const MqttConnect& options);
  // The client id in use: the one given, or the one the broker assigned (MQTT 5).
  const std::string& client_id() const { return client_id_; }
  bool session_present() const { return session_present_; }
  int version() const { return version_; }

  // The granted QoS, or a code from 0x80 on.
  int Subscribe(const std::string& filter, int qos);
  int Unsubscribe(const std::string& filter);

  // Publishes and waits for the acknowledgement; returns its reason code (always 0 in 3.1.1 and for
  // QoS 0), or -1 if the broker closed the connection instead.
  int Publish(const std::string& topic, std::string_view payload, const MqttPublish& options = {});
  // Publishes without waiting and returns the packet id; AwaitAck waits for its acknowledgement.
  uint16_t StartPublish(const std::string& topic, std::string_view payload,
                        const MqttPublish& options = {});
  int AwaitAck(uint16_t packet_id);

  // The next message whose topic matches, in order of arrival; others are kept for later calls.
  MqttMessage Next(const std::string& filter, Clock::duration timeout = kDeadline);
  // The same for one that `wanted` accepts.
  MqttMessage NextWhere(const std::function<bool(const MqttMessage&)>& wanted,
                        const std::string& what, Clock::duration timeout = kDeadline);
  // What has arrived on matching topics and was not taken yet, without reading the socket: used
  // after a round trip that proves that all there was has come (Ping, or a message of one's own).
  std::vector<MqttMessage> Arrived(const std::string& filter);
  // A PINGREQ and its PINGRESP: all that the broker wrote to this client before is then read.
  void Ping();

  // With automatic acknowledgements off, QoS 1 and 2 messages wait for Ack.
  void set_auto_ack(bool on) { auto_ack_ = on; }
  void Ack(const MqttMessage& message);

  // DISCONNECT, then waits until the broker has closed. MQTT 5 may give a reason: 0x04 asks for the
  // will.
  void Disconnect(int reason = 0);
  // Ends the connection without a DISCONNECT and waits until the broker has noticed, so that its
  // will, if any, is published when this returns.
  void Drop();
  // Ends the connection at once, waiting for nothing.
  void Abandon();
  // True once the broker has closed the connection; waits for that until the deadline.
  bool AwaitClosed(Clock::duration timeout = kDeadline);
  bool connected() const { return fd_ >= 0; }
  // The reason of a DISCONNECT that the broker sent (MQTT 5), or -1.
  int disconnect_reason() const { return disconnect_reason_; }

  // For packets that are written byte by byte: a connection without a CONNECT, bytes as they are,
  // and CONNACK's code (nothing if the broker closes instead).
  void OpenRaw(const std::string& source_address = "");
  void SendRaw(std::string_view bytes);
  std::optional<int> AwaitConnack();

 private:
  bool Step(Clock::time_point deadline);
  bool FillBuffer(Clock::time_point deadline);
  bool TakePacket(uint8_t* head, std::string* body);
  void Handle(uint8_t head, const std::string& body);
  void HandlePublish(uint8_t head, const std::string& body);
  void HandleAck(int type, const std::string& body);
  void HandleConnack(const std::string& body);
  void SendPacket(uint8_t head, const std::string& body);
  void SendAck(uint8_t head, uint16_t packet_id);
  // Reads until `done`; false when the connection closes first; throws when the deadline passes.
  bool Await(const std::function<bool()>& done, const std::string& what, Clock::duration timeout);
  std::string Describe(const std::string& what) const;
  uint16_t NextPacketId();

  uint16_t port_;
  int fd_ = -1;
  int version_ = 4;
  std::string client_id_;
  std::string in_;
  std::deque<MqttMessage> inbox_;
  std::map<uint16_t, int> acks_;  // packet id → reason code
  std::optional<int> connack_;
  bool session_present_ = false;
  bool auto_ack_ = true;
  int pings_ = 0;
  int disconnect_reason_ = -1;
  uint16_t last_packet_id_ = 0;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_MQTT_CLIENT_H_
