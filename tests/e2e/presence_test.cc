// PROTOCOL §7: who is shown online to whom, and when. Each odd event of Mosquitto's is a test here:
// ends that are told twice, ends that aren't told, wills that look like publishes.
//
// That nothing is shown is proven by order, not by waiting: somebody else does, afterwards, what is
// shown later than the other would have been; when that arrives, the other would have, too.
#include <signal.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

constexpr std::chrono::milliseconds kDelay{500};
constexpr std::chrono::milliseconds kGrace{2000};

BrokerConfig Config(std::chrono::milliseconds batch) {
  return {.options = {{"plugin_opt_presence_delay_ms", std::to_string(kDelay.count())},
                      {"plugin_opt_presence_grace_ms", std::to_string(kGrace.count())},
                      {"plugin_opt_presence_batch_ms", std::to_string(batch.count())}}};
}

ChatServer& Server() {
  static ChatServer server(Config(std::chrono::milliseconds(50)), 60);
  return server;
}

std::string CodeOf(const Json& answer) {
  return answer.contains("error") ? answer["error"].value("code", "") : "";
}

// Makes two users contacts without a device of theirs: by a gateway, which isn't they.
void MakeContacts(ChatServer& server, const std::string& one, const std::string& other) {
  const CommandResult added =
      server.Ctl({"user", "add", "gateway", "--role", "service"}, "secret\n");
  (void)added;  // the second time it is there
  Device gateway(server.port(), "gateway", "secret");
  gateway.Login();
  const auto ask = [&](const std::string& user, const std::string& what, const std::string& peer) {
    gateway.Publish("as/" + user + "/ask/contacts." + what,
                    Json{{"rid", what}, {"user", peer}}.dump());
    const Json answer = Json::parse(gateway.AwaitAnswer(what));
    if (answer["ok"] != true) throw MqttError(answer.dump());
  };
  ask(one, "add", other);
  ask(other, "accept", one);
}

// A device that hears how others are, and keeps what it was told of each.
class Watcher {
 public:
  explicit Watcher(Device device) : device_(std::move(device)) { Listen(); }

  Device& device() { return device_; }
  const std::string& user() const { return device_.user(); }
  void Listen() { device_.ListenTo("presence/" + device_.user()); }

  // From now on it sees `user`, who is offline, and is told so at once.
  void Befriend(const std::string& user) {
    MakeContacts(Server(), device_.user(), user);
    CHECK(Next(user)["online"] == false);
  }
  // The next that it is told of `user`.
  Json Next(const std::string& user) {
    while (told_[user].empty()) Take(device_.Next("presence/" + device_.user()));
    Json entry = told_[user].front();
    told_[user].pop_front();
    return entry;
  }
  // What it was told of `user` and nobody asked for yet.
  std::deque<Json> Told(const std::string& user) {
    for (const MqttMessage& message : device_.Arrived("presence/#")) Take(message);
    return std::exchange(told_[user], {});
  }
  Json Ask(const std::string& user) {
    const Json users = device_.AskDone("presence", {{"users", {user}}})["users"];
    return users.empty() ? Json() : users[0];
  }
  int batches() const { return batches_; }

 private:
  void Take(const MqttMessage& message) {
    ++batches_;
    const Json batch = Json::parse(message.payload);  // a raw will would fail here
    for (const Json& entry : batch.at("users")) {
      told_[entry.at("user").get<std::string>()].push_back(entry);
    }
  }

  Device device_;
  std::map<std::string, std::deque<Json>> told_;
  int batches_ = 0;
};

DeviceOptions WithWill(const std::string& user, DeviceOptions options = {}) {
  options.will = MqttWill{"presence/" + user, "offline", 1, false};
  return options;
}

// Alice watches. Bob and dave are her contacts; both are shown online.
struct Scene {
  explicit Scene(DeviceOptions bobs = {}, bool with_will = true)
      : alice(Server().Open(Server().NewUser("alice"))),
        bob(Offline("bob", std::move(bobs), with_will)),
        dave(Offline("carol", {}, true)) {
    for (Device* device : {&bob, &dave}) alice.Befriend(device->user());
    for (Device* device : {&bob, &dave}) device->Login();
    for (Device* device : {&bob, &dave}) CHECK(alice.Next(device->user())["online"] == true);
    CHECK(alice.Told(bob.user()).empty());
  }

  static Device Offline(const std::string& name, DeviceOptions options, bool with_will) {
    const std::string user = Server().NewUser(name);
    if (with_will) options = WithWill(user, std::move(options));
    return Server().Offline(user, std::move(options));
  }

  // Returns when all that could be shown of what happened before now was shown: a connection that
  // is lost now is shown after the longest of all times.
  void Fence() {
    dave.Drop();
    CHECK(alice.Next(dave.user())["online"] == false);
  }
  void NothingShownOfBob() {
    Fence();
    const auto told = alice.Told(bob.user());
    CAPTURE(told.empty() ? "" : told.front().dump());
    CHECK(told.empty());
  }

  Watcher alice;
  Device bob, dave;
};

TEST_CASE("a contact that comes online is shown after the delay") {
  Scene scene;
  const std::string carol = Server().NewUser("carol");
  scene.alice.Befriend(carol);
  const Clock::time_point begin = Clock::now();
  Device device = Server().OpenDeaf(carol, {.version = GENERATE(4, 5)});
  const Json entry = scene.alice.Next(carol);
  CHECK(Clock::now() - begin >= kDelay);
  CHECK(entry == Json{{"user", carol}, {"online", true}});
}

TEST_CASE("a clean disconnect is shown at once, a lost connection after its grace") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Scene scene({.version = version});
  const Clock::time_point lost = Clock::now();
  scene.dave.Drop();
  scene.bob.Disconnect();
  const Json entry = scene.alice.Next(scene.bob.user());
  CHECK(entry["online"] == false);
  CHECK(entry["last_seen"].is_number_unsigned());
  CHECK(scene.alice.Told(scene.dave.user()).empty());  // dave was first to go and isn't shown yet
  CHECK(scene.alice.Next(scene.dave.user())["online"] == false);
  CHECK(Clock::now() - lost >= kGrace);
}

TEST_CASE("a disconnection that asks for its will counts as lost") {
  Scene scene({.version = 5});
  const Clock::time_point lost = Clock::now();
  scene.bob.Disconnect(0x04);
  CHECK(scene.alice.Next(scene.bob.user())["online"] == false);
  CHECK(Clock::now() - lost >= kGrace);
}

TEST_CASE("a lost connection without a will counts as clean") {
  Scene scene({}, false);
  scene.dave.Drop();
  scene.bob.Drop();
  CHECK(scene.alice.Next(scene.bob.user())["online"] == false);
  CHECK(scene.alice.Told(scene.dave.user()).empty());
}

TEST_CASE("who is back within its grace was never away") {
  const bool clean = GENERATE(true, false);
  CAPTURE(clean);
  Scene scene({.version = clean ? 4 : 5, .clean = clean, .session_expiry_s = clean ? 0u : 3600u});
  Device tablet = Server().Offline(scene.bob.user(), {.name = "tablet"});
  SECTION("the same device") {
    for (int n = 0; n < 2; ++n) {
      scene.bob.Drop();
      scene.bob.Login();
    }
  }
  SECTION("another device") {
    scene.bob.Drop();
    tablet.Login();
  }
  scene.NothingShownOfBob();
  CHECK(scene.alice.Ask(scene.bob.user())["online"] == true);
  // It is not forgotten that it is online.
  (tablet.connected() ? tablet : scene.bob).Disconnect();
  CHECK(scene.alice.Next(scene.bob.user())["online"] == false);
}

TEST_CASE("who is gone again within the delay was never here") {
  const bool with_will = GENERATE(true, false);
  CAPTURE(with_will);
  Scene scene;
  scene.bob.Disconnect();
  CHECK(scene.alice.Next(scene.bob.user())["online"] == false);
  for (int n = 0; n < 3; ++n) {
    Device flap = Server().OpenDeaf(scene.bob.user(),
                                    with_will ? WithWill(scene.bob.user()) : DeviceOptions{});
    flap.Disconnect();
  }
  scene.NothingShownOfBob();
  CHECK(scene.alice.Ask(scene.bob.user())["online"] == false);
}

TEST_CASE("a user is online while one of its devices is") {
  Scene scene;
  const std::string bob = scene.bob.user();
  Device tablet = Server().OpenDeaf(bob, WithWill(bob, {.name = "tablet"}));
  Device laptop = Server().OpenDeaf(bob, {.name = "laptop"});
  scene.bob.Disconnect();
  tablet.Drop();
  scene.NothingShownOfBob();
  CHECK(scene.alice.Ask(bob)["online"] == true);
  laptop.Disconnect();
  CHECK(scene.alice.Next(bob)["online"] == false);
}

TEST_CASE("a device that takes its session over is not away, whatever the order of events") {
  const auto [version, clean, with_will] = GENERATE(table<int, bool, bool>(
      {{4, true, true}, {5, true, true}, {4, false, true}, {5, false, true}, {5, true, false}}));
  CAPTURE(version, clean, with_will);
  Scene scene({.version = version, .clean = clean, .session_expiry_s = clean ? 0u : 3600u},
              with_will);
  DeviceOptions options = scene.bob.options();
  std::vector<Device> again;
  for (int n = 0; n < 3; ++n) {
    again.push_back(Server().OpenDeaf(scene.bob.user(), options));
    CHECK((n == 0 ? scene.bob : again[n - 1]).AwaitClosed());
  }
  scene.NothingShownOfBob();
  CHECK(scene.alice.Ask(scene.bob.user())["online"] == true);
  again.back().Disconnect();
  CHECK(scene.alice.Next(scene.bob.user())["online"] == false);
}

TEST_CASE("a session that lasts is offline while it is away, and its second end is nothing") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Scene scene({.version = version, .clean = false, .session_expiry_s = 3600});
  scene.bob.Disconnect();
  CHECK(scene.alice.Next(scene.bob.user())["online"] == false);
  // The broker tells of the old connection's end once more when the device returns.
  scene.bob.Login();
  CHECK(scene.bob.session_present());
  CHECK(scene.alice.Next(scene.bob.user())["online"] == true);
  scene.NothingShownOfBob();
  CHECK(scene.alice.Ask(scene.bob.user())["online"] == true);
}

TEST_CASE("a will that comes late is no news") {
  DeviceOptions options{.name = "slow", .version = 5, .clean = false, .session_expiry_s = 3600};
  Scene scene;
  const std::string bob = scene.bob.user();
  options.will = MqttWill{"presence/" + bob, "offline", 1, false, 1};
  SECTION("of a device of somebody who is online with another") {
    Device slow = Server().OpenDeaf(bob, options);
    slow.Drop();
    scene.NothingShownOfBob();  // later than the will
    CHECK(scene.alice.Ask(bob)["online"] == true);
  }
  SECTION("of somebody's only device: the connection's end was news enough") {
    Device slow = Server().OpenDeaf(bob, options);
    scene.bob.Disconnect();
    slow.Drop();
    CHECK(scene.alice.Next(bob)["online"] == false);
    scene.NothingShownOfBob();
  }
}

TEST_CASE("a login that fails changes nothing") {
  const int version = GENERATE(4, 5);
  const bool online = GENERATE(true, false);
  CAPTURE(version, online);
  Scene scene;
  const std::string bob = scene.bob.user();
  if (!online) {
    scene.bob.Disconnect();
    CHECK(scene.alice.Next(bob)["online"] == false);
  }
  const Json before = scene.alice.Ask(bob);
  for (const std::string name : {"phone", "other"}) {
    Device guesser(Server().port(), bob, "a wrong one",
                   WithWill(bob, {.name = name, .version = version}));
    if (guesser.Connect(guesser.ConnectOptions()) == 0) CHECK(guesser.AwaitClosed());
    Device dropper(Server().port(), bob, "another wrong one",
                   WithWill(bob, {.name = name, .version = version}));
    if (dropper.Connect(dropper.ConnectOptions()) == 0) dropper.Drop();
  }
  MqttClient nobody(Server().port());
  nobody.OpenRaw();  // never says who it is
  nobody.Drop();
  scene.NothingShownOfBob();
  CHECK(scene.alice.Ask(bob) == before);
}

TEST_CASE("a will on another's presence shows nobody") {
  const int version = GENERATE(4, 5);
  const bool takeover = GENERATE(false, true);
  CAPTURE(version, takeover);
  Scene scene;
  const std::string mallory = Server().NewUser("mallory");
  const DeviceOptions options = WithWill(scene.bob.user(), {.version = version});
  Device dying = Server().OpenDeaf(mallory, options);
  Device again = Server().Offline(mallory, options);
  if (takeover) {
    again.Login();
    CHECK(dying.AwaitClosed());
    CHECK(again.ArrivedByAnswer().empty());  // no word of the old one's will
  } else {
    dying.Drop();
  }
  scene.NothingShownOfBob();
  CHECK(scene.alice.Ask(scene.bob.user())["online"] == true);
}

TEST_CASE("nobody's will makes another's clean end a lost connection") {
  Scene scene;
  Device dying =
      Server().OpenDeaf(Server().NewUser("mallory"), WithWill(scene.bob.user(), {.version = 5}));
  scene.dave.Drop();
  scene.bob.Disconnect();
  dying.Drop();
  CHECK(scene.alice.Next(scene.bob.user())["online"] == false);
  CHECK(scene.alice.Told(scene.dave.user()).empty());
}

TEST_CASE("a will is never delivered as it is") {
  const int version = GENERATE(4, 5);
  const bool retain = GENERATE(false, true);
  const bool takeover = GENERATE(false, true);
  CAPTURE(version, retain, takeover);
  const std::string bob = Server().NewUser("bob");
  Device tablet = Server().OpenDeaf(bob, {.name = "tablet", .version = version});
  tablet.ListenTo("presence/" + bob);
  DeviceOptions options{.version = version};
  options.will = MqttWill{"presence/" + bob, "raw", 1, retain};
  Device dying = Server().OpenDeaf(bob, options);
  if (takeover) {
    Device again = Server().OpenDeaf(bob, options);
    CHECK(dying.AwaitClosed());
    CHECK(again.ArrivedByAnswer().empty());
    again.Drop();
  } else {
    dying.Drop();
  }
  CHECK(tablet.ArrivedByAnswer().empty());
  Device later = Server().OpenDeaf(bob, {.name = "later", .version = version});
  later.ListenTo("presence/" + bob);
  CHECK(later.ArrivedByAnswer().empty());
}

TEST_CASE("a reload of the configuration shows nothing") {
  Scene scene;
  const std::string eve = Server().NewUser("alice");
  scene.alice.Befriend(eve);
  Device lasting =
      Server().OpenDeaf(eve, {.version = 4, .clean = false});  // the broker asks about it, too
  CHECK(scene.alice.Next(eve)["online"] == true);
  lasting.Disconnect();
  CHECK(scene.alice.Next(eve)["online"] == false);
  for (int n = 0; n < 2; ++n) {
    const size_t from = Server().Log().size();
    Server().Signal(SIGHUP);
    Server().AwaitLog("Reloading config", from);
    scene.bob.Ping();
  }
  scene.NothingShownOfBob();
  CHECK(scene.alice.Told(eve).empty());
  CHECK(scene.alice.Ask(scene.bob.user())["online"] == true);
  CHECK(scene.alice.Ask(eve)["online"] == false);
  scene.bob.Disconnect();
  CHECK(scene.alice.Next(scene.bob.user())["online"] == false);
}

TEST_CASE("what a device says of itself is shown: away, back, offline") {
  const int version = GENERATE(4, 5);
  Scene scene({.version = version});
  const std::string bob = scene.bob.user();
  const std::string topic = "presence/" + bob;
  scene.bob.Publish(topic, "away");
  CHECK(scene.alice.Next(bob) == Json{{"user", bob}, {"online", true}, {"away", true}});
  CHECK(scene.alice.Ask(bob)["away"] == true);
  scene.bob.Publish(topic, "online");
  CHECK(scene.alice.Next(bob) == Json{{"user", bob}, {"online", true}});
  // Away only while no other device is otherwise.
  Device tablet = Server().OpenDeaf(bob, {.name = "tablet"});
  scene.bob.Publish(topic, "away");
  scene.Fence();
  CHECK(scene.alice.Told(bob).empty());
  tablet.Disconnect();
  CHECK(scene.alice.Next(bob)["away"] == true);
  scene.bob.Publish(topic, "offline");
  CHECK(scene.alice.Next(bob)["online"] == false);
  CHECK(scene.bob.ArrivedByAnswer().empty());
  scene.bob.Publish(topic, "dancing");
  CHECK(CodeOf(scene.bob.NextError()) == "bad_request");
}

TEST_CASE("who writes to an offline contact is told at once that it is") {
  Scene scene;
  const std::string bob = scene.bob.user();
  scene.bob.Disconnect();
  CHECK(scene.alice.Next(bob)["online"] == false);
  scene.alice.device().Say(bob, "are you there?");
  const Json entry = scene.alice.Next(bob);
  CHECK(entry["online"] == false);
  CHECK(entry["last_seen"].is_number_unsigned());
  // And not of somebody who is there, or who is no contact.
  scene.alice.device().Say(scene.dave.user(), "hi");
  const std::string stranger = Server().NewUser("mallory");
  scene.alice.device().Say(stranger, "hi");
  scene.alice.device().AskDone("sync");
  CHECK(scene.alice.Told(scene.dave.user()).empty());
  CHECK(scene.alice.Told(stranger).empty());
}

TEST_CASE("presence is asked for: of some contacts or of all, and of nobody else") {
  Scene scene;
  Device& alice = scene.alice.device();
  const std::string bob = scene.bob.user();
  const std::string dave = scene.dave.user();
  Device mallory = Server().OpenDeaf(Server().NewUser("mallory"));
  scene.dave.Disconnect();
  const Json gone = scene.alice.Next(dave);
  const Json some = alice.AskDone(
      "presence", {{"users", {mallory.user(), dave, "nobody-of-this-name", bob, alice.user()}}});
  CHECK(some["users"] == Json::array({{{"user", bob}, {"online", true}}, gone}));
  Json all = alice.AskDone("presence", {{"contacts", true}})["users"];
  REQUIRE(all.size() == 2);
  for (const Json& entry : all) CHECK(entry["online"] == (entry["user"] == bob));
  CHECK(mallory.AskDone("presence", {{"users", {bob, dave, alice.user()}}})["users"].empty());
  CHECK(mallory.AskDone("presence", {{"contacts", true}})["users"].empty());
  CHECK(CodeOf(alice.Ask("presence")) == "bad_request");
  CHECK(CodeOf(alice.Ask("presence", {{"users", "bob"}})) == "bad_request");
  Json many = Json::array();
  for (int n = 0; n < 501; ++n) many.push_back("u" + std::to_string(n));
  CHECK(alice.Ask("presence", {{"users", many}})["ok"] == false);
  many.erase(0);
  CHECK(alice.Ask("presence", {{"users", many}})["ok"] == true);
}

TEST_CASE("presence ends with the contact, and is never a stranger's or a blocked one's") {
  const std::string how = GENERATE(as<std::string>{}, "remove", "block", "blocked by");
  CAPTURE(how);
  Scene scene;
  const std::string bob = scene.bob.user();
  if (how == "blocked by") {
    scene.bob.AskDone("contacts.block", {{"user", scene.alice.user()}});
  } else {
    scene.alice.device().AskDone("contacts." + how, {{"user", bob}});
  }
  scene.alice.device().AskDone("sync");
  scene.alice.device().Arrived("presence/#");  // that the contact changed
  scene.bob.Publish("presence/" + bob, "away");
  scene.bob.Disconnect();
  scene.NothingShownOfBob();
  CHECK(scene.alice.Ask(bob).is_null());
  scene.bob.Login();
  scene.bob.AskDone("sync");
  CHECK(scene.alice.Ask(bob).is_null());
}

TEST_CASE("only who is online is told") {
  Scene scene;
  Watcher eve(Server().Open(Server().NewUser("mallory")));
  MakeContacts(Server(), eve.user(), scene.bob.user());
  CHECK(eve.Next(scene.bob.user())["online"] == true);  // now that it sees bob
  scene.alice.device().Disconnect();
  scene.bob.Disconnect();
  CHECK(eve.Next(scene.bob.user())["online"] == false);
  scene.alice.device().Login();
  scene.alice.Listen();
  scene.Fence();
  CHECK(scene.alice.Told(scene.bob.user()).empty());  // it asks when it comes
  CHECK(scene.alice.Ask(scene.bob.user())["online"] == false);
}

TEST_CASE("after the broker's end everybody is offline, last seen when it was") {
  const bool clean = GENERATE(true, false);
  CAPTURE(clean);
  Scene scene;
  const std::string bob = scene.bob.user();
  const std::string dave = scene.dave.user();
  scene.bob.Disconnect();
  const Json gone = scene.alice.Next(bob);
  // A crash may lose what was seen in the last moments: until it is written, ask the directory.
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (scene.alice.Ask(bob)["last_seen"] != gone["last_seen"]) REQUIRE(Clock::now() < deadline);
  if (clean) {
    Server().Stop();
  } else {
    Server().Kill();
  }
  Server().Start();
  scene.alice.device().Login();
  scene.alice.Listen();
  CHECK(scene.alice.Ask(dave)["online"] == false);
  CHECK(scene.alice.Ask(bob)["online"] == false);
  if (clean) {
    CHECK(scene.alice.Ask(bob) == gone);
    CHECK(scene.alice.Ask(dave)["last_seen"].is_number_unsigned());
  }
  scene.bob.Login();
  CHECK(scene.alice.Next(bob)["online"] == true);
}

TEST_CASE("however many change, each receiver gets one publish a batch") {
  constexpr std::chrono::milliseconds kBatch{2000};
  constexpr int kFriends = 10;
  ChatServer server(Config(kBatch), kFriends);
  const Clock::time_point begin = Clock::now();
  Watcher alice(server.Open(server.NewUser("alice")));
  std::vector<Device> friends;
  for (int n = 0; n < kFriends; ++n) {
    const std::string user = server.NewUser("bob");
    MakeContacts(server, alice.user(), user);
    CHECK(alice.Next(user)["online"] == false);
    friends.push_back(server.Offline(user));
  }
  const int before = alice.batches();
  for (Device& device : friends) device.Login();
  for (Device& device : friends) CHECK(alice.Next(device.user())["online"] == true);
  for (Device& device : friends) device.Disconnect();
  for (Device& device : friends) CHECK(alice.Next(device.user())["online"] == false);
  const auto batches = (Clock::now() - begin) / kBatch + 1;
  CHECK(alice.batches() - before <= batches);
  CHECK(alice.batches() - before < 2 * kFriends);
}

// Verifying a password takes long here, and a client is let in before it is done.
TEST_CASE("who is let in before its password is verified is not online by that") {
  ChatServer server({.options = {{"plugin_opt_login_wait_ms", "0"},
                                 {"plugin_opt_password_memory_kib", "131072"},
                                 {"plugin_opt_presence_delay_ms", "0"},
                                 {"plugin_opt_presence_grace_ms", "0"},
                                 {"plugin_opt_presence_batch_ms", "10"}}},
                    2);
  Watcher alice(server.Open(server.NewUser("alice")));
  server.AddUser("victim", "its password");
  MakeContacts(server, alice.user(), "victim");
  CHECK(alice.Next("victim")["online"] == false);
  Device guesser(server.port(), "victim", "a wrong one", WithWill("victim"));
  if (guesser.Connect(guesser.ConnectOptions()) == 0) {
    CHECK(alice.Ask("victim")["online"] == false);
    CHECK(guesser.AwaitClosed());
  }
  Device victim(server.port(), "victim", "its password");
  victim.Login();
  const Json first = alice.Next("victim");
  CHECK(first["online"] == true);
  CHECK(alice.Told("victim").empty());
}

}  // namespace
}  // namespace parley::e2e
