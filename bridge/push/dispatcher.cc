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

void Dispatcher::SessionLost() {
  ++session_;
  for (auto& [name, line] : lines_) {
    for (const auto& [job, lease_end_ms] : std::exchange(line.waiting, {})) LetGo(job);
  }
  sender_->DropUnwanted();
}

void Dispatcher::Start(Line* line, Job job, int64_t lease_end_ms) {
  if (line->logging_in) {
    line->waiting.emplace_back(std::move(job), lease_end_ms);
    return;
  }
  if (auto login = line->provider->Login(clock_.now_s())) {
    int64_t wait_ms = line->login_again_ms - clock_.monotonic_ms();
    if (wait_ms > 0) return Finish(job, {Outcome::Kind::kFailed, line->login_failure, wait_ms});
    line->waiting.emplace_back(std::move(job), lease_end_ms);
    return LogIn(line, std::move(*login));
  }
  auto request = line->provider->Request(job, clock_.now_s());
  if (!request) {
    return Finish(job, {Outcome::Kind::kDrop, request.error().message(), 0});
  }
  auto done = [this, provider = line->provider.get(), job](const HttpAnswer& answer) {
    answer.unsent ? LetGo(job) : Finish(job, provider->Judge(answer));
  };
  sender_->Send(std::move(*request), done, WantedUntil(lease_end_ms, job));
}

HttpSender::Wanted Dispatcher::WantedUntil(int64_t lease_end_ms, const Job& job) const {
  // A lease that is short itself still allows for one try.
  int64_t needed_ms = std::min(timeout_ms_, job.lease_ms / 2);
  return [this, session = session_, last_ms = lease_end_ms - needed_ms] {
    return session == session_ && clock_.monotonic_ms() <= last_ms;
  };
}

void Dispatcher::LogIn(Line* line, HttpRequest request) {
  line->logging_in = true;
  sender_->Send(std::move(request),
                [this, line](const HttpAnswer& answer) { OnLogin(line, answer); });
}

void Dispatcher::OnLogin(Line* line, const HttpAnswer& answer) {
  line->logging_in = false;
  Status status = line->provider->TakeLogin(answer, clock_.now_s());
  int64_t wait_ms = status.ok() ? 0 : JudgeByStatus(answer).retry_after_ms;
  line->login_failure = status.message();
  line->login_again_ms = clock_.monotonic_ms() + wait_ms;
  for (auto& [job, lease_end_ms] : std::exchange(line->waiting, {})) {
    if (status.ok()) {
      Start(line, std::move(job), lease_end_ms);
    } else {
      Finish(job, {Outcome::Kind::kFailed, status.message(), wait_ms});
    }
  }
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
