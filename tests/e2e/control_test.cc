// parleyctl while the broker is down and while it is up, $CONTROL, the options, and the figures
// under $SYS.
#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({.options = {{"plugin_opt_sys_interval_s", "1"}, {"sys_interval", "1"}}},
                           10);
  return server;
}

// With the broker up or down.
void Be(bool up) {
  if (Server().running() == up) return;
  if (up) {
    Server().Start();
  } else {
    Server().Stop();
  }
}

Device Admin() {
  static bool made = false;
  if (!made) Server().AddUser("root", "root's", {"--role", "admin"});
  made = true;
  Device admin(Server().port(), "root", "root's", {.name = "console"});
  admin.Login();
  return admin;
}

bool CanLogin(const std::string& user, const std::string& password) {
  Be(true);
  Device device(Server().port(), user, password);
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(5);
  while (Clock::now() < deadline) {
    if (device.TryLogin()) return true;
  }
  return false;
}

// A result as text, to compare what two runs said of two names.
std::string Said(const CommandResult& result, const std::string& name) {
  std::string text = std::to_string(result.exit_code) + "\n" + result.out + result.err;
  for (size_t at; (at = text.find(name)) != text.npos;) text.replace(at, name.size(), "NAME");
  return text;
}

int LinesWith(const std::string& text, const std::string& part) {
  std::istringstream lines(text);
  int found = 0;
  for (std::string line; std::getline(lines, line);) found += line.find(part) != line.npos ? 1 : 0;
  return found;
}

TEST_CASE("parleyctl does the same with the broker up and down") {
  struct Step {
    std::vector<std::string> arguments;
    std::string input;
  };
  // NAME is replaced, so that both runs begin with nothing.
  const std::vector<Step> steps = {
      {{"user", "add", "NAME"}, "secret\n"},
      {{"user", "add", "NAME"}, "secret\n"},  // it is there already
      {{"user", "add", "NAME-service", "--role", "service"}, "secret\n"},
      {{"user", "add", "NAME-admin", "--role", "admin", "--json"}, "secret\n"},
      {{"user", "add", "NAME-other", "--role", "king"}, "secret\n"},
      {{"user", "add", "NAME Not An Id"}, "secret\n"},
      {{"user", "add", "NAME-keyless", "--key", "no-such-key"}, "secret\n"},
      {{"user", "passwd", "NAME"}, "changed\n"},
      {{"user", "passwd", "NAME-nobody"}, "changed\n"},
      {{"user", "disable", "NAME-service"}, ""},
      {{"user", "disable", "NAME-nobody"}, ""},
      {{"key", "add", "NAME-key", "--rate", "100/s", "--quota", "1000/day"}, ""},
      {{"key", "add", "NAME-key"}, ""},
      {{"key", "add", "NAME-bad", "--rate", "fast"}, ""},
      {{"key", "set", "NAME-key", "--rate", "5/s"}, ""},
      {{"key", "set", "NAME-nokey", "--rate", "5/s"}, ""},
      {{"user", "add", "NAME-keyed", "--key", "NAME-key"}, "secret\n"},
      {{"token", "issue", "NAME-nobody"}, ""},
      {{"deadletter", "list"}, ""},
      {{"no-such-command"}, ""},
      {{}, ""},
  };
  const auto run = [&](bool up, const std::string& name) {
    Be(up);
    std::vector<std::string> said;
    for (const Step& step : steps) {
      std::vector<std::string> arguments = step.arguments;
      for (std::string& word : arguments) {
        if (word.rfind("NAME", 0) == 0) word.replace(0, 4, name);
      }
      said.push_back(Said(Server().Ctl(arguments, step.input), name));
    }
    return said;
  };
  const std::vector<std::string> down = run(false, "downuser");
  const std::vector<std::string> up = run(true, "upuser");
  for (size_t n = 0; n < steps.size(); ++n) {
    CAPTURE(n, steps[n].arguments);
    CHECK(down[n] == up[n]);
  }
  for (const size_t works : {0, 2, 3, 7, 9, 11, 14, 16, 18}) {
    CAPTURE(works, down[works]);
    CHECK(down[works].rfind("0\n", 0) == 0);
  }
  for (const size_t fails : {1, 4, 5, 6, 8, 10, 12, 13, 15, 17, 19, 20}) {
    CAPTURE(fails, down[fails]);
    CHECK(down[fails].rfind("0\n", 0) != 0);
    CHECK(down[fails].size() > 4);  // and says why
  }
  for (const std::string name : {"downuser", "upuser"}) {
    CAPTURE(name);
    CHECK(CanLogin(name, "changed"));
    CHECK(CanLogin(name + "-admin", "secret"));
    CHECK(CanLogin(name + "-keyed", "secret"));
    CHECK_FALSE(CanLogin(name + "-service", "secret"));
  }
}

TEST_CASE("lists name what there is, as text and as JSON") {
  const bool up = GENERATE(false, true);
  const std::string user = Server().NewUser("alice");
  Be(up);
  CHECK(Server().CtlDone({"user", "list"}).find(user) != std::string::npos);
  const std::string users = Server().CtlDone({"user", "list", "--json"});
  CHECK(Json::accept(users));
  CHECK(users.find("\"" + user + "\"") != std::string::npos);
  CHECK(users.find("argon2") == std::string::npos);
  const std::string key = std::string("listed-") + (up ? "up" : "down");
  Server().CtlDone({"key", "add", key, "--rate", "7/s"});
  CHECK(Server().CtlDone({"key", "list"}).find(key) != std::string::npos);
  const std::string keys = Server().CtlDone({"key", "list", "--json"});
  CHECK(Json::accept(keys));
  CHECK(keys.find("\"" + key + "\"") != std::string::npos);
  CHECK(Json::accept(Server().CtlDone({"status", "--json"})));
  CHECK_FALSE(Server().CtlDone({"status"}).empty());
}

TEST_CASE("an error in JSON is JSON") {
  Be(GENERATE(false, true));
  const CommandResult result =
      Server().Ctl({"user", "passwd", "nobody-of-this-name", "--json"}, "x\n");
  CHECK(result.exit_code != 0);
  CHECK(Json::accept(result.out.empty() ? result.err : result.out));
}

TEST_CASE("a token is printed alone on its line and gets its user in") {
  const std::string user = Server().NewUser("alice");
  const bool up = GENERATE(false, true);
  Be(up);
  const std::string out = Server().CtlDone({"token", "issue", user, "--ttl", "1h"});
  REQUIRE(out.size() > 1);
  CHECK(out.find_first_of(" \t\r\n") == out.size() - 1);
  CHECK(CanLogin(user, out.substr(0, out.size() - 1)));
}

TEST_CASE("a password may come from a file") {
  Be(GENERATE(false, true));
  const std::string user = Server().running() ? "from-file-up" : "from-file-down";
  const std::filesystem::path file = Server().dir() / "password";
  std::ofstream(file) << "in the file\n";
  Server().CtlDone({"user", "add", user, "--password-file", file.string()});
  CHECK(CanLogin(user, "in the file"));
  CHECK(Server()
            .Ctl({"user", "add", user + "2", "--password-file", (Server().dir() / "none").string()})
            .exit_code != 0);
}

TEST_CASE("an import takes passwords, tokens only, and keys") {
  Be(GENERATE(false, true));
  const std::string name = Server().running() ? "imported-up" : "imported-down";
  Server().CtlDone({"key", "add", name + "-key"});
  Server().ImportUsers(
      {name + "1,secret one", name + "2,", name + "3,secret three," + name + "-key"});
  CHECK(CanLogin(name + "1", "secret one"));
  CHECK(CanLogin(name + "3", "secret three"));
  CHECK(CanLogin(name + "2", Server().IssueToken(name + "2")));
}

TEST_CASE("an import of a bad file fails and says where") {
  Be(GENERATE(false, true));
  const std::filesystem::path file = Server().dir() / "bad.csv";
  const std::string line = GENERATE(as<std::string>{}, "Not An Id,x", "nocomma", "a,b,no-such-key",
                                    "a,b,c,d", ",password");
  CAPTURE(line);
  std::ofstream(file) << (Server().running() ? "goodup,x\n" : "gooddown,x\n") << line << "\n";
  const CommandResult result = Server().Ctl({"user", "import", file.string()});
  CHECK(result.exit_code != 0);
  CHECK((result.out + result.err).find('2') != std::string::npos);  // the line's number
  CHECK(Server().Ctl({"user", "import", (Server().dir() / "none.csv").string()}).exit_code != 0);
}

TEST_CASE("parleyctl fails on a directory that is none") {
  Broker empty(BrokerConfig{.plugin = false});  // its data directory was not initialised
  CHECK(empty.Ctl({"user", "list"}).exit_code != 0);
  CHECK(empty.Ctl({"status"}).exit_code != 0);
}

TEST_CASE("an unknown or bad option refuses the start with one clear line") {
  const auto [option, value] =
      GENERATE(table<std::string, std::string>({{"plugin_opt_colour", "blue"},
                                                {"plugin_opt_window", "many"},
                                                {"plugin_opt_window", "-1"},
                                                {"plugin_opt_window", "500x"},
                                                {"plugin_opt_stores", "0"},
                                                {"plugin_opt_durability", "sometimes"},
                                                {"plugin_opt_durability", "interval"},
                                                {"plugin_opt_max_body", "99999999999999999999"},
                                                {"plugin_opt_data_dir", "/no/such/directory"}}));
  CAPTURE(option, value);
  Broker broker({.options = {{option, value}}});
  CHECK(broker.StartRefused() != 0);
  const std::string log = broker.Log();
  CAPTURE(log);
  CHECK(LinesWith(log, option == "plugin_opt_data_dir" ? value : option.substr(11)) == 1);
}

TEST_CASE("a second broker on the same data directory refuses to start") {
  Be(true);
  Broker second({.options = {{"plugin_opt_data_dir", Server().data_dir().string()}}});
  CHECK(second.StartRefused() != 0);
  CHECK(CanLogin("alice1", ChatServer::PasswordOf("alice1")));
}

TEST_CASE("an admin reads the figures") {
  Be(true);
  Device admin = Admin();
  CHECK(admin.Subscribe("$SYS/broker/parley/#", 0) == 0);
  const MqttMessage figure = admin.Next("$SYS/broker/parley/#");
  CHECK_FALSE(figure.payload.empty());
  CHECK(admin.Subscribe("$SYS/#", 0) == 0);
}

TEST_CASE("an admin's commands are answered as dynamic-security answers") {
  Be(true);
  Device admin = Admin();
  const std::string responses = "$CONTROL/parley/v1/response";
  REQUIRE(admin.Subscribe(responses, 1) == 1);
  const auto command = [&](const std::string& payload) {
    admin.Publish("$CONTROL/parley/v1", payload);
    return Json::parse(admin.Next(responses).payload);
  };
  Json answer = command(R"({"commands":[{"command":"createUser","username":"made","password":"x",)"
                        R"("correlationData":"c1"}]})");
  CAPTURE(answer.dump());
  REQUIRE(answer["responses"].size() == 1);
  CHECK(answer["responses"][0]["command"] == "createUser");
  CHECK(answer["responses"][0]["correlationData"] == "c1");
  CHECK_FALSE(answer["responses"][0].contains("error"));
  CHECK(CanLogin("made", "x"));

  answer = command(R"({"commands":[{"command":"noSuchCommand"},{"command":"createUser"}]})");
  CAPTURE(answer.dump());
  REQUIRE(answer["responses"].size() == 2);
  CHECK(answer["responses"][0].contains("error"));
  CHECK(answer["responses"][1].contains("error"));
  for (const char* payload : {"", "no JSON", "[]", "{}", R"({"commands":7})", R"({"commands":[7]})",
                              R"({"commands":[{}]})", "\xff"}) {
    CAPTURE(payload);
    admin.Publish("$CONTROL/parley/v1", payload);
    CHECK(admin.Next(responses).payload.find("error") != std::string::npos);
  }
}

TEST_CASE("an admin has no right to others' inboxes") {
  Be(true);
  Device admin = Admin();
  CHECK(admin.Subscribe("chat/alice1", 0) == 0x80);
  CHECK(admin.Subscribe("chat/#", 0) == 0x80);
  CHECK(admin.Subscribe("#", 0) == 0x80);
}

TEST_CASE("what was done while the broker was up survives its being killed") {
  Be(true);
  Server().AddUser("before-the-kill", "x");
  Server().Kill();
  Server().Start();
  CHECK(CanLogin("before-the-kill", "x"));
}

TEST_CASE("many users are imported while the broker serves") {
  Be(true);
  std::vector<std::string> lines;
  for (int n = 1; n <= 2000; ++n) lines.push_back("mass" + std::to_string(n) + ",");
  Server().ImportUsers(lines);
  CHECK(CanLogin("mass2000", Server().IssueToken("mass2000")));
}

}  // namespace
}  // namespace parley::e2e
