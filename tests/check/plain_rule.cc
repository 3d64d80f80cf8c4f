#include "tests/check/plain_rule.h"

#include <algorithm>

namespace parley::check {

std::string PlainRule::Name(size_t message) const {
  const Sent& sent = sent_[message];
  return sent.device + "'s message to " + sent.topic + " (QoS " + std::to_string(sent.qos) + ")";
}

void PlainRule::Take(const Event& event, Line line) {
  switch (event.kind) {
    case EventKind::kSub:
      if (event.granted < 0x80) {
        receivers_[event.device].topics.emplace(event.topic, std::pair(event.granted, line));
      }
      break;
    case EventKind::kSend:
      by_number_[{event.device, event.n}] = sent_.size();
      by_body_[event.body] = sent_.size();
      sent_.push_back({event.device, event.topic, event.qos, line});
      break;
    case EventKind::kAcked: {
      const auto found = by_number_.find({event.device, event.n});
      if (found == by_number_.end() || sent_[found->second].acked != 0) break;
      sent_[found->second].acked = line;
      ++acked_;
      break;
    }
    case EventKind::kGot:
      Got(event, line);
      break;
    case EventKind::kEnd:
      end_ = line;
      break;
    default:
      break;
  }
}

void PlainRule::Got(const Event& event, Line line) {
  ++arrived_;
  const auto found =
      event.messages.empty() ? by_body_.end() : by_body_.find(event.messages.front().body);
  if (found == by_body_.end() || sent_[found->second].topic != event.topic) {
    return verdict_->Add(rule::kPhantom, event.device + " gets what nobody sent so",
                         {{line, "it comes"}});
  }
  Receiver& receiver = receivers_[event.device];
  if (receiver.topics.count(event.topic) == 0) {
    verdict_->Add(rule::kIntruder, event.device + " gets what it hadn't subscribed to",
                  {{line, "it comes"}});
  }
  const auto [before, first] = receiver.got.emplace(found->second, line);
  if (!first) return Again(event, found->second, receiver, line);
  receiver.first.push_back({found->second, line});
  if (sent_[found->second].shown == 0) sent_[found->second].shown = line;
}

void PlainRule::Again(const Event& event, size_t message, const Receiver& receiver, Line line) {
  const auto topic = receiver.topics.find(event.topic);
  const int granted = topic == receiver.topics.end() ? 0 : topic->second.first;
  if (std::min(granted, sent_[message].qos) == 1) {
    ++doubled_as_allowed_;
    return;
  }
  verdict_->Add(rule::kDoubled, Name(message) + " comes twice to " + event.device,
                {{receiver.got.at(message), "it comes"}, {line, "it comes again"}});
}

void PlainRule::Finish(bool complete) {
  for (const auto& [device, receiver] : receivers_) {
    CheckOrder(device, receiver);
    CheckCauses(device, receiver);
    if (complete) CheckArrived(device, receiver);
  }
  verdict_->Count("messages sent", sent_.size());
  verdict_->Count("messages acknowledged", acked_);
  verdict_->Count("arrivals due for these", due_);
  verdict_->Count("arrivals", arrived_);
  verdict_->Count("arrivals again, as QoS 1 allows", doubled_as_allowed_);
}

void PlainRule::CheckArrived(const std::string& device, const Receiver& receiver) {
  for (size_t n = 0; n < sent_.size(); ++n) {
    const Sent& sent = sent_[n];
    if (sent.acked == 0 || sent.qos == 0) continue;
    const auto topic = receiver.topics.find(sent.topic);
    if (topic == receiver.topics.end()) continue;
    const auto [granted, since] = topic->second;
    if (granted == 0 || since > sent.line) continue;
    ++due_;
    if (receiver.got.count(n) > 0) continue;
    verdict_->Add(rule::kLost, Name(n) + " was acknowledged and never came to " + device,
                  {{since, device + " is subscribed"},
                   {sent.line, "is sent"},
                   {sent.acked, "is acknowledged"},
                   {end_, "the history ends without it"}});
  }
}

// From one device, on one topic, with one QoS: in the order in which they were sent (MQTT 4.6).
void PlainRule::CheckOrder(const std::string& device, const Receiver& receiver) {
  std::map<std::tuple<std::string, std::string, int>, Arrival> last;
  for (const Arrival& arrival : receiver.first) {
    const Sent& sent = sent_[arrival.message];
    const auto [known, first] =
        last.emplace(std::tuple(sent.device, sent.topic, sent.qos), arrival);
    if (first) continue;
    if (arrival.message < known->second.message) {
      verdict_->Add(rule::kOrder, device + " gets " + Name(arrival.message) + " too late",
                    {{sent.line, "is sent"},
                     {sent_[known->second.message].line, "then another is sent to the same topic"},
                     {known->second.line, device + " gets the other"},
                     {arrival.line, "and then the first"}});
    } else {
      known->second = arrival;
    }
  }
}

// What was sent after another was shown to anybody comes after it, on one topic and with one QoS.
void PlainRule::CheckCauses(const std::string& device, const Receiver& receiver) {
  // By topic and QoS: of those that have come, the one that was sent last.
  std::map<std::pair<std::string, int>, Arrival> latest_sent;
  for (const Arrival& arrival : receiver.first) {
    const Sent& sent = sent_[arrival.message];
    const auto [known, first] = latest_sent.emplace(std::pair(sent.topic, sent.qos), arrival);
    if (first) continue;
    const Sent& other = sent_[known->second.message];
    // By this device itself is CheckOrder's matter.
    if (sent.shown < other.line && sent.device != other.device) {
      verdict_->Add(rule::kOrder, device + " gets an answer before " + Name(arrival.message),
                    {{sent.shown, "is shown"},
                     {other.line, "then the answer is sent"},
                     {known->second.line, device + " gets the answer"},
                     {arrival.line, "and then the message"}});
    }
    if (arrival.message > known->second.message) known->second = arrival;
  }
}

}  // namespace parley::check
