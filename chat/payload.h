// What a client sent, read strictly: the message payload and the small JSON objects of receipts and
// requests (PROTOCOL: sending, receipts, asking).
//
// Pure functions, any thread. Every failure is kBadRequest or kTooLarge with a message for the
// client's developer; nothing of a failed payload is used.
#ifndef PARLEY_CHAT_PAYLOAD_H_
#define PARLEY_CHAT_PAYLOAD_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "storage/record.h"
#include "storage/status.h"

namespace parley {

inline constexpr size_t kMessageIdBytesMax = 64;
inline constexpr size_t kRidBytesMax = 128;  // of a request's `rid`
inline constexpr int kNestingMax = 32;
inline constexpr size_t kWrittenBytesMax = 200'002;  // of a text with its escapes and quotes

// How an MQTT 5 content type binds the reading of a payload.
enum class ContentType { kAny, kText, kObject };

ContentType ContentTypeNamed(std::string_view media_type);

struct SendRequest {
  std::string id;  // empty: the server makes one
  MessageType type = MessageType::kMessage;
  std::string body;  // JSON text; empty where the object had none
  std::optional<MessageRef> ref;
};

// Reads text or an object. `max_body` bounds the body: a text's bytes, a JSON string's bytes
// between its quotes, any other value's bytes as written. A text is also bounded as it goes out
// (kWrittenBytesMax): a control character takes six bytes there.
Result<SendRequest> ParseSend(std::string_view payload, ContentType content_type, size_t max_body);

// By what id the error of a refused message is told: its own, wherever it stands in a payload that
// is wrong or was not read, or what its correlation data stand for. Empty: it has none.
std::string IdOfRefused(std::string_view payload, ContentType content_type,
                        std::string_view correlation);

// A JSON object with no member twice and no nesting past kNestingMax.
Result<nlohmann::json> ParseObject(std::string_view payload);

bool ValidUtf8(std::string_view text);

// Members of a request object, each checked. An absent one leaves *out as it is.
Status ReadNumber(const nlohmann::json& object, const char* name, uint64_t min, uint64_t max,
                  uint64_t* out);
Status ReadString(const nlohmann::json& object, const char* name, std::string* out);
// kBadRequest naming the first member that is not in `known`.
Status OnlyKnown(const nlohmann::json& object, std::initializer_list<std::string_view> known);

}  // namespace parley

#endif  // PARLEY_CHAT_PAYLOAD_H_
