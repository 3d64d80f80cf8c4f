// An open loop: moments of a Poisson process. One thread.
#ifndef PARLEY_BENCH_ARRIVALS_H_
#define PARLEY_BENCH_ARRIVALS_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>

namespace parley::bench {

class Arrivals {
 public:
  // `rate` a second from `start_ns` on; 0: never.
  Arrivals(double rate, uint64_t seed, int64_t start_ns)
      : random_(seed), gap_s_(rate > 0 ? rate : 1), next_ns_(start_ns) {
    rate > 0 ? Step() : static_cast<void>(next_ns_ = std::numeric_limits<int64_t>::max());
  }

  int64_t next_ns() const { return next_ns_; }
  // True, and the arrival in `due_ns`, while one is due: what is late is not left out.
  bool Take(int64_t now_ns, int64_t* due_ns) {
    if (next_ns_ > now_ns) return false;
    *due_ns = next_ns_;
    Step();
    return true;
  }

 private:
  void Step() { next_ns_ += std::max<int64_t>(1, static_cast<int64_t>(gap_s_(random_) * 1e9)); }

  std::mt19937_64 random_;
  std::exponential_distribution<double> gap_s_;
  int64_t next_ns_;
};

}  // namespace parley::bench

#endif  // PARLEY_BENCH_ARRIVALS_H_
