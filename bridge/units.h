// How people write amounts: "24h", "100/s", "5000/day".
#ifndef PARLEY_BRIDGE_UNITS_H_
#define PARLEY_BRIDGE_UNITS_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace parley {

// Seconds, from "90" or "90s", "30m", "24h", "7d".
std::optional<int64_t> ParseDuration(std::string_view text);

// From "100" or "100/s", where `unit` is "/s". "none" is 0.
std::optional<int64_t> ParseLimit(std::string_view text, std::string_view unit);

}  // namespace parley

#endif  // PARLEY_BRIDGE_UNITS_H_
