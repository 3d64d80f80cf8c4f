// What fuzz targets are made of. A target is one file that defines Run, one line in CMakeLists.txt
// and its corpus, corpus/<target>/; dict/<target>.dict where words help.
//
// libFuzzer calls Run with what it makes up (fuzzer.cc; clang, script/fuzz); ctest calls the same
// Run with each file of the corpus, in every build (replay.cc). Run must do the same for the same
// input: no clock, no chance, nothing kept from one call to the next. What must hold is said with
// FUZZ_REQUIRE; crashes and the sanitizers' finds need no words.
#ifndef PARLEY_TESTS_FUZZ_FUZZ_H_
#define PARLEY_TESTS_FUZZ_FUZZ_H_

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace parley::fuzz {

// The target's.
void Run(std::string_view input);

[[noreturn]] inline void Fail(const char* file, int line, const char* what,
                              const std::string& detail) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n%s\n", file, line, what, detail.c_str());
  std::abort();
}

// `detail` is evaluated only where the condition doesn't hold.
#define FUZZ_REQUIRE(condition, detail)                             \
  do {                                                              \
    if (!(condition)) {                                             \
      ::parley::fuzz::Fail(__FILE__, __LINE__, #condition, detail); \
    }                                                               \
  } while (false)

// Takes the input apart from its front. Where it ends early there are zeros and empty texts.
class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  uint8_t Byte() { return Number<uint8_t>(); }
  // Little-endian, as the machine has it.
  template <class T>
  T Number() {
    T value = 0;
    std::string_view bytes = Take(sizeof value);
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  // Small numbers mostly, and any at all: one byte, or eight after the byte 255.
  uint64_t AnyNumber() {
    uint8_t byte = Byte();
    return byte == 255 ? Number<uint64_t>() : byte;
  }
  std::string_view Take(size_t bytes) {
    std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  // Two bytes that say how many follow.
  std::string_view Text() { return Take(Number<uint16_t>()); }
  // Up to `end`, which is taken too.
  std::string_view Until(char end) {
    std::string_view taken = Take(std::min(rest_.find(end), rest_.size()));
    Take(1);
    return taken;
  }

 private:
  std::string_view rest_;
};

}  // namespace parley::fuzz

#endif  // PARLEY_TESTS_FUZZ_FUZZ_H_
