// One store: the logs of the users whose shards it holds. LevelDB is the embedded one; a
// distributed engine takes its place behind this interface. One conformance test runs every
// implementation (tests/storage/message_store_test.cc).
//
// Threads: Apply and Sync are called by the store's one writer thread; reads by any thread at any
// time. A read sees every transaction whose Apply returned before it began, whole or not at all.
//
// Errors: kIoError and kCorruption as they come; after a failed Apply nothing of that call is
// visible or all of it is, and calling it again with the same transactions is right either way
// (a transaction at or below the applied one is skipped: applying one twice changes nothing).
#ifndef PARLEY_STORAGE_MESSAGE_STORE_H_
#define PARLEY_STORAGE_MESSAGE_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/record.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

// A message as one side's log, or a group's, holds it.
struct LogEntry {
  Seq seq;       // in the log that was read; in a group's its gseq
  Seq peer_seq;  // the same message's number in the other side's log; NumberEntries: in the
                 // reader's
  // In a group's log all of it; in a user's log, where `group` is set, only from, type and ts_ms:
  // the group's store has the rest (FillEntries in storage/log.h).
  MessageRecord message;
  GroupId group;  // set: a group's message
  Seq gseq;
  Lsn lsn;  // of a group's message in a user's log: the transaction that brought it
};

// What sets a cold user going: one read.
struct LogTail {
  Seq last;   // 0: the log is empty
  Seq floor;  // the oldest kept; 1 where nothing was removed (also for an empty log)
  Seq delivered;
  Seq read;
};

// A sent message's id, as dedupe needs it.
struct SentId {
  Lsn lsn;  // orders them; a transaction brings at most one of a sender
  Seq seq;  // in the sender's log; 0: it has no entry there (a group of delivery `topic`)
  std::string id;
  uint64_t content_hash = 0;
  GroupId group;  // set: sent to this group
  Seq gseq;
};

// Where a sent message is to be found.
struct SentPlace {
  Seq seq;  // in the sender's log; 0: not there
  GroupId group;
  Seq gseq;
  bool found() const { return seq > Seq() || gseq > Seq(); }
};

struct PeerMarks {
  Seq delivered;
  Seq read;
};

struct Conversation {
  UserId peer{};  // or
  GroupId group{};
  Seq last{};  // the newest message of it in the user's log
};

// How far a member of a group has got, in gseq.
struct GroupMark {
  UserId user;
  Seq delivered;
  Seq read;
  int64_t ts_ms = 0;  // the later one's
};

struct DeviceCursor {
  DeviceId device;
  Seq delivered;
  int64_t ts_ms = 0;
};

// Which part of a log to read: what stands between `after` and `before`, both exclusive, beginning
// at the lower end or, where `descending`, at the upper. `limit` entries at most and, past the
// first one, `bytes_max` bytes of bodies.
struct Page {
  Seq after{};
  Seq before{UINT64_MAX};
  bool descending = false;
  size_t limit = 100;
  size_t bytes_max = 1 << 20;
};

struct LogPage {
  std::vector<LogEntry> entries;  // ascending or descending as asked
  bool more = false;              // there are entries between the bounds beyond the page
};

// Which users and groups are a store's own, by id.
using Mine = std::function<bool(std::string_view owner)>;

// What stands behind the journal and takes what it has made durable: a message store, the roster.
class Store {
 public:
  virtual ~Store() = default;

  // Applies, of each transaction above Applied(), what concerns owners for whom `mine` is true (the
  // roster: what is the roster's), and remembers the last transaction's Lsn as applied: atomically,
  // not yet synced. Transactions ascend. Marks and cursors replace those that were there: they come
  // grown, but for a member's in a group, which only grow here.
  virtual Status Apply(std::span<const Transaction* const> transactions, const Mine& mine) = 0;
  // Makes all that was applied survive a power cut.
  virtual Status Sync() = 0;
  // The last transaction applied: it has all up to that one, and nothing of later ones. After a
  // start, or a failure, that may be less than before: down to what was synced. After a failure
  // reads are refused (kUnavailable) until as much is applied again as there was before.
  virtual Result<Lsn> Applied() const = 0;
};

class MessageStore : public Store {
 public:
  virtual Result<LogTail> ReadTail(const UserId& user) const = 0;
  // The user's log, all conversations.
  virtual Result<LogPage> ReadLog(const UserId& user, const Page& page) const = 0;
  // One conversation of it, with a peer or a group (Conversation::last isn't looked at).
  virtual Result<LogPage> ReadConversation(const UserId& user, const Conversation& with,
                                           const Page& page) const = 0;
  // The messages in the user's log that edit, retract or react to the one at `target`, ascending;
  // of very many the newest, an implementation's limit of at least 1,000.
  virtual Result<std::vector<LogEntry>> ReadReferring(const UserId& user, Seq target) const = 0;
  // The user's conversations, latest first, those whose last message is before `before`.
  virtual Result<std::vector<Conversation>> ReadConversations(const UserId& user, Seq before,
                                                              size_t limit) const = 0;
  // How many messages of others, whatever their type but kSystem, stand in the conversation with
  // the peer or group after `read` (in the user's log), counted up to `max`.
  virtual Result<uint64_t> CountUnread(const UserId& user, const Conversation& with, Seq read,
                                       uint64_t max) const = 0;
  // The user's newest `limit` sent ids, to users and groups, newest first.
  virtual Result<std::vector<SentId>> ReadSent(const UserId& user, size_t limit) const = 0;
  // Where the message is that `user` last sent as `id`; !found() where there is none.
  virtual Result<SentPlace> FindSent(const UserId& user, const std::string& id) const = 0;
  virtual Result<PeerMarks> ReadPeerMarks(const UserId& user, const UserId& peer) const = 0;
  virtual Result<std::vector<DeviceCursor>> ReadDevices(const UserId& user) const = 0;

  // --- groups, by gseq ---
  // The newest; Seq(0) where there is none.
  virtual Result<Seq> ReadGroupTail(const GroupId& group) const = 0;
  virtual Result<LogPage> ReadGroup(const GroupId& group, const Page& page) const = 0;
  // As ReadReferring.
  virtual Result<std::vector<LogEntry>> ReadGroupReferring(const GroupId& group,
                                                           Seq target) const = 0;
  // How many messages but kSystem, by others than `user`, come after `read`, up to `max`.
  virtual Result<uint64_t> CountGroupUnread(const GroupId& group, const UserId& user, Seq read,
                                            uint64_t max) const = 0;
  // Of members that have marks, by user id after `after`; `limit` at most.
  virtual Result<std::vector<GroupMark>> ReadGroupMarks(const GroupId& group, const UserId& after,
                                                        size_t limit) const = 0;
  virtual Result<GroupMark> ReadGroupMark(const GroupId& group, const UserId& user) const = 0;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_MESSAGE_STORE_H_
