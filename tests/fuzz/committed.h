// What a log has committed, read the plain way, with what must be true of it: numbers without gaps,
// no id twice, entries and marks that point to what is there, members that see what they may.
#ifndef PARLEY_TESTS_FUZZ_COMMITTED_H_
#define PARLEY_TESTS_FUZZ_COMMITTED_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "chat/json_out.h"
#include "storage/record.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {

class Committed {
 public:
  // Takes in the transactions that are new.
  void Grow(const std::vector<Transaction>& transactions) {
    for (; seen_ < transactions.size(); ++seen_) {
      const Transaction& transaction = transactions[seen_];
      FUZZ_REQUIRE(transaction.lsn.value() == seen_ + 1, std::to_string(seen_));
      // The roster first: who came by this transaction is told by it.
      for (const Record& record : transaction.records) {
        if (const auto* group = std::get_if<GroupRecord>(&record)) Add(*group);
      }
      for (const Record& record : transaction.records) {
        std::visit([this](const auto& one) { Add(one); }, record);
      }
    }
  }

  // By user and group; what has the number n stands at n - 1.
  const std::vector<std::string>& Log(const std::string& user) const { return Of(logs_, user); }
  const std::vector<std::string>& GroupLog(const std::string& group) const {
    return Of(groups_, group);
  }
  // Where a device that subscribes begins: behind what it confirmed, else at the log's end.
  uint64_t Begin(const std::string& user, const std::string& device) const {
    auto cursor = cursors_.find({user, device});
    return cursor == cursors_.end() ? Log(user).size() : cursor->second;
  }
  bool MaySee(const std::string& user, const std::string& group, uint64_t gseq) const {
    auto member = members_.find({group, user});
    if (member == members_.end()) return false;
    for (const GroupSpan& span : member->second.spans) {
      bool open = span.last == Seq();
      if (span.first.value() <= gseq && (open || gseq <= span.last.value())) return true;
    }
    return false;
  }

 private:
  using Logs = std::map<std::string, std::vector<std::string>>;

  static const std::vector<std::string>& Of(const Logs& logs, const std::string& owner) {
    static const std::vector<std::string> none;
    auto log = logs.find(owner);
    return log == logs.end() ? none : log->second;
  }

  void Add(const MessageRecord& message) {
    Once(message);
    const std::string rest = MessageRest(message);
    FUZZ_REQUIRE(!blocked_[std::pair(message.to.str(), message.from.str())], rest);
    Append(message.from, message.from_seq, rest);
    if (message.to != message.from) Append(message.to, message.to_seq, rest);
    if (message.to == message.from) FUZZ_REQUIRE(message.to_seq == message.from_seq, rest);
  }
  void Add(const GroupMessageRecord& record) {
    if (record.message.type != MessageType::kSystem) Once(record.message);
    auto& log = groups_[record.group.str()];
    const std::string rest = GroupMessageRest(record.message, record.group, record.gseq);
    FUZZ_REQUIRE(record.gseq.value() == log.size() + 1, rest);
    log.emplace_back();
    AppendGroupMessage(rest, &log.back());
    Seq own;
    for (const GroupEntry& entry : record.entries) {
      FUZZ_REQUIRE(MaySee(entry.user.str(), record.group.str(), record.gseq.value()),
                   entry.user.str() + " " + rest);
      Append(entry.user, entry.seq, rest);
      if (entry.user == record.message.from) own = entry.seq;
    }
    FUZZ_REQUIRE(own == record.message.from_seq, rest);
  }
  void Add(const GroupRecord& record) {
    for (const GroupMember& member : record.changed) {
      members_[{record.group.str(), member.user.str()}] = member;
      Seq end;
      for (const GroupSpan& span : member.spans) {
        FUZZ_REQUIRE(span.first > end && (span.last == Seq() || span.last >= span.first),
                     member.user.str());
        end = span.last == Seq() ? Seq(UINT64_MAX) : span.last;
      }
    }
  }
  void Add(const MarksRecord& marks) {
    Within(marks.user, marks.delivered);
    Within(marks.user, marks.read);
    MarksRecord& before = marks_[marks.user.str()];
    FUZZ_REQUIRE(marks.delivered >= before.delivered && marks.read >= before.read,
                 marks.user.str());
    before = marks;
  }
  void Add(const PeerMarksRecord& marks) {
    Within(marks.user, marks.delivered);
    Within(marks.user, marks.read);
  }
  void Add(const GroupMarksRecord& marks) {
    const uint64_t size = GroupLog(marks.group.str()).size();
    FUZZ_REQUIRE(marks.delivered.value() <= size && marks.read.value() <= size, marks.user.str());
  }
  void Add(const DeviceCursorRecord& cursor) {
    Within(cursor.user, cursor.delivered);
    cursors_[{cursor.user.str(), cursor.device.str()}] = cursor.delivered.value();
  }
  void Add(const DeviceGoneRecord& gone) { cursors_.erase({gone.user.str(), gone.device.str()}); }
  void Add(const ContactRecord& contact) {
    FUZZ_REQUIRE(contact.user != contact.peer, contact.user.str());
    blocked_[{contact.user.str(), contact.peer.str()}] = contact.blocked;
  }
  void Add(const PushTargetRecord& target) { FUZZ_REQUIRE(!target.user.empty(), ""); }
  void Add(const PushJobRecord& job) {
    FUZZ_REQUIRE(push_jobs_.insert(job.id).second || job.count > 1, std::to_string(job.id));
  }
  void Add(const PushDoneRecord& done) {
    FUZZ_REQUIRE(push_jobs_.erase(done.id) == 1, std::to_string(done.id));
  }

  void Once(const MessageRecord& message) {
    bool first = sent_.insert({message.from.str(), message.id}).second;
    FUZZ_REQUIRE(first, message.from.str() + " sent twice: " + message.id);
  }
  void Append(const UserId& user, Seq seq, const std::string& rest) {
    auto& log = logs_[user.str()];
    FUZZ_REQUIRE(seq.value() == log.size() + 1, user.str() + std::to_string(seq.value()) + rest);
    log.emplace_back();
    AppendMessage(seq, rest, &log.back());
  }
  void Within(const UserId& user, Seq seq) {
    FUZZ_REQUIRE(seq.value() <= Log(user.str()).size(), user.str() + std::to_string(seq.value()));
  }

  size_t seen_ = 0;
  Logs logs_, groups_;
  std::set<std::pair<std::string, std::string>> sent_;
  std::map<std::pair<std::string, std::string>, bool> blocked_;  // by user and peer
  std::set<uint64_t> push_jobs_;
  std::map<std::string, MarksRecord> marks_;
  std::map<std::pair<std::string, std::string>, uint64_t> cursors_;     // by user and device
  std::map<std::pair<std::string, std::string>, GroupMember> members_;  // by group and user
};

}  // namespace parley::fuzz

#endif  // PARLEY_TESTS_FUZZ_COMMITTED_H_
