// A roster for tests of the log: the records that are a roster's, in a file of frames on a disk
// that can fail. What is applied is written, Sync makes it durable; after a failure, or a power
// cut, it holds what the disk still has of it, as LevelDB and SQLite do.
//
// Threads: any.
#ifndef PARLEY_TESTS_STORAGE_DISK_ROSTER_H_
#define PARLEY_TESTS_STORAGE_DISK_ROSTER_H_

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "storage/env.h"
#include "storage/frame.h"
#include "storage/message_store.h"

namespace parley {

class DiskRoster : public Store {
 public:
  static Result<std::unique_ptr<DiskRoster>> Open(const std::string& path, Env* env) {
    std::unique_ptr<DiskRoster> roster(new DiskRoster(path, env));
    if (Status status = roster->Load(); !status.ok()) return Error(std::move(status));
    return roster;
  }

  Status Apply(std::span<const Transaction* const> transactions, const Mine&) override {
    std::lock_guard lock(mutex_);
    if (file_ == nullptr) {
      if (Status status = Load(); !status.ok()) return status;
    }
    const std::vector<Transaction> kept = OfTheRoster(transactions);
    if (kept.empty()) return Status();
    std::string frame;
    AppendFrame(kept, kept.front().lsn, &frame);
    SealFrame(&frame, 0, kNonce, end_, end_);
    Status status = file_->WriteAt(end_, frame);
    if (!status.ok()) {
      file_.reset();
      return status;
    }
    end_ += frame.size();
    Keep(kept);
    return status;
  }
  Status Sync() override {
    std::lock_guard lock(mutex_);
    if (file_ == nullptr) {
      if (Status status = Load(); !status.ok()) return status;
    }
    Status status = file_->Sync();
    if (!status.ok()) file_.reset();
    return status;
  }
  Result<Lsn> Applied() const override {
    std::lock_guard lock(mutex_);
    return applied_;
  }

  // All that was applied, in order.
  std::vector<Record> records() const {
    std::lock_guard lock(mutex_);
    return records_;
  }

 private:
  static constexpr uint64_t kNonce = 1;

  DiskRoster(std::string path, Env* env) : path_(std::move(path)), env_(env) {}

  std::vector<Transaction> OfTheRoster(std::span<const Transaction* const> transactions) const {
    std::vector<Transaction> kept;
    for (const Transaction* transaction : transactions) {
      if (transaction->lsn <= applied_) continue;
      Transaction own{transaction->lsn, {}};
      for (const Record& record : transaction->records) {
        if (ConcernsRoster(record)) own.records.push_back(record);
      }
      if (!own.records.empty() || transaction == transactions.back()) kept.push_back(own);
    }
    return kept;
  }
  void Keep(const std::vector<Transaction>& transactions) {
    for (const Transaction& transaction : transactions) {
      records_.insert(records_.end(), transaction.records.begin(), transaction.records.end());
      applied_ = transaction.lsn;
    }
  }

  // The whole frames at the file's beginning; what follows them is cut.
  Status Load() {
    records_.clear();
    applied_ = Lsn();
    end_ = 0;
    std::string bytes;
    if (env_->Exists(path_)) {
      auto read = env_->ReadFile(path_);
      if (!read) return read.error();
      bytes = std::move(*read);
    }
    while (auto frame = ParseFrame(bytes, kNonce, end_)) {
      auto transactions = DecodeFrame(*frame);
      if (!transactions) return transactions.error();
      Keep(*transactions);
      end_ = frame->end;
    }
    Status status = env_->ReplaceFile(path_, bytes.substr(0, end_));
    if (!status.ok()) return status;
    auto file = env_->OpenWritable(path_);
    if (!file) return file.error();
    file_ = std::move(*file);
    return Status();
  }

  const std::string path_;
  Env* const env_;
  mutable std::mutex mutex_;
  std::unique_ptr<WritableFile> file_;  // null after a failure
  uint64_t end_ = 0;
  Lsn applied_;
  std::vector<Record> records_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_DISK_ROSTER_H_
