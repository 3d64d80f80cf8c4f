#include "bridge/gateway/problem.h"

#include <string>

#include "chat/json_out.h"

namespace parley::gateway {
namespace {

// What a client that is told `busy` or `unavailable` should at least wait.
constexpr int64_t kBusyRetryMs = 1000;

std::string_view Title(int http_status) {
  switch (http_status) {
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

}  // namespace

int HttpStatusOf(Code code) {
  switch (code) {
    case Code::kOk:
      return 200;
    case Code::kBadRequest:
      return 400;
    case Code::kTooLarge:
      return 413;
    case Code::kDenied:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kConflict:
      return 409;
    case Code::kQuota:
      return 429;
    default:
      return 503;
  }
}

HttpResponse Problem(const Status& status, int64_t retry_after_ms) {
  return ProblemWithStatus(HttpStatusOf(status.code()), status, retry_after_ms);
}

HttpResponse ProblemWithStatus(int http_status, const Status& status, int64_t retry_after_ms) {
  if (http_status == 503 && retry_after_ms == 0) retry_after_ms = kBusyRetryMs;
  std::string body = R"({"type":"about:blank","title":")";
  body += Title(http_status);
  body += "\",\"status\":" + std::to_string(http_status) + ",\"code\":\"";
  body += CodeName(status.code());
  body += "\",\"detail\":";
  AppendJsonString(status.message(), &body);
  HttpResponse response;
  response.status = http_status;
  if (retry_after_ms > 0) {
    body += ",\"retry_after_ms\":" + std::to_string(retry_after_ms);
    response.headers.emplace_back("Retry-After", std::to_string((retry_after_ms + 999) / 1000));
  }
  response.headers.emplace_back("Cache-Control", "no-store");
  response.SetBody("application/problem+json", body + "}\n");
  return response;
}

HttpResponse Unauthorized(const std::string& message) {
  HttpResponse response = ProblemWithStatus(401, {Code::kDenied, message});
  response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"parley\"");
  return response;
}

}  // namespace parley::gateway
