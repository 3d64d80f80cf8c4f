// PROTOCOL §§2–6 for groups: who is in, who manages, who sees what, under which numbers.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({}, 60);
  return server;
}

std::string NewGroup() {
  static int last = 0;
  return "group" + std::to_string(++last);
}

std::string Replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

std::string CodeOf(const Json& answer) {
  return answer.contains("error") ? answer["error"].value("code", "") : "";
}

// The roles of the members as somebody in the group sees them: {"alice1":"owner",…}.
Json RolesIn(Device& device, const std::string& group) {
  Json roles = Json::object();
  const Json got = device.AskDone("groups.get", {{"group", group}, {"limit", 100}});
  for (const Json& member : got["members"]) {
    roles[member["user"].get<std::string>()] = member["role"];
  }
  return roles;
}

Json GroupMessages(Device& device, const std::string& group) {
  return device.AskDone("sync", {{"group", group}, {"after", 0}, {"limit", 1000}})["messages"];
}

// The bodies of the messages, without system ones.
Json BodiesIn(Device& device, const std::string& group) {
  Json bodies = Json::array();
  for (const Json& message : GroupMessages(device, group)) {
    if (message["type"] == "message") bodies.push_back(message["body"]);
  }
  return bodies;
}

// A group of alice's with bob and carol, everybody with one device, which has seen its creation.
struct Trio {
  explicit Trio(const std::string& delivery = "inbox", int version = 4, Json more = Json::object())
      : alice(Server().Open(Server().NewUser("alice"))),
        bob(Server().Open(Server().NewUser("bob"), {.version = version})),
        carol(Server().Open(Server().NewUser("carol"))),
        group(NewGroup()) {
    more["group"] = group;
    more["title"] = "The Trio";
    more["members"] = {bob.user(), carol.user()};
    more["delivery"] = delivery;
    alice.AskDone("groups.create", more);
    for (Device* device : {&alice, &bob, &carol}) {
      if (delivery == "topic") {
        device->ListenTo("group/" + group);
      } else {
        device->AwaitEvent(group, "created");
      }
    }
  }

  Json Change(const std::string& method, Json members) {
    members["group"] = group;
    return alice.AskDone("groups." + method, std::move(members));
  }

  Device alice, bob, carol;
  const std::string group;
};

// Sending and reading.

TEST_CASE("a message to a group comes to each member's inbox, under its number and the group's") {
  const int version = GENERATE(4, 5);
  const int qos = GENERATE(0, 1, 2);
  CAPTURE(version, qos);
  Trio trio("inbox", version);
  Device laptop = Server().Open(trio.bob.user(), {.name = "laptop", .version = version, .qos = 0});
  trio.carol.Say(trio.carol.user(), "carol's numbers run ahead by one");
  trio.bob.SendIn(trio.group, R"({"id":"m1","body":{"x":[1, 2]}})", "m1", {.qos = qos});
  const std::string text = trio.alice.ReceiveTextIn(trio.group);
  const Json message = Json::parse(text);
  CHECK(text == R"({"seq":2,"type":"message","id":"m1","from":")" + trio.bob.user() +
                    R"(","group":")" + trio.group + R"(","gseq":2,"ts":)" + message["ts"].dump() +
                    R"(,"body":{"x":[1, 2]}})");
  CHECK(laptop.ReceiveTextIn(trio.group) == text);  // bob's number is 2 as well
  CHECK(trio.carol.ReceiveTextIn(trio.group) == Replaced(text, R"({"seq":2)", R"({"seq":3)"));
  for (Device* device : {&trio.alice, &trio.bob, &laptop}) {
    CHECK(device->ArrivedByAnswer().empty());
    CHECK(device->AskDone("sync", {{"after", 1}})["messages"] == Json::array({message}));
  }
}

TEST_CASE("text is a message to a group, too") {
  Trio trio;
  trio.bob.Publish("group/" + trio.group, "hello, all");
  CHECK(trio.alice.ReceiveIn(trio.group)["body"] == "hello, all");
}

TEST_CASE("everybody agrees on the numbers of a group in which all write at once") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  CAPTURE(delivery);
  Trio trio(delivery);
  constexpr int kEach = 50;
  for (int n = 1; n <= kEach; ++n) {
    for (Device* device : {&trio.alice, &trio.bob, &trio.carol}) {
      device->StartPublish("group/" + trio.group, std::to_string(n));
    }
  }
  std::vector<std::string> seen;
  for (Device* device : {&trio.alice, &trio.bob, &trio.carol}) {
    Json all = Json::array();
    std::map<std::string, int> last;
    while (all.size() < 3 * kEach) {
      Json message = device->ReceiveIn(trio.group);
      CHECK(message["gseq"] == all.size() + 2);
      // What one device sends keeps its order.
      CHECK(message["body"] == std::to_string(++last[message["from"].get<std::string>()]));
      message.erase("seq");
      all.push_back(std::move(message));
    }
    seen.push_back(all.dump());
    Json synced = GroupMessages(*device, trio.group);
    synced.erase(0);
    for (Json& message : synced) message.erase("seq");  // each member's own
    CHECK(synced.dump() == seen.front());
  }
  CHECK(seen[0] == seen[1]);
  CHECK(seen[0] == seen[2]);
}

TEST_CASE("a group delivered by topic comes to those who subscribe, as they subscribed") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Trio trio("topic", version);
  Device laptop = Server().Open(trio.bob.user(), {.name = "laptop", .version = version});
  Device deaf = Server().Open(trio.bob.user(), {.name = "deaf"});
  const std::string topic = "group/" + trio.group;
  REQUIRE(laptop.Subscribe(topic, 0) == 0);
  REQUIRE(trio.carol.Subscribe(topic, 2) == 2);
  trio.alice.SendIn(trio.group, R"({"id":"m1","body":"hi"})", "m1");
  const MqttMessage got = trio.bob.Next(topic);
  const Json message = Json::parse(got.payload);
  CHECK(got.payload == R"({"type":"message","id":"m1","from":")" + trio.alice.user() +
                           R"(","group":")" + trio.group + R"(","gseq":2,"ts":)" +
                           message["ts"].dump() + R"(,"body":"hi"})");
  CHECK(got.qos == 1);
  const MqttMessage at_0 = laptop.Next(topic);
  CHECK(at_0.payload == got.payload);
  CHECK(at_0.qos == 0);
  const MqttMessage at_2 = trio.carol.Next(topic);
  CHECK(at_2.payload == got.payload);
  CHECK(at_2.qos == 2);
  // Nobody's inbox has it.
  CHECK(deaf.ArrivedByAnswer().empty());
  CHECK(trio.bob.AskDone("sync", {{"after", 0}})["head"] == 0);
  CHECK(GroupMessages(trio.bob, trio.group).back() == message);

  CHECK(laptop.Unsubscribe(topic) == 0);
  CHECK(laptop.AskDone("sync")["ok"] == true);  // the engine has heard of it
  trio.alice.SayIn(trio.group, "again");
  trio.bob.ReceiveIn(trio.group);
  CHECK(laptop.ArrivedByAnswer().empty());
}

TEST_CASE("a sender that doesn't listen to the group is answered") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  Trio trio(delivery);
  Device deaf = Server().OpenDeaf(trio.bob.user(), {.name = "deaf"});
  const Json outcome = Json::parse(deaf.SendIn(trio.group, R"({"id":"m1","body":"hi"})", "m1"));
  CHECK(outcome["ok"] == true);
  CHECK(outcome["id"] == "m1");
  CHECK(outcome["gseq"] == 2);
  CHECK(trio.alice.ReceiveIn(trio.group)["gseq"] == 2);
}

TEST_CASE("an id is used once in a group, also across the broker's end") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  const bool restart = GENERATE(false, true);
  CAPTURE(delivery, restart);
  Trio trio(delivery);
  const std::string payload = R"({"id":"once","body":"hi"})";
  const std::string first = trio.bob.SendIn(trio.group, payload, "once");
  trio.alice.ReceiveIn(trio.group);
  if (restart) {
    Server().Kill();
    Server().Start();
    for (Device* device : {&trio.alice, &trio.bob}) {
      device->Login();
      device->Listen();
      if (delivery == "topic") device->ListenTo("group/" + trio.group);
    }
  }
  CHECK(trio.bob.SendIn(trio.group, payload, "once") == first);
  const Json conflict =
      Json::parse(trio.bob.SendIn(trio.group, R"({"id":"once","body":"ho"})", "once"));
  CHECK(CodeOf(conflict) == "conflict");
  CHECK(trio.alice.ArrivedByNow().empty());
  CHECK(BodiesIn(trio.alice, trio.group) == Json::array({"hi"}));
}

TEST_CASE("a bad message to a group is an error and stored nowhere") {
  Trio trio;
  for (const std::string payload : {R"({"id":"x"})", R"({"id":"x","body":1,"more":2})",
                                    R"({"id":"x","type":"system","body":1})"}) {
    CAPTURE(payload);
    CHECK(CodeOf(Json::parse(trio.bob.SendIn(trio.group, payload, ""))) == "bad_request");
  }
  trio.bob.SendIn(trio.group, Json{{"id", "x"}, {"body", std::string(70'000, 'x')}}.dump(), "");
  CHECK(BodiesIn(trio.alice, trio.group).empty());
}

TEST_CASE("a gateway sends to a group as a member, and not as anybody else") {
  Trio trio;
  static const std::string kGateway = [] {
    Server().AddUser("gateway", "secret", {"--role", "service"});
    return "gateway";
  }();
  Device gateway(Server().port(), kGateway, "secret");
  gateway.Login();
  gateway.Publish("as/" + trio.bob.user() + "/group/" + trio.group, R"({"id":"g1","body":"hi"})");
  const Json outcome = gateway.NextOutcome();
  CHECK(outcome["ok"] == true);
  CHECK(outcome["user"] == trio.bob.user());
  CHECK(trio.alice.ReceiveIn(trio.group)["from"] == trio.bob.user());
  const std::string stranger = Server().NewUser("mallory");
  gateway.Publish("as/" + stranger + "/group/" + trio.group, R"({"id":"g2","body":"hi"})");
  CHECK(CodeOf(gateway.NextError()) == "denied");
  gateway.Publish("group/" + trio.group, R"({"id":"g3","body":"hi"})");
  CHECK(CodeOf(gateway.NextError()) == "denied");
  CHECK(trio.alice.ArrivedByAnswer().empty());
}

// Who is in.

TEST_CASE("every change of a group is a message in its order") {
  Trio trio;
  Device dave = Server().Open(Server().NewUser("alice"));
  trio.Change("add", {{"user", dave.user()}});
  trio.Change("set_role", {{"user", trio.bob.user()}, {"role", "admin"}});
  trio.Change("set", {{"title", "Quartet"}});
  trio.carol.AskDone("groups.set", {{"group", trio.group}, {"name", "Caro"}});
  trio.bob.AskDone("groups.remove", {{"group", trio.group}, {"user", dave.user()}});
  trio.carol.AskDone("groups.leave", {{"group", trio.group}});
  trio.Change("set", {{"open", true}});
  trio.carol.AskDone("groups.join", {{"group", trio.group}});
  const Json messages = GroupMessages(trio.alice, trio.group);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"created", trio.alice.user()}, {"added", trio.alice.user()},
      {"role", trio.alice.user()},    {"set", trio.alice.user()},
      {"renamed", trio.carol.user()}, {"removed", trio.bob.user()},
      {"left", trio.carol.user()},    {"set", trio.alice.user()},
      {"joined", trio.carol.user()}};
  REQUIRE(messages.size() == expected.size());
  for (size_t n = 0; n < expected.size(); ++n) {
    CAPTURE(messages[n].dump());
    CHECK(messages[n]["gseq"] == n + 1);
    CHECK(messages[n]["type"] == "system");
    CHECK(messages[n]["body"]["event"] == expected[n].first);
    CHECK(messages[n]["from"] == expected[n].second);
  }
  CHECK(messages[1]["body"]["users"] == Json::array({dave.user()}));
  CHECK(messages[2]["body"]["role"] == "admin");
  CHECK(messages[3]["body"]["title"] == "Quartet");
  CHECK(messages[4]["body"]["name"] == "Caro");
  CHECK(messages[5]["body"]["user"] == dave.user());
  // They came live as well, and took numbers in everybody's log.
  for (const auto& [event, by] : expected) {
    if (event != "created") CHECK(trio.alice.AwaitEvent(trio.group, event)["from"] == by);
  }
  CHECK(trio.alice.AskDone("sync")["head"] == expected.size());
}

TEST_CASE("what changes nothing is told to nobody") {
  Trio trio;
  trio.Change("add", {{"user", trio.bob.user()}});
  trio.Change("set", {{"title", "The Trio"}});
  trio.Change("set_role", {{"user", trio.bob.user()}, {"role", "member"}});
  CHECK(trio.bob.ArrivedByAnswer().empty());
  CHECK(GroupMessages(trio.bob, trio.group).size() == 1);
}

TEST_CASE("the group as its members see it") {
  Trio trio("inbox", 4, {{"open", true}, {"history", "all"}});
  trio.bob.AskDone("groups.set", {{"group", trio.group}, {"name", "Bobby"}});
  trio.alice.SayIn(trio.group, "hi");
  Json got = trio.carol.AskDone("groups.get", {{"group", trio.group}});
  CHECK(got["group"] == trio.group);
  CHECK(got["title"] == "The Trio");
  CHECK(got["delivery"] == "inbox");
  CHECK(got["open"] == true);
  CHECK(got["history"] == "all");
  CHECK(got["head"] == 3);
  CHECK(got["count"] == 3);
  CHECK(got["more"] == false);
  Json expected = Json::array({{{"user", trio.alice.user()}, {"role", "owner"}},
                               {{"user", trio.bob.user()}, {"role", "member"}, {"name", "Bobby"}},
                               {{"user", trio.carol.user()}, {"role", "member"}}});
  CHECK(got["members"] == expected);
  // In pages.
  Json members = Json::array();
  std::string after;
  for (int pages = 0; pages < 3; ++pages) {
    Json ask{{"group", trio.group}, {"limit", 1}};
    if (!after.empty()) ask["after"] = after;
    got = trio.carol.AskDone("groups.get", ask);
    REQUIRE(got["members"].size() == 1);
    CHECK(got["more"] == (pages < 2));
    members.push_back(got["members"][0]);
    after = got["members"][0]["user"].get<std::string>();
  }
  CHECK(members == expected);
}

TEST_CASE("a user's groups are listed, with its role and what it hasn't read") {
  Trio trio;
  Device& bob = trio.bob;
  std::vector<std::string> groups = {trio.group};
  for (int n = 0; n < 3; ++n) {
    groups.push_back(NewGroup());
    bob.AskDone("groups.create", {{"group", groups.back()}, {"delivery", "topic"}});
  }
  std::sort(groups.begin(), groups.end());
  trio.alice.SayIn(trio.group, "unread");
  bob.ReceiveIn(trio.group);
  std::vector<std::string> listed;
  Json page;
  do {
    Json ask{{"limit", 2}};
    if (!listed.empty()) ask["after"] = listed.back();
    page = bob.AskDone("groups.list", ask);
    for (const Json& entry : page["groups"]) {
      listed.push_back(entry["group"].get<std::string>());
      const bool of_three = listed.back() == trio.group;
      CHECK(entry["role"] == (of_three ? "member" : "owner"));
      CHECK(entry["count"] == (of_three ? 3 : 1));
      CHECK(entry["delivery"] == (of_three ? "inbox" : "topic"));
      CHECK(entry["head"] == (of_three ? 2 : 1));
      if (of_three) {
        CHECK(entry["title"] == "The Trio");
        CHECK(entry["unread"] == 1);
      }
    }
  } while (page["more"] == true);
  CHECK(listed == groups);
  CHECK(Server().OpenDeaf(Server().NewUser("mallory")).AskDone("groups.list")["groups"].empty());
}

TEST_CASE("who is added hears at once, and who is removed hears nothing more") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  const int version = GENERATE(4, 5);
  CAPTURE(delivery, version);
  Trio trio(delivery, version);
  const std::string topic = "group/" + trio.group;
  Device dave = Server().Open(Server().NewUser("alice"), {.version = version});
  trio.alice.SayIn(trio.group, "before");
  trio.Change("add", {{"user", dave.user()}});
  if (delivery == "topic") dave.ListenTo(topic);
  trio.alice.SayIn(trio.group, "with dave");
  CHECK(dave.ReceiveIn(trio.group)["body"] == "with dave");

  trio.bob.Arrived("#");
  trio.Change("remove", {{"user", trio.bob.user()}});
  trio.alice.SayIn(trio.group, "without bob");
  CHECK(dave.ReceiveIn(trio.group)["body"] == "without bob");
  // That it was removed is the last that bob hears; all of his devices' subscriptions are void.
  for (const MqttMessage& message : trio.bob.ArrivedByNow()) {
    CAPTURE(message.topic, message.payload);
    const Json object = Json::parse(message.payload);
    if (object.contains("body")) CHECK(object["body"] != "without bob");
  }
  CHECK(trio.bob.Subscribe(topic, 1) == (version == 5 ? 0x87 : 0x80));
  CHECK(CodeOf(trio.bob.NextError()) == "denied");
  // Back in, its earlier subscription doesn't come to life: it was told so.
  trio.Change("add", {{"user", trio.bob.user()}});
  if (delivery == "topic") trio.bob.ListenTo(topic);
  trio.alice.SayIn(trio.group, "bob is back");
  CHECK(trio.bob.ReceiveIn(trio.group)["body"] == "bob is back");
}

TEST_CASE("a subscription that lasts doesn't survive its owner's removal") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Trio trio("topic");
  const DeviceOptions lasting{
      .name = "lasting", .version = version, .clean = false, .session_expiry_s = 3600};
  Device bob = Server().Open(trio.bob.user(), lasting);
  bob.ListenTo("group/" + trio.group);
  SECTION("it stays a member: the subscription lasts") {
    bob.Disconnect();
    bob.Login();
    CHECK(bob.session_present());
    trio.alice.SayIn(trio.group, "hi");
    CHECK(bob.ReceiveIn(trio.group)["body"] == "hi");
  }
  SECTION("it is removed while away") {
    bob.Disconnect();
    trio.Change("remove", {{"user", bob.user()}});
    bob.Login();
    CHECK(bob.session_present());
    const Json error = bob.NextError();
    CHECK(error["topic"] == "group/" + trio.group);
    CHECK(CodeOf(error) == "denied");
    trio.alice.SayIn(trio.group, "hi");
    trio.carol.ReceiveIn(trio.group);
    CHECK(bob.ArrivedByNow().empty());
  }
}

TEST_CASE("an open group is joined and left by anybody, a closed one is not") {
  Trio open("inbox", 4, {{"open", true}});
  Device dave = Server().Open(Server().NewUser("alice"));
  dave.AskDone("groups.join", {{"group", open.group}});
  CHECK(RolesIn(dave, open.group)[dave.user()] == "member");
  open.alice.SayIn(open.group, "welcome");
  CHECK(dave.ReceiveIn(open.group)["body"] == "welcome");
  dave.AskDone("groups.leave", {{"group", open.group}});
  CHECK(CodeOf(dave.Ask("groups.get", {{"group", open.group}})) == "denied");
  dave.AskDone("groups.join", {{"group", open.group}});
  // Who was removed is not let in again but by those who manage it.
  open.Change("remove", {{"user", dave.user()}});
  CHECK(CodeOf(dave.Ask("groups.join", {{"group", open.group}})) == "denied");
  open.Change("add", {{"user", dave.user()}});
  CHECK(RolesIn(dave, open.group)[dave.user()] == "member");
  open.Change("set", {{"open", false}});
  dave.AskDone("groups.leave", {{"group", open.group}});
  CHECK(CodeOf(dave.Ask("groups.join", {{"group", open.group}})) == "denied");
}

TEST_CASE("who joins late sees what the group lets it see") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  const std::string history = GENERATE(as<std::string>{}, "joined", "all");
  CAPTURE(delivery, history);
  Trio trio(delivery, 4, {{"history", history}});
  Device dave = Server().Open(Server().NewUser("alice"));
  trio.alice.SayIn(trio.group, 1);
  trio.Change("add", {{"user", dave.user()}});
  trio.alice.SayIn(trio.group, 2);
  dave.AskDone("groups.leave", {{"group", trio.group}});
  trio.alice.SayIn(trio.group, 3);
  trio.Change("add", {{"user", dave.user()}});
  trio.alice.SayIn(trio.group, 4);
  const Json expected = history == "all" ? Json{1, 2, 3, 4} : Json{2, 4};
  CHECK(BodiesIn(dave, trio.group) == expected);
  Json bodies = Json::array();
  const Json page = dave.AskDone("history", {{"group", trio.group}, {"after", 0}});
  for (const Json& message : page["messages"]) {
    if (message["type"] == "message") bodies.push_back(message["body"]);
  }
  CHECK(bodies == expected);
  CHECK(BodiesIn(trio.bob, trio.group) == Json{1, 2, 3, 4});
}

// What a stranger may do, or anybody, with a group that isn't: nothing, with the same answer.
struct Attempts {
  void All() {
    const std::string other = Server().NewUser("bob");
    for (const auto& [method, members] : std::vector<std::pair<std::string, Json>>{
             {"sync", {{"after", 0}}},
             {"sync", {{"after", 0}, {"limit", 1}}},
             {"history", Json::object()},
             {"history", {{"after", 0}}},
             {"groups.get", Json::object()},
             {"groups.join", Json::object()},
             {"groups.leave", Json::object()},
             {"groups.leave", {{"user", other}}},
             {"groups.add", {{"user", device.user()}}},
             {"groups.add", {{"users", {other}}}},
             {"groups.remove", {{"user", member}}},
             {"groups.set_role", {{"user", device.user()}, {"role", "owner"}}},
             {"groups.set", {{"title", "mine"}}},
             {"groups.set", {{"delivery", "topic"}}},
             {"groups.set", {{"open", true}}},
             {"groups.set", {{"name", "me"}}},
             {"groups.delete", Json::object()}}) {
      CAPTURE(method, members.dump());
      CheckSame([&, method = method, members = members](const std::string& id) mutable {
        members["group"] = id;
        return device.Ask(method, members);
      });
    }
    for (const std::string payload :
         {R"({"id":"x","body":"let me in"})", "let me in",
          R"({"id":"y","type":"retract","ref":{"from":"bob1","id":"m1"},"body":1})"}) {
      CAPTURE(payload);
      CheckSame([&](const std::string& id) {
        device.Publish("group/" + id, payload);
        Json error = device.NextError();
        error.erase("id");  // the server made it
        return error;
      });
    }
    CheckSame([&](const std::string& id) {
      device.Publish("typing/group/" + id, R"({"on":true})");
      return device.NextError();
    });
    CheckSame([&](const std::string& id) {
      CHECK(device.Subscribe("group/" + id, 1) == (device.version() == 5 ? 0x87 : 0x80));
      return device.NextError();
    });
    CheckSame([&](const std::string& id) {
      device.SendReceipt({{"group", id}, {"read", 1}});
      return device.NextError();
    });
  }

  template <class F>
  void CheckSame(F attempt) {
    const std::string none = "no-such-group";
    const Json real = attempt(group);
    CAPTURE(real.dump());
    CHECK(real["ok"] == false);
    CHECK(CodeOf(real) == "denied");
    CHECK(Replaced(real.dump(), group, "X") == Replaced(attempt(none).dump(), none, "X"));
  }

  Device& device;
  const std::string group;
  const std::string member;
};

TEST_CASE("a stranger is refused everywhere, as if there were no such group") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  const int version = GENERATE(4, 5);
  CAPTURE(delivery, version);
  Trio trio(delivery, version);
  trio.bob.SendIn(trio.group, R"({"id":"m1","body":"private"})", "m1");
  trio.alice.ReceiveIn(trio.group);
  Device mallory = Server().Open(Server().NewUser("mallory"), {.version = version});
  const Json before = trio.alice.AskDone("groups.get", {{"group", trio.group}});
  Attempts{mallory, trio.group, trio.bob.user()}.All();
  CHECK(mallory.ArrivedByNow().empty());
  CHECK(mallory.AskDone("conversations")["conversations"].size() == 1);  // with itself
  CHECK(trio.alice.ArrivedByAnswer().empty());
  CHECK(trio.alice.AskDone("groups.get", {{"group", trio.group}}) == before);
}

TEST_CASE("a removed member has no way back in") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  CAPTURE(delivery);
  Trio trio(delivery, 4, {{"open", true}});
  trio.bob.SendIn(trio.group, R"({"id":"m1","body":"mine"})", "m1");
  trio.Change("set_role", {{"user", trio.bob.user()}, {"role", "admin"}});
  trio.Change("remove", {{"user", trio.bob.user()}});
  if (delivery == "inbox") trio.alice.AwaitEvent(trio.group, "removed");
  trio.alice.ArrivedByAnswer();
  trio.bob.ArrivedByAnswer();
  const Json before = trio.alice.AskDone("groups.get", {{"group", trio.group}});
  Attempts{trio.bob, trio.group, trio.carol.user()}.All();
  // Nor with another device, a token, or a device that acts while the old one is still open.
  Device other = Server().Open(trio.bob.user(), {.name = "other", .version = 5});
  Attempts{other, trio.group, trio.carol.user()}.All();
  trio.alice.SayIn(trio.group, "without bob");
  for (Device* device : {&trio.bob, &other}) CHECK(device->ArrivedByAnswer().empty());
  CHECK(trio.alice.AskDone("groups.get", {{"group", trio.group}})["members"] == before["members"]);
}

// Verifying a password takes long here, and a client is let in before it is done.
TEST_CASE("who isn't verified yet doesn't learn what groups there are") {
  ChatServer server({.options = {{"plugin_opt_login_wait_ms", "0"},
                                 {"plugin_opt_password_memory_kib", "131072"}}},
                    1);
  Device alice = server.Open(server.NewUser("alice"));
  server.AddUser("slow", "its password");
  alice.AskDone("groups.create",
                {{"group", "secret"}, {"delivery", "topic"}, {"members", {"slow"}}});
  Device guesser(server.port(), "slow", "a wrong one");
  try {
    if (guesser.Connect(guesser.ConnectOptions()) == 0) {
      const int code = guesser.Subscribe("group/secret", 1);
      CHECK(guesser.Subscribe("group/none", 1) == code);
    }
  } catch (const MqttError&) {
    CHECK_FALSE(guesser.connected());  // it was found out meanwhile
  }
  if (guesser.connected()) CHECK(guesser.AwaitClosed());
  CHECK(guesser.Arrived("group/#").empty());

  // Who is a member misses nothing by it, and is told of what it wasn't let into.
  Device slow(server.port(), "slow", "its password");
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (slow.Connect(slow.ConnectOptions()) != 0) REQUIRE(Clock::now() < deadline);
  REQUIRE(slow.Subscribe("group/secret", 1) == 1);
  slow.Subscribe("group/none", 1);
  alice.SayIn("secret", "hi");
  CHECK(slow.ReceiveIn("secret")["body"] == "hi");
  const Json error = slow.NextError();
  CHECK(error["topic"] == "group/none");
  CHECK(CodeOf(error) == "denied");
  CHECK(slow.ArrivedByAnswer().empty());
}

// Who manages.

TEST_CASE("members manage nothing but their own name") {
  Trio trio;
  const Json before = RolesIn(trio.alice, trio.group);
  for (const auto& [method, members] : std::vector<std::pair<std::string, Json>>{
           {"add", {{"user", Server().NewUser("mallory")}}},
           {"remove", {{"user", trio.carol.user()}}},
           {"remove", {{"user", trio.alice.user()}}},
           {"set_role", {{"user", trio.bob.user()}, {"role", "owner"}}},
           {"set", {{"title", "Bob's"}}},
           {"set", {{"delivery", "topic"}}},
           {"set", {{"open", true}}},
           {"set", {{"history", "all"}}},
           {"delete", Json::object()}}) {
    CAPTURE(method, members.dump());
    Json ask = members;
    ask["group"] = trio.group;
    CHECK(CodeOf(trio.bob.Ask("groups." + method, ask)) == "denied");
  }
  CHECK(RolesIn(trio.alice, trio.group) == before);
  CHECK(GroupMessages(trio.alice, trio.group).size() == 1);
  trio.bob.AskDone("groups.set", {{"group", trio.group}, {"name", "Bobby"}});
}

TEST_CASE("admins manage members, and owners admins") {
  Trio trio;
  Device& bob = trio.bob;
  const std::string dave = Server().NewUser("alice");
  trio.Change("set_role", {{"user", bob.user()}, {"role", "admin"}});
  const auto ask = [&](const std::string& method, Json members) {
    members["group"] = trio.group;
    return bob.Ask("groups." + method, members);
  };
  CHECK(ask("add", {{"user", dave}})["ok"] == true);
  CHECK(ask("set", {{"title", "Ours"}})["ok"] == true);
  CHECK(ask("remove", {{"user", dave}})["ok"] == true);
  CHECK(CodeOf(ask("remove", {{"user", trio.alice.user()}})) == "denied");
  CHECK(CodeOf(ask("set_role", {{"user", trio.carol.user()}, {"role", "admin"}})) == "denied");
  CHECK(CodeOf(ask("set_role", {{"user", bob.user()}, {"role", "owner"}})) == "denied");
  CHECK(CodeOf(ask("delete", Json::object())) == "denied");
  trio.Change("set_role", {{"user", trio.carol.user()}, {"role", "admin"}});
  CHECK(CodeOf(ask("remove", {{"user", trio.carol.user()}})) == "denied");
  trio.Change("remove", {{"user", trio.carol.user()}});
  CHECK(RolesIn(bob, trio.group) == Json{{trio.alice.user(), "owner"}, {bob.user(), "admin"}});
}

TEST_CASE("the last owner can't go without naming another") {
  Trio trio;
  const Json before = RolesIn(trio.alice, trio.group);
  CHECK(trio.alice.Ask("groups.leave", {{"group", trio.group}})["ok"] == false);
  CHECK(trio.alice.Ask("groups.set_role", {{"group", trio.group},
                                           {"user", trio.alice.user()},
                                           {"role", "member"}})["ok"] == false);
  CHECK(RolesIn(trio.bob, trio.group) == before);
  SECTION("it makes somebody else an owner first") {
    trio.Change("set_role", {{"user", trio.bob.user()}, {"role", "owner"}});
    trio.Change("leave", Json::object());
  }
  SECTION("it names one as it leaves") { trio.Change("leave", {{"user", trio.bob.user()}}); }
  CHECK(RolesIn(trio.bob, trio.group) ==
        Json{{trio.bob.user(), "owner"}, {trio.carol.user(), "member"}});
  CHECK(CodeOf(trio.alice.Ask("groups.get", {{"group", trio.group}})) == "denied");
}

TEST_CASE("a deleted group is no more for anybody") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  Trio trio(delivery);
  trio.alice.SayIn(trio.group, "hi");
  trio.Change("delete", Json::object());
  CHECK(trio.bob.AwaitEvent(trio.group, "deleted")["from"] == trio.alice.user());
  trio.bob.ArrivedByAnswer();
  for (Device* device : {&trio.alice, &trio.bob}) {
    Attempts{*device, trio.group, trio.carol.user()}.All();
    CHECK(device->AskDone("groups.list")["groups"].empty());
  }
}

TEST_CASE("a group's id is one group's, and names and members must be right") {
  Trio trio;
  Device mallory = Server().OpenDeaf(Server().NewUser("mallory"));
  CHECK(CodeOf(mallory.Ask("groups.create", {{"group", trio.group}})) == "conflict");
  for (const Json& bad : std::vector<Json>{{{"group", "Not An Id"}},
                                           {{"group", ""}},
                                           {{"title", "no id"}},
                                           {{"group", "fine"}, {"delivery", "pigeon"}},
                                           {{"group", "fine"}, {"members", "bob"}},
                                           {{"group", "fine"}, {"history", "none"}},
                                           {{"group", "fine"}, {"open", "yes"}},
                                           {{"group", "fine"}, {"unknown", 1}}}) {
    CAPTURE(bad.dump());
    CHECK(CodeOf(mallory.Ask("groups.create", bad)) == "bad_request");
  }
  CHECK(CodeOf(mallory.Ask("groups.create",
                           {{"group", "fine"}, {"members", {"nobody-of-this-name"}}})) ==
        "not_found");
  CHECK(CodeOf(mallory.Ask("groups.get", {{"group", "fine"}})) ==
        "denied");  // nothing of it is left
  mallory.AskDone("groups.create", {{"group", "fine"}});
  CHECK(RolesIn(mallory, "fine") == Json{{mallory.user(), "owner"}});
  // A group and a user may have the same id.
  mallory.AskDone("groups.create", {{"group", mallory.user()}});
  mallory.SayIn(mallory.user(), "to the group");
  CHECK(mallory.AskDone("history", {{"with", mallory.user()}})["messages"].empty());
}

// Delivery.

TEST_CASE("a group whose delivery changes goes on where it was") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Trio trio("inbox", version);
  const std::string topic = "group/" + trio.group;
  CHECK(trio.bob.Subscribe(topic, 1) == (version == 5 ? 0x87 : 0x80));
  CHECK(CodeOf(trio.bob.NextError()) == "denied");
  trio.alice.SayIn(trio.group, "to inboxes");
  CHECK(trio.bob.Receive()["gseq"] == 2);

  trio.Change("set", {{"delivery", "topic"}});
  const Json told = trio.bob.AwaitEvent(trio.group, "set");
  CHECK(told["body"]["delivery"] == "topic");
  CHECK(told["gseq"] == 3);
  const uint64_t head = told["seq"].get<uint64_t>();
  trio.bob.ListenTo(topic);
  trio.alice.SayIn(trio.group, "to the topic");
  const Json message = Json::parse(trio.bob.Next(topic).payload);
  CHECK(message["gseq"] == 4);
  CHECK_FALSE(message.contains("seq"));
  CHECK(trio.bob.AskDone("sync")["head"] == head);

  trio.Change("set", {{"delivery", "inbox"}});
  trio.alice.SayIn(trio.group, "to inboxes again");
  Json again = trio.bob.Receive();
  while (again["type"] == "system") again = trio.bob.Receive();
  CHECK(again["body"] == "to inboxes again");
  CHECK(again["gseq"] == 6);
  CHECK(trio.bob.Arrived(topic).size() <= 1);  // that it ends, at most
  CHECK(BodiesIn(trio.carol, trio.group) == Json{"to inboxes", "to the topic", "to inboxes again"});
  // What is in her log stands under her numbers in the group's, too.
  std::map<uint64_t, Json> own;
  const Json log = trio.carol.AskDone("sync");
  for (const Json& entry : log["messages"]) own[entry["gseq"]] = entry;
  for (const char* method : {"sync", "history"}) {
    const Json page = trio.carol.AskDone(method, {{"group", trio.group}, {"after", 0}});
    REQUIRE(page["messages"].size() == 6);
    for (const Json& entry : page["messages"]) {
      CAPTURE(method, entry.dump());
      CHECK(own.contains(entry["gseq"]) == (entry["gseq"] != 4));
      CHECK(entry.contains("seq") == (entry["gseq"] != 4));
      if (entry.contains("seq")) CHECK(entry == own[entry["gseq"]]);
    }
  }
}

TEST_CASE("an inbox group takes 256 members, and one delivered by topic more") {
  std::vector<std::string> lines;
  Json members = Json::array();
  for (int n = 1; n <= 256; ++n) {
    const std::string user = "crowd" + std::to_string(n);
    lines.push_back(user + ",");
    if (n <= 255) members.push_back(user);
  }
  Server().ImportUsers(lines);
  Device alice = Server().Open(Server().NewUser("alice"));
  const std::string group = NewGroup();
  alice.AskDone("groups.create", {{"group", group}, {"members", members}});
  CHECK(CodeOf(alice.Ask("groups.add", {{"group", group}, {"user", "crowd256"}})) == "too_large");
  CHECK(alice.AskDone("groups.get", {{"group", group}})["count"] == 256);
  alice.SayIn(group, "to all");
  Device last(Server().port(), "crowd255", Server().IssueToken("crowd255"));
  last.Login();
  CHECK(last.AskDone("sync")["messages"].back()["body"] == "to all");

  alice.AskDone("groups.set", {{"group", group}, {"delivery", "topic"}});
  alice.AskDone("groups.add", {{"group", group}, {"user", "crowd256"}});
  CHECK(alice.AskDone("groups.get", {{"group", group}})["count"] == 257);
  CHECK(CodeOf(alice.Ask("groups.set", {{"group", group}, {"delivery", "inbox"}})) == "too_large");
  // Nor is one made so large.
  members.push_back("crowd256");
  CHECK(CodeOf(alice.Ask("groups.create", {{"group", NewGroup()}, {"members", members}})) ==
        "too_large");
}

// What is kept.

TEST_CASE("a group is the same after the broker's end") {
  const bool clean = GENERATE(true, false);
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  CAPTURE(clean, delivery);
  Trio trio(delivery);
  const std::string topic = "group/" + trio.group;
  Device dave = Server().Open(Server().NewUser("alice"));
  for (int n = 1; n <= 10; ++n) trio.alice.SayIn(trio.group, n);
  trio.Change("set_role", {{"user", trio.bob.user()}, {"role", "admin"}});
  trio.Change("add", {{"user", dave.user()}});
  trio.Change("remove", {{"user", trio.carol.user()}});
  trio.bob.SayIn(trio.group, 11);
  std::vector<Json> before;
  for (Device* device : {&trio.alice, &trio.bob, &dave}) {
    before.push_back(device->AskDone("groups.get", {{"group", trio.group}}));
    before.push_back(GroupMessages(*device, trio.group));
    before.push_back(device->AskDone("sync", {{"limit", 1000}}));
  }
  if (clean) {
    Server().Stop();
  } else {
    Server().Kill();
  }
  Server().Start();
  std::vector<Json> after;
  for (Device* device : {&trio.alice, &trio.bob, &dave}) {
    device->Login();
    device->Listen();
    if (delivery == "topic") device->ListenTo(topic);
    after.push_back(device->AskDone("groups.get", {{"group", trio.group}}));
    after.push_back(GroupMessages(*device, trio.group));
    after.push_back(device->AskDone("sync", {{"limit", 1000}}));
  }
  CHECK(after == before);
  trio.carol.Login();
  CHECK(CodeOf(trio.carol.Ask("sync", {{"group", trio.group}, {"after", 0}})) == "denied");
  CHECK(trio.carol.Subscribe(topic, 1) == 0x80);
  CHECK(trio.alice.SayIn(trio.group, 12)["gseq"] == before[0]["head"].get<int>() + 1);
  CHECK(dave.ReceiveIn(trio.group)["body"] == 12);
}

TEST_CASE("a group is one of its members' conversations") {
  Trio trio;
  trio.alice.Say(trio.bob.user(), "to bob alone");
  trio.bob.Receive();
  for (int n = 1; n <= 20; ++n) trio.alice.SayIn(trio.group, n);
  trio.bob.SayIn(trio.group, "mine is read");
  const Json talks = trio.bob.AskDone("conversations")["conversations"];
  REQUIRE(talks.size() == 2);
  CHECK(talks[0]["group"] == trio.group);
  CHECK(talks[0]["last"]["body"] == "mine is read");
  CHECK(talks[0]["unread"] == 20);
  CHECK(talks[1]["with"] == trio.alice.user());
  const Json recent = trio.bob.AskDone("recent")["conversations"];
  REQUIRE(recent.size() == 2);
  CHECK(recent[0]["group"] == trio.group);
  CHECK(recent[0]["messages"].size() == 15);
  CHECK(recent[0]["messages"][1]["body"] == 20);
  const Json page = trio.bob.AskDone("history", {{"group", trio.group}, {"limit", 2}});
  CHECK(page["messages"][0]["body"] == "mine is read");
  CHECK(page["messages"][1]["body"] == 20);
  CHECK(page["messages"][0] == recent[0]["messages"][0]);
  CHECK(page["messages"][1] == recent[0]["messages"][1]);
  CHECK(page["more"] == true);
  const Json earlier =
      trio.bob.AskDone("history", {{"group", trio.group}, {"before", 4}, {"limit", 2}});
  CHECK(earlier["messages"][0]["gseq"] == 3);
  CHECK(earlier["messages"][1]["gseq"] == 2);
}

TEST_CASE("receipts in a group are told in its own numbers") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  CAPTURE(delivery);
  Trio trio(delivery);
  trio.bob.Say(trio.bob.user(), "bob's numbers run ahead");
  for (int n = 1; n <= 3; ++n) trio.alice.SayIn(trio.group, n);
  Json third;
  for (int n = 1; n <= 3; ++n) third = trio.bob.ReceiveIn(trio.group);
  const auto send = [&](const std::string& kind) {
    if (delivery == "inbox") {
      trio.bob.SendReceipt({{kind, third["seq"]}});
    } else {
      trio.bob.SendReceipt({{"group", trio.group}, {kind, third["gseq"]}});
    }
  };
  send("delivered");
  Json receipt = trio.alice.AwaitReceipt(trio.bob.user(), "delivered", 4);
  CHECK(receipt["group"] == trio.group);
  CHECK(receipt["delivered"] == 4);
  send("read");
  receipt = trio.alice.AwaitReceipt(trio.bob.user(), "read", 4);
  CHECK(receipt["group"] == trio.group);
  CHECK(receipt["read"] == 4);
  // Once.
  send("read");
  CHECK(trio.bob.ArrivedByAnswer().empty());
  CHECK(trio.alice.ArrivedByAnswer().empty());
  const Json groups = trio.bob.AskDone("groups.list")["groups"];
  REQUIRE(groups.size() == 1);
  CHECK(groups[0]["unread"] == 0);
}

// Edits, retractions, reactions, replies.

TEST_CASE("only its author edits a group's message; those who manage the group retract it, too") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  CAPTURE(delivery);
  Trio trio(delivery);
  const auto refer = [&](Device& device, const std::string& type, const Json& body) {
    static int last = 0;
    const std::string id = "r" + std::to_string(++last);
    Json payload{{"id", id}, {"type", type}, {"ref", {{"from", trio.bob.user()}, {"id", "m1"}}}};
    if (!body.is_null()) payload["body"] = body;
    return Json::parse(device.SendIn(trio.group, payload.dump(), id));
  };
  const auto shown = [&] {
    const Json page = trio.carol.AskDone("history", {{"group", trio.group}, {"after", 1}});
    return page["messages"].at(0);
  };
  trio.bob.SendIn(trio.group, R"({"id":"m1","body":"hello"})", "m1");
  CHECK(CodeOf(refer(trio.carol, "edit", "forged")) == "denied");
  CHECK(CodeOf(refer(trio.carol, "retract", nullptr)) == "denied");
  CHECK(CodeOf(refer(trio.alice, "edit", "forged")) == "denied");
  CHECK(refer(trio.carol, "reaction", "+1")["type"] == "reaction");
  CHECK(refer(trio.bob, "edit", "hello!")["type"] == "edit");
  CHECK(shown()["body"] == "hello!");
  CHECK(refer(trio.alice, "retract", nullptr)["type"] == "retract");
  CHECK(shown().value("body", Json()) != "hello!");
  CHECK(CodeOf(Json::parse(trio.bob.SendIn(trio.group,
                                           R"({"id":"e","type":"edit","body":1,"ref":{"from":")" +
                                               trio.bob.user() + R"(","id":"never-sent"}})",
                                           "e"))) == "not_found");
}

}  // namespace
}  // namespace parley::e2e
