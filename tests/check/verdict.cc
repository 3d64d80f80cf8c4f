#include "tests/check/verdict.h"

#include <algorithm>

namespace parley::check {

void Verdict::Add(std::string_view rule, std::string what, std::vector<Cited> events) {
  if (++counts_[rule] > kKeptOfARule) return;
  std::stable_sort(events.begin(), events.end(),
                   [](const Cited& a, const Cited& b) { return a.line < b.line; });
  Violation violation{rule, std::move(what), {}};
  for (Cited& event : events) {
    if (!violation.events.empty() && violation.events.back().line == event.line) {
      violation.events.back().says += "; " + event.says;
    } else {
      violation.events.push_back(std::move(event));
    }
  }
  violations_.push_back(std::move(violation));
}

const Violation& Verdict::Smallest() const {
  const auto less = [](const Violation& a, const Violation& b) {
    if (a.events.size() != b.events.size()) return a.events.size() < b.events.size();
    return a.events.back().line < b.events.back().line;
  };
  return *std::min_element(violations_.begin(), violations_.end(), less);
}

}  // namespace parley::check
