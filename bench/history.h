// A full store: fills it through the broker, and asks for pages of it. Parley only.
//
// User n of `users` writes to the `peers` users after it, n+1, n+2, … (modulo `users`), in turn; so
// every user has 2 * peers conversations, and who fills the store otherwise keeps to the same.
#ifndef PARLEY_BENCH_HISTORY_H_
#define PARLEY_BENCH_HISTORY_H_

#include <cstdint>

#include "bench/workload.h"

namespace parley::bench {

struct FillOptions {
  uint64_t messages = 100000;
  size_t users = 1000;
  size_t peers = 10;
  size_t body_bytes = 100;
  uint64_t window = 16;  // messages a sender has under way
};

// Sends the messages as fast as they are stored; checks that each sender saw its own copies in
// order, once, and that every user's numbers have no gap. Prints the report; returns the exit code.
int RunFill(const Workload& workload, const FillOptions& options);

struct HistoryOptions {
  size_t users = 1000;  // as the store was filled
  size_t peers = 10;
  size_t connections = 200;  // users that ask, spread over all
  size_t outstanding = 1;    // questions under way at once
  uint64_t limit = 20;       // messages to a page
  double warmup_s = 1;
  double seconds = 5;
};

// Asks for pages of random conversations, from random places of the asker's log. Prints the
// report; the exit code is 1 when any answer is an error or a page isn't full.
int RunHistory(const Workload& workload, const HistoryOptions& options);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_HISTORY_H_
