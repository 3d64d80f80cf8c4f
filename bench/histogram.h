// Histogram of durations: buckets grow with the value, 128 to each power of two, so that a
// percentile is at most 0.8 % too high. Fixed size, adding costs a few instructions. One thread.
#ifndef PARLEY_BENCH_HISTOGRAM_H_
#define PARLEY_BENCH_HISTOGRAM_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace parley::bench {

class Histogram {
 public:
  // Adds one duration; a negative one counts as 0.
  void Add(int64_t value_ns) {
    const uint64_t value = value_ns < 0 ? 0 : static_cast<uint64_t>(value_ns);
    ++buckets_[IndexOf(value)];
    ++count_;
    max_ns_ = std::max(max_ns_, static_cast<int64_t>(value));
  }

  // Adds all of another's.
  void Add(const Histogram& other) {
    for (size_t index = 0; index < buckets_.size(); ++index)
      buckets_[index] += other.buckets_[index];
    count_ += other.count_;
    max_ns_ = std::max(max_ns_, other.max_ns_);
  }

  uint64_t count() const { return count_; }
  int64_t max_ns() const { return max_ns_; }

  // The smallest bucket's upper end that `percent` of the values don't exceed; 0 when empty.
  int64_t PercentileNs(double percent) const {
    const auto rank = static_cast<uint64_t>(std::ceil(static_cast<double>(count_) * percent / 100));
    uint64_t seen = 0;
    for (size_t index = 0; index < buckets_.size(); ++index) {
      seen += buckets_[index];
      if (seen >= rank && seen > 0) return std::min(max_ns_, UpperEnd(index));
    }
    return 0;
  }

  double PercentileUs(double percent) const {
    return static_cast<double>(PercentileNs(percent)) / 1000;
  }

 private:
  static constexpr int kSubBits = 7;
  static constexpr size_t kBuckets = (64 - kSubBits + 1) << kSubBits;

  // Values below 2^8 have a bucket each; above, the top 8 bits and the shift name the bucket.
  static size_t IndexOf(uint64_t value) {
    if (value < (uint64_t{2} << kSubBits)) return value;
    const int shift = 63 - std::countl_zero(value) - kSubBits;
    return (static_cast<size_t>(shift) << kSubBits) + (value >> shift);
  }

  static int64_t UpperEnd(size_t index) {
    if (index < (size_t{2} << kSubBits)) return static_cast<int64_t>(index);
    const size_t shift = (index >> kSubBits) - 1;
    const uint64_t mantissa = index - (shift << kSubBits);
    return static_cast<int64_t>(((mantissa + 1) << shift) - 1);
  }

  std::vector<uint64_t> buckets_ = std::vector<uint64_t>(kBuckets);
  uint64_t count_ = 0;
  int64_t max_ns_ = 0;
};

}  // namespace parley::bench

#endif  // PARLEY_BENCH_HISTOGRAM_H_
