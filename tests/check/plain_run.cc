#include "tests/check/plain_run.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace parley::check {

namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kOpenDeadline{10};
constexpr std::chrono::seconds kIntroduceDeadline{60};
constexpr std::chrono::seconds kQuiet{3};
constexpr milliseconds kTurn{10};

}  // namespace

PlainDevice::PlainDevice(const Account& account, const std::string& name,
                         std::vector<std::string> topics, const Address& address,
                         Recorder* recorder)
    : client_id_(account.user.substr(0, account.user.find('@')) + ":" + name),
      topics_(std::move(topics)),
      recorder_(recorder),
      link_({client_id_, account.user, account.secret, false, false, address}, this) {}

void PlainDevice::Return() {
  open_ = true;
  opened_at_ = Clock::now();
  link_.Open();
}

void PlainDevice::Leave(bool cleanly) {
  if (cleanly && up_) link_.Disconnect();
  if (!cleanly) link_.Cut();
}

void PlainDevice::Sweep() {
  if (!open_) return;
  if (link_.fd() < 0) {
    OnClosed();
  } else if (!ready() && Clock::now() - opened_at_ > kOpenDeadline) {
    link_.Cut();
  }
}

void PlainDevice::OnConnected(bool kept) {
  up_ = true;
  Event event = Make(EventKind::kUp);
  event.kept = kept;
  recorder_->Write(event);
  subscribing_.clear();
  for (const std::string& topic : topics_) subscribing_[link_.Subscribe(topic, 2)] = topic;
  waiting_ = subscribing_.size();
}

void PlainDevice::OnClosed() {
  open_ = false;
  if (!up_) return;
  up_ = false;
  recorder_->Write(Make(EventKind::kDown));
}

void PlainDevice::OnGranted(int packet, int granted) {
  const auto topic = subscribing_.find(packet);
  if (topic == subscribing_.end()) return;
  Event event = Make(EventKind::kSub);
  event.topic = topic->second;
  event.granted = granted;
  recorder_->Write(event);
  subscribing_.erase(topic);
  --waiting_;
}

void PlainDevice::Send(const std::string& topic, const std::string& payload, int qos) {
  Event event = Make(EventKind::kSend);
  event.n = ++sends_;
  event.topic = topic;
  event.qos = qos;
  event.body = Digest(payload);
  recorder_->Write(event);
  const int packet = link_.Publish(topic, payload, qos);
  if (packet >= 0) unacknowledged_[packet] = event.n;
}

void PlainDevice::OnAcked(int packet) {
  const auto sent = unacknowledged_.find(packet);
  if (sent == unacknowledged_.end()) return;
  Event event = Make(EventKind::kAcked);
  event.n = sent->second;
  recorder_->Write(event);
  unacknowledged_.erase(sent);
}

void PlainDevice::OnMessage(const std::string& topic, std::string_view payload) {
  last_arrival_ = Clock::now();
  Event event = Make(EventKind::kGot);
  event.topic = topic;
  event.messages.emplace_back().body = Digest(payload);
  recorder_->Write(event);
}

PlainRun::PlainRun(const ChatRunOptions& options, const std::vector<Account>& accounts,
                   const Address& address, Recorder* recorder,
                   std::function<void(const std::string&)> progress)
    : options_(options),
      recorder_(recorder),
      progress_(std::move(progress)),
      random_(options.crowd.seed) {
  std::vector<std::set<std::string>> topics(accounts.size());
  for (size_t n = 0; n < accounts.size(); ++n) {
    topics_.push_back("chat/u" + std::to_string(n + 1));
    topics[n].insert(topics_.back());
  }
  for (size_t group = 1; group <= options.crowd.groups; ++group) {
    topics_.push_back("group/g" + std::to_string(group));
    for (uint64_t size = Between(&random_, 3, 9); size > 0; --size) {
      topics[Between(&random_, 0, accounts.size() - 1)].insert(topics_.back());
    }
  }
  for (size_t n = 0; n < accounts.size(); ++n) {
    for (size_t device = 1; device <= options.crowd.devices; ++device) {
      devices_.emplace_back(accounts[n], "d" + std::to_string(device),
                            std::vector<std::string>(topics[n].begin(), topics[n].end()), address,
                            recorder);
    }
  }
}

void PlainRun::Turn(bool returns) {
  std::vector<Link*> links;
  for (PlainDevice& device : devices_) {
    device.Sweep();
    if (!device.away()) links.push_back(device.link());
    if (!device.away() || !returns || Clock::now() < returns_[&device]) continue;
    returns_[&device] = Clock::now() + milliseconds(Between(&random_, 20, 300));
    device.Return();
  }
  Links::Turn(links, Clock::now() + kTurn);
}

void PlainRun::Cut(uint64_t of) {
  for (PlainDevice& device : devices_) {
    if (Between(&random_, 1, of) == 1) device.Leave(false);
  }
}

void PlainRun::Introduce() {
  const Clock::time_point deadline = Clock::now() + kIntroduceDeadline;
  const auto ready = [](const PlainDevice& device) { return device.ready(); };
  while (!std::all_of(devices_.begin(), devices_.end(), ready)) {
    if (Clock::now() > deadline)
      throw std::runtime_error("the clients can't connect and subscribe");
    Turn(true);
  }
}

void PlainRun::Move() {
  PlainDevice& device = devices_[Between(&random_, 0, devices_.size() - 1)];
  const uint64_t dice = Between(&random_, 1, 100);
  if (!device.ready()) return;
  if (dice <= 92) {
    const std::string& topic = topics_[Between(&random_, 0, topics_.size() - 1)];
    const std::string payload = "{\"id\":\"m" + std::to_string(++sent_) + "\",\"body\":\"" +
                                std::string(Between(&random_, 0, 100), 'x') + "\"}";
    device.Send(topic, payload, static_cast<int>(Between(&random_, 1, 2)));
  } else {
    returns_[&device] = Clock::now() + milliseconds(Between(&random_, 0, 2000));
    device.Leave(dice % 2 == 0);
  }
}

void PlainRun::Work(Faults* faults) {
  const Clock::time_point begin = Clock::now();
  const Clock::time_point end = begin + options_.duration;
  double due = 0;
  Clock::time_point last = begin;
  for (Clock::time_point now = begin; now < end; now = Clock::now()) {
    const std::chrono::duration<double> passed = std::min<Clock::duration>(now - last, kTurn * 10);
    last = now;
    for (due += passed.count() * options_.rate; due >= 1; due -= 1) Move();
    faults->Tick();
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(end - now).count();
    progress_(std::to_string(left) + " s to go");
    Turn(true);
  }
  faults->Heal();
}

bool PlainRun::Quiet() const {
  return std::all_of(devices_.begin(), devices_.end(), [](const PlainDevice& device) {
    return device.ready() && device.unacknowledged() == 0 &&
           Clock::now() - device.last_arrival() > kQuiet;
  });
}

std::string PlainRun::Unsettled() const {
  size_t away = 0, open = 0;
  for (const PlainDevice& device : devices_) {
    away += !device.ready();
    open += device.unacknowledged();
  }
  return std::to_string(away) + " devices are away, " + std::to_string(open) +
         " messages unacknowledged";
}

bool PlainRun::Settle(std::string* why) {
  const Clock::time_point deadline = Clock::now() + options_.settle;
  while (!Quiet()) {
    if (Clock::now() > deadline) {
      *why = Unsettled();
      return false;
    }
    progress_("settling: " + Unsettled());
    Turn(true);
  }
  return true;
}

}  // namespace parley::check
