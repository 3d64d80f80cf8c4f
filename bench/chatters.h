// Devices that write to each other in an open loop over connections that break, as a careful client
// does: what it has to say while it is away it keeps, and when it is back it says again, under the
// same ids, all that it hasn't seen stored. It acknowledges what it gets with receipts. Device n is
// client n of the set, subscribed to chat/<its user>.
//
// Latency counts from when a message was due, to its sender's own copy (stored) and to its receiver
// (arrived).
//
// What a device gets must be numbered without a gap from its first receipt on; a number may come
// again after a return. One thread.
#ifndef PARLEY_BENCH_CHATTERS_H_
#define PARLEY_BENCH_CHATTERS_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "bench/clients.h"
#include "bench/workload.h"

namespace parley::bench {

class Chatters {
 public:
  struct Message {
    size_t from;
    size_t to;
    int64_t due_ns;
    bool stored = false;
    bool arrived = false;
  };

  class Events {
   public:
    virtual ~Events() = default;
    // Its sender, or its receiver, saw it for the first time. `there`: both devices were, from when
    // it was due until now.
    virtual void OnStored(const Message& message, bool there, int64_t now_ns) = 0;
    virtual void OnArrived(const Message& message, bool there, int64_t now_ns) = 0;
  };

  // Both must outlive this. Clients are added to the set before anything else is called.
  Chatters(Clients* clients, size_t body_bytes, Events* events)
      : clients_(clients), texts_(body_bytes), events_(events) {}

  // Returns its number: 0, 1, 2, …
  uint64_t Say(size_t from, size_t to, int64_t due_ns);
  // To be told by the run: a device is subscribed, or has lost its connection.
  void Came(size_t index, int64_t now_ns);
  void Went(size_t index, int64_t now_ns);
  bool There(size_t index) const { return index < devices_.size() && devices_[index].there; }
  // The latest number that a device got; 0: none.
  uint64_t LastSeq(size_t index) const {
    return index < devices_.size() ? devices_[index].last_seq : 0;
  }
  // A publish on chat/… came. Messages of others and of earlier runs are numbered, too.
  void Take(Client& client, std::string_view payload, int64_t now_ns);

  const Messages& texts() const { return texts_; }
  uint64_t said() const { return first_open_ + open_.size(); }
  // How many have been seen, by sender and receiver each.
  uint64_t seen() const { return seen_; }
  uint64_t unseen() const { return 2 * said() - seen_; }
  uint64_t gaps() const { return gaps_; }
  uint64_t again() const { return again_; }  // numbers that came to a device that had them
  uint64_t errors() const { return errors_; }
  // Counts an error and shows the first few.
  void Complain(std::string_view what, std::string_view text);
  // Shows a fault that the caller counts, unless there have been many.
  void Show(std::string_view what, std::string_view text);

 private:
  struct Device {
    bool there = false;
    int64_t since_ns = 0;  // of being there, or not
    uint64_t last_seq = 0;
    uint64_t receipt_seq = 0;       // acknowledged up to here
    std::deque<uint64_t> unstored;  // numbers of what it said, without their own copies
  };

  Device& At(size_t index);
  void Publish(size_t from, uint64_t number);
  void TakeSeq(Client& client, uint64_t seq);
  void TakeOurs(const Client& client, uint64_t number, int64_t now_ns);
  bool ThereSince(const Message& message) const;
  void Forget();

  Clients* const clients_;
  const Messages texts_;
  Events* const events_;
  std::vector<Device> devices_;
  std::deque<Message> open_;  // from number first_open_ on: not yet seen by both
  uint64_t first_open_ = 0;
  uint64_t seen_ = 0;
  uint64_t gaps_ = 0;
  uint64_t again_ = 0;
  uint64_t errors_ = 0;
  int shown_ = 0;
  std::string payload_;
};

}  // namespace parley::bench

#endif  // PARLEY_BENCH_CHATTERS_H_
