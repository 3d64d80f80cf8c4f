// Decides logins without ever holding up the broker's thread for longer than login_wait_ms.
//
// A token, a login that was verified before and a repeated wrong password are decided at once, in
// microseconds. Any other password takes milliseconds to verify and is a job for a worker thread;
// the broker's thread waits for it where the worker is idle and the waiting budget allows, and
// else gets kPending: the plugin lets the client in, delivers nothing, holds what it sends, and
// learns the verdict from TakeVerdicts in its tick.
//
// Guessing is slowed: what is refused as kSlowed is not looked at. Tokens, and a login that was
// verified before (same password), go through whatever is slowed, so that nobody is locked out who
// was in. Unknown and disabled accounts and those without a password are hashed, slowed and refused
// as if the password was wrong. An address is an IPv4 address or an IPv6 network (/64).
//
// - A user from an address: after kFreeFailures wrong passwords each further try waits for a delay
//   that doubles from 1 s to 60 s.
// - A user from many addresses: after kBesiegedFailures in all, each address has one try, then none
//   for kForgetFailuresMs. Its user's own address has that one try, too.
// - An address with many users: after 100 s of options.address_rate wrong passwords, as many a
//   second as that.
//
// The last two don't hold for this machine's own addresses: a proxy on it stands for everybody.
//
// Owner: the plugin. Threads: Check and TakeVerdicts on the broker's thread; the wake callback is
// called on a worker's. Knows no Mosquitto.
// Limits: pending_max logins under way (more are refused: kBusy); kVerifiedMax verified logins
// remembered, in memory only, as keyed fingerprints; each is forgotten with the account's
// generation (new password, disabled). kFailuresMax of each kind of what slows, and as many wrong
// passwords, the least recent forgotten first: to make room for more costs a hash each.
#ifndef PARLEY_PLUGIN_LOGIN_H_
#define PARLEY_PLUGIN_LOGIN_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "storage/credentials.h"
#include "storage/directory.h"
#include "storage/env.h"

namespace parley {

enum class LoginRefusal {
  kNone,
  kBadUser,        // not a user id
  kWrongPassword,  // or an unknown account: a client must not learn which
  kDisabled,
  kBadToken,  // malformed, forged, of another user or device, expired or voided
  kSlowed,    // too many wrong passwords; try later
  kBusy,      // too many logins at once; try again
};

// For the log: "wrong_password".
std::string_view LoginRefusalName(LoginRefusal refusal);

struct LoginResult {
  enum class Kind { kAccepted, kRefused, kPending };
  Kind kind = Kind::kRefused;

  // kAccepted
  Account account;
  // parleyctl by the directory's secret, as kControlUser: no account, may use $CONTROL only.
  bool control = false;
  int64_t expires_s = 0;  // the token's end, since the Unix epoch; 0: never

  LoginRefusal refusal = LoginRefusal::kNone;  // kRefused
  uint64_t ticket = 0;                         // kPending
};

struct LoginOptions {
  int64_t wait_ms = 4;        // 0: the broker's thread never waits
  size_t pending_max = 1000;  // logins under way
  size_t workers = 1;
  double address_rate = 1;  // wrong passwords a second from one address; 0: no limit
};

// Where a login comes from, as guesses are counted: an IPv4 address, an IPv6 network of 64 bits, or
// the text as it is.
std::string PlaceOf(std::string_view address);
bool IsLoopback(std::string_view address);

// Remembers at most `max` values by fingerprint, and the max / 2 most recently used for sure: two
// maps, of which the older is dropped when the younger is half of that.
template <class Value>
class FingerprintCache {
 public:
  explicit FingerprintCache(size_t max) : half_(max / 2) {}

  // Valid until the next call.
  Value* Find(const Fingerprint& key) {
    if (auto it = young_.find(key); it != young_.end()) return &it->second;
    auto it = old_.find(key);
    return it == old_.end() ? nullptr : &Put(key, it->second);
  }
  Value& Put(const Fingerprint& key, Value value) {
    if (young_.size() >= half_) {
      old_ = std::move(young_);
      young_.clear();
    }
    return young_.insert_or_assign(key, std::move(value)).first->second;
  }
  void Erase(const Fingerprint& key) {
    young_.erase(key);
    old_.erase(key);
  }
  size_t size() const { return young_.size() + old_.size(); }

 private:
  const size_t half_;
  std::unordered_map<Fingerprint, Value> young_;
  std::unordered_map<Fingerprint, Value> old_;
};

class LoginGate {
 public:
  static constexpr size_t kVerifiedMax = 200000;
  static constexpr size_t kWrongMax = 20000;
  static constexpr size_t kFailuresMax = 20000;
  static constexpr uint32_t kFreeFailures = 5;
  static constexpr uint32_t kBesiegedFailures = 50;
  static constexpr int64_t kDelayFirstMs = 1000;
  static constexpr int64_t kDelayMaxMs = 60000;
  static constexpr int64_t kForgetFailuresMs = 15 * 60 * 1000;
  static constexpr double kAddressBurstS = 100;
  // The broker's thread waits at most this much in a second: half of it at once, the other half
  // as it comes back.
  static constexpr int64_t kWaitUsPerSecond = 250000;

  struct Verdict {
    uint64_t ticket;
    LoginResult result;  // kAccepted or kRefused
  };

  // All must outlive the gate. `wake` is called after a verdict has been added.
  LoginGate(const LoginOptions& options, Directory* directory, const Credentials* credentials,
            Env* env, std::function<void()> wake);
  ~LoginGate();  // pending logins get no verdict
  LoginGate(const LoginGate&) = delete;
  LoginGate& operator=(const LoginGate&) = delete;

  // A token that was issued for a device is only good for that client id, and none is good for a
  // client id whose device was removed since.
  // `may_pend` false: refuse (kBusy) rather than answer kPending; the verdict is remembered, so
  // that a second try is decided at once. For a client whose acceptance can't be taken back, such
  // as one that takes over the session of a connected device.
  LoginResult Check(std::string_view user, std::string_view client_id, std::string_view password,
                    std::string_view address, bool may_pend = true);

  std::vector<Verdict> TakeVerdicts();

  // Logins whose verdict is still to come.
  size_t pending() const;

 private:
  struct Failures {
    uint32_t count = 0;
    uint32_t in_flight = 0;
    int64_t last_ms = 0;
  };

  // Wrong passwords from an address, less what address_rate has forgiven since.
  struct Guesses {
    double count = 0;
    int64_t at_ms = 0;
  };

  // What a login's failure counts against.
  struct Source {
    Fingerprint user_there;  // user and address
    Fingerprint user;
    Fingerprint place;
    bool local = false;  // on this machine
  };

  struct Job {
    UserId user;
    std::string password;
    Fingerprint login;  // user and password
    Source source;
    size_t callers = 1;
    std::vector<uint64_t> tickets;
    uint32_t generation = 0;  // of the account that was verified
    bool waited_for = false;
    std::optional<LoginResult> result;
  };

  using Lock = std::unique_lock<std::mutex>;

  LoginResult CheckToken(std::string_view user, std::string_view client_id,
                         std::string_view token) const;
  std::optional<LoginResult> Remembered(const Fingerprint& login,
                                        const std::optional<Account>& account);
  Source SourceOf(std::string_view user, std::string_view address) const;
  bool Slowed(const Source& source);
  Failures* RecentFailures(FingerprintCache<Failures>* failures, const Fingerprint& of);
  double GuessesFrom(const Fingerprint& place);
  void CountFailure(const Source& source);
  LoginResult Pend(Job* job, bool may_pend);
  void WaitFor(Job* job, Lock* lock);
  void RefillBudget();

  void Work();
  LoginResult Verify(Job* job);
  void Remember(const Job& job, const LoginResult& result);
  // True if somebody must be woken.
  bool Conclude(Job* job, const LoginResult& result);

  const LoginOptions options_;
  Directory* const directory_;
  const Credentials* const credentials_;
  Env* const env_;
  const std::function<void()> wake_;

  // Guarded by mutex_, which is never held during I/O or hashing.
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  bool stop_ = false;
  std::deque<std::shared_ptr<Job>> queue_;
  std::unordered_map<Fingerprint, std::shared_ptr<Job>> jobs_;  // queued or being verified
  size_t callers_ = 0;
  FingerprintCache<uint32_t> verified_;       // the account's generation
  FingerprintCache<uint32_t> wrong_;          // likewise, 0 for an account that is not there
  FingerprintCache<Failures> failures_;       // by user and address
  FingerprintCache<Failures> user_failures_;  // by user
  FingerprintCache<Guesses> guesses_;         // by address
  std::vector<Verdict> verdicts_;
  uint64_t last_ticket_ = 0;

  // The broker's thread only.
  int64_t budget_us_ = kWaitUsPerSecond / 2;
  int64_t budget_at_us_;

  std::vector<std::thread> workers_;
};

}  // namespace parley

#endif  // PARLEY_PLUGIN_LOGIN_H_
