#include "bridge/status_watch.h"

#include <cstdio>

#include "chat/figures.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr std::string_view kShown[] = {"messages/accepted",    "messages/stored",
                                       "messages/delivered",   "refused",
                                       "logins/accepted",      "sessions",
                                       "users/online",         "engine/queued",
                                       "callbacks/seconds",    "journal/commit_seconds",
                                       "stores/write_seconds", "stores/unapplied",
                                       "stores/oldest_ms",     "stores/down",
                                       "stores/dead_letters",  "disk/free_bytes"};

double Rate(const json& before, const json& now, double seconds) {
  return (now.get<double>() - before.get<double>()) / seconds;
}

// The least bound that `share` of what came in between keeps.
json Percentile(const json& before, const json& now, double share) {
  const json& was = before.at("count");
  const json& is = now.at("count");
  const double total = is.back().get<double>() - was.back().get<double>();
  if (total <= 0) return nullptr;
  const json& bounds = now.at("le");
  for (size_t i = 0; i < bounds.size(); ++i) {
    if (is.at(i).get<double>() - was.at(i).get<double>() >= share * total) return bounds[i];
  }
  return nullptr;
}

json Change(const FigureRow& row, const json& before, const json& now, double seconds) {
  if (row.kind == FigureKind::kCounter) return Rate(before, now, seconds);
  if (row.kind == FigureKind::kHistogram) {
    return {{"per_second", Rate(before.at("count").back(), now.at("count").back(), seconds)},
            {"p50", Percentile(before, now, 0.5)},
            {"p99", Percentile(before, now, 0.99)}};
  }
  if (row.kind != FigureKind::kCounters) return now;
  json rates = json::object();
  for (const auto& [label, value] : now.items()) {
    rates[label] = Rate(before.value(label, json(0)), value, seconds);
  }
  return rates;
}

template <class... Args>
std::string Format(const char* format, Args... args) {
  char text[96];
  std::snprintf(text, sizeof text, format, args...);
  return text;
}

std::string Milliseconds(const json& bound) {
  return bound.is_null() ? "-" : Format("%g ms", bound.get<double>() * 1000);
}

std::string Text(const FigureRow& row, const json& change) {
  switch (row.kind) {
    case FigureKind::kCounter:
      return Format("%.1f/s", change.get<double>());
    case FigureKind::kCounters: {
      double sum = 0;
      for (const json& rate : change) sum += rate.get<double>();
      return Format("%.1f/s", sum);
    }
    case FigureKind::kHistogram:
      return "p50 <= " + Milliseconds(change["p50"]) + "  p99 <= " + Milliseconds(change["p99"]) +
             Format("  %.1f/s", change["per_second"].get<double>());
    case FigureKind::kGauge:
    case FigureKind::kGauges:
    case FigureKind::kText:
      break;
  }
  return change.dump();
}

}  // namespace

json WatchedJson(const json& before, const json& now, double seconds) {
  json all = json::object();
  for (const FigureRow& row : FigureRows()) {
    const std::string name(row.name);
    if (!before.contains(name) || !now.contains(name)) continue;
    try {
      all[name] = Change(row, before[name], now[name], seconds);
    } catch (const json::exception&) {  // a broker of another version may mean another thing by it
    }
  }
  return all;
}

std::vector<WatchedFigure> Watched(const json& before, const json& now, double seconds) {
  std::vector<WatchedFigure> watched;
  const json all = WatchedJson(before, now, seconds);
  for (std::string_view name : kShown) {
    auto change = all.find(std::string(name));
    if (change == all.end()) continue;
    watched.push_back({std::string(name), Text(*FindFigure(name), *change)});
  }
  return watched;
}

}  // namespace parley
