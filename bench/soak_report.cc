#include "bench/soak_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "bench/clients.h"

namespace parley::bench {
namespace {

constexpr double kWarmupShare = 1.0 / 3;

// What is judged, and what growth over the measured time is none.
struct Rule {
  const char* column;
  const char* label;
  double unit;   // the column's values to a unit of the label
  double share;  // of the median
  double least;  // in the label's unit
  bool latency = false;
};

constexpr double kHoldUps = 4;  // of a message, each by what the generator's lag is

constexpr Rule kRules[] = {
    {"anon_kib", "memory that no file backs, MiB", 1024, 0.05, 4},
    {"files", "open files beyond the connections", 1, 0, 5},
    {"threads", "threads", 1, 0, 0.5},
    {"journal_kib", "journal on disk, MiB", 1024, 0.1, 64},
    {"sqlite_kib", "SQLite on disk, MiB", 1024, 0.05, 1},
    {"store_bytes", "stores on disk, bytes for each message", 1, 0.1, 50},
    {"cpu_percent", "broker's CPU, %", 1, 0.25, 2},
    {"stored_p50_us", "publish to own copy, p50 ms", 1000, 0.25, 1, true},
    {"stored_p99_us", "… p99 ms", 1000, 0.5, 10, true},
    {"arrived_p50_us", "publish to the receiver, p50 ms", 1000, 0.25, 1, true},
    {"arrived_p99_us", "… p99 ms", 1000, 0.5, 10, true},
    {"answer_p50_us", "questions, p50 ms", 1000, 0.25, 1, true},
    {"answer_p99_us", "… p99 ms", 1000, 0.5, 10, true},
};

struct Line {
  const char* column;
  const char* label;
};

struct Panel {
  const char* title;
  double unit;
  std::vector<Line> lines;
};

const std::vector<Panel>& Panels() {
  static const std::vector<Panel> panels = {
      {"memory, MiB", 1024, {{"rss_kib", "resident"}, {"anon_kib", "no file backs it"}}},
      {"open files beyond connections; threads", 1, {{"files", "files"}, {"threads", "threads"}}},
      {"CPU, % of one", 1, {{"cpu_percent", "broker"}, {"thread_cpu_percent", "its main thread"}}},
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
  return panels;
}

constexpr int kPanelWidth = 440;
constexpr int kPanelHeight = 170;
constexpr int kPlotLeft = 50;
constexpr int kPlotWidth = kPanelWidth - kPlotLeft - 20;
constexpr int kPlotTop = 30;
constexpr int kPlotHeight = kPanelHeight - kPlotTop - 30;
constexpr size_t kPanelsAcross = 2;
constexpr size_t kPicturePoints = 400;
constexpr const char* kColors[] = {"#c0392b", "#1f5fa8"};

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::vector<std::string> Split(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, ',');) fields.push_back(field);
  return fields;
}

// The next of 1, 2, 5, 10, 20, …
double RoundUp(double value) {
  const double power = std::pow(10, std::floor(std::log10(std::max(value, 1e-9))));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (value <= step * power) return step * power;
  }
  return 10 * power;
}

double Highest(const std::vector<std::vector<Point>>& lines) {
  double highest = 0;
  for (const auto& line : lines) {
    for (const Point& point : line) highest = std::max(highest, point.value);
  }
  return highest;
}

std::string Text(double x, double y, const std::string& attributes, const std::string& text) {
  return "<text x=\"" + Format("%.0f", x) + "\" y=\"" + Format("%.0f", y) + "\" " + attributes +
         ">" + text + "</text>\n";
}

std::string Polyline(const std::vector<Point>& points, double seconds, double top,
                     const char* color) {
  std::string svg = "<polyline fill=\"none\" stroke-width=\"1.2\" stroke=\"";
  svg += std::string(color) + "\" points=\"";
  for (const Point& point : points) {
    svg += Format("%.1f,", kPlotLeft + point.at / seconds * kPlotWidth) +
           Format("%.1f ", kPlotTop + (1 - point.value / top) * kPlotHeight);
  }
  return svg + "\"/>\n";
}

std::string Axes(const Panel& panel, double seconds, double top) {
  const double bottom = kPlotTop + kPlotHeight;
  std::string svg = Text(kPlotLeft, 16, "font-weight=\"bold\"", panel.title);
  svg += "<path fill=\"none\" stroke=\"#888\" d=\"M" + std::to_string(kPlotLeft) + " " +
         std::to_string(kPlotTop) + "v" + std::to_string(kPlotHeight) + "h" +
         std::to_string(kPlotWidth) + "\"/>\n";
  svg += Text(kPlotLeft - 4, kPlotTop + 8, "text-anchor=\"end\"", Format("%.10g", top));
  svg += Text(kPlotLeft - 4, bottom, "text-anchor=\"end\"", "0");
  svg += Text(kPlotLeft + kPlotWidth, bottom + 14, "text-anchor=\"end\"",
              Format("%.1f min", seconds / 60));
  for (size_t i = 0; i < panel.lines.size(); ++i) {
    svg += Text(kPlotLeft + 110.0 * static_cast<double>(i), bottom + 14,
                "fill=\"" + std::string(kColors[i]) + "\"", panel.lines[i].label);
  }
  return svg;
}

}  // namespace

struct SoakReport::Judged {
  Rule rule;
  Trend trend;  // in the label's unit
  double allowed = 0;
  bool flat() const { return trend.growth <= allowed; }
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
  for (const char* needed : {"seconds", "faults", "stores_kib", "messages", "anon_kib"}) {
    if (columns_[needed].empty()) Die(std::string("no soak's figures: there is no ") + needed);
  }
  for (size_t i = 0; i < columns_["seconds"].size(); ++i) {
    const double messages = std::max(1.0, columns_["messages"][i]);
    columns_["store_bytes"].push_back(columns_["stores_kib"][i] * 1024 / messages);
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
    Trend trend = TrendOf(Settled(rule.column));
    trend.median /= rule.unit;
    trend.growth /= rule.unit;
    const double allowed = std::max(rule.share * trend.median, rule.least);
    all.push_back({rule, trend, rule.latency ? allowed + kHoldUps * lag / rule.unit : allowed});
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
  std::string table = "| after " + Format("%.0f", seconds() * kWarmupShare / 60) +
                      " min of warm-up, over " + Format("%.0f", hours * 60) +
                      " min | median | growth | allowed | |\n|---|---|---|---|---|\n";
  for (const Judged& j : JudgeAll()) {
    table += std::string("| ") + j.rule.label + " | " + Format("%.2f", j.trend.median) + " | " +
             Format("%+.2f", j.trend.growth) + " | " + Format("%.2f", j.allowed) + " | ";
    table += !judged ? "" : j.flat() ? "flat" : "**grows**";
    table += " |\n";
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
  const size_t rows = (Panels().size() + kPanelsAcross - 1) / kPanelsAcross;
  const std::string size = "width=\"" + std::to_string(kPanelWidth * kPanelsAcross) +
                           "\" height=\"" + std::to_string(kPanelHeight * rows) + "\"";
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" " + size +
                    " font-family=\"sans-serif\" font-size=\"11\">\n<rect " + size +
                    " fill=\"white\"/>\n";
  for (size_t i = 0; i < Panels().size(); ++i) {
    const Panel& panel = Panels()[i];
    std::vector<std::vector<Point>> lines;
    for (const Line& line : panel.lines) {
      lines.push_back(Thin(PointsOf(line.column), kPicturePoints));
      for (Point& point : lines.back()) point.value /= panel.unit;
    }
    const double top = RoundUp(Highest(lines));
    svg += "<g transform=\"translate(" + std::to_string(i % kPanelsAcross * kPanelWidth) + " " +
           std::to_string(i / kPanelsAcross * kPanelHeight) + ")\">\n" +
           Axes(panel, seconds(), top);
    for (size_t k = 0; k < lines.size(); ++k) {
      svg += Polyline(lines[k], seconds(), top, kColors[k]);
    }
    svg += "</g>\n";
  }
  return svg + "</svg>\n";
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
