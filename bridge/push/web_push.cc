#include "bridge/push/providers.h"

namespace parley::push {
namespace {

using nlohmann::json;

constexpr int64_t kTokenS = 12 * 3600;  // RFC 8292: 24 h at most
constexpr int64_t kTokenLeftS = 3600;   // it is renewed so long before its end
constexpr size_t kTokensMax = 1000;     // push services; there are a handful

class WebPush final : public Provider {
 public:
  WebPush(PrivateKey key, std::string subject, int64_t ttl_s)
      : key_(std::move(key)),
        public_key_(Base64Url(key_.PublicPoint())),
        subject_(std::move(subject)),
        ttl_s_(ttl_s) {}

  std::string name() const override { return "webpush"; }

  Result<HttpRequest> Request(const Job& job, int64_t now_s) override {
    const Status bad(Code::kBadRequest, "the target is no PushSubscription");
    const json& target = job.target;
    if (!target.is_object() || !target.contains("keys") || !target["keys"].is_object()) {
      return Error(bad);
    }
    std::string url = Text(target, "endpoint");
    auto point = FromBase64Url(Text(target["keys"], "p256dh"));
    auto auth = FromBase64Url(Text(target["keys"], "auth"));
    std::string origin = OriginOf(url);
    if (origin.empty() || !point || !auth) return Error(bad);
    auto body = EncryptForBrowser(job.content.dump(-1, ' ', false, json::error_handler_t::replace),
                                  *point, *auth);
    if (!body) return Error(body.error());
    HttpRequest request;
    request.url = std::move(url);
    request.body = std::move(*body);
    request.headers = {
        {"TTL", std::to_string(ttl_s_)},
        {"Urgency", "high"},
        {"Topic", job.tag},
        {"Content-Type", "application/octet-stream"},
        {"Content-Encoding", "aes128gcm"},
        {"Authorization", "vapid t=" + TokenFor(origin, now_s) + ", k=" + public_key_}};
    return request;
  }

 private:
  struct Token {
    std::string text;
    int64_t expires_s = 0;
  };

  static std::string Text(const json& object, const char* member) {
    auto found = object.find(member);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  }

  const std::string& TokenFor(const std::string& origin, int64_t now_s) {
    if (tokens_.size() >= kTokensMax) tokens_.clear();
    Token& token = tokens_[origin];
    if (token.expires_s - now_s < kTokenLeftS) {
      token.expires_s = now_s + kTokenS;
      token.text = key_.SignJwt({{"typ", "JWT"}},
                                {{"aud", origin}, {"exp", token.expires_s}, {"sub", subject_}});
    }
    return token.text;
  }

  const PrivateKey key_;
  const std::string public_key_;
  const std::string subject_;
  const int64_t ttl_s_;
  std::map<std::string, Token> tokens_;  // by origin
};

}  // namespace

std::unique_ptr<Provider> MakeWebPush(PrivateKey key, std::string subject, int64_t ttl_s) {
  return std::make_unique<WebPush>(std::move(key), std::move(subject), ttl_s);
}

}  // namespace parley::push
