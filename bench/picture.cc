#include "bench/picture.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace parley::bench {
namespace {

constexpr int kPanelWidth = 440;
constexpr int kPanelHeight = 170;
constexpr int kPlotLeft = 50;
constexpr int kPlotWidth = kPanelWidth - kPlotLeft - 20;
constexpr int kPlotTop = 30;
constexpr int kPlotHeight = kPanelHeight - kPlotTop - 30;
constexpr size_t kPanelsAcross = 2;
constexpr const char* kColors[] = {"#c0392b", "#1f5fa8"};

// The next of 1, 2, 5, 10, 20, …
double RoundUp(double value) {
  const double power = std::pow(10, std::floor(std::log10(std::max(value, 1e-9))));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (value <= step * power) return step * power;
  }
  return 10 * power;
}

double Highest(const Panel& panel) {
  double highest = 0;
  for (const Panel::Line& line : panel.lines) {
    for (const Point& point : line.points) highest = std::max(highest, point.value);
  }
  return highest;
}

std::string Text(double x, double y, const std::string& attributes, const std::string& text) {
  return "<text x=\"" + Format("%.0f", x) + "\" y=\"" + Format("%.0f", y) + "\" " + attributes +
         ">" + text + "</text>\n";
}

std::string Polyline(const std::vector<Point>& points, const Panel& panel, double top,
                     const char* color) {
  std::string svg = "<polyline fill=\"none\" stroke-width=\"1.2\" stroke=\"";
  svg += std::string(color) + "\" points=\"";
  for (const Point& point : points) {
    const double along = (point.at - panel.from) / (panel.to - panel.from);
    svg += Format("%.1f,", kPlotLeft + along * kPlotWidth) +
           Format("%.1f ", kPlotTop + (1 - point.value / top) * kPlotHeight);
  }
  return svg + "\"/>\n";
}

std::string Axes(const Panel& panel, double top) {
  const double bottom = kPlotTop + kPlotHeight;
  std::string svg = Text(kPlotLeft, 16, "font-weight=\"bold\"", panel.title);
  svg += "<path fill=\"none\" stroke=\"#888\" d=\"M" + std::to_string(kPlotLeft) + " " +
         std::to_string(kPlotTop) + "v" + std::to_string(kPlotHeight) + "h" +
         std::to_string(kPlotWidth) + "\"/>\n";
  svg += Text(kPlotLeft - 4, kPlotTop + 8, "text-anchor=\"end\"", Format("%.10g", top));
  svg += Text(kPlotLeft - 4, bottom, "text-anchor=\"end\"", "0");
  svg += Text(kPlotLeft + kPlotWidth, bottom + 14, "text-anchor=\"end\"", panel.to_label);
  if (!panel.from_label.empty()) svg += Text(kPlotLeft - 20, bottom + 14, "", panel.from_label);
  const double labels_left = kPlotLeft + (panel.from_label.empty() ? 0.0 : 80.0);
  for (size_t i = 0; i < panel.lines.size(); ++i) {
    svg += Text(labels_left + 110.0 * static_cast<double>(i), bottom + 14,
                "fill=\"" + std::string(kColors[i]) + "\"", panel.lines[i].label);
  }
  return svg;
}

}  // namespace

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string DrawPanels(const std::vector<Panel>& panels) {
  const size_t rows = (panels.size() + kPanelsAcross - 1) / kPanelsAcross;
  const std::string size = "width=\"" + std::to_string(kPanelWidth * kPanelsAcross) +
                           "\" height=\"" + std::to_string(kPanelHeight * rows) + "\"";
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" " + size +
                    " font-family=\"sans-serif\" font-size=\"11\">\n<rect " + size +
                    " fill=\"white\"/>\n";
  for (size_t i = 0; i < panels.size(); ++i) {
    const Panel& panel = panels[i];
    const double top = RoundUp(Highest(panel));
    svg += "<g transform=\"translate(" + std::to_string(i % kPanelsAcross * kPanelWidth) + " " +
           std::to_string(i / kPanelsAcross * kPanelHeight) + ")\">\n" + Axes(panel, top);
    for (size_t k = 0; k < panel.lines.size(); ++k) {
      svg += Polyline(panel.lines[k].points, panel, top, kColors[k]);
    }
    svg += "</g>\n";
  }
  return svg + "</svg>\n";
}

}  // namespace parley::bench
