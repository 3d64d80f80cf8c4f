// The directory on SQLite: <data>/directory.db in WAL mode, one connection that writes and one that
// reads, and the account table in memory (account_table.h), changed after each commit.
#include <algorithm>
#include <array>
#include <filesystem>
#include <mutex>
#include <thread>

#include "storage/account_table.h"
#include "storage/data_dir.h"
#include "storage/directory.h"
#include "storage/sqlite_db.h"

namespace parley {
namespace {

// One entry a version: the n-th takes a database of version n to n + 1. Only ever appended to.
constexpr std::array<const char*, 4> kMigrations = {
    R"sql(
CREATE TABLE keys (
  name TEXT PRIMARY KEY,
  rate INTEGER NOT NULL DEFAULT 0 CHECK (rate >= 0),     -- messages a second, 0: no limit
  quota INTEGER NOT NULL DEFAULT 0 CHECK (quota >= 0),   -- messages a day, 0: no limit
  day INTEGER NOT NULL DEFAULT 0,                        -- days since the Unix epoch, UTC
  used INTEGER NOT NULL DEFAULT 0                        -- on that day
) STRICT, WITHOUT ROWID;
CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  role TEXT NOT NULL CHECK (role IN ('user', 'service', 'admin')),
  key TEXT NOT NULL REFERENCES keys (name),
  disabled INTEGER NOT NULL DEFAULT 0,
  password TEXT,                                         -- argon2id string; NULL: tokens only
  tokens_after_ms INTEGER NOT NULL DEFAULT 0,            -- tokens issued before are void
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE devices (
  user TEXT NOT NULL,
  device TEXT NOT NULL,                                  -- MQTT client id
  last_seen_ms INTEGER NOT NULL,
  PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;
INSERT INTO keys (name) VALUES ('default');
)sql",
    R"sql(
ALTER TABLE keys ADD COLUMN strangers INTEGER NOT NULL DEFAULT 1;   -- may write to its accounts
ALTER TABLE accounts ADD COLUMN name TEXT NOT NULL DEFAULT '';      -- what it calls itself
ALTER TABLE devices ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;  -- kept for the next column
ALTER TABLE devices ADD COLUMN tokens_after_ms INTEGER NOT NULL DEFAULT 0;  -- void before; 0: none
CREATE INDEX devices_void ON devices (user) WHERE tokens_after_ms > 0;
)sql",
    R"sql(
ALTER TABLE keys ADD COLUMN secret_hash TEXT NOT NULL DEFAULT '';   -- SHA-256, hex; '': no secret
)sql",
    R"sql(
ALTER TABLE keys ADD COLUMN webhook_url TEXT;      -- NULL: none
ALTER TABLE keys ADD COLUMN webhook_secret TEXT;
)sql",
};

Status NoSuchUser(const UserId& user) {
  return Status(Code::kNotFound, "no account '" + user.str() + "'");
}

Status NoSuchKey(const KeyName& name) {
  return Status(Code::kNotFound, "no API key '" + name.str() + "'");
}

// The columns that ListUsers and Info select.
UserRow RowOf(const SqliteStatement& row) {
  return {UserId(row.Text(0)),     RoleFromName(row.Text(1)).value_or(Role::kUser),
          row.Int(2) != 0,         row.Int(3) != 0,
          KeyName(row.Text(4)),    row.Int(5),
          std::string(row.Text(6))};
}

// What is durable, and enforced, on every connection that writes.
Status Configure(SqliteDb* db) {
  return db->Exec(
      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 16777216;");
}

Result<DataDirLock> TakeLock(const std::string& data_dir, std::chrono::milliseconds patience) {
  auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    Result<DataDirLock> lock = DataDirLock::Take(data_dir);
    bool busy = !lock && lock.error().code() == Code::kBusy;
    if (!busy || std::chrono::steady_clock::now() >= deadline) return lock;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

class SqliteDirectory final : public Directory {
 public:
  SqliteDirectory(Env* env, DataDirLock lock, SqliteDb writer, SqliteDb reader)
      : env_(env), lock_(std::move(lock)), writer_(std::move(writer)), reader_(std::move(reader)) {}

  Status Load();

  std::optional<Account> Find(const UserId& user) const override { return table_.Find(user); }
  std::optional<ApiKey> FindKey(const KeyName& name) const override { return table_.FindKey(name); }
  std::vector<ApiKey> Keys() const override { return table_.Keys(); }
  std::shared_ptr<const Webhook> WebhookOf(const KeyName& name) const override {
    return table_.WebhookOf(name);
  }
  bool AnyWebhook() const override { return table_.AnyWebhook(); }
  size_t user_count() const override { return table_.size(); }
  int64_t DeviceTokensAfter(const UserId& user, const DeviceId& device) const override {
    return table_.DeviceTokensAfter(user, device);
  }
  Status CheckNew(const NewUser& user) const override;

  Status AddUser(const NewUser& user) override;
  Result<std::vector<bool>> ImportUsers(std::span<const NewUser> users) override;
  Status SetPassword(const UserId& user, const std::optional<std::string>& hash) override;
  Status ChangePassword(const UserId& user, const std::string& old_hash,
                        const std::string& new_hash) override;
  Status ReplaceHash(const UserId& user, const std::string& old_hash,
                     const std::string& new_hash) override;
  Status SetDisabled(const UserId& user, bool disabled) override;
  Result<std::optional<std::string>> PasswordHash(const UserId& user) override;
  Result<std::vector<UserRow>> ListUsers(const UserId& after, size_t limit) override;
  Status SetName(const UserId& user, const std::string& name) override;
  Result<UserRow> Info(const UserId& user) override;

  Status AddKey(const KeyName& name, int64_t rate_per_s, int64_t quota_per_day,
                bool strangers) override;
  Status SetKey(const KeyName& name, std::optional<int64_t> rate_per_s,
                std::optional<int64_t> quota_per_day, std::optional<bool> strangers) override;
  Status SetKeySecret(const KeyName& name, const std::string& secret_hash) override;
  Status SetWebhook(const KeyName& name, const std::optional<Webhook>& webhook) override;
  Status RecordKeyUse(int64_t day, std::span<const std::pair<KeyName, int64_t>> used) override;

  Status TouchDevices(std::span<const DeviceSeen> seen) override;
  Result<std::vector<Device>> Devices(const UserId& user) override;
  Status RemoveDevice(const UserId& user, const DeviceId& device) override;
  Result<std::vector<int64_t>> LastSeen(std::span<const UserId> users) override;

 private:
  Status LoadKeys();
  Status LoadAccounts();
  Status LoadVoidedDevices();
  // Inserts those that don't exist, in one transaction; the answer tells which it was.
  Result<std::vector<bool>> Insert(std::span<const NewUser> users, int64_t now_ms);
  // The new password, and no token of before; only where the hash is `only_if`, if that is set.
  Status ReplacePassword(const UserId& user, const std::optional<std::string>& hash,
                         const std::optional<std::string>& only_if);
  Status ForgetDevices(const UserId& user);
  // Where there are more removed devices than are remembered: the time up to which all tokens of
  // the user's are void in their place.
  Result<std::optional<int64_t>> ForgetVoided(const UserId& user);

  Env* const env_;
  const DataDirLock lock_;
  AccountTable table_;

  std::mutex write_mutex_;  // guards writer_, and that table_ follows it
  SqliteDb writer_;
  std::mutex read_mutex_;  // guards reader_
  SqliteDb reader_;
};

Status SqliteDirectory::Load() {
  if (Status status = LoadKeys(); !status.ok()) return status;
  if (Status status = LoadAccounts(); !status.ok()) return status;
  return LoadVoidedDevices();
}

Status SqliteDirectory::LoadKeys() {
  auto rows = reader_.Prepare(
      "SELECT name, rate, quota, day, used, strangers, secret_hash, webhook_url, webhook_secret "
      "FROM keys LIMIT ?1");
  if (!rows) return rows.error();
  rows->Bind(1, static_cast<int64_t>(kKeysMax));
  for (;;) {
    Result<bool> row = rows->Step();
    if (!row) return row.error();
    if (!*row) return Status();
    table_.PutKey({KeyName(rows->Text(0)), rows->Int(1), rows->Int(2), rows->Int(3), rows->Int(4),
                   rows->Int(5) != 0, std::string(rows->Text(6))});
    if (rows->IsNull(7)) continue;
    table_.PutWebhook(KeyName(rows->Text(0)),
                      Webhook{std::string(rows->Text(7)), std::string(rows->Text(8))});
  }
}

Status SqliteDirectory::LoadAccounts() {
  Result<int64_t> count = reader_.QueryInt("SELECT count(*) FROM accounts");
  if (!count) return count.error();
  table_.Reserve(static_cast<size_t>(*count));
  auto rows = reader_.Prepare(
      "SELECT id, role, key, disabled, password IS NOT NULL, tokens_after_ms FROM accounts");
  if (!rows) return rows.error();
  for (;;) {
    Result<bool> row = rows->Step();
    if (!row) return row.error();
    if (!*row) return Status();
    std::optional<Role> role = RoleFromName(rows->Text(1));
    if (!role) return Status(Code::kCorruption, "unknown role of " + std::string(rows->Text(0)));
    table_.Put(UserId(rows->Text(0)), Account{.role = *role,
                                              .disabled = rows->Int(3) != 0,
                                              .has_password = rows->Int(4) != 0,
                                              .key = KeyName(rows->Text(2)),
                                              .tokens_after_ms = rows->Int(5)});
  }
}

Status SqliteDirectory::LoadVoidedDevices() {
  auto rows = reader_.Prepare(
      "SELECT user, device, tokens_after_ms FROM devices WHERE tokens_after_ms > 0");
  if (!rows) return rows.error();
  for (;;) {
    Result<bool> row = rows->Step();
    if (!row) return row.error();
    if (!*row) return Status();
    table_.VoidDevice(UserId(rows->Text(0)), DeviceId(rows->Text(1)), rows->Int(2));
  }
}

Status SqliteDirectory::CheckNew(const NewUser& user) const {
  if (!ValidId(user.id.str())) {
    return Status(Code::kBadRequest, "'" + user.id.str() +
                                         "' is not a user id: 1 to 64 of a-z 0-9 . _ -, "
                                         "beginning with a letter or digit");
  }
  return table_.FindKey(user.key) ? Status() : NoSuchKey(user.key);
}

Status SqliteDirectory::AddUser(const NewUser& user) {
  Result<std::vector<bool>> created = ImportUsers({&user, 1});
  if (!created) return created.error();
  if (created->front()) return Status();
  return Status(Code::kConflict, "account '" + user.id.str() + "' exists already");
}

Result<std::vector<bool>> SqliteDirectory::ImportUsers(std::span<const NewUser> users) {
  for (const NewUser& user : users) {
    if (Status status = CheckNew(user); !status.ok()) return Error(status);
  }
  std::lock_guard lock(write_mutex_);
  Result<std::vector<bool>> created = Insert(users, env_->NowMs());
  if (!created) return created;
  for (size_t i = 0; i < users.size(); ++i) {
    if (!(*created)[i]) continue;
    table_.Put(users[i].id, Account{.role = users[i].role,
                                    .has_password = users[i].password_hash.has_value(),
                                    .key = users[i].key});
  }
  return created;
}

Result<std::vector<bool>> SqliteDirectory::Insert(std::span<const NewUser> users, int64_t now_ms) {
  auto transaction = SqliteTransaction::Begin(&writer_);
  if (!transaction) return Error(transaction.error());
  auto insert = writer_.Prepare(
      "INSERT INTO accounts (id, role, key, password, created_ms) VALUES (?1, ?2, ?3, ?4, ?5) "
      "ON CONFLICT DO NOTHING");
  if (!insert) return Error(insert.error());
  std::vector<bool> created;
  created.reserve(users.size());
  for (const NewUser& user : users) {
    insert->Bind(1, user.id.str()).Bind(2, RoleName(user.role)).Bind(3, user.key.str());
    insert->Bind(5, now_ms);
    if (user.password_hash) {
      insert->Bind(4, *user.password_hash);
    } else {
      insert->BindNull(4);
    }
    if (Status status = insert->Run(); !status.ok()) return Error(status);
    created.push_back(writer_.changes() > 0);
  }
  if (Status status = transaction->Commit(); !status.ok()) return Error(status);
  return created;
}

Status SqliteDirectory::SetPassword(const UserId& user, const std::optional<std::string>& hash) {
  return ReplacePassword(user, hash, std::nullopt);
}

Status SqliteDirectory::ChangePassword(const UserId& user, const std::string& old_hash,
                                       const std::string& new_hash) {
  return ReplacePassword(user, new_hash, old_hash);
}

Status SqliteDirectory::ReplacePassword(const UserId& user, const std::optional<std::string>& hash,
                                        const std::optional<std::string>& only_if) {
  std::lock_guard lock(write_mutex_);
  std::optional<Account> account = table_.Find(user);
  if (!account) return NoSuchUser(user);
  int64_t now_ms = env_->NowMs();
  auto update = writer_.Prepare(
      "UPDATE accounts SET password = ?2, tokens_after_ms = ?3 WHERE id = ?1 "
      "AND (?4 IS NULL OR password = ?4)");
  if (!update) return update.error();
  update->Bind(1, user.str()).Bind(3, now_ms);
  if (only_if) update->Bind(4, *only_if);  // what isn't bound is NULL
  if (hash) {
    update->Bind(2, *hash);
  } else {
    update->BindNull(2);
  }
  if (Status status = update->Run(); !status.ok()) return status;
  if (writer_.changes() == 0) {
    return Status(Code::kConflict, "the password was changed in the meantime; try again");
  }
  account->has_password = hash.has_value();
  account->tokens_after_ms = now_ms;
  table_.Put(user, *account);
  return Status();
}

Status SqliteDirectory::ReplaceHash(const UserId& user, const std::string& old_hash,
                                    const std::string& new_hash) {
  std::lock_guard lock(write_mutex_);
  auto update =
      writer_.Prepare("UPDATE accounts SET password = ?3 WHERE id = ?1 AND password = ?2");
  if (!update) return update.error();
  update->Bind(1, user.str()).Bind(2, old_hash).Bind(3, new_hash);
  return update->Run();
}

Status SqliteDirectory::SetDisabled(const UserId& user, bool disabled) {
  std::lock_guard lock(write_mutex_);
  std::optional<Account> account = table_.Find(user);
  if (!account) return NoSuchUser(user);
  if (disabled) account->tokens_after_ms = env_->NowMs();
  account->disabled = disabled;
  auto update =
      writer_.Prepare("UPDATE accounts SET disabled = ?2, tokens_after_ms = ?3 WHERE id = ?1");
  if (!update) return update.error();
  update->Bind(1, user.str()).Bind(2, int64_t{disabled}).Bind(3, account->tokens_after_ms);
  if (Status status = update->Run(); !status.ok()) return status;
  table_.Put(user, *account);
  return Status();
}

Result<std::optional<std::string>> SqliteDirectory::PasswordHash(const UserId& user) {
  std::lock_guard lock(read_mutex_);
  auto select = reader_.Prepare("SELECT password FROM accounts WHERE id = ?1");
  if (!select) return Error(select.error());
  Result<bool> row = select->Bind(1, user.str()).Step();
  if (!row) return Error(row.error());
  if (!*row) return Error(NoSuchUser(user));
  if (select->IsNull(0)) return std::nullopt;
  return std::string(select->Text(0));
}

Result<std::vector<UserRow>> SqliteDirectory::ListUsers(const UserId& after, size_t limit) {
  std::lock_guard lock(read_mutex_);
  auto select = reader_.Prepare(
      "SELECT id, role, disabled, password IS NOT NULL, key, created_ms, name FROM accounts "
      "WHERE id > ?1 ORDER BY id LIMIT ?2");
  if (!select) return Error(select.error());
  select->Bind(1, after.str()).Bind(2, static_cast<int64_t>(std::min(limit, kUsersPageMax)));
  std::vector<UserRow> users;
  for (;;) {
    Result<bool> row = select->Step();
    if (!row) return Error(row.error());
    if (!*row) return users;
    users.push_back(RowOf(*select));
  }
}

Result<UserRow> SqliteDirectory::Info(const UserId& user) {
  std::lock_guard lock(read_mutex_);
  auto select = reader_.Prepare(
      "SELECT id, role, disabled, password IS NOT NULL, key, created_ms, name FROM accounts "
      "WHERE id = ?1");
  if (!select) return Error(select.error());
  Result<bool> row = select->Bind(1, user.str()).Step();
  if (!row) return Error(row.error());
  if (!*row) return Error(NoSuchUser(user));
  return RowOf(*select);
}

Status SqliteDirectory::SetName(const UserId& user, const std::string& name) {
  if (name.size() > kNameBytesMax) {
    return Status(Code::kTooLarge,
                  "the name is longer than " + std::to_string(kNameBytesMax) + " bytes");
  }
  std::lock_guard lock(write_mutex_);
  auto update = writer_.Prepare("UPDATE accounts SET name = ?2 WHERE id = ?1");
  if (!update) return update.error();
  Status status = update->Bind(1, user.str()).Bind(2, name).Run();
  if (!status.ok()) return status;
  return writer_.changes() > 0 ? Status() : NoSuchUser(user);
}

Status SqliteDirectory::AddKey(const KeyName& name, int64_t rate_per_s, int64_t quota_per_day,
                               bool strangers) {
  if (!ValidId(name.str())) {
    return Status(Code::kBadRequest, "'" + name.str() + "' can't be a key's name");
  }
  if (rate_per_s < 0 || quota_per_day < 0) return Status(Code::kBadRequest, "a limit below 0");
  std::lock_guard lock(write_mutex_);
  if (table_.FindKey(name)) {
    return Status(Code::kConflict, "API key '" + name.str() + "' exists already");
  }
  if (table_.Keys().size() >= kKeysMax) {
    return Status(Code::kTooLarge, "there are " + std::to_string(kKeysMax) + " API keys already");
  }
  auto insert =
      writer_.Prepare("INSERT INTO keys (name, rate, quota, strangers) VALUES (?1, ?2, ?3, ?4)");
  if (!insert) return insert.error();
  insert->Bind(1, name.str()).Bind(2, rate_per_s).Bind(3, quota_per_day);
  if (Status status = insert->Bind(4, int64_t{strangers}).Run(); !status.ok()) return status;
  table_.PutKey({.name = name,
                 .rate_per_s = rate_per_s,
                 .quota_per_day = quota_per_day,
                 .strangers = strangers});
  return Status();
}

Status SqliteDirectory::SetKey(const KeyName& name, std::optional<int64_t> rate_per_s,
                               std::optional<int64_t> quota_per_day,
                               std::optional<bool> strangers) {
  if (rate_per_s.value_or(0) < 0 || quota_per_day.value_or(0) < 0) {
    return Status(Code::kBadRequest, "a limit below 0");
  }
  std::lock_guard lock(write_mutex_);
  std::optional<ApiKey> key = table_.FindKey(name);
  if (!key) return NoSuchKey(name);
  key->rate_per_s = rate_per_s.value_or(key->rate_per_s);
  key->quota_per_day = quota_per_day.value_or(key->quota_per_day);
  key->strangers = strangers.value_or(key->strangers);
  auto update =
      writer_.Prepare("UPDATE keys SET rate = ?2, quota = ?3, strangers = ?4 WHERE name = ?1");
  if (!update) return update.error();
  update->Bind(1, name.str()).Bind(2, key->rate_per_s).Bind(3, key->quota_per_day);
  if (Status status = update->Bind(4, int64_t{key->strangers}).Run(); !status.ok()) return status;
  table_.PutKey(*key);
  return Status();
}

Status SqliteDirectory::SetKeySecret(const KeyName& name, const std::string& secret_hash) {
  std::lock_guard lock(write_mutex_);
  std::optional<ApiKey> key = table_.FindKey(name);
  if (!key) return NoSuchKey(name);
  auto update = writer_.Prepare("UPDATE keys SET secret_hash = ?2 WHERE name = ?1");
  if (!update) return update.error();
  update->Bind(1, name.str()).Bind(2, secret_hash);
  if (Status status = update->Run(); !status.ok()) return status;
  key->secret_hash = secret_hash;
  table_.PutKey(*key);
  return Status();
}

Status SqliteDirectory::SetWebhook(const KeyName& name, const std::optional<Webhook>& webhook) {
  if (webhook && (webhook->url.empty() || webhook->url.size() > kWebhookUrlBytesMax)) {
    return Status(Code::kBadRequest,
                  "a webhook's URL has 1 to " + std::to_string(kWebhookUrlBytesMax) + " bytes");
  }
  if (webhook && (webhook->secret.size() < kWebhookSecretBytesMin ||
                  webhook->secret.size() > kWebhookSecretBytesMax)) {
    return Status(Code::kBadRequest, "a webhook's secret has " +
                                         std::to_string(kWebhookSecretBytesMin) + " to " +
                                         std::to_string(kWebhookSecretBytesMax) + " bytes");
  }
  std::lock_guard lock(write_mutex_);
  if (!table_.FindKey(name)) return NoSuchKey(name);
  auto update =
      writer_.Prepare("UPDATE keys SET webhook_url = ?2, webhook_secret = ?3 WHERE name = ?1");
  if (!update) return update.error();
  update->Bind(1, name.str());
  if (webhook) {
    update->Bind(2, webhook->url).Bind(3, webhook->secret);
  } else {
    update->BindNull(2).BindNull(3);
  }
  if (Status status = update->Run(); !status.ok()) return status;
  table_.PutWebhook(name, webhook);
  return Status();
}

Status SqliteDirectory::RecordKeyUse(int64_t day,
                                     std::span<const std::pair<KeyName, int64_t>> used) {
  std::lock_guard lock(write_mutex_);
  auto transaction = SqliteTransaction::Begin(&writer_);
  if (!transaction) return transaction.error();
  auto update = writer_.Prepare("UPDATE keys SET day = ?2, used = ?3 WHERE name = ?1");
  if (!update) return update.error();
  for (const auto& [name, count] : used) {
    update->Bind(1, name.str()).Bind(2, day).Bind(3, count);
    if (Status status = update->Run(); !status.ok()) return status;
  }
  if (Status status = transaction->Commit(); !status.ok()) return status;
  for (const auto& [name, count] : used) {
    std::optional<ApiKey> key = table_.FindKey(name);
    if (!key) continue;
    key->day = day;
    key->used = count;
    table_.PutKey(*key);
  }
  return Status();
}

Status SqliteDirectory::TouchDevices(std::span<const DeviceSeen> seen) {
  std::lock_guard lock(write_mutex_);
  auto transaction = SqliteTransaction::Begin(&writer_);
  if (!transaction) return transaction.error();
  // What was seen before the removal, and is only written now, doesn't bring it back.
  auto update = writer_.Prepare(
      "UPDATE devices SET last_seen_ms = max(last_seen_ms, ?3), "
      "removed = removed AND ?3 <= tokens_after_ms WHERE user = ?1 AND device = ?2");
  if (!update) return update.error();
  auto insert =
      writer_.Prepare("INSERT INTO devices (user, device, last_seen_ms) VALUES (?1, ?2, ?3)");
  if (!insert) return insert.error();
  for (const DeviceSeen& one : seen) {
    for (SqliteStatement* statement : {&*update, &*insert}) {
      statement->Bind(1, one.user.str()).Bind(2, one.device.id.str());
      statement->Bind(3, one.device.last_seen_ms);
    }
    if (Status status = update->Run(); !status.ok()) return status;
    if (writer_.changes() == 0) {
      if (Status status = insert->Run(); !status.ok()) return status;
      if (Status status = ForgetDevices(one.user); !status.ok()) return status;
    }
  }
  return transaction->Commit();
}

// Client ids may be random, one for each connection: only the latest are kept, and those whose
// tokens are void.
Status SqliteDirectory::ForgetDevices(const UserId& user) {
  constexpr std::string_view kPastTheLatest =
      " AND device IN (SELECT device FROM devices WHERE user = ?1 AND NOT removed "
      "ORDER BY last_seen_ms DESC, device LIMIT -1 OFFSET ?2)";
  for (std::string_view change :
       {"DELETE FROM devices WHERE user = ?1 AND tokens_after_ms = 0",
        "UPDATE devices SET removed = 1 WHERE user = ?1 AND tokens_after_ms > 0"}) {
    auto forget = writer_.Prepare(std::string(change).append(kPastTheLatest));
    if (!forget) return forget.error();
    forget->Bind(1, user.str()).Bind(2, static_cast<int64_t>(kDevicesMax));
    if (Status status = forget->Run(); !status.ok()) return status;
  }
  return Status();
}

Result<std::vector<Device>> SqliteDirectory::Devices(const UserId& user) {
  std::lock_guard lock(read_mutex_);
  auto select = reader_.Prepare(
      "SELECT device, last_seen_ms FROM devices WHERE user = ?1 AND NOT removed "
      "ORDER BY last_seen_ms DESC, device");
  if (!select) return Error(select.error());
  select->Bind(1, user.str());
  std::vector<Device> devices;
  for (;;) {
    Result<bool> row = select->Step();
    if (!row) return Error(row.error());
    if (!*row) return devices;
    devices.push_back({DeviceId(select->Text(0)), select->Int(1)});
  }
}

Status SqliteDirectory::RemoveDevice(const UserId& user, const DeviceId& device) {
  std::lock_guard lock(write_mutex_);
  int64_t now_ms = env_->NowMs();
  auto transaction = SqliteTransaction::Begin(&writer_);
  if (!transaction) return transaction.error();
  auto listed =
      writer_.Prepare("SELECT 1 FROM devices WHERE user = ?1 AND device = ?2 AND NOT removed");
  if (!listed) return listed.error();
  Result<bool> known = listed->Bind(1, user.str()).Bind(2, device.str()).Step();
  if (!known) return known.error();
  listed->Reset();
  auto remove = writer_.Prepare(
      "INSERT INTO devices (user, device, last_seen_ms, removed, tokens_after_ms) "
      "VALUES (?1, ?2, 0, 1, ?3) ON CONFLICT DO UPDATE SET removed = 1, tokens_after_ms = ?3");
  if (!remove) return remove.error();
  remove->Bind(1, user.str()).Bind(2, device.str()).Bind(3, now_ms);
  if (Status status = remove->Run(); !status.ok()) return status;
  auto all_void_ms = ForgetVoided(user);
  if (!all_void_ms) return all_void_ms.error();
  if (Status status = transaction->Commit(); !status.ok()) return status;
  table_.VoidDevice(user, device, now_ms);
  if (*all_void_ms) {
    if (auto account = table_.Find(user)) {
      account->tokens_after_ms = std::max(account->tokens_after_ms, **all_void_ms);
      table_.Put(user, *account);
    }
    table_.DropVoided(user, **all_void_ms);
  }
  if (*known) return Status();
  return Status(Code::kNotFound, "'" + user.str() + "' has no device '" + device.str() + "'");
}

Result<std::optional<int64_t>> SqliteDirectory::ForgetVoided(const UserId& user) {
  auto oldest = writer_.Prepare(
      "SELECT tokens_after_ms FROM devices WHERE user = ?1 AND tokens_after_ms > 0 "
      "ORDER BY tokens_after_ms DESC LIMIT 1 OFFSET ?2");
  if (!oldest) return Error(oldest.error());
  oldest->Bind(1, user.str()).Bind(2, static_cast<int64_t>(kDevicesMax));
  Result<bool> row = oldest->Step();
  if (!row) return Error(row.error());
  if (!*row) return std::nullopt;
  int64_t through_ms = oldest->Int(0);
  oldest->Reset();
  for (const char* change :
       {"UPDATE accounts SET tokens_after_ms = max(tokens_after_ms, ?2) WHERE id = ?1",
        "DELETE FROM devices WHERE user = ?1 AND removed AND tokens_after_ms <= ?2",
        "UPDATE devices SET tokens_after_ms = 0 WHERE user = ?1 AND tokens_after_ms <= ?2"}) {
    auto forget = writer_.Prepare(change);
    if (!forget) return Error(forget.error());
    Status status = forget->Bind(1, user.str()).Bind(2, through_ms).Run();
    if (!status.ok()) return Error(status);
  }
  return through_ms;
}

Result<std::vector<int64_t>> SqliteDirectory::LastSeen(std::span<const UserId> users) {
  std::lock_guard lock(read_mutex_);
  auto select = reader_.Prepare("SELECT max(last_seen_ms) FROM devices WHERE user = ?1");
  if (!select) return Error(select.error());
  std::vector<int64_t> seen;
  seen.reserve(users.size());
  for (const UserId& user : users) {
    Result<bool> row = select->Bind(1, user.str()).Step();
    if (!row) return Error(row.error());
    seen.push_back(select->Int(0));  // NULL, where there is none, is 0
    select->Reset();
  }
  return seen;
}

}  // namespace

Result<bool> Directory::Create(const std::string& data_dir, Env* env) {
  Result<DataDirLock> lock = DataDirLock::Take(data_dir);
  if (!lock) return Error(lock.error());
  std::string path = DatabasePath(data_dir);
  if (Status status = MakePrivateFile(path); !status.ok()) return Error(status);
  Result<SqliteDb> db = SqliteDb::Open(path, SqliteDb::Mode::kReadWrite);
  if (!db) return Error(db.error());
  Result<int64_t> version = db->QueryInt("PRAGMA user_version");
  if (!version) return Error(version.error());
  // A database that lost its secret must not get another: no password in it would match.
  if (*version > 0) return false;

  if (Status status = env->MakeDir(data_dir + "/run"); !status.ok()) return Error(status);
  std::string secret(32, '\0');
  env->Random(secret.data(), secret.size());
  if (Status status = MakeSecret(data_dir, secret); !status.ok()) return Error(status);
  if (Status status = db->Exec("PRAGMA journal_mode = WAL"); !status.ok()) return Error(status);
  if (Status status = Configure(&*db); !status.ok()) return Error(status);
  if (Status status = MigrateSqlite(&*db, path, kMigrations); !status.ok()) return Error(status);
  return true;
}

Result<std::unique_ptr<Directory>> Directory::Open(const std::string& data_dir, Env* env,
                                                   std::chrono::milliseconds patience) {
  std::string path = DatabasePath(data_dir);
  Status never_made(Code::kNotFound, "no Parley directory in " + data_dir +
                                         ": make one with 'parleyctl --data " + data_dir +
                                         " init'");
  std::error_code error;
  if (std::filesystem::file_size(path, error) == 0 || error) {
    if (error == std::errc::permission_denied) {
      return Error(Code::kIoError, path + ": " + error.message());
    }
    return Error(never_made);
  }
  Result<DataDirLock> lock = TakeLock(data_dir, patience);
  if (!lock) return Error(lock.error());
  Result<SqliteDb> writer = SqliteDb::Open(path, SqliteDb::Mode::kReadWrite);
  if (!writer) return Error(writer.error());
  if (Status status = Configure(&*writer); !status.ok()) return Error(status);
  Result<int64_t> version = writer->QueryInt("PRAGMA user_version");
  if (!version) return Error(version.error());
  if (*version == 0) return Error(never_made);
  if (Status status = MigrateSqlite(&*writer, path, kMigrations); !status.ok())
    return Error(status);
  Result<SqliteDb> reader = SqliteDb::Open(path, SqliteDb::Mode::kReadOnly);
  if (!reader) return Error(reader.error());

  auto directory = std::make_unique<SqliteDirectory>(env, std::move(*lock), std::move(*writer),
                                                     std::move(*reader));
  if (Status status = directory->Load(); !status.ok()) return Error(status);
  return directory;
}

}  // namespace parley
