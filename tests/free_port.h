#ifndef PARLEY_TESTS_FREE_PORT_H_
#define PARLEY_TESTS_FREE_PORT_H_

#include <cstdint>

namespace parley {

// A TCP port of 127.0.0.1 that nothing listens on and that no other test was given which still
// runs, out of the range that the kernel gives to clients.
uint16_t FreePort();

}  // namespace parley

#endif  // PARLEY_TESTS_FREE_PORT_H_
