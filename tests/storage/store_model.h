// What a MessageStore must answer, worked out the plain way: all entries in vectors, every read a
// filter over them. And random steps that become valid transactions: numbers without gaps,
// references to what is there.
#ifndef PARLEY_TESTS_STORAGE_STORE_MODEL_H_
#define PARLEY_TESTS_STORAGE_STORE_MODEL_H_

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/message_store.h"
#include "storage/record.h"

namespace parley {

inline bool operator==(const LogEntry& a, const LogEntry& b) {
  return a.seq == b.seq && a.peer_seq == b.peer_seq && a.message == b.message;
}

class StoreModel {
 public:
  explicit StoreModel(std::set<UserId> mine) : mine_(std::move(mine)) {}

  bool Mine(const UserId& user) const { return mine_.contains(user); }
  const std::vector<LogEntry>& Log(const UserId& user) const {
    static const std::vector<LogEntry> kNone;
    auto log = logs_.find(user);
    return log == logs_.end() ? kNone : log->second;
  }

  void Apply(const Record& record) { std::visit(*this, record); }

  void operator()(const MessageRecord& message) {
    if (Mine(message.from)) {
      logs_[message.from].push_back({message.from_seq, message.to_seq, message});
    }
    if (Mine(message.to) && message.to != message.from) {
      logs_[message.to].push_back({message.to_seq, message.from_seq, message});
    }
  }
  void operator()(const DeviceCursorRecord& cursor) {
    if (Mine(cursor.user)) devices_[cursor.user][cursor.device.str()] = cursor;
  }
  void operator()(const MarksRecord& marks) {
    if (Mine(marks.user)) marks_[marks.user] = marks;
  }
  void operator()(const PeerMarksRecord& marks) {
    if (!Mine(marks.user)) return;
    PeerMarks& known = peer_marks_[{marks.user, marks.peer}];
    if (marks.delivered != Seq()) known.delivered = marks.delivered;
    if (marks.read != Seq()) known.read = marks.read;
  }

  static UserId PeerIn(const LogEntry& entry, const UserId& user) {
    return entry.message.from == user ? entry.message.to : entry.message.from;
  }
  std::vector<LogEntry> Conversation(const UserId& user, const UserId& peer) const {
    std::vector<LogEntry> entries;
    for (const LogEntry& entry : Log(user)) {
      if (PeerIn(entry, user) == peer) entries.push_back(entry);
    }
    return entries;
  }

  static LogPage PageOf(std::vector<LogEntry> entries, const Page& page) {
    std::erase_if(entries, [&](const LogEntry& entry) {
      return entry.seq <= page.after || entry.seq >= page.before;
    });
    if (page.descending) std::reverse(entries.begin(), entries.end());
    size_t fit = 0, bytes = 0;
    while (fit < entries.size() && fit < page.limit) {
      bytes += entries[fit].message.body.size();
      if (fit > 0 && bytes > page.bytes_max) break;
      ++fit;
    }
    bool more = fit < entries.size();
    entries.resize(fit);
    return {entries, more};
  }

  LogTail Tail(const UserId& user) const {
    LogTail tail;
    tail.floor = Seq(1);
    if (!Log(user).empty()) tail.last = Log(user).back().seq;
    if (auto marks = marks_.find(user); marks != marks_.end()) {
      tail.delivered = marks->second.delivered;
      tail.read = marks->second.read;
    }
    return tail;
  }

  std::vector<LogEntry> Referring(const UserId& user, Seq target) const {
    std::vector<LogEntry> entries;
    for (const LogEntry& entry : Log(user)) {
      const MessageRecord& message = entry.message;
      if (message.type == MessageType::kMessage || !message.ref) continue;
      Seq refers = message.from == user ? message.ref->from_seq : message.ref->to_seq;
      if (refers == target && refers != Seq()) entries.push_back(entry);
    }
    return entries;
  }

  std::vector<std::pair<UserId, Seq>> Conversations(const UserId& user, Seq before,
                                                    size_t limit) const {
    std::map<UserId, Seq> last;
    for (const LogEntry& entry : Log(user)) last[PeerIn(entry, user)] = entry.seq;
    std::vector<std::pair<UserId, Seq>> all(last.begin(), last.end());
    std::erase_if(all, [&](const auto& one) { return one.second >= before; });
    std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.second > b.second; });
    if (all.size() > limit) all.resize(limit);
    return all;
  }

  uint64_t Unread(const UserId& user, const UserId& peer, Seq read, uint64_t max) const {
    uint64_t unread = 0;
    for (const LogEntry& entry : Conversation(user, peer)) {
      if (entry.seq > read && entry.message.from != user) ++unread;
    }
    return std::min(unread, max);
  }

  std::vector<LogEntry> Sent(const UserId& user, size_t limit) const {
    std::vector<LogEntry> sent;
    for (const LogEntry& entry : Log(user)) {
      if (entry.message.from == user) sent.push_back(entry);
    }
    std::reverse(sent.begin(), sent.end());
    if (sent.size() > limit) sent.resize(limit);
    return sent;
  }

  Seq SentAs(const UserId& user, const std::string& id) const {
    for (const LogEntry& entry : Sent(user, SIZE_MAX)) {
      if (entry.message.id == id) return entry.seq;
    }
    return Seq();
  }

  PeerMarks MarksOf(const UserId& user, const UserId& peer) const {
    auto marks = peer_marks_.find({user, peer});
    return marks == peer_marks_.end() ? PeerMarks() : marks->second;
  }

  std::vector<DeviceCursorRecord> Devices(const UserId& user) const {
    std::vector<DeviceCursorRecord> devices;
    auto known = devices_.find(user);
    if (known == devices_.end()) return devices;
    for (const auto& [id, cursor] : known->second) devices.push_back(cursor);
    return devices;
  }

 private:
  std::set<UserId> mine_;
  std::map<UserId, std::vector<LogEntry>> logs_;
  std::map<UserId, MarksRecord> marks_;
  std::map<std::pair<UserId, UserId>, PeerMarks> peer_marks_;
  std::map<UserId, std::map<std::string, DeviceCursorRecord>> devices_;
};

// One random change; what its numbers mean depends on its kind and on what is there.
struct Step {
  enum Kind { kMessage, kReferring, kCursor, kMarks, kPeerMarks };
  Kind kind = kMessage;
  size_t user = 0;
  size_t peer = 0;
  uint64_t number = 0;
  size_t body_bytes = 0;
};

// Turns steps into transactions as the engine would number them, also for users that are in
// another store.
class StepNumberer {
 public:
  explicit StepNumberer(std::vector<UserId> users) : users_(std::move(users)) {}

  Transaction Next(const Step& step) {
    const UserId& user = users_[step.user % users_.size()];
    const UserId& peer = users_[step.peer % users_.size()];
    lsn_ = lsn_.Next();
    switch (step.kind) {
      case Step::kMessage:
      case Step::kReferring:
        return {lsn_, {Message(step, user, peer)}};
      case Step::kCursor:
        return {lsn_, {Cursor(step, user)}};
      case Step::kMarks:
        return {lsn_, {Grow(&marks_[user], user, step.number)}};
      case Step::kPeerMarks:
        return {lsn_, {KnownOf(step, user, peer), Marks(user, step.number)}};
    }
    return {lsn_, {}};
  }

 private:
  Record Message(const Step& step, const UserId& from, const UserId& to) {
    MessageRecord message;
    message.from = from;
    message.to = to;
    message.from_seq = last_[from] = last_[from].Next();
    message.to_seq = from == to ? message.from_seq : (last_[to] = last_[to].Next());
    message.ts_ms = static_cast<int64_t>(lsn_.value());
    message.id = std::to_string(step.number % 50);  // sent again now and then
    message.body = std::string(step.body_bytes, 'b');
    message.content_hash = step.number * 0x9e3779b97f4a7c15;
    std::vector<MessageRecord>& said = said_[std::minmax(from, to)];
    if (step.kind == Step::kReferring && !said.empty()) {
      Refer(said[step.number % said.size()], step.number, &message);
    }
    said.push_back(message);
    return message;
  }

  // Refers to `target` by any of the types, also a plain reply.
  static void Refer(const MessageRecord& target, uint64_t number, MessageRecord* message) {
    bool same_way = target.from == message->from;
    message->type = static_cast<MessageType>(number / 7 % 4);
    message->ref = MessageRef{target.from, target.id, same_way ? target.from_seq : target.to_seq,
                              same_way ? target.to_seq : target.from_seq};
  }

  Record Cursor(const Step& step, const UserId& user) {
    DeviceId device(user.str() + (step.peer % 2 == 0 ? ":phone" : ":phone2"));
    Seq& delivered = cursors_[{user, device}];
    delivered = Seq(delivered.value() + step.number % 5);
    return DeviceCursorRecord{user, device, delivered, static_cast<int64_t>(step.number)};
  }
  Record Marks(const UserId& user, uint64_t by) { return Grow(&marks_[user], user, by); }
  static Record Grow(PeerMarks* marks, const UserId& user, uint64_t by) {
    marks->delivered = Seq(marks->delivered.value() + by % 3);
    marks->read = Seq(marks->read.value() + by % 2);
    return MarksRecord{user, marks->delivered, marks->read};
  }
  Record KnownOf(const Step& step, const UserId& user, const UserId& peer) {
    PeerMarks& known = peer_marks_[{user, peer}];
    known.delivered = Seq(known.delivered.value() + step.number % 4);
    known.read = Seq(known.read.value() + step.number % 3);
    return PeerMarksRecord{user, peer, step.number % 2 ? known.delivered : Seq(),
                           step.number % 5 ? known.read : Seq(), 7};
  }

  std::vector<UserId> users_;
  Lsn lsn_;
  std::map<UserId, Seq> last_;
  std::map<std::pair<UserId, UserId>, std::vector<MessageRecord>> said_;
  std::map<std::pair<UserId, DeviceId>, Seq> cursors_;
  std::map<UserId, PeerMarks> marks_;
  std::map<std::pair<UserId, UserId>, PeerMarks> peer_marks_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_STORE_MODEL_H_
