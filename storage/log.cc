// The committer, and how it is tied to journal and store writers. log.h has the rules.
#include "storage/log.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "storage/dead_letter.h"
#include "storage/epoch.h"
#include "storage/journal.h"
#include "storage/leveldb_store.h"
#include "storage/shard_map.h"
#include "storage/store_writer.h"
#include "storage/thread_name.h"

namespace parley {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kGroupBytesMax = 4 << 20;      // of one frame, one write
constexpr size_t kUnsyncedBytesMax = 16 << 20;  // durability interval: past it, a sync is due
constexpr int64_t kRetryMsMax = 5'000;
constexpr std::chrono::milliseconds kKeepAgain(1000);  // after the journal couldn't be kept

// About what it takes in memory and in the journal.
size_t BytesOf(const Transaction& transaction) {
  size_t bytes = sizeof(Transaction);
  for (const Record& record : transaction.records) {
    bytes += sizeof(Record);
    if (const auto* message = std::get_if<MessageRecord>(&record)) {
      bytes += message->body.size() + message->id.size();
    } else if (const auto* to_group = std::get_if<GroupMessageRecord>(&record)) {
      bytes += to_group->message.body.size() + to_group->message.id.size() +
               to_group->entries.size() * sizeof(GroupEntry);
    } else if (const auto* group = std::get_if<GroupRecord>(&record)) {
      for (const GroupMember& member : group->changed) {
        bytes += sizeof(GroupMember) + member.spans.size() * sizeof(GroupSpan);
      }
    }
  }
  return bytes;
}

bool CarriesMessage(const Transaction& transaction) {
  return std::any_of(transaction.records.begin(), transaction.records.end(), [](const Record& r) {
    return std::holds_alternative<MessageRecord>(r) ||
           std::holds_alternative<GroupMessageRecord>(r);
  });
}

std::string JournalDir(const std::string& data_dir) { return data_dir + "/journal"; }
std::string DeadLetterDir(const std::string& data_dir) { return data_dir + "/deadletter"; }

// A store behind the journal.
struct Behind {
  std::string name;  // in log lines
  std::string path;  // in errors
  Store* store = nullptr;
  Share share;
  DeadLetters dead_letters;
  Lsn applied{};
  Lsn synced{};  // of it, what is known to be durable
};

// What recovery has found and brought together; the log takes over from here.
struct Recovered {
  std::string epoch;
  std::shared_ptr<const ShardMap> shards;
  std::unique_ptr<Journal> journal;
  std::vector<std::shared_ptr<MessageStore>> stores;
  std::vector<Behind> behind;  // the stores, and last the roster where there is one
};

// Opens everything in a data directory and brings the stores up to the journal's end.
class Recovery {
 public:
  Recovery(const LogOptions& options, Env* env, Log::Listener* listener)
      : options_(options), env_(env), listener_(listener) {}

  Result<Recovered> Run() {
    Status status = MakeDirs();
    if (status.ok()) status = OpenJournal();
    if (status.ok()) status = ReadShards();
    if (status.ok()) status = OpenStores();
    if (status.ok() && options_.roster != nullptr) status = AddRoster();
    if (status.ok()) status = TakeEpoch();
    if (status.ok()) status = CatchUp();
    if (status.ok()) status = SyncWhatMustBe();
    if (!status.ok()) return Error(std::move(status));
    return std::move(out_);
  }

 private:
  Status MakeDirs() {
    Status status;
    for (const std::string& dir :
         {options_.data_dir, JournalDir(options_.data_dir), DeadLetterDir(options_.data_dir)}) {
      if (status.ok()) status = env_->MakeDir(dir);
    }
    return status.ok() ? env_->SyncDir(options_.data_dir) : status;
  }

  Status OpenJournal() {
    JournalOptions options;
    options.dir = JournalDir(options_.data_dir);
    options.segment_bytes = options_.journal_segment_bytes;
    options.bytes_max = options_.journal_bytes_max;
    options.unsynced = options_.durability == Durability::kOs;
    Log::Listener* listener = listener_;
    auto journal = Journal::Open(options, env_,
                                 [listener](const std::string& line) { listener->LogLine(line); });
    if (!journal) return journal.error();
    out_.journal = std::move(*journal);
    fresh_ = out_.journal->bytes() == 0;
    return Status();
  }

  // A directory is new until its journal has a segment: only then may anything be made in it.
  Status ReadShards() {
    auto shards = ShardMap::Read(env_, options_.data_dir);
    if (shards) {
      out_.shards = std::make_shared<const ShardMap>(std::move(*shards));
      return Status();
    }
    if (shards.error().code() != Code::kNotFound || !fresh_) return shards.error();
    out_.shards = std::make_shared<const ShardMap>(options_.stores);
    Status status;
    for (int store = 0; status.ok() && store < options_.stores; ++store) {
      status = env_->MakeDir(ShardMap::StoreDir(options_.data_dir, store));
    }
    if (status.ok()) status = env_->SyncDir(options_.data_dir);
    return status.ok() ? out_.shards->Write(env_, options_.data_dir) : status;
  }

  Status OpenStores() {
    auto cache = LevelDbStore::NewBlockCache(options_.store_cache_bytes);
    for (int store = 0; store < out_.shards->stores(); ++store) {
      const std::string path = ShardMap::StoreDir(options_.data_dir, store);
      auto opened = OpenStore(store, path, cache);
      if (!opened) return opened.error();
      out_.stores.push_back(std::move(*opened));
      if (fresh_) {
        Status status = env_->SyncDir(path);
        if (!status.ok()) return status;
      }
      const std::string number = std::to_string(store);
      auto mine = [shards = out_.shards, store](std::string_view owner) {
        return shards->StoreOf(owner) == store;
      };
      Status status = Add("store-" + number, number, path, out_.stores.back().get(), ShareOf(mine));
      if (!status.ok()) return status;
    }
    return Status();
  }

  Status AddRoster() {
    return Add("roster", "roster", options_.data_dir + "/roster", options_.roster, ShareOfRoster());
  }

  Status Add(const std::string& letters, const std::string& name, const std::string& path,
             Store* store, Share share) {
    auto dead = DeadLetters::Open(env_, DeadLetterDir(options_.data_dir), letters);
    if (!dead) return dead.error();
    out_.behind.push_back({name, path, store, std::move(share), std::move(*dead)});
    return Status();
  }

  Result<std::unique_ptr<MessageStore>> OpenStore(int store, const std::string& path,
                                                  const std::shared_ptr<leveldb::Cache>& cache) {
    if (options_.open_store) return options_.open_store(store, path, fresh_);
    LevelDbOptions options;
    options.path = path;
    options.block_cache = cache;
    options.create = fresh_;
    auto opened = LevelDbStore::Open(options);
    if (!opened) return Error(std::move(opened.error()));
    return std::unique_ptr<MessageStore>(std::move(*opened));
  }

  Status TakeEpoch() {
    auto epoch = ReadEpoch(env_, options_.data_dir);
    if (!epoch) return epoch.error();
    out_.epoch = std::move(*epoch);
    return Status();
  }

  // Dead letters first, then what the journal has past them.
  Status CatchUp() {
    Lsn behind(UINT64_MAX);
    Lsn ahead;
    for (Behind& one : out_.behind) {
      auto applied = one.store->Applied();
      if (!applied) return Named(one, applied.error());
      one.applied = *applied;
      Status status = ApplyDeadLetters(&one);
      if (!status.ok()) return Named(one, status);
      behind = std::min(behind, one.applied);
      ahead = std::max(ahead, one.applied);
    }
    jumps_ = ahead > out_.journal->last();
    Status status = jumps_ ? StoresAreAhead(ahead) : Status();
    if (status.ok()) status = ApplyJournal(behind);
    if (status.ok() && jumps_) out_.journal->JumpTo(ahead);
    return status;
  }

  Status ApplyJournal(Lsn after) {
    return out_.journal->Read(after, out_.journal->last(), [&](std::vector<Transaction> found) {
      for (Behind& one : out_.behind) {
        Status status = Apply(&one, found);
        if (!status.ok()) return Named(one, status);
      }
      return Status();
    });
  }

  static Status ApplyDeadLetters(Behind* one) {
    return one->dead_letters.Read(
        [&](std::vector<Transaction> letters) { return Apply(one, letters); });
  }

  static Status Apply(Behind* one, const std::vector<Transaction>& transactions) {
    std::vector<const Transaction*> missing;
    for (const Transaction& transaction : transactions) {
      if (transaction.lsn > one->applied) missing.push_back(&transaction);
    }
    if (missing.empty()) return Status();
    one->applied = missing.back()->lsn;
    return one->store->Apply(missing, one->share.mine);
  }

  // Only durability os lets that happen; anything else is refused.
  Status StoresAreAhead(Lsn ahead) {
    const std::string what = "the stores know transactions up to " + std::to_string(ahead.value()) +
                             ", the journal only to " +
                             std::to_string(out_.journal->last().value());
    if (!out_.journal->last_unsynced() && !fresh_) {
      return Status(Code::kCorruption, JournalDir(options_.data_dir) + ": " + what +
                                           "; restore the directory from a backup");
    }
    if (fresh_) {
      return Status(Code::kCorruption, JournalDir(options_.data_dir) +
                                           ": the journal is missing, but the stores aren't empty; "
                                           "restore the directory from a backup");
    }
    listener_->LogLine("log event=jump reason=\"" + what + "\"");
    return Status();
  }

  // Stores that the journal still has whole are left to their writers: a table may have to wait for
  // compactions, and a start shouldn't.
  Status SyncWhatMustBe() {
    const Transaction mark{out_.journal->last(), {}};
    const std::vector<const Transaction*> transactions{&mark};
    for (Behind& one : out_.behind) {
      one.synced = Lsn(out_.journal->first().value() - 1);
      if (!fresh_ && !jumps_ && one.dead_letters.last() == Lsn()) continue;
      Status status;
      if (one.applied < mark.lsn) status = one.store->Apply(transactions, one.share.mine);
      if (status.ok()) status = one.store->Sync();
      if (status.ok()) status = one.dead_letters.Clear();
      if (!status.ok()) return Named(one, status);
      one.synced = mark.lsn;
    }
    return Status();
  }

  static Status Named(const Behind& one, const Status& status) {
    return Status(status.code(), one.path + ": " + status.message());
  }

  const LogOptions& options_;
  Env* const env_;
  Log::Listener* const listener_;
  bool fresh_ = false;
  bool jumps_ = false;  // the stores knew more than the journal
  Recovered out_;
};

class LogImpl final : public Log, public StoreWriter::Host {
 public:
  LogImpl(const LogOptions& options, Listener* listener, Recovered recovered);
  ~LogImpl() override;

  void Append(std::vector<Transaction> batch) override;
  Lsn next_lsn() const override;
  void Resume() override;
  size_t backlog_bytes() const override { return backlog_bytes_.load(std::memory_order_relaxed); }
  bool journal_ok() const override { return journal_ok_.load(std::memory_order_relaxed); }
  bool store_ok(std::string_view owner) const override { return !WriterOf(owner).down(); }
  Status WaitApplied(std::string_view owner, Lsn lsn) override;
  Result<std::shared_ptr<const MessageStore>> store(std::string_view owner) const override;
  bool roster_ok() const override { return roster_ == nullptr || !roster_->down(); }
  Status WaitRoster(Lsn lsn) override;
  Status ReplayDeadLetters() override;
  LogFigures figures() const override;
  const std::string& epoch() const override { return epoch_; }

 private:
  using Group = std::shared_ptr<std::vector<Transaction>>;

  size_t StoreOf(std::string_view owner) const {
    return static_cast<size_t>(shards_->StoreOf(owner));
  }
  StoreWriter& WriterOf(std::string_view owner) const { return *writers_[StoreOf(owner)]; }

  void StoreChanged() override { listener_->StoresChanged(); }
  void SafeGrew() override { WakeKeeper(); }
  void WriterSays(const std::string& line) override { listener_->LogLine(line); }

  void RunCommitter();
  std::optional<Group> TakeGroup();
  void SyncWhatIsDue();
  bool SyncIsDue() const;
  Status Write(const std::vector<Transaction>& group, bool sync);
  void CommitGroup(const Group& group);
  Status RetryUntilCommitted(Status status);
  void Fail(const Group& group, const Status& why);
  void HandOn(const Group& group);
  void HandOnSynced();
  void NoteSegments();
  bool SleepUntilStop(int64_t ms);
  void SetJournalOk(bool ok);
  Status WaitDurable(Lsn lsn);

  void RunKeeper();
  void WakeKeeper();
  bool KeepJournal();

  const LogOptions options_;
  Listener* const listener_;
  const std::string epoch_;
  const std::shared_ptr<const ShardMap> shards_;
  const std::unique_ptr<Journal> journal_;
  const std::vector<std::shared_ptr<MessageStore>> stores_;
  std::vector<std::unique_ptr<StoreWriter>> writers_;  // of each store, and last of the roster
  StoreWriter* roster_ = nullptr;

  std::atomic<size_t> backlog_bytes_{0};
  std::atomic<bool> journal_ok_{true};
  std::atomic<uint64_t> committed_{0};  // the last one's number
  std::atomic<uint64_t> commits_{0};
  std::atomic<uint64_t> transactions_{0};
  std::atomic<uint64_t> messages_{0};
  Histogram commit_times_;  // the committer's
  std::atomic<uint64_t> journal_errors_{0};

  // The committer's.
  std::vector<Group> unsynced_;  // durability interval: written, not yet handed to the stores
  size_t unsynced_bytes_ = 0;
  Clock::time_point sync_at_;
  Lsn closed_through_;

  mutable std::mutex mutex_;
  std::condition_variable work_;             // for the committer
  std::condition_variable durable_changed_;  // committed_, synced_, failed_, journal_ok_, stop_
  std::vector<std::vector<Transaction>> queue_;
  Lsn next_lsn_;
  bool asleep_ = false;
  bool failed_ = false;  // until Resume
  bool sync_wanted_ = false;
  Lsn synced_;  // durability interval: handed to the stores through this
  bool stop_ = false;

  std::mutex keeper_mutex_;
  std::condition_variable keeper_work_;
  bool keeper_wanted_ = false;
  bool keeper_stop_ = false;

  std::thread keeper_;
  std::thread committer_;
};

LogImpl::LogImpl(const LogOptions& options, Listener* listener, Recovered recovered)
    : options_(options),
      listener_(listener),
      epoch_(std::move(recovered.epoch)),
      shards_(std::move(recovered.shards)),
      journal_(std::move(recovered.journal)),
      stores_(std::move(recovered.stores)),
      committed_(journal_->last().value()),
      next_lsn_(journal_->last().Next()),
      synced_(journal_->last()) {
  // Where this fails, the first commit tries again and tells.
  Status status = journal_->Begin();
  if (!status.ok())
    listener_->LogLine("journal event=not_begun error=\"" + status.ToString() + "\"");
  for (Behind& one : recovered.behind) {
    StoreWriterOptions writer;
    writer.name = one.name;
    writer.retry_ms = options_.retry_ms;
    writer.retry_max = options_.retry_max;
    writer.queue_bytes_max = options_.store_queue_bytes_max;
    writers_.push_back(std::make_unique<StoreWriter>(
        writer, journal_.get(), one.store, std::move(one.dead_letters), std::move(one.share),
        journal_->last(), one.synced, this));
  }
  if (options_.roster != nullptr) roster_ = writers_.back().get();
  closed_through_ = journal_->closed_through();
  for (auto& writer : writers_) writer->AskSync(closed_through_);
  WakeKeeper();
  keeper_ = std::thread([this] { RunKeeper(); });
  committer_ = std::thread([this] { RunCommitter(); });
}

LogImpl::~LogImpl() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    work_.notify_one();
    durable_changed_.notify_all();
  }
  committer_.join();
  for (auto& writer : writers_) writer->Stop();
  {
    std::lock_guard lock(keeper_mutex_);
    keeper_stop_ = true;
    keeper_work_.notify_one();
  }
  keeper_.join();
  Status status = journal_->Close();
  if (!status.ok())
    listener_->LogLine("journal event=not_closed error=\"" + status.ToString() + "\"");
}

// ---- The caller's side

void LogImpl::Append(std::vector<Transaction> batch) {
  if (batch.empty()) return;
  size_t bytes = 0;
  for (const Transaction& transaction : batch) bytes += BytesOf(transaction);
  std::lock_guard lock(mutex_);
  if (failed_) {
    next_lsn_ = batch.back().lsn.Next();
    return;
  }
  for (const Transaction& transaction : batch) {
    if (transaction.lsn != next_lsn_) std::abort();  // a journal with a gap could not be opened
    next_lsn_ = next_lsn_.Next();
  }
  backlog_bytes_ += bytes;
  queue_.push_back(std::move(batch));
  if (asleep_) work_.notify_one();
}

Lsn LogImpl::next_lsn() const {
  std::lock_guard lock(mutex_);
  return next_lsn_;
}

void LogImpl::Resume() {
  std::lock_guard lock(mutex_);
  if (!failed_) return;
  failed_ = false;
  next_lsn_ = Lsn(committed_ + 1);
}

Status LogImpl::WaitApplied(std::string_view owner, Lsn lsn) {
  Status status = WaitDurable(lsn);
  return status.ok() ? WriterOf(owner).WaitApplied(lsn) : status;
}

Status LogImpl::WaitRoster(Lsn lsn) {
  Status status = WaitDurable(lsn);
  return status.ok() && roster_ != nullptr ? roster_->WaitApplied(lsn) : status;
}

// Until `lsn` is on its way to the stores; with durability interval it has it synced at once.
Status LogImpl::WaitDurable(Lsn lsn) {
  const bool interval = options_.durability == Durability::kInterval;
  std::unique_lock lock(mutex_);
  while ((interval ? synced_ : Lsn(committed_)) < lsn) {
    if (stop_ || !journal_ok_) return Status(Code::kUnavailable, "the journal can't be synced now");
    if (failed_ || lsn >= next_lsn_) return Status(Code::kUnavailable, "the journal refused it");
    if (interval) {
      sync_wanted_ = true;
      if (asleep_) work_.notify_one();
    }
    durable_changed_.wait(lock);
  }
  return Status();
}

Result<std::shared_ptr<const MessageStore>> LogImpl::store(std::string_view owner) const {
  const size_t store = StoreOf(owner);
  if (writers_[store]->down()) return Error(Code::kUnavailable, "the store that has it is down");
  return std::shared_ptr<const MessageStore>(stores_[store]);
}

Status LogImpl::ReplayDeadLetters() {
  Status worst;
  for (auto& writer : writers_) {
    Status status = writer->Replay();
    if (!status.ok()) worst = status;
  }
  return worst;
}

LogFigures LogImpl::figures() const {
  LogFigures figures;
  figures.commits = commits_;
  figures.transactions = transactions_;
  figures.messages = messages_;
  figures.commit = commit_times_.counts();
  figures.journal_bytes = journal_->bytes();
  figures.journal_errors = journal_errors_;
  const uint64_t committed = committed_;
  uint64_t applied = committed;
  for (const auto& writer : writers_) {
    figures.store_retries += writer->retries();
    figures.dead_letters += writer->letters();
    figures.dead_letter_bytes += writer->letter_bytes();
    figures.queued_bytes += writer->queued_bytes();
    figures.oldest_ms = std::max<int64_t>(figures.oldest_ms, writer->oldest().count());
    figures.apply += writer->apply_times();
    figures.stores_down += writer->down();
    applied = std::min(applied, writer->applied().value());
  }
  figures.unapplied = committed - applied;
  return figures;
}

// ---- The committer

void LogImpl::RunCommitter() {
  NameThread("parley-commit");
  while (auto group = TakeGroup()) {
    if (*group) CommitGroup(*group);
    if (journal_->uncertain()) return;  // the log stops before it is known
    SyncWhatIsDue();
    for (auto& writer : writers_) writer->WaitForRoom();
  }
  if (journal_->Sync().ok()) HandOnSynced();
}

// Waits for something to commit, or for a sync to be due (a null group). Nothing: stop.
std::optional<LogImpl::Group> LogImpl::TakeGroup() {
  std::unique_lock lock(mutex_);
  asleep_ = true;
  auto ready = [&] { return stop_ || !queue_.empty() || (sync_wanted_ && !unsynced_.empty()); };
  if (unsynced_.empty()) {
    work_.wait(lock, ready);
  } else {
    work_.wait_until(lock, sync_at_, ready);
  }
  asleep_ = false;
  if (queue_.empty()) return stop_ ? std::nullopt : std::optional<Group>(nullptr);

  auto group = std::make_shared<std::vector<Transaction>>();
  size_t bytes = 0;
  size_t taken = 0;
  while (taken < queue_.size() && bytes < kGroupBytesMax) {
    for (const Transaction& transaction : queue_[taken]) bytes += BytesOf(transaction);
    if (group->empty()) {
      *group = std::move(queue_[taken]);
    } else {
      std::move(queue_[taken].begin(), queue_[taken].end(), std::back_inserter(*group));
    }
    ++taken;
  }
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(taken));
  return group;
}

Status LogImpl::Write(const std::vector<Transaction>& group, bool sync) {
  Timed timed(&commit_times_);
  return journal_->Commit(group, sync);
}

void LogImpl::CommitGroup(const Group& group) {
  const bool sync = options_.durability == Durability::kCommit;
  Status status = Write(*group, sync);
  if (!status.ok()) status = RetryUntilCommitted(std::move(status));
  if (!status.ok()) {
    if (!journal_->uncertain()) {
      Fail(group, status);
      NoteSegments();  // it may have filled one, and what fills the journal can go
      WakeKeeper();
    }
    return;
  }
  commits_ += sync;
  transactions_ += group->size();
  messages_ += static_cast<uint64_t>(std::count_if(group->begin(), group->end(), CarriesMessage));
  {
    std::lock_guard lock(mutex_);
    committed_ = group->back().lsn.value();
    durable_changed_.notify_all();
  }
  listener_->Committed(group->back().lsn);
  size_t bytes = 0;
  for (const Transaction& transaction : *group) bytes += BytesOf(transaction);
  backlog_bytes_ -= bytes;
  if (options_.durability == Durability::kInterval) {
    if (unsynced_.empty()) {
      sync_at_ = Clock::now() + std::chrono::milliseconds(options_.interval_ms);
    }
    unsynced_.push_back(group);
    unsynced_bytes_ += bytes;
  } else {
    HandOn(group);
  }
  NoteSegments();
}

// An error: it is certain that the last commit failed; or, while the log stops, it isn't known.
Status LogImpl::RetryUntilCommitted(Status status) {
  ++journal_errors_;
  int64_t delay_ms = options_.retry_ms;
  while (!status.ok() && journal_->uncertain()) {
    SetJournalOk(false);
    listener_->LogLine("journal event=retry error=\"" + status.ToString() + "\"");
    NoteSegments();
    WakeKeeper();  // it may be full of segments that were begun and given up
    if (!SleepUntilStop(delay_ms)) return status;
    delay_ms = std::min(delay_ms * 2, kRetryMsMax);
    status = journal_->Retry();
    journal_errors_ += !status.ok();
  }
  SetJournalOk(true);
  return status;
}

void LogImpl::SetJournalOk(bool ok) {
  std::lock_guard lock(mutex_);
  journal_ok_ = ok;
  durable_changed_.notify_all();
}

bool LogImpl::SleepUntilStop(int64_t ms) {
  std::unique_lock lock(mutex_);
  return !work_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return stop_; });
}

// What is queued behind the group was numbered on the group's being there.
void LogImpl::Fail(const Group& group, const Status& why) {
  Lsn last = group->back().lsn;
  {
    std::lock_guard lock(mutex_);
    failed_ = true;
    if (!queue_.empty()) last = queue_.back().back().lsn;
    queue_.clear();
    backlog_bytes_ = 0;
    durable_changed_.notify_all();
  }
  listener_->LogLine("journal event=failed first=" + std::to_string(group->front().lsn.value()) +
                     " last=" + std::to_string(last.value()) + " error=\"" + why.ToString() + "\"");
  listener_->Failed(group->front().lsn, last, Status(Code::kUnavailable, why.message()));
}

bool LogImpl::SyncIsDue() const {
  std::lock_guard lock(mutex_);
  return sync_wanted_ || stop_ || unsynced_bytes_ > kUnsyncedBytesMax || Clock::now() >= sync_at_;
}

void LogImpl::SyncWhatIsDue() {
  if (unsynced_.empty() || journal_->uncertain() || !SyncIsDue()) return;
  Status status = journal_->Sync();
  if (!status.ok()) status = RetryUntilCommitted(std::move(status));
  if (!status.ok()) return;
  ++commits_;
  HandOnSynced();
}

void LogImpl::HandOnSynced() {
  for (const Group& group : std::exchange(unsynced_, {})) HandOn(group);
  unsynced_bytes_ = 0;
  {
    std::lock_guard lock(mutex_);
    sync_wanted_ = false;
    synced_ = Lsn(committed_);
    durable_changed_.notify_all();
  }
  NoteSegments();
}

// Gives each store those transactions that concern it.
void LogImpl::HandOn(const Group& group) {
  std::vector<StoreWriter::Work> works(writers_.size());
  for (const Transaction& transaction : *group) {
    const size_t bytes = BytesOf(transaction);
    auto hand_to = [&](StoreWriter::Work& work) {
      if (!work.mine.empty() && work.mine.back() == &transaction) return;
      work.mine.push_back(&transaction);
      work.bytes += bytes;
    };
    for (const Record& record : transaction.records) {
      ForEachOwner(record, [&](std::string_view owner) { hand_to(works[StoreOf(owner)]); });
      if (roster_ != nullptr && ConcernsRoster(record)) hand_to(works.back());
    }
  }
  for (size_t i = 0; i < works.size(); ++i) {
    if (!works[i].mine.empty()) works[i].batch = group;
    writers_[i]->Push(std::move(works[i]), group->back().lsn);
  }
}

// When a segment is full, the stores sync what it holds, so that it can go.
void LogImpl::NoteSegments() {
  if (journal_->WantsSpare()) WakeKeeper();
  Lsn closed = journal_->closed_through();
  if (!unsynced_.empty()) {  // the writers don't have these yet
    closed = std::min(closed, Lsn(unsynced_.front()->front().lsn.value() - 1));
  }
  if (closed == closed_through_) return;
  closed_through_ = closed;
  for (auto& writer : writers_) writer->AskSync(closed);
}

// ---- The keeper: what needn't be done while somebody waits

void LogImpl::WakeKeeper() {
  std::lock_guard lock(keeper_mutex_);
  keeper_wanted_ = true;
  keeper_work_.notify_one();
}

void LogImpl::RunKeeper() {
  NameThread("parley-keeper");
  WorkInBackground();
  std::unique_lock lock(keeper_mutex_);
  auto wanted = [&] { return keeper_wanted_ || keeper_stop_; };
  bool kept = true;
  while (true) {
    // A full journal may wait for just what failed: nothing else would wake the keeper then.
    if (kept) {
      keeper_work_.wait(lock, wanted);
    } else {
      keeper_work_.wait_for(lock, kKeepAgain, wanted);
    }
    if (keeper_stop_) return;
    keeper_wanted_ = false;
    lock.unlock();
    kept = KeepJournal();
    lock.lock();
  }
}

bool LogImpl::KeepJournal() {
  Lsn safe(UINT64_MAX);
  for (auto& writer : writers_) safe = std::min(safe, writer->safe());
  Status status = journal_->Trim(safe);
  if (status.ok() && journal_->WantsSpare()) status = journal_->PrepareSpare();
  if (!status.ok())
    listener_->LogLine("journal event=not_kept error=\"" + status.ToString() + "\"");
  return status.ok();
}

// Completes those entries that point to one group's messages; they come ascending by gseq.
Status FillFrom(const MessageStore& store, const GroupId& group,
                const std::vector<LogEntry*>& entries) {
  auto missing = [&](Seq gseq) {
    return Status(Code::kCorruption, "message " + std::to_string(gseq.value()) + " of group '" +
                                         group.str() + "' isn't there, but a member's log has it");
  };
  for (size_t begin = 0; begin < entries.size();) {
    size_t end = begin + 1;  // of those that stand together
    while (end < entries.size() && entries[end]->gseq <= entries[end - 1]->gseq.Next()) ++end;
    const Seq first = entries[begin]->gseq;
    if (first == Seq()) return missing(first);
    auto page = store.ReadGroup(group, {.after = Seq(first.value() - 1),
                                        .before = entries[end - 1]->gseq.Next(),
                                        .limit = SIZE_MAX,
                                        .bytes_max = SIZE_MAX});
    if (!page) return page.error();
    auto found = page->entries.begin();
    for (; begin < end; ++begin) {
      LogEntry& entry = *entries[begin];
      while (found != page->entries.end() && found->gseq < entry.gseq) ++found;
      if (found == page->entries.end() || found->gseq != entry.gseq) return missing(entry.gseq);
      entry.message = found->message;
    }
  }
  return Status();
}

}  // namespace

Status FillEntries(Log* log, std::span<LogEntry> entries) {
  std::map<GroupId, std::vector<LogEntry*>> groups;
  for (LogEntry& entry : entries) {
    if (!entry.group.empty()) groups[entry.group].push_back(&entry);
  }
  for (auto& [group, pointers] : groups) {
    Lsn last;
    for (const LogEntry* entry : pointers) last = std::max(last, entry->lsn);
    std::sort(pointers.begin(), pointers.end(),
              [](const LogEntry* a, const LogEntry* b) { return a->gseq < b->gseq; });
    Status status = log->WaitApplied(group.str(), last);
    if (!status.ok()) return status;
    auto store = log->store(group.str());
    if (!store) return store.error();
    status = FillFrom(**store, group, pointers);
    if (!status.ok()) return status;
  }
  return Status();
}

Status FillPage(Log* log, LogPage* page, size_t bytes_max) {
  constexpr size_t kAtOnce = 16;
  std::span<LogEntry> entries = page->entries;
  size_t bytes = 0;
  for (size_t begin = 0; begin < entries.size(); begin += kAtOnce) {
    auto chunk = entries.subspan(begin, std::min(kAtOnce, entries.size() - begin));
    if (Status status = FillEntries(log, chunk); !status.ok()) return status;
    for (size_t i = begin; i < begin + chunk.size(); ++i) {
      bytes += entries[i].message.body.size();
      if (bytes <= bytes_max || i == 0) continue;
      page->entries.erase(page->entries.begin() + static_cast<std::ptrdiff_t>(i),
                          page->entries.end());
      page->more = true;
      return Status();
    }
  }
  return Status();
}

namespace {

// The first number in the user's log behind all of the group's messages through `gseq`. Both kinds
// of numbers grow together, so that it is found by halving. The log may grow meanwhile.
Result<Seq> FirstBehind(const MessageStore& store, const UserId& user, const GroupId& group,
                        Seq gseq) {
  Seq low, behind;  // all through `low` is through `gseq`, none from `behind` on; 0: not known yet
  Seq before(UINT64_MAX);
  while (true) {
    auto newest = store.ReadConversation(user, {.group = group},
                                         {.before = before, .descending = true, .limit = 1});
    if (!newest) return Error(newest.error());
    const Seq seq = newest->entries.empty() ? Seq() : newest->entries[0].seq;
    if (seq != Seq() && newest->entries[0].gseq > gseq) {
      behind = seq;
    } else if (behind == Seq()) {
      return seq.Next();
    } else {
      low = Seq(before.value() - 1);
    }
    if (behind.value() - low.value() <= 1) return behind;
    before = Seq(low.value() + (behind.value() - low.value()) / 2 + 1);
  }
}

}  // namespace

Status NumberEntries(Log* log, const UserId& user, Lsn holds, std::span<LogEntry> entries) {
  if (entries.empty()) return Status();
  Status status = log->WaitApplied(user.str(), holds);
  if (!status.ok()) return status;
  auto store = log->store(user.str());
  if (!store) return store.error();
  const auto [first, last] = std::minmax(entries.front().gseq, entries.back().gseq);
  const GroupId& group = entries.front().group;
  auto behind = FirstBehind(**store, user, group, last);
  if (!behind) return behind.error();
  auto page = (*store)->ReadConversation(
      user, {.group = group},
      {.before = *behind, .descending = true, .limit = entries.size(), .bytes_max = SIZE_MAX});
  if (!page) return page.error();
  std::map<Seq, Seq> numbers;
  for (const LogEntry& entry : page->entries) {
    if (entry.gseq >= first) numbers.emplace(entry.gseq, entry.seq);
  }
  for (LogEntry& entry : entries) {
    if (auto found = numbers.find(entry.gseq); found != numbers.end()) {
      entry.peer_seq = found->second;
    }
  }
  return Status();
}

Result<std::unique_ptr<Log>> Log::Open(const LogOptions& options, Env* env, Listener* listener) {
  auto recovered = Recovery(options, env, listener).Run();
  if (!recovered) return Error(std::move(recovered.error()));
  return std::make_unique<LogImpl>(options, listener, std::move(*recovered));
}

}  // namespace parley
