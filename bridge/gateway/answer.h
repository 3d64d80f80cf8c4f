// What the broker answers, as REST tells it: the same members, less those that only tell whose
// answer it is (rid, ok, user); messages by REST's names:
//
//   from → author_id    ts → timestamp    body → message_text, where it is a text
//
// An error is a problem (problem.h). Pure functions.
#ifndef PARLEY_BRIDGE_GATEWAY_ANSWER_H_
#define PARLEY_BRIDGE_GATEWAY_ANSWER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "bridge/gateway/http.h"
#include "storage/status.h"

namespace parley::gateway {

struct BrokerAnswer {
  Status status;  // as the broker says, or that it said nothing
  int64_t retry_after_ms = 0;
  std::string members;  // `"seq":1,"id":"7f3a"`, by REST's names; empty for an error

  // One more member, a text.
  void Add(std::string_view name, std::string_view text);
};

BrokerAnswer ReadAnswer(const Result<std::string>& answer);

// `http_status` for one that is ok; 204 goes without a body.
HttpResponse RestAnswer(const BrokerAnswer& answer, int http_status = 200);

// A message of PROTOCOL's (receiving) by REST's names.
void AppendRestMessage(std::string_view message, std::string* out);

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_ANSWER_H_
