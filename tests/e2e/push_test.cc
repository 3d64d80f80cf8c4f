// Push from a message to a provider: the broker, parley-push, and a server that stands for all
// providers and checks with other implementations what it gets.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/any_client_process.h"
#include "tests/e2e/device.h"
#include "tests/free_port.h"

namespace parley::e2e {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWebhookSecret = "the secret of this webhook";

BrokerConfig Quick() {
  return {.options = {{"plugin_opt_push_delay_ms", "100"},
                      {"plugin_opt_presence_grace_ms", "200"},
                      {"plugin_opt_push_again_s", "0"},
                      {"plugin_opt_push_lease_s", "2"},
                      {"plugin_opt_push_retry_ms", "50"},
                      {"plugin_opt_push_attempts_max", "8"}}};
}

// Everything that a push passes, in a directory of its own.
class PushStand {
 public:
  explicit PushStand(Json more = Json::object(), BrokerConfig config = Quick())
      : server(std::move(config), 0), more_(std::move(more)) {
    std::string pattern = (fs::temp_directory_path() / "parley-push-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    dir_ = pattern;
    for (const char* user : {"alice", "bob", "carol"}) {
      server.AddUser(user, ChatServer::PasswordOf(user));
    }
    server.AddUser("push", "", {"--role", "service", "--no-password"});
    File("token", server.IssueToken("push"));
    StartProviders();
  }
  ~PushStand() {
    gateways_.clear();
    providers_.reset();
    fs::remove_all(dir_);
  }

  std::string File(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }
  std::string base() const { return "https://127.0.0.1:" + std::to_string(port_); }

  // Several may run.
  void StartGateway(int which = 0) {
    const std::string config = File("push.json", Config().dump());
    // What it says goes to a file.
    gateways_[which] = std::make_unique<LineProcess>(
        std::vector<std::string>{"/bin/sh", "-c", "exec \"$0\" --config \"$1\" 2>>\"$2\"",
                                 PARLEY_PUSH, config, (dir_ / "push.log").string()});
  }
  void KillGateway(int which = 0) {
    Signal(SIGKILL, which);
    gateways_.erase(which);
  }
  void Signal(int number, int which = 0) const { kill(gateways_.at(which)->pid(), number); }
  // How often a gateway has connected.
  int Connections() const {
    std::ifstream log(dir_ / "push.log");
    int count = 0;
    for (std::string line; std::getline(log, line);) {
      if (line.find("ready, connected") != line.npos) ++count;
    }
    return count;
  }
  void AwaitConnections(int count) const {
    const Clock::time_point deadline = Clock::now() + kDeadline;
    while (Connections() < count) REQUIRE(Clock::now() < deadline);
  }

  // What requests to a path are answered with before they are answered well.
  void Answers(const std::string& path, const Json& answers) {
    providers_->Write(Json{{"path", path}, {"answers", answers}}.dump());
    for (;;) {
      const Json line = Json::parse(providers_->ReadLine());
      if (line.contains("set")) return;
      early_.push_back(line);
    }
  }
  // Answers what is held; returns when the answer has left.
  void Release(const std::string& path) {
    providers_->Write(Json{{"path", path}, {"release", true}}.dump());
    for (;;) {
      const Json line = Json::parse(providers_->ReadLine());
      if (line.contains("released")) return;
      early_.push_back(line);
    }
  }
  // The text of the next request to an ntfy topic.
  std::string NextText(const std::string& topic) { return Request(topic)["message"]["text"]; }
  // Reads requests until `text` comes; returns how many others came before, each of which must have
  // come before that.
  int RepeatsUntil(const std::string& topic, const std::string& text) {
    int repeats = 0;
    for (std::string got = NextText(topic); got != text; got = NextText(topic)) {
      INFO(got);
      REQUIRE(texts_.contains(got));
      ++repeats;
    }
    texts_.insert(text);
    return repeats;
  }
  // The next request to a path, in which nothing is wrong.
  Json Request(const std::string& path) {
    for (;;) {
      const Json request = NextLine();
      INFO(request.dump());
      REQUIRE(request["wrong"].empty());
      if (request["path"] == path) return request;
    }
  }

  // A device opts in, and leaves.
  void OptIn(const std::string& user, const std::string& provider, const Json& target) {
    Device device = server.OpenDeaf(user);
    device.AskDone("push.subscribe", {{"provider", provider}, {"target", target}});
    device.Disconnect();
  }
  void Say(const std::string& from, const std::string& to, const std::string& body) {
    Device device = server.Open(from, {.name = "say" + std::to_string(++said_)});
    device.Say(to, body);
    device.Disconnect();
  }
  Json Figure(const std::string& name) const {
    return Json::parse(server.CtlDone({"--json", "status"})).at(name);
  }
  void AwaitNoJobs() const {
    const Clock::time_point deadline = Clock::now() + kDeadline;
    while (Figure("push/jobs") > 0) REQUIRE(Clock::now() < deadline);
  }
  Json DeadLetters() const {
    return Json::parse(server.CtlDone({"--json", "deadletter", "push"}))["push"];
  }
  // The latest, once it is of that reason.
  Json AwaitDeadLetter(const std::string& reason) const {
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(60);
    while (true) {
      const Json letters = DeadLetters();
      if (!letters.empty() && letters[0]["reason"] == reason) return letters[0];
      if (Clock::now() > deadline) FAIL("no dead letter with reason " << reason);
    }
  }

  ChatServer server;
  Json subscription;  // a browser's

 private:
  void StartProviders() {
    const CommandResult made = RunCommand(
        {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", dir_ / "server.key", "-out", dir_ / "server.crt", "-days", "2",
         "-subj", "/CN=a test's providers", "-addext", "subjectAltName=IP:127.0.0.1"});
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    providers_ = std::make_unique<LineProcess>(std::vector<std::string>{
        "node", PARLEY_E2E_JS "/push_server.js", dir_, std::to_string(port_)});
    subscription = Json::parse(providers_->ReadLine())["webpush"];
    const CommandResult key = RunCommand({PARLEY_PUSH, "vapid", dir_ / "vapid.pem"});
    INFO(key.err);
    REQUIRE(key.exit_code == 0);
    vapid = key.out.substr(0, key.out.size() - 1);
  }

  Json Config() const {
    Json config = {
        {"broker", {{"port", server.port()}, {"user", "push"}, {"token_file", dir_ / "token"}}},
        {"allow_private", true},
        {"ca_file", dir_ / "server.crt"},
        {"timeout_ms", 700},
        {"webpush", {{"key_file", dir_ / "vapid.pem"}, {"subject", "mailto:push@parley.example"}}},
        {"ntfy", {{"token_files", {{base(), File("ntfy.token", "tk_secret")}}}}},
        {"webhook", Json::object()},
        {"fcm", {{"service_account_file", dir_ / "fcm.json"}, {"base_url", base()}}},
        {"apns",
         {{"key_file", dir_ / "apns.p8"},
          {"key_id", "KEY1234567"},
          {"team_id", "TEAM123456"},
          {"topic", "com.example.parley"},
          {"base_url", base()}}}};
    config.update(more_);
    return config;
  }

  Json NextLine() {
    if (early_.empty()) return Json::parse(providers_->ReadLine());
    Json line = early_.front();
    early_.erase(early_.begin());
    return line;
  }

  int said_ = 0;
  std::set<std::string> texts_;  // that RepeatsUntil has seen
  const Json more_;
  const uint16_t port_ = FreePort();
  fs::path dir_;
  std::vector<Json> early_;
  std::unique_ptr<LineProcess> providers_;
  std::map<int, std::unique_ptr<LineProcess>> gateways_;

 public:
  std::string vapid;
};

PushStand& Stand() {
  static PushStand stand;
  static bool started = false;
  if (!started) stand.StartGateway();
  started = true;
  return stand;
}

// A topic that no other test uses.
std::string FreshTopic() {
  static int count = 0;
  return "/ntfy/topic" + std::to_string(++count);
}

}  // namespace

TEST_CASE(
    "a device goes offline, ten messages come in two conversations: it is woken once for each") {
  PushStand stand;
  stand.OptIn("bob", "webpush", stand.subscription);
  {
    Device alice = stand.server.Open("alice");
    Device carol = stand.server.Open("carol");
    for (int i = 1; i <= 5; ++i) {
      alice.Say("bob", "from alice " + std::to_string(i));
      carol.Say("bob", "from carol " + std::to_string(i));
    }
  }
  stand.StartGateway();
  std::set<std::string> topics;
  std::set<std::string> bodies;
  for (int i = 0; i < 2; ++i) {
    const Json request = stand.Request("/webpush/phone");
    CHECK(request["vapid"] == stand.vapid);
    const Json& message = request["message"];
    CHECK(message["count"] == 5);
    CHECK(message["user"] == "bob");
    CHECK(message["tag"] == request["topic"]);
    topics.insert(request["topic"]);
    bodies.insert(message["body"]);
  }
  CHECK(topics.size() == 2);
  CHECK(bodies == std::set<std::string>{"from alice 5", "from carol 5"});
  stand.AwaitNoJobs();
  const Json two = {{"apns", 0}, {"fcm", 0}, {"ntfy", 0}, {"webhook", 0}, {"webpush", 2}};
  CHECK(stand.Figure("push/handed") == two);
  CHECK(stand.Figure("push/delivered") == two);
}

TEST_CASE("ntfy gets who wrote and what, with the server's own token") {
  const std::string topic = FreshTopic();
  Stand().OptIn("bob", "ntfy", Stand().base() + topic);
  Stand().Say("alice", "bob", "grüße");
  const Json message = Stand().Request(topic)["message"];
  CHECK(message["title"] == "alice");
  CHECK(message["text"] == "grüße");
  CHECK(message["authorization"] == "Bearer tk_secret");
}

TEST_CASE("FCM gets strings, with an access token that it gave for a signed request, once") {
  Stand().OptIn("bob", "ntfy", Stand().base() + FreshTopic());
  Device phone = Stand().server.OpenDeaf("bob");
  phone.AskDone("push.unsubscribe");
  phone.AskDone("push.subscribe", {{"provider", "fcm"}, {"target", "a-token-of-fcm"}});
  phone.Disconnect();
  Stand().Say("alice", "bob", "one");
  Stand().Request("/token");
  const Json message = Stand().Request("/v1/projects/a-project/messages:send")["message"];
  CHECK(message["token"] == "a-token-of-fcm");
  CHECK(message["data"]["body"] == "one");
  CHECK(message["data"]["sender"] == "alice");
  CHECK(message["data"]["count"] == "1");
  CHECK(message["android"]["collapse_key"] == message["data"]["tag"]);
  Stand().Answers(
      "/v1/projects/a-project/messages:send",
      {{{"status", 404}, {"body", R"({"error":{"details":[{"errorCode":"UNREGISTERED"}]}})"}}});
  Stand().Say("alice", "bob", "two");
  CHECK(Stand().Request("/v1/projects/a-project/messages:send")["status"] == 404);
  Stand().AwaitNoJobs();
  CHECK(Stand().server.OpenDeaf("bob").AskDone("push.list")["push"].empty());
}

TEST_CASE("APNs gets an alert over HTTP/2, and ends the opt-in of a device that is gone") {
  const std::string token(64, 'a');
  Stand().OptIn("bob", "apns", token);
  Stand().Say("alice", "bob", "one");
  const Json message = Stand().Request("/3/device/" + token)["message"];
  CHECK(message["aps"]["alert"]["title"] == "alice");
  CHECK(message["aps"]["alert"]["body"] == "one");
  CHECK(message["parley"]["seq"].is_number());
  Stand().Answers("/3/device/" + token,
                  {{{"status", 410}, {"body", R"({"reason":"Unregistered"})"}}});
  Stand().Say("alice", "bob", "two");
  CHECK(Stand().Request("/3/device/" + token)["status"] == 410);
  Stand().AwaitNoJobs();
  CHECK(Stand().server.OpenDeaf("bob").AskDone("push.list")["push"].empty());
}

TEST_CASE("a key's webhook gets a signed message for its accounts") {
  ChatServer& server = Stand().server;
  server.CtlDone({"key", "add", "mobile"});
  server.AddUser("dave", ChatServer::PasswordOf("dave"), {"--key", "mobile"});
  server.CtlDone({"key", "webhook", "mobile", Stand().base() + "/webhook", "--secret-file",
                  Stand().File("webhook.secret", kWebhookSecret)});
  Stand().Say("alice", "dave", "hello");
  const Json message = Stand().Request("/webhook")["message"];
  CHECK(message["user"] == "dave");
  CHECK(message["with"] == "alice");
  CHECK(message["body"] == "hello");
  CHECK_FALSE(message.contains("target"));
  server.CtlDone({"key", "webhook", "mobile", "--none"});
}

TEST_CASE("what fails is tried again until it is through") {
  const std::string topic = FreshTopic();
  const Json dead = Stand().DeadLetters();
  Stand().OptIn("carol", "ntfy", Stand().base() + topic);
  Stand().Answers(topic,
                  {{{"status", 500}}, {{"hang", true}}, {{"reset", true}}, {{"status", 503}}});
  Stand().Say("alice", "carol", "patience");
  std::vector<Json> seen;
  do {
    seen.push_back(Stand().Request(topic)["status"]);
  } while (seen.back() != 201);
  CHECK(seen == std::vector<Json>{500, "hang", "reset", 503, 201});
  Stand().AwaitNoJobs();
  CHECK(Stand().DeadLetters() == dead);
}

TEST_CASE("who asks for patience gets it") {
  const std::string topic = FreshTopic();
  Stand().OptIn("carol", "ntfy", Stand().base() + topic);
  Stand().Answers(topic, {{{"status", 429}, {"retryAfter", 2}}});
  Stand().Say("alice", "carol", "slow down");
  CHECK(Stand().Request(topic)["status"] == 429);
  const Clock::time_point begin = Clock::now();
  CHECK(Stand().Request(topic)["status"] == 201);
  CHECK(Clock::now() - begin > std::chrono::milliseconds(1500));
}

TEST_CASE("a target that is gone ends the opt-in") {
  const std::string topic = FreshTopic();
  Stand().OptIn("carol", "ntfy", Stand().base() + topic);
  Stand().Answers(topic, {{{"status", 410}}});
  Stand().Say("alice", "carol", "gone");
  CHECK(Stand().Request(topic)["status"] == 410);
  Stand().AwaitNoJobs();
  CHECK(Stand().server.OpenDeaf("carol").AskDone("push.list")["push"].empty());
}

TEST_CASE("what can't be delivered is a dead letter with its reason; no redirect is followed") {
  const std::string topic = FreshTopic();
  Stand().OptIn("carol", "ntfy", Stand().base() + topic);
  const std::string elsewhere = FreshTopic();
  Stand().Answers(topic, {{{"status", 307}, {"location", Stand().base() + elsewhere}},
                          {{"status", 400}, {"body", "no such thing"}}});
  Stand().Say("alice", "carol", "one");
  CHECK(Stand().Request(topic)["status"] == 307);
  Stand().AwaitDeadLetter("HTTP 307");
  Stand().Say("alice", "carol", "two");
  CHECK(Stand().Request(topic)["status"] == 400);
  const Json dead = Stand().AwaitDeadLetter("HTTP 400: no such thing");
  CHECK(dead["user"] == "carol");
  CHECK(dead["with"] == "alice");
  CHECK(dead.dump().find("two") == std::string::npos);
}

TEST_CASE("kill -9 of parley-push loses no push, and sends at most one again") {
  const std::string topic = FreshTopic();
  Stand().OptIn("carol", "ntfy", Stand().base() + topic);
  Stand().Answers(topic, {{{"hang", true}}});
  Stand().Say("alice", "carol", "once more");
  CHECK(Stand().Request(topic)["status"] == "hang");
  Stand().KillGateway();
  Stand().StartGateway();
  CHECK(Stand().Request(topic)["message"]["text"] == "once more");
  Stand().AwaitNoJobs();
  // Nothing more came: what comes next is another message's.
  Stand().Say("alice", "carol", "the next");
  CHECK(Stand().Request(topic)["message"]["text"] == "the next");
}

TEST_CASE("kill -9 of the broker loses no push, and sends none again while parley-push lives") {
  const std::string topic = FreshTopic();
  PushStand& stand = Stand();
  stand.OptIn("carol", "ntfy", stand.base() + topic);
  SECTION("before it was handed out") {
    stand.Say("alice", "carol", "safe");
    stand.server.Kill();
  }
  SECTION("while it is being sent") {
    stand.Answers(topic, {{{"hang", true}}});
    stand.Say("alice", "carol", "safe");
    CHECK(stand.Request(topic)["status"] == "hang");
    stand.server.Kill();
  }
  stand.server.Start();
  CHECK(stand.Request(topic)["message"]["text"] == "safe");
  stand.AwaitNoJobs();
  stand.Say("alice", "carol", "the next");
  CHECK(stand.Request(topic)["message"]["text"] == "the next");
}

TEST_CASE("kill -9 when the provider has taken a push sends it at most once more") {
  PushStand stand(Json{{"timeout_ms", 20'000}});
  const std::string topic = FreshTopic();
  stand.StartGateway();
  stand.OptIn("carol", "ntfy", stand.base() + topic);
  stand.Answers(topic, {{{"hold", true}}});
  stand.Say("alice", "carol", "taken");
  CHECK(stand.NextText(topic) == "taken");
  SECTION("of parley-push, which never reads the answer") {
    stand.Signal(SIGSTOP);
    stand.Release(topic);
    stand.KillGateway();
    stand.StartGateway();
    CHECK(stand.NextText(topic) == "taken");
  }
  SECTION("of the broker") {
    stand.server.Kill();
    stand.Release(topic);
    stand.server.Start();
  }
  stand.AwaitNoJobs();
  stand.Say("alice", "carol", "the next");
  CHECK(stand.NextText(topic) == "the next");
}

TEST_CASE("kill -9 at any time of parley-push or the broker: none lost, at most one twice a kill") {
  PushStand stand;
  const std::string topic = FreshTopic();
  stand.StartGateway();
  stand.OptIn("carol", "ntfy", stand.base() + topic);
  const uint32_t seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int kill = 0; kill < 8; ++kill) {
    const std::string text = "push " + std::to_string(kill);
    stand.Say("alice", "carol", text);
    // A push takes a tenth of a second, which the broker waits for others.
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 150));
    if (kill % 2 == 0) {
      stand.KillGateway();
      stand.StartGateway();
    } else {
      stand.server.Kill();
      stand.server.Start();
    }
    int repeats = stand.RepeatsUntil(topic, text);
    stand.AwaitNoJobs();
    const std::string mark = "after kill " + std::to_string(kill);
    stand.Say("alice", "carol", mark);
    repeats += stand.RepeatsUntil(topic, mark);
    stand.AwaitNoJobs();
    CHECK(repeats <= 1);
  }
}

TEST_CASE("two of parley-push run side by side; kill -9 of one loses no push, and doubles one") {
  PushStand stand;
  const std::string topic = FreshTopic();
  stand.StartGateway(0);
  stand.StartGateway(1);
  stand.AwaitConnections(2);
  stand.OptIn("carol", "ntfy", stand.base() + topic);
  int repeats = 0;
  for (int i = 0; i < 12; ++i) {
    const std::string text = "push " + std::to_string(i);
    stand.Say("alice", "carol", text);
    if (i == 6) stand.KillGateway(0);
    repeats += stand.RepeatsUntil(topic, text);
    stand.AwaitNoJobs();
  }
  CHECK(repeats <= 1);
  CHECK(stand.Connections() == 2);  // neither has taken the other's place
}

TEST_CASE("a push that waited in parley-push past its lease is another's to send") {
  PushStand stand(Json{{"timeout_ms", 60'000}, {"concurrency", 1}});
  const std::string slow = FreshTopic();
  const std::string topic = FreshTopic();
  stand.OptIn("bob", "ntfy", stand.base() + slow);
  stand.OptIn("carol", "ntfy", stand.base() + topic);
  stand.Answers(slow, {{{"hold", true}}});
  stand.StartGateway(0);
  stand.Say("alice", "bob", "it takes long");
  CHECK(stand.NextText(slow) == "it takes long");
  stand.Say("alice", "carol", "behind it");
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (stand.Figure("push/handed") < 2) REQUIRE(Clock::now() < deadline);
  stand.StartGateway(1);
  CHECK(stand.NextText(topic) == "behind it");
  stand.KillGateway(1);
  stand.Release(slow);
  stand.Say("alice", "carol", "the next");
  CHECK(stand.NextText(topic) == "the next");
}

TEST_CASE("who asks for more patience than the broker has gets what it has") {
  BrokerConfig config = Quick();
  config.options["plugin_opt_push_lease_s"] = "600";  // would end in a failure, too
  PushStand stand(Json::object(), config);
  const std::string topic = FreshTopic();
  stand.StartGateway();
  stand.OptIn("carol", "ntfy", stand.base() + topic);
  stand.Answers(topic, {{{"status", 429}, {"retryAfter", 1'000'000'000}}});
  stand.Say("alice", "carol", "much later");
  CHECK(stand.Request(topic)["status"] == 429);
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (stand.Figure("push/failed") == 0) REQUIRE(Clock::now() < deadline);
  CHECK(stand.Figure("push/jobs") == 1);
}

TEST_CASE("an access token of FCM's that ends at once is used, and a refused login waits") {
  PushStand stand;
  stand.OptIn("bob", "fcm", "a-token-of-fcm");
  stand.OptIn("carol", "fcm", "another-token");
  stand.StartGateway();
  stand.Answers("/token", {{{"status", 429}, {"retryAfter", 2}},
                           {{"status", 200},
                            {"body", R"({"access_token":"an-access-token","expires_in":30})"}}});
  stand.Say("alice", "bob", "one");
  CHECK(stand.Request("/token")["status"] == 429);
  const Clock::time_point begin = Clock::now();
  stand.Say("alice", "carol", "two");
  CHECK(stand.Request("/token")["status"] == 200);
  CHECK(Clock::now() - begin > std::chrono::milliseconds(1500));
  std::set<std::string> texts;
  for (int i = 0; i < 2; ++i) {
    const Json message = stand.Request("/v1/projects/a-project/messages:send")["message"];
    texts.insert(message["data"]["body"]);
  }
  CHECK(texts == std::set<std::string>{"one", "two"});
}

TEST_CASE("a user's URL isn't sent to over a connection to a server of the operator's") {
  PushStand stand(Json{{"allow_private", false}});
  const std::string token(64, 'b');
  stand.OptIn("bob", "apns", token);
  stand.OptIn("carol", "ntfy", stand.base() + "/ntfy/private");
  stand.StartGateway();
  stand.Say("alice", "bob", "opens it");
  CHECK(stand.Request("/3/device/" + token)["status"] == 201);
  stand.AwaitNoJobs();
  stand.Say("alice", "carol", "over it");
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (stand.DeadLetters().empty()) REQUIRE(Clock::now() < deadline);
  CHECK(stand.DeadLetters()[0]["reason"] == "its address isn't public");
}

TEST_CASE("a user's URL leads to no private address, and not out of TLS") {
  PushStand stand(Json{{"allow_private", false}});
  stand.OptIn("bob", "ntfy", stand.base() + "/ntfy/private");
  stand.OptIn("carol", "ntfy", "http://127.0.0.1/ntfy/clear");
  stand.StartGateway();
  stand.Say("alice", "bob", "hi");
  stand.Say("alice", "carol", "hi");
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (stand.DeadLetters().size() < 2) REQUIRE(Clock::now() < deadline);
  std::map<std::string, std::string> reasons;
  for (const Json& dead : stand.DeadLetters()) reasons[dead["user"]] = dead["reason"];
  CHECK(reasons["bob"] == "its address isn't public");
  CHECK(reasons["carol"].find("http") != std::string::npos);
  stand.OptIn("bob", "ntfy", "https://localhost:" + stand.base().substr(18) + "/ntfy/private");
  stand.Say("alice", "bob", "by a name");
  while (stand.DeadLetters().size() < 3) REQUIRE(Clock::now() < deadline);
  for (const Json& dead : stand.DeadLetters()) {
    if (dead["user"] == "bob") CHECK(dead["reason"] == "its address isn't public");
  }
}

TEST_CASE("parley-push tells what is wrong with its configuration, and makes a key once") {
  std::string pattern = (fs::temp_directory_path() / "parley-push-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  const fs::path dir = pattern;
  auto refused = [&](const std::string& text) {
    std::ofstream(dir / "push.json") << text;
    const CommandResult result = RunCommand({PARLEY_PUSH, "--config", dir / "push.json"});
    CHECK(result.exit_code == 2);
    return result.err;
  };
  const std::string broker =
      R"("broker":{"user":"push","token_file":")" + (dir / "token").string() + "\"}";
  std::ofstream(dir / "token") << "t";
  CHECK(refused("{") == "parley-push: " + (dir / "push.json").string() + " is no JSON object\n");
  CHECK(refused("{}").find("'broker'") != std::string::npos);
  CHECK(refused("{" + broker + "}").find("no provider") != std::string::npos);
  CHECK(refused("{" + broker + R"(,"ntfy":{},"nfty":{}})").find("'nfty'") != std::string::npos);
  CHECK(refused("{" + broker + R"(,"webpush":{"subject":"mailto:x"}})").find("'key_file'") !=
        std::string::npos);
  CHECK(RunCommand({PARLEY_PUSH}).exit_code == 2);
  CHECK(RunCommand({PARLEY_PUSH, "--help"}).exit_code == 0);
  const CommandResult first = RunCommand({PARLEY_PUSH, "vapid", dir / "vapid.pem"});
  CHECK(first.exit_code == 0);
  CHECK(first.out.size() == 88);
  CHECK(RunCommand({PARLEY_PUSH, "vapid", dir / "vapid.pem"}).out == first.out);
  CHECK((fs::status(dir / "vapid.pem").permissions() & fs::perms(0077)) == fs::perms(0));
  fs::remove_all(dir);
}

}  // namespace parley::e2e
