#include "storage/journal.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

namespace parley {
namespace {

constexpr std::string_view kSuffix = ".log";
constexpr size_t kDigits = 12;
constexpr size_t kZerosBytes = 1 << 20;
constexpr char kSpare[] = "spare";
constexpr char kSpareInMaking[] = "spare.tmp";
constexpr char kNextInMaking[] = "next.tmp";

// The number in a segment's name; 0: it isn't one.
uint64_t IndexOf(std::string_view name) {
  if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) return 0;
  uint64_t index = 0;
  for (char c : name.substr(0, kDigits)) {
    if (c < '0' || c > '9') return 0;
    index = index * 10 + static_cast<uint64_t>(c - '0');
  }
  return index;
}

std::string Number(uint64_t value) { return std::to_string(value); }

Status Damaged(const std::string& path, uint64_t offset, const std::string& what) {
  return Status(Code::kCorruption, path + ": offset " + Number(offset) + ": " + what +
                                       "; restore the file from a backup");
}

}  // namespace

// ---- Opening

Result<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options, Env* env,
                                               LogLine log_line) {
  std::unique_ptr<Journal> journal(new Journal(options, env, std::move(log_line)));
  Status status = env->MakeDir(options.dir);
  if (status.ok()) status = journal->Recover();
  if (!status.ok()) return Error(std::move(status));
  return journal;
}

std::string Journal::PathOf(uint64_t index) const {
  char name[32];
  std::snprintf(name, sizeof(name), "%012llu.log", static_cast<unsigned long long>(index));
  return Path(name);
}

Status Journal::Recover() {
  auto indexes = ListFiles();
  if (!indexes) return indexes.error();
  if (indexes->empty()) return Status();
  next_index_ = indexes->back() + 1;
  Status status = WalkChain(*indexes);
  if (status.ok()) status = RecoverNewest();
  if (status.ok()) RemoveVoid(*indexes);
  return status;
}

Result<std::vector<uint64_t>> Journal::ListFiles() {
  auto names = env_->List(options_.dir);
  if (!names) return Error(std::move(names.error()));
  std::vector<uint64_t> indexes;
  for (const std::string& name : *names) {
    if (const uint64_t index = IndexOf(name); index != 0) indexes.push_back(index);
    if (name == kSpare) has_spare_ = true;
    if (name == kSpareInMaking || name == kNextInMaking) (void)env_->Remove(Path(name.c_str()));
  }
  return indexes;
}

// Leaves in segments_ what is reached from the newest segment back.
Status Journal::WalkChain(const std::vector<uint64_t>& indexes) {
  uint64_t index = indexes.back();
  while (std::binary_search(indexes.begin(), indexes.end(), index)) {
    const std::string path = PathOf(index);
    auto start = env_->ReadStart(path, kFramesStart);
    if (!start) return start.error();
    auto header = DecodeHeader(*start);
    if (!header) return Damaged(path, 0, header.error().message());
    if (header->index != index) return Damaged(path, 0, "the header is another segment's");
    if (header->prev_index >= index || header->start == Lsn()) {
      return Damaged(path, 0, "the header makes no sense");
    }
    Segment segment{*header, options_.segment_bytes, 0, Lsn(), false};
    if (!segments_.empty()) {
      const SegmentHeader& next = segments_.back().header;
      segment.end = next.prev_end;
      segment.last = Lsn(next.start.value() - 1);
      segment.jump_follows = (next.flags & SegmentHeader::kJump) != 0;
      if (segment.end < kFramesStart || next.start < header->start) {
        return Damaged(PathOf(next.index), 0, "the header does not fit the segment before");
      }
    }
    segments_.push_back(segment);
    index = header->prev_index;
  }
  std::reverse(segments_.begin(), segments_.end());
  return Status();
}

// Finds where the newest segment ends, and makes that durable: what a process wrote and didn't sync
// before it died can be read now and would be gone after a power cut.
Status Journal::RecoverNewest() {
  Segment& segment = segments_.back();
  const std::string path = PathOf(segment.header.index);
  auto data = env_->ReadFile(path);
  if (!data) return data.error();
  uint64_t end = kFramesStart;
  uint64_t durable = kFramesStart;
  bool sealed = false;
  Lsn next = segment.header.start;
  while (auto frame = sealed ? std::nullopt : ParseFrame(*data, segment.header.nonce, end)) {
    if (frame->first != next) return Damaged(path, end, "a frame with the wrong number");
    next = Lsn(next.value() + frame->count);
    sealed = frame->count == 0;
    durable = sealed ? frame->end : frame->synced;
    end = frame->end;
  }
  if (!sealed) {
    const Tail tail = ExamineTail(*data, segment.header.nonce, end, next);
    if (tail.witness) {
      return Damaged(path, end,
                     "a damaged frame (what follows at offset " + Number(*tail.witness) +
                         " was written after it was synced)");
    }
    if (tail.torn) {
      log_line_("journal event=tail_cut file=" + path + " offset=" + Number(end) +
                " next_lsn=" + Number(next.value()));
    }
  }
  segment.size = data->size();
  segment.end = base_ = end;
  segment.last = last_ = Lsn(next.value() - 1);
  last_unsynced_ = (segment.header.flags & SegmentHeader::kUnsynced) != 0;
  return MakeDurable(segment, std::string_view(*data).substr(0, end),
                     last_unsynced_ ? end : durable);
}

// Writes what wasn't known to be durable once more: after a failed sync, the system may hold pages
// as clean that never reached the disk.
Status Journal::MakeDurable(const Segment& segment, std::string_view data, uint64_t from) {
  if (from > data.size()) return Damaged(PathOf(segment.header.index), from, "an impossible frame");
  auto file = env_->OpenWritable(PathOf(segment.header.index));
  if (!file) return file.error();
  Status status = (*file)->WriteAt(from, data.substr(from));
  if (status.ok()) status = (*file)->Sync();
  return status;
}

void Journal::RemoveVoid(const std::vector<uint64_t>& indexes) {
  for (uint64_t index : indexes) {
    const bool reached = std::any_of(segments_.begin(), segments_.end(),
                                     [&](const Segment& s) { return s.header.index == index; });
    if (reached) continue;
    log_line_("journal event=void_segment_removed file=" + PathOf(index));
    (void)env_->Remove(PathOf(index));
  }
}

void Journal::JumpTo(Lsn last) {
  last_ = last;
  jump_ = true;
}

Status Journal::Begin() { return StartSegment(0); }

// ---- Committing

Status Journal::Commit(std::span<const Transaction> transactions, bool sync) {
  size_t newest = unsynced_.size();
  unsynced_last_ = transactions.back().lsn;
  AppendFrame(transactions, transactions.front().lsn, &unsynced_);

  Status status(Code::kUnavailable, "no room in the segment");
  if (Fits(unsynced_.size())) status = WriteFrom(newest, sync);
  if (!status.ok()) status = MoveOn(&newest, sync);
  if (status.ok()) {
    last_ = unsynced_last_;
    return status;
  }
  return SettleFailure(newest, std::move(status));
}

// Writes the frames from `at` of unsynced_ on to their place in file_.
Status Journal::WriteFrom(size_t at, bool sync) {
  const uint64_t claim = options_.unsynced ? kFramesStart : base_;
  Seal(at, unsynced_.size(), nonce_, base_, claim);
  Status status = file_->WriteAt(base_ + at, std::string_view(unsynced_).substr(at));
  if (!status.ok()) {
    writable_ = false;
    maybe_written_ = true;
    return status;
  }
  NoteHalfFull();
  if (sync) return SyncFile();
  if (options_.unsynced) {
    base_ += unsynced_.size();
    unsynced_.clear();
  }
  return Status();
}

// Seals the frames from `from` to `to` of unsynced_ for the places that they have where its first
// byte is at `base`.
void Journal::Seal(size_t from, size_t to, uint64_t nonce, uint64_t base, uint64_t claim) {
  while (from < to) from += SealFrame(&unsynced_, from, nonce, base + from, claim);
}

Status Journal::SyncFile() {
  Status status = file_->Sync();
  if (status.ok()) {
    base_ += unsynced_.size();
    unsynced_.clear();
  } else {
    writable_ = false;
    sync_failed_ = maybe_written_ = true;
  }
  return status;
}

// Into a new segment, with all of unsynced_. The frames before `*newest` stand in the old one: they
// are synced there, or else are carried over.
Status Journal::MoveOn(size_t* newest, bool sync) {
  if (writable_ && (*newest > 0 || options_.unsynced)) {
    Status synced = file_->Sync();
    if (synced.ok()) {
      base_ += *newest;
      unsynced_.erase(0, *newest);
      *newest = 0;
    } else if (!options_.unsynced) {
      writable_ = false;
      sync_failed_ = true;
    } else {
      log_line_("journal event=sync_failed error=\"" + synced.ToString() + "\"");
    }
  }
  Status status = StartSegment(*newest);
  if (!status.ok()) return status;
  *newest = 0;
  return WriteFrom(0, sync);
}

// A commit failed for good. Sees to it that its frame, the one from `newest` on, is gone for
// certain; else, or where frames before it aren't synced either, all of them are uncertain.
Status Journal::SettleFailure(size_t newest, Status why) {
  const bool gone = !maybe_written_ || VoidAt(base_ + newest).ok();
  uncertain_ = !gone || newest > 0;
  if (uncertain_) return why;
  maybe_written_ = false;
  unsynced_.clear();
  return why;
}

Status Journal::VoidAt(uint64_t offset) {
  Status status = file_->WriteAt(offset, std::string(kFrameHeaderBytes, '\0'));
  if (status.ok()) status = file_->Sync();
  return status;
}

Status Journal::Sync() {
  if (unsynced_.empty()) return Status();
  Status status = writable_ ? SyncFile() : Status(Code::kIoError, "the segment was given up");
  return status.ok() ? status : Retry();
}

Status Journal::Retry() {
  Status status = StartSegment(unsynced_.size());
  uncertain_ = !status.ok();
  if (status.ok()) last_ = unsynced_last_;
  return status;
}

Status Journal::Close() {
  if (uncertain_ || !writable_) return Status();
  const size_t at = unsynced_.size();
  AppendFrame({}, last_.Next(), &unsynced_);
  if (!Fits(unsynced_.size())) unsynced_.resize(at);
  Status status = WriteFrom(at, true);
  writable_ = false;
  return status;
}

// ---- Segments

SegmentHeader Journal::NextHeader() {
  SegmentHeader header;
  if (options_.unsynced) header.flags |= SegmentHeader::kUnsynced;
  if (jump_) header.flags |= SegmentHeader::kJump;
  header.index = next_index_++;
  env_->Random(&header.nonce, sizeof(header.nonce));
  header.start = unsynced_.empty() ? last_.Next() : FirstOf(unsynced_);
  std::lock_guard lock(mutex_);
  if (!segments_.empty()) {
    header.prev_index = segments_.back().header.index;
    header.prev_end = base_;
  }
  return header;
}

// On success everything behind base_ in the segment before is void, and the frames before `carried`
// of unsynced_ are durable in the new one: they go into it before it has a name, or a process that
// dies then would lose what was committed without a sync.
// What must be written again is all that the journal has: no trim will ever make room for it.
bool Journal::NeedsRoomItHolds() const {
  std::lock_guard lock(mutex_);
  return uncertain_ && segments_.size() == 1;
}

Status Journal::StartSegment(size_t carried) {
  const uint64_t needed = std::max(options_.segment_bytes, kFramesStart + unsynced_.size());
  if (bytes() + needed > options_.bytes_max && !NeedsRoomItHolds()) {
    return Status(Code::kUnavailable, options_.dir + ": journal_bytes_max is reached");
  }
  const bool spare = HasSpare();
  // Even where this fails, a header that ends the segment at base_ may be out.
  writable_ = false;
  const std::string path = Path(spare ? kSpare : kNextInMaking);
  const SegmentHeader header = NextHeader();
  Seal(0, carried, header.nonce, kFramesStart, kFramesStart);
  Status status = MakeSegmentFile(path, header, carried, needed);
  if (!status.ok()) {
    (void)env_->Remove(path);  // gives back what it took of a full disk
    (void)env_->Remove(PathOf(header.index));
  }
  if (spare) {  // only now: until it has another name, the keeper must not make one
    std::lock_guard lock(mutex_);
    has_spare_ = false;
  }
  if (status.ok()) {
    Adopt(header, carried, needed);
    NoteHalfFull();
  }
  return status;
}

// All of it is durable before the file has a segment's name. Leaves it in file_ only on success.
Status Journal::MakeSegmentFile(const std::string& path, const SegmentHeader& header,
                                size_t carried, uint64_t bytes) {
  auto file = env_->OpenWritable(path);
  if (!file) return file.error();
  Status status = (*file)->Allocate(bytes);
  if (status.ok()) status = (*file)->WriteAt(0, EncodeHeader(header));
  if (status.ok() && carried > 0) {
    status = (*file)->WriteAt(kFramesStart, std::string_view(unsynced_).substr(0, carried));
  }
  if (status.ok()) status = (*file)->Sync();
  if (status.ok()) status = env_->Rename(path, PathOf(header.index));
  if (status.ok()) status = env_->SyncDir(options_.dir);
  if (status.ok()) file_ = std::move(*file);
  return status;
}

void Journal::Adopt(const SegmentHeader& header, size_t carried, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (!segments_.empty()) {
    Segment& before = segments_.back();
    before.end = base_;
    before.last = Lsn(header.start.value() - 1);
    before.jump_follows = jump_;
  }
  segments_.push_back(Segment{header, bytes, 0, Lsn(), false});
  nonce_ = header.nonce;
  capacity_ = bytes;
  base_ = kFramesStart + carried;
  unsynced_.erase(0, carried);
  writable_ = true;
  sync_failed_ = maybe_written_ = jump_ = half_full_ = false;
}

void Journal::NoteHalfFull() {
  if (base_ + unsynced_.size() <= capacity_ / 2) return;
  std::lock_guard lock(mutex_);
  half_full_ = true;
}

bool Journal::HasSpare() const {
  std::lock_guard lock(mutex_);
  return has_spare_;
}

bool Journal::WantsSpare() const {
  std::lock_guard lock(mutex_);
  return half_full_ && !has_spare_;
}

Status Journal::PrepareSpare() {
  auto file = env_->OpenWritable(Path(kSpareInMaking));
  if (!file) return file.error();
  Status status = (*file)->Allocate(options_.segment_bytes);
  const std::string zeros(std::min<uint64_t>(kZerosBytes, options_.segment_bytes), '\0');
  for (uint64_t at = 0; status.ok() && at < options_.segment_bytes; at += zeros.size()) {
    const uint64_t bytes = std::min<uint64_t>(zeros.size(), options_.segment_bytes - at);
    status = (*file)->WriteAt(at, std::string_view(zeros).substr(0, bytes));
    // Piece by piece, so that the committer's syncs don't wait for all of it.
    if (status.ok()) status = (*file)->Sync();
  }
  if (status.ok()) status = env_->Rename(Path(kSpareInMaking), Path(kSpare));
  if (status.ok()) status = env_->SyncDir(options_.dir);
  if (!status.ok()) (void)env_->Remove(Path(kSpareInMaking));
  std::lock_guard lock(mutex_);
  half_full_ = false;  // where it failed: again with the next segment
  has_spare_ = status.ok();
  return status;
}

Status Journal::Trim(Lsn applied) {
  std::vector<Segment> done;
  {
    std::lock_guard lock(mutex_);
    for (const Segment& segment : segments_) {
      if (segment.end == 0 || &segment == &segments_.back() || segment.last > applied) break;
      done.push_back(segment);
    }
  }
  for (const Segment& segment : done) {
    Status status = Recycle(segment);
    if (!status.ok()) return status;
    std::lock_guard lock(mutex_);
    segments_.erase(segments_.begin());
  }
  return Status();
}

// The spare's old name must be gone for good before the file gets another header. A file that isn't
// there went with an earlier try, which failed all the same.
Status Journal::Recycle(const Segment& segment) {
  const std::string path = PathOf(segment.header.index);
  if (!env_->Exists(path)) return Status();
  if (HasSpare() || segment.size != options_.segment_bytes) return env_->Remove(path);
  Status status = env_->Rename(path, Path(kSpare));
  if (!status.ok()) return status;
  status = env_->SyncDir(options_.dir);
  std::lock_guard lock(mutex_);
  has_spare_ = status.ok();
  return Status();
}

// ---- Reading

Lsn Journal::first() const {
  std::lock_guard lock(mutex_);
  return segments_.empty() ? Lsn(1) : segments_.front().header.start;
}

Lsn Journal::closed_through() const {
  std::lock_guard lock(mutex_);
  return segments_.size() < 2 ? Lsn() : segments_[segments_.size() - 2].last;
}

uint64_t Journal::bytes() const {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const Segment& segment : segments_) bytes += segment.size;
  return bytes;
}

Status Journal::Read(Lsn after, Lsn through, const Visitor& visit) const {
  std::vector<Segment> segments;
  {
    std::lock_guard lock(mutex_);
    segments = segments_;
  }
  if (after >= through) return Status();
  if (segments.empty() || segments.front().header.start > after.Next()) {
    return Status(Code::kCorruption, options_.dir + ": transactions from " +
                                         Number(after.Next().value()) +
                                         " on are missing; restore the directory from a backup");
  }
  for (const Segment& segment : segments) {
    if (segment.header.start > through) break;
    if (segment.end != 0 && segment.last <= after) continue;
    Status status = ReadSegment(segment, after, through, visit);
    if (!status.ok()) return status;
  }
  return Status();
}

Status Journal::ReadSegment(const Segment& segment, Lsn after, Lsn through,
                            const Visitor& visit) const {
  const std::string path = PathOf(segment.header.index);
  auto data = env_->ReadFile(path);
  if (!data) return data.error();
  std::string_view file(*data);
  if (segment.end != 0) file = file.substr(0, segment.end);
  uint64_t at = kFramesStart;
  Lsn next = segment.header.start;
  while (segment.end != 0 ? at < segment.end : next <= through) {
    auto frame = ParseFrame(file, segment.header.nonce, at);
    if (!frame) return Damaged(path, at, "a damaged frame");
    if (frame->first != next) return Damaged(path, at, "a frame with the wrong number");
    if (next > through) return Status();
    next = Lsn(next.value() + frame->count);
    at = frame->end;
    if (next <= after.Next()) continue;
    auto transactions = DecodeFrame(*frame);
    if (!transactions) return Damaged(path, frame->offset, transactions.error().message());
    if (transactions->empty()) continue;  // it seals the file
    if (transactions->front().lsn != frame->first || transactions->back().lsn.Next() != next) {
      return Damaged(path, frame->offset, "transactions with other numbers than the frame's");
    }
    std::erase_if(*transactions,
                  [&](const Transaction& t) { return t.lsn <= after || t.lsn > through; });
    if (transactions->empty()) continue;
    Status status = visit(std::move(*transactions));
    if (!status.ok()) return status;
  }
  if (segment.end != 0 && next <= segment.last && !segment.jump_follows) {
    return Damaged(path, at, "its last transactions are missing");
  }
  return Status();
}

}  // namespace parley
