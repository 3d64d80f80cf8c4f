// As many connected devices as there are file descriptors, some of them chatting; then all their
// connections are lost at once, and all come back.
//
// Each device is subscribed to its inbox, has its last will on presence/<me> and pings once a
// minute. One of `active_every` writes to others of them, in an open loop, and acknowledges what it
// gets with receipts. While its connection is lost it keeps what it has to say, and when it is back
// it says again, under the same ids, all that it hasn't seen stored.
//
// Latency counts from when a message was due: to its sender's own copy (stored) and to its
// receiver. Messages between devices that were both there all the while are told apart from those
// that had to wait for a device that was away.
//
// At the end the logs of all active devices are read with `sync`: each message that was
// acknowledged must be in both users' logs, once, and no number be left out.
//
// Plain broker: connections and storm without messages.
#ifndef PARLEY_BENCH_CONNECTIONS_H_
#define PARLEY_BENCH_CONNECTIONS_H_

#include <cstddef>

#include "bench/workload.h"

namespace parley::bench {

struct ConnectionsOptions {
  size_t connections = 1000;
  size_t active_every = 10;
  double rate = 1000;    // messages/s over all active devices, Poisson
  double quiet_s = 10;   // connected, pings alone
  double before_s = 20;  // of messages before the storm
  double after_s = 20;
  // Each device comes back at a random moment of this time; 0: at once, as fast as they are let in,
  // a few at a time.
  double return_within_s = 30;
  size_t body_bytes = 100;
};

// Needs Workload::pid. Prints the report; returns the exit code: 1 after a loss, a double, a gap,
// an error, or where not all were back within a minute.
int RunConnections(const Workload& workload, const ConnectionsOptions& options);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_CONNECTIONS_H_
