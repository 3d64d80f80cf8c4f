// What is wrong with a history: each violation with the fewest events that contradict each other.
#ifndef PARLEY_TESTS_CHECK_VERDICT_H_
#define PARLEY_TESTS_CHECK_VERDICT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace parley::check {

// The rules, by what breaks them.
namespace rule {
inline constexpr std::string_view kLost = "lost";                // shown or acknowledged, then gone
inline constexpr std::string_view kDoubled = "doubled";          // one message under two numbers
inline constexpr std::string_view kRenumbered = "renumbered";    // one number, two messages
inline constexpr std::string_view kDiffers = "differs";          // one message, two contents
inline constexpr std::string_view kPhantom = "phantom";          // shown, and never sent so
inline constexpr std::string_view kGap = "gap";                  // numbers left out
inline constexpr std::string_view kStale = "stale";              // less than was shown before
inline constexpr std::string_view kOrder = "order";              // an effect before its cause
inline constexpr std::string_view kReceipt = "receipt";          // told of what nobody confirmed
inline constexpr std::string_view kIntruder = "intruder";        // shown to who may not see it
inline constexpr std::string_view kRefused = "refused";          // refused, and shown all the same
inline constexpr std::string_view kMembership = "membership";    // members and messages disagree
inline constexpr std::string_view kUnanswered = "unanswered";    // sent, settled, and no outcome
inline constexpr std::string_view kUndelivered = "undelivered";  // settled, and a device lacks it
inline constexpr std::string_view kUnreadable = "unreadable";  // a log couldn't be read at the end
}  // namespace rule

// An event, by its line in the history's file, and what it says about the matter.
struct Cited {
  uint64_t line = 0;
  std::string says = {};
};

struct Violation {
  std::string_view rule;
  std::string what;
  std::vector<Cited> events;  // by line, none twice
};

class Verdict {
 public:
  // The events in any order; those of one line become one.
  void Add(std::string_view rule, std::string what, std::vector<Cited> events);
  void Count(const std::string& name, uint64_t value) { figures_.emplace_back(name, value); }

  bool ok() const { return counts_.empty(); }
  const std::map<std::string_view, uint64_t>& counts() const { return counts_; }  // by rule
  // The first ones of each rule, in the order in which they were found.
  const std::vector<Violation>& violations() const { return violations_; }
  // The one with the fewest events, the earliest of those; there is one.
  const Violation& Smallest() const;
  // What was checked, for people: messages, pages, …
  const std::vector<std::pair<std::string, uint64_t>>& figures() const { return figures_; }

 private:
  static constexpr uint64_t kKeptOfARule = 20;

  std::map<std::string_view, uint64_t> counts_;
  std::vector<Violation> violations_;
  std::vector<std::pair<std::string, uint64_t>> figures_;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_VERDICT_H_
