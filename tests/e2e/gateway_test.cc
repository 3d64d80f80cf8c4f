// PROTOCOL §9: a service account acts for users.
#include <string>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({}, 10);
  return server;
}

Device Gateway(int version = 4) {
  static bool made = false;
  if (!made) Server().AddUser("gateway", "secret", {"--role", "service"});
  made = true;
  Device gateway(Server().port(), "gateway", "secret", {.name = "one", .version = version});
  gateway.Login();
  return gateway;
}

TEST_CASE("a gateway sends as a user, and the outcome comes to the gateway") {
  Device gateway = Gateway(GENERATE(4, 5));
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"));
  const std::string topic = "as/" + alice.user() + "/chat/" + bob.user();
  gateway.Publish(topic, R"({"id":"g1","body":"by gateway"})");
  const Json outcome = gateway.NextOutcome();
  CHECK(outcome["ok"] == true);
  CHECK(outcome["user"] == alice.user());
  CHECK(outcome["id"] == "g1");
  CHECK(outcome["seq"] == 1);
  CHECK(outcome.contains("topic"));
  CHECK(bob.Receive()["from"] == alice.user());
  CHECK(alice.Receive()["body"] == "by gateway");
  // The user's own device and the gateway share the ids.
  alice.Send(bob.user(), R"({"id":"g1","body":"by gateway"})", "g1");
  CHECK(bob.ArrivedByNow().empty());
}

TEST_CASE("a gateway's errors name the user") {
  Device gateway = Gateway();
  const std::string alice = Server().NewUser("alice");
  gateway.Publish("as/" + alice + "/chat/nobody-of-this-name", R"({"id":"g1","body":"x"})");
  Json error = gateway.NextError();
  CHECK(error["user"] == alice);
  CHECK(error["id"] == "g1");
  CHECK(error["error"]["code"] == "not_found");
  gateway.Publish("as/nobody-of-this-name/chat/" + alice, R"({"id":"g2","body":"x"})");
  error = gateway.NextError();
  CHECK(error["user"] == "nobody-of-this-name");
  CHECK(error["error"]["code"] == "not_found");
}

TEST_CASE("a gateway asks and acknowledges for a user") {
  Device gateway = Gateway();
  Device alice = Server().Open(Server().NewUser("alice"));
  const std::string bob = Server().NewUser("bob");
  alice.Say(bob, "hi");
  gateway.Publish("as/" + bob + "/ask/sync", R"({"rid":"r1"})");
  const Json answer = Json::parse(gateway.Next(gateway.answers()).payload);
  CHECK(answer["rid"] == "r1");
  CHECK(answer["ok"] == true);
  CHECK(answer["user"] == bob);
  CHECK(answer["messages"].size() == 1);
  gateway.Publish("as/" + bob + "/receipt/" + bob, R"({"delivered":1})");
  alice.AwaitReceipt(bob, "delivered", 1);
}

TEST_CASE("a gateway has only the users' rights, and none to listen") {
  Device gateway = Gateway();
  Device alice = Server().Open(Server().NewUser("alice"));
  const std::string bob = Server().NewUser("bob");
  for (const std::string& topic :
       {"as/" + bob + "/receipt/" + alice.user(), "as/" + bob + "/presence/" + alice.user(),
        "as/" + bob + "/answer/" + alice.client_id(), "as/" + bob + "/$CONTROL/parley/v1",
        "as/" + bob, "as/" + bob + "/as/" + alice.user() + "/chat/" + bob}) {
    CAPTURE(topic);
    gateway.Publish(topic, R"({"id":"x","body":"x","read":0})");
    CHECK(gateway.NextError()["error"]["code"] == "denied");
  }
  for (const std::string& filter : {std::string("as/#"), alice.inbox(), std::string("chat/#")}) {
    CHECK(gateway.Subscribe(filter, 1) == 0x80);
  }
  CHECK(alice.ArrivedByNow().empty());
}

}  // namespace
}  // namespace parley::e2e
