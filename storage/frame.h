// The bytes of a journal segment and of a dead-letter log: a header, then frames of transactions.
//
//   file        := header (64 bytes) zeros (to 4096) frame*
//   header      := "PARLEYJ1" format:u32 flags:u32 index:u64 nonce:u64 start:u64
//                  prev_index:u64 prev_end:u64 checksum:u64
//   frame       := checksum:u64 bytes:u32 count:u32 first:u64 synced:u64
//                  payload (`bytes` bytes) zeros (to a multiple of 8)
//   payload     := transaction (`count` times)
//   transaction := (lsn - first):varint records:varint record*
//
// Numbers are little-endian. A header's checksum is XXH3-64 of the 56 bytes before it; a frame's is
// XXH3-64 of all that follows it to the payload's end, seeded with nonce + offset: what a recycled
// file held before, or stands elsewhere than it was written, does not validate. `synced` is the
// offset through which the file was durable when the frame was written: a whole frame after a
// damaged one tells by it whether the damage hit what had been synced. A frame with count 0 seals
// the file: it was closed in order.
#ifndef PARLEY_STORAGE_FRAME_H_
#define PARLEY_STORAGE_FRAME_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/record.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

inline constexpr uint64_t kFramesStart = 4096;  // the header keeps a block of its own
inline constexpr size_t kFrameHeaderBytes = 32;

struct SegmentHeader {
  static constexpr uint32_t kUnsynced = 1;  // frames are written without a sync (durability os)
  static constexpr uint32_t kJump = 2;      // `start` need not follow the segment before

  uint32_t flags = 0;
  uint64_t index = 0;
  uint64_t nonce = 0;
  Lsn start;                // of its first transaction
  uint64_t prev_index = 0;  // the segment before, 0: none
  uint64_t prev_end = 0;    // where that one ends; what stands there from this on is void
};

// The header, padded to kFramesStart.
std::string EncodeHeader(const SegmentHeader& header);
// kCorruption, saying why, where the file does not begin with a header.
Result<SegmentHeader> DecodeHeader(std::string_view file);

struct Frame {
  uint64_t offset = 0;
  uint64_t end = 0;  // the next frame's offset
  uint32_t count = 0;
  Lsn first;
  uint64_t synced = 0;
  std::string_view payload;
};

// Appends a frame of ascending transactions; none: the frame that seals, `first` being the number
// that would have come. It validates nowhere before SealFrame.
void AppendFrame(std::span<const Transaction> transactions, Lsn first, std::string* out);
// The number of the first transaction in the frame that *frames begins with.
Lsn FirstOf(std::string_view frames);
// Readies the frame at `at` in *frames to stand at `offset`; returns its size.
size_t SealFrame(std::string* frames, size_t at, uint64_t nonce, uint64_t offset, uint64_t synced);
// The frame at `offset`, where there is a whole one.
std::optional<Frame> ParseFrame(std::string_view file, uint64_t nonce, uint64_t offset);
// The frame's transactions. kCorruption where the payload is not what it says.
Result<std::vector<Transaction>> DecodeFrame(const Frame& frame);

// What is found where a file's frames stop.
struct Tail {
  bool torn = false;  // the beginning of a frame stands there
  // A whole frame further on that was written when the tail's place had been synced: what stood
  // there was damaged since.
  std::optional<uint64_t> witness;
};
Tail ExamineTail(std::string_view file, uint64_t nonce, uint64_t offset, Lsn next);

}  // namespace parley

#endif  // PARLEY_STORAGE_FRAME_H_
