#include "tests/check/rules.h"

namespace parley::check {

void OrderRule::Finish(bool /*complete*/) {
  for (const UserLog& log : book_->logs()) {
    std::vector<Entry> entries;
    for (size_t n = 0; n < log.places.size(); ++n) {
      const Place& place = log.places[n];
      if (place.line != 0) entries.push_back({place.message, n + 1, place.line});
    }
    CheckLog(log.id + "'s log", entries);
    CheckGroupsIn(log);
  }
  for (const auto& [id, group] : book_->groups()) {
    std::vector<Entry> entries;
    for (size_t n = 0; n < group.messages.size(); ++n) {
      const uint32_t message = group.messages[n];
      if (message == kNoMessage) continue;
      entries.push_back({message, n + 1, book_->message(message).line});
    }
    CheckLog("group " + id, entries);
  }
}

// From the end, with what was shown earliest of all that stands behind.
void OrderRule::CheckLog(const std::string& log, const std::vector<Entry>& entries) {
  const Entry* earliest = nullptr;
  for (auto at = entries.rbegin(); at != entries.rend(); ++at) {
    const Message& message = book_->message(at->message);
    if (earliest != nullptr && message.sent != 0) {
      const Line shown = book_->message(earliest->message).line;
      if (shown < message.sent) {
        const std::string later = book_->Name(earliest->message);
        verdict_->Add(
            rule::kOrder,
            log + " has " + book_->Name(at->message) + " before " + later +
                ", after which it was sent",
            {{shown, later + " is shown"},
             {message.sent, "then " + book_->Name(at->message) + " is sent first"},
             {at->line, "its number in " + log + " is " + std::to_string(at->number)},
             {earliest->line, later + "'s number there is " + std::to_string(earliest->number)}});
      }
    }
    if (earliest == nullptr || message.line < book_->message(earliest->message).line) {
      earliest = &*at;
    }
  }
}

// In a member's log a group's messages stand in the group's own order.
void OrderRule::CheckGroupsIn(const UserLog& log) {
  std::map<std::string, std::pair<uint64_t, Line>> last;
  for (const Place& place : log.places) {
    if (place.line == 0) continue;
    const Shown& shown = book_->message(place.message).shown;
    if (shown.group.empty()) continue;
    auto& [gseq, line] = last[shown.group];
    if (shown.gseq < gseq) {
      verdict_->Add(rule::kOrder,
                    log.id + "'s log has group " + shown.group + "'s number " +
                        std::to_string(shown.gseq) + " behind " + std::to_string(gseq),
                    {{line, "one stands before"}, {place.line, "one behind"}});
    }
    gseq = shown.gseq;
    line = place.line;
  }
}

}  // namespace parley::check
