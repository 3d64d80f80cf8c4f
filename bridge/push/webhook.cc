#include "bridge/push/providers.h"

namespace parley::push {
namespace {

using nlohmann::json;

class Webhook final : public Provider {
 public:
  std::string name() const override { return "webhook"; }

  Result<HttpRequest> Request(const Job& job, int64_t now_s) override {
    const json& target = job.target;
    if (!target.is_object() || !target.value("url", json()).is_string() ||
        !target.value("secret", json()).is_string()) {
      return Error(Code::kBadRequest, "the target is no webhook");
    }
    HttpRequest request;
    request.url = target["url"].get<std::string>();
    json content = job.content;
    content["job"] = job.name;
    request.body = content.dump(-1, ' ', false, json::error_handler_t::replace);
    const std::string time = std::to_string(now_s);
    const std::string signature =
        Hex(HmacSha256(target["secret"].get<std::string>(), time + "." + request.body));
    request.headers = {{"Content-Type", "application/json"},
                       {"Parley-Timestamp", time},
                       {"Parley-Signature", "v1=" + signature}};
    return request;
  }
};

}  // namespace

std::unique_ptr<Provider> MakeWebhook() { return std::make_unique<Webhook>(); }

}  // namespace parley::push
