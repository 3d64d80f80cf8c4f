#include "tests/check/rules.h"

namespace parley::check {

namespace {

std::string Number(uint64_t n) { return std::to_string(n); }

}  // namespace

void LiveRule::Take(const Event& event, Line line) {
  Device& device = devices_[event.device];
  switch (event.kind) {
    case EventKind::kUp:
      device.acks = event.acks;
      device.kept = event.kept;
      device.last = 0;
      if (!device.acks || device.placed == 0) device.through = 0;
      break;
    case EventKind::kSub:
      if (event.granted < 0x80 && !MayCome(event) && event.topic.rfind("group/", 0) != 0) {
        verdict_->Add(rule::kIntruder, event.device + " is let into " + event.topic,
                      {{line, "the subscription is granted"}});
      }
      break;
    case EventKind::kGot:
      Got(event, line);
      break;
    case EventKind::kAnswer:
      // devices.list says how far the server knows it to be.
      if (event.method == "devices.list" && event.delivered > 0 && device.placed == 0) {
        device.placed = line;
      }
      break;
    default:
      break;
  }
}

// Whether something may come to the device there; of groups, GroupRule knows.
bool LiveRule::MayCome(const Event& event) {
  const std::string user(UserOf(event.device));
  const std::string& topic = event.topic;
  return topic == "chat/" + user || topic == "receipt/" + user || topic == "presence/" + user ||
         topic == "typing/" + user || topic == "answer/" + event.device;
}

void LiveRule::Got(const Event& event, Line line) {
  const bool of_a_group = !event.messages.empty() && !event.messages.front().group.empty() &&
                          event.topic == "group/" + event.messages.front().group;
  if (!of_a_group && !MayCome(event)) {
    verdict_->Add(rule::kIntruder, event.device + " gets what comes on " + event.topic,
                  {{line, "it comes"}});
  }
  if (event.messages.empty() || event.messages.front().seq == 0) return;
  TakeInTurn(event, &devices_[event.device], line);
}

void LiveRule::TakeInTurn(const Event& event, Device* device, Line line) {
  const Shown& message = event.messages.front();
  const uint64_t seq = message.seq;
  const Send* send = book_->FindSend(message.from, message.id);
  const bool again = message.from == UserOf(event.device) && send != nullptr && send->times > 1;
  if (!again && !device->kept && seq <= device->last) {
    verdict_->Add(rule::kOrder,
                  event.device + " gets number " + Number(seq) + " after " + Number(device->last),
                  {{device->last_line, "number " + Number(device->last) + " comes"},
                   {line, "number " + Number(seq) + " comes after it"}});
  }
  if (!again && device->through > 0 && seq > device->through + 1) {
    std::vector<Cited> events = {
        {device->through_line, "it has all through " + Number(device->through)},
        {line, "number " + Number(seq) + " comes next"}};
    // On a later connection it starts there for the server knew it.
    if (device->last == 0) events.push_back({device->placed, "the server knows its place"});
    verdict_->Add(
        rule::kGap,
        event.device + " gets nothing between " + Number(device->through) + " and " + Number(seq),
        std::move(events));
  }
  if (!again || seq == device->last + 1) {
    device->last = seq;
    device->last_line = line;
  }
  if (seq == device->through + 1 || (!again && seq > device->through)) {
    device->through = seq;
    device->through_line = line;
  }
}

}  // namespace parley::check
