// MQTT packets as bytes, as far as a load generator needs them: CONNECT, SUBSCRIBE, PUBLISH,
// PUBACK, PINGREQ and DISCONNECT out; whatever comes in, split from a stream. MQTT 3.1.1 and 5.0,
// chapter 3 of each. Nothing is allocated but in the output string; what is parsed points into the
// input.
#ifndef PARLEY_BENCH_MQTT_FRAMES_H_
#define PARLEY_BENCH_MQTT_FRAMES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace parley::bench {

enum class MqttVersion : uint8_t { k311 = 4, k5 = 5 };

enum class PacketType : uint8_t {
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kSuback = 9,
  kPingresp = 13,
  kDisconnect = 14,
};

// What the broker is to publish, at QoS 0, when the connection is lost. An empty topic: nothing.
struct Will {
  std::string topic;
  std::string payload;
};

// A clean session. keep_alive_s 0: the broker never times it out. An empty password is left out.
void AppendConnect(std::string* out, MqttVersion version, uint16_t keep_alive_s,
                   std::string_view client_id, std::string_view user, std::string_view password,
                   const Will& will = {});
void AppendSubscribe(std::string* out, MqttVersion version, uint16_t packet_id,
                     const std::vector<std::string>& filters, int qos);
// `packet_id` is left out at QoS 0.
void AppendPublish(std::string* out, MqttVersion version, std::string_view topic,
                   std::string_view payload, int qos, uint16_t packet_id);
void AppendPuback(std::string* out, uint16_t packet_id);
void AppendPingreq(std::string* out);
void AppendDisconnect(std::string* out);

struct Packet {
  PacketType type;
  uint8_t flags;
  std::string_view body;
};

// Takes the first packet of `in`. Returns the bytes it has, 0 when it isn't whole yet, -1 when
// that can never become a packet.
int64_t NextPacket(std::string_view in, Packet* packet);

struct Publish {
  std::string_view topic;
  std::string_view payload;
  int qos;
  uint16_t packet_id;
};

// False: malformed.
bool ParsePublish(MqttVersion version, const Packet& packet, Publish* publish);

struct Connack {
  uint8_t code;                   // 0: accepted
  uint16_t receive_max = 0xffff;  // QoS 1 publishes that may wait for their PUBACK
};

bool ParseConnack(MqttVersion version, const Packet& packet, Connack* connack);
// The packet id and the reason code (0 where the packet has none).
bool ParsePuback(const Packet& packet, uint16_t* packet_id, uint8_t* code);
// The first filter's refusal (0x80 and above), or 0 when all were granted.
bool ParseSuback(MqttVersion version, const Packet& packet, uint8_t* refusal);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_MQTT_FRAMES_H_
