// FCM, HTTP v1: a service account's key signs a JWT (RS256), which Google's token endpoint takes
// for an access token; messages are sent with that.
#include <algorithm>
#include <optional>

#include "bridge/push/providers.h"

namespace parley::push {
namespace {

using nlohmann::json;

constexpr char kBaseUrl[] = "https://fcm.googleapis.com";
constexpr char kScope[] = "https://www.googleapis.com/auth/firebase.messaging";
constexpr int64_t kAssertionS = 3600;
constexpr int64_t kTokenLeftS = 60;  // it is renewed so long before its end
// What is said to end sooner is used so long all the same: 401 tells when it has ended.
constexpr int64_t kTokenLeastS = 2 * kTokenLeftS;

struct Account {
  std::string project;
  std::string email;
  std::string key_id;
  std::string token_url;
};

class Fcm final : public Provider {
 public:
  Fcm(Account account, PrivateKey key, std::string base_url, int64_t ttl_s)
      : account_(std::move(account)),
        key_(std::move(key)),
        url_(std::move(base_url) + "/v1/projects/" + account_.project + "/messages:send"),
        ttl_s_(ttl_s) {}

  std::string name() const override { return "fcm"; }

  std::optional<HttpRequest> Login(int64_t now_s) override {
    if (!token_.empty() && now_s < expires_s_ - kTokenLeftS) return std::nullopt;
    const json header = {{"typ", "JWT"}, {"kid", account_.key_id}};
    const json claims = {{"iss", account_.email},
                         {"scope", kScope},
                         {"aud", account_.token_url},
                         {"iat", now_s},
                         {"exp", now_s + kAssertionS}};
    HttpRequest request;
    request.url = account_.token_url;
    request.trusted = true;
    request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
    request.body = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" +
                   key_.SignJwt(header, claims);
    return request;
  }

  Status TakeLogin(const HttpAnswer& answer, int64_t now_s) override {
    const json got = json::parse(answer.body, nullptr, false);
    bool token =
        answer.status == 200 && got.is_object() && got.value("access_token", json()).is_string();
    if (!token) {
      return {Code::kDenied, "no access token: " + JudgeByStatus(answer).reason};
    }
    token_ = got["access_token"].get<std::string>();
    const json expires = got.value("expires_in", json());
    int64_t lasts_s = expires.is_number_integer() ? expires.get<int64_t>() : kAssertionS;
    expires_s_ = now_s + std::clamp(lasts_s, kTokenLeastS, kAssertionS);
    return {};
  }

  Result<HttpRequest> Request(const Job& job, int64_t) override {
    if (!job.target.is_string()) return Error(Code::kBadRequest, "the target is no token");
    json data = json::object();  // strings alone
    for (const auto& [member, value] : job.content.items()) {
      data[member] = value.is_string()
                         ? value
                         : json(value.dump(-1, ' ', false, json::error_handler_t::replace));
    }
    // `from` is one of FCM's own names.
    data["sender"] = job.from();
    data.erase("from");
    const json message = {{"message",
                           {{"token", job.target},
                            {"data", std::move(data)},
                            {"android",
                             {{"collapse_key", job.tag},
                              {"priority", "high"},
                              {"ttl", std::to_string(ttl_s_) + "s"}}}}}};
    HttpRequest request;
    request.url = url_;
    request.trusted = true;
    request.headers = {{"Content-Type", "application/json"}, {"Authorization", "Bearer " + token_}};
    request.body = message.dump(-1, ' ', false, json::error_handler_t::replace);
    return request;
  }

  Outcome Judge(const HttpAnswer& answer) override {
    Outcome outcome = JudgeByStatus(answer);
    if (answer.status == 401) {  // the token ended before its time
      token_.clear();
      outcome.kind = Outcome::Kind::kFailed;
    }
    // 404 also answers a project that isn't there: only UNREGISTERED is the device's.
    bool unregistered = answer.body.find("UNREGISTERED") != answer.body.npos;
    if (answer.status == 404 && !unregistered) outcome.kind = Outcome::Kind::kDrop;
    return outcome;
  }

 private:
  const Account account_;
  const PrivateKey key_;
  const std::string url_;
  const int64_t ttl_s_;
  std::string token_;
  int64_t expires_s_ = 0;
};

}  // namespace

Result<std::unique_ptr<Provider>> MakeFcm(const FcmOptions& options) {
  const json account = json::parse(options.account, nullptr, false);
  auto text = [&account](const char* member) {
    return account.is_object() && account.value(member, json()).is_string()
               ? account[member].get<std::string>()
               : std::string();
  };
  for (const char* member :
       {"project_id", "client_email", "private_key_id", "private_key", "token_uri"}) {
    if (text(member).empty()) {
      return Error(Code::kBadRequest, std::string("the service account's file lacks ") + member);
    }
  }
  auto key = PrivateKey::FromPem(text("private_key"), "the service account's private_key");
  if (!key) return Error(key.error());
  return std::make_unique<Fcm>(
      Account{text("project_id"), text("client_email"), text("private_key_id"), text("token_uri")},
      std::move(*key), options.base_url.empty() ? kBaseUrl : options.base_url, options.ttl_s);
}

}  // namespace parley::push
