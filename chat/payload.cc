#include "chat/payload.h"

#include <algorithm>
#include <array>
#include <unordered_set>
#include <vector>

#include "chat/glance.h"
#include "chat/json_out.h"

namespace parley {
namespace {

using nlohmann::json;

Status BadRequest(std::string message) { return Status(Code::kBadRequest, std::move(message)); }

// Checks a document while nlohmann's parser reads it: depth, members given twice. Remembers what
// stands at the top level, which is all that a message's own members need.
class Checker : public nlohmann::json_sax<json> {
 public:
  bool null() override { return Value("null"); }
  bool boolean(bool) override { return Value("a boolean"); }
  bool number_integer(number_integer_t) override { return Value("a number"); }
  bool number_unsigned(number_unsigned_t) override { return Value("a number"); }
  bool number_float(number_float_t, const string_t&) override { return Value("a number"); }
  bool string(string_t& value) override {
    if (keys_.size() == 1 && (member_ == "id" || member_ == "type")) {
      (member_ == "id" ? id : type) = value;
      (member_ == "id" ? has_id : has_type) = true;
      return true;
    }
    if (keys_.size() == 2 && member_ == "ref") {
      if (ref_member_ == "from") ref_from = value;
      if (ref_member_ == "id") ref_id = value;
      return true;
    }
    return Value("a string");
  }
  bool binary(binary_t&) override { return Fail("binary data"); }

  bool start_object(std::size_t) override {
    if (keys_.size() == 1 && member_ == "ref") has_ref = true;
    if (message_ && keys_.size() == 1 && (member_ == "id" || member_ == "type")) {
      return Value("an object");  // fails
    }
    return Enter();
  }
  bool start_array(std::size_t) override { return Value("an array") && Enter(); }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }

  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) return Fail("member '" + name + "' is given twice");
    if (keys_.size() == 1) {
      member_ = name;
      if (name == "body") body_index = members;
      ++members;
    } else if (keys_.size() == 2 && member_ == "ref") {
      ref_member_ = name;
      if (message_ && name != "from" && name != "id")
        return Fail("unknown member 'ref." + name + "'");
    }
    if (message_ && keys_.size() == 1 && name != "id" && name != "type" && name != "body" &&
        name != "ref") {
      return Fail("unknown member '" + name + "'");
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at …": the client needs the part after it.
    std::string_view what = error.what();
    if (auto end = what.find("] "); end != std::string_view::npos) what.remove_prefix(end + 2);
    syntax_error = what;
    // It quotes what was read last, maybe up to the middle of a character.
    std::replace_if(
        syntax_error.begin(), syntax_error.end(), [](char c) { return (c & 0x80) != 0; }, '?');
    return false;
  }

  // `message`: the members of a message are checked, and no others are allowed.
  explicit Checker(bool message) : message_(message) {}

  // What is wrong with a document that wasn't read to its end.
  Status Why() const { return BadRequest(failure.empty() ? syntax_error : failure); }

  std::string failure;       // a rule of ours that was broken
  std::string syntax_error;  // not JSON, or JSON that the parser doesn't take
  std::string id, type, ref_from, ref_id;
  bool has_id = false, has_type = false, has_ref = false;
  size_t members = 0;
  size_t body_index = SIZE_MAX;  // which of the top-level members is "body"

 private:
  bool Fail(std::string why) {
    failure = std::move(why);
    return false;
  }
  // A value that is not a string, where one may have to be.
  bool Value(std::string_view what) {
    if (!message_) return true;
    if (keys_.size() == 1 && (member_ == "id" || member_ == "type")) {
      return Fail("'" + member_ + "' must be a string, not " + std::string(what));
    }
    if (keys_.size() == 1 && member_ == "ref" && what != "an object") {
      return Fail("'ref' must be an object with 'from' and 'id'");
    }
    if (keys_.size() == 2 && member_ == "ref") {
      return Fail("'ref." + ref_member_ + "' must be a string");
    }
    return true;
  }
  bool Enter() {
    if (message_ && keys_.size() == 2 && member_ == "ref") {
      return Fail("'ref." + ref_member_ + "' must be a string");
    }
    if (keys_.size() >= static_cast<size_t>(kNestingMax)) {
      return Fail("nested deeper than " + std::to_string(kNestingMax));
    }
    keys_.emplace_back();
    return true;
  }
  bool Leave() {
    keys_.pop_back();
    return true;
  }

  bool message_;
  std::vector<std::unordered_set<std::string>> keys_;
  std::string member_;      // the top-level member that is being read
  std::string ref_member_;  // … and the one of "ref"
};

// JSON holds none, but nlohmann's parser takes one for the end and ignores what follows.
bool HasNul(std::string_view text) { return text.find('\0') != text.npos; }

size_t SkipSpace(std::string_view text, size_t at) {
  while (at < text.size() &&
         (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
    ++at;
  return at;
}

// Past the string that begins at `at`. The text is known to be valid JSON.
size_t SkipString(std::string_view text, size_t at) {
  for (++at; text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

size_t SkipValue(std::string_view text, size_t at) {
  int depth = 0;
  for (;;) {
    char c = text[at];
    if (c == '"') {
      at = SkipString(text, at);
    } else if (c == '{' || c == '[') {
      ++depth;
      ++at;
    } else if (c == '}' || c == ']') {
      --depth;
      ++at;
    } else if (depth > 0) {
      ++at;
    } else {
      while (at < text.size() && text[at] != ',' && text[at] != '}' && text[at] != ']' &&
             SkipSpace(text, at) == at) {
        ++at;
      }
      return at;
    }
    if (depth == 0) return at;
  }
}

// The text of the index-th member's value, exactly as it was written.
std::string_view MemberText(std::string_view object, size_t index) {
  size_t at = SkipSpace(object, 0) + 1;  // past {
  for (size_t i = 0;; ++i) {
    at = SkipString(object, SkipSpace(object, at));  // the name
    at = SkipSpace(object, at) + 1;                  // the colon
    at = SkipSpace(object, at);
    size_t end = SkipValue(object, at);
    if (i == index) return object.substr(at, end - at);
    at = SkipSpace(object, end) + 1;  // the comma
  }
}

Status CheckBodySize(size_t bytes, size_t max_body) {
  if (bytes <= max_body) return Status();
  return Status(Code::kTooLarge, "the body has " + std::to_string(bytes) + " bytes, at most " +
                                     std::to_string(max_body) + " are allowed (max_body)");
}

Result<MessageType> TypeNamed(std::string_view name) {
  for (int i = 0; i < 4; ++i) {
    if (name == TypeName(static_cast<MessageType>(i))) return static_cast<MessageType>(i);
  }
  return Error(Code::kBadRequest,
               "type must be message, edit, retract or reaction, not '" + std::string(name) + "'");
}

Status CheckMessageId(std::string_view id, const char* member) {
  if (id.empty() || id.size() > kMessageIdBytesMax) {
    return BadRequest(std::string("'") + member + "' must have 1 to " +
                      std::to_string(kMessageIdBytesMax) + " bytes");
  }
  return Status();
}

Result<SendRequest> FromText(std::string_view payload, size_t max_body) {
  if (Status status = CheckBodySize(payload.size(), max_body); !status.ok()) return Error(status);
  SendRequest request;
  AppendJsonString(payload, &request.body);
  if (request.body.size() > kWrittenBytesMax) {
    return Error(Code::kTooLarge, "the text's control characters make it too long");
  }
  return request;
}

Status ReadRef(const Checker& checker, SendRequest* request) {
  if (!checker.has_ref) {
    if (request->type == MessageType::kMessage) return Status();
    return BadRequest(std::string("'ref' is missing: a ") + std::string(TypeName(request->type)) +
                      " names the message that it is about");
  }
  if (!ValidId(checker.ref_from)) return BadRequest("'ref.from' must be a user id");
  if (Status status = CheckMessageId(checker.ref_id, "ref.id"); !status.ok()) return status;
  request->ref = MessageRef{UserId(checker.ref_from), checker.ref_id, Seq(), Seq()};
  return Status();
}

Result<SendRequest> FromObject(std::string_view payload, const Checker& checker, size_t max_body) {
  SendRequest request;
  if (checker.has_id) {
    if (Status status = CheckMessageId(checker.id, "id"); !status.ok()) return Error(status);
    request.id = checker.id;
  }
  if (checker.has_type) {
    auto type = TypeNamed(checker.type);
    if (!type) return Error(type.error());
    request.type = *type;
  }
  if (checker.body_index != SIZE_MAX) {
    std::string_view body = MemberText(payload, checker.body_index);
    size_t bytes = body[0] == '"' ? body.size() - 2 : body.size();
    if (Status status = CheckBodySize(bytes, max_body); !status.ok()) return Error(status);
    request.body = body;
  } else if (request.type != MessageType::kRetract) {
    return Error(BadRequest("'body' is missing"));
  }
  if (Status status = ReadRef(checker, &request); !status.ok()) return Error(status);
  return request;
}

}  // namespace

bool ValidUtf8(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    unsigned char c = byte(i);
    size_t more = c < 0x80                   ? 0
                  : (c >= 0xC2 && c <= 0xDF) ? 1
                  : (c & 0xF0) == 0xE0       ? 2
                  : (c >= 0xF0 && c <= 0xF4) ? 3
                                             : 9;
    if (more == 9 || i + more >= text.size()) return false;
    for (size_t k = 1; k <= more; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    }
    // No overlong forms, no surrogates, nothing past U+10FFFF (RFC 3629).
    if (more >= 2) {
      unsigned char d = byte(i + 1);
      if ((c == 0xE0 && d < 0xA0) || (c == 0xED && d > 0x9F) || (c == 0xF0 && d < 0x90) ||
          (c == 0xF4 && d > 0x8F)) {
        return false;
      }
    }
    i += more + 1;
  }
  return true;
}

// RFC 9110, 8.3.1: without regard to case, and parameters follow a semicolon.
ContentType ContentTypeNamed(std::string_view media_type) {
  std::string name(media_type.substr(0, media_type.find(';')));
  while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.pop_back();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name == "text/plain") return ContentType::kText;
  if (name == "application/json") return ContentType::kObject;
  return ContentType::kAny;
}

Result<SendRequest> ParseSend(std::string_view payload, ContentType content_type, size_t max_body) {
  if (!ValidUtf8(payload)) return Error(BadRequest("the payload is not UTF-8"));
  size_t first = SkipSpace(payload, 0);
  bool braced = first < payload.size() && payload[first] == '{' && !HasNul(payload);
  if (content_type == ContentType::kText || (!braced && content_type == ContentType::kAny)) {
    return FromText(payload, max_body);
  }
  if (!braced)
    return Error(BadRequest("the content type says JSON, the payload is no JSON object"));
  Checker checker(true);
  if (json::sax_parse(payload, &checker)) return FromObject(payload, checker, max_body);
  // Whether it is an object at all is not known yet: a rule of ours was broken before the end, or
  // it holds what the parser doesn't take.
  if (content_type == ContentType::kObject || json::accept(Representable(payload))) {
    return Error(checker.Why());
  }
  return FromText(payload, max_body);  // begins like an object and is none: somebody's text
}

std::string IdOfRefused(std::string_view payload, ContentType content_type,
                        std::string_view correlation) {
  std::string id;
  if (content_type != ContentType::kText) id = Glance(payload, "id", kMessageIdBytesMax);
  bool stands = correlation.size() <= kMessageIdBytesMax && ValidUtf8(correlation);
  if (id.empty() && stands) id = correlation;
  return id;
}

Result<json> ParseObject(std::string_view payload) {
  if (!ValidUtf8(payload)) return Error(BadRequest("the payload is not UTF-8"));
  if (HasNul(payload)) return Error(BadRequest("the payload must be a JSON object"));
  Checker checker(false);
  if (!json::sax_parse(payload, &checker)) {
    return Error(checker.Why());
  }
  json object = json::parse(payload, nullptr, false);
  if (!object.is_object()) return Error(BadRequest("the payload must be a JSON object"));
  return object;
}

Status ReadNumber(const json& object, const char* name, uint64_t min, uint64_t max, uint64_t* out) {
  auto it = object.find(name);
  if (it == object.end()) return Status();
  if (!it->is_number_unsigned())
    return BadRequest(std::string("'") + name + "' must be a whole number");
  auto value = it->get<uint64_t>();
  if (value < min || value > max) {
    return BadRequest(std::string("'") + name + "' must be from " + std::to_string(min) + " to " +
                      std::to_string(max));
  }
  *out = value;
  return Status();
}

Status ReadString(const json& object, const char* name, std::string* out) {
  auto it = object.find(name);
  if (it == object.end()) return Status();
  if (!it->is_string()) return BadRequest(std::string("'") + name + "' must be a string");
  *out = it->get<std::string>();
  return Status();
}

Status OnlyKnown(const json& object, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return BadRequest("unknown member '" + name + "'");
    }
  }
  return Status();
}

}  // namespace parley
