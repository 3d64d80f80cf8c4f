// Tells whether numbered messages (0, 1, 2, …) arrive at one place without loss, doubles or
// disorder. In-order arrival costs one comparison. One thread.
#ifndef PARLEY_BENCH_DELIVERY_CHECK_H_
#define PARLEY_BENCH_DELIVERY_CHECK_H_

#include <cstdint>
#include <unordered_set>

namespace parley::bench {

class DeliveryCheck {
 public:
  // Takes the arrival of `number`; true when it had not arrived before.
  bool Take(uint64_t number) {
    if (number == next_) {
      ++next_;
      return true;
    }
    if (number > next_) {
      while (next_ < number) missing_.insert(next_++);
      ++next_;
      return true;
    }
    if (missing_.erase(number) == 0) {
      ++doubled_;
      return false;
    }
    ++disordered_;
    return true;
  }

  // One past the highest number that arrived.
  uint64_t next() const { return next_; }
  // How many of the first `sent` have not arrived.
  uint64_t Lost(uint64_t sent) const { return missing_.size() + (sent > next_ ? sent - next_ : 0); }
  uint64_t doubled() const { return doubled_; }
  // How many arrived after one with a higher number.
  uint64_t disordered() const { return disordered_; }

 private:
  uint64_t next_ = 0;
  uint64_t doubled_ = 0;
  uint64_t disordered_ = 0;
  std::unordered_set<uint64_t> missing_;
};

}  // namespace parley::bench

#endif  // PARLEY_BENCH_DELIVERY_CHECK_H_
