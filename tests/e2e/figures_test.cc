// The figures under $SYS/broker/parley/: which there are, that they count, and who may read them.
#include "chat/figures.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

const std::string kAll = std::string(kFiguresTopic) + "#";

// Passwords take a while, and logins don't wait for them.
ChatServer& Server() {
  static ChatServer server({.options = {{"plugin_opt_sys_interval_s", "1"},
                                        {"plugin_opt_login_wait_ms", "0"},
                                        {"plugin_opt_password_memory_kib", "32768"}}},
                           5);
  return server;
}

void AddAccounts() {
  static bool made = false;
  if (made) return;
  made = true;
  Server().AddUser("root", "root's", {"--role", "admin"});
  Server().AddUser("gate", "gate's", {"--role", "service"});
}

Device Reader(const std::string& user) {
  AddAccounts();
  Device reader(Server().port(), user, Server().IssueToken(user), {.name = "reader"});
  reader.Login();
  REQUIRE(reader.Subscribe(kAll, 0) == 0);
  return reader;
}

using Published = std::map<std::string, std::string>;

// One whole publication: what lies between two `updated`.
Published NextFigures(Device& reader) {
  const std::string updated = std::string(kFiguresTopic) + "updated";
  const auto fresh = [](const MqttMessage& message) { return !message.retain; };
  const auto next = [&] {
    return reader.NextWhere([&](const MqttMessage& m) { return fresh(m); }, "a figure");
  };
  while (next().topic != updated) {
  }
  Published figures;
  for (;;) {
    MqttMessage figure = next();
    figures[figure.topic.substr(kFiguresTopic.size())] = figure.payload;
    if (figure.topic == updated) return figures;
  }
}

TEST_CASE("exactly the figures of the table are published") {
  Device admin = Reader("root");
  std::set<std::string> published;
  for (const auto& [name, value] : NextFigures(admin)) published.insert(name);
  std::set<std::string> table;
  for (const FigureRow& row : FigureRows()) table.emplace(row.name);
  CHECK(published == table);
}

TEST_CASE("what happens is counted") {
  Device reader = Reader("gate");
  Published before = NextFigures(reader);
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"));
  for (int i = 0; i < 3; ++i) alice.Say(bob.user(), "hi");
  alice.Send("nobody-of-this-name", R"({"id":"x","body":"x"})", "x");
  CHECK(alice.Subscribe("chat/" + bob.user(), 1) == 0x80);
  alice.AskDone("sync");
  Published after;
  const auto grown = [&](const std::string& name) {
    return std::stoll(after[name]) - std::stoll(before[name]);
  };
  // Those of before may still be on their way.
  const auto counted = [&] {
    return grown("messages/delivered") >= 6 && grown("subscriptions/refused") == 1 &&
           grown("cache/hits") >= 1;
  };
  after = NextFigures(reader);
  for (int i = 0; i < 30 && !counted(); ++i) after = NextFigures(reader);
  CHECK(grown("messages/stored") == 3);
  CHECK(grown("messages/accepted") >= 5);
  CHECK(grown("messages/delivered") >= 6);
  CHECK(grown("subscriptions/refused") == 1);
  CHECK(grown("users/online") == 2);
  CHECK(grown("cache/hits") >= 1);
  const auto refused = [](Published& figures, const char* reason) {
    return Json::parse(figures["refused"])[reason].get<int>();
  };
  CHECK(refused(after, "not_found") - refused(before, "not_found") == 1);
  CHECK(refused(after, "denied") - refused(before, "denied") == 1);
  for (const std::string name :
       {"callbacks/seconds", "journal/commit_seconds", "stores/write_seconds"}) {
    CAPTURE(name);
    const Json was = Json::parse(before[name]);
    const Json is = Json::parse(after[name]);
    CHECK(is["count"].back() > was["count"].back());
    CHECK(is["sum"] > was["sum"]);
  }
  CHECK(Json::parse(after["stores/bytes"]).size() == 4);
  CHECK(std::stoull(after["directory/bytes"]) > 0);
  CHECK(std::stoull(after["disk/size_bytes"]) >= std::stoull(after["disk/free_bytes"]));
  CHECK(std::stoll(after["updated"]) >= std::stoll(after["started"]));
}

TEST_CASE("a service account reads Parley's figures and nothing else of the broker") {
  Device gate = Reader("gate");
  CHECK(gate.Subscribe("$SYS/#", 0) == 0x80);
  CHECK(gate.Subscribe("$SYS/broker/version", 0) == 0x80);
  CHECK(gate.Subscribe("$SYS/broker/+/version", 0) == 0x80);
  Device alice = Server().Open(Server().NewUser("alice"));
  CHECK(alice.Subscribe(kAll, 0) == 0x80);
}

TEST_CASE("a service account with a wrong password sees no figure before it is refused") {
  NextFigures(*std::make_unique<Device>(Reader("gate")));  // they are retained by now
  Device wrong(Server().port(), "gate", "wrong", {.name = "wrong"});
  REQUIRE(wrong.Connect(wrong.ConnectOptions()) == 0);
  CHECK(wrong.Subscribe(kAll, 0) == 0);  // as if it were
  CHECK(wrong.AwaitClosed());
  CHECK(wrong.Arrived(kAll).empty());
}

TEST_CASE(
    "parleyctl shows rates for as long as one watches, a line each where there is no terminal") {
  if (!Server().running()) Server().Start();
  const auto watch = [](const std::string& json) {
    return RunCommand({"/usr/bin/timeout", "5", PARLEY_E2E_CTL, "--data",
                       Server().data_dir().string(), json, "status", "--watch", "1"});
  };
  const CommandResult text = watch("--wait=10");
  CAPTURE(text.out, text.err);
  CHECK(text.exit_code == 124);  // until it is ended
  CHECK(text.out.starts_with("messages/accepted="));
  CHECK(std::count(text.out.begin(), text.out.end(), '\n') >= 2);
  const CommandResult json = watch("--json");
  const Json line = Json::parse(json.out.substr(0, json.out.find('\n')));
  CHECK(line["seconds"] >= 1);
  CHECK(line["messages/stored"].is_number());
  CHECK(line["callbacks/seconds"]["per_second"] > 0);
}

}  // namespace
}  // namespace parley::e2e
