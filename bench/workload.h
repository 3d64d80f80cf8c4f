// What all modes of the load generator share: whom to talk to and as whom, and the chat messages
// themselves. Users are u0, u1, …; each has one device.
#ifndef PARLEY_BENCH_WORKLOAD_H_
#define PARLEY_BENCH_WORKLOAD_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "bench/clients.h"

namespace parley::bench {

struct Workload {
  Endpoint endpoint;
  bool plain = false;       // a broker without Parley
  std::string credentials;  // file of "user password-or-token" lines; empty: no passwords
  pid_t pid = 0;            // the broker's, to read its CPU and memory
  bool json = false;
  uint64_t seed = 1;
};

// Passwords or tokens by user.
class Credentials {
 public:
  // Reads the file; an empty path gives no passwords.
  explicit Credentials(const std::string& path);
  // Empty where there is none.
  std::string PasswordOf(const std::string& user) const;

 private:
  std::unordered_map<std::string, std::string> passwords_;
};

std::string UserName(size_t index);

// Adds the device of user `index`, subscribed to `filters`.
void AddUser(Clients* clients, const Credentials& credentials, size_t index,
             std::vector<std::string> filters);

// Messages of one run: their ids are "<run>-<number>", so that an id is never used again.
class Messages {
 public:
  explicit Messages(size_t body_bytes);

  // What a client of Parley publishes.
  void Sent(uint64_t number, std::string* payload) const;
  // What Parley makes of it. Published to a plain broker, it has the bytes that Parley delivers.
  void Delivered(uint64_t seq, uint64_t number, std::string_view from, std::string_view to,
                 std::string* payload) const;

  struct Arrival {
    uint64_t seq;
    uint64_t number;
  };
  // False: not a message of this run.
  bool Parse(std::string_view payload, Arrival* arrival) const;
  // Takes the members up to the number; false, and nothing is said of what was taken, where it
  // isn't a message of this run.
  bool TakeStart(std::string_view* text, Arrival* arrival) const;

 private:
  std::string run_;
  std::string after_seq_;  // the members between the number after "seq" and the message's number
  std::string body_;
};

// Appends digits.
void AppendNumber(std::string* out, uint64_t value);
// Takes digits off the front; false where there are none.
bool TakeNumber(std::string_view* in, uint64_t* value);
// Takes `text` off the front; false where it isn't there.
bool TakeText(std::string_view* in, std::string_view text);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_WORKLOAD_H_
