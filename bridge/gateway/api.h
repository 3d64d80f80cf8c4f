// The REST API: /v1/…, by the broker link. docs/rest.md tells it by example, docs/openapi.yaml to
// programs.
//
// Most of it is PROTOCOL's requests: a row of kAsks names the path, the method and what is asked;
// the members are the path's, the query's and the body's, which the broker checks. What is more
// than that has a function of its own.
#ifndef PARLEY_BRIDGE_GATEWAY_API_H_
#define PARLEY_BRIDGE_GATEWAY_API_H_

#include <memory>

#include "bridge/gateway/broker_link.h"
#include "bridge/gateway/doorkeeper.h"
#include "bridge/gateway/long_polls.h"
#include "bridge/gateway/router.h"

namespace parley::gateway {

class Api {
 public:
  Api(boost::asio::io_context* io, std::shared_ptr<BrokerLink> link, bool behind_proxy);

  // Adds the API's rows. The API outlives the router's use.
  void AddTo(Router* router);
  // Answers all that wait, with nothing new.
  void EndPolls() { polls_->End(); }
  size_t polls_waiting() const { return polls_->waiting(); }

 private:
  struct AskRow;
  static const AskRow kAsks[];

  void AskAs(const ExchangePtr& exchange, const PathMembers& path, const AskRow& row);
  void Login(const ExchangePtr& exchange);
  void NewToken(const ExchangePtr& exchange);
  void SendMessage(const ExchangePtr& exchange);
  void Updates(const ExchangePtr& exchange);
  void Receipts(const ExchangePtr& exchange);
  void Typing(const ExchangePtr& exchange);

  const std::shared_ptr<BrokerLink> link_;
  Doorkeeper doorkeeper_;
  const std::shared_ptr<LongPolls> polls_;
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_API_H_
