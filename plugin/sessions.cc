#include "plugin/sessions.h"

#include <algorithm>

namespace parley {

Session* Sessions::Find(const mosquitto* client) {
  auto it = by_client_.find(client);
  return it == by_client_.end() ? nullptr : it->second.get();
}

Session* Sessions::Find(SessionId id) {
  auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

bool Sessions::Connected(std::string_view client_id) const {
  return by_device_.contains(client_id);
}

bool Sessions::HeldByOther(const std::string& client_id, const UserId& user, int64_t now_s) const {
  auto connected = by_device_.find(client_id);
  if (connected != by_device_.end()) return connected->second->who.user != user;
  auto it = remembered_.find(client_id);
  return it != remembered_.end() && it->second.user != user && it->second.until_s > now_s;
}

Session& Sessions::Add(const mosquitto* client, Who who, bool resume, int64_t now_s) {
  auto session = std::make_unique<Session>();
  session->id = ++last_id_;
  session->who = std::move(who);
  session->qos.fill(kNotSubscribed);
  const std::string& device = session->who.device.str();
  auto known = remembered_.find(device);
  auto before = by_device_.find(device);
  if (resume && before != by_device_.end() && before->second->lasting) {
    session->qos = before->second->qos;  // a takeover: the old connection is still here
  } else if (resume && known != remembered_.end() && known->second.user == session->who.user &&
             known->second.until_s > now_s) {
    session->qos = known->second.qos;
  }
  if (known != remembered_.end()) remembered_.erase(known);
  if (before != by_device_.end()) by_device_.erase(before);
  by_device_[device] = session.get();
  by_id_[session->id] = session.get();
  auto& slot = by_client_[client];
  slot = std::move(session);
  return *slot;
}

SessionId Sessions::Remove(const mosquitto* client, int64_t now_s) {
  auto it = by_client_.find(client);
  if (it == by_client_.end()) return 0;
  Session& session = *it->second;
  SessionId id = session.id;
  by_id_.erase(id);
  auto device = by_device_.find(session.who.device.str());
  if (device != by_device_.end() && device->second == &session) {
    by_device_.erase(device);
    bool subscribed = std::any_of(session.qos.begin(), session.qos.end(),
                                  [](int8_t qos) { return qos != kNotSubscribed; });
    if (session.lasting && subscribed && !session.held) {
      remembered_[session.who.device.str()] = {session.who.user, session.qos, now_s + expiry_s_};
    }
  }
  by_client_.erase(it);
  return id;
}

void Sessions::Expire(int64_t now_s) {
  std::erase_if(remembered_, [&](const auto& entry) { return entry.second.until_s <= now_s; });
}

}  // namespace parley
