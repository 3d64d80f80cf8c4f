// Push: waking devices that aren't connected (PROTOCOL: push.…, push/<provider>, push/done).
//
//   a message to a user without a connection      one transaction: the message, and a job for each
//     │                                           opt-in, or what it adds to the job that waits
//     ▼  push_delay_ms: read elsewhere? → cancelled. Connected by now? → cancelled
//   due ──▶ a gateway that is subscribed to push/<provider>, in turn; its lease begins
//     ├─ push/done ok      done. What came meanwhile is the next job
//     ├─ push/done gone    the opt-in ends, with all its jobs
//     ├─ push/done drop    dead letter
//     ├─ failed, the lease ends: due again, later each time, until it is given up: dead letter
//     └─ the gateway leaves: due again soon, and given up much later, for it may be the job's fault
//
// Who has opt-ins is known for all users, by hash; the opt-ins themselves are a part of a user's
// state in memory, loaded before a message to it is numbered.
#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "chat/client_id.h"
#include "chat/engine.h"
#include "chat/pages.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr size_t kPushPreviewBytesMax = 512;
constexpr size_t kPushMutedMax = 100;
constexpr size_t kPushDeviceBytesMax = 256;
constexpr size_t kPushReasonBytesMax = 256;
constexpr size_t kPushJobsOfUserMax = 200;
constexpr size_t kPushLoadsMax = 100;
constexpr uint64_t kUnconfirmedMax = 100;  // messages of a lost connection that wake
constexpr int64_t kPushLoadMs = 5000;      // before one whose user can't be read is tried again
constexpr int64_t kPushRetryMaxMs = 3'600'000;  // between two attempts
constexpr int64_t kPushLossWaitMaxMs = 60'000;  // … after its gateway went away
constexpr uint64_t kRetryAfterMaxMs = 24 * 3'600'000;
constexpr size_t kPushTurnMax = 1000;  // jobs of a provider that one turn starts, or gives up

uint64_t HashOf(const UserId& user) { return XXH3_64bits(user.str().data(), user.str().size()); }

// At most `max` bytes of UTF-8 text, whole characters.
std::string CutText(const std::string& text, size_t max) {
  if (text.size() <= max) return text;
  size_t end = max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// What a push shows of a body: a text's beginning; anything else whole, or not at all.
std::string Preview(const std::string& body) {
  if (body.size() <= kPushPreviewBytesMax) return body;
  if (!body.starts_with('"')) return {};
  // A body is JSON text that was read before; escapes in it may take six bytes a character.
  const auto text = json::parse(body, nullptr, false);
  if (!text.is_string()) return {};
  std::string cut;
  size_t max = kPushPreviewBytesMax;
  do {
    max = max / 2;
    cut.clear();
    AppendJsonString(CutText(text.get_ref<const std::string&>(), max) + "…", &cut);
  } while (cut.size() > kPushPreviewBytesMax && max > 0);
  return cut;
}

bool IsText(const json& value, const char* member) {
  auto found = value.find(member);
  return found != value.end() && found->is_string() &&
         !found->get_ref<const std::string&>().empty();
}

// A browser's subscription is an object, which JSON.stringify makes a string.
json PushTargetOf(const json& request, std::optional<PushProvider> provider) {
  const json& target = request["target"];
  if (provider != PushProvider::kWebPush || !target.is_string()) return target;
  auto object = ParseObject(target.get_ref<const std::string&>());
  return object ? *object : target;
}

// A target as its provider needs it. Whether it can be reached is the gateway's to find out.
Status CheckTarget(PushProvider provider, const json& target) {
  if (provider == PushProvider::kWebPush) {
    bool whole = target.is_object() && IsText(target, "endpoint") && target.contains("keys") &&
                 target["keys"].is_object() && IsText(target["keys"], "p256dh") &&
                 IsText(target["keys"], "auth");
    if (whole) return {};
    return {Code::kBadRequest, "'target' must be a PushSubscription with endpoint and keys"};
  }
  if (target.is_string() && !target.get_ref<const std::string&>().empty()) return {};
  return {Code::kBadRequest, provider == PushProvider::kNtfy
                                 ? "'target' must be the topic's URL"
                                 : "'target' must be the device's token"};
}

Status ReadMuted(const json& request, std::vector<std::string>* muted) {
  auto found = request.find("muted");
  if (found == request.end()) return {};
  const Status bad(Code::kBadRequest,
                   "'muted' must be an array of user ids and group/<id>, 100 at most");
  if (!found->is_array() || found->size() > kPushMutedMax) return bad;
  for (const json& one : *found) {
    if (!one.is_string()) return bad;
    std::string_view id = one.get_ref<const std::string&>();
    if (id.starts_with("group/")) id.remove_prefix(6);
    if (!ValidId(id)) return bad;
    muted->push_back(one.get<std::string>());
  }
  return {};
}

// "webpush" … without webhooks, which belong to API keys.
Status ReadProvider(const json& request, std::optional<PushProvider>* provider) {
  std::string name;
  if (Status status = ReadString(request, "provider", &name); !status.ok()) return status;
  if (!request.contains("provider")) return {};
  *provider = PushProviderNamed(name);
  if (*provider && *provider != PushProvider::kWebhook) return {};
  return {Code::kBadRequest, "'provider' must be webpush, ntfy, fcm or apns"};
}

// The name under which a provider replaces one push by the next: 16 characters that all of them
// take (RFC 8030: at most 32 of base64url).
std::string TagOf(const PushJobRecord& job) {
  std::string talk = job.user.str() + '/' + ConversationOf(job.from, job.group);
  uint64_t hash = XXH3_64bits(talk.data(), talk.size());
  std::string tag;
  for (int shift = 60; shift >= 0; shift -= 4) tag += "0123456789abcdef"[(hash >> shift) & 15];
  return tag;
}

// A job's name on the wire says what it tells of, so that one that was done can be told from what
// came after it: "<id>.<number>".
std::string NameOf(const PushJob& job) {
  return std::to_string(job.record.id) + "." + std::to_string(NumberOf(job.record));
}

bool ParseName(std::string_view name, uint64_t* id, uint64_t* number) {
  const char* end = name.data() + name.size();
  auto [dot, error] = std::from_chars(name.data(), end, *id);
  if (error != std::errc() || dot == end || *dot != '.') return false;
  auto [last, again] = std::from_chars(dot + 1, end, *number);
  return again == std::errc() && last == end;
}

}  // namespace

// At the start.

Status Engine::LoadPush() {
  if (roster_ == nullptr) return {};
  Status status =
      roster_->ForEachPushUser([this](const UserId& user) { push_users_.insert(HashOf(user)); });
  if (!status.ok()) return status;
  auto jobs = roster_->PushJobs();
  if (!jobs) return jobs.error();
  // Devices have time to come back before they are woken.
  int64_t due_ms = env_->NowMs() + std::max(options_.push_delay_ms, options_.presence_grace_ms);
  for (PushJobRecord& record : *jobs) {
    PushJob job;
    job.due_ms = due_ms;
    job.record = std::move(record);
    push_.Move(std::move(job));
  }
  return {};
}

// Opt-ins in memory.

bool Engine::IsThere(const User& user) {
  if (!user.waiting_syncs.empty()) return true;
  return std::any_of(user.sessions.begin(), user.sessions.end(),
                     [](const Session* session) { return !session->gone && !session->held; });
}

// What has to be loaded before a message to the user is numbered.
Engine::Parts Engine::PushPart(const User& user) const {
  return MayHavePush(user) && !IsThere(user) ? kPush : Parts(0);
}

bool Engine::MayHavePush(const User& user) const {
  return !push_users_.empty() && push_users_.contains(HashOf(user.id));
}

void Engine::TakePushTargets(User& user, std::vector<PushTargetRecord> targets) {
  user.push.reset();
  if (targets.empty()) {
    push_users_.erase(HashOf(user.id));
    return;
  }
  push_users_.insert(HashOf(user.id));
  user.push = std::make_unique<std::vector<PushTargetRecord>>(std::move(targets));
}

void Engine::DropPushTargets(User& user) {
  user.push.reset();
  user.loaded &= static_cast<Parts>(~kPush);
}

const PushTargetRecord* Engine::FindPushTarget(const User& user, const DeviceId& device,
                                               PushProvider provider) {
  if (!user.push) return nullptr;
  auto found = std::find_if(user.push->begin(), user.push->end(), [&](const auto& target) {
    return target.device == device && target.provider == provider;
  });
  return found == user.push->end() ? nullptr : &*found;
}

std::vector<PushProvider> Engine::PushProvidersOf(const User& user, const DeviceId& device) {
  std::vector<PushProvider> providers;
  for (size_t i = 0; user.push && i < user.push->size(); ++i) {
    const PushTargetRecord& target = (*user.push)[i];
    if (target.device == device) providers.push_back(target.provider);
  }
  return providers;
}

// A message comes to somebody.

void Engine::Wake(const User& user, const MessageRecord& message, const GroupId& group, Seq seq,
                  Seq gseq, Transaction* change) {
  bool webhooks = accounts_->AnyWebhook();
  if (message.type != MessageType::kMessage || (!user.push && !webhooks)) return;
  if (user.id == message.from || IsThere(user)) return;
  const std::string preview = Preview(message.body);
  PushJobRecord job;
  job.user = user.id;
  job.from = message.from;
  job.group = group;
  job.seq = seq;
  job.gseq = gseq;
  job.ts_ms = message.ts_ms;
  const std::string conversation = ConversationOf(message.from, group);
  for (size_t i = 0; user.push && i < user.push->size(); ++i) {
    const PushTargetRecord& target = (*user.push)[i];
    const auto& muted = target.muted;
    if (std::find(muted.begin(), muted.end(), conversation) != muted.end()) continue;
    job.device = target.device;
    job.provider = target.provider;
    job.body = target.preview ? preview : "";
    AddPushJob(job, change);
  }
  if (!webhooks || !accounts_->WebhookOf(accounts_->KeyOf(user.id))) return;
  job.device = DeviceId();
  job.provider = PushProvider::kWebhook;
  job.body = preview;
  AddPushJob(job, change);
}

// Nobody is woken by somebody whom it has blocked.
void Engine::WakeMember(const User& user, const MessageRecord& message, const GroupId& group,
                        Seq seq, Seq gseq, Transaction* change) {
  auto sender = users_.find(message.from);
  const Contact* contact = sender == users_.end() ? nullptr : FindContact(*sender->second, user.id);
  if (contact != nullptr && contact->blocked_by) return;
  Wake(user, message, group, seq, gseq, change);
}

// The user's last connection was lost: what was sent to it and not confirmed may never have
// arrived. Only of those who confirm what they get can that be told.
void Engine::WakeForUnconfirmed(User& user) {
  auto wake = [this, it = &user](const Status& status) {
    if (!status.ok() || IsThere(*it) || !it->push) return;
    if (it->delivered == Seq() || it->delivered >= it->last) return;
    auto job = [it, id = it->id, log = log_,
                page = Page{.after = it->delivered, .limit = kUnconfirmedMax}](
                   const MessageStore& store) -> Continuation {
      auto read = store.ReadLog(id, page);
      Status filled = read ? FillPage(log, &*read, page.bytes_max) : read.error();
      if (!filled.ok()) return [](Engine&) {};  // the devices catch up when they come
      return [it, entries = std::move(read->entries)](Engine& engine) {
        engine.WakeForEntries(*it, entries);
      };
    };
    Read(*it, std::move(job), [](Engine&, const Status&) {});
  };
  if (Load(user, kTail | kPush, wake) == Ready::kNow) wake(Status());
}

void Engine::WakeForEntries(User& user, const std::vector<LogEntry>& entries) {
  if (IsThere(user) || !Loads(user, kPush) || !log_->journal_ok()) return;
  Transaction change;
  change.lsn = next_lsn_;
  for (const LogEntry& entry : entries) {
    Wake(user, entry.message, entry.group, entry.seq, entry.gseq, &change);
  }
  if (!change.records.empty()) Change().records = std::move(change.records);
}

void Engine::AddPushJob(PushJobRecord record, Transaction* change) {
  PushJob job;
  const PushJob* known = push_.Of(record);
  // A message that its job tells of already, from a log that is gone through again.
  bool told = known != nullptr && record.seq > Seq() && record.seq <= known->record.seq;
  if (told) return;
  if (known != nullptr) {
    job = *known;
    record.id = job.record.id;
    record.count = job.record.count + 1;
    record.created_ms = job.record.created_ms;
  } else {
    bool full =
        push_.size() >= options_.push_jobs_max || push_.CountOf(record.user) >= kPushJobsOfUserMax;
    if (full || change->records.size() > UINT16_MAX) {
      ++counts_.push_refused;
      return;
    }
    record.id = (change->lsn.value() << 16) + change->records.size();
    record.created_ms = now_ms_;
    job.due_ms = now_ms_ + options_.push_delay_ms;
    if (auto woken = push_woken_.find(PushTalkOf(record)); woken != push_woken_.end()) {
      job.due_ms = std::max(job.due_ms, woken->second + options_.push_again_s * 1000);
    }
  }
  job.record = std::move(record);
  change->records.emplace_back(job.record);
  push_.Put(std::move(job), change->lsn);
}

// Members of a group of delivery `topic` whom a message wakes, where it is small enough.
std::vector<Engine::User*> Engine::WokenMembers(const Group& group, const User& sender) {
  std::vector<User*> woken;
  bool webhooks = accounts_->AnyWebhook();
  if ((push_users_.empty() && !webhooks) || group.count > options_.inbox_members_max) return woken;
  for (const auto& [id, member] : group.members) {
    if (!IsIn(member.role) || id == sender.id) continue;
    auto known = users_.find(id);
    if (known != users_.end() && IsThere(*known->second)) continue;
    if (!log_->store_ok(id.str())) continue;  // that isn't the sender's trouble
    if (push_users_.contains(HashOf(id)) ||
        (webhooks && accounts_->WebhookOf(accounts_->KeyOf(id)))) {
      woken.push_back(&UserOf(id));
    }
  }
  return woken;
}

// The user has read on: what waits to tell it so is needless. `group`: of delivery `topic`.
void Engine::CancelRead(const User& user, const GroupId& group, Seq read, Transaction* change) {
  if (push_.empty()) return;
  for (uint64_t id : push_.OfUser(user.id)) {
    const PushJob& job = *push_.Find(id);
    bool in_log = job.record.seq > Seq();
    bool seen = group.empty() ? in_log && job.record.seq <= read
                              : !in_log && job.record.group == group && job.record.gseq <= read;
    if (seen && job.taker == 0) EndPushJob(id, "", change);
  }
}

// `reason`: it goes to the dead letters.
void Engine::EndPushJob(uint64_t id, const std::string& reason, Transaction* change) {
  change->records.emplace_back(PushDoneRecord{id, reason, now_ms_});
  push_.Remove(id, change->lsn);
  if (!reason.empty()) ++counts_.push_dead;
}

// Gateways.

void Engine::TakePush(const Session& session, Channel channel) {
  auto& takers = push_takers_[PushIndex(channel)];
  if (session.service && std::find(takers.begin(), takers.end(), session.id) == takers.end()) {
    takers.push_back(session.id);
  }
}

void Engine::LeavePush(const Session& session, Channel channel) {
  std::erase(push_takers_[PushIndex(channel)], session.id);
}

// The gateway's connection has ended: what it was given is due again.
void Engine::LeavePush(const Session& session) {
  if (!session.service) return;
  for (auto& takers : push_takers_) std::erase(takers, session.id);
  for (uint64_t id : push_.OutTo(session.id)) PushLost(id);
}

// The next of them that may have one more job; 0: none.
SessionId Engine::NextTaker(PushProvider provider) {
  auto& takers = push_takers_[static_cast<size_t>(provider)];
  for (size_t i = 0; i < takers.size(); ++i) {
    std::rotate(takers.begin(), takers.begin() + 1, takers.end());
    const Session* session = FindSession(takers.back());
    bool serves = session != nullptr && !session->held && !session->gone;
    if (serves && push_.HandedTo(session->id) < options_.push_window) return session->id;
  }
  return 0;
}

// A few times a second.
void Engine::PushTick() {
  ForgetWoken();
  push_.Committed(release_->committed());
  if (push_.empty() || !log_->journal_ok()) return;
  GiveUpOld();
  while (const PushJob* job = push_.NextLeaseEnd(now_ms_)) {
    PushFailed(job->record.id, "no answer from its gateway", 0);
  }
  for (size_t i = 0; i < kPushProviders; ++i) StartDue(static_cast<PushProvider>(i));
}

void Engine::StartDue(PushProvider provider) {
  for (size_t i = 0; i < kPushTurnMax && push_loads_ < kPushLoadsMax; ++i) {
    const PushJob* job = push_.NextDue(provider, now_ms_);
    SessionId taker = job == nullptr ? 0 : NextTaker(provider);
    if (taker == 0) return;
    StartPush(*job, taker);
  }
}

void Engine::GiveUpOld() {
  int64_t before_ms = now_ms_ - options_.push_age_max_s * 1000;
  const PushJob* oldest = push_.Oldest();
  if (oldest == nullptr || oldest->record.created_ms >= before_ms) return;
  Transaction& change = Change();
  for (size_t i = 0; i < kPushTurnMax; ++i, oldest = push_.Oldest()) {
    if (oldest == nullptr || oldest->record.created_ms >= before_ms) return;
    EndPushJob(oldest->record.id, "too old: not delivered in time", &change);
  }
}

// A job is due, and `taker` has room for it.
void Engine::StartPush(const PushJob& job, SessionId taker) {
  User& user = UserOf(job.record.user);
  bool read = Loads(user, kTail) && job.record.seq > Seq() && job.record.seq <= user.read;
  if (IsThere(user) || read) return EndPushJob(job.record.id, "", &Change());
  if (Loads(user, kTail | kPush)) return HandOut(user, job, taker);
  PushJob waits = job;
  waits.due_ms = now_ms_ + kPushLoadMs;
  uint64_t id = waits.record.id;
  push_.Move(std::move(waits));
  ++push_loads_;
  (void)Load(user, kTail | kPush, [this, id](const Status& status) {
    --push_loads_;
    const PushJob* known = push_.Find(id);
    if (!status.ok() || known == nullptr || known->taker != 0) return;
    PushJob due = *known;
    due.due_ms = now_ms_;
    push_.Move(std::move(due));
  });
}

// The user's opt-ins are loaded.
void Engine::HandOut(const User& user, const PushJob& due, SessionId taker) {
  PushJob job = due;
  std::string target;
  if (job.record.provider == PushProvider::kWebhook) {
    auto webhook = accounts_->WebhookOf(accounts_->KeyOf(user.id));
    if (webhook) target = json{{"url", webhook->url}, {"secret", webhook->secret}}.dump();
  } else if (const auto* found = FindPushTarget(user, job.record.device, job.record.provider)) {
    target = found->target;
    job.target_ms = found->ts_ms;
  }
  if (target.empty()) return EndPushJob(job.record.id, "", &Change());  // the opt-in has ended
  job.taker = taker;
  job.due_ms = now_ms_ + options_.push_lease_s * 1000;
  job.handed_number = NumberOf(job.record);
  job.handed_count = job.record.count;
  Effect& effect = Emit(taker, PushChannel(job.record.provider));
  effect.payload = PushJson(job, target);
  effect.needs = job.lsn;
  ++counts_.push_handed[static_cast<size_t>(job.record.provider)];
  push_.Move(std::move(job));
}

std::string Engine::PushJson(const PushJob& job, const std::string& target) const {
  const PushJobRecord& record = job.record;
  std::string text = "{\"job\":\"" + NameOf(job) + "\",\"user\":\"" + record.user.str() + "\"";
  if (!record.device.empty()) {
    text += ",\"device\":";
    AppendJsonString(record.device.str(), &text);
  }
  text += ",\"provider\":\"" + std::string(PushProviderName(record.provider)) + "\"";
  text += ",\"target\":" + target;
  text += record.group.empty() ? ",\"with\":\"" + record.from.str() + "\""
                               : ",\"group\":\"" + record.group.str() + "\"";
  text += ",\"from\":\"" + record.from.str() + "\"";
  if (record.seq > Seq()) AppendMember("seq", record.seq.value(), &text);
  if (record.gseq > Seq()) AppendMember("gseq", record.gseq.value(), &text);
  AppendMember("count", record.count, &text);
  AppendMember("ts", static_cast<uint64_t>(record.ts_ms), &text);
  if (!record.body.empty()) text += ",\"body\":" + record.body;
  text += ",\"tag\":\"" + TagOf(record) + "\"";
  AppendMember("lease_ms", static_cast<uint64_t>(options_.push_lease_s) * 1000, &text);
  return text + "}";
}

// It wasn't delivered this time.
void Engine::PushFailed(uint64_t id, const std::string& reason, int64_t retry_after_ms) {
  PushJob job = *push_.Find(id);
  ++job.attempts;
  ++counts_.push_failed[static_cast<size_t>(job.record.provider)];
  int64_t wait_ms = std::max(PushWait(job.attempts, kPushRetryMaxMs), retry_after_ms);
  bool last = job.attempts >= options_.push_attempts_max;
  PushAgain(std::move(job), wait_ms, last ? reason : "");
}

// Its gateway went away, which says nothing of the target.
void Engine::PushLost(uint64_t id) {
  PushJob job = *push_.Find(id);
  ++job.losses;
  int64_t wait_ms = PushWait(job.losses, kPushLossWaitMaxMs);
  bool last = job.losses >= kPushLossesMax;
  PushAgain(std::move(job), wait_ms, last ? "its gateway went away" : "");
}

// Doubled each time.
int64_t Engine::PushWait(uint32_t times, int64_t max_ms) const {
  int64_t wait_ms = std::max<int64_t>(1, options_.push_retry_ms);
  for (uint32_t i = 1; i < times && wait_ms < max_ms; ++i) wait_ms *= 2;
  return std::min(wait_ms, max_ms);
}

// `given_up`: why it isn't handed out again; empty: it is.
void Engine::PushAgain(PushJob job, int64_t wait_ms, const std::string& given_up) {
  uint64_t id = job.record.id;
  job.taker = 0;
  job.due_ms = now_ms_ + wait_ms;
  push_.Move(std::move(job));
  if (!given_up.empty() && log_->journal_ok()) EndPushJob(id, given_up, &Change());
}

// push/done.

void Engine::PushDone(Session& session, const Asker& asker, std::string_view payload) {
  if (!session.service) {
    return Refuse(asker, {Code::kDenied, "only a service account may end a push job"});
  }
  auto done = ParseObject(payload);
  if (!done) return Refuse(asker, done.error());
  PushOutcome outcome;
  if (Status status = ReadPushOutcome(*done, &outcome); !status.ok()) return Refuse(asker, status);
  const PushJob* job = push_.Find(outcome.id);
  bool stale = job == nullptr ||
               outcome.number > std::max(NumberOf(job->record), job->handed_number) ||
               (job->taker != session.id && outcome.kind != PushOutcome::Kind::kOk);
  if (stale) return Refuse(asker, {Code::kNotFound, "no such job is in your hands"});
  if (!log_->journal_ok()) return Refuse(asker, Unwritable());
  TakePushOutcome(*job, outcome);
}

Status Engine::ReadPushOutcome(const json& done, PushOutcome* outcome) {
  Status status = OnlyKnown(done, {"job", "ok", "gone", "failed", "drop", "retry_after_ms"});
  std::string name, failed, drop;
  if (status.ok()) status = ReadString(done, "job", &name);
  if (status.ok()) status = ReadString(done, "failed", &failed);
  if (status.ok()) status = ReadString(done, "drop", &drop);
  if (!status.ok()) return status;
  if (!ParseName(name, &outcome->id, &outcome->number)) {
    return {Code::kBadRequest, "'job' must be a job's name"};
  }
  auto is = [&done](const char* member) { return done.value(member, json()) == json(true); };
  size_t kinds = 0;
  auto take = [&](bool there, PushOutcome::Kind kind) {
    if (!there) return;
    ++kinds;
    outcome->kind = kind;
  };
  take(is("ok"), PushOutcome::Kind::kOk);
  take(is("gone"), PushOutcome::Kind::kGone);
  take(!failed.empty(), PushOutcome::Kind::kFailed);
  take(!drop.empty(), PushOutcome::Kind::kDrop);
  if (kinds != 1) {
    return {Code::kBadRequest,
            "one of \"ok\":true, \"gone\":true, \"failed\":\"<why>\", \"drop\":\"<why>\""};
  }
  outcome->reason = CutText(failed.empty() ? drop : failed, kPushReasonBytesMax);
  status = ReadNumber(done, "retry_after_ms", 0, UINT64_MAX, &outcome->retry_after_ms);
  outcome->retry_after_ms = std::min(outcome->retry_after_ms, kRetryAfterMaxMs);
  return status;
}

void Engine::TakePushOutcome(const PushJob& job, const PushOutcome& outcome) {
  const uint64_t id = outcome.id;
  switch (outcome.kind) {
    case PushOutcome::Kind::kOk:
      return PushDelivered(job, outcome.number);
    case PushOutcome::Kind::kGone:
      return PushGone(job);
    case PushOutcome::Kind::kFailed:
      return PushFailed(id, outcome.reason, static_cast<int64_t>(outcome.retry_after_ms));
    case PushOutcome::Kind::kDrop:
      return EndPushJob(id, outcome.reason, &Change());
  }
}

// The device was woken for the messages up to `number`. What came after them is the next job. Of
// what was handed out last the count says whether there is any: a group's numbers may have become
// its own in place of the user's meanwhile.
void Engine::PushDelivered(const PushJob& done, uint64_t number) {
  PushJob job = done;
  Transaction& change = Change();
  Lsn lsn = change.lsn;
  EndPushJob(job.record.id, "", &change);
  ++counts_.push_delivered[static_cast<size_t>(job.record.provider)];
  RememberWoken(job.record);
  bool handed = number == job.handed_number;
  bool more = handed ? job.record.count > job.handed_count : number < NumberOf(job.record);
  if (!more) return;
  PushJob next;
  next.record = job.record;
  next.record.id = (lsn.value() << 16) + change.records.size();
  next.record.created_ms = now_ms_;
  next.record.count = handed ? job.record.count - job.handed_count : 1;
  next.due_ms = now_ms_ + std::max(options_.push_delay_ms, options_.push_again_s * 1000);
  change.records.emplace_back(next.record);
  push_.Put(std::move(next), lsn);
}

// The provider knows the device no more: the opt-in ends, unless it has been renewed meanwhile.
void Engine::PushGone(const PushJob& job) {
  const PushJobRecord record = job.record;
  if (record.provider == PushProvider::kWebhook) {
    return EndPushJob(record.id, "the webhook answers that it is gone", &Change());
  }
  auto end = [this, record, target_ms = job.target_ms](const Status& status) {
    if (push_.Find(record.id) == nullptr || !log_->journal_ok()) return;
    if (!status.ok()) return PushFailed(record.id, "the opt-in can't be read", 0);
    User& user = UserOf(record.user);
    const auto* target = FindPushTarget(user, record.device, record.provider);
    if (target != nullptr && target->ts_ms != target_ms) return PushFailed(record.id, "renewed", 0);
    Transaction& change = Change();
    EndPushJob(record.id, "the target is gone", &change);
    if (target == nullptr) return;
    EndOptIn(user, record.device, record.provider, &change);
    ++counts_.push_gone[static_cast<size_t>(record.provider)];
  };
  if (Load(UserOf(record.user), kPush, end) == Ready::kNow) end(Status());
}

// With all its jobs.
void Engine::EndOptIn(User& user, DeviceId device, PushProvider provider, Transaction* change) {
  PushTargetRecord gone;
  gone.user = user.id;
  gone.device = device;
  gone.provider = provider;
  gone.ts_ms = now_ms_;
  change->records.emplace_back(gone);
  user.lsn = change->lsn;
  std::erase_if(*user.push, [&](const PushTargetRecord& target) {
    return target.device == device && target.provider == provider;
  });
  if (user.push->empty()) user.push.reset();
  for (uint64_t id : push_.OfUser(user.id)) {
    const PushJobRecord& job = push_.Find(id)->record;
    if (job.device == device && job.provider == provider) EndPushJob(id, "", change);
  }
}

// Who was woken lately: not again at once.

void Engine::RememberWoken(const PushJobRecord& job) {
  if (options_.push_again_s == 0 || push_woken_.size() >= options_.push_woken_max) return;
  std::string key = PushTalkOf(job);
  push_woken_[key] = now_ms_;
  push_woken_order_.emplace_back(now_ms_, std::move(key));
}

void Engine::ForgetWoken() {
  int64_t before_ms = now_ms_ - options_.push_again_s * 1000;
  while (!push_woken_order_.empty() && push_woken_order_.front().first <= before_ms) {
    auto [at_ms, key] = std::move(push_woken_order_.front());
    push_woken_order_.pop_front();
    auto found = push_woken_.find(key);
    if (found != push_woken_.end() && found->second <= before_ms) push_woken_.erase(found);
  }
}

// It is here: whatever it is woken for next is new to it.
void Engine::ForgetWoken(const UserId& user) {
  const std::string prefix = user.str() + '\0';
  auto end = push_woken_.lower_bound(prefix);
  auto begin = end;
  while (end != push_woken_.end() && end->first.starts_with(prefix)) ++end;
  push_woken_.erase(begin, end);
}

// Requests.

void Engine::AskPush(const Asker& asker, std::string_view what, const json& request) {
  if (roster_ == nullptr) return Refuse(asker, Unwritable());
  PushTargetRecord wanted;
  wanted.user = asker.user;
  std::optional<PushProvider> provider;
  std::string device;
  Status status = ReadProvider(request, &provider);
  if (status.ok()) status = ReadString(request, "device", &device);
  if (status.ok() && device.empty()) {
    if (ActsForOther(asker)) {
      status = {Code::kBadRequest, "'device' is missing: whose is it?"};
    } else {
      device = FindSession(asker.session)->device.str();
    }
  }
  if (status.ok() && device.size() > kPushDeviceBytesMax) {
    status = {Code::kBadRequest, "no device has so long a name"};
  }
  if (status.ok() && what == "subscribe") status = CheckDevice(device, asker.user);
  if (status.ok() && what == "subscribe") status = ReadOptIn(request, provider, &wanted);
  if (what == "unsubscribe" && request.contains("target")) {
    wanted.target = PushTargetOf(request, provider).dump();
  }
  if (!status.ok()) return Refuse(asker, status);
  wanted.device = DeviceId(device);
  auto go = [this, asker, what, wanted, provider](const Status& loaded) {
    if (!loaded.ok()) return Refuse(asker, loaded);
    if (what == "list") return ListPush(asker, wanted.device);
    User& user = UserOf(asker.user);
    bool writable = log_->journal_ok() && log_->roster_ok() && log_->store_ok(user.id.str());
    if (!writable) return Refuse(asker, Unwritable());
    what == "subscribe" ? SubscribePush(asker, user, wanted)
                        : UnsubscribePush(asker, user, wanted, provider);
  };
  if (Load(UserOf(asker.user), kPush, go) == Ready::kNow) go(Status());
}

Status Engine::ReadOptIn(const json& request, std::optional<PushProvider> provider,
                         PushTargetRecord* wanted) {
  if (!provider) return {Code::kBadRequest, "'provider' is missing"};
  if (!request.contains("target")) return {Code::kBadRequest, "'target' is missing"};
  const json target = PushTargetOf(request, provider);
  if (Status status = CheckTarget(*provider, target); !status.ok()) return status;
  if (auto preview = request.find("preview"); preview != request.end()) {
    if (!preview->is_boolean()) return {Code::kBadRequest, "'preview' must be true or false"};
    wanted->preview = preview->get<bool>();
  }
  wanted->provider = *provider;
  wanted->target = target.dump();
  if (wanted->target.size() > kPushTargetBytesMax) {
    return {Code::kTooLarge, "a target takes " + std::to_string(kPushTargetBytesMax) + " bytes"};
  }
  return ReadMuted(request, &wanted->muted);
}

void Engine::SubscribePush(const Asker& asker, User& user, PushTargetRecord wanted) {
  const auto* known = FindPushTarget(user, wanted.device, wanted.provider);
  size_t count = user.push ? user.push->size() : 0;
  if (known == nullptr && count >= options_.push_targets_max) {
    return Refuse(asker, {Code::kTooLarge,
                          "you have " + std::to_string(count) + " opt-ins, and may have no more"});
  }
  wanted.ts_ms = known != nullptr ? std::max(now_ms_, known->ts_ms + 1) : now_ms_;
  Transaction& change = Change();
  change.records.emplace_back(wanted);
  user.lsn = change.lsn;
  push_users_.insert(HashOf(user.id));
  if (!user.push) user.push = std::make_unique<std::vector<PushTargetRecord>>();
  std::erase_if(*user.push, [&](const PushTargetRecord& one) {
    return one.device == wanted.device && one.provider == wanted.provider;
  });
  user.push->push_back(std::move(wanted));
  Answer(asker, "", change.lsn);
}

// No provider, no target: all of the device's. What isn't there has ended already.
void Engine::UnsubscribePush(const Asker& asker, User& user, const PushTargetRecord& ended,
                             std::optional<PushProvider> provider) {
  const DeviceId device = ended.device;
  std::vector<PushProvider> ending = PushProvidersOf(user, device);
  std::erase_if(ending, [&](PushProvider one) {
    bool other = !ended.target.empty() && FindPushTarget(user, device, one)->target != ended.target;
    return other || (provider && one != *provider);
  });
  if (ending.empty()) return Answer(asker, "");
  Transaction& change = Change();
  for (PushProvider one : ending) EndOptIn(user, device, one, &change);
  Answer(asker, "", change.lsn);
}

void Engine::ListPush(const Asker& asker, const DeviceId& device) {
  const User& user = UserOf(asker.user);
  std::string listed;
  for (size_t i = 0; user.push && i < user.push->size(); ++i) {
    const PushTargetRecord& one = (*user.push)[i];
    if (one.device != device) continue;
    listed += listed.empty() ? "{" : ",{";
    listed += "\"provider\":\"" + std::string(PushProviderName(one.provider)) + "\"";
    listed += ",\"target\":" + one.target;
    listed += one.preview ? ",\"preview\":true" : ",\"preview\":false";
    listed += ",\"muted\":" + json(one.muted).dump();
    AppendMember("since", static_cast<uint64_t>(one.ts_ms), &listed);
    listed += '}';
  }
  Answer(asker, ",\"push\":[" + listed + "]", user.lsn);
}

}  // namespace parley
