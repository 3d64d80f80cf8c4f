#include "chat/sent_ids.h"

#include <xxhash.h>

#include <algorithm>

namespace parley {

SentIds::Fingerprint SentIds::Of(std::string_view id) {
  const XXH128_hash_t hash = XXH3_128bits(id.data(), id.size());
  return {hash.high64, hash.low64};
}

std::vector<SentIds::Key>::const_iterator SentIds::Lower(Key key) const {
  return std::lower_bound(by_id_.begin(), by_id_.end(), key);
}

const SentIds::Entry* SentIds::Find(const Fingerprint& id) const {
  const Key first = KeyOf(id, 0);
  for (auto at = Lower(first); at != by_id_.end() && (*at & ~kPlaces) == first; ++at) {
    const Entry& entry = latest_[*at & kPlaces];
    if (entry.id == id) return &entry;
  }
  return nullptr;
}

std::optional<SentIds::Sent> SentIds::Find(std::string_view id) const {
  const Entry* found = Find(Of(id));
  return found == nullptr ? std::nullopt : std::optional(found->sent);
}

void SentIds::Add(std::string_view id, const Sent& sent) {
  const Entry entry{Of(id), sent};
  if (Find(entry.id) != nullptr) return;
  size_t place = latest_.size();
  if (latest_.size() < kSentIdsKept) {
    latest_.push_back(entry);
  } else {
    place = oldest_;
    by_id_.erase(Lower(KeyOf(latest_[place].id, place)));
    latest_[place] = entry;
    oldest_ = (oldest_ + 1) % kSentIdsKept;
  }
  const Key key = KeyOf(entry.id, place);
  by_id_.insert(Lower(key), key);
}

}  // namespace parley
