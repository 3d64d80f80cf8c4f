#include "tests/e2e/replay_pages.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {

std::vector<std::string> RawMessages(const std::string& answer) {
  constexpr std::string_view kHead = "\"messages\":[";
  size_t at = answer.find(kHead);
  if (at == answer.npos) throw MqttError("no messages in " + answer);
  at += kHead.size();
  std::vector<std::string> messages;
  size_t begin = 0;
  int depth = 0;
  bool quoted = false;
  for (; depth > 0 || answer.at(at) != ']'; ++at) {
    const char c = answer[at];
    if (quoted) {
      if (c == '\\') ++at;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (depth++ == 0) begin = at;
    } else if (c == '}' || c == ']') {
      if (--depth == 0) messages.push_back(answer.substr(begin, at + 1 - begin));
    }
  }
  return messages;
}

Pages::Pages(PahoDevice* device, std::string method, std::string ask, std::string direction,
             int limit, std::string number)
    : device_(device),
      method_(std::move(method)),
      ask_(std::move(ask)),
      direction_(std::move(direction)),
      limit_(limit),
      number_(std::move(number)) {
  AskAfter(direction_ == "after" ? "0" : "");
}

std::vector<std::string> Pages::All() {
  for (;;) {
    const std::string answer = device_->AwaitAnswer(rid_);
    INFO(method_ << ' ' << ask_ << " by " << device_->options().user << " answers " << answer);
    const Json parsed = Json::parse(answer);
    REQUIRE(parsed["ok"] == true);
    for (std::string& message : RawMessages(answer)) messages_.push_back(std::move(message));
    if (!parsed["more"].get<bool>()) break;
    REQUIRE(!parsed["messages"].empty());
    AskAfter(std::to_string(parsed["messages"].back()[number_].get<uint64_t>()));
  }
  if (direction_ == "before") std::reverse(messages_.begin(), messages_.end());
  return std::move(messages_);
}

void Pages::AskAfter(const std::string& number) {
  std::string members = ask_ + "\"limit\":" + std::to_string(limit_);
  if (!number.empty()) members += ",\"" + direction_ + "\":" + number;
  rid_ = device_->StartAsk(method_, members);
}

}  // namespace parley::e2e
