#include "chat/release.h"

#include <algorithm>
#include <iterator>

namespace parley {
namespace {

template <class Iterator>
size_t BytesOf(Iterator begin, Iterator end) {
  size_t bytes = 0;
  for (auto effect = begin; effect != end; ++effect) {
    bytes += effect->payload.size() + (effect->rest ? effect->rest->size() : 0) +
             effect->response_topic.size() + effect->correlation.size();
  }
  return bytes;
}

size_t BytesOf(const std::vector<Effect>& effects) {
  return BytesOf(effects.begin(), effects.end());
}

}  // namespace

void Release::Hold(Lsn after, std::vector<Effect> effects) {
  if (effects.empty()) return;
  size_t bytes = BytesOf(effects);
  std::unique_lock lock(mutex_);
  bytes_ += bytes;
  held_count_ += effects.size();
  held_.push_back({after, std::move(effects)});
  ReleaseReady(std::move(lock));
}

void Release::Pass(std::vector<Effect> effects) {
  if (effects.empty()) return;
  size_t bytes = BytesOf(effects);
  std::unique_lock lock(mutex_);
  bytes_ += bytes;
  bool was_empty = ready_.empty();
  MakeReady(&effects);
  lock.unlock();
  if (was_empty) wake_();
}

void Release::Committed(Lsn last) {
  std::unique_lock lock(mutex_);
  committed_ = std::max(committed_, last);
  ReleaseReady(std::move(lock));
}

Lsn Release::committed() const {
  std::lock_guard lock(mutex_);
  return committed_;
}

void Release::ReleaseReady(std::unique_lock<std::mutex> lock) {
  bool was_empty = ready_.empty();
  while (!held_.empty() && held_.front().after <= committed_) {
    auto& effects = held_.front().effects;
    held_count_ -= effects.size();
    MakeReady(&effects);
    held_.pop_front();
  }
  bool wake = was_empty && !ready_.empty();
  lock.unlock();
  if (wake) wake_();
}

void Release::MakeReady(std::vector<Effect>* effects) {
  ready_.insert(ready_.end(), std::make_move_iterator(effects->begin()),
                std::make_move_iterator(effects->end()));
}

std::vector<Effect> Release::TakeBack(Lsn first) {
  std::lock_guard lock(mutex_);
  std::vector<Effect> taken;
  while (!held_.empty() && held_.back().after >= first) {
    auto& effects = held_.back().effects;
    held_count_ -= effects.size();
    bytes_ -= BytesOf(effects);
    taken.insert(taken.begin(), std::make_move_iterator(effects.begin()),
                 std::make_move_iterator(effects.end()));
    held_.pop_back();
  }
  return taken;
}

bool Release::Take(size_t max, std::vector<Effect>* out) {
  std::lock_guard lock(mutex_);
  auto end = ready_.begin();
  for (size_t publishes = 0; publishes < max && end != ready_.end(); ++end) {
    publishes += end->fanout ? end->end - end->first : 1;
  }
  bytes_ -= BytesOf(ready_.begin(), end);
  out->insert(out->end(), std::make_move_iterator(ready_.begin()), std::make_move_iterator(end));
  ready_.erase(ready_.begin(), end);
  return !ready_.empty();
}

size_t Release::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

size_t Release::size() const {
  std::lock_guard lock(mutex_);
  return held_count_ + ready_.size();
}

}  // namespace parley
