// How long something took, counted by how long: what figures show percentiles of.
//
// One thread records, any reads. Recording costs a few nanoseconds: no lock, no allocation, no
// locked instruction.
#ifndef PARLEY_STORAGE_HISTOGRAM_H_
#define PARLEY_STORAGE_HISTOGRAM_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace parley {

// Upper bounds, each of them included; what is longer than the last is counted behind it.
inline constexpr std::array<int64_t, 21> kHistogramBoundsNs = {
    2'500,         5'000,         10'000,        25'000,      50'000,      100'000,
    250'000,       500'000,       1'000'000,     2'500'000,   5'000'000,   10'000'000,
    25'000'000,    50'000'000,    100'000'000,   250'000'000, 500'000'000, 1'000'000'000,
    2'500'000'000, 5'000'000'000, 10'000'000'000};

// What a histogram has counted; several add up.
struct HistogramCounts {
  std::array<uint64_t, kHistogramBoundsNs.size() + 1> counts{};  // of each stretch by itself
  uint64_t sum_ns = 0;

  HistogramCounts& operator+=(const HistogramCounts& other) {
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
    sum_ns += other.sum_ns;
    return *this;
  }
};

class Histogram {
 public:
  void Record(std::chrono::nanoseconds took) {
    size_t at = 0;
    while (at < kHistogramBoundsNs.size() && took.count() > kHistogramBoundsNs[at]) ++at;
    Add(&counts_[at], 1);
    Add(&sum_ns_, took.count() > 0 ? static_cast<uint64_t>(took.count()) : 0);
  }

  HistogramCounts counts() const {
    HistogramCounts read;
    for (size_t i = 0; i < counts_.size(); ++i) {
      read.counts[i] = counts_[i].load(std::memory_order_relaxed);
    }
    read.sum_ns = sum_ns_.load(std::memory_order_relaxed);
    return read;
  }

 private:
  using Count = std::atomic<uint64_t>;
  // By the one thread that writes.
  static void Add(Count* count, uint64_t n) {
    count->store(count->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  std::array<Count, kHistogramBoundsNs.size() + 1> counts_{};
  Count sum_ns_{0};
};

// Records how long it lives.
class Timed {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Timed(Histogram* histogram) : histogram_(histogram), from_(Clock::now()) {}
  ~Timed() { histogram_->Record(Clock::now() - from_); }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  Histogram* const histogram_;
  const Clock::time_point from_;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_HISTOGRAM_H_
