// The figures that the plugin publishes under $SYS/broker/parley/, one row each: what they count,
// and what they are called where Prometheus reads them (parley-gateway's /metrics). The plugin, the
// gateway, parleyctl and the test of the docs all go by this table.
#ifndef PARLEY_CHAT_FIGURES_H_
#define PARLEY_CHAT_FIGURES_H_

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "storage/histogram.h"

namespace parley {

inline constexpr std::string_view kFiguresTopic = "$SYS/broker/parley/";

// How a figure looks on its topic, and what it is.
enum class FigureKind {
  kCounter,    // a number that only grows, from 0 at the broker's start
  kGauge,      // a number
  kCounters,   // a JSON object of such numbers, by the value of `label`
  kGauges,     //
  kHistogram,  // HistogramJson
  kText,       // a text: the value of `label` of a metric that is always 1
};

struct FigureRow {
  std::string_view name;  // under kFiguresTopic
  FigureKind kind;
  std::string_view metric;  // Prometheus' name
  std::string_view help;
  std::string_view label = {};
  double scale = 1;  // what the metric counts in, from what the figure does
};

std::span<const FigureRow> FigureRows();
// Null: there is none.
const FigureRow* FindFigure(std::string_view name);

// `{"le":[0.0000025,…],"count":[…],"sum":1.5}`: seconds; how many took no longer than each bound,
// and, at the end, how many there are.
nlohmann::json HistogramJson(const HistogramCounts& counts);

}  // namespace parley

#endif  // PARLEY_CHAT_FIGURES_H_
