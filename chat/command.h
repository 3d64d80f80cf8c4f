// What comes into the engine: everything that a device did, in the order in which the broker saw
// it.
//
// Made on the broker's thread (payload and topic copied once), handled on the engine's.
#ifndef PARLEY_CHAT_COMMAND_H_
#define PARLEY_CHAT_COMMAND_H_

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "chat/payload.h"
#include "storage/types.h"

namespace parley {

// One connection of one device, from CONNECT to its end. Never used twice while the broker runs.
using SessionId = uint64_t;

// What a session can be subscribed to. Everything else is refused before it gets here.
// kPush… are in the order of PushProvider. kGroup, which names its group, comes last: sessions keep
// the others in an array.
enum class Channel : uint8_t {
  kInbox,
  kReceipt,
  kPresence,
  kTyping,
  kAnswer,
  kPushWebPush,
  kPushNtfy,
  kPushWebhook,
  kPushFcm,
  kPushApns,
  kGroup
};

struct Connected {
  SessionId session = 0;
  UserId user;
  DeviceId device;
  bool service = false;  // may act for others
  bool held = false;     // its password is still being checked: it isn't there yet
};
// A held one's password was right.
struct Welcomed {
  SessionId session = 0;
};
struct Disconnected {
  SessionId session = 0;
};
struct Subscribed {
  SessionId session = 0;
  Channel channel = Channel::kInbox;
  GroupId group{};    // kGroup
  int8_t qos = 0;     // kGroup: of what it gets there
  bool kept = false;  // by the broker, from an earlier connection: the device has said nothing yet
};
struct Unsubscribed {
  SessionId session = 0;
  Channel channel = Channel::kInbox;
  GroupId group{};
};
// The broker wants to publish a device's last will on presence/<user>: its connection was lost.
// Comes right behind Disconnected, in a takeover before it.
struct Lost {
  UserId user;
};

struct Published {
  SessionId session = 0;
  int64_t ts_ms = 0;  // when the broker had it
  std::string topic;
  std::string payload;
  ContentType content_type = ContentType::kAny;
  std::string correlation;     // MQTT 5 correlation data
  std::string response_topic;  // MQTT 5; already checked to be the device's own
};

// What its client chose the length of.
inline size_t BytesOf(const Published& published) {
  return published.topic.size() + published.payload.size() + published.correlation.size() +
         published.response_topic.size();
}

// What an error begins with of a message or request that is refused before it is read: whose it
// was, its topic, its id, or in their place its rid, as far as its first kGlanceBytesMax tell.
std::string HeadOfRefused(const Published& published);

// The rest is the engine's own: a read that has come back, the journal's trouble.
class Engine;
using Continuation = std::function<void(Engine&)>;

using Command = std::variant<Published, Connected, Welcomed, Disconnected, Subscribed, Unsubscribed,
                             Lost, Continuation>;

}  // namespace parley

#endif  // PARLEY_CHAT_COMMAND_H_
