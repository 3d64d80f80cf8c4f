// Errors as the gateway tells them: RFC 9457 problem details with PROTOCOL's code as the member
// `code`, and the HTTP status that goes with it.
#ifndef PARLEY_BRIDGE_GATEWAY_PROBLEM_H_
#define PARLEY_BRIDGE_GATEWAY_PROBLEM_H_

#include <cstdint>

#include "bridge/gateway/http.h"
#include "storage/status.h"

namespace parley::gateway {

// 400, 403, 404, 409, 413, 429 or 503.
int HttpStatusOf(Code code);

// `retry_after_ms` > 0: when to try again, in the body and, in whole seconds, as Retry-After.
HttpResponse Problem(const Status& status, int64_t retry_after_ms = 0);
// The same with another HTTP status than the code's own.
HttpResponse ProblemWithStatus(int http_status, const Status& status, int64_t retry_after_ms = 0);
// 401: no credentials, or none that are good.
HttpResponse Unauthorized(const std::string& message);

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_PROBLEM_H_
