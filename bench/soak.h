// Hours of mixed load, and what the broker holds meanwhile, a line of CSV every few seconds.
//
// Users in a ring, each with a device that is subscribed to all of its own topics, chats, and now
// and then loses its connection. At --rate messages/s between neighbours there are, each a Poisson
// process of its own:
//
//   rate / 10   messages to groups of 20, delivery inbox
//   rate / 200  messages to a group of all, delivery topic
//   rate / 20   reactions to a group's latest message, and edits of it, by turns
//   rate / 20   questions: sync, history, recent, conversations, presence, contacts added and
//               removed, in turn
//   rate / 20   typing
//   rate / 50   devices that go, three of four by a lost connection, and come back in 1-15 s
//
// Checks what Chatters checks, that the group of all is numbered without a gap while a device is
// there, and that no answer is an error. Parley only.
#ifndef PARLEY_BENCH_SOAK_H_
#define PARLEY_BENCH_SOAK_H_

#include <cstddef>
#include <string>

#include "bench/workload.h"

namespace parley::bench {

struct SoakOptions {
  size_t users = 100;
  size_t peers = 5;  // the neighbours after it, whom each user writes to
  double rate = 100;
  double seconds = 3600;
  double every_s = 5;    // a line of CSV
  std::string data_dir;  // the broker's
  std::string csv;       // written anew
  size_t body_bytes = 100;
};

// Needs Workload::pid. SIGINT and SIGTERM end the run early, with all its checks. Prints the
// report; returns the exit code, 1 after any fault.
int RunSoak(const Workload& workload, const SoakOptions& options);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_SOAK_H_
