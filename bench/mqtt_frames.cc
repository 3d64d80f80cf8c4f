#include "bench/mqtt_frames.h"

namespace parley::bench {
namespace {

void AppendByte(std::string* out, unsigned value) { out->push_back(static_cast<char>(value)); }

void AppendU16(std::string* out, size_t value) {
  AppendByte(out, static_cast<unsigned>(value >> 8) & 0xff);
  AppendByte(out, static_cast<unsigned>(value) & 0xff);
}

void AppendVarint(std::string* out, size_t value) {
  do {
    const auto low = static_cast<unsigned>(value & 0x7f);
    value >>= 7;
    AppendByte(out, value > 0 ? low | 0x80 : low);
  } while (value > 0);
}

void AppendText(std::string* out, std::string_view text) {
  AppendU16(out, text.size());
  out->append(text);
}

// Reads big-endian fields off the front of a body; `ok` turns false where it is too short.
struct Reader {
  std::string_view rest;
  bool ok = true;

  std::string_view Bytes(size_t n) {
    if (rest.size() < n) {
      ok = false;
      n = rest.size();
    }
    const std::string_view bytes = rest.substr(0, n);
    rest.remove_prefix(n);
    return bytes;
  }

  uint8_t Byte() {
    const std::string_view byte = Bytes(1);
    return byte.empty() ? uint8_t{0} : static_cast<uint8_t>(byte[0]);
  }

  uint16_t U16() {
    const unsigned high = Byte();
    return static_cast<uint16_t>(high << 8 | Byte());
  }

  size_t Varint() {
    size_t value = 0;
    for (int shift = 0; shift < 28; shift += 7) {
      const uint8_t byte = Byte();
      value |= static_cast<size_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok = false;
    return 0;
  }
};

// Bytes of a CONNACK property's value after its id; strings and pairs skip themselves (§2.2.2.2).
void SkipProperty(Reader* reader, uint8_t id) {
  switch (id) {
    case 0x24:  // Maximum QoS
    case 0x25:  // Retain Available
    case 0x28:  // Wildcard Subscription Available
    case 0x29:  // Subscription Identifier Available
    case 0x2a:  // Shared Subscription Available
      reader->Bytes(1);
      break;
    case 0x13:  // Server Keep Alive
    case 0x22:  // Topic Alias Maximum
      reader->Bytes(2);
      break;
    case 0x11:  // Session Expiry Interval
    case 0x27:  // Maximum Packet Size
      reader->Bytes(4);
      break;
    case 0x26:  // User Property
      reader->Bytes(reader->U16());
      reader->Bytes(reader->U16());
      break;
    default:  // a string or binary data
      reader->Bytes(reader->U16());
  }
}

}  // namespace

void AppendConnect(std::string* out, MqttVersion version, uint16_t keep_alive_s,
                   std::string_view client_id, std::string_view user, std::string_view password,
                   const Will& will) {
  const bool v5 = version == MqttVersion::k5;
  size_t length = 10 + (v5 ? 1 : 0) + 2 + client_id.size() + 2 + user.size();
  if (!password.empty()) length += 2 + password.size();
  if (!will.topic.empty()) length += (v5 ? 1 : 0) + 2 + will.topic.size() + 2 + will.payload.size();
  AppendByte(out, 0x10);
  AppendVarint(out, length);
  AppendText(out, "MQTT");
  AppendByte(out, static_cast<unsigned>(version));
  const unsigned flags = password.empty() ? 0x82 : 0xc2;  // user name, password, clean session
  AppendByte(out, will.topic.empty() ? flags : flags | 0x04);
  AppendU16(out, keep_alive_s);
  if (v5) AppendByte(out, 0);
  AppendText(out, client_id);
  if (!will.topic.empty()) {
    if (v5) AppendByte(out, 0);
    AppendText(out, will.topic);
    AppendText(out, will.payload);
  }
  AppendText(out, user);
  if (!password.empty()) AppendText(out, password);
}

void AppendSubscribe(std::string* out, MqttVersion version, uint16_t packet_id,
                     const std::vector<std::string>& filters, int qos) {
  const bool v5 = version == MqttVersion::k5;
  size_t length = 2 + (v5 ? 1 : 0);
  for (const std::string& filter : filters) length += 2 + filter.size() + 1;
  AppendByte(out, 0x82);
  AppendVarint(out, length);
  AppendU16(out, packet_id);
  if (v5) AppendByte(out, 0);
  for (const std::string& filter : filters) {
    AppendText(out, filter);
    AppendByte(out, static_cast<unsigned>(qos));
  }
}

void AppendPublish(std::string* out, MqttVersion version, std::string_view topic,
                   std::string_view payload, int qos, uint16_t packet_id) {
  const bool v5 = version == MqttVersion::k5;
  AppendByte(out, 0x30 | static_cast<unsigned>(qos) << 1);
  AppendVarint(out, 2 + topic.size() + (qos > 0 ? 2 : 0) + (v5 ? 1 : 0) + payload.size());
  AppendText(out, topic);
  if (qos > 0) AppendU16(out, packet_id);
  if (v5) AppendByte(out, 0);
  out->append(payload);
}

void AppendPuback(std::string* out, uint16_t packet_id) {
  const char packet[] = {0x40, 2, static_cast<char>(packet_id >> 8), static_cast<char>(packet_id)};
  out->append(packet, sizeof packet);
}

void AppendPingreq(std::string* out) { out->append("\xc0\0", 2); }

void AppendDisconnect(std::string* out) { out->append("\xe0\0", 2); }

int64_t NextPacket(std::string_view in, Packet* packet) {
  size_t length = 0;
  size_t at = 1;
  for (int shift = 0;; shift += 7) {
    if (shift == 28) return -1;
    if (at >= in.size()) return 0;
    const auto byte = static_cast<uint8_t>(in[at++]);
    length |= static_cast<size_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  if (in.size() - at < length) return 0;
  const auto first = static_cast<uint8_t>(in[0]);
  *packet = {static_cast<PacketType>(first >> 4), static_cast<uint8_t>(first & 0x0f),
             in.substr(at, length)};
  return static_cast<int64_t>(at + length);
}

bool ParsePublish(MqttVersion version, const Packet& packet, Publish* publish) {
  Reader reader{packet.body};
  publish->qos = packet.flags >> 1 & 3;
  publish->topic = reader.Bytes(reader.U16());
  publish->packet_id = publish->qos > 0 ? reader.U16() : uint16_t{0};
  if (version == MqttVersion::k5) reader.Bytes(reader.Varint());
  publish->payload = reader.rest;
  return reader.ok && publish->qos < 3;
}

bool ParseConnack(MqttVersion version, const Packet& packet, Connack* connack) {
  Reader reader{packet.body};
  reader.Byte();
  connack->code = reader.Byte();
  if (version == MqttVersion::k311 || !reader.ok) return reader.ok;
  Reader properties{reader.Bytes(reader.Varint())};
  while (reader.ok && properties.ok && !properties.rest.empty()) {
    const uint8_t id = properties.Byte();
    if (id == 0x21) {  // Receive Maximum
      connack->receive_max = properties.U16();
    } else {
      SkipProperty(&properties, id);
    }
  }
  return reader.ok && properties.ok;
}

bool ParsePuback(const Packet& packet, uint16_t* packet_id, uint8_t* code) {
  Reader reader{packet.body};
  *packet_id = reader.U16();
  *code = reader.rest.empty() ? uint8_t{0} : reader.Byte();
  return reader.ok;
}

bool ParseSuback(MqttVersion version, const Packet& packet, uint8_t* refusal) {
  Reader reader{packet.body};
  reader.U16();
  if (version == MqttVersion::k5) reader.Bytes(reader.Varint());
  *refusal = 0;
  if (!reader.ok || reader.rest.empty()) return false;
  for (const char granted : reader.rest) {
    const auto code = static_cast<uint8_t>(granted);
    if (code >= 0x80 && *refusal == 0) *refusal = code;
  }
  return true;
}

}  // namespace parley::bench
