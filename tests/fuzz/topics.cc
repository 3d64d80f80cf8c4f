// Who may publish and subscribe to what, for any topic and client id: what is allowed is what the
// protocol's table says, in other words; and no filter lets anybody read what is another's.
//
//   input := role:u8 user "\n" client id "\n" topic     the topic to its end
#include <set>
#include <string_view>
#include <vector>

#include "chat/control.h"
#include "plugin/access.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {
namespace {

using Parts = std::vector<std::string_view>;

Parts Split(std::string_view topic) {
  Parts parts;
  for (size_t slash; (slash = topic.find('/')) != topic.npos; topic.remove_prefix(slash + 1)) {
    parts.push_back(topic.substr(0, slash));
  }
  parts.push_back(topic);
  return parts;
}

// MQTT's own matching (MQTT 5, 4.7), without what it says of `$`, which only narrows it.
bool Matches(const Parts& filter, const Parts& topic, size_t at = 0) {
  if (at < filter.size() && filter[at] == "#") return true;
  if (at == filter.size() || at == topic.size()) {
    return filter.size() == topic.size() && at == topic.size();
  }
  return (filter[at] == "+" || filter[at] == topic[at]) && Matches(filter, topic, at + 1);
}

// as/<user>/…
bool ActTable(const Parts& parts) {
  if (parts.size() < 3) return false;
  if (parts[2] == "login") return parts.size() == 3;
  static const std::set<std::string_view> kActed = {"ask", "chat", "group", "receipt", "typing"};
  return parts.size() > 3 && kActed.count(parts[2]) > 0;
}

bool PublishTable(const Who& who, std::string_view topic) {
  const Parts parts = Split(topic);
  const std::string_view first = parts[0];
  if (first == "ask") return parts.size() > 1;
  if (first == "as") return who.role == Role::kService && ActTable(parts);
  if (topic == "push/done") return who.role == Role::kService;
  if (topic == "$CONTROL/parley/v1") return who.role == Role::kAdmin;
  if (first == "typing" && parts.size() == 3) return parts[1] == "group" && ValidId(parts[2]);
  if (parts.size() != 2) return false;
  if (first == "chat" || first == "group" || first == "typing") return ValidId(parts[1]);
  return (first == "receipt" || first == "presence") && parts[1] == who.user.str();
}

bool SubscribeTable(const Who& who, std::string_view filter) {
  const Parts parts = Split(filter);
  const std::string_view first = parts[0];
  if (first == "answer") {
    const bool below = parts.size() == 3 && parts[2] == "#";
    return (parts.size() == 2 || below) && parts[1] == who.device.str();
  }
  if (who.role == Role::kAdmin) {
    if (first == "$SYS" && parts.size() > 1) return true;
    if (filter == "$CONTROL/parley/v1/response" || filter == "$CONTROL/parley/v1/#") return true;
  }
  if (who.role == Role::kService && filter.starts_with("$SYS/broker/parley/")) return true;
  if (parts.size() != 2) return false;
  if (first == "group") return ValidId(parts[1]);
  return (first == "chat" || first == "receipt" || first == "presence" || first == "typing") &&
         parts[1] == who.user.str();
}

// Nobody else's topics, whatever was granted.
void CheckClosed(const Who& who, std::string_view filter) {
  const Parts granted = Split(filter);
  const std::string other = who.user.str() == "mallory" ? "bob" : "mallory";
  const std::string theirs = other + ":phone";
  for (const std::string& topic : {"chat/" + other, "receipt/" + other, "presence/" + other,
                                   "typing/" + other, "answer/" + theirs, "answer/" + theirs + "/r",
                                   "as/" + other + "/chat/x", std::string("ask/sync")}) {
    if (who.device.str() == theirs && topic.starts_with("answer/")) continue;
    FUZZ_REQUIRE(!Matches(granted, Split(topic)), std::string(filter));
  }
}

void Check(const Who& who, std::string_view topic) {
  const bool fits = topic.size() <= kTopicBytesMax;
  auto published = MayPublish(who, topic);
  FUZZ_REQUIRE(published.has_value() == (fits && PublishTable(who, topic)), std::string(topic));
  if (published) {
    FUZZ_REQUIRE((*published == PublishKind::kControl) == (topic == kControlTopic), "");
  } else {
    FUZZ_REQUIRE(published.error().code() == (fits ? Code::kDenied : Code::kTooLarge),
                 published.error().ToString());
  }
  auto subscribed = MaySubscribe(who, topic);
  FUZZ_REQUIRE(subscribed.has_value() == (fits && SubscribeTable(who, topic)), std::string(topic));
  if (subscribed) CheckClosed(who, topic);
  const bool figures = who.role == Role::kService && topic.starts_with("$SYS/broker/parley/");
  FUZZ_REQUIRE(!MayReceive(who, topic) || figures ||
                   (who.role == Role::kAdmin && topic.starts_with("$SYS/")),
               std::string(topic));
  if (MayAnswerTo(who, topic)) {
    const Parts parts = Split(topic);
    FUZZ_REQUIRE(parts[0] == "answer" && parts[1] == who.device.str(), std::string(topic));
    FUZZ_REQUIRE(topic.find_first_of("+#") == topic.npos, std::string(topic));
  }
  const std::string_view told = PresenceOf(topic);
  FUZZ_REQUIRE(told.empty() || topic == "presence/" + std::string(told), std::string(topic));
}

}  // namespace

void Run(std::string_view bytes) {
  Input input(bytes);
  Who who;
  who.role = static_cast<Role>(input.Byte() % 3);
  who.user = UserId(input.Until('\n'));
  who.device = DeviceId(input.Until('\n'));
  // Who gets as far as this has been checked.
  if (!ValidId(who.user.str()) || !CheckClientId(who.device.str(), who.user).ok()) return;
  FUZZ_REQUIRE(who.device.str().find_first_of("+#/") == std::string::npos, who.device.str());
  const size_t colon = who.device.str().find(':');
  FUZZ_REQUIRE(colon == std::string::npos || who.device.str().substr(0, colon) == who.user.str(),
               who.device.str());
  Check(who, input.rest());
}

}  // namespace parley::fuzz
