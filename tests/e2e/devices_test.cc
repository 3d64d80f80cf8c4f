// PROTOCOL §6, devices and accounts: what a user sees of its own devices, and how one is put out.
#include <map>
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

std::string CodeOf(const Json& answer) {
  return answer.contains("error") ? answer["error"].value("code", "") : "";
}

// What devices.list tells, by client id.
std::map<std::string, Json> Listed(Device& device) {
  std::map<std::string, Json> devices;
  const Json answer = device.AskDone("devices.list");
  for (const Json& entry : answer["devices"]) {
    devices[entry["device"].get<std::string>()] = entry;
  }
  return devices;
}

// When a device was last seen is written soon, not at once.
Json AwaitListed(Device& device, const std::string& client_id) {
  const Clock::time_point deadline = Clock::now() + kDeadline;
  for (;;) {
    auto devices = Listed(device);
    if (devices.contains(client_id)) return devices[client_id];
    CAPTURE(client_id);
    REQUIRE(Clock::now() < deadline);
  }
}

TEST_CASE("a user's devices are listed with what they acknowledged and when they were seen") {
  const int version = GENERATE(4, 5);
  Device phone = Server().Open(Server().NewUser("alice"), {.version = version});
  Device laptop = Server().Open(phone.user(), {.name = "laptop", .version = version});
  Device bob = Server().Open(Server().NewUser("bob"));
  const int64_t before_ms = bob.Say(phone.user(), "hi")["ts"].get<int64_t>();
  phone.Receive();
  laptop.Receive();
  laptop.SendReceipt({{"delivered", 1}});
  bob.AwaitReceipt(phone.user(), "delivered", 1);
  laptop.Disconnect();
  const Json entry = AwaitListed(phone, laptop.client_id());
  CHECK(entry["delivered"] == 1);
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (Listed(phone)[laptop.client_id()].value("last_seen", int64_t{0}) < before_ms) {
    REQUIRE(Clock::now() < deadline);
  }
  AwaitListed(phone, phone.client_id());
  CHECK(Listed(phone).size() == 2);
  CHECK(Listed(bob).count(phone.client_id()) == 0);
}

TEST_CASE("a removed device's session ends, and its token and its place are gone") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Device phone = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"));
  const std::string user = phone.user();
  Device first = Server().Open(user, {.name = "laptop", .version = version});
  const Json own = first.AskDone("account.token", {{"device", first.client_id()}});
  const std::string token = own["token"].get<std::string>();
  const Json asked = phone.AskDone("account.token", {{"device", user + ":another"}});
  const std::string others = asked["token"].get<std::string>();
  first.Disconnect();
  Device laptop(Server().port(), user, token, {.name = "laptop", .version = version});
  laptop.Login();
  laptop.Listen();
  for (int n = 1; n <= 3; ++n) bob.Say(user, n);
  for (int n = 1; n <= 3; ++n) laptop.Receive();
  laptop.SendReceipt({{"delivered", 1}});
  bob.AwaitReceipt(user, "delivered", 1);
  AwaitListed(phone, laptop.client_id());

  phone.AskDone("devices.remove", {{"device", user + ":laptop"}});
  CHECK(laptop.AwaitClosed());
  CHECK(Listed(phone).count(user + ":laptop") == 0);
  CHECK_FALSE(laptop.TryLogin());  // its token
  CHECK_FALSE(GetsIn(Server().port(), laptop.ConnectOptions()));
  MqttConnect other = phone.ConnectOptions();
  other.client_id = user + ":another";
  other.password = others;
  CHECK(GetsIn(Server().port(), other));  // another's token
  phone.Ping();
  // With the password it is a new device: it starts live.
  Device again = Server().Open(user, {.name = "laptop", .version = version});
  CHECK(again.ArrivedByAnswer().empty());
  bob.Say(user, "live");
  CHECK(again.Receive()["body"] == "live");
}

TEST_CASE("a device that removes itself is answered before it is put out") {
  const int version = GENERATE(4, 5);
  const bool lasting = GENERATE(false, true);
  for (int n = 0; n < 10; ++n) {
    Device phone =
        Server().Open(Server().NewUser("alice"),
                      {.version = version, .clean = !lasting, .session_expiry_s = lasting * 3600u});
    phone.AskDone("devices.remove", {{"device", phone.client_id()}});
    CHECK(phone.AwaitClosed());
  }
}

TEST_CASE("a device that is away is removed as well") {
  Device phone = Server().Open(Server().NewUser("alice"));
  const std::string id = phone.user() + ":laptop";
  Device laptop = Server().Open(phone.user(), {.name = "laptop"});
  laptop.Disconnect();
  AwaitListed(phone, id);
  phone.AskDone("devices.remove", {{"device", id}});
  CHECK(Listed(phone).count(id) == 0);
  Server().Restart();
  phone.Login();
  CHECK(Listed(phone).count(id) == 0);
}

TEST_CASE("nobody removes another's device, or one that isn't") {
  Device phone = Server().Open(Server().NewUser("alice"));
  Device mallory = Server().Open(Server().NewUser("mallory"));
  AwaitListed(phone, phone.client_id());
  CHECK(CodeOf(mallory.Ask("devices.remove", {{"device", phone.client_id()}})) == "not_found");
  CHECK(CodeOf(phone.Ask("devices.remove", {{"device", phone.user() + ":never"}})) == "not_found");
  CHECK(CodeOf(phone.Ask("devices.remove")) == "bad_request");
  CHECK(CodeOf(phone.Ask("devices.remove", {{"device", 1}})) == "bad_request");
  phone.Ping();
  CHECK(Listed(phone).count(phone.client_id()) == 1);
}

TEST_CASE("a token that was asked for a device is good for that device alone") {
  Device phone = Server().Open(Server().NewUser("alice"));
  const std::string tablet = phone.user() + ":tablet";
  const Json asked = phone.AskDone("account.token", {{"device", tablet}});
  MqttConnect options = phone.ConnectOptions();
  options.password = asked["token"].get<std::string>();
  options.client_id = tablet;
  CHECK(GetsIn(Server().port(), options));
  options.client_id = phone.user() + ":other";
  CHECK_FALSE(GetsIn(Server().port(), options));
  CHECK(CodeOf(phone.Ask("account.token", {{"device", "bob:tablet"}})) == "bad_request");
}

TEST_CASE("a token that was asked for no device is the account's, on any client id") {
  Device phone = Server().Open(Server().NewUser("alice"));
  MqttConnect options = phone.ConnectOptions();
  options.password = phone.AskDone("account.token")["token"].get<std::string>();
  options.client_id = phone.user() + ":other";
  CHECK(GetsIn(Server().port(), options));
  options.client_id = "";  // the broker chooses one
  MqttClient nameless(Server().port());
  CHECK(nameless.Connect(options) == 0);
}

TEST_CASE("a user changes its name and its password") {
  Device phone = Server().Open(Server().NewUser("alice"));
  const std::string token = Server().IssueToken(phone.user());
  Device laptop(Server().port(), phone.user(), phone.password(), {.name = "laptop"});
  laptop.Login();
  Json account = phone.AskDone("account.get");
  CHECK(account["user"] == phone.user());
  phone.AskDone("account.set", {{"name", "Alice A."}});
  CHECK(phone.AskDone("account.get")["name"] == "Alice A.");
  CHECK(CodeOf(phone.Ask("account.password", {{"old", "wrong"}, {"new", "a new one"}})) ==
        "denied");
  phone.AskDone("account.password", {{"old", phone.password()}, {"new", "a new one"}});
  CHECK(laptop.AwaitClosed());
  phone.Ping();
  MqttConnect options = phone.ConnectOptions();
  options.client_id = phone.user() + ":other";
  CHECK_FALSE(GetsIn(Server().port(), options));
  options.password = token;
  CHECK_FALSE(GetsIn(Server().port(), options));
  options.password = "a new one";
  Device again(Server().port(), phone.user(), "a new one", {.name = "other"});
  again.Login();
}

}  // namespace
}  // namespace parley::e2e
