// Everything that isn't deterministic comes in through here: files, clock, randomness. Tests hand
// in one that cuts the power, fills the disk or flips bits (tests/storage/fault_env.h).
//
// Threads: an Env may be used by all threads; a file by one at a time.
#ifndef PARLEY_STORAGE_ENV_H_
#define PARLEY_STORAGE_ENV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/status.h"

namespace parley {

// A file that is written by position; what lies between is zeros. Closed on destruction.
//
// After an error of WriteAt any part of the data may stand in the file; after one of Sync any part
// of what was written since the last Sync may be durable or lost, and a later Sync that succeeds
// says nothing about it. Errors: kIoError, naming file and call.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Status WriteAt(uint64_t offset, std::string_view data) = 0;  // whole, or an error
  virtual Status Sync() = 0;  // fdatasync: data, and the size where it changed
  // Reserves room for `bytes` from the start, so that WriteAt finds it; never makes the file
  // smaller.
  virtual Status Allocate(uint64_t bytes) = 0;
  virtual Status Truncate(uint64_t bytes) = 0;
};

class Env {
 public:
  virtual ~Env() = default;
  static Env* Posix();  // never deleted

  // Makes the file where there is none. Neither that nor anything below is durable before SyncDir.
  virtual Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path) = 0;
  // kNotFound where there is no such file.
  virtual Result<std::string> ReadFile(const std::string& path) = 0;
  // Its first bytes, `bytes_max` at most.
  virtual Result<std::string> ReadStart(const std::string& path, size_t bytes_max);
  virtual bool Exists(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> List(const std::string& dir) = 0;  // names, sorted
  virtual Status MakeDir(const std::string& dir) = 0;  // no error where it exists
  virtual Status Remove(const std::string& path) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status SyncDir(const std::string& dir) = 0;  // makes names in it durable

  virtual int64_t NowMs() = 0;        // since the Unix epoch
  virtual int64_t MonotonicUs() = 0;  // never goes back
  virtual void Random(void* data, size_t bytes) = 0;

  // Writes path.tmp, syncs it, renames it over path, syncs the directory.
  Status ReplaceFile(const std::string& path, std::string_view data);
  // Makes durable what can be read of the file: writes it once more and syncs it, for after a
  // failed sync the system may hold pages as clean that never reached the disk; then its name.
  Status WriteAgain(const std::string& path);
};

}  // namespace parley

#endif  // PARLEY_STORAGE_ENV_H_
