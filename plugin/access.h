// Who may publish and subscribe to what (PROTOCOL: identity, topics). Deny by default: what no row
// of the table in access.cc allows is refused. Who is a member of a group is not known here: the
// engine decides what is published to one, and the caller who subscribes to one.
//
// Pure functions, any thread; nanoseconds.
#ifndef PARLEY_PLUGIN_ACCESS_H_
#define PARLEY_PLUGIN_ACCESS_H_

#include <string>
#include <string_view>
#include <vector>

#include "chat/client_id.h"
#include "chat/command.h"
#include "storage/credentials.h"
#include "storage/directory.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

inline constexpr size_t kTopicBytesMax = 512;  // all that there are fit in

struct Who {
  UserId user;
  DeviceId device;
  Role role = Role::kUser;
};

// What becomes of an allowed PUBLISH.
enum class PublishKind {
  kCommand,  // goes to the engine
  kControl,  // $CONTROL/parley/v1
  kLogin,    // as/<user>/login: a service has somebody's password checked
};
Result<PublishKind> MayPublish(const Who& who, std::string_view topic);

// All that somebody may publish to, as docs/asyncapi.yaml writes it: "as/{user}/chat/{user}".
std::vector<std::string> PublishAddresses();

// What an allowed SUBSCRIBE subscribes to. `admin`: $SYS and control answers, which the broker
// delivers or which come unasked.
struct Subscription {
  bool admin = false;
  Channel channel = Channel::kAnswer;
  GroupId group{};  // kGroup: allowed to its members alone
};
Result<Subscription> MaySubscribe(const Who& who, std::string_view filter);

// May the broker itself deliver this to the device, once its password is verified? To admins all of
// $SYS, to services Parley's figures. Everything of ours goes to a client id directly
// and never asks: so no will, retained message or raw publish reaches anybody on any topic.
bool MayReceive(const Who& who, std::string_view topic);

// True for a topic whose events may be lost: they are dropped first under load.
bool Transient(std::string_view topic);

// The user whose presence the topic tells; empty: it tells nobody's.
std::string_view PresenceOf(std::string_view topic);

// Of "as/<user>/…" the user, as it is written; empty of any other topic.
std::string_view ActorOf(std::string_view topic);

// An MQTT 5 response topic: the device's own answer/<client-id> or below it, without wildcards.
bool MayAnswerTo(const Who& who, std::string_view topic);

}  // namespace parley

#endif  // PARLEY_PLUGIN_ACCESS_H_
