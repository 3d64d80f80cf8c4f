#include "chat/sent_ids.h"

#include <xxhash.h>

#include <algorithm>

namespace parley {

SentIds::Fingerprint SentIds::Of(std::string_view id) {
  const XXH128_hash_t hash = XXH3_128bits(id.data(), id.size());
  return {hash.high64, hash.low64};
}

std::vector<SentIds::Place>::const_iterator SentIds::Lower(const Fingerprint& id) const {
  return std::lower_bound(
      by_id_.begin(), by_id_.end(), id,
      [this](Place place, const Fingerprint& wanted) { return latest_[place].id < wanted; });
}

std::optional<SentIds::Sent> SentIds::Find(std::string_view id) const {
  const Fingerprint wanted = Of(id);
  const auto at = Lower(wanted);
  if (at == by_id_.end() || latest_[*at].id != wanted) return std::nullopt;
  return latest_[*at].sent;
}

void SentIds::Add(std::string_view id, const Sent& sent) {
  const Entry entry{Of(id), sent};
  if (const auto at = Lower(entry.id); at != by_id_.end() && latest_[*at].id == entry.id) return;
  auto place = static_cast<Place>(latest_.size());
  if (latest_.size() < kSentIdsKept) {
    latest_.push_back(entry);
  } else {
    place = static_cast<Place>(oldest_);
    by_id_.erase(Lower(latest_[oldest_].id));
    latest_[oldest_] = entry;
    oldest_ = (oldest_ + 1) % kSentIdsKept;
  }
  by_id_.insert(Lower(entry.id), place);
}

}  // namespace parley
