// Records as bytes: what the decoder takes, the encoder writes again, byte for byte; a frame's
// transactions are the same after another round.
//
//   input := first:u64 count:u8 payload      of a frame; the payload is also read as records
#include "storage/record.h"

#include "storage/frame.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {
namespace {

void CheckRecords(std::string_view bytes) {
  while (!bytes.empty()) {
    std::string_view before = bytes;
    auto record = DecodeRecord(&bytes);
    if (!record) {
      FUZZ_REQUIRE(record.error().code() == Code::kCorruption, record.error().ToString());
      return;
    }
    std::string again;
    EncodeRecord(*record, &again);
    FUZZ_REQUIRE(again == before.substr(0, before.size() - bytes.size()), again);
  }
}

std::string FrameOf(const std::vector<Transaction>& transactions, Lsn first, uint64_t offset) {
  std::string frame;
  AppendFrame(transactions, first, &frame);
  size_t bytes = SealFrame(&frame, 0, 1, offset, offset);
  FUZZ_REQUIRE(bytes == frame.size(), std::to_string(bytes));
  return frame;
}

void CheckFrame(Lsn first, uint32_t count, std::string_view payload) {
  Frame frame{.count = count, .first = first, .payload = payload};
  auto transactions = DecodeFrame(frame);
  if (!transactions) return;
  FUZZ_REQUIRE(transactions->size() == count, std::to_string(count));
  std::string file = FrameOf(*transactions, first, 0);
  auto parsed = ParseFrame(file, 1, 0);
  FUZZ_REQUIRE(parsed && parsed->end == file.size() && parsed->first == first, file);
  auto again = DecodeFrame(*parsed);
  FUZZ_REQUIRE(again && again->size() == count, file);
  for (size_t i = 0; i < count; ++i) {
    FUZZ_REQUIRE((*again)[i].lsn == (*transactions)[i].lsn, file);
    FUZZ_REQUIRE((*again)[i].records == (*transactions)[i].records, file);
  }
  // Nowhere else, and under no other nonce.
  FUZZ_REQUIRE(!ParseFrame(file, 2, 0), file);
  FUZZ_REQUIRE(!ParseFrame(std::string(8, '\0') + file, 1, 8), file);
}

}  // namespace

void Run(std::string_view bytes) {
  Input input(bytes);
  Lsn first(input.Number<uint64_t>());
  uint32_t count = input.Byte();
  CheckRecords(input.rest());
  CheckFrame(first, count, input.rest());
}

}  // namespace parley::fuzz
