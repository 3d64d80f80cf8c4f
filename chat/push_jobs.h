// The push jobs that aren't done, in memory: who is to be woken, when, and which gateway is at it.
//
// A job waits until it is due, or it is out: in a gateway's hands until its lease ends. There is
// one for each opt-in and conversation; the roster has all of them. What a transaction changes can
// be taken back until that is committed; what isn't recorded (due times, leases) isn't.
//
// Owner: the engine, on its thread. The caller bounds how many there are.
#ifndef PARLEY_CHAT_PUSH_JOBS_H_
#define PARLEY_CHAT_PUSH_JOBS_H_

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chat/command.h"
#include "storage/record.h"

namespace parley {

inline constexpr size_t kPushProviders = 5;
inline constexpr uint32_t kPushLossesMax = 100;  // gateways that go away with a job, one by one

// "webpush", "ntfy", "webhook", "fcm", "apns".
std::string_view PushProviderName(PushProvider provider);
std::optional<PushProvider> PushProviderNamed(std::string_view name);
// The channel push/<provider>.
Channel PushChannel(PushProvider provider);

// "bob" or "group/readers".
std::string ConversationOf(const UserId& peer, const GroupId& group);

// Which opt-in and conversation a job is of, beginning with its user and a 0. No id holds a 0.
std::string PushTalkOf(const PushJobRecord& job);

struct PushJob {
  PushJobRecord record;
  Lsn lsn;              // what changed the record last
  int64_t due_ms = 0;   // it waits: not before; it is out: its lease's end
  SessionId taker = 0;  // 0: it waits
  uint32_t attempts = 0;
  uint32_t losses = 0;         // of gateways that had it
  uint64_t handed_number = 0;  // NumberOf, when it was handed out last
  uint64_t handed_count = 0;   // the record's count then
  int64_t target_ms = 0;       // of the opt-in that was handed out with it
};

// What a job has come to: the number of the last message that it tells of.
inline uint64_t NumberOf(const PushJobRecord& job) {
  return job.seq > Seq() ? job.seq.value() : job.gseq.value();
}

class PushJobs {
 public:
  bool empty() const { return jobs_.empty(); }
  size_t size() const { return jobs_.size(); }
  size_t CountOf(const UserId& user) const;
  size_t HandedTo(SessionId taker) const;

  // Null: there is none. Valid until the next change of any.
  const PushJob* Find(uint64_t id) const;
  const PushJob* Of(const PushJobRecord& like) const;  // the same opt-in and conversation
  const PushJob* Oldest() const;
  // The one that waits and is due first, if it is due by now.
  const PushJob* NextDue(PushProvider provider, int64_t now_ms) const;
  const PushJob* NextLeaseEnd(int64_t now_ms) const;
  std::vector<uint64_t> OfUser(const UserId& user) const;
  std::vector<uint64_t> OutTo(SessionId taker) const;

  // As transaction `lsn` leaves it.
  void Put(PushJob job, Lsn lsn);
  void Remove(uint64_t id, Lsn lsn);
  // Its times and its taker, which no transaction knows. Not its record.
  void Move(PushJob job);

  void Committed(Lsn last);
  // Everything as it was before transaction `first`.
  void TakeBack(Lsn first);

 private:
  struct Undo {
    Lsn lsn;
    uint64_t id = 0;
    std::optional<PushJob> before;
  };
  using Due = std::set<std::pair<int64_t, uint64_t>>;

  void Set(PushJob job);
  void Drop(uint64_t id);
  void Index(const PushJob& job);
  void Unindex(const PushJob& job);
  std::optional<PushJob> Copy(uint64_t id) const;

  std::map<uint64_t, PushJob> jobs_;  // ids ascend with time
  std::unordered_map<std::string, uint64_t> by_talk_;
  std::unordered_map<UserId, std::set<uint64_t>> by_user_;
  std::unordered_map<SessionId, std::set<uint64_t>> by_taker_;
  std::array<Due, kPushProviders> due_;
  Due leases_;
  std::deque<Undo> undo_;
};

}  // namespace parley

#endif  // PARLEY_CHAT_PUSH_JOBS_H_
