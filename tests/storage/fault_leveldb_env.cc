#include "tests/storage/fault_leveldb_env.h"

#include <cstring>
#include <memory>
#include <utility>

namespace parley {
namespace {

leveldb::Status Translate(const Status& status) {
  if (status.ok()) return leveldb::Status::OK();
  if (status.code() == Code::kNotFound) return leveldb::Status::NotFound(status.message());
  return leveldb::Status::IOError(status.message());
}

leveldb::Status ReadInto(FaultEnv* disk, const FaultEnv::File& file, uint64_t offset, size_t n,
                         leveldb::Slice* result, char* scratch) {
  auto bytes = disk->Read(file, offset, n);
  if (!bytes) return Translate(bytes.error());
  std::memcpy(scratch, bytes->data(), bytes->size());
  *result = leveldb::Slice(scratch, bytes->size());
  return leveldb::Status::OK();
}

class Sequential : public leveldb::SequentialFile {
 public:
  Sequential(FaultEnv* disk, std::shared_ptr<FaultEnv::File> file)
      : disk_(disk), file_(std::move(file)) {}
  leveldb::Status Read(size_t n, leveldb::Slice* result, char* scratch) override {
    leveldb::Status status = ReadInto(disk_, *file_, at_, n, result, scratch);
    if (status.ok()) at_ += result->size();
    return status;
  }
  leveldb::Status Skip(uint64_t n) override {
    at_ += n;
    return leveldb::Status::OK();
  }

 private:
  FaultEnv* const disk_;
  const std::shared_ptr<FaultEnv::File> file_;
  uint64_t at_ = 0;
};

class RandomAccess : public leveldb::RandomAccessFile {
 public:
  RandomAccess(FaultEnv* disk, std::shared_ptr<FaultEnv::File> file)
      : disk_(disk), file_(std::move(file)) {}
  leveldb::Status Read(uint64_t offset, size_t n, leveldb::Slice* result,
                       char* scratch) const override {
    return ReadInto(disk_, *file_, offset, n, result, scratch);
  }

 private:
  FaultEnv* const disk_;
  const std::shared_ptr<FaultEnv::File> file_;
};

// Buffers as LevelDB's own does: what isn't flushed was never written.
class Appended : public leveldb::WritableFile {
 public:
  Appended(std::unique_ptr<parley::WritableFile> file, uint64_t end)
      : file_(std::move(file)), end_(end) {}
  ~Appended() override { (void)Flush(); }
  leveldb::Status Append(const leveldb::Slice& data) override {
    buffer_.append(data.data(), data.size());
    return leveldb::Status::OK();
  }
  leveldb::Status Close() override { return Flush(); }
  leveldb::Status Flush() override {
    if (buffer_.empty()) return leveldb::Status::OK();
    const Status status = file_->WriteAt(end_, buffer_);
    end_ += buffer_.size();
    buffer_.clear();
    return Translate(status);
  }
  leveldb::Status Sync() override {
    leveldb::Status status = Flush();
    return status.ok() ? Translate(file_->Sync()) : status;
  }

 private:
  const std::unique_ptr<parley::WritableFile> file_;
  uint64_t end_;
  std::string buffer_;
};

class Silent : public leveldb::Logger {
 public:
  void Logv(const char*, std::va_list) override {}
};

class Lock : public leveldb::FileLock {
 public:
  explicit Lock(std::string locked) : path(std::move(locked)) {}
  const std::string path;
};

}  // namespace

leveldb::Status FaultLevelDbEnv::NewSequentialFile(const std::string& path,
                                                   leveldb::SequentialFile** file) {
  auto found = disk_->Find(path);
  if (!found) return Translate(found.error());
  *file = new Sequential(disk_, *found);
  return leveldb::Status::OK();
}

leveldb::Status FaultLevelDbEnv::NewRandomAccessFile(const std::string& path,
                                                     leveldb::RandomAccessFile** file) {
  auto found = disk_->Find(path);
  if (!found) return Translate(found.error());
  *file = new RandomAccess(disk_, *found);
  return leveldb::Status::OK();
}

leveldb::Status FaultLevelDbEnv::NewWritableFile(const std::string& path,
                                                 leveldb::WritableFile** file) {
  auto made = disk_->Create(path);
  if (!made) return Translate(made.error());
  *file = new Appended(std::move(*made), 0);
  return leveldb::Status::OK();
}

leveldb::Status FaultLevelDbEnv::NewAppendableFile(const std::string& path,
                                                   leveldb::WritableFile** file) {
  auto size = disk_->Size(path);
  if (!size) return NewWritableFile(path, file);
  auto opened = disk_->OpenWritable(path);
  if (!opened) return Translate(opened.error());
  *file = new Appended(std::move(*opened), *size);
  return leveldb::Status::OK();
}

bool FaultLevelDbEnv::FileExists(const std::string& path) { return disk_->Exists(path); }

leveldb::Status FaultLevelDbEnv::GetChildren(const std::string& dir,
                                             std::vector<std::string>* names) {
  auto found = disk_->List(dir);
  if (!found) return Translate(found.error());
  *names = std::move(*found);
  return leveldb::Status::OK();
}

leveldb::Status FaultLevelDbEnv::RemoveFile(const std::string& path) {
  return Translate(disk_->Remove(path));
}

leveldb::Status FaultLevelDbEnv::CreateDir(const std::string& dir) {
  return Translate(disk_->MakeDir(dir));
}

leveldb::Status FaultLevelDbEnv::GetFileSize(const std::string& path, uint64_t* bytes) {
  auto size = disk_->Size(path);
  if (!size) return Translate(size.error());
  *bytes = *size;
  return leveldb::Status::OK();
}

leveldb::Status FaultLevelDbEnv::RenameFile(const std::string& from, const std::string& to) {
  return Translate(disk_->Rename(from, to));
}

leveldb::Status FaultLevelDbEnv::LockFile(const std::string& path, leveldb::FileLock** lock) {
  std::lock_guard guard(mutex_);
  if (!locked_.insert(path).second) return leveldb::Status::IOError(path, "locked");
  *lock = new Lock(path);
  return leveldb::Status::OK();
}

leveldb::Status FaultLevelDbEnv::UnlockFile(leveldb::FileLock* lock) {
  std::lock_guard guard(mutex_);
  auto* held = static_cast<Lock*>(lock);
  locked_.erase(held->path);
  delete held;
  return leveldb::Status::OK();
}

leveldb::Status FaultLevelDbEnv::NewLogger(const std::string&, leveldb::Logger** logger) {
  *logger = new Silent;
  return leveldb::Status::OK();
}

}  // namespace parley
