#include "tests/check/rules.h"

namespace parley::check {

namespace {

std::string Number(uint64_t n) { return std::to_string(n); }

uint64_t NumberOf(const Event& ask, const Shown& message) {
  return ask.group.empty() ? message.seq : message.gseq;
}

std::string LogName(const Event& ask) {
  return ask.group.empty() ? std::string(UserOf(ask.device)) + "'s log" : "group " + ask.group;
}

constexpr size_t kRecentTalks = 5;  // `recent` shows no more

// Of a user's log.
std::string Conversation(const std::string& user, const Shown& message) {
  if (!message.group.empty()) return "group/" + message.group;
  return message.from == user ? message.to : message.from;
}

}  // namespace

void PageRule::Take(const Event& event, Line line) {
  if (event.kind == EventKind::kDown) {
    // Asks die with their connection.
    auto at = asked_.lower_bound({event.device, ""});
    while (at != asked_.end() && at->first.first == event.device) at = asked_.erase(at);
  } else if (event.kind == EventKind::kAsk) {
    const UserLog& log = book_->log(book_->User(UserOf(event.device)));
    asked_[{event.device, event.rid}] = {event, line, log.highest, log.highest_line};
  } else if (event.kind == EventKind::kAnswer) {
    Answer(event, line);
  } else if (event.kind == EventKind::kReading) {
    reading_ = line;
  }
}

void PageRule::Answer(const Event& answer, Line line) {
  const auto found = asked_.find({answer.device, answer.rid});
  if (found == asked_.end()) return;
  const Asked asked = std::move(found->second);
  asked_.erase(found);
  if (!answer.code.empty()) return;
  CheckEpoch(answer, line);
  if (answer.method == "sync") {
    if (asked.ask.group.empty()) {
      CheckSync(asked, answer, line);
    } else {
      CheckGroupSync(asked, answer, line);
    }
  } else if (answer.method == "history") {
    CheckHistory(asked, answer, line);
  } else if (answer.method == "recent") {
    CheckHead(asked, answer, line);
    CheckOverview(asked, answer, line);
  } else if (answer.method == "conversations") {
    CheckOverview(asked, answer, line);
  }
}

void PageRule::CheckEpoch(const Event& answer, Line line) {
  if (answer.epoch.empty()) return;
  if (epoch_.first.empty()) epoch_ = {answer.epoch, line};
  if (epoch_.first == answer.epoch) return;
  verdict_->Add(rule::kStale, "the log's epoch has changed",
                {{epoch_.second, "it is " + epoch_.first}, {line, "it is " + answer.epoch}});
}

void PageRule::CheckHead(const Asked& asked, const Event& answer, Line line) {
  const uint64_t head = answer.head.value_or(0);
  if (head >= asked.highest) return;
  verdict_->Add(
      rule::kStale,
      LogName(asked.ask) + " ends at " + Number(head) + " after it had " + Number(asked.highest),
      {{asked.highest_line, "number " + Number(asked.highest) + " is shown"},
       {asked.line, "then " + answer.method + " is asked"},
       {line, "its head is " + Number(head)}});
}

void PageRule::CheckSync(const Asked& asked, const Event& answer, Line line) {
  CheckHead(asked, answer, line);
  const uint64_t head = answer.head.value_or(0);
  uint64_t last = asked.ask.after.value_or(0);
  for (const Shown& message : answer.messages) {
    if (message.seq != last + 1) {
      verdict_->Add(rule::kGap,
                    LogName(asked.ask) + " has " + Number(message.seq) + " after " + Number(last),
                    {{line, "a page of it does"}});
    }
    last = message.seq;
  }
  if (!answer.more && last < head) {
    verdict_->Add(rule::kGap,
                  LogName(asked.ask) + " has nothing after " + Number(last) + " and its head is " +
                      Number(head),
                  {{line, "a page says both"}});
  }
  if (book_->reading()) ReadOn(asked, answer, line);
}

// The reading of a whole log, page after page.
void PageRule::ReadOn(const Asked& asked, const Event& answer, Line line) {
  UserLog& log = book_->log(book_->User(UserOf(answer.device)));
  if (log.read_whole || asked.ask.after.value_or(0) != log.read_through) return;
  if (!answer.messages.empty()) log.read_through = answer.messages.back().seq;
  log.read_line = line;
  log.read_whole = !answer.more;
}

// Members see the stretches in which they were in: what a jump leaves out is judged by GroupRule,
// by what the others have. Within the page the numbers grow.
void PageRule::CheckGroupSync(const Asked& asked, const Event& answer, Line line) {
  const UserIndex user = book_->User(UserOf(answer.device));
  GroupLog& group = book_->Group(asked.ask.group);
  uint64_t last = asked.ask.after.value_or(0);
  for (const Shown& message : answer.messages) {
    if (message.gseq <= last) {
      verdict_->Add(rule::kOrder, LogName(asked.ask) + " isn't in order", {{line, "a page of it"}});
    } else if (message.gseq > last + 1) {
      group.jumps.push_back({user, last, message.gseq, line});
    }
    last = message.gseq;
  }
  const uint64_t head = answer.head.value_or(0);
  if (!answer.more && last < head) group.jumps.push_back({user, last, head + 1, line});
}

void PageRule::CheckHistory(const Asked& asked, const Event& answer, Line line) {
  const bool forward = asked.ask.after.has_value();
  uint64_t first = asked.ask.after.value_or(0) + 1;  // of what it covers
  uint64_t last = asked.ask.before.value_or(UINT64_MAX) - 1;
  std::set<uint64_t> has;
  uint64_t before = 0;
  for (const Shown& message : answer.messages) {
    const uint64_t number = NumberOf(asked.ask, message);
    if (before != 0 && (number > before) != forward) {
      verdict_->Add(rule::kOrder, "a page of history isn't in order", {{line, "it"}});
    }
    has.insert(before = number);
  }
  if (answer.more && before != 0) (forward ? last : first) = before;
  const UserIndex user = book_->User(UserOf(answer.device));
  if (asked.ask.group.empty()) {
    const UserLog& log = book_->log(user);
    const auto known = log.conversations.find(asked.ask.with);
    if (known == log.conversations.end()) return;
    for (auto at = known->second.lower_bound(first); at != known->second.end() && *at <= last;
         ++at) {
      const Line shown = log.places[*at - 1].line;
      if (shown < asked.line && has.count(*at) == 0) Missing(asked, *at, shown, line);
    }
    return;
  }
  GroupLog& group = book_->Group(asked.ask.group);
  const std::vector<Line>& seen = group.seen[user];
  for (uint64_t at = first; at <= last && at <= seen.size(); ++at) {
    const Line shown = seen[at - 1];
    if (shown == 0 || shown >= asked.line || has.count(at) > 0) continue;
    if (!book_->message(group.messages[at - 1]).is_folded_away()) Missing(asked, at, shown, line);
  }
}

// The newest of the user's log by conversations, those with the newest first: of one that is listed
// all from the oldest that it shows; one that isn't has nothing newer than those that are.
void PageRule::CheckOverview(const Asked& asked, const Event& answer, Line line) {
  if (asked.ask.before) return;
  struct Listed {
    uint64_t oldest = UINT64_MAX;
    uint64_t newest = 0;
  };
  const UserLog& log = book_->log(book_->User(UserOf(answer.device)));
  std::map<std::string, Listed> listed;
  std::set<uint64_t> has;
  for (const Shown& message : answer.messages) {
    Listed& talk = listed[Conversation(log.id, message)];
    talk.oldest = std::min(talk.oldest, message.seq);
    talk.newest = std::max(talk.newest, message.seq);
    has.insert(message.seq);
  }
  const bool some = answer.method == "recent" ? listed.size() >= kRecentTalks : answer.more;
  uint64_t unlisted = some ? UINT64_MAX : 0;  // what isn't listed may have up to here
  for (const auto& [name, talk] : listed) unlisted = std::min(unlisted, talk.newest);
  for (uint64_t seq = 1; seq <= log.places.size(); ++seq) {
    const Place& place = log.places[seq - 1];
    if (place.line == 0 || place.line >= asked.line || has.count(seq) > 0) continue;
    const auto talk = listed.find(Conversation(log.id, book_->message(place.message).shown));
    if (seq > (talk == listed.end() ? unlisted : talk->second.oldest)) {
      Missing(asked, seq, place.line, line);
    }
  }
}

void PageRule::Missing(const Asked& asked, uint64_t number, Line shown, Line line) {
  verdict_->Add(rule::kStale,
                "an answer to " + asked.ask.method + " lacks " + LogName(asked.ask) + "'s number " +
                    Number(number),
                {{shown, "number " + Number(number) + " is shown"},
                 {asked.line, "then " + asked.ask.method + " is asked"},
                 {line, "the answer hasn't got it"}});
}

void PageRule::Finish(bool complete) {
  if (!complete || !book_->reading()) return;
  for (const UserLog& log : book_->logs()) {
    if (log.read_whole) continue;
    verdict_->Add(rule::kUnreadable,
                  log.id + "'s log couldn't be read further than number " +
                      Number(log.read_through) + " at the end",
                  {{reading_, "all logs are read from here"}});
  }
}

}  // namespace parley::check
