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
// Threads: all of it on the engine's thread. Where to find what:
//   engine.cc           users, sessions, turns      engine_group.cc     groups: messages, changes
//   engine_send.cc      messages                    engine_group_ask.cc … requests and receipts
//   engine_delivery.cc  catch-up, live, receipts    engine_people.cc    contacts, devices, accounts
//   engine_ask.cc       requests                    engine_presence.cc  presence, typing
//   engine_push.cc      waking devices that aren't connected
#ifndef PARLEY_CHAT_ENGINE_H_
#define PARLEY_CHAT_ENGINE_H_

#include <array>
#include <atomic>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "chat/command.h"
#include "chat/effect.h"
#include "chat/json_out.h"
#include "chat/ports.h"
#include "chat/push_jobs.h"
#include "chat/quota.h"
#include "chat/rare_list.h"
#include "chat/release.h"
#include "chat/sent_ids.h"
#include "chat/topic_members.h"
#include "storage/env.h"
#include "storage/log.h"
#include "storage/roster.h"

namespace parley {

struct EngineOptions {
  size_t max_body = 65536;             // bytes of a message's body
  uint64_t window = 500;               // unacknowledged messages to a device that acknowledges
  double user_rate = 1000;             // messages a second for one user, 0: none
  double user_burst_s = 10;            // how many seconds of its rate a user may send at once
  size_t cache_bytes = 64 << 20;       // recent messages of all users, and of their `recent`
  size_t user_cache_messages = 128;    // … of one user
  size_t parked_max = 1000;            // commands of one sender that wait for a read
  size_t parked_bytes_max = 64 << 20;  // of all senders' together
  size_t sessions_max = 1000;          // connections of one user
  size_t asks_max = 1000;              // requests of one user that have no answer yet
  size_t sync_waiting_max = 8;         // long-polling syncs of one user
  size_t sent_ids_max = 2'000'000;     // of all senders, kept in memory against sending twice
  int64_t user_idle_ms = 60'000;       // a user without a device is forgotten after this; of one
                                       // with a device, what it doesn't use

  size_t inbox_members_max = 256;      // of a group whose messages are copied to its members
  size_t topic_members_max = 100'000;  // of one whose members subscribe to it
  size_t receipt_members_max = 64;     // in larger ones nobody is told what others have read
  size_t groups_max = 1000;            // that a user is in when it makes or joins another
  size_t contacts_max = 5000;          // contacts and blocks of one user

  int64_t presence_delay_ms = 3000;   // before somebody is shown online
  int64_t presence_grace_ms = 10000;  // for a lost connection to come back
  int64_t presence_batch_ms = 1000;   // changes are told together, this often
  double typing_rate = 5;             // typing events a second of one user

  size_t push_targets_max = 20;     // opt-ins of one user
  size_t push_jobs_max = 100'000;   // that aren't done, of all users
  int64_t push_delay_ms = 2000;     // from a message to its push: what comes meanwhile is one push
  int64_t push_again_s = 30;        // before a device is woken again for a conversation
  size_t push_woken_max = 100'000;  // devices and conversations remembered for that
  int64_t push_lease_s = 60;        // in which a gateway says what became of a job
  size_t push_window = 100;         // jobs that one gateway has at a time
  int64_t push_retry_ms = 5000;     // after a failure, doubled each time
  uint32_t push_attempts_max = 10;  // then a job is given up
  int64_t push_age_max_s = 14400;   // … or when it is so old
};

inline constexpr size_t kPushTargetBytesMax = 2048;  // of an opt-in's target, as JSON

// A message in memory, shared by the caches of all who have it and by the effects that carry it.
struct CachedMessage {
  UserId from;
  UserId to;  // or
  GroupId group;
  Seq gseq;
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
// What it takes in memory, as far as it has its message to itself.
inline size_t BytesOf(const CachedEntry& entry) {
  return entry.message->rest.size() + sizeof(CachedEntry) + sizeof(CachedMessage);
}

bool IsIn(GroupRole role);
std::string_view RoleName(GroupRole role);
bool IsVisible(const std::vector<GroupSpan>& spans, Seq gseq);

// What non-members are told of a group, and everybody of one that doesn't exist.
Status NoSuchGroup();
Status Unwritable();

// How much of one user's is under way.
struct UnderWay {
  std::atomic<size_t> asks = 0;
  std::atomic<size_t> receipts = 0;
};

// Who asks, and how the answer finds back.
struct Asker {
  SessionId session = 0;
  UserId user;       // on whose behalf
  std::string head;  // the answer's first members: `"rid":"1",`
  std::string response_topic;
  std::string correlation;
  std::shared_ptr<void> counted = {};  // in UnderWay, while there is a copy of this
  std::string topic = {};              // what errors name, of a request that has no rid
};

// What an engine has counted since it began.
struct EngineCounts {
  std::array<uint64_t, kCodes> refused{};  // errors told, by code
  uint64_t cache_hits = 0;                 // messages caught up with, and pages, in memory
  uint64_t cache_misses = 0;               // … that had to be read
  uint64_t presence_changes = 0;           // told, once for each who was told
  uint64_t presence_publishes = 0;         // … in so many publishes
  using ByProvider = std::array<uint64_t, kPushProviders>;
  ByProvider push_handed{};     // push jobs given to gateways
  ByProvider push_delivered{};  // … that they said were delivered
  ByProvider push_failed{};     // … or weren't
  ByProvider push_gone{};       // opt-ins whose provider said that they are gone
  uint64_t push_dead = 0;       // … that were given up
  uint64_t push_refused = 0;    // messages that made no job, for there were too many
};

class Engine {
 public:
  // `roster` may be null: there are no groups and no contacts then.
  Engine(const EngineOptions& options, Env* env, Log* log, Accounts* accounts, Roster* roster,
         TopicMembers* topic_members, Readers* readers, Release* release);
  ~Engine();

  // What is to be pushed, from the roster. Once, before the first command.
  Status LoadPush();

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

  // What may be asked: the methods' names with the members that each may have.
  static std::map<std::string, std::vector<std::string>> Methods();

  // For figures: users in memory, sessions, bytes of cached messages.
  size_t users() const { return users_.size(); }
  size_t sessions() const { return sessions_.size(); }
  // Users that are shown online or away.
  size_t online() const { return online_; }
  const EngineCounts& counts() const { return counts_; }
  size_t cached_bytes() const { return cached_bytes_; }
  // Message ids in memory, by the last look of once a second.
  size_t sent_ids() const { return sent_ids_; }
  // Users whose waiting syncs the next Tick looks at.
  size_t syncing() const { return syncing_.size(); }
  size_t push_jobs() const { return push_.size(); }

 private:
  struct User;
  struct Group;
  enum class Loaded : uint8_t { kNo, kLoading, kYes };
  // What a user's state in memory consists of, each loaded at first need.
  using Parts = uint8_t;
  static constexpr Parts kTail = 1;      // its log's end, its marks
  static constexpr Parts kSent = 2;      // the ids it sent last
  static constexpr Parts kContacts = 4;  // contacts and blocks
  static constexpr Parts kGroups = 8;    // in how many groups it is
  static constexpr Parts kPush = 16;     // its devices' opt-ins

  // As an optional, in half the room.
  class SeqOrNone {
   public:
    SeqOrNone() = default;
    SeqOrNone(Seq seq) : seq_(seq) {}
    SeqOrNone(std::optional<Seq> seq) : seq_(seq.value_or(kNone)) {}
    void reset() { seq_ = kNone; }
    explicit operator bool() const { return seq_ != kNone; }
    Seq operator*() const { return seq_; }
    Seq value_or(Seq none) const { return seq_ == kNone ? none : seq_; }

   private:
    static constexpr Seq kNone{UINT64_MAX};
    Seq seq_ = kNone;
  };

  // There is one for every connection: small members stand together, so that it stays small.
  struct Session {
    SessionId id = 0;
    User* user = nullptr;
    DeviceId device;
    // What the device once confirmed, as the store has it. A device that never did has none: it
    // starts live, and no window holds it back.
    SeqOrNone cursor;
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
    bool kept : 1 = false;           // … by the broker; the device hasn't yet, in this connection
    bool placed : 1 = false;         // `sent` is set: what comes after it will be delivered
    bool started : 1 = false;        // … and it has been live
    bool presence : 1 = false;       // subscribed to presence/<me>
    bool typing : 1 = false;         // … to typing/<me>
    bool away : 1 = false;           // what it says of itself
    bool invisible : 1 = false;      // … that it is offline
    bool held : 1 = false;           // its password is still being checked: nobody yet
    bool removed : 1 = false;        // its device was: it is about to be closed
    bool cursor_loaded : 1 = false;  // `cursor` says what the store has
    bool told_failed = false;        // … that its log can't be read, since it last could
    std::unique_ptr<std::vector<GroupId>> groups;  // those that it is subscribed to
  };

  // What somebody wants changed in a group.
  struct GroupChange {
    enum class Kind { kCreate, kAdd, kRemove, kJoin, kLeave, kSetRole, kSet, kDelete };
    Kind kind = Kind::kSet;
    std::vector<UserId> users;
    GroupRole role = GroupRole::kMember;
    std::optional<std::string> title;
    std::optional<GroupDelivery> delivery;
    std::optional<bool> open;
    std::optional<bool> history_all;
    std::optional<std::string> name;
  };

  // A receipt of a gateway's, which is told what came of it once the user's marks are so far.
  struct WaitingReceipt {
    Asker asker;
    Seq delivered, read;
  };

  // A message, or a group's change, on its way to be numbered.
  struct Sending {
    Asker asker;
    int64_t ts_ms = 0;
    UserId to;  // or
    GroupId group;
    std::unique_ptr<GroupChange> change;
    std::string payload;
    size_t parked_bytes = 0;  // what it counts for where it waits
    ContentType content_type = ContentType::kAny;
    bool admitted = false;  // parsed and within its rate
    SendRequest request;
    uint64_t content_hash = 0;
    bool ref_checked = false;
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
      UserId peer;  // or
      GroupId group;
      std::vector<CachedEntry> messages;  // newest last
      uint64_t unread = 0;
      bool complete = false;  // holds all of the newest kRecentMessages, and `unread` is right
    };
    std::vector<Talk> talks;  // latest first
    size_t bytes = 0;         // of the messages; in cached_bytes_
    int64_t used_ms = 0;
  };

  using OnLoaded = std::function<void(const Status&)>;
  struct LoadWaiting {
    Parts parts;
    OnLoaded then;
  };

  // What stands between a user and another.
  struct Contact {
    UserId peer;
    ContactState state = ContactState::kNone;
    bool blocked = false;
    bool blocked_by = false;
    bool operator==(const Contact&) const = default;
  };
  struct Contacts {
    std::vector<Contact> rows;  // by peer
    Lsn lsn;                    // what changed them last, since they were read
  };

  enum class Shown : uint8_t { kOffline, kAway, kOnline };

  // A user's newest messages.
  struct Cache {
    std::vector<CachedEntry> entries;  // a contiguous run that ends at `last`
    size_t bytes = 0;
    std::list<User*>::iterator use;  // in cache_uses_
  };

  // There is one for every connection, as of Session.
  struct User {
    explicit User(const UserId& key) : id(key) {}

    const UserId& id;  // the key in users_
    Parts loaded = 0;
    Parts loading = 0;
    Shown shown = Shown::kOffline;  // what contacts were last told
    bool presence_due : 1 = false;  // in presence_due_
    bool told_offline : 1 = false;  // somebody was, ahead of the batch
    bool parked_waits : 1 = false;  // the first of `parked` waits for a read
    bool syncing : 1 = false;       // in syncing_
    bool marks_reading : 1 = false;
    bool groups_changed : 1 = false;  // since the read of how many there are began
    uint32_t groups = 0;
    uint32_t presence_due_at = 0;  // the low half of a time in ms
    Seq last, floor, delivered, read;
    Lsn lsn;  // the last transaction that touched this user's store
    int64_t used_ms = 0;
    int pins = 0;          // reads under way that come back to it
    uint32_t unloads = 0;  // how often: what was read before the last one is void
    RareList<LoadWaiting> on_loaded;
    std::unique_ptr<Contacts> contacts;                   // null: none
    std::unique_ptr<std::vector<PushTargetRecord>> push;  // null: none
    int64_t left_ms = 0;  // when its last device went, as far as that is known; 0: it isn't
    FewPointers<Session> sessions;
    std::unique_ptr<Cache> cache;  // null: there are none
    std::unique_ptr<SentIds> sent;
    std::unique_ptr<Recent> recent;
    RareList<Sending> parked;
    RareList<WaitingSync> waiting_syncs;
    TokenBucket bucket;
    Seq wanted_delivered, wanted_read;  // receipts whose range is being read, merged
    RareList<WaitingReceipt> waiting_receipts;
  };

  struct Member {
    GroupRole role = GroupRole::kNone;
    std::string name;
    std::vector<GroupSpan> spans;
  };

  struct Subscriber {
    SessionId session = 0;
    User* user = nullptr;
    int8_t qos = 0;
  };

  // A group in memory: all of what the roster has, and its log's end.
  struct Group {
    GroupId id;
    Loaded state = Loaded::kNo;
    bool exists = false;  // and isn't deleted
    GroupSettings settings;
    std::unordered_map<UserId, Member> members;  // with those that once were
    size_t count = 0;                            // members now
    Seq last;
    Lsn lsn;
    int64_t used_ms = 0;
    int pins = 0;
    uint32_t unloads = 0;
    std::vector<OnLoaded> on_loaded;
    std::vector<Subscriber> subscribers;
    std::shared_ptr<const Fanout> fanout;         // of subscribers; null: to be made
    std::unordered_map<UserId, PeerMarks> marks;  // of members, as far as they changed here
  };

  // What lies, of one group's messages, between a member's old marks and its new ones.
  struct GroupRange {
    PeerMarks all;
    std::map<UserId, PeerMarks> senders;  // of messages; not of the server's own
    void Add(const CachedMessage& message, const UserId& reader, bool delivered, bool read);
  };

  struct PasswordTries {
    TokenBucket bucket;
    int64_t used_ms = 0;
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
  void On(Welcomed& welcomed);
  void On(Lost& lost);
  void On(Continuation& continuation) { continuation(*this); }
  void Route(Session& session, const UserId& actor, std::string_view topic, Published& published,
             std::string head);
  void Enter(Session& session);
  User& UserOf(const UserId& id);
  Session* FindSession(SessionId id);
  // kOk: loaded. Otherwise `then` is called once it is, or with why it can't be.
  enum class Ready { kNow, kLater };
  Ready Load(User& user, Parts parts, OnLoaded then);
  void StartLoad(User& user, Parts parts);
  void TakeTail(User& user, const LogTail& tail);
  void Finish(User& user, Parts parts, const Status& status);
  bool Loads(const User& user, Parts parts) const { return (user.loaded & parts) == parts; }
  void Unload(User& user);
  // Runs `job` on a reader with the user's store once that holds all that the user's numbers say;
  // its continuation comes back here, or `failed`: also where numbers of the user's were taken back
  // meanwhile.
  void Read(User& user, std::function<Continuation(const MessageStore&)> job,
            std::function<void(Engine&, const Status&)> failed);
  void PassAnswers();
  Transaction& Change();  // a new transaction of this turn
  Effect& Emit(SessionId session, Channel channel);
  static std::string ErrorHead(const Asker& asker);
  void Answer(const Asker& asker, std::string_view members, Lsn needs = Lsn());
  void Refuse(const Asker& asker, const Status& status, int64_t retry_after_ms = 0);
  void Forget(int64_t now_ms);
  void TrimCache();
  void DropCache(User& user);
  void DropRecent(User& user);
  void DropUnused(User& user, int64_t now_ms);
  static bool IsWaiting(const User& user);
  void DropSent(User& user);
  void TrimSent();
  void RecordKeys();

  // engine_send.cc
  void Send(Sending sending);
  void Drain(User& sender);
  void PopParked(User& sender);
  bool TrySend(User& sender, Sending& sending);
  bool IsSentAgain(const User& sender, const Sending& sending) const;
  bool SentBefore(User& sender, const Sending& sending);
  bool RefuseSending(const Sending& sending, const Status& status, int64_t retry_after_ms = 0);
  void RefuseUnread(Sending& sending, const Status& status);
  static void NameRefused(Sending& sending);
  Status Admit(User& sender, Sending& sending, int64_t* retry_after_ms);
  Status TakeQuota(User& sender, int64_t now_ms, int64_t* retry_after_ms);
  bool AwaitLoads(User& sender, User& receiver);
  void Unpark(User& sender, const Status& status);
  void AwaitRef(User& sender, Sending& sending);
  void OutcomeAgain(User& sender, const Sending& sending, const SentIds::Sent& sent);
  void AnswerNumber(const Asker& asker, const char* name, Seq number, Lsn needs = Lsn());
  void CopyAgain(User& sender, const Asker& asker, Seq seq);
  void Number(User& sender, User& receiver, Sending& sending);
  bool WillDeliver(const Session& session, Seq seq) const;
  void AppendEntry(User& user, CachedEntry entry);
  void TellOutcome(User& sender, const Sending& sending, const SentIds::Sent& sent, size_t before);
  void EmitOutcome(User& sender, const Sending& sending, const SentIds::Sent& sent);
  std::string SendHead(const Sending& sending) const;
  static std::string TopicOf(const Sending& sending);
  std::string MakeId();
  Key& KeyNamed(const KeyName& name);

  // engine_delivery.cc
  void SubscribeInbox(Session& session, bool kept);
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
  void ForgetOldCursors(User& user);
  void DropCursors(User& user, const std::vector<DeviceCursor>& cursors, size_t count);
  void RefuseReceipt(Session& device, const Status& why);
  void AdvanceMarks(User& user);
  // It came over as/<user>/…
  static bool IsForOther(const Asker& asker) { return asker.head.starts_with("\"user\":"); }
  void TellReceipts(User& user, const Status& status);
  void MarkRange(User& user, Seq delivered, Seq read, const std::vector<CachedEntry>& entries);
  void EmitReceipt(const User& sender, const UserId& by, std::string_view members,
                   const PeerMarks& marks, Lsn needs);
  void UpdateUnread(User& user);

  // engine_group.cc
  Group& GroupOf(const GroupId& id);
  Ready Load(Group& group, OnLoaded then);
  void StartLoad(Group& group);
  void TakeGroup(Group& group, const GroupState& state, Seq last);
  void Unload(Group& group);
  // As Read of a user: the group's store, once it holds all that the group's numbers say.
  void Read(Group& group, std::function<Continuation(const MessageStore&)> job,
            std::function<void(Engine&, const Status&)> failed);
  // Null: not a member now, or there is no such group.
  const Member* MemberOf(const Group& group, const UserId& user) const;
  void Subscribe(Session& session, const GroupId& id, int8_t qos);
  void Unsubscribe(Session& session, const GroupId& id);
  bool IsSubscribed(const Session& session, const Sending& sending) const;
  bool TryGroup(User& sender, Sending& sending);
  std::vector<User*> MembersOf(const Group& group);
  bool StoresOk(const std::vector<User*>& users) const;
  bool Await(User& sender, const std::vector<User*>& users, Parts always);
  void AwaitGroupRef(User& sender, const Sending& sending, Group& group);
  void GroupOutcomeAgain(User& sender, const Sending& sending, const SentIds::Sent& sent);
  void NumberInGroup(User& sender, Group& group, Sending& sending,
                     const std::vector<User*>& inboxes, const std::vector<User*>& woken);
  // Numbers the message and hands it to the members' logs, subscribers, or both. Returns the
  // sender's entry's number. `woken`: those without an entry who are to be woken.
  Seq Post(Group& group, Transaction& change, MessageRecord message,
           const std::vector<User*>& inboxes, bool to_subscribers,
           const std::vector<User*>& woken = {});
  void EmitFanout(Group& group, const std::shared_ptr<const CachedMessage>& message);
  void EmitAgain(SessionId session, const GroupId& id, const std::string& message);

  // engine_group_change.cc
  bool TryChange(User& actor, Sending& sending, Group& group);
  Status CheckChange(const Group& group, const User& actor, GroupChange* change) const;
  Status CheckNewMembers(const Group& group, const User& actor, const GroupChange& change) const;
  Status CheckSize(GroupDelivery delivery, size_t members) const;
  Status CheckRemove(const Group& group, const Member& own, const User& actor,
                     const GroupChange& change) const;
  Status CheckLeave(const Group& group, const Member& own, const User& actor,
                    const GroupChange& change) const;
  Status CheckSetRole(const Group& group, const Member& own, const GroupChange& change) const;
  Status CheckSet(const Group& group, const Member& own, const GroupChange& change) const;
  static size_t Owners(const Group& group);
  bool IsNothing(const Group& group, const User& actor, const GroupChange& change) const;
  static std::string ChangeBody(const User& actor, const GroupChange& change);
  void Apply(Group& group, const User& actor, const GroupChange& change, Transaction* transaction);
  void SetMember(Group& group, const UserId& user, GroupRole role, Seq at);
  void CountGroup(const UserId& user, bool joins);
  Status CheckGroupRoom(const User& user) const;
  void TellTopicMembers(const Group& group, const std::vector<UserId>& changed, bool switched);
  void DropSubscribers(Group& group);

  // engine_group_ask.cc
  void AskGroupChange(const Asker& asker, GroupChange::Kind kind, const nlohmann::json& request);
  void AskGroupGet(const Asker& asker, const nlohmann::json& request);
  void AskGroupList(const Asker& asker, const nlohmann::json& request);
  void AskGroupSync(const Asker& asker, const nlohmann::json& request);
  void AskGroupHistory(const Asker& asker, const nlohmann::json& request);
  void GroupReceipt(User& user, const Asker& asker, const nlohmann::json& receipt);
  void TakeGroupReceipt(User& user, const Asker& asker, Group& group, PeerMarks had,
                        PeerMarks wanted, const std::vector<CachedEntry>& entries);
  void RecordGroupMarks(const User& user, const GroupId& group, const PeerMarks& marks,
                        Transaction& change);
  void TellGroupSenders(const UserId& by, const GroupId& group,
                        const std::map<UserId, PeerMarks>& senders, Lsn lsn);
  std::string GroupJson(const Group& group, const UserId& asker) const;
  std::string MembersJson(const Group& group, const UserId& after, size_t limit) const;
  // Calls `then` with the group once it is loaded, where the asker is a member; else refuses.
  void WithGroup(const Asker& asker, const GroupId& id, std::function<void(Group&)> then);

  // engine_people.cc
  void TakeContacts(User& user, const std::vector<ContactRecord>& contacts);
  void DropContacts(User& user);
  static Lsn ContactsLsn(const User& user);
  const Contact* FindContact(const User& user, const UserId& peer) const;
  static void PutContact(User& user, const Contact& contact);
  // Contacts, and neither has blocked the other: each is shown the other's presence.
  static bool Visible(const Contact& contact);
  // May `from`, whose contacts are loaded, write to `to`, bring it into a group?
  Status MayReach(const User& from, const UserId& to) const;
  void AskContacts(const Asker& asker, std::string_view what, const nlohmann::json& request);
  void ListContacts(const Asker& asker, const nlohmann::json& request);
  void ChangeContact(const Asker& asker, std::string_view what, User& user, User& peer);
  static Status ChangeSides(std::string_view what, Contact* mine, Contact* theirs);
  Status CheckRoom(const User& user, const Contact& now) const;
  void TellContact(const User& user, const Contact& was, const Contact& now, Lsn needs);
  static std::string ContactJson(const Contact& contact);
  bool ActsForOther(const Asker& asker);
  void AskDevices(const Asker& asker, const nlohmann::json& request);
  void AskRemoveDevice(const Asker& asker, const nlohmann::json& request);
  void RemoveDevice(const Asker& asker, const DeviceId& device);
  void AskAccount(const Asker& asker, std::string_view what, const nlohmann::json& request);
  void AskAccountInfo(const Asker& asker, std::optional<std::string> name);
  void EndOthers(const Asker& asker);
  void AskPassword(const Asker& asker, const nlohmann::json& request);
  void AskToken(const Asker& asker, const nlohmann::json& request);
  int64_t TakePasswordTry(const UserId& user);

  // engine_push.cc
  struct PushOutcome {
    enum class Kind { kOk, kGone, kFailed, kDrop };
    uint64_t id = 0;
    uint64_t number = 0;
    Kind kind = Kind::kOk;
    std::string reason;
    uint64_t retry_after_ms = 0;
  };
  static bool IsThere(const User& user);
  Parts PushPart(const User& user) const;
  void TakePushTargets(User& user, std::vector<PushTargetRecord> targets);
  void DropPushTargets(User& user);
  static const PushTargetRecord* FindPushTarget(const User& user, const DeviceId& device,
                                                PushProvider provider);
  static std::vector<PushProvider> PushProvidersOf(const User& user, const DeviceId& device);
  // A message becomes the user's `seq` (0: it has no place in its log), the group's `gseq`.
  void Wake(const User& user, const MessageRecord& message, const GroupId& group, Seq seq, Seq gseq,
            Transaction* change);
  void WakeMember(const User& user, const MessageRecord& message, const GroupId& group, Seq seq,
                  Seq gseq, Transaction* change);
  void WakeForUnconfirmed(User& user);
  void WakeForEntries(User& user, const std::vector<LogEntry>& entries);
  void AddPushJob(PushJobRecord record, Transaction* change);
  bool MayHavePush(const User& user) const;
  std::vector<User*> WokenMembers(const Group& group, const User& sender);
  void CancelRead(const User& user, const GroupId& group, Seq read, Transaction* change);
  void EndPushJob(uint64_t id, const std::string& reason, Transaction* change);
  static bool IsPush(Channel channel) {
    return channel >= Channel::kPushWebPush && channel <= Channel::kPushApns;
  }
  static size_t PushIndex(Channel channel) {
    return static_cast<size_t>(channel) - static_cast<size_t>(Channel::kPushWebPush);
  }
  void TakePush(const Session& session, Channel channel);
  void LeavePush(const Session& session, Channel channel);
  void LeavePush(const Session& session);
  SessionId NextTaker(PushProvider provider);
  void PushTick();
  void StartDue(PushProvider provider);
  void GiveUpOld();
  void StartPush(const PushJob& job, SessionId taker);
  void HandOut(const User& user, const PushJob& due, SessionId taker);
  std::string PushJson(const PushJob& job, const std::string& target) const;
  void PushFailed(uint64_t id, const std::string& reason, int64_t retry_after_ms);
  void PushLost(uint64_t id);
  int64_t PushWait(uint32_t times, int64_t max_ms) const;
  void PushAgain(PushJob job, int64_t wait_ms, const std::string& given_up);
  void PushDone(Session& session, const Asker& asker, std::string_view payload);
  static Status ReadPushOutcome(const nlohmann::json& done, PushOutcome* outcome);
  void TakePushOutcome(const PushJob& job, const PushOutcome& outcome);
  void PushDelivered(const PushJob& done, uint64_t number);
  void PushGone(const PushJob& job);
  void EndOptIn(User& user, DeviceId device, PushProvider provider, Transaction* change);
  void RememberWoken(const PushJobRecord& job);
  void ForgetWoken();
  void ForgetWoken(const UserId& user);
  void AskPush(const Asker& asker, std::string_view what, const nlohmann::json& request);
  static Status ReadOptIn(const nlohmann::json& request, std::optional<PushProvider> provider,
                          PushTargetRecord* wanted);
  void SubscribePush(const Asker& asker, User& user, PushTargetRecord wanted);
  void UnsubscribePush(const Asker& asker, User& user, const PushTargetRecord& ended,
                       std::optional<PushProvider> provider);
  void ListPush(const Asker& asker, const DeviceId& device);

  // engine_presence.cc
  // The best of its devices'; `without` one of them.
  static Shown StatusOf(const User& user, const Session* without = nullptr);
  // `before`: what StatusOf said.
  void StatusChanged(User& user, Shown before);
  void PresenceDue(User& user, int64_t in_ms);
  // In how many ms; 0 or less: now.
  int64_t DueIn(const User& user) const;
  void Came(Session& session);
  void Went(Session& session);
  void Says(Session& session, const Asker& asker, std::string_view payload);
  void PresenceTick();
  bool AwaitDueContacts();
  static bool IsToTell(const User& user);
  struct OfUser {  // the same in every run, which an address isn't
    size_t operator()(const User* user) const noexcept { return std::hash<UserId>()(user->id); }
  };
  struct StatusList {
    std::string json;
    size_t changes = 0;
  };
  using StatusLists = std::unordered_map<User*, StatusList, OfUser>;  // by who gets it
  size_t GatherStatus(User& user, StatusLists* lists);
  void EmitStatuses(const User& receiver, const StatusList& list, Lsn needs = Lsn());
  // Adds `{"user":"bob","online":true}`.
  static void AppendStatus(const UserId& user, Shown shown, int64_t last_seen_ms,
                           std::string* list);
  void TellOffline(SessionId session, User& sender, const UserId& receiver, Lsn needs);
  void EmitOffline(SessionId session, User& receiver, Lsn needs);
  void AskPresence(const Asker& asker, const nlohmann::json& request);
  using LastSeen = std::unordered_map<UserId, int64_t>;
  void ReadLastSeen(const Asker& asker, const std::vector<UserId>& users);
  void AnswerPresence(const Asker& asker, const std::vector<UserId>& users, const LastSeen& seen);
  std::vector<UserId> VisibleOf(const User& user, const std::vector<UserId>& users) const;
  void Typing(const Asker& asker, std::string_view to, std::string_view payload);
  void TypeTo(const Asker& asker, const UserId& to, bool on);
  void TypeInGroup(const Asker& asker, const GroupId& id, bool on);
  void EmitTyping(const UserId& receiver, SessionId but, const std::string& payload);

  // engine_ask.cc
  struct Method;
  static const Method kMethods[];
  bool Count(Asker* asker, std::atomic<size_t> UnderWay::*what, size_t max);
  void Ask(const Asker& asker, std::string_view method, std::string_view payload);
  void AskSync(const Asker& asker, const nlohmann::json& request);
  void AskHistory(const Asker& asker, const nlohmann::json& request);
  void AskConversations(const Asker& asker, const nlohmann::json& request);
  void AskRecent(const Asker& asker, const nlohmann::json& request);
  void AnswerSync(User& user, const Asker& asker, Seq after, uint64_t limit);
  void AnswerSyncFrom(User& user, const Asker& asker, const std::vector<CachedEntry>& entries,
                      bool cut);
  void AnswerRecent(const Asker& asker, const Recent& recent, Seq head, Lsn needs);
  void ReadRecent(User& user, const Asker& asker);
  void KeepRecent(User& user, const Recent& recent);
  void AddToRecent(User& user, const CachedEntry& entry);
  void WakeSyncs(User& user);
  void ExpireSyncs(User& user, int64_t now_ms);

  const EngineOptions options_;
  Env* const env_;
  Log* const log_;
  Accounts* const accounts_;
  Roster* const roster_;
  TopicMembers* const topic_members_;
  Readers* const readers_;
  Release* const release_;

  std::unordered_map<UserId, std::unique_ptr<User>> users_;
  std::unordered_map<SessionId, Session> sessions_;
  std::unordered_map<GroupId, std::unique_ptr<Group>> groups_;
  std::unordered_map<KeyName, Key> keys_;
  std::vector<User*> presence_due_;  // those whose status may have to be told
  int64_t presence_told_ms_ = 0;     // when it last was
  int64_t presence_next_ms_ = 0;     // nobody is due earlier
  int64_t presence_waits_ms_ = 0;    // since when a batch waits for contacts; 0: it doesn't
  size_t presence_loads_ = 0;        // reads for it under way
  std::unordered_map<UserId, PasswordTries> password_tries_;
  std::unordered_map<UserId, TokenBucket> typists_;
  std::unordered_map<UserId, std::shared_ptr<UnderWay>> under_way_;
  PushJobs push_;
  std::unordered_set<uint64_t> push_users_;  // hashes of those that may have opt-ins
  std::array<std::vector<SessionId>, kPushProviders> push_takers_;  // the last was served last
  size_t push_loads_ = 0;                                           // reads for it under way
  std::map<std::string, int64_t> push_woken_;                       // when, by PushTalkOf
  std::deque<std::pair<int64_t, std::string>> push_woken_order_;
  size_t parked_bytes_ = 0;
  size_t sent_ids_ = 0;
  std::list<User*> cache_uses_;  // those with a cache, latest used first
  size_t cached_bytes_ = 0;
  size_t online_ = 0;
  EngineCounts counts_;
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
inline constexpr size_t kAnswerBytesMax = 256 << 10;
inline constexpr uint64_t kUnreadMax = 10'000;  // unread counts stop here

}  // namespace parley

#endif  // PARLEY_CHAT_ENGINE_H_
