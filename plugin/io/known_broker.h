// Which program this is: a Mosquitto that the library has been tried with, or another.
//
// The name alone says little and the broker has no call that tells its version, so the program's
// own constants are searched, once. Only versions whose loop was read and tried are known: what the
// library keeps of the kernel's promises suffices for them (plugin/io/broker_io.h).
#ifndef PARLEY_PLUGIN_IO_KNOWN_BROKER_H_
#define PARLEY_PLUGIN_IO_KNOWN_BROKER_H_

#include <cstddef>
#include <cstdint>

namespace parley::io {

// A stretch of this process's memory.
struct Span {
  const char* begin = nullptr;
  size_t bytes = 0;

  bool Contains(const void* address) const {
    return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(begin) < bytes;
  }
};

// The versions, as people read them: "2.0.11, 2.0.21".
extern const char kKnownVersions[];

// The version of the Mosquitto broker whose constants these are; null of one that isn't known, and
// of anything else.
const char* FindVersion(Span constants);

struct Program {
  Span code;                      // of the executable, without its libraries
  const char* version = nullptr;  // as FindVersion, of all its constants
};

// Of the running process.
Program FindProgram();

}  // namespace parley::io

#endif  // PARLEY_PLUGIN_IO_KNOWN_BROKER_H_
