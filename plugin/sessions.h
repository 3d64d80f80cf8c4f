// Who is connected, by Mosquitto's pointer.
//
// A pointer names a session from BASIC_AUTH to the first DISCONNECT (2.1: or CLIENT_OFFLINE) and no
// longer: Mosquitto reuses addresses, and in a takeover the new session is authenticated before the
// old one ends, under the same client id. So ends are by pointer, deliveries by client id, and an
// unknown pointer is nobody.
//
// A session that the broker keeps after its connection stays its user's: its client id is refused
// to others, and its subscriptions are remembered, since its device doesn't subscribe again when it
// returns. Which ones the broker keeps, a plugin isn't told (an MQTT 5 client's expiry can't be
// read in 2.0). So each that may last is remembered when it leaves, and the broker is asked whether
// it has it: soon after, again from expiry_s on, and where another user wants the client id or its
// own has lasting_max of them. What the broker had is believed for kBelievedS.
//
// Broker thread only.
#ifndef PARLEY_PLUGIN_SESSIONS_H_
#define PARLEY_PLUGIN_SESSIONS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chat/command.h"
#include "chat/effect.h"
#include "plugin/access.h"

struct mosquitto;

namespace parley {

inline constexpr size_t kChannels = static_cast<size_t>(Channel::kGroup);
inline constexpr int8_t kNotSubscribed = -1;
using ChannelQos = std::array<int8_t, kChannels>;  // by Channel, but for kGroup

inline constexpr size_t kGroupSubscriptionsMax = 1000;  // of one session
inline constexpr int64_t kBelievedS = 60;

struct GroupQos {
  GroupId group;
  int8_t qos = 0;
};

// What a device is subscribed to. Most are to no group: that costs a pointer.
struct Subscriptions {
  ChannelQos qos;
  std::unique_ptr<std::vector<GroupQos>> groups;  // by group; null: none

  Subscriptions() { qos.fill(kNotSubscribed); }
  Subscriptions Copy() const;
  bool Any() const;
  // False, and nothing changed, where it would be one too many.
  bool AddGroup(const GroupId& group, int8_t group_qos);
  // False where it wasn't subscribed.
  bool RemoveGroup(const GroupId& group);
};

// What a session whose password is still being checked sent, and what waits to be sent to it.
struct Held {
  std::vector<Command> commands;
  size_t bytes = 0;  // of the commands
  std::vector<Effect> effects;
  size_t effect_bytes = 0;
};

struct Session {
  SessionId id = 0;
  Who who;
  int64_t expires_s = 0;  // its token's end; 0: none
  bool lasting = false;   // the broker may keep it after the connection
  bool arrived = false;   // it has subscribed to something on this connection
  uint16_t dropped = 0;   // messages that the broker had kept for it, before that
  Subscriptions to;
  std::unique_ptr<Held> held;  // set: not yet verified
};

class Sessions {
 public:
  // Whether the broker has a session of that client id, which isn't connected.
  using Kept = std::function<bool(const std::string& client_id)>;

  struct Limits {
    int64_t expiry_s = 86400;
    size_t lasting_max = 100;  // of one user, away
  };

  Sessions(const Limits& limits, Kept kept) : limits_(limits), kept_(std::move(kept)) {}

  Session* Find(const mosquitto* client);
  Session* Find(SessionId id);
  // True where the client id is connected now.
  bool Connected(std::string_view client_id) const;
  // True where a session of this client id may be kept for its user, who isn't here.
  bool Away(const std::string& client_id) const { return remembered_.contains(client_id); }
  // True where another user has this client id, connected or with a session that the broker keeps.
  bool HeldByOther(const std::string& client_id, const UserId& user, int64_t now_s);
  // True where the broker may keep one more session of that user, or has this one.
  bool MayLast(const std::string& client_id, const UserId& user, int64_t now_s);

  // True where its client id was taken over by a newer session: it is about to end.
  bool TakenOver(const Session& session) const;
  // The user of `client`, where that pointer is the one whose end was told last and nothing came
  // since; empty otherwise. Asked once.
  UserId TakeEnded(const mosquitto* client);

  // Adds a session; takes the remembered subscriptions where it resumes one that the broker has.
  Session& Add(const mosquitto* client, Who who, bool resume);
  // Ends it; remembers it where it may last. Returns its id, or 0 where unknown.
  SessionId Remove(const mosquitto* client, int64_t now_s);

  size_t size() const { return by_client_.size(); }
  size_t remembered() const { return remembered_.size(); }
  template <class F>
  void ForEach(F f) {
    for (auto& [client, session] : by_client_) f(session);
  }
  // Asks the broker about those that have left since, none of which is on its way out any more.
  void Settle(int64_t now_s);
  // Drops what the broker no longer has, of what is older than expiry_s. Now and then.
  void Expire(int64_t now_s);

 private:
  struct Remembered {
    UserId user;
    Subscriptions to;
    int64_t ask_s = 0;      // when the broker is to be asked
    int64_t believe_s = 0;  // until then it needn't be
  };
  using RememberedMap = std::unordered_map<std::string, Remembered>;

  void Remember(Session& session, int64_t now_s);
  RememberedMap::iterator Forget(RememberedMap::iterator which);
  // True where the broker has it still; else it is forgotten.
  bool Ask(RememberedMap::iterator which, int64_t now_s);

  const Limits limits_;
  const Kept kept_;
  SessionId last_id_ = 0;
  const mosquitto* ended_ = nullptr;  // TakeEnded; never dereferenced
  UserId ended_user_;
  std::unordered_map<const mosquitto*, Session> by_client_;
  std::unordered_map<SessionId, Session*> by_id_;
  std::unordered_map<std::string_view, Session*> by_device_;  // the newest; keys live in sessions
  RememberedMap remembered_;
  std::unordered_map<UserId, std::vector<std::string>> remembered_of_;
  std::vector<std::string> left_;  // of them, those about which the broker wasn't asked yet
};

}  // namespace parley

#endif  // PARLEY_PLUGIN_SESSIONS_H_
