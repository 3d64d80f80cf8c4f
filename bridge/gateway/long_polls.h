// GET /v1/updates: clients that wait for their next message.
//
// Polls of one user for the same page share one waiting `sync` of the broker's, and one whose
// client has gone stays for the client's next: so a client that comes back again and again, or has
// many tabs, doesn't use up the few syncs that may wait for a user (sync_waiting_max).
//
// Threads: the gateway's one. Limits: LinkLimits::waiting_max syncs; polls, by connections.
#ifndef PARLEY_BRIDGE_GATEWAY_LONG_POLLS_H_
#define PARLEY_BRIDGE_GATEWAY_LONG_POLLS_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "bridge/gateway/broker_link.h"
#include "bridge/gateway/http.h"

namespace parley::gateway {

class LongPolls : public std::enable_shared_from_this<LongPolls> {
 public:
  LongPolls(boost::asio::io_context* io, std::shared_ptr<BrokerLink> link)
      : io_(io), link_(std::move(link)) {}

  // Answers with what `user` has after `after`, as soon as there is something, else with nothing
  // after `timeout`. `page` are the members of the sync request (`"after":7,"limit":10`).
  void Wait(const ExchangePtr& exchange, const std::string& user, const std::string& page,
            std::chrono::seconds timeout);
  // Tells all that wait to come again.
  void End();
  // Polls that wait now.
  size_t waiting() const { return waiting_; }

 private:
  struct Poll;
  // One waiting sync.
  struct Shared {
    std::string user;
    std::string page;
    std::map<uint64_t, std::shared_ptr<Poll>> polls;
  };

  void Ask(const std::string& key);
  void OnAnswer(const std::string& key, const Result<std::string>& text);
  void AnswerAll(Shared shared, const Result<std::string>& text);
  void OnTimeout(const std::string& key, uint64_t number);
  std::shared_ptr<Poll> Take(const std::string& key, uint64_t number);

  boost::asio::io_context* const io_;
  const std::shared_ptr<BrokerLink> link_;
  std::map<std::string, Shared> shared_;  // by user and page
  uint64_t last_number_ = 0;
  size_t waiting_ = 0;
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_LONG_POLLS_H_
