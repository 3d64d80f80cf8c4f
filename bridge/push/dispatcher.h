// What happens to a job in the gateway: request, answer, outcome.
//
//   Take(job) ─▶ a login first, where the provider wants one ─▶ HttpSender ─▶ Outcome ─▶ done
//
// It tries once: when to try again is the broker's to say, which keeps the job until it is done. A
// job that couldn't be answered within its lease any more when its request's turn comes is let go,
// and so is one that waits when the broker's connection is lost: the broker hands it out again.
// What was delivered is remembered for a while, so that a job whose end the broker didn't hear of,
// since it was killed, isn't sent twice.
//
// One thread. Limits: kDeliveredMax jobs remembered; jobs are as many as the broker hands out.
#ifndef PARLEY_BRIDGE_PUSH_DISPATCHER_H_
#define PARLEY_BRIDGE_PUSH_DISPATCHER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "bridge/push/http_sender.h"
#include "bridge/push/provider.h"

namespace parley::push {

class Dispatcher {
 public:
  static constexpr size_t kDeliveredMax = 10'000;

  using Done = std::function<void(const Job& job, const Outcome& outcome)>;
  struct Clock {
    std::function<int64_t()> now_s;  // since the Unix epoch
    std::function<int64_t()> monotonic_ms;
  };

  // `timeout_ms`: how long one request may take.
  Dispatcher(std::vector<std::unique_ptr<Provider>> providers, HttpSender* sender,
             int64_t timeout_ms, Clock clock, Done done);

  std::vector<std::string> providers() const;
  void Take(Job job);
  // The connection that they came by is lost: what isn't being sent yet is another's to send.
  void SessionLost();
  // Jobs that are under way.
  size_t busy() const { return under_way_.size(); }

 private:
  struct Line {
    std::unique_ptr<Provider> provider;
    bool logging_in = false;
    std::deque<std::pair<Job, int64_t>> waiting;  // for the login, each with its lease's end
    // Its last login failed so, and there is none before that time.
    std::string login_failure = {};
    int64_t login_again_ms = 0;
  };

  void Start(Line* line, Job job, int64_t lease_end_ms);
  void LogIn(Line* line, HttpRequest request);
  void OnLogin(Line* line, const HttpAnswer& answer);
  HttpSender::Wanted WantedUntil(int64_t lease_end_ms, const Job& job) const;
  void Finish(const Job& job, const Outcome& outcome);
  void LetGo(const Job& job);

  HttpSender* const sender_;
  const int64_t timeout_ms_;
  const Clock clock_;
  const Done done_;
  std::map<std::string, Line> lines_;
  uint64_t session_ = 0;
  std::set<std::string> under_way_;
  std::unordered_set<std::string> delivered_;
  std::deque<std::string> delivered_order_;
};

}  // namespace parley::push

#endif  // PARLEY_BRIDGE_PUSH_DISPATCHER_H_
