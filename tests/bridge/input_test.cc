// What people and files hand to parleyctl: amounts, CSV lines, listeners, whole imports.
#include <map>
#include <sstream>

#include "bridge/control_channel.h"
#include "bridge/units.h"
#include "bridge/user_import.h"
#include "tests/catch.h"

namespace parley {
namespace {

using nlohmann::json;

TEST_CASE("a time has a unit or is seconds") {
  CHECK(ParseDuration("90") == 90);
  CHECK(ParseDuration("90s") == 90);
  CHECK(ParseDuration("30m") == 1800);
  CHECK(ParseDuration("24h") == 86400);
  CHECK(ParseDuration("7d") == 7 * 86400);
  for (const char* bad : {"", "h", "0", "0h", "-1h", "1.5h", "1w", "1 h", "h1", "1hh",
                          "99999999999999999999d", "9223372036854775807d"}) {
    INFO(bad);
    CHECK_FALSE(ParseDuration(bad));
  }
}

TEST_CASE("a limit may say its unit, and none is no limit") {
  CHECK(ParseLimit("100/s", "/s") == 100);
  CHECK(ParseLimit("100", "/s") == 100);
  CHECK(ParseLimit("0", "/s") == 0);
  CHECK(ParseLimit("none", "/day") == 0);
  CHECK(ParseLimit("5000/day", "/day") == 5000);
  for (const char* bad : {"", "/s", "fast", "-1", "100/day", "1/s/s", "1.5"}) {
    INFO(bad);
    CHECK_FALSE(ParseLimit(bad, "/s"));
  }
}

TEST_CASE("a CSV line is cut at commas outside of quotes") {
  using Fields = std::vector<std::string>;
  CHECK(*ParseCsvLine("alice,secret") == Fields{"alice", "secret"});
  CHECK(*ParseCsvLine("alice,") == Fields{"alice", ""});
  CHECK(*ParseCsvLine("alice") == Fields{"alice"});
  CHECK(*ParseCsvLine(",") == Fields{"", ""});
  CHECK(*ParseCsvLine("a,b,c,d") == Fields{"a", "b", "c", "d"});
  CHECK(*ParseCsvLine(R"(alice,"a ""b"", c",key)") == Fields{"alice", R"(a "b", c)", "key"});
  CHECK(*ParseCsvLine(R"("alice","")") == Fields{"alice", ""});
  CHECK(*ParseCsvLine(R"(alice,sec"ret)") == Fields{"alice", R"(sec"ret)"});
  CHECK(*ParseCsvLine("alice, with spaces ") == Fields{"alice", " with spaces "});
  CHECK_FALSE(ParseCsvLine(R"(alice,"open)"));
  CHECK_FALSE(ParseCsvLine(R"(alice,"closed"more)"));
}

TEST_CASE("an address that stands for all of a machine's is reached on loopback") {
  CHECK(ParseListeners("127.0.0.1:1883\n[::1]:8883\nhost.example:1\n") ==
        std::vector<Listener>{{"127.0.0.1", 1883}, {"::1", 8883}, {"host.example", 1}});
  CHECK(ParseListeners("0.0.0.0:1883\n[::]:1884\n*:1885\n:1886\n") ==
        std::vector<Listener>{
            {"127.0.0.1", 1883}, {"::1", 1884}, {"127.0.0.1", 1885}, {"127.0.0.1", 1886}});
  CHECK(ParseListeners("").empty());
  CHECK(ParseListeners("1883\nhost:\nhost:0\nhost:65536\nhost:18x\n").empty());
}

// Stands for Control: refuses what it is told to.
struct Import {
  std::map<std::string, std::string> refused = {};  // user → why
  size_t fails_at = SIZE_MAX;                       // the batch that can't be sent
  std::vector<json> batches = {};
  std::map<uint64_t, std::string> failed = {};  // line → why
  uint64_t users_told = 0;

  Result<json> Run(json command) {
    if (batches.size() == fails_at) return Error(Code::kUnavailable, "gone");
    json refusals = json::array();
    for (const json& user : command["users"]) {
      auto it = refused.find(user["username"]);
      if (it != refused.end()) {
        refusals.push_back({{"username", it->first}, {"error", it->second}, {"code", "x"}});
      }
    }
    size_t good = command["users"].size() - refusals.size();
    batches.push_back(std::move(command["users"]));
    return json{{"created", good}, {"existing", 0}, {"failed", std::move(refusals)}};
  }

  Result<ImportOutcome> Read(const std::string& text) {
    UserImport import([this](json command) { return Run(std::move(command)); },
                      [this](uint64_t line, const std::string& why) { failed[line] = why; },
                      [this](uint64_t users, uint64_t) { users_told = users; });
    std::istringstream input(text);
    return import.Import(input);
  }
};

TEST_CASE("an import makes of a line what it says") {
  Import import;
  Result<ImportOutcome> outcome = import.Read(
      "\xef\xbb\xbf"
      "alice,secret,mobile\r\nbob,\n\ncarol,\"a,b\",\nlast,one");
  REQUIRE(outcome);
  CHECK(outcome->created == 4);
  CHECK(outcome->failed == 0);
  REQUIRE(import.batches.size() == 1);
  CHECK(import.batches[0] == json::parse(R"([
    {"username":"alice","password":"secret","key":"mobile"}, {"username":"bob"},
    {"username":"carol","password":"a,b"}, {"username":"last","password":"one"}])"));
  CHECK(import.users_told == 4);
}

TEST_CASE("a wrong line is told by its number and stops no other") {
  Import import{.refused = {{"Bad", "not an id"}, {"nokey", "no such key"}}};
  Result<ImportOutcome> outcome = import.Read(
      "alice,x\nnocomma\nBad,x\n\na,b,c,d\nnokey,x,k\nbob,\"open\ncarol,\xff\nBad,again\ndave,\n");
  REQUIRE(outcome);
  CHECK(outcome->created == 2);
  CHECK(outcome->failed == 7);
  std::map<uint64_t, std::string> expected = {{2, "a line has 2 or 3 fields: id,password[,key]"},
                                              {3, "not an id"},
                                              {5, "a line has 2 or 3 fields: id,password[,key]"},
                                              {6, "no such key"},
                                              {7, "a quote is not closed"},
                                              {8, "the line is not UTF-8"},
                                              {9, "not an id"}};
  CHECK(import.failed == expected);
}

TEST_CASE("batches stay within their limits") {
  Import import;
  std::string text;
  for (size_t i = 0; i < 2 * UserImport::kBatchUsers + 1; ++i) {
    text += "u" + std::to_string(i) + ",\n";
  }
  REQUIRE(import.Read(text)->created == 2 * UserImport::kBatchUsers + 1);
  REQUIRE(import.batches.size() == 3);
  CHECK(import.batches[0].size() == UserImport::kBatchUsers);

  Import heavy;
  text.clear();
  std::string control(1000, '\x01');  // six bytes each in JSON
  for (int i = 0; i < 200; ++i) text += "u" + std::to_string(i) + "," + control + "\n";
  REQUIRE(heavy.Read(text)->created == 200);
  size_t users = 0;
  for (const json& batch : heavy.batches) {
    CHECK(batch.dump().size() < UserImport::kBatchBytes + 10000);
    users += batch.size();
  }
  CHECK(users == 200);
}

TEST_CASE("an import ends where its batches can't be sent") {
  Import import{.fails_at = 1};
  std::string text;
  for (size_t i = 0; i < 3 * UserImport::kBatchUsers; ++i) text += "u" + std::to_string(i) + ",\n";
  Result<ImportOutcome> outcome = import.Read(text);
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code() == Code::kUnavailable);
  CHECK(import.batches.size() == 1);
}

}  // namespace
}  // namespace parley
