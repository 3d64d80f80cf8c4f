// Draws lines over time or over size as SVG: panels side by side, each with a scale of its own that
// begins at 0, so that what doesn't grow looks flat. No state; any thread.
#ifndef PARLEY_BENCH_PICTURE_H_
#define PARLEY_BENCH_PICTURE_H_

#include <string>
#include <vector>

#include "bench/trend.h"

namespace parley::bench {

struct Panel {
  std::string title{};
  double from = 0;  // what the x axis spans, in units of Point::at
  double to = 0;
  std::string from_label{};  // may be empty
  std::string to_label{};
  struct Line {
    std::string label;
    std::vector<Point> points;
  };
  std::vector<Line> lines{};  // two at most: there are as many colours
};

// Two panels to a row, in their order.
std::string DrawPanels(const std::vector<Panel>& panels);

// As printf's.
std::string Format(const char* format, double value);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_PICTURE_H_
