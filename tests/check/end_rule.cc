#include "tests/check/rules.h"

namespace parley::check {

namespace {

std::string Number(uint64_t n) { return std::to_string(n); }

}  // namespace

void EndRule::Finish(bool complete) {
  for (const auto& [key, send] : book_->sends()) CheckTold(key.first, key.second, send);
  if (!complete) return;
  CheckLogs();
  for (uint32_t n = 0; n < book_->messages().size(); ++n) CheckBothSides(n);
  for (const auto& [key, send] : book_->sends()) CheckSend(key.first, key.second, send);
}

// What was shown under a number is there at the end.
void EndRule::CheckLogs() {
  for (const UserLog& log : book_->logs()) {
    if (!log.read_whole) continue;
    for (size_t n = 0; n < log.places.size(); ++n) {
      const Place& place = log.places[n];
      if (place.line == 0 || place.read != 0) continue;
      verdict_->Add(rule::kLost,
                    book_->Name(place.message) + " is not in " + log.id + "'s log at the end",
                    {{place.line, "is " + log.id + "'s number " + Number(n + 1)},
                     {log.read_line, log.id + "'s log ends without it"}});
    }
  }
}

// A message between two is in both logs, or in none.
void EndRule::CheckBothSides(uint32_t message) {
  const Shown shown = book_->message(message).shown;
  if (!shown.group.empty()) return;
  CheckIn(message, shown.from);
  if (shown.to != shown.from) CheckIn(message, shown.to);
}

void EndRule::CheckIn(uint32_t index, const std::string& user) {
  const UserIndex who = book_->User(user);
  const Message& message = book_->message(index);
  const UserLog& log = book_->log(who);
  if (!log.read_whole || message.NumberOf(who) > 0) return;
  verdict_->Add(rule::kLost, book_->Name(index) + " is not in " + user + "'s log",
                {{message.line, "is shown"}, {log.read_line, user + "'s log ends without it"}});
}

// The number that an outcome named is the message's.
void EndRule::CheckTold(const std::string& user, const std::string& id, const Send& send) {
  const auto index = book_->Find(user, id);
  if (!index) return;
  const UserIndex who = book_->User(user);
  const Message& message = book_->message(*index);
  const uint64_t seq = message.NumberOf(who);
  if (send.told.first != 0 && seq != 0 && seq != send.told.first) {
    verdict_->Add(rule::kRenumbered, book_->Name(*index) + " was told under another number",
                  {{send.told.second, "is told to be number " + Number(send.told.first)},
                   {book_->log(who).places[seq - 1].line, "is number " + Number(seq)}});
  }
  if (send.told_gseq.first != 0 && message.shown.gseq != send.told_gseq.first) {
    verdict_->Add(rule::kRenumbered, book_->Name(*index) + " was told under another number",
                  {{send.told_gseq.second, "is told to be " + Number(send.told_gseq.first)},
                   {message.line, "is " + Number(message.shown.gseq)}});
  }
}

void EndRule::CheckSend(const std::string& user, const std::string& id, const Send& send) {
  const auto index = book_->Find(user, id);
  // A refusal of the last try says what became of those before.
  const bool answered = !send.refusals.empty() && send.refusals.back() > send.last_line;
  const bool refused = send.refusals.size() >= send.times;
  if (send.stored == 0 && !answered && !refused) {
    verdict_->Add(rule::kUnanswered, user + "'s message " + id + " has no outcome",
                  {{send.last_line, "is sent, and nothing comes of it"}});
  } else if (send.stored == 0 && refused && index) {
    CheckRefused(send, *index);
  } else if (send.stored != 0 && !index && book_->log(book_->User(user)).read_whole) {
    verdict_->Add(rule::kLost, user + "'s message " + id + " is in no log",
                  {{send.stored, "is told to be stored"},
                   {book_->log(book_->User(user)).read_line, user + "'s log ends without it"}});
  }
}

void EndRule::CheckRefused(const Send& send, uint32_t index) {
  std::vector<Cited> events;
  for (const Line line : send.refusals) events.push_back({line, "is refused"});
  events.push_back({book_->message(index).line, "is shown"});
  verdict_->Add(rule::kRefused, book_->Name(index) + " was refused and is shown", events);
}

}  // namespace parley::check
