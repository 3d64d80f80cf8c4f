// A log on a disk that can fail, its listener, and users who write to each other by its rules: what
// the engine does with a log, in small. Knows what must be read back, and checks it.
#ifndef PARLEY_TESTS_STORAGE_LOG_BENCH_H_
#define PARLEY_TESTS_STORAGE_LOG_BENCH_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "storage/leveldb_store.h"
#include "storage/log.h"
#include "storage/shard_map.h"
#include "tests/catch.h"
#include "tests/storage/fault_env.h"
#include "tests/storage/fault_leveldb_env.h"
#include "tests/storage/watched_store.h"

namespace parley {

inline constexpr std::chrono::seconds kPatience(60);

// What the log has told, for others to wait for.
class Heard : public Log::Listener {
 public:
  struct Failure {
    Lsn first;
    Lsn last;
    Status why;
  };

  void Committed(Lsn last) override {
    std::lock_guard lock(mutex_);
    in_order_ = in_order_ && last > committed_;
    committed_ = last;
    changed_.notify_all();
  }
  void Failed(Lsn first, Lsn last, const Status& why) override {
    std::lock_guard lock(mutex_);
    failures_.push_back({first, last, why});
    changed_.notify_all();
  }
  void StoresChanged() override {
    std::lock_guard lock(mutex_);
    ++stores_changed_;
    changed_.notify_all();
  }
  void LogLine(const std::string& line) override {
    std::lock_guard lock(mutex_);
    lines_.push_back(line);
    changed_.notify_all();
  }

  // Waits for committed(), failures, or another thing that was heard; false: in vain.
  template <class Ready>
  bool WaitFor(Ready ready) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return ready(*this); });
  }
  bool WaitCommitted(Lsn lsn) {
    return WaitFor([&](const Heard& heard) { return heard.committed_ >= lsn; });
  }
  // Until everything up to `lsn` is committed or has failed.
  bool WaitSettled(Lsn lsn) {
    return WaitFor(
        [&](const Heard& heard) { return heard.committed_ >= lsn || !heard.failures_.empty(); });
  }
  bool WaitLine(const std::string& part) {
    return WaitFor([&](const Heard& heard) { return heard.Said(part); });
  }
  bool WaitStoresChanged(uint64_t times) {
    return WaitFor([&](const Heard& heard) { return heard.stores_changed_ >= times; });
  }

  std::vector<Failure> TakeFailures() {
    std::lock_guard lock(mutex_);
    return std::exchange(failures_, {});
  }
  Lsn committed() {
    std::lock_guard lock(mutex_);
    return committed_;
  }
  bool in_order() {
    std::lock_guard lock(mutex_);
    return in_order_;
  }
  std::string Lines() {
    std::lock_guard lock(mutex_);
    std::string all;
    for (const std::string& line : lines_) all += line + "\n";
    return all;
  }
  bool HasSaid(const std::string& part) {
    std::lock_guard lock(mutex_);
    return Said(part);
  }

 private:
  bool Said(const std::string& part) const {
    for (const std::string& line : lines_) {
      if (line.find(part) != std::string::npos) return true;
    }
    return false;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Lsn committed_;
  bool in_order_ = true;
  std::vector<Failure> failures_;
  uint64_t stores_changed_ = 0;
  std::vector<std::string> lines_;
};

class LogBench {
 public:
  explicit LogBench(uint64_t seed = 1) : disk(seed), leveldb_env(&disk), random_(seed) {
    (void)disk.MakeDir("/data");
    options.data_dir = "/data";
    options.stores = 2;
    options.journal_segment_bytes = 16 << 10;
    options.retry_ms = 1;
    options.retry_max = 2;
    options.open_store = [this](int store, const std::string& path, bool create) {
      return OpenStore(store, path, create);
    };
  }

  Status Open() {
    log.reset();
    heard = std::make_unique<Heard>();
    auto opened = Log::Open(options, &disk, heard.get());
    if (!opened) return opened.error();
    log = std::move(*opened);
    return Status();
  }

  // As the process's end: commits and applies what it can.
  void Close() { log.reset(); }

  UserId UserOf(int store, int n = 0) const {
    const ShardMap shards(options.stores);
    for (int i = 0;; ++i) {
      UserId user("u" + std::to_string(i));
      if (shards.StoreOf(user) == store && n-- == 0) return user;
    }
  }

  // ---- Writing to each other

  // Appends one message from → to; returns its number.
  Lsn Send(const UserId& from, const UserId& to) {
    MessageRecord message;
    message.from = from;
    message.to = to;
    message.from_seq = last_[from] = last_[from].Next();
    message.to_seq = from == to ? message.from_seq : last_[to] = last_[to].Next();
    message.id = "try" + std::to_string(++tries_);
    message.body = std::string(1 + random_() % 700, 'b');
    const Lsn lsn = log->next_lsn();
    pending_.emplace(lsn, message);
    log->Append({Transaction{lsn, {message}}});
    return lsn;
  }
  Lsn SendSome(int messages) {
    Lsn last;
    for (int i = 0; i < messages; ++i) {
      const UserId from = UserOf(static_cast<int>(random_() % 2), static_cast<int>(random_() % 2));
      const UserId to = UserOf(static_cast<int>(random_() % 2), static_cast<int>(random_() % 2));
      last = Send(from, to);
    }
    return last;
  }

  // What the listener hears as committed is promised to last (else only what was applied is).
  bool committed_is_durable = true;

  // Waits until one user's store has all that was committed.
  void Apply(const UserId& user) {
    const Lsn committed = heard->committed();
    if (!log->WaitApplied(user, committed).ok()) return;
    KeepThrough(committed);
  }

  // Takes in what was committed and what failed; after a failure, resumes. True: nothing failed.
  bool Settle() {
    // Failures first: what comes after one is committed only after Resume.
    const auto failures = heard->TakeFailures();
    const Lsn committed = heard->committed();
    if (committed_is_durable) KeepThrough(committed);
    if (failures.empty()) return true;
    for (auto it = pending_.upper_bound(committed); it != pending_.end();) {
      failed_.insert(it->second.id);
      it = pending_.erase(it);
    }
    Renumber();
    log->Resume();
    return false;
  }

  // ---- Reading back

  // All that the users' logs hold, checked: numbers without gaps, no id twice, both sides alike,
  // what was committed under its number, nothing that failed.
  void Check() {
    std::map<std::string, MessageRecord> found;
    std::map<std::string, int> sides;
    for (int store = 0; store < options.stores; ++store) {
      for (int n = 0; n < 2; ++n) CheckUser(UserOf(store, n), &found, &sides);
    }
    for (const auto& [id, message] : found) {
      INFO(id << " from " << message.from.str() << " to " << message.to.str());
      CHECK(sides[id] == (message.from == message.to ? 1 : 2));
      CHECK_FALSE(failed_.contains(id));
    }
    for (const auto& [id, message] : sure_) {
      INFO(id << " was committed: " << message.from_seq.value() << " in the log of "
              << message.from.str());
      REQUIRE(found.contains(id));
      CHECK(found[id] == message);
    }
    // What is there now stays.
    for (const auto& [id, message] : found) sure_[id] = message;
    pending_.clear();
    Renumber();
  }

  size_t sure() const { return sure_.size(); }

  FaultEnv disk;
  FaultLevelDbEnv leveldb_env;
  LogOptions options;
  // Set before Open: called before each Apply and Sync of a store; its error is theirs.
  std::function<Status(int store, std::span<const Transaction* const>)> watch;
  std::unique_ptr<Heard> heard;
  std::unique_ptr<Log> log;

 private:
  void KeepThrough(Lsn through) {
    for (auto it = pending_.begin(); it != pending_.end() && it->first <= through;) {
      sure_[it->second.id] = it->second;
      it = pending_.erase(it);
    }
  }

  Result<std::unique_ptr<MessageStore>> OpenStore(int store, const std::string& path, bool create) {
    LevelDbOptions leveldb;
    leveldb.path = path;
    leveldb.env = &leveldb_env;
    leveldb.create = create;
    auto opened = LevelDbStore::Open(leveldb);
    if (!opened) return Error(std::move(opened.error()));
    std::unique_ptr<MessageStore> found = std::move(*opened);
    if (!watch) return found;
    return std::make_unique<WatchedStore>(
        std::move(found), [this, store](std::span<const Transaction* const> transactions) {
          return watch(store, transactions);
        });
  }

  void CheckUser(const UserId& user, std::map<std::string, MessageRecord>* found,
                 std::map<std::string, int>* sides) {
    INFO("the log of " << user.str());
    Status status = log->WaitApplied(user, heard->committed());
    INFO(status.ToString());
    REQUIRE(status.ok());
    auto store = log->store(user);
    REQUIRE(store.has_value());
    auto page = (*store)->ReadLog(user, Page{.limit = 100000, .bytes_max = 1 << 30});
    INFO((page ? "" : page.error().ToString()));
    REQUIRE(page.has_value());
    uint64_t seq = 0;
    for (const LogEntry& entry : page->entries) {
      CHECK(entry.seq == Seq(++seq));
      auto [one, fresh] = found->emplace(entry.message.id, entry.message);
      CHECK(one->second == entry.message);
      ++(*sides)[entry.message.id];
    }
    CHECK((*store)->ReadTail(user)->last == Seq(seq));
  }

  void Renumber() {
    last_.clear();
    auto count = [&](const MessageRecord& message) {
      last_[message.from] = std::max(last_[message.from], message.from_seq);
      last_[message.to] = std::max(last_[message.to], message.to_seq);
    };
    for (const auto& [id, message] : sure_) count(message);
    for (const auto& [lsn, message] : pending_) count(message);
  }

  std::mt19937_64 random_;
  uint64_t tries_ = 0;
  std::map<UserId, Seq> last_;
  std::map<Lsn, MessageRecord> pending_;       // appended
  std::map<std::string, MessageRecord> sure_;  // committed, by id
  std::set<std::string> failed_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_LOG_BENCH_H_
