#include "bench/growth_report.h"

#include <cmath>
#include <fstream>
#include <utility>
#include <vector>

#include "bench/clients.h"
#include "bench/picture.h"

namespace parley::bench {
namespace {

struct Figures {
  double users;
  double messages;
  double values[6];
};

struct View {
  const char* title;
  const char* labels[2];
  size_t first;  // of the values; the other is the next
};

constexpr View kViews[] = {
    {"CPU for a message, µs", {"whole broker", "its main thread"}, 0},
    {"a page of history, warm, µs", {"p99", "p50"}, 2},
    {"a page of history from the disk, µs", {"p99", "p50"}, 4},
};

std::vector<Figures> ReadFigures(std::istream& in) {
  std::vector<Figures> all;
  Figures one{};
  while (in >> one.users >> one.messages) {
    for (double& value : one.values) {
      if (!(in >> value)) Die("no figures of growth: a line is too short");
    }
    all.push_back(one);
  }
  if (all.empty()) Die("no figures of growth");
  return all;
}

Panel Draw(const View& view, const std::vector<Figures>& all, double Figures::*over,
           const std::string& of) {
  Panel panel{.title = view.title + (", over " + of),
              .from = std::log10(all.front().*over),
              .to = std::log10(all.back().*over),
              .from_label = Format("%.0e", all.front().*over),
              .to_label = Format("%.0e ", all.back().*over) + of};
  for (size_t line = 0; line < 2; ++line) {
    std::vector<Point> points;
    for (const Figures& one : all) {
      points.push_back({std::log10(one.*over), one.values[view.first + line]});
    }
    panel.lines.push_back({view.labels[line], std::move(points)});
  }
  return panel;
}

}  // namespace

std::string DrawGrowth(std::istream& figures) {
  std::vector<Figures> by_messages;
  std::vector<Figures> by_users;
  const std::vector<Figures> all = ReadFigures(figures);
  for (const Figures& one : all) {
    if (one.users == all.front().users) by_messages.push_back(one);
    if (one.messages == all.back().messages) by_users.push_back(one);
  }
  std::vector<Panel> panels;
  for (const View& view : kViews) {
    panels.push_back(Draw(view, by_messages, &Figures::messages, "messages"));
    panels.push_back(Draw(view, by_users, &Figures::users, "users"));
  }
  return DrawPanels(panels);
}

int RunGrowthReport(const std::string& figures, const std::string& svg) {
  std::ifstream in(figures);
  if (!in) Die("can't read " + figures);
  if (!(std::ofstream(svg) << DrawGrowth(in))) Die("can't write " + svg);
  return 0;
}

}  // namespace parley::bench
