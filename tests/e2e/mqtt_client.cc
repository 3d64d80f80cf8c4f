#include "tests/e2e/mqtt_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace parley::e2e {

namespace {

// MQTT control packet types (MQTT 5, table 2-1).
enum PacketType {
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kPubrec = 5,
  kPubrel = 6,
  kPubcomp = 7,
  kSuback = 9,
  kUnsuback = 11,
  kPingresp = 13,
  kDisconnect = 14,
};

// MQTT 5 property identifiers (table 2-4) that the tests look at.
constexpr int kContentType = 0x03;
constexpr int kResponseTopic = 0x08;
constexpr int kCorrelationData = 0x09;
constexpr int kSessionExpiry = 0x11;
constexpr int kAssignedClientId = 0x12;
constexpr int kWillDelay = 0x18;
constexpr int kReceiveMaximum = 0x21;

constexpr int kNoAck = -1;

void PutU16(std::string* out, size_t value) {
  out->push_back(static_cast<char>(value >> 8));
  out->push_back(static_cast<char>(value & 0xff));
}

void PutU32(std::string* out, uint32_t value) {
  PutU16(out, value >> 16);
  PutU16(out, value & 0xffff);
}

void PutString(std::string* out, std::string_view text) {
  PutU16(out, text.size());
  out->append(text);
}

void PutVarint(std::string* out, size_t value) {
  do {
    const size_t low = value & 0x7f;
    value >>= 7;
    out->push_back(static_cast<char>(value > 0 ? low | 0x80 : low));
  } while (value > 0);
}

void PutProperties(std::string* out, std::string_view properties) {
  PutVarint(out, properties.size());
  out->append(properties);
}

void PutStringProperty(std::string* out, int id, const std::optional<std::string>& value) {
  if (!value) return;
  out->push_back(static_cast<char>(id));
  PutString(out, *value);
}

// Reads a packet's body from front to back; past its end it throws.
class Reader {
 public:
  explicit Reader(std::string_view body) : left_(body) {}

  size_t U8() { return static_cast<uint8_t>(Bytes(1)[0]); }
  size_t U16() {
    const size_t high = U8();
    return high << 8 | U8();
  }
  size_t Varint() {
    size_t value = 0;
    for (int shift = 0;; shift += 7) {
      const size_t byte = U8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
  std::string_view String() { return Bytes(U16()); }
  std::string_view Bytes(size_t n) {
    if (n > left_.size()) throw MqttError("the broker sent a packet that ends too early");
    const std::string_view bytes = left_.substr(0, n);
    left_.remove_prefix(n);
    return bytes;
  }
  std::string_view rest() const { return left_; }

 private:
  std::string_view left_;
};

// The properties whose values are strings or binary data, by id; the others are skipped.
std::map<int, std::string> ReadProperties(Reader* packet) {
  std::map<int, std::string> strings;
  Reader properties(packet->Bytes(packet->Varint()));
  while (!properties.rest().empty()) {
    const int id = static_cast<int>(properties.U8());
    switch (id) {
      case 0x01:
      case 0x17:
      case 0x19:
      case 0x24:
      case 0x25:
      case 0x28:
      case 0x29:
      case 0x2a:
        properties.U8();
        break;
      case 0x13:
      case 0x21:
      case 0x22:
      case 0x23:
        properties.U16();
        break;
      case 0x02:
      case 0x11:
      case 0x18:
      case 0x27:
        properties.Bytes(4);
        break;
      case 0x0b:
        properties.Varint();
        break;
      case 0x26:
        properties.String();
        properties.String();
        break;
      default:
        strings[id] = properties.String();
    }
  }
  return strings;
}

std::optional<std::string> Find(const std::map<int, std::string>& properties, int id) {
  const auto found = properties.find(id);
  if (found == properties.end()) return std::nullopt;
  return found->second;
}

std::string ConnectProperties(const MqttConnect& options) {
  std::string properties;
  if (options.session_expiry_s > 0) {
    properties.push_back(kSessionExpiry);
    PutU32(&properties, options.session_expiry_s);
  }
  if (options.receive_maximum > 0) {
    properties.push_back(kReceiveMaximum);
    PutU16(&properties, options.receive_maximum);
  }
  return properties;
}

std::string WillProperties(const MqttWill& will) {
  std::string properties;
  if (will.delay_s > 0) {
    properties.push_back(kWillDelay);
    PutU32(&properties, will.delay_s);
  }
  return properties;
}

std::string ConnectBody(const MqttConnect& options) {
  std::string body;
  PutString(&body, "MQTT");
  body.push_back(static_cast<char>(options.version));
  int flags = options.clean ? 0x02 : 0;
  if (options.will) flags |= 0x04 | options.will->qos << 3 | (options.will->retain ? 0x20 : 0);
  if (options.password) flags |= 0x40;
  if (options.user) flags |= 0x80;
  body.push_back(static_cast<char>(flags));
  PutU16(&body, options.keepalive_s);
  if (options.version == 5) PutProperties(&body, ConnectProperties(options));
  PutString(&body, options.client_id);
  if (options.will) {
    if (options.version == 5) PutProperties(&body, WillProperties(*options.will));
    PutString(&body, options.will->topic);
    PutString(&body, options.will->payload);
  }
  if (options.user) PutString(&body, *options.user);
  if (options.password) PutString(&body, *options.password);
  return body;
}

int PollTimeout(Clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

sockaddr_in LoopbackAddress(const std::string& address, uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &result.sin_addr);
  return result;
}

}  // namespace

bool TopicMatches(std::string_view filter, std::string_view topic) {
  for (;;) {
    if (filter == "#") return true;
    const size_t filter_end = filter.find('/');
    const size_t topic_end = topic.find('/');
    const std::string_view level = filter.substr(0, filter_end);
    if (level != "+" && level != topic.substr(0, topic_end)) return false;
    if (filter_end == filter.npos || topic_end == topic.npos) {
      if (filter_end == topic_end) return true;
      return filter_end != filter.npos && filter.substr(filter_end) == "/#";
    }
    filter.remove_prefix(filter_end + 1);
    topic.remove_prefix(topic_end + 1);
  }
}

MqttClient::~MqttClient() { Abandon(); }

MqttClient::MqttClient(MqttClient&& other) noexcept
    : port_(other.port_),
      fd_(std::exchange(other.fd_, -1)),
      version_(other.version_),
      client_id_(std::move(other.client_id_)),
      in_(std::move(other.in_)),
      inbox_(std::move(other.inbox_)),
      acks_(std::move(other.acks_)),
      connack_(other.connack_),
      session_present_(other.session_present_),
      auto_ack_(other.auto_ack_),
      pings_(other.pings_),
      disconnect_reason_(other.disconnect_reason_),
      last_packet_id_(other.last_packet_id_) {}

void MqttClient::OpenRaw(const std::string& source_address) {
  Abandon();
  in_.clear();
  inbox_.clear();
  acks_.clear();
  connack_.reset();
  pings_ = 0;
  disconnect_reason_ = -1;
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throw MqttError(std::string("socket: ") + strerror(errno));
  if (!source_address.empty()) {
    const sockaddr_in source = LoopbackAddress(source_address, 0);
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&source), sizeof(source)) != 0) {
      throw MqttError("bind to " + source_address + ": " + strerror(errno));
    }
  }
  const sockaddr_in broker = LoopbackAddress("127.0.0.1", port_);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&broker), sizeof(broker)) != 0) {
    const std::string why = strerror(errno);
    Abandon();
    throw MqttError("connect to port " + std::to_string(port_) + ": " + why);
  }
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int MqttClient::Connect(const MqttConnect& options) {
  version_ = options.version;
  client_id_ = options.client_id;
  OpenRaw(options.source_address);
  SendPacket(0x10, ConnectBody(options));
  return AwaitConnack().value_or(kNoAck);
}

std::optional<int> MqttClient::AwaitConnack() {
  Await([this] { return connack_.has_value(); }, "CONNACK", kDeadline);
  return connack_;
}

int MqttClient::Subscribe(const std::string& filter, int qos) {
  const uint16_t id = NextPacketId();
  std::string body;
  PutU16(&body, id);
  if (version_ == 5) PutProperties(&body, "");
  PutString(&body, filter);
  body.push_back(static_cast<char>(qos));
  SendPacket(0x82, body);
  return AwaitAck(id);
}

int MqttClient::Unsubscribe(const std::string& filter) {
  const uint16_t id = NextPacketId();
  std::string body;
  PutU16(&body, id);
  if (version_ == 5) PutProperties(&body, "");
  PutString(&body, filter);
  SendPacket(0xa2, body);
  return AwaitAck(id);
}

int MqttClient::Publish(const std::string& topic, std::string_view payload,
                        const MqttPublish& options) {
  const uint16_t id = StartPublish(topic, payload, options);
  return options.qos == 0 ? 0 : AwaitAck(id);
}

uint16_t MqttClient::StartPublish(const std::string& topic, std::string_view payload,
                                  const MqttPublish& options) {
  std::string body;
  PutString(&body, topic);
  uint16_t id = 0;
  if (options.qos > 0) {
    id = options.packet_id > 0 ? options.packet_id : NextPacketId();
    acks_.erase(id);
    PutU16(&body, id);
  }
  if (version_ == 5) {
    std::string properties;
    PutStringProperty(&properties, kContentType, options.content_type);
    PutStringProperty(&properties, kResponseTopic, options.response_topic);
    PutStringProperty(&properties, kCorrelationData, options.correlation_data);
    PutProperties(&body, properties);
  }
  body.append(payload);
  const int flags = options.qos << 1 | (options.retain ? 1 : 0) | (options.dup ? 8 : 0);
  SendPacket(static_cast<uint8_t>(kPublish << 4 | flags), body);
  return id;
}

int MqttClient::AwaitAck(uint16_t packet_id) {
  const auto acked = [&] { return acks_.count(packet_id) > 0; };
  if (!Await(acked, "the acknowledgement of packet " + std::to_string(packet_id), kDeadline)) {
    return kNoAck;
  }
  const int code = acks_[packet_id];
  acks_.erase(packet_id);
  return code;
}

MqttMessage MqttClient::Next(const std::string& filter, Clock::duration timeout) {
  return NextWhere([&](const MqttMessage& m) { return TopicMatches(filter, m.topic); },
                   "a message on " + filter, timeout);
}

MqttMessage MqttClient::NextWhere(const std::function<bool(const MqttMessage&)>& wanted,
                                  const std::string& what, Clock::duration timeout) {
  size_t seen = 0;
  const auto found = [&] {
    while (seen < inbox_.size() && !wanted(inbox_[seen])) ++seen;
    return seen < inbox_.size();
  };
  if (!Await(found, what, timeout)) throw MqttError(Describe("closed while waiting for " + what));
  MqttMessage message = std::move(inbox_[seen]);
  inbox_.erase(inbox_.begin() + static_cast<std::ptrdiff_t>(seen));
  return message;
}

std::vector<MqttMessage> MqttClient::Arrived(const std::string& filter) {
  std::vector<MqttMessage> taken;
  std::deque<MqttMessage> kept;
  for (MqttMessage& message : inbox_) {
    if (TopicMatches(filter, message.topic)) {
      taken.push_back(std::move(message));
    } else {
      kept.push_back(std::move(message));
    }
  }
  inbox_ = std::move(kept);
  return taken;
}

void MqttClient::Ping() {
  const int before = pings_;
  SendPacket(0xc0, "");
  if (!Await([&] { return pings_ > before; }, "PINGRESP", kDeadline)) {
    throw MqttError(Describe("closed while waiting for PINGRESP"));
  }
}

void MqttClient::Ack(const MqttMessage& message) {
  if (message.qos == 1) SendAck(kPuback << 4, message.packet_id);
  if (message.qos == 2) SendAck(kPubrec << 4, message.packet_id);
}

void MqttClient::Disconnect(int reason) {
  std::string body;
  if (version_ == 5 && reason != 0) {
    body.push_back(static_cast<char>(reason));
    PutProperties(&body, "");
  }
  SendPacket(kDisconnect << 4, body);
  Drop();
}

void MqttClient::Drop() {
  if (fd_ < 0) return;
  shutdown(fd_, SHUT_WR);
  auto_ack_ = false;  // nothing can be written any more
  const bool closed = AwaitClosed();
  auto_ack_ = true;
  if (!closed) throw MqttError(Describe("the broker doesn't close"));
}

void MqttClient::Abandon() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

bool MqttClient::AwaitClosed(Clock::duration timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  while (fd_ >= 0 && Clock::now() < deadline) Step(deadline);
  return fd_ < 0;
}

void MqttClient::SendRaw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = fd_ < 0 ? -1 : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR && fd_ >= 0) continue;
    if (n < 0)
      return;  // closed by the broker: whoever waits next learns it, with what was sent before
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

bool MqttClient::Await(const std::function<bool()>& done, const std::string& what,
                       Clock::duration timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  while (!done()) {
    if (fd_ < 0) return false;
    if (!Step(deadline) && fd_ >= 0) throw MqttError(Describe("no " + what + " in time"));
  }
  return true;
}

// Handles one packet; false when the deadline passes or the connection closes first.
bool MqttClient::Step(Clock::time_point deadline) {
  uint8_t head = 0;
  std::string body;
  while (!TakePacket(&head, &body)) {
    if (!FillBuffer(deadline)) return false;
  }
  Handle(head, body);
  return true;
}

bool MqttClient::FillBuffer(Clock::time_point deadline) {
  if (fd_ < 0) return false;
  pollfd waiting{fd_, POLLIN, 0};
  const int ready = poll(&waiting, 1, PollTimeout(deadline));
  if (ready < 0 && errno == EINTR) return true;
  if (ready <= 0) return false;
  char buffer[65536];
  const ssize_t n = recv(fd_, buffer, sizeof(buffer), 0);
  if (n <= 0) {
    Abandon();
    return false;
  }
  in_.append(buffer, static_cast<size_t>(n));
  return true;
}

bool MqttClient::TakePacket(uint8_t* head, std::string* body) {
  size_t length = 0;
  size_t at = 1;
  for (int shift = 0;; shift += 7) {
    if (at >= in_.size()) return false;
    const size_t byte = static_cast<uint8_t>(in_[at++]);
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  if (in_.size() - at < length) return false;
  *head = static_cast<uint8_t>(in_[0]);
  *body = in_.substr(at, length);
  in_.erase(0, at + length);
  return true;
}

void MqttClient::Handle(uint8_t head, const std::string& body) {
  const int type = head >> 4;
  switch (type) {
    case kConnack:
      return HandleConnack(body);
    case kPublish:
      return HandlePublish(head, body);
    case kPuback:
    case kPubrec:
    case kPubcomp:
    case kSuback:
    case kUnsuback:
      return HandleAck(type, body);
    case kPubrel:
      return SendAck(kPubcomp << 4, static_cast<uint16_t>(Reader(body).U16()));
    case kPingresp:
      ++pings_;
      return;
    case kDisconnect:
      disconnect_reason_ = body.empty() ? 0 : static_cast<uint8_t>(body[0]);
      return;
    default:
      throw MqttError("the broker sent a packet of type " + std::to_string(type));
  }
}

void MqttClient::HandleConnack(const std::string& body) {
  Reader packet(body);
  session_present_ = packet.U8() != 0;
  connack_ = static_cast<int>(packet.U8());
  if (version_ != 5 || packet.rest().empty()) return;
  const std::map<int, std::string> properties = ReadProperties(&packet);
  if (const auto assigned = Find(properties, kAssignedClientId)) client_id_ = *assigned;
}

void MqttClient::HandlePublish(uint8_t head, const std::string& body) {
  Reader packet(body);
  MqttMessage message;
  message.qos = head >> 1 & 3;
  message.retain = (head & 1) != 0;
  message.dup = (head & 8) != 0;
  message.topic = packet.String();
  if (message.qos > 0) message.packet_id = static_cast<uint16_t>(packet.U16());
  if (version_ == 5) {
    const std::map<int, std::string> properties = ReadProperties(&packet);
    message.content_type = Find(properties, kContentType);
    message.response_topic = Find(properties, kResponseTopic);
    message.correlation_data = Find(properties, kCorrelationData);
  }
  message.payload = packet.rest();
  if (auto_ack_) Ack(message);
  inbox_.push_back(std::move(message));
}

void MqttClient::HandleAck(int type, const std::string& body) {
  Reader packet(body);
  const auto id = static_cast<uint16_t>(packet.U16());
  if (version_ == 5 && (type == kSuback || type == kUnsuback)) ReadProperties(&packet);
  const int code = packet.rest().empty() ? 0 : static_cast<int>(packet.U8());
  if (type == kPubrec && code < 0x80) SendAck(kPubrel << 4 | 2, id);
  // PUBCOMP ends what PUBREC decided: the code that counts is PUBREC's.
  if (type != kPubcomp) acks_[id] = code;
}

void MqttClient::SendPacket(uint8_t head, const std::string& body) {
  std::string packet(1, static_cast<char>(head));
  PutVarint(&packet, body.size());
  packet += body;
  SendRaw(packet);
}

void MqttClient::SendAck(uint8_t head, uint16_t packet_id) {
  std::string body;
  PutU16(&body, packet_id);
  SendPacket(head, body);
}

std::string MqttClient::Describe(const std::string& what) const {
  std::string text = client_id_ + ": " + what + "; " + std::to_string(inbox_.size()) + " unread";
  size_t shown = 0;
  for (const MqttMessage& message : inbox_) {
    if (++shown > 5) return text + "\n  …";
    text += "\n  " + message.topic + " " + message.payload.substr(0, 300);
  }
  return text;
}

uint16_t MqttClient::NextPacketId() {
  if (++last_packet_id_ == 0) last_packet_id_ = 1;
  return last_packet_id_;
}

}  // namespace parley::e2e
