// What a broker on the open net gets thrown at it: connections that never become any, packets that
// are none, logins that fail, and clients that have logged in and send whatever they like, on every
// kind of topic, to everybody. All of it from a seed.
//
// Threads: Run starts `threads` of them and joins them.
#ifndef PARLEY_TESTS_E2E_GARBAGE_H_
#define PARLEY_TESTS_E2E_GARBAGE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace parley::e2e {

// A kind of garbage, and how much of it a broker on the open net may get in a day. The rates are
// ours: several times what honeypots on MQTT's ports report for what comes from outside, and for
// clients that have an account one that is broken, or means ill, all day.
struct GarbageKind {
  std::string_view name;
  uint64_t per_day;
  std::string_view what;
};
inline constexpr std::array<GarbageKind, 7> kGarbage = {{
    {"strange bytes", 17'280,
     "a connection that speaks HTTP, TLS, SSH, noise or nothing: one in 5 s"},
    {"half-open", 4'320, "no CONNECT, a piece of one, or a byte at a time, held open: one in 20 s"},
    {"bad logins", 17'280, "wrong passwords, users, client ids, wills, versions: one in 5 s"},
    {"mutated packets", 8'640,
     "a login, then up to 8 packets with wrong bits and lengths: one in 10 s"},
    {"oversized", 1'440, "packets past max_packet_size, bodies past max_body: one a minute"},
    {"fuzz corpus", 86'400, "inputs of tests/fuzz published on any topic: one a second"},
    {"subscriptions", 864, "100 filters at once, wildcards and others' topics: one in 100 s"},
}};

struct GarbageOptions {
  uint16_t port = 0;
  unsigned seed = 1;
  std::filesystem::path corpus;      // tests/fuzz/corpus
  std::vector<std::string> users;    // who throws, one a thread; password: PasswordOf
  std::vector<std::string> victims;  // users and groups that it is thrown at
  double days = 1;                   // how many days' worth
  std::chrono::seconds time{60};     // … in this time
};

class Garbage {
 public:
  explicit Garbage(GarbageOptions options);

  // Throws all of it, evenly over the time. Returns early where `stop` is set.
  void Run(const std::atomic<bool>& stop);

  // What was thrown, by kind, and how often the broker closed a connection meanwhile.
  const std::array<std::atomic<uint64_t>, kGarbage.size()>& thrown() const { return thrown_; }
  uint64_t closed() const { return closed_; }

  static std::string PasswordOf(const std::string& user) { return "password of " + user; }

 private:
  class Thrower;

  const GarbageOptions options_;
  std::vector<std::string> corpus_;
  std::array<std::atomic<uint64_t>, kGarbage.size()> thrown_{};
  std::atomic<uint64_t> closed_ = 0;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_GARBAGE_H_
