// What users were shown, and what must therefore hold from then on. It knows the protocol and
// nothing of Parley's inside.
//
// Checked with everything that is shown:
// - a number of a user's log, or of a group, means one message for ever, the same for all devices
//   and members, live, in sync, history and after any crash;
// - a message has one number in a log;
// - what was refused each time that it was tried, or was sent with an id that was taken, is
// nowhere;
// - receipts don't go back, and don't tell of what nobody confirmed.
//
// Checked once all logs were read whole (Check):
// - they have no gaps and all that was ever shown or acknowledged;
// - a message is in the logs of both sides or in none, and what two users said to each other is in
//   the same order in both logs;
// - what a user sent once stands in the order in which it was sent;
// - each member has exactly those of a group's messages that came while it was in, and the roster
//   has the members and roles that the group's own messages tell of.
#ifndef PARLEY_TESTS_SIM_ORACLE_H_
#define PARLEY_TESTS_SIM_ORACLE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/trace.h"

namespace parley::sim {

// A message as somebody wants to send it, once or again and again.
struct Message {
  int token = 0;  // stands in its id or body
  std::string from;
  std::string to;  // or
  std::string group;
  std::string type;
  std::string id;  // empty: the server makes one
  std::string payload;
  int attempts = 0;
  uint64_t first_tried = 0;  // orders them
  int refusals = 0;
  bool accepted = false;  // stored, says an answer

  std::string topic() const { return group.empty() ? "chat/" + to : "group/" + group; }
};

// One place in a user's log.
struct Entry {
  std::string text;  // without its number
  int token = 0;     // 0: a system message
  std::string from;
  std::string to;
  std::string group;
  uint64_t gseq = 0;
  std::string type;
  std::string id;
};

class Oracle {
 public:
  using json = nlohmann::json;

  // ---- What users do
  Message& NewMessage(const std::string& from);
  Message& message(int token) { return messages_.at(static_cast<size_t>(token - 1)); }
  // One of the user's with an id; null: it has none. `among` picks.
  Message* WithId(const std::string& from, uint64_t among);
  void Tried(Message& message) {
    if (++message.attempts == 1) message.first_tried = ++tried_;
  }
  // How many messages were tried by now: first_tried of the latest.
  uint64_t tried() const { return tried_; }
  // One of the user's own that it sent more than once: it may come again.
  bool WasResent(const std::string& user, const json& message);
  void Confirmed(const std::string& user, uint64_t seq);

  // ---- What they are shown
  // A message under its number in the user's log; returns that.
  uint64_t Shown(const std::string& user, json message);
  void ShownInGroup(const std::string& user, json message);
  void ShownInGroupPage(const std::string& user, const json& message);
  void Answered(const std::string& user, const json& answer);  // to a message that was sent
  // The user asked to leave the group, or somebody to remove it; whether that came to be or not.
  void MayHaveLeft(const std::string& user, const std::string& group);
  void ShownReceipt(const std::string& user, const json& receipt);
  void ShownCursor(const std::string& device, uint64_t delivered);

  // The highest number that was shown.
  uint64_t Head(const std::string& user) const;
  uint64_t GroupHead(const std::string& group) const;
  const std::map<uint64_t, Entry>& LogOf(const std::string& user) { return logs_[user]; }
  uint64_t Cursor(const std::string& device) { return cursors_[device]; }
  // What the user was told of the peer's receipts.
  uint64_t Mark(const std::string& user, const std::string& by, const char* what);

  // ---- When all was read
  // A group as the roster has it, to one of its members; all of a user's groups.
  void ShownGroup(const json& group);
  void ShownGroups(const std::string& user, const json& groups);
  void Check(const std::vector<std::string>& users);
  // A power cut under durability interval: the last entries of logs may be gone. What is shown from
  // now on must agree with what was shown before, as far as the logs go.
  void Forget();

 private:
  struct Membership {
    std::map<std::string, std::vector<std::pair<uint64_t, uint64_t>>> spans;  // 0: still
    std::map<std::string, std::string> roles;  // of those that are in
    std::set<uint64_t> in_inboxes;             // numbers that are copied to members
    bool inbox = true;
    bool Sees(const std::string& user, uint64_t gseq) const;
    void Enter(const std::string& user, uint64_t gseq, const std::string& role);
    void Leave(const std::string& user, uint64_t gseq);
    void Take(uint64_t gseq, const json& message);
  };

  [[noreturn]] static void Fail(const std::string& what) { throw Violation{what}; }
  int TokenOf(const json& message);
  void ToGroup(const std::string& group, uint64_t gseq, const std::string& text);
  void CheckLog(const std::string& user);
  void CheckMessage(const Message& message);
  void CheckPair(const std::string& one, const std::string& other);
  void CheckOrder(const std::string& user);
  void CheckGroups(const std::vector<std::string>& users);
  void CheckRoster(const std::string& group, const Membership& membership,
                   const std::vector<std::string>& users);
  void CheckMembers(const std::string& group, const Membership& membership,
                    const std::vector<std::string>& users);

  uint64_t tried_ = 0;
  std::deque<Message> messages_;
  std::map<std::string, std::vector<int>> sent_by_;
  std::map<std::string, std::map<uint64_t, Entry>> logs_;
  std::map<std::string, std::map<int, uint64_t>> places_;          // user → token → number
  std::map<std::string, std::map<uint64_t, std::string>> groups_;  // by gseq
  std::map<std::string, std::map<std::string, std::set<uint64_t>>> seen_in_group_;  // group → user
  std::map<std::string, std::map<std::string, std::set<uint64_t>>>
      unnumbered_;                                              // … in pages, without `seq`
  std::map<std::string, std::set<std::string>> may_have_left_;  // group → users
  std::map<std::string, json> rosters_;                         // since the last Check
  std::map<std::string, std::map<std::string, json>> lists_;    // user → group, the same
  std::map<std::string, std::map<uint64_t, Entry>> before_;     // logs, before Forget
  std::map<std::string, uint64_t> confirmed_;
  std::map<std::string, uint64_t> marks_;
  std::map<std::string, uint64_t> cursors_;
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_ORACLE_H_
