// A log on a disk that can fail, its listener, and users who write to each other and to groups by
// its rules: what the engine does with a log, in small. Knows what must be read back, and checks
// it.
#ifndef PARLEY_TESTS_STORAGE_LOG_BENCH_H_
#define PARLEY_TESTS_STORAGE_LOG_BENCH_H_

#include <algorithm>
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
#include "tests/storage/disk_roster.h"
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
    roster.reset();
    heard = std::make_unique<Heard>();
    options.roster = nullptr;
    if (with_roster) {
      (void)disk.MakeDir("/data");  // a power cut may have taken it
      auto found = DiskRoster::Open("/data/roster", &disk);
      if (!found) return found.error();
      roster = std::move(*found);
      options.roster = roster.get();
    }
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
      if (shards.StoreOf(user.str()) == store && n-- == 0) return user;
    }
  }
  // All users are in it. Of delivery `topic`: no copies in their logs.
  GroupId GroupOf(int store, bool topic = false) const {
    const ShardMap shards(options.stores);
    for (int i = 0;; ++i) {
      GroupId group((topic ? "t" : "g") + std::to_string(i));
      if (shards.StoreOf(group.str()) == store) return group;
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
    return Append({message});
  }
  // To a group, which copies it to all users, or does not. `change`: one that tells of a change of
  // the group, in the same transaction.
  Lsn SendToGroup(const UserId& from, const GroupId& group, bool change = false) {
    GroupMessageRecord said;
    said.group = group;
    said.gseq = last_in_[group] = last_in_[group].Next();
    said.message.from = from;
    said.message.id = "try" + std::to_string(++tries_);
    said.message.body = std::string(1 + random_() % 700, 'b');
    if (change) said.message.type = MessageType::kSystem;
    for (int member = 0; member < kMembers && !IsTopic(group); ++member) {
      const UserId user = Member(member);
      said.entries.push_back({user, last_[user] = last_[user].Next()});
      if (user == from) said.message.from_seq = last_[user];
    }
    if (!change) return Append({said});
    GroupRecord changed;
    changed.group = group;
    changed.gseq = said.gseq;
    changed.settings.title = said.message.id;
    return Append({said, changed});
  }
  Lsn SendSome(int messages) {
    Lsn last;
    for (int i = 0; i < messages; ++i) {
      const UserId from = Member(static_cast<int>(random_() % kMembers));
      const int how = static_cast<int>(random_() % 10);
      if (how < 3) {
        last = SendToGroup(from, GroupOf(how % 2, random_() % 3 == 0), random_() % 3 == 0);
      } else {
        last = Send(from, Member(static_cast<int>(random_() % kMembers)));
      }
    }
    return last;
  }

  // What the listener hears as committed is promised to last (else only what was applied is).
  bool committed_is_durable = true;

  // Waits until one user's store has all that was committed.
  void Apply(const UserId& user) {
    const Lsn committed = heard->committed();
    if (!log->WaitApplied(user.str(), committed).ok()) return;
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
      failed_.insert(IdOf(it->second));
      it = pending_.erase(it);
    }
    Renumber();
    log->Resume();
    return false;
  }

  // ---- Reading back

  // All that the logs of users and groups hold, checked: numbers without gaps, no id twice, both
  // sides alike, a group's message with all of its copies and with its change in the roster, what
  // was committed under its number, nothing that failed.
  void Check() {
    std::map<std::string, Record> found;
    std::map<std::string, int> sides;
    for (int store = 0; store < 2; ++store) {
      for (bool topic : {false, true}) CheckGroup(GroupOf(store, topic), &found);
    }
    for (int store = 0; store < options.stores; ++store) {
      for (int n = 0; n < 2; ++n) CheckUser(UserOf(store, n), &found, &sides);
    }
    for (const auto& [id, record] : found) {
      const MessageRecord& message = MessageOf(record);
      INFO(id << " from " << message.from.str() << " to " << message.to.str());
      if (const auto* said = std::get_if<GroupMessageRecord>(&record)) {
        CHECK(said->entries.size() == (IsTopic(said->group) ? 0 : kMembers));
      } else {
        CHECK(sides[id] == (message.from == message.to ? 1 : 2));
      }
      CHECK_FALSE(failed_.contains(id));
      CheckSent(record);
    }
    for (const auto& [id, record] : sure_) {
      INFO(id << " was committed: " << MessageOf(record).from_seq.value() << " in the log of "
              << MessageOf(record).from.str());
      REQUIRE(found.contains(id));
      CHECK(found[id] == record);
    }
    if (with_roster) CheckRoster(found);
    // What is there now stays.
    for (const auto& [id, record] : found) sure_[id] = record;
    pending_.clear();
    Renumber();
  }

  size_t sure() const { return sure_.size(); }

  size_t write_buffer_bytes = 8 << 20;  // a store's
  FaultEnv disk;
  FaultLevelDbEnv leveldb_env;
  LogOptions options;
  // Set before Open: called before each Apply and Sync of a store; its error is theirs.
  std::function<Status(int store, std::span<const Transaction* const>)> watch;
  // Called after each ReadConversation, where `watch` is set.
  std::function<void()> conversation_read;
  std::unique_ptr<Heard> heard;
  bool with_roster = true;  // at the next Open
  std::unique_ptr<DiskRoster> roster;
  std::unique_ptr<Log> log;

 private:
  static constexpr int kMembers = 4;

  UserId Member(int member) const { return UserOf(member / 2, member % 2); }
  static bool IsTopic(const GroupId& group) { return group.str()[0] == 't'; }
  static const MessageRecord& MessageOf(const Record& record) {
    const auto* said = std::get_if<GroupMessageRecord>(&record);
    return said != nullptr ? said->message : std::get<MessageRecord>(record);
  }
  static const std::string& IdOf(const Record& record) { return MessageOf(record).id; }

  // The first record is the message.
  Lsn Append(std::vector<Record> records) {
    const Lsn lsn = log->next_lsn();
    pending_.emplace(lsn, records[0]);
    log->Append({Transaction{lsn, std::move(records)}});
    return lsn;
  }

  void KeepThrough(Lsn through) {
    for (auto it = pending_.begin(); it != pending_.end() && it->first <= through;) {
      sure_[IdOf(it->second)] = it->second;
      it = pending_.erase(it);
    }
  }

  Result<std::unique_ptr<MessageStore>> OpenStore(int store, const std::string& path, bool create) {
    LevelDbOptions leveldb;
    leveldb.path = path;
    leveldb.env = &leveldb_env;
    leveldb.create = create;
    leveldb.write_buffer_bytes = write_buffer_bytes;
    auto opened = LevelDbStore::Open(leveldb);
    if (!opened) return Error(std::move(opened.error()));
    std::unique_ptr<MessageStore> found = std::move(*opened);
    if (!watch) return found;
    return std::make_unique<WatchedStore>(
        std::move(found),
        [this, store](std::span<const Transaction* const> transactions) {
          return watch(store, transactions);
        },
        [this] {
          if (conversation_read) conversation_read();
        });
  }

  // The owner's store, with all that is committed.
  std::shared_ptr<const MessageStore> Caught(const std::string& owner) {
    INFO("the store of " << owner);
    Status status = log->WaitApplied(owner, heard->committed());
    INFO(status.ToString());
    REQUIRE(status.ok());
    auto store = log->store(owner);
    REQUIRE(store.has_value());
    return *store;
  }

  void CheckGroup(const GroupId& group, std::map<std::string, Record>* found) {
    INFO("the log of group " << group.str());
    auto store = Caught(group.str());
    auto page = store->ReadGroup(group, Page{.limit = 100000, .bytes_max = 1 << 30});
    INFO((page ? "" : page.error().ToString()));
    REQUIRE(page.has_value());
    uint64_t gseq = 0;
    for (const LogEntry& entry : page->entries) {
      CHECK(entry.gseq == Seq(++gseq));
      GroupMessageRecord said{group, entry.gseq, entry.message, {}};
      CHECK(found->emplace(entry.message.id, said).second);
    }
    CHECK(store->ReadGroupTail(group) == Seq(gseq));
  }

  // Adds what points to a group's message to its entries.
  void CheckUser(const UserId& user, std::map<std::string, Record>* found,
                 std::map<std::string, int>* sides) {
    INFO("the log of " << user.str());
    auto store = Caught(user.str());
    auto page = store->ReadLog(user, Page{.limit = 100000, .bytes_max = 1 << 30});
    INFO((page ? "" : page.error().ToString()));
    REQUIRE(page.has_value());
    Status filled = FillEntries(log.get(), page->entries);
    INFO(filled.ToString());
    REQUIRE(filled.ok());
    uint64_t seq = 0;
    for (const LogEntry& entry : page->entries) {
      CHECK(entry.seq == Seq(++seq));
      Record record = entry.message;
      if (!entry.group.empty()) record = GroupMessageRecord{entry.group, entry.gseq, {}, {}};
      auto [one, fresh] = found->emplace(entry.message.id, record);
      CHECK(MessageOf(one->second) == entry.message);
      ++(*sides)[entry.message.id];
      auto* said = std::get_if<GroupMessageRecord>(&one->second);
      REQUIRE((said != nullptr) == !entry.group.empty());
      if (said == nullptr) continue;
      CHECK(said->group == entry.group);
      CHECK(said->gseq == entry.gseq);
      said->entries.push_back({user, entry.seq});
    }
    CHECK(store->ReadTail(user)->last == Seq(seq));
  }

  // It is among the sender's ids, unless it is the server's own.
  void CheckSent(const Record& record) {
    const MessageRecord& message = MessageOf(record);
    auto place = Caught(message.from.str())->FindSent(message.from, message.id);
    REQUIRE(place.has_value());
    if (message.type == MessageType::kSystem) {
      CHECK_FALSE(place->found());
      return;
    }
    CHECK(place->seq == message.from_seq);
    const auto* said = std::get_if<GroupMessageRecord>(&record);
    CHECK(place->group == (said != nullptr ? said->group : GroupId()));
    CHECK(place->gseq == (said != nullptr ? said->gseq : Seq()));
  }

  // Each change is there once, with the message that tells of it, and no other.
  void CheckRoster(const std::map<std::string, Record>& found) {
    Status status = log->WaitRoster(heard->committed());
    INFO("the roster: " << status.ToString());
    REQUIRE(status.ok());
    std::vector<std::string> changes, told;
    for (const Record& record : roster->records()) {
      changes.push_back(std::get<GroupRecord>(record).settings.title);
    }
    for (const auto& [id, record] : found) {
      if (MessageOf(record).type == MessageType::kSystem) told.push_back(id);
    }
    std::sort(changes.begin(), changes.end());
    std::sort(told.begin(), told.end());
    CHECK(changes == told);
  }

  void Renumber() {
    last_.clear();
    last_in_.clear();
    auto grow = [](Seq* last, Seq seq) { *last = std::max(*last, seq); };
    auto count = [&](const Record& record) {
      const MessageRecord& message = MessageOf(record);
      grow(&last_[message.from], message.from_seq);
      if (const auto* said = std::get_if<GroupMessageRecord>(&record)) {
        grow(&last_in_[said->group], said->gseq);
        for (const GroupEntry& entry : said->entries) grow(&last_[entry.user], entry.seq);
      } else {
        grow(&last_[message.to], message.to_seq);
      }
    };
    for (const auto& [id, record] : sure_) count(record);
    for (const auto& [lsn, record] : pending_) count(record);
  }

  std::mt19937_64 random_;
  uint64_t tries_ = 0;
  std::map<UserId, Seq> last_;
  std::map<GroupId, Seq> last_in_;
  std::map<Lsn, Record> pending_;       // appended
  std::map<std::string, Record> sure_;  // committed, by id
  std::set<std::string> failed_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_LOG_BENCH_H_
