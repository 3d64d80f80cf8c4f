// A user's own affairs: contacts and blocks, devices, the account.
//
// Contacts are symmetrical: each side has a row of what stands between the two, and a change writes
// both, in one transaction. A block is a row's, too: `blocked` on the blocker's side, `blocked_by`
// on the other's, which is never told of it; what the two were stays underneath.
#include <algorithm>
#include <map>

#include "chat/client_id.h"
#include "chat/engine.h"
#include "chat/pages.h"
#include "storage/credentials.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr uint64_t kContactsPageMax = 1000;
constexpr size_t kListedBytesMax = kMessagesBytesMax;

constexpr double kPasswordsPerSecond = 0.1;
constexpr double kPasswordsAtOnce = 5;
constexpr size_t kPasswordTriesRemembered = 10'000;
constexpr int64_t kPasswordTriesMs = 60'000;  // by then all of them may be made again

std::string_view StateName(ContactState state) {
  switch (state) {
    case ContactState::kNone:
      return "none";
    case ContactState::kRequested:
      return "requested";
    case ContactState::kAsked:
      return "asked";
    case ContactState::kAccepted:
      return "accepted";
  }
  return "";
}

bool ByPeer(const auto& contact, const UserId& peer) { return contact.peer < peer; }

Result<UserId> ReadUser(const json& request) {
  std::string user;
  if (Status status = ReadString(request, "user", &user); !status.ok()) return Error(status);
  if (!ValidId(user)) return Error(Code::kBadRequest, "'user' must be a user id");
  return UserId(user);
}

// A string that has to be there.
Status ReadText(const json& request, const char* name, std::string* text) {
  if (!request.contains(name)) {
    return {Code::kBadRequest, "'" + std::string(name) + "' is missing"};
  }
  return ReadString(request, name, text);
}

}  // namespace

// Contacts, in memory.

void Engine::TakeContacts(User& user, const std::vector<ContactRecord>& contacts) {
  user.contacts.reset();
  if (contacts.empty()) return;
  user.contacts = std::make_unique<Contacts>();
  auto& rows = user.contacts->rows;
  rows.reserve(contacts.size());
  for (const ContactRecord& record : contacts) {
    rows.push_back({record.peer, record.state, record.blocked, record.blocked_by});
  }
}

// They are read again at need.
void Engine::DropContacts(User& user) {
  user.contacts.reset();
  user.loaded &= static_cast<Parts>(~kContacts);
}

Lsn Engine::ContactsLsn(const User& user) { return user.contacts ? user.contacts->lsn : Lsn(); }

const Engine::Contact* Engine::FindContact(const User& user, const UserId& peer) const {
  if (!user.contacts) return nullptr;
  const auto& rows = user.contacts->rows;
  auto place = std::lower_bound(rows.begin(), rows.end(), peer, ByPeer<Contact>);
  return place != rows.end() && place->peer == peer ? &*place : nullptr;
}

void Engine::PutContact(User& user, const Contact& contact) {
  if (!user.contacts) user.contacts = std::make_unique<Contacts>();
  auto& rows = user.contacts->rows;
  auto place = std::lower_bound(rows.begin(), rows.end(), contact.peer, ByPeer<Contact>);
  bool known = place != rows.end() && place->peer == contact.peer;
  bool none = contact.state == ContactState::kNone && !contact.blocked && !contact.blocked_by;
  if (!known && !none) {
    rows.insert(place, contact);
  } else if (known && !none) {
    *place = contact;
  } else if (known) {
    rows.erase(place);
  }
}

bool Engine::Visible(const Contact& contact) {
  return contact.state == ContactState::kAccepted && !contact.blocked && !contact.blocked_by;
}

Status Engine::MayReach(const User& from, const UserId& to) const {
  if (from.id == to) return {};
  const Contact* contact = FindContact(from, to);
  if (contact != nullptr && contact->blocked_by) {
    return {Code::kDenied, "'" + to.str() + "' wants nothing from you"};
  }
  if (contact != nullptr && contact->state == ContactState::kAccepted) return {};
  if (accounts_->StrangersAllowed(accounts_->KeyOf(to)) &&
      accounts_->StrangersAllowed(accounts_->KeyOf(from.id))) {
    return {};
  }
  return {Code::kDenied, "'" + to.str() + "' is no contact of yours"};
}

// What is asked of them.

void Engine::AskContacts(const Asker& asker, std::string_view what, const json& request) {
  if (what == "list") return ListContacts(asker, request);
  auto peer = ReadUser(request);
  if (!peer) return Refuse(asker, peer.error());
  if (*peer == asker.user) {
    return Refuse(asker, {Code::kBadRequest, "nobody is a contact of their own"});
  }
  if (!accounts_->Exists(*peer)) {
    return Refuse(asker, {Code::kNotFound, "no account '" + peer->str() + "'"});
  }
  if (roster_ == nullptr) return Refuse(asker, Unwritable());
  // Both sides' are read first; what comes meanwhile waits behind it.
  auto go = [this, asker, what, request](const Status& status) {
    if (!status.ok()) return Refuse(asker, status);
    AskContacts(asker, what, request);
  };
  User& user = UserOf(asker.user);
  User& other = UserOf(*peer);
  if (Load(user, kContacts, go) == Ready::kLater || Load(other, kContacts, go) == Ready::kLater) {
    return;
  }
  ChangeContact(asker, what, user, other);
}

std::string Engine::ContactJson(const Contact& contact) {
  std::string text = "{\"user\":\"" + contact.peer.str() + "\",\"state\":\"";
  text += StateName(contact.state);
  text += contact.blocked ? "\",\"blocked\":true}" : "\"}";
  return text;
}

void Engine::ListContacts(const Asker& asker, const json& request) {
  std::string after;
  uint64_t limit = kContactsPageMax;
  Status status = ReadString(request, "after", &after);
  if (status.ok()) status = ReadNumber(request, "limit", 1, kContactsPageMax, &limit);
  if (!status.ok()) return Refuse(asker, status);
  auto list = [this, asker, after = UserId(after), limit](const Status& loaded) {
    if (!loaded.ok()) return Refuse(asker, loaded);
    const User& user = UserOf(asker.user);
    std::string listed;
    uint64_t count = 0;
    bool more = false;
    for (size_t i = 0; user.contacts && i < user.contacts->rows.size(); ++i) {
      const Contact& contact = user.contacts->rows[i];
      // Who has only blocked the user is not told of.
      if (contact.state == ContactState::kNone && !contact.blocked) continue;
      if (contact.peer <= after) continue;
      more = count == limit;
      if (more) break;
      listed += (listed.empty() ? "" : ",") + ContactJson(contact);
      ++count;
    }
    Answer(asker, ",\"contacts\":[" + listed + (more ? "],\"more\":true" : "],\"more\":false"),
           ContactsLsn(user));
  };
  if (Load(UserOf(asker.user), kContacts, list) == Ready::kNow) list(Status());
}

// What a request makes of the two sides.
Status Engine::ChangeSides(std::string_view what, Contact* mine, Contact* theirs) {
  using State = ContactState;
  if (what == "block" || what == "unblock") {
    mine->blocked = theirs->blocked_by = what == "block";
    return {};
  }
  if (what == "remove") {
    mine->state = theirs->state = State::kNone;
    return {};
  }
  if (mine->blocked_by) {
    return {Code::kDenied, "'" + mine->peer.str() + "' wants nothing from you"};
  }
  if (mine->state == State::kAsked) {
    mine->state = theirs->state = State::kAccepted;
  } else if (what == "accept" && mine->state != State::kAccepted) {
    return {Code::kNotFound, "'" + mine->peer.str() + "' has not asked"};
  } else if (mine->state == State::kNone) {
    mine->state = State::kRequested;
    theirs->state = State::kAsked;
  }
  return {};
}

// A user's own contacts, requests and blocks are bounded, and others' requests to it apart from
// them, so that they can't use up its room.
Status Engine::CheckRoom(const User& user, const Contact& now) const {
  auto own = [](const Contact& c) {
    return c.blocked || c.state == ContactState::kRequested || c.state == ContactState::kAccepted;
  };
  auto asked = [](const Contact& c) { return c.state == ContactState::kAsked; };
  const Contact* known = FindContact(user, now.peer);
  const Contact was = known != nullptr ? *known : Contact{.peer = now.peer};
  auto full = [&](auto counts) {
    if (!counts(now) || counts(was) || !user.contacts) return false;
    const auto& rows = user.contacts->rows;
    auto count = std::count_if(rows.begin(), rows.end(), counts);
    return static_cast<size_t>(count) >= options_.contacts_max;
  };
  if (!full(own) && !full(asked)) return {};
  return {Code::kTooLarge, "'" + user.id.str() + "' has " + std::to_string(options_.contacts_max) +
                               (full(own) ? " contacts and blocks" : " requests") +
                               ", and room for no more"};
}

// Both sides' contacts are loaded.
void Engine::ChangeContact(const Asker& asker, std::string_view what, User& user, User& peer) {
  bool writable = log_->journal_ok() && log_->roster_ok() && log_->store_ok(user.id.str()) &&
                  log_->store_ok(peer.id.str());
  if (!writable) return Refuse(asker, Unwritable());
  auto side = [this](const User& of, const UserId& with) {
    const Contact* known = FindContact(of, with);
    return known != nullptr ? *known : Contact{.peer = with};
  };
  const Contact my_was = side(user, peer.id);
  const Contact their_was = side(peer, user.id);
  Contact mine = my_was;
  Contact theirs = their_was;
  Status status = ChangeSides(what, &mine, &theirs);
  if (status.ok()) status = CheckRoom(user, mine);
  if (status.ok()) status = CheckRoom(peer, theirs);
  if (!status.ok()) return Refuse(asker, status);
  const std::string answer = ",\"contact\":" + ContactJson(mine);
  if (mine == my_was && theirs == their_was) return Answer(asker, answer, ContactsLsn(user));

  Transaction& change = Change();
  Lsn lsn = change.lsn;
  auto record = [&](User& of, const Contact& now) {
    PutContact(of, now);
    of.lsn = of.contacts->lsn = lsn;
    change.records.emplace_back(
        ContactRecord{of.id, now.peer, now.state, now.blocked, now.blocked_by});
  };
  record(user, mine);
  record(peer, theirs);
  Answer(asker, answer, lsn);
  TellContact(user, my_was, mine, lsn);
  TellContact(peer, their_was, theirs, lsn);
}

// To the user's devices: what became of the contact, and the status of somebody whose presence
// they see from now on, or no longer. That they were blocked is nothing they are told.
void Engine::TellContact(const User& user, const Contact& was, const Contact& now, Lsn needs) {
  const User& peer = UserOf(now.peer);
  std::string users;
  if (Visible(now) && !Visible(was)) AppendStatus(peer.id, peer.shown, peer.left_ms, &users);
  if (!Visible(now) && Visible(was) && peer.shown != Shown::kOffline) {
    AppendStatus(peer.id, Shown::kOffline, 0, &users);
  }
  std::string contacts;
  if (now.state != was.state || now.blocked != was.blocked) contacts = ContactJson(now);
  if (users.empty() && contacts.empty()) return;
  for (const Session* session : user.sessions) {
    if (!session->presence) continue;
    Effect& effect = Emit(session->id, Channel::kPresence);
    effect.payload = "{\"users\":[" + users + "],\"contacts\":[" + contacts + "]}";
    effect.needs = needs;
  }
}

// Devices.

bool Engine::ActsForOther(const Asker& asker) {
  const Session* session = FindSession(asker.session);
  return session == nullptr || session->user->id != asker.user;
}

void Engine::AskDevices(const Asker& asker, const json&) {
  struct Listed {
    Seq delivered;
    int64_t seen_ms = 0;
    bool online = false;
  };
  std::map<std::string, Listed> devices;
  User& user = UserOf(asker.user);
  for (const Session* session : user.sessions) {
    if (session->gone || session->held) continue;
    devices[session->device.str()] = {session->cursor.value_or(Seq()), now_ms_, true};
  }
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, devices, failed,
              accounts = accounts_](const MessageStore& store) mutable -> Continuation {
    auto fail = [&](const Status& why) { return [failed, why](Engine& e) { failed(e, why); }; };
    auto cursors = store.ReadDevices(asker.user);
    if (!cursors) return fail(cursors.error());
    auto seen = accounts->Devices(asker.user);
    if (!seen) return fail(seen.error());
    for (const DeviceCursor& cursor : *cursors) {
      Listed& device = devices[cursor.device.str()];
      device.delivered = std::max(device.delivered, cursor.delivered);
      device.seen_ms = std::max(device.seen_ms, cursor.ts_ms);
    }
    for (const Device& one : *seen) {
      Listed& device = devices[one.id.str()];
      device.seen_ms = std::max(device.seen_ms, one.last_seen_ms);
    }
    std::multimap<int64_t, const std::pair<const std::string, Listed>*> latest;
    for (const auto& device : devices) latest.emplace(-device.second.seen_ms, &device);
    std::string listed;
    for (const auto& [order, one] : latest) {
      std::string text = "{\"device\":";
      AppendJsonString(one->first, &text);
      AppendMember("delivered", one->second.delivered.value(), &text);
      AppendMember("last_seen", static_cast<uint64_t>(one->second.seen_ms), &text);
      text += one->second.online ? ",\"online\":true}" : ",\"online\":false}";
      if (listed.size() + text.size() > kListedBytesMax) continue;  // a name of 64 KiB
      listed += (listed.empty() ? "" : ",") + text;
    }
    return [asker, members = ",\"devices\":[" + listed + "]"](Engine& engine) {
      engine.Answer(asker, members);
    };
  };
  Read(user, std::move(job), failed);
}

void Engine::AskRemoveDevice(const Asker& asker, const json& request) {
  if (ActsForOther(asker)) {
    return Refuse(asker, {Code::kDenied, "only its user may remove a device"});
  }
  std::string name;
  if (Status status = ReadText(request, "device", &name); !status.ok()) {
    return Refuse(asker, status);
  }
  if (name.size() > kTokenDeviceBytesMax) {
    return Refuse(asker, {Code::kBadRequest, "no device has so long a name"});
  }
  User& user = UserOf(asker.user);
  DeviceId device{name};
  bool here = std::any_of(user.sessions.begin(), user.sessions.end(),
                          [&](const Session* session) { return session->device == device; });
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, device, here, failed,
              accounts = accounts_](const MessageStore& store) -> Continuation {
    auto fail = [&](const Status& why) { return [failed, why](Engine& e) { failed(e, why); }; };
    Status removed = accounts->RemoveDevice(asker.user, device);
    if (!removed.ok() && removed.code() != Code::kNotFound) return fail(removed);
    auto cursors = store.ReadDevices(asker.user);
    if (!cursors) return fail(cursors.error());
    bool known = here || std::any_of(cursors->begin(), cursors->end(),
                                     [&](const DeviceCursor& c) { return c.device == device; });
    if (!removed.ok() && !known) return fail(removed);
    return [asker, device](Engine& engine) { engine.RemoveDevice(asker, device); };
  };
  Read(user, std::move(job), failed);
}

// Its tokens are void by now. Its cursor goes and its opt-ins end; its connection ends after the
// answer.
void Engine::RemoveDevice(const Asker& asker, const DeviceId& device) {
  User& user = UserOf(asker.user);
  auto again = [this, asker, device](const Status& status) {
    status.ok() ? RemoveDevice(asker, device) : Refuse(asker, status);
  };
  if (MayHavePush(user) && Load(user, kPush, again) == Ready::kLater) return;
  if (!log_->journal_ok() || !log_->store_ok(user.id.str())) return Refuse(asker, Unwritable());
  Transaction& change = Change();
  change.records.emplace_back(DeviceGoneRecord{user.id, device});
  for (PushProvider provider : PushProvidersOf(user, device)) {
    EndOptIn(user, device, provider, &change);
  }
  user.lsn = change.lsn;
  Answer(asker, "", change.lsn);
  Shown before = StatusOf(user);
  for (Session* session : user.sessions) {
    if (session->device != device || session->gone) continue;
    session->gone = session->removed = true;
    session->cursor.reset();
    // Whatever becomes of the change: its token is no longer good.
    Emit(session->id, Channel::kAnswer).close = true;
  }
  StatusChanged(user, before);
}

// The account.

void Engine::AskAccount(const Asker& asker, std::string_view what, const json& request) {
  if (what == "get") return AskAccountInfo(asker, std::nullopt);
  if (what == "set") {
    std::string name;
    Status status = ReadText(request, "name", &name);
    if (status.ok() && name.size() > kNameBytesMax) {
      status = {Code::kTooLarge, "a name takes " + std::to_string(kNameBytesMax) + " bytes"};
    }
    if (!status.ok()) return Refuse(asker, status);
    return AskAccountInfo(asker, std::move(name));
  }
  if (ActsForOther(asker)) {
    return Refuse(asker, {Code::kDenied, "only the account's own devices may ask for that"});
  }
  return what == "password" ? AskPassword(asker, request) : AskToken(asker, request);
}

// After it was given `name`, where there is one.
void Engine::AskAccountInfo(const Asker& asker, std::optional<std::string> name) {
  reads_.push_back(
      [asker, name, named = ActsForOther(asker), accounts = accounts_]() -> Continuation {
        Status status = name ? accounts->SetName(asker.user, *name) : Status();
        auto info = status.ok() ? accounts->Info(asker.user) : Error(status);
        if (!info) return [asker, why = info.error()](Engine& e) { e.Refuse(asker, why); };
        std::string members;
        if (!named) members += ",\"user\":\"" + asker.user.str() + "\"";  // a gateway's has it
        members += ",\"role\":\"" + info->role + "\",\"key\":\"" + info->key.str() + "\"";
        if (!info->name.empty()) {
          members += ",\"name\":";
          AppendJsonString(info->name, &members);
        }
        members += info->has_password ? ",\"has_password\":true" : ",\"has_password\":false";
        AppendMember("created", static_cast<uint64_t>(info->created_ms), &members);
        return [asker, members](Engine& engine) { engine.Answer(asker, members); };
      });
}

void Engine::AskPassword(const Asker& asker, const json& request) {
  std::string old_password, new_password;
  Status status = ReadText(request, "old", &old_password);
  if (status.ok()) status = ReadText(request, "new", &new_password);
  if (status.ok() && (new_password.empty() || new_password.size() > kPasswordBytesMax)) {
    status = {Code::kBadRequest,
              "'new' must have 1 to " + std::to_string(kPasswordBytesMax) + " bytes"};
  }
  if (!status.ok()) return Refuse(asker, status);
  if (int64_t wait_ms = TakePasswordTry(asker.user); wait_ms > 0) {
    return Refuse(asker, {Code::kQuota, "too many new passwords; try again later"}, wait_ms);
  }
  reads_.push_back([asker, old_password, new_password, accounts = accounts_]() -> Continuation {
    Status changed = accounts->ChangePassword(asker.user, old_password, new_password);
    return [asker, changed](Engine& engine) {
      if (!changed.ok()) return engine.Refuse(asker, changed);
      engine.Answer(asker, "");
      engine.EndOthers(asker);
    };
  });
}

// Whoever came in with what was good before: all of the user's connections but the asking one.
void Engine::EndOthers(const Asker& asker) {
  for (const Session* session : UserOf(asker.user).sessions) {
    if (session->id == asker.session || session->gone) continue;
    Emit(session->id, Channel::kAnswer).close = true;
  }
}

// A try costs two hashes, whether it succeeds or not. 0: it may be made; else in how many ms.
int64_t Engine::TakePasswordTry(const UserId& user) {
  if (password_tries_.size() >= kPasswordTriesRemembered && !password_tries_.contains(user)) {
    std::erase_if(password_tries_, [this](const auto& one) {
      return now_ms_ - one.second.used_ms >= kPasswordTriesMs;
    });
    if (password_tries_.size() >= kPasswordTriesRemembered) return kPasswordTriesMs;
  }
  PasswordTries& tries = password_tries_[user];
  tries.used_ms = now_ms_;
  return tries.bucket.Take(now_ms_, kPasswordsPerSecond, kPasswordsAtOnce);
}

// For all of the user's devices, where it names none.
void Engine::AskToken(const Asker& asker, const json& request) {
  uint64_t ttl_s = kTokenTtlDefaultS;
  std::string device;
  Status status = ReadNumber(request, "ttl", kTokenTtlMinS, kTokenTtlAskedMaxS, &ttl_s);
  if (status.ok()) status = ReadString(request, "device", &device);
  if (status.ok() && device.empty() && request.contains("device")) {
    status = {Code::kBadRequest, "'device' is empty"};
  }
  if (status.ok()) status = CheckDevice(device, asker.user);
  if (!status.ok()) return Refuse(asker, status);
  // By the clock of before it is issued: it is good for at least so long.
  uint64_t expires_ms = static_cast<uint64_t>(now_ms_) + ttl_s * 1000;
  reads_.push_back([asker, ttl_s, expires_ms, device = DeviceId(device),
                    accounts = accounts_]() -> Continuation {
    auto token = accounts->IssueToken(asker.user, device, static_cast<int64_t>(ttl_s));
    if (!token) return [asker, why = token.error()](Engine& e) { e.Refuse(asker, why); };
    std::string members = ",\"token\":";
    AppendJsonString(*token, &members);
    AppendMember("expires", expires_ms, &members);
    return [asker, members](Engine& engine) { engine.Answer(asker, members); };
  });
}

}  // namespace parley
