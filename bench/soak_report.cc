#include "bench/soak_report.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include "bench/clients.h"
#include "bench/picture.h"

namespace parley::bench {
namespace {

constexpr double kWarmupShare = 1.0 / 3;

enum class Kind { kPlain, kLatency, kToldOnly };

// What is judged, and what growth is none.
struct Rule {
  const char* column;
  const char* label;
  double unit;   // the column's values to a unit of the label
  double share;  // of the median, an hour
  double step;   // in the label's unit
  Kind kind = Kind::kPlain;
};

constexpr double kScatters = 2;  // that are noise
constexpr size_t kParts = 12;

constexpr double kHoldUps = 4;  // of a message, each by what the generator's lag is

constexpr Rule kRules[] = {
    {"anon_kib", "memory that no file backs, MiB", 1024, 0.01, 1},
    {"files", "open files beyond the connections", 1, 0, 5},  // tables that a store just merges
    {"threads", "threads", 1, 0, 0.5},
    {"journal_kib", "journal on disk, MiB", 1024, 0.01, 64},  // a segment
    {"sqlite_kib", "SQLite on disk, MiB", 1024, 0.01, 0.25},
    {"store_bytes", "stores on disk, bytes for each message", 1, 0.02, 20},
    {"chat_cpu_percent", "broker's CPU but for compaction, %", 1, 0.05, 1},
    {"compaction_cpu_percent", "CPU of the stores' compaction, %", 1, 0, 0, Kind::kToldOnly},
    {"stored_p50_us", "publish to own copy, p50 ms", 1000, 0.05, 0.5, Kind::kLatency},
    {"stored_p99_us", "… p99 ms", 1000, 0.1, 5, Kind::kLatency},
    {"arrived_p50_us", "publish to the receiver, p50 ms", 1000, 0.05, 0.5, Kind::kLatency},
    {"arrived_p99_us", "… p99 ms", 1000, 0.1, 5, Kind::kLatency},
    {"answer_p50_us", "questions, p50 ms", 1000, 0.05, 0.5, Kind::kLatency},
    {"answer_p99_us", "… p99 ms", 1000, 0.1, 5, Kind::kLatency},
};

struct Column {
  const char* name;
  const char* label;
};

struct View {
  const char* title;
  double unit;
  std::vector<Column> columns;
};

const std::vector<View>& Views() {
  static const std::vector<View> views = {
      {"memory, MiB", 1024, {{"rss_kib", "resident"}, {"anon_kib", "no file backs it"}}},
      {"open files beyond connections; threads", 1, {{"files", "files"}, {"threads", "threads"}}},
      {"CPU, % of one",
       1,
       {{"chat_cpu_percent", "broker but for compaction"},
        {"compaction_cpu_percent", "compaction"}}},
      {"journal and SQLite on disk, MiB",
       1024,
       {{"journal_kib", "journal"}, {"sqlite_kib", "SQLite"}}},
      {"stores on disk, MiB", 1024, {{"stores_kib", "stores"}}},
      {"publish to own copy, ms", 1000, {{"stored_p99_us", "p99"}, {"stored_p50_us", "p50"}}},
      {"publish to the receiver, ms", 1000, {{"arrived_p99_us", "p99"}, {"arrived_p50_us", "p50"}}},
      {"sync, history and other questions, ms",
       1000,
       {{"answer_p99_us", "p99"}, {"answer_p50_us", "p50"}}},
  };
  return views;
}

constexpr size_t kPicturePoints = 400;

std::vector<std::string> Split(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, ',');) fields.push_back(field);
  return fields;
}

}  // namespace

struct SoakReport::Judged {
  Rule rule;
  Trend trend;  // in the label's unit
  double noise = 0;
  double allowed() const { return rule.share * trend.median * trend.hours + noise; }
  bool told_only() const { return rule.kind == Kind::kToldOnly; }
  bool flat() const { return told_only() || trend.growth <= allowed(); }
  // Of an amount over the measured time, an hour.
  double Hourly(double amount) const { return trend.hours > 0 ? amount / trend.hours : 0; }
};

SoakReport::SoakReport(std::istream& csv) {
  std::string line;
  std::getline(csv, line);
  const std::vector<std::string> names = Split(line);
  while (std::getline(csv, line)) {
    const std::vector<std::string> fields = Split(line);
    if (fields.size() != names.size()) break;  // of a run that still writes it
    for (size_t i = 0; i < names.size(); ++i) {
      columns_[names[i]].push_back(std::strtod(fields[i].c_str(), nullptr));
    }
  }
  for (const char* needed : {"seconds", "faults", "stores_kib", "messages", "anon_kib",
                             "cpu_percent", "compaction_cpu_percent"}) {
    if (columns_[needed].empty()) Die(std::string("no soak's figures: there is no ") + needed);
  }
  for (size_t i = 0; i < columns_["seconds"].size(); ++i) {
    const double messages = std::max(1.0, columns_["messages"][i]);
    columns_["store_bytes"].push_back(columns_["stores_kib"][i] * 1024 / messages);
    columns_["chat_cpu_percent"].push_back(columns_["cpu_percent"][i] -
                                           columns_["compaction_cpu_percent"][i]);
  }
}

double SoakReport::seconds() const { return columns_.at("seconds").back(); }

std::vector<Point> SoakReport::PointsOf(const std::string& column) const {
  const auto values = columns_.find(column);
  if (values == columns_.end()) Die("no soak's figures: there is no " + column);
  std::vector<Point> points;
  for (size_t i = 0; i < values->second.size(); ++i) {
    points.push_back({columns_.at("seconds")[i], values->second[i]});
  }
  return points;
}

std::vector<Point> SoakReport::Settled(const std::string& column) const {
  std::vector<Point> points = PointsOf(column);
  std::erase_if(points, [this](const Point& p) { return p.at < seconds() * kWarmupShare; });
  return points;
}

std::vector<SoakReport::Judged> SoakReport::JudgeAll() const {
  const double lag = std::max(0.0, TrendOf(Settled("lag_p99_us")).growth);
  std::vector<Judged> all;
  for (const Rule& rule : kRules) {
    const std::vector<Point> settled = Settled(rule.column);
    const Trend of_parts = TrendOf(Thin(settled, kParts));
    // Compaction comes in bursts, and is 0 most of the time.
    Trend trend = rule.kind == Kind::kToldOnly ? of_parts : TrendOf(settled);
    trend.median /= rule.unit;
    trend.growth /= rule.unit;
    const double scatter = of_parts.scatter / rule.unit;
    const double noise = std::max(rule.step, kScatters * scatter);
    const double held_up = rule.kind == Kind::kLatency ? kHoldUps * lag / rule.unit : 0;
    all.push_back({rule, trend, noise + held_up});
  }
  return all;
}

SoakVerdict SoakReport::verdict() const {
  if (columns_.at("faults").back() != 0) return SoakVerdict::kFaults;
  if (seconds() < kSoakShortestS) return SoakVerdict::kTooShort;
  const std::vector<Judged> all = JudgeAll();
  const bool flat = std::all_of(all.begin(), all.end(), [](const Judged& j) { return j.flat(); });
  return flat ? SoakVerdict::kFlat : SoakVerdict::kGrows;
}

std::string SoakReport::Table() const {
  const bool judged = seconds() >= kSoakShortestS;
  const double hours = seconds() * (1 - kWarmupShare) / 3600;
  std::string table =
      "| after " + Format("%.0f", seconds() * kWarmupShare / 60) + " min of warm-up, over " +
      Format("%.0f", hours * 60) +
      " min | median | growth an hour | allowed | of it noise | |\n|---|---|---|---|---|---|\n";
  for (const Judged& j : JudgeAll()) {
    table += std::string("| ") + j.rule.label + " | " + Format("%.2f", j.trend.median) + " | " +
             Format("%+.2f", j.Hourly(j.trend.growth)) + " | ";
    if (j.told_only()) {
      table += "| | not judged |\n";
      continue;
    }
    table += Format("%.2f", j.Hourly(j.allowed())) + " | " + Format("%.2f", j.Hourly(j.noise)) +
             " | " +
             (!judged    ? ""
              : j.flat() ? "flat"
                         : "**grows**") +
             " |\n";
  }
  table += "\n" + Format("%.0f", columns_.at("messages").back()) + " messages in " +
           Format("%.0f", seconds() / 60) + " min, " +
           Format("%.0f", columns_.at("faults").back()) + " faults: ";
  switch (verdict()) {
    case SoakVerdict::kFlat:
      return table + "flat.\n";
    case SoakVerdict::kGrows:
      return table + "not flat.\n";
    case SoakVerdict::kTooShort:
      return table + "too short for a verdict.\n";
    case SoakVerdict::kFaults:
      return table + "not sound.\n";
  }
  return table;
}

std::string SoakReport::Picture() const {
  std::vector<Panel> panels;
  for (const View& view : Views()) {
    Panel panel{
        .title = view.title, .to = seconds(), .to_label = Format("%.1f min", seconds() / 60)};
    for (const Column& column : view.columns) {
      std::vector<Point> points = Thin(PointsOf(column.name), kPicturePoints);
      for (Point& point : points) point.value /= view.unit;
      panel.lines.push_back({column.label, std::move(points)});
    }
    panels.push_back(std::move(panel));
  }
  return DrawPanels(panels);
}

int RunSoakReport(const std::string& csv, const std::string& svg) {
  std::ifstream in(csv);
  if (!in) Die("can't read " + csv);
  const SoakReport report(in);
  std::printf("%s", report.Table().c_str());
  if (!svg.empty() && !(std::ofstream(svg) << report.Picture())) Die("can't write " + svg);
  switch (report.verdict()) {
    case SoakVerdict::kGrows:
      return 1;
    case SoakVerdict::kFaults:
      return 3;
    default:
      return 0;
  }
}

}  // namespace parley::bench
