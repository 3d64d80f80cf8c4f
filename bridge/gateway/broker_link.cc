#include "bridge/gateway/broker_link.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <iostream>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace parley::gateway {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kSweep{1};

// Their number is the last part of the topic that the answer comes on.
uint64_t NumberOf(std::string_view topic) {
  std::string_view digits = topic.substr(topic.rfind('/') + 1);
  uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

class Link final : public BrokerLink, public std::enable_shared_from_this<Link> {
 public:
  Link(boost::asio::io_context* io, const LinkLimits& limits)
      : io_(io), limits_(limits), sweep_(*io) {}
  ~Link() override { client_.reset(); }  // its threads use the rest

  void Begin(const MqttOptions& mqtt);

  void Ask(const std::string& topic, const std::string& payload, Answered answered,
           std::chrono::seconds wait) override;
  void Tell(const std::string& topic, const std::string& payload) override;
  bool connected() const override { return connected_; }
  uint64_t connections() const override { return connections_; }
  size_t in_flight() const override { return pending_.size() - waiting_; }
  void Stop() override;

 private:
  struct Pending {
    Answered answered;
    Clock::time_point deadline;
    bool waits = false;  // a long poll
  };

  // 0: it can't go, which `answered` is told.
  uint64_t Register(Answered* answered, std::chrono::seconds wait);
  void Publish(uint64_t number, const std::string& topic, const std::string& payload);
  void Conclude(uint64_t number, Result<std::string> answer);
  void FailAll(const Status& why);
  void Sweep();

  // On the client's threads.
  void Arrived(MqttMessage message);
  void TakeArrived();

  boost::asio::io_context* const io_;
  const LinkLimits limits_;
  boost::asio::steady_timer sweep_;
  std::unique_ptr<AsyncMqttClient> client_;
  bool connected_ = false;
  uint64_t connections_ = 0;
  uint64_t last_number_ = 0;
  std::unordered_map<uint64_t, Pending> pending_;
  size_t waiting_ = 0;  // of them

  std::mutex mutex_;
  std::vector<MqttMessage> arrived_;  // what the io thread is yet to see
};

void Link::Begin(const MqttOptions& mqtt) {
  std::weak_ptr<Link> weak = weak_from_this();
  auto on_io = [io = io_, weak](auto what) {
    boost::asio::post(*io, [weak, what = std::move(what)] {
      if (auto link = weak.lock()) what(*link);
    });
  };
  AsyncMqttClient::Events events;
  events.connected = [on_io] {
    std::cerr << "parley-gateway: connected to the broker" << std::endl;
    on_io([](Link& link) {
      link.connected_ = true;
      ++link.connections_;
    });
  };
  events.lost = [on_io](const Status& why) {
    std::cerr << "parley-gateway: " << why.message() << std::endl;
    on_io([](Link& link) {
      link.connected_ = false;
      link.FailAll({Code::kUnavailable, "the connection to the broker was lost; try again"});
    });
  };
  events.message = [this](MqttMessage message) { Arrived(std::move(message)); };
  client_ = std::make_unique<AsyncMqttClient>(mqtt, std::move(events));
  Sweep();
}

void Link::Ask(const std::string& topic, const std::string& payload, Answered answered,
               std::chrono::seconds wait) {
  if (uint64_t number = Register(&answered, wait)) Publish(number, topic, payload);
}

void Link::Tell(const std::string& topic, const std::string& payload) {
  if (connected_) (void)client_->Publish(topic, payload, "0");
}

uint64_t Link::Register(Answered* answered, std::chrono::seconds wait) {
  bool waits = wait.count() > 0;
  Status refusal;
  if (!connected_) {
    refusal = {Code::kUnavailable, "the broker can't be reached now; try again"};
  } else if (waits ? waiting_ >= limits_.waiting_max : in_flight() >= limits_.in_flight_max) {
    refusal = {Code::kBusy, "too many requests wait for an answer; try again"};
  }
  if (!refusal.ok()) {
    (*answered)(Error(refusal));
    return 0;
  }
  uint64_t number = ++last_number_;
  pending_[number] = {std::move(*answered), Clock::now() + limits_.timeout + wait, waits};
  if (waits) ++waiting_;
  return number;
}

void Link::Publish(uint64_t number, const std::string& topic, const std::string& payload) {
  Status status = client_->Publish(topic, payload, std::to_string(number));
  if (!status.ok()) Conclude(number, Error(status));
}

void Link::Conclude(uint64_t number, Result<std::string> answer) {
  auto found = pending_.extract(number);
  if (found.empty()) return;  // it was answered, or given up
  if (found.mapped().waits) --waiting_;
  found.mapped().answered(std::move(answer));
}

void Link::FailAll(const Status& why) {
  auto failed = std::exchange(pending_, {});
  waiting_ = 0;
  for (auto& [number, pending] : failed) pending.answered(Error(why));
}

void Link::Sweep() {
  std::vector<uint64_t> late;
  auto now = Clock::now();
  for (const auto& [number, pending] : pending_) {
    if (pending.deadline < now) late.push_back(number);
  }
  for (uint64_t number : late) {
    Conclude(number, Error(Code::kUnavailable, "the broker doesn't answer; try again"));
  }
  sweep_.expires_after(kSweep);
  sweep_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    auto link = weak.lock();
    if (!error && link) link->Sweep();
  });
}

// Many at a time: the io thread is woken once for all that come while it is busy.
void Link::Arrived(MqttMessage message) {
  std::lock_guard lock(mutex_);
  arrived_.push_back(std::move(message));
  if (arrived_.size() > 1) return;
  boost::asio::post(*io_, [weak = weak_from_this()] {
    if (auto link = weak.lock()) link->TakeArrived();
  });
}

void Link::TakeArrived() {
  std::vector<MqttMessage> arrived;
  {
    std::lock_guard lock(mutex_);
    arrived.swap(arrived_);
  }
  for (MqttMessage& message : arrived) {
    Conclude(NumberOf(message.topic), std::move(message.payload));
  }
}

void Link::Stop() {
  connected_ = false;
  sweep_.cancel();
  client_.reset();
  FailAll({Code::kUnavailable, "this gateway stops; try again"});
}

}  // namespace

std::shared_ptr<BrokerLink> BrokerLink::Open(boost::asio::io_context* io, const MqttOptions& mqtt,
                                             const LinkLimits& limits) {
  auto link = std::make_shared<Link>(io, limits);
  link->Begin(mqtt);
  return link;
}

}  // namespace parley::gateway
