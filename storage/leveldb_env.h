// What a store needs of the files below LevelDB beyond what LevelDB itself asks of them.
//
// LevelDB appends each write to a log of its own and starts a new log when its memtable is full;
// the old one is closed without a sync, so a sync of the new one says nothing about the writes in
// the old one until the memtable has become a table. And after a power cut a log may end in
// anything: LevelDB skips zeros in the middle without a word, applies what follows, and refuses
// to open where a checksum is wrong. A store promises that a sync covers all writes before it and
// that what survives is a beginning of what was written, without holes; hence:
//
// - StoreEnv syncs a log when it is closed, and the directory that names it;
// - it syncs the directory when CURRENT was renamed, before LevelDB goes on with a new log, which
//   must not outlive what it follows; and takes a rename that failed but happened for one that
//   happened, else LevelDB would remove the manifest that CURRENT names;
// - the removal of a log is made durable, before the next one's records are: one that came back
//   could be torn, as nobody has synced it, and would be taken for damage;
// - where one of these fails, which LevelDB isn't told, no log takes a record until the store has
//   been opened again, which makes tables of them all: so whatever a later log's records follow is
//   durable, and a hole in front of them is damage;
// - CutTornLog shortens the last log with records to its last whole one before LevelDB sees it.
//   What is cut was never synced, or is missed: the log finds that the store lags behind the
//   journal.
//
// Source of the format: LevelDB's doc/log_format.md.
#ifndef PARLEY_STORAGE_LEVELDB_ENV_H_
#define PARLEY_STORAGE_LEVELDB_ENV_H_

#include <leveldb/env.h>

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace parley {

// Threads: any.
class StoreEnv : public leveldb::EnvWrapper {
 public:
  // `sync_dir` makes the names in the store's directory durable.
  StoreEnv(leveldb::Env* base, std::function<leveldb::Status()> sync_dir);

  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** file) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
  leveldb::Status RemoveFile(const std::string& path) override;

  // The first sync that failed where LevelDB couldn't be told: writes before it may be lost in a
  // power cut. Until it is taken, appends to logs fail.
  leveldb::Status TakeFailure();

 private:
  class LogFile;

  leveldb::Status failure();
  void Note(const leveldb::Status& status);

  std::function<leveldb::Status()> sync_dir_;
  std::mutex mutex_;
  leveldb::Status failure_;
};

// Corruption where a log that isn't the last with records is damaged.
leveldb::Status CutTornLog(leveldb::Env* env, const std::string& dir);

// How many bytes of a log's are whole records, from its beginning.
size_t WholeRecordBytes(std::string_view log);

}  // namespace parley

#endif  // PARLEY_STORAGE_LEVELDB_ENV_H_
