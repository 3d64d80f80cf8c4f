// The durable log of a broker: journal, shard map, stores, their writers, dead letters, as one.
//
//   Append ──▶ committer thread: one journal write + fdatasync for all that queued meanwhile
//                 │ Listener::Committed(last)                 (durable: its effects may be shown)
//                 ▼
//              one writer thread for each store: Apply, retry, dead letter
//                 │ applied
//                 ▼
//              reads: WaitApplied(user, lsn), then store(user).Read…
//
// Owner: the plugin makes one, the engine uses it. Append is called by one thread (the engine's),
// everything else by any.
//
// Failures
// - The journal can't take a batch (full disk, I/O error) and it is certain that nothing of it can
//   be read back: Listener::Failed(first, last) is called for it and all batches queued behind it,
//   and nothing is committed until the caller has called Resume(); what is appended in between is
//   part of the failure and is dropped. The caller's numbers go on from the last committed one.
// - It is not certain (a failed fdatasync may have written or not): the batch is kept and written
//   again into a new segment whose header voids the uncertain tail, with growing delays, until it
//   is committed; journal_ok() is false meanwhile.
// - durability interval: what is committed reaches the stores once it is synced, so that no store
//   ever knows what the journal lost; WaitApplied doesn't wait for the interval, it asks for the
//   sync. Under os, a store may after a power cut know more than the journal, or more than another
//   store.
// - A store fails: its writer retries (retry_max times, retry_ms doubling), then the store is down:
//   its records go to the dead-letter log, store_ok(user) is false, reads answer kUnavailable, and
//   a probe replays the dead letters in order when the store works again.
#ifndef PARLEY_STORAGE_LOG_H_
#define PARLEY_STORAGE_LOG_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/env.h"
#include "storage/histogram.h"
#include "storage/message_store.h"
#include "storage/record.h"
#include "storage/status.h"

namespace parley {

enum class Durability {
  kCommit,    // fdatasync before Committed
  kInterval,  // fdatasync every interval_ms; Committed does not wait for it
  kOs,        // never: survives the process, not the machine
};

struct LogOptions {
  std::string data_dir;
  int stores = 4;  // for a new directory; an old one's shard map says
  Durability durability = Durability::kCommit;
  int64_t interval_ms = 0;
  uint64_t journal_segment_bytes = 64 << 20;
  uint64_t journal_bytes_max = uint64_t{4} << 30;  // past it Append's batches fail: kUnavailable
  int64_t retry_ms = 100;
  int retry_max = 5;
  size_t store_queue_bytes_max = 64 << 20;  // a slow store holds the committer back past this
  uint64_t store_cache_bytes = 64 << 20;    // LevelDB block cache, all stores together

  // Opens a store, makes it where `create`. Empty: LevelDB.
  std::function<Result<std::unique_ptr<MessageStore>>(int store, const std::string& path,
                                                      bool create)>
      open_store;
  // Takes its records as one more store, with a writer and dead letters of its own; it lives as
  // long as the log. Null: there is none, and such records are nobody's.
  Store* roster = nullptr;
};

struct LogFigures {
  uint64_t commits = 0;        // fdatasyncs of batches
  uint64_t transactions = 0;   // committed
  uint64_t messages = 0;       // … those that carry a message
  uint64_t journal_bytes = 0;  // held in segments now
  uint64_t journal_errors = 0;
  uint64_t store_retries = 0;
  uint64_t dead_letters = 0;  // transactions waiting in dead-letter logs
  uint64_t dead_letter_bytes = 0;
  uint64_t stores_down = 0;
  uint64_t unapplied = 0;     // committed, not yet applied by every store
  uint64_t queued_bytes = 0;  // … their bytes, once for each store
  int64_t oldest_ms = 0;      // how long the oldest of them has waited; 0: there is none
  HistogramCounts commit;     // what a write to the journal took, with its fdatasync
  HistogramCounts apply;      // what a batch took to be written to a store
};

class Log {
 public:
  // Committed and Failed are called by the committer thread, in order; the others by any of the
  // log's threads, also from within Open. Must not block for long, nor call the log.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void Committed(Lsn last) = 0;
    virtual void Failed(Lsn first, Lsn last, const Status& why) = 0;
    // A store went down or came back: ask store_ok again.
    virtual void StoresChanged() = 0;
    virtual void LogLine(const std::string& line) = 0;  // logfmt
  };

  // Opens or makes the directory, recovers (dead letters and journal into the stores) and starts
  // the threads. Errors name the file and what to do. The listener outlives the log.
  static Result<std::unique_ptr<Log>> Open(const LogOptions& options, Env* env, Listener* listener);
  // Commits and applies what was appended, syncs the stores, stops. Where the disk refuses, what
  // couldn't be committed was neither Committed nor Failed, and may be there after the next Open.
  virtual ~Log() = default;

  // Queues the batch; its transactions must ascend from next_lsn() without gaps. Never blocks.
  virtual void Append(std::vector<Transaction> batch) = 0;
  // The number after the last one appended (or, after Failed, committed).
  virtual Lsn next_lsn() const = 0;
  // After Failed: the caller has taken back what it had numbered.
  virtual void Resume() = 0;
  // Bytes appended and not yet committed, for back-pressure.
  virtual size_t backlog_bytes() const = 0;

  virtual bool journal_ok() const = 0;
  // `owner`: a user's id or a group's.
  virtual bool store_ok(std::string_view owner) const = 0;
  // Blocks until the owner's store has applied `lsn`, which was appended. kUnavailable where the
  // journal refused it or is not ok, where the store is down, or can't be brought so far now.
  virtual Status WaitApplied(std::string_view owner, Lsn lsn) = 0;
  // The owner's store. kUnavailable where it is down.
  virtual Result<std::shared_ptr<const MessageStore>> store(std::string_view owner) const = 0;
  // The same for the roster.
  virtual bool roster_ok() const = 0;
  virtual Status WaitRoster(Lsn lsn) = 0;

  // Tries the stores that are down now rather than at the next probe.
  virtual Status ReplayDeadLetters() = 0;
  virtual LogFigures figures() const = 0;
  // Changes only when an older backup is restored.
  virtual const std::string& epoch() const = 0;
};

// Completes those entries of a user's log that point to a group's message, from the groups' stores.
// kUnavailable where one can't be read now; kCorruption where what an entry points to isn't there.
Status FillEntries(Log* log, std::span<LogEntry> entries);
// The same for a page, which is cut where its bodies pass `bytes_max`: a pointer doesn't show how
// large what it points to is. At least one entry stays.
Status FillPage(Log* log, LogPage* page, size_t bytes_max);
// Sets `peer_seq` of entries of one group's log, ascending or descending and leaving out nothing
// that the log of `user` has in between, to the numbers that they have there; those that it lacks
// keep 0. What was numbered through `holds` is seen. kUnavailable where the user's store can't be
// read now.
Status NumberEntries(Log* log, const UserId& user, Lsn holds, std::span<LogEntry> entries);

}  // namespace parley

#endif  // PARLEY_STORAGE_LOG_H_
