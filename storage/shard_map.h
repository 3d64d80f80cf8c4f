// Which store holds a user or a group: the shard of such an owner, one of 1,000, is fixed by its id
// for ever; the shard map assigns each shard to a store.
//
// The map is the file <data>/shards, for people to read:
//
//   parley-shards 1
//   version 3                          grows by one with every change
//   stores 4                           store-0 … store-3, all of them there
//   0-249 0                            shards and their store, ascending, every shard once
//   …
//   checksum 0123456789abcdef          XXH3-64 of the lines above it
//
// Threads: a ShardMap is a value; reading one takes no lock.
#ifndef PARLEY_STORAGE_SHARD_MAP_H_
#define PARLEY_STORAGE_SHARD_MAP_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/env.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

enum class ShardId : uint16_t {};

inline constexpr int kShards = 1000;
inline constexpr int kStoresMax = 256;

// XXH32(id of a user or group, seed 0) % 1000: for a user what HAProxy's `xxh32,mod(1000)` gives
// for a CONNECT's username.
ShardId ShardOf(std::string_view owner);

class ShardMap {
 public:
  // Even ranges over `stores` (1 … kStoresMax) stores, version 1.
  explicit ShardMap(int stores);

  // Reads <data_dir>/shards and checks all of it, and that the stores' directories are there.
  // kNotFound where there is no such file, kCorruption where it isn't right; says what to do.
  static Result<ShardMap> Read(Env* env, const std::string& data_dir);
  // Replaces <data_dir>/shards at once.
  Status Write(Env* env, const std::string& data_dir) const;

  static std::string StoreDir(const std::string& data_dir, int store);  // <data_dir>/store-<n>

  int stores() const { return stores_; }
  uint64_t version() const { return version_; }
  int StoreOf(ShardId shard) const { return store_of_[static_cast<size_t>(shard)]; }
  int StoreOf(std::string_view owner) const { return StoreOf(ShardOf(owner)); }
  // Gives the shard to another store, in a map of the next version.
  ShardMap Moved(ShardId shard, int store) const;

  std::string ToText() const;
  // kCorruption, and why, where it isn't a whole map.
  static Result<ShardMap> FromText(std::string_view text);

  bool operator==(const ShardMap&) const = default;

 private:
  uint64_t version_ = 1;
  int stores_;
  std::array<uint8_t, kShards> store_of_;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_SHARD_MAP_H_
