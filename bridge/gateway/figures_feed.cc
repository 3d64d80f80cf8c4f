#include "bridge/gateway/figures_feed.h"

#include <utility>

#include "chat/figures.h"

namespace parley::gateway {
namespace {

// How soon a stop is noticed.
constexpr std::chrono::milliseconds kReceiveFor{500};

}  // namespace

FiguresFeed::FiguresFeed(MqttOptions options, std::function<void(const std::string&)> log_line)
    : options_(std::move(options)), log_line_(std::move(log_line)), thread_([this] { Run(); }) {}

FiguresFeed::~FiguresFeed() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    stopping_.notify_one();
  }
  thread_.join();
}

FiguresFeed::Figures FiguresFeed::figures() const {
  std::lock_guard lock(mutex_);
  return figures_;
}

void FiguresFeed::Run() {
  do {
    Status status = Follow();
    std::lock_guard lock(mutex_);
    figures_.clear();
    if (!stop_) Say(status);
  } while (!SleepUntilStop());
}

// Until the connection is lost or this stops.
Status FiguresFeed::Follow() {
  auto client = MqttClient::Connect(options_);
  if (!client) return client.error();
  Status status = (*client)->Subscribe(std::string(kFiguresTopic) + "#");
  if (!status.ok()) return status;
  Say(Status());
  while (true) {
    auto message = (*client)->Receive(kReceiveFor);
    if (!message) return message.error();
    std::lock_guard lock(mutex_);
    if (stop_) return Status();
    if (!*message || !(*message)->topic.starts_with(kFiguresTopic)) continue;
    figures_[(*message)->topic.substr(kFiguresTopic.size())] = std::move((*message)->payload);
  }
}

bool FiguresFeed::SleepUntilStop() {
  std::unique_lock lock(mutex_);
  return stopping_.wait_for(lock, kRetry, [this] { return stop_; });
}

void FiguresFeed::Say(const Status& status) {
  if (status.code() == said_) return;
  said_ = status.code();
  log_line_(status.ok() ? "figures: connected" : "figures: " + status.message());
}

}  // namespace parley::gateway
