#include <cmath>
#include <random>
#include <sstream>
#include <string>

#include "bench/arrivals.h"
#include "bench/delivery_check.h"
#include "bench/growth_report.h"
#include "bench/histogram.h"
#include "bench/mqtt_frames.h"
#include "bench/soak_report.h"
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

TEST_CASE("arrivals keep their rate, and what is late is not left out") {
  Arrivals arrivals(1000, 1, 0);
  int64_t due_ns = 0;
  uint64_t count = 0;
  for (; arrivals.Take(10'000'000'000, &due_ns); ++count) CHECK(due_ns <= 10'000'000'000);
  CHECK(count > 9'500);
  CHECK(count < 10'500);
  CHECK(arrivals.next_ns() > 10'000'000'000);
  CHECK_FALSE(Arrivals(0, 1, 0).Take(10'000'000'000, &due_ns));
}

TEST_CASE("a trend is found under noise and isn't made by spikes") {
  std::mt19937 random(1);
  std::vector<Point> flat;
  std::vector<Point> growing;
  for (int i = 0; i < 3600; ++i) {
    const double noise = static_cast<double>(random() % 100) / 10;
    flat.push_back({i * 1.0, 100 + noise + (i > 3000 && i % 40 == 0 ? 5000 : 0)});
    growing.push_back({i * 1.0, 100 + noise + i * 0.01});
  }
  CHECK(std::abs(TrendOf(flat).growth) < 2);
  CHECK(std::abs(TrendOf(growing).growth - 36) < 2);
  CHECK(std::abs(TrendOf(growing).median - 123) < 2);
  CHECK(TrendOf({}).growth == 0);
  CHECK(std::abs(TrendOf(growing).hours - 1) < 0.01);
  CHECK(TrendOf(growing).scatter < 2);  // of means of twelve
  CHECK(TrendOf(growing).scatter > 0.2);
}

// An hour's figures; `anon_kib` is 100 MiB and what `grown_kib` adds with the second.
template <class F>
SoakReport HourOf(F grown_kib, int faults = 0, int seconds = 3600) {
  std::stringstream csv;
  csv << "seconds,rss_kib,anon_kib,files,threads,cpu_percent,thread_cpu_percent,"
         "compaction_cpu_percent,journal_kib,stores_kib,sqlite_kib,messages,stored_p50_us,"
         "stored_p99_us,arrived_p50_us,arrived_p99_us,answer_p50_us,answer_p99_us,lag_p99_us,"
         "faults\n";
  for (int at = 5; at <= seconds; at += 5) {
    csv << at << ",200000," << 102400 + grown_kib(at) << ",60,15,20,10,5,65536," << at * 30
        << ",2000," << at * 100 << ",700,5000,700,5000,900,9000,1000," << faults << "\n";
  }
  return SoakReport(csv);
}

TEST_CASE("a soak is flat when what the caches take stays, and not when memory goes on growing") {
  auto filling = [](int at) { return std::min(at, 1100) * 50; };
  auto leaking = [](int at) { return at * 5; };
  CHECK(HourOf(filling).verdict() == SoakVerdict::kFlat);
  CHECK(HourOf(leaking).verdict() == SoakVerdict::kGrows);
  CHECK(HourOf(leaking).Table().find("**grows**") != std::string::npos);
  CHECK(HourOf(filling).Table().find("**grows**") == std::string::npos);
}

TEST_CASE("a leak that a short soak takes for noise is found by a long one") {
  constexpr int kHour = 3600;
  // MiB an hour in steps, as an allocator takes them, and noise of a MiB.
  auto leaking = [](int mib_an_hour) {
    return [mib_an_hour](int at) { return at / 600 * mib_an_hour * 1024 / 6 + at / 5 % 7 * 146; };
  };
  CHECK(HourOf(leaking(0), 0, 8 * kHour).verdict() == SoakVerdict::kFlat);
  CHECK(HourOf(leaking(2), 0, kHour / 2).verdict() == SoakVerdict::kFlat);
  CHECK(HourOf(leaking(2), 0, 8 * kHour).verdict() == SoakVerdict::kGrows);
}

TEST_CASE("a leak is found under what comes and goes") {
  auto leaking = [](int mib_an_hour) {
    return [mib_an_hour](int at) { return at * mib_an_hour * 1024 / 3600 + at % 60 * 546; };
  };
  CHECK(HourOf(leaking(0)).verdict() == SoakVerdict::kFlat);
  CHECK(HourOf(leaking(12)).verdict() == SoakVerdict::kGrows);
}

TEST_CASE("what scatters doesn't grow") {
  std::mt19937 random(1);
  auto scattered = [&](int) { return static_cast<int>(random() % (32 << 10)); };
  CHECK(HourOf(scattered).verdict() == SoakVerdict::kFlat);
}

TEST_CASE("a soak with a fault is not sound, and one of minutes has no verdict") {
  auto nothing = [](int) { return 0; };
  CHECK(HourOf(nothing, 1).verdict() == SoakVerdict::kFaults);
  CHECK(HourOf(nothing, 0, 500).verdict() == SoakVerdict::kTooShort);
}

TEST_CASE("a soak's picture has a line for every figure that it shows") {
  const std::string svg = HourOf([](int) { return 0; }).Picture();
  size_t lines = 0;
  for (size_t at = svg.find("<polyline"); at != svg.npos; at = svg.find("<polyline", at + 1)) {
    ++lines;
  }
  CHECK(lines == 15);
  CHECK(svg.find("nan") == svg.npos);
  CHECK(svg.ends_with("</svg>\n"));
}

TEST_CASE(
    "the picture of growth takes stores with as many users, and those with as many messages") {
  std::stringstream figures(
      "1000 1e5 20 10 300 200 900 400\n1000 1e6 20 10 300 200 900 400\n"
      "1000 1e7 20 10 300 200 900 400\n1000000 1e7 40 10 300 200 900 400\n");
  const std::string svg = DrawGrowth(figures);
  // CPU: three points over messages, all on one height of the scale, and two over users.
  CHECK(svg.find("points=\"50.0,30.0 235.0,30.0 420.0,30.0 \"") != svg.npos);
  CHECK(svg.find("points=\"50.0,96.0 420.0,52.0 \"") != svg.npos);
}

}  // namespace
}  // namespace parley::bench
