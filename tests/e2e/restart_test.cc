// DESIGN's promises over the end of the broker, clean or not; sessions that outlive a connection.
#include <signal.h>

#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({}, 40);
  return server;
}

void End(bool clean) {
  if (clean) {
    Server().Stop();
  } else {
    Server().Kill();
  }
}

struct Pair {
  void Return() {
    for (Device* device : {&alice, &bob}) {
      device->Login();
      device->Listen();
    }
  }
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"));
};

TEST_CASE("numbers, messages and the epoch are the same after the broker's end") {
  const bool clean = GENERATE(true, false);
  CAPTURE(clean);
  Pair pair;
  for (int n = 1; n <= 20; ++n) pair.alice.Say(pair.bob.user(), n);
  pair.bob.Say(pair.alice.user(), 21);
  const Json alice_before = pair.alice.AskDone("sync");
  const Json bob_before = pair.bob.AskDone("sync");
  CHECK(alice_before["head"] == 21);
  End(clean);
  Server().Start();
  pair.Return();
  CHECK(pair.alice.AskDone("sync") == alice_before);
  CHECK(pair.bob.AskDone("sync") == bob_before);
  CHECK(pair.alice.Say(pair.bob.user(), "next")["seq"] == 22);
  CHECK(pair.bob.Receive()["seq"] == 22);
}

TEST_CASE("what a sender saw as stored is stored, wherever the broker is killed") {
  Pair pair;
  int sent = 0;
  std::vector<std::string> seen;
  for (int round = 0; round < 5; ++round) {
    for (int n = 0; n < 200; ++n) {
      ++sent;
      pair.alice.Publish(pair.bob.inbox(),
                         Json{{"id", std::to_string(sent)}, {"body", sent}}.dump(), {.qos = 0});
    }
    // Killed while some are on their way.
    for (int n = 0; n < 50; ++n) seen.push_back(pair.alice.ReceiveText());
    Server().Kill();
    Server().Start();
    pair.alice.Login();
    for (const std::string& copy : seen) {
      const uint64_t seq = Json::parse(copy)["seq"].get<uint64_t>();
      CAPTURE(copy);
      REQUIRE(pair.alice.AskText("sync", {{"after", seq - 1}, {"limit", 1}}).find(copy) !=
              std::string::npos);
    }
    pair.alice.Listen();
  }
  pair.bob.Login();
  const Json mine = pair.alice.AskDone("sync", {{"limit", 1000}});
  const Json his = pair.bob.AskDone("sync", {{"limit", 1000}});
  CHECK(mine["messages"] == his["messages"]);
  CHECK(mine["messages"].size() >= seen.size());
  for (size_t n = 0; n < mine["messages"].size(); ++n) {
    REQUIRE(mine["messages"][n]["seq"] == n + 1);
  }
}

TEST_CASE("an id is remembered over the broker's end") {
  const bool clean = GENERATE(true, false);
  CAPTURE(clean);
  Pair pair;
  const std::string payload = R"({"id":"once","body":"hi"})";
  const std::string first = pair.alice.Send(pair.bob.user(), payload, "once");
  pair.alice.Say(pair.bob.user(), "between");
  End(clean);
  Server().Start();
  pair.Return();
  CHECK(pair.alice.Send(pair.bob.user(), payload, "once") == first);
  const Json conflict =
      Json::parse(pair.alice.Send(pair.bob.user(), R"({"id":"once","body":"ho"})", "once"));
  CHECK(conflict["error"]["code"] == "conflict");
  CHECK(pair.bob.ArrivedByNow().empty());
}

TEST_CASE("a device catches up over the broker's end") {
  const bool clean = GENERATE(true, false);
  CAPTURE(clean);
  Pair pair;
  for (int n = 1; n <= 5; ++n) pair.alice.Say(pair.bob.user(), n);
  pair.bob.SendReceipt({{"delivered", 3}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 3);
  End(clean);
  Server().Start();
  pair.alice.Login();
  pair.alice.Listen();
  pair.alice.Say(pair.bob.user(), 6);
  pair.bob.Login();
  pair.bob.Listen();
  for (int n = 4; n <= 6; ++n) CHECK(pair.bob.Receive()["seq"] == n);
  CHECK(pair.bob.ArrivedByNow().empty());
}

TEST_CASE("conversations, recent and unread counts are the same after the broker's end") {
  Pair pair;
  for (int n = 1; n <= 20; ++n) pair.alice.Say(pair.bob.user(), n);
  pair.bob.SendReceipt({{"read", 5}});
  pair.alice.AwaitReceipt(pair.bob.user(), "read", 5);
  const Json recent = pair.bob.AskDone("recent");
  const Json conversations = pair.bob.AskDone("conversations");
  CHECK(recent["conversations"][0]["unread"] == 15);
  Server().Kill();
  Server().Start();
  pair.Return();
  CHECK(pair.bob.AskDone("recent") == recent);
  CHECK(pair.bob.AskDone("conversations") == conversations);
}

TEST_CASE("a session that outlives its connection gets what came meanwhile, in order") {
  const int version = GENERATE(4, 5);
  const bool clean_end = GENERATE(true, false);
  CAPTURE(version, clean_end);
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"),
                             {.version = version, .clean = false, .session_expiry_s = 3600});
  for (int n = 1; n <= 3; ++n) alice.Say(bob.user(), n);
  for (int n = 1; n <= 3; ++n) CHECK(bob.Receive()["seq"] == n);
  bob.SendReceipt({{"delivered", 3}});
  alice.AwaitReceipt(bob.user(), "delivered", 3);
  if (clean_end) {
    bob.Disconnect();
  } else {
    bob.Drop();
  }
  for (int n = 4; n <= 6; ++n) alice.Say(bob.user(), n);
  bob.Login();
  CHECK(bob.session_present());
  // Its subscriptions are still there: it doesn't subscribe again.
  int last = 3;
  while (last < 6) {
    const int seq = bob.Receive()["seq"].get<int>();
    REQUIRE(seq <= last + 1);  // at least once, and no gap
    last = std::max(last, seq);
  }
  alice.Say(bob.user(), 7);
  int seq = 0;
  while (seq != 7) {
    seq = bob.Receive()["seq"].get<int>();
    REQUIRE(seq <= 7);
  }
}

TEST_CASE("a session that never acknowledged hears live when it returns") {
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"),
                             {.version = 5, .clean = false, .session_expiry_s = 3600});
  bob.Disconnect();
  bob.Login();
  REQUIRE(bob.session_present());
  alice.Say(bob.user(), "back");
  CHECK(bob.Receive()["body"] == "back");
}

TEST_CASE("a session that the broker's end took along is made anew and catches up") {
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"),
                             {.version = 5, .clean = false, .session_expiry_s = 3600});
  alice.Say(bob.user(), 1);
  bob.SendReceipt({{"delivered", 1}});
  alice.AwaitReceipt(bob.user(), "delivered", 1);
  bob.Disconnect();
  alice.Say(bob.user(), 2);
  Server().Restart();
  alice.Login();
  alice.Listen();
  alice.Say(bob.user(), 3);
  bob.Login();
  CHECK_FALSE(bob.session_present());
  bob.Listen();
  CHECK(bob.Receive()["seq"] == 2);
  CHECK(bob.Receive()["seq"] == 3);
}

TEST_CASE("a reload of the configuration disturbs nobody") {
  Pair pair;
  Device laptop = Server().Open(pair.alice.user(), {.name = "laptop", .version = 5});
  pair.alice.Say(pair.bob.user(), 1);
  const size_t log = Server().Log().size();
  Server().Signal(SIGHUP);
  Server().AwaitLog("Reloading config", log);
  CHECK(pair.alice.Say(pair.bob.user(), 2)["seq"] == 2);
  for (int n = 1; n <= 2; ++n) {
    CHECK(pair.bob.Receive()["seq"] == n);
    CHECK(laptop.Receive()["seq"] == n);
  }
  pair.alice.Ping();
  pair.bob.Ping();
}

TEST_CASE(
    "the broker ends cleanly with devices connected, requests waiting and messages on their way") {
  Pair pair;
  pair.bob.StartAsk("sync", {{"after", 0}, {"wait", 60}});
  for (int n = 1; n <= 100; ++n) pair.alice.StartPublish(pair.bob.inbox(), "x", {.qos = 0});
  pair.alice.Ping();
  Server().Restart();
  pair.Return();
  const uint64_t head = pair.alice.AskDone("sync")["head"].get<uint64_t>();
  CHECK(pair.alice.Say(pair.bob.user(), "next")["seq"] == head + 1);
}

}  // namespace
}  // namespace parley::e2e
