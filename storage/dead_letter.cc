#include "storage/dead_letter.h"

#include <utility>

#include "storage/frame.h"

namespace parley {
namespace {

Status Damaged(const std::string& path, uint64_t offset, const std::string& what) {
  return Status(Code::kCorruption, path + ": offset " + std::to_string(offset) + ": " + what +
                                       "; restore the file from a backup");
}

uint64_t CountLetters(const std::vector<Transaction>& transactions) {
  uint64_t letters = 0;
  for (const Transaction& transaction : transactions) letters += !transaction.records.empty();
  return letters;
}

}  // namespace

Result<DeadLetters> DeadLetters::Open(Env* env, const std::string& dir, const std::string& name) {
  DeadLetters dead(env, dir, dir + "/" + name + ".log");
  if (!env->Exists(dead.path_)) return dead;
  auto start = env->ReadStart(dead.path_, kFramesStart);
  if (!start) return Error(std::move(start.error()));
  auto header = DecodeHeader(*start);
  if (!header) return Error(Damaged(dead.path_, 0, header.error().message()));
  dead.nonce_ = header->nonce;
  uint64_t end = 0;
  Status status = dead.Walk(
      [&](std::vector<Transaction> transactions) {
        dead.last_ = transactions.back().lsn;
        dead.letters_ += CountLetters(transactions);
        return Status();
      },
      &end);
  if (!status.ok()) return Error(std::move(status));
  dead.end_ = end;
  return dead;
}

Status DeadLetters::Append(const std::vector<Transaction>& transactions) {
  if (end_ == 0) {
    Status status = Create(transactions.front().lsn);
    if (!status.ok()) return status;
  }
  if (file_ == nullptr) {
    auto file = env_->OpenWritable(path_);
    if (!file) return file.error();
    // What is left of a torn tail must not go on where the new frame ends.
    Status status = (*file)->Truncate(end_);
    if (!status.ok()) return status;
    file_ = std::move(*file);
  }
  std::string frame;
  AppendFrame(transactions, transactions.front().lsn, &frame);
  SealFrame(&frame, 0, nonce_, end_, end_);
  Status status = file_->WriteAt(end_, frame);
  if (status.ok()) status = file_->Sync();
  if (!status.ok()) {
    file_.reset();
    return status;
  }
  end_ += frame.size();
  last_ = transactions.back().lsn;
  letters_ += CountLetters(transactions);
  return status;
}

// The file has its name only when its header is durable.
Status DeadLetters::Create(Lsn first) {
  SegmentHeader header;
  env_->Random(&header.nonce, sizeof(header.nonce));
  header.start = first;
  Status status = env_->ReplaceFile(path_, EncodeHeader(header));
  if (!status.ok()) return status;
  nonce_ = header.nonce;
  end_ = kFramesStart;
  return Status();
}

Status DeadLetters::Read(const Visitor& visit) const {
  uint64_t end = 0;
  return end_ == 0 ? Status() : Walk(visit, &end);
}

Status DeadLetters::Walk(const Visitor& visit, uint64_t* end) const {
  auto data = env_->ReadFile(path_);
  if (!data) return data.error();
  const std::string_view file = std::string_view(*data).substr(0, end_ != 0 ? end_ : data->size());
  uint64_t at = kFramesStart;
  Lsn last;
  while (auto frame = ParseFrame(file, nonce_, at)) {
    auto transactions = DecodeFrame(*frame);
    if (!transactions) return Damaged(path_, at, transactions.error().message());
    if (transactions->empty() || transactions->front().lsn <= last) {
      return Damaged(path_, at, "a frame with the wrong number");
    }
    last = transactions->back().lsn;
    at = frame->end;
    Status status = visit(std::move(*transactions));
    if (!status.ok()) return status;
  }
  const bool damaged =
      end_ != 0 ? at != end_ : ExamineTail(file, nonce_, at, Lsn()).witness.has_value();
  if (damaged) return Damaged(path_, at, "a damaged frame");
  *end = at;
  return Status();
}

Status DeadLetters::Clear() {
  if (end_ == 0) return Status();
  // Also where it fails: the file may be gone, and what it holds is no longer needed.
  file_.reset();
  end_ = 0;
  last_ = Lsn();
  letters_ = 0;
  Status status = env_->Remove(path_);
  return status.ok() ? env_->SyncDir(dir_) : status;
}

}  // namespace parley
