// Sends HTTP requests, many at a time, over few connections: libcurl's multi interface, HTTP/2
// where the server has it. The only file that knows libcurl's transfers.
//
// A URL of a user's is sent to by https and to public addresses alone, also over a connection that
// is there already, by no proxy, and no redirect is followed; `allow_private` lifts the first two
// for a network of one's own.
//
// One thread. Limits: `concurrency` transfers at a time (the others wait, in order), `timeout_ms`
// each, 16 KiB of an answer.
#ifndef PARLEY_BRIDGE_PUSH_HTTP_SENDER_H_
#define PARLEY_BRIDGE_PUSH_HTTP_SENDER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "bridge/push/provider.h"

namespace parley::push {

struct HttpOptions {
  size_t concurrency = 32;
  int64_t timeout_ms = 10'000;
  bool allow_private = false;
  std::string ca_file;  // certificates to trust in place of the system's; empty: the system's
};

class HttpSender {
 public:
  using Done = std::function<void(const HttpAnswer&)>;

  explicit HttpSender(const HttpOptions& options);
  ~HttpSender();  // what is under way is given up, and nobody is told
  HttpSender(const HttpSender&) = delete;
  HttpSender& operator=(const HttpSender&) = delete;

  // Asked when a request's turn comes: false, and it isn't sent (HttpAnswer::unsent).
  using Wanted = std::function<bool()>;
  // `done` is called once, by Poll or DropUnwanted. No `wanted`: it is.
  void Send(HttpRequest request, Done done, Wanted wanted = {});
  // Asks those that wait now, out of their turn.
  void DropUnwanted();
  // Goes on with what is under way, waiting for at most `wait`.
  void Poll(std::chrono::milliseconds wait);
  // Requests that aren't answered yet.
  size_t pending() const { return waiting_.size() + active_.size(); }

 private:
  struct Transfer;
  void StartWaiting();
  static bool StillWanted(Transfer* transfer);
  void Finish(Transfer* transfer, int code);

  const HttpOptions options_;
  void* const multi_;  // CURLM
  std::deque<std::unique_ptr<Transfer>> waiting_;
  std::map<Transfer*, std::unique_ptr<Transfer>> active_;
};

}  // namespace parley::push

#endif  // PARLEY_BRIDGE_PUSH_HTTP_SENDER_H_
