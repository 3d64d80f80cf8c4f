// The harness itself, tried on mosquitto without the plugin: what the other tests conclude from it
// holds only if these do.
#include "tests/catch.h"
#include "tests/e2e/broker.h"
#include "tests/e2e/mqtt_client.h"

namespace parley::e2e {
namespace {

Broker& PlainBroker() {
  static Broker broker(BrokerConfig{.plugin = false});
  if (!broker.running()) broker.Start();
  return broker;
}

MqttClient Connected(const std::string& id, int version) {
  MqttClient client(PlainBroker().port());
  MqttConnect options;
  options.client_id = id;
  options.version = version;
  REQUIRE(client.Connect(options) == 0);
  return client;
}

TEST_CASE("a message arrives at each QoS in both versions") {
  const int version = GENERATE(4, 5);
  const int qos = GENERATE(0, 1, 2);
  MqttClient receiver = Connected("receiver", version);
  MqttClient sender = Connected("sender", version);
  REQUIRE(receiver.Subscribe("a/+", 2) == 2);
  REQUIRE(sender.Publish("a/b", "hello", {.qos = qos}) == 0);
  const MqttMessage message = receiver.Next("a/b");
  CHECK(message.payload == "hello");
  CHECK(message.qos == qos);
  CHECK_FALSE(message.retain);
}

TEST_CASE("properties of MQTT 5 pass both ways") {
  MqttClient client = Connected("props", 5);
  REQUIRE(client.Subscribe("p", 1) == 1);
  MqttPublish options;
  options.content_type = "text/plain";
  options.response_topic = "answer/props";
  options.correlation_data = std::string("\0\xff", 2);
  client.Publish("p", "x", options);
  const MqttMessage message = client.Next("p");
  CHECK(message.content_type == "text/plain");
  CHECK(message.response_topic == "answer/props");
  CHECK(message.correlation_data == std::string("\0\xff", 2));
}

TEST_CASE("MQTT 5 shows that nobody subscribes, and the id that the broker assigned") {
  MqttClient client = Connected("", 5);
  CHECK_FALSE(client.client_id().empty());
  CHECK(client.Publish("nobody/listens", "x") == 0x10);
}

TEST_CASE("a dropped connection publishes its will before Drop returns") {
  const int version = GENERATE(4, 5);
  MqttClient witness = Connected("witness", 4);
  REQUIRE(witness.Subscribe("wills", 0) == 0);
  MqttClient dying(PlainBroker().port());
  MqttConnect options;
  options.client_id = "dying";
  options.version = version;
  options.will = MqttWill{"wills", "gone", 0, false};
  REQUIRE(dying.Connect(options) == 0);
  SECTION("dropped") { dying.Drop(); }
  SECTION("with a reason that asks for the will") {
    if (version == 4) return;
    dying.Disconnect(0x04);
  }
  witness.Ping();
  const auto arrived = witness.Arrived("wills");
  REQUIRE(arrived.size() == 1);
  CHECK(arrived[0].payload == "gone");
}

TEST_CASE("a clean disconnect publishes no will") {
  MqttClient witness = Connected("witness", 4);
  REQUIRE(witness.Subscribe("wills", 0) == 0);
  MqttClient leaving(PlainBroker().port());
  MqttConnect options;
  options.client_id = "leaving";
  options.will = MqttWill{"wills", "gone", 0, false};
  REQUIRE(leaving.Connect(options) == 0);
  leaving.Disconnect();
  witness.Ping();
  CHECK(witness.Arrived("#").empty());
}

TEST_CASE("an acknowledgement held back makes the broker send again to the persistent session") {
  MqttClient sender = Connected("sender", 4);
  MqttClient receiver(PlainBroker().port());
  MqttConnect options;
  options.client_id = "persistent";
  options.clean = false;
  REQUIRE(receiver.Connect(options) == 0);
  CHECK_FALSE(receiver.session_present());
  REQUIRE(receiver.Subscribe("again", 1) == 1);
  receiver.set_auto_ack(false);
  sender.Publish("again", "x");
  CHECK_FALSE(receiver.Next("again").dup);
  receiver.Drop();
  REQUIRE(receiver.Connect(options) == 0);
  CHECK(receiver.session_present());
  const MqttMessage second = receiver.Next("again");
  CHECK(second.dup);
  receiver.Ack(second);
  receiver.Drop();
  REQUIRE(receiver.Connect(options) == 0);
  receiver.Ping();
  CHECK(receiver.Arrived("#").empty());
}

TEST_CASE("messages that nobody took yet are kept in order") {
  MqttClient client = Connected("order", 4);
  REQUIRE(client.Subscribe("x/#", 0) == 0);
  for (const char* topic : {"x/a", "x/b", "x/a"}) client.Publish(topic, topic, {.qos = 0});
  client.Ping();
  CHECK(client.Next("x/b").payload == "x/b");
  CHECK(client.Arrived("x/#").size() == 2);
  CHECK(client.Arrived("x/#").empty());
}

TEST_CASE("waiting ends at the deadline and when the broker closes") {
  MqttClient client = Connected("waiting", 4);
  CHECK_THROWS_AS(client.Next("never", std::chrono::milliseconds(10)), MqttError);
  MqttClient usurper = Connected("waiting", 4);
  CHECK(client.AwaitClosed());
  CHECK_THROWS_AS(client.Next("never"), MqttError);
}

TEST_CASE("bytes that are no MQTT are refused") {
  MqttClient client(PlainBroker().port());
  client.OpenRaw();
  client.SendRaw("GET / HTTP/1.1\r\n\r\n");
  CHECK_FALSE(client.AwaitConnack().has_value());
}

TEST_CASE("a broker stops, starts again on its port and survives being killed") {
  Broker& broker = PlainBroker();
  const uint16_t port = broker.port();
  broker.Restart();
  CHECK(broker.port() == port);
  broker.Kill();
  CHECK_FALSE(broker.running());
  broker.Start();
  Connected("after", 4).Ping();
  CHECK(broker.LogTail().find("running") != std::string::npos);
}

TEST_CASE("a bad configuration is a refused start") {
  Broker broker(BrokerConfig{.options = {{"no_such_option", "1"}}, .plugin = false});
  CHECK(broker.StartRefused() != 0);
  CHECK(broker.Log().find("no_such_option") != std::string::npos);
  CHECK_THROWS(broker.Start());
}

TEST_CASE("topics match filters as MQTT says") {
  CHECK(TopicMatches("a/b", "a/b"));
  CHECK(TopicMatches("a/+", "a/b"));
  CHECK(TopicMatches("a/#", "a"));
  CHECK(TopicMatches("a/#", "a/b/c"));
  CHECK(TopicMatches("+/b", "a/b"));
  CHECK_FALSE(TopicMatches("a/+", "a/b/c"));
  CHECK_FALSE(TopicMatches("a", "a/b"));
  CHECK_FALSE(TopicMatches("a/b", "a"));
  CHECK_FALSE(TopicMatches("a/b", "a/c"));
}

TEST_CASE("a command's input, output and exit code are passed on") {
  const CommandResult result = RunCommand({"sh", "-c", "cat; echo oops >&2; exit 3"}, "input");
  CHECK(result.exit_code == 3);
  CHECK(result.out == "input");
  CHECK(result.err == "oops\n");
  CHECK(RunCommand({"/no/such/program"}).exit_code == 127);
}

}  // namespace
}  // namespace parley::e2e
