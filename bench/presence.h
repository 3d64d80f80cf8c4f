// Who comes and goes: users in a ring, each with its neighbours for contacts, some of them
// flapping. Counts what is published about it, against the naive broadcast of one publish for each
// event and contact, and checks that nobody is shown what isn't so for longer than the protocol
// allows.
#ifndef PARLEY_BENCH_PRESENCE_H_
#define PARLEY_BENCH_PRESENCE_H_

#include "bench/workload.h"

namespace parley::bench {

struct PresenceOptions {
  size_t users = 5000;
  size_t contacts = 20;       // of each user
  size_t flapping_every = 5;  // users u0, u5, … flap
  bool unwatched = false;     // the same coming and going with nobody to see it: what that costs
  double warmup_s = 15;
  double seconds = 30;
};

// Both return the program's exit code. The contacts stay in the broker's data directory.
int MakeContacts(const Workload& workload, const PresenceOptions& options);
int RunPresence(const Workload& workload, const PresenceOptions& options);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_PRESENCE_H_
