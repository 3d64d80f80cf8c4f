// APNs over HTTP/2 with a provider token (ES256), which is made anew every 40 minutes: Apple
// refuses those that are older than an hour, and those that are renewed more often than every 20
// minutes.
#include <algorithm>

#include "bridge/push/providers.h"

namespace parley::push {
namespace {

using nlohmann::json;

constexpr char kBaseUrl[] = "https://api.push.apple.com";
constexpr int64_t kTokenS = 40 * 60;
constexpr size_t kTokenLettersMax = 200;  // of a device's; 64 today

bool IsDeviceToken(const json& target) {
  if (!target.is_string()) return false;
  const std::string& token = target.get_ref<const std::string&>();
  auto hex = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  return !token.empty() && token.size() <= kTokenLettersMax &&
         std::all_of(token.begin(), token.end(), hex);
}

class Apns final : public Provider {
 public:
  Apns(PrivateKey key, ApnsOptions options) : key_(std::move(key)), options_(std::move(options)) {
    if (options_.base_url.empty()) options_.base_url = kBaseUrl;
  }

  std::string name() const override { return "apns"; }

  Result<HttpRequest> Request(const Job& job, int64_t now_s) override {
    // It becomes a part of the URL.
    if (!IsDeviceToken(job.target)) return Error(Code::kBadRequest, "the target is no token");
    if (token_.empty() || now_s - issued_s_ >= kTokenS) Renew(now_s);
    const json payload = {{"aps",
                           {{"alert", {{"title", job.Title()}, {"body", job.Text()}}},
                            {"thread-id", job.tag},
                            {"sound", "default"},
                            {"mutable-content", 1}}},
                          {"parley", job.content}};
    HttpRequest request;
    request.url = options_.base_url + "/3/device/" + job.target.get<std::string>();
    request.trusted = true;
    request.headers = {{"authorization", "bearer " + token_},
                       {"apns-topic", options_.topic},
                       {"apns-push-type", "alert"},
                       {"apns-priority", "10"},
                       {"apns-expiration", std::to_string(now_s + options_.ttl_s)},
                       {"apns-collapse-id", job.tag},
                       {"content-type", "application/json"}};
    request.body = payload.dump(-1, ' ', false, json::error_handler_t::replace);
    return request;
  }

  Outcome Judge(const HttpAnswer& answer) override {
    using Kind = Outcome::Kind;
    Outcome outcome = JudgeByStatus(answer);
    const json body = json::parse(answer.body, nullptr, false);
    const std::string reason = body.is_object() && body.value("reason", json()).is_string()
                                   ? body["reason"].get<std::string>()
                                   : std::string();
    if (reason == "BadDeviceToken" || reason == "DeviceTokenNotForTopic") {
      outcome.kind = Kind::kGone;
    } else if (answer.status == 403) {
      // The provider token, or the right to this topic: the operator's to mend, in time.
      if (reason == "ExpiredProviderToken") token_.clear();
      outcome.kind = Kind::kFailed;
    } else if (answer.status == 404) {
      outcome.kind = Kind::kDrop;  // a bad path, not a device that is gone
    }
    return outcome;
  }

 private:
  void Renew(int64_t now_s) {
    token_ = key_.SignJwt({{"kid", options_.key_id}}, {{"iss", options_.team_id}, {"iat", now_s}});
    issued_s_ = now_s;
  }

  const PrivateKey key_;
  ApnsOptions options_;
  std::string token_;
  int64_t issued_s_ = 0;
};

}  // namespace

std::unique_ptr<Provider> MakeApns(PrivateKey key, ApnsOptions options) {
  return std::make_unique<Apns>(std::move(key), std::move(options));
}

}  // namespace parley::push
