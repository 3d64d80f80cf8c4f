// All accounts and keys in memory, compact, for threads that must not wait for a disk.
//
// Owner: the directory. Threads: any; an account is guarded by one of kShards mutexes, held for one
// look-up or one insertion, so that no reader waits for a rehash of the whole.
#ifndef PARLEY_STORAGE_ACCOUNT_TABLE_H_
#define PARLEY_STORAGE_ACCOUNT_TABLE_H_

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "storage/directory.h"

namespace parley {

class AccountTable {
 public:
  // Room for that many accounts without a rehash.
  void Reserve(size_t accounts);

  std::optional<Account> Find(const UserId& user) const;
  // Inserts or replaces. The account's key must have been put before. `generation` is the table's
  // own: 1 for a new account, one more than before for one that is replaced.
  void Put(const UserId& user, const Account& account);
  size_t size() const { return size_.load(std::memory_order_relaxed); }

  std::optional<ApiKey> FindKey(const KeyName& name) const;
  void PutKey(const ApiKey& key);
  std::vector<ApiKey> Keys() const;
  std::shared_ptr<const Webhook> WebhookOf(const KeyName& name) const;
  bool AnyWebhook() const { return webhook_count_.load(std::memory_order_relaxed) > 0; }
  void PutWebhook(const KeyName& name, const std::optional<Webhook>& webhook);

  // Devices whose tokens are void up to a time.
  int64_t DeviceTokensAfter(const UserId& user, const DeviceId& device) const;  // 0: none
  void VoidDevice(const UserId& user, const DeviceId& device, int64_t tokens_after_ms);
  // Forgets those of the user's that were voided at `through_ms` or before.
  void DropVoided(const UserId& user, int64_t through_ms);

 private:
  static constexpr size_t kShards = 64;

  struct Row {
    int64_t tokens_after_ms;
    uint32_t generation;
    uint16_t key;  // index into keys_
    Role role;
    bool disabled : 1;
    bool has_password : 1;
  };
  static_assert(sizeof(Row) == 16);
  static_assert(kKeysMax <= UINT16_MAX);

  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<UserId, Row> rows;
    std::unordered_map<UserId, std::vector<std::pair<DeviceId, int64_t>>> voided;
  };

  static size_t ShardOf(const UserId& user) { return std::hash<UserId>()(user) % kShards; }
  KeyName KeyAt(uint16_t index) const;
  uint16_t IndexOf(const KeyName& name) const;

  std::array<Shard, kShards> shards_;
  std::atomic<size_t> size_ = 0;

  mutable std::mutex keys_mutex_;
  std::vector<ApiKey> keys_;  // only grows
  std::map<KeyName, uint16_t> key_index_;
  std::map<KeyName, std::shared_ptr<const Webhook>> webhooks_;
  std::atomic<size_t> webhook_count_ = 0;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_ACCOUNT_TABLE_H_
