// A run against a broker with Parley, from the first connection to the last page. It writes the
// history; what it is worth is the checker's to say.
#ifndef PARLEY_TESTS_CHECK_CHAT_RUN_H_
#define PARLEY_TESTS_CHECK_CHAT_RUN_H_

#include <functional>
#include <string>
#include <vector>

#include "tests/check/crowd.h"
#include "tests/check/faults.h"
#include "tests/check/moves.h"
#include "tests/check/recorder.h"

namespace parley::check {

struct ChatRunOptions {
  CrowdOptions crowd;
  std::chrono::seconds duration{60};
  double rate = 100;  // moves a second
  // After the work, until what is still missing isn't waited for.
  std::chrono::seconds settle{120};
};

class ChatRun {
 public:
  // `progress` is told what goes on, some times a second. `faults` may be null.
  ChatRun(const ChatRunOptions& options, const std::vector<Account>& accounts,
          const Address& address, Recorder* recorder,
          std::function<void(const std::string&)> progress);

  Crowd& crowd() { return crowd_; }
  // Everybody is there. Throws std::runtime_error where that doesn't come about.
  void Introduce();
  void Work(Faults* faults);
  // False where not all could be settled or read in time: `why` says what was left. The history
  // then shows it.
  bool Settle(std::string* why);
  bool Read(std::string* why);

 private:
  void Turn(Clock::time_point until);
  bool Await(std::chrono::seconds deadline, const std::function<bool()>& done,
             const std::function<std::string()>& what);

  const ChatRunOptions options_;
  const std::vector<Account> accounts_;
  const Address address_;
  Recorder* const recorder_;
  const std::function<void(const std::string&)> progress_;
  Crowd crowd_;
  std::vector<Link*> links_;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_CHAT_RUN_H_
