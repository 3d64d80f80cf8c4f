// The files that a start reads, holding anything: each is taken whole or refused by name, and what
// is taken means the same when it is written again.
//
//   input := kind:u8 …     0: shard map, its checksum is made right; 1: a dead-letter log (its
//                          header and frames' checksums right); 2: an epoch
#include <xxhash.h>

#include <map>

#include "storage/dead_letter.h"
#include "storage/epoch.h"
#include "storage/shard_map.h"
#include "tests/fuzz/forged_frame.h"
#include "tests/storage/fault_env.h"

namespace parley::fuzz {
namespace {

constexpr char kDir[] = "/data";

void Write(Env* env, const std::string& path, std::string_view data) {
  auto file = env->OpenWritable(path);
  FUZZ_REQUIRE(file && (*file)->WriteAt(0, data).ok() && (*file)->Sync().ok(), path);
}

void CheckRefused(const Status& status) {
  FUZZ_REQUIRE(status.code() == Code::kCorruption, status.ToString());
  FUZZ_REQUIRE(status.message().starts_with(kDir), status.ToString());
}

void CheckShardMap(std::string_view lines) {
  char checksum[32];
  std::snprintf(checksum, sizeof checksum, "checksum %016llx\n",
                static_cast<unsigned long long>(XXH3_64bits(lines.data(), lines.size())));
  (void)ShardMap::FromText(lines);
  auto map = ShardMap::FromText(std::string(lines) + checksum);
  if (!map) return;
  FUZZ_REQUIRE(map->stores() >= 1 && map->stores() <= kStoresMax, map->ToText());
  for (int shard = 0; shard < kShards; ++shard) {
    const int store = map->StoreOf(static_cast<ShardId>(shard));
    FUZZ_REQUIRE(store >= 0 && store < map->stores(), map->ToText());
  }
  auto again = ShardMap::FromText(map->ToText());
  FUZZ_REQUIRE(again && *again == *map, map->ToText());
}

std::string DeadLetterFile(Input* input) {
  SegmentHeader header;
  header.nonce = 7;
  header.start = Lsn(input->AnyNumber());
  std::string file = EncodeHeader(header);
  while (!input->empty() && file.size() < 1 << 16) {
    std::string frame = ForgedFrame(file.size(), header.nonce, 0, input);
    if (FrameCount(frame) == 255) frame[0] = static_cast<char>(frame[0] ^ 1);
    file += frame;
  }
  return file;
}

uint64_t CountLetters(const DeadLetters& dead) {
  Lsn last;
  uint64_t letters = 0;
  Status status = dead.Read([&](const std::vector<Transaction>& transactions) {
    for (const Transaction& transaction : transactions) {
      FUZZ_REQUIRE(transaction.lsn > last, "not ascending");
      last = transaction.lsn;
      letters += !transaction.records.empty();
    }
    return Status();
  });
  FUZZ_REQUIRE(status.ok() && last == dead.last(), status.ToString());
  return letters;
}

void CheckDeadLetters(Input* input) {
  FaultEnv env(1);
  (void)env.MakeDir(kDir);
  Write(&env, "/data/store-0.log", DeadLetterFile(input));
  (void)env.SyncDir(kDir);
  auto dead = DeadLetters::Open(&env, kDir, "store-0");
  if (!dead) return CheckRefused(dead.error());
  FUZZ_REQUIRE(CountLetters(*dead) == dead->letters(), std::to_string(dead->letters()));
  if (dead->last().value() > uint64_t{1} << 62) return;  // past what numbers ever reach
  // One more, and all of it is there after a power cut.
  std::vector<Transaction> more(1);
  more[0].lsn = dead->last().Next();
  more[0].records.emplace_back(MarksRecord{UserId("alice"), Seq(1), Seq(1)});
  Status status = dead->Append(more);
  FUZZ_REQUIRE(status.ok(), status.ToString());
  const uint64_t letters = dead->letters();
  env.CutPower();
  env.PowerOn();
  auto again = DeadLetters::Open(&env, kDir, "store-0");
  FUZZ_REQUIRE(again, again.error().ToString());
  FUZZ_REQUIRE(again->letters() == letters && again->last() == more[0].lsn, "a letter is lost");
}

void CheckEpoch(std::string_view text) {
  FaultEnv env(1);
  (void)env.MakeDir(kDir);
  Write(&env, "/data/epoch", text);
  (void)env.SyncDir(kDir);
  auto epoch = ReadEpoch(&env, kDir);
  if (!epoch) return CheckRefused(epoch.error());
  FUZZ_REQUIRE(epoch->size() == 16, *epoch);
  // It stands in answers as it is.
  FUZZ_REQUIRE(epoch->find_first_not_of("0123456789abcdef") == epoch->npos, *epoch);
  auto again = ReadEpoch(&env, kDir);
  FUZZ_REQUIRE(again && *again == *epoch, *epoch);
}

}  // namespace

void Run(std::string_view bytes) {
  Input input(bytes);
  switch (input.Byte() % 3) {
    case 0:
      return CheckShardMap(input.rest());
    case 1:
      return CheckDeadLetters(&input);
    default:
      return CheckEpoch(input.rest());
  }
}

}  // namespace parley::fuzz
