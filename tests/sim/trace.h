// What happened in a simulation: its last events for people, and a hash of all of them, which is
// the same whenever the same seed is run.
#ifndef PARLEY_TESTS_SIM_TRACE_H_
#define PARLEY_TESTS_SIM_TRACE_H_

#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>
#include <string_view>

#include "tests/sim/scheduler.h"

namespace parley::sim {

// A promise was broken. Thrown by the simulation's main thread.
struct Violation {
  std::string what;
};

class Trace {
 public:
  explicit Trace(bool verbose) : verbose_(verbose) {}

  void Note(const std::string& event) {
    Mix(event);
    const Scheduler* scheduler = Scheduler::Current();
    std::string line = std::to_string(scheduler->now_us() / 1000) + " ms  " + event;
    if (verbose_) std::printf("%s\n", line.c_str());
    last_.push_back(std::move(line));
    if (last_.size() > kKept) last_.pop_front();
  }
  // Counts for the hash; printed where all is.
  void Access(const char* what, const std::string& path) {
    Mix(what);
    Mix(path);
    if (verbose_) {
      std::printf("%*s%s %s (%s)\n", 12, "", what, path.c_str(),
                  std::string(Scheduler::Current()->name()).c_str());
    }
  }
  uint64_t hash() const { return hash_; }
  const std::deque<std::string>& last() const { return last_; }

 private:
  static constexpr size_t kKept = 60;

  void Mix(std::string_view text) {
    for (char c : text) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }

  const bool verbose_;
  uint64_t hash_ = 0xcbf29ce484222325;
  std::deque<std::string> last_;
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_TRACE_H_
