#include "tests/check/chat_device.h"

namespace parley::check {

namespace {

constexpr std::chrono::seconds kOpenDeadline{10};

std::string Text(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

uint64_t Unsigned(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string RefOf(const Json& object) {
  const auto found = object.find("ref");
  return found == object.end() ? "" : Text(*found, "from") + "/" + Text(*found, "id");
}

Shown ReadMessage(const Json& object) {
  Shown message;
  message.seq = Unsigned(object, "seq");
  message.gseq = Unsigned(object, "gseq");
  message.type = Text(object, "type");
  message.id = Text(object, "id");
  message.from = Text(object, "from");
  message.to = Text(object, "to");
  message.group = Text(object, "group");
  message.ts_ms = static_cast<int64_t>(Unsigned(object, "ts"));
  const std::string body = object.contains("body") ? object["body"].dump() : "";
  message.body = message.type == "system" ? body : Digest(body);
  message.ref = RefOf(object);
  message.folded =
      object.contains("edited") || object.contains("retracted") || object.contains("reactions");
  return message;
}

void AddMessages(const Json& list, std::vector<Shown>* messages) {
  if (!list.is_array()) return;
  for (const Json& object : list) messages->push_back(ReadMessage(object));
}

// All the messages that an answer holds, whatever it answers.
std::vector<Shown> MessagesIn(const Json& answer) {
  std::vector<Shown> messages;
  AddMessages(answer.value("messages", Json()), &messages);
  for (const Json& conversation : answer.value("conversations", Json::array())) {
    if (conversation.contains("last")) messages.push_back(ReadMessage(conversation["last"]));
    AddMessages(conversation.value("messages", Json()), &messages);
  }
  return messages;
}

std::vector<std::string> NamesIn(const Json& members) {
  std::vector<std::string> names;
  for (const Json& member : members) {
    names.push_back(member.is_string() ? member.get<std::string>() : Text(member, "user"));
  }
  return names;
}

std::string CodeIn(const Json& answer) {
  if (answer.value("ok", Json()) == true) return "";
  const std::string code = Text(answer.value("error", Json::object()), "code");
  return code.empty() ? "unknown" : code;
}

}  // namespace

ChatDevice::ChatDevice(std::string user, std::string secret, DeviceProfile profile, Address address,
                       Recorder* recorder, ChatEvents* events)
    : user_(std::move(user)),
      secret_(std::move(secret)),
      profile_(std::move(profile)),
      client_id_(user_ + ":" + profile_.name),
      address_(std::move(address)),
      recorder_(recorder),
      events_(events) {}

Event ChatDevice::Make(EventKind kind) const { return {.kind = kind, .device = client_id_}; }

void ChatDevice::Return() {
  link_ = std::make_unique<Link>(
      LinkOptions{client_id_, user_, secret_, profile_.v5, profile_.clean, address_}, this);
  ++connection_;
  closed_ = false;
  opened_at_ = Clock::now();
  link_->Open();
}

void ChatDevice::Leave(bool cleanly) {
  if (link_ == nullptr) return;
  if (cleanly && up_) link_->Disconnect();
  if (!closed_) OnClosed();
  link_.reset();
}

void ChatDevice::Sweep() {
  if (link_ == nullptr) return;
  const bool late = !ready() && Clock::now() - opened_at_ > kOpenDeadline;
  if (closed_ || late) Leave(false);
}

void ChatDevice::OnConnected(bool kept) {
  up_ = true;
  Event event = Make(EventKind::kUp);
  event.acks = profile_.acks;
  event.kept = kept;
  recorder_->Write(event);
  confirmed_ = 0;
  if (!profile_.acks) through_ = 0;
  if (!profile_.listens) return;
  Subscribe("chat/" + user_);
  Subscribe("receipt/" + user_);
}

void ChatDevice::OnClosed() {
  if (closed_) return;
  closed_ = true;
  waiting_.clear();
  asked_.clear();
  if (!up_) return;
  up_ = false;
  recorder_->Write(Make(EventKind::kDown));
}

void ChatDevice::Subscribe(const std::string& topic) {
  const int packet = link_->Subscribe(topic, profile_.qos);
  if (packet >= 0) waiting_[packet] = topic;
}

void ChatDevice::OnGranted(int packet, int granted) {
  const auto waited = waiting_.find(packet);
  if (waited == waiting_.end()) return;
  Event event = Make(EventKind::kSub);
  event.topic = waited->second;
  event.granted = granted;
  recorder_->Write(event);
  waiting_.erase(waited);
}

void ChatDevice::OnAcked(int /*packet*/) {}

void ChatDevice::Send(const Outgoing& message) {
  Event event = Make(EventKind::kSend);
  event.n = ++sends_;
  event.topic = message.topic;
  event.qos = message.qos;
  event.id = message.id;
  event.type = message.type;
  event.body = Digest(message.body);
  event.ref = message.ref;
  recorder_->Write(event);
  link_->Publish(message.topic, message.payload, message.qos);
}

std::string ChatDevice::Ask(const std::string& method, Json members) {
  const std::string rid = std::to_string(++asks_);
  Event event = Make(EventKind::kAsk);
  event.rid = rid;
  event.method = method;
  event.with = Text(members, "with");
  event.group = Text(members, "group");
  event.user = Text(members, "user");
  if (members.contains("after")) event.after = Unsigned(members, "after");
  if (members.contains("before")) event.before = Unsigned(members, "before");
  if (members.contains("members")) event.members = NamesIn(members["members"]);
  recorder_->Write(event);
  asked_[rid] = event;
  members["rid"] = rid;
  link_->Publish("ask/" + method, members.dump(), 1);
  return rid;
}

void ChatDevice::Confirm(bool read) {
  if (through_ == 0 || (!read && through_ == confirmed_)) return;
  confirmed_ = through_;
  Event event = Make(EventKind::kReceipt);
  event.delivered = through_;
  event.read = read ? through_ : 0;
  recorder_->Write(event);
  Json receipt{{"delivered", through_}};
  if (read) receipt["read"] = through_;
  link_->Publish("receipt/" + user_, receipt.dump(), 1);
}

void ChatDevice::ConfirmGroup(const std::string& group, uint64_t gseq) {
  Event event = Make(EventKind::kReceipt);
  event.group = group;
  event.read = gseq;
  recorder_->Write(event);
  link_->Publish("receipt/" + user_, Json{{"group", group}, {"read", gseq}}.dump(), 1);
}

void ChatDevice::OnMessage(const std::string& topic, std::string_view payload) {
  const Json object = Json::parse(payload, nullptr, false);
  if (topic == "answer/" + client_id_ && object.is_object()) {
    if (object.contains("rid")) {
      TakeAnswer(object);
    } else {
      TakeOutcome(object);
    }
  } else if (topic == "receipt/" + user_ && object.is_object()) {
    TakeTold(object);
  } else {
    TakeMessage(topic, object);
  }
}

void ChatDevice::TakeMessage(const std::string& topic, const Json& payload) {
  Event event = Make(EventKind::kGot);
  event.topic = topic;
  if (payload.is_object() && payload.contains("from")) {
    event.messages.push_back(ReadMessage(payload));
  }
  recorder_->Write(event);
  if (event.messages.empty()) return;
  const Shown& message = event.messages.front();
  // Out of turn comes only the copy of what was sent again.
  const bool mine = message.from == user_;
  const bool first = through_ == 0 && (profile_.acks || !mine);
  const bool next = through_ > 0 && message.seq == through_ + 1;
  if (first || next || (!mine && message.seq > through_)) through_ = message.seq;
  events_->OnShown(this, message);
  if (mine) events_->OnOutcome(this, message.id, "");
}

void ChatDevice::TakeTold(const Json& payload) {
  Event event = Make(EventKind::kTold);
  event.by = Text(payload, "by");
  event.group = Text(payload, "group");
  event.delivered = Unsigned(payload, "delivered");
  event.read = Unsigned(payload, "read");
  recorder_->Write(event);
}

void ChatDevice::TakeAnswer(const Json& payload) {
  const auto asked = asked_.find(Text(payload, "rid"));
  if (asked == asked_.end()) return;
  const Event ask = std::move(asked->second);
  asked_.erase(asked);
  Event event = Make(EventKind::kAnswer);
  event.rid = ask.rid;
  event.method = ask.method;
  event.group = ask.group;
  event.code = CodeIn(payload);
  if (payload.contains("head")) event.head = Unsigned(payload, "head");
  event.more = payload.value("more", Json()) == true;
  event.epoch = Text(payload, "epoch");
  event.delivered = Unsigned(payload, "delivered");
  event.read = Unsigned(payload, "read");
  if (payload.contains("members") && !event.more) event.members = NamesIn(payload["members"]);
  for (const Json& device : payload.value("devices", Json::array())) {
    if (Text(device, "device") == client_id_) event.delivered = Unsigned(device, "delivered");
  }
  event.messages = MessagesIn(payload);
  recorder_->Write(event);
  events_->OnAnswer(this, ask, event);
}

void ChatDevice::TakeOutcome(const Json& payload) {
  Event event = Make(EventKind::kOutcome);
  event.topic = Text(payload, "topic");
  event.id = Text(payload, "id");
  event.code = CodeIn(payload);
  event.seq = Unsigned(payload, "seq");
  event.gseq = Unsigned(payload, "gseq");
  recorder_->Write(event);
  if (!event.id.empty()) events_->OnOutcome(this, event.id, event.code);
}

}  // namespace parley::check
