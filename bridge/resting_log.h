// The dead letters of a data directory that no broker has open (the caller holds its LOCK), in the
// form in which the broker answers the same commands (chat/control.h).
#ifndef PARLEY_BRIDGE_RESTING_LOG_H_
#define PARLEY_BRIDGE_RESTING_LOG_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "storage/env.h"
#include "storage/roster.h"
#include "storage/status.h"

namespace parley {

// {"waiting": letters, "stores_down": stores that have some}. Only reads.
Result<nlohmann::json> CountDeadLetters(const std::string& data_dir, Env* env);

// What parley-push gave up, at most `limit`. Only reads.
Result<std::vector<PushDeadLetter>> ListPushDeadLetters(const std::string& data_dir, size_t limit,
                                                        Env* env);

// Opens the log, which writes them to their stores, and closes it: {"replayed": letters}.
// kUnavailable: a store still doesn't take them.
Result<nlohmann::json> ReplayDeadLetters(const std::string& data_dir, Env* env);

}  // namespace parley

#endif  // PARLEY_BRIDGE_RESTING_LOG_H_
