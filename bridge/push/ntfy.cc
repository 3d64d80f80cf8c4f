#include "bridge/push/providers.h"

namespace parley::push {
namespace {

class Ntfy final : public Provider {
 public:
  explicit Ntfy(std::map<std::string, std::string> tokens) : tokens_(std::move(tokens)) {}

  std::string name() const override { return "ntfy"; }

  Result<HttpRequest> Request(const Job& job, int64_t) override {
    std::string url = job.target.is_string() ? job.target.get<std::string>() : "";
    std::string origin = OriginOf(url);
    if (origin.empty()) return Error(Code::kBadRequest, "the target is no URL");
    HttpRequest request;
    request.url = std::move(url);
    request.body = job.Text();
    // Ids alone: nothing that could end a header.
    request.headers = {{"Title", job.Title()}, {"Content-Type", "text/plain; charset=utf-8"}};
    if (auto token = tokens_.find(origin); token != tokens_.end()) {
      request.headers.emplace_back("Authorization", "Bearer " + token->second);
    }
    return request;
  }

 private:
  const std::map<std::string, std::string> tokens_;
};

}  // namespace

std::unique_ptr<Provider> MakeNtfy(std::map<std::string, std::string> tokens) {
  return std::make_unique<Ntfy>(std::move(tokens));
}

}  // namespace parley::push
