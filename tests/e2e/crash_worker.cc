#include "tests/e2e/crash_worker.h"

#include <algorithm>
#include <utility>

namespace parley::e2e {

namespace {

constexpr size_t kOpenMax = 12;  // messages of a user without an outcome
constexpr int kBurstMax = 5;

int Between(std::mt19937* random, int from, int to) {
  return std::uniform_int_distribution<int>(from, to)(*random);
}

// Mostly short; now and then one that fills the journal.
std::string RandomBody(std::mt19937* random) {
  const int size =
      Between(random, 0, 30) == 0 ? Between(random, 1000, 6000) : Between(random, 0, 80);
  std::string body;
  for (int n = 0; n < size; ++n) body.push_back(static_cast<char>(Between(random, ' ', '~')));
  return body;
}

}  // namespace

void CrashStage::Set(Phase phase) {
  const std::lock_guard lock(mutex_);
  phase_ = phase;
  changed_.notify_all();
}

CrashStage::Phase CrashStage::phase() const {
  const std::lock_guard lock(mutex_);
  return phase_;
}

void CrashStage::AwaitBroker() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return phase_ != Phase::kDown; });
}

CrashDevice::CrashDevice(uint16_t port, const std::string& user, const std::string& password,
                         DeviceOptions options, bool acknowledges, CrashLedger* ledger)
    : Device(port, user, password, std::move(options)),
      acknowledges_(acknowledges),
      ledger_(ledger) {}

void CrashDevice::Return() {
  ++connections_;
  last_ = 0;
  lowest_ = UINT64_MAX;
  if (!acknowledges_) through_ = 0;
  asked_.clear();
  Login();
  Listen();
}

void CrashDevice::SendBurst(std::mt19937* random, const std::vector<std::string>& users) {
  for (int n = Between(random, 1, kBurstMax); n > 0; --n) {
    if (ledger_->Open(user()) >= kOpenMax) return;
    Attempt attempt;
    attempt.sender = user();
    attempt.receiver =
        users[static_cast<size_t>(Between(random, 0, static_cast<int>(users.size()) - 1))];
    attempt.id = options().name + std::to_string(++sent_);
    attempt.payload =
        "{\"id\":\"" + attempt.id + "\",\"body\":" + Json(RandomBody(random)).dump() + "}";
    attempt.via = connection();
    ledger_->Sending(attempt);
    StartPublish("chat/" + attempt.receiver, attempt.payload, {.qos = Between(random, 0, 1)});
  }
}

void CrashDevice::SendOpen(const std::deque<CrashDevice>& mine) {
  const auto gone = [&](const ConnectionId& via) {
    return std::none_of(mine.begin(), mine.end(), [&](const CrashDevice& device) {
      return device.connected() && device.connection() == via;
    });
  };
  for (const Attempt& attempt : ledger_->SendAgain(user(), connection(), gone)) {
    StartPublish("chat/" + attempt.receiver, attempt.payload);
  }
}

void CrashDevice::SendText(const std::string& peer) {
  StartPublish("chat/" + peer, "text " + std::to_string(++sent_));
}

void CrashDevice::Acknowledge(bool read) {
  if (through_ == 0) return;
  acknowledged_ = through_;
  Json receipt{{"delivered", through_}};
  if (read) receipt["read"] = through_;
  StartPublish("receipt/" + user(), receipt.dump());
}

void CrashDevice::AskSync(std::mt19937* random) {
  const int after = Between(random, 0, static_cast<int>(through_));
  asked_[StartAsk("sync", {{"after", after}, {"limit", Between(random, 1, 50)}})] = "sync";
}

void CrashDevice::AskHistory(std::mt19937* random, const std::string& peer) {
  asked_[StartAsk("history", {{"with", peer}, {"limit", Between(random, 1, 50)}})] = "history";
}

void CrashDevice::TakeIn() {
  Ping();
  for (const MqttMessage& message : Arrived("#")) {
    if (message.topic == inbox()) {
      TakeMessage(message.payload);
    } else if (message.topic == answers()) {
      TakeAnswer(message.payload);
    }
  }
}

void CrashDevice::TakeShown(const ShownMessage& message, const std::string& how) {
  ledger_->Saw(user(), message, how);
  if (message.from == user()) ledger_->Stored(user(), message.id, message.seq);
}

void CrashDevice::TakeMessage(const std::string& payload) {
  const ShownMessage message(payload);
  TakeShown(message, options().name);
  // The first outcome of a message that was sent again comes out of turn: it may be in its place or
  // not.
  const bool again = message.from == user() && ledger_->SentTwice(user(), message.id);
  lowest_ = std::min(lowest_, message.seq);
  if (!again) CheckPlace(message);
  if (!again || message.seq == last_ + 1) last_ = message.seq;
  if (message.seq == through_ + 1 || (!again && message.seq > through_)) through_ = message.seq;
}

void CrashDevice::CheckPlace(const ShownMessage& message) const {
  const std::string who = user() + "'s " + options().name;
  if (last_ > 0 && message.seq <= last_) ledger_->Contradiction(who + " got again " + message.text);
  // It starts live if it never acknowledges.
  if (last_ == 0 && acknowledges_ && lowest_ > acknowledged_ + 1) {
    ledger_->Contradiction(who + " acknowledged " + std::to_string(acknowledged_) +
                           " and then got first " + message.text);
  }
  if ((last_ > 0 || acknowledges_) && message.seq > through_ + 1) {
    ledger_->Contradiction(who + " got nothing after " + std::to_string(through_) + " before " +
                           message.text);
  }
}

void CrashDevice::TakeAnswer(const std::string& payload) {
  const auto answer = nlohmann::ordered_json::parse(payload);
  if (answer.contains("rid")) {
    const auto asked = asked_.find(answer["rid"].get<std::string>());
    if (asked == asked_.end()) return;
    TakePage(answer, asked->second);
    asked_.erase(asked);
  } else if (answer["ok"].get<bool>()) {
    ledger_->Stored(user(), answer["id"].get<std::string>(), answer["seq"].get<uint64_t>());
  } else {
    ledger_->Refused(user(), answer.value("id", ""), answer["error"]["code"].get<std::string>());
  }
}

void CrashDevice::TakePage(const nlohmann::ordered_json& answer, const std::string& method) {
  if (!answer["ok"].get<bool>()) {
    const auto code = answer["error"]["code"].get<std::string>();
    if (code != "unavailable" && code != "busy") {
      ledger_->Contradiction(user() + "'s " + method + " is answered " + answer.dump());
    }
    return;
  }
  uint64_t before = 0;
  for (const auto& object : answer["messages"]) {
    const ShownMessage message(object);
    TakeShown(message, method);
    const bool in_order =
        before == 0 || (method == "sync" ? message.seq == before + 1 : message.seq < before);
    if (!in_order) {
      ledger_->Contradiction(user() + "'s " + method + " has, after " + std::to_string(before) +
                             ", " + message.text);
    }
    before = message.seq;
  }
}

CrashWorker::CrashWorker(uint16_t port, unsigned seed,
                         const std::map<std::string, std::string>& mine,
                         std::vector<std::string> everybody, CrashLedger* ledger, CrashStage* stage)
    : everybody_(std::move(everybody)), ledger_(ledger), stage_(stage), random_(seed) {
  for (const auto& [user, token] : mine) {
    DeviceOptions options;
    options.version = Between(&random_, 4, 5);
    Devices& devices = users_.emplace_back();
    devices.emplace_back(port, user, token, options, true, ledger);
    options.name = "laptop";
    options.qos = Between(&random_, 0, 1);
    devices.emplace_back(port, user, token, options, false, ledger);
  }
}

void CrashWorker::Introduce() {
  for (Devices& devices : users_) {
    CrashDevice& phone = devices.front();
    phone.Return();
    phone.SendText(phone.user());
    const Clock::time_point deadline = Clock::now() + kDeadline;
    while (phone.through() == 0) {
      if (Clock::now() > deadline) throw MqttError(phone.user() + " never hears of itself");
      phone.TakeIn();
    }
    phone.Acknowledge(false);
    phone.AskDone("sync");  // answered behind the receipt
  }
}

void CrashWorker::Run() {
  while (stage_->phase() != CrashStage::Phase::kFinish) Step();
  Finish();
}

void CrashWorker::Step() {
  if (!AnyConnected()) stage_->AwaitBroker();
  Devices& devices =
      users_[static_cast<size_t>(Between(&random_, 0, static_cast<int>(users_.size()) - 1))];
  CrashDevice& device = devices[static_cast<size_t>(Between(&random_, 0, 1))];
  const Clock::time_point begin = Clock::now();
  try {
    Use(&device, devices);
  } catch (const MqttError& error) {
    device.Abandon();
    // The broker is gone, or else it hangs.
    if (Clock::now() - begin >= kDeadline) ledger_->Contradiction(error.what());
  } catch (const std::exception& error) {
    device.Abandon();
    ledger_->Contradiction(device.user() + " can't read what it got: " + error.what());
  }
}

void CrashWorker::Use(CrashDevice* device, const Devices& mine) {
  const CrashStage::Phase phase = stage_->phase();
  if (!device->connected()) {
    if (phase == CrashStage::Phase::kDown) return;
    device->Return();
  }
  device->SendOpen(mine);
  if (phase == CrashStage::Phase::kUp) Act(device);
  if (device->connected()) device->TakeIn();
  if (phase == CrashStage::Phase::kSettle) CheckSettled();
}

void CrashWorker::Act(CrashDevice* device) {
  const int dice = Between(&random_, 1, 100);
  if (dice <= 55) {
    device->SendBurst(&random_, everybody_);
  } else if (dice <= 60) {
    device->SendText(Anybody());
  } else if (dice <= 75) {
    if (device->acknowledges()) device->Acknowledge(Between(&random_, 0, 3) == 0);
  } else if (dice <= 84) {
    device->AskSync(&random_);
  } else if (dice <= 93) {
    device->AskHistory(&random_, Anybody());
  } else if (dice <= 96) {
    device->Abandon();
  } else if (dice <= 98) {
    device->Disconnect();
  }
}

void CrashWorker::CheckSettled() {
  settled_ = std::all_of(users_.begin(), users_.end(), [&](const Devices& devices) {
    return ledger_->Open(devices.front().user()) == 0;
  });
}

// With all messages sent, live and catch-up have brought each phone to the end of its user's log.
void CrashWorker::Finish() {
  for (Devices& devices : users_) {
    CrashDevice& phone = devices.front();
    try {
      if (!phone.connected()) phone.Return();
      const uint64_t head = phone.AskDone("sync", {{"limit", 1}})["head"].get<uint64_t>();
      const Clock::time_point deadline = Clock::now() + kDeadline;
      while (phone.through() < head && Clock::now() < deadline) {
        phone.TakeIn();
        phone.Acknowledge(false);
      }
      if (phone.through() != head) {
        ledger_->Contradiction(phone.user() + "'s phone stays at " +
                               std::to_string(phone.through()) + " of " + std::to_string(head));
      }
      for (CrashDevice& device : devices) device.Abandon();
    } catch (const std::exception& error) {
      ledger_->Contradiction(phone.user() + "'s phone: " + error.what());
    }
  }
}

bool CrashWorker::AnyConnected() const {
  return std::any_of(users_.begin(), users_.end(), [](const Devices& devices) {
    return std::any_of(devices.begin(), devices.end(),
                       [](const CrashDevice& device) { return device.connected(); });
  });
}

const std::string& CrashWorker::Anybody() {
  return everybody_[static_cast<size_t>(
      Between(&random_, 0, static_cast<int>(everybody_.size()) - 1))];
}

}  // namespace parley::e2e
