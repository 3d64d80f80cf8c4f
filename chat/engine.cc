#include "chat/engine.h"

#include <algorithm>
#include <array>

#include "chat/client_id.h"

namespace parley {
namespace {

constexpr int64_t kSweepMs = 1000;

// The parts of `topic`: "as/bob/chat/carol" → "as", "bob/chat/carol".
std::pair<std::string_view, std::string_view> Split(std::string_view topic) {
  size_t slash = topic.find('/');
  if (slash == std::string_view::npos) return {topic, {}};
  return {topic.substr(0, slash), topic.substr(slash + 1)};
}

}  // namespace

Engine::Engine(const EngineOptions& options, Env* env, Log* log, Accounts* accounts, Roster* roster,
               TopicMembers* topic_members, Readers* readers, Release* release)
    : options_(options),
      env_(env),
      log_(log),
      accounts_(accounts),
      roster_(roster),
      topic_members_(topic_members),
      readers_(readers),
      release_(release),
      next_lsn_(log->next_lsn()) {
  uint64_t random = 0;
  env_->Random(&random, sizeof random);
  static constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuv";
  for (int i = 0; i < 12; ++i) id_prefix_ += kDigits[(random >> (5 * i)) & 31];
  id_prefix_ += '-';
  release_->Committed(Lsn(next_lsn_.value() - 1));
}

Engine::~Engine() = default;

void Engine::Handle(Command command) {
  now_ms_ = env_->NowMs();
  std::visit([this](auto& what) { On(what); }, command);
}

void Engine::EndTurn() {
  if (turn_.empty() && effects_.empty() && reads_.empty()) return;
  Lsn last(next_lsn_.value() - 1);
  // The effects first: the committer may be done before Hold is called, and Hold sees that.
  if (!turn_.empty()) {
    log_->Append(std::move(turn_));
    turn_.clear();
  }
  // Reads only now: the log knows every number that they may wait for.
  for (auto& read : reads_) readers_->Submit(std::move(read));
  reads_.clear();
  if (!log_->journal_ok()) PassAnswers();
  release_->Hold(last, std::move(effects_));
  effects_.clear();
}

// While the journal is stuck, nobody waits for what doesn't depend on it: errors above all.
void Engine::PassAnswers() {
  auto waits = [](const Effect& effect) {
    return effect.needs > Lsn() || effect.channel != Channel::kAnswer;
  };
  auto answers = std::stable_partition(effects_.begin(), effects_.end(), waits);
  release_->Pass({std::make_move_iterator(answers), std::make_move_iterator(effects_.end())});
  effects_.erase(answers, effects_.end());
}

void Engine::Tick() {
  now_ms_ = env_->NowMs();
  for (size_t i = 0; i < syncing_.size();) {
    User& user = *syncing_[i];
    ExpireSyncs(user, now_ms_);
    if (user.waiting_syncs.empty()) {
      user.syncing = false;
      syncing_[i] = syncing_.back();
      syncing_.pop_back();
    } else {
      ++i;
    }
  }
  PresenceTick();
  PushTick();
  if (now_ms_ - swept_ms_ >= kSweepMs) {
    swept_ms_ = now_ms_;
    if (any_failed_) StoresChanged();
    RecordKeys();
    Forget(now_ms_);
  }
}

// Sessions.

void Engine::On(Connected& connected) {
  Session& session = sessions_[connected.session];
  session.id = connected.session;
  session.user = &UserOf(connected.user);
  session.device = std::move(connected.device);
  session.service = connected.service;
  session.held = connected.held;
  session.user->sessions.Add(&session);
  if (!session.held) Enter(session);
}

// Of more connections than a user may have, the one that came last is closed. One that another
// takes over is about to end.
void Engine::Enter(Session& session) {
  const auto& all = session.user->sessions;
  auto others = std::count_if(all.begin(), all.end(), [&](const Session* other) {
    return !other->gone && !other->held && other->device != session.device;
  });
  if (static_cast<size_t>(others) < options_.sessions_max) return Came(session);
  Refuse({session.id, session.user->id, "", "", ""},
         {Code::kTooLarge, "you have " + std::to_string(options_.sessions_max) +
                               " connections, and may have no more"});
  session.gone = session.removed = true;
  Emit(session.id, Channel::kAnswer).close = true;
}

void Engine::On(Disconnected& disconnected) {
  Session* session = FindSession(disconnected.session);
  if (session == nullptr) return;
  if (!session->gone) Went(*session);
  LeavePush(*session);
  if (session->receipts_waiting > 0) return;  // what it confirmed before it left counts
  User& user = *session->user;
  user.sessions.Remove(session);
  user.waiting_syncs.RemoveIf([&](const auto& w) { return w.asker.session == session->id; });
  user.used_ms = now_ms_;
  if (session->groups) {
    for (const GroupId& group : *session->groups) Unsubscribe(*session, group);
  }
  sessions_.erase(disconnected.session);
}

void Engine::On(Welcomed& welcomed) {
  Session* session = FindSession(welcomed.session);
  if (session == nullptr) return;
  session->held = false;
  Enter(*session);
}

void Engine::On(Subscribed& subscribed) {
  Session* session = FindSession(subscribed.session);
  if (session == nullptr) return;
  if (subscribed.channel == Channel::kReceipt) session->receipts = true;
  if (subscribed.channel == Channel::kPresence) session->presence = true;
  if (subscribed.channel == Channel::kTyping) session->typing = true;
  if (IsPush(subscribed.channel)) TakePush(*session, subscribed.channel);
  if (subscribed.channel == Channel::kGroup) Subscribe(*session, subscribed.group, subscribed.qos);
  if (subscribed.channel == Channel::kInbox) SubscribeInbox(*session, subscribed.kept);
}

void Engine::On(Unsubscribed& unsubscribed) {
  Session* session = FindSession(unsubscribed.session);
  if (session == nullptr) return;
  if (unsubscribed.channel == Channel::kReceipt) session->receipts = false;
  if (unsubscribed.channel == Channel::kPresence) session->presence = false;
  if (unsubscribed.channel == Channel::kTyping) session->typing = false;
  if (IsPush(unsubscribed.channel)) LeavePush(*session, unsubscribed.channel);
  if (unsubscribed.channel == Channel::kGroup && session->groups) {
    Unsubscribe(*session, unsubscribed.group);
    std::erase(*session->groups, unsubscribed.group);
  }
  if (unsubscribed.channel == Channel::kInbox) {
    session->inbox = false;
    session->delivery = Session::Delivery::kOff;
    ++session->start;  // what is being read for it is void
  }
}

void Engine::On(Published& published) {
  Session* session = FindSession(published.session);
  if (session == nullptr || session->removed) return;
  std::string_view topic = published.topic;
  auto [first, rest] = Split(topic);
  if (first != "as") return Route(*session, session->user->id, topic, published, "");
  auto [actor, acted] = Split(rest);
  UserId user{actor};
  Asker asker{session->id, session->user->id, TopicHead(topic), published.response_topic,
              published.correlation};
  if (!session->service) {
    return Refuse(asker, {Code::kDenied, "only a service account may act for others"});
  }
  asker.head = ActorHead(actor) + asker.head;
  if (!ValidId(actor) || !accounts_->Exists(user)) {
    return Refuse(asker, {Code::kNotFound, "no account '" + std::string(actor) + "'"});
  }
  Route(*session, user, acted, published, "\"user\":\"" + user.str() + "\",");
}

void Engine::Route(Session& session, const UserId& actor, std::string_view topic,
                   Published& published, std::string head) {
  auto [first, rest] = Split(topic);
  Asker asker{session.id, actor, std::move(head), std::move(published.response_topic), {}};
  if (first == "chat" || first == "group") {
    Sending sending;
    sending.asker = std::move(asker);
    sending.asker.correlation = std::move(published.correlation);
    sending.ts_ms = published.ts_ms;
    if (first == "chat") {
      sending.to = UserId(rest);
    } else {
      sending.group = GroupId(rest);
    }
    sending.payload = std::move(published.payload);
    sending.content_type = published.content_type;
    return Send(std::move(sending));
  }
  asker.correlation = std::move(published.correlation);
  if (first == "ask") return Ask(asker, rest, published.payload);
  if (first == "receipt" && rest == actor.str()) {
    return Receipt(session, UserOf(actor), asker, published.payload);
  }
  asker.head += TopicHead(topic);
  if (first == "typing") return Typing(asker, rest, published.payload);
  if (first == "presence" && rest == session.user->id.str() && actor == session.user->id) {
    return Says(session, asker, published.payload);
  }
  if (topic == "push/done" && actor == session.user->id) {
    return PushDone(session, asker, published.payload);
  }
  Refuse(asker, {Code::kDenied, "this topic is not for publishing to"});
}

// Users.

Engine::User& Engine::UserOf(const UserId& id) {
  auto& slot = users_[id];
  if (!slot) {
    slot = std::make_unique<User>(users_.find(id)->first);
  }
  slot->used_ms = now_ms_;
  return *slot;
}

Engine::Session* Engine::FindSession(SessionId id) {
  auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : &it->second;
}

Engine::Ready Engine::Load(User& user, Parts parts, OnLoaded then) {
  if (Loads(user, parts)) return Ready::kNow;
  user.on_loaded.push_back({parts, std::move(then)});
  Parts missing = parts & static_cast<Parts>(~(user.loaded | user.loading));
  if (missing != 0) StartLoad(user, missing);
  return Ready::kLater;
}

void Engine::StartLoad(User& user, Parts parts) {
  user.loading |= parts;
  if ((parts & kGroups) != 0) user.groups_changed = false;
  User* it = &user;
  auto failed = [it, parts, unloads = user.unloads](Engine& engine, const Status& status) {
    if (it->unloads == unloads) engine.Finish(*it, parts, status);  // else it is loaded anew
  };
  auto job = [it, id = user.id, parts, failed, log = log_, roster = roster_,
              holds = std::max(user.lsn, forgotten_lsn_),
              all = Lsn(next_lsn_.value() - 1)](const MessageStore& store) {
    auto fail = [&](const Status& why) -> Continuation {
      return [failed, why](Engine& engine) { failed(engine, why); };
    };
    auto tail = (parts & kTail) != 0 ? store.ReadTail(id) : Result<LogTail>(LogTail{});
    if (!tail) return fail(tail.error());
    auto sent =
        (parts & kSent) != 0 ? store.ReadSent(id, kSentIdsKept) : Result<std::vector<SentId>>();
    if (!sent) return fail(sent.error());
    Result<std::vector<ContactRecord>> contacts;
    if ((parts & kContacts) != 0 && roster != nullptr) {
      if (Status status = log->WaitRoster(holds); !status.ok()) return fail(status);
      contacts = roster->Contacts(id);
      if (!contacts) return fail(contacts.error());
    }
    Result<uint64_t> groups;
    if ((parts & kGroups) != 0 && roster != nullptr) {
      if (Status status = log->WaitRoster(all); !status.ok()) return fail(status);
      groups = roster->CountGroups(id);
      if (!groups) return fail(groups.error());
    }
    Result<std::vector<PushTargetRecord>> push;
    if ((parts & kPush) != 0 && roster != nullptr) {
      if (Status status = log->WaitRoster(holds); !status.ok()) return fail(status);
      push = roster->PushTargets(id);
      if (!push) return fail(push.error());
    }
    return Continuation([it, parts, tail = *tail, ids = std::move(*sent),
                         contacts = std::move(*contacts), groups = *groups,
                         push = std::move(*push)](Engine& engine) {
      if ((parts & kTail) != 0) engine.TakeTail(*it, tail);
      if ((parts & kSent) != 0) {
        it->sent = std::make_unique<SentIds>();
        it->sent->used_ms = engine.now_ms_;
        for (auto sent_id = ids.rbegin(); sent_id != ids.rend(); ++sent_id) {
          it->sent->Add(sent_id->id, {sent_id->seq, sent_id->content_hash, Lsn(), sent_id->gseq});
        }
      }
      if ((parts & kContacts) != 0) engine.TakeContacts(*it, contacts);
      if ((parts & kPush) != 0) engine.TakePushTargets(*it, push);
      if ((parts & kGroups) != 0) it->groups = static_cast<uint32_t>(groups);
      engine.Finish(*it, parts, Status());
    });
  };
  Read(user, std::move(job), failed);
}

void Engine::TakeTail(User& user, const LogTail& tail) {
  user.last = tail.last;
  user.floor = tail.floor;
  user.delivered = tail.delivered;
  user.read = tail.read;
  // Before anybody is numbered on it: what was taken back was not sent.
  for (Session* session : user.sessions) {
    session->sent = std::min(session->sent, tail.last);
    session->acked = std::min(session->acked, tail.last);
  }
}

// Parts are there, or couldn't be read.
void Engine::Finish(User& user, Parts parts, const Status& status) {
  if (status.ok() && (parts & kGroups) != 0 && user.groups_changed) {
    parts &= static_cast<Parts>(~kGroups);  // whether the read has seen it isn't known
    StartLoad(user, kGroups);
  }
  user.loading &= static_cast<Parts>(~parts);
  if (status.ok()) user.loaded |= parts;
  auto waiting = std::exchange(user.on_loaded, {});
  RareList<LoadWaiting> done;
  for (LoadWaiting& one : waiting) {
    bool ends = status.ok() ? Loads(user, one.parts) : (one.parts & parts) != 0;
    (ends ? done : user.on_loaded).push_back(std::move(one));
  }
  for (LoadWaiting& one : done) one.then(status);
}

void Engine::Read(User& user, std::function<Continuation(const MessageStore&)> job,
                  std::function<void(Engine&, const Status&)> failed) {
  ++user.pins;
  Lsn holds = std::max(user.lsn, forgotten_lsn_);
  auto come_back = [it = &user, unloads = user.unloads, failed = std::move(failed)](
                       Engine& engine, const Status& status, const Continuation& then) {
    --it->pins;
    if (it->unloads != unloads) {
      return failed(engine, {Code::kUnavailable, "the journal has failed meanwhile; try again"});
    }
    if (!status.ok()) return failed(engine, status);
    then(engine);
  };
  reads_.push_back(
      [log = log_, id = user.id, holds, come_back, job = std::move(job)]() -> Continuation {
        Continuation then;
        Status status = log->WaitApplied(id.str(), holds);
        if (status.ok()) {
          auto store = log->store(id.str());
          if (store) {
            then = job(**store);
          } else {
            status = store.error();
          }
        }
        return [come_back, status, then = std::move(then)](Engine& engine) {
          come_back(engine, status, then);
        };
      });
}

// Numbers of the user's were taken back: what is in memory, or is being read, may count on them.
void Engine::Unload(User& user) {
  // Whoever waits may have had some of what it waits for.
  Parts wanted = std::exchange(user.loading, Parts(0));
  for (const LoadWaiting& waiting : user.on_loaded) wanted |= waiting.parts;
  ++user.unloads;
  DropCache(user);
  user.loaded = 0;
  user.sent.reset();
  DropRecent(user);
  user.contacts.reset();
  user.push.reset();
  user.wanted_delivered = user.wanted_read = Seq();
  if (wanted != 0) StartLoad(user, wanted);
}

void Engine::Forget(int64_t now_ms) {
  sent_ids_ = 0;
  for (auto it = users_.begin(); it != users_.end();) {
    User& user = *it->second;
    bool busy = !user.sessions.empty() || IsWaiting(user) || !user.waiting_syncs.empty() ||
                user.presence_due;
    if (busy || now_ms - user.used_ms < options_.user_idle_ms) {
      DropUnused(user, now_ms);
      sent_ids_ += user.sent ? user.sent->size() : 0;
      ++it;
      continue;
    }
    forgotten_lsn_ = std::max(forgotten_lsn_, user.lsn);
    DropCache(user);
    DropRecent(user);
    it = users_.erase(it);
  }
  std::erase_if(groups_, [&](const auto& known) {
    const Group& group = *known.second;
    bool busy = group.pins > 0 || !group.on_loaded.empty() || !group.subscribers.empty();
    bool idle = !group.exists || now_ms - group.used_ms >= options_.user_idle_ms;
    if (busy || !idle) return false;
    forgotten_lsn_ = std::max(forgotten_lsn_, group.lsn);
    return true;
  });
  TrimSent();
  std::erase_if(under_way_, [](const auto& one) { return one.second.use_count() == 1; });
}

// However many are sending: what is too much is read again at need.
void Engine::TrimSent() {
  for (auto it = users_.begin(); it != users_.end() && sent_ids_ > options_.sent_ids_max; ++it) {
    User& user = *it->second;
    if (!user.sent || IsWaiting(user)) continue;
    sent_ids_ -= user.sent->size();
    DropSent(user);
  }
}

// Who is only connected shouldn't cost much, and who only receives not what senders do.
void Engine::DropUnused(User& user, int64_t now_ms) {
  if (IsWaiting(user)) return;
  auto idle = [&](int64_t used_ms) { return now_ms - used_ms >= options_.user_idle_ms; };
  if (idle(user.used_ms)) {
    DropContacts(user);
    DropPushTargets(user);
  }
  if (user.sent && idle(user.sent->used_ms)) DropSent(user);
  if (user.recent && idle(user.recent->used_ms)) DropRecent(user);
}

// For a read: what it has loaded may be counted on.
bool Engine::IsWaiting(const User& user) {
  return user.pins > 0 || !user.on_loaded.empty() || !user.parked.empty();
}

// They are read again at need.
void Engine::DropSent(User& user) {
  user.sent.reset();
  user.loaded &= static_cast<Parts>(~kSent);
}

void Engine::DropRecent(User& user) {
  if (!user.recent) return;
  cached_bytes_ -= user.recent->bytes;
  user.recent.reset();
}

void Engine::DropCache(User& user) {
  if (!user.cache) return;
  cached_bytes_ -= user.cache->bytes;
  cache_uses_.erase(user.cache->use);
  user.cache.reset();
}

void Engine::TrimCache() {
  while (cached_bytes_ > options_.cache_bytes && !cache_uses_.empty()) {
    User& user = *cache_uses_.back();
    DropCache(user);
    DropRecent(user);
  }
}

void Engine::RecordKeys() {
  for (auto& [name, key] : keys_) {
    if (!key.dirty) continue;
    key.dirty = false;
    accounts_->RecordUse(name, {key.day.day(), key.day.used()});
  }
}

// What a turn leaves behind.

Transaction& Engine::Change() {
  turn_.push_back({next_lsn_, {}});
  next_lsn_ = next_lsn_.Next();
  return turn_.back();
}

Effect& Engine::Emit(SessionId session, Channel channel) {
  Effect& effect = effects_.emplace_back();
  effect.session = session;
  effect.channel = channel;
  return effect;
}

std::string Engine::ErrorHead(const Asker& asker) {
  return asker.topic.empty() ? asker.head : asker.head + TopicHead(asker.topic);
}

void Engine::Answer(const Asker& asker, std::string_view members, Lsn needs) {
  Effect& effect = Emit(asker.session, Channel::kAnswer);
  effect.payload = OkAnswer(asker.head, members);
  effect.response_topic = asker.response_topic;
  effect.correlation = asker.correlation;
  effect.needs = needs;
  if (needs > Lsn()) effect.failure_head = ErrorHead(asker);
}

void Engine::Refuse(const Asker& asker, const Status& status, int64_t retry_after_ms) {
  ++counts_.refused[static_cast<size_t>(ToldCode(status.code()))];
  Effect& effect = Emit(asker.session, Channel::kAnswer);
  effect.payload = ErrorAnswer(ErrorHead(asker), status, retry_after_ms);
  effect.response_topic = asker.response_topic;
  effect.correlation = asker.correlation;
}

void Engine::JournalFailed(Lsn first, const Status& why) {
  EndTurn();
  // The file and the system's words are the operator's, in the log.
  const Status told(why.code(), "the store can't be written now; try again later");
  // Senders learn that their message was not stored; what tells of it to others is dropped; what
  // tells of nothing that failed goes out.
  std::vector<Effect> kept;
  for (Effect& effect : release_->TakeBack(first)) {
    if (effect.needs < first) {
      kept.push_back(std::move(effect));
    } else if (!effect.failure_head.empty() || effect.channel == Channel::kAnswer) {
      effect.channel = Channel::kAnswer;
      effect.rest.reset();
      effect.needs = Lsn();
      effect.payload = ErrorAnswer(effect.failure_head, told);
      ++counts_.refused[static_cast<size_t>(ToldCode(told.code()))];
      kept.push_back(std::move(effect));
    }
  }
  Lsn committed(first.value() - 1);
  push_.TakeBack(first);
  forgotten_lsn_ = std::min(forgotten_lsn_, committed);
  for (auto& [id, user] : users_) {
    user->loaded &= static_cast<Parts>(~kGroups);  // of groups whose messages aren't its own
    user->groups_changed = true;
    if (user->lsn < first) continue;
    user->lsn = committed;
    Unload(*user);
    // What was numbered is gone: deliveries go on from what the log holds.
    for (Session* session : user->sessions) {
      if (session->receipt_lsn >= first) RefuseReceipt(*session, told);
      Restart(*session);
    }
  }
  for (auto& [id, group] : groups_) {
    if (group->lsn < first) continue;
    group->lsn = committed;
    Unload(*group);
  }
  log_->Resume();
  next_lsn_ = log_->next_lsn();
  release_->Hold(committed, std::move(kept));
}

}  // namespace parley
