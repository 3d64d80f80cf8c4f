// Contacts and blocks, devices, the account.
#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

std::string CodeOf(const json& answer) {
  return answer.value("ok", false) ? "ok" : answer.at("error").at("code").get<std::string>();
}

// Devices that watch presence, each of its user's; more on demand.
class People {
 public:
  explicit People(EngineOptions options = {}) : world(options) {
    Join();
    Clear();
  }
  void Join() {
    devices.clear();
    for (const char* user : {"alice", "bob", "carol"}) {
      devices[user] = &world.Watch(user, std::string(user) + ":1");
    }
    world.Pass(5000);
  }
  void Clear() {
    for (auto& [session, device] : world.devices) device.presence.clear();
  }
  json Contacts(const std::string& what, const std::string& who, const std::string& whom) {
    return world.Ask(*devices[who], "contacts." + what, R"("user":")" + whom + "\"");
  }
  std::string Code(const std::string& what, const std::string& who, const std::string& whom) {
    return CodeOf(Contacts(what, who, whom));
  }
  void MakeContacts(const std::string& who, const std::string& whom) {
    REQUIRE(Code("add", who, whom) == "ok");
    REQUIRE(Code("accept", whom, who) == "ok");
    Clear();
  }
  // "bob:accepted carol:asked!" with ! for those whom the user blocks.
  std::string List(const std::string& who, const std::string& members = "") {
    std::string text;
    const json one_list = world.Ask(*devices[who], "contacts.list", members)["contacts"];
    for (const json& one : one_list) {
      text += (text.empty() ? "" : " ") + one["user"].get<std::string>() + ":" +
              one["state"].get<std::string>() + (one.value("blocked", false) ? "!" : "");
    }
    return text;
  }
  std::string Sends(const std::string& who, const std::string& whom) {
    TestDevice& device = *devices[who];
    device.answers.clear();
    world.Publish(device, "chat/" + whom, "hi");
    world.Settle();
    REQUIRE(device.answers.size() == 1);
    return CodeOf(json::parse(device.answers[0]));
  }

  World world;
  std::map<std::string, TestDevice*> devices;
};

// Contacts.

TEST_CASE("a request stands on both sides until it is accepted") {
  People people;
  json answer = people.Contacts("add", "alice", "bob");
  CHECK(answer["contact"] == json({{"user", "bob"}, {"state", "requested"}}));
  CHECK(people.List("alice") == "bob:requested");
  CHECK(people.List("bob") == "alice:asked");
  answer = people.Contacts("accept", "bob", "alice");
  CHECK(answer["contact"] == json({{"user", "alice"}, {"state", "accepted"}}));
  CHECK(people.List("alice") == "bob:accepted");
  CHECK(people.List("bob") == "alice:accepted");
}

TEST_CASE("asking again changes nothing and is answered the same") {
  People people;
  json first = people.Contacts("add", "alice", "bob");
  size_t written = people.world.log.transactions().size();
  CHECK(people.Contacts("add", "alice", "bob") == first);
  CHECK(people.world.log.transactions().size() == written);
  people.Contacts("accept", "bob", "alice");
  CHECK(people.Contacts("add", "alice", "bob")["contact"]["state"] == "accepted");
}

TEST_CASE("two who ask each other are contacts") {
  People people;
  people.Contacts("add", "alice", "bob");
  CHECK(people.Contacts("add", "bob", "alice")["contact"]["state"] == "accepted");
  CHECK(people.List("alice") == "bob:accepted");
}

TEST_CASE("only a request that was made can be accepted") {
  People people;
  CHECK(people.Code("accept", "alice", "bob") == "not_found");
  people.Contacts("add", "alice", "bob");
  CHECK(people.Code("accept", "alice", "bob") == "not_found");
  CHECK(people.List("bob") == "alice:asked");
}

TEST_CASE("removing ends a contact, withdraws a request and declines one, on both sides") {
  People people;
  SECTION("a contact") { people.MakeContacts("alice", "bob"); }
  SECTION("one's own request") { people.Contacts("add", "alice", "bob"); }
  SECTION("the other's request") { people.Contacts("add", "bob", "alice"); }
  json answer = people.Contacts("remove", "alice", "bob");
  CHECK(answer["contact"] == json({{"user", "bob"}, {"state", "none"}}));
  CHECK(people.List("alice").empty());
  CHECK(people.List("bob").empty());
  CHECK(people.Code("remove", "alice", "bob") == "ok");
}

TEST_CASE("who is no account is not found, and nobody is a contact of their own") {
  People people;
  for (const char* what : {"add", "accept", "remove", "block", "unblock"}) {
    INFO(what);
    CHECK(people.Code(what, "alice", "nobody") == "not_found");
    CHECK(people.Code(what, "alice", "alice") == "bad_request");
    CHECK(people.Code(what, "alice", "Bob") == "bad_request");
    CHECK(CodeOf(people.world.Ask(*people.devices["alice"], std::string("contacts.") + what)) ==
          "bad_request");
  }
}

TEST_CASE("contacts survive a restart, and being forgotten") {
  People people;
  people.MakeContacts("alice", "bob");
  people.Contacts("block", "carol", "alice");
  SECTION("a restart") {
    people.world.Restart();
    people.Join();
  }
  SECTION("an idle hour") { people.world.Tick(3'600'000); }
  CHECK(people.List("alice") == "bob:accepted");
  CHECK(people.List("carol") == "alice:none!");
  CHECK(people.Sends("alice", "carol") == "denied");
}

TEST_CASE("the list comes in pages, by user") {
  People people;
  for (const char* user : {"eve", "dave", "carol", "bob"}) people.Contacts("add", "alice", user);
  CHECK(people.List("alice", R"("limit":2)") == "bob:requested carol:requested");
  CHECK(people.List("alice", R"("limit":2,"after":"carol")") == "dave:requested eve:requested");
  TestDevice& alice = *people.devices["alice"];
  CHECK(people.world.Ask(alice, "contacts.list", R"("limit":3)")["more"] == true);
  CHECK(people.world.Ask(alice, "contacts.list", R"("limit":4)")["more"] == false);
  CHECK(CodeOf(people.world.Ask(alice, "contacts.list", R"("limit":0)")) == "bad_request");
  CHECK(CodeOf(people.world.Ask(alice, "contacts.list", R"("user":"bob")")) == "bad_request");
}

TEST_CASE("a user's contacts and blocks are bounded, and requests of others apart from them") {
  People people({.contacts_max = 2});
  CHECK(people.Code("add", "alice", "bob") == "ok");
  CHECK(people.Code("block", "alice", "carol") == "ok");
  CHECK(people.Code("add", "alice", "dave") == "too_large");
  CHECK(people.Code("block", "alice", "dave") == "too_large");
  CHECK(people.Code("block", "alice", "bob") == "ok");  // it counts already
  CHECK(people.Code("add", "bob", "alice") == "denied");

  TestDevice& dave = people.world.Watch("dave", "d1");
  TestDevice& eve = people.world.Watch("eve", "e1");
  CHECK(CodeOf(people.world.Ask(dave, "contacts.add", R"("user":"alice")")) == "ok");
  CHECK(CodeOf(people.world.Ask(eve, "contacts.add", R"("user":"alice")")) == "ok");
  TestDevice& frank = people.world.Watch("frank", "f1");
  CHECK(CodeOf(people.world.Ask(frank, "contacts.add", R"("user":"alice")")) == "too_large");
  CHECK(people.Code("accept", "alice", "dave") == "too_large");
  CHECK(people.Code("remove", "alice", "bob") == "ok");  // still blocked, so it still counts
  CHECK(people.Code("accept", "alice", "dave") == "too_large");
  CHECK(people.Code("unblock", "alice", "bob") == "ok");
  CHECK(people.Code("accept", "alice", "dave") == "ok");
  CHECK(people.List("alice") == "carol:none! dave:accepted eve:asked");
}

// Blocks.

TEST_CASE("who is blocked is denied a message, a request and its acceptance, and isn't told why") {
  People people;
  people.Contacts("add", "bob", "alice");
  people.Clear();
  CHECK(people.Code("block", "bob", "alice") == "ok");
  CHECK(people.Sends("alice", "bob") == "denied");
  CHECK(people.Code("add", "alice", "bob") == "denied");
  CHECK(people.Code("accept", "alice", "bob") == "denied");
  CHECK(people.List("alice") == "bob:asked");
  CHECK(people.devices["alice"]->presence.empty());
  CHECK(people.List("bob") == "alice:requested!");
}

TEST_CASE("who blocks somebody may still write to them") {
  People people;
  people.Contacts("block", "alice", "bob");
  CHECK(people.Sends("alice", "bob") == "ok");
  CHECK(people.Sends("bob", "alice") == "denied");
}

TEST_CASE("a block takes nothing away: what the two were comes back with its end") {
  People people;
  people.MakeContacts("alice", "bob");
  people.Contacts("block", "alice", "bob");
  CHECK(people.List("alice") == "bob:accepted!");
  CHECK(people.List("bob") == "alice:accepted");
  people.Contacts("unblock", "alice", "bob");
  CHECK(people.List("alice") == "bob:accepted");
  CHECK(people.Sends("bob", "alice") == "ok");
}

TEST_CASE("two can block each other, and each lifts only its own") {
  People people;
  people.Contacts("block", "alice", "bob");
  CHECK(people.Code("block", "bob", "alice") == "ok");
  people.Contacts("unblock", "alice", "bob");
  CHECK(people.Sends("alice", "bob") == "denied");
  CHECK(people.Sends("bob", "alice") == "ok");
  CHECK(people.List("alice").empty());
  CHECK(people.List("bob") == "alice:none!");
}

TEST_CASE("where a key says so, only contacts may write to its accounts, or they to others") {
  People people;
  people.world.accounts.keys["bob"] = KeyName("closed");
  people.world.accounts.no_strangers.insert(KeyName("closed"));
  CHECK(people.Sends("alice", "bob") == "denied");
  CHECK(people.Sends("bob", "alice") == "denied");
  CHECK(people.Sends("bob", "bob") == "ok");
  CHECK(people.Sends("alice", "carol") == "ok");
  CHECK(people.Code("add", "alice", "bob") == "ok");
  CHECK(people.Sends("alice", "bob") == "denied");
  CHECK(people.Code("accept", "bob", "alice") == "ok");
  CHECK(people.Sends("alice", "bob") == "ok");
  CHECK(people.Sends("bob", "alice") == "ok");
}

TEST_CASE("the same id again is answered as at first, though its sender was blocked since") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  people.world.Send(alice, "bob", "1", "hi");
  people.world.Settle();
  people.Contacts("block", "bob", "alice");
  alice.answers.clear();
  people.world.Send(alice, "bob", "1", "hi");
  people.world.Settle();
  REQUIRE(alice.answers.size() == 1);
  CHECK(CodeOf(json::parse(alice.answers[0])) == "ok");
}

// Events.

TEST_CASE("both sides' devices that watch learn of a request and of its acceptance") {
  People people;
  TestDevice& tablet = people.world.Watch("alice", "alice:2");
  TestDevice& blind = people.world.Connect("bob", "bob:2");
  people.world.Pass(5000);
  people.Clear();
  people.Contacts("add", "alice", "bob");
  const Strings requested{R"({"users":[],"contacts":[{"user":"bob","state":"requested"}]})"};
  CHECK(people.devices["alice"]->presence == requested);
  CHECK(tablet.presence == requested);
  CHECK(people.devices["bob"]->presence ==
        Strings{R"({"users":[],"contacts":[{"user":"alice","state":"asked"}]})"});
  people.Clear();
  people.Contacts("accept", "bob", "alice");
  CHECK(tablet.presence == Strings{R"({"users":[{"user":"bob","online":true}],)"
                                   R"("contacts":[{"user":"bob","state":"accepted"}]})"});
  CHECK(people.devices["bob"]->presence ==
        Strings{R"({"users":[{"user":"alice","online":true}],)"
                R"("contacts":[{"user":"alice","state":"accepted"}]})"});
  CHECK(blind.presence.empty());
  CHECK(people.devices["carol"]->presence.empty());
}

TEST_CASE("who ceases to be a contact is shown offline, so that nobody stays shown online") {
  People people;
  people.MakeContacts("alice", "bob");
  people.Contacts("remove", "alice", "bob");
  CHECK(people.devices["alice"]->presence ==
        Strings{R"({"users":[{"user":"bob","online":false}],)"
                R"("contacts":[{"user":"bob","state":"none"}]})"});
  CHECK(people.devices["bob"]->presence ==
        Strings{R"({"users":[{"user":"alice","online":false}],)"
                R"("contacts":[{"user":"alice","state":"none"}]})"});
}

TEST_CASE("who is blocked sees the other go offline, and no more; the end of it is no secret") {
  People people;
  people.MakeContacts("alice", "bob");
  people.Contacts("block", "alice", "bob");
  CHECK(people.devices["alice"]->presence ==
        Strings{R"({"users":[{"user":"bob","online":false}],)"
                R"("contacts":[{"user":"bob","state":"accepted","blocked":true}]})"});
  CHECK(people.devices["bob"]->presence ==
        Strings{R"({"users":[{"user":"alice","online":false}],"contacts":[]})"});
  people.Clear();
  people.Contacts("unblock", "alice", "bob");
  CHECK(people.devices["alice"]->presence ==
        Strings{R"({"users":[{"user":"bob","online":true}],)"
                R"("contacts":[{"user":"bob","state":"accepted"}]})"});
  CHECK(people.devices["bob"]->presence ==
        Strings{R"({"users":[{"user":"alice","online":true}],"contacts":[]})"});
}

TEST_CASE("what a change tells waits for the journal") {
  People people;
  people.world.Publish(*people.devices["alice"], "ask/contacts.add", R"({"user":"bob"})");
  people.world.ReadAll();
  REQUIRE(people.world.log.queued() == 1);
  people.devices["alice"]->answers.clear();
  people.world.Deliver();
  CHECK(people.devices["alice"]->answers.empty());
  CHECK(people.devices["bob"]->presence.empty());
  people.world.Settle();
  CHECK(people.devices["alice"]->answers.size() == 1);
  CHECK(people.devices["bob"]->presence.size() == 1);
}

TEST_CASE("a change that the journal refuses is taken back, told to its maker and to nobody else") {
  People people;
  people.MakeContacts("alice", "bob");
  TestDevice& alice = *people.devices["alice"];
  alice.answers.clear();
  people.world.Publish(alice, "ask/contacts.block", R"({"rid":"r","user":"bob"})");
  people.world.ReadAll();
  REQUIRE(people.world.log.queued() == 1);
  people.world.FailJournal();
  people.world.Settle();
  REQUIRE(alice.answers.size() == 1);
  CHECK(json::parse(alice.answers[0])["rid"] == "r");
  CHECK(CodeOf(json::parse(alice.answers[0])) == "unavailable");
  CHECK(alice.presence.empty());
  CHECK(people.devices["bob"]->presence.empty());
  CHECK(people.List("alice") == "bob:accepted");
  CHECK(people.Sends("bob", "alice") == "ok");
  CHECK(people.Code("block", "alice", "bob") == "ok");
  CHECK(people.List("alice") == "bob:accepted!");
}

TEST_CASE(
    "contacts can't be changed while the roster, the journal or either's store can't be written") {
  People people;
  people.Contacts("add", "alice", "bob");
  people.Contacts("remove", "alice", "bob");  // both are in memory
  SECTION("the roster") { people.world.log.SetRosterDown(true); }
  SECTION("the journal") { people.world.log.SetStuck(true); }
  SECTION("one's own store") { people.world.log.SetDown(UserId("alice"), true); }
  SECTION("the other's store") { people.world.log.SetDown(UserId("bob"), true); }
  CHECK(people.Code("add", "alice", "bob") == "unavailable");
  people.world.log.SetRosterDown(false);
  people.world.log.SetStuck(false);
  for (const char* user : {"alice", "bob"}) people.world.log.SetDown(UserId(user), false);
  CHECK(people.List("alice").empty());
  CHECK(people.Code("add", "alice", "bob") == "ok");
}

TEST_CASE("while contacts can't be read, nothing is sent: a block may stand there") {
  People people;
  people.world.Restart();
  people.world.roster.unreadable = true;
  people.Join();
  CHECK(people.Sends("alice", "bob") == "unavailable");
  CHECK(CodeOf(people.world.Ask(*people.devices["alice"], "contacts.list")) == "unavailable");
  people.world.roster.unreadable = false;
  CHECK(people.Sends("alice", "bob") == "ok");
}

TEST_CASE("requests about one user are done in order, though both sides are still to be read") {
  People people;
  people.world.Restart();
  people.Join();
  TestDevice& alice = *people.devices["alice"];
  for (const char* what : {"add", "remove", "block", "add"}) {
    people.world.Publish(alice, std::string("ask/contacts.") + what, R"({"user":"dave"})");
  }
  people.world.Settle();
  CHECK(alice.answers.size() == 4);
  CHECK(people.List("alice") == "dave:requested!");
}

TEST_CASE("a gateway changes contacts for whom it acts") {
  People people;
  TestDevice& gate = people.world.Connect("gate", "g1", true);
  people.world.Publish(gate, "as/alice/ask/contacts.add", R"({"rid":"1","user":"bob"})");
  people.world.Settle();
  REQUIRE(gate.answers.size() == 1);
  CHECK(json::parse(gate.answers[0])["user"] == "alice");
  CHECK(people.List("bob") == "alice:asked");
}

// Devices.

std::map<std::string, json> Listed(People& people, TestDevice& device) {
  std::map<std::string, json> by_name;
  const json one_list = people.world.Ask(device, "devices.list")["devices"];
  for (const json& one : one_list) {
    by_name[one["device"]] = one;
  }
  return by_name;
}

TEST_CASE("devices.list has those that are here, were here, or have confirmed, latest first") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  TestDevice& tablet = people.world.Join("alice", "tablet");
  people.world.Send(*people.devices["bob"], "alice", "1", "x");
  people.world.Settle();
  people.world.Confirm(tablet, 1);
  people.world.Settle();
  people.world.Leave(tablet);
  int64_t left_ms = people.world.env.now_ms;
  people.world.accounts.seen["alice"]["old"] = 1700000000000;
  people.world.Pass(60'000);
  json list = people.world.Ask(alice, "devices.list")["devices"];
  REQUIRE(list.size() == 3);
  CHECK(list[0] == json({{"device", "alice:1"},
                         {"delivered", 0},
                         {"last_seen", people.world.env.now_ms},
                         {"online", true}}));
  CHECK(list[1] ==
        json({{"device", "tablet"}, {"delivered", 1}, {"last_seen", left_ms}, {"online", false}}));
  CHECK(
      list[2] ==
      json({{"device", "old"}, {"delivered", 0}, {"last_seen", 1700000000000}, {"online", false}}));
}

TEST_CASE("a list of devices with very long names stays within its bound") {
  People people;
  for (char c = 'a'; c <= 'f'; ++c) {
    people.world.accounts.seen["alice"][std::string(60'000, c)] = 1700000000000;
  }
  TestDevice& alice = *people.devices["alice"];
  CHECK(Listed(people, alice).size() == 5);
  CHECK(alice.answers.back().size() <= 256 * 1024);
}

TEST_CASE(
    "a device that is removed is closed after the answer, forgotten with its cursor, and offline") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  TestDevice& phone = people.world.Join("alice", "phone");
  people.world.Send(*people.devices["bob"], "alice", "1", "x");
  people.world.Settle();
  people.world.Confirm(phone, 1);
  people.world.Settle();
  CHECK(Listed(people, alice).contains("phone"));
  CHECK(CodeOf(people.world.Ask(alice, "devices.remove", R"("device":"phone")")) == "ok");
  CHECK(phone.closed);
  CHECK_FALSE(alice.closed);
  CHECK(people.world.accounts.removed_devices["alice"].contains("phone"));
  CHECK_FALSE(Listed(people, alice).contains("phone"));
  CHECK(people.world.log.Caught(UserId("alice")).ReadDevices(UserId("alice"))->empty());

  SECTION("what it still does is nothing") {
    people.world.Confirm(phone, 1);
    people.world.Publish(phone, "chat/bob", "still here");
    people.world.Settle();
    CHECK_FALSE(Listed(people, alice).contains("phone"));
    CHECK(people.world.Ask(alice, "sync")["head"] == 1);
  }
  SECTION("its end is not news of it") {
    people.world.Leave(phone);
    CHECK_FALSE(Listed(people, alice).contains("phone"));
  }
  SECTION("it may come back, as a new one") {
    people.world.Leave(phone);
    TestDevice& again = people.world.Join("alice", "phone");
    people.world.Settle();
    CHECK(again.inbox.empty());
    CHECK(Listed(people, alice)["phone"]["delivered"] == 0);
  }
}

TEST_CASE("a device removes itself: it has the answer, then it is closed") {
  People people;
  TestDevice& phone = people.world.Join("alice", "phone");
  CHECK(CodeOf(people.world.Ask(phone, "devices.remove", R"("device":"phone")")) == "ok");
  REQUIRE(phone.effects.size() >= 2);
  CHECK(phone.effects.back().close);
}

TEST_CASE("a receipt that still waits for a read leaves no cursor of a device that is removed") {
  People people;
  people.world.Send(*people.devices["bob"], "alice", "1", "x");
  people.world.Settle();
  people.world.Restart();
  people.Join();
  TestDevice& phone = people.world.Connect("alice", "phone");
  people.world.Publish(*people.devices["alice"], "ask/devices.remove", R"({"device":"phone"})");
  people.world.Confirm(phone, 1);
  // The removal comes back first.
  while (people.world.readers.jobs.size() > 1) people.world.RunRead(0);
  while (!phone.closed && !people.world.readers.done.empty()) {
    people.world.TakeRead(0);
    people.world.log.Commit();
    people.world.Deliver();
  }
  people.world.Settle();
  CHECK(phone.closed);
  CHECK(people.world.log.Caught(UserId("alice")).ReadDevices(UserId("alice"))->empty());
}

TEST_CASE("who isn't known can't be removed; what is wrong is refused") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  auto code = [&](const std::string& members) {
    return CodeOf(people.world.Ask(alice, "devices.remove", members));
  };
  CHECK(code(R"("device":"never")") == "not_found");
  CHECK(code("") == "bad_request");
  CHECK(code(R"("device":7)") == "bad_request");
  people.world.accounts.broken = {Code::kIoError, "/var/lib/parley/directory.db: full"};
  CHECK(code(R"("device":"alice:1")") == "unavailable");
  CHECK_FALSE(alice.closed);
}

TEST_CASE("a device of which only a cursor is left, or only a connection, can be removed") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  TestDevice& phone = people.world.Join("alice", "phone");
  people.world.Confirm(phone, 0);
  people.world.Settle();
  people.world.accounts.seen["alice"].erase("phone");
  SECTION("a cursor") {
    people.world.Leave(phone);
    people.world.accounts.seen["alice"].erase("phone");
  }
  SECTION("a connection") {}
  CHECK(CodeOf(people.world.Ask(alice, "devices.remove", R"("device":"phone")")) == "ok");
  CHECK(people.world.log.Caught(UserId("alice")).ReadDevices(UserId("alice"))->empty());
}

TEST_CASE("a removal that the journal refuses says so") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  people.world.Join("alice", "phone");
  people.world.Settle();
  alice.answers.clear();
  people.world.Publish(alice, "ask/devices.remove", R"({"device":"phone"})");
  people.world.ReadAll();
  people.world.FailJournal();
  people.world.Settle();
  REQUIRE(alice.answers.size() == 1);
  CHECK(CodeOf(json::parse(alice.answers[0])) == "unavailable");
}

// The account.

TEST_CASE("account.get shows the account, and account.set its name") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  people.world.accounts.keys["alice"] = KeyName("shop");
  people.world.accounts.passwords["alice"] = "secret";
  people.world.Ask(alice, "account.get");
  CHECK(alice.answers.back() ==
        R"({"rid":"q","ok":true,"user":"alice","role":"user","key":"shop","has_password":true,)"
        R"("created":1750000000000})");
  people.world.Ask(alice, "account.set", R"("name":"Alice \"A\" Liddell")");
  CHECK(json::parse(alice.answers.back())["name"] == "Alice \"A\" Liddell");
  CHECK(people.world.Ask(alice, "account.get")["name"] == "Alice \"A\" Liddell");
  auto code = [&](const std::string& members) {
    return CodeOf(people.world.Ask(alice, "account.set", members));
  };
  CHECK(code(R"("name":")" + std::string(128, 'x') + "\"") == "ok");
  CHECK(code(R"("name":")" + std::string(129, 'x') + "\"") == "too_large");
  CHECK(code("") == "bad_request");
  CHECK(code(R"("name":null)") == "bad_request");
}

TEST_CASE("a password is changed by who knows the old one") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  people.world.accounts.passwords["alice"] = "old";
  auto code = [&](const std::string& members) {
    return CodeOf(people.world.Ask(alice, "account.password", members));
  };
  CHECK(code(R"("old":"wrong","new":"another")") == "denied");
  CHECK(people.world.accounts.passwords["alice"] == "old");
  CHECK(code(R"("old":"old","new":"another")") == "ok");
  CHECK(people.world.accounts.passwords["alice"] == "another");
  CHECK(code(R"("old":"another")") == "bad_request");
  CHECK(code(R"("old":"another","new":"")") == "bad_request");
  CHECK(code(R"("old":"another","new":")" + std::string(1025, 'x') + "\"") == "bad_request");
}

TEST_CASE("a new password ends the user's other connections, and nobody else's") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  TestDevice& laptop = people.world.Connect("alice", "laptop");
  people.world.accounts.passwords["alice"] = "old";
  CHECK(CodeOf(people.world.Ask(alice, "account.password", R"("old":"bad","new":"x")")) ==
        "denied");
  CHECK_FALSE(laptop.closed);
  CHECK(CodeOf(people.world.Ask(alice, "account.password", R"("old":"old","new":"x")")) == "ok");
  CHECK(laptop.closed);
  CHECK_FALSE(alice.closed);
  CHECK_FALSE(people.devices["bob"]->closed);
}

TEST_CASE("five new passwords may be tried at once, then one every ten seconds") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  people.world.accounts.passwords["alice"] = "old";
  auto ask = [&](TestDevice& device) {
    return people.world.Ask(device, "account.password", R"("old":"wrong","new":"x")");
  };
  for (int i = 0; i < 5; ++i) CHECK(CodeOf(ask(alice)) == "denied");
  json refused = ask(alice);
  CHECK(CodeOf(refused) == "quota");
  CHECK(refused["error"]["retry_after_ms"] == 10'000);
  CHECK(CodeOf(ask(*people.devices["bob"])) == "denied");
  people.world.env.now_ms += 10'000;
  CHECK(CodeOf(ask(alice)) == "denied");
  CHECK(CodeOf(ask(alice)) == "quota");
}

TEST_CASE("10,000 users try new passwords within a minute, and no more") {
  World world;
  std::vector<TestDevice*> devices;
  const auto ask = [&](size_t n) {
    return CodeOf(world.Ask(*devices[n], "account.password", R"("old":"wrong","new":"x")"));
  };
  for (size_t n = 0; n <= 10'000; ++n) {
    const std::string user = "u" + std::to_string(n);
    world.accounts.users.insert(user);
    world.accounts.passwords[user] = "old";
    devices.push_back(&world.Connect(user, user + ":1"));
  }
  size_t denied = 0;
  for (size_t n = 0; n < 10'000; ++n) denied += ask(n) == "denied";
  CHECK(denied == 10'000);
  CHECK(ask(10'000) == "quota");
  CHECK(ask(0) == "denied");
  world.env.now_ms += 60'000;
  CHECK(ask(10'000) == "denied");
}

TEST_CASE("a token is for all of the user's devices and a day, where nothing else is said") {
  People people;
  TestDevice& alice = *people.devices["alice"];
  uint64_t now_ms = static_cast<uint64_t>(people.world.env.now_ms);
  json answer = people.world.Ask(alice, "account.token");
  CHECK(answer["token"] == "alice//86400");
  CHECK(answer["expires"] == now_ms + 86'400'000);
  answer = people.world.Ask(alice, "account.token", R"("ttl":60,"device":"tablet")");
  CHECK(answer["token"] == "alice/tablet/60");
  CHECK(answer["expires"] == now_ms + 60'000);
  answer = people.world.Ask(alice, "account.token", R"("device":"alice:tablet")");
  CHECK(answer["token"] == "alice/alice:tablet/86400");
  for (const char* members : {R"("ttl":59)", R"("ttl":7776001)", R"("ttl":"1d")", R"("device":"")",
                              R"("device":1)", R"("device":"bob:1")", R"("device":"a/b")"}) {
    CHECK(CodeOf(people.world.Ask(alice, "account.token", members)) == "bad_request");
  }
  CHECK(CodeOf(people.world.Ask(alice, "account.token", R"("ttl":7776000)")) == "ok");
}

TEST_CASE("a gateway that acts for a user gets at none of what proves who that is") {
  People people;
  TestDevice& gate = people.world.Connect("gate", "g1", true);
  people.world.accounts.passwords["alice"] = "old";
  auto ask = [&](const std::string& method, const std::string& members) {
    gate.answers.clear();
    people.world.Publish(gate, "as/alice/ask/" + method, "{" + members + "}");
    people.world.Settle();
    return CodeOf(json::parse(gate.answers.at(0)));
  };
  CHECK(ask("account.token", "") == "denied");
  CHECK(ask("account.password", R"("old":"old","new":"new")") == "denied");
  CHECK(ask("devices.remove", R"("device":"alice:1")") == "denied");
  CHECK(people.world.accounts.passwords["alice"] == "old");
  CHECK(ask("account.get", "") == "ok");
  std::string answer = gate.answers[0];
  CHECK(answer.find("\"user\":") == answer.rfind("\"user\":"));
  CHECK(json::parse(answer)["user"] == "alice");
  CHECK(CodeOf(people.world.Ask(gate, "account.token")) == "ok");  // its own
}

TEST_CASE("while the directory can't be read, the account and devices are unavailable") {
  People people;
  people.world.accounts.broken = {Code::kIoError, "/var/lib/parley/directory.db: bad sector"};
  for (const auto& [method, members] :
       std::map<std::string, std::string>{{"account.get", ""},
                                          {"account.set", R"("name":"x")"},
                                          {"account.password", R"("old":"a","new":"b")"},
                                          {"account.token", ""},
                                          {"devices.list", ""}}) {
    INFO(method);
    json answer = people.world.Ask(*people.devices["alice"], method, members);
    CHECK(CodeOf(answer) == "unavailable");
    CHECK(answer.dump().find("/var") == std::string::npos);
  }
}

}  // namespace
}  // namespace parley
