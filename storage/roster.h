// Who is with whom: groups with their members, contacts and blocks; and who is to be woken by a
// push. SQLite, <data>/roster.db.
//
// It is a store behind the journal, as the message stores are: what changes it is a record in the
// same transaction as the message that tells of it, and after a crash the journal brings it up to
// date. So a group's members and its messages never disagree.
//
// Owner: the plugin. Threads: Apply and Sync by the log's writer; reads by any thread but the
// broker's, at any time: they wait for SQLite. A read sees whole transactions.
// Errors: kIoError and kCorruption name the file.
#ifndef PARLEY_STORAGE_ROSTER_H_
#define PARLEY_STORAGE_ROSTER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/env.h"
#include "storage/message_store.h"
#include "storage/record.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

// A group and all who are, or once were, its members, by user id.
struct GroupState {
  GroupSettings settings;
  std::vector<GroupMember> members;
};

// One group of a user's.
struct Membership {
  GroupId group;
  GroupRole role = GroupRole::kMember;
  GroupSettings settings;
  uint64_t members = 0;  // now
};

// A push that was given up.
struct PushDeadLetter {
  PushJobRecord job;
  std::string reason;
  int64_t ts_ms = 0;  // when
};
inline constexpr uint64_t kPushDeadLettersMax = 10'000;  // the oldest go first

class Roster : public Store {
 public:
  // Opens it, makes it where there is none.
  static Result<std::unique_ptr<Roster>> Open(const std::string& data_dir, Env* env);

  // kNotFound: there never was one. A deleted one is found, and says so.
  virtual Result<GroupState> ReadGroup(const GroupId& group) = 0;
  // Those in which the user is now, by id after `after`; `limit` at most.
  virtual Result<std::vector<Membership>> GroupsOf(const UserId& user, const GroupId& after,
                                                   size_t limit) = 0;
  // How many those are.
  virtual Result<uint64_t> CountGroups(const UserId& user) = 0;
  // By peer. Not empty ones.
  virtual Result<std::vector<ContactRecord>> Contacts(const UserId& user) = 0;
  // Each membership in a group of delivery `topic`, for the start.
  virtual Status ForEachTopicMember(
      const std::function<void(const GroupId&, const UserId&)>& visit) = 0;

  // By device and provider.
  virtual Result<std::vector<PushTargetRecord>> PushTargets(const UserId& user) = 0;
  // Each user that has some, for the start.
  virtual Status ForEachPushUser(const std::function<void(const UserId&)>& visit) = 0;
  // All that aren't done, by id.
  virtual Result<std::vector<PushJobRecord>> PushJobs() = 0;
  // Latest first.
  virtual Result<std::vector<PushDeadLetter>> PushDeadLetters(size_t limit) = 0;
};

}  // namespace parley

#endif  // PARLEY_STORAGE_ROSTER_H_
