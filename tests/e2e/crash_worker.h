// A crash test's clients: some users with two devices each, driven at random by one thread.
//
//   phone   acknowledges with receipts: what it gets on a connection begins no later than after its
//           last receipt
//   laptop  never acknowledges: it hears live
//
// On one connection both get number after number without a gap; the copy of a message that was sent
// again may come between. The broker may go away at any moment; then a device waits for the next
// one, returns, and sends what had no outcome again.
#ifndef PARLEY_TESTS_E2E_CRASH_WORKER_H_
#define PARLEY_TESTS_E2E_CRASH_WORKER_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "tests/e2e/crash_ledger.h"
#include "tests/e2e/device.h"

namespace parley::e2e {

// Tells the workers what goes on. Threads: any.
class CrashStage {
 public:
  enum class Phase {
    kDown,    // no broker: who is disconnected waits
    kUp,      // a broker, which may end at any moment
    kSettle,  // a broker that stays: nothing new is sent, every message finds its outcome
    kFinish,  // all have: the devices have everything, and the workers end
  };
  void Set(Phase phase);
  Phase phase() const;
  void AwaitBroker() const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Phase phase_ = Phase::kDown;
};

class CrashDevice : public Device {
 public:
  CrashDevice(uint16_t port, const std::string& user, const std::string& password,
              DeviceOptions options, bool acknowledges, CrashLedger* ledger);

  void Return();  // logs in and listens
  void SendBurst(std::mt19937* random, const std::vector<std::string>& users);
  // What was sent on connections that are no more and had no outcome; `mine` are the user's
  // devices.
  void SendOpen(const std::deque<CrashDevice>& mine);
  void SendText(const std::string& peer);
  void Acknowledge(bool read);
  void AskSync(std::mt19937* random);
  void AskHistory(std::mt19937* random, const std::string& peer);
  // Takes everything that the broker has written by now.
  void TakeIn();

  // The connection that stands, or the last one.
  ConnectionId connection() const { return {options().name, connections_}; }
  bool acknowledges() const { return acknowledges_; }
  // The phone has everything through this; the laptop since it connected.
  uint64_t through() const { return through_; }

 private:
  void TakeMessage(const std::string& payload);
  void CheckPlace(const ShownMessage& message) const;
  void TakeAnswer(const std::string& payload);
  void TakePage(const nlohmann::ordered_json& answer, const std::string& method);
  void TakeShown(const ShownMessage& message, const std::string& how);

  const bool acknowledges_;
  CrashLedger* const ledger_;
  uint64_t connections_ = 0;
  uint64_t through_ = 0;
  uint64_t acknowledged_ = 0;
  // Of this connection: the last number in order, 0 before the first; the lowest one.
  uint64_t last_ = 0;
  uint64_t lowest_ = UINT64_MAX;
  uint64_t sent_ = 0;
  std::map<std::string, std::string> asked_;  // rid → method
};

class CrashWorker {
 public:
  // `mine` are users and their tokens.
  CrashWorker(uint16_t port, unsigned seed, const std::map<std::string, std::string>& mine,
              std::vector<std::string> everybody, CrashLedger* ledger, CrashStage* stage);

  // Before the first kill: every phone acknowledges something, so that from then on a gap is an
  // error.
  void Introduce();
  // Until the stage says that it is finished.
  void Run();
  bool settled() const { return settled_; }

 private:
  using Devices = std::deque<CrashDevice>;  // of one user

  void Step();
  void Use(CrashDevice* device, const Devices& mine);
  void Act(CrashDevice* device);
  void CheckSettled();
  void Finish();
  bool AnyConnected() const;
  const std::string& Anybody();

  const std::vector<std::string> everybody_;
  CrashLedger* const ledger_;
  CrashStage* const stage_;
  std::mt19937 random_;
  std::vector<Devices> users_;
  std::atomic<bool> settled_{false};
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_CRASH_WORKER_H_
