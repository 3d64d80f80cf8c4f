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
#include <vector>

#include "storage/record.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

// A message as one side's log holds it.
struct LogEntry {
  Seq seq;       // in the log that was read
  Seq peer_seq;  // the same message's number in the other side's log
  MessageRecord message;
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
  Seq seq;
  std::string id;
  uint64_t content_hash = 0;
};

struct PeerMarks {
  Seq delivered;
  Seq read;
};

struct Conversation {
  UserId peer;
  Seq last;  // the newest message of it in the user's log
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

class MessageStore {
 public:
  virtual ~MessageStore() = default;

  // Applies, of each transaction above Applied(), what concerns users for whom `mine` is true, and
  // remembers the last transaction's Lsn as applied: atomically, not yet synced. Transactions
  // ascend. Marks and cursors replace those that were there: they come grown.
  virtual Status Apply(std::span<const Transaction* const> transactions,
                       const std::function<bool(const UserId&)>& mine) = 0;
  // Makes all that was applied survive a power cut.
  virtual Status Sync() = 0;
  // The last transaction applied.
  virtual Result<Lsn> Applied() const = 0;

  virtual Result<LogTail> ReadTail(const UserId& user) const = 0;
  // The user's log, all conversations.
  virtual Result<LogPage> ReadLog(const UserId& user, const Page& page) const = 0;
  // One conversation of it.
  virtual Result<LogPage> ReadConversation(const UserId& user, const UserId& peer,
                                           const Page& page) const = 0;
  // The messages in the user's log that edit, retract or react to the one at `target`, ascending;
  // of very many the newest, an implementation's limit of at least 1,000.
  virtual Result<std::vector<LogEntry>> ReadReferring(const UserId& user, Seq target) const = 0;
  // The user's conversations, latest first, those whose last message is before `before`.
  virtual Result<std::vector<Conversation>> ReadConversations(const UserId& user, Seq before,
                                                              size_t limit) const = 0;
  // How many messages of the peer's, whatever their type, stand in the conversation after `read`,
  // counted up to `max`.
  virtual Result<uint64_t> CountUnread(const UserId& user, const UserId& peer, Seq read,
                                       uint64_t max) const = 0;
  // The user's newest `limit` sent ids, newest first.
  virtual Result<std::vector<SentId>> ReadSent(const UserId& user, size_t limit) const = 0;
  // The number under which `user` last sent `id`; Seq(0) where there is none.
  virtual Result<Seq> FindSent(const UserId& user, const std::string& id) const = 0;
  virtual Result<PeerMarks> ReadPeerMarks(const UserId& user, const UserId& peer) const = 0;
  virtual Result<std::vector<DeviceCursor>> ReadDevices(const UserId& user) const = 0;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_MESSAGE_STORE_H_
