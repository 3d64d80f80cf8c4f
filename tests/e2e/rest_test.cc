// The REST gateway beside a real broker: what comes in by one way goes out by the other.
#include <string>

#include "tests/catch.h"
#include "tests/e2e/rest_client.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({}, 60);
  return server;
}

Gateway& Rest() {
  static Gateway gateway(Server());
  return gateway;
}

// A message as MQTT has it, by REST's names.
Json ByRestNames(Json message) {
  message["author_id"] = message.at("from");
  message["timestamp"] = message.at("ts");
  message.erase("from");
  message.erase("ts");
  if (message.contains("body") && message["body"].is_string()) {
    message["message_text"] = message["body"];
    message.erase("body");
  }
  return message;
}

Json AllByRestNames(const Json& messages) {
  Json all = Json::array();
  for (const Json& message : messages) all.push_back(ByRestNames(message));
  return all;
}

TEST_CASE("a password becomes a token, and the token speaks for its user") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  RestClient client = Rest().Open();
  RestResponse login = client.Post(
      "/v1/login", {{"user", alice}, {"password", ChatServer::PasswordOf(alice)}, {"ttl", 3600}});
  REQUIRE(login.status == 200);
  CHECK(login.json()["user"] == alice);
  client.With("Authorization", "Bearer " + login.json()["token"].get<std::string>());
  RestResponse sent =
      client.Post("/v1/messages", {{"to", bob}, {"id", "7f3a"}, {"message_text", "hi"}});
  CHECK(sent.status == 201);
  CHECK(sent.json()["seq"] == 1);
  CHECK(sent.json()["id"] == "7f3a");
  CHECK(sent.json()["author_id"] == alice);
  Json account = client.Get("/v1/account").json();
  CHECK(account["role"] == "user");
  CHECK(client.Post("/v1/login", {{"user", alice}, {"password", "wrong"}}).status == 401);
}

TEST_CASE("half by REST and half by MQTT, a conversation reads the same both ways") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  RestClient rest = Rest().As(alice);
  Device device = Server().Open(bob);
  const Json bodies = {"hi", "ünïcode \"quoted\" \\ \n", Json{{"link", "https://x"}, {"n", 1.5}},
                       ""};
  for (int i = 0; i < 8; ++i) {
    const Json& body = bodies[static_cast<size_t>(i) % bodies.size()];
    if (i % 2 == 0) {
      RestResponse sent = rest.Post("/v1/messages", {{"to", bob}, {"body", body}});
      REQUIRE(sent.status == 201);
      CHECK(sent.json()["seq"] == i + 1);
      CHECK(device.Receive()["body"] == body);
    } else {
      CHECK(device.Say(alice, body)["seq"] == i + 1);
    }
  }
  const Json by_mqtt = device.AskDone("history", {{"with", alice}, {"limit", 100}});
  const Json by_rest = rest.Get("/v1/messages?limit=100&with=" + bob).json();
  CHECK(by_rest["messages"] == AllByRestNames(by_mqtt["messages"]));
  CHECK(by_rest["messages"].size() == 8);
  const Json sync = device.AskDone("sync", {{"after", 3}});
  Json updates = Rest().As(bob).Get("/v1/updates?after=3").json();
  CHECK(updates["messages"] == AllByRestNames(sync["messages"]));
  CHECK(updates["head"] == sync["head"]);
  CHECK(updates["epoch"] == sync["epoch"]);
  const Json conversations = rest.Get("/v1/conversations").json()["conversations"];
  REQUIRE(conversations.size() == 1);
  CHECK(conversations[0]["with"] == bob);
  CHECK(conversations[0]["last"] == by_rest["messages"][0]);
}

TEST_CASE("what is sent by one gateway is polled from another, which knows it by its id") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  Gateway other(Server());
  const Json message = {{"to", bob}, {"id", "once"}, {"message_text", "hi"}};
  Json first;
  {
    Gateway gateway(Server());
    RestClient poll = other.As(bob);
    poll.Start("GET", "/v1/updates?after=0&timeout=60");
    CHECK(other.As(alice).Get("/v1/account").status == 200);  // the poll has been read
    RestClient sender = gateway.As(alice);
    first = sender.Post("/v1/messages", message).json();
    const Json messages = poll.Finish().json()["messages"];
    REQUIRE(messages.size() == 1);
    CHECK(messages[0]["message_text"] == "hi");
  }  // kill -9
  CHECK(other.As(alice).Post("/v1/messages", message).json() == first);
  CHECK(other.As(bob).Get("/v1/updates?after=0&timeout=0").json()["messages"].size() == 1);
}

TEST_CASE("a message whose gateway is killed before it answers is sent again, and is one") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  Gateway other(Server());
  RestClient again = other.As(alice);
  CHECK(again.Get("/v1/account").status == 200);
  const Json message = {{"to", bob}, {"id", "unanswered"}, {"message_text", "hi"}};
  uint64_t head = 0;
  {
    Gateway gateway(Server());
    RestClient sender = gateway.As(alice);
    CHECK(sender.Get("/v1/account").status == 200);
    sender.Start("POST", "/v1/messages", message.dump());
    RestClient poll = other.As(bob);
    head = poll.Get("/v1/updates?after=0&timeout=60").json()["head"];
  }
  const Json sent = again.Post("/v1/messages", message).json();
  CHECK(sent["seq"] == 1);
  CHECK(head == 1);
  CHECK(other.As(bob).Get("/v1/updates?after=0&timeout=0").json()["messages"].size() == 1);
}

TEST_CASE("the same id is one message, however often and whichever way it is sent") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  RestClient rest = Rest().As(alice);
  const Json message = {{"to", bob}, {"id", "once"}, {"message_text", "hi"}};
  const Json first = rest.Post("/v1/messages", message).json();
  CHECK(rest.Post("/v1/messages", message).json() == first);
  Device device = Server().Open(alice);
  device.Send(bob, R"({"id":"once","body":"hi"})", "once");
  CHECK(rest.Get("/v1/messages?with=" + bob).json()["messages"].size() == 1);
}

TEST_CASE("a poll waits for the next message, and is answered with it at once") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  RestClient poll = Rest().As(bob);
  poll.Start("GET", "/v1/updates?after=0&timeout=60");
  RestClient tab = Rest().As(bob);  // waits for the same
  tab.Start("GET", "/v1/updates?after=0&timeout=60");
  RestClient sender = Rest().As(alice);
  CHECK(sender.Post("/v1/messages", {{"to", bob}, {"message_text", "hi"}}).status == 201);
  const Json messages = poll.Finish().json()["messages"];
  REQUIRE(messages.size() == 1);
  CHECK(messages[0]["message_text"] == "hi");
  CHECK(messages[0]["author_id"] == alice);
  CHECK(tab.Finish().json()["messages"] == messages);
  const Json nothing = poll.Get("/v1/updates?after=1&timeout=1").json();
  CHECK(nothing["messages"].empty());
  CHECK(nothing["head"] == 1);
}

TEST_CASE("polls whose clients have gone don't use up what may wait for a user") {
  const std::string bob = Server().NewUser("bob");
  for (int i = 0; i < 20; ++i) {
    RestClient gone = Rest().As(bob);
    gone.Start("GET", "/v1/updates?after=0&timeout=60");
  }
  const std::string alice = Server().NewUser("alice");
  RestClient poll = Rest().As(bob);
  poll.Start("GET", "/v1/updates?after=0&timeout=60");
  Rest().As(alice).Post("/v1/messages", {{"to", bob}, {"message_text", "hi"}});
  CHECK(poll.Finish().json()["messages"].size() == 1);
}

TEST_CASE("receipts by REST reach the sender, and one past the end is refused") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  Device device = Server().Open(alice);
  device.Say(bob, "hi");
  RestClient rest = Rest().As(bob);
  CHECK(rest.Post("/v1/receipts", {{"delivered", 1}, {"read", 1}}).status == 204);
  device.AwaitReceipt(bob, "read", 1);
  CHECK(rest.Post("/v1/receipts", {{"read", 99}}).code() == "bad_request");
  CHECK(rest.Post("/v1/receipts", {{"group", "no-such-group"}, {"read", 1}}).code() == "denied");
}

TEST_CASE("a group is made, joined, written to and left by REST") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  const std::string group = "g-" + alice;
  RestClient owner = Rest().As(alice);
  RestClient member = Rest().As(bob);
  RestResponse made =
      owner.Post("/v1/groups", {{"group", group}, {"title", "Town"}, {"open", true}});
  REQUIRE(made.status == 201);
  CHECK(member.Call("POST", "/v1/groups/" + group + "/join").status == 200);
  RestResponse sent =
      member.Post("/v1/messages", {{"group", group}, {"message_text", "hello, all"}});
  CHECK(sent.status == 201);
  const Json messages = owner.Get("/v1/messages?group=" + group).json()["messages"];
  CHECK(messages[0]["message_text"] == "hello, all");
  CHECK(messages[0]["gseq"] == sent.json()["gseq"]);
  CHECK(owner.Call("PATCH", "/v1/groups/" + group + "/members/" + bob, R"({"role":"admin"})")
            .status == 200);
  CHECK(member.Call("PATCH", "/v1/groups/" + group, R"({"title":"City"})").status == 200);
  CHECK(owner.Get("/v1/groups/" + group).json()["title"] == "City");
  CHECK(owner.Get("/v1/groups?limit=5").json()["groups"].size() == 1);
  CHECK(owner.Call("PATCH", "/v1/groups/" + group, R"({"delivery":"topic"})").status == 200);
  CHECK(owner.Post("/v1/receipts", {{"group", group}, {"read", 1}}).status == 204);
  CHECK(owner.Post("/v1/receipts", {{"group", group}, {"read", 1000}}).code() == "bad_request");
  CHECK(owner.Get("/v1/updates?after=0&group=" + group).json()["messages"].size() > 3);
  CHECK(owner.Delete("/v1/groups/" + group + "/members/" + bob).status == 200);
  CHECK(member.Get("/v1/groups/" + group).code() == "denied");
  CHECK(owner.Delete("/v1/groups/" + group).status == 200);
}

TEST_CASE("contacts, blocks, presence, typing and devices by REST") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  RestClient rest = Rest().As(alice);
  Device device = Server().Open(bob);
  device.ListenTo("typing/" + bob);
  CHECK(rest.Post("/v1/contacts", {{"user", bob}}).status == 201);
  CHECK(device.AskDone("contacts.accept", {{"user", alice}})["contact"]["state"] == "accepted");
  CHECK(rest.Get("/v1/contacts").json()["contacts"][0]["user"] == bob);
  CHECK(rest.Get("/v1/presence?users=" + bob).json()["users"][0]["user"] == bob);
  CHECK(rest.Get("/v1/presence?contacts=true").json()["users"].size() == 1);
  CHECK(rest.Post("/v1/typing", {{"to", bob}, {"on", true}}).status == 202);
  CHECK(Json::parse(device.Next("typing/" + bob).payload)["from"] == alice);
  CHECK(rest.Call("PUT", "/v1/blocks/" + bob).status == 200);
  CHECK(Json::parse(device.Send(alice, R"({"id":"b","body":"x"})", "b"))["error"]["code"] ==
        "denied");
  CHECK(rest.Delete("/v1/blocks/" + bob).status == 200);
  CHECK(Rest().As(bob).Get("/v1/devices").json()["devices"][0]["device"] == device.client_id());
}

TEST_CASE("an API key speaks for its own accounts, until it is revoked") {
  Server().CtlDone({"key", "add", "shop"});
  Server().AddUser("customer", "secret of one", {"--key", "shop"});
  const std::string other = Server().NewUser("alice");
  std::string secret = Server().CtlDone({"key", "secret", "shop"});
  secret.pop_back();  // the end of the line
  RestClient server = Rest().Open();
  server.With("X-Api-Key", secret);
  const Json message = {{"to", other}, {"message_text", "hi"}};
  CHECK(server.Post("/v1/messages", message).status == 400);  // as whom?
  Json named = message;
  named["author_id"] = "customer";
  CHECK(server.Post("/v1/messages", named).status == 201);
  server.With("X-Parley-User", other);
  CHECK(server.Post("/v1/messages", message).status == 401);
  CHECK(server.Post("/v1/messages", named).status == 400);
  server.With("X-Parley-User", "customer");
  CHECK(server.Get("/v1/messages?with=" + other).json()["messages"].size() == 1);
  // The key and a token of one of its accounts; which is who speaks.
  RestClient both = Rest().As("customer");
  both.With("X-Api-Key", secret);
  CHECK(both.Post("/v1/messages", {{"to", other}, {"message_text", "me"}}).json()["author_id"] ==
        "customer");
  CHECK(both.Post("/v1/messages", named).status == 201);
  CHECK(both.With("X-Parley-User", other).Post("/v1/messages", message).status == 403);
  CHECK(Rest().As(other).With("X-Api-Key", secret).Get("/v1/account").status == 403);
  CHECK(Rest().As("customer").With("X-Api-Key", "shop.x").Get("/v1/account").status == 403);
  RestClient forger = Rest().Open();
  forger.With("X-Api-Key", secret)
      .With("Authorization", "Bearer " + Server().IssueToken("customer") + "x");
  CHECK(forger.Get("/v1/account").status == 401);
  RestClient guess = Rest().Open();
  guess.With("X-Api-Key", "shop.x").With("X-Parley-User", "customer");
  CHECK(guess.Get("/v1/account").status == 401);
  Server().CtlDone({"key", "secret", "shop", "--revoke"});
  Gateway another(Server());  // it believes nobody yet
  RestClient revoked = another.Open();
  revoked.With("X-Api-Key", secret).With("X-Parley-User", "customer");
  CHECK(revoked.Get("/v1/account").status == 401);
}

}  // namespace
}  // namespace parley::e2e
