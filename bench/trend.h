// Whether a figure that was taken over hours grows. The slope is the median of the slopes between
// all pairs of points (Theil and Sen), which a few spikes don't move. How much the points scatter
// about that line is the median of their distances from it, times 1.48: the standard deviation
// where they are normal. No state; any thread.
#ifndef PARLEY_BENCH_TREND_H_
#define PARLEY_BENCH_TREND_H_

#include <cstddef>
#include <vector>

namespace parley::bench {

struct Point {
  double at = 0;  // seconds
  double value = 0;
};

struct Trend {
  double median = 0;
  double growth = 0;   // slope times the time from the first point to the last
  double scatter = 0;  // about the line of that slope
  double hours = 0;    // from the first point to the last
};

// Means of as many neighbours as it takes to get `count` points or fewer; in order of time.
std::vector<Point> Thin(const std::vector<Point>& points, size_t count);

// Of points in order of time; thinned to some hundred. Zeros where there are fewer than two.
Trend TrendOf(const std::vector<Point>& points);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_TREND_H_
