#include "storage/leveldb_env.h"

#include <memory>

#include "storage/thread_name.h"

namespace parley {
namespace {

class Manifest : public leveldb::WritableFile {
 public:
  explicit Manifest(leveldb::WritableFile* file) : file_(file) {}
  leveldb::Status Append(const leveldb::Slice& data) override {
    return Unless([&] { return file_->Append(data); });
  }
  leveldb::Status Flush() override {
    return Unless([&] { return file_->Flush(); });
  }
  leveldb::Status Sync() override {
    return Unless([&] { return file_->Sync(); });
  }
  leveldb::Status Close() override {
    return Unless([&] { return file_->Close(); });
  }

 private:
  // Does it unless something has failed before.
  template <class Do>
  leveldb::Status Unless(Do what) {
    if (failure_.ok()) failure_ = what();
    return failure_;
  }

  const std::unique_ptr<leveldb::WritableFile> file_;
  leveldb::Status failure_;
};

class Nowhere : public leveldb::WritableFile {
 public:
  leveldb::Status Append(const leveldb::Slice&) override { return {}; }
  leveldb::Status Flush() override { return {}; }
  leveldb::Status Sync() override { return {}; }
  leveldb::Status Close() override { return {}; }
};

}  // namespace

leveldb::Status StoreEnv::NewWritableFile(const std::string& path, leveldb::WritableFile** file) {
  if (path.ends_with(".log")) {
    *file = new Nowhere;
    return {};
  }
  leveldb::Status status = target()->NewWritableFile(path, file);
  if (status.ok() && path.find("/MANIFEST-") != path.npos) *file = new Manifest(*file);
  return status;
}

leveldb::Status StoreEnv::RenameFile(const std::string& from, const std::string& to) {
  leveldb::Status status = target()->RenameFile(from, to);
  if (status.ok() || target()->FileExists(from) || !target()->FileExists(to)) return status;
  return {};
}

void StoreEnv::Schedule(void (*work)(void*), void* argument) {
  struct Job {
    void (*work)(void*);
    void* argument;
  };
  const auto run = [](void* job) {
    const std::unique_ptr<Job> owned(static_cast<Job*>(job));
    NameThread("parley-compact");
    WorkInBackground();
    owned->work(owned->argument);
  };
  target()->Schedule(run, new Job{work, argument});
}

}  // namespace parley
