#include "storage/shard_map.h"

#include <xxhash.h>

#include <cassert>
#include <charconv>
#include <cstdio>

namespace parley {
namespace {

constexpr std::string_view kFormatLine = "parley-shards 1";

std::string MapPath(const std::string& data_dir) { return data_dir + "/shards"; }

std::string ChecksumLine(std::string_view lines) {
  char line[32];
  std::snprintf(line, sizeof line, "checksum %016llx\n",
                static_cast<unsigned long long>(XXH3_64bits(lines.data(), lines.size())));
  return line;
}

// Takes the text up to `end` and `end` itself off the front; false where there is none.
bool TakeTo(char end, std::string_view* text, std::string_view* taken) {
  size_t at = text->find(end);
  if (at == std::string_view::npos) return false;
  *taken = text->substr(0, at);
  text->remove_prefix(at + 1);
  return true;
}

// The whole of `text` as a number without sign or leading zeros, at most `max`.
bool ParseNumber(std::string_view text, uint64_t max, uint64_t* number) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size() && *number <= max;
}

// A line "<name> <number>".
bool TakeNamed(std::string_view name, uint64_t max, std::string_view* text, uint64_t* number) {
  std::string_view line, word;
  return TakeTo('\n', text, &line) && TakeTo(' ', &line, &word) && word == name &&
         ParseNumber(line, max, number);
}

// A line "<first>-<last> <store>".
bool TakeRange(std::string_view* text, int stores, uint64_t* first, uint64_t* last,
               uint64_t* store) {
  std::string_view line, begin, end;
  return TakeTo('\n', text, &line) && TakeTo('-', &line, &begin) && TakeTo(' ', &line, &end) &&
         ParseNumber(begin, kShards - 1, first) && ParseNumber(end, kShards - 1, last) &&
         ParseNumber(line, static_cast<uint64_t>(stores) - 1, store);
}

tl::unexpected<Status> Bad(const std::string& why) { return Error(Code::kCorruption, why); }

}  // namespace

ShardId ShardOf(std::string_view owner) {
  return static_cast<ShardId>(XXH32(owner.data(), owner.size(), 0) % kShards);
}

ShardMap::ShardMap(int stores) : stores_(stores) {
  assert(stores >= 1 && stores <= kStoresMax);
  for (size_t shard = 0; shard < kShards; ++shard) {
    store_of_[shard] = static_cast<uint8_t>(shard * static_cast<size_t>(stores) / kShards);
  }
}

ShardMap ShardMap::Moved(ShardId shard, int store) const {
  assert(store >= 0 && store < stores_);
  ShardMap next = *this;
  next.store_of_[static_cast<size_t>(shard)] = static_cast<uint8_t>(store);
  ++next.version_;
  return next;
}

std::string ShardMap::StoreDir(const std::string& data_dir, int store) {
  return data_dir + "/store-" + std::to_string(store);
}

std::string ShardMap::ToText() const {
  std::string text(kFormatLine);
  text += "\nversion " + std::to_string(version_) + "\nstores " + std::to_string(stores_) + '\n';
  for (size_t first = 0, next; first < kShards; first = next) {
    for (next = first; next < kShards && store_of_[next] == store_of_[first];) ++next;
    text += std::to_string(first) + '-' + std::to_string(next - 1) + ' ' +
            std::to_string(store_of_[first]) + '\n';
  }
  return text + ChecksumLine(text);
}

Result<ShardMap> ShardMap::FromText(std::string_view text) {
  size_t tail = text.rfind("checksum ");
  if (tail == std::string_view::npos) return Bad("its checksum line is missing");
  if (text.substr(tail) != ChecksumLine(text.substr(0, tail))) {
    return Bad("its checksum is wrong");
  }
  text = text.substr(0, tail);

  std::string_view format;
  if (!TakeTo('\n', &text, &format) || format != kFormatLine) {
    return Bad("it doesn't begin with '" + std::string(kFormatLine) + "'");
  }
  uint64_t version = 0, stores = 0;
  if (!TakeNamed("version", UINT64_MAX, &text, &version)) return Bad("its version is missing");
  if (!TakeNamed("stores", kStoresMax, &text, &stores) || stores == 0) {
    return Bad("its number of stores is missing or not 1 to " + std::to_string(kStoresMax));
  }
  ShardMap map(static_cast<int>(stores));
  map.version_ = version;
  uint64_t next = 0;
  while (!text.empty()) {
    uint64_t first, last, store;
    if (!TakeRange(&text, map.stores_, &first, &last, &store)) {
      return Bad("a line is not '<first>-<last> <store>' with a shard and a store that exist");
    }
    if (first != next || last < first) {
      return Bad("shard " + std::to_string(next) + " is not assigned exactly once");
    }
    for (; next <= last; ++next) map.store_of_[next] = static_cast<uint8_t>(store);
  }
  if (next != kShards) return Bad("shard " + std::to_string(next) + " is not assigned");
  return map;
}

Result<ShardMap> ShardMap::Read(Env* env, const std::string& data_dir) {
  std::string path = MapPath(data_dir);
  if (!env->Exists(path)) return Error(Code::kNotFound, path + ": there is no shard map");
  Result<std::string> text = env->ReadFile(path);
  if (!text) return Error(text.error());
  Result<ShardMap> map = FromText(*text);
  if (!map) {
    return Error(Code::kCorruption, path + ": " + map.error().message() +
                                        "; restore the file from a backup of this directory");
  }
  for (int store = 0; store < map->stores_; ++store) {
    std::string dir = StoreDir(data_dir, store);
    if (!env->Exists(dir)) {
      return Error(Code::kCorruption, path + ": names store " + std::to_string(store) + ", but " +
                                          dir + " is not there; mount its disk or restore it");
    }
  }
  return map;
}

Status ShardMap::Write(Env* env, const std::string& data_dir) const {
  return env->ReplaceFile(MapPath(data_dir), ToText());
}

}  // namespace parley
