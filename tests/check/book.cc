#include "tests/check/book.h"

#include <algorithm>

namespace parley::check {

namespace {

std::string TopicOf(const Shown& shown) {
  return shown.group.empty() ? "chat/" + shown.to : "group/" + shown.group;
}

std::string Number(uint64_t n) { return std::to_string(n); }

}  // namespace

uint64_t Message::NumberOf(UserIndex user) const {
  for (const auto& [who, seq] : numbers) {
    if (who == user) return seq;
  }
  return 0;
}

UserIndex Book::User(std::string_view id) {
  const auto known = users_.find(id);
  if (known != users_.end()) return known->second;
  const auto index = static_cast<UserIndex>(logs_.size());
  logs_.push_back({.id = std::string(id)});
  users_.emplace(id, index);
  return index;
}

GroupLog& Book::Group(const std::string& id) {
  GroupLog& group = groups_[id];
  group.id = id;
  return group;
}

std::string Book::Name(uint32_t message) const {
  const Shown& shown = messages_[message].shown;
  return shown.from + "'s message " + shown.id +
         (shown.group.empty() ? " to " + shown.to
                              : " in " + shown.group + " (" + Number(shown.gseq) + ")");
}

void Book::Sent(const Event& event, Line line) {
  const std::string user(UserOf(event.device));
  auto& sends = event.id.empty() ? sends_without_id_ : sends_;
  Send& send = sends[{user, event.id.empty() ? event.body : event.id}];
  if (send.times++ == 0) {
    send.line = line;
    send.topic = event.topic;
    send.type = event.type;
    send.ref = event.ref;
  }
  send.last_line = line;
  if (std::find(send.bodies.begin(), send.bodies.end(), event.body) == send.bodies.end()) {
    send.bodies.push_back(event.body);
  }
}

Send* Book::FindSend(const std::string& user, const std::string& id) {
  const auto found = sends_.find({user, id});
  return found == sends_.end() ? nullptr : &found->second;
}

std::optional<uint32_t> Book::Find(const std::string& from, const std::string& id) const {
  const auto found = by_id_.find(from + ' ' + id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second;
}

Send* Book::SendOf(const Shown& shown) {
  if (Send* send = FindSend(shown.from, shown.id)) return send;
  const auto found = sends_without_id_.find({shown.from, shown.body});
  return found == sends_without_id_.end() ? nullptr : &found->second;
}

uint32_t Book::Saw(UserIndex user, const Shown& shown, Line line, bool sync) {
  ++shown_;
  const uint32_t message = Identify(shown, line);
  CheckMaySee(user, message, line);
  if (!shown.group.empty()) PutInGroup(user, message, shown, line);
  if (shown.seq > 0) Put(user, message, shown.seq, line, sync);
  if (!reading_ && shown.from == logs_[user].id) {
    if (Send* send = FindSend(shown.from, shown.id); send && send->stored == 0) send->stored = line;
  }
  return message;
}

uint32_t Book::Identify(const Shown& shown, Line line) {
  const auto [found, first] = by_id_.emplace(shown.from + ' ' + shown.id, messages_.size());
  if (first) return Enter(shown, line);
  CheckSame(found->second, shown, line);
  return found->second;
}

uint32_t Book::Enter(const Shown& shown, Line line) {
  Message message;
  message.shown = shown;
  message.shown.seq = 0;
  message.line = line;
  messages_.push_back(std::move(message));
  if (shown.type != "system") CheckSent(shown, line, &messages_.back());
  return static_cast<uint32_t>(messages_.size() - 1);
}

// It is what its sender sent, and not a second message of one send without an id.
void Book::CheckSent(const Shown& shown, Line line, Message* message) {
  Send* send = SendOf(shown);
  const std::string name = shown.from + "'s message " + shown.id;
  if (send == nullptr) {
    // An edited body can't be looked up.
    if (shown.folded) return;
    return verdict_->Add(rule::kPhantom, name + " was never sent", {{line, "is shown"}});
  }
  message->sent = send->line;
  const bool same_body = shown.folded || std::find(send->bodies.begin(), send->bodies.end(),
                                                   shown.body) != send->bodies.end();
  if (!same_body || send->topic != TopicOf(shown) || send->type != shown.type ||
      send->ref != shown.ref) {
    verdict_->Add(rule::kPhantom, name + " is shown as another than was sent",
                  {{send->line, "is sent"}, {line, "is shown otherwise"}});
  }
  if (FindSend(shown.from, shown.id) != nullptr) return;
  if (send->stored_id.empty()) {
    send->stored_id = shown.id;
  } else if (send->times == 1) {
    const Message& other = messages_[by_id_.at(shown.from + ' ' + send->stored_id)];
    verdict_->Add(rule::kDoubled,
                  shown.from + " sent one message, and there are two: " + send->stored_id +
                      " and " + shown.id,
                  {{send->line, "is sent once"},
                   {other.line, "is shown as " + send->stored_id},
                   {line, "is shown as " + shown.id}});
  }
}

void Book::CheckSame(uint32_t index, const Shown& shown, Line line) {
  Message& message = messages_[index];
  Shown& before = message.shown;
  const bool same = before.type == shown.type && before.to == shown.to &&
                    before.group == shown.group && before.gseq == shown.gseq &&
                    before.ts_ms == shown.ts_ms && before.ref == shown.ref &&
                    (before.folded || shown.folded || before.body == shown.body);
  if (!same) {
    return verdict_->Add(rule::kDiffers, Name(index) + " is shown with two contents",
                         {{message.line, "is shown"}, {line, "is shown otherwise"}});
  }
  if (!before.folded || shown.folded) return;
  before.body = shown.body;
  before.folded = false;
  if (!message.is_system() && message.sent == 0) CheckSent(shown, line, &message);
}

void Book::Put(UserIndex user, uint32_t index, uint64_t seq, Line line, bool sync) {
  UserLog& log = logs_[user];
  if (log.places.size() < seq) log.places.resize(seq);
  Place& place = log.places[seq - 1];
  const std::string number = log.id + "'s number " + Number(seq);
  if (place.line != 0 && place.message != index) {
    return verdict_->Add(rule::kRenumbered, number + " is two messages",
                         {{place.line, number + " is " + Name(place.message)},
                          {line, number + " is " + Name(index)}});
  }
  Message& message = messages_[index];
  const uint64_t known = message.NumberOf(user);
  if (known != 0 && known != seq) {
    return verdict_->Add(
        rule::kDoubled, Name(index) + " has two numbers in " + log.id + "'s log",
        {{log.places[known - 1].line, "is " + log.id + "'s number " + Number(known)},
         {line, "is " + number}});
  }
  if (place.line == 0) {
    place = {index, line, 0};
    message.numbers.emplace_back(user, seq);
    if (message.shown.group.empty() && !message.is_folded_away()) {
      const Shown& shown = message.shown;
      log.conversations[shown.from == log.id ? shown.to : shown.from].insert(seq);
    }
  }
  if (sync && reading_ && place.read == 0) place.read = line;
  if (seq > log.highest) {
    log.highest = seq;
    log.highest_line = line;
  }
}

void Book::PutInGroup(UserIndex user, uint32_t index, const Shown& shown, Line line) {
  GroupLog& group = Group(shown.group);
  if (shown.gseq == 0) {
    return verdict_->Add(rule::kPhantom, Name(index) + " has no number of the group's",
                         {{line, "is shown so"}});
  }
  if (group.messages.size() < shown.gseq) group.messages.resize(shown.gseq, kNoMessage);
  uint32_t& known = group.messages[shown.gseq - 1];
  if (known == kNoMessage) known = index;
  if (known != index) {
    const std::string number = group.id + "'s number " + Number(shown.gseq);
    return verdict_->Add(rule::kRenumbered, number + " is two messages",
                         {{messages_[known].line, number + " is " + Name(known)},
                          {line, number + " is " + Name(index)}});
  }
  std::vector<Line>& seen = group.seen[user];
  if (seen.size() < shown.gseq) seen.resize(shown.gseq, 0);
  if (seen[shown.gseq - 1] == 0) seen[shown.gseq - 1] = line;
}

// Of a group's messages that is known when all who came and went are (GroupRules).
void Book::CheckMaySee(UserIndex user, uint32_t index, Line line) {
  const Shown& shown = messages_[index].shown;
  if (!shown.group.empty()) return;
  const std::string& reader = logs_[user].id;
  if (reader == shown.from || reader == shown.to) return;
  verdict_->Add(rule::kIntruder, reader + " is shown " + Name(index), {{line, "is shown"}});
}

void Book::Outcome(UserIndex user, const Event& outcome, Line line) {
  Send* send = FindSend(logs_[user].id, outcome.id);
  if (send == nullptr) return;
  // A conflict says that the first one is stored, or on its way.
  if (outcome.code == "conflict") return;
  if (!outcome.code.empty()) {
    send->refusals.push_back(line);
    return;
  }
  if (send->stored == 0) send->stored = line;
  if (outcome.seq > 0) send->told = {outcome.seq, line};
  if (outcome.gseq > 0) send->told_gseq = {outcome.gseq, line};
}

}  // namespace parley::check
