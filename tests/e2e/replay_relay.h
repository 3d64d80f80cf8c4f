// Stands between one device and the broker, so that a test can cut the connection of a client
// library that offers no such thing: no DISCONNECT, and what was on its way is gone.
//
// A thread of its own passes the bytes on. Any number of connections, one after the other or at
// once.
#ifndef PARLEY_TESTS_E2E_REPLAY_RELAY_H_
#define PARLEY_TESTS_E2E_REPLAY_RELAY_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace parley::e2e {

class Relay {
 public:
  explicit Relay(uint16_t broker_port);
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
  };

  void Run();
  void Accept();
  void CutAll();
  static bool PassOn(int from, int to);

  const uint16_t broker_port_;
  uint16_t port_ = 0;
  int listener_ = -1;
  int wake_ = -1;  // an eventfd: there is something to cut, or to stop for
  std::atomic<bool> stop_{false};
  std::vector<Link> links_;  // the thread's
  std::thread thread_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_REPLAY_RELAY_H_
