// What devices do, as the broker tells it, becomes commands for the engine; what they may not do is
// refused here.
#include <cstdlib>
#include <cstring>
#include <utility>

#include "chat/control.h"
#include "plugin/host.h"

namespace parley {
namespace {

// What a session may send before its password is verified.
constexpr size_t kHeldCommandsMax = 100;
constexpr size_t kHeldBytesMax = 256 << 10;
// Fewer than these leave enough of what may be in flight: max_inflight_messages, or what an MQTT 5
// client says, which may be 1.
constexpr uint16_t kDroppedMax = 10;
constexpr uint16_t kDroppedMaxV5 = 1;

constexpr size_t kCorrelationBytesMax = 1024;

constexpr int kProtocolMqtt5 = 5;

// An MQTT 5 session can last after a clean start, too: its expiry can't be read here.
bool MayLast(const mosquitto* client) {
  return !mosquitto_client_clean_session(client) ||
         mosquitto_client_protocol_version(client) == kProtocolMqtt5;
}

Status Busy() { return {Code::kBusy, "the backlog is full; try again"}; }

// One answer for all: nobody learns what groups there are.
Status NotInGroup() { return {Code::kDenied, "not a member of a group of delivery topic"}; }

// Takes the message out of the broker's hands: it is acknowledged and delivered to nobody (no
// subscription matches a topic that begins with $). The topic is edited in place: a new one would
// leak in 2.0.11 and be freed in later versions.
void Hide(mosquitto_evt_message* event) {
  event->topic[0] = '$';
  event->retain = false;
  event->payload = nullptr;
  event->payloadlen = 0;
}

}  // namespace

// Logins.

int Host::OnBasicAuth(mosquitto_evt_basic_auth* event) {
  mosquitto* client = event->client;
  std::string_view user = event->username == nullptr ? "" : event->username;
  std::string_view password = event->password == nullptr ? "" : event->password;
  const char* id = mosquitto_client_id(client);
  const char* address = mosquitto_client_address(client);
  std::string client_id = id == nullptr ? "" : id;
  // After a reload the broker asks again for everybody that it knows: nothing begins here.
  if (Session* known = sessions_.Find(client)) return Recheck(known->who);
  if (reloading_) return Recheck({UserId(user), DeviceId(client_id)});

  std::string why;
  if (user.empty()) {
    why = "anonymous";
  } else if (engine_->overrun()) {
    why = LoginRefusalName(LoginRefusal::kBusy);
  } else if (ClientIdAllowed(client, UserId(user), &why)) {
    // A login that may still turn out wrong must not end somebody's session, or take it.
    bool may_pend = !sessions_.Connected(client_id) && !sessions_.Away(client_id);
    LoginResult result =
        logins_->Check(user, client_id, password, address == nullptr ? "" : address, may_pend);
    if (result.kind != LoginResult::Kind::kRefused) {
      StartSession(client, {UserId(user), DeviceId(client_id)}, result);
      return MOSQ_ERR_SUCCESS;
    }
    why = LoginRefusalName(result.refusal);
  }
  ++figures_.refused_login;
  mosquitto_log_printf(MOSQ_LOG_NOTICE, "parley: auth: refused user=%.64s reason=%s addr=%s",
                       ValidId(user) ? std::string(user).c_str() : "?", why.c_str(),
                       address == nullptr ? "?" : address);
  return MOSQ_ERR_AUTH;
}

int Host::Recheck(const Who& who) {
  if (who.user.str() == kControlUser) return MOSQ_ERR_SUCCESS;
  auto account = directory_->Find(who.user);
  return account && !account->disabled ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH;
}

bool Host::ClientIdAllowed(mosquitto* client, const UserId& user, std::string* why) {
  const char* id = mosquitto_client_id(client);
  const std::string client_id = id == nullptr ? "" : id;
  int64_t now_s = env_->NowMs() / 1000;
  if (!CheckClientId(client_id, user).ok()) {
    *why = "bad_client_id";
  } else if (sessions_.HeldByOther(client_id, user, now_s)) {
    *why = "client_id_taken";
  } else if (MayLast(client) && !sessions_.MayLast(client_id, user, now_s)) {
    *why = "too_many_lasting";
  }
  return why->empty();
}

void Host::StartSession(mosquitto* client, Who who, const LoginResult& login) {
  bool clean = mosquitto_client_clean_session(client);
  bool pending = login.kind == LoginResult::Kind::kPending;
  who.role = login.control ? Role::kAdmin : login.account.role;
  if (pending) {
    auto account = directory_->Find(who.user);
    who.role = account && account->role == Role::kService ? Role::kService : Role::kUser;
  }
  Session& session = sessions_.Add(client, std::move(who), !clean);
  figures_.sessions = sessions_.size();
  session.lasting = MayLast(client);
  session.expires_s = login.expires_s;
  if (pending) {
    session.held = std::make_unique<Held>();
    awaiting_[login.ticket] = session.id;
  } else {
    ++figures_.logins;
  }
  Introduce(session);
}

// The engine learns of the session, and of what it is subscribed to.
void Host::Introduce(Session& session) {
  Connected connected;
  connected.session = session.id;
  connected.user = session.who.user;
  connected.device = session.who.device;
  connected.service = session.who.role == Role::kService;
  connected.held = session.held != nullptr;
  engine_->PostAlways(std::move(connected));
  for (size_t i = 0; i < kChannels; ++i) {
    if (session.to.qos[i] != kNotSubscribed) {
      engine_->PostAlways(Subscribed{session.id, static_cast<Channel>(i), {}, 0, true});
    }
  }
  if (!session.held) {
    for (const GroupId& group : LeaveGroups(session)) {
      RefuseTopic(session, "group/" + group.str(), NotInGroup());
    }
  }
  if (!session.to.groups) return;
  for (const auto& [group, qos] : *session.to.groups) {
    engine_->PostAlways(Subscribed{session.id, Channel::kGroup, group, qos});
  }
}

// Of the groups that it was subscribed to, or may have named before its password was verified, only
// those of its user's stay. Returns the others.
std::vector<GroupId> Host::LeaveGroups(Session& session) {
  std::vector<GroupId> others;
  if (!session.to.groups) return others;
  for (const auto& [group, qos] : *session.to.groups) {
    if (!topic_members_.Has(group, session.who.user)) others.push_back(group);
  }
  for (const GroupId& group : others) session.to.RemoveGroup(group);
  return others;
}

// Its password was right: what waited on either side goes on.
void Host::Welcome(Session& session) {
  ++figures_.logins;
  auto held = std::move(session.held);
  LeaveGroups(session);  // the engine has refused them by name
  engine_->PostAlways(Welcomed{session.id});
  for (Command& command : held->commands) engine_->PostAlways(std::move(command));
  for (const Effect& effect : held->effects) Deliver(session, effect);
}

void Host::TakeVerdicts() {
  for (auto& verdict : logins_->TakeVerdicts()) {
    if (auto vouching = vouches_.extract(verdict.ticket)) {
      AnswerVouch(vouching.mapped(), verdict.result);
      continue;
    }
    auto awaiting = awaiting_.extract(verdict.ticket);
    Session* pending = awaiting.empty() ? nullptr : sessions_.Find(awaiting.mapped());
    if (pending == nullptr) continue;  // it went away meanwhile
    if (verdict.result.kind == LoginResult::Kind::kAccepted) {
      pending->who.role = verdict.result.account.role;
      Welcome(*pending);
      continue;
    }
    ++figures_.refused_login;
    mosquitto_log_printf(MOSQ_LOG_NOTICE, "parley: auth: refused user=%s reason=%s",
                         pending->who.user.str().c_str(),
                         std::string(LoginRefusalName(verdict.result.refusal)).c_str());
    Kick(pending->who.device.str());
  }
}

void Host::OnDisconnect(mosquitto* client) {
  if (SessionId id = sessions_.Remove(client, env_->NowMs() / 1000)) {
    figures_.sessions = sessions_.size();
    engine_->PostAlways(Disconnected{id});
  }
}

void Host::OnReload() { reloading_ = true; }

// Access.

int Host::OnAclCheck(mosquitto_evt_acl_check* event) {
  if (kicking_ && event->access == MOSQ_ACL_SUBSCRIBE) return MOSQ_ERR_SUCCESS;
  Session* session = sessions_.Find(event->client);
  if (session == nullptr || sessions_.TakenOver(*session)) return Will(session, *event);
  switch (event->access) {
    case MOSQ_ACL_READ:
      if (!session->held && MayReceive(session->who, event->topic)) return MOSQ_ERR_SUCCESS;
      Dropped(*session, mosquitto_client_protocol_version(event->client) == kProtocolMqtt5);
      return MOSQ_ERR_ACL_DENIED;
    case MOSQ_ACL_WRITE:
      return AclWrite(*session, *event);
    case MOSQ_ACL_SUBSCRIBE:
      return AclSubscribe(*session, *event);
    case MOSQ_ACL_UNSUBSCRIBE:
      return AclUnsubscribe(*session, event->topic);
    default:
      return MOSQ_ERR_ACL_DENIED;
  }
}

// What the broker had kept for a session it drops when the session returns, as nobody may READ it:
// the device is sent it from the log. But Mosquitto 2.0 counts what it drops there as in flight
// (2.0.11, handle_connect.c: connection_check_acl gives no quota back), and a session with as many
// as may be in flight would get nothing more, for ever. So it is to come again; then there are
// none.
void Host::Dropped(Session& session, bool v5) {
  if (session.arrived) return;
  if (++session.dropped != (v5 ? kDroppedMaxV5 : kDroppedMax)) return;
  ToBroker([this, id = session.id] {
    if (const Session* returned = sessions_.Find(id)) Close(*returned);
  });
}

// A last will. The broker asks about one as about a PUBLISH, with its client's pointer, and no
// MESSAGE follows; so what tells them apart is when (context__disconnect, connect__on_authorised):
//
// - A lost connection's: right behind the pointer's DISCONNECT (2.1: or CLIENT_OFFLINE).
// - In a clean takeover: within the new session's CONNECT, behind its BASIC_AUTH and before the old
//   pointer's DISCONNECT. A session that was taken over reads no more: all that it still wants to
//   write is its will.
// - Otherwise (one that was delayed): from a pointer that is nobody's.
//
// It is never published. One on its own user's presence says that the connection was lost, where
// else it would count as closed; whose it is comes from the session, not from the dead client, and
// a session whose password was never verified is nobody's. A delayed will comes when the end has
// been told long since, and says nothing new. There is nobody to whom to tell a refusal.
int Host::Will(const Session* taken_over, const mosquitto_evt_acl_check& event) {
  if (event.access != MOSQ_ACL_WRITE) return MOSQ_ERR_ACL_DENIED;
  UserId user = sessions_.TakeEnded(event.client);
  if (taken_over != nullptr && !taken_over->held) user = taken_over->who.user;
  if (!user.empty() && PresenceOf(event.topic) == user.str()) {
    engine_->PostAlways(Lost{std::move(user)});
  }
  return MOSQ_ERR_ACL_DENIED;
}

int Host::AclWrite(Session& session, const mosquitto_evt_acl_check& event) {
  auto kind = MayPublish(session.who, event.topic);
  Status status = kind ? Status() : kind.error();
  if (status.ok() && event.retain) {
    status = {Code::kDenied, "retained messages are not taken: everything here is stored anyway"};
  }
  if (status.ok()) return MOSQ_ERR_SUCCESS;
  ++figures_.refused_publish;
  RefuseTopic(session, event.topic, status);
  return MOSQ_ERR_ACL_DENIED;
}

int Host::AclSubscribe(Session& session, const mosquitto_evt_acl_check& event) {
  session.arrived = true;
  auto subscription = MaySubscribe(session.who, event.topic);
  Status status = subscription ? Subscribe(session, *subscription, static_cast<int8_t>(event.qos))
                               : subscription.error();
  if (status.ok()) return MOSQ_ERR_SUCCESS;
  ++figures_.refused_subscribe;
  RefuseTopic(session, event.topic, status);
  return MOSQ_ERR_ACL_DENIED;
}

Status Host::Subscribe(Session& session, const Subscription& to, int8_t qos) {
  if (to.admin) return {};
  if (engine_->overrun()) return Busy();
  if (to.channel != Channel::kGroup) {
    session.to.qos[static_cast<size_t>(to.channel)] = qos;
    engine_->PostAlways(Subscribed{session.id, to.channel});
    return {};
  }
  // Who isn't verified yet learns nothing about groups: it is checked then.
  if (!session.held && !topic_members_.Has(to.group, session.who.user)) return NotInGroup();
  if (!session.to.AddGroup(to.group, qos)) {
    return {Code::kTooLarge,
            "subscribed to " + std::to_string(kGroupSubscriptionsMax) + " groups, and to no more"};
  }
  engine_->PostAlways(Subscribed{session.id, Channel::kGroup, to.group, qos});
  return {};
}

int Host::AclUnsubscribe(Session& session, std::string_view topic) {
  auto subscription = MaySubscribe(session.who, topic);
  if (!subscription || subscription->admin) return MOSQ_ERR_SUCCESS;  // it has none such to lose
  if (subscription->channel == Channel::kGroup) {
    if (!session.to.RemoveGroup(subscription->group)) return MOSQ_ERR_SUCCESS;
  } else {
    int8_t& qos = session.to.qos[static_cast<size_t>(subscription->channel)];
    if (std::exchange(qos, kNotSubscribed) == kNotSubscribed) return MOSQ_ERR_SUCCESS;
  }
  engine_->PostAlways(Unsubscribed{session.id, subscription->channel, subscription->group});
  return MOSQ_ERR_SUCCESS;
}

// Messages.

int Host::OnMessage(mosquitto_evt_message* event) {
  Session* session = sessions_.Find(event->client);
  // A bridge of this broker's own asks no ACL; it is nobody here.
  if (session == nullptr) return MOSQ_ERR_ACL_DENIED;
  auto kind = MayPublish(session->who, event->topic);
  if (!kind) return MOSQ_ERR_ACL_DENIED;
  Published published;
  published.session = session->id;
  published.ts_ms = env_->NowMs();
  published.topic = event->topic;
  published.payload.assign(static_cast<const char*>(event->payload), event->payloadlen);
  Status status = ReadProperties(*session, event->properties, &published);
  if (!status.ok()) {
    RefuseMessage(*session, published, status);
    return MOSQ_ERR_ACL_DENIED;
  }
  if (*kind == PublishKind::kLogin) {
    Vouch(*session, published);
  } else {
    Pass(*session, std::move(published));
  }
  Hide(event);
  return MOSQ_ERR_SUCCESS;
}

Status Host::ReadProperties(const Session& session, const mosquitto_property* properties,
                            Published* published) {
  for (const mosquitto_property* p = properties; p != nullptr; p = mosquitto_property_next(p)) {
    char* text = nullptr;
    void* data = nullptr;
    uint16_t bytes = 0;
    switch (mosquitto_property_identifier(p)) {
      case MQTT_PROP_CONTENT_TYPE:
        if (mosquitto_property_read_string(p, MQTT_PROP_CONTENT_TYPE, &text, false) != nullptr) {
          published->content_type = ContentTypeNamed(text);
        }
        break;
      case MQTT_PROP_RESPONSE_TOPIC:
        if (mosquitto_property_read_string(p, MQTT_PROP_RESPONSE_TOPIC, &text, false) != nullptr) {
          published->response_topic = text;
        }
        break;
      case MQTT_PROP_CORRELATION_DATA:
        if (mosquitto_property_read_binary(p, MQTT_PROP_CORRELATION_DATA, &data, &bytes, false) !=
            nullptr) {
          published->correlation.assign(static_cast<const char*>(data), bytes);
        }
        break;
      default:
        break;
    }
    std::free(text);
    std::free(data);
  }
  return CheckProperties(session, published);
}

// What may not be used for an answer isn't for the error either.
Status Host::CheckProperties(const Session& session, Published* published) {
  Status status;
  if (!published->response_topic.empty() && !MayAnswerTo(session.who, published->response_topic)) {
    published->response_topic.clear();
    status = {Code::kDenied, "the response topic must be answer/<client-id> or below it"};
  }
  if (published->correlation.size() > kCorrelationBytesMax) {
    published->correlation.clear();
    status = {Code::kTooLarge,
              "correlation data takes " + std::to_string(kCorrelationBytesMax) + " bytes"};
  }
  return status;
}

void Host::Pass(Session& session, Command command) {
  const auto& published = std::get<Published>(command);
  if (session.held) {
    Held& held = *session.held;
    held.bytes += BytesOf(published);
    if (held.commands.size() >= kHeldCommandsMax || held.bytes > kHeldBytesMax) {
      return RefuseBusy(session, published);
    }
    held.commands.push_back(std::move(command));
    return;
  }
  bool late = engine_->figures().queued > options_.engine.queue_max / 2;
  if (Transient(published.topic) && late) return RefuseBusy(session, published);
  if (!engine_->Post(std::move(command))) return RefuseBusy(session, published);
  ++figures_.publishes;
}

void Host::RefuseBusy(const Session& session, const Published& published) {
  if (Transient(published.topic)) {
    ++figures_.typing_dropped;
  } else {
    RefuseMessage(session, published, Busy());
  }
}

void Host::RefuseMessage(const Session& session, const Published& published, const Status& status) {
  RefuseWith(session, HeadOfRefused(published), status, 0,
             {published.response_topic, published.correlation});
}

// Admins. Accounts are on disk: their thread works, the answer comes in a tick.

int Host::OnControl(mosquitto_evt_control* event) {
  Session* session = sessions_.Find(event->client);
  if (session == nullptr || session->who.role != Role::kAdmin) return MOSQ_ERR_SUCCESS;
  std::string payload(static_cast<const char*>(event->payload), event->payloadlen);
  auto answer = [this](SessionId id, std::string text) {
    ToBroker([this, id, text = std::move(text)] {
      if (const Session* asker = sessions_.Find(id)) {
        PublishText(*asker, std::string(kControlResponseTopic), text, 1);
      }
    });
  };
  bool posted = directory_thread_->Post(
      [this, id = session->id, payload, answer] { answer(id, control_->Handle(payload)); });
  if (!posted) RefuseTopic(*session, event->topic, Busy());
  return MOSQ_ERR_SUCCESS;
}

void Host::EndSessions(const UserId& user) {
  std::vector<std::string> clients;
  sessions_.ForEach([&](const Session& session) {
    if (session.who.user == user) clients.push_back(session.who.device.str());
  });
  for (const std::string& client : clients) Kick(client);
}

}  // namespace parley
