// What goes out, written by hand: fixed members in a fixed order, no white space (PROTOCOL:
// receiving, errors). A library's writer costs ten times as much for the same bytes.
#ifndef PARLEY_CHAT_JSON_OUT_H_
#define PARLEY_CHAT_JSON_OUT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/message_store.h"
#include "storage/record.h"
#include "storage/status.h"

namespace parley {

// "message", "edit", "retract", "reaction".
std::string_view TypeName(MessageType type);

// Appends `text` (UTF-8) as a JSON string, quotes included.
void AppendJsonString(std::string_view text, std::string* out);
void AppendNumber(uint64_t value, std::string* out);

// A message is `{"seq":42` and then a rest that both sides share: `,"type":"message",…}`.
std::string MessageRest(const MessageRecord& message);
// … one in a group: `,"type":…,"from":"carol","group":"ubuntu","gseq":7,…}`.
std::string GroupMessageRest(const MessageRecord& message, const GroupId& group, Seq gseq);
// Either, as the entry says.
std::string MessageRest(const LogEntry& entry);
void AppendMessage(Seq seq, std::string_view rest, std::string* out);
// `{"type":"message",…}`: a group's message outside of any user's log.
void AppendGroupMessage(std::string_view rest, std::string* out);

// What answers begin with: `"rid":"1",` and `"topic":"chat/bob",`.
std::string RidHead(std::string_view rid);
std::string TopicHead(std::string_view topic);

// An answer: `{"rid":"1","ok":true,…}` to a request, `{"ok":true,"topic":"chat/bob",…}` to a
// message. `head` holds the members that tell what it answers, each with a comma behind it;
// `members` what comes after, each with a comma before it.
std::string OkAnswer(std::string_view head, std::string_view members);
// An error has the code that clients know it by: what went wrong within is kUnavailable to them.
Code ToldCode(Code code);
// No message is longer than kErrorMessageBytesMax, whatever of the client's it quotes.
inline constexpr size_t kErrorMessageBytesMax = 200;
std::string ErrorAnswer(std::string_view head, const Status& status, int64_t retry_after_ms = 0);

}  // namespace parley

#endif  // PARLEY_CHAT_JSON_OUT_H_
