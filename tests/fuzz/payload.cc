// What a client sends as a message or a request: read strictly, and written out again as JSON that
// says the same.
//
//   input := flags:u8 payload      flags: the content type (2 bits), a small max_body (1 bit)
#include "chat/payload.h"

#include <nlohmann/json.hpp>

#include "chat/glance.h"
#include "chat/json_out.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {
namespace {

using nlohmann::json;

void CheckJsonString(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, &quoted);
  json parsed = json::parse(quoted, nullptr, false);
  FUZZ_REQUIRE(parsed.is_string() && parsed.get_ref<const std::string&>() == text, quoted);
}

// The text of a request is what an independent parser finds in the payload.
void CheckMembers(const SendRequest& request, const json& object) {
  FUZZ_REQUIRE(object.value("id", "") == request.id, request.id);
  FUZZ_REQUIRE(object.value("type", "message") == TypeName(request.type), object.dump());
  FUZZ_REQUIRE(object.contains("body") == !request.body.empty(), request.body);
  if (object.contains("body")) {
    FUZZ_REQUIRE(json::parse(request.body) == object["body"], request.body);
  }
  FUZZ_REQUIRE(object.contains("ref") == request.ref.has_value(), object.dump());
  if (!request.ref) return;
  FUZZ_REQUIRE(object["ref"]["from"] == request.ref->from.str(), object.dump());
  FUZZ_REQUIRE(object["ref"]["id"] == request.ref->id, object.dump());
}

// What goes out to receivers is one JSON object with the body as it was.
void CheckWritten(const SendRequest& request) {
  MessageRecord record;
  record.from = UserId("alice");
  record.to = UserId("bob");
  record.id = request.id;
  record.type = request.type;
  record.body = request.body;
  record.ref = request.ref;
  std::string text;
  AppendMessage(Seq(7), MessageRest(record), &text);
  json written = json::parse(text, nullptr, false);
  FUZZ_REQUIRE(written.is_object() && written["seq"] == 7 && written["id"] == request.id, text);
  FUZZ_REQUIRE(written.contains("body") == !request.body.empty(), text);
  FUZZ_REQUIRE(written.dump().size() <= text.size() + 6 * request.body.size(), text);
  std::string group;
  AppendGroupMessage(GroupMessageRest(record, GroupId("g"), Seq(3)), &group);
  FUZZ_REQUIRE(json::accept(group), group);
}

void CheckSend(std::string_view payload, ContentType content_type, size_t max_body) {
  auto request = ParseSend(payload, content_type, max_body);
  if (!request) {
    Code code = request.error().code();
    FUZZ_REQUIRE(code == Code::kBadRequest || code == Code::kTooLarge, request.error().ToString());
    CheckJsonString(request.error().message());
    return;
  }
  FUZZ_REQUIRE(ValidUtf8(payload), std::string(payload));
  FUZZ_REQUIRE(request->id.size() <= kMessageIdBytesMax, request->id);
  FUZZ_REQUIRE(request->body.size() <= kWrittenBytesMax, request->body);
  FUZZ_REQUIRE(!request->ref || ValidId(request->ref->from.str()), request->ref->from.str());
  // nlohmann's parser takes a NUL for the end.
  bool has_nul = payload.find('\0') != payload.npos;
  json object = has_nul ? json() : json::parse(payload, nullptr, false);
  bool text = content_type == ContentType::kText || !object.is_object();
  if (text) {
    FUZZ_REQUIRE(content_type != ContentType::kObject, std::string(payload));
    FUZZ_REQUIRE(request->id.empty() && !request->ref, request->id);
    FUZZ_REQUIRE(json::parse(request->body) == payload, request->body);
  } else {
    CheckMembers(*request, object);
    bool whole = request->id.find("\uFFFD") == std::string::npos;
    FUZZ_REQUIRE(Glance(payload, "id", kMessageIdBytesMax) == (whole ? request->id : ""),
                 std::string(payload));
  }
  CheckWritten(*request);
}

void CheckGlance(std::string_view payload) {
  std::string other = Representable(payload);
  FUZZ_REQUIRE(!json::accept(payload) || json::accept(other), other);
  std::string id = IdOfRefused(payload, ContentType::kAny, payload.substr(0, 100));
  FUZZ_REQUIRE(id.size() <= kMessageIdBytesMax, id);
  CheckJsonString(id);
}

int DepthOf(const json& value) {
  int deepest = 0;
  if (value.is_structured()) {
    for (const json& member : value) deepest = std::max(deepest, DepthOf(member));
    ++deepest;
  }
  return deepest;
}

void CheckRequest(std::string_view payload) {
  auto object = ParseObject(payload);
  if (!object) return CheckJsonString(object.error().message());
  FUZZ_REQUIRE(DepthOf(*object) <= kNestingMax, object->dump());
  FUZZ_REQUIRE(*object == json::parse(payload), object->dump());
  uint64_t number = 7;
  Status status = ReadNumber(*object, "after", 1, 100, &number);
  FUZZ_REQUIRE(number == 7 || (status.ok() && number >= 1 && number <= 100), object->dump());
  std::string text;
  if (ReadString(*object, "rid", &text).ok()) CheckJsonString(text);
  CheckJsonString(OnlyKnown(*object, {"rid", "after"}).message());
}

}  // namespace

void Run(std::string_view bytes) {
  Input input(bytes);
  uint8_t flags = input.Byte();
  auto content_type = static_cast<ContentType>((flags & 3) % 3);
  CheckSend(input.rest(), content_type, (flags & 4) != 0 ? 16 : 65536);
  CheckRequest(input.rest());
  CheckGlance(input.rest());
  if (ValidUtf8(input.rest())) CheckJsonString(input.rest());
}

}  // namespace parley::fuzz
