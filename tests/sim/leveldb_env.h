// LevelDB on the simulated disk, its background work a thread of the simulation's. One for each
// start of the program: the locks of a dead one are nobody's.
#ifndef PARLEY_TESTS_SIM_LEVELDB_ENV_H_
#define PARLEY_TESTS_SIM_LEVELDB_ENV_H_

#include "tests/sim/scheduler.h"
#include "tests/storage/fault_leveldb_env.h"

namespace parley::sim {

class LevelDbEnv : public FaultLevelDbEnv {
 public:
  using FaultLevelDbEnv::FaultLevelDbEnv;

  void Schedule(void (*work)(void*), void* argument) override {
    Scheduler::Current()->Start("leveldb", [=] { work(argument); });
  }
  void StartThread(void (*work)(void*), void* argument) override { Schedule(work, argument); }
  uint64_t NowMicros() override { return static_cast<uint64_t>(Scheduler::Current()->now_us()); }
  void SleepForMicroseconds(int us) override { Scheduler::Current()->SleepUs(us); }
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_LEVELDB_ENV_H_
