#include "chat/push_jobs.h"

#include <algorithm>

namespace parley {
namespace {

constexpr std::array<std::string_view, kPushProviders> kNames = {"webpush", "ntfy", "webhook",
                                                                 "fcm", "apns"};

template <class Map, class Key>
void Erase(Map* map, const Key& key, uint64_t id) {
  auto found = map->find(key);
  if (found == map->end()) return;
  found->second.erase(id);
  if (found->second.empty()) map->erase(found);
}

}  // namespace

std::string_view PushProviderName(PushProvider provider) {
  return kNames[static_cast<size_t>(provider)];
}

std::optional<PushProvider> PushProviderNamed(std::string_view name) {
  auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<PushProvider>(found - kNames.begin());
}

Channel PushChannel(PushProvider provider) {
  return static_cast<Channel>(static_cast<uint8_t>(Channel::kPushWebPush) +
                              static_cast<uint8_t>(provider));
}

std::string ConversationOf(const UserId& peer, const GroupId& group) {
  return group.empty() ? peer.str() : "group/" + group.str();
}

std::string PushTalkOf(const PushJobRecord& job) {
  std::string talk = job.user.str() + '\0' + job.device.str() + '\0';
  talk += static_cast<char>(job.provider);
  return talk + ConversationOf(job.from, job.group);
}

size_t PushJobs::CountOf(const UserId& user) const {
  auto found = by_user_.find(user);
  return found == by_user_.end() ? 0 : found->second.size();
}

size_t PushJobs::HandedTo(SessionId taker) const {
  auto found = by_taker_.find(taker);
  return found == by_taker_.end() ? 0 : found->second.size();
}

const PushJob* PushJobs::Find(uint64_t id) const {
  auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : &found->second;
}

const PushJob* PushJobs::Of(const PushJobRecord& like) const {
  auto found = by_talk_.find(PushTalkOf(like));
  return found == by_talk_.end() ? nullptr : Find(found->second);
}

const PushJob* PushJobs::Oldest() const { return jobs_.empty() ? nullptr : &jobs_.begin()->second; }

const PushJob* PushJobs::NextDue(PushProvider provider, int64_t now_ms) const {
  const Due& due = due_[static_cast<size_t>(provider)];
  return due.empty() || due.begin()->first > now_ms ? nullptr : Find(due.begin()->second);
}

const PushJob* PushJobs::NextLeaseEnd(int64_t now_ms) const {
  return leases_.empty() || leases_.begin()->first > now_ms ? nullptr
                                                            : Find(leases_.begin()->second);
}

std::vector<uint64_t> PushJobs::OfUser(const UserId& user) const {
  auto found = by_user_.find(user);
  if (found == by_user_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

std::vector<uint64_t> PushJobs::OutTo(SessionId taker) const {
  auto found = by_taker_.find(taker);
  if (found == by_taker_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

void PushJobs::Put(PushJob job, Lsn lsn) {
  uint64_t id = job.record.id;
  undo_.push_back({lsn, id, Copy(id)});
  job.lsn = lsn;
  Drop(id);
  Set(std::move(job));
}

void PushJobs::Remove(uint64_t id, Lsn lsn) {
  undo_.push_back({lsn, id, Copy(id)});
  Drop(id);
}

void PushJobs::Move(PushJob job) {
  Drop(job.record.id);
  Set(std::move(job));
}

void PushJobs::Committed(Lsn last) {
  while (!undo_.empty() && undo_.front().lsn <= last) undo_.pop_front();
}

void PushJobs::TakeBack(Lsn first) {
  while (!undo_.empty() && undo_.back().lsn >= first) {
    Undo undo = std::move(undo_.back());
    undo_.pop_back();
    Drop(undo.id);
    if (undo.before) Set(std::move(*undo.before));
  }
}

std::optional<PushJob> PushJobs::Copy(uint64_t id) const {
  const PushJob* job = Find(id);
  return job == nullptr ? std::nullopt : std::optional<PushJob>(*job);
}

void PushJobs::Set(PushJob job) {
  Index(job);
  uint64_t id = job.record.id;
  jobs_.insert_or_assign(id, std::move(job));
}

void PushJobs::Drop(uint64_t id) {
  auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Unindex(found->second);
  jobs_.erase(found);
}

void PushJobs::Index(const PushJob& job) {
  uint64_t id = job.record.id;
  by_talk_[PushTalkOf(job.record)] = id;
  by_user_[job.record.user].insert(id);
  if (job.taker == 0) {
    due_[static_cast<size_t>(job.record.provider)].emplace(job.due_ms, id);
  } else {
    leases_.emplace(job.due_ms, id);
    by_taker_[job.taker].insert(id);
  }
}

void PushJobs::Unindex(const PushJob& job) {
  uint64_t id = job.record.id;
  auto talk = by_talk_.find(PushTalkOf(job.record));
  if (talk != by_talk_.end() && talk->second == id) by_talk_.erase(talk);
  Erase(&by_user_, job.record.user, id);
  if (job.taker == 0) {
    due_[static_cast<size_t>(job.record.provider)].erase({job.due_ms, id});
  } else {
    leases_.erase({job.due_ms, id});
    Erase(&by_taker_, job.taker, id);
  }
}

}  // namespace parley
