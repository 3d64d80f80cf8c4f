// Wakes the broker's loop from another thread, so that what is ready is delivered at once and not
// at the next 100 ms tick (DESIGN: wake).
//
// Three ways, the first that can be had: an eventfd in the broker's own epoll set; a loopback
// connection that sends PINGREQ; the broker's own tick.
//
// Signal by any thread; everything else by the broker's.
#ifndef PARLEY_PLUGIN_WAKE_H_
#define PARLEY_PLUGIN_WAKE_H_

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "plugin/options.h"

namespace parley {

class Wake {
 public:
  Wake() = default;
  ~Wake();
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;

  // In the first tick, when the broker's loop runs. `listeners` and `token` are for the loopback.
  // Returns what it came to: "eventfd", "loopback", "tick".
  std::string Attach(WakeMethod method, const std::vector<std::string>& listeners,
                     const std::string& user, const std::string& token);
  // Makes the loop turn. A Signal before Drain is one with it.
  void Signal();
  // At the beginning of a tick: what is signalled from now on wakes it again.
  void Drain();

 private:
  bool AttachEventfd();
  void Loopback(const std::vector<std::string>& listeners, const std::string& connect_packet);

  std::atomic<bool> signalled_ = false;
  std::atomic<int> eventfd_ = -1;
  bool in_epoll_ = false;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::thread loopback_;
};

// The broker's listening TCP sockets, as host:port to reach them by from this machine.
std::vector<std::string> FindListeners();

}  // namespace parley

#endif  // PARLEY_PLUGIN_WAKE_H_
