// Accounts, API keys and devices: who exists, what they may use, and how they prove who they are.
//
// Owner: the plugin, or parleyctl while the broker is down. Opening takes the data directory's
// LOCK for as long as the directory lives: one process at a time.
//
// Two kinds of calls:
// - From memory (Find, FindKey, Keys, WebhookOf, DeviceTokensAfter, user_count): no I/O, a lock
// held for some
//   100 ns, any thread, the broker's included. All accounts are in memory without their passwords
//   and names: 1,000,000 of them take about 100 MB and are loaded in about a second.
// - I/O (everything else): any thread but the broker's. Writes take turns; one that returned ok is
//   durable (SQLite, WAL, synchronous FULL) and seen by Find.
//
// Limits: kKeysMax keys, kDevicesMax devices remembered for a user (the least recent go first), and
// as many that were removed.
// Errors: kNotFound, kConflict, kBadRequest as the calls say; kIoError and kCorruption name the
// file; nothing is changed then.
#ifndef PARLEY_STORAGE_DIRECTORY_H_
#define PARLEY_STORAGE_DIRECTORY_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/env.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

enum class Role : uint8_t { kUser, kService, kAdmin };

std::string_view RoleName(Role role);  // "user", "service", "admin"
std::optional<Role> RoleFromName(std::string_view name);

struct Account {
  Role role = Role::kUser;
  bool disabled = false;
  bool has_password = false;  // without: tokens only
  KeyName key;
  int64_t tokens_after_ms = 0;  // tokens issued before are void
  // Changes whenever an earlier proof of identity stops counting (password, disable, enable), so
  // that a cache of logins needs no other news. Counted anew by each process, from 1.
  uint32_t generation = 0;
};

// An API key: its accounts share a rate and a daily quota. 0: no limit.
struct ApiKey {
  KeyName name;
  int64_t rate_per_s = 0;
  int64_t quota_per_day = 0;
  int64_t day = 0;        // days since the Unix epoch, UTC
  int64_t used = 0;       // of the quota, on that day, as last recorded
  bool strangers = true;  // those who are no contacts may write to its accounts
  // KeySecretHash of the secret by which a server speaks for its accounts; empty: none.
  std::string secret_hash = {};

  bool operator==(const ApiKey&) const = default;
};

// Where an API key's owner is told of messages to those of its accounts that aren't connected.
struct Webhook {
  std::string url;
  std::string secret;  // signs what is sent there

  bool operator==(const Webhook&) const = default;
};
inline constexpr size_t kWebhookUrlBytesMax = 1024;
inline constexpr size_t kWebhookSecretBytesMax = 256;
inline constexpr size_t kWebhookSecretBytesMin = 16;

// The key of accounts that were given none. Made with the directory, unlimited until it is set.
inline constexpr std::string_view kDefaultKey = "default";

inline constexpr size_t kKeysMax = 10000;
inline constexpr size_t kDevicesMax = 100;
inline constexpr size_t kUsersPageMax = 1000;
inline constexpr size_t kNameBytesMax = 128;

struct NewUser {
  UserId id;
  Role role = Role::kUser;
  KeyName key{kDefaultKey};
  std::optional<std::string> password_hash = std::nullopt;  // Credentials::HashPassword
};

struct UserRow {
  UserId id;
  Role role = Role::kUser;
  bool disabled = false;
  bool has_password = false;
  KeyName key;
  int64_t created_ms = 0;
  std::string name = {};  // what it calls itself; empty: nothing
};

struct Device {
  DeviceId id;
  int64_t last_seen_ms = 0;

  bool operator==(const Device&) const = default;
};

struct DeviceSeen {
  UserId user;
  Device device;
};

class Directory {
 public:
  // Makes what is missing of a directory in an existing folder: secret, database, default key.
  // True: it made them; false: all was there. An interrupted one is completed by the next.
  static Result<bool> Create(const std::string& data_dir, Env* env);
  // Takes the LOCK and loads. kBusy: another process has it, and kept it for all of `patience`: a
  // broker that starts should outwait a parleyctl that is at work. kNotFound: never created.
  static Result<std::unique_ptr<Directory>> Open(
      const std::string& data_dir, Env* env,
      std::chrono::milliseconds patience = std::chrono::milliseconds(0));
  virtual ~Directory() = default;

  // --- from memory ---
  virtual std::optional<Account> Find(const UserId& user) const = 0;
  virtual std::optional<ApiKey> FindKey(const KeyName& name) const = 0;
  virtual std::vector<ApiKey> Keys() const = 0;  // sorted by name
  virtual std::shared_ptr<const Webhook> WebhookOf(const KeyName& name) const = 0;  // null: none
  virtual bool AnyWebhook() const = 0;  // false: no key has one
  virtual size_t user_count() const = 0;
  // Tokens issued before are void for this client id, since its user removed it; 0: none are.
  virtual int64_t DeviceTokensAfter(const UserId& user, const DeviceId& device) const = 0;
  // What AddUser says of an id or a key, without looking whether the user exists.
  virtual Status CheckNew(const NewUser& user) const = 0;

  // --- I/O: accounts ---
  // kConflict: the id exists. kNotFound: no such key. kBadRequest: not an id.
  virtual Status AddUser(const NewUser& user) = 0;
  // All in one transaction; the ids must be valid and the keys exist, else nothing is done. Users
  // that exist are left as they are; the answer tells them: false where it existed before.
  virtual Result<std::vector<bool>> ImportUsers(std::span<const NewUser> users) = 0;
  // No hash: tokens only. Voids the tokens issued until now.
  virtual Status SetPassword(const UserId& user, const std::optional<std::string>& hash) = 0;
  // The same for who has proved to know the password of `old_hash`. kConflict: it is another by
  // now.
  virtual Status ChangePassword(const UserId& user, const std::string& old_hash,
                                const std::string& new_hash) = 0;
  // The same password hashed anew; voids nothing. Does nothing if the hash is another by now.
  virtual Status ReplaceHash(const UserId& user, const std::string& old_hash,
                             const std::string& new_hash) = 0;
  // Disabling voids the tokens issued until now.
  virtual Status SetDisabled(const UserId& user, bool disabled) = 0;
  virtual Result<std::optional<std::string>> PasswordHash(const UserId& user) = 0;
  // `name` is UTF-8 (the caller has checked). kTooLarge: longer than kNameBytesMax.
  virtual Status SetName(const UserId& user, const std::string& name) = 0;
  virtual Result<UserRow> Info(const UserId& user) = 0;
  // Sorted by id, those after `after`, at most `limit` (≤ kUsersPageMax).
  virtual Result<std::vector<UserRow>> ListUsers(const UserId& after, size_t limit) = 0;

  // --- I/O: keys ---
  virtual Status AddKey(const KeyName& name, int64_t rate_per_s, int64_t quota_per_day,
                        bool strangers = true) = 0;
  // What is absent stays.
  virtual Status SetKey(const KeyName& name, std::optional<int64_t> rate_per_s,
                        std::optional<int64_t> quota_per_day,
                        std::optional<bool> strangers = std::nullopt) = 0;
  // Voids the secret of before. An empty hash: none is good any more.
  virtual Status SetKeySecret(const KeyName& name, const std::string& secret_hash) = 0;
  // None: it has no webhook any more. kBadRequest: a URL or secret that is empty or past its limit.
  virtual Status SetWebhook(const KeyName& name, const std::optional<Webhook>& webhook) = 0;
  // The counts of `day` so far (not the change), for a restart; unknown keys are left out.
  virtual Status RecordKeyUse(int64_t day, std::span<const std::pair<KeyName, int64_t>> used) = 0;

  // --- I/O: devices ---
  // One that was removed and is seen again later than that is listed again.
  virtual Status TouchDevices(std::span<const DeviceSeen> seen) = 0;
  virtual Result<std::vector<Device>> Devices(const UserId& user) = 0;  // latest first
  // Voids the tokens issued until now for this client id, for good. (Past kDevicesMax removed ones,
  // the tokens that a user was issued before the oldest's removal are void altogether.) kNotFound:
  // there is no such device; its tokens, if there are any, are void all the same.
  virtual Status RemoveDevice(const UserId& user, const DeviceId& device) = 0;
  // When a device of each user was last seen, removed ones too; 0: never.
  virtual Result<std::vector<int64_t>> LastSeen(std::span<const UserId> users) = 0;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_DIRECTORY_H_
