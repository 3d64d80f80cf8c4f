// Cold users: each comes for the first time since the broker's start, asks for what a client asks
// for then, and leaves; one at a time. The store is filled as bench/history.h says. Parley only.
#ifndef PARLEY_BENCH_COLD_H_
#define PARLEY_BENCH_COLD_H_

#include <cstddef>

#include "bench/workload.h"

namespace parley::bench {

struct ColdOptions {
  size_t users = 1'000'000;  // as the store was filled
  size_t step = 500;         // users u0, u(step), u(2 step), … come
};

// Prints what CONNECT with SUBSCRIBE, `recent`, `sync` from the start and `history` take, and the
// broker's memory before and after (needs Workload::pid). Returns the exit code, 1 where an answer
// is an error or has no messages.
int RunCold(const Workload& workload, const ColdOptions& options);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_COLD_H_
