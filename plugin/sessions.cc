#include "plugin/sessions.h"

#include <algorithm>
#include <utility>

namespace parley {

namespace {

// Where `group` stands in a list by group, or would.
std::vector<GroupQos>::iterator Place(std::vector<GroupQos>& groups, const GroupId& group) {
  return std::lower_bound(groups.begin(), groups.end(), group,
                          [](const GroupQos& a, const GroupId& b) { return a.group < b; });
}

}  // namespace

Subscriptions Subscriptions::Copy() const {
  Subscriptions copy;
  copy.qos = qos;
  if (groups) copy.groups = std::make_unique<std::vector<GroupQos>>(*groups);
  return copy;
}

bool Subscriptions::Any() const {
  return groups != nullptr ||
         std::any_of(qos.begin(), qos.end(), [](int8_t q) { return q != kNotSubscribed; });
}

bool Subscriptions::AddGroup(const GroupId& group, int8_t group_qos) {
  if (!groups) groups = std::make_unique<std::vector<GroupQos>>();
  auto at = Place(*groups, group);
  if (at != groups->end() && at->group == group) {
    at->qos = group_qos;
    return true;
  }
  if (groups->size() >= kGroupSubscriptionsMax) return false;
  groups->insert(at, {group, group_qos});
  return true;
}

bool Subscriptions::RemoveGroup(const GroupId& group) {
  if (!groups) return false;
  auto at = Place(*groups, group);
  if (at == groups->end() || at->group != group) return false;
  groups->erase(at);
  if (groups->empty()) groups.reset();
  return true;
}

Session* Sessions::Find(const mosquitto* client) {
  auto it = by_client_.find(client);
  return it == by_client_.end() ? nullptr : &it->second;
}

Session* Sessions::Find(SessionId id) {
  auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

bool Sessions::Connected(std::string_view client_id) const {
  return by_device_.contains(client_id);
}

bool Sessions::HeldByOther(const std::string& client_id, const UserId& user, int64_t now_s) {
  auto connected = by_device_.find(client_id);
  if (connected != by_device_.end()) return connected->second->who.user != user;
  auto it = remembered_.find(client_id);
  return it != remembered_.end() && it->second.user != user && Ask(it, now_s);
}

bool Sessions::MayLast(const std::string& client_id, const UserId& user, int64_t now_s) {
  auto of = remembered_of_.find(user);
  if (of == remembered_of_.end() || of->second.size() < limits_.lasting_max) return true;
  size_t kept = 0;
  for (const std::string& one : std::vector<std::string>(of->second)) {
    if (one == client_id) return true;
    if (Ask(remembered_.find(one), now_s)) ++kept;
  }
  return kept < limits_.lasting_max;
}

bool Sessions::TakenOver(const Session& session) const {
  auto newest = by_device_.find(session.who.device.str());
  return newest != by_device_.end() && newest->second != &session;
}

UserId Sessions::TakeEnded(const mosquitto* client) {
  bool right = client != nullptr && client == ended_;
  ended_ = nullptr;
  return right ? std::exchange(ended_user_, UserId()) : UserId();
}

Session& Sessions::Add(const mosquitto* client, Who who, bool resume) {
  ended_ = nullptr;
  Session session;
  session.id = ++last_id_;
  session.who = std::move(who);
  const std::string& device = session.who.device.str();
  auto known = remembered_.find(device);
  auto before = by_device_.find(device);
  if (resume && before != by_device_.end() && before->second->lasting) {
    session.to = before->second->to.Copy();  // a takeover: the old connection is still here
  } else if (resume && known != remembered_.end() && known->second.user == session.who.user &&
             kept_(device)) {
    session.to = std::move(known->second.to);
  }
  if (known != remembered_.end()) Forget(known);
  if (before != by_device_.end()) by_device_.erase(before);
  Session& added = by_client_[client];
  added = std::move(session);
  by_device_[added.who.device.str()] = &added;
  by_id_[added.id] = &added;
  return added;
}

SessionId Sessions::Remove(const mosquitto* client, int64_t now_s) {
  ended_ = nullptr;
  auto it = by_client_.find(client);
  if (it == by_client_.end()) return 0;
  Session& session = it->second;
  SessionId id = session.id;
  by_id_.erase(id);
  auto device = by_device_.find(session.who.device.str());
  if (device != by_device_.end() && device->second == &session) {
    by_device_.erase(device);
    if (session.lasting && !session.held) {
      Remember(session, now_s);
    }
  }
  if (!session.held) {
    ended_ = client;
    ended_user_ = session.who.user;
  }
  by_client_.erase(it);
  return id;
}

void Sessions::Remember(Session& session, int64_t now_s) {
  const std::string& device = session.who.device.str();
  remembered_of_[session.who.user].push_back(device);
  remembered_[device] = {session.who.user, std::move(session.to), now_s + limits_.expiry_s};
  left_.push_back(device);
}

Sessions::RememberedMap::iterator Sessions::Forget(RememberedMap::iterator which) {
  auto of = remembered_of_.find(which->second.user);
  std::erase(of->second, which->first);
  if (of->second.empty()) remembered_of_.erase(of);
  return remembered_.erase(which);
}

bool Sessions::Ask(RememberedMap::iterator which, int64_t now_s) {
  Remembered& session = which->second;
  if (now_s < session.believe_s) return true;
  if (!kept_(which->first)) {
    Forget(which);
    return false;
  }
  session.believe_s = now_s + kBelievedS;
  session.ask_s = std::max(session.ask_s, session.believe_s);
  return true;
}

void Sessions::Settle(int64_t now_s) {
  for (const std::string& device : std::exchange(left_, {})) {
    auto it = remembered_.find(device);  // none where it came back meanwhile
    if (it != remembered_.end()) (void)Ask(it, now_s);
  }
}

void Sessions::Expire(int64_t now_s) {
  for (auto it = remembered_.begin(); it != remembered_.end();) {
    auto next = std::next(it);
    if (it->second.ask_s <= now_s) (void)Ask(it, now_s);
    it = next;
  }
}

}  // namespace parley
