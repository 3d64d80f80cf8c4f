// A durable log in memory that commits, fails and applies when the test says so.
//
// Every user has a store of its own, which has applied no more than what somebody waited for: a
// read that doesn't wait for what it must see sees an older log. "Waiting" commits what is queued
// up to there, as the committer's thread would meanwhile.
#ifndef PARLEY_TESTS_CHAT_FAKE_LOG_H_
#define PARLEY_TESTS_CHAT_FAKE_LOG_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/log.h"
#include "tests/storage/store_model.h"

namespace parley {

// The plain model of a store, as a store.
class ModelStore : public MessageStore {
 public:
  explicit ModelStore(const UserId& user) : model_({user}) {}

  void ApplyOne(const Transaction& transaction) {
    for (const Record& record : transaction.records) model_.Apply(record);
    applied_ = transaction.lsn;
  }
  const StoreModel& model() const { return model_; }

  Status Apply(std::span<const Transaction* const> transactions,
               const std::function<bool(const UserId&)>&) override {
    for (const Transaction* transaction : transactions) ApplyOne(*transaction);
    return {};
  }
  Status Sync() override { return {}; }
  Result<Lsn> Applied() const override { return applied_; }
  Result<LogTail> ReadTail(const UserId& user) const override { return model_.Tail(user); }
  Result<LogPage> ReadLog(const UserId& user, const Page& page) const override {
    return StoreModel::PageOf(model_.Log(user), page);
  }
  Result<LogPage> ReadConversation(const UserId& user, const UserId& peer,
                                   const Page& page) const override {
    return StoreModel::PageOf(model_.Conversation(user, peer), page);
  }
  Result<std::vector<LogEntry>> ReadReferring(const UserId& user, Seq target) const override {
    return model_.Referring(user, target);
  }
  Result<std::vector<Conversation>> ReadConversations(const UserId& user, Seq before,
                                                      size_t limit) const override {
    std::vector<Conversation> talks;
    for (auto& [peer, last] : model_.Conversations(user, before, limit)) {
      talks.push_back({peer, last});
    }
    return talks;
  }
  Result<uint64_t> CountUnread(const UserId& user, const UserId& peer, Seq read,
                               uint64_t max) const override {
    return model_.Unread(user, peer, read, max);
  }
  Result<std::vector<SentId>> ReadSent(const UserId& user, size_t limit) const override {
    std::vector<SentId> sent;
    for (const LogEntry& entry : model_.Sent(user, limit)) {
      sent.push_back({entry.seq, entry.message.id, entry.message.content_hash});
    }
    return sent;
  }
  Result<Seq> FindSent(const UserId& user, const std::string& id) const override {
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

 private:
  StoreModel model_;
  Lsn applied_;
};

class FakeLog : public Log {
 public:
  // Called for each commit, as the listener's Committed.
  std::function<void(Lsn)> on_committed = [](Lsn) {};

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
  void SetDown(const UserId& user, bool down) {
    if (down) {
      down_.insert(user);
    } else {
      down_.erase(user);
    }
  }
  // Reads of this user's store fail, without the log's noticing.
  void SetUnreadable(const UserId& user, bool unreadable) {
    if (unreadable) {
      unreadable_.insert(user);
    } else {
      unreadable_.erase(user);
    }
  }
  // What a crash leaves, and the next start makes of it: what is committed is applied.
  void Crash() {
    queue_.clear();
    failed_ = false;
    stuck_ = false;
    next_lsn_ = committed().Next();
    recovered_ = committed();
  }
  size_t queued() const { return queue_.size(); }
  bool failed() const { return failed_; }
  Lsn committed() const { return committed_.empty() ? Lsn() : committed_.back().lsn; }
  const std::vector<Transaction>& transactions() const { return committed_; }
  // The store of `user` with all that is committed.
  const ModelStore& Caught(const UserId& user) const { return *ApplyTo(user, committed()); }

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
  bool store_ok(const UserId& user) const override { return !down_.contains(user); }

  Status WaitApplied(const UserId& user, Lsn lsn) override {
    if (down_.contains(user)) return Status(Code::kUnavailable, "the store is down");
    if (lsn > committed() && (failed_ || stuck_ || lsn >= next_lsn_)) {
      return Status(Code::kUnavailable, "the journal doesn't have it");
    }
    while (committed() < lsn) Commit(1);
    ApplyTo(user, lsn);
    return {};
  }
  Result<std::shared_ptr<const MessageStore>> store(const UserId& user) const override {
    if (down_.contains(user)) return Error(Code::kUnavailable, "the store is down");
    if (unreadable_.contains(user)) return Error(Code::kIoError, "/disk: unreadable");
    return std::shared_ptr<const MessageStore>(ApplyTo(user, Lsn()));
  }
  Status ReplayDeadLetters() override { return {}; }
  LogFigures figures() const override { return {}; }
  const std::string& epoch() const override { return epoch_; }

 private:
  std::shared_ptr<ModelStore> ApplyTo(const UserId& user, Lsn lsn) const {
    auto& store = stores_[user];
    if (!store) store = std::make_shared<ModelStore>(user);
    for (size_t i = store->Applied()->value(); i < committed_.size(); ++i) {
      if (committed_[i].lsn > std::max(lsn, recovered_)) break;
      store->ApplyOne(committed_[i]);
    }
    return store;
  }

  std::deque<std::vector<Transaction>> queue_;
  std::vector<Transaction> committed_;  // all of them: the one at i has the number i + 1
  Lsn next_lsn_{1};
  Lsn recovered_;
  bool failed_ = false;
  bool stuck_ = false;
  std::set<UserId> down_, unreadable_;
  mutable std::map<UserId, std::shared_ptr<ModelStore>> stores_;
  std::string epoch_ = "e1";
};

}  // namespace parley

#endif  // PARLEY_TESTS_CHAT_FAKE_LOG_H_
