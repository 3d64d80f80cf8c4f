// Well-behaved people who talk: pairs and groups in which one speaks, all hear it, and the next one
// speaks. What they say comes from a seed and nobody speaks out of turn, so two runs with the same
// options leave the same logs, whatever else goes on in the broker.
//
// Each hears exactly what is said, in order, once and with the next number, or Run throws. They
// take nothing from strangers: the API key of their accounts says so.
//
// Threads: Run starts one for each talk and joins them; everything else is the caller's.
#ifndef PARLEY_TESTS_E2E_TALKS_H_
#define PARLEY_TESTS_E2E_TALKS_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/histogram.h"
#include "tests/e2e/broker.h"
#include "tests/e2e/device.h"

namespace parley::e2e {

struct TalkOptions {
  std::string prefix;  // of the user ids
  unsigned seed = 1;
  size_t pairs = 8;
  size_t groups = 2;                     // of four
  uint64_t messages = 100;               // said in each talk
  std::chrono::milliseconds pause{100};  // between two of them
};

class Talks {
 public:
  // Makes the accounts; the broker runs. It must outlive this.
  Talks(const Broker* broker, TalkOptions options);

  void Run();

  const std::vector<std::string>& users() const { return users_; }
  std::string group() const { return options_.prefix + "-group0"; }
  uint64_t said() const { return latency_.count(); }
  // From PUBLISH until all who hear it, the speaker among them, have it.
  const bench::Histogram& latency() const { return latency_; }
  // Everybody's log as `sync` answers it, by user; without the times, and the prefix taken off.
  std::map<std::string, std::vector<std::string>> Logs() const;

 private:
  struct Talk {
    std::string group;  // empty: a pair
    std::vector<std::string> people;
  };

  void RunTalk(const Talk& talk, unsigned seed, bench::Histogram* latency) const;
  Device Open(const std::string& user) const;
  static std::string PasswordOf(const std::string& user) { return "password of " + user; }

  const Broker* const broker_;
  const TalkOptions options_;
  std::vector<Talk> talks_;
  std::vector<std::string> users_;
  bench::Histogram latency_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_TALKS_H_
