// The wrapper of paho against a mosquitto that knows nothing of Parley.
#include "bridge/mqtt_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>

#include "bridge/async_mqtt_client.h"
#include "bridge/no_delay.h"
#include "tests/catch.h"
#include "tests/e2e/broker.h"
#include "tests/free_port.h"

namespace parley {
namespace {

constexpr std::chrono::seconds kDeadline{20};

MqttOptions OptionsFor(const e2e::Broker& broker, const std::string& id) {
  MqttOptions options;
  options.port = broker.port();
  options.client_id = id;
  options.username = id;
  options.password = "any";
  return options;
}

TEST_CASE("what one client publishes another receives, in order") {
  e2e::Broker broker({.plugin = false});
  broker.Start();
  auto sender = MqttClient::Connect(OptionsFor(broker, "sender"));
  auto receiver = MqttClient::Connect(OptionsFor(broker, "receiver"));
  REQUIRE(sender);
  REQUIRE(receiver);
  REQUIRE((*receiver)->Subscribe("to/receiver").ok());
  CHECK_FALSE(*(*receiver)->Receive(std::chrono::milliseconds(0)));
  std::string binary("\0\xff", 2);
  for (int i = 0; i < 100; ++i) {
    REQUIRE((*sender)->Publish("to/receiver", binary + std::to_string(i)).ok());
  }
  REQUIRE((*sender)->Publish("to/nobody", "x").ok());
  for (int i = 0; i < 100; ++i) {
    auto message = (*receiver)->Receive(kDeadline);
    REQUIRE(message);
    REQUIRE(*message);
    CHECK((*message)->topic == "to/receiver");
    CHECK((*message)->payload == binary + std::to_string(i));
  }
}

TEST_CASE("a lost connection is told after all that came before it") {
  e2e::Broker broker({.plugin = false});
  broker.Start();
  auto client = MqttClient::Connect(OptionsFor(broker, "client"));
  REQUIRE(client);
  REQUIRE((*client)->Subscribe("mine").ok());
  REQUIRE((*client)->Publish("mine", "last words").ok());
  // Delivered to this client before its next publish is acknowledged.
  REQUIRE((*client)->Publish("other", "").ok());
  broker.Kill();
  auto message = (*client)->Receive(kDeadline);
  REQUIRE(message);
  REQUIRE(*message);
  CHECK((*message)->payload == "last words");
  message = (*client)->Receive(kDeadline);
  REQUIRE_FALSE(message);
  CHECK(message.error().code() == Code::kUnavailable);
  CHECK((*client)->Publish("mine", "x").code() == Code::kUnavailable);
  CHECK_FALSE((*client)->Subscribe("mine").ok());
}

// How many of this process's connections to the broker send at once.
int NoDelays(const e2e::Broker& broker) {
  int found = 0;
  for (int fd = 0; fd < 256; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    int on = 0;
    size = sizeof on;
    if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) != 0) continue;
    found += on != 0 && ntohs(peer.sin_port) == broker.port();
  }
  return found;
}

TEST_CASE("no packet waits for the acknowledgement of the one before, nor after a reconnect") {
  e2e::Broker broker({.plugin = false});
  broker.Start();
  {
    auto client = MqttClient::Connect(OptionsFor(broker, "client"));
    REQUIRE(client);
    CHECK(NoDelays(broker) == 1);
  }
  std::mutex mutex;
  std::condition_variable changed;
  int connected = 0;
  AsyncMqttClient::Events events;
  events.connected = [&] {
    std::lock_guard lock(mutex);
    ++connected;
    changed.notify_all();
  };
  events.lost = [](const Status&) {};
  events.message = [](const MqttMessage&) {};
  AsyncMqttClient client(OptionsFor(broker, "async"), std::move(events));
  for (int times = 1; times <= 2; ++times) {
    {
      std::unique_lock lock(mutex);
      REQUIRE(changed.wait_for(lock, kDeadline, [&] { return connected == times; }));
    }
    CHECK(NoDelays(broker) == 1);
    CHECK(SetNoDelay(FreePort()) == 0);
    broker.Kill();
    if (times == 1) broker.Start();
  }
}

TEST_CASE("a refused login and a broker that isn't there are told apart") {
  e2e::Broker broker({.options = {{"allow_anonymous", "false"}}, .plugin = false});
  MqttOptions options = OptionsFor(broker, "client");
  auto client = MqttClient::Connect(options);
  REQUIRE_FALSE(client);
  CHECK(client.error().code() == Code::kUnavailable);
  CHECK_THAT(client.error().message(), Catch::Matchers::Contains(std::to_string(options.port)));
}

}  // namespace
}  // namespace parley
