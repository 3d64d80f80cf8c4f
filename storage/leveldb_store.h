// The embedded MessageStore: one LevelDB database, a directory of its own. Its keys: keys.h.
//
// Owner: the log opens one for each store of the shard map.
//
// Writing. One Apply is one LevelDB write batch: for a message eight small entries, at most ten
// with a reference; for a group's four, and three for each member's log in which it stands. The
// newest of a conversation and the applied one count once for an Apply. A transaction at or below
// the applied one is skipped, which is what makes applying twice change nothing and keeps marks
// from going back. Marks, cursors and the newest of a conversation are written without a look at
// what stands there: the engine only sends grown ones, and transactions ascend.
//
// Without a log of LevelDB's own (leveldb_env.h): after a crash it has what had become tables, and
// Applied says how far that goes. Sync makes a table of what hasn't become one.
//
// Failures. After a write that failed LevelDB refuses everything; so the next Apply or Sync first
// closes the database and opens it again, waiting for reads that are under way. Reads answer
// kUnavailable until that has succeeded and what was lost is applied again. Corruption that LevelDB
// finds (every block read is checked) is kCorruption and names the directory.
//
// Limits. ReadConversations looks at every peer and group of the user's and keeps `limit` of them
// (a scan: about 0.3 µs a peer); ReadReferring gives the newest kReferringMax; CountUnread and
// CountGroupUnread stop after kUnreadScanMax entries and answer what they have counted by then.
#ifndef PARLEY_STORAGE_LEVELDB_STORE_H_
#define PARLEY_STORAGE_LEVELDB_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/message_store.h"
#include "storage/status.h"

namespace leveldb {
class Cache;
class Env;
}  // namespace leveldb

namespace parley {

struct LevelDbOptions {
  std::string path;
  leveldb::Env* env = nullptr;                    // null: LevelDB's own; outlives the store
  std::shared_ptr<leveldb::Cache> block_cache{};  // null: LevelDB's own of 8 MiB
  bool create = false;                            // make the store where there is none
  size_t write_buffer_bytes = 8 << 20;            // of writes, before they become a table
};

class LevelDbStore : public MessageStore {
 public:
  static constexpr size_t kReferringMax = 1000;
  static constexpr uint64_t kUnreadScanMax = 100'000;

  // A cache for any number of stores to share.
  static std::shared_ptr<leveldb::Cache> NewBlockCache(size_t bytes);

  // kNotFound where there is no store and `create` is off, kCorruption where there is something
  // that isn't one or is damaged, kIoError where it is open elsewhere or can't be read.
  static Result<std::unique_ptr<LevelDbStore>> Open(const LevelDbOptions& options);
};

}  // namespace parley

#endif  // PARLEY_STORAGE_LEVELDB_STORE_H_
