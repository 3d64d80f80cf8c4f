// What plain MQTT promises, as rules on a history of a broker without Parley: a message whose
// PUBACK or PUBCOMP came arrives at every device that had subscribed before it was sent, and in
// order; with QoS 2 once. A message here is a body: every body of such a history is another.
//
// Pure; one thread.
#ifndef PARLEY_TESTS_CHECK_PLAIN_RULE_H_
#define PARLEY_TESTS_CHECK_PLAIN_RULE_H_

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/check/history.h"
#include "tests/check/rules.h"
#include "tests/check/verdict.h"

namespace parley::check {

class PlainRule : public Rule {
 public:
  explicit PlainRule(Verdict* verdict) : verdict_(verdict) {}
  void Take(const Event& event, Line line) override;
  void Finish(bool complete) override;

 private:
  struct Sent {
    std::string device;
    std::string topic;
    int qos = 0;
    Line line = 0;
    Line acked = 0;
    Line shown = 0;  // to anybody, first
  };
  struct Arrival {
    size_t message;
    Line line;
  };
  struct Receiver {
    std::map<std::string, std::pair<int, Line>> topics;  // its QoS, and since when
    std::vector<Arrival> first;                          // of each message, as they came
    std::unordered_map<size_t, Line> got;
  };

  void Got(const Event& event, Line line);
  void Again(const Event& event, size_t message, const Receiver& receiver, Line line);
  void CheckArrived(const std::string& device, const Receiver& receiver);
  void CheckOrder(const std::string& device, const Receiver& receiver);
  void CheckCauses(const std::string& device, const Receiver& receiver);
  std::string Name(size_t message) const;

  Verdict* const verdict_;
  std::vector<Sent> sent_;  // in the order in which they were sent
  std::map<std::pair<std::string, uint64_t>, size_t> by_number_;  // device and n
  std::unordered_map<std::string, size_t> by_body_;
  std::map<std::string, Receiver> receivers_;
  uint64_t acked_ = 0;
  uint64_t arrived_ = 0;
  uint64_t due_ = 0;  // arrivals, of acknowledged messages at devices that had subscribed
  uint64_t doubled_as_allowed_ = 0;
  Line end_ = 0;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_PLAIN_RULE_H_
