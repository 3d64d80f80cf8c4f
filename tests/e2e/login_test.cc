// PROTOCOL §§1 and 8, and the accounts: logging in, being slowed, being over a quota, being shut
// out.
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

constexpr int kUserRate = 2;                // messages a second
constexpr int kUserBurst = 10 * kUserRate;  // ten seconds' worth

ChatServer& Server() {
  static ChatServer server({.options = {{"plugin_opt_user_rate", std::to_string(kUserRate)}}}, 20);
  return server;
}

bool TryLogin(const std::string& user, const std::string& password, int version = 4,
              const std::string& source_address = "") {
  MqttConnect options;
  options.client_id = user + ":login";
  options.user = user;
  options.password = password;
  options.version = version;
  options.source_address = source_address;
  return GetsIn(Server().port(), options);
}

// Tries until the login has the outcome that is waited for.
void AwaitLogin(const std::string& user, const std::string& password, bool accepted,
                const std::string& source_address = "", Clock::duration timeout = kDeadline) {
  const Clock::time_point deadline = Clock::now() + timeout;
  while (TryLogin(user, password, 4, source_address) != accepted) {
    CAPTURE(user, accepted);
    REQUIRE(Clock::now() < deadline);
  }
}

// When a refused sender may try again. The protocol names the member; it stands in the error.
int64_t RetryAfter(const Json& outcome) {
  return outcome["error"].value("retry_after_ms", int64_t{0});
}

// Sends until the quota is reached and returns how many were accepted; at most `limit` are tried.
int SendUntilQuota(Device& sender, const std::string& receiver, int limit, Json* error) {
  for (int n = 1; n <= limit; ++n) {
    const std::string id = sender.user() + "-q" + std::to_string(n);
    *error =
        Json::parse(sender.Send(receiver, Json{{"id", id}, {"body", n}}.dump(), id, {.qos = 0}));
    if (error->contains("error")) return n - 1;
  }
  return limit;
}

TEST_CASE("a right password gets in, and once it was verified at the first try") {
  const int version = GENERATE(4, 5);
  const std::string user = Server().NewUser("alice");
  Server().OpenDeaf(user).Disconnect();
  for (int n = 0; n < 10; ++n) CHECK(TryLogin(user, ChatServer::PasswordOf(user), version));
}

// Verifying a password takes long here, and the broker's thread never waits for it.
ChatServer& SlowServer() {
  static ChatServer server({.options = {{"plugin_opt_login_wait_ms", "0"},
                                        {"plugin_opt_password_memory_kib", "131072"}}},
                           1);
  return server;
}

// An account whose password takes long, unlike the prepared ones'.
std::string SlowUser(const std::string& name) {
  SlowServer().AddUser(name, ChatServer::PasswordOf(name));
  return name;
}

TEST_CASE("a device that subscribed while its password was verified misses nothing") {
  Device alice = SlowServer().Open(SlowServer().NewUser("alice"));
  Device bob = SlowServer().Offline(SlowUser("slow-bob"));
  REQUIRE(bob.Connect(bob.ConnectOptions()) == 0);
  bob.Listen();
  alice.Say(bob.user(), "after the SUBACK");
  CHECK(bob.Receive()["body"] == "after the SUBACK");
}

TEST_CASE("what a device sends while its password is verified is not lost") {
  Device alice = SlowServer().Open(SlowServer().NewUser("bob"));
  Device bob = SlowServer().Offline(SlowUser("slow-sender"));
  REQUIRE(bob.Connect(bob.ConnectOptions()) == 0);
  for (int n = 1; n <= 20; ++n) bob.Publish(alice.inbox(), std::to_string(n));
  for (int n = 1; n <= 20; ++n) CHECK(alice.Receive()["body"] == std::to_string(n));
}

TEST_CASE("a wrong password gets nothing while it is verified, nor what waits in a session") {
  const int version = GENERATE(4, 5);
  const bool same_device = GENERATE(true, false);
  Device alice = SlowServer().Open(SlowServer().NewUser("carol"));
  const std::string name = "slow-victim" + std::to_string(version) + (same_device ? "a" : "b");
  DeviceOptions lasting{.version = version, .clean = false, .session_expiry_s = 3600};
  Device victim = SlowServer().Open(SlowUser(name), lasting);
  victim.set_auto_ack(false);
  alice.Say(name, "secret");
  victim.Receive();  // not acknowledged: the broker will send it again
  victim.Drop();

  if (!same_device) lasting.name = "guesser";
  Device guesser(SlowServer().port(), name, "a wrong one", lasting);
  if (guesser.Connect(guesser.ConnectOptions()) == 0) {
    guesser.Subscribe(guesser.inbox(), 1);
    alice.Say(name, "another secret");
    CHECK(guesser.AwaitClosed());
  }
  CHECK(guesser.Arrived("#").empty());
  // The session is still the victim's.
  victim.Login();
  CHECK(victim.session_present());
}

TEST_CASE("a wrong password leaves a session that is away as it was") {
  const bool clean = GENERATE(false, true);
  Device alice = SlowServer().Open(SlowServer().NewUser("alice"));
  const std::string name = std::string("slow-away-") + (clean ? "clean" : "lasting");
  Device victim = SlowServer().Open(SlowUser(name), {.clean = false});
  victim.Disconnect();
  Device guesser(SlowServer().port(), name, "a wrong one", {.clean = clean});
  CHECK(guesser.Connect(guesser.ConnectOptions()) != 0);
  victim.Login();
  CHECK(victim.session_present());
  alice.Say(name, "hi");  // it need not subscribe again
  CHECK(victim.Receive()["body"] == "hi");
}

TEST_CASE("a wrong password sends nothing") {
  Device alice = SlowServer().Open(SlowServer().NewUser("mallory"));
  Device guesser(SlowServer().port(), SlowUser("slow-guessed"), "a wrong one");
  if (guesser.Connect(guesser.ConnectOptions()) == 0) {
    guesser.Publish(alice.inbox(), "forged");
    CHECK(guesser.AwaitClosed());
  }
  CHECK(alice.ArrivedByNow().empty());
}

TEST_CASE("a token gets in at the first try") {
  const int version = GENERATE(4, 5);
  const std::string user = Server().NewUser("alice");
  const std::string token = Server().IssueToken(user);
  CHECK(TryLogin(user, token, version));
  Server().Restart();
  CHECK(TryLogin(user, token, version));
}

TEST_CASE("an account without a password is entered by token only") {
  Server().ImportUsers({"tokens-only,"});
  CHECK_FALSE(TryLogin("tokens-only", ""));
  CHECK_FALSE(TryLogin("tokens-only", "x"));
  CHECK(TryLogin("tokens-only", Server().IssueToken("tokens-only")));
}

TEST_CASE("repeated wrong passwords are slowed for that user and address, and for no other") {
  const std::string user = Server().NewUser("alice");
  const std::string other = Server().NewUser("bob");
  const std::string guesser = "127.0.0.2";
  for (int n = 0; n < 30; ++n) {
    CHECK_FALSE(TryLogin(user, "guess " + std::to_string(n), 4, guesser));
  }
  // The right one would get in within a few tries; here it is not even looked at.
  for (int n = 0; n < 10; ++n) {
    CHECK_FALSE(TryLogin(user, ChatServer::PasswordOf(user), 4, guesser));
  }
  AwaitLogin(user, ChatServer::PasswordOf(user), true, "127.0.0.3");
  AwaitLogin(other, ChatServer::PasswordOf(other), true, guesser);
  AwaitLogin(user, ChatServer::PasswordOf(user), true, guesser, std::chrono::seconds(90));
}

TEST_CASE("a user over the rate is told when to try again, and nothing of it is stored") {
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"));
  Json error;
  const Clock::time_point begin = Clock::now();
  const int accepted = SendUntilQuota(alice, bob.user(), 20 * kUserBurst, &error);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin);
  CHECK(accepted >= kUserBurst);
  CHECK(accepted <= kUserBurst + kUserRate * (seconds.count() + 2));
  CHECK(error["ok"] == false);
  CHECK(error["topic"] == bob.inbox());
  CHECK(error["error"]["code"] == "quota");
  CHECK(RetryAfter(error) > 0);
  CHECK(RetryAfter(error) <= 1000);
  for (int n = 1; n <= accepted; ++n) CHECK(bob.Receive()["seq"] == n);
  CHECK(bob.ArrivedByAnswer().empty());

  // Another user is not concerned.
  CHECK(bob.Say(alice.user(), "hi")["seq"] == accepted + 1);
  // And it passes.
  const Clock::time_point deadline = Clock::now() + kDeadline;
  Json outcome;
  do {
    REQUIRE(Clock::now() < deadline);
    outcome = Json::parse(alice.Send(bob.user(), R"({"id":"later","body":"x"})", "later"));
  } while (outcome.contains("error"));
  CHECK(outcome["seq"] == accepted + 2);
}

TEST_CASE("an API key's daily quota is shared by its accounts") {
  Server().CtlDone({"key", "add", "daily", "--quota", "5/day"});
  Server().AddUser("daily-a", "pw", {"--key", "daily"});
  Server().AddUser("daily-b", "pw", {"--key", "daily"});
  Device a(Server().port(), "daily-a", "pw");
  Device b(Server().port(), "daily-b", "pw");
  for (Device* device : {&a, &b}) {
    device->Login();
    device->Listen();
  }
  Device bob = Server().Open(Server().NewUser("bob"));
  for (int n = 1; n <= 3; ++n) CHECK(a.Say(bob.user(), n)["seq"] == n);
  for (int n = 1; n <= 2; ++n) CHECK(b.Say(bob.user(), n)["seq"] == n);
  for (Device* device : {&a, &b}) {
    const Json error = Json::parse(device->Send(bob.user(), R"({"id":"over","body":"x"})", "over"));
    REQUIRE(error.contains("error"));
    CHECK(error["error"]["code"] == "quota");
    CHECK(RetryAfter(error) > 0);
    CHECK(RetryAfter(error) <= 24 * 3600 * 1000);
  }
  for (int n = 1; n <= 5; ++n) CHECK(bob.Receive()["seq"] == n);
  CHECK(bob.ArrivedByAnswer().empty());
  // What came to them counts for nobody's quota.
  bob.Say("daily-a", "hi");
  CHECK(a.ReceiveFrom(bob.user())["body"] == "hi");
  // What was used is not forgotten with the broker's end.
  Server().Restart();
  a.Login();
  a.Listen();
  const Json error = Json::parse(a.Send(bob.user(), R"({"id":"over2","body":"x"})", "over2"));
  REQUIRE(error.contains("error"));
  CHECK(error["error"]["code"] == "quota");
  // More quota helps.
  Server().CtlDone({"key", "set", "daily", "--quota", "100/day"});
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (
      Json::parse(a.Send(bob.user(), R"({"id":"over3","body":"x"})", "over3")).contains("error")) {
    REQUIRE(Clock::now() < deadline);
  }
}

TEST_CASE("an API key's rate is shared by its accounts") {
  Server().CtlDone({"key", "add", "rated", "--rate", "1/s"});
  Server().AddUser("rated-a", "pw", {"--key", "rated"});
  Server().AddUser("rated-b", "pw", {"--key", "rated"});
  Device a(Server().port(), "rated-a", "pw");
  Device b(Server().port(), "rated-b", "pw");
  Device bob = Server().Open(Server().NewUser("bob"));
  a.Login();
  b.Login();
  Json error;
  // The key's rate is half of a user's own, and so is reached first.
  CHECK(SendUntilQuota(a, bob.user(), kUserBurst, &error) < kUserBurst);
  REQUIRE(error.contains("error"));
  CHECK(error["error"]["code"] == "quota");
  CHECK(SendUntilQuota(b, bob.user(), kUserBurst, &error) < kUserBurst / 2);
  REQUIRE(error.contains("error"));
  CHECK(error["error"]["code"] == "quota");
}

TEST_CASE("a disabled user is shut out, by password and by token") {
  const std::string user = Server().NewUser("alice");
  const std::string token = Server().IssueToken(user);
  Device device = Server().Open(user);
  Device bob = Server().Open(Server().NewUser("bob"));
  Server().CtlDone({"user", "disable", user});
  AwaitLogin(user, ChatServer::PasswordOf(user), false);
  AwaitLogin(user, token, false);
  // The device that was connected is cut off, or what it sends is refused.
  bool shut_out = false;
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (!shut_out) {
    REQUIRE(Clock::now() < deadline);
    try {
      shut_out = Json::parse(device.Send(bob.user(), "let me", "")).contains("error");
    } catch (const MqttError&) {
      shut_out = !device.connected();
    }
  }
  Server().Restart();
  CHECK_FALSE(TryLogin(user, token));
  CHECK_FALSE(TryLogin(user, ChatServer::PasswordOf(user)));
}

TEST_CASE("a changed password counts at once, the old one no more") {
  const std::string user = Server().NewUser("alice");
  AwaitLogin(user, ChatServer::PasswordOf(user), true);
  Server().CtlDone({"user", "passwd", user}, "a new one\n");
  AwaitLogin(user, ChatServer::PasswordOf(user), false);
  AwaitLogin(user, "a new one", true);
  CHECK_FALSE(TryLogin(user, ChatServer::PasswordOf(user)));
}

}  // namespace
}  // namespace parley::e2e
