#include "bridge/push/provider.h"

#include <curl/curl.h>

#include <algorithm>

namespace parley::push {
namespace {

constexpr size_t kShownBytesMax = 160;          // of an answer, in a reason
constexpr int64_t kRetryAfterMaxS = 24 * 3600;  // what the broker takes in push/done

std::string Reason(const HttpAnswer& answer) {
  std::string reason = "HTTP " + std::to_string(answer.status);
  std::string shown = answer.body.substr(0, kShownBytesMax);
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < 0x20 || c > 0x7e; }, ' ');
  return shown.empty() ? reason : reason + ": " + shown;
}

}  // namespace

Outcome JudgeByStatus(const HttpAnswer& answer) {
  using Kind = Outcome::Kind;
  if (answer.refused) return {Kind::kDrop, answer.error, 0};
  if (answer.status == 0) return {Kind::kFailed, answer.error, 0};
  if (answer.status >= 200 && answer.status < 300) return {Kind::kOk, "", 0};
  if (answer.status == 404 || answer.status == 410) return {Kind::kGone, Reason(answer), 0};
  bool again = answer.status == 408 || answer.status == 429 || answer.status >= 500;
  if (!again) return {Kind::kDrop, Reason(answer), 0};
  int64_t again_s = std::clamp<int64_t>(answer.retry_after_s, 0, kRetryAfterMaxS);
  return {Kind::kFailed, Reason(answer), again_s * 1000};
}

std::string OriginOf(const std::string& url) {
  std::unique_ptr<CURLU, void (*)(CURLU*)> parsed(curl_url(), curl_url_cleanup);
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return {};
  auto part = [&](CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(parsed.get(), which, &text, 0) != CURLUE_OK) return std::string();
    std::string copy(text);
    curl_free(text);
    return copy;
  };
  std::string scheme = part(CURLUPART_SCHEME);
  std::string port = part(CURLUPART_PORT);
  if (scheme != "https" && scheme != "http") return {};
  return scheme + "://" + part(CURLUPART_HOST) + (port.empty() ? "" : ":" + port);
}

}  // namespace parley::push
