// A history: what the clients of a run did and were shown, as a file of JSON lines in the order in
// which one process did and saw it. parley-check writes one and verifies one; anything else that
// writes this form can be verified, too. docs/proof.md describes it for people.
//
//   {"history":1,"broker":"parley","seed":7, …}       the first line
//   {"e":"send","t":1503,"d":"bob:phone", …}          all others: an event, at t µs after the start
//
// Members of an event (d: the client id, <user>:<device>; those in [] may be missing):
//
//   up       [acks] [kept]               it is connected and logged in. acks: it confirms with
//                                        receipts; kept: the broker had kept its session
//   down                                 its connection has ended
//   sub      topic code                  its subscription was granted (0–2) or refused (≥ 128)
//   send     n topic [qos] [id] [type] [body] [ref]    it published its message number n
//   acked    n                           its client got PUBACK or PUBCOMP for it
//   got      topic m                     the message m came
//   outcome  topic [id] [code] [seq] [gseq]            an answer to a message: stored, or code
//   ask      rid method [with] [group] [after] [before] [user]
//   answer   rid method [code] [head] [more] [epoch] [delivered] [read] [members] [device] [ms]
//   receipt  [group] [delivered] [read]  it confirmed
//   told     by [group] [delivered] [read]             it was told that others did
//   fault    what                        something was done to the broker or its connections
//   reading                              all is settled: from here every user's log is read whole
//   end                                  it was: the history is complete
//
// A message (m, or an element of ms): [seq] type id from, to or group and gseq, ts, body, [ref]
// as "from/id", [folded] where history shows it edited, retracted or reacted to. Bodies are
// digests (Digest); those of system messages are whole.
#ifndef PARLEY_TESTS_CHECK_HISTORY_H_
#define PARLEY_TESTS_CHECK_HISTORY_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace parley::check {

struct Shown {
  uint64_t seq = 0;   // the reader's own number; 0: it was shown without
  uint64_t gseq = 0;  // the group's
  std::string type = {};
  std::string id = {};
  std::string from = {};
  std::string to = {};     // this
  std::string group = {};  // or this
  int64_t ts_ms = 0;
  std::string body = {};
  std::string ref = {};
  bool folded = false;
};

enum class EventKind {
  kUp,
  kDown,
  kSub,
  kSend,
  kAcked,
  kGot,
  kOutcome,
  kAsk,
  kAnswer,
  kReceipt,
  kTold,
  kFault,
  kReading,
  kEnd,
};

// Only the members of its kind mean something.
struct Event {
  EventKind kind = EventKind::kEnd;
  int64_t at_us = 0;
  std::string device = {};
  bool acks = false;
  bool kept = false;
  std::string topic = {};
  int granted = 0;
  uint64_t n = 0;
  int qos = 0;
  std::string id = {};
  std::string type = {};
  std::string body = {};
  std::string ref = {};
  std::string code = {};  // empty: ok
  uint64_t seq = 0;
  uint64_t gseq = 0;
  std::string rid = {};
  std::string method = {};
  std::string with = {};
  std::string group = {};
  std::optional<uint64_t> after = {};
  std::optional<uint64_t> before = {};
  std::string user = {};
  std::optional<uint64_t> head = {};
  bool more = false;
  std::string epoch = {};
  uint64_t delivered = 0;
  uint64_t read = 0;
  std::optional<std::vector<std::string>> members = {};
  std::string by = {};
  std::string what = {};
  std::vector<Shown> messages = {};  // kGot has at most one
};

// What stands before the ':'.
std::string_view UserOf(std::string_view device);

// A body (JSON text) in few bytes: itself, or its beginning and a hash of it.
std::string Digest(std::string_view body);

std::string EncodeEvent(const Event& event);
// Nothing: no event.
std::optional<Event> DecodeEvent(std::string_view line);

// What its first line says.
struct HistoryHead {
  std::string broker = {};  // "parley", or what else it is
  uint64_t seed = 0;
  bool plain = false;  // plain MQTT: no numbers, no answers
  std::string command = {};
};

// Nothing: no history that this program reads.
std::optional<HistoryHead> DecodeHead(std::string_view line);

class HistoryWriter {
 public:
  // Makes the file; throws std::runtime_error where it can't.
  HistoryWriter(const std::string& path, const HistoryHead& head);
  ~HistoryWriter();  // throws away no line; errors show in Close
  HistoryWriter(const HistoryWriter&) = delete;
  HistoryWriter& operator=(const HistoryWriter&) = delete;

  void Write(const Event& event);
  // Throws std::runtime_error if any line couldn't be written.
  void Close();
  uint64_t lines() const { return lines_; }

 private:
  void WriteLine(const std::string& line);

  const std::string path_;
  std::FILE* file_;
  uint64_t lines_ = 0;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_HISTORY_H_
