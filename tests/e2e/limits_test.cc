// Limits that the broker has a part in; those of the engine alone:
// tests/chat/engine_limits_test.cc.
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

constexpr size_t kSessionsMax = 3;
constexpr size_t kQueuedBytesMax = 1 << 20;

ChatServer& Server() {
  static ChatServer server({.options = {{"plugin_opt_user_sessions_max", "3"},
                                        {"max_queued_bytes", std::to_string(kQueuedBytesMax)}}},
                           10);
  return server;
}

std::string CodeOf(const Json& outcome) {
  return outcome.contains("error") ? outcome["error"]["code"].get<std::string>() : "ok";
}

TEST_CASE("what is longer than it may be is refused, and the connection goes on") {
  Device alice = Server().Offline(Server().NewUser("alice"), {.version = 5});
  MqttConnect connect = alice.ConnectOptions();
  connect.client_id.resize(257, 'd');
  CHECK(alice.Connect(connect) != 0);
  connect.client_id.resize(256);
  REQUIRE(alice.Connect(connect) == 0);

  auto ask = [&](size_t topic_bytes) {
    alice.Publish("ask/" + std::string(topic_bytes - 4, 'x'), "{}");
    return CodeOf(alice.NextError());
  };
  CHECK(ask(512) == "bad_request");  // there is no such method
  CHECK(ask(513) == "too_large");
  CHECK(ask(65535) == "too_large");
  CHECK(alice.Subscribe(std::string(513, 'x'), 1) >= 0x80);
  CHECK(CodeOf(alice.NextError()) == "too_large");

  auto correlated = [&](size_t bytes) {
    alice.Publish("ask/sync", "{}", {.correlation_data = std::string(bytes, 'c')});
    const MqttMessage answer = alice.Next(alice.answers());
    return std::pair(CodeOf(Json::parse(answer.payload)), answer.correlation_data.value_or(""));
  };
  CHECK(correlated(1024) == std::pair(std::string("ok"), std::string(1024, 'c')));
  CHECK(correlated(1025) == std::pair(std::string("too_large"), std::string()));
  CHECK(alice.AskDone("sync")["head"] == 0);
}

TEST_CASE("a packet that is too large ends its connection alone") {
  const int version = GENERATE(4, 5);
  Device alice = Server().Open(Server().NewUser("alice"), {.version = version});
  Device bob = Server().Open(Server().NewUser("bob"));
  const std::string topic = "chat/" + bob.user();
  // max_packet_size is 1 MiB. Below it Parley answers.
  CHECK(CodeOf(Json::parse(alice.Send(bob.user(), std::string((1 << 20) - 100, 'x'), ""))) ==
        "too_large");
  alice.StartPublish(topic, std::string(1 << 20, 'x'));
  CHECK(alice.AwaitClosed());
  bob.Say(bob.user(), "still here");
  CHECK(bob.Arrived(bob.inbox()).empty());
}

TEST_CASE("a connection too many is closed, and the others go on") {
  const int version = GENERATE(4, 5);
  const std::string user = Server().NewUser("bob");
  std::vector<Device> devices;
  for (size_t i = 1; i <= kSessionsMax; ++i) {
    devices.push_back(Server().OpenDeaf(user, {.name = std::to_string(i), .version = version}));
  }
  Device more = Server().Offline(user, {.name = "more", .version = version});
  REQUIRE(more.Connect(more.ConnectOptions()) == 0);
  CHECK(CodeOf(more.NextError()) == "too_large");
  CHECK(more.AwaitClosed());
  for (Device& device : devices) device.AskDone("sync");
  // One that takes another's place is not one more.
  Device again = Server().OpenDeaf(user, {.name = "1", .version = version});
  again.Disconnect();
  more.Login();
}

TEST_CASE("past max_connections the broker takes nobody, until somebody goes") {
  ChatServer server({.options = {{"max_connections", "3"}}}, 2);
  const std::string alice = server.NewUser("alice"), bob = server.NewUser("bob");
  Device one = server.OpenDeaf(alice, {.name = "1"}), two = server.OpenDeaf(bob, {.name = "2"});
  Device three = server.OpenDeaf(bob, {.name = "3"});
  // Mosquitto 2.0 counts the end of a refused login, here the harness's first one, twice.
  Device perhaps = server.Offline(bob, {.name = "4"});
  const bool one_more = perhaps.TryLogin();
  Device more = server.Offline(bob, {.name = "5"});
  CHECK_FALSE(more.TryLogin());
  for (Device* device : {&one, &two, &three}) device->AskDone("sync");
  if (one_more) perhaps.Disconnect();
  three.Disconnect();
  more.Login();
  more.AskDone("sync");
}

TEST_CASE("who isn't verified yet sends no more than it may") {
  // Verifying takes a good while, and others' passwords come first.
  static ChatServer server(
      {.options = {{"plugin_opt_login_wait_ms", "0"}, {"plugin_opt_password_memory_kib", "32768"}}},
      1);
  const bool in_bytes = GENERATE(false, true);
  const std::string name = in_bytes ? "large" : "many";
  server.AddUser(name, ChatServer::PasswordOf(name));
  std::vector<MqttClient> others;
  for (int i = 0; i < 10; ++i) {
    others.emplace_back(server.port());
    others.back().Connect(
        {.client_id = {}, .user = "nobody" + std::to_string(i), .password = name});
  }
  Device device = server.Offline(name);
  REQUIRE(device.Connect(device.ConnectOptions()) == 0);
  const int allowed = in_bytes ? 8 : 100;
  const std::string body(in_bytes ? 32'000 : 1, 'x');
  for (int i = 0; i < allowed; ++i) device.StartPublish(device.inbox(), body);
  device.Ping();
  CHECK(device.Arrived("#").empty());
  device.StartPublish(device.inbox(), R"({"id":"k1","body":")" + body + "\"}");
  const Json busy = device.NextError();
  CHECK(CodeOf(busy) == "busy");
  CHECK(busy["topic"] == device.inbox());
  CHECK(busy["id"] == "k1");
  device.StartPublish("ask/sync", R"({"rid":"7"})");
  CHECK(CodeOf(Json::parse(device.AwaitAnswer("7"))) == "busy");
  // What it was allowed is done once its password was right.
  for (int i = 0; i < allowed; ++i) CHECK(CodeOf(device.NextOutcome()) == "ok");
}

TEST_CASE("a client that reads nothing costs the broker no more than its queue") {
  constexpr int kAsks = 20;
  const std::string user = Server().NewUser("carol");
  Device writer = Server().OpenDeaf(user, {.name = "writer"});
  for (int i = 0; i < 4; ++i) {
    writer.Publish("chat/" + user, std::string(60'000, 'x'));
    CHECK(CodeOf(writer.NextOutcome()) == "ok");
  }
  Device silent = Server().Offline(user, {.name = "silent", .version = 5});
  MqttConnect connect = silent.ConnectOptions();
  connect.receive_maximum = 1;
  silent.set_auto_ack(false);
  REQUIRE(silent.Connect(connect) == 0);
  const size_t log = Server().Log().size();
  for (int i = 0; i < kAsks; ++i) silent.StartAsk("sync", {{"after", 0}});
  Server().AwaitLog("Outgoing messages are being dropped for client " + silent.client_id(), log);
  // What was not dropped comes as it is read, and then it is as before.
  int answers = 0;
  for (;;) {
    const MqttMessage message = silent.Next(silent.answers());
    silent.Ack(message);
    const size_t messages = Json::parse(message.payload)["messages"].size();
    if (messages == 0) break;
    CHECK(messages == 4);
    ++answers;
    silent.StartAsk("sync", {{"after", 4}});
  }
  CHECK(answers >= 2);
  CHECK(answers < kAsks);
}

}  // namespace
}  // namespace parley::e2e
