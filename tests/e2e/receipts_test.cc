// PROTOCOL §5: receipts.
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({}, 20);
  return server;
}

// Alice's numbers run ahead of bob's by three: what alice sent to bob as his 1, 2, … is her 4, 5,
// ….
struct Pair {
  Pair() {
    for (int n = 1; n <= kAhead; ++n) alice.Say(alice.user(), "note");
  }
  void SendToBob(int count) {
    for (int n = 1; n <= count; ++n) alice.Say(bob.user(), n);
    for (int n = 1; n <= count; ++n) bob.Receive();
  }
  // Delivered and read of bob's, as alice's history tells.
  std::pair<int, int> Marks() {
    const Json page = alice.AskDone("history", {{"with", bob.user()}});
    return {page.value("delivered", 0), page.value("read", 0)};
  }
  static constexpr int kAhead = 3;
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"));
};

TEST_CASE("a sender learns what was delivered and read, in its own numbers") {
  Pair pair;
  pair.SendToBob(3);
  pair.bob.SendReceipt({{"delivered", 2}});
  Json receipt = pair.alice.NextReceipt();
  CHECK(receipt["by"] == pair.bob.user());
  CHECK(receipt["delivered"] == 5);
  CHECK(receipt["ts"].is_number_unsigned());
  pair.bob.SendReceipt({{"read", 1}});
  receipt = pair.alice.AwaitReceipt(pair.bob.user(), "read", 4);
  CHECK(receipt["read"] == 4);
  CHECK(pair.Marks() == std::make_pair(5, 4));
}

TEST_CASE("one receipt may say both, at any QoS and in both versions") {
  const int version = GENERATE(4, 5);
  const int qos = GENERATE(0, 1, 2);
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"), {.version = version});
  alice.Say(bob.user(), 1);
  alice.Say(bob.user(), 2);
  bob.Publish("receipt/" + bob.user(), R"({"delivered":2,"read":1})", {.qos = qos});
  alice.AwaitReceipt(bob.user(), "delivered", 2);
  const Json page = alice.AskDone("history", {{"with", bob.user()}});
  CHECK(page["delivered"] == 2);
  CHECK(page["read"] == 1);
}

TEST_CASE("every listening device of the sender gets the receipt") {
  Pair pair;
  Device laptop = Server().Open(pair.alice.user(), {.name = "laptop"});
  pair.SendToBob(1);
  pair.bob.SendReceipt({{"delivered", 1}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 4);
  laptop.AwaitReceipt(pair.bob.user(), "delivered", 4);
}

TEST_CASE("the same receipt again, or a lower one, changes nothing and tells nobody") {
  Pair pair;
  pair.SendToBob(3);
  pair.bob.SendReceipt({{"delivered", 3}, {"read", 2}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 6);
  pair.alice.ArrivedByAnswer();
  const auto before = pair.Marks();
  CHECK(before == std::make_pair(6, 5));
  for (const Json& receipt : std::vector<Json>{{{"delivered", 3}, {"read", 2}},
                                               {{"delivered", 1}},
                                               {{"read", 1}},
                                               {{"delivered", 0}, {"read", 0}}}) {
    pair.bob.SendReceipt(receipt);
  }
  CHECK(pair.bob.ArrivedByNow().empty());  // no error either
  CHECK(pair.alice.ArrivedByAnswer().empty());
  CHECK(pair.Marks() == before);
}

TEST_CASE("a receipt past the end of one's log is an error") {
  Pair pair;
  pair.SendToBob(2);
  const std::string member = GENERATE(as<std::string>{}, "delivered", "read");
  pair.bob.SendReceipt({{member, 3}});
  const Json error = pair.bob.NextError();
  CHECK(error["topic"] == "receipt/" + pair.bob.user());
  CHECK(error["error"]["code"] == "bad_request");
  CHECK(pair.alice.ArrivedByAnswer().empty());
  CHECK(pair.Marks() == std::make_pair(0, 0));
  pair.bob.SendReceipt({{member, 2}});
  CHECK(pair.alice.AwaitReceipt(pair.bob.user(), member, 5)[member] == 5);
}

TEST_CASE("a malformed receipt is an error and changes nothing") {
  Pair pair;
  pair.SendToBob(2);
  for (const std::string payload :
       {"", "2", "read", "[]", "{}", R"({"delivered":-1})", R"({"delivered":"2"})",
        R"({"delivered":1.5})", R"({"delivered":null})", R"({"read":true})",
        R"({"delivered":1,"delivered":2})", R"({"delivered":1,"colour":"blue"})",
        R"({"delivered":99999999999999999999})", R"({"delivered":1)"}) {
    CAPTURE(payload);
    pair.bob.Publish("receipt/" + pair.bob.user(), payload);
    const Json error = pair.bob.NextError();
    CHECK(error["topic"] == "receipt/" + pair.bob.user());
    CHECK(error["error"]["code"] == "bad_request");
  }
  CHECK(pair.alice.ArrivedByAnswer().empty());
  CHECK(pair.Marks() == std::make_pair(0, 0));
}

TEST_CASE("one receipt tells every sender of what it covers, each in its own numbers") {
  Pair pair;
  Device carol = Server().Open(Server().NewUser("carol"));
  pair.alice.Say(pair.bob.user(), 1);
  carol.Say(pair.bob.user(), 2);
  pair.alice.Say(pair.bob.user(), 3);
  carol.Say(pair.bob.user(), 4);
  for (int n = 1; n <= 4; ++n) pair.bob.Receive();
  pair.bob.SendReceipt({{"read", 3}});
  pair.alice.AwaitReceipt(pair.bob.user(), "read", 5);
  carol.AwaitReceipt(pair.bob.user(), "read", 1);
  CHECK(pair.alice.AskDone("history", {{"with", pair.bob.user()}})["read"] == 5);
  CHECK(carol.AskDone("history", {{"with", pair.bob.user()}})["read"] == 1);
}

TEST_CASE("one's own messages need no receipt") {
  Pair pair;
  pair.bob.Say(pair.alice.user(), "from bob");
  pair.bob.Say(pair.bob.user(), "note");
  pair.bob.SendReceipt({{"delivered", 2}, {"read", 2}});
  CHECK(pair.bob.ArrivedByNow().empty());
  pair.alice.Receive();
  CHECK(pair.alice.ArrivedByAnswer().empty());
}

TEST_CASE("of two devices the one that is further counts, and each catches up from its own place") {
  Pair pair;
  Device tablet = Server().Open(pair.bob.user(), {.name = "tablet"});
  pair.SendToBob(5);
  pair.bob.SendReceipt({{"delivered", 2}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 5);
  tablet.SendReceipt({{"delivered", 4}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 7);
  CHECK(pair.Marks().first == 7);
  pair.bob.Disconnect();
  tablet.Disconnect();
  pair.alice.Say(pair.bob.user(), 6);
  pair.bob.Login();
  pair.bob.Listen();
  for (int n = 3; n <= 6; ++n) CHECK(pair.bob.Receive()["seq"] == n);
  tablet.Login();
  tablet.Listen();
  for (int n = 5; n <= 6; ++n) CHECK(tablet.Receive()["seq"] == n);
  CHECK(tablet.ArrivedByNow().empty());
}

TEST_CASE("a receipt for a sender who is away waits in the history") {
  Pair pair;
  pair.SendToBob(2);
  pair.alice.Disconnect();
  pair.bob.SendReceipt({{"delivered", 2}, {"read", 2}});
  CHECK(pair.bob.ArrivedByNow().empty());
  pair.alice.Login();
  CHECK(pair.Marks() == std::make_pair(5, 5));
}

TEST_CASE("receipts survive a clean restart and a kill") {
  Pair pair;
  pair.SendToBob(4);
  pair.bob.SendReceipt({{"delivered", 3}, {"read", 2}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 6);
  CHECK(pair.Marks() == std::make_pair(6, 5));
  SECTION("a clean restart") { Server().Restart(); }
  SECTION("a kill") {
    Server().Kill();
    Server().Start();
  }
  pair.alice.Login();
  pair.alice.Listen();
  CHECK(pair.Marks() == std::make_pair(6, 5));
  // The device's place is kept as well.
  pair.bob.Login();
  pair.bob.Listen();
  CHECK(pair.bob.Receive()["seq"] == 4);
  // A lower receipt is still a lower one.
  pair.bob.SendReceipt({{"delivered", 1}});
  CHECK(pair.bob.ArrivedByNow().empty());
  CHECK(pair.Marks() == std::make_pair(6, 5));
}

}  // namespace
}  // namespace parley::e2e
