// A push job as the broker hands it over (docs/push.md), and what became of it.
#ifndef PARLEY_BRIDGE_PUSH_PUSH_JOB_H_
#define PARLEY_BRIDGE_PUSH_PUSH_JOB_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "storage/status.h"

namespace parley::push {

struct Job {
  std::string name;      // "job" on the wire
  std::string provider;  // "webpush", …
  nlohmann::json target;
  nlohmann::json content;  // what a device is told: all but job, target, provider, lease
  std::string tag;
  uint64_t count = 1;
  int64_t lease_ms = 0;

  std::string from() const { return content.value("from", ""); }
  // "alice", or "alice in readers".
  std::string Title() const;
  // What was said, where that is text and may be shown; else how many messages there are.
  std::string Text() const;
};

// kBadRequest: it isn't one.
Result<Job> ParseJob(std::string_view payload);

struct Outcome {
  enum class Kind { kOk, kGone, kFailed, kDrop };
  Kind kind = Kind::kOk;
  std::string reason;          // kFailed, kDrop
  int64_t retry_after_ms = 0;  // kFailed; 0: the broker chooses
};

// The payload of push/done.
std::string DoneJson(const std::string& job, const Outcome& outcome);

}  // namespace parley::push

#endif  // PARLEY_BRIDGE_PUSH_PUSH_JOB_H_
