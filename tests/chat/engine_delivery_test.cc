// Devices: catching up, live, the window, receipts.
#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

// `count` messages from `from` (not subscribed) to `to`.
void SendMany(World& world, const std::string& from, const std::string& to, int count) {
  TestDevice& sender = world.Connect(from, from + ":script");
  for (int i = 0; i < count; ++i) {
    world.Publish(sender, "chat/" + to, "x");
    if (i % 500 == 0) world.Settle();
  }
  world.Settle();
  world.Leave(sender);
}

// A device of bob's that has confirmed `delivered` and is gone.
void ConfirmedBefore(World& world, const std::string& device, uint64_t delivered) {
  TestDevice& bob = world.Connect("bob", device);
  world.Confirm(bob, delivered);
  world.Settle();
  world.Leave(bob);
}

TEST_CASE("a device that never confirmed anything starts live") {
  World world;
  SendMany(world, "alice", "bob", 3);
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  CHECK(bob.inbox.empty());
  SendMany(world, "alice", "bob", 2);
  CHECK(SeqsOf(bob.inbox) == "4-5");
}

TEST_CASE("a device that confirmed catches up from there, from cache and from the store") {
  bool cold = GENERATE(false, true);
  World world;
  SendMany(world, "alice", "bob", 10);
  ConfirmedBefore(world, "b1", 4);
  if (cold) world.Restart();
  TestDevice& bob = world.Join("bob", "b1");
  TestDevice& other = world.Join("bob", "b2");
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "5-10");
  CHECK(other.inbox.empty());
  SendMany(world, "alice", "bob", 1);
  CHECK(SeqsOf(bob.inbox) == "5-11");
  CHECK(SeqsOf(other.inbox) == "11");
}

TEST_CASE("a device that confirmed 0 gets the whole log") {
  World world;
  SendMany(world, "alice", "bob", 3);
  ConfirmedBefore(world, "b1", 0);
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-3");
}

TEST_CASE("what a device confirmed counts although it leaves at once") {
  World world;
  SendMany(world, "alice", "bob", 3);
  world.Restart();  // nobody is in memory
  TestDevice& script = world.Connect("bob", "b1");
  world.Confirm(script, 2);
  world.Leave(script);
  world.Settle();
  CHECK(world.engine->sessions() == 0);
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "3");
}

TEST_CASE("a cursor belongs to the user's device: another's of the same name has none") {
  World world;
  SendMany(world, "alice", "bob", 3);
  ConfirmedBefore(world, "phone", 1);
  SendMany(world, "bob", "carol", 1);
  TestDevice& carol = world.Join("carol", "phone");
  world.Settle();
  CHECK(carol.inbox.empty());
}

TEST_CASE("what arrives while a device catches up comes after it, in order and without a gap") {
  World world;
  SendMany(world, "alice", "bob", 30);
  ConfirmedBefore(world, "b1", 0);
  world.Restart();
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  TestDevice& bob = world.Join("bob", "b1");
  // Between any two steps of the reads there is a message more.
  int sent = 0;
  while (!world.readers.jobs.empty() || !world.readers.done.empty()) {
    world.Publish(alice, "chat/bob", "during");
    ++sent;
    if (!world.readers.jobs.empty()) {
      world.RunRead();
      world.Publish(alice, "chat/bob", "during");
      ++sent;
    }
    if (!world.readers.done.empty()) world.TakeRead();
  }
  world.Publish(alice, "chat/bob", "after");
  world.Settle();
  REQUIRE(sent > 3);
  CHECK(SeqsOf(bob.inbox) == "1-" + std::to_string(30 + sent + 1));
}

TEST_CASE("a long log is read piece by piece, each as large as a window") {
  World world({.window = 500, .user_rate = 0});
  SendMany(world, "alice", "bob", 1200);
  ConfirmedBefore(world, "b1", 0);
  world.Restart();
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-500");
  world.Confirm(bob, 500);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-1000");
  world.Confirm(bob, 900);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-1200");
}

TEST_CASE("a device that confirms has no more in flight than the window") {
  World world({.window = 10});
  ConfirmedBefore(world, "b1", 0);
  TestDevice& bob = world.Join("bob", "b1");
  TestDevice& silent = world.Join("bob", "b2");
  world.Settle();
  SendMany(world, "alice", "bob", 25);
  CHECK(SeqsOf(bob.inbox) == "1-10");
  CHECK(SeqsOf(silent.inbox) == "1-25");  // it never confirms: it is sent everything
  world.Confirm(bob, 1);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-11");
  world.Confirm(bob, 11);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-21");
  world.Confirm(bob, 21);
  world.Settle();
  SendMany(world, "alice", "bob", 1);
  CHECK(SeqsOf(bob.inbox) == "1-26");
}

TEST_CASE("the window opens with the first receipt of a device that was live") {
  World world({.window = 10});
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  SendMany(world, "alice", "bob", 30);
  CHECK(SeqsOf(bob.inbox) == "1-30");
  world.Confirm(bob, 15);
  world.Settle();
  SendMany(world, "alice", "bob", 5);
  CHECK(SeqsOf(bob.inbox) == "1-30");
  world.Confirm(bob, 25);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-35");
}

TEST_CASE("a device that fell silent gets the rest from the log when it confirms again") {
  World world({.window = 10, .user_cache_messages = 4});
  ConfirmedBefore(world, "b1", 0);
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  SendMany(world, "alice", "bob", 50);
  for (uint64_t confirmed = 10; confirmed <= 50; confirmed += 10) {
    CHECK(SeqsOf(bob.inbox) == "1-" + std::to_string(confirmed));
    world.Confirm(bob, confirmed);
    world.Settle();
  }
  CHECK(SeqsOf(bob.inbox) == "1-50");
}

TEST_CASE("a device that confirms past what it was sent (it synced) goes on from there") {
  World world({.window = 10});
  SendMany(world, "alice", "bob", 40);
  ConfirmedBefore(world, "b1", 0);
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Confirm(bob, 35);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-10 36-40");
}

TEST_CASE("a device that unsubscribes gets nothing, and catches up when it subscribes again") {
  World world;
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  SendMany(world, "alice", "bob", 2);
  world.Confirm(bob, 2);
  world.Settle();
  world.Unsubscribe(bob);
  SendMany(world, "alice", "bob", 2);
  CHECK(SeqsOf(bob.inbox) == "1-2");
  world.Subscribe(bob);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-4");
}

TEST_CASE("a device that unsubscribes while it is being read for gets nothing of it") {
  World world;
  SendMany(world, "alice", "bob", 3);
  ConfirmedBefore(world, "b1", 0);
  world.Restart();
  TestDevice& bob = world.Join("bob", "b1");
  int steps = GENERATE(0, 1, 2, 3, 4, 5);
  for (int i = 0; i < steps; ++i) {
    if (!world.readers.done.empty()) {
      world.TakeRead();
    } else if (!world.readers.jobs.empty()) {
      world.RunRead();
    }
  }
  world.Unsubscribe(bob);
  world.Settle();
  const std::string before = SeqsOf(bob.inbox);
  SendMany(world, "alice", "bob", 2);
  CHECK(SeqsOf(bob.inbox) == before);
  bob.inbox.clear();
  world.Subscribe(bob);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-5");
}

TEST_CASE("a device that subscribes again while subscribed gets again what it has not confirmed") {
  World world;
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  SendMany(world, "alice", "bob", 4);
  world.Confirm(bob, 2);
  world.Subscribe(bob);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-4 3-4");
  SendMany(world, "alice", "bob", 1);
  world.Confirm(bob, 5);
  world.Subscribe(bob);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-4 3-5");
}

TEST_CASE("one that subscribes again while it is being read for gets all of it, in order") {
  World world({.window = 3, .cache_bytes = 0});
  SendMany(world, "alice", "bob", 7);
  ConfirmedBefore(world, "b1", 1);
  TestDevice& bob = world.Join("bob", "b1");
  int steps = GENERATE(0, 1, 2, 3, 4, 5, 6);
  for (int i = 0; i < steps; ++i) {
    if (!world.readers.done.empty()) {
      world.TakeRead();
    } else if (!world.readers.jobs.empty()) {
      world.RunRead();
    }
  }
  world.Subscribe(bob);
  world.Settle();
  CHECK(SeqsOf(bob.inbox).ends_with("2-4"));
  for (uint64_t confirmed : {4, 7}) {
    world.Confirm(bob, confirmed);
    world.Settle();
  }
  CHECK(SeqsOf(bob.inbox).ends_with("2-7"));
}

TEST_CASE("one that has confirmed nothing gets nothing twice when it subscribes again") {
  World world;
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  SendMany(world, "alice", "bob", 3);
  world.Subscribe(bob);
  SendMany(world, "alice", "bob", 1);
  CHECK(SeqsOf(bob.inbox) == "1-4");
}

TEST_CASE("what the broker kept of a session and its client's first SUBSCRIBE are one") {
  World world;
  SendMany(world, "alice", "bob", 3);
  ConfirmedBefore(world, "b1", 1);
  TestDevice& bob = world.Connect("bob", "b1");
  world.Turn(Subscribed{.session = bob.session, .channel = Channel::kInbox, .kept = true});
  world.Settle();
  world.Subscribe(bob);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "2-3");
  world.Subscribe(bob);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "2-3 2-3");
}

TEST_CASE("what a session that is gone was to get goes nowhere") {
  World world;
  SendMany(world, "alice", "bob", 3);
  ConfirmedBefore(world, "b1", 0);
  TestDevice& bob = world.Join("bob", "b1");
  world.RunRead();
  world.Leave(bob);
  world.Settle();
  CHECK(world.engine->sessions() == 0);
}

// Receipts.

TEST_CASE("a sender learns in its own numbers how far the other side is") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& tablet = world.Join("alice", "a2");
  TestDevice& script = world.Connect("alice", "a3");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(alice, "carol", "0", "so that numbers differ");
  world.Send(alice, "bob", "1", "x");
  world.Settle();
  world.Send(bob, "alice", "2", "x");
  world.Settle();
  world.Send(alice, "bob", "3", "x");
  world.Settle();
  world.env.now_ms += 999;
  world.Confirm(bob, 3);
  world.Settle();
  CHECK(alice.receipts == Strings{R"({"by":"bob","delivered":4,"ts":1764000000999})"});
  CHECK(tablet.receipts == alice.receipts);
  CHECK(script.receipts.empty());
  CHECK(bob.receipts.empty());
  world.ConfirmRead(bob, 1);
  world.Settle();
  CHECK(alice.receipts.back() == R"({"by":"bob","read":2,"ts":1764000000999})");
}

TEST_CASE("what was read was delivered") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(alice, "bob", "1", "x");
  world.Settle();
  world.ConfirmRead(bob, 1);
  world.Settle();
  CHECK(alice.receipts == Strings{R"({"by":"bob","delivered":1,"read":1,"ts":1764000000000})"});
}

TEST_CASE("one receipt tells every sender of the range, each in its numbers") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& carol = world.Join("carol", "c1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(carol, "dave", "0", "x");
  for (int i = 1; i <= 3; ++i) {
    world.Send(alice, "bob", std::to_string(i), "x");
    world.Send(carol, "bob", std::to_string(i), "x");
  }
  world.Settle();
  world.Confirm(bob, 5);
  world.Settle();
  CHECK(json::parse(alice.receipts.at(0))["delivered"] == 3);
  CHECK(json::parse(carol.receipts.at(0))["delivered"] == 3);
  world.Confirm(bob, 6);
  world.Settle();
  CHECK(alice.receipts.size() == 1);
  CHECK(json::parse(carol.receipts.at(1))["delivered"] == 4);
}

TEST_CASE("receipts are cumulative: an earlier number changes nothing") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  TestDevice& tablet = world.Join("bob", "b2");
  world.Settle();
  for (int i = 1; i <= 5; ++i) world.Send(alice, "bob", std::to_string(i), "x");
  world.Settle();
  world.Confirm(bob, 4);
  world.Settle();
  size_t before = world.log.transactions().size();
  world.Confirm(bob, 4);
  world.Confirm(bob, 2);
  world.Confirm(bob, 0);
  world.Settle();
  CHECK(world.log.transactions().size() == before);
  CHECK(alice.receipts.size() == 1);
  // Another device that is behind tells the sender nothing new; its own place is kept.
  world.Confirm(tablet, 3);
  world.Settle();
  CHECK(alice.receipts.size() == 1);
  auto devices = *world.log.Caught(UserId("bob")).ReadDevices(UserId("bob"));
  REQUIRE(devices.size() == 2);
  CHECK(devices[0].delivered == Seq(4));
  CHECK(devices[1].delivered == Seq(3));
}

TEST_CASE("a receipt past the end of the log is an error and changes nothing") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(alice, "bob", "1", "x");
  world.Settle();
  size_t before = world.log.transactions().size();
  world.Confirm(bob, 2);
  world.ConfirmRead(bob, 2);
  world.Settle();
  REQUIRE(bob.answers.size() == 2);
  CHECK(bob.answers[0] == R"({"ok":false,"topic":"receipt/bob","error":{"code":"bad_request",)"
                          R"("message":"past the end of the log, which is at 1"}})");
  CHECK(world.log.transactions().size() == before);
  CHECK(alice.receipts.empty());
}

TEST_CASE("a receipt that is none is an error") {
  World world;
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  for (const char* payload :
       {"", "x", "{}", "[]", R"({"delivered":-1})", R"({"delivered":"1"})", R"({"seen":1})",
        R"({"delivered":1.5})", R"({"delivered":0,"delivered":0})"}) {
    bob.answers.clear();
    world.Publish(bob, "receipt/bob", payload);
    world.Settle();
    INFO(payload);
    REQUIRE(bob.answers.size() == 1);
    CHECK(json::parse(bob.answers[0])["error"]["code"] == "bad_request");
  }
}

TEST_CASE("a range that left the cache is read, page by page") {
  World world({.user_rate = 0, .user_cache_messages = 4});
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  SendMany(world, "alice", "bob", 2500);
  world.Publish(bob, "receipt/bob", R"({"delivered":2500,"read":1700})");
  world.Settle();
  json last = json::parse(alice.receipts.back());
  CHECK(last["delivered"] == 2500);
  uint64_t read = 0;
  for (const std::string& receipt : alice.receipts) {
    read = json::parse(receipt).value("read", read);
  }
  CHECK(read == 1700);
  auto tail = *world.log.Caught(UserId("bob")).ReadTail(UserId("bob"));
  CHECK(tail.delivered == Seq(2500));
  CHECK(tail.read == Seq(1700));
  world.ConfirmRead(bob, 2500);
  world.Settle();
  CHECK(json::parse(alice.receipts.back())["read"] == 2500);
}

TEST_CASE("receipts that come while a range is read are all counted") {
  World world({.user_cache_messages = 4});
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  SendMany(world, "alice", "bob", 50);
  world.Confirm(bob, 10);
  world.Confirm(bob, 20);
  world.ReadAll();
  world.Confirm(bob, 49);
  world.ConfirmRead(bob, 30);
  world.Settle();
  std::map<std::string, uint64_t> known;
  for (const std::string& receipt : alice.receipts) {
    json parsed = json::parse(receipt);
    for (const char* mark : {"delivered", "read"}) {
      if (!parsed.contains(mark)) continue;
      CHECK(parsed[mark].get<uint64_t>() >= known[mark]);
      known[mark] = parsed[mark].get<uint64_t>();
    }
  }
  CHECK(known["delivered"] == 49);
  CHECK(known["read"] == 30);
}

TEST_CASE("marks are known after a restart") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  for (int i = 1; i <= 5; ++i) world.Send(alice, "bob", std::to_string(i), "x");
  world.Settle();
  world.Confirm(bob, 3);
  world.Settle();
  world.Restart();
  TestDevice& later = world.Join("alice", "a1");
  TestDevice& again = world.Join("bob", "b2");
  world.Settle();
  world.Confirm(again, 3);
  world.Settle();
  CHECK(later.receipts.empty());
  world.Confirm(again, 4);
  world.Settle();
  CHECK(json::parse(later.receipts.at(0))["delivered"] == 4);
}

TEST_CASE("a sender whose user is not in memory has its receipts kept") {
  World world({.user_idle_ms = 0});
  SendMany(world, "alice", "bob", 2);
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Tick(2000);
  world.Confirm(bob, 2);
  world.Settle();
  auto marks = *world.log.Caught(UserId("alice")).ReadPeerMarks(UserId("alice"), UserId("bob"));
  CHECK(marks.delivered == Seq(2));
}

TEST_CASE("what a returning device sends again comes in its turn of the catch-up") {
  World world;
  TestDevice& first = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  for (int i = 1; i <= 3; ++i) world.Send(bob, "alice", std::to_string(i), "x");
  world.Settle();
  world.Send(first, "bob", "again", "x");
  world.Settle();
  std::string expected;
  bool restart = GENERATE(false, true);  // the first has it in the cache, the second in the store
  SECTION("to a device that never confirmed anything, at once") { expected = "4"; }
  SECTION("where it confirmed less, after what comes before it, once") {
    world.Confirm(first, 2);
    expected = "3-4";
  }
  SECTION("where it confirmed it, at once") {
    world.Confirm(first, 4);
    expected = "4";
  }
  world.Settle();
  if (restart) {
    world.Restart();
  } else {
    world.Leave(first);
  }
  TestDevice& back = world.Join("alice", "a1");
  world.Send(back, "bob", "again", "x");
  world.Settle();
  CHECK(SeqsOf(back.inbox) == expected);
  CHECK(back.answers.empty());
}

}  // namespace
}  // namespace parley
