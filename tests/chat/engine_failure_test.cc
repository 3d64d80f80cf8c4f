// What doesn't go well: a journal that refuses or is stuck, stores that are down, users that were
// forgotten; and that nobody is ever shown what is not so.
#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

std::string CodeIn(const std::string& answer) {
  return json::parse(answer).at("error").at("code").get<std::string>();
}

// alice and bob, each with a device that confirms from the beginning, and a script of alice's.
class Pair {
 public:
  explicit Pair(EngineOptions options = {}) : world(options) { Join(); }
  void Join() {
    alice = &world.Join("alice", "a1");
    bob = &world.Join("bob", "b1");
    script = &world.Connect("alice", "s1");
    world.Settle();
    world.Confirm(*alice, 0);
    world.Confirm(*bob, 0);
    world.Settle();
  }
  // Numbered and appended, not yet committed.
  void Send(const std::string& id) { world.Send(*alice, "bob", id, "x"); }
  void Say(const std::string& id) {
    Send(id);
    world.Settle();
  }

  World world;
  TestDevice* alice;
  TestDevice* bob;
  TestDevice* script;
};

TEST_CASE("what the journal refuses is shown to nobody, and its senders are told") {
  Pair pair;
  pair.Say("1");
  pair.Send("2");
  pair.world.Send(*pair.script, "bob", "3", "x");
  pair.world.FailJournal({Code::kIoError, "/var/lib/parley/journal: no space left"});
  pair.world.Settle();
  CHECK(SeqsOf(pair.bob->inbox) == "1");
  CHECK(SeqsOf(pair.alice->inbox) == "1");
  CHECK(pair.alice->answers ==
        Strings{R"({"ok":false,"topic":"chat/bob","id":"2","error":{"code":"unavailable",)"
                R"("message":"the store can't be read or written now"}})"});
  REQUIRE(pair.script->answers.size() == 1);
  CHECK(json::parse(pair.script->answers[0])["id"] == "3");
  CHECK(CodeIn(pair.script->answers[0]) == "unavailable");
  CHECK(pair.world.engine->counts().refused[static_cast<size_t>(Code::kUnavailable)] == 2);
}

TEST_CASE("numbers that were taken back are used again: no gap and nothing twice") {
  Pair pair;
  pair.Say("1");
  for (const char* id : {"2", "3"}) pair.Send(id);
  pair.world.FailJournal();
  pair.world.Settle();
  pair.Say("3");
  pair.Say("2");
  CHECK(SeqsOf(pair.alice->inbox) == "1-3");
  CHECK(pair.alice->inbox == pair.bob->inbox);
  CHECK(json::parse(pair.bob->inbox[1])["id"] == "3");
}

TEST_CASE("an id whose message was refused may be sent again, with another content too") {
  Pair pair;
  pair.Say("0");
  pair.Send("1");
  pair.world.FailJournal();
  pair.world.Settle();
  pair.world.Send(*pair.alice, "bob", "1", "another");
  pair.world.Settle();
  CHECK(SeqsOf(pair.bob->inbox) == "1-2");
  CHECK(json::parse(pair.bob->inbox[1])["body"] == "another");
}

TEST_CASE("sent again while the first is at stake, both are told that it failed") {
  Pair pair;
  pair.Say("0");
  pair.Send("1");
  pair.world.Send(*pair.script, "bob", "1", "x");
  pair.world.FailJournal();
  pair.world.Settle();
  CHECK(pair.alice->answers.size() == 1);
  CHECK(pair.script->answers.size() == 1);
  CHECK(CodeIn(pair.script->answers[0]) == "unavailable");
}

TEST_CASE("what was committed before a failure stays shown, in whatever turn it was to go out") {
  Pair pair;
  for (int i = 1; i <= 20; ++i) pair.Say(std::to_string(i));
  // Bob's tablet, which confirmed 0, catches up in turns that wait for carol's message.
  TestDevice& tablet = pair.world.Connect("bob", "b2");
  pair.world.Confirm(tablet, 0);
  pair.world.Settle();
  TestDevice& carol = pair.world.Connect("carol", "c1");
  pair.world.Send(carol, "dave", "0", "x");
  pair.world.Settle();
  SECTION("from the cache") {}
  SECTION("from the store") {
    pair.world.Restart();
    pair.Join();
    pair.world.Connect("bob", "b2");
    pair.world.Send(pair.world.Connect("carol", "c1"), "dave", "00", "x");
    pair.world.Settle();
  }
  TestDevice* late = nullptr;
  TestDevice* writer = nullptr;
  for (auto& [id, device] : pair.world.devices) {
    if (device.id == "b2") late = &device;
    if (device.id == "c1") writer = &device;
  }
  pair.world.Send(*writer, "dave", "1", "x");
  pair.world.Subscribe(*late);
  while (!pair.world.readers.jobs.empty() || !pair.world.readers.done.empty()) {
    if (!pair.world.readers.jobs.empty()) pair.world.RunRead();
    if (!pair.world.readers.done.empty()) pair.world.TakeRead();
    pair.world.Send(*writer, "dave", std::to_string(pair.world.log.next_lsn().value()), "x");
  }
  pair.world.FailJournal();
  pair.world.Settle();
  CHECK(SeqsOf(late->inbox) == "1-20");
  pair.Say("21");
  CHECK(SeqsOf(late->inbox) == "1-21");
}

TEST_CASE("a copy that is asked for again goes out though what came later fails") {
  Pair pair;
  pair.Say("1");
  pair.Send("2");
  pair.Send("1");
  pair.world.Send(*pair.script, "bob", "1", "x");
  pair.world.FailJournal();
  pair.world.Settle();
  CHECK(SeqsOf(pair.alice->inbox) == "1 1");
  REQUIRE(pair.script->answers.size() == 1);
  CHECK(json::parse(pair.script->answers[0])["ok"] == true);
  CHECK(pair.alice->answers.size() == 1);
}

TEST_CASE("answers that tell of what failed are errors, those that don't go out") {
  Pair pair;
  pair.Say("1");
  pair.world.Publish(*pair.script, "ask/sync", R"({"rid":"waits","after":1,"wait":30})");
  pair.world.Publish(*pair.bob, "ask/nothing", R"({"rid":"x"})");
  pair.world.Settle();
  pair.bob->answers.clear();
  pair.Send("2");
  pair.world.Publish(*pair.bob, "ask/sync", R"({"rid":"reads"})");
  pair.world.Publish(*pair.bob, "ask/nothing", R"({"rid":"y"})");
  pair.world.FailJournal();
  pair.world.Settle();
  REQUIRE(pair.script->answers.size() == 1);
  CHECK(json::parse(pair.script->answers[0])["rid"] == "waits");
  CHECK(CodeIn(pair.script->answers[0]) == "unavailable");
  REQUIRE(pair.bob->answers.size() == 2);
  std::map<std::string, std::string> codes;
  for (const std::string& answer : pair.bob->answers) {
    codes[json::parse(answer)["rid"]] = CodeIn(answer);
  }
  CHECK(codes["reads"] == "unavailable");
  CHECK(codes["y"] == "bad_request");
}

TEST_CASE("what is appended between a failure and its being noticed fails with it") {
  Pair pair;
  pair.Say("1");
  pair.Send("2");
  Lsn first = pair.world.log.Fail();
  pair.Send("3");
  pair.world.Deliver();
  pair.world.TellFailed(first);
  pair.world.Settle();
  CHECK(pair.alice->answers.size() == 2);
  CHECK(SeqsOf(pair.bob->inbox) == "1");
  pair.Say("4");
  CHECK(SeqsOf(pair.bob->inbox) == "1-2");
}

TEST_CASE("a failure in which nobody's state changed disturbs nobody") {
  Pair pair;
  pair.Say("1");
  TestDevice& carol = pair.world.Connect("carol", "c1");
  pair.world.Send(carol, "dave", "1", "x");
  pair.world.ReadAll();
  pair.world.Send(carol, "dave", "2", "x");
  pair.world.FailJournal();
  CHECK(pair.world.readers.jobs.empty());  // alice and bob are not read again
  pair.Say("2");
  CHECK(SeqsOf(pair.bob->inbox) == "1-2");
}

TEST_CASE("devices go on without a gap after a failure, also those with a full window") {
  Pair pair({.window = 4});
  TestDevice& silent = pair.world.Join("bob", "b2");
  pair.world.Settle();
  for (int i = 1; i <= 6; ++i) pair.Say(std::to_string(i));
  CHECK(SeqsOf(pair.bob->inbox) == "1-4");
  for (int i = 7; i <= 9; ++i) pair.Send(std::to_string(i));
  pair.world.Confirm(*pair.bob, 3);
  pair.world.FailJournal();
  pair.world.Settle();
  CHECK(SeqsOf(silent.inbox) == "1-6");
  for (int i = 10; i <= 12; ++i) pair.Say(std::to_string(i));
  CHECK(SeqsOf(silent.inbox) == "1-9");
  for (uint64_t delivered : {4, 8, 9}) {
    pair.world.Confirm(*pair.bob, delivered);
    pair.world.Settle();
  }
  CHECK(SeqsOf(pair.bob->inbox) == "1-9");
  CHECK(pair.bob->inbox == silent.inbox);
}

TEST_CASE("a receipt that the journal refused is told, is not shown, and counts when sent again") {
  Pair pair;
  pair.Say("1");
  pair.world.Confirm(*pair.bob, 1);
  pair.world.Confirm(*pair.alice, 1);
  pair.world.FailJournal();
  pair.world.Settle();
  CHECK(pair.alice->receipts.empty());
  REQUIRE(pair.bob->answers.size() == 1);
  CHECK(json::parse(pair.bob->answers[0])["topic"] == "receipt/bob");
  CHECK(CodeIn(pair.bob->answers[0]) == "unavailable");
  pair.world.Confirm(*pair.bob, 1);
  pair.world.Settle();
  CHECK(pair.bob->answers.size() == 1);
  CHECK(pair.alice->receipts.size() == 1);
  CHECK(pair.world.log.Caught(UserId("bob")).ReadDevices(UserId("bob"))->at(0).delivered == Seq(1));
}

TEST_CASE("a first receipt that the journal refused leaves a device live, without a window") {
  Pair pair({.window = 4});
  TestDevice& tablet = pair.world.Join("bob", "b2");
  pair.world.Settle();
  pair.Say("1");
  pair.world.Confirm(tablet, 1);
  pair.world.FailJournal();
  pair.world.Settle();
  REQUIRE(CodeIn(tablet.answers.at(0)) == "unavailable");
  for (int i = 2; i <= 9; ++i) pair.Say(std::to_string(i));
  CHECK(SeqsOf(tablet.inbox) == "1-9");
  pair.world.Subscribe(tablet);
  pair.Say("10");
  CHECK(SeqsOf(tablet.inbox) == "1-10");
}

TEST_CASE(
    "a receipt of a device without an inbox that the journal refused counts when sent again") {
  Pair pair;
  pair.Say("1");
  TestDevice& reader = pair.world.Connect("bob", "b2");
  pair.world.Confirm(reader, 1);
  pair.world.ReadAll();
  pair.world.Confirm(reader, 1);
  pair.world.FailJournal();
  pair.world.Settle();
  pair.world.Confirm(reader, 1);
  pair.world.Settle();
  auto devices = *pair.world.log.Caught(UserId("bob")).ReadDevices(UserId("bob"));
  REQUIRE(devices.size() == 2);
  CHECK(devices[1].delivered == Seq(1));
}

// Reads that were under way when numbers were taken back.

TEST_CASE("a tail that was read before a failure doesn't count after it") {
  World world;
  TestDevice& bob_once = world.Connect("bob", "b0");
  world.Send(bob_once, "alice", "1", "x");
  world.Settle();
  world.Restart();
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& carol = world.Connect("carol", "c1");
  world.Send(carol, "dave", "1", "x");
  world.Settle();
  world.Confirm(alice, 0);
  world.Settle();
  // Bob's tail is read for carol's message …
  world.Send(carol, "bob", "2", "x");
  world.RunRead();
  // … and before that comes back, alice's receipt touches bob and is refused.
  world.Confirm(alice, 1);
  world.RunRead();
  world.TakeRead(1);
  REQUIRE(world.log.queued() == 1);
  world.FailJournal();
  // Bob is read anew and gets a number; only then comes what was read first.
  while (!world.readers.jobs.empty()) world.RunRead();
  while (world.readers.done.size() > 1) world.TakeRead(1);
  world.log.Commit();
  world.TakeRead();
  world.Settle();
  world.Send(carol, "bob", "3", "x");
  world.Settle();
  TestDevice& bob = world.Connect("bob", "b1");
  CHECK(SeqsOf(world.Ask(bob, "sync")["messages"]) == "1-3");
}

TEST_CASE("sent ids that were read before a failure don't count after it") {
  World world;
  TestDevice& alice_once = world.Connect("alice", "a0");
  world.Send(alice_once, "bob", "1", "x");
  world.Settle();
  world.Restart();
  TestDevice& alice = world.Connect("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Confirm(bob, 0);
  world.Settle();
  world.Send(alice, "bob", "2", "x");
  world.RunRead();
  // Bob's receipt touches alice and is refused.
  world.Confirm(bob, 1);
  world.RunRead();
  world.TakeRead(1);
  REQUIRE(world.log.queued() == 1);
  world.FailJournal();
  world.Publish(alice, "ask/sync", R"({"rid":"s"})");  // reads alice, too
  while (!world.readers.jobs.empty() || world.readers.done.size() > 1) {
    while (!world.readers.jobs.empty()) world.RunRead();
    while (world.readers.done.size() > 1) world.TakeRead(1);
  }
  world.log.Commit();
  world.TakeRead();
  world.Settle();
  world.Send(alice, "bob", "2", "x");
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "2");
}

TEST_CASE("a sync that waits through a failure tells no number that was taken back") {
  Pair pair;
  pair.Say("1");
  pair.world.Publish(*pair.script, "ask/sync", R"({"rid":"a","after":2,"wait":10})");
  pair.world.Settle();
  pair.Send("2");
  pair.world.Leave(*pair.alice);
  pair.world.FailJournal();
  pair.world.Tick(10'000);
  pair.world.Settle();
  REQUIRE(pair.script->answers.size() == 1);
  CHECK(json::parse(pair.script->answers[0])["head"] == 1);
}

TEST_CASE("a read that waits for what the journal refused ends, and others go on") {
  Pair pair;
  pair.Say("1");
  pair.Send("2");
  pair.world.Publish(*pair.bob, "ask/history", R"({"rid":"h","with":"alice"})");
  REQUIRE(pair.world.readers.jobs.size() == 1);
  pair.world.FailJournal();
  pair.world.Settle();
  CHECK(CodeIn(pair.bob->answers.at(0)) == "unavailable");
  json history = pair.world.Ask(*pair.bob, "history", R"("with":"alice")");
  CHECK(SeqsOf(history["messages"]) == "1");
}

TEST_CASE("reads after a failure don't wait for numbers that users who are forgotten had") {
  Pair pair({.user_idle_ms = 0});
  pair.Say("1");
  pair.world.Leave(*pair.alice);
  pair.world.Leave(*pair.script);
  pair.world.Tick(2000);
  pair.world.Confirm(*pair.bob, 1);  // alice isn't in memory: her receipt goes to the store
  pair.world.FailJournal();
  pair.world.Settle();
  CHECK(pair.world.Ask(*pair.bob, "sync")["head"] == 1);
}

// A journal that is stuck.

TEST_CASE("while the journal is stuck senders are told at once, and reads don't wait for it") {
  Pair pair;
  pair.Say("1");
  pair.Send("2");
  pair.world.log.SetStuck(true);
  pair.world.Send(*pair.alice, "bob", "3", "x");
  pair.world.Confirm(*pair.bob, 1);
  pair.world.Publish(*pair.bob, "ask/history", R"({"rid":"h","with":"alice"})");
  pair.world.ReadAll();
  pair.world.Deliver();
  REQUIRE(pair.alice->answers.size() == 1);
  CHECK(json::parse(pair.alice->answers[0])["id"] == "3");
  CHECK(CodeIn(pair.alice->answers[0]) == "unavailable");
  CHECK(pair.bob->answers.size() == 2);
  CHECK(SeqsOf(pair.bob->inbox) == "1");
  pair.world.log.SetStuck(false);
  pair.world.Settle();
  CHECK(SeqsOf(pair.bob->inbox) == "1-2");
  pair.Say("3");
  CHECK(SeqsOf(pair.bob->inbox) == "1-3");
}

// Stores.

TEST_CASE("users of a store that is down are told so, everybody else goes on") {
  Pair pair;
  pair.Say("1");
  pair.world.log.SetDown(UserId("bob"), true);
  pair.world.TellStores();
  TestDevice& carol = pair.world.Connect("carol", "c1");
  pair.Send("2");
  pair.world.Send(*pair.script, "carol", "3", "x");
  pair.world.Send(carol, "dave", "4", "x");
  pair.world.Confirm(*pair.bob, 1);
  pair.world.Publish(*pair.bob, "ask/sync", R"({"rid":"s"})");
  pair.world.Send(*pair.bob, "alice", "5", "x");
  pair.world.Settle();
  REQUIRE(pair.alice->answers.size() == 1);
  CHECK(CodeIn(pair.alice->answers[0]) == "unavailable");
  CHECK(json::parse(pair.script->answers.at(0))["ok"] == true);
  CHECK(json::parse(carol.answers.at(0))["ok"] == true);
  REQUIRE(pair.bob->answers.size() == 3);
  for (const std::string& answer : pair.bob->answers) CHECK(CodeIn(answer) == "unavailable");
}

TEST_CASE("a device whose log can't be read is told, and goes on when the store is back") {
  Pair pair;
  for (int i = 1; i <= 3; ++i) pair.Say(std::to_string(i));
  pair.world.Restart();
  pair.world.log.SetDown(UserId("bob"), true);
  TestDevice& bob = pair.world.Join("bob", "b1");
  pair.world.Settle();
  REQUIRE(bob.answers.size() == 1);
  CHECK(json::parse(bob.answers[0])["topic"] == "chat/bob");
  CHECK(CodeIn(bob.answers[0]) == "unavailable");
  CHECK(bob.inbox.empty());
  pair.world.log.SetDown(UserId("bob"), false);
  pair.world.TellStores();
  pair.world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-3");
}

TEST_CASE("a device whose log could not be read once is served soon, though no store was down") {
  Pair pair;
  for (int i = 1; i <= 3; ++i) pair.Say(std::to_string(i));
  pair.world.Restart();
  pair.world.log.SetUnreadable(UserId("bob"), true);
  TestDevice& bob = pair.world.Join("bob", "b1");
  pair.world.Settle();
  CHECK(CodeIn(bob.answers.at(0)) == "unavailable");
  pair.world.Tick(1000);
  pair.world.Settle();
  CHECK(bob.inbox.empty());
  CHECK(bob.answers.size() == 1);  // told once
  pair.world.log.SetUnreadable(UserId("bob"), false);
  pair.world.Tick(1000);
  pair.world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-3");
}

TEST_CASE("a device that subscribes again while its log can't be read misses nothing") {
  Pair pair;
  pair.Say("1");
  pair.world.log.SetUnreadable(UserId("bob"), true);
  TestDevice& tablet = pair.world.Join("bob", "b2");  // never confirmed anything: from here on
  pair.world.Settle();
  REQUIRE(CodeIn(tablet.answers.at(0)) == "unavailable");
  pair.Say("2");
  pair.world.Subscribe(tablet);
  pair.world.log.SetUnreadable(UserId("bob"), false);
  pair.world.Tick(1000);
  pair.world.Settle();
  pair.Say("3");
  CHECK(SeqsOf(tablet.inbox) == "2-3");
}

TEST_CASE("a store that fails in the middle of catching up leaves no gap") {
  Pair pair({.user_cache_messages = 2});
  for (int i = 1; i <= 10; ++i) pair.Say(std::to_string(i));
  TestDevice& tablet = pair.world.Connect("bob", "b2");
  pair.world.Confirm(tablet, 2);
  pair.world.Settle();
  pair.world.log.SetUnreadable(UserId("bob"), true);
  pair.world.Subscribe(tablet);
  pair.world.ReadAll();
  pair.world.Send(*pair.alice, "bob", "11", "x");
  pair.world.Settle();
  CHECK(tablet.inbox.empty());
  pair.world.log.SetUnreadable(UserId("bob"), false);
  pair.world.Tick(1000);
  pair.world.Settle();
  CHECK(SeqsOf(tablet.inbox) == "3-11");
}

TEST_CASE("a message whose receiver can't be read is refused, and the next one goes") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  world.log.SetUnreadable(UserId("bob"), true);
  world.Send(alice, "bob", "1", "x");
  world.Send(alice, "carol", "2", "x");
  world.Settle();
  REQUIRE(alice.answers.size() == 2);
  CHECK(CodeIn(alice.answers[0]) == "unavailable");
  CHECK(alice.answers[0].find("/disk") == std::string::npos);
  CHECK(json::parse(alice.answers[1])["ok"] == true);
  world.log.SetUnreadable(UserId("bob"), false);
  world.Send(alice, "bob", "1", "x");
  world.Settle();
  CHECK(json::parse(alice.answers.back())["ok"] == true);
}

// Users that are forgotten.

TEST_CASE("idle users are forgotten, and nothing is forgotten with them") {
  World world({.user_idle_ms = 60'000});
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  for (int i = 1; i <= 3; ++i) world.Send(alice, "bob", std::to_string(i), "x");
  world.Confirm(bob, 0);
  world.Settle();
  world.Leave(alice);
  CHECK(world.engine->users() == 2);
  world.Tick(59'000);
  CHECK(world.engine->users() == 2);
  world.Tick(2'000);
  CHECK(world.engine->users() == 1);  // bob has a device
  TestDevice& again = world.Connect("alice", "s1");
  world.Send(again, "bob", "2", "x");
  world.Send(again, "bob", "4", "x");
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-4");
  CHECK(json::parse(again.answers.at(0))["seq"] == 2);
  world.Leave(again);
  world.Leave(bob);
  world.Tick(61'000);
  CHECK(world.engine->users() == 0);
  CHECK(world.engine->cached_bytes() == 0);
}

TEST_CASE(
    "what a connected user sent isn't kept while it sends nothing, and is known when it does") {
  World world({.user_idle_ms = 60'000});
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(alice, "bob", "1", "x");
  world.Settle();
  world.Tick(30'000);
  world.Send(bob, "alice", "1", "y");  // what she gets doesn't count
  world.Settle();
  world.Tick(29'000);
  world.Send(alice, "bob", "1", "x");
  CHECK(world.readers.jobs.empty());
  world.Settle();
  world.Tick(61'000);
  world.Send(alice, "bob", "1", "x");
  CHECK_FALSE(world.readers.jobs.empty());
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-2");
  CHECK(json::parse(alice.answers.back())["seq"] == 1);
}

TEST_CASE("a user that is forgotten before its message is committed is read with it") {
  World world({.user_idle_ms = 0});
  TestDevice& alice = world.Connect("alice", "s1");
  world.Settle();
  world.Send(alice, "bob", "1", "x");
  world.ReadAll();
  world.Leave(alice);
  world.Tick(2000);
  CHECK(world.engine->users() == 0);
  TestDevice& again = world.Connect("alice", "s1");
  world.Send(again, "bob", "2", "x");
  world.Settle();
  CHECK(json::parse(again.answers.at(0))["seq"] == 2);
}

TEST_CASE("users with reads, messages or syncs under way are not forgotten") {
  World world({.user_idle_ms = 0});
  TestDevice& alice = world.Connect("alice", "s1");
  world.Send(alice, "bob", "1", "x");
  world.Leave(alice);
  world.Tick(2000);
  CHECK(world.engine->users() == 1);
  world.Settle();
  TestDevice& again = world.Connect("alice", "s1");
  world.Send(again, "bob", "1", "x");
  world.Settle();
  CHECK(json::parse(again.answers.at(0))["seq"] == 1);
}

TEST_CASE("the caches stay within their bytes, the least used goes first") {
  World world({.cache_bytes = 20'000});
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& carol = world.Join("carol", "c1");
  world.Settle();
  world.Send(carol, "dave", "1", "x");
  world.Settle();
  for (int i = 1; i <= 100; ++i) {
    world.Send(alice, "bob", std::to_string(i), std::string(500, 'x'));
    world.Settle();
    CHECK(world.engine->cached_bytes() <= 20'000);
  }
  CHECK(SeqsOf(world.Ask(alice, "sync", R"("after":90)")["messages"]) == "91-100");
  CHECK(SeqsOf(world.Ask(carol, "sync")["messages"]) == "1");
}

}  // namespace
}  // namespace parley
