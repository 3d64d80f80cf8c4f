#include "tests/check/rules.h"

namespace parley::check {

namespace {

std::string Number(uint64_t n) { return std::to_string(n); }

}  // namespace

void LiveRule::Take(const Event& event, Line line) {
  Device& device = devices_[event.device];
  switch (event.kind) {
    case EventKind::kReading:
      CheckDelivered(line);
      break;
    case EventKind::kDown:
      device.listens = false;
      break;
    case EventKind::kUp:
      device.acks = event.acks;
      device.kept = event.kept;
      device.last = 0;
      if (!device.acks || device.placed == 0) device.through = 0;
      break;
    case EventKind::kSub:
      device.listens |=
          event.granted < 0x80 && event.topic == "chat/" + std::string(UserOf(event.device));
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

void LiveRule::CheckDelivered(Line line) {
  for (const auto& [id, device] : devices_) {
    // One that starts live and was shown nothing may be there since the last message only.
    if (!device.listens || device.through == 0) continue;
    const UserLog& log = book_->log(book_->User(UserOf(id)));
    if (device.through >= log.highest) continue;
    verdict_->Add(
        rule::kUndelivered,
        id + " has its log through " + Number(device.through) + " of " + Number(log.highest),
        {{device.through_line, "number " + Number(device.through) + " comes, and nothing after it"},
         {log.highest_line, "number " + Number(log.highest) + " is shown"},
         {line, "all is settled"}});
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
  // A copy of what was sent again says where a device is only where it goes on with what came
  // before.
  if (!again || (device->last > 0 && seq == device->last + 1)) {
    device->last = seq;
    device->last_line = line;
  }
  const bool next = device->through > 0 && seq == device->through + 1;
  if (next || (!again && seq > device->through)) {
    device->through = seq;
    device->through_line = line;
  }
}

}  // namespace parley::check
