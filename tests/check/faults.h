// What is done to a local broker while it works, one thing after the other, at random times.
#ifndef PARLEY_TESTS_CHECK_FAULTS_H_
#define PARLEY_TESTS_CHECK_FAULTS_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/check/crowd.h"
#include "tests/check/local_broker.h"
#include "tests/check/recorder.h"

namespace parley::check {

struct FaultOptions {
  std::vector<std::string> kinds;  // of kFaultKinds
  uint64_t seed = 1;
  std::chrono::milliseconds every{3000};  // on average
};

// kill (-9), pause (SIGSTOP, SIGCONT), disk (full), cut (clients' connections), restart (clean).
extern const std::vector<std::string> kFaultKinds;

// "kill,cut" or "all"; throws std::runtime_error for what is none.
std::vector<std::string> ParseFaults(const std::string& text);

class Faults {
 public:
  // `cut` cuts the connections of about one client in so many.
  Faults(const FaultOptions& options, LocalBroker* broker, std::function<void(uint64_t)> cut,
         Recorder* recorder);

  // Between turns: begins or ends a fault that is due. Throws std::runtime_error if the broker has
  // ended by itself or doesn't come back.
  void Tick();
  // Ends what is going on: the broker runs and is well.
  void Heal();
  const std::map<std::string, uint64_t>& counts() const { return counts_; }

 private:
  // At random, each kind once before any comes again.
  std::string Next();
  void Begin(const std::string& kind);
  void Kill();
  void Until(uint64_t from_ms, uint64_t to_ms, std::function<void()> end);

  const FaultOptions options_;
  LocalBroker* const broker_;
  const std::function<void(uint64_t)> cut_;
  Recorder* const recorder_;
  Random random_;
  Clock::time_point due_;
  std::vector<std::string> left_;  // of the kinds, in this round
  std::function<void()> end_;      // of the one that goes on
  std::map<std::string, uint64_t> counts_;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_FAULTS_H_
