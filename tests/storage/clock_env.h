// The real files under a clock that the test moves, and a folder that is gone after the test.
#ifndef PARLEY_TESTS_STORAGE_CLOCK_ENV_H_
#define PARLEY_TESTS_STORAGE_CLOCK_ENV_H_

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "storage/env.h"

namespace parley {

class ClockEnv : public Env {
 public:
  void Advance(int64_t ms) { now_ms_ += ms; }

  int64_t NowMs() override { return now_ms_; }
  int64_t MonotonicUs() override { return now_ms_ * 1000; }
  void Random(void* data, size_t bytes) override { posix_->Random(data, bytes); }

  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path) override {
    return posix_->OpenWritable(path);
  }
  Result<std::string> ReadFile(const std::string& path) override { return posix_->ReadFile(path); }
  bool Exists(const std::string& path) override { return posix_->Exists(path); }
  Result<std::vector<std::string>> List(const std::string& dir) override {
    return posix_->List(dir);
  }
  Status MakeDir(const std::string& dir) override { return posix_->MakeDir(dir); }
  Status Remove(const std::string& path) override { return posix_->Remove(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return posix_->Rename(from, to);
  }
  Status SyncDir(const std::string& dir) override { return posix_->SyncDir(dir); }

 private:
  Env* posix_ = Env::Posix();
  std::atomic<int64_t> now_ms_ = 1764000000000;
};

class TempDir {
 public:
  TempDir() {
    std::string name = std::filesystem::temp_directory_path() / "parley-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_CLOCK_ENV_H_
