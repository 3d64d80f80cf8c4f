#include "bench/one_request.h"

namespace parley::bench {
namespace {

constexpr int64_t kAnswerNs = 60'000'000'000;

}  // namespace

OneRequest::OneRequest(const Workload& workload, const Credentials& credentials)
    : clients_(workload.endpoint, this) {
  AddUser(&clients_, credentials, 0, {"answer/" + UserName(0) + ":bench"});
  clients_.ConnectAll();
}

void OneRequest::Ask(const std::string& method, const std::string& request) {
  answer_.clear();
  clients_.Publish(clients_[0], "ask/" + method, request);
  const int64_t until = NowNs() + kAnswerNs;
  while (answer_.empty() && NowNs() < until) clients_.Turn(until);
  if (answer_.find("\"ok\":true") == answer_.npos) Die(method + ": " + answer_.substr(0, 300));
}

void OneRequest::MakeGroup(const std::string& group, const std::string& delivery, size_t first,
                           size_t members) {
  std::string request =
      "{\"rid\":\"1\",\"group\":\"" + group + "\",\"delivery\":\"" + delivery + "\",\"members\":[";
  const char* separator = "\"";
  for (size_t i = first; i < first + members; ++i) {
    if (i == 0) continue;  // the owner
    request += separator + UserName(i) + "\"";
    separator = ",\"";
  }
  Ask("groups.create", request + "]}");
}

void OneRequest::OnPublish(Client& /*client*/, const Publish& publish, int64_t /*now_ns*/) {
  answer_ = publish.payload;
}

}  // namespace parley::bench
