// What devices do.
#include <algorithm>
#include <utility>

#include "tests/sim/world.h"

namespace parley::sim {
namespace {

using nlohmann::json;

}  // namespace

void World::Act(Phone& phone) {
  if (StaysAway(phone)) return;
  if (phone.session == 0) {
    if (!random_.OneIn(3)) return;
    broker_.Connect(phone);
    if (!random_.OneIn(8)) broker_.Subscribe(phone);
    for (const std::string& group : groups_) broker_.SubscribeGroup(phone, group);
    return;
  }
  uint64_t what = random_.Below(100);
  if (what < 35) return Send(phone);
  if (what < 45) return SendAgain(phone);
  if (what < 47) return SendOther(phone);
  if (what < 53) return Refer(phone);
  if (what < 68) return Confirm(phone);
  if (what < 85) return Question(phone);
  if (what < 92) return ChangeGroup(phone);
  if (what < 95) return ChangeContact(phone);
  if (what < 97) return broker_.Disconnect(phone);
  if (what < 98) return broker_.Unsubscribe(phone);
  if (what < 99) return broker_.SubscribeGroup(phone, AnyGroup());
  broker_.Subscribe(phone);
}

void World::Send(Phone& phone) {
  Message& message = oracle_.NewMessage(phone.user);
  message.type = "message";
  if (random_.OneIn(3)) {
    message.group = AnyGroup();
  } else {
    message.to = AnyUser();
  }
  std::string body = "m" + std::to_string(message.token) + " ";
  if (random_.OneIn(long_one_in_)) body.append(random_.Below(long_body_), 'x');
  SendNew(phone, message, {{"body", body}});
}

void World::SendNew(Phone& phone, Message& message, json object) {
  if (!random_.OneIn(6)) {
    message.id = "i" + std::to_string(message.token);
    object["id"] = message.id;
  }
  message.payload = object.dump();
  broker_.Publish(phone, {message.topic(), message.payload, message.token});
}

// As a client does that doesn't know what became of a message, on any of its user's devices.
void World::SendAgain(Phone& phone) {
  Message* message =
      oracle_.WithId(phone.user, random_.OneIn(4) ? random_.Next() : random_.Below(5));
  if (message == nullptr) return;
  broker_.Publish(phone, {message->topic(), message->payload, message->token});
}

// An id that is taken, with another content: nobody may ever see it.
void World::SendOther(Phone& phone) {
  Message* message = oracle_.WithId(phone.user, random_.Below(20));
  if (message == nullptr || !message->accepted) return;
  json other = {{"id", message->id}, {"body", "d" + std::to_string(message->token)}};
  broker_.Publish(phone, {message->topic(), other.dump(), message->token});
}

// An edit, a retraction, a reaction, to something that the user was shown.
void World::Refer(Phone& phone) {
  const auto& log = oracle_.LogOf(phone.user);
  if (log.empty()) return;
  auto entry = log.lower_bound(random_.Between(1, log.rbegin()->first));
  if (entry->second.type != "message") return;
  static constexpr const char* kTypes[] = {"edit", "retract", "reaction", "reaction"};
  Message& message = oracle_.NewMessage(phone.user);
  message.type = kTypes[random_.Below(4)];
  message.group = entry->second.group;
  if (message.group.empty()) {
    message.to = entry->second.from == phone.user ? entry->second.to : entry->second.from;
  }
  json object = {{"type", message.type},
                 {"ref", {{"from", entry->second.from}, {"id", entry->second.id}}}};
  if (message.type != "retract") object["body"] = "m" + std::to_string(message.token);
  // A retraction has nothing else to know it by.
  message.id = "i" + std::to_string(message.token);
  object["id"] = message.id;
  message.payload = object.dump();
  broker_.Publish(phone, {message.topic(), message.payload, message.token});
}

void World::Confirm(Phone& phone) {
  if (!phone.confirms || !phone.started) return;
  uint64_t seq = random_.OneIn(5) ? random_.Between(1, phone.last) : phone.last;
  phone.confirmed_max = std::max(phone.confirmed_max, seq);
  json receipt = {{"delivered", seq}};
  if (random_.OneIn(2)) receipt["read"] = random_.Between(1, seq);
  broker_.Publish(phone, {"receipt/" + phone.user, receipt.dump(), 0, seq});
}

void World::Question(Phone& phone) {
  switch (random_.Below(8)) {
    case 0:
    case 1: {
      json request = {{"after", random_.Below(oracle_.Head(phone.user) + 2)},
                      {"limit", random_.Between(1, 30)}};
      if (random_.OneIn(4)) request["wait"] = random_.Below(5);
      broker_.Ask(phone, "sync", request);
      return;
    }
    case 2:
      broker_.Ask(phone, "history", {{"with", AnyUser()}, {"limit", random_.Between(1, 20)}});
      return;
    case 3:
      broker_.Ask(phone, "recent", json::object());
      return;
    case 4:
      broker_.Ask(phone, "conversations", json::object());
      return;
    case 5:
      broker_.Ask(phone, "sync", {{"group", AnyGroup()}, {"limit", random_.Between(1, 30)}});
      return;
    case 6:
      broker_.Ask(phone, "groups.get", {{"group", AnyGroup()}});
      return;
    default:
      broker_.Ask(phone, random_.OneIn(2) ? "devices.list" : "groups.list", json::object());
  }
}

void World::ChangeGroup(Phone& phone) {
  json request = {{"group", AnyGroup()}};
  switch (random_.Below(10)) {
    case 0:
    case 1:
    case 2: {
      for (const std::string& user : users_) {
        if (random_.OneIn(2)) request["members"].push_back(user);
      }
      if (random_.OneIn(3)) request["delivery"] = "topic";
      request["open"] = random_.OneIn(2);
      broker_.Ask(phone, "groups.create", request);
      return;
    }
    case 3:
    case 4:
      request["user"] = AnyUser();
      broker_.Ask(phone, "groups.add", request);
      return;
    case 5:
      request["user"] = AnyUser();
      broker_.Ask(phone, "groups.remove", request);
      return;
    case 6:
      broker_.Ask(phone, "groups.join", request);
      return;
    case 7:
      if (random_.OneIn(2)) request["user"] = AnyUser();
      broker_.Ask(phone, "groups.leave", request);
      return;
    case 8:
      request["user"] = AnyUser();
      request["role"] = random_.OneIn(2) ? "admin" : random_.OneIn(2) ? "owner" : "member";
      broker_.Ask(phone, "groups.set_role", request);
      return;
    default:
      if (random_.OneIn(3)) {
        request["delivery"] = random_.OneIn(2) ? "topic" : "inbox";
      } else {
        request["title"] = "t" + std::to_string(random_.Below(3));
      }
      broker_.Ask(phone, "groups.set", request);
  }
}

void World::ChangeContact(Phone& phone) {
  static constexpr const char* kWhat[] = {"add", "add", "accept", "accept", "remove"};
  const std::string what = std::string("contacts.") + kWhat[random_.Below(5)];
  broker_.Ask(phone, what, {{"user", AnyUser()}});
}

}  // namespace parley::sim
