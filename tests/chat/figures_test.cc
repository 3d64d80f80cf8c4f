#include "chat/figures.h"

#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "tests/catch.h"

namespace parley {
namespace {

std::string ReadPage() {
  std::ifstream in(std::string(PARLEY_SOURCE_DIR) + "/docs/operations.md");
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_CASE("every figure is in the docs with its metric") {
  const std::string page = ReadPage();
  REQUIRE(FigureRows().size() > 40);
  for (const FigureRow& row : FigureRows()) {
    const std::string entry =
        "| `" + std::string(row.name) + "` | `" + std::string(row.metric) + "` |";
    CAPTURE(entry);
    CHECK(page.find(entry) != page.npos);
  }
}

TEST_CASE("metrics are named as Prometheus wants them") {
  std::set<std::string_view> metrics;
  for (const FigureRow& row : FigureRows()) {
    CAPTURE(row.metric);
    CHECK(metrics.insert(row.metric).second);
    CHECK(row.metric.starts_with("parley_"));
    bool counts = row.kind == FigureKind::kCounter || row.kind == FigureKind::kCounters;
    CHECK(row.metric.ends_with("_total") == counts);
    bool labelled = row.kind == FigureKind::kCounters || row.kind == FigureKind::kGauges ||
                    row.kind == FigureKind::kText;
    CHECK(row.label.empty() != labelled);
    CHECK(FindFigure(row.name) == &row);
  }
  CHECK(FindFigure("no/such") == nullptr);
}

TEST_CASE("a histogram's counts add up to the last of them") {
  HistogramCounts counts;
  counts.counts.front() = 2;
  counts.counts.back() = 3;
  counts.sum_ns = 1'500'000'000;
  const nlohmann::json json = HistogramJson(counts);
  CHECK(json["le"].size() + 1 == json["count"].size());
  CHECK(json["le"][0] == 2.5e-6);
  CHECK(json["count"].front() == 2);
  CHECK(json["count"].back() == 5);
  CHECK(json["sum"] == 1.5);
}

}  // namespace
}  // namespace parley
