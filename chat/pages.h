// Pages of messages as answers carry them: bounded in bytes, and for history with edits,
// retractions and reactions folded in.
//
// Pure functions of what they are given, any thread.
#ifndef PARLEY_CHAT_PAGES_H_
#define PARLEY_CHAT_PAGES_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "chat/engine.h"
#include "storage/message_store.h"

namespace parley {

inline constexpr size_t kMessagesBytesMax = kAnswerBytesMax - 1024;  // the rest stands around them

// Adds messages to a JSON array until an answer would pass its size.
class MessageList {
 public:
  explicit MessageList(size_t bytes_max) : MessageList(bytes_max, SIZE_MAX) {}
  // … or its first one `first_max`, where that is more.
  MessageList(size_t bytes_max, size_t first_max) : bytes_max_(bytes_max), first_max_(first_max) {}
  // False where it has no room left.
  bool Add(Seq seq, std::string_view rest);
  // One of a group's log has the `seq` of its `peer_seq`, or none.
  bool Add(const LogEntry& entry, std::string_view rest);
  std::string Json() const { return '[' + text_ + ']'; }

 private:
  bool HasRoom(std::string_view rest);

  const size_t bytes_max_;
  const size_t first_max_;
  std::string text_;
};

struct HistoryPage {
  std::string messages;
  bool more = false;
};

// Where a conversation's messages, and what refers to one of them, are read.
struct HistorySource {
  std::function<Result<LogPage>(const Page&)> read;
  std::function<Result<std::vector<LogEntry>>(Seq)> referring;
};

Result<HistoryPage> BuildHistory(const HistorySource& source, Page page, size_t limit);

// The members `before`, `after` and `limit` of a request for history.
Status ReadHistoryPage(const nlohmann::json& request, Page* page, uint64_t* limit);

// `,"name":7`
void AppendMember(const char* name, uint64_t value, std::string* out);

}  // namespace parley

#endif  // PARLEY_CHAT_PAGES_H_
