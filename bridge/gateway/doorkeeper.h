// Who a request is from, and whether it may say so:
//
//   Authorization: Bearer TOKEN         a user's access token
//   X-Api-Key: SECRET                   an API key's secret (parleyctl key secret): a server speaks
//   X-Parley-User: alice                for any account of that key, and names it
//
// The broker decides (as/<user>/login, docs/topics.md); what it has said yes to is believed for at
// most kBelievedFor, so that not every request asks it: so long a voided token may still be used.
//
// Threads: the gateway's one. Limits: kBelievedMax credentials are remembered.
#ifndef PARLEY_BRIDGE_GATEWAY_DOORKEEPER_H_
#define PARLEY_BRIDGE_GATEWAY_DOORKEEPER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "bridge/gateway/answer.h"
#include "bridge/gateway/broker_link.h"
#include "bridge/gateway/http.h"

namespace parley::gateway {

class Doorkeeper {
 public:
  static constexpr std::chrono::seconds kBelievedFor{10};
  static constexpr size_t kBelievedMax = 100'000;

  using Admitted = std::function<void(const std::string& user)>;

  // `behind_proxy`: a client's address is the last one of X-Forwarded-For.
  Doorkeeper(std::shared_ptr<BrokerLink> link, bool behind_proxy)
      : link_(std::move(link)), behind_proxy_(behind_proxy) {}

  // Calls `admitted`, now or later, or answers the exchange with 400, 401, 429 or 503. `author`,
  // where it isn't empty, must be who it is from: it may name the user in place of X-Parley-User.
  void Admit(const ExchangePtr& exchange, const std::string& author, Admitted admitted);
  // A new token for who proves to be `user` by a password, or for who the request is from by its
  // token; `wanted` is the broker's member `token`. Answers the exchange.
  void GiveToken(const ExchangePtr& exchange, const std::string& user, const std::string& password,
                 const std::string& wanted);
  void GiveToken(const ExchangePtr& exchange, const std::string& wanted, int http_status);

 private:
  struct Credentials {
    std::string user;
    std::string token;   // or
    std::string secret;  // an API key's
    std::string device;  // that the token is for
  };

  Result<Credentials> ReadCredentials(const HttpRequest& request, const std::string& author) const;
  using Yes = std::function<void(const BrokerAnswer& answer)>;
  void Check(const ExchangePtr& exchange, const std::string& user, const std::string& payload,
             Yes yes);
  std::string Payload(const Credentials& credentials, const HttpRequest& request) const;
  std::string AddressOf(const HttpRequest& request) const;
  bool Believed(const std::string& credentials);
  void Believe(const std::string& credentials, int64_t expires_ms);
  void Forget();

  using Clock = std::chrono::steady_clock;

  const std::shared_ptr<BrokerLink> link_;
  const bool behind_proxy_;
  // Until when each is good, ms since the epoch; 0: always. Half of kBelievedFor in each.
  std::unordered_map<std::string, int64_t> young_;
  std::unordered_map<std::string, int64_t> old_;
  Clock::time_point turned_{};
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_DOORKEEPER_H_
