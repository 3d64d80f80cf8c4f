// A request without a connection, and what was answered.
#ifndef PARLEY_TESTS_GATEWAY_ASKED_H_
#define PARLEY_TESTS_GATEWAY_ASKED_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "bridge/gateway/http.h"

namespace parley::gateway {

class Asked final : public Exchange {
 public:
  using Exchange::Exchange;
  void Answer(HttpResponse response) override {
    NoteAnswer(response.status);
    response_ = std::move(response);
  }
  void OnGone(std::function<void()> gone) override { gone_ = std::move(gone); }

  const HttpResponse& response() const { return response_; }

 private:
  HttpResponse response_{.status = 0};  // 0: not answered
  std::function<void()> gone_;
};

inline HttpResponse Ask(const std::function<void(const ExchangePtr&)>& handler,
                        HttpRequest request) {
  auto asked = std::make_shared<Asked>(std::move(request));
  handler(asked);
  return asked->response();
}

inline std::string HeaderOf(const HttpResponse& response, const std::string& name) {
  for (const auto& [have, value] : response.headers) {
    if (have == name) return value;
  }
  return "";
}

}  // namespace parley::gateway

#endif  // PARLEY_TESTS_GATEWAY_ASKED_H_
