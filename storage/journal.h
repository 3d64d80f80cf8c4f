// The journal: what makes a transaction durable. Segment files in one directory, written one after
// the other; frame.h has their bytes.
//
//   journal/000000000007.log   a segment; the one with the highest number is written to
//   journal/spare              a file to become the next segment, all of its blocks written once,
//                              so that a sync writes data and no metadata
//
// A segment's header names the segment before it and where that one ends. From the newest segment
// back, that chain is the journal; whatever it does not reach (a tail whose write failed, a segment
// that was begun and given up) is void. So a batch of which it is unknown whether it reached the
// disk is simply written again, into a new segment: as soon as that one's header is durable, the
// uncertain place does not exist.
//
// Recovery. Frames of a segment that has a successor must be whole up to where the successor says
// that it ends. The newest one ends with its last whole frame; what follows is a torn tail and is
// cut with a log line, unless a later frame shows that the damaged place had been synced before:
// that is damage to what was promised, and Open refuses (kCorruption).
//
// Owner: Log. Threads: Commit, Sync, Retry, Begin and Close are the committer's; Trim and
// PrepareSpare are the keeper's; Read and the figures are anybody's.
#ifndef PARLEY_STORAGE_JOURNAL_H_
#define PARLEY_STORAGE_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "storage/env.h"
#include "storage/frame.h"
#include "storage/record.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

struct JournalOptions {
  std::string dir;  // made where it is missing
  uint64_t segment_bytes = 64 << 20;
  uint64_t bytes_max = uint64_t{4} << 30;  // a retry may pass it by one segment
  bool unsynced = false;                   // durability os: nothing is synced but whole segments
};

class Journal {
 public:
  using LogLine = std::function<void(const std::string&)>;
  // Takes a frame's transactions, ascending. An error ends the reading and is its result.
  using Visitor = std::function<Status(std::vector<Transaction>)>;

  // Finds what is there and makes it durable. Nothing is written besides.
  static Result<std::unique_ptr<Journal>> Open(const JournalOptions& options, Env* env,
                                               LogLine log_line);

  // Starts a segment, so that the first Commit finds one. Not needed: Commit does it too.
  Status Begin();

  // Writes the transactions, which follow last(), as one frame; durable on return where `sync`.
  // After an error: where uncertain(), the batch may or may not be read back by a recovery, and
  // Retry must be called until it succeeds, which makes it durable; otherwise nothing of it will
  // ever be read. kUnavailable: over bytes_max.
  Status Commit(std::span<const Transaction> transactions, bool sync);
  // Makes durable what was committed without sync. Errors as of Commit; always uncertain.
  Status Sync();
  Status Retry();
  bool uncertain() const { return uncertain_; }
  // Syncs and seals the last segment. Nothing may be committed afterwards.
  Status Close();

  // The last transaction committed.
  Lsn last() const { return last_; }
  // Lets the numbers go on behind `last`: the machine stopped under durability os.
  void JumpTo(Lsn last);
  // True where the newest segment was written with durability os.
  bool last_unsynced() const { return last_unsynced_; }

  // The first transaction that the journal still has; next to last() where it has none.
  Lsn first() const;
  // The last transaction of the segments that aren't written to any more.
  Lsn closed_through() const;
  // Bytes of all segments.
  uint64_t bytes() const;

  // Visits the transactions after `after` up to `through`, which must have been committed.
  // kCorruption where one of them is missing or damaged.
  Status Read(Lsn after, Lsn through, const Visitor& visit) const;

  // Removes the segments that hold nothing past `applied`; keeps one as the spare.
  Status Trim(Lsn applied);
  // True where the segment that is written to is half full and there is no spare.
  bool WantsSpare() const;
  Status PrepareSpare();

 private:
  struct Segment {
    SegmentHeader header;
    uint64_t size = 0;
    uint64_t end = 0;  // 0: it is written to
    Lsn last;          // valid where `end` is
    bool jump_follows = false;
  };

  Journal(const JournalOptions& options, Env* env, LogLine log_line)
      : options_(options), env_(env), log_line_(std::move(log_line)) {}

  std::string PathOf(uint64_t index) const;
  std::string Path(const char* name) const { return options_.dir + "/" + name; }

  Status Recover();
  Result<std::vector<uint64_t>> ListFiles();
  Status WalkChain(const std::vector<uint64_t>& indexes);
  Status RecoverNewest();
  Status MakeDurable(const Segment& segment, std::string_view data, uint64_t from);
  void RemoveVoid(const std::vector<uint64_t>& indexes);
  Status ReadSegment(const Segment& segment, Lsn after, Lsn through, const Visitor& visit) const;

  bool Fits(uint64_t bytes) const { return writable_ && base_ + bytes <= capacity_; }
  Status WriteFrom(size_t at, bool sync);
  void Seal(size_t from, size_t to, uint64_t nonce, uint64_t base, uint64_t claim);
  Status SyncFile();
  Status MoveOn(size_t* newest, bool sync);
  Status SettleFailure(size_t newest, Status why);
  Status VoidAt(uint64_t offset);
  bool NeedsRoomItHolds() const;
  Status StartSegment(size_t carried);
  SegmentHeader NextHeader();
  Status MakeSegmentFile(const std::string& path, const SegmentHeader& header, size_t carried,
                         uint64_t bytes);
  void Adopt(const SegmentHeader& header, size_t carried, uint64_t bytes);
  void NoteHalfFull();
  bool HasSpare() const;
  Status Recycle(const Segment& segment);

  const JournalOptions options_;
  Env* const env_;
  const LogLine log_line_;

  // The committer's. `unsynced_` holds the frames that aren't known to be durable, to be written
  // again should a write or sync fail; the first of them stands at `base_` of the newest segment.
  std::unique_ptr<WritableFile> file_;  // the newest segment's
  uint64_t base_ = 0;
  std::string unsynced_;
  Lsn unsynced_last_;
  uint64_t nonce_ = 0;
  uint64_t capacity_ = 0;
  bool writable_ = false;       // false: nothing more goes into file_
  bool sync_failed_ = false;    // a later sync of file_ proves nothing about unsynced_
  bool maybe_written_ = false;  // a frame whose write failed may stand whole in file_
  bool uncertain_ = false;
  bool jump_ = false;
  bool last_unsynced_ = false;
  uint64_t next_index_ = 1;
  Lsn last_;

  mutable std::mutex mutex_;
  std::vector<Segment> segments_;  // ascending; the last one is written to
  bool has_spare_ = false;         // set by the keeper when there is one, reset by the committer
  bool half_full_ = false;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_JOURNAL_H_
