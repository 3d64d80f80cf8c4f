#include "bridge/gateway/answer.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "bridge/gateway/json_text.h"
#include "bridge/gateway/problem.h"
#include "chat/json_out.h"

namespace parley::gateway {
namespace {

std::string TextOf(std::string_view json_string) {
  auto text = nlohmann::json::parse(json_string, nullptr, false);
  return text.is_string() ? text.get<std::string>() : std::string();
}

void ReadError(std::string_view error, BrokerAnswer* answer) {
  Code code = Code::kUnavailable;
  std::string message;
  for (const JsonMember& member : MembersOf(error)) {
    std::string_view value = member.value;
    if (member.name == "code") code = CodeNamed(TextOf(value)).value_or(code);
    if (member.name == "message") message = TextOf(value);
    if (member.name == "retry_after_ms") {
      std::from_chars(value.data(), value.data() + value.size(), answer->retry_after_ms);
    }
  }
  answer->status = {code, std::move(message)};
}

void AppendNamed(std::string_view name, std::string_view value, std::string* out) {
  if (!out->empty() && out->back() != '{') *out += ',';
  *out += '"';
  *out += name;
  *out += "\":";
  *out += value;
}

template <class Append>
void AppendEach(std::string_view array, const Append& append, std::string* out) {
  *out += '[';
  bool first = true;
  for (std::string_view element : ElementsOf(array)) {
    if (!first) *out += ',';
    first = false;
    append(element, out);
  }
  *out += ']';
}

void AppendConversation(std::string_view conversation, std::string* out);

// Members whose values hold messages.
void AppendAnswered(std::string_view name, std::string_view value, std::string* out) {
  if (name == "messages") {
    AppendNamed(name, "", out);
    AppendEach(value, AppendRestMessage, out);
  } else if (name == "conversations") {
    AppendNamed(name, "", out);
    AppendEach(value, AppendConversation, out);
  } else if (name == "last") {
    AppendNamed(name, "", out);
    AppendRestMessage(value, out);
  } else {
    AppendNamed(name, value, out);
  }
}

void AppendConversation(std::string_view conversation, std::string* out) {
  *out += '{';
  for (const JsonMember& member : MembersOf(conversation)) {
    AppendAnswered(member.name, member.value, out);
  }
  *out += '}';
}

}  // namespace

void AppendRestMessage(std::string_view message, std::string* out) {
  *out += '{';
  for (const auto& [name, value] : MembersOf(message)) {
    if (name == "from") {
      AppendNamed("author_id", value, out);
    } else if (name == "ts") {
      AppendNamed("timestamp", value, out);
    } else if (name == "body" && value.starts_with('"')) {
      AppendNamed("message_text", value, out);
    } else {
      AppendNamed(name, value, out);
    }
  }
  *out += '}';
}

void BrokerAnswer::Add(std::string_view name, std::string_view text) {
  std::string value;
  AppendJsonString(text, &value);
  AppendNamed(name, value, &members);
}

BrokerAnswer ReadAnswer(const Result<std::string>& text) {
  BrokerAnswer answer;
  if (!text) {
    answer.status = text.error();
    return answer;
  }
  bool ok = false;
  bool user = false;
  for (const JsonMember& member : MembersOf(*text)) {
    if (member.name == "ok") {
      ok = member.value == "true";
    } else if (member.name == "user" && !std::exchange(user, true)) {
      continue;  // the one that it was asked for; an account's own comes later
    } else if (member.name == "error" && !ok) {
      ReadError(member.value, &answer);
    } else if (member.name != "rid") {
      AppendAnswered(member.name, member.value, &answer.members);
    }
  }
  if (!ok) answer.members.clear();
  if (!ok && answer.status.ok()) {
    answer.status = {Code::kUnavailable, "the broker's answer can't be read"};
  }
  return answer;
}

HttpResponse RestAnswer(const BrokerAnswer& answer, int http_status) {
  if (!answer.status.ok()) return Problem(answer.status, answer.retry_after_ms);
  HttpResponse response;
  response.status = http_status;
  response.headers.emplace_back("Cache-Control", "no-store");
  if (http_status != 204) response.SetBody("application/json", "{" + answer.members + "}\n");
  return response;
}

}  // namespace parley::gateway
