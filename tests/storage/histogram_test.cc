#include "storage/histogram.h"

#include <numeric>

#include "tests/catch.h"

namespace parley {
namespace {

uint64_t Total(const HistogramCounts& counts) {
  return std::accumulate(counts.counts.begin(), counts.counts.end(), uint64_t{0});
}

TEST_CASE("what takes as long as a bound is counted within it, and what takes longer behind it") {
  for (size_t i = 0; i < kHistogramBoundsNs.size(); ++i) {
    Histogram histogram;
    histogram.Record(std::chrono::nanoseconds(kHistogramBoundsNs[i]));
    histogram.Record(std::chrono::nanoseconds(kHistogramBoundsNs[i] + 1));
    CHECK(histogram.counts().counts[i] == 1);
    CHECK(histogram.counts().counts[i + 1] == 1);
    CHECK(Total(histogram.counts()) == 2);
  }
}

TEST_CASE("a clock that went back counts as no time") {
  Histogram histogram;
  histogram.Record(std::chrono::nanoseconds(-5));
  CHECK(histogram.counts().counts[0] == 1);
  CHECK(histogram.counts().sum_ns == 0);
}

TEST_CASE("histograms add up") {
  Histogram one;
  Histogram other;
  one.Record(std::chrono::microseconds(3));
  other.Record(std::chrono::seconds(100));
  HistogramCounts all = one.counts();
  all += other.counts();
  CHECK(all.counts[1] == 1);
  CHECK(all.counts.back() == 1);
  CHECK(all.sum_ns == 100'000'003'000);
}

}  // namespace
}  // namespace parley
