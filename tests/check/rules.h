// What a chat promises (PROTOCOL in docs/topics.md, README), as rules on a history. Each is given
// every event in order, after the book has taken it in, and looks at the whole at the end.
//
// Pure; one thread. A violation cites the fewest events that contradict each other.
#ifndef PARLEY_TESTS_CHECK_RULES_H_
#define PARLEY_TESTS_CHECK_RULES_H_

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/check/book.h"
#include "tests/check/history.h"
#include "tests/check/verdict.h"

namespace parley::check {

class Rule {
 public:
  virtual ~Rule() = default;
  virtual void Take(const Event& /*event*/, Line /*line*/) {}
  // complete: the history has its end, so that what was stored must have been read.
  virtual void Finish(bool /*complete*/) {}
};

// Live: on each connection number after number, without a gap; a device that confirms gets what
// follows its last confirmation. The copy of a message that was sent again may come out of turn.
// Once all is settled, a device that listens has all that its user was shown. Only topics that are
// the device's own.
class LiveRule : public Rule {
 public:
  LiveRule(Book* book, Verdict* verdict) : book_(book), verdict_(verdict) {}
  void Take(const Event& event, Line line) override;

 private:
  struct Device {
    bool acks = false;
    bool kept = false;
    bool listens = false;
    Line placed = 0;       // the server said that it has its place in the log
    uint64_t through = 0;  // it has everything up to here; 0: it starts live
    Line through_line = 0;
    uint64_t last = 0;  // on this connection, in turn
    Line last_line = 0;
  };

  void Got(const Event& event, Line line);
  void TakeInTurn(const Event& event, Device* device, Line line);
  void CheckDelivered(Line line);
  static bool MayCome(const Event& event);

  Book* const book_;
  Verdict* const verdict_;
  std::map<std::string, Device> devices_;
};

// Pages: what was shown before somebody asked is in the answer; no number is left out; one epoch.
class PageRule : public Rule {
 public:
  PageRule(Book* book, Verdict* verdict) : book_(book), verdict_(verdict) {}
  void Take(const Event& event, Line line) override;
  void Finish(bool complete) override;

 private:
  struct Asked {
    Event ask;
    Line line = 0;
    uint64_t highest = 0;  // of the asker's log, when it asked
    Line highest_line = 0;
  };

  void Answer(const Event& answer, Line line);
  void CheckHead(const Asked& asked, const Event& answer, Line line);
  void CheckOverview(const Asked& asked, const Event& answer, Line line);
  void CheckSync(const Asked& asked, const Event& answer, Line line);
  void CheckHistory(const Asked& asked, const Event& answer, Line line);
  void CheckEpoch(const Event& answer, Line line);
  void CheckGroupSync(const Asked& asked, const Event& answer, Line line);
  void ReadOn(const Asked& asked, const Event& answer, Line line);
  void Missing(const Asked& asked, uint64_t number, Line shown, Line line);

  Book* const book_;
  Verdict* const verdict_;
  std::map<std::pair<std::string, std::string>, Asked> asked_;  // by device and rid
  std::pair<std::string, Line> epoch_;
  Line reading_ = 0;
};

// Receipts: nobody is told of more than was confirmed before, nor of less than it was told before.
class ReceiptRule : public Rule {
 public:
  ReceiptRule(Book* book, Verdict* verdict) : book_(book), verdict_(verdict) {}
  void Take(const Event& event, Line line) override;
  void Finish(bool complete) override;

 private:
  struct Mark {
    uint64_t number = 0;
    Line line = 0;
  };
  struct Confirmed {
    Mark delivered;
    Mark read;
  };
  // Somebody was told how far another has got.
  struct Told {
    UserIndex user;
    UserIndex by;
    std::string group;
    uint64_t number;
    Line line;
    Mark confirmed;  // by the other until then, in its own numbers or, `in_group`, the group's
    Mark in_group;
    const char* kind;
  };
  // Somebody was told of less than before.
  struct Backward {
    std::string group;
    std::string what;
    Mark before;
    Mark now;
  };
  using Pair = std::tuple<std::string, std::string, std::string>;  // device or user, by, group

  void Confirms(const Event& receipt, Line line);
  void TakeTold(const Event& told, Line line);
  void Ask(const Event& ask, Line line);
  void Answer(const Event& answer, Line line);
  void AddTold(UserIndex user, const std::string& by, const std::string& group,
               const Confirmed& told);
  void Check(const Told& told, bool complete);
  bool HasSwitched(const std::string& group);
  void CheckBackward(const Backward& told);
  void CheckKind(const Told& told, uint32_t message, bool complete);

  Book* const book_;
  Verdict* const verdict_;
  std::map<UserIndex, Confirmed> confirmed_;
  std::map<std::pair<UserIndex, std::string>, Confirmed> confirmed_in_groups_;
  std::vector<Told> told_;
  std::vector<Backward> backward_;
  std::map<Pair, Confirmed> told_devices_;
  std::map<Pair, Confirmed> told_users_;
  // Of asks of history: the peer, and what the asker had been told by then.
  std::map<std::pair<std::string, std::string>, std::tuple<std::string, Line, Confirmed>> asked_;
};

// Groups: the system messages say who was in when; members and only they are shown what was said
// meanwhile; answers about members agree with it.
class GroupRule : public Rule {
 public:
  GroupRule(Book* book, Verdict* verdict) : book_(book), verdict_(verdict) {}
  void Take(const Event& event, Line line) override;
  void Finish(bool complete) override;

 private:
  struct Stretch {
    uint64_t first = 0;
    uint64_t last = 0;  // 0: it is in
    bool Has(uint64_t gseq) const { return gseq >= first && (last == 0 || gseq <= last); }
  };
  struct Story {
    std::map<std::string, std::vector<Stretch>> members;
    std::vector<bool> inbox;  // by gseq: it was copied into the members' logs
    bool all = false;         // members may see what was said before they came
  };
  struct Change {
    Event ask;
    Event answer;
    Line line = 0;
  };

  Story Tell(const GroupLog& group) const;
  static void Apply(const Shown& message, Story* story, bool* inbox);
  static void Enter(const std::string& user, uint64_t gseq, Story* story);
  static void Leave(const std::string& user, uint64_t gseq, Story* story);
  // Whether it is a member once that number is told; whether it may see it, as it may also the one
  // that puts it out; the last number with which it had gone before.
  static bool IsIn(const Story& story, const std::string& user, uint64_t gseq);
  static bool MaySee(const Story& story, const std::string& user, uint64_t gseq);
  static uint64_t GoneAt(const Story& story, const std::string& user, uint64_t gseq);

  void CheckSeen(const GroupLog& group, const Story& story);
  void CheckJumps(const GroupLog& group, const Story& story);
  void CheckInboxes(const GroupLog& group, const Story& story);
  void CheckChange(const Change& change);
  void CheckLeft(const Change& change, const Story& story);
  bool Holds(const Change& change, const Story& story, uint64_t head) const;

  Book* const book_;
  Verdict* const verdict_;
  std::map<std::pair<std::string, std::string>, Event> asked_;
  std::vector<Change> changes_;
  std::map<std::string, Story> stories_;
  std::map<std::pair<std::string, std::string>, uint64_t> left_;  // by group and user: told so
};

// The end: what was shown or acknowledged is in every log that it belongs in; what was refused is
// in none; every message with an id has an outcome.
class EndRule : public Rule {
 public:
  EndRule(Book* book, Verdict* verdict) : book_(book), verdict_(verdict) {}
  void Finish(bool complete) override;

 private:
  void CheckLogs();
  void CheckBothSides(uint32_t message);
  void CheckIn(uint32_t message, const std::string& user);
  void CheckSend(const std::string& user, const std::string& id, const Send& send);
  void CheckTold(const std::string& user, const std::string& id, const Send& send);
  void CheckRefused(const Send& send, uint32_t message);

  Book* const book_;
  Verdict* const verdict_;
};

// Order: what was first sent after another had been shown to anybody stands behind it in every log
// that has both, so that nobody sees an answer before what it answers.
class OrderRule : public Rule {
 public:
  OrderRule(Book* book, Verdict* verdict) : book_(book), verdict_(verdict) {}
  void Finish(bool complete) override;

 private:
  // A message in a log, and the line that shows its place there.
  struct Entry {
    uint32_t message;
    uint64_t number;
    Line line;
  };
  void CheckLog(const std::string& log, const std::vector<Entry>& entries);
  void CheckGroupsIn(const UserLog& log);

  Book* const book_;
  Verdict* const verdict_;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_RULES_H_
