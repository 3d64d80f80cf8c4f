// Who is there, and who is typing (PROTOCOL: presence, typing).
//
// `shown` is what a user's contacts were last told. Where StatusOf says something else, the user is
// in presence_due_ with the time from which it may be told: later for who comes, or was lost, so
// that who comes and goes meanwhile is no news. A batch tells all changes that are due, in one
// event to each of the devices that see any. What is asked for is `shown` as well: events go on
// from the answer, whatever lies between.
//
// Typing is passed on or dropped, never kept.
#include <algorithm>

#include "chat/engine.h"
#include "chat/pages.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr size_t kAskedUsersMax = 500;
constexpr size_t kStatusBytesMax = 192;  // of one user's status

// A batch: contacts looked at in one tick, reads for it at once, how long it waits for them.
constexpr size_t kBatchContactsMax = 50'000;
constexpr size_t kBatchReadsMax = 1000;
constexpr int64_t kBatchWaitMs = 500;
constexpr int64_t kRetryMs = 1000;  // where contacts can't be read

// The broker tells of a will right behind the connection's end.
constexpr int64_t kWillWaitMs = 100;

// Typing is the first to go: past so many effects that are on their way.
constexpr size_t kTypingEffectsMax = 2000;
constexpr size_t kTypistsMax = 20'000;  // whose rate is known; then all begin anew

}  // namespace

// One user's status.

Engine::Shown Engine::StatusOf(const User& user, const Session* without) {
  Shown best = Shown::kOffline;
  if (!ValidId(user.id.str())) return best;  // parleyctl and the plugin's own: no accounts
  for (const Session* session : user.sessions) {
    bool there = !session->gone && !session->held && !session->service && !session->invisible;
    if (!there || session == without) continue;
    best = std::max(best, session->away ? Shown::kAway : Shown::kOnline);
  }
  return best;
}

void Engine::StatusChanged(User& user, Shown before) {
  Shown status = StatusOf(user);
  if (status == before) return;
  if (before == Shown::kOffline) ++online_;
  if (status == Shown::kOffline) --online_;
  if (status == Shown::kOffline) {
    user.left_ms = now_ms_;
    PresenceDue(user, kWillWaitMs);
  } else if (before == Shown::kOffline) {
    PresenceDue(user, options_.presence_delay_ms);
  } else if (user.shown != Shown::kOffline) {  // else it is on its way to be shown
    PresenceDue(user, 0);
  }
}

void Engine::PresenceDue(User& user, int64_t in_ms) {
  int64_t due_ms = now_ms_ + in_ms;
  user.presence_due_at = static_cast<uint32_t>(due_ms);
  presence_next_ms_ = presence_due_.empty() ? due_ms : std::min(presence_next_ms_, due_ms);
  if (!user.presence_due) presence_due_.push_back(&user);
  user.presence_due = true;
}

int64_t Engine::DueIn(const User& user) const {
  return static_cast<int32_t>(user.presence_due_at - static_cast<uint32_t>(now_ms_));
}

void Engine::Came(Session& session) {
  if (session.held) return;
  accounts_->RecordSeen(session.user->id, session.device, now_ms_);
  if (!push_woken_.empty()) ForgetWoken(session.user->id);
  StatusChanged(*session.user, StatusOf(*session.user, &session));
}

// The session is about to be `gone`.
void Engine::Went(Session& session) {
  Shown before = StatusOf(*session.user);
  session.gone = true;
  if (!session.held) accounts_->RecordSeen(session.user->id, session.device, now_ms_);
  StatusChanged(*session.user, before);
}

// Its device may come back. In a takeover it has.
void Engine::On(Lost& lost) {
  auto known = users_.find(lost.user);
  if (known == users_.end()) return;
  User& user = *known->second;
  if (StatusOf(user) == Shown::kOffline && user.shown != Shown::kOffline) {
    PresenceDue(user, options_.presence_grace_ms);
  }
  if (MayHavePush(user)) WakeForUnconfirmed(user);
}

void Engine::Says(Session& session, const Asker& asker, std::string_view payload) {
  if (payload != "online" && payload != "away" && payload != "offline") {
    return Refuse(asker, {Code::kBadRequest, "a device is 'online', 'away' or 'offline'"});
  }
  Shown before = StatusOf(*session.user);
  session.away = payload == "away";
  session.invisible = payload == "offline";
  StatusChanged(*session.user, before);
}

// Batches.

bool Engine::IsToTell(const User& user) {
  return StatusOf(user) != user.shown || user.told_offline;
}

void Engine::PresenceTick() {
  if (presence_due_.empty() || now_ms_ < presence_next_ms_) return;
  int64_t since_ms = now_ms_ - presence_told_ms_;
  if (since_ms >= 0 && since_ms < options_.presence_batch_ms) return;
  if (AwaitDueContacts()) return;
  presence_waits_ms_ = 0;
  const Lsn committed = release_->committed();
  StatusLists lists;
  std::vector<User*> later;
  size_t work = 0;
  presence_next_ms_ = INT64_MAX;
  for (User* user : presence_due_) {
    bool tell = IsToTell(*user);
    // Contacts that may yet be taken back are told nothing.
    bool ready = !tell || (Loads(*user, kContacts) && ContactsLsn(*user) <= committed);
    if (DueIn(*user) > 0 || !ready || work >= kBatchContactsMax) {
      presence_next_ms_ = std::min(presence_next_ms_, now_ms_ + DueIn(*user));
      later.push_back(user);
      continue;
    }
    user->presence_due = false;
    if (tell) work += GatherStatus(*user, &lists);
  }
  presence_due_.swap(later);
  for (const auto& [receiver, list] : lists) EmitStatuses(*receiver, list);
  // What was too much for one tick goes on in the next.
  if (work > 0 && work < kBatchContactsMax) presence_told_ms_ = now_ms_;
}

// True where the batch waits, not for too long, for contacts that are being read.
bool Engine::AwaitDueContacts() {
  bool waits = false;
  for (User* user : presence_due_) {
    if (DueIn(*user) > 0 || Loads(*user, kContacts) || !IsToTell(*user)) continue;
    waits = true;
    if ((user->loading & kContacts) != 0 || presence_loads_ >= kBatchReadsMax) continue;
    ++presence_loads_;
    Load(*user, kContacts, [this, user](const Status& status) {
      --presence_loads_;
      if (!status.ok() && user->presence_due) PresenceDue(*user, kRetryMs);
    });
  }
  if (waits && presence_waits_ms_ == 0) presence_waits_ms_ = now_ms_;
  return waits && now_ms_ - presence_waits_ms_ < kBatchWaitMs;
}

// Adds the user's status to the lists of those who see it. Returns how many it looked at.
size_t Engine::GatherStatus(User& user, StatusLists* lists) {
  user.shown = StatusOf(user);
  user.told_offline = false;
  if (!user.contacts) return 1;
  for (const Contact& contact : user.contacts->rows) {
    if (!Visible(contact)) continue;
    auto peer = users_.find(contact.peer);
    if (peer == users_.end() || peer->second->sessions.empty()) continue;
    StatusList& list = (*lists)[peer->second.get()];
    AppendStatus(user.id, user.shown, user.left_ms, &list.json);
    ++list.changes;
    if (list.json.size() + kStatusBytesMax < kMessagesBytesMax) continue;
    EmitStatuses(*peer->second, list);
    list = {};
  }
  return 1 + user.contacts->rows.size();
}

void Engine::EmitStatuses(const User& receiver, const StatusList& list, Lsn needs) {
  if (list.json.empty()) return;
  for (const Session* session : receiver.sessions) {
    if (!session->presence) continue;
    Effect& effect = Emit(session->id, Channel::kPresence);
    effect.payload = "{\"users\":[" + list.json + "]}";
    effect.needs = needs;
    counts_.presence_changes += list.changes;
    ++counts_.presence_publishes;
  }
}

void Engine::AppendStatus(const UserId& user, Shown shown, int64_t last_seen_ms,
                          std::string* list) {
  if (!list->empty()) *list += ',';
  *list += "{\"user\":\"" + user.str() + "\"";
  *list += shown == Shown::kOffline ? ",\"online\":false" : ",\"online\":true";
  if (shown == Shown::kAway) *list += ",\"away\":true";
  if (shown == Shown::kOffline && last_seen_ms > 0) {
    AppendMember("last_seen", static_cast<uint64_t>(last_seen_ms), list);
  }
  *list += '}';
}

// Whoever wrote to somebody who isn't there.

void Engine::TellOffline(SessionId session, User& sender, const UserId& receiver, Lsn needs) {
  const Session* asks = FindSession(session);
  if (asks == nullptr || !asks->presence || asks->user != &sender) return;
  const Contact* contact = FindContact(sender, receiver);
  if (contact == nullptr || !Visible(*contact)) return;
  User& user = UserOf(receiver);
  if (StatusOf(user) != Shown::kOffline) return;
  if (user.left_ms > 0) return EmitOffline(session, user, needs);
  auto job = [accounts = accounts_, session, receiver, needs](const MessageStore&) -> Continuation {
    auto seen = accounts->LastSeen({receiver});
    int64_t seen_ms = seen && !seen->empty() ? seen->front() : 0;
    return [session, receiver, needs, seen_ms](Engine& engine) {
      User& now = engine.UserOf(receiver);
      if (now.left_ms == 0) now.left_ms = seen_ms;
      engine.EmitOffline(session, now, needs);
    };
  };
  Read(sender, std::move(job), [](Engine&, const Status&) {});  // it tells of what was taken back
}

void Engine::EmitOffline(SessionId session, User& receiver, Lsn needs) {
  const Session* asks = FindSession(session);
  if (asks == nullptr || !asks->presence || StatusOf(receiver) != Shown::kOffline) return;
  // Should it come back before the others are told, this one has to be told of that.
  receiver.told_offline = receiver.shown != Shown::kOffline;
  std::string list;
  AppendStatus(receiver.id, Shown::kOffline, receiver.left_ms, &list);
  Effect& effect = Emit(session, Channel::kPresence);
  effect.payload = "{\"users\":[" + list + "]}";
  effect.needs = needs;
}

// Asking.

void Engine::AskPresence(const Asker& asker, const json& request) {
  std::vector<UserId> users;
  bool all = request.contains("contacts");
  if (request.contains("users") == all) {
    return Refuse(asker, {Code::kBadRequest, "'users' or 'contacts', one of them"});
  }
  if (all && request["contacts"] != true) {
    return Refuse(asker, {Code::kBadRequest, "'contacts' can only be true"});
  }
  if (!all && !request["users"].is_array()) {
    return Refuse(asker, {Code::kBadRequest, "'users' must be an array of user ids"});
  }
  if (!all && request["users"].size() > kAskedUsersMax) {
    return Refuse(asker, {Code::kTooLarge, "500 users may be asked for at once"});
  }
  for (const json& user : all ? json::array() : request["users"]) {
    if (!user.is_string() || !ValidId(user.get_ref<const std::string&>())) {
      return Refuse(asker, {Code::kBadRequest, "'users' must be an array of user ids"});
    }
    users.emplace_back(user.get<std::string>());
  }
  if (!all && users.empty()) return Answer(asker, ",\"users\":[]");
  auto read = [this, asker, users](const Status& status) {
    status.ok() ? ReadLastSeen(asker, users) : Refuse(asker, status);
  };
  if (Load(UserOf(asker.user), kContacts, read) == Ready::kNow) read(Status());
}

// Those of `users` (none given: of all) whose presence the user sees.
std::vector<UserId> Engine::VisibleOf(const User& user, const std::vector<UserId>& users) const {
  std::vector<UserId> visible;
  for (const UserId& one : users) {
    const Contact* contact = FindContact(user, one);
    if (contact != nullptr && Visible(*contact)) visible.push_back(one);
  }
  for (size_t i = 0; users.empty() && user.contacts && i < user.contacts->rows.size(); ++i) {
    const Contact& contact = user.contacts->rows[i];
    if (Visible(contact)) visible.push_back(contact.peer);
  }
  return visible;
}

// When those were last seen of whom that isn't in memory; then the answer.
void Engine::ReadLastSeen(const Asker& asker, const std::vector<UserId>& users) {
  User& user = UserOf(asker.user);
  std::vector<UserId> unknown;
  for (const UserId& one : VisibleOf(user, users)) {
    auto known = users_.find(one);
    if (known == users_.end() ||
        (known->second->shown == Shown::kOffline && known->second->left_ms == 0)) {
      unknown.push_back(one);
    }
  }
  if (unknown.empty()) return AnswerPresence(asker, users, {});
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, users, unknown, failed,
              accounts = accounts_](const MessageStore&) -> Continuation {
    auto seen = accounts->LastSeen(unknown);
    if (!seen) return [failed, why = seen.error()](Engine& engine) { failed(engine, why); };
    LastSeen last;
    for (size_t i = 0; i < unknown.size(); ++i) last[unknown[i]] = seen->at(i);
    return [asker, users, last](Engine& engine) { engine.AnswerPresence(asker, users, last); };
  };
  Read(user, std::move(job), failed);
}

// As it is by now: whoever came or went while it was read is known.
void Engine::AnswerPresence(const Asker& asker, const std::vector<UserId>& users,
                            const LastSeen& seen) {
  const User& user = UserOf(asker.user);
  std::string list;
  bool more = false;
  auto add = [&](const UserId& one, bool there) {
    auto known = users_.find(one);
    Shown shown = known != users_.end() ? known->second->shown : Shown::kOffline;
    if ((shown != Shown::kOffline) != there) return;
    int64_t seen_ms = known != users_.end() ? known->second->left_ms : 0;
    if (auto read = seen.find(one); read != seen.end()) seen_ms = std::max(seen_ms, read->second);
    more = more || list.size() + kStatusBytesMax > kMessagesBytesMax;
    if (!more) AppendStatus(one, shown, seen_ms, &list);
  };
  // Who is there comes first: of very many, some are left out.
  const std::vector<UserId> visible = VisibleOf(user, users);
  for (const UserId& one : visible) add(one, true);
  for (const UserId& one : visible) add(one, false);
  Answer(asker, ",\"users\":[" + list + (more ? "],\"more\":true" : "]"), ContactsLsn(user));
}

// Typing.

void Engine::Typing(const Asker& asker, std::string_view to, std::string_view payload) {
  constexpr std::string_view kToGroup = "group/";
  bool to_group = to.starts_with(kToGroup);
  if (to_group) to.remove_prefix(kToGroup.size());
  if (!ValidId(to)) return Refuse(asker, {Code::kBadRequest, "the topic names no user or group"});
  auto request = ParseObject(payload);
  if (!request) return Refuse(asker, request.error());
  Status status = OnlyKnown(*request, {"on"});
  auto on = request->find("on");
  if (status.ok() && (on == request->end() || !on->is_boolean())) {
    status = {Code::kBadRequest, "typing is {\"on\":true} or {\"on\":false}"};
  }
  if (status.ok() && !to_group && !accounts_->Exists(UserId(to))) {
    status = {Code::kNotFound, "no account '" + std::string(to) + "'"};
  }
  if (!status.ok()) return Refuse(asker, status);
  double rate = options_.typing_rate;
  if (typists_.size() >= kTypistsMax) typists_.clear();
  bool dropped = typists_[asker.user].Take(now_ms_, rate, std::max(1.0, rate)) > 0 ||
                 release_->size() > kTypingEffectsMax;
  if (dropped) return;
  auto pass = [this, asker, to_group, id = std::string(to), on = on->get<bool>()](const Status& s) {
    if (!s.ok()) return Refuse(asker, s);
    to_group ? TypeInGroup(asker, GroupId(id), on) : TypeTo(asker, UserId(id), on);
  };
  if (Load(UserOf(asker.user), kContacts, pass) == Ready::kNow) pass(Status());
}

void Engine::TypeTo(const Asker& asker, const UserId& to, bool on) {
  if (Status may = MayReach(UserOf(asker.user), to); !may.ok()) return Refuse(asker, may);
  EmitTyping(to, asker.session,
             "{\"from\":\"" + asker.user.str() + (on ? "\",\"on\":true}" : "\",\"on\":false}"));
}

// To the members of a group that is small enough for an inbox each: in a larger one somebody always
// types, and the one event would be thousands.
void Engine::TypeInGroup(const Asker& asker, const GroupId& id, bool on) {
  if (roster_ == nullptr) return Refuse(asker, NoSuchGroup());
  Group& group = GroupOf(id);
  auto pass = [this, asker, it = &group, on](const Status& status) {
    if (!status.ok()) return Refuse(asker, status);
    if (MemberOf(*it, asker.user) == nullptr) return Refuse(asker, NoSuchGroup());
    if (it->count > options_.inbox_members_max) return;
    const User& from = UserOf(asker.user);
    std::string payload = "{\"from\":\"" + from.id.str() + "\",\"group\":\"" + it->id.str();
    payload += on ? "\",\"on\":true}" : "\",\"on\":false}";
    for (const auto& [user, member] : it->members) {
      if (user == from.id || MemberOf(*it, user) == nullptr) continue;
      const Contact* contact = FindContact(from, user);
      if (contact != nullptr && (contact->blocked || contact->blocked_by)) continue;
      EmitTyping(user, asker.session, payload);
    }
  };
  if (Load(group, pass) == Ready::kNow) pass(Status());
}

void Engine::EmitTyping(const UserId& receiver, SessionId but, const std::string& payload) {
  auto known = users_.find(receiver);
  if (known == users_.end()) return;
  for (const Session* session : known->second->sessions) {
    if (session->typing && session->id != but) {
      Emit(session->id, Channel::kTyping).payload = payload;
    }
  }
}

}  // namespace parley
