#include "tests/sim/broker.h"

#include <algorithm>
#include <utility>

#include "chat/json_out.h"

namespace parley::sim {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* member) { return object.value(member, ""); }

std::string Shortened(std::string text) {
  if (text.size() > 300) text.resize(300);
  return text;
}

// History folds these into the message that they are about.
bool FoldedIn(const std::string& type) {
  return type == "edit" || type == "retract" || type == "reaction";
}
bool IsAsSent(const json& message) {
  return !message.contains("edited") && !message.contains("retracted") &&
         !message.contains("reactions");
}

}  // namespace

Broker::Broker(Server* server, Oracle* oracle, Trace* trace, Dice* random)
    : server_(server), oracle_(oracle), trace_(trace), random_(random) {}

Phone& Broker::AddPhone(const std::string& user, const std::string& name, bool confirms) {
  Phone& phone = phones_.emplace_back();
  phone.user = user;
  phone.name = name;
  phone.confirms = confirms;
  return phone;
}

// ---- Sessions

void Broker::Connect(Phone& phone) {
  phone.session = ++last_session_;
  sessions_[phone.session] = &phone;
  trace_->Note(phone.name + " connects");
  server_->engine().PostAlways(
      Connected{phone.session, UserId(phone.user), DeviceId(phone.name), phone.gateway, false});
}

void Broker::Disconnect(Phone& phone) {
  if (phone.session == 0) return;
  trace_->Note(phone.name + " disconnects");
  if (server_->state() == Server::State::kUp) {
    server_->engine().PostAlways(Disconnected{phone.session});
  }
  sessions_.erase(phone.session);
  phone.session = phone.last = 0;
  phone.inbox = phone.started = phone.may_jump = false;
  phone.groups.clear();
  phone.up.clear();
}

void Broker::Died() {
  for (Phone& phone : phones_) Disconnect(phone);
  questions_.clear();
}

void Broker::Subscribe(Phone& phone) {
  phone.inbox = true;
  trace_->Note(phone.name + " subscribes");
  server_->engine().PostAlways(Subscribed{phone.session, Channel::kInbox});
  server_->engine().PostAlways(Subscribed{phone.session, Channel::kReceipt});
  server_->engine().PostAlways(Subscribed{phone.session, Channel::kPresence});
}

void Broker::Unsubscribe(Phone& phone) {
  phone.inbox = phone.started = false;
  phone.last = 0;
  phone.may_jump = true;
  trace_->Note(phone.name + " unsubscribes");
  server_->engine().PostAlways(Unsubscribed{phone.session, Channel::kInbox});
}

void Broker::SubscribeGroup(Phone& phone, const std::string& group) {
  if (!server_->topic_members().Has(GroupId(group), UserId(phone.user))) return;
  phone.last_of_group.erase(group);
  trace_->Note(phone.name + " subscribes to " + group);
  server_->engine().PostAlways(Subscribed{phone.session, Channel::kGroup, GroupId(group), 1});
}

void Broker::SubscribePushes(Phone& gateway) {
  trace_->Note(gateway.name + " subscribes to pushes");
  server_->engine().PostAlways(Subscribed{gateway.session, Channel::kPushNtfy});
}

Phone* Broker::Find(SessionId session) {
  auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : found->second;
}

// ---- In

void Broker::Publish(Phone& phone, Packet packet) { phone.up.push_back(std::move(packet)); }

std::string Broker::Ask(Phone& phone, const std::string& method, json request) {
  std::string rid = "q" + std::to_string(++last_rid_);
  Question question{phone.user, method, request};
  question.head = oracle_->Head(phone.user);
  if (request.contains("group")) question.group_head = oracle_->GroupHead(request["group"]);
  if (method == "groups.leave") oracle_->MayHaveLeft(phone.user, request["group"]);
  if (method == "groups.remove") oracle_->MayHaveLeft(request["user"], request["group"]);
  if (request.contains("with")) {
    question.delivered = oracle_->Mark(phone.user, request["with"], "delivered");
    question.read = oracle_->Mark(phone.user, request["with"], "read");
  }
  request["rid"] = rid;
  questions_[rid] = std::move(question);
  Publish(phone, {"ask/" + method, request.dump()});
  return rid;
}

std::optional<json> Broker::TakeAnswer(const std::string& rid) {
  auto found = answers_.find(rid);
  if (found == answers_.end()) return std::nullopt;
  json answer = std::move(found->second);
  answers_.erase(found);
  return answer;
}

// One packet of the phone's reaches the engine.
bool Broker::Receive(Phone& phone) {
  if (phone.up.empty()) return false;
  Packet packet = std::move(phone.up.front());
  phone.up.pop_front();
  Published published;
  published.session = phone.session;
  published.ts_ms = Scheduler::kEpochMs + Scheduler::Current()->now_us() / 1000;
  published.topic = packet.topic;
  published.payload = packet.payload;
  // Whoever sees it first must know of it.
  if (packet.token != 0) oracle_->Tried(oracle_->message(packet.token));
  oracle_->Confirmed(phone.user, packet.confirms);
  bool taken = server_->engine().Post(std::move(published));
  trace_->Note(phone.name + " → " + packet.topic + " " + Shortened(packet.payload) +
               (taken ? "" : " (busy)"));
  if (!taken && phone.gateway) phone.up.push_front(packet);  // it tries again
  if (!taken && packet.token != 0) {
    json refusal = {{"ok", false}, {"id", oracle_->message(packet.token).id}};
    oracle_->Answered(phone.user, refusal);
  }
  return taken || !phone.gateway;
}

bool Broker::Turn(size_t effects_max) {
  if (server_->state() != Server::State::kUp) return false;
  bool any = false;
  for (Phone& phone : phones_) {
    while (phone.session != 0 && !random_->OneIn(3) && Receive(phone)) any = true;
  }
  server_->engine().WakeUp();
  server_->release().Take(effects_max, &taken_);
  any = any || !taken_.empty();
  for (const Effect& effect : std::exchange(taken_, {})) Deliver(effect);
  for (const std::string& line : server_->TakeLines()) {
    trace_->Note("log: " + line);
    journal_refused_ |= line.find("journal event=failed") != line.npos;
  }
  return any;
}

// ---- Out

void Broker::Deliver(const Effect& effect) {
  if (effect.fanout) return DeliverFanout(effect);
  Phone* phone = Find(effect.session);
  if (phone == nullptr) return;
  if (effect.close) return Disconnect(*phone);
  if (effect.channel == Channel::kInbox) {
    if (!phone->inbox) return;
    std::string payload;
    AppendMessage(effect.seq, *effect.rest, &payload);
    trace_->Note(phone->name + " ← chat " + Shortened(payload));
    return InboxMessage(*phone, json::parse(payload));
  }
  if (effect.payload.empty()) return;
  trace_->Note(phone->name + " ← " + Shortened(effect.payload));
  if (phone->gateway) {
    on_push(*phone, json::parse(effect.payload));
  } else if (effect.channel == Channel::kReceipt) {
    oracle_->ShownReceipt(phone->user, json::parse(effect.payload));
  } else if (effect.channel == Channel::kAnswer) {
    AnswerTo(*phone, json::parse(effect.payload));
  }
}

void Broker::DeliverFanout(const Effect& effect) {
  std::string payload;
  AppendGroupMessage(*effect.rest, &payload);
  for (uint32_t i = effect.first; i < effect.end; ++i) {
    Phone* phone = Find(effect.fanout->to.at(i).session);
    if (phone == nullptr) continue;
    trace_->Note(phone->name + " ← " + effect.fanout->topic + " " + Shortened(payload));
    GroupMessage(*phone, json::parse(payload));
  }
}

// The next number, or one again: a message that its sender has sent again.
void Broker::InboxMessage(Phone& phone, const json& message) {
  uint64_t seq = oracle_->Shown(phone.user, message);
  bool resent = oracle_->WasResent(phone.user, message);
  if (phone.started ? seq <= phone.last : resent) {
    phone.last = std::max(phone.last, seq);
    return;
  }
  bool jumps = phone.started && seq != phone.last + 1;
  if (jumps && !std::exchange(phone.may_jump, false)) {
    Fail(phone.name + " is sent " + std::to_string(seq) + " after " + std::to_string(phone.last));
  }
  uint64_t cursor = oracle_->Cursor(phone.name);
  uint64_t most = std::max(phone.confirmed_max, phone.last) + 1;
  if (!phone.started && cursor > 0 && (seq <= cursor || seq > most)) {
    Fail(phone.name + " is sent " + std::to_string(seq) + " first; it has confirmed " +
         std::to_string(phone.confirmed_max) + ", its cursor was at " + std::to_string(cursor));
  }
  phone.started = true;
  phone.last = seq;
}

void Broker::GroupMessage(Phone& phone, const json& message) {
  oracle_->ShownInGroup(phone.user, message);
  uint64_t gseq = message.at("gseq").get<uint64_t>();
  uint64_t& last = phone.last_of_group[Text(message, "group")];
  if (last == 0 && oracle_->WasResent(phone.user, message)) return;
  if (last != 0 && gseq > last + 1) {
    Fail(phone.name + " is sent " + std::to_string(gseq) + " of " + Text(message, "group") +
         " after " + std::to_string(last));
  }
  last = std::max(last, gseq);
}

// ---- Answers

void Broker::AnswerTo(Phone& phone, const json& answer) {
  auto found = questions_.find(Text(answer, "rid"));
  if (found == questions_.end()) return oracle_->Answered(phone.user, answer);
  const Question question = std::move(found->second);
  questions_.erase(found);
  if (answer.at("ok") == true) CheckAnswer(question, answer);
  answers_[Text(answer, "rid")] = answer;
}

void Broker::CheckAnswer(const Question& question, const json& answer) {
  const std::string& method = question.method;
  bool group = question.request.contains("group");
  if (method == "sync")
    return group ? CheckGroupSync(question, answer) : CheckSync(question, answer);
  if (method == "history") return CheckHistory(question, answer);
  if (method == "recent") return CheckRecent(question, answer);
  if (method == "conversations") return CheckConversations(question, answer);
  if (method == "groups.get") {
    if (answer["head"] < question.group_head) {
      Fail("groups.get says less than was shown: " + answer.dump());
    }
  }
  if (method == "devices.list") {
    for (const json& device : answer["devices"]) {
      // One that is there may have confirmed more than is durable.
      if (device["online"] == false) {
        oracle_->ShownCursor(device["device"], device["delivered"].get<uint64_t>());
      }
    }
  }
}

void Broker::CheckSync(const Question& question, const json& answer) {
  uint64_t after = question.request.value("after", uint64_t{0});
  uint64_t head = answer["head"].get<uint64_t>();
  for (const json& message : answer["messages"]) {
    uint64_t seq = oracle_->Shown(question.user, message);
    if (seq != ++after) Fail("sync leaves out " + std::to_string(after) + ": " + answer.dump());
  }
  bool all = answer["more"] == true || after >= head;
  if (!all || head < question.head) {
    Fail("sync says less than was shown (" + std::to_string(question.head) + "): " + answer.dump());
  }
}

void Broker::CheckGroupSync(const Question& question, const json& answer) {
  uint64_t before = 0;
  for (const json& message : answer["messages"]) {
    oracle_->ShownInGroupPage(question.user, message);
    uint64_t gseq = message["gseq"].get<uint64_t>();
    if (gseq <= before) Fail("sync of a group goes back: " + answer.dump());
    before = gseq;
  }
  if (answer["head"] < question.group_head) {
    Fail("sync says less than was shown (" + std::to_string(question.group_head) +
         "): " + answer.dump());
  }
}

// All of the conversation from the newest to the oldest that the answer has.
void Broker::CheckHistory(const Question& question, const json& answer) {
  if (question.request.contains("group")) return;
  const std::string peer = question.request["with"];
  std::set<uint64_t> has;
  for (const json& message : answer["messages"]) {
    has.insert(message["seq"].get<uint64_t>());
    if (IsAsSent(message)) oracle_->Shown(question.user, message);
  }
  uint64_t oldest = answer["more"] == true && !has.empty() ? *has.begin() : 1;
  for (const auto& [seq, entry] : oracle_->LogOf(question.user)) {
    bool theirs = (entry.from == peer && entry.to == question.user) ||
                  (entry.from == question.user && entry.to == peer);
    if (!theirs || FoldedIn(entry.type) || seq < oldest || seq > question.head) continue;
    if (!has.contains(seq))
      Fail("history leaves out " + std::to_string(seq) + ": " + answer.dump());
  }
  if (answer["delivered"] < question.delivered || answer["read"] < question.read) {
    Fail("history forgets receipts (" + std::to_string(question.delivered) + ", " +
         std::to_string(question.read) + "): " + answer.dump());
  }
}

void Broker::CheckRecent(const Question& question, const json& answer) {
  uint64_t newest = 0;
  for (const json& talk : answer["conversations"]) {
    uint64_t before = 0;
    for (const json& message : talk["messages"]) {
      uint64_t seq = oracle_->Shown(question.user, message);
      if (before != 0 && seq >= before) Fail("recent isn't in order: " + answer.dump());
      before = seq;
      newest = std::max(newest, seq);
    }
  }
  if (answer["head"] < question.head || newest < question.head) {
    Fail("recent says less than was shown (" + std::to_string(question.head) +
         "): " + answer.dump());
  }
}

void Broker::CheckConversations(const Question& question, const json& answer) {
  uint64_t newest = 0;
  for (const json& talk : answer["conversations"]) {
    newest = std::max(newest, oracle_->Shown(question.user, talk["last"]));
  }
  if (newest < question.head) {
    Fail("conversations say less than was shown (" + std::to_string(question.head) +
         "): " + answer.dump());
  }
}

}  // namespace parley::sim
