// Idle connections: connects and subscribes many users, and tells what each costs the broker in
// resident memory and CPU. Kernel memory for sockets isn't counted.
#ifndef PARLEY_BENCH_IDLE_H_
#define PARLEY_BENCH_IDLE_H_

#include "bench/workload.h"

namespace parley::bench {

struct IdleOptions {
  size_t connections = 10000;
  double seconds = 5;  // how long they stay
};

// Needs Workload::pid. Prints the report and returns the program's exit code.
int RunIdle(const Workload& workload, const IdleOptions& options);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_IDLE_H_
