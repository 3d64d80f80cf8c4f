// The simulated machine's disk: tests/storage/fault_env.h, on the scheduler's clock. Each access is
// a place where another thread may go first, and takes time; while the disk is slow, a lot.
#ifndef PARLEY_TESTS_SIM_DISK_H_
#define PARLEY_TESTS_SIM_DISK_H_

#include <functional>
#include <string>

#include "tests/sim/scheduler.h"
#include "tests/storage/fault_env.h"

namespace parley::sim {

class Disk : public FaultEnv {
 public:
  explicit Disk(uint64_t seed) : FaultEnv(seed), delays_(seed + 1) {}

  // An access takes up to so long.
  void SetSlowness(int64_t us) { slowness_us_ = us; }
  // The wall clock is set; the monotonic one isn't.
  void JumpClock(int64_t ms) { jumped_ms_ += ms; }
  // Hears of every access.
  std::function<void(const char* what, const std::string& path)> on_access;

  int64_t NowMs() override {
    return Scheduler::kEpochMs + jumped_ms_ + Scheduler::Current()->now_us() / 1000;
  }
  int64_t MonotonicUs() override { return Scheduler::Current()->now_us(); }

 protected:
  void Reached(const char* what, const std::string& path) override {
    if (on_access) on_access(what, path);
    Scheduler::Current()->SleepUs(
        static_cast<int64_t>(delays_.Below(static_cast<uint64_t>(slowness_us_) + 1)));
  }

 private:
  Dice delays_;
  int64_t slowness_us_ = 100;
  int64_t jumped_ms_ = 0;
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_DISK_H_
