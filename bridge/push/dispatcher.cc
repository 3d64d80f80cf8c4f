#include "bridge/push/dispatcher.h"

#include <algorithm>
#include <utility>

namespace parley::push {

Dispatcher::Dispatcher(std::vector<std::unique_ptr<Provider>> providers, HttpSender* sender,
                       int64_t timeout_ms, Clock clock, Done done)
    : sender_(sender), timeout_ms_(timeout_ms), clock_(std::move(clock)), done_(std::move(done)) {
  for (auto& provider : providers) {
    std::string name = provider->name();
    lines_[name].provider = std::move(provider);
  }
}

std::vector<std::string> Dispatcher::providers() const {
  std::vector<std::string> names;
  for (const auto& [name, line] : lines_) names.push_back(name);
  return names;
}

void Dispatcher::Take(Job job) {
  auto line = lines_.find(job.provider);
  if (line == lines_.end()) return;
  if (under_way_.contains(job.name)) return;  // its end is the answer to both
  if (delivered_.contains(job.name)) return done_(job, {Outcome::Kind::kOk, "", 0});
  under_way_.insert(job.name);
  int64_t lease_end_ms = clock_.monotonic_ms() + job.lease_ms;
  Start(&line->second, std::move(job), lease_end_ms);
}

void Dispatcher::Start(Line* line, Job job, int64_t lease_end_ms) {
  if (line->logging_in) {
    line->waiting.emplace_back(std::move(job), lease_end_ms);
    return;
  }
  if (auto login = line->provider->Login(clock_.now_s())) {
    line->waiting.emplace_back(std::move(job), lease_end_ms);
    return LogIn(line, std::move(*login));
  }
  // A lease that is short itself still allows for one try.
  int64_t needed_ms = std::min(timeout_ms_, job.lease_ms / 2);
  if (clock_.monotonic_ms() + needed_ms > lease_end_ms) return LetGo(job);
  auto request = line->provider->Request(job, clock_.now_s());
  if (!request) {
    return Finish(job, {Outcome::Kind::kDrop, request.error().message(), 0});
  }
  Provider* provider = line->provider.get();
  sender_->Send(std::move(*request), [this, provider, job](const HttpAnswer& answer) {
    Finish(job, provider->Judge(answer));
  });
}

void Dispatcher::LogIn(Line* line, HttpRequest request) {
  line->logging_in = true;
  sender_->Send(std::move(request), [this, line](const HttpAnswer& answer) {
    line->logging_in = false;
    Status status = line->provider->TakeLogin(answer, clock_.now_s());
    auto waiting = std::exchange(line->waiting, {});
    for (auto& [job, lease_end_ms] : waiting) {
      if (status.ok()) {
        Start(line, std::move(job), lease_end_ms);
      } else {
        Finish(job, {Outcome::Kind::kFailed, status.message(), 0});
      }
    }
  });
}

void Dispatcher::Finish(const Job& job, const Outcome& outcome) {
  LetGo(job);
  if (outcome.kind == Outcome::Kind::kOk && delivered_.insert(job.name).second) {
    delivered_order_.push_back(job.name);
    if (delivered_order_.size() > kDeliveredMax) {
      delivered_.erase(delivered_order_.front());
      delivered_order_.pop_front();
    }
  }
  done_(job, outcome);
}

void Dispatcher::LetGo(const Job& job) { under_way_.erase(job.name); }

}  // namespace parley::push
