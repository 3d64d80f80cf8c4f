// Writes the events of a run with their time. Owned by whoever runs; one thread.
#ifndef PARLEY_TESTS_CHECK_RECORDER_H_
#define PARLEY_TESTS_CHECK_RECORDER_H_

#include <string>

#include "tests/check/history.h"
#include "tests/check/link.h"

namespace parley::check {

class Recorder {
 public:
  explicit Recorder(HistoryWriter* history) : history_(history) {}

  void Write(Event event) {
    event.at_us =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start_).count();
    history_->Write(event);
  }
  void Fault(const std::string& what) { Write({.kind = EventKind::kFault, .what = what}); }

 private:
  HistoryWriter* const history_;
  const Clock::time_point start_ = Clock::now();
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_RECORDER_H_
