#include "chat/engine.h"

#include <algorithm>
#include <array>

namespace parley {
namespace {

constexpr int64_t kSweepMs = 1000;

// The parts of `topic`: "as/bob/chat/carol" → "as", "bob/chat/carol".
std::pair<std::string_view, std::string_view> Split(std::string_view topic) {
  size_t slash = topic.find('/');
  if (slash == std::string_view::npos) return {topic, {}};
  return {topic.substr(0, slash), topic.substr(slash + 1)};
}

// `"topic":"chat/bob",`
std::string TopicHead(std::string_view topic) {
  std::string head = "\"topic\":";
  AppendJsonString(topic, &head);
  head += ',';
  return head;
}

}  // namespace

Engine::Engine(const EngineOptions& options, Env* env, Log* log, Accounts* accounts,
               Readers* readers, Release* release)
    : options_(options),
      env_(env),
      log_(log),
      accounts_(accounts),
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
  if (now_ms_ - swept_ms_ >= kSweepMs) {
    swept_ms_ = now_ms_;
    if (any_failed_) StoresChanged();
    RecordKeys();
    Forget(now_ms_);
  }
}

// Sessions.

void Engine::On(Connected& connected) {
  auto session = std::make_unique<Session>();
  session->id = connected.session;
  session->user = &UserOf(connected.user);
  session->device = std::move(connected.device);
  session->service = connected.service;
  session->user->sessions.push_back(session.get());
  sessions_[session->id] = std::move(session);
}

void Engine::On(Disconnected& disconnected) {
  Session* session = FindSession(disconnected.session);
  if (session == nullptr) return;
  session->gone = true;
  if (session->receipts_waiting > 0) return;  // what it confirmed before it left counts
  User& user = *session->user;
  std::erase(user.sessions, session);
  std::erase_if(user.waiting_syncs, [&](const auto& w) { return w.asker.session == session->id; });
  user.used_ms = now_ms_;
  sessions_.erase(disconnected.session);
}

void Engine::On(Subscribed& subscribed) {
  Session* session = FindSession(subscribed.session);
  if (session == nullptr) return;
  if (subscribed.channel == Channel::kReceipt) session->receipts = true;
  if (subscribed.channel == Channel::kInbox) {
    session->inbox = true;
    // Subscribed again while it runs: what it has not confirmed is its to ask for.
    if (session->delivery <= Session::Delivery::kFailed) StartDelivery(*session);
  }
}

void Engine::On(Unsubscribed& unsubscribed) {
  Session* session = FindSession(unsubscribed.session);
  if (session == nullptr) return;
  if (unsubscribed.channel == Channel::kReceipt) session->receipts = false;
  if (unsubscribed.channel == Channel::kInbox) {
    session->inbox = false;
    session->delivery = Session::Delivery::kOff;
    ++session->start;  // what is being read for it is void
  }
}

void Engine::On(Published& published) {
  Session* session = FindSession(published.session);
  if (session == nullptr) return;
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
  if (ValidId(actor)) asker.head = "\"user\":\"" + user.str() + "\"," + asker.head;
  if (!ValidId(actor) || !accounts_->Exists(user)) {
    return Refuse(asker, {Code::kNotFound, "no account '" + std::string(actor) + "'"});
  }
  Route(*session, user, acted, published, "\"user\":\"" + user.str() + "\",");
}

void Engine::Route(Session& session, const UserId& actor, std::string_view topic,
                   Published& published, std::string head) {
  auto [first, rest] = Split(topic);
  Asker asker{session.id, actor, std::move(head), std::move(published.response_topic), {}};
  if (first == "chat") {
    Sending sending;
    sending.asker = std::move(asker);
    sending.asker.correlation = std::move(published.correlation);
    sending.ts_ms = published.ts_ms;
    sending.to = UserId(rest);
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
  Refuse(asker, {Code::kDenied, "this topic is not for publishing to"});
}

// Users.

Engine::User& Engine::UserOf(const UserId& id) {
  auto& slot = users_[id];
  if (!slot) {
    slot = std::make_unique<User>();
    slot->id = id;
  }
  slot->used_ms = now_ms_;
  return *slot;
}

Engine::Session* Engine::FindSession(SessionId id) {
  auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->second.get();
}

Engine::Ready Engine::Load(User& user, bool with_sent, OnLoaded then) {
  if (user.tail == Loaded::kYes && (!with_sent || user.sent_state == Loaded::kYes)) {
    return Ready::kNow;
  }
  user.on_loaded.push_back(std::move(then));
  bool tail_under_way = user.tail == Loaded::kLoading;
  bool sent_under_way = user.sent_state == Loaded::kLoading;
  if (!tail_under_way && !(sent_under_way && with_sent)) StartLoad(user, with_sent);
  return Ready::kLater;
}

void Engine::StartLoad(User& user, bool with_sent) {
  bool with_tail = user.tail != Loaded::kYes;
  if (with_tail) user.tail = Loaded::kLoading;
  if (with_sent) user.sent_state = Loaded::kLoading;
  User* it = &user;
  auto failed = [it, with_tail, with_sent, unloads = user.unloads](Engine& engine,
                                                                   const Status& status) {
    if (it->unloads != unloads) return;  // it is loaded anew
    if (with_tail) it->tail = Loaded::kNo;
    if (with_sent) it->sent_state = Loaded::kNo;
    engine.Finish(*it, status);
  };
  auto job = [it, id = user.id, with_tail, with_sent,
              failed](const MessageStore& store) -> Continuation {
    Result<LogTail> tail = with_tail ? store.ReadTail(id) : Result<LogTail>(LogTail{});
    if (!tail) return [failed, status = tail.error()](Engine& engine) { failed(engine, status); };
    auto sent = with_sent ? store.ReadSent(id, kSentIdsKept) : Result<std::vector<SentId>>();
    if (!sent) return [failed, status = sent.error()](Engine& engine) { failed(engine, status); };
    return [it, with_tail, with_sent, tail = *tail, ids = std::move(*sent)](Engine& engine) {
      if (with_tail) {
        it->tail = Loaded::kYes;
        it->last = tail.last;
        it->floor = tail.floor;
        it->delivered = tail.delivered;
        it->read = tail.read;
        // Before anybody is numbered on it: what was taken back was not sent.
        for (Session* session : it->sessions) {
          session->sent = std::min(session->sent, tail.last);
          session->acked = std::min(session->acked, tail.last);
        }
      }
      if (with_sent) {
        it->sent_state = Loaded::kYes;
        it->sent = std::make_unique<SentIds>();
        for (auto id_sent = ids.rbegin(); id_sent != ids.rend(); ++id_sent) {
          it->sent->Add(id_sent->id, {id_sent->seq, id_sent->content_hash, Lsn()});
        }
      }
      engine.Finish(*it, Status());
    };
  };
  Read(user, std::move(job), failed);
}

void Engine::Finish(User& user, const Status& status) {
  auto waiting = std::exchange(user.on_loaded, {});
  for (auto& then : waiting) then(status);
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
        Status status = log->WaitApplied(id, holds);
        if (status.ok()) {
          auto store = log->store(id);
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
  bool with_sent = user.sent_state == Loaded::kLoading;
  bool loading = user.tail == Loaded::kLoading || with_sent;
  ++user.unloads;
  DropCache(user);
  user.tail = Loaded::kNo;
  user.sent_state = Loaded::kNo;
  user.sent.reset();
  user.recent.reset();
  user.wanted_delivered = user.wanted_read = Seq();
  if (loading) StartLoad(user, with_sent);
}

void Engine::Forget(int64_t now_ms) {
  for (auto it = users_.begin(); it != users_.end();) {
    User& user = *it->second;
    bool busy = !user.sessions.empty() || user.pins > 0 || !user.parked.empty() ||
                !user.on_loaded.empty() || !user.waiting_syncs.empty();
    if (busy || now_ms - user.used_ms < options_.user_idle_ms) {
      ++it;
      continue;
    }
    forgotten_lsn_ = std::max(forgotten_lsn_, user.lsn);
    DropCache(user);
    it = users_.erase(it);
  }
}

void Engine::DropCache(User& user) {
  if (user.cache.empty()) return;
  cached_bytes_ -= user.cache_bytes;
  user.cache_bytes = 0;
  user.cache.clear();
  cache_uses_.erase(user.cache_use);
}

void Engine::TrimCache() {
  while (cached_bytes_ > options_.cache_bytes && !cache_uses_.empty()) {
    User& user = *cache_uses_.back();
    DropCache(user);
    user.recent.reset();
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

void Engine::Answer(const Asker& asker, std::string_view members, Lsn needs) {
  Effect& effect = Emit(asker.session, Channel::kAnswer);
  effect.payload = OkAnswer(asker.head, members);
  effect.response_topic = asker.response_topic;
  effect.correlation = asker.correlation;
  effect.needs = needs;
  if (needs > Lsn()) effect.failure_head = asker.head;
}

void Engine::Refuse(const Asker& asker, const Status& status, int64_t retry_after_ms) {
  Effect& effect = Emit(asker.session, Channel::kAnswer);
  effect.payload = ErrorAnswer(asker.head, status, retry_after_ms);
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
    } else if (!effect.failure_head.empty()) {
      effect.channel = Channel::kAnswer;
      effect.rest.reset();
      effect.payload = ErrorAnswer(effect.failure_head, told);
      kept.push_back(std::move(effect));
    }
  }
  Lsn committed(first.value() - 1);
  forgotten_lsn_ = std::min(forgotten_lsn_, committed);
  for (auto& [id, user] : users_) {
    if (user->lsn < first) continue;
    user->lsn = committed;
    Unload(*user);
    // What was numbered is gone: deliveries go on from what the log holds.
    for (Session* session : user->sessions) {
      if (session->receipt_lsn >= first) RefuseReceipt(*session, told);
      Restart(*session);
    }
  }
  log_->Resume();
  next_lsn_ = log_->next_lsn();
  release_->Hold(committed, std::move(kept));
}

}  // namespace parley
