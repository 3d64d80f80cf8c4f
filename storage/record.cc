// A record's bytes (the whole grammar: docs/log_format.md):
//
//   record       := 0x01 message | 0x02 device_cursor | 0x03 marks | 0x04 peer_marks
//   message      := from to from_seq:varint to_seq:varint ts:varint shape:u8 id body
//                   [ref] content_hash:fixed64
//   shape        := type (low 2 bits) | 0x80 where a ref follows
//   ref          := from id from_seq:varint to_seq:varint
//   device_cursor:= user device delivered:varint ts:varint
//   marks        := user delivered:varint read:varint
//   peer_marks   := user peer delivered:varint read:varint ts:varint
//
//   from, to, user, peer, id, body, device := length:varint bytes
//   varint       := LEB128 of an unsigned 64-bit number, in the fewest bytes
//   fixed64      := little-endian; ts := a signed number, as the unsigned one of the same bits
//
// There is one encoding for each record, and the decoder takes no other: what it accepts encodes
// to the same bytes again.
#include "storage/record.h"

#include <cassert>

namespace parley {
namespace {

constexpr uint8_t kHasRef = 0x80;
constexpr size_t kBodyBytesMax = 64u << 20;     // far past any max_body; a sanity check
constexpr size_t kDeviceBytesMax = UINT16_MAX;  // an MQTT string

enum Kind : uint8_t { kMessageKind = 1, kDeviceCursorKind, kMarksKind, kPeerMarksKind };

class Encoder {
 public:
  explicit Encoder(std::string* out) : out_(out) {}

  void Byte(uint8_t value) { out_->push_back(static_cast<char>(value)); }
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) Byte(static_cast<uint8_t>(value | 0x80));
    Byte(static_cast<uint8_t>(value));
  }
  void Fixed64(uint64_t value) {
    for (int i = 0; i < 8; ++i) Byte(static_cast<uint8_t>(value >> (8 * i)));
  }
  void Bytes(std::string_view bytes) {
    Varint(bytes.size());
    out_->append(bytes);
  }
  void User(const UserId& user) {
    assert(!user.empty() && user.str().size() <= kIdBytesMax);
    Bytes(user.str());
  }
  void Number(Seq seq) { Varint(seq.value()); }
  void Time(int64_t ms) { Varint(static_cast<uint64_t>(ms)); }

  void operator()(const MessageRecord& message) {
    assert(!message.id.empty() && message.id.size() <= kIdBytesMax);
    Byte(kMessageKind);
    User(message.from);
    User(message.to);
    Number(message.from_seq);
    Number(message.to_seq);
    Time(message.ts_ms);
    Byte(static_cast<uint8_t>(static_cast<uint8_t>(message.type) | (message.ref ? kHasRef : 0)));
    Bytes(message.id);
    Bytes(message.body);
    if (message.ref) Ref(*message.ref);
    Fixed64(message.content_hash);
  }
  void operator()(const DeviceCursorRecord& cursor) {
    Byte(kDeviceCursorKind);
    User(cursor.user);
    Bytes(cursor.device.str());
    Number(cursor.delivered);
    Time(cursor.ts_ms);
  }
  void operator()(const MarksRecord& marks) {
    Byte(kMarksKind);
    User(marks.user);
    Number(marks.delivered);
    Number(marks.read);
  }
  void operator()(const PeerMarksRecord& marks) {
    Byte(kPeerMarksKind);
    User(marks.user);
    User(marks.peer);
    Number(marks.delivered);
    Number(marks.read);
    Time(marks.ts_ms);
  }

 private:
  void Ref(const MessageRef& ref) {
    User(ref.from);
    Bytes(ref.id);
    Number(ref.from_seq);
    Number(ref.to_seq);
  }

  std::string* out_;
};

// Takes fields off the front. After the first one that is not there, failed() is true and all
// fields are empty.
class Decoder {
 public:
  explicit Decoder(std::string_view* in) : in_(in) {}

  bool failed() const { return failed_ != nullptr; }
  const char* failure() const { return failed_; }

  uint8_t Byte() {
    if (in_->empty()) return Fail("ends early"), uint8_t{0};
    uint8_t value = static_cast<uint8_t>(in_->front());
    in_->remove_prefix(1);
    return value;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte = Byte();
      if (failed()) return 0;
      uint64_t bits = byte & 0x7f;
      bool last = byte < 0x80;
      if ((shift == 63 && bits > 1) || (last && bits == 0 && shift > 0)) break;
      value |= bits << shift;
      if (last) return value;
    }
    Fail("holds a number that is too long");
    return 0;
  }
  uint64_t Fixed64() {
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value |= uint64_t{Byte()} << (8 * i);
    return failed() ? 0 : value;
  }
  std::string Bytes(size_t max, size_t min = 0) {
    uint64_t size = Varint();
    if (failed()) return {};
    if (size < min || size > max) return Fail("holds a length out of range"), std::string();
    if (size > in_->size()) return Fail("ends early"), std::string();
    std::string bytes(in_->substr(0, size));
    in_->remove_prefix(size);
    return bytes;
  }
  UserId User() { return UserId(Bytes(kIdBytesMax, 1)); }
  Seq Number() { return Seq(Varint()); }
  int64_t Time() { return static_cast<int64_t>(Varint()); }

  MessageRecord Message() {
    MessageRecord message;
    message.from = User();
    message.to = User();
    message.from_seq = Number();
    message.to_seq = Number();
    message.ts_ms = Time();
    uint8_t shape = Byte();
    if (shape & ~(kHasRef | 0x03)) Fail("holds an unknown message type");
    message.type = static_cast<MessageType>(shape & 0x03);
    message.id = Bytes(kIdBytesMax, 1);
    message.body = Bytes(kBodyBytesMax);
    if (shape & kHasRef) message.ref = Ref();
    message.content_hash = Fixed64();
    return message;
  }
  DeviceCursorRecord DeviceCursor() {
    DeviceCursorRecord cursor;
    cursor.user = User();
    cursor.device = DeviceId(Bytes(kDeviceBytesMax));
    cursor.delivered = Number();
    cursor.ts_ms = Time();
    return cursor;
  }
  MarksRecord Marks() {
    MarksRecord marks;
    marks.user = User();
    marks.delivered = Number();
    marks.read = Number();
    return marks;
  }
  PeerMarksRecord PeerMarks() {
    PeerMarksRecord marks;
    marks.user = User();
    marks.peer = User();
    marks.delivered = Number();
    marks.read = Number();
    marks.ts_ms = Time();
    return marks;
  }
  void Fail(const char* what) {
    if (failed_ == nullptr) failed_ = what;
    *in_ = {};
  }

 private:
  MessageRef Ref() {
    MessageRef ref;
    ref.from = User();
    ref.id = Bytes(kIdBytesMax, 1);
    ref.from_seq = Number();
    ref.to_seq = Number();
    return ref;
  }

  std::string_view* in_;
  const char* failed_ = nullptr;
};

Record DecodeFields(uint8_t kind, Decoder* in) {
  switch (kind) {
    case kMessageKind:
      return in->Message();
    case kDeviceCursorKind:
      return in->DeviceCursor();
    case kMarksKind:
      return in->Marks();
    case kPeerMarksKind:
      return in->PeerMarks();
    default:
      in->Fail("is of an unknown kind");
      return {};
  }
}

}  // namespace

void EncodeRecord(const Record& record, std::string* out) { std::visit(Encoder(out), record); }

Result<Record> DecodeRecord(std::string_view* in) {
  Decoder decoder(in);
  uint8_t kind = decoder.Byte();
  Record record = DecodeFields(kind, &decoder);
  if (decoder.failed()) {
    return Error(Code::kCorruption, std::string("a record ") + decoder.failure());
  }
  return record;
}

}  // namespace parley
