// What goes wrong, and how it is mended. README.md has the fault model.
#include <utility>

#include "tests/sim/world.h"

namespace parley::sim {
namespace {

constexpr int64_t kSlownessUs = 100;

}  // namespace

void World::GoWrong() {
  pushes_.amiss = true;
  switch (random_.Below(12)) {
    case 0:
    case 1:
      return KillProcess();
    case 2:
    case 3:
    case 4:
      return CutPower();
    case 5:
      return StopServer();
    case 6:
    case 7: {
      uint64_t first = random_.Between(1, 20), count = random_.Between(1, 3);
      trace_.Note("the disk will fail " + std::to_string(count) + " times");
      disk_.FailAt(first, count);
      return;
    }
    case 8:
    case 9:
      return BreakSomething();
    case 10:
      return FillDisk();
    default:
      return SlowDown();
  }
}

std::string World::AnyPath() {
  switch (random_.Below(6)) {
    case 0:
      return "/data/journal";
    case 1:
      return "/data/deadletter";
    case 2:
      return "/data/roster.db";
    case 3:
      return "/data/";
    default:
      return "/data/store-" + std::to_string(random_.Below(3));
  }
}

void World::BreakSomething() {
  static constexpr unsigned kOneIn[] = {1, 2, 10};
  const std::string path = AnyPath();
  unsigned one_in = kOneIn[random_.Below(3)];
  bool reads = random_.OneIn(4);
  trace_.Note("one in " + std::to_string(one_in) + (reads ? " reads" : " writes") + " of " + path +
              " fails");
  if (reads) {
    disk_.BreakReads(path, one_in);
  } else {
    disk_.Break(path, one_in);
  }
  mend_at_us_ = scheduler_.now_us() + static_cast<int64_t>(random_.Below(20'000'000));
}

void World::FillDisk() {
  trace_.Note("the disk is full");
  disk_.SetFull(true);
  mend_at_us_ = scheduler_.now_us() + static_cast<int64_t>(random_.Below(20'000'000));
}

void World::SlowDown() {
  trace_.Note("the disk is slow");
  disk_.SetSlowness(static_cast<int64_t>(random_.Between(1'000, 200'000)));
  mend_at_us_ = scheduler_.now_us() + static_cast<int64_t>(random_.Below(20'000'000));
}

void World::Mend() {
  trace_.Note("the disk is as new");
  disk_.Mend();
  disk_.SetFull(false);
  disk_.SetSlowness(kSlownessUs);
  mend_at_us_ = 0;
}

void World::Died(const char* how) {
  trace_.Note(how);
  scheduler_.Kill();
  server_.Died();
  broker_.Died();
  pushes_.amiss = true;
}

void World::KillProcess() {
  Died("kill -9");
  disk_.StartProcess();
}

// Now, or at an operation to come.
void World::CutPower() {
  if (!PowerMayGo()) return KillProcess();
  if (random_.OneIn(3)) {
    disk_.CutPower();
    return NoticePowerCut();
  }
  uint64_t operation = random_.Between(1, random_.OneIn(2) ? 10 : 100);
  trace_.Note("the power will go at operation " + std::to_string(operation));
  disk_.CutPowerAt(operation);
}

void World::NoticePowerCut() {
  if (!disk_.power_is_off()) return;
  Died("the power is cut");
  disk_.PowerOn();
  if (PowerCutsLose()) {
    forgotten_ = true;
    oracle_.Forget();
    pushes_.done.clear();
  }
  if (random_.OneIn(10))
    disk_.JumpClock(static_cast<int64_t>(random_.Below(7'200'000)) - 3'600'000);
}

void World::StopServer() {
  if (server_.state() != Server::State::kUp) return;
  trace_.Note("the broker stops");
  server_.Stop();
  broker_.Died();
}

void World::StartServer() {
  if (!server_.failure().ok()) {
    trace_.Note("not started: " + server_.failure().ToString());
    if (server_.failure().code() == Code::kCorruption) {
      throw Violation{"not started: " + server_.failure().ToString()};
    }
    if (random_.OneIn(4)) Mend();  // the operator looks into it
  }
  trace_.Note("the broker starts");
  pushes_.amiss = true;
  if (PowerMayGo() && random_.OneIn(6)) {
    disk_.CutPowerAt(random_.Between(1, 200));  // in the midst of it, or soon
  }
  server_.Start();
}

}  // namespace parley::sim
