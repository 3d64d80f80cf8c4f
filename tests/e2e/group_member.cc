#include "tests/e2e/group_member.h"

#include <utility>

#include "tests/e2e/replay_pages.h"

namespace parley::e2e {

namespace {

using std::chrono::milliseconds;

constexpr uint64_t kAckEvery = 20;  // messages
constexpr int kCatchUpLimit = 100;
constexpr uint64_t kCutAfterMax = 15;  // messages

}  // namespace

bool Seen::Add(uint64_t number, const std::string& message) {
  const bool same = by_number_.emplace(number, message).first->second == message;
  while (Has(through_ + 1)) ++through_;
  return same;
}

std::vector<std::string> Seen::Messages() const {
  std::vector<std::string> messages;
  for (const auto& [number, message] : by_number_) messages.push_back(message);
  return messages;
}

void Uptime::Set(bool up) {
  const std::lock_guard lock(mutex_);
  up_ = up;
  changed_.notify_all();
}

void Uptime::Await() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return up_; });
}

MemberDevice::MemberDevice(PahoOptions options, ReplayedGroup group, Seen* seen,
                           const Uptime* uptime)
    : device_(std::move(options)),
      group_(std::move(group)),
      seen_(seen),
      uptime_(uptime),
      caught_up_(!group_.by_topic) {}

std::string MemberDevice::Source() const {
  return group_.by_topic ? "group/" + group_.id : device_.inbox();
}

void MemberDevice::StartLogin() { device_.StartLogin(); }

void MemberDevice::AwaitLogin() {
  device_.AwaitLogin();
  device_.StartSubscribe(device_.inbox());
  if (group_.by_topic && follows_) device_.StartSubscribe(Source());
}

void MemberDevice::AwaitListening() {
  device_.AwaitSubscribed();
  online_ = true;
}

void MemberDevice::Follow() {
  Look();
  follows_ = true;
  caught_up_ = !group_.by_topic;
  if (!group_.by_topic || !connected()) return;
  try {
    device_.Subscribe(Source());
    CatchUp();
  } catch (const std::exception& error) {
    ThrowUnlessLost(error);
  }
}

bool MemberDevice::connected() { return online_ && device_.AwaitArrival(milliseconds{0}); }

// Paho 1.3.12 can't connect while it winds up what it lost, and may even take the new socket for
// the lost one, whence the tries.
void MemberDevice::Return() {
  Look();
  acknowledged_ = 0;  // the last one may be lost, too
  const Clock::time_point deadline = Clock::now() + kDeadline;
  for (;;) {
    uptime_->Await();
    try {
      caught_up_ = !group_.by_topic || !follows_;
      device_ = PahoDevice(device_.options());
      StartLogin();
      AwaitLogin();
      AwaitListening();
      if (group_.by_topic ? follows_ : !acknowledged_safely_) CatchUp();
      return;
    } catch (const std::exception&) {
      if (Clock::now() > deadline) throw;
    }
  }
}

void MemberDevice::GoOffline() {
  Look();
  try {
    Acknowledge();
    device_.Flush();
    device_.Disconnect();
  } catch (const std::exception& error) {
    ThrowUnlessLost(error);
  }
  online_ = false;
  Look();
}

bool MemberDevice::Send(const std::string& payload) {
  try {
    device_.Publish("group/" + group_.id, payload);
    return true;
  } catch (const std::exception& error) {
    ThrowUnlessLost(error);
    return false;
  }
}

std::optional<Json> MemberDevice::Ask(const std::string& method, const Json& members) {
  const std::string object = members.dump();
  std::string answer;
  try {
    answer = device_.AwaitAnswer(device_.StartAsk(method, object.substr(1, object.size() - 2)));
  } catch (const std::exception& error) {
    ThrowUnlessLost(error);
    return std::nullopt;
  }
  return Json::parse(answer);
}

void MemberDevice::Look() {
  for (const MqttMessage& answer : device_.Take(device_.answers())) TakeAnswer(answer.payload);
  if (caught_up_) {
    for (const MqttMessage& message : device_.Take(Source())) Take(message.payload);
  }
  if (group_.by_topic) {
    for (const MqttMessage& message : device_.Take(device_.inbox())) {
      if (Json::parse(message.payload)["group"] != group_.id) continue;  // of another time
      throw MqttError(device_.options().client_id + " gets in its inbox " + message.payload);
    }
  }
  const uint64_t has = group_.by_topic ? seen_->last() : seen_->through();
  if (has >= acknowledged_ + kAckEvery && connected()) Acknowledge();
}

// What was asked before a loss doesn't matter any more. What was sent again may be told so in words
// while the device is still starting; its copy comes as well.
void MemberDevice::TakeAnswer(const std::string& text) const {
  const Json answer = Json::parse(text);
  if (answer.contains("rid") || answer["ok"] == true) return;
  throw MqttError(device_.options().client_id + " is told " + text);
}

void MemberDevice::Take(const std::string& message) {
  const auto number = Json::parse(message)[group_.by_topic ? "gseq" : "seq"].get<uint64_t>();
  if (seen_->Add(number, message)) return;
  throw MqttError(device_.options().client_id + " got another message under the number of " +
                  message);
}

bool MemberDevice::Has(uint64_t number) const {
  return group_.by_topic ? seen_->Has(number) : seen_->through() >= number;
}

bool MemberDevice::AwaitNumber(uint64_t number) {
  const Clock::time_point deadline = Clock::now() + kDeadline;
  for (Look(); !Has(number); Look()) {
    if (!device_.AwaitArrival(milliseconds{100})) return false;
    if (Clock::now() > deadline) {
      throw MqttError(device_.options().client_id + " has everything to " +
                      std::to_string(seen_->through()) + " and something at " +
                      std::to_string(seen_->last()) + ", but not " + std::to_string(number));
    }
  }
  return true;
}

void MemberDevice::Acknowledge() {
  const uint64_t has = group_.by_topic ? seen_->last() : seen_->through();
  if (has <= acknowledged_ || (group_.by_topic && !follows_)) return;
  const std::string receipt =
      group_.by_topic ? R"({"group":")" + group_.id + R"(","read":)" : R"({"delivered":)";
  try {
    device_.Publish("receipt/" + device_.options().user, receipt + std::to_string(has) + "}");
  } catch (const std::exception& error) {
    return ThrowUnlessLost(error);
  }
  acknowledged_ = has;
  // What is asked behind it is answered when it is safe.
  if (!acknowledged_safely_) acknowledged_safely_ = Ask("sync", {{"limit", 1}}).has_value();
}

void MemberDevice::CatchUp() {
  const std::string in_group = group_.by_topic ? "\"group\":\"" + group_.id + "\"," : "";
  bool more = true;
  while (more) {
    const uint64_t after = group_.by_topic ? seen_->last() : seen_->through();
    const std::string answer = device_.AwaitAnswer(
        device_.StartAsk("sync", in_group + "\"after\":" + std::to_string(after) +
                                     ",\"limit\":" + std::to_string(kCatchUpLimit)));
    const Json parsed = Json::parse(answer);
    if (parsed["ok"] != true) throw MqttError(device_.options().client_id + " got " + answer);
    for (const std::string& message : RawMessages(answer)) Take(message);
    more = parsed["more"].get<bool>();
  }
  caught_up_ = true;
}

void MemberDevice::ThrowUnlessLost(const std::exception& why) {
  try {
    device_.AwaitLost();
  } catch (const MqttError&) {
    throw MqttError(device_.options().client_id + ": " + why.what());
  }
}

MemberLaptop::MemberLaptop(uint16_t broker_port, PahoOptions options, ReplayedGroup group,
                           Seen* seen, const Uptime* uptime, unsigned seed)
    : relay_(broker_port),
      device_(
          [&] {
            options.port = relay_.port();
            return std::move(options);
          }(),
          std::move(group), seen, uptime),
      random_(seed) {}

void MemberLaptop::Run() {
  thread_ = std::thread([this] {
    try {
      DropAndReturn();
    } catch (const std::exception& error) {
      failure_ = error.what();
    }
  });
}

void MemberLaptop::Settle() {
  settle_ = true;
  if (thread_.joinable()) thread_.join();
}

void MemberLaptop::DropAndReturn() {
  while (!settle_) {
    if (!ListenForAWhile()) continue;
    relay_.Cut();
    device_.client().AwaitLost();
    ++drops_;
    device_.Return();
  }
}

// True where it is to be cut now.
bool MemberLaptop::ListenForAWhile() {
  const uint64_t until =
      device_.seen().last() + std::uniform_int_distribution<uint64_t>(1, kCutAfterMax)(random_);
  while (device_.seen().last() < until) {
    if (settle_) return false;
    if (!device_.AwaitArrival(milliseconds{10})) {
      device_.Return();
      return false;
    }
    device_.Look();
  }
  return true;
}

}  // namespace parley::e2e
