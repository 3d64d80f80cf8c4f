// Devices that are away and come back, each at its own time; fewer at once than a broker's backlog.
// One thread.
#ifndef PARLEY_BENCH_RETURNS_H_
#define PARLEY_BENCH_RETURNS_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

#include "bench/clients.h"

namespace parley::bench {

class Returns {
 public:
  static constexpr size_t kAtOnce = 64;
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // A closed client is to be opened again at `when_ns`.
  void Add(size_t client, int64_t when_ns) { due_.emplace(when_ns, client); }
  // All are due now.
  void Hasten(int64_t now_ns) {
    std::vector<Due> all;
    for (; !due_.empty(); due_.pop()) all.push_back({now_ns, due_.top().second});
    for (const Due& due : all) due_.push(due);
  }
  // The run tells that a client that was opened again is subscribed, or lost before it was.
  void Done() { --under_way_; }

  // Opens those that are due.
  void OpenDue(Clients* clients, int64_t now_ns) {
    while (NextNs() <= now_ns) {
      Client& client = (*clients)[due_.top().second];
      due_.pop();
      ++under_way_;
      clients->Reopen(client);
    }
  }
  // When the next is to be opened.
  int64_t NextNs() const {
    return due_.empty() || under_way_ >= kAtOnce ? kNever : due_.top().first;
  }
  size_t under_way() const { return under_way_; }

 private:
  using Due = std::pair<int64_t, size_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  size_t under_way_ = 0;
};

}  // namespace parley::bench

#endif  // PARLEY_BENCH_RETURNS_H_
