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
  const Json done = Json::parse(gateway.Next(gateway.answers()).payload);
  CHECK(done == Json{{"ok", true}, {"user", bob}, {"topic", "receipt/" + bob}});
}

Json Vouched(Device& gateway, const std::string& user, Json members) {
  members["rid"] = "v";
  gateway.Publish("as/" + user + "/login", members.dump());
  return Json::parse(gateway.Next(gateway.answers()).payload);
}

TEST_CASE("a gateway learns whether somebody is who they say, and nobody comes online by it") {
  Device gateway = Gateway(GENERATE(4, 5));
  const std::string alice = Server().NewUser("alice");
  const std::string password = ChatServer::PasswordOf(alice);
  Json yes = Vouched(gateway, alice, {{"password", password}});
  CHECK(yes["ok"] == true);
  CHECK(yes["rid"] == "v");
  CHECK(yes["user"] == alice);
  CHECK(!yes.contains("token"));
  CHECK(Vouched(gateway, alice, {{"password", "wrong"}})["error"]["code"] == "denied");
  CHECK(Vouched(gateway, "nobody-of-this-name", {{"password", "x"}})["error"]["code"] == "denied");
  CHECK(Vouched(gateway, "$parleyctl", {{"password", "x"}})["error"]["code"] == "denied");
  for (const Json& bad :
       {Json{{"password", 5}}, Json::object(), Json{{"password", "x"}, {"key", "y"}},
        Json{{"password", password}, {"token", {{"ttl", 1}}}}, Json{{"password", "x"}, {"a", 1}}}) {
    CHECK(Vouched(gateway, alice, bad)["error"]["code"] == "bad_request");
  }
  CHECK(Server().OpenDeaf(alice).AskDone("devices.list")["devices"].size() == 1);
}

TEST_CASE("whatever is refused to a gateway, it learns for whom") {
  Device gateway = Gateway(GENERATE(4, 5));
  const std::string alice = Server().NewUser("alice");
  auto refused = [&](const std::string& topic, const std::string& payload, bool retain = false) {
    gateway.Publish(topic, payload, {.retain = retain});
    const Json answer = Json::parse(gateway.Next(gateway.answers()).payload);
    CHECK(answer["ok"] == false);
    return answer;
  };
  CHECK(refused("as/BAD/chat/bob", "hi")["user"] == "BAD");
  CHECK(refused("as/grüße \"/chat/bob", "hi")["user"] == "grüße \"");
  CHECK(refused("as/" + std::string(64, 'X') + "/x", "hi")["user"] == std::string(64, 'X'));
  CHECK_FALSE(refused("as/" + std::string(65, 'x') + "/x", "hi").contains("user"));
  CHECK(refused("as/" + alice + "/foo/bar", "hi")["user"] == alice);
  CHECK(refused("as/" + alice + "/chat/bob", "hi", true)["user"] == alice);
  CHECK(refused("as/" + alice + "/login", "{}")["user"] == alice);
  CHECK(refused("as/" + alice + "/login", "no object")["user"] == alice);
  CHECK(refused("as/" + alice + "/login", R"({"rid":"r1",)")["rid"] == "r1");
  CHECK(refused("as/" + alice + "/login",
                R"({"rid":"r2","password":")" + std::string(9000, 'x') + R"("})")["rid"] == "r2");
  for (const char* members : {R"("x":1)", R"("password":5)", R"("password":"p","key":"k")",
                              R"("password":"p","token":{"device":"bob:phone"})"}) {
    const Json answer =
        refused("as/" + alice + "/login", R"({"rid":"r",)" + std::string(members) + "}");
    CHECK(answer["user"] == alice);
    CHECK(answer["rid"] == "r");
    CHECK(answer["error"]["code"] == "bad_request");
  }
  CHECK_FALSE(refused("chat/NOBODY", "hi").contains("user"));
}

TEST_CASE("who has proved it may have a token, a gateway by itself may not") {
  Device gateway = Gateway();
  const std::string alice = Server().NewUser("alice");
  const std::string password = ChatServer::PasswordOf(alice);
  const Json given =
      Vouched(gateway, alice, {{"password", password}, {"token", {{"device", alice + ":tablet"}}}});
  const std::string token = given["token"];
  CHECK(Device(Server().port(), alice, token, {.name = "tablet"}).TryLogin());
  CHECK_FALSE(Device(Server().port(), alice, token, {.name = "phone"}).TryLogin());
  CHECK(Vouched(gateway, alice, {{"password", token}})["error"]["code"] == "denied");
  const Json known = Vouched(gateway, alice, {{"password", token}, {"device", alice + ":tablet"}});
  CHECK(known["expires"].get<int64_t>() / 1000 == given["expires"].get<int64_t>() / 1000);
  CHECK(Vouched(gateway, alice, {{"password", "wrong"}, {"token", Json::object()}})["ok"] == false);
  gateway.Publish("as/" + alice + "/ask/account.token", R"({"rid":"t"})");
  CHECK(Json::parse(gateway.Next(gateway.answers()).payload)["error"]["code"] == "denied");
}

TEST_CASE("a key's secret vouches for its own accounts alone") {
  Device gateway = Gateway();
  Server().CtlDone({"key", "add", "shop"});
  Server().AddUser("customer", "x", {"--key", "shop"});
  const std::string alice = Server().NewUser("alice");
  std::string secret = Server().CtlDone({"key", "secret", "shop"});
  secret.pop_back();  // the end of the line
  CHECK(Vouched(gateway, "customer", {{"key", secret}})["ok"] == true);
  CHECK(Vouched(gateway, alice, {{"key", secret}})["error"]["code"] == "denied");
  CHECK(Vouched(gateway, "customer", {{"key", secret + "x"}})["error"]["code"] == "denied");
  CHECK(Vouched(gateway, "customer", {{"key", "shop."}})["error"]["code"] == "denied");
  CHECK(Vouched(gateway, "customer", {{"key", secret}, {"token", Json::object()}})["ok"] == false);
  Server().CtlDone({"key", "secret", "shop", "--revoke"});
  CHECK(Vouched(gateway, "customer", {{"key", secret}})["error"]["code"] == "denied");
}

TEST_CASE("guesses that a gateway passes on are slowed by where they come from") {
  Device gateway = Gateway();
  const std::string alice = Server().NewUser("alice");
  auto guess = [&](const std::string& password, const char* address) {
    return Vouched(gateway, alice, {{"password", password}, {"address", address}});
  };
  std::string code = "denied";
  for (int i = 0; i < 50 && code == "denied"; ++i) {
    code = guess("guess " + std::to_string(i), "203.0.113.7")["error"]["code"];
  }
  CHECK(code == "quota");
  CHECK(guess("guess", "198.51.100.9")["error"]["code"] == "denied");
  CHECK(guess(ChatServer::PasswordOf(alice), "198.51.100.9")["ok"] == true);
}

TEST_CASE("nobody but a service asks that") {
  Device bob = Server().OpenDeaf(Server().NewUser("bob"));
  const std::string alice = Server().NewUser("alice");
  bob.Publish("as/" + alice + "/login",
              Json{{"rid", "v"}, {"password", ChatServer::PasswordOf(alice)}}.dump());
  CHECK(bob.NextError()["error"]["code"] == "denied");
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
