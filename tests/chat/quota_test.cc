#include "chat/quota.h"

#include "tests/catch.h"

namespace parley {
namespace {

constexpr int64_t kNow = 1764000000000;
constexpr int64_t kDayMs = 86'400'000;

// How many of `tries` at `now_ms` are let through.
int Taken(TokenBucket* bucket, int tries, int64_t now_ms, double rate, double burst) {
  int taken = 0;
  for (int i = 0; i < tries; ++i) taken += bucket->Take(now_ms, rate, burst) == 0;
  return taken;
}

TEST_CASE("a new bucket holds its burst and no more") {
  TokenBucket bucket;
  CHECK(Taken(&bucket, 30, kNow, 2, 20) == 20);
}

TEST_CASE("a bucket fills at its rate, up to its burst") {
  TokenBucket bucket;
  Taken(&bucket, 20, kNow, 2, 20);
  CHECK(bucket.Take(kNow + 499, 2, 20) > 0);
  CHECK(bucket.Take(kNow + 500, 2, 20) == 0);
  CHECK(Taken(&bucket, 100, kNow + 3500, 2, 20) == 6);
  CHECK(Taken(&bucket, 100, kNow + kDayMs, 2, 20) == 20);
}

TEST_CASE("a refusal says when one will be there") {
  TokenBucket bucket;
  Taken(&bucket, 20, kNow, 2, 20);
  CHECK(bucket.Take(kNow, 2, 20) == 500);
  CHECK(bucket.Take(kNow + 200, 2, 20) == 300);
  CHECK(bucket.Take(kNow + 500, 2, 20) == 0);
  CHECK(bucket.Take(kNow + 500, 10'000, 20) == 1);
}

TEST_CASE("over any time no more is let through than burst and rate give") {
  TokenBucket bucket;
  int taken = 0;
  for (int64_t ms = 0; ms <= 10'000; ms += 7) taken += bucket.Take(kNow + ms, 5, 10) == 0;
  CHECK(taken >= 59);
  CHECK(taken <= 60);
}

TEST_CASE("a rate of 0 is no limit") {
  TokenBucket bucket;
  CHECK(Taken(&bucket, 1000, kNow, 0, 1) == 1000);
}

TEST_CASE("a clock that goes back lets nothing through that it would not have") {
  TokenBucket bucket;
  Taken(&bucket, 20, kNow, 2, 20);
  CHECK(bucket.Take(kNow - 3'600'000, 2, 20) > 0);
  CHECK(bucket.Take(kNow - 3'600'000 + 500, 2, 20) == 0);
}

TEST_CASE("a day's quota is used up until the next UTC day") {
  DayQuota day;
  const int64_t last_ms = (kNow / kDayMs + 1) * kDayMs - 1;
  for (int i = 0; i < 3; ++i) {
    CHECK(day.Check(last_ms - 1000, 3) == 0);
    day.Count(last_ms - 1000);
  }
  CHECK(day.Check(last_ms - 1000, 3) == 1001);
  CHECK(day.Check(last_ms, 3) == 1);
  CHECK(day.Check(last_ms, 4) == 0);
  CHECK(day.Check(last_ms + 1, 3) == 0);
  CHECK(day.used() == 0);
  CHECK(day.day() == kNow / kDayMs + 1);
}

TEST_CASE("checking a quota counts nothing") {
  DayQuota day;
  for (int i = 0; i < 10; ++i) CHECK(day.Check(kNow, 1) == 0);
  CHECK(day.used() == 0);
}

TEST_CASE("a quota of 0 is no limit, and is counted") {
  DayQuota day;
  for (int i = 0; i < 5; ++i) day.Count(kNow);
  CHECK(day.Check(kNow, 0) == 0);
  CHECK(day.used() == 5);
  CHECK(day.Check(kNow, 5) > 0);
}

TEST_CASE("a clock that goes back gives nobody a second day") {
  DayQuota day;
  day.Count(kNow);
  CHECK(day.Check(kNow - kDayMs, 1) > 0);
}

TEST_CASE("what was used today is there again after a restart, yesterday's is not") {
  DayQuota day;
  day.Restore(kNow / kDayMs, 7);
  CHECK(day.used() == 7);
  CHECK(day.Check(kNow, 8) == 0);
  CHECK(day.Check(kNow, 7) > 0);
  DayQuota later;
  later.Restore(kNow / kDayMs - 1, 7);
  CHECK(later.Check(kNow, 1) == 0);
  CHECK(later.used() == 0);
}

}  // namespace
}  // namespace parley
