// What a REST request says, made into what the broker is asked. Pure functions; the fuzzer's
// target.
//
// Strict where the broker can't be: what becomes part of a topic is an id. The rest is the broker's
// to check, and is passed on as it was written.
#ifndef PARLEY_BRIDGE_GATEWAY_REST_REQUEST_H_
#define PARLEY_BRIDGE_GATEWAY_REST_REQUEST_H_

#include <map>
#include <string>
#include <string_view>

#include "bridge/gateway/router.h"
#include "storage/status.h"

namespace parley::gateway {

// The query's members by name, percent-decoded. kBadRequest: malformed, or one twice.
using Query = std::map<std::string, std::string>;
Result<Query> ReadQuery(std::string_view query);

// The members of a request, as `"after":7,"limit":10`: the path's, the query's as the types that
// they have in PROTOCOL, the body's as they are. kBadRequest.
Result<std::string> AskMembers(const PathMembers& path, const Query& query, std::string_view body);

// POST /v1/messages.
struct RestMessage {
  std::string author;   // empty: not said
  std::string target;   // "chat/bob", "group/town"
  std::string payload;  // PROTOCOL: sending
};
// kBadRequest: no object, an unknown member, none or two of `to` and `group`, of `message_text` and
// `body`; `to` or `group` no id; a text that is none.
Result<RestMessage> ReadMessage(std::string_view body);

// POST /v1/typing: "typing/bob", "typing/group/town", and its payload. The broker isn't waited for:
// it is checked here. kBadRequest.
Result<RestMessage> ReadTyping(std::string_view body);

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_REST_REQUEST_H_
