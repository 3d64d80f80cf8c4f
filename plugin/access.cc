#include "plugin/access.h"

#include "chat/control.h"
#include "chat/figures.h"
#include "chat/push_jobs.h"

namespace parley {
namespace {

Status TooLong(std::string_view what, size_t max) {
  return {Code::kTooLarge, std::string(what) + " is longer than " + std::to_string(max) + " bytes"};
}

Status Denied(std::string message) { return {Code::kDenied, std::move(message)}; }

bool HasWildcard(std::string_view topic) { return topic.find_first_of("+#") != topic.npos; }

constexpr std::string_view kAskPrefix = "ask/";

// The part of `topic` after `prefix`, or nothing (data() == nullptr) where it begins otherwise.
std::string_view After(std::string_view topic, std::string_view prefix) {
  return topic.starts_with(prefix) ? topic.substr(prefix.size()) : std::string_view();
}

// A topic <first>/<me>, which is mine alone.
constexpr struct Own {
  std::string_view prefix;
  bool publish;
  Channel channel;
} kOwn[] = {
    {"chat/", false, Channel::kInbox},
    {"receipt/", true, Channel::kReceipt},
    {"presence/", true, Channel::kPresence},
    {"typing/", false, Channel::kTyping},
};

// A topic <prefix><id>, to which anybody may send: whether it may reach that user or group, and
// what methods there are, is for the engine. typing/group/ before typing/; the user "group" is
// typing/group.
constexpr struct Addressed {
  std::string_view prefix;
  std::string_view what;
} kAddressed[] = {
    {"chat/", "user"},   {"group/", "group"},    {"typing/group/", "group"},
    {"typing/", "user"}, {kAskPrefix, "method"},
};

// A topic of those with a role.
constexpr struct ByRole {
  std::string_view topic;
  Role role;
  PublishKind kind;
  std::string_view refusal;
} kByRole[] = {
    {"push/done", Role::kService, PublishKind::kCommand,
     "only a service account may end a push job"},
    {kControlTopic, Role::kAdmin, PublishKind::kControl, "only an admin may use this topic"},
};

// What a service may do for a user: as/<user>/ and one of these. Of whom or what, is for the
// engine.
constexpr struct Acted {
  std::string_view prefix;
  std::string_view what;  // none: it ends there
  PublishKind kind;
} kActed[] = {
    {"chat/", "user", PublishKind::kCommand},    {"group/", "group", PublishKind::kCommand},
    {"receipt/", "user", PublishKind::kCommand}, {"typing/group/", "group", PublishKind::kCommand},
    {"typing/", "user", PublishKind::kCommand},  {kAskPrefix, "method", PublishKind::kCommand},
    {"login", "", PublishKind::kLogin},
};

Result<PublishKind> MayAct(const Who& who, std::string_view as) {
  if (who.role != Role::kService) {
    return Error(Denied("only a service account may act for others"));
  }
  size_t slash = as.find('/');
  std::string_view topic = slash == as.npos ? std::string_view() : as.substr(slash + 1);
  for (const Acted& row : kActed) {
    if (row.what.empty() ? topic == row.prefix : topic.starts_with(row.prefix)) return row.kind;
  }
  return Error(Denied("this topic is not for publishing to"));
}

// "chat/" and "user" → "chat/{user}"
std::string Address(std::string_view prefix, std::string_view what) {
  std::string address(prefix);
  return what.empty() ? address : address + '{' + std::string(what) + '}';
}

}  // namespace

Result<PublishKind> MayPublish(const Who& who, std::string_view topic) {
  if (topic.size() > kTopicBytesMax) return Error(TooLong("the topic", kTopicBytesMax));
  for (const Addressed& row : kAddressed) {
    std::string_view to = After(topic, row.prefix);
    if (to.data() == nullptr) continue;
    if (row.prefix == kAskPrefix || ValidId(to)) return PublishKind::kCommand;
    return Error(Denied("the topic names no " + std::string(row.what) + " id"));
  }
  for (const Own& own : kOwn) {
    if (own.publish && After(topic, own.prefix) == who.user.str()) return PublishKind::kCommand;
  }
  for (const ByRole& row : kByRole) {
    if (topic != row.topic) continue;
    if (who.role == row.role) return row.kind;
    return Error(Denied(std::string(row.refusal)));
  }
  if (std::string_view as = After(topic, "as/"); as.data() != nullptr) return MayAct(who, as);
  if (topic.starts_with("receipt/") || topic.starts_with("presence/")) {
    return Error(Denied("only its owner may publish to this topic"));
  }
  return Error(Denied("this topic is not for publishing to"));
}

std::vector<std::string> PublishAddresses() {
  std::vector<std::string> all;
  for (const Addressed& row : kAddressed) all.push_back(Address(row.prefix, row.what));
  for (const Own& row : kOwn) {
    if (row.publish) all.push_back(Address(row.prefix, "user"));
  }
  for (const ByRole& row : kByRole) all.emplace_back(row.topic);
  for (const Acted& row : kActed) all.push_back("as/{user}/" + Address(row.prefix, row.what));
  return all;
}

Result<Subscription> MaySubscribe(const Who& who, std::string_view filter) {
  if (filter.size() > kTopicBytesMax) return Error(TooLong("the filter", kTopicBytesMax));
  if (std::string_view device = After(filter, "answer/"); device.data() != nullptr) {
    if (device == who.device.str() || device == who.device.str() + "/#") {
      return Subscription{.channel = Channel::kAnswer};
    }
    return Error(Denied("only the device itself may subscribe to its answers"));
  }
  if (who.role == Role::kAdmin &&
      (filter == kControlResponseTopic || filter == "$CONTROL/parley/v1/#")) {
    return Subscription{.admin = true};
  }
  if (std::string_view name = After(filter, "push/"); name.data() != nullptr) {
    auto provider = PushProviderNamed(name);
    if (provider && who.role == Role::kService) {
      return Subscription{.channel = PushChannel(*provider)};
    }
    return Error(Denied("only a service account may take push jobs, by provider"));
  }
  if (MayReceive(who, filter)) return Subscription{.admin = true};
  if (HasWildcard(filter)) return Error(Denied("wildcards are not allowed here"));
  for (const Own& own : kOwn) {
    if (After(filter, own.prefix) == who.user.str()) return Subscription{.channel = own.channel};
  }
  if (std::string_view group = After(filter, "group/"); ValidId(group)) {
    return Subscription{.channel = Channel::kGroup, .group = GroupId(group)};
  }
  return Error(Denied("only its owner may subscribe to this topic"));
}

bool MayReceive(const Who& who, std::string_view topic) {
  if (who.role == Role::kService) return topic.starts_with(kFiguresTopic);
  return who.role == Role::kAdmin && topic.starts_with("$SYS/");
}

bool Transient(std::string_view topic) { return topic.starts_with("typing/"); }

std::string_view PresenceOf(std::string_view topic) { return After(topic, "presence/"); }

std::string_view ActorOf(std::string_view topic) {
  std::string_view actor = After(topic, "as/");
  return actor.substr(0, actor.find('/'));
}

bool MayAnswerTo(const Who& who, std::string_view topic) {
  std::string_view rest = After(topic, "answer/");
  if (rest.data() == nullptr || HasWildcard(rest) || topic.size() > kTopicBytesMax) return false;
  if (!rest.starts_with(who.device.str())) return false;
  rest.remove_prefix(who.device.str().size());
  return rest.empty() || rest.starts_with('/');
}

}  // namespace parley
