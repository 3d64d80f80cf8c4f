// What the engine needs from around it, handed in at construction, so that a test can run it on one
// thread with any of them failing.
#ifndef PARLEY_CHAT_PORTS_H_
#define PARLEY_CHAT_PORTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chat/command.h"
#include "storage/directory.h"
#include "storage/types.h"

namespace parley {

// How long a token that its user asks for is good, in seconds.
inline constexpr uint64_t kTokenTtlMinS = 60;
inline constexpr uint64_t kTokenTtlDefaultS = 24 * 3600;
inline constexpr uint64_t kTokenTtlAskedMaxS = 90 * 24 * 3600;

struct KeyLimits {
  double rate = 0;     // messages a second, 0: no limit
  uint64_t quota = 0;  // messages a UTC day, 0: no limit
};

struct KeyUse {
  int64_t day = 0;  // days since the Unix epoch
  uint64_t used = 0;
};

struct AccountInfo {
  std::string role;  // "user", "service", "admin"
  KeyName key;
  std::string name;  // what it calls itself; empty: nothing
  bool has_password = false;
  int64_t created_ms = 0;
};

// Accounts, keys and devices.
class Accounts {
 public:
  virtual ~Accounts() = default;

  // --- on the engine's thread: no I/O, no waiting ---
  virtual bool Exists(const UserId& user) const = 0;
  // The API key of the account; empty: none.
  virtual KeyName KeyOf(const UserId& user) const = 0;
  virtual KeyLimits Limits(const KeyName& key) const = 0;
  virtual KeyUse UsedToday(const KeyName& key) const = 0;
  // Kept soon, by another thread; a crash may lose the last seconds of it.
  virtual void RecordUse(const KeyName& key, const KeyUse& use) = 0;
  // The same for when a device was last seen.
  virtual void RecordSeen(const UserId& user, const DeviceId& device, int64_t ts_ms) = 0;
  // May those who are no contacts write to accounts of this key?
  virtual bool StrangersAllowed(const KeyName& key) const = 0;
  // The key's webhook; null: it has none.
  virtual std::shared_ptr<const Webhook> WebhookOf(const KeyName& key) const = 0;
  // False: no key has one.
  virtual bool AnyWebhook() const = 0;

  // --- on a reader's thread: they may wait for the database, or for a hash ---
  virtual Result<std::vector<Device>> Devices(const UserId& user) = 0;  // latest first
  // Its tokens are void from now on. kNotFound: there is no such device.
  virtual Status RemoveDevice(const UserId& user, const DeviceId& device) = 0;
  // When each was last seen, ms; 0: never.
  virtual Result<std::vector<int64_t>> LastSeen(const std::vector<UserId>& users) = 0;
  virtual Result<AccountInfo> Info(const UserId& user) = 0;
  virtual Status SetName(const UserId& user, const std::string& name) = 0;
  // kDenied: `old_password` is wrong. Voids all tokens and logins of before.
  virtual Status ChangePassword(const UserId& user, const std::string& old_password,
                                const std::string& new_password) = 0;
  // A token that is good for the device `device` alone, where that is not empty.
  virtual Result<std::string> IssueToken(const UserId& user, const DeviceId& device,
                                         int64_t ttl_s) = 0;
};

// Runs jobs that may wait for a disk, away from the engine's thread; what a job returns is run on
// the engine's thread later, as a command of its own. Jobs may overtake each other.
class Readers {
 public:
  virtual ~Readers() = default;
  virtual void Submit(std::function<Continuation()> job) = 0;
};

}  // namespace parley

#endif  // PARLEY_CHAT_PORTS_H_
