// Lets stock clients connect at once. Paho 1.3.12 has one receiving thread for all of a process's
// clients, which looks at a new connection only when something arrives on another, or after a
// second, twice for each login. While this lives, something arrives every few milliseconds: on a
// client of its own, from a broker of its own.
//
// For tests in which little else arrives. A thread of its own; failures of the set-up throw.
#ifndef PARLEY_TESTS_E2E_PAHO_PACE_H_
#define PARLEY_TESTS_E2E_PAHO_PACE_H_

#include <atomic>
#include <thread>

#include "tests/e2e/broker.h"

namespace parley::e2e {

class PahoPace {
 public:
  PahoPace();
  ~PahoPace();
  PahoPace(const PahoPace&) = delete;
  PahoPace& operator=(const PahoPace&) = delete;

 private:
  Broker broker_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_PAHO_PACE_H_
