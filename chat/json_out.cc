#include "chat/json_out.h"

#include <array>
#include <charconv>

namespace parley {

std::string_view TypeName(MessageType type) {
  switch (type) {
    case MessageType::kMessage:
      return "message";
    case MessageType::kEdit:
      return "edit";
    case MessageType::kRetract:
      return "retract";
    case MessageType::kReaction:
      return "reaction";
    case MessageType::kSystem:
      return "system";
  }
  return "";
}

void AppendJsonString(std::string_view text, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  size_t plain = 0;  // the start of what needs no escape
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out->append(text, plain, i - plain);
    plain = i + 1;
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      case '\b':
        *out += "\\b";
        break;
      case '\f':
        *out += "\\f";
        break;
      default:
        *out += "\\u00";
        out->push_back(kHex[c >> 4]);
        out->push_back(kHex[c & 15]);
    }
  }
  out->append(text, plain);
  out->push_back('"');
}

void AppendNumber(uint64_t value, std::string* out) {
  std::array<char, 20> digits;
  auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out->append(digits.data(), end);
}

namespace {

// `where` is what stands between "from" and "ts".
std::string RestOf(const MessageRecord& message, std::string_view where) {
  std::string out;
  out.reserve(160 + message.body.size() + message.id.size());
  out += ",\"type\":\"";
  out += TypeName(message.type);
  out += "\",\"id\":";
  AppendJsonString(message.id, &out);
  out += ",\"from\":\"";  // ids need no escapes
  out += message.from.str();
  out += where;
  out += ",\"ts\":";
  AppendNumber(static_cast<uint64_t>(message.ts_ms), &out);
  if (!message.body.empty()) {
    out += ",\"body\":";
    out += message.body;
  }
  if (message.ref) {
    out += ",\"ref\":{\"from\":\"";
    out += message.ref->from.str();
    out += "\",\"id\":";
    AppendJsonString(message.ref->id, &out);
    out += "}";
  }
  out += "}";
  return out;
}

}  // namespace

std::string MessageRest(const MessageRecord& message) {
  return RestOf(message, "\",\"to\":\"" + message.to.str() + "\"");
}

std::string GroupMessageRest(const MessageRecord& message, const GroupId& group, Seq gseq) {
  return RestOf(message,
                "\",\"group\":\"" + group.str() + "\",\"gseq\":" + std::to_string(gseq.value()));
}

std::string MessageRest(const LogEntry& entry) {
  return entry.group.empty() ? MessageRest(entry.message)
                             : GroupMessageRest(entry.message, entry.group, entry.gseq);
}

void AppendGroupMessage(std::string_view rest, std::string* out) {
  *out += '{';
  *out += rest.substr(1);
}

void AppendMessage(Seq seq, std::string_view rest, std::string* out) {
  *out += "{\"seq\":";
  AppendNumber(seq.value(), out);
  *out += rest;
}

std::string RidHead(std::string_view rid) {
  std::string head = "\"rid\":";
  AppendJsonString(rid, &head);
  return head + ',';
}

std::string TopicHead(std::string_view topic) {
  std::string head = "\"topic\":";
  AppendJsonString(topic, &head);
  return head + ',';
}

namespace {
// `{"rid":"1",` stands before "ok", everything else after it.
std::string Open(std::string_view head, std::string_view ok) {
  std::string out = "{";
  if (head.starts_with("\"rid\"")) {
    out += head;
    out += ok;
  } else {
    out += ok;
    out += head;
  }
  return out;
}

// Cut between two characters.
std::string_view Shortened(std::string_view message) {
  if (message.size() <= kErrorMessageBytesMax) return message;
  size_t end = kErrorMessageBytesMax;
  while (end > 0 && (message[end] & 0xC0) == 0x80) --end;
  return message.substr(0, end);
}
}  // namespace

std::string OkAnswer(std::string_view head, std::string_view members) {
  std::string out = Open(head, "\"ok\":true,");
  out.pop_back();  // the last comma: members bring their own
  out += members;
  out += "}";
  return out;
}

Code ToldCode(Code code) {
  bool inner = code == Code::kCorruption || code == Code::kIoError;
  return inner ? Code::kUnavailable : code;
}

std::string ErrorAnswer(std::string_view head, const Status& status, int64_t retry_after_ms) {
  std::string out = Open(head, "\"ok\":false,");
  out += "\"error\":{\"code\":\"";
  Code told = ToldCode(status.code());
  bool inner = told != status.code();
  out += CodeName(told);
  out += "\",\"message\":";
  // File names and offsets are the operator's, not the client's.
  AppendJsonString(inner ? "the store can't be read or written now" : Shortened(status.message()),
                   &out);
  if (retry_after_ms > 0) {
    out += ",\"retry_after_ms\":";
    AppendNumber(static_cast<uint64_t>(retry_after_ms), &out);
  }
  out += "}}";
  return out;
}

}  // namespace parley
