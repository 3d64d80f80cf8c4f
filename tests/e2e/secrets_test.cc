// What must stay secret is in no log, command line, environment or file in which it could be read.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/any_client_process.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

namespace fs = std::filesystem;

std::string ReadWhole(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The names of those secrets that a text holds.
class Secrets {
 public:
  void Add(const std::string& name, const std::string& value) {
    REQUIRE(value.size() >= 8);
    values_[name] = value;
  }
  std::string In(const std::string& text) const {
    std::string found;
    for (const auto& [name, value] : values_) {
      if (text.find(value) != std::string::npos) found += name + " ";
    }
    return found;
  }
  // What neighbours on the machine may see of a process.
  std::string OnShowIn(pid_t pid) const {
    const fs::path process = "/proc/" + std::to_string(pid);
    const std::string shown = ReadWhole(process / "cmdline") + ReadWhole(process / "environ");
    REQUIRE(shown.size() > 10);
    return In(shown);
  }

 private:
  std::map<std::string, std::string> values_;
};

// Files and directories that others than their owner may read, also by way of those above them in
// the directory.
std::vector<std::string> OpenToOthers(const fs::path& dir) {
  std::vector<std::string> open;
  for (const auto& entry : fs::directory_iterator(dir)) {
    const fs::perms others = fs::perms::group_all | fs::perms::others_all;
    if ((fs::symlink_status(entry).permissions() & others) == fs::perms::none) continue;
    open.push_back(entry.path().string());
    if (entry.is_directory()) {
      for (std::string& path : OpenToOthers(entry)) open.push_back(std::move(path));
    }
  }
  return open;
}

// Everything is logged, and the data directory was made by somebody careless.
Broker& Server() {
  static const mode_t before = umask(0022);
  static Broker broker({.options = {{"log_type", "all"},
                                    {"connection_messages", "true"},
                                    {"plugin_opt_login_wait_ms", "0"},
                                    {"plugin_opt_journal_segment_bytes", "1048576"}}});
  (void)before;
  fs::permissions(broker.data_dir(), fs::perms(0755));
  return broker;
}

TEST_CASE("no password, token or key is in a log, a command line, an environment or a file") {
  Broker& broker = Server();
  Secrets secrets;
  auto secret = [&](const std::string& name) {
    std::string value = "Secret-" + name + "-9f3a";
    secrets.Add(name, value);
    return value;
  };
  auto token = [&](const std::string& name, std::string text) {
    secrets.Add(name, text);
    // Its end, too: what signs it.
    secrets.Add(name + "'s signature", text.substr(text.rfind('.') + 1));
    return text;
  };

  // With the broker down.
  broker.AddUser("alice", secret("first"));
  const std::string offline_token = token("offline token", broker.IssueToken("alice"));
  broker.Start();

  // With the broker up.
  broker.AddUser("bob", secret("bobs"));
  const fs::path file = broker.dir() / "password";
  std::ofstream(file) << secret("from a file") << '\n';
  broker.CtlDone({"user", "passwd", "alice", "--password-file", file.string()});
  const std::string online_token = token("online token", broker.IssueToken("alice"));
  CHECK(secrets.In(broker.CtlDone({"user", "list", "--json"}) + broker.CtlDone({"status"})) == "");

  // Logins that succeed, and all kinds that fail.
  Device alice(broker.port(), "alice", "Secret-from a file-9f3a");
  alice.Login();
  for (const int version : {4, 5}) {
    for (const std::string& password :
         {secret("wrong guess"), secret("another"), offline_token, online_token + "x",
          std::string(2000, 'p') + secret("very long")}) {
      Device guess(broker.port(), "alice", password, {.name = "guess", .version = version});
      CHECK_FALSE(guess.TryLogin());
    }
    Device nobody(broker.port(), "nobody", secret("nobodys"), {.version = version});
    CHECK_FALSE(nobody.TryLogin());
    // With a client id without it, which the broker itself logs.
    MqttClient wrong_name(broker.port());
    CHECK(wrong_name.Connect({.client_id = "somebody:phone",
                              .user = secret("typed as the name"),
                              .password = "x",
                              .version = version}) != 0);
  }
  Device by_token(broker.port(), "alice", online_token, {.name = "laptop"});
  by_token.Login();

  // What a user asks for.
  const Json asked = alice.AskDone("account.token");
  const std::string own_token = token("own token", asked["token"].get<std::string>());
  CHECK_FALSE(alice
                  .Ask("account.password",
                       {{"old", secret("not the old one")}, {"new", secret("new one")}})["ok"]
                  .get<bool>());
  alice.AskDone("account.password",
                {{"old", "Secret-from a file-9f3a"}, {"new", "Secret-new one-9f3a"}});

  // A tool at work, after it has read a password.
  LineProcess import({PARLEY_E2E_CTL, "--data", broker.data_dir().string(), "user", "import", "-"});
  import.Write("carol," + secret("imported"));
  CHECK(secrets.OnShowIn(import.pid()) == "");
  import.CloseInput();
  CHECK(secrets.In(import.ReadLine()) == "");

  secrets.Add("the directory's secret", ReadWhole(broker.data_dir() / "secret"));
  CHECK(secrets.OnShowIn(broker.pid()) == "");
  CHECK(broker.Log().find("auth: refused user=alice") != std::string::npos);
  CHECK(secrets.In(broker.Log()) == "");
  broker.Stop();
  CHECK(secrets.In(broker.Log()) == "");
  for (const auto& entry : fs::recursive_directory_iterator(broker.data_dir())) {
    if (!entry.is_regular_file() || entry.path().filename() == "secret") continue;
    CAPTURE(entry.path());
    CHECK(secrets.In(ReadWhole(entry.path())) == "");
  }
}

TEST_CASE("nobody else reads what is in the data directory, though they may look into it") {
  Broker& broker = Server();
  if (!broker.running()) broker.Start();
  broker.AddUser("dave", "a password");
  Device dave(broker.port(), "dave", "a password");
  dave.Login();
  dave.Listen();
  dave.Say("dave", "a note to myself");
  dave.SendReceipt({{"read", 1}});
  dave.AskDone("groups.create", {{"group", "g"}});
  REQUIRE(fs::status(broker.data_dir()).permissions() == fs::perms(0755));
  CHECK(OpenToOthers(broker.data_dir()) == std::vector<std::string>());
  broker.Kill();
  broker.Start();
  CHECK(OpenToOthers(broker.data_dir()) == std::vector<std::string>());
  broker.Stop();
  CHECK(OpenToOthers(broker.data_dir()) == std::vector<std::string>());
}

}  // namespace
}  // namespace parley::e2e
