// Stands between one device and the broker, so that a test can cut the connection of a client
// library that offers no such thing: no DISCONNECT, and what was on its way is gone; or so that it
// changes what the broker sends.
//
// A thread of its own passes the bytes on. Any number of connections, one after the other or at
// once.
#ifndef PARLEY_TESTS_E2E_REPLAY_RELAY_H_
#define PARLEY_TESTS_E2E_REPLAY_RELAY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace parley::e2e {

class Relay {
 public:
  // What the device gets in place of these bytes of the broker's; called by the relay's thread.
  using Filter = std::function<std::string(uint64_t connection, std::string_view bytes)>;

  explicit Relay(uint16_t broker_port, Filter filter = nullptr);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Where the device connects to, on 127.0.0.1.
  uint16_t port() const { return port_; }
  // Has all connections cut that are there now.
  void Cut();

 private:
  struct Link {
    int device = -1;
    int broker = -1;
    uint64_t connection = 0;
  };

  void Run();
  void Accept();
  void CutAll();
  bool PassOn(const Link& link, bool to_device) const;

  const uint16_t broker_port_;
  const Filter filter_;
  uint16_t port_ = 0;
  int listener_ = -1;
  int wake_ = -1;  // an eventfd: there is something to cut, or to stop for
  std::atomic<bool> stop_{false};
  std::vector<Link> links_;  // the thread's
  uint64_t connections_ = 0;
  std::thread thread_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_REPLAY_RELAY_H_
