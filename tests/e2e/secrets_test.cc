// What must stay secret is in no log, command line, environment or file in which it could be read.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/any_client_process.h"
#include "tests/e2e/device.h"
#include "tests/e2e/rest_client.h"
#include "tests/free_port.h"

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
                                    {"plugin_opt_push_delay_ms", "50"},
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

// The programs beside the broker, in a directory in which they might leave something.
class Beside {
 public:
  Beside(const Broker& broker, Secrets* secrets)
      : broker_(broker), secrets_(secrets), dir_(broker.dir() / "beside") {
    fs::create_directories(dir_ / "work");
    fs::permissions(dir_, fs::perms(0700));
    MakeKeys();
  }

  std::string File(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
    fs::permissions(dir_ / name, fs::perms(0600));
    return dir_ / name;
  }
  std::string TokenFile(const std::string& user) {
    const std::string token = broker_.IssueToken(user);
    secrets_->Add("the token of " + user, token);
    return File(user + ".token", token + "\n");
  }
  // What it says goes to <log> in the directory.
  std::unique_ptr<LineProcess> Start(const std::string& log, std::vector<std::string> command) {
    std::vector<std::string> all = {"/bin/sh", "-c",
                                    "cd \"$0\" && log=$1 && shift && exec \"$@\" 2>\"$log\"",
                                    dir_ / "work", dir_ / log};
    all.insert(all.end(), command.begin(), command.end());
    return std::make_unique<LineProcess>(all);
  }
  std::string PushConfig(const std::string& token_file) const {
    return File(
        "push.json",
        Json{{"broker", {{"port", broker_.port()}, {"user", "push"}, {"token_file", token_file}}},
             {"allow_private", true},
             {"webpush", {{"key_file", dir_ / "vapid.pem"}, {"subject", "mailto:a@b.c"}}},
             {"ntfy", {{"token_files", {{nowhere_, dir_ / "ntfy.token"}}}}},
             {"webhook", Json::object()},
             {"fcm", {{"service_account_file", dir_ / "fcm.json"}, {"base_url", nowhere_}}},
             {"apns",
              {{"key_file", dir_ / "apns.p8"},
               {"key_id", "KEY1234567"},
               {"team_id", "TEAM123456"},
               {"topic", "com.example.parley"},
               {"base_url", nowhere_}}}}
            .dump());
  }
  std::string Log(const std::string& log) const { return ReadWhole(dir_ / log); }
  void AwaitLog(const std::string& log, const std::string& text) const {
    const Clock::time_point deadline = Clock::now() + kDeadline;
    while (Log(log).find(text) == std::string::npos) {
      INFO(Log(log));
      REQUIRE(Clock::now() < deadline);
    }
  }
  // Where nobody answers.
  const std::string& nowhere() const { return nowhere_; }
  const fs::path& dir() const { return dir_; }

 private:
  // A key is known by a line in its midst.
  std::string Key(const std::string& name, const std::vector<std::string>& command) {
    const CommandResult made = RunCommand(command);
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    std::string pem = ReadWhole(dir_ / name);
    const size_t line = pem.find('\n') + 1;
    secrets_->Add(name, pem.substr(line, pem.find('\n', line) - line));
    return pem;
  }
  void MakeKeys() {
    Key("vapid.pem", {PARLEY_PUSH, "vapid", dir_ / "vapid.pem"});
    const std::vector<std::string> make = {"openssl", "genpkey", "-algorithm"};
    auto made = [&](std::vector<std::string> more) {
      more.insert(more.begin(), make.begin(), make.end());
      return more;
    };
    Key("apns.p8", made({"EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", dir_ / "apns.p8"}));
    const std::string rsa = Key("fcm.pem", made({"RSA", "-out", dir_ / "fcm.pem"}));
    File("fcm.json", Json{{"project_id", "a-project"},
                          {"client_email", "parley@a-project.example"},
                          {"private_key_id", "key-1"},
                          {"private_key", rsa},
                          {"token_uri", nowhere_ + "/token"}}
                         .dump());
    secrets_->Add("the token of ntfy", "tk_9f3a9f3a");
    File("ntfy.token", "tk_9f3a9f3a\n");
  }

  const Broker& broker_;
  Secrets* const secrets_;
  const fs::path dir_;
  const std::string nowhere_ = "http://127.0.0.1:" + std::to_string(FreePort());
};

TEST_CASE(
    "what parley-gateway is told is in no log, command line, environment or file of its own") {
  Broker& broker = Server();
  if (!broker.running()) broker.Start();
  Secrets secrets;
  Beside beside(broker, &secrets);
  broker.AddUser("gateway", "", {"--role", "service", "--no-password"});
  broker.CtlDone({"key", "add", "shop"});
  broker.AddUser("erin", "Secret-erins-9f3a", {"--key", "shop"});
  secrets.Add("a password", "Secret-erins-9f3a");
  secrets.Add("a wrong one", "Secret-wrong-9f3a");
  std::string key = broker.CtlDone({"key", "secret", "shop"});
  key.pop_back();
  secrets.Add("the API key's secret", key);
  const std::string port = std::to_string(FreePort());
  auto gateway = beside.Start(
      "gateway.log", {PARLEY_E2E_GATEWAY, "--port", port, "--broker-port",
                      std::to_string(broker.port()), "--token-file", beside.TokenFile("gateway")});
  CHECK(secrets.In(gateway->ReadLine()) == "");
  beside.AwaitLog("gateway.log", "connected to the broker");

  RestClient rest(static_cast<uint16_t>(std::stoi(port)));
  Json login = {{"user", "erin"}, {"password", "Secret-wrong-9f3a"}};
  CHECK(rest.Post("/v1/login", login).status == 401);
  login["password"] = "Secret-erins-9f3a";
  const RestResponse given = rest.Post("/v1/login", login);
  REQUIRE(given.status == 200);
  const std::string token = given.json()["token"];
  secrets.Add("a user's token", token);
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"Authorization", "Bearer " + token},
                                                        {"Authorization", "Bearer " + token + "x"},
                                                        {"X-Api-Key", key},
                                                        {"X-Api-Key", key + "x"}}) {
    RestClient client(static_cast<uint16_t>(std::stoi(port)));
    client.With(name, value).With("X-Parley-User", "erin");
    CHECK(client.Get("/v1/account").status == (value.back() == 'x' ? 401 : 200));
    client.Send("GET / HTTP\r\n" + name + ": " + value + "\r\n\r\n");
    CHECK(client.Finish().status == 400);
  }
  CHECK(secrets.OnShowIn(gateway->pid()) == "");
  broker.Restart();
  beside.AwaitLog("gateway.log", "connection is lost");
  gateway->Stop();
  CHECK(secrets.In(beside.Log("gateway.log")) == "");
  CHECK(secrets.In(broker.Log()) == "");
  CHECK(fs::is_empty(beside.dir() / "work"));
}

TEST_CASE("what parley-push is told is in no log, command line, environment or file of its own") {
  Broker& broker = Server();
  if (!broker.running()) broker.Start();
  Secrets secrets;
  Beside beside(broker, &secrets);
  CHECK((fs::status(beside.dir() / "vapid.pem").permissions() & fs::perms(0077)) == fs::perms(0));
  broker.AddUser("push", "", {"--role", "service", "--no-password"});
  broker.CtlDone({"key", "add", "mobile"});
  broker.AddUser("frank", "a password", {"--key", "mobile"});
  secrets.Add("the webhook's secret", "Secret-webhooks-9f3a");
  broker.CtlDone({"key", "webhook", "mobile", beside.nowhere() + "/hook", "--secret-file",
                  beside.File("webhook.secret", "Secret-webhooks-9f3a\n")});
  const std::string config = beside.PushConfig(beside.TokenFile("push"));
  auto push = beside.Start("push.log", {PARLEY_PUSH, "--config", config});
  beside.AwaitLog("push.log", "ready");

  Device frank(broker.port(), "frank", "a password");
  frank.Login();
  const std::map<std::string, Json> targets = {
      {"webpush",
       {{"endpoint", beside.nowhere() + "/Secret-webpush-9f3a"},
        {"keys",
         {{"p256dh",
           "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-"
           "AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"},
          {"auth", "BTBZMqHH6r4Tts7J_aSIgg"}}}}},
      {"ntfy", beside.nowhere() + "/Secret-ntfy-9f3a"},
      {"fcm", "Secret-fcm-9f3a"},
      {"apns", std::string(63, 'a') + "9"}};
  for (const auto& [provider, target] : targets) {
    frank.AskDone("push.subscribe", {{"provider", provider}, {"target", target}});
    if (target.is_string()) secrets.Add("the target of " + provider, target);
  }
  secrets.Add("the endpoint of webpush", "Secret-webpush-9f3a");
  secrets.Add("what was said", "Secret-said-9f3a");
  frank.Disconnect();
  broker.AddUser("grace", "a password");
  Device grace(broker.port(), "grace", "a password");
  grace.Login();
  grace.Listen();
  grace.Say("frank", "Secret-said-9f3a");
  for (const char* provider : {"webpush", "ntfy", "fcm", "apns", "webhook"}) {
    beside.AwaitLog("push.log", std::string("provider=") + provider);
  }
  CHECK(secrets.OnShowIn(push->pid()) == "");
  push->Stop();
  CHECK(secrets.In(beside.Log("push.log")) == "");
  CHECK(secrets.In(broker.Log()) == "");
  CHECK(fs::is_empty(beside.dir() / "work"));
  secrets.Add("a wrong token", "Secret-wrong-9f3a");
  // In a token's form, which is refused at once; a password may take until after the CONNACK.
  const std::string token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.Secret-wrong-9f3a.sig";
  const std::string wrong = beside.PushConfig(beside.File("wrong.token", token + "\n"));
  const CommandResult refused = RunCommand({PARLEY_PUSH, "--config", wrong});
  CHECK(refused.exit_code == 1);
  CHECK(secrets.In(refused.out + refused.err) == "");
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
