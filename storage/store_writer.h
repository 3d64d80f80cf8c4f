// Brings what the journal has made durable into one store: a thread of its own, a queue, and the
// rules for when the store fails.
//
//   up    transactions are gathered for a moment, then go to the store in one Apply
//   down  after retry_max retries: waiting transactions are dropped from memory, and everything
//   past
//         the store's last Sync is copied from the journal to the dead letters. Every now and then
//         the writer tries to bring dead letters and journal into the store; when that works, it is
//         up again
//
// Nothing depends on the queue: whatever is not in the store, synced, nor in the dead letters is
// still in the journal, which may be trimmed only through safe().
//
// Owner: Log. Threads: Push, AskSync and WaitForRoom are the committer's; the rest is anybody's.
#ifndef PARLEY_STORAGE_STORE_WRITER_H_
#define PARLEY_STORAGE_STORE_WRITER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "storage/dead_letter.h"
#include "storage/histogram.h"
#include "storage/journal.h"
#include "storage/message_store.h"
#include "storage/record.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

struct StoreWriterOptions {
  std::string name;  // what log lines call the store
  int64_t retry_ms = 100;
  int retry_max = 5;
  size_t queue_bytes_max = 64 << 20;
};

// What of a transaction is a store's own: the store is told by owner, the writer asks for records.
struct Share {
  Mine mine;
  std::function<bool(const Record&)> concerns;
};
// The records of those owners.
Share ShareOf(Mine mine);
Share ShareOfRoster();

class StoreWriter {
 public:
  // What it tells the log; called on the writer's thread, without locks.
  class Host {
   public:
    virtual ~Host() = default;
    virtual void StoreChanged() = 0;  // down() changed
    virtual void SafeGrew() = 0;      // safe() did
    virtual void WriterSays(const std::string& line) = 0;
  };

  // Those of a batch's transactions that concern the store. They live as long as `batch`.
  struct Work {
    std::shared_ptr<const std::vector<Transaction>> batch;
    std::vector<const Transaction*> mine;
    size_t bytes = 0;
    std::chrono::steady_clock::time_point pushed_at = {};  // set by Push
  };

  // Starts the thread. The store, which lives longer, has applied everything through `applied`, and
  // synced it through `synced`; the journal has what is between. There are no dead letters that it
  // lacks.
  StoreWriter(const StoreWriterOptions& options, Journal* journal, Store* store,
              DeadLetters dead_letters, Share share, Lsn applied, Lsn synced, Host* host);
  // What is queued is applied first, unless the store is down; Stop is called where it wasn't.
  ~StoreWriter();

  // All that concerns the store through `through` has been pushed with this; `work` may be empty.
  void Push(Work work, Lsn through);
  // Has the store synced through `through`, which has been pushed, so that the journal can be
  // trimmed.
  void AskSync(Lsn through);
  // Returns when the queue holds no more than it may.
  void WaitForRoom();
  // Applies and syncs what is queued (not where the store is down), then ends the thread.
  void Stop();

  // kUnavailable where the store is, or goes, down; or when the writer stops before.
  Status WaitApplied(Lsn lsn);
  // Tries the store now; returns how it went.
  Status Replay();
  bool down() const;

  Lsn safe() const;     // all of the store's through this is in it, synced, or in dead letters
  Lsn applied() const;  // all of the store's through this is in it
  uint64_t retries() const;
  uint64_t letters() const;
  uint64_t letter_bytes() const;
  size_t queued_bytes() const;
  // How long what waits longest has; 0 where nothing does or the store is down.
  std::chrono::milliseconds oldest() const;
  HistogramCounts apply_times() const { return apply_times_.counts(); }

 private:
  using Clock = std::chrono::steady_clock;

  Lsn AppliedLocked() const;

  void Run();
  bool WaitForWork();
  void TakeTurn();
  bool ApplyQueue(const std::vector<Work>& works);
  bool ApplyChunk(std::span<const Work> works);
  Status Apply(const std::vector<const Transaction*>& transactions);
  Result<Lsn> LookAtStore();
  Status FillGap();
  bool SyncStore(Lsn through);
  Status WithRetries(const std::function<Status()>& attempt);
  void GoDown(const Status& why);
  void TakeDownTurn();
  Status CopyToDeadLetters(Lsn through);
  Status Revive(Lsn through);
  Status ApplyMissing(Lsn applied, Lsn through);
  Status ApplyAll(std::vector<Transaction> transactions, Lsn after);
  Status ApplyMark(Lsn through);
  bool SleepUntilStop(int64_t ms);
  void Say(const std::string& event, const Status& status);

  const StoreWriterOptions options_;
  Journal* const journal_;
  Store* const store_;
  const Share share_;
  Host* const host_;

  // The writer thread's.
  DeadLetters dead_letters_;
  bool suspect_ = false;  // a call of the store failed since its Applied() was last looked at
  Lsn synced_;            // the store has promised to keep everything through this
  Lsn copied_;            // while down: dead letters hold what the store lacks through this
  int64_t probe_ms_ = 0;
  Clock::time_point next_probe_;
  Histogram apply_times_;

  mutable std::mutex mutex_;
  std::condition_variable work_;     // the writer waits
  std::condition_variable changed_;  // others wait for the writer
  std::deque<Work> queue_;
  size_t queue_bytes_ = 0;           // with what is in hand
  Lsn in_hand_;                      // the first transaction being applied; 0: none
  Clock::time_point in_hand_since_;  // when it was pushed
  Lsn pushed_;
  Lsn applied_;  // the last one of its own that was applied
  Lsn safe_;
  Lsn sync_asked_;
  bool asleep_ = false;
  bool urgent_ = false;
  bool stop_ = false;
  bool down_ = false;
  uint64_t probes_asked_ = 0;
  uint64_t probes_done_ = 0;
  Status probe_result_;
  uint64_t retries_ = 0;
  uint64_t letters_ = 0;
  uint64_t letter_bytes_ = 0;

  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_STORE_WRITER_H_
