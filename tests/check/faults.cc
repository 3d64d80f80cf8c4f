#include "tests/check/faults.h"

#include <signal.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace parley::check {

using std::chrono::milliseconds;

const std::vector<std::string> kFaultKinds = {"kill", "pause", "disk", "cut", "restart"};

std::vector<std::string> ParseFaults(const std::string& text) {
  if (text == "all") return kFaultKinds;
  std::vector<std::string> kinds;
  std::istringstream words(text);
  for (std::string kind; std::getline(words, kind, ',');) {
    if (std::find(kFaultKinds.begin(), kFaultKinds.end(), kind) == kFaultKinds.end()) {
      throw std::runtime_error("there is no fault '" + kind + "'");
    }
    kinds.push_back(kind);
  }
  return kinds;
}

Faults::Faults(const FaultOptions& options, LocalBroker* broker, std::function<void(uint64_t)> cut,
               Recorder* recorder)
    : options_(options),
      broker_(broker),
      cut_(std::move(cut)),
      recorder_(recorder),
      random_(options.seed),
      due_(Clock::now() + options.every / 2) {}

void Faults::Tick() {
  if (options_.kinds.empty()) return;
  if (Clock::now() < due_) {
    if (end_ == nullptr && !broker_->Runs()) {
      throw std::runtime_error("the broker has ended by itself:\n" + broker_->LogTail());
    }
    return;
  }
  if (end_ != nullptr) return Heal();
  Begin(Next());
}

std::string Faults::Next() {
  if (left_.empty()) left_ = options_.kinds;
  const auto next =
      left_.begin() + static_cast<std::ptrdiff_t>(Between(&random_, 0, left_.size() - 1));
  std::string kind = std::move(*next);
  left_.erase(next);
  return kind;
}

void Faults::Heal() {
  if (end_ != nullptr) std::exchange(end_, nullptr)();
  const auto every = static_cast<uint64_t>(options_.every.count());
  due_ = Clock::now() + milliseconds(Between(&random_, every / 3, every * 5 / 3));
}

void Faults::Until(uint64_t from_ms, uint64_t to_ms, std::function<void()> end) {
  due_ = Clock::now() + milliseconds(Between(&random_, from_ms, to_ms));
  end_ = std::move(end);
}

void Faults::Begin(const std::string& kind) {
  ++counts_[kind];
  recorder_->Fault(kind);
  if (kind == "kill") {
    Kill();
  } else if (kind == "pause") {
    broker_->Signal(SIGSTOP);
    Until(50, 3000, [this] { broker_->Signal(SIGCONT); });
  } else if (kind == "disk") {
    broker_->FillDisk();
    Until(500, 4000, [this] { broker_->FreeDisk(); });
  } else if (kind == "cut") {
    cut_(Between(&random_, 1, 4));
    Until(0, 0, [] {});
  } else {
    broker_->Stop();
    Until(0, 300, [this] { broker_->Start(); });
  }
}

// Now and then also while it starts.
void Faults::Kill() {
  broker_->Kill();
  Until(0, 500, [this] {
    if (Between(&random_, 1, 4) == 1) {
      broker_->StartAndKill(milliseconds(Between(&random_, 0, 60)));
    }
    broker_->Start();
    recorder_->Fault("started");
  });
}

}  // namespace parley::check
