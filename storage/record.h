// What one command changes, as it stands in the journal and as the stores apply it.
//
// A Transaction is the unit of durability: all of its records are in the journal or none is, and
// each store applies its part of it at once. Records carry numbers that were assigned before; a
// store never makes one up. The byte grammar stands in docs/log_format.md and at the head of
// record.cc.
#ifndef PARLEY_STORAGE_RECORD_H_
#define PARLEY_STORAGE_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "storage/status.h"
#include "storage/types.h"

namespace parley {

// kSystem is the server's own: it tells of a group's members and settings.
enum class MessageType : uint8_t {
  kMessage = 0,
  kEdit = 1,
  kRetract = 2,
  kReaction = 3,
  kSystem = 4
};

// A message that another one names: who wrote it, and its id.
struct MessageRef {
  UserId from;
  std::string id;
  // Where that message stands in the logs of the *referring* record's from and to; 0 where the
  // reference is free (a reply may name what this server doesn't know). In a group: its gseq, both
  // times.
  Seq from_seq;
  Seq to_seq;
  bool operator==(const MessageRef&) const = default;
};

// A 1-1 message: one entry in the log of each side, one entry where from == to.
struct MessageRecord {
  UserId from;
  UserId to;
  Seq from_seq;  // in the log of `from`
  Seq to_seq;    // in the log of `to`; equal to from_seq where from == to
  int64_t ts_ms = 0;
  MessageType type = MessageType::kMessage;
  std::string id;    // the sender's id for it, 1–64 bytes
  std::string body;  // JSON text, exactly as it goes out; empty: the message has no body
  std::optional<MessageRef> ref;
  // XXH3-64 over what makes a retry "the same content" (type, to, body, ref).
  uint64_t content_hash = 0;
  bool operator==(const MessageRecord&) const = default;
};

// How far a device of `user` has confirmed its user's log.
struct DeviceCursorRecord {
  UserId user;
  DeviceId device;
  Seq delivered;
  int64_t ts_ms = 0;
  bool operator==(const DeviceCursorRecord&) const = default;
};

// How far any device of `user` has confirmed (delivered) and shown (read) its own log. Only grows.
struct MarksRecord {
  UserId user;
  Seq delivered;
  Seq read;
  bool operator==(const MarksRecord&) const = default;
};

// What `user` knows of `peer`: all that user sent to peer up to these numbers of *user's* log was
// delivered / read. A zero leaves that one as it is.
struct PeerMarksRecord {
  UserId user;
  UserId peer;
  Seq delivered;
  Seq read;
  int64_t ts_ms = 0;
  bool operator==(const PeerMarksRecord&) const = default;
};

// A device that its user has removed: its cursor goes.
struct DeviceGoneRecord {
  UserId user;
  DeviceId device;
  bool operator==(const DeviceGoneRecord&) const = default;
};

// A place in a member's log that points to a group's message.
struct GroupEntry {
  UserId user;
  Seq seq;
  bool operator==(const GroupEntry&) const = default;
};

// A message in a group: stored once, under the group's own number. Where the group's delivery is
// `inbox`, an entry in each member's log points to it.
struct GroupMessageRecord {
  GroupId group;
  Seq gseq;
  // `to` is empty and `to_seq` 0; `from_seq` is the sender's entry, 0 where it has none. kSystem:
  // not among the ids that `from` sent.
  MessageRecord message;
  std::vector<GroupEntry> entries;  // with the sender's own
  bool operator==(const GroupMessageRecord&) const = default;
};

// How far a member has confirmed (delivered) and shown (read) a group, in gseq. Only grows. A zero
// leaves that one as it is.
struct GroupMarksRecord {
  GroupId group;
  UserId user;
  Seq delivered;
  Seq read;
  int64_t ts_ms = 0;
  bool operator==(const GroupMarksRecord&) const = default;
};

// kNone left by itself, or never was in; kRemoved was removed by another: an open group doesn't
// take it back by itself.
enum class GroupRole : uint8_t { kNone = 0, kMember = 1, kAdmin = 2, kOwner = 3, kRemoved = 4 };
enum class GroupDelivery : uint8_t { kInbox = 0, kTopic = 1 };

// A stretch of a group's numbers, both ends included, in which somebody was a member.
struct GroupSpan {
  Seq first;
  Seq last;  // 0: still
  bool operator==(const GroupSpan&) const = default;
};

struct GroupMember {
  UserId user;
  GroupRole role = GroupRole::kNone;  // kNone, kRemoved: not in now
  std::string name;                   // what it calls itself in the group; empty: its user id
  std::vector<GroupSpan> spans;       // ascending
  bool operator==(const GroupMember&) const = default;
};

struct GroupSettings {
  std::string title;
  GroupDelivery delivery = GroupDelivery::kInbox;
  bool open = false;         // whoever knows its id may join
  bool history_all = false;  // members see what was said before they came, too
  bool deleted = false;
  int64_t created_ms = 0;
  bool operator==(const GroupSettings&) const = default;
};

// A group as a change left it: whole but for its members, of which those that changed. The
// roster's.
struct GroupRecord {
  GroupId group;
  Seq gseq;  // of the system message that tells of the change
  GroupSettings settings;
  std::vector<GroupMember> changed;
  bool operator==(const GroupRecord&) const = default;
};

enum class ContactState : uint8_t {
  kNone = 0,
  kRequested = 1,  // by the user
  kAsked = 2,      // by the peer
  kAccepted = 3
};

// What stands between `user` and `peer`, as user's side has it; a change writes both sides. The
// roster's. One with nothing in it is no more.
struct ContactRecord {
  UserId user;
  UserId peer;
  ContactState state = ContactState::kNone;
  bool blocked = false;     // by the user
  bool blocked_by = false;  // by the peer
  bool operator==(const ContactRecord&) const = default;
};

// Who carries a push to a device. kWebhook belongs to an API key, not to a device.
enum class PushProvider : uint8_t { kWebPush = 0, kNtfy = 1, kWebhook = 2, kFcm = 3, kApns = 4 };

// A device that wants to be woken, by one provider. The roster's. Without a target it wants no
// more.
struct PushTargetRecord {
  UserId user;
  DeviceId device;
  PushProvider provider = PushProvider::kWebPush;
  std::string target;              // JSON text, as the device gave it
  bool preview = true;             // a push may show what was said
  std::vector<std::string> muted;  // conversations: "bob", "group/readers"
  int64_t ts_ms = 0;
  bool operator==(const PushTargetRecord&) const = default;
};

// A device that is to be woken, as the conversation's last message left it. The roster's.
struct PushJobRecord {
  uint64_t id = 0;
  UserId user;
  DeviceId device;  // empty: a webhook's
  PushProvider provider = PushProvider::kWebPush;
  UserId from;         // of the last message; without a group, the conversation
  GroupId group;       // empty: none
  Seq seq;             // the last message's number in the user's log; 0: it has none there
  Seq gseq;            // … in the group
  std::string body;    // JSON text, what may be shown of it; empty: nothing
  uint64_t count = 1;  // messages that it tells of
  int64_t ts_ms = 0;   // the last message's
  int64_t created_ms = 0;
  bool operator==(const PushJobRecord&) const = default;
};

// The end of a job. With a reason it goes to the dead letters.
struct PushDoneRecord {
  uint64_t id = 0;
  std::string reason;
  int64_t ts_ms = 0;
  bool operator==(const PushDoneRecord&) const = default;
};

using Record = std::variant<MessageRecord, DeviceCursorRecord, MarksRecord, PeerMarksRecord,
                            DeviceGoneRecord, GroupMessageRecord, GroupMarksRecord, GroupRecord,
                            ContactRecord, PushTargetRecord, PushJobRecord, PushDoneRecord>;

struct Transaction {
  Lsn lsn;
  std::vector<Record> records;
};

// Calls visit(id) for each user and group whose tables in a message store the record changes; an id
// may come more than once. A record of the roster's has none.
template <class Visit>
void ForEachOwner(const Record& record, Visit visit) {
  if (const auto* message = std::get_if<MessageRecord>(&record)) {
    visit(message->from.str());
    visit(message->to.str());
  } else if (const auto* cursor = std::get_if<DeviceCursorRecord>(&record)) {
    visit(cursor->user.str());
  } else if (const auto* marks = std::get_if<MarksRecord>(&record)) {
    visit(marks->user.str());
  } else if (const auto* peer_marks = std::get_if<PeerMarksRecord>(&record)) {
    visit(peer_marks->user.str());
  } else if (const auto* gone = std::get_if<DeviceGoneRecord>(&record)) {
    visit(gone->user.str());
  } else if (const auto* group = std::get_if<GroupMessageRecord>(&record)) {
    visit(group->group.str());
    visit(group->message.from.str());  // for the ids that it sent
    for (const GroupEntry& entry : group->entries) visit(entry.user.str());
  } else if (const auto* group_marks = std::get_if<GroupMarksRecord>(&record)) {
    visit(group_marks->group.str());
  }
}

// True for what the roster keeps: groups' members and settings, contacts, what is to be pushed.
bool ConcernsRoster(const Record& record);

// Appends the encoding of the record (its kind, then its fields) to *out. User and message ids must
// be of 1–64 bytes, device ids of at most 65,535: the decoder takes no others.
void EncodeRecord(const Record& record, std::string* out);
// Takes one record off the front of *in. kCorruption where it is not one; *in is then unspecified.
Result<Record> DecodeRecord(std::string_view* in);

}  // namespace parley

#endif  // PARLEY_STORAGE_RECORD_H_
