#include "tests/check/story.h"

#include <algorithm>

namespace parley::check {

namespace {

constexpr int64_t kTime = 1764000000000;

std::string BodyOf(const std::string& id) { return "\"text of " + id + "\""; }

// What came to a client, in contrast to what it did.
bool IsShown(const Event& event) {
  return event.kind == EventKind::kGot || event.kind == EventKind::kAnswer ||
         event.kind == EventKind::kOutcome || event.kind == EventKind::kTold ||
         event.kind == EventKind::kAcked;
}

constexpr Line kNoLine = 0;

}  // namespace

Shown Between2(const std::string& from, const std::string& to, const std::string& id) {
  Shown message;
  message.type = "message";
  message.id = id;
  message.from = from;
  message.to = to;
  message.ts_ms = kTime;
  message.body = BodyOf(id);
  return message;
}

Shown InGroup(const std::string& from, const std::string& group, uint64_t gseq,
              const std::string& id) {
  Shown message = Between2(from, "", id);
  message.group = group;
  message.gseq = gseq;
  return message;
}

Shown SystemIn(const std::string& from, const std::string& group, uint64_t gseq,
               const std::string& body) {
  Shown message = InGroup(from, group, gseq, "system" + std::to_string(gseq));
  message.type = "system";
  message.body = body;
  return message;
}

Shown At(uint64_t seq, Shown message) {
  message.seq = seq;
  return message;
}

Story& Story::Add(Event event) {
  event.at_us = static_cast<int64_t>(events_.size());
  events_.push_back(std::move(event));
  return *this;
}

Story& Story::Up(const std::string& device, bool acks) {
  return Add({.kind = EventKind::kUp, .device = device, .acks = acks});
}

Story& Story::Down(const std::string& device) {
  return Add({.kind = EventKind::kDown, .device = device});
}

Story& Story::Sub(const std::string& device, const std::string& topic, int granted) {
  return Add({.kind = EventKind::kSub, .device = device, .topic = topic, .granted = granted});
}

Story& Story::Send(const std::string& device, const std::string& topic, const std::string& id) {
  return Add({.kind = EventKind::kSend,
              .device = device,
              .topic = topic,
              .id = id,
              .type = "message",
              .body = BodyOf(id)});
}

Story& Story::SendText(const std::string& device, const std::string& topic, const std::string& as) {
  Send(device, topic, as);
  events_.back().id.clear();
  return *this;
}

Story& Story::Live(const std::string& device, const Shown& message) {
  return Add({.kind = EventKind::kGot,
              .device = device,
              .topic = "chat/" + std::string(UserOf(device)),
              .messages = {message}});
}

Story& Story::LiveIn(const std::string& device, const Shown& message) {
  Live(device, message);
  events_.back().topic = "group/" + message.group;
  return *this;
}

Story& Story::Outcome(const std::string& device, const std::string& id, const std::string& code,
                      uint64_t seq) {
  return Add({.kind = EventKind::kOutcome, .device = device, .id = id, .code = code, .seq = seq});
}

Story& Story::Receipt(const std::string& device, uint64_t delivered) {
  return Add({.kind = EventKind::kReceipt, .device = device, .delivered = delivered});
}

Story& Story::Told(const std::string& device, const std::string& by, uint64_t delivered) {
  return Add({.kind = EventKind::kTold, .device = device, .delivered = delivered, .by = by});
}

Event Story::Ask(const std::string& device, const std::string& method) {
  return {
      .kind = EventKind::kAsk, .device = device, .rid = std::to_string(++rids_), .method = method};
}

Story& Story::Sync(const std::string& device, uint64_t after, uint64_t head,
                   std::initializer_list<Shown> messages, bool more) {
  Event ask = Ask(device, "sync");
  ask.after = after;
  Add(ask);
  ask.kind = EventKind::kAnswer;
  ask.after.reset();
  ask.head = head;
  ask.more = more;
  ask.messages = messages;
  return Add(ask);
}

Story& Story::SyncGroup(const std::string& device, const std::string& group, uint64_t head,
                        std::initializer_list<Shown> messages) {
  Sync(device, 0, head, messages);
  events_[events_.size() - 2].group = events_.back().group = group;
  return *this;
}

Story& Story::History(const std::string& device, const std::string& with,
                      std::initializer_list<Shown> messages, uint64_t delivered) {
  Event ask = Ask(device, "history");
  ask.with = with;
  ask.after = 0;
  Add(ask);
  ask.kind = EventKind::kAnswer;
  ask.with.clear();
  ask.after.reset();
  ask.messages = messages;
  ask.delivered = delivered;
  return Add(ask);
}

Story& Story::Overview(const std::string& device, const std::string& method, uint64_t head,
                       std::initializer_list<Shown> messages, bool more) {
  Event ask = Ask(device, method);
  Add(ask);
  ask.kind = EventKind::kAnswer;
  if (head > 0) ask.head = head;
  ask.more = more;
  ask.messages = messages;
  return Add(ask);
}

Story& Story::Change(const std::string& device, const std::string& method, const std::string& group,
                     const std::string& user, uint64_t head, std::vector<std::string> members) {
  Event ask = Ask(device, method);
  ask.group = group;
  ask.user = user;
  Add(ask);
  ask.kind = EventKind::kAnswer;
  ask.user.clear();
  if (head > 0) ask.head = head;
  if (head > 0) ask.members = std::move(members);
  return Add(ask);
}

Story& Story::Placed(const std::string& device, uint64_t delivered) {
  Event ask = Ask(device, "devices.list");
  Add(ask);
  ask.kind = EventKind::kAnswer;
  ask.delivered = delivered;
  return Add(ask);
}

Story& Story::Reading() { return Add({.kind = EventKind::kReading}); }

Story& Story::Read(const std::string& user, std::initializer_list<Shown> messages) {
  return Up(user + ":reader").Sync(user + ":reader", 0, messages.size(), messages);
}

Story& Story::End() { return Add({.kind = EventKind::kEnd}); }

// Each event as it would come from a file.
Verdict Story::CheckSome(const std::set<Line>& shown) const {
  Checker checker({.plain = plain_});
  Line line = 1;
  for (const Event& event : events_) {
    ++line;
    if (!shown.empty() && IsShown(event) && shown.count(line) == 0) continue;
    checker.Take(*DecodeEvent(EncodeEvent(event)), line);
  }
  return checker.Finish();
}

size_t Story::Breaks(std::string_view rule) const {
  const Verdict verdict = Check();
  const auto found =
      std::find_if(verdict.violations().begin(), verdict.violations().end(),
                   [&](const Violation& violation) { return violation.rule == rule; });
  if (found == verdict.violations().end()) return 0;
  std::set<Line> cited = {kNoLine};
  for (const Cited& event : found->events) cited.insert(event.line);
  if (CheckSome(cited).counts().count(rule) == 0) return 0;
  for (const Cited& event : found->events) {
    if (!IsShown(events_.at(event.line - 2))) continue;
    std::set<Line> fewer = cited;
    fewer.erase(event.line);
    if (CheckSome(fewer).counts().count(rule) > 0) return 0;
  }
  return found->events.size();
}

std::string Text(const Verdict& verdict) {
  std::string text;
  for (const Violation& violation : verdict.violations()) {
    text += std::string(violation.rule) + ": " + violation.what + "\n";
    for (const Cited& event : violation.events) {
      text += "  line " + std::to_string(event.line) + ": " + event.says + "\n";
    }
  }
  return text;
}

}  // namespace parley::check
