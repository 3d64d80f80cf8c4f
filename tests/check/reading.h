// The end of a chat run: every user's whole log is read by sync, then each of its conversations and
// groups by history, by a device that is there for that alone. The checker compares.
#ifndef PARLEY_TESTS_CHECK_READING_H_
#define PARLEY_TESTS_CHECK_READING_H_

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/check/chat_device.h"
#include "tests/check/crowd.h"

namespace parley::check {

// One user's.
class LogReader : public ChatEvents {
 public:
  LogReader(const Account& account, const Address& address, const std::vector<std::string>& groups,
            Recorder* recorder);

  void Tick();  // between turns
  bool done() const { return done_; }
  Link* link() const { return device_.link(); }
  // What it is at, for people.
  std::string At() const { return device_.user() + ": " + method_; }

  void OnShown(ChatDevice* device, const Shown& message) override;
  void OnOutcome(ChatDevice* device, const std::string& id, const std::string& code) override;
  void OnAnswer(ChatDevice* device, const Event& ask, const Event& answer) override;

 private:
  struct Task {
    std::string method;
    nlohmann::json members;
    uint64_t after = 0;
  };
  void Next();

  ChatDevice device_;
  const std::vector<std::string> groups_;
  std::deque<Task> tasks_;
  std::set<std::string> peers_;
  std::string method_;
  Clock::time_point due_;
  bool done_ = false;
};

// All users', some at once.
class Reading {
 public:
  Reading(const std::vector<Account>& accounts, const std::vector<std::string>& groups,
          Address address, Recorder* recorder);
  void Tick();
  void AddLinks(std::vector<Link*>* links) const;
  bool done() const { return next_ == accounts_.size() && readers_.empty(); }
  size_t read() const { return next_ - readers_.size(); }
  std::string At() const { return readers_.empty() ? "" : readers_.front()->At(); }

 private:
  const std::vector<Account> accounts_;
  const std::vector<std::string> groups_;
  const Address address_;
  Recorder* const recorder_;
  size_t next_ = 0;
  std::vector<std::unique_ptr<LogReader>> readers_;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_READING_H_
