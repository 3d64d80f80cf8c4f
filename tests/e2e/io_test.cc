// Mosquitto with libparley_io.so under LD_PRELOAD: that it engages, what switches it off, and that
// chats, floods and slow readers fare as without it. CTest runs chat_test.cc with it, too.
#include <chrono>
#include <cstdlib>
#include <string>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

constexpr char kEngaged[] = "parley_io: gathers the reads and writes of mosquitto 2.0.";

// Sets PARLEY_MOSQUITTO_ENV for the brokers that start while it lives: what there was, and more.
class BrokerEnvironment {
 public:
  explicit BrokerEnvironment(const std::string& more) {
    const char* now = std::getenv("PARLEY_MOSQUITTO_ENV");
    before_ = now == nullptr ? "" : now;
    setenv("PARLEY_MOSQUITTO_ENV", (before_ + " " + more).c_str(), 1);
  }
  ~BrokerEnvironment() { setenv("PARLEY_MOSQUITTO_ENV", before_.c_str(), 1); }

 private:
  std::string before_;
};

const std::string kPreload = std::string("LD_PRELOAD=") + PARLEY_IO_LIBRARY;

void Chat(ChatServer& server) {
  Device alice = server.Open(server.NewUser("alice"));
  Device bob = server.Open(server.NewUser("bob"));
  for (int n = 0; n < 50; ++n) alice.Say(bob.user(), n);
  for (int n = 0; n < 50; ++n) CHECK(bob.Receive()["body"] == n);
}

TEST_CASE("the library engages in this Mosquitto, and says so") {
  BrokerEnvironment environment(kPreload);
  ChatServer server({}, 2);
  Chat(server);
  CHECK(server.Log().find(kEngaged) != std::string::npos);
  // The plugin's own eventfd is in the same epoll set.
  CHECK(server.Log().find("serving wake=eventfd") != std::string::npos);
}

TEST_CASE("PARLEY_IO=off switches it off, without a word") {
  BrokerEnvironment environment(kPreload + " PARLEY_IO=off");
  ChatServer server({}, 2);
  Chat(server);
  CHECK(server.Log().find("parley_io") == std::string::npos);
}

}  // namespace
}  // namespace parley::e2e
