#include "bridge/gateway/rest_request.h"

#include <algorithm>
#include <utility>

#include "bridge/gateway/http.h"
#include "bridge/gateway/json_text.h"
#include "chat/json_out.h"
#include "chat/payload.h"
#include "storage/types.h"

namespace parley::gateway {
namespace {

constexpr std::string_view kNumbers[] = {"after", "before", "limit"};
constexpr std::string_view kFlags[] = {"contacts", "receipts"};
constexpr std::string_view kLists[] = {"users"};
constexpr size_t kDigitsMax = 20;  // of a 64-bit number

template <size_t N>
bool Has(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Status Bad(std::string message) { return {Code::kBadRequest, std::move(message)}; }

void AppendName(std::string_view name, std::string* out) {
  if (!out->empty()) *out += ',';
  AppendJsonString(name, out);
  *out += ':';
}

// "a,b" as `["a","b"]`.
std::string ListOf(std::string_view text) {
  std::string list = "[";
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    AppendJsonString(text.substr(0, comma), &list);
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (!text.empty()) list += ',';
  }
  return list + "]";
}

Status AppendTyped(const std::string& name, const std::string& text, std::string* out) {
  AppendName(name, out);
  if (Has(kNumbers, name)) {
    bool digits = !text.empty() && text.size() <= kDigitsMax &&
                  text.find_first_not_of("0123456789") == text.npos;
    bool zeros = text.size() > 1 && text.starts_with('0');
    if (!digits || zeros) return Bad("'" + name + "' must be a number");
    *out += text;
  } else if (Has(kFlags, name)) {
    if (text != "true" && text != "false") return Bad("'" + name + "' must be true or false");
    *out += text;
  } else if (Has(kLists, name)) {
    *out += ListOf(text);
  } else {
    AppendJsonString(text, out);
  }
  return {};
}

// A body's members: what stands between its braces.
Result<std::string> Inner(std::string_view body) {
  auto object = ParseObject(body);
  if (!object) return Error(object.error());
  size_t open = body.find('{');
  size_t close = body.rfind('}');
  if (object->empty()) return std::string();
  return std::string(body.substr(open + 1, close - open - 1));
}

// Takes the member off, if it is there.
Result<std::string> TakeText(nlohmann::json* object, const char* name) {
  std::string text;
  if (Status status = ReadString(*object, name, &text); !status.ok()) return Error(status);
  object->erase(name);
  return text;
}

// `to` and `group`: the one that is there, as a topic, with `prefix` before "bob" or "group/town".
Result<std::string> TakeTarget(nlohmann::json* object, const char* user_prefix,
                               const char* group_prefix) {
  if (object->contains("to") == object->contains("group")) {
    return Error(Bad("'to' or 'group', one of them"));
  }
  bool to_user = object->contains("to");
  auto id = TakeText(object, to_user ? "to" : "group");
  if (!id) return Error(id.error());
  if (!ValidId(*id))
    return Error(Bad(to_user ? "'to' must be a user id" : "'group' must be a group id"));
  return (to_user ? user_prefix : group_prefix) + *id;
}

}  // namespace

Result<Query> ReadQuery(std::string_view query) {
  Query members;
  while (!query.empty()) {
    std::string_view one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(one.size() + 1, query.size()));
    if (one.empty()) continue;
    size_t equals = std::min(one.find('='), one.size());
    std::string name;
    std::string value;
    bool good = PercentDecode(one.substr(0, equals), &name) &&
                PercentDecode(one.substr(std::min(equals + 1, one.size())), &value);
    if (!good) return Error(Bad("the query isn't percent-encoded"));
    if (!members.emplace(name, std::move(value)).second) {
      return Error(Bad("'" + name + "' is there twice"));
    }
  }
  return members;
}

Result<std::string> AskMembers(const PathMembers& path, const Query& query, std::string_view body) {
  std::string members;
  for (const auto& [name, value] : path) {
    AppendName(name, &members);
    AppendJsonString(value, &members);
  }
  for (const auto& [name, value] : query) {
    if (path.contains(name)) return Error(Bad("'" + name + "' is there twice"));
    if (Status status = AppendTyped(name, value, &members); !status.ok()) return Error(status);
  }
  if (body.empty()) return members;
  auto inner = Inner(body);
  if (!inner) return Error(inner.error());
  if (!members.empty() && !inner->empty()) members += ',';
  return members + *inner;
}

Result<RestMessage> ReadMessage(std::string_view body) {
  auto object = ParseObject(body);
  if (!object) return Error(object.error());
  RestMessage message;
  auto author = TakeText(&*object, "author_id");
  if (!author) return Error(author.error());
  auto target = TakeTarget(&*object, "chat/", "group/");
  if (!target) return Error(target.error());
  message.author = std::move(*author);
  message.target = std::move(*target);
  if (object->contains("message_text") && object->contains("body")) {
    return Error(Bad("'message_text' or 'body', not both"));
  }
  if (object->contains("message_text") && !object->at("message_text").is_string()) {
    return Error(Bad("'message_text' must be a text; 'body' takes any value"));
  }
  Status status = OnlyKnown(*object, {"id", "type", "message_text", "body", "ref"});
  if (!status.ok()) return Error(status);
  std::string payload;
  for (const auto& [name, value] : MembersOf(body)) {
    if (name == "author_id" || name == "to" || name == "group") continue;
    AppendName(name == "message_text" ? "body" : name, &payload);
    payload += value;
  }
  message.payload = "{" + payload + "}";
  return message;
}

Result<RestMessage> ReadTyping(std::string_view body) {
  auto object = ParseObject(body);
  if (!object) return Error(object.error());
  RestMessage typing;
  auto target = TakeTarget(&*object, "typing/", "typing/group/");
  if (!target) return Error(target.error());
  typing.target = std::move(*target);
  Status status = OnlyKnown(*object, {"on"});
  if (!status.ok()) return Error(status);
  if (!object->contains("on") || !object->at("on").is_boolean()) {
    return Error(Bad("'on' must be true or false"));
  }
  typing.payload = object->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return typing;
}

}  // namespace parley::gateway
