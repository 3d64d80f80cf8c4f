#include <string>

#include "bench/delivery_check.h"
#include "bench/histogram.h"
#include "bench/mqtt_frames.h"
#include "bench/workload.h"
#include "tests/catch.h"

namespace parley::bench {
namespace {

TEST_CASE("a percentile is at most one percent above the true one") {
  Histogram histogram;
  for (int64_t value = 1; value <= 1'000'000; ++value) histogram.Add(value);
  for (const double percent : {1.0, 50.0, 99.0, 99.9, 100.0}) {
    const double exact = percent * 10'000;
    const auto found = static_cast<double>(histogram.PercentileNs(percent));
    CHECK(found >= exact);
    CHECK(found <= exact * 1.01);
  }
  CHECK(histogram.max_ns() == 1'000'000);
  CHECK(Histogram().PercentileNs(50) == 0);
}

TEST_CASE("numbers that arrive in order are no fault") {
  DeliveryCheck check;
  for (uint64_t number = 0; number < 10; ++number) CHECK(check.Take(number));
  CHECK(check.Lost(10) == 0);
  CHECK(check.doubled() == 0);
  CHECK(check.disordered() == 0);
}

TEST_CASE("a loss is found in the middle and at the end") {
  DeliveryCheck check;
  check.Take(0);
  check.Take(3);
  CHECK(check.Lost(4) == 2);
  CHECK(check.Lost(6) == 4);
}

TEST_CASE("a message that comes twice is a double") {
  DeliveryCheck check;
  check.Take(0);
  check.Take(1);
  CHECK_FALSE(check.Take(0));
  CHECK(check.doubled() == 1);
  CHECK(check.Lost(2) == 0);
}

TEST_CASE("a message that comes late is disorder, and no loss") {
  DeliveryCheck check;
  check.Take(1);
  CHECK(check.Take(0));
  CHECK(check.disordered() == 1);
  CHECK(check.doubled() == 0);
  CHECK(check.Lost(2) == 0);
  CHECK_FALSE(check.Take(0));
}

TEST_CASE("a PUBLISH reads as it was written, in both versions") {
  for (const MqttVersion version : {MqttVersion::k311, MqttVersion::k5}) {
    for (const int qos : {0, 1}) {
      std::string bytes;
      AppendPublish(&bytes, version, "chat/bob", std::string(300, 'x'), qos, 513);
      Packet packet{};
      CHECK(NextPacket(std::string_view(bytes).substr(0, bytes.size() - 1), &packet) == 0);
      REQUIRE(NextPacket(bytes + "more", &packet) == static_cast<int64_t>(bytes.size()));
      REQUIRE(NextPacket(bytes, &packet) > 0);
      Publish publish{};
      REQUIRE(packet.type == PacketType::kPublish);
      REQUIRE(ParsePublish(version, packet, &publish));
      CHECK(publish.topic == "chat/bob");
      CHECK(publish.payload == std::string(300, 'x'));
      CHECK(publish.qos == qos);
      CHECK(publish.packet_id == (qos == 0 ? 0 : 513));
    }
  }
}

TEST_CASE("a CONNACK of MQTT 5 tells how many publishes may be under way") {
  // Session Expiry Interval 1 s, Assigned Client Identifier "ab", Receive Maximum 20.
  const std::string body(
      "\0\0\x0d\x11\0\0\0\x01\x12\0\x02"
      "ab\x21\0\x14",
      16);
  Connack connack{};
  REQUIRE(ParseConnack(MqttVersion::k5, {PacketType::kConnack, 0, body}, &connack));
  CHECK(connack.code == 0);
  CHECK(connack.receive_max == 20);
  CHECK_FALSE(
      ParseConnack(MqttVersion::k5, {PacketType::kConnack, 0, body.substr(0, 9)}, &connack));
}

TEST_CASE("a refused subscription is seen among granted ones") {
  uint8_t refusal = 0;
  const std::string body("\0\x01\x01\x80\x00", 5);
  REQUIRE(ParseSuback(MqttVersion::k311, {PacketType::kSuback, 0, body}, &refusal));
  CHECK(refusal == 0x80);
}

TEST_CASE("a length that never ends is malformed") {
  Packet packet{};
  CHECK(NextPacket("\x30\xff\xff\xff\xff\x01", &packet) == -1);
}

TEST_CASE("a delivered message gives its numbers, and no other text passes for one") {
  const Messages messages(100);
  std::string payload;
  messages.Delivered(7, 41, "u0", "u1", &payload);
  Messages::Arrival arrival{};
  REQUIRE(messages.Parse(payload, &arrival));
  CHECK(arrival.seq == 7);
  CHECK(arrival.number == 41);

  std::string changed = payload;
  changed[changed.size() - 3] = '!';  // the body's last byte
  CHECK_FALSE(messages.Parse(changed, &arrival));
  messages.Sent(41, &payload);
  CHECK_FALSE(messages.Parse(payload, &arrival));
}

}  // namespace
}  // namespace parley::bench
