// A program that uses the REST gateway, and the gateway itself: a process of this build, beside a
// ChatServer.
//
// Waiting calls throw std::runtime_error after two minutes. One thread uses each.
#ifndef PARLEY_TESTS_E2E_REST_CLIENT_H_
#define PARLEY_TESTS_E2E_REST_CLIENT_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tests/e2e/device.h"

namespace parley::e2e {

struct RestResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string text;

  Json json() const { return Json::parse(text); }
  // The member `code` of a problem; "" for what is none.
  std::string code() const;
};

// One HTTP connection, opened at the first request and again when it was closed.
class RestClient {
 public:
  explicit RestClient(uint16_t port) : port_(port) {}
  ~RestClient() { Close(); }
  RestClient(RestClient&& other) noexcept;
  RestClient& operator=(RestClient&&) = delete;

  // Headers that are sent with each request.
  RestClient& With(std::string name, std::string value);
  RestResponse Get(const std::string& target) { return Call("GET", target); }
  RestResponse Delete(const std::string& target) { return Call("DELETE", target); }
  RestResponse Post(const std::string& target, const Json& body) {
    return Call("POST", target, body.dump());
  }
  RestResponse Call(const std::string& method, const std::string& target,
                    std::string_view body = "");
  // The same in two steps, so that something can happen in between.
  void Start(const std::string& method, const std::string& target, std::string_view body = "");
  RestResponse Finish();

  // Bytes as they are; none: it only connects.
  void Send(std::string_view bytes);
  // True once the other end has closed.
  bool AwaitEnd();
  void Close();

 private:
  void Open();
  bool ReadMore();

  const uint16_t port_;
  std::map<std::string, std::string> headers_;
  int socket_ = -1;
  std::string unread_;
};

class Gateway {
 public:
  // Makes the service account "gateway" where there is none, and returns when it is connected.
  explicit Gateway(const ChatServer& server, std::vector<std::string> more = {});
  ~Gateway();  // kills it, if it runs
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  uint16_t port() const { return port_; }
  pid_t pid() const { return pid_; }
  void AwaitHealth(int status) const;
  void Terminate() const;  // SIGTERM
  int AwaitExit();         // its exit code

  RestClient Open() const { return RestClient(port_); }
  // Logged in by a token of this user's.
  RestClient As(const std::string& user) const;

 private:
  const ChatServer& server_;
  pid_t pid_ = -1;
  uint16_t port_ = 0;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_REST_CLIENT_H_
