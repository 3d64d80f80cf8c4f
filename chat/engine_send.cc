// Messages: from a payload to a number in two logs.
#include <xxhash.h>

#include <algorithm>

#include "chat/engine.h"
#include "chat/pages.h"

namespace parley {
namespace {

// What makes a retry the same message: everything that its receiver would see of it.
uint64_t ContentHash(const std::string& topic, const SendRequest& request) {
  std::string content = topic;
  content += '\0';
  content += static_cast<char>(request.type);
  if (request.ref) content += request.ref->from.str() + '/' + request.ref->id;
  content += '\0';
  content += request.body;
  return XXH3_64bits(content.data(), content.size());
}

}  // namespace

std::string Engine::SendHead(const Sending& sending) const {
  std::string head = sending.asker.head;
  if (sending.change) return head;
  head += "\"topic\":";
  AppendJsonString(TopicOf(sending), &head);
  head += ",";
  if (!sending.request.id.empty()) {
    head += "\"id\":";
    AppendJsonString(sending.request.id, &head);
    head += ",";
  }
  return head;
}

std::string Engine::TopicOf(const Sending& sending) {
  return sending.group.empty() ? "chat/" + sending.to.str() : "group/" + sending.group.str();
}

void Engine::Send(Sending sending) {
  User& sender = UserOf(sending.asker.user);
  if (parked_bytes_ >= options_.parked_bytes_max) {
    RefuseUnread(sending, {Code::kBusy, "too many messages are waiting; try again"});
    return;
  }
  // What TrySend leaves waiting for a read has to be parked: that comes back to it.
  if (sender.parked.empty() && TrySend(sender, sending)) return;
  if (sender.parked.size() >= options_.parked_max) {
    RefuseUnread(sending, {Code::kBusy, "too many of your messages are waiting; try again"});
    return;
  }
  sending.parked_bytes = sending.payload.size() + sending.request.body.size() +
                         sending.asker.correlation.size() + sending.asker.response_topic.size();
  parked_bytes_ += sending.parked_bytes;
  sender.parked.push_back(std::move(sending));
  Drain(sender);
}

void Engine::PopParked(User& sender) {
  parked_bytes_ -= sender.parked.front().parked_bytes;
  sender.parked.pop_front();
}

void Engine::Drain(User& sender) {
  while (!sender.parked.empty() && !sender.parked_waits) {
    if (!TrySend(sender, sender.parked.front())) return;
    PopParked(sender);
  }
}

// What the first of `parked` waited for is there, or can't be had.
void Engine::Unpark(User& sender, const Status& status) {
  sender.parked_waits = false;
  if (!status.ok() && !sender.parked.empty()) {
    RefuseSending(sender.parked.front(), status);
    PopParked(sender);
  }
  Drain(sender);
}

// True, for it is done with.
bool Engine::RefuseSending(const Sending& sending, const Status& status, int64_t retry_after_ms) {
  Asker asker = sending.asker;
  asker.head = SendHead(sending);
  Refuse(asker, status, retry_after_ms);
  return true;
}

// … which may not have been read yet.
void Engine::RefuseUnread(Sending& sending, const Status& status) {
  if (!sending.admitted) NameRefused(sending);
  RefuseSending(sending, status);
}

void Engine::NameRefused(Sending& sending) {
  sending.request.id =
      IdOfRefused(sending.payload, sending.content_type, sending.asker.correlation);
}

// True: done, with whatever outcome. False: it waits for a read, which will call Drain.
bool Engine::TrySend(User& sender, Sending& sending) {
  if (sender.parked_waits) return false;
  if (!sending.admitted) {
    int64_t retry_after_ms = 0;
    Status status = Admit(sender, sending, &retry_after_ms);
    if (!status.ok()) return RefuseSending(sending, status, retry_after_ms);
  }
  const std::string& other = sending.group.empty() ? sending.to.str() : sending.group.str();
  if (!log_->journal_ok() || !log_->store_ok(sender.id.str()) || !log_->store_ok(other)) {
    return RefuseSending(sending, Unwritable());
  }
  if (!sending.group.empty()) return TryGroup(sender, sending);
  User& receiver = UserOf(sending.to);
  if (!AwaitLoads(sender, receiver)) return false;
  if (SentBefore(sender, sending)) return true;
  if (Status may = MayReach(sender, receiver.id); !may.ok()) return RefuseSending(sending, may);
  if (sending.request.type != MessageType::kMessage && !sending.ref_checked) {
    AwaitRef(sender, sending);
    return false;
  }
  int64_t retry_after_ms = 0;
  Status status = TakeQuota(sender, sending.ts_ms, &retry_after_ms);
  if (!status.ok()) return RefuseSending(sending, status, retry_after_ms);
  Number(sender, receiver, sending);
  return true;
}

// True where the sender has sent this id before, and was told again what came of it.
bool Engine::SentBefore(User& sender, const Sending& sending) {
  sender.sent->used_ms = now_ms_;
  const auto again = sender.sent->Find(sending.request.id);
  if (!again) return false;
  if (again->content_hash != sending.content_hash) {
    return RefuseSending(sending, {Code::kConflict, "this id was sent with another content"});
  }
  OutcomeAgain(sender, sending, *again);
  return true;
}

// Everything that needs no store: the payload, the receiver's account, the sender's own rate.
Status Engine::Admit(User& sender, Sending& sending, int64_t* retry_after_ms) {
  bool to_group = !sending.group.empty();
  auto request = ParseSend(sending.payload, sending.content_type, options_.max_body);
  if (!request) {
    NameRefused(sending);
    return request.error();
  }
  sending.request = std::move(*request);
  if (sending.request.id.empty() && !sending.asker.correlation.empty()) {
    if (sending.asker.correlation.size() > kMessageIdBytesMax ||
        !ValidUtf8(sending.asker.correlation)) {
      return {Code::kBadRequest, "correlation data stands for the id: 1 to 64 bytes of UTF-8"};
    }
    sending.request.id = sending.asker.correlation;
  }
  if (!to_group && !ValidId(sending.to.str())) {
    return {Code::kBadRequest, "the topic names no user id"};
  }
  if (to_group && !ValidId(sending.group.str())) {
    return {Code::kBadRequest, "the topic names no group id"};
  }
  if (!to_group && !accounts_->Exists(sending.to)) {
    return {Code::kNotFound, "no account '" + sending.to.str() + "'"};
  }
  sending.content_hash = ContentHash(TopicOf(sending), sending.request);
  if (!IsSentAgain(sender, sending)) {
    *retry_after_ms = sender.bucket.Take(now_ms_, options_.user_rate,
                                         std::max(1.0, options_.user_rate * options_.user_burst_s));
    if (*retry_after_ms > 0) return {Code::kQuota, "more messages a second than a user may send"};
  }
  if (sending.request.id.empty()) sending.request.id = MakeId();
  sending.payload = {};
  sending.admitted = true;
  return {};
}

// As far as it can be told without a read: what changes nothing takes nothing of the rate.
bool Engine::IsSentAgain(const User& sender, const Sending& sending) const {
  if (!Loads(sender, kSent) || sending.request.id.empty()) return false;
  const auto before = sender.sent->Find(sending.request.id);
  return before && before->content_hash == sending.content_hash;
}

std::string Engine::MakeId() {
  std::string id = id_prefix_;
  AppendNumber(++ids_made_, &id);
  return id;
}

Engine::Key& Engine::KeyNamed(const KeyName& name) {
  auto [it, added] = keys_.try_emplace(name);
  if (added) {
    KeyUse use = accounts_->UsedToday(name);
    it->second.day.Restore(use.day, use.used);
  }
  return it->second;
}

// The API key's rate and daily quota: for what will be stored, not for what is sent again.
Status Engine::TakeQuota(User& sender, int64_t now_ms, int64_t* retry_after_ms) {
  KeyName name = accounts_->KeyOf(sender.id);
  if (name.empty()) return {};
  KeyLimits limits = accounts_->Limits(name);
  Key& key = KeyNamed(name);
  *retry_after_ms = key.day.Check(now_ms, limits.quota);
  if (*retry_after_ms > 0) return {Code::kQuota, "the API key's quota for today is used up"};
  *retry_after_ms = key.bucket.Take(now_ms, limits.rate, std::max(1.0, limits.rate));
  if (*retry_after_ms > 0) return {Code::kQuota, "more messages a second than the API key allows"};
  key.day.Count(now_ms);
  key.dirty = true;
  return {};
}

// False where sender or receiver has to be read first.
bool Engine::AwaitLoads(User& sender, User& receiver) {
  auto then = [this, it = &sender](const Status& status) { Unpark(*it, status); };
  if (Load(sender, kTail | kSent | kContacts, then) == Ready::kNow &&
      Load(receiver, kTail | PushPart(receiver), then) == Ready::kNow) {
    return true;
  }
  sender.parked_waits = true;
  return false;
}

// An edit, a retraction or a reaction names a message of this conversation: finds it.
void Engine::AwaitRef(User& sender, Sending& sending) {
  sender.parked_waits = true;
  User* it = &sender;
  auto done = [it](Engine& engine, const Status& status) {
    it->parked.front().ref_checked = true;
    engine.Unpark(*it, status);
  };
  const MessageRef& ref = *sending.request.ref;
  bool edits = sending.request.type != MessageType::kReaction;
  Status none(Code::kNotFound,
              "no message '" + ref.id + "' of " + ref.from.str() + " in this conversation");
  if (ref.from != sender.id && (edits || ref.from != sending.to)) {
    // Only its author may change a message. Answered by a turn of its own: the queue is being read.
    Status why =
        edits ? Status(Code::kDenied, "only its author may edit or retract a message") : none;
    reads_.push_back([done, why]() -> Continuation {
      return [done, why](Engine& engine) { done(engine, why); };
    });
    return;
  }
  UserId other = ref.from == sender.id ? sending.to : sender.id;
  auto job = [it, done, none, ref, other](const MessageStore& store) -> Continuation {
    auto place = store.FindSent(ref.from, ref.id);
    if (!place) return [done, why = place.error()](Engine& engine) { done(engine, why); };
    Seq seq = place->seq;
    if (seq == Seq() || !place->group.empty()) {
      return [done, none](Engine& engine) { done(engine, none); };
    }
    auto page = store.ReadLog(ref.from, {.after = Seq(seq.value() - 1), .limit = 1});
    if (!page) return [done, why = page.error()](Engine& engine) { done(engine, why); };
    bool found = !page->entries.empty() && page->entries[0].seq == seq &&
                 page->entries[0].message.to == other &&
                 page->entries[0].message.type == MessageType::kMessage;
    if (!found) return [done, none](Engine& engine) { done(engine, none); };
    return [it, done, from_seq = seq, to_seq = page->entries[0].peer_seq](Engine& engine) {
      MessageRef& named = *it->parked.front().request.ref;
      bool own = named.from == it->id;
      named.from_seq = own ? from_seq : to_seq;
      named.to_seq = own ? to_seq : from_seq;
      done(engine, Status());
    };
  };
  Read(UserOf(ref.from), std::move(job), done);
}

// True where the message is still to come to the device by its delivery.
bool Engine::WillDeliver(const Session& session, Seq seq) const {
  return session.delivery >= Session::Delivery::kStarting && session.placed && seq > session.sent;
}

// The same id with the same content: the first outcome, to this device alone. Its copy where the
// device has had it already; one that is still to get it gets it in its turn.
void Engine::OutcomeAgain(User& sender, const Sending& sending, const SentIds::Sent& sent) {
  Session* session = FindSession(sending.asker.session);
  if (session == nullptr) return;
  if (!sending.group.empty() && sent.seq == Seq()) return GroupOutcomeAgain(sender, sending, sent);
  bool had = session->user == &sender && session->delivery >= Session::Delivery::kStarting &&
             session->placed && sent.seq <= session->sent;
  if (!had) return EmitOutcome(sender, sending, sent);
  Asker asker = sending.asker;
  asker.head = SendHead(sending);
  // No rate holds back what is sent again; where too much is being read for it, its number will do.
  if (!Count(&asker, &UnderWay::asks, options_.asks_max)) {
    return AnswerNumber(asker, "seq", sent.seq, sent.lsn);
  }
  if (session->delivery > Session::Delivery::kStarting) return CopyAgain(sender, asker, sent.seq);
  // Where it begins isn't known yet: perhaps before this one, which then comes in its turn.
  LoadCursor(*session, [this, asker, seq = sent.seq](Session& it, const Status& status) {
    if (!status.ok()) return Refuse(asker, status);
    if (seq <= it.cursor.value_or(it.sent)) CopyAgain(*it.user, asker, seq);
  });
}

void Engine::AnswerNumber(const Asker& asker, const char* name, Seq number, Lsn needs) {
  std::string members;
  AppendMember(name, number.value(), &members);
  Answer(asker, members, needs);
}

// To a device that has had it.
void Engine::CopyAgain(User& sender, const Asker& asker, Seq seq) {
  if (const CachedEntry* entry = InCache(sender, seq)) {
    Effect& effect = Emit(asker.session, Channel::kInbox);
    effect.seq = seq;
    effect.rest = {entry->message, &entry->message->rest};
    effect.needs = entry->message->lsn;
    effect.failure_head = asker.head;
    return;
  }
  auto failed = [asker](Engine& engine, const Status& status) { engine.Refuse(asker, status); };
  auto job = [asker, id = sender.id, seq, failed,
              log = log_](const MessageStore& store) -> Continuation {
    auto page = store.ReadLog(id, {.after = Seq(seq.value() - 1), .limit = 1});
    Status status = page ? FillEntries(log, page->entries) : page.error();
    if (!status.ok()) return [failed, status](Engine& engine) { failed(engine, status); };
    bool found = !page->entries.empty() && page->entries[0].seq == seq;
    auto rest =
        std::make_shared<const std::string>(found ? MessageRest(page->entries[0]) : std::string());
    return [asker, seq, rest](Engine& engine) {
      const Session* now = engine.FindSession(asker.session);
      if (now == nullptr) return;
      if (rest->empty() || seq > now->sent) {  // it is no longer kept; the device began anew
        return engine.AnswerNumber(asker, "seq", seq);
      }
      Effect& effect = engine.Emit(asker.session, Channel::kInbox);
      effect.seq = seq;
      effect.rest = rest;
    };
  };
  Read(sender, std::move(job), failed);
}

void Engine::Number(User& sender, User& receiver, Sending& sending) {
  bool to_self = &sender == &receiver;
  MessageRecord record;
  record.from = sender.id;
  record.to = receiver.id;
  record.from_seq = sender.last.Next();
  record.to_seq = to_self ? record.from_seq : receiver.last.Next();
  record.ts_ms = sending.ts_ms;
  record.type = sending.request.type;
  record.id = sending.request.id;
  record.body = std::move(sending.request.body);
  record.ref = std::move(sending.request.ref);
  record.content_hash = sending.content_hash;

  Transaction& change = Change();
  auto message = std::make_shared<CachedMessage>(CachedMessage{
      record.from, record.to, GroupId(), Seq(), record.type, MessageRest(record), change.lsn});
  Seq from_seq = record.from_seq;
  Seq to_seq = record.to_seq;
  Lsn lsn = change.lsn;
  SentIds::Sent sent{from_seq, sending.content_hash, lsn, Seq()};
  sender.sent->Add(record.id, sent);
  Wake(receiver, record, GroupId(), to_seq, Seq(), &change);
  change.records.emplace_back(std::move(record));
  sender.lsn = receiver.lsn = lsn;

  size_t before = effects_.size();
  AppendEntry(sender, {from_seq, to_seq, message});
  TellOutcome(sender, sending, sent, before);
  if (to_self) return;
  AppendEntry(receiver, {to_seq, from_seq, message});
  TellOffline(sending.asker.session, sender, receiver.id, lsn);
}

// The sender's device that got its copy just now, among the effects from `before` on, is told by
// that copy; if not, it is told apart.
void Engine::TellOutcome(User& sender, const Sending& sending, const SentIds::Sent& sent,
                         size_t before) {
  auto own = std::find_if(
      effects_.begin() + static_cast<std::ptrdiff_t>(before), effects_.end(), [&](const Effect& e) {
        return e.session == sending.asker.session && e.channel == Channel::kInbox;
      });
  if (own == effects_.end()) return EmitOutcome(sender, sending, sent);
  own->failure_head = SendHead(sending);
  own->response_topic = sending.asker.response_topic;
  own->correlation = sending.asker.correlation;
}

// To a device that gets no copy: the outcome as an answer. To one that is still to get it: nothing
// now, but an error if it fails.
void Engine::EmitOutcome(User& sender, const Sending& sending, const SentIds::Sent& sent) {
  Session* session = FindSession(sending.asker.session);
  if (session == nullptr) return;
  std::string head = SendHead(sending);
  Effect& effect = Emit(session->id, Channel::kAnswer);
  effect.needs = sent.lsn;
  effect.response_topic = sending.asker.response_topic;
  effect.correlation = sending.asker.correlation;
  bool copy = sent.seq > Seq() ? WillDeliver(*session, sent.seq) : IsSubscribed(*session, sending);
  if (session->user != &sender || !copy) {
    std::string members;
    if (sent.seq > Seq()) members += ",\"seq\":" + std::to_string(sent.seq.value());
    if (sent.gseq > Seq()) members += ",\"gseq\":" + std::to_string(sent.gseq.value());
    effect.payload = OkAnswer(head, members);
  }
  effect.failure_head = std::move(head);
}

void Engine::AppendEntry(User& user, CachedEntry entry) {
  user.last = entry.seq;
  user.used_ms = now_ms_;
  if (!user.cache) {
    cache_uses_.push_front(&user);
    user.cache = std::make_unique<Cache>();
    user.cache->use = cache_uses_.begin();
  } else if (user.cache->use != cache_uses_.begin()) {
    cache_uses_.splice(cache_uses_.begin(), cache_uses_, user.cache->use);
  }
  auto& entries = user.cache->entries;
  size_t bytes = BytesOf(entry);
  entries.push_back(std::move(entry));
  user.cache->bytes += bytes;
  cached_bytes_ += bytes;
  if (entries.size() >= 2 * options_.user_cache_messages) {
    // The older half goes at once, so that the run stays one piece and moving it costs little.
    auto half = entries.begin() + static_cast<std::ptrdiff_t>(options_.user_cache_messages);
    size_t freed = 0;
    for (auto it = entries.begin(); it != half; ++it) freed += BytesOf(*it);
    entries.erase(entries.begin(), half);
    user.cache->bytes -= freed;
    cached_bytes_ -= freed;
  }
  const CachedEntry newest = entries.back();
  if (user.recent) AddToRecent(user, newest);
  for (Session* session : user.sessions) {
    if (session->delivery == Session::Delivery::kLive && WindowOpen(*session) &&
        session->sent.Next() == newest.seq) {
      Deliver(*session, newest);
    }
  }
  if (!user.waiting_syncs.empty()) WakeSyncs(user);
  if (cached_bytes_ > options_.cache_bytes) TrimCache();
}

}  // namespace parley
