// What a chat application does, on top of MqttClient, and a broker with accounts to do it with.
// Everything here is the wire as a client sees it; nothing of Parley's own code is used.
#ifndef PARLEY_TESTS_E2E_DEVICE_H_
#define PARLEY_TESTS_E2E_DEVICE_H_

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/e2e/broker.h"
#include "tests/e2e/mqtt_client.h"

namespace parley::e2e {

using Json = nlohmann::json;

struct DeviceOptions {
  std::string name = "phone";  // the client id is <user>:<name>
  int version = 4;
  int qos = 1;  // of its subscriptions
  bool clean = true;
  uint32_t session_expiry_s = 0;
  std::optional<MqttWill> will = {};
  std::string source_address = {};
};

// One device of a user. Waiting calls throw as MqttClient's do, and also for an answer of another
// shape than asked for.
class Device : public MqttClient {
 public:
  Device(uint16_t port, std::string user, std::string password, DeviceOptions options = {});

  // Connects and returns when the server has answered a request: a CONNACK may come before the
  // password is verified. A right password may be refused for a moment while the server is busy
  // with others, so this tries again; tests about refusals use TryLogin or Connect.
  void Login();
  // The same once; false if the server refuses, by CONNACK or by closing instead of an answer.
  bool TryLogin();
  // Subscribes to the user's messages and receipts.
  void Listen();
  void ListenTo(const std::string& topic);

  const std::string& user() const { return user_; }
  const std::string& password() const { return password_; }
  const DeviceOptions& options() const { return options_; }
  MqttConnect ConnectOptions() const;
  std::string inbox() const { return "chat/" + user_; }
  std::string answers() const { return "answer/" + client_id(); }

  // Sends a body with an id of its own and returns this device's copy: from then on the message is
  // stored.
  Json Say(const std::string& peer, const Json& body);
  // Sends a payload as it is and returns what came for it: the own copy or, where it was refused,
  // the error. `id` is the one in the payload, or empty if the server makes one; then nothing else
  // may be on its way here.
  std::string Send(const std::string& peer, std::string_view payload, const std::string& id,
                   const MqttPublish& options = {});
  // The same to a group. The own copy comes where the group's messages come: here or on group/<id>.
  Json SayIn(const std::string& group, const Json& body);
  std::string SendIn(const std::string& group, std::string_view payload, const std::string& id,
                     const MqttPublish& options = {});
  // The next message of a group, wherever it comes, and the next that isn't a system message.
  std::string ReceiveTextIn(const std::string& group);
  Json ReceiveIn(const std::string& group);
  // The next system message of a group that tells of `event`.
  Json AwaitEvent(const std::string& group, const std::string& event);
  // The next message in the inbox, as text and parsed.
  std::string ReceiveText();
  Json Receive() { return Json::parse(ReceiveText()); }
  // The next message from somebody else.
  Json ReceiveFrom(const std::string& sender);

  // An answer with its rid taken off.
  Json Ask(const std::string& method, Json members = Json::object());
  // The same, which must be ok.
  Json AskDone(const std::string& method, Json members = Json::object());
  // The answer as it came, rid and all.
  std::string AskText(const std::string& method, Json members = Json::object());
  // Asks without waiting and returns the rid; AwaitAnswer waits for its answer.
  std::string StartAsk(const std::string& method, Json members = Json::object());
  std::string AwaitAnswer(const std::string& rid);
  // The next error that is not the answer to an ask.
  Json NextError();
  // The next outcome that is not the answer to an ask: an error or {"ok":true,...}.
  Json NextOutcome();

  void SendReceipt(const Json& receipt);
  Json NextReceipt();
  // Reads receipts until one says that `by` has `kind` ("delivered" or "read") up to `seq` or
  // beyond.
  Json AwaitReceipt(const std::string& by, const std::string& kind, uint64_t seq);

  // Sends a message to itself and waits for it: all that the server had to do before has then come,
  // whoever caused it. Returns what had arrived on any topic and was not taken yet; the marker
  // itself takes one number of the user's log.
  std::vector<MqttMessage> ArrivedByNow();
  // The same by a request, which takes no number: all that came of what the engine did before it.
  std::vector<MqttMessage> ArrivedByAnswer();

 private:
  std::string FreshId();

  std::string user_;
  std::string password_;
  DeviceOptions options_;
  int last_id_ = 0;
};

// True if a client with these options gets in: it is accepted and its request is answered.
bool GetsIn(uint16_t port, const MqttConnect& options);

// A running broker with the plugin and accounts to take. One for each test file, so that a start is
// paid once; each test takes users that nobody has used.
class ChatServer : public Broker {
 public:
  // Makes `count` accounts for each first name before the start.
  explicit ChatServer(BrokerConfig config = {}, int count = 30);

  // An unused account whose id starts with `name`: one of the prepared names (alice, bob, carol,
  // mallory) or a new one.
  std::string NewUser(const std::string& name);
  static std::string PasswordOf(const std::string& user) { return "password of " + user; }

  // A device that is logged in and listens.
  Device Open(const std::string& user, DeviceOptions options = {}) const;
  // A device that is only logged in.
  Device OpenDeaf(const std::string& user, DeviceOptions options = {}) const;
  // One that is not connected.
  Device Offline(const std::string& user, DeviceOptions options = {}) const;

 private:
  int count_;
  std::map<std::string, int> taken_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_DEVICE_H_
