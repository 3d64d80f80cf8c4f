// What changes a group: who is in, who manages, its settings.
//
// A change is checked against the group as it is, numbered as a system message of the group's, and
// its GroupRecord goes into the same transaction, so that the roster and the group's messages can't
// disagree. It waits in its actor's queue like a message: what somebody does stays in order.
#include <algorithm>

#include "chat/engine.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr size_t kListedMax = 256;  // users named by one system message
constexpr size_t kSpansMax = 32;    // times that somebody comes and goes; the oldest are forgotten

Status Denied(std::string why) { return {Code::kDenied, std::move(why)}; }

bool Manages(GroupRole role) { return role == GroupRole::kOwner || role == GroupRole::kAdmin; }

}  // namespace

bool IsIn(GroupRole role) {
  return role == GroupRole::kMember || role == GroupRole::kAdmin || role == GroupRole::kOwner;
}

bool IsVisible(const std::vector<GroupSpan>& spans, Seq gseq) {
  return std::any_of(spans.begin(), spans.end(), [&](const GroupSpan& span) {
    return gseq >= span.first && (span.last == Seq() || gseq <= span.last);
  });
}

std::string_view RoleName(GroupRole role) {
  switch (role) {
    case GroupRole::kOwner:
      return "owner";
    case GroupRole::kAdmin:
      return "admin";
    case GroupRole::kMember:
      return "member";
    default:
      return "none";
  }
}

bool Engine::TryChange(User& actor, Sending& sending, Group& group) {
  GroupChange& change = *sending.change;
  Status status = CheckChange(group, actor, &change);
  if (!status.ok()) return RefuseSending(sending, status);
  // Who gets the system message in its log: all that are in, before or after.
  bool inbox = group.exists && group.settings.delivery == GroupDelivery::kInbox;
  bool becomes_inbox =
      change.delivery.value_or(group.exists ? group.settings.delivery : GroupDelivery::kInbox) ==
      GroupDelivery::kInbox;
  std::vector<User*> inboxes;
  if (inbox || becomes_inbox) {
    if (group.exists) inboxes = MembersOf(group);
    using Kind = GroupChange::Kind;
    if (change.kind == Kind::kCreate || change.kind == Kind::kAdd || change.kind == Kind::kJoin) {
      for (const UserId& user : change.users) inboxes.push_back(&UserOf(user));
    }
  }
  if (!StoresOk(inboxes)) return RefuseSending(sending, Unwritable());
  if (!Await(actor, inboxes, kTail)) return false;
  if (IsNothing(group, actor, change)) {
    Answer(sending.asker, GroupJson(group, actor.id), group.lsn);
    return true;
  }
  int64_t retry_after_ms = 0;
  status = TakeQuota(actor, now_ms_, &retry_after_ms);
  if (!status.ok()) return RefuseSending(sending, status, retry_after_ms);

  Transaction& transaction = Change();
  Lsn lsn = transaction.lsn;
  actor.lsn = lsn;
  MessageRecord message;
  message.from = actor.id;
  message.ts_ms = sending.ts_ms;
  message.type = MessageType::kSystem;
  message.id = sending.request.id;
  message.body = ChangeBody(actor, change);
  bool was_topic = group.exists && group.settings.delivery == GroupDelivery::kTopic;
  Apply(group, actor, change, &transaction);
  bool is_topic = group.settings.delivery == GroupDelivery::kTopic;
  Post(group, transaction, std::move(message), inboxes, was_topic || is_topic);
  if (was_topic) DropSubscribers(group);
  if (group.exists && MemberOf(group, actor.id) != nullptr) {
    Answer(sending.asker, GroupJson(group, actor.id), lsn);
  } else {
    Answer(sending.asker, ",\"group\":\"" + group.id.str() + "\"", lsn);
  }
  return true;
}

// May the actor do this, and can it be done? Completes `change` (who joins or leaves).
Status Engine::CheckChange(const Group& group, const User& actor, GroupChange* change) const {
  using Kind = GroupChange::Kind;
  if (change->kind == Kind::kCreate) {
    if (group.exists) return {Code::kConflict, "group '" + group.id.str() + "' exists already"};
    // Its numbers go on in its members' logs, and its messages are theirs.
    if (group.settings.deleted) {
      return {Code::kConflict, "this id was that of a group that was deleted; choose another"};
    }
    if (Status room = CheckGroupRoom(actor); !room.ok()) return room;
    change->users.push_back(actor.id);
    std::sort(change->users.begin(), change->users.end());
    change->users.erase(std::unique(change->users.begin(), change->users.end()),
                        change->users.end());
    return CheckNewMembers(group, actor, *change);
  }
  if (change->kind == Kind::kJoin) {
    auto known = group.members.find(actor.id);
    bool was_in = known != group.members.end();
    bool in = group.exists && was_in && IsIn(known->second.role);
    bool removed = was_in && known->second.role == GroupRole::kRemoved;
    if (!in && (!group.exists || !group.settings.open || removed)) return NoSuchGroup();
    if (in) return {};
    if (Status room = CheckGroupRoom(actor); !room.ok()) return room;
    change->users = {actor.id};
    return CheckNewMembers(group, actor, *change);
  }
  const Member* own = MemberOf(group, actor.id);
  if (own == nullptr) return NoSuchGroup();
  switch (change->kind) {
    case Kind::kAdd:
      if (!Manages(own->role)) return Denied("only owners and admins may add members");
      std::sort(change->users.begin(), change->users.end());
      change->users.erase(std::unique(change->users.begin(), change->users.end()),
                          change->users.end());
      std::erase_if(change->users,
                    [&](const UserId& user) { return MemberOf(group, user) != nullptr; });
      return CheckNewMembers(group, actor, *change);
    case Kind::kRemove:
      return CheckRemove(group, *own, actor, *change);
    case Kind::kLeave:
      return CheckLeave(group, *own, actor, *change);
    case Kind::kSetRole:
      return CheckSetRole(group, *own, *change);
    case Kind::kSet:
      return CheckSet(group, *own, *change);
    case Kind::kDelete:
      return own->role == GroupRole::kOwner ? Status() : Denied("only an owner may delete a group");
    default:
      return {};
  }
}

Status Engine::CheckNewMembers(const Group& group, const User& actor,
                               const GroupChange& change) const {
  GroupDelivery delivery =
      change.delivery.value_or(group.exists ? group.settings.delivery : GroupDelivery::kInbox);
  size_t count = (group.exists ? group.count : 0) + change.users.size();
  if (Status status = CheckSize(delivery, count); !status.ok()) return status;
  for (const UserId& user : change.users) {
    if (!accounts_->Exists(user)) return {Code::kNotFound, "no account '" + user.str() + "'"};
    if (Status may = MayReach(actor, user); !may.ok()) return may;
  }
  return {};
}

Status Engine::CheckSize(GroupDelivery delivery, size_t members) const {
  bool topic = delivery == GroupDelivery::kTopic;
  size_t max = topic ? options_.topic_members_max : options_.inbox_members_max;
  if (members <= max) return {};
  std::string why = "a group of delivery '" + std::string(topic ? "topic" : "inbox") + "' takes " +
                    std::to_string(max) + " members";
  if (!topic) why += "; an owner may set its delivery to 'topic'";
  return {Code::kTooLarge, why};
}

// Who makes or joins groups can have so many. What others add it to counts, and isn't refused to
// them: a block is the answer to that.
Status Engine::CheckGroupRoom(const User& user) const {
  if (user.groups < options_.groups_max) return {};
  return {Code::kTooLarge, "you are in " + std::to_string(user.groups) +
                               " groups, and there is room for " +
                               std::to_string(options_.groups_max) + "; leave one first"};
}

Status Engine::CheckRemove(const Group& group, const Member& own, const User& actor,
                           const GroupChange& change) const {
  const UserId& user = change.users.at(0);
  if (!Manages(own.role)) return Denied("only owners and admins may remove members");
  if (user == actor.id) return {Code::kBadRequest, "to go yourself, ask groups.leave"};
  const Member* member = MemberOf(group, user);
  if (member == nullptr) return {Code::kNotFound, "'" + user.str() + "' is not in this group"};
  if (Manages(member->role) && own.role != GroupRole::kOwner) {
    return Denied("only an owner may remove owners and admins");
  }
  return {};
}

Status Engine::CheckLeave(const Group& group, const Member& own, const User& actor,
                          const GroupChange& change) const {
  if (!change.users.empty() && change.users[0] == actor.id) {
    return {Code::kBadRequest, "'user' is who becomes owner in your place"};
  }
  if (!change.users.empty() && MemberOf(group, change.users[0]) == nullptr) {
    return {Code::kNotFound, "'" + change.users[0].str() + "' is not in this group"};
  }
  if (own.role != GroupRole::kOwner || group.count == 1) return {};
  if (!change.users.empty() || Owners(group) > 1) return {};
  return Denied("the last owner can't leave without naming another: 'user' of groups.leave");
}

Status Engine::CheckSetRole(const Group& group, const Member& own,
                            const GroupChange& change) const {
  if (own.role != GroupRole::kOwner) return Denied("only an owner may set roles");
  const Member* member = MemberOf(group, change.users.at(0));
  if (member == nullptr) {
    return {Code::kNotFound, "'" + change.users[0].str() + "' is not in this group"};
  }
  bool ends = member->role == GroupRole::kOwner && change.role != GroupRole::kOwner;
  if (ends && Owners(group) == 1) {
    return Denied("a group needs an owner: make somebody else one first");
  }
  return {};
}

Status Engine::CheckSet(const Group& group, const Member& own, const GroupChange& change) const {
  bool settings = change.title || change.delivery || change.open || change.history_all;
  if (settings && !Manages(own.role)) return Denied("only owners and admins may change a group");
  if ((change.delivery || change.history_all || change.open) && own.role != GroupRole::kOwner) {
    return Denied("only an owner may set delivery, open and history");
  }
  return change.delivery ? CheckSize(*change.delivery, group.count) : Status();
}

size_t Engine::Owners(const Group& group) {
  return static_cast<size_t>(
      std::count_if(group.members.begin(), group.members.end(),
                    [](const auto& m) { return m.second.role == GroupRole::kOwner; }));
}

// It is so already: no message tells of it.
bool Engine::IsNothing(const Group& group, const User& actor, const GroupChange& change) const {
  using Kind = GroupChange::Kind;
  if (change.kind == Kind::kAdd || change.kind == Kind::kJoin) return change.users.empty();
  if (change.kind == Kind::kSetRole) {
    return MemberOf(group, change.users[0])->role == change.role;
  }
  if (change.kind != Kind::kSet) return false;
  const GroupSettings& now = group.settings;
  return change.title.value_or(now.title) == now.title &&
         change.delivery.value_or(now.delivery) == now.delivery &&
         change.open.value_or(now.open) == now.open &&
         change.history_all.value_or(now.history_all) == now.history_all &&
         (!change.name || *change.name == MemberOf(group, actor.id)->name);
}

// What the system message says.
std::string Engine::ChangeBody(const User& actor, const GroupChange& change) {
  using Kind = GroupChange::Kind;
  json body = json::object();
  auto list = [&] {
    if (change.users.size() > kListedMax) {
      body["count"] = change.users.size();
      return;
    }
    for (const UserId& user : change.users) body["users"].push_back(user.str());
  };
  auto settings = [&] {
    if (change.title) body["title"] = *change.title;
    if (change.delivery) {
      body["delivery"] = *change.delivery == GroupDelivery::kTopic ? "topic" : "inbox";
    }
    if (change.open) body["open"] = *change.open;
    if (change.history_all) body["history"] = *change.history_all ? "all" : "joined";
  };
  switch (change.kind) {
    case Kind::kCreate:
      body["event"] = "created";
      list();
      settings();
      break;
    case Kind::kAdd:
      body["event"] = "added";
      list();
      break;
    case Kind::kRemove:
      body["event"] = "removed";
      body["user"] = change.users[0].str();
      break;
    case Kind::kJoin:
      body["event"] = "joined";
      body["user"] = actor.id.str();
      break;
    case Kind::kLeave:
      body["event"] = "left";
      body["user"] = actor.id.str();
      if (!change.users.empty()) body["owner"] = change.users[0].str();
      break;
    case Kind::kSetRole:
      body["event"] = "role";
      body["user"] = change.users[0].str();
      body["role"] = std::string(RoleName(change.role));
      break;
    case Kind::kSet:
      body["event"] = "set";
      settings();
      if (change.name) {
        if (body.size() == 1) body["event"] = "renamed";
        body["user"] = actor.id.str();
        body["name"] = *change.name;
      }
      break;
    case Kind::kDelete:
      body["event"] = "deleted";
      break;
  }
  return body.dump();
}

// The group as it is from its next number on.
void Engine::Apply(Group& group, const User& actor, const GroupChange& change,
                   Transaction* transaction) {
  using Kind = GroupChange::Kind;
  Seq at = group.last.Next();
  GroupDelivery was = group.settings.delivery;
  bool existed = group.exists;  // before
  std::vector<UserId> changed = change.users;
  if (change.kind == Kind::kCreate) {
    group.settings.created_ms = now_ms_;
    group.exists = true;
  }
  if (change.title) group.settings.title = *change.title;
  if (change.delivery) group.settings.delivery = *change.delivery;
  if (change.open) group.settings.open = *change.open;
  if (change.history_all) group.settings.history_all = *change.history_all;
  switch (change.kind) {
    case Kind::kCreate:
    case Kind::kAdd:
    case Kind::kJoin:
      for (const UserId& user : change.users) SetMember(group, user, GroupRole::kMember, at);
      if (change.kind == Kind::kCreate) SetMember(group, actor.id, GroupRole::kOwner, at);
      break;
    case Kind::kRemove:
      SetMember(group, change.users[0], GroupRole::kRemoved, at);
      break;
    case Kind::kLeave:
      if (!change.users.empty()) SetMember(group, change.users[0], GroupRole::kOwner, at);
      SetMember(group, actor.id, GroupRole::kNone, at);
      changed.push_back(actor.id);
      break;
    case Kind::kSetRole:
      SetMember(group, change.users[0], change.role, at);
      break;
    case Kind::kSet:
      if (change.name) {
        group.members[actor.id].name = *change.name;
        changed.push_back(actor.id);
      }
      break;
    case Kind::kDelete:
      break;
  }
  if (change.kind == Kind::kDelete || group.count == 0) {
    for (auto& [user, member] : group.members) {
      if (!IsIn(member.role)) continue;
      SetMember(group, user, GroupRole::kNone, at);
      changed.push_back(user);
    }
    group.settings.deleted = true;
    group.exists = false;
  }
  GroupRecord record{group.id, at, group.settings, {}};
  for (const UserId& user : changed) {
    const Member& member = group.members[user];
    record.changed.push_back({user, member.role, member.name, member.spans});
  }
  transaction->records.emplace_back(std::move(record));
  TellTopicMembers(group, changed, existed && was != group.settings.delivery);
}

void Engine::SetMember(Group& group, const UserId& user, GroupRole role, Seq at) {
  Member& member = group.members[user];
  bool was_in = IsIn(member.role) && !member.spans.empty() && member.spans.back().last == Seq();
  bool in = IsIn(role);
  member.role = role;
  if (in != was_in) CountGroup(user, in);
  if (in && !was_in) {
    member.spans.push_back({at, Seq()});
    if (member.spans.size() > kSpansMax) member.spans.erase(member.spans.begin());
    ++group.count;
  } else if (!in && was_in) {
    member.spans.back().last = at;
    --group.count;
  }
}

void Engine::CountGroup(const UserId& user, bool joins) {
  auto known = users_.find(user);
  if (known == users_.end()) return;
  known->second->groups_changed = true;
  known->second->groups += joins ? 1U : -1U;
}

// Who may subscribe from now on.
void Engine::TellTopicMembers(const Group& group, const std::vector<UserId>& changed,
                              bool switched) {
  bool topic = group.exists && group.settings.delivery == GroupDelivery::kTopic;
  auto tell = [&](const UserId& user) {
    if (topic && MemberOf(group, user) != nullptr) {
      topic_members_->Add(group.id, user);
    } else {
      topic_members_->Remove(group.id, user);
    }
  };
  if (!switched) return std::for_each(changed.begin(), changed.end(), tell), void();
  for (const auto& [user, member] : group.members) tell(user);
}

// Those who may not be subscribed any more aren't.
void Engine::DropSubscribers(Group& group) {
  bool topic = group.exists && group.settings.delivery == GroupDelivery::kTopic;
  size_t dropped = std::erase_if(group.subscribers, [&](const Subscriber& one) {
    if (topic && MemberOf(group, one.user->id) != nullptr) return false;
    Session* session = FindSession(one.session);
    if (session != nullptr && session->groups) std::erase(*session->groups, group.id);
    return true;
  });
  if (dropped > 0) group.fanout.reset();
}

}  // namespace parley
