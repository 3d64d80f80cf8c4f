// Without it, what a client sends while an earlier packet isn't acknowledged waits for that, up to
// 40 ms where the broker has nothing to answer with (Nagle's algorithm against delayed
// acknowledgements); the libpaho-mqtt of Debian 12 has no option for it, and doesn't show its
// sockets.
#ifndef PARLEY_BRIDGE_NO_DELAY_H_
#define PARLEY_BRIDGE_NO_DELAY_H_

#include <cstdint>

namespace parley {

// Sets TCP_NODELAY on each of this process's connections to such a port, whosever it is; returns
// how many those are. Any thread.
int SetNoDelay(uint16_t peer_port);

}  // namespace parley

#endif  // PARLEY_BRIDGE_NO_DELAY_H_
