// REST requests: whatever comes, each is answered once, with JSON where the broker's is; and
// nothing but what PROTOCOL knows is ever published, or the broker would close the gateway's
// connection, with everybody's requests on it.
//
//   input := method ' ' target '\n' (name ':' value '\n')* '\n' body '\0' answer
//
// The broker says yes to whom it is asked about, and `answer` to the rest.
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "bridge/gateway/api.h"
#include "bridge/gateway/problem.h"
#include "chat/engine.h"
#include "storage/types.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {
namespace {

using gateway::Answered;
using gateway::HttpRequest;
using gateway::HttpResponse;
using nlohmann::json;

// "as/alice/chat/bob" and its like, to the letter.
bool Publishable(std::string_view topic) {
  if (!topic.starts_with("as/")) return false;
  topic.remove_prefix(3);
  std::string_view user = topic.substr(0, topic.find('/'));
  if (!ValidId(user) || user.size() == topic.size()) return false;
  topic.remove_prefix(user.size() + 1);
  if (topic == "login" || topic == "receipt/" + std::string(user)) return true;
  for (std::string_view prefix : {"chat/", "group/", "typing/group/", "typing/"}) {
    if (topic.starts_with(prefix)) return ValidId(topic.substr(prefix.size()));
  }
  static const auto methods = Engine::Methods();
  return topic.starts_with("ask/") && methods.contains(std::string(topic.substr(4)));
}

class Broker final : public gateway::BrokerLink {
 public:
  explicit Broker(std::string_view answer) : answer_(answer) {}

  void Ask(const std::string& topic, const std::string&, Answered answered,
           std::chrono::seconds wait) override {
    Tell(topic, "");
    if (wait.count() > 0) return answered(Error(Code::kBusy, "nothing waits here"));
    answered(topic.ends_with("/login") ? R"({"ok":true,"user":"alice"})" : answer_);
  }
  void Tell(const std::string& topic, const std::string&) override {
    FUZZ_REQUIRE(Publishable(topic), topic);
  }
  bool connected() const override { return true; }
  uint64_t connections() const override { return 1; }
  size_t in_flight() const override { return 0; }
  void Stop() override {}

 private:
  const std::string answer_;
};

class Asked final : public gateway::Exchange {
 public:
  using Exchange::Exchange;
  void Answer(HttpResponse response) override {
    ++answers;
    last = std::move(response);
  }
  void OnGone(std::function<void()>) override {}

  int answers = 0;
  HttpResponse last;
};

HttpRequest ReadRequest(Input* input) {
  HttpRequest request;
  request.method = input->Until(' ');
  request.target = input->Until('\n');
  for (;;) {
    std::string_view line = input->Until('\n');
    if (line.empty()) break;
    size_t colon = std::min(line.find(':'), line.size());
    request.headers[std::string(line.substr(0, colon))] =
        line.substr(std::min(colon + 1, line.size()));
  }
  request.body = input->Until('\0');
  return request;
}

// Texts of the client's own may hold anything; where they are UTF-8 so is what is answered.
bool Readable(const HttpRequest& request, std::string_view answer) {
  std::string all = request.method + request.target + request.body + std::string(answer);
  for (const auto& [name, value] : request.headers) all += value;
  return ValidUtf8(all) && all.find('%') == all.npos;
}

}  // namespace

void Run(std::string_view bytes) {
  Input input(bytes);
  HttpRequest request = ReadRequest(&input);
  std::string_view answer = input.rest();
  boost::asio::io_context io;
  gateway::Router router;
  gateway::Api api(&io, std::make_shared<Broker>(answer), true);
  api.AddTo(&router);
  router.Otherwise([](const auto& exchange, const auto&) {
    exchange->Answer(gateway::Problem({Code::kNotFound, "nothing"}));
  });
  auto asked = std::make_shared<Asked>(request);
  router.Handle(asked);
  FUZZ_REQUIRE(asked->answers == 1, request.target);
  const HttpResponse& response = asked->last;
  FUZZ_REQUIRE(response.status >= 200 && response.status < 600, request.target);
  const json broker = json::parse(answer, nullptr, false);
  bool trusted = response.status >= 400 || broker.is_object();
  if (!response.body || !trusted || !Readable(request, answer)) return;
  FUZZ_REQUIRE(json::accept(*response.body), *response.body);
}

}  // namespace parley::fuzz
