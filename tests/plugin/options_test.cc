#include "plugin/options.h"

#include <fstream>
#include <sstream>

#include "tests/catch.h"

namespace parley {
namespace {

std::string ReadSource(const std::string& path) {
  std::ifstream file(std::string(PARLEY_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

using Given = std::vector<std::pair<std::string, std::string>>;

TEST_CASE("every option and its default stand in mosquitto.conf and in the operations page") {
  const std::string conf = ReadSource("mosquitto.conf");
  const std::string page = ReadSource("docs/operations.md");
  REQUIRE(OptionRows().size() > 20);
  for (const OptionRow& row : OptionRows()) {
    CAPTURE(row.name);
    const std::string line =
        "plugin_opt_" + std::string(row.name) + " " + std::string(row.default_value) + "\n";
    CHECK(conf.find(line) != conf.npos);
    const std::string entry =
        "| `" + std::string(row.name) + "` | `" + std::string(row.default_value) + "` |";
    CHECK(page.find(entry) != page.npos);
  }
}

TEST_CASE("what an option's default says is what holds without it") {
  const auto none = ParseOptions({});
  REQUIRE(none);
  for (const OptionRow& row : OptionRows()) {
    CAPTURE(row.name);
    const Given given{{std::string(row.name), std::string(row.default_value)}};
    CHECK(ParseOptions(given).has_value());
  }
  CHECK(none->engine.engine.max_body == 65536);
  CHECK(none->engine.engine.window == 500);
  CHECK(none->log.stores == 4);
  CHECK(none->log.durability == Durability::kCommit);
  CHECK(none->login.wait_ms == 4);
  const EngineOptions& engine = none->engine.engine;
  CHECK(engine.inbox_members_max == 256);
  CHECK(engine.topic_members_max == 100'000);
  CHECK(engine.receipt_members_max == 64);
  CHECK(engine.groups_max == 1000);
  CHECK(engine.contacts_max == 5000);
  CHECK(engine.presence_delay_ms == 3000);
  CHECK(engine.presence_grace_ms == 10'000);
  CHECK(engine.presence_batch_ms == 1000);
  CHECK(engine.typing_rate == 5);
}

TEST_CASE("an unknown option is refused by its name") {
  const auto options = ParseOptions(Given{{"datadir", "/x"}});
  REQUIRE_FALSE(options);
  CHECK(options.error().message() == "there is no option plugin_opt_datadir");
}

TEST_CASE("a bad value is refused with what the option takes") {
  const Given bad = {{"stores", "0"},
                     {"stores", "four"},
                     {"stores", "4 "},
                     {"stores", "-1"},
                     {"window", ""},
                     {"durability", "always"},
                     {"durability", "interval"},
                     {"durability", "interval x"},
                     {"data_dir", "relative"},
                     {"wake", "poll"},
                     {"login_wait_ms", "6"},
                     {"inbox_members_max", "0"},
                     {"topic_members_max", "many"},
                     {"presence_batch_ms", "0"},
                     {"presence_grace_ms", "10s"},
                     {"typing_rate", "0.5"}};
  for (const auto& option : bad) {
    CAPTURE(option.first, option.second);
    const auto options = ParseOptions(Given{option});
    REQUIRE_FALSE(options);
    CHECK(options.error().message().find("plugin_opt_" + option.first + " takes") == 0);
  }
}

TEST_CASE("presence can be as quick as a test needs it") {
  const auto options = ParseOptions(
      Given{{"presence_delay_ms", "0"}, {"presence_grace_ms", "0"}, {"presence_batch_ms", "10"}});
  REQUIRE(options);
  CHECK(options->engine.engine.presence_delay_ms == 0);
  CHECK(options->engine.engine.presence_grace_ms == 0);
  CHECK(options->engine.engine.presence_batch_ms == 10);
}

TEST_CASE("durability takes its three forms") {
  CHECK(ParseOptions(Given{{"durability", "os"}})->log.durability == Durability::kOs);
  const auto interval = ParseOptions(Given{{"durability", "interval 50"}});
  REQUIRE(interval);
  CHECK(interval->log.durability == Durability::kInterval);
  CHECK(interval->log.interval_ms == 50);
}

}  // namespace
}  // namespace parley
