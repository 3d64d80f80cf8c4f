// Pairs of users, u(2n) writing to u(2n+1), or as far apart as `users` says: throughput (closed
// loop) and latency (open loop).
//
// Parley: the sender publishes to chat/<receiver>; the message must come back as JSON on
// chat/<receiver> to the receiver and on chat/<sender> to the sender. Plain broker: both subscribe
// to pair/<n>, where the sender publishes what Parley would have delivered: the same packets, the
// same bytes delivered, nothing stored.
//
// Closed loop: a sender has `window` messages under way; one is done when both copies have arrived.
// Open loop (`rate` > 0): arrivals are a Poisson process over all pairs, and latency counts from
// the time at which the message was to be sent, whatever delayed it.
//
// Latency is taken over the messages due within the measured time; loss, doubles and order over
// all, warm-up and what arrives after the end included.
#ifndef PARLEY_BENCH_PAIRS_H_
#define PARLEY_BENCH_PAIRS_H_

#include <cstdint>

#include "bench/workload.h"

namespace parley::bench {

struct PairsOptions {
  size_t pairs = 50;
  size_t users = 0;  // accounts over which the pairs' are spread evenly; 0: the first ones
  uint64_t window = 16;
  double rate = 0;  // messages a second over all pairs; 0: closed loop
  size_t body_bytes = 100;
  double warmup_s = 1;
  double seconds = 5;
  uint64_t receipts_every = 0;  // the receiver acknowledges every so many messages; 0: never
};

// Prints the report. The program's exit code: 0, or 1 after a loss, double, disorder or error.
int RunPairs(const Workload& workload, const PairsOptions& options);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_PAIRS_H_
