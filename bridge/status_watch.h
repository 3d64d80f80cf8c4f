// What `parleyctl status --watch` shows: how the figures (chat/figures.h) have changed between two
// looks at a broker. Counters become rates, histograms the percentiles of what came in between.
//
// Pure functions, any thread.
#ifndef PARLEY_BRIDGE_STATUS_WATCH_H_
#define PARLEY_BRIDGE_STATUS_WATCH_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace parley {

struct WatchedFigure {
  std::string name;
  std::string value;  // "12.5/s", "p50 <= 0.01 ms  p99 <= 0.25 ms  40.0/s", "7"
};

// Those that an operator looks at first, in the order to show them; what isn't in both, or isn't of
// its kind in both, is left out.
std::vector<WatchedFigure> Watched(const nlohmann::json& before, const nlohmann::json& now,
                                   double seconds);

// All figures: a rate of each counter (of each label, where it has some), of each histogram
// {"per_second":…,"p50":…,"p99":…} (upper bounds in seconds; null: nothing came, or more than the
// last bound), anything else as it is.
nlohmann::json WatchedJson(const nlohmann::json& before, const nlohmann::json& now, double seconds);

}  // namespace parley

#endif  // PARLEY_BRIDGE_STATUS_WATCH_H_
