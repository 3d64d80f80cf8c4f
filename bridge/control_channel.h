// The way to Control (chat/control.h) for a tool that was started with a data directory: directly
// while no broker has the directory open, over $CONTROL/parley/v1 of the broker that has.
//
// The broker is found in <data>/run/listeners, and entered as kControlUser with a token that this
// side signs itself with <data>/secret, good for a minute.
//
// Threads: one uses a channel.
#ifndef PARLEY_BRIDGE_CONTROL_CHANNEL_H_
#define PARLEY_BRIDGE_CONTROL_CHANNEL_H_

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "storage/env.h"
#include "storage/status.h"

namespace parley {

class ControlChannel {
 public:
  // A broker that is starting, or another tool that is at work, is given this long.
  static constexpr std::chrono::seconds kPatience{10};

  // kUnavailable: somebody has the directory open and can't be reached. kNotFound: no Parley
  // directory. kIoError: no right to open it.
  static Result<std::unique_ptr<ControlChannel>> Open(const std::string& data_dir, Env* env,
                                                      std::chrono::milliseconds patience);
  virtual ~ControlChannel() = default;

  // The "data" of the answer, or its "error" with its "code".
  virtual Result<nlohmann::json> Run(nlohmann::json command) = 0;
  // Where the commands go, for people: "127.0.0.1:1883" or "the directory itself".
  virtual std::string Where() const = 0;
  virtual bool broker_runs() const = 0;
};

struct Listener {
  std::string host;  // an IPv6 address without brackets
  uint16_t port = 0;

  bool operator==(const Listener&) const = default;
};

// The lines of run/listeners, `host:port` each, after `# pid`. An address that stands for all
// becomes loopback; what is no such line is left out.
std::vector<Listener> ParseListeners(const std::string& text);

}  // namespace parley

#endif  // PARLEY_BRIDGE_CONTROL_CHANNEL_H_
