// Stands for Mosquitto and the plugin: sessions, what comes in from devices, what is published to
// them. The network between a device and the broker keeps the order of packets and nothing else:
// they wait for any time, and are lost with the connection.
#ifndef PARLEY_TESTS_SIM_BROKER_H_
#define PARLEY_TESTS_SIM_BROKER_H_

#include <deque>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/oracle.h"
#include "tests/sim/server.h"

namespace parley::sim {

struct Packet {
  std::string topic;
  std::string payload;
  int token = 0;          // of the message that it sends; 0: none
  uint64_t confirms = 0;  // as a receipt
};

struct Phone {
  std::string user;
  std::string name;       // its client id
  bool gateway = false;   // takes pushes; nobody's phone
  bool confirms = false;  // sends receipts
  SessionId session = 0;  // 0: not connected
  bool inbox = false;
  std::set<std::string> groups;
  std::deque<Packet> up;
  // What came on chat/<user>, in this subscription.
  bool started = false;
  uint64_t last = 0;
  bool may_jump = false;  // subscribed again: what was on its way for the time before still comes
  uint64_t confirmed_max = 0;  // the highest number that it ever confirmed
  std::map<std::string, uint64_t> last_of_group;
};

// A request that waits for its answer.
struct Question {
  std::string user;
  std::string method;
  nlohmann::json request;
  uint64_t head = 0;        // what was shown of the user's log when it was asked
  uint64_t group_head = 0;  // and of the group's
  uint64_t delivered = 0;   // and what it knew of its peer's receipts
  uint64_t read = 0;
};

class Broker {
 public:
  using json = nlohmann::json;

  Broker(Server* server, Oracle* oracle, Trace* trace, Dice* random);

  Phone& AddPhone(const std::string& user, const std::string& name, bool confirms);
  std::deque<Phone>& phones() { return phones_; }

  void Connect(Phone& phone);
  void Disconnect(Phone& phone);
  void Subscribe(Phone& phone);  // to its inbox and receipts
  void Unsubscribe(Phone& phone);
  void SubscribeGroup(Phone& phone, const std::string& group);
  void SubscribePushes(Phone& gateway);
  void Publish(Phone& phone, Packet packet);
  // Returns the request's id.
  std::string Ask(Phone& phone, const std::string& method, json request);
  // The answer to one, once it is there; asked for once.
  std::optional<json> TakeAnswer(const std::string& rid);

  // A gateway is given a push job, or a refusal.
  std::function<void(Phone& gateway, const json& job)> on_push;

  // Some packets come in, some effects go out. False: there was nothing.
  bool Turn(size_t effects_max);
  // The server is gone, and with it all connections.
  void Died();
  // Whether the journal has refused something since this was last asked.
  bool TakeJournalRefused() { return std::exchange(journal_refused_, false); }

 private:
  [[noreturn]] static void Fail(const std::string& what) { throw Violation{what}; }
  Phone* Find(SessionId session);
  bool Receive(Phone& phone);
  void Deliver(const Effect& effect);
  void DeliverFanout(const Effect& effect);
  void InboxMessage(Phone& phone, const json& message);
  void GroupMessage(Phone& phone, const json& message);
  void AnswerTo(Phone& phone, const json& answer);
  void CheckAnswer(const Question& question, const json& answer);
  void CheckSync(const Question& question, const json& answer);
  void CheckGroupSync(const Question& question, const json& answer);
  void CheckHistory(const Question& question, const json& answer);
  void CheckRecent(const Question& question, const json& answer);
  void CheckConversations(const Question& question, const json& answer);

  Server* const server_;
  Oracle* const oracle_;
  Trace* const trace_;
  Dice* const random_;
  std::deque<Phone> phones_;
  std::map<SessionId, Phone*> sessions_;
  SessionId last_session_ = 0;
  uint64_t last_rid_ = 0;
  std::map<std::string, Question> questions_;
  std::map<std::string, json> answers_;
  std::vector<Effect> taken_;
  bool journal_refused_ = false;
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_BROKER_H_
