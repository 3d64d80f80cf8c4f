// Who a request is from, and whether it may say so:
//
//   Authorization: Bearer TOKEN         a user's access token
//   X-Api-Key: SECRET                   an API key's secret (parleyctl key secret): a server speaks
//   X-Parley-User: alice                for any account of that key, and names it
//
// Both at once: the token says who, whose account must be one of the key's.
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

  using Clock = std::chrono::steady_clock;

  using Admitted = std::function<void(const std::string& user)>;

  // `behind_proxy`: a client's address is the last one of X-Forwarded-For.
  Doorkeeper(std::shared_ptr<BrokerLink> link, bool behind_proxy,
             std::function<Clock::time_point()> now = Clock::now)
      : link_(std::move(link)), behind_proxy_(behind_proxy), now_(std::move(now)) {}

  // Calls `admitted`, now or later, or answers the exchange with 400, 401, 403, 429 or 503.
  // `author`, where it isn't empty, must be who it is from: it may name the user in place of
  // X-Parley-User.
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
    std::string secret;  // an API key's; or both
    std::string device;  // that the token is for
    std::string named;   // whom the request says it is from; empty: nobody
  };

  Result<Credentials> ReadCredentials(const HttpRequest& request, const std::string& author) const;
  using Yes = std::function<void(const BrokerAnswer& answer)>;
  void CheckToken(const ExchangePtr& exchange, const Credentials& credentials,
                  const std::string& wanted, Yes yes);
  void CheckKey(const ExchangePtr& exchange, const Credentials& credentials, Yes yes);
  // `answered` is called whatever it is.
  void AskKey(const Credentials& credentials, Yes answered);
  void Check(const ExchangePtr& exchange, const std::string& user, const std::string& payload,
             Yes yes);
  std::string AddressOf(const HttpRequest& request) const;
  bool Believed(const std::string& credentials);
  void Believe(const std::string& credentials, int64_t expires_ms);
  void Forget();

  const std::shared_ptr<BrokerLink> link_;
  const bool behind_proxy_;
  const std::function<Clock::time_point()> now_;
  struct Belief {
    int64_t expires_ms;  // since the epoch; 0: it doesn't
    Clock::time_point until;
  };

  // The older half goes first.
  std::unordered_map<std::string, Belief> young_;
  std::unordered_map<std::string, Belief> old_;
  Clock::time_point turned_{};
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_DOORKEEPER_H_
