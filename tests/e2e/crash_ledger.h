// What everybody was told during a crash test, and whether it holds afterwards.
//
// Threads: any; one lock. Contradictions are noted as they appear, the first few in words, and
// looked at by the test at its end.
#ifndef PARLEY_TESTS_E2E_CRASH_LEDGER_H_
#define PARLEY_TESTS_E2E_CRASH_LEDGER_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tests/e2e/device.h"

namespace parley::e2e {

// A message as its receiver is shown it.
struct ShownMessage {
  explicit ShownMessage(const std::string& object);
  // Of a parsed one, with its members in the order in which they came.
  explicit ShownMessage(const nlohmann::ordered_json& object);

  uint64_t seq = 0;
  std::string id;
  std::string from;
  std::string to;
  std::string text;  // the object, written anew
};

// A connection: the device's name and a number that grows with each connection.
using ConnectionId = std::pair<std::string, uint64_t>;

// A message with an id that a sender is to get through.
struct Attempt {
  std::string sender;
  std::string receiver;
  std::string id;
  std::string payload;
  ConnectionId via;  // it was sent there last
  int sends = 0;
  enum class Outcome { kOpen, kStored, kRefused } outcome = Outcome::kOpen;
  uint64_t seq = 0;  // where it is stored
};

class CrashLedger {
 public:
  // A device of `user` was shown the message; `how` says where, for the report.
  void Saw(const std::string& user, const ShownMessage& message, const std::string& how);

  void Sending(const Attempt& attempt);
  // The sender was told that it is stored, or that it is not.
  void Stored(const std::string& sender, const std::string& id, uint64_t seq);
  void Refused(const std::string& sender, const std::string& id, const std::string& code);
  // Attempts without an outcome, of which `gone` says that their connection is no more; they count
  // as sent again, through `via`.
  template <typename Gone>
  std::vector<Attempt> SendAgain(const std::string& sender, const ConnectionId& via,
                                 const Gone& gone);
  size_t Open(const std::string& sender) const;
  bool SentTwice(const std::string& sender, const std::string& id) const;

  void Contradiction(const std::string& what);

  // At the end: the user's whole log. Compares it with all that was seen and told.
  void CheckLog(const std::string& user, const std::vector<ShownMessage>& log);
  // After all logs were checked: every stored message is in both logs, once, and no refused one is.
  void CheckOutcomes();

  std::vector<std::string> contradictions() const;
  size_t contradiction_count() const;
  size_t stored() const;
  size_t sent_again() const;

 private:
  struct User {
    std::map<uint64_t, std::string> seen;                          // seq → text
    std::map<std::pair<std::string, std::string>, uint64_t> seqs;  // sender, id → seq
    std::map<std::string, Attempt> attempts;                       // by id
    std::map<std::string, Attempt*> open;
  };

  void Note(const std::string& what);
  void SawLocked(const std::string& name, User* user, const ShownMessage& message,
                 const std::string& how);

  mutable std::mutex mutex_;
  std::map<std::string, User> users_;
  std::vector<std::string> contradictions_;
  size_t contradiction_count_ = 0;
  size_t sent_again_ = 0;
};

template <typename Gone>
std::vector<Attempt> CrashLedger::SendAgain(const std::string& sender, const ConnectionId& via,
                                            const Gone& gone) {
  const std::lock_guard lock(mutex_);
  std::vector<Attempt> again;
  for (auto& [id, attempt] : users_[sender].open) {
    if (!gone(attempt->via)) continue;
    attempt->via = via;
    ++attempt->sends;
    ++sent_again_;
    again.push_back(*attempt);
  }
  return again;
}

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_CRASH_LEDGER_H_
