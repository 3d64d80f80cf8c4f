// HTTP as the gateway's handlers see it: a request, a response, and what ties them together. Knows
// no sockets, so that tests and the fuzzer hand in requests by themselves.
//
// Threads: the gateway's one (http_server.h).
#ifndef PARLEY_BRIDGE_GATEWAY_HTTP_H_
#define PARLEY_BRIDGE_GATEWAY_HTTP_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parley::gateway {

struct HttpRequest {
  std::string method;                          // "GET"
  std::string target;                          // "/v1/messages?with=bob", as it was sent
  std::map<std::string, std::string> headers;  // by name in lower case; the last of each
  std::string body;
  std::string address;  // where it comes from

  // Empty where there is none.
  std::string_view Header(const std::string& lower_case_name) const;
  // `target` up to the question mark, and behind it.
  std::string_view path() const;
  std::string_view query() const;
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};  // Content-Length comes by itself
  std::shared_ptr<const std::string> body = {};                   // none: empty

  void SetBody(std::string content_type, std::string text);
};

// One request on its way to one answer. A handler may keep it and answer later.
class Exchange {
 public:
  explicit Exchange(HttpRequest request) : request_(std::move(request)) {}
  virtual ~Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const HttpRequest& request() const { return request_; }
  // Once. Does nothing where the client has gone.
  virtual void Answer(HttpResponse response) = 0;
  // `gone` is called at most once, if the client goes before it is answered: nobody waits any more.
  virtual void OnGone(std::function<void()> gone) = 0;

  // The pattern of the router's row that has the request ("/v1/groups/{group}"), which lives as
  // long as the router; empty where there is none.
  std::string_view route() const { return route_; }
  void set_route(std::string_view route) { route_ = route; }
  // `answered` is called once, when there is an answer, with its status.
  using Answered = std::function<void(const Exchange&, int status)>;
  void OnAnswered(Answered answered) { answered_ = std::move(answered); }

 protected:
  // For Answer.
  void NoteAnswer(int status) {
    if (auto answered = std::exchange(answered_, {})) answered(*this, status);
  }

 private:
  const HttpRequest request_;
  std::string_view route_;
  Answered answered_;
};

using ExchangePtr = std::shared_ptr<Exchange>;

// "%2F" and the like undone; nothing where it isn't valid (RFC 3986 §2.1). A `+` stays one.
bool PercentDecode(std::string_view text, std::string* out);

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_HTTP_H_
