// Frames as nobody, or nearly somebody, has written them.
#ifndef PARLEY_TESTS_FUZZ_FORGED_FRAME_H_
#define PARLEY_TESTS_FUZZ_FORGED_FRAME_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "storage/frame.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {

// How many transactions it says that it holds: its low byte, which is all that ForgedFrame sets.
inline uint8_t FrameCount(std::string_view frame) { return static_cast<uint8_t>(frame[12]); }

// A frame that a sane writer might have written, or nearly so: its header says what the input says,
// and its checksum is right.
inline std::string ForgedFrame(uint64_t offset, uint64_t nonce, uint64_t next, Input* input) {
  const uint32_t count = input->Byte();
  const uint64_t first = next + input->AnyNumber();
  const uint64_t synced = offset - input->AnyNumber();
  const std::string_view payload = input->Text();
  std::string frame;
  AppendFrame({}, Lsn(first), &frame);
  const auto bytes = static_cast<uint32_t>(payload.size());
  std::memcpy(frame.data() + 8, &bytes, sizeof bytes);
  std::memcpy(frame.data() + 12, &count, sizeof count);
  frame.append(payload);
  frame.resize((frame.size() + 7) / 8 * 8, '\0');
  SealFrame(&frame, 0, nonce, offset, synced);
  return frame;
}

}  // namespace parley::fuzz

#endif  // PARLEY_TESTS_FUZZ_FORGED_FRAME_H_
