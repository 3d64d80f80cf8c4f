// What a MessageStore must answer, worked out the plain way: all entries in vectors, every read a
// filter over them. And random steps that become valid transactions: numbers without gaps,
// references to what is there.
#ifndef PARLEY_TESTS_STORAGE_STORE_MODEL_H_
#define PARLEY_TESTS_STORAGE_STORE_MODEL_H_

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/message_store.h"
#include "storage/record.h"

namespace parley {

inline bool operator==(const LogEntry& a, const LogEntry& b) {
  return a.seq == b.seq && a.peer_seq == b.peer_seq && a.message == b.message &&
         a.group == b.group && a.gseq == b.gseq && a.lsn == b.lsn;
}
inline bool operator==(const SentId& a, const SentId& b) {
  return a.lsn == b.lsn && a.seq == b.seq && a.id == b.id && a.content_hash == b.content_hash &&
         a.group == b.group && a.gseq == b.gseq;
}
inline bool operator==(const SentPlace& a, const SentPlace& b) {
  return a.seq == b.seq && a.group == b.group && a.gseq == b.gseq;
}
inline bool operator==(const Conversation& a, const Conversation& b) {
  return a.peer == b.peer && a.group == b.group && a.last == b.last;
}
inline bool operator==(const GroupMark& a, const GroupMark& b) {
  return a.user == b.user && a.delivered == b.delivered && a.read == b.read && a.ts_ms == b.ts_ms;
}

class StoreModel {
 public:
  using Owners = std::set<std::string, std::less<>>;

  // Of users and groups, by id.
  explicit StoreModel(Owners mine) : mine_(std::move(mine)) {}

  bool Mine(std::string_view owner) const { return mine_.contains(owner); }
  const std::vector<LogEntry>& Log(const UserId& user) const { return Of(logs_, user); }
  const std::vector<LogEntry>& GroupLog(const GroupId& group) const {
    return Of(group_logs_, group);
  }

  void Apply(const Transaction& transaction) {
    lsn_ = transaction.lsn;
    for (const Record& record : transaction.records) std::visit(*this, record);
  }

  void operator()(const MessageRecord& message) {
    if (Mine(message.from.str())) {
      logs_[message.from].push_back(
          {message.from_seq, message.to_seq, message, GroupId(), Seq(), Lsn()});
      sent_[message.from].push_back(
          {lsn_, message.from_seq, message.id, message.content_hash, GroupId(), Seq()});
    }
    if (Mine(message.to.str()) && message.to != message.from) {
      logs_[message.to].push_back(
          {message.to_seq, message.from_seq, message, GroupId(), Seq(), Lsn()});
    }
  }
  void operator()(const GroupMessageRecord& record) {
    const MessageRecord& message = record.message;
    if (Mine(record.group.str())) {
      group_logs_[record.group].push_back(
          {record.gseq, Seq(), message, record.group, record.gseq, Lsn()});
    }
    if (Mine(message.from.str()) && message.type != MessageType::kSystem) {
      sent_[message.from].push_back(
          {lsn_, message.from_seq, message.id, message.content_hash, record.group, record.gseq});
    }
    for (const GroupEntry& entry : record.entries) {
      if (!Mine(entry.user.str())) continue;
      MessageRecord known;
      known.from = message.from;
      known.type = message.type;
      known.ts_ms = message.ts_ms;
      logs_[entry.user].push_back({entry.seq, Seq(), known, record.group, record.gseq, lsn_});
    }
  }
  void operator()(const GroupMarksRecord& marks) {
    if (!Mine(marks.group.str()) || (marks.delivered == Seq() && marks.read == Seq())) return;
    GroupMark& known = group_marks_[marks.group][marks.user];
    known.user = marks.user;
    const std::pair<Seq, Seq*> both[] = {{marks.delivered, &known.delivered},
                                         {marks.read, &known.read}};
    for (auto [to, mark] : both) {
      if (to == Seq() || to < *mark) continue;
      *mark = to;
      known.ts_ms = marks.ts_ms;
    }
  }
  void operator()(const GroupRecord&) {}  // the roster's
  void operator()(const ContactRecord&) {}
  void operator()(const PushTargetRecord&) {}
  void operator()(const PushJobRecord&) {}
  void operator()(const PushDoneRecord&) {}
  void operator()(const DeviceCursorRecord& cursor) {
    if (Mine(cursor.user.str())) devices_[cursor.user][cursor.device.str()] = cursor;
  }
  void operator()(const DeviceGoneRecord& gone) {
    if (Mine(gone.user.str())) devices_[gone.user].erase(gone.device.str());
  }
  void operator()(const MarksRecord& marks) {
    if (Mine(marks.user.str())) marks_[marks.user] = marks;
  }
  void operator()(const PeerMarksRecord& marks) {
    if (!Mine(marks.user.str())) return;
    PeerMarks& known = peer_marks_[{marks.user, marks.peer}];
    if (marks.delivered != Seq()) known.delivered = marks.delivered;
    if (marks.read != Seq()) known.read = marks.read;
  }

  // The other side of the entry, with its number as the conversation's newest.
  static parley::Conversation With(const LogEntry& entry, const UserId& user) {
    if (!entry.group.empty()) return {UserId(), entry.group, entry.seq};
    const UserId& peer = entry.message.from == user ? entry.message.to : entry.message.from;
    return {peer, GroupId(), entry.seq};
  }
  std::vector<LogEntry> Conversation(const UserId& user, const parley::Conversation& with) const {
    std::vector<LogEntry> entries;
    for (const LogEntry& entry : Log(user)) {
      parley::Conversation its = With(entry, user);
      if (its.peer == with.peer && its.group == with.group) entries.push_back(entry);
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
      if (!Refers(message)) continue;
      Seq refers = message.from == user ? message.ref->from_seq : message.ref->to_seq;
      if (refers == target && refers != Seq()) entries.push_back(entry);
    }
    return entries;
  }

  std::vector<parley::Conversation> Conversations(const UserId& user, Seq before,
                                                  size_t limit) const {
    std::map<std::pair<UserId, GroupId>, parley::Conversation> last;
    for (const LogEntry& entry : Log(user)) {
      parley::Conversation with = With(entry, user);
      last[{with.peer, with.group}] = with;
    }
    std::vector<parley::Conversation> all;
    for (const auto& [with, one] : last) {
      if (one.last < before) all.push_back(one);
    }
    std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.last > b.last; });
    if (all.size() > limit) all.resize(limit);
    return all;
  }

  uint64_t Unread(const UserId& user, const parley::Conversation& with, Seq read,
                  uint64_t max) const {
    return CountUnread(Conversation(user, with), user, read, max);
  }

  std::vector<SentId> Sent(const UserId& user, size_t limit) const {
    std::vector<SentId> sent = Of(sent_, user);
    std::reverse(sent.begin(), sent.end());
    if (sent.size() > limit) sent.resize(limit);
    return sent;
  }

  SentPlace SentAs(const UserId& user, const std::string& id) const {
    for (const SentId& sent : Sent(user, SIZE_MAX)) {
      if (sent.id == id) return {sent.seq, sent.group, sent.gseq};
    }
    return {};
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

  Seq GroupTail(const GroupId& group) const {
    return GroupLog(group).empty() ? Seq() : GroupLog(group).back().gseq;
  }
  std::vector<LogEntry> GroupReferring(const GroupId& group, Seq target) const {
    std::vector<LogEntry> entries;
    for (const LogEntry& entry : GroupLog(group)) {
      if (Refers(entry.message) && entry.message.ref->to_seq == target && target != Seq()) {
        entries.push_back(entry);
      }
    }
    return entries;
  }
  uint64_t GroupUnread(const GroupId& group, const UserId& user, Seq read, uint64_t max) const {
    return CountUnread(GroupLog(group), user, read, max);
  }
  std::vector<GroupMark> GroupMarks(const GroupId& group, const UserId& after, size_t limit) const {
    std::vector<GroupMark> marks;
    auto known = group_marks_.find(group);
    if (known == group_marks_.end()) return marks;
    for (const auto& [user, mark] : known->second) {
      if (user > after && marks.size() < limit) marks.push_back(mark);
    }
    return marks;
  }
  GroupMark MarkOf(const GroupId& group, const UserId& user) const {
    for (const GroupMark& mark : GroupMarks(group, UserId(), SIZE_MAX)) {
      if (mark.user == user) return mark;
    }
    return {user, Seq(), Seq(), 0};
  }

 private:
  template <class Key, class Value>
  static const Value& Of(const std::map<Key, Value>& all, const Key& key) {
    static const Value kNone;
    auto found = all.find(key);
    return found == all.end() ? kNone : found->second;
  }
  static bool Refers(const MessageRecord& message) {
    return message.ref && message.type != MessageType::kMessage &&
           message.type != MessageType::kSystem;
  }
  static uint64_t CountUnread(const std::vector<LogEntry>& entries, const UserId& user, Seq read,
                              uint64_t max) {
    uint64_t unread = 0;
    for (const LogEntry& entry : entries) {
      unread += entry.seq > read && entry.message.from != user &&
                entry.message.type != MessageType::kSystem;
    }
    return std::min(unread, max);
  }

  Owners mine_;
  Lsn lsn_;  // of the transaction in hand
  std::map<UserId, std::vector<LogEntry>> logs_;
  std::map<UserId, std::vector<SentId>> sent_;
  std::map<UserId, MarksRecord> marks_;
  std::map<std::pair<UserId, UserId>, PeerMarks> peer_marks_;
  std::map<UserId, std::map<std::string, DeviceCursorRecord>> devices_;
  std::map<GroupId, std::vector<LogEntry>> group_logs_;
  std::map<GroupId, std::map<UserId, GroupMark>> group_marks_;
};

// One random change; what its numbers mean depends on its kind and on what is there.
struct Step {
  enum Kind {
    kMessage,
    kReferring,
    kGroupMessage,
    kGroupReferring,
    kSystem,
    kCursor,
    kDeviceGone,
    kMarks,
    kPeerMarks,
    kGroupMarks,
    kRoster
  };
  Kind kind = kMessage;
  size_t user = 0;
  size_t peer = 0;
  uint64_t number = 0;
  size_t body_bytes = 0;
};

// Turns steps into transactions as the engine would number them, also for users and groups that are
// in another store. Of the groups the first is of delivery `topic`.
class StepNumberer {
 public:
  StepNumberer(std::vector<UserId> users, std::vector<GroupId> groups)
      : users_(std::move(users)), groups_(std::move(groups)) {}

  Transaction Next(const Step& step) {
    lsn_ = lsn_.Next();
    return {lsn_, Records(step)};
  }

 private:
  std::vector<Record> Records(const Step& step) {
    const UserId& user = users_[step.user % users_.size()];
    const UserId& peer = users_[step.peer % users_.size()];
    const GroupId& group = groups_[step.peer % groups_.size()];
    switch (step.kind) {
      case Step::kMessage:
      case Step::kReferring:
        return {Message(step, user, peer)};
      case Step::kGroupMessage:
      case Step::kGroupReferring:
        return {ToGroup(step, user, group)};
      case Step::kSystem:
        return {GroupRecord{group, Seq(1), {}, {}}, ToGroup(step, user, group)};
      case Step::kCursor:
        return {Cursor(step, user)};
      case Step::kDeviceGone:
        return {DeviceGoneRecord{user, DeviceOf(step, user)}};
      case Step::kMarks:
        return {Grow(&marks_[user], user, step.number)};
      case Step::kPeerMarks:
        return {KnownOf(step, user, peer), Grow(&marks_[user], user, step.number)};
      case Step::kGroupMarks:
        return {MarksIn(step, user, group)};
      case Step::kRoster:
        return {ContactRecord{user, peer, ContactState::kAsked, false, false}};
    }
    return {};
  }

  MessageRecord Said(const Step& step, const UserId& from) const {
    MessageRecord message;
    message.from = from;
    message.ts_ms = static_cast<int64_t>(lsn_.value());
    message.id = std::to_string(step.number % 50);  // sent again now and then
    message.body = std::string(step.body_bytes, 'b');
    message.content_hash = step.number * 0x9e3779b97f4a7c15;
    return message;
  }

  Record Message(const Step& step, const UserId& from, const UserId& to) {
    MessageRecord message = Said(step, from);
    message.to = to;
    message.from_seq = last_[from] = last_[from].Next();
    message.to_seq = from == to ? message.from_seq : (last_[to] = last_[to].Next());
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

  // The members at the time are those whose bit is set in the number.
  Record ToGroup(const Step& step, const UserId& from, const GroupId& group) {
    GroupMessageRecord record;
    record.group = group;
    record.message = Said(step, from);
    std::vector<MessageRecord>& said = said_in_[group];
    record.gseq = Seq(said.size() + 1);
    if (step.kind == Step::kSystem) {
      record.message.type = MessageType::kSystem;
    } else if (step.kind == Step::kGroupReferring && !said.empty()) {
      const Seq target(1 + step.number % said.size());
      const MessageRecord& to = said[target.value() - 1];
      record.message.type = static_cast<MessageType>(step.number / 7 % 4);
      record.message.ref = MessageRef{to.from, to.id, target, target};
    }
    for (size_t i = 0; i < users_.size() && group != groups_[0]; ++i) {
      if ((step.number >> i) % 2 == 0) continue;
      Seq& last = last_[users_[i]];
      record.entries.push_back({users_[i], last = last.Next()});
      if (users_[i] == from) record.message.from_seq = last;
    }
    said.push_back(record.message);
    return record;
  }

  static DeviceId DeviceOf(const Step& step, const UserId& user) {
    return DeviceId(user.str() + (step.peer % 2 == 0 ? ":phone" : ":phone2"));
  }
  Record Cursor(const Step& step, const UserId& user) {
    DeviceId device = DeviceOf(step, user);
    Seq& delivered = cursors_[{user, device}];
    delivered = Seq(delivered.value() + step.number % 5);
    return DeviceCursorRecord{user, device, delivered, static_cast<int64_t>(step.number)};
  }
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
  Record MarksIn(const Step& step, const UserId& user, const GroupId& group) {
    PeerMarks& known = group_marks_[{group, user}];
    if (step.number % 7 == 0) known = {};  // it begins anew with older ones
    known.delivered = Seq(known.delivered.value() + step.number % 4);
    known.read = Seq(known.read.value() + step.number % 3);
    return GroupMarksRecord{group, user, step.number % 2 ? known.delivered : Seq(),
                            step.number % 5 ? known.read : Seq(),
                            static_cast<int64_t>(lsn_.value())};
  }

  std::vector<UserId> users_;
  std::vector<GroupId> groups_;
  Lsn lsn_;
  std::map<UserId, Seq> last_;
  std::map<std::pair<UserId, UserId>, std::vector<MessageRecord>> said_;
  std::map<GroupId, std::vector<MessageRecord>> said_in_;
  std::map<std::pair<UserId, DeviceId>, Seq> cursors_;
  std::map<UserId, PeerMarks> marks_;
  std::map<std::pair<UserId, UserId>, PeerMarks> peer_marks_;
  std::map<std::pair<GroupId, UserId>, PeerMarks> group_marks_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_STORE_MODEL_H_
