// PROTOCOL §§1–2: who gets in, and the closed inbox. Each attempt shows that the attacker was told
// no and that nothing reached the victim.
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  // The log of packets lets a test wait until one has come through a bridge.
  static ChatServer server({.options = {{"log_type", "all"}}}, 60);
  return server;
}

struct Scene {
  explicit Scene(int version)
      : victim(Server().Open(Server().NewUser("alice"))),
        attacker(Server().OpenDeaf(Server().NewUser("mallory"), {.version = version})) {}

  void VictimGotNothing() {
    CHECK(victim.ArrivedByNow().empty());
    // Nor did anything take a number: the marker just now has the first one.
    CHECK(victim.AskDone("sync")["head"] == ++markers);
  }

  Device victim;
  Device attacker;
  int markers = 0;
};

std::string ErrorCode(const Json& error) {
  return error.contains("error") ? error["error"].value("code", "") : "";
}

void CheckPublishRefused(Device& device, const std::string& topic, const std::string& payload,
                         const MqttPublish& options = {}) {
  CAPTURE(topic, payload);
  const int code = device.Publish(topic, payload, options);
  if (device.version() == 5 && options.qos > 0) CHECK(code == 0x87);
  const Json error = device.NextError();
  CHECK(error["topic"] == topic);
  CHECK(ErrorCode(error) == "denied");
}

void CheckSubscribeRefused(Device& device, const std::string& filter) {
  CAPTURE(filter);
  CHECK(device.Subscribe(filter, 1) == (device.version() == 5 ? 0x87 : 0x80));
  const Json error = device.NextError();
  CHECK(error["topic"] == filter);
  CHECK(ErrorCode(error) == "denied");
}

bool GetsInAs(const std::string& user, const std::string& password, const std::string& client_id,
              int version, bool clean = true) {
  MqttConnect options;
  options.client_id = client_id;
  options.user = user;
  options.password = password;
  options.version = version;
  options.clean = clean;
  return GetsIn(Server().port(), options);
}

// Refused although name and password are right: a user that is logged in elsewhere has a verified
// password.
void CheckClientIdRefused(const Device& attacker, const std::string& client_id, bool clean = true) {
  CAPTURE(client_id);
  CHECK_FALSE(GetsInAs(attacker.user(), attacker.password(), client_id, attacker.version(), clean));
}

// How many lines of a log hold both texts.
int LinesWith(const std::string& log, const std::string& one, const std::string& other) {
  std::istringstream lines(log);
  int found = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find(one) != line.npos && line.find(other) != line.npos) ++found;
  }
  return found;
}

TEST_CASE("nobody publishes where only others may") {
  const int version = GENERATE(4, 5);
  const int qos = GENERATE(0, 1, 2);
  CAPTURE(version, qos);
  Scene scene(version);
  const std::string victim = scene.victim.user();
  const std::vector<std::string> topics = {
      "receipt/" + victim,
      "presence/" + victim,
      scene.victim.answers(),
      scene.victim.answers() + "/below",
      scene.attacker.answers(),
      "as/" + victim + "/chat/" + scene.attacker.user(),
      "as/" + victim + "/receipt/" + victim,
      "as/" + victim + "/ask/sync",
      "push/done",
      "push/webpush",
      "chat",
      "chat/",
      "chat/" + victim + "/below",
      "/chat/" + victim,
      "Chat/" + victim,
      "receipt",
      "ask",
      "group",
      "group/",
      "group/Not An Id",
      "group/some/below",
      "typing",
      "typing/",
      "typing/" + victim + "/below",
      "typing/group/",
      "typing/group/some/below",
      "anything/else",
      "$CONTROL/parley/v1",
      "$CONTROL/parley/v1/response",
      "$CONTROL/dynamic-security/v1",
  };
  for (const std::string& topic : topics) {
    CheckPublishRefused(scene.attacker, topic, R"({"id":"x","body":"x"})", {.qos = qos});
  }
  // The broker refuses these by itself, before it asks a plugin: there is no answer to them.
  for (const std::string& topic :
       {std::string("$SYS/broker/parley/up"), std::string("$SYS/broker/version"),
        "$share/group/chat/" + victim}) {
    const int code = scene.attacker.Publish(topic, "x", {.qos = qos});
    if (version == 5 && qos > 0) CHECK(code == 0x87);
  }
  scene.VictimGotNothing();
}

TEST_CASE("nobody subscribes to what is another's, to wildcards, or to the broker's own topics") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Scene scene(version);
  const std::string victim = scene.victim.user();
  const std::string me = scene.attacker.user();
  const std::vector<std::string> filters = {"#",
                                            "+/#",
                                            "+/+",
                                            "/#",
                                            "$SYS/#",
                                            "$SYS/broker/version",
                                            "$SYS/broker/parley/#",
                                            "$CONTROL/#",
                                            "$CONTROL/parley/v1",
                                            "$CONTROL/parley/v1/response",
                                            "chat/#",
                                            "chat/+",
                                            "chat",
                                            "chat/" + victim,
                                            "chat/" + victim + "/#",
                                            "chat/" + me + "/#",
                                            "+/" + victim,
                                            "+/" + me,
                                            "group/#",
                                            "group/+",
                                            "group/nobody-knows-it",
                                            "receipt/#",
                                            "receipt/+",
                                            "receipt/" + victim,
                                            "presence/#",
                                            "presence/+",
                                            "presence/" + victim,
                                            "typing/#",
                                            "typing/+",
                                            "typing/" + victim,
                                            "typing/group/any",
                                            "ask/#",
                                            "ask/+",
                                            "ask/sync",
                                            "answer/#",
                                            "answer/+",
                                            "answer/+/#",
                                            scene.victim.answers(),
                                            scene.victim.answers() + "/#",
                                            scene.attacker.answers() + "/+",
                                            "answer/" + me,
                                            "as/#",
                                            "as/" + me + "/chat/" + victim,
                                            "push/#",
                                            "push/webpush",
                                            "push/done",
                                            "other/topic",
                                            "$share/g/chat/" + victim,
                                            "$share/g/chat/" + me,
                                            "$share/g/#",
                                            "$share/g/chat/+",
                                            "$share/g/receipt/" + me,
                                            "$share/g/answer/#",
                                            "$other/topic"};
  for (const std::string& filter : filters) CheckSubscribeRefused(scene.attacker, filter);

  Device bob = Server().Open(Server().NewUser("bob"));
  bob.Say(victim, "for alice alone");
  CHECK(scene.victim.Receive()["body"] == "for alice alone");
  scene.victim.SendReceipt({{"read", 1}});
  bob.AwaitReceipt(victim, "read", 1);
  CHECK(scene.attacker.ArrivedByNow().empty());
}

TEST_CASE("a device subscribes to what is its own") {
  const int version = GENERATE(4, 5);
  Device device = Server().OpenDeaf(Server().NewUser("alice"), {.version = version});
  for (const std::string& filter :
       {device.inbox(), "receipt/" + device.user(), "presence/" + device.user(),
        "typing/" + device.user(), device.answers(), device.answers() + "/#"}) {
    CAPTURE(filter);
    CHECK(device.Subscribe(filter, 1) == 1);
  }
  CHECK(device.ArrivedByNow().empty());
}

TEST_CASE("one subscription in a packet is refused and the other is granted") {
  Scene scene(4);
  const std::string mine = scene.attacker.inbox();
  std::string body("\x12\x34", 2);
  for (const std::string& filter : {mine, scene.victim.inbox()}) {
    body += std::string(1, '\0') + static_cast<char>(filter.size()) + filter + '\1';
  }
  scene.attacker.SendRaw("\x82" + std::string(1, static_cast<char>(body.size())) + body);
  CHECK(scene.attacker.AwaitAck(0x1234) == 1);
  CHECK(scene.attacker.NextError()["topic"] == scene.victim.inbox());
  scene.victim.Say(scene.attacker.user(), "hi");
  CHECK(scene.attacker.Receive()["seq"] == 1);
  CHECK(scene.attacker.ArrivedByNow().empty());
}

TEST_CASE("a retained message is refused everywhere and waits for nobody") {
  const int version = GENERATE(4, 5);
  const int qos = GENERATE(0, 1);
  Scene scene(version);
  const MqttPublish retained{.qos = qos, .retain = true};
  CheckPublishRefused(scene.attacker, scene.victim.inbox(), "planted", retained);
  CheckPublishRefused(scene.attacker, scene.attacker.inbox(), "planted", retained);
  CheckPublishRefused(scene.attacker, "receipt/" + scene.attacker.user(), R"({"read":0})",
                      retained);
  CheckPublishRefused(scene.attacker, "presence/" + scene.attacker.user(), "online", retained);
  CheckPublishRefused(scene.attacker, "ask/sync", R"({"rid":"1"})", retained);
  scene.VictimGotNothing();
  Device later = Server().Open(scene.victim.user(), {.name = "later"});
  CHECK(later.ArrivedByNow().empty());
  CHECK(scene.attacker.ArrivedByNow().empty());
}

TEST_CASE("a will reaches no inbox") {
  const int version = GENERATE(4, 5);
  const bool retain = GENERATE(false, true);
  CAPTURE(version, retain);
  Scene scene(version);
  Device other = Server().Open(Server().NewUser("bob"));
  const std::string victim = scene.victim.user();
  for (const std::string& topic :
       {scene.victim.inbox(), "receipt/" + victim, "presence/" + victim, "typing/" + victim,
        scene.victim.answers(), std::string("ask/sync"), std::string("$CONTROL/parley/v1"),
        std::string("group/some"), std::string("typing/group/some"),
        "as/" + victim + "/chat/" + other.user()}) {
    CAPTURE(topic);
    DeviceOptions options{.name = "dying", .version = version};
    options.will = MqttWill{topic, R"({"id":"will","body":"boo"})", 1, retain};
    Device dying = Server().Offline(scene.attacker.user(), options);
    // Refusing such a CONNECT would be a clear no as well.
    if (dying.Connect(dying.ConnectOptions()) != 0) continue;
    dying.Drop();
  }
  scene.VictimGotNothing();
  CHECK(other.ArrivedByNow().empty());
  Device later = Server().Open(victim, {.name = "later"});
  CHECK(later.ArrivedByNow().empty());
}

TEST_CASE("a will on one's own inbox stays away from one's other devices") {
  Scene scene(4);
  DeviceOptions options{.name = "dying"};
  options.will = MqttWill{scene.victim.inbox(), "boo", 1, true};
  Device dying = Server().Offline(scene.victim.user(), options);
  if (dying.Connect(dying.ConnectOptions()) == 0) dying.Drop();
  scene.VictimGotNothing();
}

TEST_CASE("a client id with another user's prefix is refused") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Scene scene(version);
  const std::string me = scene.attacker.user();
  for (const std::string& id :
       {scene.victim.client_id(), scene.victim.user() + ":another", std::string(":"),
        std::string(":phone"), me + "x:phone", me.substr(0, me.size() - 1) + ":phone",
        "x" + me + ":phone", "x:" + me + ":phone"}) {
    CheckClientIdRefused(scene.attacker, id);
    CheckClientIdRefused(scene.attacker, id, false);
  }
  scene.victim.Ping();  // its session was not taken over
  scene.VictimGotNothing();
}

TEST_CASE("a user whose id begins with another's can't pass for it") {
  // alice1 and alice10 to alice19 are accounts.
  Device longer = Server().Open("alice10");
  CHECK_FALSE(GetsInAs("alice1", ChatServer::PasswordOf("alice1"), "alice10:phone", 4));
  longer.Ping();
}

TEST_CASE("client ids that could be read as topics are refused") {
  const int version = GENERATE(4, 5);
  Scene scene(version);
  for (const std::string id : {"+", "#", "/", "a+b", "a#b", "a/b"}) {
    CheckClientIdRefused(scene.attacker, id);
    CheckClientIdRefused(scene.attacker, scene.attacker.user() + ":" + id);
  }
}

TEST_CASE("a client id that another user's session holds is refused, connected or not") {
  const int version = GENERATE(4, 5);
  const bool connected = GENERATE(true, false);
  CAPTURE(version, connected);
  Scene scene(version);
  const std::string id = "shared-" + scene.victim.user();
  MqttClient holder(Server().port());
  MqttConnect options;
  options.client_id = id;
  options.user = scene.victim.user();
  options.password = scene.victim.password();
  options.version = version;
  options.clean = false;
  options.session_expiry_s = 3600;
  REQUIRE(holder.Connect(options) == 0);
  REQUIRE(holder.Subscribe(scene.victim.inbox(), 1) == 1);
  if (!connected) holder.Disconnect();

  Device bob = Server().Open(Server().NewUser("bob"));
  bob.Say(scene.victim.user(), "secret");
  CheckClientIdRefused(scene.attacker, id, false);
  CheckClientIdRefused(scene.attacker, id, true);
  if (connected) {
    holder.Ping();
  } else {
    REQUIRE(holder.Connect(options) == 0);
    CHECK(holder.session_present());
  }
}

TEST_CASE("a lasting session is its user's also where it is subscribed to nothing") {
  Scene scene(4);
  MqttConnect options = scene.victim.ConnectOptions();
  options.client_id = "held-" + scene.victim.user();
  options.clean = false;
  MqttClient holder(Server().port());
  REQUIRE(holder.Connect(options) == 0);
  holder.Disconnect();
  CheckClientIdRefused(scene.attacker, options.client_id, false);
  CheckClientIdRefused(scene.attacker, options.client_id, true);
  REQUIRE(holder.Connect(options) == 0);
  CHECK(holder.session_present());
}

TEST_CASE("a client id is anybody's once the broker has ended its session") {
  const bool taken_back = GENERATE(false, true);
  Scene scene(5);
  MqttConnect options = scene.victim.ConnectOptions();
  options.client_id = "freed-" + scene.victim.user();
  options.version = 5;
  MqttClient first(Server().port());
  if (taken_back) {  // it was kept at first
    options.clean = false;
    options.session_expiry_s = 3600;
    REQUIRE(first.Connect(options) == 0);
    first.Disconnect();
    options.session_expiry_s = 0;
  }
  REQUIRE(first.Connect(options) == 0);
  REQUIRE(first.Subscribe(scene.victim.inbox(), 1) == 1);
  first.Disconnect();
  options = scene.attacker.ConnectOptions();
  options.client_id = "freed-" + scene.victim.user();
  MqttClient second(Server().port());
  CHECK(second.Connect(options) == 0);
  CHECK_FALSE(second.session_present());
}

TEST_CASE("a client id without a colon is anybody's while nobody holds it") {
  const int version = GENERATE(4, 5);
  Scene scene(version);
  const std::string id = "free-" + scene.attacker.user();
  MqttConnect options = scene.attacker.ConnectOptions();
  options.client_id = id;
  {
    MqttClient first(Server().port());
    REQUIRE(first.Connect(options) == 0);
    first.Disconnect();
  }
  options = scene.victim.ConnectOptions();
  options.client_id = id;
  options.version = version;
  MqttClient second(Server().port());
  CHECK(second.Connect(options) == 0);
}

TEST_CASE("a user's own device takes its session over") {
  Scene scene(4);
  Device again = Server().Open(scene.victim.user());
  CHECK(scene.victim.AwaitClosed());
  CHECK(again.ArrivedByNow().empty());
}

TEST_CASE("nobody gets in without the right name and password") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  const std::string user = Server().NewUser("alice");
  const std::string other = Server().NewUser("bob");
  Server().OpenDeaf(user).Disconnect();
  MqttConnect options;
  options.client_id = user + ":phone";
  options.version = version;
  SECTION("anonymous") {}
  SECTION("anonymous with an empty client id") { options.client_id = ""; }
  SECTION("a name alone") { options.user = user; }
  SECTION("an empty password") {
    options.user = user;
    options.password = "";
  }
  SECTION("a wrong password") {
    options.user = user;
    options.password = ChatServer::PasswordOf(user) + "x";
  }
  SECTION("another user's password") {
    options.user = user;
    options.password = ChatServer::PasswordOf(other);
  }
  SECTION("a name in other letters") {
    options.user = "ALICE" + user.substr(5);
    options.password = ChatServer::PasswordOf(user);
  }
  SECTION("an unknown name") {
    options.client_id = "any";
    options.user = "nobody-of-this-name";
    options.password = "x";
  }
  SECTION("a name that can't be one") {
    options.client_id = "any";
    options.user = GENERATE(as<std::string>{}, "", "+", "#", "a/b", "a b", "-a");
    options.password = "x";
  }
  SECTION("a password of 65,535 bytes") {
    options.user = user;
    options.password = std::string(65535, 'x');
  }
  CHECK_FALSE(GetsIn(Server().port(), options));
}

TEST_CASE("a token gets its own user in and nobody else") {
  const int version = GENERATE(4, 5);
  const std::string user = Server().NewUser("alice");
  const std::string other = Server().NewUser("mallory");
  const std::string token = Server().IssueToken(user);
  REQUIRE_FALSE(token.empty());
  CHECK(GetsInAs(user, token, user + ":phone", version));
  CHECK_FALSE(GetsInAs(other, token, other + ":phone", version));
  // A change of any one character spoils it. (The last one may carry bits that mean nothing.)
  for (size_t at = 0; at + 1 < token.size(); at += 7) {
    std::string changed = token;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    if (changed == token) continue;
    CAPTURE(changed);
    CHECK_FALSE(GetsInAs(user, changed, user + ":phone", version));
  }
  CHECK_FALSE(GetsInAs(user, token.substr(0, token.size() / 2), user + ":phone", version));
}

TEST_CASE("an expired token is refused") {
  const std::string user = Server().NewUser("alice");
  const std::string token = Server().IssueToken(user, "1s");
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (GetsInAs(user, token, user + ":phone", 5)) REQUIRE(Clock::now() < deadline);
}

TEST_CASE("a bridge from elsewhere is a client like any other") {
  Device victim = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"));
  const std::string account = Server().NewUser("mallory");
  Server().OpenDeaf(account).Disconnect();
  const size_t log_before = Server().Log().size();
  Broker foreign(
      {.lines = {"connection evil", "address 127.0.0.1:" + std::to_string(Server().port()),
                 "topic # both 1", "topic chat/# both 1", "topic answer/# in 1",
                 "remote_username " + account, "remote_password " + ChatServer::PasswordOf(account),
                 "remote_clientid " + account + ":bridge", "notifications false",
                 "restart_timeout 1"},
       .plugin = false});
  foreign.Start();
  Server().AwaitLog("Received SUBSCRIBE from " + account + ":bridge", log_before);

  MqttClient planter(foreign.port());
  MqttClient listener(foreign.port());
  REQUIRE(planter.Connect({.client_id = "planter"}) == 0);
  REQUIRE(listener.Connect({.client_id = "listener"}) == 0);
  REQUIRE(listener.Subscribe("#", 1) == 1);
  // In: what isn't a message is refused; what is one comes numbered, as the bridge's own account.
  planter.Publish("receipt/" + victim.user(), R"({"read":1})");
  planter.Publish("presence/" + victim.user(), "online");
  planter.Publish(victim.answers(), "boo");
  planter.Publish(victim.inbox(), "retained", {.qos = 1, .retain = true});
  planter.Publish(victim.inbox(), R"({"id":"x","body":"from a bridge"})");
  const Json got = victim.Receive();
  CHECK(got["seq"] == 1);
  CHECK(got["from"] == account);
  CHECK(victim.ArrivedByNow().empty());
  // Out: its subscriptions were refused.
  listener.Ping();
  listener.Arrived("#");  // what the planter sent
  bob.Say(victim.user(), "private");
  victim.Receive();
  CHECK(victim.ArrivedByNow().empty());
  CHECK(LinesWith(Server().Log(), "Sending PUBLISH to " + account + ":bridge", "'chat/") == 0);
  planter.Publish("after", "x");
  CHECK(listener.Next("#").topic == "after");
}

TEST_CASE("a bridge that the operator made himself carries nothing in or out of an inbox") {
  Broker foreign({.options = {{"log_type", "all"}}, .plugin = false});
  foreign.Start();
  ChatServer server(
      {.options = {{"log_type", "all"}},
       .lines = {"connection own", "address 127.0.0.1:" + std::to_string(foreign.port()),
                 "topic chat/# both 1", "topic receipt/# both 1", "topic answer/# both 1",
                 "topic ask/# both 1", "notifications false", "restart_timeout 1",
                 "local_clientid own-bridge", "remote_clientid own-bridge"}},
      2);
  Device victim = server.Open(server.NewUser("alice"));
  Device bob = server.Open(server.NewUser("bob"));
  foreign.AwaitLog("Received SUBSCRIBE from own-bridge");
  server.AwaitLog("Received SUBACK");

  MqttClient elsewhere(foreign.port());
  REQUIRE(elsewhere.Connect({.client_id = "elsewhere"}) == 0);
  REQUIRE(elsewhere.Subscribe("#", 1) == 1);
  elsewhere.Publish(victim.inbox(), R"({"id":"x","body":"in"})");
  elsewhere.Publish(victim.inbox(), "retained", {.qos = 1, .retain = true});
  elsewhere.Publish("receipt/" + victim.user(), R"({"read":1})");
  elsewhere.Publish(victim.answers(), "boo");
  server.AwaitLog("'" + victim.answers() + "'");  // the last of them has come through
  CHECK(victim.ArrivedByNow().empty());
  CHECK(victim.AskDone("sync")["head"] == 1);

  elsewhere.Ping();
  elsewhere.Arrived("#");
  bob.Say(victim.user(), "private");
  victim.Receive();
  victim.SendReceipt({{"read", 2}});
  bob.AwaitReceipt(victim.user(), "read", 1);
  CHECK(victim.ArrivedByNow().empty());
  CHECK(LinesWith(server.Log(), "Sending PUBLISH to", "own-bridge") == 0);
  CHECK(elsewhere.Arrived("#").empty());
}

}  // namespace
}  // namespace parley::e2e
