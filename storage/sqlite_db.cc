#include "storage/sqlite_db.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace parley {
namespace {

// Another program may hold the database for a moment (a backup, the sqlite3 shell).
constexpr int kBusyTimeoutMs = 5000;

Status ErrorOf(sqlite3* db, int rc) {
  const char* path = db != nullptr ? sqlite3_db_filename(db, "main") : nullptr;
  std::string what = std::string(path != nullptr && *path != '\0' ? path : "database") + ": " +
                     (db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
  switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Status(Code::kCorruption, what + "; restore it from a backup");
    case SQLITE_CONSTRAINT:
      return Status(Code::kConflict, what);
    case SQLITE_FULL:
      return Status(Code::kIoError, what + "; free some disk space");
    case SQLITE_BUSY:
      return Status(Code::kIoError, what + "; another program holds it");
    default:
      return Status(Code::kIoError, what);
  }
}

}  // namespace

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

SqliteStatement& SqliteStatement::Bind(int index, std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() != nullptr ? text.data() : "";
  int rc = sqlite3_bind_text(statement_.get(), index, data, static_cast<int>(text.size()),
                             SQLITE_STATIC);
  if (rc != SQLITE_OK) bind_error_ = rc;
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int index, int64_t value) {
  int rc = sqlite3_bind_int64(statement_.get(), index, value);
  if (rc != SQLITE_OK) bind_error_ = rc;
  return *this;
}

SqliteStatement& SqliteStatement::BindNull(int index) {
  int rc = sqlite3_bind_null(statement_.get(), index);
  if (rc != SQLITE_OK) bind_error_ = rc;
  return *this;
}

Result<bool> SqliteStatement::Step() {
  sqlite3* db = sqlite3_db_handle(statement_.get());
  if (bind_error_ != 0) return Error(ErrorOf(db, bind_error_));
  int rc = sqlite3_step(statement_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  Status error = ErrorOf(db, rc);
  sqlite3_reset(statement_.get());
  return Error(std::move(error));
}

Status SqliteStatement::Run() {
  Result<bool> row = Step();
  Reset();
  return row ? Status() : row.error();
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
  bind_error_ = 0;
}

std::string_view SqliteStatement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return {};
  return {text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void SqliteDb::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

Result<SqliteDb> SqliteDb::Open(const std::string& path, Mode mode) {
  int flags = SQLITE_OPEN_NOMUTEX |
              (mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  sqlite3* handle = nullptr;
  int rc = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  SqliteDb db(handle);
  if (rc != SQLITE_OK) {
    return Error(Code::kIoError,
                 path + ": " + (handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(rc)));
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return db;
}

Status SqliteDb::Exec(const char* sql) {
  int rc = sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? Status() : ErrorOf(db_.get(), rc);
}

Result<SqliteStatement> SqliteDb::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  int rc =
      sqlite3_prepare_v2(db_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (rc != SQLITE_OK) return Error(ErrorOf(db_.get(), rc));
  return SqliteStatement(statement);
}

Result<int64_t> SqliteDb::QueryInt(std::string_view sql) {
  Result<SqliteStatement> statement = Prepare(sql);
  if (!statement) return Error(statement.error());
  Result<bool> row = statement->Step();
  if (!row) return Error(row.error());
  return *row ? statement->Int(0) : 0;
}

int64_t SqliteDb::changes() const { return sqlite3_changes64(db_.get()); }

Result<SqliteTransaction> SqliteTransaction::Begin(SqliteDb* db) {
  if (Status status = db->Exec("BEGIN IMMEDIATE"); !status.ok()) return Error(status);
  return SqliteTransaction(db);
}

SqliteTransaction::~SqliteTransaction() {
  // SQLite rolls back by itself after some errors; then this one says so, and that is all.
  if (db_ != nullptr) (void)db_->Exec("ROLLBACK");
}

Status SqliteTransaction::Commit() {
  Status status = db_->Exec("COMMIT");
  if (status.ok()) db_ = nullptr;
  return status;
}

Status MigrateSqlite(SqliteDb* db, const std::string& path,
                     std::span<const char* const> migrations) {
  Result<int64_t> version = db->QueryInt("PRAGMA user_version");
  if (!version) return version.error();
  if (*version > static_cast<int64_t>(migrations.size())) {
    return Status(Code::kConflict, path + " is of version " + std::to_string(*version) +
                                       ", made by a newer Parley: install that one");
  }
  if (*version == static_cast<int64_t>(migrations.size())) return Status();
  Result<SqliteTransaction> transaction = SqliteTransaction::Begin(db);
  if (!transaction) return transaction.error();
  for (size_t i = static_cast<size_t>(*version); i < migrations.size(); ++i) {
    if (Status status = db->Exec(migrations[i]); !status.ok()) return status;
  }
  std::string set_version = "PRAGMA user_version = " + std::to_string(migrations.size());
  if (Status status = db->Exec(set_version.c_str()); !status.ok()) return status;
  return transaction->Commit();
}

Status MakePrivateFile(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Status(Code::kIoError, path + ": open: " + std::strerror(errno));
  close(fd);
  return Status();
}

}  // namespace parley
