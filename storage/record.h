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

enum class MessageType : uint8_t { kMessage = 0, kEdit = 1, kRetract = 2, kReaction = 3 };

// A message that another one names: who wrote it, and its id.
struct MessageRef {
  UserId from;
  std::string id;
  // Where that message stands in the logs of the *referring* record's from and to; 0 where the
  // reference is free (a reply may name what this server doesn't know).
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

using Record = std::variant<MessageRecord, DeviceCursorRecord, MarksRecord, PeerMarksRecord>;

struct Transaction {
  Lsn lsn;
  std::vector<Record> records;
};

// Calls visit(user) for each user whose log or state the record changes; they may be the same.
template <class Visit>
void ForEachUser(const Record& record, Visit visit) {
  if (const auto* message = std::get_if<MessageRecord>(&record)) {
    visit(message->from);
    visit(message->to);
  } else if (const auto* cursor = std::get_if<DeviceCursorRecord>(&record)) {
    visit(cursor->user);
  } else if (const auto* marks = std::get_if<MarksRecord>(&record)) {
    visit(marks->user);
  } else {
    visit(std::get<PeerMarksRecord>(record).user);
  }
}

// Appends the encoding of the record (its kind, then its fields) to *out. User and message ids must
// be of 1–64 bytes, device ids of at most 65,535: the decoder takes no others.
void EncodeRecord(const Record& record, std::string* out);
// Takes one record off the front of *in. kCorruption where it is not one; *in is then unspecified.
Result<Record> DecodeRecord(std::string_view* in);

}  // namespace parley

#endif  // PARLEY_STORAGE_RECORD_H_
