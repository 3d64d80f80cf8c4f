// A record's bytes (the whole grammar: docs/log_format.md):
//
//   record       := 0x01 message | 0x02 device_cursor | 0x03 marks | 0x04 peer_marks
//                 | 0x05 device_gone | 0x06 group_message | 0x07 group_marks | 0x08 group
//                 | 0x09 contact | 0x0a push_target | 0x0b push_job | 0x0c push_done
//   message      := from to from_seq:varint to_seq:varint content
//   content      := ts:varint shape:u8 id body [ref] content_hash:fixed64
//   shape        := type (low 3 bits, up to 4) | 0x80 where a ref follows
//   ref          := from id from_seq:varint to_seq:varint
//   device_cursor:= user device delivered:varint ts:varint
//   marks        := user delivered:varint read:varint
//   peer_marks   := user peer delivered:varint read:varint ts:varint
//   device_gone  := user device
//   group_message:= group gseq:varint from from_seq:varint content entries:varint entry*
//   entry        := user seq:varint
//   group_marks  := group user delivered:varint read:varint ts:varint
//   group        := group gseq:varint title delivery:u8 flags:u8 created:varint
//                   members:varint member*
//                   flags: 1 open, 2 history_all, 4 deleted
//   member       := user role:u8 name spans:varint span*
//   span         := first:varint last:varint
//   contact      := user peer state:u8 flags:u8
//                   flags: 1 blocked, 2 blocked_by
//   push_target  := user device provider:u8 target flags:u8 muted:varint str* ts:varint
//                   flags: 1 preview
//   push_job     := id:varint user device provider:u8 from str(group) seq:varint gseq:varint body
//                   count:varint ts:varint created:varint
//   push_done    := id:varint reason ts:varint
//
//   from, to, user, peer, group, id, body, device, title, name, target, reason, str
//                := length:varint bytes
//   varint       := LEB128 of an unsigned 64-bit number, in the fewest bytes
//   fixed64      := little-endian
//   ts, created  := a signed number, as the unsigned one of the same bits
//
// There is one encoding for each record, and the decoder takes no other: what it accepts encodes
// to the same bytes again.
#include "storage/record.h"

#include <cassert>
#include <initializer_list>

namespace parley {
namespace {

constexpr uint8_t kHasRef = 0x80;
constexpr size_t kBodyBytesMax = 64u << 20;      // far past any max_body; a sanity check
constexpr size_t kDeviceBytesMax = UINT16_MAX;   // an MQTT string
constexpr size_t kNameBytesMax = 1024;           // of titles, too
constexpr size_t kPushTextBytesMax = 64u << 10;  // far past what is taken; a sanity check

enum Kind : uint8_t {
  kMessageKind = 1,
  kDeviceCursorKind,
  kMarksKind,
  kPeerMarksKind,
  kDeviceGoneKind,
  kGroupMessageKind,
  kGroupMarksKind,
  kGroupKind,
  kContactKind,
  kPushTargetKind,
  kPushJobKind,
  kPushDoneKind
};

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
  template <class Tag>
  void Identity(const Id<Tag>& id) {
    assert(!id.empty() && id.str().size() <= kIdBytesMax);
    Bytes(id.str());
  }
  void Name(const std::string& name) {
    assert(name.size() <= kNameBytesMax);
    Bytes(name);
  }
  void Number(Seq seq) { Varint(seq.value()); }
  void Time(int64_t ms) { Varint(static_cast<uint64_t>(ms)); }
  template <class Enum>
  void Choice(Enum value) {
    Byte(static_cast<uint8_t>(value));
  }
  // The first one is the lowest bit.
  void Flags(std::initializer_list<bool> flags) {
    uint8_t bits = 0;
    for (auto flag = std::rbegin(flags); flag != std::rend(flags); ++flag) {
      bits = static_cast<uint8_t>(bits << 1 | *flag);
    }
    Byte(bits);
  }

  void operator()(const MessageRecord& message) {
    Byte(kMessageKind);
    Identity(message.from);
    Identity(message.to);
    Number(message.from_seq);
    Number(message.to_seq);
    Content(message);
  }
  void operator()(const DeviceCursorRecord& cursor) {
    Byte(kDeviceCursorKind);
    Identity(cursor.user);
    Bytes(cursor.device.str());
    Number(cursor.delivered);
    Time(cursor.ts_ms);
  }
  void operator()(const MarksRecord& marks) {
    Byte(kMarksKind);
    Identity(marks.user);
    Number(marks.delivered);
    Number(marks.read);
  }
  void operator()(const PeerMarksRecord& marks) {
    Byte(kPeerMarksKind);
    Identity(marks.user);
    Identity(marks.peer);
    Number(marks.delivered);
    Number(marks.read);
    Time(marks.ts_ms);
  }
  void operator()(const DeviceGoneRecord& gone) {
    Byte(kDeviceGoneKind);
    Identity(gone.user);
    Bytes(gone.device.str());
  }
  void operator()(const GroupMessageRecord& record) {
    assert(record.message.to.empty() && record.message.to_seq == Seq());
    Byte(kGroupMessageKind);
    Identity(record.group);
    Number(record.gseq);
    Identity(record.message.from);
    Number(record.message.from_seq);
    Content(record.message);
    Varint(record.entries.size());
    for (const GroupEntry& entry : record.entries) {
      Identity(entry.user);
      Number(entry.seq);
    }
  }
  void operator()(const GroupMarksRecord& marks) {
    Byte(kGroupMarksKind);
    Identity(marks.group);
    Identity(marks.user);
    Number(marks.delivered);
    Number(marks.read);
    Time(marks.ts_ms);
  }
  void operator()(const GroupRecord& record) {
    const GroupSettings& settings = record.settings;
    Byte(kGroupKind);
    Identity(record.group);
    Number(record.gseq);
    Name(settings.title);
    Choice(settings.delivery);
    Flags({settings.open, settings.history_all, settings.deleted});
    Time(settings.created_ms);
    Varint(record.changed.size());
    for (const GroupMember& member : record.changed) Member(member);
  }
  void operator()(const ContactRecord& contact) {
    Byte(kContactKind);
    Identity(contact.user);
    Identity(contact.peer);
    Choice(contact.state);
    Flags({contact.blocked, contact.blocked_by});
  }
  void operator()(const PushTargetRecord& target) {
    Byte(kPushTargetKind);
    Identity(target.user);
    Bytes(target.device.str());
    Choice(target.provider);
    Bytes(target.target);
    Flags({target.preview});
    Varint(target.muted.size());
    for (const std::string& muted : target.muted) Bytes(muted);
    Time(target.ts_ms);
  }
  void operator()(const PushJobRecord& job) {
    Byte(kPushJobKind);
    Varint(job.id);
    Identity(job.user);
    Bytes(job.device.str());
    Choice(job.provider);
    Identity(job.from);
    Bytes(job.group.str());
    Number(job.seq);
    Number(job.gseq);
    Bytes(job.body);
    Varint(job.count);
    Time(job.ts_ms);
    Time(job.created_ms);
  }
  void operator()(const PushDoneRecord& done) {
    Byte(kPushDoneKind);
    Varint(done.id);
    Bytes(done.reason);
    Time(done.ts_ms);
  }

 private:
  void Content(const MessageRecord& message) {
    assert(!message.id.empty() && message.id.size() <= kIdBytesMax);
    Time(message.ts_ms);
    Byte(static_cast<uint8_t>(static_cast<uint8_t>(message.type) | (message.ref ? kHasRef : 0)));
    Bytes(message.id);
    Bytes(message.body);
    if (message.ref) Ref(*message.ref);
    Fixed64(message.content_hash);
  }
  void Member(const GroupMember& member) {
    Identity(member.user);
    Choice(member.role);
    Name(member.name);
    Varint(member.spans.size());
    for (const GroupSpan& span : member.spans) {
      Number(span.first);
      Number(span.last);
    }
  }
  void Ref(const MessageRef& ref) {
    Identity(ref.from);
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
  GroupId Group() { return GroupId(Bytes(kIdBytesMax, 1)); }
  Seq Number() { return Seq(Varint()); }
  int64_t Time() { return static_cast<int64_t>(Varint()); }
  template <class Enum>
  Enum Choice(Enum last) {
    uint8_t value = Byte();
    if (value > static_cast<uint8_t>(last)) Fail("holds an unknown value");
    return static_cast<Enum>(failed() ? 0 : value);
  }
  void Flags(std::initializer_list<bool*> flags) {
    uint8_t bits = Byte();
    for (bool* flag : flags) {
      *flag = (bits & 1) != 0;
      bits >>= 1;
    }
    if (bits != 0) Fail("holds an unknown flag");
  }
  // A count, then as many as that of what `take` takes.
  template <class T, class Take>
  void Each(std::vector<T>* all, Take take) {
    for (uint64_t left = Varint(); left > 0 && !failed(); --left) all->push_back(take());
  }

  MessageRecord Message() {
    MessageRecord message;
    message.from = User();
    message.to = User();
    message.from_seq = Number();
    message.to_seq = Number();
    Content(&message);
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
  DeviceGoneRecord DeviceGone() {
    DeviceGoneRecord gone;
    gone.user = User();
    gone.device = DeviceId(Bytes(kDeviceBytesMax));
    return gone;
  }
  GroupMessageRecord GroupMessage() {
    GroupMessageRecord record;
    record.group = Group();
    record.gseq = Number();
    record.message.from = User();
    record.message.from_seq = Number();
    Content(&record.message);
    Each(&record.entries, [&] {
      GroupEntry entry;
      entry.user = User();
      entry.seq = Number();
      return entry;
    });
    return record;
  }
  GroupMarksRecord GroupMarks() {
    GroupMarksRecord marks;
    marks.group = Group();
    marks.user = User();
    marks.delivered = Number();
    marks.read = Number();
    marks.ts_ms = Time();
    return marks;
  }
  GroupRecord GroupChange() {
    GroupRecord record;
    GroupSettings& settings = record.settings;
    record.group = Group();
    record.gseq = Number();
    settings.title = Bytes(kNameBytesMax);
    settings.delivery = Choice(GroupDelivery::kTopic);
    Flags({&settings.open, &settings.history_all, &settings.deleted});
    settings.created_ms = Time();
    Each(&record.changed, [&] { return Member(); });
    return record;
  }
  ContactRecord Contact() {
    ContactRecord contact;
    contact.user = User();
    contact.peer = User();
    contact.state = Choice(ContactState::kAccepted);
    Flags({&contact.blocked, &contact.blocked_by});
    return contact;
  }
  PushTargetRecord PushTarget() {
    PushTargetRecord target;
    target.user = User();
    target.device = DeviceId(Bytes(kDeviceBytesMax));
    target.provider = Choice(PushProvider::kApns);
    target.target = Bytes(kPushTextBytesMax);
    Flags({&target.preview});
    Each(&target.muted, [&] { return Bytes(kPushTextBytesMax); });
    target.ts_ms = Time();
    return target;
  }
  PushJobRecord PushJob() {
    PushJobRecord job;
    job.id = Varint();
    job.user = User();
    job.device = DeviceId(Bytes(kDeviceBytesMax));
    job.provider = Choice(PushProvider::kApns);
    job.from = User();
    job.group = GroupId(Bytes(kIdBytesMax));
    job.seq = Number();
    job.gseq = Number();
    job.body = Bytes(kPushTextBytesMax);
    job.count = Varint();
    job.ts_ms = Time();
    job.created_ms = Time();
    return job;
  }
  PushDoneRecord PushDone() {
    PushDoneRecord done;
    done.id = Varint();
    done.reason = Bytes(kPushTextBytesMax);
    done.ts_ms = Time();
    return done;
  }
  void Fail(const char* what) {
    if (failed_ == nullptr) failed_ = what;
    *in_ = {};
  }

 private:
  void Content(MessageRecord* message) {
    message->ts_ms = Time();
    uint8_t shape = Byte();
    uint8_t type = shape & static_cast<uint8_t>(~kHasRef);
    if (type > static_cast<uint8_t>(MessageType::kSystem)) Fail("holds an unknown message type");
    if (!failed()) message->type = static_cast<MessageType>(type);
    message->id = Bytes(kIdBytesMax, 1);
    message->body = Bytes(kBodyBytesMax);
    if (shape & kHasRef) message->ref = Ref();
    message->content_hash = Fixed64();
  }
  GroupMember Member() {
    GroupMember member;
    member.user = User();
    member.role = Choice(GroupRole::kRemoved);
    member.name = Bytes(kNameBytesMax);
    Each(&member.spans, [&] {
      GroupSpan span;
      span.first = Number();
      span.last = Number();
      return span;
    });
    return member;
  }
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
    case kDeviceGoneKind:
      return in->DeviceGone();
    case kGroupMessageKind:
      return in->GroupMessage();
    case kGroupMarksKind:
      return in->GroupMarks();
    case kGroupKind:
      return in->GroupChange();
    case kContactKind:
      return in->Contact();
    case kPushTargetKind:
      return in->PushTarget();
    case kPushJobKind:
      return in->PushJob();
    case kPushDoneKind:
      return in->PushDone();
    default:
      in->Fail("is of an unknown kind");
      return {};
  }
}

}  // namespace

bool ConcernsRoster(const Record& record) {
  return std::holds_alternative<GroupRecord>(record) ||
         std::holds_alternative<ContactRecord>(record) ||
         std::holds_alternative<PushTargetRecord>(record) ||
         std::holds_alternative<PushJobRecord>(record) ||
         std::holds_alternative<PushDoneRecord>(record);
}

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
