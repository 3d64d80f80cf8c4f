// The same work on a broker without Parley, as far as plain MQTT has it: people with several
// devices each, which write to each other and in groups with QoS 1 and 2, drop, leave and return. A
// person's inbox and a group are topics; every device keeps its session with the broker, and the
// client library its part of it, which is how MQTT is meant to lose nothing. At each connection a
// device subscribes anew, should the broker have forgotten.
//
// One thread.
#ifndef PARLEY_TESTS_CHECK_PLAIN_RUN_H_
#define PARLEY_TESTS_CHECK_PLAIN_RUN_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/check/chat_run.h"
#include "tests/check/crowd.h"
#include "tests/check/faults.h"
#include "tests/check/link.h"
#include "tests/check/recorder.h"

namespace parley::check {

class PlainDevice : public LinkEvents {
 public:
  PlainDevice(const Account& account, const std::string& name, std::vector<std::string> topics,
              const Address& address, Recorder* recorder);

  void Return();
  void Leave(bool cleanly);
  void Sweep();  // between turns: gives up a connection that doesn't come about
  bool away() const { return !open_; }
  bool ready() const { return up_ && waiting_ == 0; }
  Link* link() { return &link_; }
  void Send(const std::string& topic, const std::string& payload, int qos);
  size_t unacknowledged() const { return unacknowledged_.size(); }
  Clock::time_point last_arrival() const { return last_arrival_; }

  void OnConnected(bool kept) override;
  void OnClosed() override;
  void OnGranted(int packet, int granted) override;
  void OnAcked(int packet) override;
  void OnMessage(const std::string& topic, std::string_view payload) override;

 private:
  Event Make(EventKind kind) const { return {.kind = kind, .device = client_id_}; }

  const std::string client_id_;
  const std::vector<std::string> topics_;
  Recorder* const recorder_;
  Link link_;
  bool open_ = false;
  bool up_ = false;
  size_t waiting_ = 0;  // subscriptions
  std::map<int, std::string> subscribing_;
  std::map<int, uint64_t> unacknowledged_;  // by packet: n
  uint64_t sends_ = 0;
  Clock::time_point opened_at_;
  Clock::time_point last_arrival_;
};

class PlainRun {
 public:
  // `domain` follows the users' names where the broker wants it: "@localhost".
  PlainRun(const ChatRunOptions& options, const std::vector<Account>& accounts,
           const Address& address, Recorder* recorder,
           std::function<void(const std::string&)> progress);

  void Cut(uint64_t of);
  // Everybody is there and subscribed. Throws std::runtime_error where that doesn't come about.
  void Introduce();
  void Work(Faults* faults);
  // All devices are there, all is acknowledged, and for some seconds nothing has come any more.
  bool Settle(std::string* why);

 private:
  void Turn(bool returns);
  void Move();
  bool Quiet() const;
  std::string Unsettled() const;

  const ChatRunOptions options_;
  Recorder* const recorder_;
  const std::function<void(const std::string&)> progress_;
  Random random_;
  std::vector<std::string> topics_;
  std::deque<PlainDevice> devices_;
  std::map<const PlainDevice*, Clock::time_point> returns_;
  uint64_t sent_ = 0;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_PLAIN_RUN_H_
