// A group: one member writes, all get it. Measures deliveries.
#ifndef PARLEY_BENCH_FANOUT_H_
#define PARLEY_BENCH_FANOUT_H_

#include <cstdint>
#include <string>

#include "bench/workload.h"

namespace parley::bench {

struct FanoutOptions {
  size_t members = 100;            // with the one that writes
  std::string delivery = "topic";  // of Parley's group
  uint64_t window = 4;             // messages that have not reached all yet
  size_t body_bytes = 100;
  double warmup_s = 1;
  double seconds = 5;
};

// Makes the group (Parley) or has all subscribe to one topic (plain), and writes as fast as
// messages reach all members. Checks that each gets every message once and in order. Prints the
// report; returns the exit code.
int RunFanout(const Workload& workload, const FanoutOptions& options);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_FANOUT_H_
