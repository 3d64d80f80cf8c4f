#include "storage/store_writer.h"

#include <algorithm>
#include <utility>

#include "storage/thread_name.h"

namespace parley {
namespace {

// How long work may gather before it is applied: it is durable already, and larger batches and
// fewer wake-ups are cheaper. Whoever waits for it doesn't wait for this.
constexpr std::chrono::milliseconds kGather(50);
constexpr size_t kGatherBytesMax = 1 << 20;
constexpr size_t kApplyBytesMax = 4 << 20;
constexpr int64_t kProbeMsMax = 30'000;

}  // namespace

Share ShareOf(Mine mine) {
  return {mine, [mine](const Record& record) {
            bool concerns = false;
            ForEachOwner(record,
                         [&](std::string_view owner) { concerns = concerns || mine(owner); });
            return concerns;
          }};
}

Share ShareOfRoster() {
  return {[](std::string_view) { return true; }, ConcernsRoster};
}

StoreWriter::StoreWriter(const StoreWriterOptions& options, Journal* journal, Store* store,
                         DeadLetters dead_letters, Share share, Lsn applied, Lsn synced, Host* host)
    : options_(options),
      journal_(journal),
      store_(store),
      share_(std::move(share)),
      host_(host),
      dead_letters_(std::move(dead_letters)),
      synced_(synced),
      pushed_(applied),
      applied_(applied),
      safe_(synced),
      thread_([this] { Run(); }) {}

StoreWriter::~StoreWriter() { Stop(); }

// ---- Other threads

void StoreWriter::Push(Work work, Lsn through) {
  std::lock_guard lock(mutex_);
  pushed_ = through;
  changed_.notify_all();  // who waits for these makes them urgent
  if (work.mine.empty()) return;
  queue_bytes_ += work.bytes;
  work.pushed_at = Clock::now();
  queue_.push_back(std::move(work));
  if (queue_bytes_ > kGatherBytesMax && !down_) urgent_ = true;
  if (asleep_ || urgent_ || (down_ && queue_bytes_ > options_.queue_bytes_max / 2)) {
    work_.notify_one();
  }
}

void StoreWriter::AskSync(Lsn through) {
  std::lock_guard lock(mutex_);
  sync_asked_ = through;
  work_.notify_one();
}

void StoreWriter::WaitForRoom() {
  std::unique_lock lock(mutex_);
  while (queue_bytes_ > options_.queue_bytes_max && !down_ && !stop_) {
    urgent_ = true;
    work_.notify_one();
    changed_.wait(lock);
  }
}

void StoreWriter::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    work_.notify_one();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

Status StoreWriter::WaitApplied(Lsn lsn) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (down_) return Status(Code::kUnavailable, "the store that has it is down");
    if (AppliedLocked() >= lsn) return Status();
    if (stop_) return Status(Code::kUnavailable, "the log is closing");
    if (pushed_ >= lsn) {
      urgent_ = true;
      work_.notify_one();
    }
    changed_.wait(lock);
  }
}

Status StoreWriter::Replay() {
  std::unique_lock lock(mutex_);
  if (!down_) return Status();
  const uint64_t mine = ++probes_asked_;
  work_.notify_one();
  changed_.wait(lock, [&] { return probes_done_ >= mine || !down_ || stop_; });
  if (!down_) return Status();
  if (probes_done_ < mine) return Status(Code::kUnavailable, "the log is closing");
  return probe_result_;
}

// What waits is in the order of its numbers, so its first one tells.
Lsn StoreWriter::AppliedLocked() const {
  if (down_) return applied_;
  if (in_hand_ != Lsn()) return Lsn(in_hand_.value() - 1);
  if (!queue_.empty()) return Lsn(queue_.front().mine.front()->lsn.value() - 1);
  return pushed_;
}

bool StoreWriter::down() const {
  std::lock_guard lock(mutex_);
  return down_;
}

Lsn StoreWriter::safe() const {
  std::lock_guard lock(mutex_);
  return safe_;
}

Lsn StoreWriter::applied() const {
  std::lock_guard lock(mutex_);
  return AppliedLocked();
}

uint64_t StoreWriter::retries() const {
  std::lock_guard lock(mutex_);
  return retries_;
}

uint64_t StoreWriter::letters() const {
  std::lock_guard lock(mutex_);
  return letters_;
}

uint64_t StoreWriter::letter_bytes() const {
  std::lock_guard lock(mutex_);
  return letter_bytes_;
}

size_t StoreWriter::queued_bytes() const {
  std::lock_guard lock(mutex_);
  return queue_bytes_;
}

std::chrono::milliseconds StoreWriter::oldest() const {
  std::lock_guard lock(mutex_);
  if (down_ || (in_hand_ == Lsn() && queue_.empty())) return std::chrono::milliseconds(0);
  auto since = in_hand_ != Lsn() ? in_hand_since_ : queue_.front().pushed_at;
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since);
}

// ---- The writer's thread: up

void StoreWriter::Run() {
  NameThread("parley-store");
  WorkInBackground();
  while (WaitForWork()) TakeTurn();
  if (!down()) SyncStore(pushed_);
}

bool StoreWriter::WaitForWork() {
  std::unique_lock lock(mutex_);
  if (down_) {
    work_.wait_until(lock, next_probe_, [&] {
      return stop_ || urgent_ || probes_asked_ > probes_done_ ||
             queue_bytes_ > options_.queue_bytes_max / 2;
    });
  } else {
    asleep_ = true;
    work_.wait(lock, [&] { return stop_ || urgent_ || !queue_.empty() || sync_asked_ > safe_; });
    asleep_ = false;
    work_.wait_for(lock, kGather, [&] { return stop_ || urgent_; });
  }
  urgent_ = false;
  return !stop_ || (!down_ && !queue_.empty());
}

void StoreWriter::TakeTurn() {
  std::vector<Work> works;
  Lsn sync;
  {
    std::lock_guard lock(mutex_);
    if (!down_ && !queue_.empty()) {
      in_hand_ = queue_.front().mine.front()->lsn;
      in_hand_since_ = queue_.front().pushed_at;
    }
    works.assign(std::move_iterator(queue_.begin()), std::move_iterator(queue_.end()));
    queue_.clear();
    if (sync_asked_ > safe_) sync = sync_asked_;
  }
  if (down()) return TakeDownTurn();
  if (ApplyQueue(works) && sync != Lsn()) SyncStore(sync);
}

// False: the store went down.
bool StoreWriter::ApplyQueue(const std::vector<Work>& works) {
  if (works.empty()) return true;
  for (size_t begin = 0; begin < works.size();) {
    size_t end = begin;
    for (size_t bytes = 0; end < works.size() && bytes < kApplyBytesMax; ++end) {
      bytes += works[end].bytes;
    }
    if (!ApplyChunk(std::span(works).subspan(begin, end - begin))) return false;
    begin = end;
  }
  std::lock_guard lock(mutex_);
  in_hand_ = Lsn();
  changed_.notify_all();
  return true;
}

bool StoreWriter::ApplyChunk(std::span<const Work> works) {
  std::vector<const Transaction*> transactions;
  size_t bytes = 0;
  for (const Work& work : works) {
    transactions.insert(transactions.end(), work.mine.begin(), work.mine.end());
    bytes += work.bytes;
  }
  Status status = WithRetries([&] {
    Timed timed(&apply_times_);
    return Apply(transactions);
  });
  if (!status.ok()) {
    GoDown(status);
    return false;
  }
  std::lock_guard lock(mutex_);
  applied_ = transactions.back()->lsn;
  in_hand_ = applied_.Next();
  queue_bytes_ -= bytes;
  changed_.notify_all();
  return true;
}

Status StoreWriter::Apply(const std::vector<const Transaction*>& transactions) {
  Status status = suspect_ ? FillGap() : Status();
  return status.ok() ? store_->Apply(transactions, share_.mine) : status;
}

// What the store has after a failure: it may have lost what it had applied and not synced.
Result<Lsn> StoreWriter::LookAtStore() {
  // A store that has to open its files again does so now.
  Status status = store_->Apply({}, share_.mine);
  if (!status.ok()) return Error(std::move(status));
  auto applied = store_->Applied();
  if (applied && *applied < synced_) {
    return Error(Code::kCorruption, "the store lost transactions that it had synced");
  }
  return applied;
}

Status StoreWriter::FillGap() {
  auto applied = LookAtStore();
  if (!applied) return applied.error();
  Status status = journal_->Read(*applied, applied_, [&](std::vector<Transaction> transactions) {
    return ApplyAll(std::move(transactions), *applied);
  });
  if (status.ok()) suspect_ = false;
  return status;
}

// Those after `after`.
Status StoreWriter::ApplyAll(std::vector<Transaction> transactions, Lsn after) {
  std::vector<const Transaction*> missing;
  for (const Transaction& transaction : transactions) {
    if (transaction.lsn > after) missing.push_back(&transaction);
  }
  return missing.empty() ? Status() : store_->Apply(missing, share_.mine);
}

// Tells the store that there was nothing for it up to `through`.
Status StoreWriter::ApplyMark(Lsn through) {
  const Transaction mark{through, {}};
  const std::vector<const Transaction*> transactions{&mark};
  return store_->Apply(transactions, share_.mine);
}

// Everything of the store's through `through` was applied. False: the store went down.
bool StoreWriter::SyncStore(Lsn through) {
  Status status = WithRetries([&] {
    Status done = suspect_ ? FillGap() : Status();
    if (done.ok() && applied_ < through) done = ApplyMark(through);
    return done.ok() ? store_->Sync() : done;
  });
  if (!status.ok()) {
    GoDown(status);
    return false;
  }
  {
    std::lock_guard lock(mutex_);
    applied_ = std::max(applied_, through);
    safe_ = synced_ = through;
  }
  host_->SafeGrew();
  return true;
}

Status StoreWriter::WithRetries(const std::function<Status()>& attempt) {
  Status status = attempt();
  for (int i = 0; i < options_.retry_max && !status.ok(); ++i) {
    if (status.code() == Code::kCorruption) break;
    suspect_ = true;
    Say("retry", status);
    {
      std::lock_guard lock(mutex_);
      ++retries_;
    }
    if (!SleepUntilStop(options_.retry_ms << std::min(i, 16))) break;
    status = attempt();
  }
  if (!status.ok()) suspect_ = true;
  return status;
}

bool StoreWriter::SleepUntilStop(int64_t ms) {
  std::unique_lock lock(mutex_);
  return !work_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return stop_; });
}

void StoreWriter::Say(const std::string& event, const Status& status) {
  std::string line = "store event=" + event + " store=" + options_.name;
  if (!status.ok()) line += " error=\"" + status.ToString() + "\"";
  host_->WriterSays(line);
}

// ---- The writer's thread: down

void StoreWriter::GoDown(const Status& why) {
  copied_ = synced_;
  probe_ms_ = options_.retry_ms << std::min(options_.retry_max, 16);
  next_probe_ = Clock::now() + std::chrono::milliseconds(probe_ms_);
  {
    std::lock_guard lock(mutex_);
    down_ = true;
    urgent_ = true;  // the dead letters are written at once
    in_hand_ = Lsn();
    queue_.clear();
    queue_bytes_ = 0;
    changed_.notify_all();
  }
  Say("down", why);
  host_->StoreChanged();
}

// What was queued is in the journal.
void StoreWriter::TakeDownTurn() {
  Lsn through;
  uint64_t asked;
  {
    std::lock_guard lock(mutex_);
    queue_bytes_ = 0;
    through = pushed_;
    asked = probes_asked_;
  }
  Status status = CopyToDeadLetters(through);
  if (!status.ok()) Say("dead_letters_not_written", status);
  if (asked == probes_done_ && Clock::now() < next_probe_) return;

  status = Revive(through);
  probe_ms_ = std::min(probe_ms_ * 2, kProbeMsMax);
  next_probe_ = Clock::now() + std::chrono::milliseconds(probe_ms_);
  {
    std::lock_guard lock(mutex_);
    probes_done_ = asked;
    if (status.ok()) {
      down_ = false;
      applied_ = safe_ = synced_ = through;
      probes_done_ = probes_asked_;
    }
    letters_ = dead_letters_.letters();
    letter_bytes_ = dead_letters_.bytes();
    probe_result_ = status;
    changed_.notify_all();
  }
  Say(status.ok() ? "up" : "still_down", status);
  if (!status.ok()) return;
  host_->StoreChanged();
  host_->SafeGrew();
}

Status StoreWriter::CopyToDeadLetters(Lsn through) {
  if (copied_ >= through) return Status();
  Status status = journal_->Read(copied_, through, [&](std::vector<Transaction> transactions) {
    const Lsn last = transactions.back().lsn;
    for (Transaction& transaction : transactions) {
      std::erase_if(transaction.records, [&](const Record& r) { return !share_.concerns(r); });
    }
    std::erase_if(transactions,
                  [&](const Transaction& t) { return t.records.empty() && t.lsn != last; });
    Status added = dead_letters_.Append(transactions);
    if (added.ok()) copied_ = last;
    return added;
  });
  {
    std::lock_guard lock(mutex_);
    safe_ = copied_;
    letters_ = dead_letters_.letters();
    letter_bytes_ = dead_letters_.bytes();
  }
  host_->SafeGrew();
  return status;
}

// Brings everything through `through` into the store, from the dead letters and the journal.
Status StoreWriter::Revive(Lsn through) {
  auto applied = LookAtStore();
  if (!applied) return applied.error();
  Status status = ApplyMissing(*applied, through);
  if (status.ok() && *applied < through) status = ApplyMark(through);
  if (status.ok()) status = store_->Sync();
  if (status.ok()) status = dead_letters_.Clear();
  if (status.ok()) suspect_ = false;
  return status;
}

Status StoreWriter::ApplyMissing(Lsn applied, Lsn through) {
  Status status = dead_letters_.Read([&](std::vector<Transaction> transactions) {
    return ApplyAll(std::move(transactions), applied);
  });
  if (!status.ok()) return status;
  const Lsn from = std::max(applied, dead_letters_.last());
  return journal_->Read(from, through, [&](std::vector<Transaction> transactions) {
    return ApplyAll(std::move(transactions), from);
  });
}

}  // namespace parley
