#include "storage/shard_map.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tests/catch.h"

namespace parley {
namespace {

// A data directory with the directories of `stores` stores, gone at the end.
class DataDir {
 public:
  explicit DataDir(int stores) {
    std::string name = (std::filesystem::temp_directory_path() / "parley-shards-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    for (int store = 0; store < stores; ++store) {
      std::filesystem::create_directory(ShardMap::StoreDir(path_, store));
    }
  }
  ~DataDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

int Shard(const char* user) { return static_cast<int>(ShardOf(user)); }

std::string WithLine(std::string text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

Status StatusOf(const std::string& text) {
  Result<ShardMap> map = ShardMap::FromText(text);
  return map ? Status() : map.error();
}

}  // namespace

TEST_CASE("a user's shard is this one, for ever") {
  // XXH32's published values for "a" and "abc" with seed 0.
  CHECK(Shard("a") == 0x550d7456 % 1000);
  CHECK(Shard("abc") == 0x32d153ff % 1000);
  CHECK(Shard("alice") == 669);
  CHECK(Shard("bob") == 239);
  CHECK(Shard("carol") == 3);
  CHECK(Shard("1001") == 220);
  CHECK(Shard("ubuntu") == 401);
  CHECK(Shard("ab") == 371);
  CHECK(Shard("zz-9.x_") == 695);
  CHECK(Shard("0123456789012345678901234567890123456789012345678901234567890123") == 881);
}

TEST_CASE("a new map spreads the shards evenly and in order") {
  for (int stores : {1, 3, 4, 7, 256}) {
    ShardMap map(stores);
    std::vector<int> held(static_cast<size_t>(stores));
    for (int shard = 0; shard < kShards; ++shard) {
      ++held[static_cast<size_t>(map.StoreOf(static_cast<ShardId>(shard)))];
    }
    auto [least, most] = std::minmax_element(held.begin(), held.end());
    CHECK(*most - *least <= 1);
  }
}

TEST_CASE("a map reads for people") {
  CHECK(ShardMap(2).ToText() ==
        "parley-shards 1\n"
        "version 1\n"
        "stores 2\n"
        "0-499 0\n"
        "500-999 1\n"
        "checksum 285c2590f0669747\n");
}

TEST_CASE("a map comes back from its text and from its file") {
  DataDir dir(4);
  ShardMap map = ShardMap(4).Moved(ShardId{0}, 3).Moved(ShardId{999}, 0).Moved(ShardId{500}, 1);
  CHECK(map.version() == 4);
  CHECK(map.StoreOf(ShardId{500}) == 1);
  Result<ShardMap> from_text = ShardMap::FromText(map.ToText());
  REQUIRE(from_text.has_value());
  CHECK(*from_text == map);

  REQUIRE(ShardMap(4).Write(Env::Posix(), dir.path()).ok());
  REQUIRE(map.Write(Env::Posix(), dir.path()).ok());
  Result<ShardMap> from_file = ShardMap::Read(Env::Posix(), dir.path());
  REQUIRE(from_file.has_value());
  CHECK(*from_file == map);
}

TEST_CASE("any flipped bit and any missing end of a map is found") {
  std::string text = ShardMap(4).ToText();
  for (size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      CHECK(StatusOf(damaged).code() == Code::kCorruption);
    }
    CHECK(StatusOf(text.substr(0, at)).code() == Code::kCorruption);
  }
}

TEST_CASE("a map with a right checksum is checked all the same") {
  auto why = [](const std::string& from, const std::string& to) {
    // The lines of a map for two stores with one changed, under a checksum that fits.
    std::string text = WithLine(ShardMap(2).ToText(), from, to);
    text.resize(text.find("checksum"));
    char checksum[32];
    std::snprintf(checksum, sizeof checksum, "checksum %016llx\n",
                  static_cast<unsigned long long>(XXH3_64bits(text.data(), text.size())));
    return StatusOf(text + checksum).message();
  };
  CHECK(why("parley-shards 1", "parley-shards 2") == "it doesn't begin with 'parley-shards 1'");
  CHECK(why("version 1", "version one") == "its version is missing");
  CHECK(why("stores 2", "stores 0") == "its number of stores is missing or not 1 to 256");
  CHECK(why("stores 2", "stores 257") == "its number of stores is missing or not 1 to 256");
  CHECK(why("0-499", "0-498") == "shard 499 is not assigned exactly once");
  CHECK(why("0-499", "0-500") == "shard 501 is not assigned exactly once");
  CHECK(why("500-999 1\n", "") == "shard 500 is not assigned");
  CHECK(why("500-999 1\n", "500-998 1\n") == "shard 999 is not assigned");
  std::string bad_line =
      "a line is not '<first>-<last> <store>' with a shard and a store that exist";
  CHECK(why("500-999 1", "500-999 2") == bad_line);
  CHECK(why("500-999 1", "500-1000 1") == bad_line);
  CHECK(why("500-999 1", "500 1") == bad_line);
  CHECK(why("500-999 1", "500-999 1 ") == bad_line);
  CHECK(why("500-999 1", "0500-999 1") == bad_line);
}

TEST_CASE("a map that can't be used is refused with its file and what to do") {
  DataDir dir(3);
  Result<ShardMap> none = ShardMap::Read(Env::Posix(), dir.path());
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code() == Code::kNotFound);

  REQUIRE(ShardMap(4).Write(Env::Posix(), dir.path()).ok());
  Result<ShardMap> no_store = ShardMap::Read(Env::Posix(), dir.path());
  REQUIRE_FALSE(no_store.has_value());
  CHECK(no_store.error().code() == Code::kCorruption);
  CHECK(no_store.error().message() == dir.path() + "/shards: names store 3, but " + dir.path() +
                                          "/store-3 is not there; mount its disk or restore it");

  REQUIRE(Env::Posix()->ReplaceFile(dir.path() + "/shards", "parley-shards 1\n").ok());
  Result<ShardMap> cut = ShardMap::Read(Env::Posix(), dir.path());
  REQUIRE_FALSE(cut.has_value());
  CHECK(cut.error().code() == Code::kCorruption);
  CHECK(cut.error().message() ==
        dir.path() +
            "/shards: its checksum line is missing; restore the file from a backup of this "
            "directory");
}

}  // namespace parley
