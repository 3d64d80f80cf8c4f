#include "chat/glance.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace parley {
namespace {

using nlohmann::json;

constexpr size_t kEscapeBytes = 6;  // \ud800
constexpr std::string_view kReplacement = "\\ufffd";
constexpr size_t kDigitsMax = 17;  // of a run of digits: no double needs more

// Reads as far as the member.
class Glancer : public nlohmann::json_sax<json> {
 public:
  explicit Glancer(std::string_view member) : member_(member) {}

  bool null() override { return Value(); }
  bool boolean(bool) override { return Value(); }
  bool number_integer(number_integer_t) override { return Value(); }
  bool number_unsigned(number_unsigned_t) override { return Value(); }
  bool number_float(number_float_t, const string_t&) override { return Value(); }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& value) override {
    if (here_) found = value;
    return Value();
  }
  bool start_object(std::size_t) override { return ++depth_, !here_; }
  bool end_object() override { return --depth_, true; }
  bool start_array(std::size_t) override { return ++depth_ > 1 && !here_; }
  bool end_array() override { return --depth_, true; }
  bool key(string_t& name) override {
    here_ = depth_ == 1 && name == member_;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

  std::string found;

 private:
  bool Value() const { return depth_ > 0 && !here_; }  // false: that's all

  std::string_view member_;
  size_t depth_ = 0;
  bool here_ = false;  // the member's value comes next
};

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// An escape \uD…, whose second digit is one of `second`, begins at `at`.
bool IsSurrogate(std::string_view text, size_t at, std::string_view second) {
  std::string_view escape = text.substr(std::min(at, text.size()), kEscapeBytes);
  return escape.size() == kEscapeBytes && escape.starts_with("\\u") &&
         (escape[2] == 'd' || escape[2] == 'D') && second.find(escape[3]) != second.npos &&
         IsHex(escape[4]) && IsHex(escape[5]);
}

// What begins with a backslash at `at`, within a string. Returns where it ends.
size_t CopyEscape(std::string_view text, size_t at, std::string* out) {
  bool high = IsSurrogate(text, at, "89abAB");
  bool low = IsSurrogate(text, at, "cdefCDEF");
  if (high && IsSurrogate(text, at + kEscapeBytes, "cdefCDEF")) {
    *out += text.substr(at, 2 * kEscapeBytes);
    return at + 2 * kEscapeBytes;
  }
  if (high || low) {
    *out += kReplacement;
    return at + kEscapeBytes;
  }
  *out += text.substr(at, 2);
  return at + 2;
}

// From one quote to the other, or to the text's end. Returns where it ends.
size_t CopyString(std::string_view text, size_t at, std::string* out) {
  *out += text[at++];
  while (at < text.size() && text[at] != '"') {
    if (text[at] == '\\') {
      at = CopyEscape(text, at, out);
    } else {
      *out += text[at++];
    }
  }
  if (at < text.size()) *out += text[at++];
  return at;
}

}  // namespace

std::string Glance(std::string_view object, std::string_view member, size_t bytes_max) {
  Glancer glancer(member);
  (void)json::sax_parse(Representable(object), &glancer);
  bool valid = glancer.found.size() <= bytes_max;
  // What was half of a pair is not what it says.
  if (glancer.found.find("\uFFFD") != std::string::npos) valid = false;
  return valid ? std::move(glancer.found) : std::string();
}

std::string Representable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t digits = 0;
  bool exponent = false;
  for (size_t at = 0; at < text.size();) {
    char c = text[at];
    if (c == '"') {
      at = CopyString(text, at, &out);
      digits = 0;
      exponent = false;
      continue;
    }
    ++at;
    if (c >= '0' && c <= '9') {
      if (++digits <= kDigitsMax) out += exponent ? '0' : c;
      continue;
    }
    digits = 0;
    exponent = c == 'e' || c == 'E' || (exponent && (c == '+' || c == '-'));
    out += c;
  }
  return out;
}

}  // namespace parley
