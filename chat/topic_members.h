// Who may subscribe to group/<id>: the members of groups of delivery `topic`, for the broker's
// thread, which must answer at once.
//
// A membership is a 64-bit hash: 8 bytes and a table's room. Two that collide let somebody
// subscribe who is no member: nothing comes of that, for what is delivered is decided by the
// engine, by name.
//
// Threads: any; a lock held for one look-up.
#ifndef PARLEY_CHAT_TOPIC_MEMBERS_H_
#define PARLEY_CHAT_TOPIC_MEMBERS_H_

#include <array>
#include <cstdint>
#include <mutex>
#include <unordered_set>

#include "storage/types.h"

namespace parley {

class TopicMembers {
 public:
  bool Has(const GroupId& group, const UserId& user) const;
  void Add(const GroupId& group, const UserId& user);
  void Remove(const GroupId& group, const UserId& user);

 private:
  static constexpr size_t kShards = 64;
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_set<uint64_t> members;
  };
  std::array<Shard, kShards> shards_;
};

}  // namespace parley

#endif  // PARLEY_CHAT_TOPIC_MEMBERS_H_
