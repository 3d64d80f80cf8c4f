#include "chat/command.h"

#include <algorithm>

#include "chat/glance.h"
#include "chat/json_out.h"

namespace parley {

std::string HeadOfRefused(const Published& published) {
  std::string_view topic = published.topic;
  std::string head;
  if (topic.starts_with("as/")) {
    std::string_view acted = topic.substr(3);
    size_t slash = std::min(acted.find('/'), acted.size());
    head = "\"user\":";
    AppendJsonString(acted.substr(0, slash), &head);
    head += ',';
    acted.remove_prefix(std::min(slash + 1, acted.size()));
    if (acted != "login") topic = acted;
  }
  std::string_view begin = std::string_view(published.payload).substr(0, kGlanceBytesMax);
  if (topic.starts_with("ask/") || topic.ends_with("/login")) {
    std::string rid = Glance(begin, "rid", kRidBytesMax);
    return rid.empty() ? head + TopicHead(topic) : RidHead(rid) + head;
  }
  head += TopicHead(topic);
  if (!topic.starts_with("chat/") && !topic.starts_with("group/")) return head;
  std::string id = IdOfRefused(begin, published.content_type, published.correlation);
  if (id.empty()) return head;
  head += "\"id\":";
  AppendJsonString(id, &head);
  return head + ',';
}

}  // namespace parley
