#include "bridge/units.h"

#include <charconv>

namespace parley {
namespace {

// A whole number, none of it left over, small enough to be multiplied by a day's seconds.
std::optional<int64_t> ParseNumber(std::string_view text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, number);
  bool good = error == std::errc() && stop == end && number >= 0 && number < int64_t{1} << 46;
  return good ? std::optional(number) : std::nullopt;
}

}  // namespace

std::optional<int64_t> ParseDuration(std::string_view text) {
  int64_t unit_s = 1;
  if (!text.empty()) {
    switch (text.back()) {
      case 's':
        unit_s = 1;
        break;
      case 'm':
        unit_s = 60;
        break;
      case 'h':
        unit_s = 3600;
        break;
      case 'd':
        unit_s = 86400;
        break;
      default:
        unit_s = 0;
        break;
    }
    if (unit_s != 0) text.remove_suffix(1);
  }
  std::optional<int64_t> number = ParseNumber(text);
  if (!number || *number == 0) return std::nullopt;
  return *number * (unit_s != 0 ? unit_s : 1);
}

std::optional<int64_t> ParseLimit(std::string_view text, std::string_view unit) {
  if (text == "none") return 0;
  if (text.ends_with(unit)) text.remove_suffix(unit.size());
  return ParseNumber(text);
}

}  // namespace parley
