#include "chat/topic_members.h"

#include <xxhash.h>

#include <string>

namespace parley {
namespace {

uint64_t HashOf(const GroupId& group, const UserId& user) {
  std::string text = group.str() + '/' + user.str();
  return XXH3_64bits(text.data(), text.size());
}

}  // namespace

bool TopicMembers::Has(const GroupId& group, const UserId& user) const {
  uint64_t hash = HashOf(group, user);
  const Shard& shard = shards_[hash % kShards];
  std::lock_guard lock(shard.mutex);
  return shard.members.contains(hash);
}

void TopicMembers::Add(const GroupId& group, const UserId& user) {
  uint64_t hash = HashOf(group, user);
  Shard& shard = shards_[hash % kShards];
  std::lock_guard lock(shard.mutex);
  shard.members.insert(hash);
}

void TopicMembers::Remove(const GroupId& group, const UserId& user) {
  uint64_t hash = HashOf(group, user);
  Shard& shard = shards_[hash % kShards];
  std::lock_guard lock(shard.mutex);
  shard.members.erase(hash);
}

}  // namespace parley
