// SQLite with owners: a connection, a statement, a transaction, each closed by its destructor, and
// SQLite's result codes as Status. The only file besides sqlite_db.cc that names SQLite's types.
//
// Threads: a connection, with all made from it, belongs to one thread at a time; SQLite's own
// mutexes are off.
// Errors: kIoError (disk, full, locked by another program) and kCorruption name the file.
#ifndef PARLEY_STORAGE_SQLITE_DB_H_
#define PARLEY_STORAGE_SQLITE_DB_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "storage/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace parley {

// Parameters count from 1 and columns from 0, as in SQLite. Texts that are bound must live until
// the statement is reset, bound anew or destroyed. Must not outlive its connection. One that
// stopped at a row keeps what it reads from being checkpointed until it is reset.
class SqliteStatement {
 public:
  SqliteStatement& Bind(int index, std::string_view text);
  SqliteStatement& Bind(int index, int64_t value);
  SqliteStatement& BindNull(int index);

  // True: a row is there. False: done. Bindings that failed are reported here.
  Result<bool> Step();
  // Steps a statement that yields no rows, and resets it for the next use.
  Status Run();
  void Reset();

  std::string_view Text(int column) const;  // valid until the next Step
  int64_t Int(int column) const;
  bool IsNull(int column) const;

 private:
  friend class SqliteDb;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bind_error_ = 0;
};

class SqliteDb {
 public:
  enum class Mode { kReadWrite, kReadOnly };
  // Opens an existing file (an empty one is an empty database).
  static Result<SqliteDb> Open(const std::string& path, Mode mode);

  Status Exec(const char* sql);
  Result<SqliteStatement> Prepare(std::string_view sql);
  // The first column of the first row.
  Result<int64_t> QueryInt(std::string_view sql);
  // Rows that the last INSERT, UPDATE or DELETE changed.
  int64_t changes() const;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit SqliteDb(sqlite3* db) : db_(db) {}

  std::unique_ptr<sqlite3, Close> db_;
};

// BEGIN IMMEDIATE; rolled back by the destructor unless Commit succeeded.
class SqliteTransaction {
 public:
  static Result<SqliteTransaction> Begin(SqliteDb* db);
  SqliteTransaction(SqliteTransaction&& other) noexcept : db_(other.db_) { other.db_ = nullptr; }
  SqliteTransaction(const SqliteTransaction&) = delete;
  SqliteTransaction& operator=(const SqliteTransaction&) = delete;
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;
  ~SqliteTransaction();
  Status Commit();

 private:
  explicit SqliteTransaction(SqliteDb* db) : db_(db) {}
  SqliteDb* db_;
};

// Brings a database to the newest version (PRAGMA user_version) in one transaction: the n-th
// migration takes one of version n to n + 1. kConflict: it is of a newer one.
Status MigrateSqlite(SqliteDb* db, const std::string& path,
                     std::span<const char* const> migrations);

// Makes the file with mode 0600 where there is none: SQLite would make it with the umask's rights.
// Its -wal and -shm take the file's own.
Status MakePrivateFile(const std::string& path);

}  // namespace parley

#endif  // PARLEY_STORAGE_SQLITE_DB_H_
