// What a store changes about the files below LevelDB.
//
// LevelDB appends each write to a log of its own before it is in the memtable. A store stands
// behind the journal, which has all that the store has not made durable yet, so that log would only
// be a second one: there is none here. What LevelDB writes to it goes nowhere, and after a crash,
// or when the database is opened again, it has what had become tables: a beginning of what was
// written, whole write batches, since a memtable becomes one table, and the manifest names it once
// it is synced.
//
// A manifest that couldn't be written takes nothing more. LevelDB would append to it, where the
// failure comes in the midst of a compaction, and then refuse it at the next start: the record that
// failed may stand there in part.
//
// Compaction works in the background, on a thread that is named for it: what it merges is durable.
// LevelDB has one for all stores, which inherits from whatever thread has the first one to do.
//
// A rename that failed but happened is taken for one that happened, else LevelDB would remove the
// manifest that CURRENT names.
#ifndef PARLEY_STORAGE_LEVELDB_ENV_H_
#define PARLEY_STORAGE_LEVELDB_ENV_H_

#include <leveldb/env.h>

#include <string>

namespace parley {

// Threads: any.
class StoreEnv : public leveldb::EnvWrapper {
 public:
  using leveldb::EnvWrapper::EnvWrapper;

  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** file) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
  void Schedule(void (*work)(void*), void* argument) override;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_LEVELDB_ENV_H_
