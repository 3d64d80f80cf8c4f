// Presence and typing: who is shown what, and when.
#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

std::string CodeOf(const json& answer) {
  return answer.value("ok", false) ? "ok" : answer.at("error").at("code").get<std::string>();
}

// alice watches her contacts, bob and carol. dave is a stranger.
class Friends {
 public:
  explicit Friends(EngineOptions options = {}) : world(options) {
    alice = &world.Watch("alice", "alice:1");
    for (const char* user : {"bob", "carol"}) Befriend("alice", user);
    world.Pass(5000);
    alice->presence.clear();
  }
  void Befriend(const std::string& who, const std::string& whom) {
    TestDevice& one = world.Connect(who, "x1", false);
    TestDevice& other = world.Connect(whom, "x2", false);
    REQUIRE(CodeOf(world.Ask(one, "contacts.add", R"("user":")" + whom + "\"")) == "ok");
    REQUIRE(CodeOf(world.Ask(other, "contacts.accept", R"("user":")" + who + "\"")) == "ok");
    world.Leave(one);
    world.Leave(other);
    world.Pass(2000);
  }
  // What alice was shown since the last call: "bob+ carol- | bob~", with ~ for away and | between
  // events.
  std::string Shown() { return Shown(*alice); }
  std::string Shown(TestDevice& device) {
    std::string text;
    for (const std::string& event : device.presence) {
      text += text.empty() ? "" : " |";
      std::vector<std::string> users;
      const json user_list = json::parse(event)["users"];
      for (const json& user : user_list) users.push_back(Line(user));
      std::sort(users.begin(), users.end());
      for (const std::string& user : users) text += (text.empty() ? "" : " ") + user;
    }
    device.presence.clear();
    return text;
  }
  static std::string Line(const json& user) {
    bool online = user.at("online").get<bool>();
    return user.at("user").get<std::string>() + (user.value("away", false) ? "~"
                                                 : online                  ? "+"
                                                                           : "-");
  }
  // What alice is answered: "bob+ carol-".
  std::string Asked(const std::string& members = R"("contacts":true)") {
    std::string text;
    const json user_list = world.Ask(*alice, "presence", members)["users"];
    for (const json& user : user_list) {
      text += (text.empty() ? "" : " ") + Line(user);
    }
    return text;
  }
  TestDevice& Come(const std::string& user, const std::string& device) {
    TestDevice& made = world.Watch(user, device);
    world.Settle();
    return made;
  }

  World world;
  TestDevice* alice;
};

// Coming and going.

TEST_CASE("online is who has an account, neither services nor tools") {
  World world;
  world.Join("alice", "alice:1");
  world.Connect("gate", "gate:1", true);
  world.Connect("$parleyctl", "ctl:1");
  world.Pass(1000);
  CHECK(world.engine->online() == 1);
}

TEST_CASE("who comes online is shown after the delay") {
  Friends friends;
  friends.Come("bob", "b1");
  friends.world.Pass(2900);
  CHECK(friends.Shown().empty());
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob+");
  friends.world.Pass(60'000);
  CHECK(friends.Shown().empty());
}

TEST_CASE("who is gone again within the delay is never shown") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(2000);
  SECTION("closed") { friends.world.Leave(bob); }
  SECTION("lost") { friends.world.Lose(bob); }
  friends.world.Pass(60'000);
  CHECK(friends.Shown().empty());
}

TEST_CASE("who flaps is shown a delay after it last came") {
  Friends friends;
  for (int i = 0; i < 10; ++i) {
    TestDevice& bob = friends.Come("bob", "b1");
    friends.world.Pass(1000);
    friends.world.Leave(bob);
    friends.world.Pass(1000);
  }
  CHECK(friends.Shown().empty());
  friends.Come("bob", "b1");
  friends.world.Pass(2900);
  CHECK(friends.Shown().empty());
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob+");
}

TEST_CASE("who leaves cleanly is shown offline in the next batch, with the time") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(10'000);
  CHECK(friends.Shown() == "bob+");
  friends.world.Leave(bob);
  int64_t left_ms = friends.world.env.now_ms;
  friends.world.Pass(1200);
  REQUIRE(friends.alice->presence.size() == 1);
  CHECK(friends.alice->presence[0] ==
        R"({"users":[{"user":"bob","online":false,"last_seen":)" + std::to_string(left_ms) + "}]}");
}

TEST_CASE("a lost connection is given the grace to come back, and only then shown") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(10'000);
  friends.Shown();
  friends.world.Lose(bob);
  friends.world.Pass(9900);
  CHECK(friends.Shown().empty());
  CHECK(friends.Asked(R"("users":["bob"])") == "bob+");
  SECTION("it doesn't") {
    friends.world.Pass(1200);
    CHECK(friends.Shown() == "bob-");
  }
  SECTION("it does") {
    friends.Come("bob", "b1");
    friends.world.Pass(60'000);
    CHECK(friends.Shown().empty());
    CHECK(friends.Asked(R"("users":["bob"])") == "bob+");
  }
  SECTION("it does, and then leaves cleanly") {
    TestDevice& again = friends.Come("bob", "b1");
    friends.world.Pass(100);
    friends.world.Leave(again);
    friends.world.Pass(1200);
    CHECK(friends.Shown() == "bob-");
  }
  SECTION("it does, and is lost once more") {
    TestDevice& again = friends.Come("bob", "b1");
    friends.world.Lose(again);
    friends.world.Pass(9900);
    CHECK(friends.Shown().empty());
    friends.world.Pass(1200);
    CHECK(friends.Shown() == "bob-");
  }
}

TEST_CASE("that a connection was lost may be known a moment after its end") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(10'000);
  friends.Shown();
  friends.world.Leave(bob);
  friends.world.Tick();  // a batch is due, between the end and the will
  friends.world.Settle();
  friends.world.Turn(Lost{UserId("bob")});
  friends.world.Pass(9900);
  CHECK(friends.Shown().empty());
}

TEST_CASE("a will of somebody who is there, is offline, or isn't known at all, says nothing") {
  Friends friends;
  friends.Come("bob", "b1");
  friends.world.Pass(10'000);
  friends.Shown();
  for (const char* user : {"bob", "carol", "dave", "nobody"}) {
    friends.world.Turn(Lost{UserId(user)});
  }
  friends.world.Pass(60'000);
  CHECK(friends.Shown().empty());
}

TEST_CASE("a user is online while one device is") {
  Friends friends;
  TestDevice& phone = friends.Come("bob", "b1");
  friends.world.Pass(2000);
  TestDevice& laptop = friends.Come("bob", "b2");
  friends.world.Pass(2100);
  CHECK(friends.Shown() == "bob+");  // as of the first one
  friends.world.Lose(phone);
  friends.world.Pass(20'000);
  CHECK(friends.Shown().empty());
  friends.world.Leave(laptop);
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob-");
}

TEST_CASE("a takeover is no news, with a will or without, whichever event comes first") {
  Friends friends;
  TestDevice& old = friends.Come("bob", "b1");
  friends.world.Pass(10'000);
  friends.Shown();
  TestDevice& taker = friends.Come("bob", "b1");
  SECTION("no will") {}
  SECTION("a will before the old one's end") { friends.world.Turn(Lost{UserId("bob")}); }
  friends.world.Leave(old);
  SECTION("a will behind it") { friends.world.Turn(Lost{UserId("bob")}); }
  friends.world.Pass(60'000);
  CHECK(friends.Shown().empty());
  friends.world.Leave(taker);
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob-");
}

TEST_CASE("an end that is told twice counts once") {
  Friends friends;
  TestDevice& phone = friends.Come("bob", "b1");
  friends.Come("bob", "b2");
  friends.world.Pass(10'000);
  CHECK(friends.Shown() == "bob+");
  SessionId session = phone.session;
  friends.world.Leave(phone);
  friends.world.Turn(Disconnected{session});
  friends.world.Pass(20'000);
  CHECK(friends.Shown().empty());
}

TEST_CASE("an end is told though what the device confirmed still waits for a read") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(10'000);
  friends.Shown();
  friends.world.log.SetStuck(true);
  friends.world.Confirm(bob, 0);
  friends.world.Turn(Disconnected{bob.session});
  friends.world.log.SetStuck(false);
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob-");
}

TEST_CASE("a device whose password is still being checked is nobody yet") {
  Friends friends;
  friends.world.Turn(Connected{900, UserId("bob"), DeviceId("b1"), false, true});
  friends.world.Pass(20'000);
  CHECK(friends.Shown().empty());
  CHECK_FALSE(friends.world.accounts.seen["bob"].contains("b1"));
  SECTION("it was right") {
    friends.world.Turn(Welcomed{900});
    friends.world.Pass(4100);
    CHECK(friends.Shown() == "bob+");
    CHECK(friends.world.accounts.seen["bob"].contains("b1"));
  }
  SECTION("it was wrong") {
    friends.world.Turn(Disconnected{900});
    friends.world.Pass(20'000);
    CHECK(friends.Shown().empty());
    CHECK_FALSE(friends.world.accounts.seen["bob"].contains("b1"));
  }
}

TEST_CASE("service accounts are never online") {
  Friends friends;
  friends.world.Connect("bob", "b1", true);
  friends.world.Pass(20'000);
  CHECK(friends.Shown().empty());
  CHECK(friends.Asked() == "bob- carol-");
}

// What devices say.

TEST_CASE("a device that says so is away, and the user is where none is online") {
  Friends friends;
  TestDevice& phone = friends.Come("bob", "b1");
  friends.world.Pass(10'000);
  friends.Shown();
  friends.world.Publish(phone, "presence/bob", "away");
  friends.world.Pass(1200);
  REQUIRE(friends.alice->presence.size() == 1);
  CHECK(friends.alice->presence[0] == R"({"users":[{"user":"bob","online":true,"away":true}]})");
  friends.Shown();
  CHECK(friends.Asked() == "bob~ carol-");
  TestDevice& laptop = friends.Come("bob", "b2");
  friends.world.Pass(4100);
  CHECK(friends.Shown() == "bob+");
  friends.world.Leave(laptop);
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob~");
  friends.world.Publish(phone, "presence/bob", "online");
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob+");
}

TEST_CASE("a birth message is no second coming, and away within the delay doesn't end it") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Publish(bob, "presence/bob", "online");
  friends.world.Pass(1000);
  friends.world.Publish(bob, "presence/bob", "away");
  friends.world.Pass(1900);
  CHECK(friends.Shown().empty());
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob~");
}

TEST_CASE("a device that says offline is invisible until it says otherwise") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Publish(bob, "presence/bob", "offline");
  friends.world.Pass(20'000);
  CHECK(friends.Shown().empty());
  friends.world.Publish(bob, "presence/bob", "online");
  friends.world.Pass(4100);
  CHECK(friends.Shown() == "bob+");
  friends.world.Publish(bob, "presence/bob", "offline");
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob-");
  friends.world.Lose(bob);
  friends.world.Pass(20'000);
  CHECK(friends.Shown().empty());
}

TEST_CASE("an invisible device still sees its contacts") {
  Friends friends;
  friends.world.Publish(*friends.alice, "presence/alice", "offline");
  friends.Come("bob", "b1");
  friends.world.Pass(5000);
  CHECK(friends.Shown() == "bob+");
}

TEST_CASE("what is no status is refused, and so is another user's presence") {
  Friends friends;
  TestDevice& alice = *friends.alice;
  for (const char* payload : {"", "here", "Online", R"({"online":true})"}) {
    alice.answers.clear();
    friends.world.Publish(alice, "presence/alice", payload);
    friends.world.Settle();
    REQUIRE(alice.answers.size() == 1);
    json answer = json::parse(alice.answers[0]);
    CHECK(CodeOf(answer) == "bad_request");
    CHECK(answer["topic"] == "presence/alice");
  }
  friends.Come("bob", "b1");
  friends.world.Pass(5000);
  friends.Shown();
  alice.answers.clear();
  friends.world.Publish(alice, "presence/bob", "offline");
  TestDevice& gate = friends.world.Connect("gate", "g1", true);
  friends.world.Publish(gate, "as/bob/presence/bob", "offline");
  friends.world.Pass(20'000);
  REQUIRE(alice.answers.size() == 1);
  CHECK(CodeOf(json::parse(alice.answers[0])) == "denied");
  REQUIRE(gate.answers.size() == 1);
  CHECK(CodeOf(json::parse(gate.answers[0])) == "denied");
  CHECK(friends.Shown().empty());
}

// Batches.

TEST_CASE("all changes of a batch come in one event, once to each device") {
  Friends friends;
  TestDevice& tablet = friends.world.Watch("alice", "alice:2");
  TestDevice& deaf = friends.world.Connect("alice", "alice:3");
  friends.Come("bob", "b1");
  friends.world.Pass(400);
  friends.Come("carol", "c1");
  friends.world.Pass(5000);
  std::string shown = friends.Shown(tablet);
  CHECK((shown == "bob+ carol+" || shown == "bob+ | carol+"));
  friends.Shown();
  // Both at once, right after a batch: the next one has them together.
  for (auto& [session, device] : std::map(friends.world.devices)) {
    if (device.user == "bob" || device.user == "carol") {
      friends.world.Leave(friends.world.devices.at(session));
    }
  }
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob- carol-");
  CHECK(friends.Shown(tablet) == "bob- carol-");
  CHECK(deaf.presence.empty());
}

TEST_CASE("batches are told no more often than they may be") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(5000);
  friends.Shown();
  for (int i = 0; i < 40; ++i) {
    friends.world.Publish(bob, "presence/bob", i % 2 == 0 ? "away" : "online");
    friends.world.Pass(100);
  }
  CHECK(friends.alice->presence.size() <= 4);
}

TEST_CASE("a batch waits for contacts that are being read, so that it stays one") {
  Friends friends;
  friends.world.Tick(3'600'000);  // nobody's contacts are in memory any more
  friends.world.Settle();
  friends.Come("bob", "b1");
  friends.Come("carol", "c1");
  for (int i = 0; i < 30; ++i) {
    friends.world.Tick(100);
    friends.world.log.Commit();
    friends.world.Deliver();
  }
  REQUIRE(friends.world.readers.jobs.size() == 2);
  CHECK(friends.Shown().empty());
  friends.world.RunRead();
  friends.world.TakeRead();
  friends.world.Tick(100);
  friends.world.Deliver();
  CHECK(friends.Shown().empty());
  friends.world.Pass(100);
  CHECK(friends.Shown() == "bob+ carol+");
}

TEST_CASE("contacts that can't be read are tried again, and the others' batch goes on") {
  Friends friends;
  friends.world.Tick(3'600'000);
  friends.world.log.SetDown(UserId("bob"), true);
  friends.Come("bob", "b1");
  friends.Come("carol", "c1");
  friends.world.Pass(10'000);
  CHECK(friends.Shown() == "carol+");
  friends.world.log.SetDown(UserId("bob"), false);
  friends.world.Pass(3000);
  CHECK(friends.Shown() == "bob+");
}

TEST_CASE("a very large batch is cut into events within their bound, with nobody left out") {
  EngineOptions options;
  World world(options);
  std::vector<std::string> many;
  for (int i = 0; i < 4000; ++i) {
    many.push_back("u" + std::to_string(i) + std::string(50, 'x'));
    world.accounts.users.insert(many.back());
  }
  TestDevice& alice = world.Watch("alice", "a1");
  for (const std::string& user : many) {
    TestDevice& one = world.Connect(user, user);
    world.Publish(one, "ask/contacts.add", R"({"user":"alice"})");
    world.Settle();
    world.Publish(alice, "ask/contacts.accept", R"({"user":")" + user + R"("})");
    world.Settle();
  }
  alice.presence.clear();
  alice.answers.clear();
  alice.effects.clear();
  world.Pass(10'000);
  std::set<std::string> online;
  for (const std::string& event : alice.presence) {
    CHECK(event.size() <= 256 * 1024);
    const json user_list = json::parse(event)["users"];
    for (const json& user : user_list) {
      CHECK(user["online"] == true);
      online.insert(user["user"]);
    }
  }
  CHECK(alice.presence.size() >= 2);
  CHECK(online.size() == many.size());
  json answer = world.Ask(alice, "presence", R"("contacts":true)");
  CHECK(alice.answers.back().size() <= 256 * 1024);
  CHECK(answer["users"].size() > 1000);
  CHECK(answer["more"] == true);
}

// Who sees it.

TEST_CASE("strangers, requests and the blocked are shown nothing, whichever side blocks") {
  Friends friends;
  World& world = friends.world;
  friends.Befriend("dave", "bob");
  TestDevice& dave = world.Watch("dave", "d1");
  TestDevice& eve = world.Watch("eve", "e1");
  TestDevice& bob = friends.Come("bob", "b1");
  world.Pass(5000);
  CHECK(friends.Shown(dave) == "bob+");
  CHECK(eve.presence.empty());
  CHECK(CodeOf(world.Ask(eve, "contacts.add", R"("user":"bob")")) == "ok");
  SECTION("bob blocks") {
    CHECK(CodeOf(world.Ask(bob, "contacts.block", R"("user":"dave")")) == "ok");
  }
  SECTION("dave blocks") {
    CHECK(CodeOf(world.Ask(dave, "contacts.block", R"("user":"bob")")) == "ok");
  }
  CHECK(friends.Shown(dave) == "bob-");
  eve.presence.clear();
  friends.Shown();
  world.Publish(bob, "presence/bob", "away");
  world.Pass(1200);
  world.Leave(bob);
  world.Pass(1200);
  CHECK(friends.Shown() == "bob~ | bob-");
  CHECK(dave.presence.empty());
  CHECK(eve.presence.empty());
  for (TestDevice* device : {&dave, &eve}) {
    CHECK(world.Ask(*device, "presence", R"("users":["bob"])")["users"].empty());
    CHECK(world.Ask(*device, "presence", R"("contacts":true)")["users"].empty());
    world.Publish(*device, "chat/bob", "hi");
    world.Settle();
    CHECK(device->presence.empty());
  }
}

TEST_CASE("only while it is subscribed is a device shown anything") {
  Friends friends;
  friends.world.Unsubscribe(*friends.alice, Channel::kPresence);
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(5000);
  CHECK(friends.alice->presence.empty());
  friends.world.Subscribe(*friends.alice, Channel::kPresence);
  friends.world.Pass(5000);
  CHECK(friends.alice->presence.empty());  // it asks for what is so already
  CHECK(friends.Asked() == "bob+ carol-");
  friends.world.Leave(bob);
  friends.world.Pass(1200);
  CHECK(friends.Shown() == "bob-");
}

TEST_CASE("a contact that is not yet durable is shown nothing of what may be taken back") {
  Friends friends;
  World& world = friends.world;
  TestDevice& bob = friends.Come("bob", "b1");
  TestDevice& eve = friends.Come("eve", "e1");
  world.Pass(5000);
  CHECK(CodeOf(world.Ask(bob, "contacts.add", R"("user":"eve")")) == "ok");
  eve.presence.clear();
  friends.Shown();
  world.Publish(bob, "presence/bob", "away");
  world.Publish(eve, "ask/contacts.accept", R"({"user":"bob"})");
  world.ReadAll();
  REQUIRE(world.log.queued() == 1);
  world.Tick(1000);  // the batch is due
  world.FailJournal();
  world.Settle();
  CHECK(eve.presence.empty());
  world.Pass(2000);
  CHECK(eve.presence.empty());
  CHECK(friends.Shown() == "bob~");
}

// Offline receivers.

TEST_CASE("who writes to an offline contact is told at once that it is, and since when") {
  Friends friends;
  World& world = friends.world;
  int64_t left_ms = world.accounts.seen["bob"]["x2"];
  TestDevice& tablet = world.Watch("alice", "alice:2");
  world.Settle();
  const std::string event =
      R"({"users":[{"user":"bob","online":false,"last_seen":)" + std::to_string(left_ms) + "}]}";
  SECTION("known since the start") {
    world.Send(*friends.alice, "bob", "1", "hi");
    world.Settle();
    CHECK(friends.alice->presence == Strings{event});
    CHECK(tablet.presence.empty());
  }
  SECTION("from the directory, once") {
    world.Restart();
    TestDevice& alice = world.Watch("alice", "alice:1");
    for (const char* id : {"1", "2", "3"}) {
      world.Send(alice, "bob", id, "hi");
      world.Settle();
    }
    CHECK(alice.presence == Strings{event, event, event});
    CHECK(world.accounts.last_seen_reads == 1);
  }
}

TEST_CASE("nothing is told of a message that isn't stored, of strangers, or of who is there") {
  Friends friends;
  World& world = friends.world;
  SECTION("not stored") {
    world.Send(*friends.alice, "bob", "1", "hi");
    world.ReadAll();
    world.FailJournal();
  }
  SECTION("a stranger") { world.Send(*friends.alice, "dave", "1", "hi"); }
  SECTION("there, though not yet shown") {
    friends.Come("bob", "b1");
    world.Send(*friends.alice, "bob", "1", "hi");
  }
  SECTION("sent by a gateway") {
    TestDevice& gate = world.Connect("gate", "g1", true);
    world.Subscribe(gate, Channel::kPresence);
    world.Publish(gate, "as/alice/chat/bob", "hi");
    world.Settle();
    CHECK(gate.presence.empty());
  }
  world.Settle();
  CHECK(friends.Shown().empty());
}

TEST_CASE("an invisible contact is offline to who writes to it") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Publish(bob, "presence/bob", "offline");
  friends.world.Send(*friends.alice, "bob", "1", "hi");
  friends.world.Settle();
  CHECK(friends.Shown() == "bob-");
}

TEST_CASE("who was told ahead of the others that somebody is offline is told when that ends") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(5000);
  CHECK(friends.Shown() == "bob+");
  friends.world.Lose(bob);
  friends.world.Pass(2000);
  friends.world.Send(*friends.alice, "bob", "1", "hi");
  friends.world.Settle();
  CHECK(friends.Shown() == "bob-");
  friends.Come("bob", "b1");
  friends.world.Pass(20'000);
  CHECK(friends.Shown() == "bob+");
}

// Asking.

TEST_CASE("presence answers with the contacts among those who are asked for") {
  Friends friends;
  friends.Come("bob", "b1");
  friends.Come("dave", "d1");
  friends.world.Pass(5000);
  CHECK(friends.Asked(R"("users":["bob","carol","dave","nobody","alice"])") == "bob+ carol-");
  CHECK(friends.Asked(R"("users":["carol"])") == "carol-");
  CHECK(friends.Asked(R"("users":["dave"])").empty());
  CHECK(friends.Asked(R"("users":[])").empty());
  CHECK(friends.Asked() == "bob+ carol-");
}

TEST_CASE("presence says when who is offline was last seen, across a restart") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  friends.world.Pass(5000);
  friends.world.Leave(bob);
  int64_t left_ms = friends.world.env.now_ms;
  friends.world.Pass(5000);
  SECTION("now") {}
  SECTION("after a restart, when everybody is offline") {
    friends.world.Restart();
    friends.alice = &friends.world.Watch("alice", "alice:1");
  }
  SECTION("forgotten meanwhile") { friends.world.Tick(3'600'000); }
  json answer = friends.world.Ask(*friends.alice, "presence", R"("users":["bob"])");
  CHECK(answer["users"] ==
        json::array({{{"user", "bob"}, {"online", false}, {"last_seen", left_ms}}}));
}

TEST_CASE("after a restart everybody is offline until they are back") {
  Friends friends;
  friends.Come("bob", "b1");
  friends.world.Pass(5000);
  friends.world.Restart();
  friends.alice = &friends.world.Watch("alice", "alice:1");
  friends.world.Pass(20'000);
  CHECK(friends.Asked() == "bob- carol-");
  friends.Come("bob", "b1");
  friends.world.Pass(5000);
  CHECK(friends.Asked() == "bob+ carol-");
  CHECK(friends.Shown() == "bob+");
}

TEST_CASE("an answer is of the moment at which it goes out, so that no event is undone by it") {
  Friends friends;
  World& world = friends.world;
  world.Tick(3'600'000);
  world.Settle();
  friends.alice->answers.clear();
  friends.Come("bob", "b1");
  world.Pass(2900);
  world.Publish(*friends.alice, "ask/presence", R"({"contacts":true})");
  for (int i = 0; i < 100 && world.accounts.last_seen_reads == 0; ++i) {
    if (!world.readers.jobs.empty()) world.RunRead();
    if (world.accounts.last_seen_reads == 0 && !world.readers.done.empty()) world.TakeRead();
  }
  REQUIRE(world.accounts.last_seen_reads == 1);  // read, and not yet brought to the engine
  Continuation read = world.readers.Take(world.readers.done.size() - 1);
  world.Pass(1200);
  CHECK(friends.Shown() == "bob+");
  CHECK(friends.alice->answers.empty());
  world.Turn(std::move(read));
  world.Settle();
  REQUIRE(friends.alice->answers.size() == 1);
  CHECK(json::parse(friends.alice->answers[0])["users"][0]["online"] == true);
}

TEST_CASE("a request for presence that is wrong is refused") {
  Friends friends;
  auto code = [&](const std::string& members) {
    return CodeOf(friends.world.Ask(*friends.alice, "presence", members));
  };
  CHECK(code("") == "bad_request");
  CHECK(code(R"("users":"bob")") == "bad_request");
  CHECK(code(R"("users":["Bob"])") == "bad_request");
  CHECK(code(R"("users":[1])") == "bad_request");
  CHECK(code(R"("contacts":false)") == "bad_request");
  CHECK(code(R"("contacts":true,"users":["bob"])") == "bad_request");
  std::string many;
  for (int i = 0; i < 501; ++i) many += (i > 0 ? ",\"u" : "\"u") + std::to_string(i) + "\"";
  CHECK(code(R"("users":[)" + many + "]") == "too_large");
  CHECK(code(R"("users":[)" + many.substr(0, many.rfind(',')) + "]") == "ok");
  friends.world.Restart();
  friends.alice = &friends.world.Watch("alice", "alice:1");
  friends.world.accounts.broken = {Code::kIoError, "unreadable"};
  CHECK(code(R"("contacts":true)") == "unavailable");
}

TEST_CASE("devices are recorded as seen when they come and when they go") {
  Friends friends;
  TestDevice& bob = friends.Come("bob", "b1");
  CHECK(friends.world.accounts.seen["bob"]["b1"] == friends.world.env.now_ms);
  friends.world.Pass(60'000);
  CHECK(friends.world.accounts.seen["bob"]["b1"] == friends.world.env.now_ms - 60'000);
  friends.world.Leave(bob);
  CHECK(friends.world.accounts.seen["bob"]["b1"] == friends.world.env.now_ms);
}

// Typing.

class Typists {
 public:
  explicit Typists(EngineOptions options = {}) : world(options) {
    for (const char* user : {"alice", "bob", "carol", "dave"}) {
      devices[user] = &world.Watch(user, std::string(user) + ":1");
    }
    world.Settle();
  }
  void Type(const std::string& who, const std::string& to,
            const std::string& payload = R"({"on":true})") {
    world.Publish(*devices[who], "typing/" + to, payload);
    world.Settle();
  }
  // What was refused since the last call; "" where nothing was.
  std::string Refused(const std::string& who) {
    std::string codes;
    for (const std::string& answer : devices[who]->answers) {
      codes += (codes.empty() ? "" : " ") + CodeOf(json::parse(answer));
    }
    devices[who]->answers.clear();
    return codes;
  }
  void MakeGroup(const std::string& id, const std::string& members) {
    REQUIRE(CodeOf(world.Ask(*devices["alice"], "groups.create",
                             R"("group":")" + id + R"(","members":[)" + members + "]")) == "ok");
    Refused("alice");
  }

  World world;
  std::map<std::string, TestDevice*> devices;
};

TEST_CASE("typing reaches the devices of the one who is written to, and is stored nowhere") {
  Typists typists;
  TestDevice& tablet = typists.world.Watch("bob", "bob:2");
  TestDevice& deaf = typists.world.Connect("bob", "bob:3");
  typists.Type("alice", "bob");
  typists.Type("alice", "bob", R"({ "on" : false })");
  const Strings events{R"({"from":"alice","on":true})", R"({"from":"alice","on":false})"};
  CHECK(typists.devices["bob"]->typing == events);
  CHECK(tablet.typing == events);
  CHECK(deaf.typing.empty());
  CHECK(typists.devices["carol"]->typing.empty());
  CHECK(typists.devices["alice"]->typing.empty());
  CHECK(typists.world.log.transactions().empty());
  CHECK(typists.Refused("alice").empty());
}

TEST_CASE("typing to oneself reaches one's other devices") {
  Typists typists;
  TestDevice& tablet = typists.world.Watch("alice", "alice:2");
  typists.Type("alice", "alice");
  CHECK(tablet.typing.size() == 1);
  CHECK(typists.devices["alice"]->typing.empty());
}

TEST_CASE("typing that is wrong, to nobody, or to who has blocked the typist is refused") {
  Typists typists;
  for (const char* payload :
       {"", "on", "{}", R"({"on":1})", R"({"on":"true"})", R"({"on":true,"x":1})", "[true]"}) {
    INFO(payload);
    typists.Type("alice", "bob", payload);
    CHECK(typists.Refused("alice") == "bad_request");
  }
  typists.Type("alice", "nobody");
  CHECK(typists.Refused("alice") == "not_found");
  typists.Type("alice", "Bob");
  CHECK(typists.Refused("alice") == "bad_request");
  typists.world.env.now_ms += 10'000;
  typists.world.Ask(*typists.devices["bob"], "contacts.block", R"("user":"alice")");
  typists.Type("alice", "bob");
  CHECK(typists.Refused("alice") == "denied");
  CHECK(typists.devices["bob"]->typing.empty());
}

TEST_CASE("past its rate typing is dropped without a word") {
  Typists typists;
  for (int i = 0; i < 20; ++i) typists.Type("alice", "bob");
  CHECK(typists.devices["bob"]->typing.size() == 5);
  CHECK(typists.Refused("alice").empty());
  typists.world.env.now_ms += 1000;
  for (int i = 0; i < 20; ++i) typists.Type("alice", "bob");
  CHECK(typists.devices["bob"]->typing.size() == 10);
}

TEST_CASE("under load typing is dropped first") {
  Typists typists({.user_rate = 0});
  World& world = typists.world;
  for (int i = 0; i < 2500; ++i) world.Publish(*typists.devices["carol"], "chat/dave", "x");
  world.ReadAll();
  REQUIRE(world.release->size() > 2000);
  world.Publish(*typists.devices["alice"], "typing/bob", R"({"on":true})");
  world.Settle();
  CHECK(typists.devices["bob"]->typing.empty());
  CHECK(typists.Refused("alice").empty());
  typists.Type("alice", "bob");
  CHECK(typists.devices["bob"]->typing.size() == 1);
}

TEST_CASE("typing in a group reaches its other members, but not across a block") {
  Typists typists;
  TestDevice& eve = typists.world.Watch("eve", "eve:1");
  typists.MakeGroup("g", R"("bob","carol","dave")");
  SECTION("the typist has blocked one") {
    typists.world.Ask(*typists.devices["alice"], "contacts.block", R"("user":"dave")");
  }
  SECTION("one has blocked the typist") {
    typists.world.Ask(*typists.devices["dave"], "contacts.block", R"("user":"alice")");
  }
  typists.Type("alice", "group/g");
  const Strings event{R"({"from":"alice","group":"g","on":true})"};
  CHECK(typists.devices["bob"]->typing == event);
  CHECK(typists.devices["carol"]->typing == event);
  CHECK(typists.devices["dave"]->typing.empty());
  CHECK(typists.devices["alice"]->typing.empty());
  CHECK(eve.typing.empty());
}

TEST_CASE("who isn't in a group can't type there, nor learn that it exists") {
  Typists typists;
  typists.MakeGroup("g", R"("bob","carol")");
  typists.Type("dave", "group/g");
  std::string of_group = typists.devices["dave"]->answers.at(0);
  CHECK(typists.Refused("dave") == "denied");
  typists.Type("dave", "group/x");
  std::string of_none = typists.devices["dave"]->answers.at(0);
  CHECK(json::parse(of_group)["error"] == json::parse(of_none)["error"]);
  CHECK(typists.devices["bob"]->typing.empty());
  typists.world.Ask(*typists.devices["alice"], "groups.remove", R"("group":"g","user":"carol")");
  typists.Type("carol", "group/g");
  CHECK(typists.devices["bob"]->typing.empty());
  typists.Type("bob", "group/g");
  CHECK(typists.devices["carol"]->typing.empty());
  CHECK(typists.devices["alice"]->typing.size() == 1);
}

TEST_CASE("in a group of more than an inbox each nobody is told who types") {
  Typists typists({.inbox_members_max = 2});
  REQUIRE(CodeOf(typists.world.Ask(
              *typists.devices["alice"], "groups.create",
              R"("group":"g","members":["bob","carol"],"delivery":"topic")")) == "ok");
  typists.devices["alice"]->answers.clear();
  typists.Type("alice", "group/g");
  CHECK(typists.devices["bob"]->typing.empty());
  CHECK(typists.Refused("alice").empty());
}

}  // namespace
}  // namespace parley
