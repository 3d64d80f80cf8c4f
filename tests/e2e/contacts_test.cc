// PROTOCOL §6, contacts: who is with whom, and who wants nothing of whom.
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

std::string CodeOf(const Json& answer) {
  return answer.contains("error") ? answer["error"].value("code", "") : "";
}

// Alice and bob, each with a device that acts and another that listens.
struct Pair {
  explicit Pair(int version = 4)
      : alice(Server().Open(Server().NewUser("alice"), {.version = version})),
        bob(Server().Open(Server().NewUser("bob"), {.version = version})),
        alice_tablet(Server().OpenDeaf(alice.user(), {.name = "tablet", .version = version})),
        bob_tablet(Server().OpenDeaf(bob.user(), {.name = "tablet", .version = version})) {
    for (Device* device : {&alice_tablet, &bob_tablet}) {
      device->ListenTo("presence/" + device->user());
    }
  }

  static Json Done(Device& device, const std::string& what, const Device& peer) {
    return device.AskDone("contacts." + what, {{"user", peer.user()}})["contact"];
  }
  static std::string Code(Device& device, const std::string& what, const Device& peer) {
    return CodeOf(device.Ask("contacts." + what, {{"user", peer.user()}}));
  }
  static Json List(Device& device) { return device.AskDone("contacts.list")["contacts"]; }
  void MakeFriends() {
    Done(alice, "add", bob);
    Done(bob, "accept", alice);
    Event(alice_tablet, bob, "accepted");
    Event(bob_tablet, alice, "accepted");
  }
  // Waits until a device was told that `peer` is now in that state with its user.
  static Json Event(Device& device, const Device& peer, const std::string& state) {
    for (;;) {
      const Json batch = Json::parse(device.Next("presence/" + device.user()).payload);
      for (const Json& contact : batch.value("contacts", Json::array())) {
        if (contact["user"] == peer.user() && contact["state"] == state) return contact;
      }
    }
  }

  Device alice, bob, alice_tablet, bob_tablet;
};

Json Entry(const Device& peer, const std::string& state) {
  return {{"user", peer.user()}, {"state", state}};
}

TEST_CASE("a request that is accepted makes two contacts, and all devices learn of it") {
  Pair pair(GENERATE(4, 5));
  CHECK(Pair::List(pair.alice).empty());
  CHECK(Pair::Done(pair.alice, "add", pair.bob) == Entry(pair.bob, "requested"));
  CHECK(Pair::Event(pair.alice_tablet, pair.bob, "requested") == Entry(pair.bob, "requested"));
  CHECK(Pair::Event(pair.bob_tablet, pair.alice, "asked") == Entry(pair.alice, "asked"));
  CHECK(Pair::List(pair.alice) == Json::array({Entry(pair.bob, "requested")}));
  CHECK(Pair::List(pair.bob) == Json::array({Entry(pair.alice, "asked")}));

  CHECK(Pair::Done(pair.bob, "accept", pair.alice) == Entry(pair.alice, "accepted"));
  Pair::Event(pair.alice_tablet, pair.bob, "accepted");
  Pair::Event(pair.bob_tablet, pair.alice, "accepted");
  CHECK(Pair::List(pair.alice) == Json::array({Entry(pair.bob, "accepted")}));
  CHECK(Pair::List(pair.bob) == Json::array({Entry(pair.alice, "accepted")}));
}

TEST_CASE("two who ask each other are contacts") {
  Pair pair;
  Pair::Done(pair.alice, "add", pair.bob);
  CHECK(Pair::Done(pair.bob, "add", pair.alice) == Entry(pair.alice, "accepted"));
  CHECK(Pair::List(pair.alice) == Json::array({Entry(pair.bob, "accepted")}));
}

TEST_CASE("what is so already is told to nobody") {
  Pair pair;
  Pair::Done(pair.alice, "add", pair.bob);
  Pair::Event(pair.bob_tablet, pair.alice, "asked");
  CHECK(Pair::Done(pair.alice, "add", pair.bob) == Entry(pair.bob, "requested"));
  CHECK(pair.bob_tablet.ArrivedByAnswer().empty());
  Pair::Done(pair.bob, "accept", pair.alice);
  Pair::Event(pair.bob_tablet, pair.alice, "accepted");
  CHECK(Pair::Done(pair.bob, "add", pair.alice) == Entry(pair.alice, "accepted"));
  for (const MqttMessage& message : pair.bob_tablet.ArrivedByAnswer()) {
    CHECK(Json::parse(message.payload).value("contacts", Json::array()).empty());
  }
}

TEST_CASE("one side's removal ends it for both, whether it was accepted or not") {
  const bool accepted = GENERATE(true, false);
  const bool by_asker = GENERATE(true, false);
  CAPTURE(accepted, by_asker);
  Pair pair;
  if (accepted) {
    pair.MakeFriends();
  } else {
    Pair::Done(pair.alice, "add", pair.bob);
  }
  if (by_asker) {
    Pair::Done(pair.alice, "remove", pair.bob);
  } else {
    Pair::Done(pair.bob, "remove", pair.alice);
  }
  Pair::Event(pair.alice_tablet, pair.bob, "none");
  Pair::Event(pair.bob_tablet, pair.alice, "none");
  CHECK(Pair::List(pair.alice).empty());
  CHECK(Pair::List(pair.bob).empty());
  // They are strangers now, who may write to each other.
  CHECK(pair.alice.Say(pair.bob.user(), "still")["seq"] == 1);
}

TEST_CASE("what can't be is an error") {
  Pair pair;
  CHECK(CodeOf(pair.alice.Ask("contacts.add", {{"user", "nobody-of-this-name"}})) == "not_found");
  CHECK(CodeOf(pair.alice.Ask("contacts.add", {{"user", "Not An Id"}})) == "bad_request");
  CHECK(CodeOf(pair.alice.Ask("contacts.add")) == "bad_request");
  CHECK(Pair::Code(pair.alice, "add", pair.alice) == "bad_request");
  CHECK(Pair::Code(pair.alice, "accept", pair.bob) == "not_found");
  CHECK(CodeOf(pair.alice.Ask("contacts.unknown", {{"user", pair.bob.user()}})) == "bad_request");
  // Nobody accepts its own request.
  Pair::Done(pair.alice, "add", pair.bob);
  Pair::Code(pair.alice, "accept", pair.bob);
  CHECK(Pair::List(pair.alice) == Json::array({Entry(pair.bob, "requested")}));
}

// Every route from bob to alice, each with what he is told.
void CheckShutOut(Device& bob, Device& alice, const std::string& gateway_token) {
  for (const std::string payload : {R"({"id":"b1","body":"hi"})", "hi"}) {
    const Json error = Json::parse(bob.Send(alice.user(), payload, ""));
    CHECK(CodeOf(error) == "denied");
  }
  CHECK(Pair::Code(bob, "add", alice) == "denied");
  bob.Publish("typing/" + alice.user(), R"({"on":true})");
  CHECK(CodeOf(bob.NextError()) == "denied");
  const std::string group = "with-" + bob.client_id().substr(bob.client_id().find(':') + 1) + "-" +
                            bob.user() + "-" + alice.user();
  CHECK(CodeOf(bob.Ask("groups.create", {{"group", group}, {"members", {alice.user()}}})) ==
        "denied");
  bob.AskDone("groups.create", {{"group", group}});
  CHECK(CodeOf(bob.Ask("groups.add", {{"group", group}, {"user", alice.user()}})) == "denied");
  CHECK(bob.AskDone("presence", {{"users", {alice.user()}}})["users"].empty());
  Device gateway(Server().port(), "gateway", gateway_token);
  gateway.Login();
  gateway.Publish("as/" + bob.user() + "/chat/" + alice.user(), R"({"id":"g1","body":"hi"})");
  CHECK(CodeOf(gateway.NextError()) == "denied");
}

std::string GatewayToken() {
  static const std::string kToken = [] {
    Server().AddUser("gateway", "secret", {"--role", "service"});
    return Server().IssueToken("gateway");
  }();
  return kToken;
}

TEST_CASE("who is blocked reaches nobody by any route, and what was said before stays") {
  const bool contacts = GENERATE(false, true);
  CAPTURE(contacts);
  Pair pair;
  if (contacts) pair.MakeFriends();
  pair.bob.Say(pair.alice.user(), "before");
  pair.alice.Receive();
  const Json history = pair.alice.AskDone("history", {{"with", pair.bob.user()}})["messages"];
  const Json entry = Pair::Done(pair.alice, "block", pair.bob);
  CHECK(entry["user"] == pair.bob.user());
  CHECK(entry["blocked"] == true);
  pair.alice_tablet.Arrived("#");
  pair.alice.ListenTo("presence/" + pair.alice.user());
  pair.alice.ListenTo("typing/" + pair.alice.user());
  CheckShutOut(pair.bob, pair.alice, GatewayToken());
  Device other = Server().Open(pair.bob.user(), {.name = "other", .version = 5});
  CheckShutOut(other, pair.alice, GatewayToken());
  for (const MqttMessage& message : pair.alice.ArrivedByAnswer()) {
    CAPTURE(message.topic, message.payload);
    CHECK(message.topic == "presence/" + pair.alice.user());
    CHECK(message.payload.find(R"("online")") == std::string::npos);
  }
  // What was said before stays, on both sides.
  CHECK(pair.alice.AskDone("history", {{"with", pair.bob.user()}})["messages"] == history);
  CHECK(pair.bob.AskDone("history", {{"with", pair.alice.user()}})["messages"].size() == 1);
  // And nobody says that it was alice who blocked.
  for (const Json& contact : Pair::List(pair.bob)) CHECK_FALSE(contact.contains("blocked"));

  // Who blocks may still write.
  pair.alice.Say(pair.bob.user(), "stop it");
  CHECK(pair.bob.ReceiveFrom(pair.alice.user())["body"] == "stop it");
  Pair::Done(pair.alice, "unblock", pair.bob);
  CHECK(pair.bob.Say(pair.alice.user(), "after")["body"] == "after");
  CHECK(pair.alice.ReceiveFrom(pair.bob.user())["body"] == "after");
}

TEST_CASE("a block holds for those who share a group") {
  Pair pair;
  pair.alice.AskDone("groups.create", {{"group", "shared"}, {"members", {pair.bob.user()}}});
  Pair::Done(pair.alice, "block", pair.bob);
  // In the group they still read each other; it has its own managers.
  pair.bob.SayIn("shared", "in the group");
  CHECK(pair.alice.ReceiveIn("shared")["body"] == "in the group");
  CHECK(CodeOf(Json::parse(pair.bob.Send(pair.alice.user(), "alone", ""))) == "denied");
}

TEST_CASE("contacts and blocks outlive the broker") {
  const bool clean = GENERATE(true, false);
  CAPTURE(clean);
  Pair pair;
  Device carol = Server().Open(Server().NewUser("carol"));
  pair.MakeFriends();
  Pair::Done(carol, "add", pair.alice);
  Pair::Done(pair.alice, "block", carol);
  const Json before = Pair::List(pair.alice);
  CHECK(before.size() == 2);
  if (clean) {
    Server().Stop();
  } else {
    Server().Kill();
  }
  Server().Start();
  for (Device* device : {&pair.alice, &carol}) {
    device->Login();
    device->Listen();
  }
  CHECK(Pair::List(pair.alice) == before);
  CHECK(CodeOf(Json::parse(carol.Send(pair.alice.user(), "let me", ""))) == "denied");
}

TEST_CASE("a long list of contacts comes in pages") {
  Device alice = Server().OpenDeaf(Server().NewUser("alice"));
  std::vector<std::string> lines;
  for (int n = 100; n < 125; ++n) lines.push_back("peer" + std::to_string(n) + ",");
  Server().ImportUsers(lines);
  for (int n = 100; n < 125; ++n) {
    alice.AskDone("contacts.add", {{"user", "peer" + std::to_string(n)}});
  }
  std::vector<std::string> listed;
  Json page;
  do {
    Json ask{{"limit", 10}};
    if (!listed.empty()) ask["after"] = listed.back();
    page = alice.AskDone("contacts.list", ask);
    REQUIRE(page["contacts"].size() <= 10);
    for (const Json& contact : page["contacts"]) {
      listed.push_back(contact["user"].get<std::string>());
    }
  } while (page.value("more", false));
  REQUIRE(listed.size() == 25);
  for (int n = 0; n < 25; ++n) CHECK(listed[n] == "peer" + std::to_string(100 + n));
}

TEST_CASE("a gateway looks after a user's contacts") {
  Pair pair;
  Device gateway(Server().port(), "gateway", GatewayToken());
  gateway.Login();
  gateway.Publish("as/" + pair.alice.user() + "/ask/contacts.add",
                  Json{{"rid", "g"}, {"user", pair.bob.user()}}.dump());
  CHECK(Json::parse(gateway.AwaitAnswer("g"))["contact"] == Entry(pair.bob, "requested"));
  Pair::Event(pair.bob_tablet, pair.alice, "asked");
}

}  // namespace
}  // namespace parley::e2e
