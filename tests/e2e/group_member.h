// The devices of a member of a replayed group, on stock clients: what they have seen, how they come
// and go, and how they catch up.
//
//   delivery inbox   messages come to chat/<me>, numbered by the user's own `seq`; the server
//                    catches up from what the device acknowledged. Before it ever did, the device
//                    asks for what it missed itself.
//   delivery topic   messages come to group/<id>, numbered by `gseq`; a device that returns
//                    subscribes again and asks for what it missed.
//
// One thread uses a device. A lost connection is no error here: calls say so, and Return mends it.
// Everything else that goes wrong throws: a deadline, an error from the server, another message
// under a number that is taken.
#ifndef PARLEY_TESTS_E2E_GROUP_MEMBER_H_
#define PARLEY_TESTS_E2E_GROUP_MEMBER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/device.h"
#include "tests/e2e/paho_device.h"
#include "tests/e2e/replay_relay.h"

namespace parley::e2e {

struct ReplayedGroup {
  std::string id;
  bool by_topic = false;
};

// What a device has seen, over all its connections.
class Seen {
 public:
  // Of what has numbers after `since`.
  explicit Seen(uint64_t since = 0) : since_(since), through_(since) {}

  // False where another message stands under that number already.
  bool Add(uint64_t number, const std::string& message);
  bool Has(uint64_t number) const { return by_number_.count(number) > 0; }
  uint64_t since() const { return since_; }
  uint64_t through() const { return through_; }  // it has all numbers to this
  uint64_t last() const { return by_number_.empty() ? since_ : by_number_.rbegin()->first; }
  std::vector<std::string> Messages() const;

 private:
  std::map<uint64_t, std::string> by_number_;
  uint64_t since_;
  uint64_t through_;
};

// Whether there is a broker to return to. Threads: any.
class Uptime {
 public:
  void Set(bool up);
  void Await() const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool up_ = true;
};

class MemberDevice {
 public:
  // `seen` and `uptime` must outlive it.
  MemberDevice(PahoOptions options, ReplayedGroup group, Seen* seen, const Uptime* uptime);

  // The first connection, in steps, so that many devices make theirs at once.
  void StartLogin();
  void AwaitLogin();
  void AwaitListening();

  // The user is in the group from now on, or not any more.
  void Follow();
  void Unfollow() { follows_ = false; }

  bool connected();
  // After a lost connection, or GoOffline: with a new client of the library's, as an application
  // that was started again has it. Tries until it works.
  void Return();
  // Acknowledges and ends the connection.
  void GoOffline();

  // False: the connection is lost, and perhaps the message.
  bool Send(const std::string& payload);
  // Nothing: the connection is lost, and nobody knows whether the request was heard.
  std::optional<Json> Ask(const std::string& method, const Json& members);
  // Takes what has arrived.
  void Look();
  // True with the message of that number, and in an inbox with all before it.
  bool Has(uint64_t number) const;
  // Waits for that. False: the connection is lost.
  bool AwaitNumber(uint64_t number);
  // Waits for more; the same.
  bool AwaitArrival(std::chrono::milliseconds timeout) { return device_.AwaitArrival(timeout); }

  PahoDevice& client() { return device_; }
  Seen& seen() { return *seen_; }

 private:
  std::string Source() const;  // the topic that the group's messages come to
  void Take(const std::string& message);
  void TakeAnswer(const std::string& text) const;
  void Acknowledge();
  // Asks for all that came after what it has.
  void CatchUp();
  // After paho threw: returns where the connection is lost.
  void ThrowUnlessLost(const std::exception& why);

  PahoDevice device_;
  const ReplayedGroup group_;
  Seen* const seen_;
  const Uptime* const uptime_;
  bool follows_ = false;
  // False: there are older messages to be asked for before what arrives is taken.
  bool caught_up_;
  bool online_ = false;
  uint64_t acknowledged_ = 0;
  bool acknowledged_safely_ = false;  // something, and a crash of the broker doesn't undo it
};

// A laptop: its connection is cut after some messages, and it returns at once, on a thread of its
// own.
class MemberLaptop {
 public:
  MemberLaptop(uint16_t broker_port, PahoOptions options, ReplayedGroup group, Seen* seen,
               const Uptime* uptime, unsigned seed);
  ~MemberLaptop() { Settle(); }

  // The caller's until Run.
  MemberDevice& device() { return device_; }
  void Run();
  // Ends the dropping: the device is the caller's again.
  void Settle();
  int drops() const { return drops_; }
  const std::string& failure() const { return failure_; }

 private:
  void DropAndReturn();
  bool ListenForAWhile();

  Relay relay_;
  MemberDevice device_;
  std::mt19937 random_;
  std::atomic<bool> settle_{false};
  int drops_ = 0;
  std::string failure_;
  std::thread thread_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_GROUP_MEMBER_H_
