// A durable log in memory that commits, fails and applies when the test says so.
//
// Every user and every group has a store of its own, which has applied no more than what somebody
// waited for: a read that doesn't wait for what it must see sees an older log. So with the roster,
// where the test sets one. "Waiting" commits what is queued up to there, as the committer's thread
// would meanwhile.
#ifndef PARLEY_TESTS_CHAT_FAKE_LOG_H_
#define PARLEY_TESTS_CHAT_FAKE_LOG_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/log.h"
#include "tests/storage/store_model.h"

namespace parley {

// The plain model of a store, as a store.
class ModelStore : public MessageStore {
 public:
  explicit ModelStore(std::string_view owner) : model_({std::string(owner)}) {}

  void ApplyOne(const Transaction& transaction) {
    model_.Apply(transaction);
    applied_ = transaction.lsn;
  }
  const StoreModel& model() const { return model_; }

  Status Apply(std::span<const Transaction* const> transactions, const Mine&) override {
    for (const Transaction* transaction : transactions) ApplyOne(*transaction);
    return {};
  }
  Status Sync() override { return {}; }
  Result<Lsn> Applied() const override { return applied_; }
  Result<LogTail> ReadTail(const UserId& user) const override { return model_.Tail(user); }
  Result<LogPage> ReadLog(const UserId& user, const Page& page) const override {
    return StoreModel::PageOf(model_.Log(user), page);
  }
  Result<LogPage> ReadConversation(const UserId& user, const Conversation& with,
                                   const Page& page) const override {
    return StoreModel::PageOf(model_.Conversation(user, with), page);
  }
  Result<std::vector<LogEntry>> ReadReferring(const UserId& user, Seq target) const override {
    return model_.Referring(user, target);
  }
  Result<std::vector<Conversation>> ReadConversations(const UserId& user, Seq before,
                                                      size_t limit) const override {
    return model_.Conversations(user, before, limit);
  }
  Result<uint64_t> CountUnread(const UserId& user, const Conversation& with, Seq read,
                               uint64_t max) const override {
    return model_.Unread(user, with, read, max);
  }
  Result<std::vector<SentId>> ReadSent(const UserId& user, size_t limit) const override {
    return model_.Sent(user, limit);
  }
  Result<SentPlace> FindSent(const UserId& user, const std::string& id) const override {
    return model_.SentAs(user, id);
  }
  Result<PeerMarks> ReadPeerMarks(const UserId& user, const UserId& peer) const override {
    return model_.MarksOf(user, peer);
  }
  Result<std::vector<DeviceCursor>> ReadDevices(const UserId& user) const override {
    std::vector<DeviceCursor> devices;
    for (const DeviceCursorRecord& record : model_.Devices(user)) {
      devices.push_back({record.device, record.delivered, record.ts_ms});
    }
    return devices;
  }
  Result<Seq> ReadGroupTail(const GroupId& group) const override { return model_.GroupTail(group); }
  Result<LogPage> ReadGroup(const GroupId& group, const Page& page) const override {
    return StoreModel::PageOf(model_.GroupLog(group), page);
  }
  Result<std::vector<LogEntry>> ReadGroupReferring(const GroupId& group,
                                                   Seq target) const override {
    return model_.GroupReferring(group, target);
  }
  Result<uint64_t> CountGroupUnread(const GroupId& group, const UserId& user, Seq read,
                                    uint64_t max) const override {
    return model_.GroupUnread(group, user, read, max);
  }
  Result<std::vector<GroupMark>> ReadGroupMarks(const GroupId& group, const UserId& after,
                                                size_t limit) const override {
    return model_.GroupMarks(group, after, limit);
  }
  Result<GroupMark> ReadGroupMark(const GroupId& group, const UserId& user) const override {
    return model_.MarkOf(group, user);
  }

 private:
  StoreModel model_;
  Lsn applied_;
};

class FakeLog : public Log {
 public:
  // Called for each commit, as the listener's Committed.
  std::function<void(Lsn)> on_committed = [](Lsn) {};
  // Applies what it is waited for with, from where it stands; lives as long as the log. Null: none.
  Store* roster = nullptr;

  // What the test decides.

  // Commits up to `batches` of what is queued.
  void Commit(size_t batches = SIZE_MAX) {
    for (; batches > 0 && !queue_.empty() && !stuck_; --batches) {
      for (Transaction& transaction : queue_.front()) committed_.push_back(std::move(transaction));
      queue_.pop_front();
      on_committed(committed());
    }
  }
  // Fails all that is queued, for certain. The test brings Engine::JournalFailed(the answer) to the
  // engine when it likes.
  Lsn Fail() {
    queue_.clear();
    failed_ = true;
    return committed().Next();
  }
  // The journal is stuck: what is queued is neither committed nor failed until it is unstuck.
  void SetStuck(bool stuck) { stuck_ = stuck; }
  // Of a user's or a group's store.
  template <class Tag>
  void SetDown(const Id<Tag>& owner, bool down) {
    Set(&down_, owner.str(), down);
  }
  void SetRosterDown(bool down) { roster_down_ = down; }
  // Reads of this owner's store fail, without the log's noticing.
  template <class Tag>
  void SetUnreadable(const Id<Tag>& owner, bool unreadable) {
    Set(&unreadable_, owner.str(), unreadable);
  }
  // What a crash leaves, and the next start makes of it: what is committed is applied.
  void Crash() {
    queue_.clear();
    failed_ = false;
    stuck_ = false;
    next_lsn_ = committed().Next();
    recovered_ = committed();
    ApplyToRoster(recovered_);
  }
  size_t queued() const { return queue_.size(); }
  bool failed() const { return failed_; }
  Lsn committed() const { return committed_.empty() ? Lsn() : committed_.back().lsn; }
  const std::vector<Transaction>& transactions() const { return committed_; }
  // The store of the user or group with all that is committed.
  template <class Tag>
  const ModelStore& Caught(const Id<Tag>& owner) const {
    return *ApplyTo(owner.str(), committed());
  }
  // The roster, likewise.
  void CatchUpRoster() { ApplyToRoster(committed()); }

  // Log.

  void Append(std::vector<Transaction> batch) override {
    for (const Transaction& transaction : batch) {
      if (transaction.lsn != next_lsn_) throw std::logic_error("a transaction's number is off");
      next_lsn_ = next_lsn_.Next();
    }
    if (!failed_) queue_.push_back(std::move(batch));
  }
  Lsn next_lsn() const override { return next_lsn_; }
  void Resume() override {
    failed_ = false;
    next_lsn_ = committed().Next();
  }
  size_t backlog_bytes() const override { return 0; }
  bool journal_ok() const override { return !stuck_; }
  bool store_ok(std::string_view owner) const override { return !down_.contains(owner); }

  Status WaitApplied(std::string_view owner, Lsn lsn) override {
    if (down_.contains(owner)) return Status(Code::kUnavailable, "the store is down");
    Status status = WaitCommitted(lsn);
    if (status.ok()) ApplyTo(owner, lsn);
    return status;
  }
  Result<std::shared_ptr<const MessageStore>> store(std::string_view owner) const override {
    if (down_.contains(owner)) return Error(Code::kUnavailable, "the store is down");
    if (unreadable_.contains(owner)) return Error(Code::kIoError, "/disk: unreadable");
    return std::shared_ptr<const MessageStore>(ApplyTo(owner, Lsn()));
  }
  bool roster_ok() const override { return !roster_down_; }
  Status WaitRoster(Lsn lsn) override {
    if (roster_down_) return Status(Code::kUnavailable, "the roster is down");
    Status status = WaitCommitted(lsn);
    if (status.ok()) ApplyToRoster(lsn);
    return status;
  }
  Status ReplayDeadLetters() override { return {}; }
  LogFigures figures() const override { return {}; }
  const std::string& epoch() const override { return epoch_; }

 private:
  using Owners = std::set<std::string, std::less<>>;

  static void Set(Owners* owners, const std::string& owner, bool in) {
    if (in) {
      owners->insert(owner);
    } else {
      owners->erase(owner);
    }
  }

  Status WaitCommitted(Lsn lsn) {
    if (lsn > committed() && (failed_ || stuck_ || lsn >= next_lsn_)) {
      return Status(Code::kUnavailable, "the journal doesn't have it");
    }
    while (committed() < lsn) Commit(1);
    return {};
  }
  std::shared_ptr<ModelStore> ApplyTo(std::string_view owner, Lsn lsn) const {
    auto& store = stores_[std::string(owner)];
    if (!store) store = std::make_shared<ModelStore>(owner);
    for (size_t i = store->Applied()->value(); i < committed_.size(); ++i) {
      if (committed_[i].lsn > std::max(lsn, recovered_)) break;
      store->ApplyOne(committed_[i]);
    }
    return store;
  }
  // As the writer does: only transactions that are the roster's.
  void ApplyToRoster(Lsn lsn) {
    if (roster == nullptr) return;
    std::vector<const Transaction*> missing;
    for (size_t i = roster->Applied()->value(); i < committed_.size(); ++i) {
      if (committed_[i].lsn > lsn) break;
      const auto& records = committed_[i].records;
      if (std::any_of(records.begin(), records.end(), ConcernsRoster)) {
        missing.push_back(&committed_[i]);
      }
    }
    if (missing.empty()) return;
    Status status = roster->Apply(missing, [](std::string_view) { return true; });
    if (!status.ok()) throw std::logic_error(status.ToString());
  }

  std::deque<std::vector<Transaction>> queue_;
  std::vector<Transaction> committed_;  // all of them: the one at i has the number i + 1
  Lsn next_lsn_{1};
  Lsn recovered_;
  bool failed_ = false;
  bool stuck_ = false;
  bool roster_down_ = false;
  Owners down_, unreadable_;
  mutable std::map<std::string, std::shared_ptr<ModelStore>> stores_;
  std::string epoch_ = "e1";
};

}  // namespace parley

#endif  // PARLEY_TESTS_CHAT_FAKE_LOG_H_
