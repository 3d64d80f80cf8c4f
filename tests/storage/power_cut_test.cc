// The whole log, its LevelDB stores included, on a disk that loses its power at every operation of
// a small workload in turn. Threads make the order of the operations vary; a failing case names its
// seed, which replays the disk's chance, not the threads'.
#include <cstdlib>
#include <string>
#include <thread>

#include "tests/catch.h"
#include "tests/storage/log_bench.h"

namespace parley {
namespace {

// How often each place is tried, each time with another seed; a script sets more.
uint64_t Seeds() {
  const char* text = std::getenv("PARLEY_POWER_CUT_SEEDS");
  return text == nullptr ? 2 : std::strtoull(text, nullptr, 10);
}

constexpr int kBursts = 25;

void Settle(LogBench* bench, Lsn last) {
  while (!bench->disk.power_is_off() && bench->heard->committed() < last) {
    if (!bench->Settle()) return;
    std::this_thread::yield();
  }
  bench->Settle();
}

// Sends until the disk gives up, in bursts, so that some commit alone and some in groups, and some
// reach the stores alone.
void Work(LogBench* bench, int bursts) {
  for (int i = 0; i < bursts && !bench->disk.power_is_off(); ++i) {
    Settle(bench, bench->SendSome(1 + i % 4));
    if (i % 2 == 0) bench->Apply(bench->UserOf(i / 2 % 2));
  }
}

// Makes a bench of the durability.
void SetUp(LogBench* bench, Durability durability) {
  bench->options.durability = durability;
  bench->options.interval_ms = 5;
  bench->committed_is_durable = durability == Durability::kCommit;
}

uint64_t CountOperations(Durability durability) {
  LogBench bench;
  SetUp(&bench, durability);
  REQUIRE(bench.Open().ok());
  Work(&bench, kBursts);
  bench.Close();
  return bench.disk.operations();
}

void OpenAndCheck(LogBench* bench) {
  Status status = bench->Open();
  INFO(status.ToString() << "\n" << bench->heard->Lines());
  REQUIRE(status.ok());
  bench->Check();
}

void CutAndCheck(LogBench* bench, uint64_t at) {
  bench->disk.CutPowerAt(at);
  if (bench->Open().ok()) Work(bench, kBursts);
  bench->disk.CutPower();
  bench->Close();
  bench->disk.PowerOn();
  OpenAndCheck(bench);
}

void CutEverywhere(Durability durability) {
  const uint64_t operations = CountOperations(durability);
  for (uint64_t at = 1; at <= operations; ++at) {
    for (uint64_t seed = 1; seed <= Seeds(); ++seed) {
      LogBench bench(at * 1000 + seed);
      SetUp(&bench, durability);
      INFO("operation " << at << " of " << operations << ", seed " << at * 1000 + seed);
      CutAndCheck(&bench, at);
      CutAndCheck(&bench, 1 + at % 61);  // soon after: in the midst of recovery, or just after
      Work(&bench, 5);
      REQUIRE(bench.heard->in_order());
      bench.Close();
      OpenAndCheck(&bench);
    }
  }
}

TEST_CASE(
    "whenever the power goes, each committed message is in all of its logs once, and it goes on") {
  CutEverywhere(Durability::kCommit);
}

TEST_CASE("with a sync at intervals a power cut loses only the last ones, on all sides alike") {
  CutEverywhere(Durability::kInterval);
}

TEST_CASE("without syncs the log opens after every power cut, and goes on") {
  const uint64_t operations = CountOperations(Durability::kOs);
  for (uint64_t at = 1; at <= operations; ++at) {
    LogBench bench(at);
    SetUp(&bench, Durability::kOs);
    INFO("operation " << at << " of " << operations);
    bench.disk.CutPowerAt(at);
    if (bench.Open().ok()) Work(&bench, kBursts);
    bench.disk.CutPower();
    bench.Close();
    bench.disk.PowerOn();
    Status status = bench.Open();
    INFO(status.ToString() << "\n" << bench.heard->Lines());
    REQUIRE(status.ok());
    REQUIRE(bench.heard->WaitCommitted(bench.SendSome(10)));
    bench.Close();
    status = bench.Open();
    INFO(status.ToString());
    REQUIRE(status.ok());
  }
}

TEST_CASE("whenever the process dies, nothing committed is lost, whatever the durability") {
  const Durability durability =
      GENERATE(Durability::kCommit, Durability::kInterval, Durability::kOs);
  const uint64_t operations = CountOperations(durability);
  for (uint64_t at = 1; at <= operations; ++at) {
    LogBench bench(at);
    SetUp(&bench, durability);
    bench.committed_is_durable = true;
    INFO("operation " << at << " of " << operations);
    bench.disk.CutPowerAt(at);
    if (bench.Open().ok()) Work(&bench, kBursts);
    bench.disk.CutPower();
    bench.Settle();
    bench.Close();
    bench.disk.StartProcess();
    OpenAndCheck(&bench);
    Work(&bench, 5);
    bench.Close();
    OpenAndCheck(&bench);
  }
}

}  // namespace
}  // namespace parley
