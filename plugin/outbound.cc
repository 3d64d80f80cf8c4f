// TICK: what is ready goes out. Nothing here waits; one tick is bounded and wakes itself for the
// rest, so that reading is not starved.
#include <unistd.h>

#include <cstring>

#include "chat/figures.h"
#include "plugin/host.h"

namespace parley {
namespace {

// For a session whose password is being verified.
constexpr size_t kHeldEffectsMax = 1000;
constexpr size_t kHeldEffectBytesMax = 4 << 20;

constexpr int64_t kDiskEveryS = 10;

constexpr int kAnswerQos = 1;  // where the device subscribed to no answers itself

// Takes a payload of that size that the broker will own.
char* NewPayload(size_t bytes) { return static_cast<char*>(mosquitto_malloc(bytes)); }

std::string ChannelTopic(Channel channel, const Who& who) {
  switch (channel) {
    case Channel::kInbox:
      return "chat/" + who.user.str();
    case Channel::kReceipt:
      return "receipt/" + who.user.str();
    case Channel::kPresence:
      return "presence/" + who.user.str();
    case Channel::kTyping:
      return "typing/" + who.user.str();
    case Channel::kPushWebPush:
      return "push/webpush";
    case Channel::kPushNtfy:
      return "push/ntfy";
    case Channel::kPushWebhook:
      return "push/webhook";
    case Channel::kPushFcm:
      return "push/fcm";
    case Channel::kPushApns:
      return "push/apns";
    case Channel::kAnswer:
    case Channel::kGroup:  // its topic comes with the effect
      break;
  }
  return "answer/" + who.device.str();
}

}  // namespace

void Host::OnTick(mosquitto_evt_tick* event) {
#if PARLEY_MOSQUITTO_2_1
  event->next_s = 0;
  event->next_ms = 0;
#else
  (void)event;
#endif
  engine_->WakeUp();  // for what this turn of the loop has read
  wake_.Drain();
  reloading_ = false;
  if (!ticked_) FirstTick();
  EndClosing();
  sessions_.Settle(env_->NowMs() / 1000);
  std::vector<std::function<void()>> jobs;
  {
    std::lock_guard lock(broker_jobs_mutex_);
    jobs.swap(broker_jobs_);
  }
  for (auto& job : jobs) job();
  TakeVerdicts();
  DeliverEffects();
  int64_t now_s = env_->NowMs() / 1000;
  if (now_s != second_) {
    second_ = now_s;
    EverySecond(now_s);
  }
}

void Host::DeliverEffects() {
  bool more = release_.Take(options_.tick_deliveries_max, &taken_);
  bool any = !taken_.empty();
  for (Effect& effect : taken_) {
    if (effect.fanout) {
      DeliverFanout(effect);
      continue;
    }
    Session* session = sessions_.Find(effect.session);
    if (session == nullptr) continue;
    if (effect.close) {
      Close(*session);
    } else if (session->held) {
      Hold(*session, std::move(effect));
    } else {
      Deliver(*session, effect);
    }
  }
  taken_.clear();
  if (any) ++figures_.wakes;
#if PARLEY_MOSQUITTO_2_1
  // 2.1 publishes at its loop's next turn: without a wake, after up to 100 ms.
  more = more || any;
#endif
  if (more) wake_.Signal();
}

// Nothing leaves before the password is verified. One for whom too much waits comes again.
void Host::Hold(Session& session, Effect effect) {
  Held& held = *session.held;
  held.effect_bytes += effect.payload.size() + (effect.rest ? effect.rest->size() : 0);
  held.effects.push_back(std::move(effect));
  if (held.effects.size() < kHeldEffectsMax && held.effect_bytes < kHeldEffectBytesMax) return;
  held.effects.clear();
  held.effect_bytes = 0;
  Kick(session.who.device.str());
}

// In the next tick: what was published before, such as why it is closed, the broker delivers at the
// top of its loop, and a kick would overtake it.
void Host::Close(const Session& session) {
  closing_.push_back(session.id);
  wake_.Signal();
}

// By client id, which in a takeover is already another session's.
void Host::EndClosing() {
  for (SessionId id : std::exchange(closing_, {})) {
    const Session* session = sessions_.Find(id);
    if (session != nullptr && !sessions_.TakenOver(*session)) Kick(session->who.device.str());
  }
}

// Of a session that lasts the broker asks meanwhile whether it may still subscribe to what it is
// subscribed to, at QoS 0: that stays as it is. The id is a copy: the session ends in here.
void Host::Kick(std::string client_id) {
  kicking_ = true;
  mosquitto_kick_client_by_clientid(client_id.c_str(), false);
  kicking_ = false;
}

// 2.0 has no question like this, but tells whether there was a session to kick. One that isn't
// connected stays as it is when it is kicked with its will (plugin_public.c: disconnect_client,
// loop.c: do_disconnect); of an MQTT 5 client it keeps a packet of some bytes that is never sent.
bool Host::BrokerKeeps(const std::string& client_id) {
#if PARLEY_MOSQUITTO_2_1
  return mosquitto_client(client_id.c_str()) != nullptr;
#else
  kicking_ = true;
  int rc = mosquitto_kick_client_by_clientid(client_id.c_str(), true);
  kicking_ = false;
  return rc == MOSQ_ERR_SUCCESS;
#endif
}

// One message as it stands to many. Who isn't verified yet gets it when it is, as an effect to it
// alone.
void Host::DeliverFanout(const Effect& effect) {
  for (uint32_t i = effect.first; i < effect.end; ++i) {
    const Fanout::To& to = effect.fanout->to[i];
    Session* session = sessions_.Find(to.session);
    if (session == nullptr) continue;
    if (!session->held) {
      PublishGroup(*session, effect, to.qos);
      continue;
    }
    Effect one = effect;
    one.first = i;
    one.end = i + 1;
    Hold(*session, std::move(one));
  }
}

void Host::PublishGroup(const Session& session, const Effect& effect, int qos) {
  char* payload = NewPayload(effect.rest->size());
  if (payload == nullptr) return;
  std::memcpy(payload, effect.rest->data(), effect.rest->size());
  payload[0] = '{';  // in place of the comma that stands behind a number
  PublishTo(session, effect.fanout->topic, payload, effect.rest->size(), qos, {});
}

void Host::Deliver(const Session& session, const Effect& effect) {
  if (effect.fanout) return DeliverFanout(effect);  // it was held
  int8_t subscribed = session.to.qos[static_cast<size_t>(effect.channel)];
  if (effect.channel == Channel::kInbox) {
    if (subscribed == kNotSubscribed) return;
    char head[32] = "{\"seq\":";
    size_t head_bytes = 7;
    std::string number = std::to_string(effect.seq.value());
    std::memcpy(head + head_bytes, number.data(), number.size());
    head_bytes += number.size();
    size_t bytes = head_bytes + effect.rest->size();
    char* payload = NewPayload(bytes);
    if (payload == nullptr) return;
    std::memcpy(payload, head, head_bytes);
    std::memcpy(payload + head_bytes, effect.rest->data(), effect.rest->size());
    return PublishTo(session, ChannelTopic(effect.channel, session.who), payload, bytes, subscribed,
                     {});
  }
  if (effect.payload.empty()) return;  // only there to fail
  if (effect.channel != Channel::kAnswer) {
    if (subscribed == kNotSubscribed) return;
    return PublishText(session, ChannelTopic(effect.channel, session.who), effect.payload,
                       subscribed);
  }
  AnswerWith(session, effect.payload, {effect.response_topic, effect.correlation});
}

void Host::PublishText(const Session& session, const std::string& topic, std::string_view text,
                       int qos, const std::string& correlation) {
  char* payload = NewPayload(text.size());
  if (payload == nullptr) return;
  std::memcpy(payload, text.data(), text.size());
  PublishTo(session, topic, payload, text.size(), qos, correlation);
}

// Owns the payload. Straight into the client's queue: no subscription is matched, no READ asked.
void Host::PublishTo(const Session& session, const std::string& topic, void* payload, size_t bytes,
                     int qos, const std::string& correlation) {
  mosquitto_property* properties = nullptr;
  if (!correlation.empty()) {
    mosquitto_property_add_binary(&properties, MQTT_PROP_CORRELATION_DATA, correlation.data(),
                                  static_cast<uint16_t>(correlation.size()));
  }
  int rc = mosquitto_broker_publish(session.who.device.str().c_str(), topic.c_str(),
                                    static_cast<int>(bytes), payload, qos, false, properties);
  if (rc == MOSQ_ERR_SUCCESS) {
    ++figures_.deliveries;
    return;
  }
  mosquitto_free(payload);
  mosquitto_property_free_all(&properties);
}

void Host::RefuseTopic(const Session& session, std::string_view topic, const Status& status,
                       const AnswerTo& to) {
  std::string head = session.who.role == Role::kService ? ActorHead(ActorOf(topic)) : "";
  if (topic.size() <= kTopicBytesMax) {
    head += "\"topic\":";
    AppendJsonString(topic, &head);
    head += ',';
  }
  RefuseWith(session, head, status, 0, to);
}

void Host::RefuseWith(const Session& session, std::string_view head, const Status& status,
                      int64_t retry_after_ms, const AnswerTo& to) {
  ++figures_.refused[static_cast<size_t>(ToldCode(status.code()))];
  AnswerWith(session, ErrorAnswer(head, status, retry_after_ms), to);
}

void Host::AnswerWith(const Session& session, const std::string& text, const AnswerTo& to) {
  int8_t qos = session.to.qos[static_cast<size_t>(Channel::kAnswer)];
  PublishText(session, to.topic.empty() ? ChannelTopic(Channel::kAnswer, session.who) : to.topic,
              text, qos == kNotSubscribed ? kAnswerQos : qos, to.correlation);
}

void Host::FirstTick() {
  ticked_ = true;
  auto listeners = FindListeners();
  std::string text = "# " + std::to_string(getpid()) + "\n";
  for (const std::string& listener : listeners) text += listener + "\n";
  // Here, where the broker's loop runs and before anybody can wait for it: once, a few hundred µs.
  std::string run = options_.data_dir + "/run";
  Status status = env_->MakeDir(run);
  if (status.ok()) status = env_->ReplaceFile(run + "/listeners", text);
  if (!status.ok()) {
    mosquitto_log_printf(MOSQ_LOG_WARNING, "parley: %s", status.ToString().c_str());
  }
  std::string token = credentials_->IssueToken(kControlUser, 3650 * 86400LL, true);
  wake_method_ = wake_.Attach(options_.wake, listeners, std::string(kControlUser), token);
  mosquitto_log_printf(MOSQ_LOG_NOTICE, "parley: serving wake=%s users=%zu took=%lldms",
                       wake_method_.c_str(), directory_->user_count(),
                       static_cast<long long>(env_->NowMs() - started_ms_));
}

void Host::EverySecond(int64_t now_s) {
  for (const std::string& line : engine_->TakeLines()) {
    mosquitto_log_printf(MOSQ_LOG_NOTICE, "parley: %s", line.c_str());
  }
  sessions_.Expire(now_s);
  // Tokens that have run out, accounts that were disabled: their sessions end.
  std::vector<std::string> ended;
  sessions_.ForEach([&](const Session& session) {
    if (session.expires_s > 0 && session.expires_s <= now_s)
      ended.push_back(session.who.device.str());
  });
  for (const std::string& client : ended) Kick(client);
  if (now_s - disk_s_ >= kDiskEveryS) {
    disk_s_ = now_s;
    MeasureDisk();
  }
  if (options_.sys_interval_s > 0 && now_s - figures_s_ >= options_.sys_interval_s) {
    figures_s_ = now_s;
    PublishFigures(now_s);
  }
}

void Host::PublishFigure(std::string_view name, const std::string& value) {
  char* payload = NewPayload(value.size());
  if (payload == nullptr) return;
  std::memcpy(payload, value.data(), value.size());
  std::string topic = std::string(kFiguresTopic) + std::string(name);
  if (mosquitto_broker_publish(nullptr, topic.c_str(), static_cast<int>(value.size()), payload, 0,
                               true, nullptr) != MOSQ_ERR_SUCCESS) {
    mosquitto_free(payload);
  }
}

void Host::PublishFigures(int64_t now_s) {
  for (const auto& [name, value] : Figures()) {
    PublishFigure(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  PublishFigure("wake", wake_method_);
  PublishFigure("updated", std::to_string(now_s));  // last: all others are this old
}

}  // namespace parley
