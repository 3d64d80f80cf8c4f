// A leveldb::Env over real files that fails an operation, or loses what wasn't synced. For LevelDB
// alone; fault_leveldb_env.h puts stores and journal on one simulated disk.
//
// It counts the operations that change a file (append, sync, make, rename). One that fails does
// half of its work, as a full disk does. After Kill() all of them fail; once the database is closed
// PowerCut leaves of every file what was synced and, of the rest, what a disk may: nothing, a part,
// zeros, noise. Names are always durable: this is about contents.
//
// Threads: any.
#ifndef PARLEY_TESTS_STORAGE_LOSSY_LEVELDB_ENV_H_
#define PARLEY_TESTS_STORAGE_LOSSY_LEVELDB_ENV_H_

#include <leveldb/env.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>

namespace parley {

class LossyLevelDbEnv : public leveldb::EnvWrapper {
 public:
  LossyLevelDbEnv() : leveldb::EnvWrapper(leveldb::Env::Default()) {}

  // The operations from the `first`-th on (from 0), `count` of them, fail.
  void FailFrom(uint64_t first, uint64_t count) {
    std::lock_guard lock(mutex_);
    fail_first_ = first;
    fail_end_ = first + count;
  }
  void Kill() { FailFrom(0, UINT64_MAX); }
  void Heal() { FailFrom(0, 0); }
  uint64_t operations() const {
    std::lock_guard lock(mutex_);
    return operations_;
  }

  // With the database closed: what wasn't synced is at the disk's mercy.
  void PowerCut(std::mt19937_64* random) {
    std::lock_guard lock(mutex_);
    for (const auto& [path, synced] : synced_) {
      if (std::filesystem::exists(path)) LoseTail(path, synced, random);
    }
    synced_.clear();
  }

  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** file) override {
    if (Fails()) return Failure(path);
    leveldb::Status status = target()->NewWritableFile(path, file);
    if (!status.ok()) return status;
    {
      std::lock_guard lock(mutex_);
      synced_[path] = 0;
    }
    *file = new File(this, path, *file);
    return status;
  }
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override {
    if (Fails()) return Failure(from);
    leveldb::Status status = target()->RenameFile(from, to);
    std::lock_guard lock(mutex_);
    auto synced = synced_.extract(from);
    if (!synced.empty()) synced_[to] = synced.mapped();
    return status;
  }

 private:
  class File : public leveldb::WritableFile {
   public:
    File(LossyLevelDbEnv* env, std::string path, leveldb::WritableFile* file)
        : env_(env), path_(std::move(path)), file_(file) {}
    leveldb::Status Append(const leveldb::Slice& data) override {
      if (env_->Fails()) {
        file_->Append({data.data(), data.size() / 2});
        file_->Flush();
        return Failure(path_);
      }
      written_ += data.size();
      return file_->Append(data);
    }
    leveldb::Status Sync() override {
      if (env_->Fails()) return Failure(path_);
      leveldb::Status status = file_->Flush();  // the power is only cut in play
      if (status.ok()) env_->SetSynced(path_, written_);
      return status;
    }
    leveldb::Status Flush() override { return file_->Flush(); }
    leveldb::Status Close() override { return file_->Close(); }

   private:
    LossyLevelDbEnv* env_;
    std::string path_;
    std::unique_ptr<leveldb::WritableFile> file_;
    uint64_t written_ = 0;
  };

  static leveldb::Status Failure(const std::string& path) {
    return leveldb::Status::IOError(path, "made to fail");
  }
  bool Fails() {
    std::lock_guard lock(mutex_);
    uint64_t operation = operations_++;
    return operation >= fail_first_ && operation < fail_end_;
  }
  void SetSynced(const std::string& path, uint64_t bytes) {
    std::lock_guard lock(mutex_);
    synced_[path] = bytes;
  }

  static void LoseTail(const std::string& path, uint64_t synced, std::mt19937_64* random) {
    uint64_t size = std::filesystem::file_size(path);
    if (size <= synced) return;
    uint64_t kept = synced + (*random)() % (size - synced + 1);
    uint64_t kind = (*random)() % 4;
    if (kind == 0) return std::filesystem::resize_file(path, synced);
    if (kind == 1) return std::filesystem::resize_file(path, kept);
    // The size and some of the blocks were written, the others weren't.
    uint64_t end = kept + (*random)() % (size - kept + 1);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(kept));
    for (; kept < end; ++kept) file.put(kind == 2 ? '\0' : static_cast<char>((*random)()));
  }

  mutable std::mutex mutex_;
  uint64_t operations_ = 0;
  uint64_t fail_first_ = 0;
  uint64_t fail_end_ = 0;
  std::map<std::string, uint64_t> synced_;  // bytes of each file written here
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_LOSSY_LEVELDB_ENV_H_
