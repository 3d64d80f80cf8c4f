// Checks a history. Pure but for VerifyFile, which reads it.
#ifndef PARLEY_TESTS_CHECK_CHECKER_H_
#define PARLEY_TESTS_CHECK_CHECKER_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/check/book.h"
#include "tests/check/history.h"
#include "tests/check/rules.h"
#include "tests/check/verdict.h"

namespace parley::check {

class Checker {
 public:
  explicit Checker(const HistoryHead& head);
  ~Checker();

  // The next event; `line` is where it stands in its file.
  void Take(const Event& event, Line line);
  // After the last one.
  Verdict Finish();

 private:
  void Enter(const Event& event, Line line);
  void CountChat();

  const bool plain_;
  bool complete_ = false;
  Verdict verdict_;
  Book book_;
  std::vector<std::unique_ptr<Rule>> rules_;
  uint64_t pages_ = 0;
  std::map<std::string, uint64_t> faults_;  // by kind
};

struct Verified {
  HistoryHead head;
  Verdict verdict;
  bool complete = false;
  uint64_t lines = 0;
};

// Throws std::runtime_error where the file can't be read or a line is none of a history's.
// `progress` is called now and then with the bytes read and the file's size.
Verified VerifyFile(const std::string& path,
                    const std::function<void(uint64_t, uint64_t)>& progress = {});

// The violation as text: what it is, and its events with the file's lines.
std::string Explain(const Violation& violation, const std::string& path);

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_CHECKER_H_
