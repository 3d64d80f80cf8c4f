// Histories for the checker's tests, told event by event.
#ifndef PARLEY_TESTS_CHECK_STORY_H_
#define PARLEY_TESTS_CHECK_STORY_H_

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "tests/check/checker.h"
#include "tests/check/history.h"

namespace parley::check {

// A message between two, and one in a group, as somebody is shown it; At(seq) gives the number.
Shown Between2(const std::string& from, const std::string& to, const std::string& id);
Shown InGroup(const std::string& from, const std::string& group, uint64_t gseq,
              const std::string& id);
Shown SystemIn(const std::string& from, const std::string& group, uint64_t gseq,
               const std::string& body);
Shown At(uint64_t seq, Shown message);

class Story {
 public:
  Story() = default;

  Story& Up(const std::string& device, bool acks = false);
  Story& Down(const std::string& device);
  Story& Sub(const std::string& device, const std::string& topic, int granted);
  // The message with its body "text of <id>", which the Shown of that id have, too.
  Story& Send(const std::string& device, const std::string& topic, const std::string& id);
  // One without an id, whose body is that of message `as`.
  Story& SendText(const std::string& device, const std::string& topic, const std::string& as);
  Story& Live(const std::string& device, const Shown& message);
  Story& LiveIn(const std::string& device, const Shown& message);  // on group/<id>
  Story& Outcome(const std::string& device, const std::string& id, const std::string& code,
                 uint64_t seq = 0);
  Story& Receipt(const std::string& device, uint64_t delivered);
  Story& Told(const std::string& device, const std::string& by, uint64_t delivered);
  // An ask and its answer.
  Story& Sync(const std::string& device, uint64_t after, uint64_t head,
              std::initializer_list<Shown> messages, bool more = false);
  Story& SyncGroup(const std::string& device, const std::string& group, uint64_t head,
                   std::initializer_list<Shown> messages);
  Story& History(const std::string& device, const std::string& with,
                 std::initializer_list<Shown> messages, uint64_t delivered = 0);
  // recent or conversations.
  Story& Overview(const std::string& device, const std::string& method, uint64_t head,
                  std::initializer_list<Shown> messages, bool more = false);
  Story& Change(const std::string& device, const std::string& method, const std::string& group,
                const std::string& user, uint64_t head, std::vector<std::string> members);
  Story& Placed(const std::string& device, uint64_t delivered);
  Story& Reading();
  // A user's whole log, which begins with number 1.
  Story& Read(const std::string& user, std::initializer_list<Shown> messages);
  Story& End();

  Story& Add(Event event);
  const std::vector<Event>& events() const { return events_; }
  void set_plain() { plain_ = true; }

  Verdict Check() const { return CheckSome({}); }
  // The number of events that the first violation of `rule` cites, if these alone, with what the
  // clients did themselves, break the rule, and if none of them can be spared; else 0.
  size_t Breaks(std::string_view rule) const;

 private:
  Event Ask(const std::string& device, const std::string& method);
  // Without those of what clients were shown that aren't in `shown`; empty: with all.
  Verdict CheckSome(const std::set<Line>& shown) const;

  bool plain_ = false;
  std::vector<Event> events_;
  uint64_t rids_ = 0;
};

// What a test prints of a verdict.
std::string Text(const Verdict& verdict);

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_STORY_H_
