// How much a user and an API key may send: token buckets, and a count for each day.
//
// Engine thread. Time is handed in, ms since the Unix epoch; a day is a UTC day.
#ifndef PARLEY_CHAT_QUOTA_H_
#define PARLEY_CHAT_QUOTA_H_

#include <cstdint>

namespace parley {

// A rate with a burst. A rate of 0 is no limit.
class TokenBucket {
 public:
  // Takes one; 0 where it was there, else after how many ms one will be.
  int64_t Take(int64_t now_ms, double per_second, double burst);

 private:
  double tokens_ = 0;
  int64_t filled_ms_ = 0;  // 0: never used, full
};

// What is left of a day's quota. A quota of 0 is no limit.
class DayQuota {
 public:
  // 0 where one more is allowed, else the ms to the day's end. Doesn't count it.
  int64_t Check(int64_t now_ms, uint64_t quota);
  void Count(int64_t now_ms);
  void Restore(int64_t day, uint64_t used);
  int64_t day() const { return day_; }  // days since the Unix epoch
  uint64_t used() const { return used_; }

 private:
  void Turn(int64_t now_ms);
  int64_t day_ = 0;
  uint64_t used_ = 0;
};

}  // namespace parley

#endif  // PARLEY_CHAT_QUOTA_H_
