// The ids that a user sent last, and what came of each: what is sent again changes nothing.
//
// 56 bytes for an id, whatever its length: of the id a 128-bit fingerprint is kept. Two ids of one
// user that share one would be taken for the same; the user can gain nothing by making such.
// Owner: a user in the engine. One thread.
#ifndef PARLEY_CHAT_SENT_IDS_H_
#define PARLEY_CHAT_SENT_IDS_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "storage/types.h"

namespace parley {

inline constexpr size_t kSentIdsKept = 1024;

class SentIds {
 public:
  struct Sent {
    Seq seq;  // in the sender's log; 0: a group's message that has no entry there
    uint64_t content_hash = 0;
    Lsn lsn;   // its transaction; 0 where it was read from the store
    Seq gseq;  // in a group
  };

  // Nothing where it isn't among the kSentIdsKept latest.
  std::optional<Sent> Find(std::string_view id) const;
  // Forgets the oldest where it is one too many. One that is there stays as it is.
  void Add(std::string_view id, const Sent& sent);
  size_t size() const { return latest_.size(); }

  int64_t used_ms = 0;  // when its owner last sent

 private:
  struct Fingerprint {
    uint64_t high, low;
    auto operator<=>(const Fingerprint&) const = default;
  };
  struct Entry {
    Fingerprint id;
    Sent sent;
  };
  // The first 48 bits of a fingerprint, then a place in latest_: a search stays within by_id_.
  using Key = uint64_t;

  static Fingerprint Of(std::string_view id);
  static Key KeyOf(const Fingerprint& id, size_t place) { return (id.high & ~kPlaces) | place; }
  std::vector<Key>::const_iterator Lower(Key key) const;
  const Entry* Find(const Fingerprint& id) const;

  static constexpr Key kPlaces = 0xffff;
  static_assert(kSentIdsKept <= kPlaces);

  std::vector<Entry> latest_;  // a ring once it is full
  size_t oldest_ = 0;          // … where it begins
  std::vector<Key> by_id_;     // ascending
};

}  // namespace parley

#endif  // PARLEY_CHAT_SENT_IDS_H_
