// A device of a chat user: connects, subscribes, sends, asks and confirms, and records all of it
// and all that it is shown. What to do when is the workload's business.
//
// One thread. ChatEvents come from within Links::Turn and the calls that write.
#ifndef PARLEY_TESTS_CHECK_CHAT_DEVICE_H_
#define PARLEY_TESTS_CHECK_CHAT_DEVICE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/check/history.h"
#include "tests/check/link.h"
#include "tests/check/recorder.h"

namespace parley::check {

using Json = nlohmann::json;

struct DeviceProfile {
  std::string name;     // the client id is <user>:<name>
  bool v5 = false;      // MQTT 5
  bool clean = true;    // else the broker keeps its session
  bool listens = true;  // subscribes to its user's messages; else it hears of outcomes alone
  bool acks = false;    // confirms with receipts
  int qos = 1;          // of its subscriptions
};

// A message on its way. payload is what is published; the rest says what it holds.
struct Outgoing {
  std::string topic;
  std::string payload;
  std::string id;
  std::string type = "message";
  std::string body;  // JSON text
  std::string ref;   // from/id
  int qos = 1;
};

class ChatDevice;

class ChatEvents {
 public:
  virtual ~ChatEvents() = default;
  virtual void OnShown(ChatDevice* device, const Shown& message) = 0;
  // Of a message with an id: stored, or the error's code.
  virtual void OnOutcome(ChatDevice* device, const std::string& id, const std::string& code) = 0;
  virtual void OnAnswer(ChatDevice* device, const Event& ask, const Event& answer) = 0;
};

class ChatDevice : public LinkEvents {
 public:
  ChatDevice(std::string user, std::string secret, DeviceProfile profile, Address address,
             Recorder* recorder, ChatEvents* events);

  void Return();
  void Leave(bool cleanly);
  // Between turns: forgets a connection that has ended, gives up one that doesn't come about.
  void Sweep();

  bool away() const { return link_ == nullptr; }
  // Connected, and all its subscriptions are granted.
  bool ready() const { return up_ && !closed_ && waiting_.empty(); }
  Link* link() const { return link_.get(); }
  uint64_t connection() const { return connection_; }
  const std::string& user() const { return user_; }
  const std::string& client_id() const { return client_id_; }
  const DeviceProfile& profile() const { return profile_; }
  // It has its log through here, 0 where it has nothing.
  uint64_t through() const { return through_; }

  void Send(const Outgoing& message);
  std::string Ask(const std::string& method, Json members = Json::object());
  bool asking() const { return !asked_.empty(); }
  void Subscribe(const std::string& topic);
  // Confirms all that it has.
  void Confirm(bool read);
  void ConfirmGroup(const std::string& group, uint64_t gseq);

  void OnConnected(bool kept) override;
  void OnClosed() override;
  void OnGranted(int packet, int granted) override;
  void OnAcked(int packet) override;
  void OnMessage(const std::string& topic, std::string_view payload) override;

 private:
  Event Make(EventKind kind) const;
  void TakeMessage(const std::string& topic, const Json& payload);
  void TakeTold(const Json& payload);
  void TakeAnswer(const Json& payload);
  void TakeOutcome(const Json& payload);

  const std::string user_;
  const std::string secret_;
  const DeviceProfile profile_;
  const std::string client_id_;
  const Address address_;
  Recorder* const recorder_;
  ChatEvents* const events_;

  std::unique_ptr<Link> link_;
  bool up_ = false;
  bool closed_ = false;
  Clock::time_point opened_at_;
  uint64_t connection_ = 0;
  std::map<int, std::string> waiting_;  // subscriptions, by packet
  std::map<std::string, Event> asked_;  // by rid
  uint64_t asks_ = 0;
  uint64_t sends_ = 0;
  uint64_t through_ = 0;
  uint64_t confirmed_ = 0;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_CHAT_DEVICE_H_
