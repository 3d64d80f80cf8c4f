#include "bridge/status_watch.h"

#include <map>

#include "tests/catch.h"

namespace parley {
namespace {

using nlohmann::json;

json Histogram(uint64_t fast, uint64_t slow) {
  return {{"le", {0.001, 0.01}}, {"count", {fast, fast + slow, fast + slow}}, {"sum", 0.5}};
}

std::map<std::string, std::string> ByName(const std::vector<WatchedFigure>& watched) {
  std::map<std::string, std::string> by_name;
  for (const WatchedFigure& figure : watched) by_name[figure.name] = figure.value;
  return by_name;
}

TEST_CASE("counters become rates, and what is now stays as it is") {
  const json before = {{"messages/stored", 100}, {"sessions", 7}, {"refused", {{"busy", 1}}}};
  const json now = {
      {"messages/stored", 125}, {"sessions", 5}, {"refused", {{"busy", 2}, {"quota", 3}}}};
  const json all = WatchedJson(before, now, 2);
  CHECK(all["messages/stored"] == 12.5);
  CHECK(all["sessions"] == 5);
  CHECK(all["refused"]["busy"] == 0.5);
  CHECK(all["refused"]["quota"] == 1.5);
  auto shown = ByName(Watched(before, now, 2));
  CHECK(shown["messages/stored"] == "12.5/s");
  CHECK(shown["refused"] == "2.0/s");
  CHECK(shown["sessions"] == "5");
}

TEST_CASE("percentiles are of what came in between alone") {
  const json before = {{"callbacks/seconds", Histogram(1000, 0)}};
  const json now = {{"callbacks/seconds", Histogram(1060, 40)}};
  const json change = WatchedJson(before, now, 10)["callbacks/seconds"];
  CHECK(change["per_second"] == 10);
  CHECK(change["p50"] == 0.001);
  CHECK(change["p99"] == 0.01);
  CHECK(ByName(Watched(before, now, 10))["callbacks/seconds"] ==
        "p50 <= 1 ms  p99 <= 10 ms  10.0/s");
  CHECK(WatchedJson(now, now, 10)["callbacks/seconds"]["p99"].is_null());
}

TEST_CASE("what one of the looks lacks is left out") {
  CHECK(WatchedJson({{"sessions", 1}}, {{"accounts", 2}}, 1).empty());
  CHECK(Watched(json::object(), {{"sessions", 1}}, 1).empty());
  const std::string counter = "messages/accepted";
  CHECK(WatchedJson({{counter, 1}}, {{counter, "many"}}, 1).empty());
  CHECK(Watched({{counter, json::array()}}, {{counter, 1}}, 1).empty());
}

}  // namespace
}  // namespace parley
