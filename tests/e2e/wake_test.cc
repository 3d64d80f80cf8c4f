// However the broker's loop is woken, messages arrive; and without being woken they wait for its
// own tick, so that the two others are seen to work.
#include <algorithm>
#include <chrono>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

using Clock = std::chrono::steady_clock;

// The median time from a publish to its own copy, of messages with pauses between them.
std::chrono::microseconds MedianRoundTrip(Device& alice, const std::string& peer) {
  std::vector<Clock::duration> times;
  for (int n = 0; n < 21; ++n) {
    const auto begin = Clock::now();
    alice.Say(peer, n);
    times.push_back(Clock::now() - begin);
  }
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return std::chrono::duration_cast<std::chrono::microseconds>(times[10]);
}

TEST_CASE("messages arrive however the loop is woken") {
  const std::string wake = GENERATE(as<std::string>{}, "eventfd", "loopback", "tick");
  CAPTURE(wake);
  ChatServer server({.options = {{"plugin_opt_wake", wake}}}, 4);
  const std::string serving = "serving wake=" + wake;
  CHECK(server.Log().find(serving) != std::string::npos);
  Device alice = server.Open(server.NewUser("alice"));
  Device bob = server.Open(server.NewUser("bob"));
  const auto median = MedianRoundTrip(alice, bob.user());
  for (int n = 0; n < 21; ++n) CHECK(bob.Receive()["body"] == n);
  // The tick comes every 100 ms. Far less is what a wake-up makes of it, also on a busy machine.
  CAPTURE(median.count());
  if (wake == "tick") {
    CHECK(median > std::chrono::milliseconds(40));
  } else {
    CHECK(median < std::chrono::milliseconds(40));
  }
}

}  // namespace
}  // namespace parley::e2e
