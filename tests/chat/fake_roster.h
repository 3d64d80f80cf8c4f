// The roster in memory, as plain as can be: what the records say.
#ifndef PARLEY_TESTS_CHAT_FAKE_ROSTER_H_
#define PARLEY_TESTS_CHAT_FAKE_ROSTER_H_

#include <map>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "storage/roster.h"

namespace parley {

class FakeRoster : public Roster {
 public:
  bool unreadable = false;  // reads fail

  // Store.

  Status Apply(std::span<const Transaction* const> transactions, const Mine&) override {
    for (const Transaction* transaction : transactions) {
      if (transaction->lsn <= applied_) continue;
      for (const Record& record : transaction->records) {
        if (const auto* group = std::get_if<GroupRecord>(&record)) Put(*group);
        if (const auto* contact = std::get_if<ContactRecord>(&record)) Put(*contact);
        if (const auto* target = std::get_if<PushTargetRecord>(&record)) Put(*target);
        if (const auto* job = std::get_if<PushJobRecord>(&record)) push_jobs_[job->id] = *job;
        if (const auto* done = std::get_if<PushDoneRecord>(&record)) End(*done);
      }
      applied_ = transaction->lsn;
    }
    return {};
  }
  Status Sync() override { return {}; }
  Result<Lsn> Applied() const override { return applied_; }

  // Roster.

  Result<GroupState> ReadGroup(const GroupId& group) override {
    if (unreadable) return Error(Code::kIoError, "/roster: unreadable");
    auto known = groups_.find(group);
    if (known == groups_.end()) return Error(Code::kNotFound, "no group '" + group.str() + "'");
    GroupState state{known->second.settings, {}};
    for (const auto& [user, member] : known->second.members) state.members.push_back(member);
    return state;
  }
  Result<std::vector<Membership>> GroupsOf(const UserId& user, const GroupId& after,
                                           size_t limit) override {
    if (unreadable) return Error(Code::kIoError, "/roster: unreadable");
    std::vector<Membership> found;
    for (const auto& [id, group] : groups_) {
      auto member = group.members.find(user);
      bool in = member != group.members.end() && IsIn(member->second) && !group.settings.deleted;
      if (!in || id <= after || found.size() == limit) continue;
      found.push_back({id, member->second.role, group.settings, Count(group)});
    }
    return found;
  }
  Result<uint64_t> CountGroups(const UserId& user) override {
    auto groups = GroupsOf(user, GroupId(), SIZE_MAX);
    if (!groups) return Error(groups.error());
    return groups->size();
  }
  Result<std::vector<ContactRecord>> Contacts(const UserId& user) override {
    if (unreadable) return Error(Code::kIoError, "/roster: unreadable");
    std::vector<ContactRecord> found;
    for (const auto& [key, contact] : contacts_) {
      if (contact.user == user) found.push_back(contact);
    }
    return found;
  }
  Status ForEachTopicMember(
      const std::function<void(const GroupId&, const UserId&)>& visit) override {
    for (const auto& [id, group] : groups_) {
      bool topic = group.settings.delivery == GroupDelivery::kTopic && !group.settings.deleted;
      for (const auto& [user, member] : group.members) {
        if (topic && IsIn(member)) visit(id, user);
      }
    }
    return {};
  }
  Result<std::vector<PushTargetRecord>> PushTargets(const UserId& user) override {
    if (unreadable) return Error(Code::kIoError, "/roster: unreadable");
    std::vector<PushTargetRecord> found;
    for (const auto& [key, target] : push_targets_) {
      if (target.user == user) found.push_back(target);
    }
    return found;
  }
  Status ForEachPushUser(const std::function<void(const UserId&)>& visit) override {
    for (const auto& [key, target] : push_targets_) visit(target.user);
    return {};
  }
  Result<std::vector<PushJobRecord>> PushJobs() override {
    std::vector<PushJobRecord> jobs;
    for (const auto& [id, job] : push_jobs_) jobs.push_back(job);
    return jobs;
  }
  Result<std::vector<PushDeadLetter>> PushDeadLetters(size_t limit) override {
    std::vector<PushDeadLetter> letters(push_dead_.rbegin(), push_dead_.rend());
    if (letters.size() > limit) letters.resize(limit);
    return letters;
  }

 private:
  using PushKey = std::tuple<UserId, DeviceId, PushProvider>;
  struct Kept {
    GroupSettings settings;
    std::map<UserId, GroupMember> members;
  };

  static bool IsIn(const GroupMember& member) {
    return member.role == GroupRole::kMember || member.role == GroupRole::kAdmin ||
           member.role == GroupRole::kOwner;
  }
  static uint64_t Count(const Kept& group) {
    uint64_t count = 0;
    for (const auto& [user, member] : group.members) count += IsIn(member);
    return count;
  }
  void Put(const GroupRecord& record) {
    Kept& group = groups_[record.group];
    group.settings = record.settings;
    for (const GroupMember& member : record.changed) group.members[member.user] = member;
  }
  void Put(const ContactRecord& record) {
    auto key = std::pair(record.user, record.peer);
    if (record.state == ContactState::kNone && !record.blocked && !record.blocked_by) {
      contacts_.erase(key);
    } else {
      contacts_[key] = record;
    }
  }

  void Put(const PushTargetRecord& target) {
    PushKey key{target.user, target.device, target.provider};
    if (target.target.empty()) {
      push_targets_.erase(key);
    } else {
      push_targets_[key] = target;
    }
  }
  void End(const PushDoneRecord& done) {
    auto job = push_jobs_.find(done.id);
    if (job == push_jobs_.end()) return;
    if (!done.reason.empty()) push_dead_.push_back({job->second, done.reason, done.ts_ms});
    push_jobs_.erase(job);
  }

  std::map<PushKey, PushTargetRecord> push_targets_;
  std::map<uint64_t, PushJobRecord> push_jobs_;
  std::vector<PushDeadLetter> push_dead_;
  std::map<GroupId, Kept> groups_;
  std::map<std::pair<UserId, UserId>, ContactRecord> contacts_;
  Lsn applied_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_CHAT_FAKE_ROSTER_H_
