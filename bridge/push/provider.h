// A provider: makes an HTTP request of a job, and says what its answer means. One file each; a row
// of kProviders (push_config.cc) adds one.
//
// One thread uses a provider. Time is handed in, seconds since the Unix epoch.
#ifndef PARLEY_BRIDGE_PUSH_PROVIDER_H_
#define PARLEY_BRIDGE_PUSH_PROVIDER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bridge/push/push_job.h"

namespace parley::push {

struct HttpRequest {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // Its host was chosen by the operator, not by a user: it may be anywhere, and without TLS.
  bool trusted = false;
};

struct HttpAnswer {
  int status = 0;              // 0: there was none
  std::string error = {};      // … why
  bool refused = false;        // … since it may not be sent there; trying again is no use
  bool unsent = false;         // … since it wasn't wanted any more when its turn came
  std::string body = {};       // its beginning
  int64_t retry_after_s = -1;  // -1: not said
};

class Provider {
 public:
  virtual ~Provider() = default;
  virtual std::string name() const = 0;

  // A request that has to succeed before others are made; none: there is no need now.
  virtual std::optional<HttpRequest> Login(int64_t /*now_s*/) { return std::nullopt; }
  virtual Status TakeLogin(const HttpAnswer& /*answer*/, int64_t /*now_s*/) { return {}; }

  // kBadRequest: this target can't be sent to, ever. Its message names no secret.
  virtual Result<HttpRequest> Request(const Job& job, int64_t now_s) = 0;
  virtual Outcome Judge(const HttpAnswer& answer);
};

// What is the same for all: 2xx ok; 404, 410 gone; 408, 429, 5xx and no answer failed; else drop.
Outcome JudgeByStatus(const HttpAnswer& answer);

inline Outcome Provider::Judge(const HttpAnswer& answer) { return JudgeByStatus(answer); }

// "https://host:port", as it stands in the URL; empty where that is none of http or https.
std::string OriginOf(const std::string& url);

}  // namespace parley::push

#endif  // PARLEY_BRIDGE_PUSH_PROVIDER_H_
