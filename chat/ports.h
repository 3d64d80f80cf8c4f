// What the engine needs from around it, handed in at construction, so that a test can run it on one
// thread with any of them failing.
#ifndef PARLEY_CHAT_PORTS_H_
#define PARLEY_CHAT_PORTS_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "chat/command.h"
#include "storage/types.h"

namespace parley {

struct KeyLimits {
  double rate = 0;     // messages a second, 0: no limit
  uint64_t quota = 0;  // messages a UTC day, 0: no limit
};

struct KeyUse {
  int64_t day = 0;  // days since the Unix epoch
  uint64_t used = 0;
};

// Accounts and keys. Called on the engine's thread; no I/O, no waiting.
class Accounts {
 public:
  virtual ~Accounts() = default;
  virtual bool Exists(const UserId& user) const = 0;
  // The API key of the account; empty: none.
  virtual KeyName KeyOf(const UserId& user) const = 0;
  virtual KeyLimits Limits(const KeyName& key) const = 0;
  virtual KeyUse UsedToday(const KeyName& key) const = 0;
  // Kept soon, by another thread; a crash may lose the last seconds of it.
  virtual void RecordUse(const KeyName& key, const KeyUse& use) = 0;
};

// Runs jobs that may wait for a disk, away from the engine's thread; what a job returns is run on
// the engine's thread later, as a command of its own. Jobs may overtake each other.
class Readers {
 public:
  virtual ~Readers() = default;
  virtual void Submit(std::function<Continuation()> job) = 0;
};

}  // namespace parley

#endif  // PARLEY_CHAT_PORTS_H_
