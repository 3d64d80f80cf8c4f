// The rules of conversation: what happens to a command.
//
//   Handle(command) … Handle(command)      numbers, decides who gets what: records and effects
//   EndTurn()                              records → Log::Append, effects → Release::Hold
//
// A pure state machine: no thread, no clock and no file of its own. Numbers are assigned before
// they are durable; nothing is shown before. When the journal refuses (JournalFailed), all that was
// numbered and not committed is taken back: its senders get an error, users are read again.
//
// A user's state is loaded at first need by one read (its log's tail; the ids it sent last; its
// devices' cursors), on a reader's thread. Until then what concerns it waits, in order for each
// sender. What waits, caches and windows are bounded (EngineOptions).
//
// Threads: all of it on the engine's thread. Where to find what: engine.cc users, sessions, turns;
// engine_send.cc messages; engine_delivery.cc devices, catch-up, receipts; engine_ask.cc requests.
#ifndef PARLEY_CHAT_ENGINE_H_
#define PARLEY_CHAT_ENGINE_H_

#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "chat/command.h"
#include "chat/effect.h"
#include "chat/json_out.h"
#include "chat/ports.h"
#include "chat/quota.h"
#include "chat/release.h"
#include "storage/env.h"
#include "storage/log.h"

namespace parley {

struct EngineOptions {
  size_t max_body = 65536;           // bytes of a message's body
  uint64_t window = 500;             // unacknowledged messages to a device that acknowledges
  double user_rate = 1000;           // messages a second for one user, 0: none
  double user_burst_s = 10;          // how many seconds of its rate a user may send at once
  size_t cache_bytes = 64 << 20;     // recent messages of all users
  size_t user_cache_messages = 128;  // … of one user
  size_t parked_max = 1000;          // commands of one sender that wait for a read
  size_t sync_waiting_max = 8;       // long-polling syncs of one user
  int64_t user_idle_ms = 60'000;     // a user without a device is forgotten after this
};

// A message in memory, shared by both sides' caches and by the effects that carry it.
struct CachedMessage {
  UserId from;
  UserId to;
  MessageType type = MessageType::kMessage;
  std::string rest;  // MessageRest
  Lsn lsn;           // its transaction; 0 where it was read from the store
};

// One place in a user's log, in memory.
struct CachedEntry {
  Seq seq;
  Seq peer_seq;
  std::shared_ptr<const CachedMessage> message;
};

CachedEntry ToCached(const LogEntry& entry);

// Who asks, and how the answer finds back.
struct Asker {
  SessionId session = 0;
  UserId user;       // on whose behalf
  std::string head;  // the answer's first members: `"rid":"1",`
  std::string response_topic;
  std::string correlation;
};

class Engine {
 public:
  Engine(const EngineOptions& options, Env* env, Log* log, Accounts* accounts, Readers* readers,
         Release* release);
  ~Engine();

  void Handle(Command command);
  void EndTurn();
  // Deadlines (waiting syncs), forgetting idle users, keys' use. A few times a second.
  void Tick();
  // At the end: what else would be recorded in a while.
  void Flush() { RecordKeys(); }
  // The log's Failed, brought to this thread.
  void JournalFailed(Lsn first, const Status& why);
  // The log's: a store went down or works again. Devices whose log couldn't be read go on.
  void StoresChanged();

  // For figures: users in memory, sessions, bytes of cached messages.
  size_t users() const { return users_.size(); }
  size_t sessions() const { return sessions_.size(); }
  size_t cached_bytes() const { return cached_bytes_; }
  // Users whose waiting syncs the next Tick looks at.
  size_t syncing() const { return syncing_.size(); }

 private:
  struct User;
  enum class Loaded : uint8_t { kNo, kLoading, kYes };

  // There is one for every connection: small members stand together, so that it stays small.
  struct Session {
    SessionId id = 0;
    User* user = nullptr;
    DeviceId device;
    // What the device once confirmed, as the store has it. A device that never did has none: it
    // starts live, and no window holds it back.
    std::optional<Seq> cursor;
    Seq sent;                       // the last number that was put on its way
    Seq acked;                      // its window begins after this
    Lsn receipt_lsn;                // what its last receipt changed
    uint32_t receipts_waiting = 0;  // of it, for a read; meanwhile it stays
    uint32_t start = 0;             // how often delivery began: a read of an earlier one is void
    enum class Delivery : uint8_t {
      kOff,
      kFailed,
      kStarting,
      kReading,
      kLive
    } delivery = Delivery::kOff;
    bool service : 1 = false;
    bool inbox : 1 = false;          // subscribed to chat/<me>
    bool receipts : 1 = false;       // … to receipt/<me>
    bool gone : 1 = false;           // disconnected
    bool placed : 1 = false;         // `sent` is set: what comes after it will be delivered
    bool started : 1 = false;        // … and it has been live
    bool cursor_loaded : 1 = false;  // `cursor` says what the store has
    bool told_failed = false;        // … that its log can't be read, since it last could
  };

  // A message on its way to be numbered.
  struct Sending {
    Asker asker;
    int64_t ts_ms = 0;
    UserId to;
    std::string payload;
    ContentType content_type = ContentType::kAny;
    bool admitted = false;  // parsed and within its rate
    SendRequest request;
    uint64_t content_hash = 0;
    bool ref_checked = false;
  };

  struct SentIds {
    struct Sent {
      Seq seq;
      uint64_t content_hash = 0;
      Lsn lsn;  // as CachedMessage's
    };
    std::unordered_map<std::string, Sent> by_id;
    std::deque<std::string> order;  // oldest first
    void Add(const std::string& id, Sent sent);
  };

  struct WaitingSync {
    Asker asker;
    Seq after;
    uint64_t limit = 0;
    int64_t deadline_ms = 0;
  };

  // The last conversations with their last messages (`recent`), kept while messages come.
  struct Recent {
    struct Talk {
      UserId peer;
      std::vector<CachedEntry> messages;  // newest last
      uint64_t unread = 0;
      bool complete = false;  // holds all of the newest kRecentMessages, and `unread` is right
    };
    std::vector<Talk> talks;  // latest first
  };

  using OnLoaded = std::function<void(const Status&)>;

  struct User {
    UserId id;
    Loaded tail = Loaded::kNo;
    Loaded sent_state = Loaded::kNo;
    bool parked_waits = false;  // the first of `parked` waits for a read
    bool syncing = false;       // in syncing_
    bool marks_reading = false;
    Seq last, floor, delivered, read;
    Lsn lsn;  // the last transaction that touched this user's store
    int64_t used_ms = 0;
    int pins = 0;          // reads under way that come back to it
    uint32_t unloads = 0;  // how often: what was read before the last one is void
    std::vector<OnLoaded> on_loaded;
    std::vector<Session*> sessions;
    std::vector<CachedEntry> cache;  // a contiguous run that ends at `last`
    size_t cache_bytes = 0;
    std::list<User*>::iterator cache_use;  // in cache_uses_ where cache is not empty
    std::unique_ptr<SentIds> sent;
    std::unique_ptr<Recent> recent;
    std::list<Sending> parked;
    std::vector<WaitingSync> waiting_syncs;
    TokenBucket bucket;
    Seq wanted_delivered, wanted_read;  // receipts whose range is being read, merged
  };

  struct Key {
    TokenBucket bucket;
    DayQuota day;
    bool dirty = false;
  };

  // engine.cc
  void On(Published& published);
  void On(Connected& connected);
  void On(Disconnected& disconnected);
  void On(Subscribed& subscribed);
  void On(Unsubscribed& unsubscribed);
  void On(Continuation& continuation) { continuation(*this); }
  void Route(Session& session, const UserId& actor, std::string_view topic, Published& published,
             std::string head);
  User& UserOf(const UserId& id);
  Session* FindSession(SessionId id);
  // kOk: loaded. Otherwise `then` is called once it is, or with why it can't be.
  enum class Ready { kNow, kLater };
  Ready Load(User& user, bool with_sent, OnLoaded then);
  void StartLoad(User& user, bool with_sent);
  void Finish(User& user, const Status& status);
  void Unload(User& user);
  // Runs `job` on a reader with the user's store once that holds all that the user's numbers say;
  // its continuation comes back here, or `failed`: also where numbers of the user's were taken back
  // meanwhile.
  void Read(User& user, std::function<Continuation(const MessageStore&)> job,
            std::function<void(Engine&, const Status&)> failed);
  void PassAnswers();
  Transaction& Change();  // a new transaction of this turn
  Effect& Emit(SessionId session, Channel channel);
  void Answer(const Asker& asker, std::string_view members, Lsn needs = Lsn());
  void Refuse(const Asker& asker, const Status& status, int64_t retry_after_ms = 0);
  void Forget(int64_t now_ms);
  void TrimCache();
  void DropCache(User& user);
  void RecordKeys();

  // engine_send.cc
  void Send(Sending sending);
  void Drain(User& sender);
  bool TrySend(User& sender, Sending& sending);
  Status Admit(User& sender, Sending& sending, int64_t* retry_after_ms);
  Status TakeQuota(User& sender, int64_t now_ms, int64_t* retry_after_ms);
  bool AwaitLoads(User& sender, User& receiver);
  void AwaitRef(User& sender, Sending& sending);
  void OutcomeAgain(User& sender, const Sending& sending, const SentIds::Sent& sent);
  void Number(User& sender, User& receiver, Sending& sending);
  bool WillDeliver(const Session& session, Seq seq) const;
  void AppendEntry(User& user, CachedEntry entry);
  void EmitOutcome(User& sender, const Sending& sending, const SentIds::Sent& sent);
  std::string SendHead(const Sending& sending) const;
  Key& KeyNamed(const KeyName& name);

  // engine_delivery.cc
  void StartDelivery(Session& session);
  void StartAt(Session& session, Seq from);
  using OnCursor = std::function<void(Session&, const Status&)>;
  void LoadCursor(Session& session, OnCursor then);
  void Restart(Session& session);
  void DeliveryFailed(Session& session, const Status& status);
  void Pump(Session& session);
  void ReadFor(Session& session);
  bool WindowOpen(const Session& session) const;
  void Deliver(Session& session, const CachedEntry& entry);
  const CachedEntry* InCache(const User& user, Seq seq) const;
  void Receipt(Session& session, User& user, const Asker& asker, std::string_view payload);
  void TakeReceipt(Session* device, User& user, const Asker& asker, Seq delivered, Seq read);
  void Confirm(Session& device, Seq delivered);
  void RefuseReceipt(Session& device, const Status& why);
  void AdvanceMarks(User& user);
  void MarkRange(User& user, Seq delivered, Seq read, const std::vector<CachedEntry>& entries);
  void UpdateUnread(User& user);

  // engine_ask.cc
  struct Method;
  static const Method kMethods[];
  void Ask(const Asker& asker, std::string_view method, std::string_view payload);
  void AskSync(const Asker& asker, const nlohmann::json& request);
  void AskHistory(const Asker& asker, const nlohmann::json& request);
  void AskConversations(const Asker& asker, const nlohmann::json& request);
  void AskRecent(const Asker& asker, const nlohmann::json& request);
  void AskDevices(const Asker& asker, const nlohmann::json& request);
  void AnswerSync(User& user, const Asker& asker, Seq after, uint64_t limit);
  void AnswerSyncFrom(User& user, const Asker& asker, const std::vector<CachedEntry>& entries,
                      bool cut);
  void AnswerRecent(const Asker& asker, const Recent& recent, Seq head, Lsn needs);
  void ReadRecent(User& user, const Asker& asker);
  void AddToRecent(User& user, const CachedEntry& entry);
  void WakeSyncs(User& user);
  void ExpireSyncs(User& user, int64_t now_ms);

  const EngineOptions options_;
  Env* const env_;
  Log* const log_;
  Accounts* const accounts_;
  Readers* const readers_;
  Release* const release_;

  std::unordered_map<UserId, std::unique_ptr<User>> users_;
  std::unordered_map<SessionId, std::unique_ptr<Session>> sessions_;
  std::unordered_map<KeyName, Key> keys_;
  std::list<User*> cache_uses_;  // those with a cache, latest used first
  size_t cached_bytes_ = 0;
  std::vector<User*> syncing_;  // those that had waiting syncs since the last Tick
  Lsn next_lsn_;
  Lsn forgotten_lsn_;  // the newest transaction of users that were forgotten
  std::vector<Transaction> turn_;
  std::vector<Effect> effects_;
  std::vector<std::function<Continuation()>> reads_;
  int64_t now_ms_ = 0;  // when this turn began
  int64_t swept_ms_ = 0;
  bool any_failed_ = false;  // devices whose log couldn't be read are tried again
  std::string id_prefix_;    // of ids that the server makes
  uint64_t ids_made_ = 0;
};

inline constexpr size_t kRecentTalks = 5;
inline constexpr size_t kRecentMessages = 15;
inline constexpr size_t kSentIdsKept = 1024;
inline constexpr size_t kAnswerBytesMax = 256 << 10;
inline constexpr uint64_t kUnreadMax = 10'000;  // unread counts stop here

}  // namespace parley

#endif  // PARLEY_CHAT_ENGINE_H_
