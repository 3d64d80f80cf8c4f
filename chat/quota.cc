#include "chat/quota.h"

#include <algorithm>
#include <cmath>

namespace parley {
namespace {
constexpr int64_t kDayMs = 86'400'000;
}

int64_t TokenBucket::Take(int64_t now_ms, double per_second, double burst) {
  if (per_second <= 0) return 0;
  if (filled_ms_ == 0) {
    tokens_ = burst;
  } else if (now_ms > filled_ms_) {
    double gained = static_cast<double>(now_ms - filled_ms_) * per_second / 1000;
    tokens_ = std::min(burst, tokens_ + gained);
  }
  filled_ms_ = now_ms;
  if (tokens_ >= 1) {
    tokens_ -= 1;
    return 0;
  }
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil((1 - tokens_) * 1000 / per_second)));
}

void DayQuota::Turn(int64_t now_ms) {
  if (now_ms / kDayMs <= day_) return;  // a clock that goes back gives nobody a second day
  day_ = now_ms / kDayMs;
  used_ = 0;
}

int64_t DayQuota::Check(int64_t now_ms, uint64_t quota) {
  Turn(now_ms);
  if (quota == 0 || used_ < quota) return 0;
  return std::max<int64_t>(1, (day_ + 1) * kDayMs - now_ms);
}

void DayQuota::Count(int64_t now_ms) {
  Turn(now_ms);
  ++used_;
}

void DayQuota::Restore(int64_t day, uint64_t used) {
  if (day < day_) return;
  if (day > day_) used_ = 0;
  day_ = day;
  used_ += used;
}

}  // namespace parley
