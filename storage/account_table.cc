#include "storage/account_table.h"

#include <cassert>

namespace parley {

void AccountTable::Reserve(size_t accounts) {
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    shard.rows.reserve(accounts / kShards + accounts / kShards / 8 + 1);
  }
}

std::optional<Account> AccountTable::Find(const UserId& user) const {
  const Shard& shard = shards_[ShardOf(user)];
  Row row;
  {
    std::lock_guard lock(shard.mutex);
    auto it = shard.rows.find(user);
    if (it == shard.rows.end()) return std::nullopt;
    row = it->second;
  }
  return Account{.role = row.role,
                 .disabled = row.disabled,
                 .has_password = row.has_password,
                 .key = KeyAt(row.key),
                 .tokens_after_ms = row.tokens_after_ms,
                 .generation = row.generation};
}

void AccountTable::Put(const UserId& user, const Account& account) {
  Row row{.tokens_after_ms = account.tokens_after_ms,
          .generation = 1,
          .key = IndexOf(account.key),
          .role = account.role,
          .disabled = account.disabled,
          .has_password = account.has_password};
  Shard& shard = shards_[ShardOf(user)];
  std::lock_guard lock(shard.mutex);
  auto [it, inserted] = shard.rows.try_emplace(user, row);
  if (inserted) {
    size_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  row.generation = it->second.generation + 1;
  it->second = row;
}

std::optional<ApiKey> AccountTable::FindKey(const KeyName& name) const {
  std::lock_guard lock(keys_mutex_);
  auto it = key_index_.find(name);
  if (it == key_index_.end()) return std::nullopt;
  return keys_[it->second];
}

void AccountTable::PutKey(const ApiKey& key) {
  std::lock_guard lock(keys_mutex_);
  auto [it, inserted] = key_index_.try_emplace(key.name, static_cast<uint16_t>(keys_.size()));
  if (inserted) {
    assert(keys_.size() < kKeysMax);
    keys_.push_back(key);
  } else {
    keys_[it->second] = key;
  }
}

std::vector<ApiKey> AccountTable::Keys() const {
  std::lock_guard lock(keys_mutex_);
  std::vector<ApiKey> keys;
  keys.reserve(keys_.size());
  for (const auto& [name, index] : key_index_) keys.push_back(keys_[index]);
  return keys;
}

std::shared_ptr<const Webhook> AccountTable::WebhookOf(const KeyName& name) const {
  std::lock_guard lock(keys_mutex_);
  auto found = webhooks_.find(name);
  return found == webhooks_.end() ? nullptr : found->second;
}

void AccountTable::PutWebhook(const KeyName& name, const std::optional<Webhook>& webhook) {
  std::lock_guard lock(keys_mutex_);
  if (webhook) {
    webhooks_[name] = std::make_shared<const Webhook>(*webhook);
  } else {
    webhooks_.erase(name);
  }
  webhook_count_.store(webhooks_.size(), std::memory_order_relaxed);
}

int64_t AccountTable::DeviceTokensAfter(const UserId& user, const DeviceId& device) const {
  const Shard& shard = shards_[ShardOf(user)];
  std::lock_guard lock(shard.mutex);
  auto it = shard.voided.find(user);
  if (it == shard.voided.end()) return 0;
  for (const auto& [voided, after_ms] : it->second) {
    if (voided == device) return after_ms;
  }
  return 0;
}

void AccountTable::VoidDevice(const UserId& user, const DeviceId& device, int64_t tokens_after_ms) {
  Shard& shard = shards_[ShardOf(user)];
  std::lock_guard lock(shard.mutex);
  auto& devices = shard.voided[user];
  std::erase_if(devices, [&](const auto& voided) { return voided.first == device; });
  devices.emplace_back(device, tokens_after_ms);
}

void AccountTable::DropVoided(const UserId& user, int64_t through_ms) {
  Shard& shard = shards_[ShardOf(user)];
  std::lock_guard lock(shard.mutex);
  auto it = shard.voided.find(user);
  if (it == shard.voided.end()) return;
  std::erase_if(it->second, [&](const auto& voided) { return voided.second <= through_ms; });
  if (it->second.empty()) shard.voided.erase(it);
}

KeyName AccountTable::KeyAt(uint16_t index) const {
  std::lock_guard lock(keys_mutex_);
  return keys_[index].name;
}

uint16_t AccountTable::IndexOf(const KeyName& name) const {
  std::lock_guard lock(keys_mutex_);
  auto it = key_index_.find(name);
  assert(it != key_index_.end());
  return it->second;
}

}  // namespace parley
