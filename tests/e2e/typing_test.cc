// PROTOCOL §4, typing: transient, never stored, and the first to be dropped.
#include <string>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({}, 20);
  return server;
}

std::string CodeOf(const Json& answer) {
  return answer.contains("error") ? answer["error"].value("code", "") : "";
}

Device Listening(const std::string& user, DeviceOptions options = {}) {
  Device device = Server().Open(user, std::move(options));
  device.ListenTo("typing/" + user);
  return device;
}

Json NextTyping(Device& device) {
  return Json::parse(device.Next("typing/" + device.user()).payload);
}

TEST_CASE("typing arrives at each device that listens, and is stored nowhere") {
  const int version = GENERATE(4, 5);
  const int qos = GENERATE(0, 1, 2);
  CAPTURE(version, qos);
  Device alice = Listening(Server().NewUser("alice"), {.version = version});
  Device bob = Listening(Server().NewUser("bob"), {.version = version});
  Device laptop = Listening(bob.user(), {.name = "laptop"});
  Device deaf = Server().Open(bob.user(), {.name = "deaf"});
  alice.Publish("typing/" + bob.user(), R"({"on":true})", {.qos = qos});
  const Json on = {{"from", alice.user()}, {"on", true}};
  CHECK(NextTyping(bob) == on);
  CHECK(NextTyping(laptop) == on);
  alice.Publish("typing/" + bob.user(), R"({"on":false})", {.qos = qos});
  CHECK(NextTyping(bob)["on"] == false);
  CHECK(NextTyping(laptop)["on"] == false);
  for (Device* device : {&alice, &bob, &deaf}) {
    CHECK(device->ArrivedByAnswer().empty());
    CHECK(device->AskDone("sync")["head"] == 0);
  }
  // Who comes later has missed it.
  Device later = Listening(bob.user(), {.name = "later"});
  CHECK(later.ArrivedByAnswer().empty());
}

TEST_CASE("typing in a group arrives at the other members") {
  const std::string delivery = GENERATE(as<std::string>{}, "inbox", "topic");
  CAPTURE(delivery);
  Device alice = Listening(Server().NewUser("alice"));
  Device bob = Listening(Server().NewUser("bob"));
  Device carol = Listening(Server().NewUser("carol"));
  Device mallory = Listening(Server().NewUser("mallory"));
  const std::string group = "typing-" + delivery;
  alice.AskDone(
      "groups.create",
      {{"group", group}, {"members", {bob.user(), carol.user()}}, {"delivery", delivery}});
  alice.Publish("typing/group/" + group, R"({"on":true})");
  const Json on = {{"from", alice.user()}, {"group", group}, {"on", true}};
  CHECK(NextTyping(bob) == on);
  CHECK(NextTyping(carol) == on);
  mallory.Publish("typing/group/" + group, R"({"on":true})");
  CHECK(CodeOf(mallory.NextError()) == "denied");
  alice.AskDone("groups.remove", {{"group", group}, {"user", carol.user()}});
  alice.Publish("typing/group/" + group, R"({"on":false})");
  CHECK(NextTyping(bob)["on"] == false);
  for (Device* device : {&alice, &bob, &carol, &mallory}) {
    for (const MqttMessage& message : device->ArrivedByAnswer()) {
      CHECK(message.topic != "typing/" + device->user());
    }
  }
}

TEST_CASE("a user named group is told like any other") {
  Server().AddUser("group", "secret");
  Device group(Server().port(), "group", "secret");
  group.Login();
  group.ListenTo("typing/group");
  Device alice = Server().Open(Server().NewUser("alice"));
  alice.Publish("typing/group", R"({"on":true})");
  CHECK(NextTyping(group)["from"] == alice.user());
}

TEST_CASE("malformed typing is an error, and nobody is told") {
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Listening(Server().NewUser("bob"));
  for (const std::string payload : {"", "on", "[]", "{}", R"({"on":1})", R"({"on":true,"more":1})",
                                    R"({"on":true)", R"({"on":true,"on":true})"}) {
    CAPTURE(payload);
    alice.Publish("typing/" + bob.user(), payload);
    const Json error = alice.NextError();
    CHECK(error["topic"] == "typing/" + bob.user());
    CHECK(CodeOf(error) == "bad_request");
  }
  alice.Publish("typing/nobody-of-this-name", R"({"on":true})");
  CHECK(CodeOf(alice.NextError()) == "not_found");
  CHECK(bob.ArrivedByAnswer().empty());
}

TEST_CASE("typing is limited in its rate, without a word, and messages are not") {
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Listening(Server().NewUser("bob"));
  constexpr int kSent = 500;
  const Clock::time_point begin = Clock::now();
  for (int n = 0; n < kSent; ++n) {
    alice.Publish("typing/" + bob.user(), n % 2 == 0 ? R"({"on":true})" : R"({"on":false})",
                  {.qos = 0});
  }
  alice.Say(bob.user(), "finished");
  bob.Receive();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin);
  const auto told = static_cast<int64_t>(bob.ArrivedByAnswer().size());
  CHECK(told >= 1);
  CHECK(told <= 5 * (seconds.count() + 3));  // 5 a second, and some at once
  CHECK(alice.ArrivedByAnswer().empty());
}

// The engine takes four commands at once here, and forty devices have something for it.
TEST_CASE("typing is dropped first when there is too much to do, without a word") {
  ChatServer server({.options = {{"plugin_opt_queue_max", "4"}}}, 40);
  const std::string bob = server.NewUser("bob");
  std::vector<Device> devices;
  for (int n = 0; n < 40; ++n) devices.push_back(server.OpenDeaf(server.NewUser("alice")));
  const auto dropped = [&] {
    const Json status = Json::parse(server.CtlDone({"status", "--json"}));
    return status.at("typing/dropped").get<uint64_t>();
  };
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (dropped() == 0) {
    REQUIRE(Clock::now() < deadline);
    for (Device& device : devices) {
      device.StartPublish("typing/" + bob, R"({"on":true})", {.qos = 0});
    }
    for (Device& device : devices) device.Ping();
  }
  for (Device& device : devices) CHECK(device.ArrivedByAnswer().empty());
}

}  // namespace
}  // namespace parley::e2e
