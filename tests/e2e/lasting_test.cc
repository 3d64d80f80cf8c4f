// Devices whose session the broker keeps while they are away.
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server;
  return server;
}

TEST_CASE("a device that was lost with a full window gets the rest when it returns") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Device alice = Server().Open(Server().NewUser("alice"));
  const std::string bob = Server().NewUser("bob");
  const DeviceOptions lasting{.version = version, .clean = false, .session_expiry_s = 3600};
  Device phone = Server().Open(bob, lasting);
  alice.Say(bob, 1);
  phone.Receive();
  phone.SendReceipt({{"delivered", 1}});
  phone.AskDone("sync");
  // More than the broker has in flight to one client; the phone acknowledges none of them.
  phone.set_auto_ack(false);
  for (int n = 2; n <= 700; ++n) {
    alice.Publish("chat/" + bob, Json{{"id", std::to_string(n)}, {"body", n}}.dump(), {.qos = 0});
  }
  for (int n = 2; n <= 700; ++n) REQUIRE(alice.Receive()["body"] == n);
  for (int n = 2; n <= 400; ++n) REQUIRE(phone.Receive()["body"] == n);
  phone.Drop();
  phone.set_auto_ack(true);
  phone.Login();
  phone.Listen();
  int through = 1;
  while (through < 700) {
    const Json message = phone.Receive();
    const int seq = message["seq"].get<int>();
    REQUIRE(seq <= through + 1);
    if (seq == through + 1) through = seq;
    if (through % 100 == 0) phone.SendReceipt({{"delivered", through}});
  }
}

TEST_CASE("a lasting session that Parley ended returns with its subscriptions as they were") {
  const int version = GENERATE(4, 5);
  Device alice = Server().Open(Server().NewUser("alice"));
  const std::string bob = Server().NewUser("bob");
  const DeviceOptions lasting{.version = version, .clean = false, .session_expiry_s = 3600};
  Device phone = Server().Open(bob, lasting);
  Device laptop = Server().Open(bob, {.name = "laptop"});
  laptop.AskDone("account.password", {{"old", laptop.password()}, {"new", "a new one"}});
  CHECK(phone.AwaitClosed());
  Device again(Server().port(), bob, "a new one", lasting);
  again.Login();
  CHECK(again.session_present());
  alice.Say(bob, "hi");
  CHECK(again.Next(again.inbox()).qos == 1);
}

TEST_CASE("a user has so many lasting sessions away, and no more") {
  static ChatServer server({.options = {{"plugin_opt_user_lasting_max", "2"}}}, 4);
  const int version = GENERATE(4, 5);
  const std::string user = server.NewUser("alice");
  auto lasting = [&](const std::string& name) {
    return server.Offline(
        user, {.name = name, .version = version, .clean = false, .session_expiry_s = 3600});
  };
  Device first = lasting("1");
  Device second = lasting("2");
  for (Device* device : {&first, &second}) {
    device->Login();
    device->Disconnect();
  }
  Device third = lasting("3");
  const size_t log = server.Log().size();
  CHECK_FALSE(third.TryLogin());
  server.AwaitLog("refused user=" + user + " reason=too_many_lasting", log);
  // A session that ends with its connection is none of them; one that is back is away no more.
  Device clean = server.OpenDeaf(user, {.name = "clean"});
  first.Login();
  CHECK(first.session_present());
  third.Login();
  // Where the broker keeps one of them no longer, there is room for another.
  third.Disconnect();
  first.Disconnect();
  CHECK_FALSE(first.connected());
  Device ends = server.OpenDeaf(user, {.name = "1"});
  ends.Disconnect();
  Device fourth = lasting("4");
  CHECK_FALSE(fourth.TryLogin());  // 2 and 3
}

}  // namespace
}  // namespace parley::e2e
