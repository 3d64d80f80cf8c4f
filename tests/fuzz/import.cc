// What operators give to parleyctl: a file of accounts, amounts with units, the broker's list of
// listeners.
//
//   input := the file
#include <sstream>

#include "bridge/control_channel.h"
#include "bridge/units.h"
#include "bridge/user_import.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {
namespace {

using nlohmann::json;

std::string ToCsv(const std::vector<std::string>& fields) {
  std::string line;
  for (const std::string& field : fields) {
    if (!line.empty() || &field != &fields.front()) line += ',';
    line += '"';
    for (char c : field) line += c == '"' ? "\"\"" : std::string(1, c);
    line += '"';
  }
  return line;
}

void CheckLine(std::string_view line) {
  auto fields = ParseCsvLine(line);
  if (!fields) return;
  FUZZ_REQUIRE(!fields->empty(), std::string(line));
  auto again = ParseCsvLine(ToCsv(*fields));
  FUZZ_REQUIRE(again && *again == *fields, ToCsv(*fields));
}

// Lines that say something.
uint64_t CountLines(std::string_view file) {
  if (file.starts_with("\xef\xbb\xbf")) file.remove_prefix(3);
  uint64_t lines = 0;
  for (Input input(file); !input.empty();) {
    std::string_view line = input.Until('\n');
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines += !line.empty();
  }
  return lines;
}

// Each line is accounted for once, whether the server refuses it or it is wrong already.
void CheckImport(std::string_view file) {
  auto run = [](const json& command) -> Result<json> {
    const json& users = command["users"];
    FUZZ_REQUIRE(users.size() <= UserImport::kBatchUsers, command.dump());
    json failed = json::array();
    for (const json& user : users) {
      if (user["username"].get<std::string>().size() % 7 != 3) continue;
      failed.push_back({{"username", user["username"]}, {"error", "refused"}});
    }
    return json{{"created", users.size() - failed.size()}, {"existing", 0}, {"failed", failed}};
  };
  uint64_t told = 0;
  UserImport import(
      run, [&](uint64_t, const std::string&) { ++told; }, nullptr);
  std::istringstream input{std::string(file)};
  auto outcome = import.Import(input);
  FUZZ_REQUIRE(outcome, outcome.error().ToString());
  FUZZ_REQUIRE(outcome->failed == told, std::to_string(told));
  FUZZ_REQUIRE(outcome->created + outcome->existing + outcome->failed == CountLines(file),
               std::to_string(outcome->created) + " created, " + std::to_string(told) + " failed");
}

void CheckAmounts(std::string_view text) {
  if (auto seconds = ParseDuration(text)) FUZZ_REQUIRE(*seconds > 0, std::string(text));
  for (std::string_view unit : {"/s", "/day"}) {
    if (auto limit = ParseLimit(text, unit)) FUZZ_REQUIRE(*limit >= 0, std::string(text));
  }
}

void CheckListeners(std::string_view file) {
  for (const Listener& listener : ParseListeners(std::string(file))) {
    FUZZ_REQUIRE(listener.port != 0 && !listener.host.empty() && listener.host != "*",
                 listener.host);
  }
}

}  // namespace

void Run(std::string_view file) {
  Input lines(file);
  while (!lines.empty()) {
    const std::string_view line = lines.Until('\n');
    CheckLine(line);
    CheckAmounts(line);
  }
  CheckImport(file);
  CheckListeners(file);
}

}  // namespace parley::fuzz
