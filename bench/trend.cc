#include "bench/trend.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace parley::bench {
namespace {

constexpr size_t kPoints = 300;
constexpr double kNormalScatter = 1.4826;

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<Point> Thin(const std::vector<Point>& points, size_t count) {
  const size_t each = (points.size() + count - 1) / count;
  std::vector<Point> thinned;
  for (size_t first = 0; first < points.size(); first += each) {
    const size_t last = std::min(points.size(), first + each);
    Point sum;
    for (size_t i = first; i < last; ++i) {
      sum.at += points[i].at;
      sum.value += points[i].value;
    }
    const auto n = static_cast<double>(last - first);
    thinned.push_back({sum.at / n, sum.value / n});
  }
  return thinned;
}

Trend TrendOf(const std::vector<Point>& points) {
  const std::vector<Point> thinned = Thin(points, kPoints);
  std::vector<double> values;
  std::vector<double> slopes;
  for (size_t i = 0; i < thinned.size(); ++i) {
    values.push_back(thinned[i].value);
    for (size_t j = i + 1; j < thinned.size(); ++j) {
      slopes.push_back((thinned[j].value - thinned[i].value) / (thinned[j].at - thinned[i].at));
    }
  }
  if (slopes.empty()) return {};
  const double slope = Median(std::move(slopes));
  std::vector<double> levels;
  for (const Point& point : thinned) levels.push_back(point.value - slope * point.at);
  const double level = Median(levels);
  for (double& one : levels) one = std::abs(one - level);
  const double seconds = points.back().at - points.front().at;
  return {Median(values), slope * seconds, kNormalScatter * Median(levels), seconds / 3600};
}

}  // namespace parley::bench
