// What is known of a chat's messages as a history is gone through: which there are, who was shown
// them under which number and where, who sent them. The rules ask it.
//
// A message is one sender and id. Pure; one thread.
#ifndef PARLEY_TESTS_CHECK_BOOK_H_
#define PARLEY_TESTS_CHECK_BOOK_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/check/history.h"
#include "tests/check/verdict.h"

namespace parley::check {

// A line of the history; 0: none.
using Line = uint64_t;

using UserIndex = uint32_t;

struct Message {
  Shown shown;  // as it was shown first; not its `seq`
  Line line = 0;
  Line sent = 0;  // its first send; 0: a system message, or nobody's
  // Its number in the logs of those who were shown it.
  std::vector<std::pair<UserIndex, uint64_t>> numbers = {};

  uint64_t NumberOf(UserIndex user) const;  // 0: none
  bool is_system() const { return shown.type == "system"; }
  // Folded into the one that it refers to, where history is read.
  bool is_folded_away() const {
    return shown.type == "edit" || shown.type == "retract" || shown.type == "reaction";
  }
};

// A number of a user's log.
struct Place {
  uint32_t message = 0;
  Line line = 0;  // shown first; 0: never
  Line read = 0;  // by sync while all logs were read; 0: not
};

struct UserLog {
  std::string id;
  std::vector<Place> places = {};  // by number, the first is 1
  uint64_t highest = 0;            // shown, and where
  Line highest_line = 0;
  // Of the reading at the end.
  uint64_t read_through = 0;
  bool read_whole = false;
  Line read_line = 0;
  // Numbers of what history shows, by peer.
  std::map<std::string, std::set<uint64_t>> conversations = {};
};

// A reader's page of a group, or its end, that leaves numbers out.
struct Jump {
  UserIndex user;
  uint64_t after;  // the last one before, and
  uint64_t next;   // the first one after it
  Line line;
};

struct GroupLog {
  std::string id;
  std::vector<uint32_t> messages;  // by gseq, the first is 1; kNoMessage
  // Who was shown what, and where first: by user, by gseq; 0: not.
  std::map<UserIndex, std::vector<Line>> seen;
  std::vector<Jump> jumps;
};

inline constexpr uint32_t kNoMessage = UINT32_MAX;

// A message that somebody sent, whether it was stored or not.
struct Send {
  Line line = 0;       // the first time
  Line last_line = 0;  // the last time
  std::string topic = {};
  std::string type = {};
  std::string ref = {};
  std::vector<std::string> bodies = {};
  uint64_t times = 0;
  Line stored = 0;  // its sender was shown it, or was told so
  std::vector<Line> refusals = {};
  // The number that an outcome named, of the sender's log or the group's, and where.
  std::pair<uint64_t, Line> told = {};
  std::pair<uint64_t, Line> told_gseq = {};
  std::string stored_id = {};  // the server's, where the sender gave none
};

class Book {
 public:
  explicit Book(Verdict* verdict) : verdict_(verdict) {}

  UserIndex User(std::string_view id);
  UserLog& log(UserIndex user) { return logs_[user]; }
  std::vector<UserLog>& logs() { return logs_; }
  GroupLog& Group(const std::string& id);
  std::map<std::string, GroupLog>& groups() { return groups_; }
  const Message& message(uint32_t index) const { return messages_[index]; }
  const std::vector<Message>& messages() const { return messages_; }
  std::map<std::pair<std::string, std::string>, Send>& sends() { return sends_; }
  uint64_t shown() const { return shown_; }

  // From now on logs are read whole.
  void Reading() { reading_ = true; }
  bool reading() const { return reading_; }

  void Sent(const Event& send, Line line);
  // The user was shown a message; checks it against all that was shown before. `sync`: by a page
  // of the user's own log.
  uint32_t Saw(UserIndex user, const Shown& shown, Line line, bool sync);
  // The user was told that its message has this number.
  void Outcome(UserIndex user, const Event& outcome, Line line);
  std::optional<uint32_t> Find(const std::string& from, const std::string& id) const;
  Send* FindSend(const std::string& user, const std::string& id);

  // "bob's message 7f3a to alice".
  std::string Name(uint32_t message) const;

 private:
  uint32_t Identify(const Shown& shown, Line line);
  uint32_t Enter(const Shown& shown, Line line);
  void CheckSent(const Shown& shown, Line line, Message* message);
  Send* SendOf(const Shown& shown);
  void CheckSame(uint32_t message, const Shown& shown, Line line);
  void Put(UserIndex user, uint32_t message, uint64_t seq, Line line, bool sync);
  void PutInGroup(UserIndex user, uint32_t message, const Shown& shown, Line line);
  void CheckMaySee(UserIndex user, uint32_t message, Line line);

  Verdict* const verdict_;
  bool reading_ = false;
  uint64_t shown_ = 0;
  std::map<std::string, UserIndex, std::less<>> users_;
  std::vector<UserLog> logs_;
  std::map<std::string, GroupLog> groups_;
  std::vector<Message> messages_;
  std::unordered_map<std::string, uint32_t> by_id_;                       // "from id"
  std::map<std::pair<std::string, std::string>, Send> sends_;             // by user and id
  std::map<std::pair<std::string, std::string>, Send> sends_without_id_;  // by user and body
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_BOOK_H_
