// LevelDB on the simulated disk of a FaultEnv, so that one power cut hits journal and stores alike.
#ifndef PARLEY_TESTS_STORAGE_FAULT_LEVELDB_ENV_H_
#define PARLEY_TESTS_STORAGE_FAULT_LEVELDB_ENV_H_

#include <leveldb/env.h>

#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/storage/fault_env.h"

namespace parley {

class FaultLevelDbEnv : public leveldb::EnvWrapper {
 public:
  // Threads and clock are the system's.
  explicit FaultLevelDbEnv(FaultEnv* disk)
      : leveldb::EnvWrapper(leveldb::Env::Default()), disk_(disk) {}

  leveldb::Status NewSequentialFile(const std::string& path,
                                    leveldb::SequentialFile** file) override;
  leveldb::Status NewRandomAccessFile(const std::string& path,
                                      leveldb::RandomAccessFile** file) override;
  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** file) override;
  leveldb::Status NewAppendableFile(const std::string& path, leveldb::WritableFile** file) override;
  bool FileExists(const std::string& path) override;
  leveldb::Status GetChildren(const std::string& dir, std::vector<std::string>* names) override;
  leveldb::Status RemoveFile(const std::string& path) override;
  leveldb::Status CreateDir(const std::string& dir) override;
  leveldb::Status GetFileSize(const std::string& path, uint64_t* bytes) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
  leveldb::Status LockFile(const std::string& path, leveldb::FileLock** lock) override;
  leveldb::Status UnlockFile(leveldb::FileLock* lock) override;
  leveldb::Status NewLogger(const std::string& path, leveldb::Logger** logger) override;

 private:
  FaultEnv* const disk_;
  std::mutex mutex_;
  std::set<std::string> locked_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_FAULT_LEVELDB_ENV_H_
