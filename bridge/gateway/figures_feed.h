// The broker's figures (chat/figures.h) as they were published last, by an MQTT connection of its
// own, for /metrics.
//
// The account must be a service or an admin. Where the connection is lost, what was known is
// forgotten, and it connects again every kRetry.
//
// Threads: its own keeps the connection; the rest is any thread's.
#ifndef PARLEY_BRIDGE_GATEWAY_FIGURES_FEED_H_
#define PARLEY_BRIDGE_GATEWAY_FIGURES_FEED_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "bridge/mqtt_client.h"

namespace parley::gateway {

class FiguresFeed {
 public:
  static constexpr std::chrono::seconds kRetry{2};
  // By their names ("messages/stored"), as they stand on their topics.
  using Figures = std::map<std::string, std::string>;

  // `log_line` gets what an operator should know, once for each change.
  FiguresFeed(MqttOptions options, std::function<void(const std::string&)> log_line);
  ~FiguresFeed();  // takes as long as an attempt to connect, at most

  // Empty: there is no connection.
  Figures figures() const;

 private:
  void Run();
  Status Follow();
  bool SleepUntilStop();
  void Say(const Status& status);

  const MqttOptions options_;
  const std::function<void(const std::string&)> log_line_;
  Code said_ = Code::kOk;

  mutable std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  Figures figures_;

  std::thread thread_;
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_FIGURES_FEED_H_
