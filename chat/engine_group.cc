// Groups: who is in, and a message's way to all of them.
//
// A group is loaded whole at first need: its settings and members from the roster, its end from its
// store. Delivery `inbox` gives each member an entry in its own log; delivery `topic` gives the
// group's one copy to those that are subscribed, whatever the number of members.
#include <algorithm>

#include "chat/engine.h"

namespace parley {
namespace {

constexpr size_t kFanoutChunk = 250;  // so that a tick can end within a large group's message

}  // namespace

Status NoSuchGroup() { return {Code::kDenied, "no such group, or you are not in it"}; }
Status Unwritable() {
  return {Code::kUnavailable, "the store can't be written now; try again later"};
}

// In memory.

Engine::Group& Engine::GroupOf(const GroupId& id) {
  auto& slot = groups_[id];
  if (!slot) {
    slot = std::make_unique<Group>();
    slot->id = id;
  }
  slot->used_ms = now_ms_;
  return *slot;
}

Engine::Ready Engine::Load(Group& group, OnLoaded then) {
  if (group.state == Loaded::kYes) return Ready::kNow;
  group.on_loaded.push_back(std::move(then));
  if (group.state == Loaded::kNo) StartLoad(group);
  return Ready::kLater;
}

void Engine::StartLoad(Group& group) {
  group.state = Loaded::kLoading;
  Group* it = &group;
  auto finish = [it](Engine& engine, const Status& status) {
    it->state = status.ok() ? Loaded::kYes : Loaded::kNo;
    for (auto& then : std::exchange(it->on_loaded, {})) then(status);
    (void)engine;
  };
  auto failed = [it, finish, unloads = group.unloads](Engine& engine, const Status& why) {
    if (it->unloads == unloads) finish(engine, why);  // else it is loaded anew
  };
  auto job = [it, finish, failed, id = group.id, roster = roster_](const MessageStore& store) {
    auto fail = [&](const Status& why) -> Continuation {
      return [failed, why](Engine& engine) { failed(engine, why); };
    };
    auto state = roster->ReadGroup(id);
    if (!state && state.error().code() != Code::kNotFound) return fail(state.error());
    auto last = store.ReadGroupTail(id);
    if (!last) return fail(last.error());
    auto found = std::make_shared<GroupState>();
    if (state) *found = std::move(*state);
    bool known = state.has_value();
    return Continuation([it, finish, found, known, last = *last](Engine& engine) {
      engine.TakeGroup(*it, *found, last);
      it->exists = known && !found->settings.deleted;
      finish(engine, Status());
    });
  };
  Read(group, std::move(job), failed);
}

void Engine::TakeGroup(Group& group, const GroupState& state, Seq last) {
  group.settings = state.settings;
  group.last = last;
  group.count = 0;
  group.members.clear();
  bool topic = state.settings.delivery == GroupDelivery::kTopic && !state.settings.deleted;
  for (const GroupMember& member : state.members) {
    bool in = IsIn(member.role);
    group.count += in;
    if (topic && in) topic_members_->Add(group.id, member.user);
    group.members[member.user] = {member.role, member.name, member.spans};
  }
}

// Numbers of the group's were taken back.
void Engine::Unload(Group& group) {
  bool loading = group.state == Loaded::kLoading;
  ++group.unloads;
  group.state = Loaded::kNo;
  group.members.clear();
  group.marks.clear();
  if (loading) StartLoad(group);
}

void Engine::Read(Group& group, std::function<Continuation(const MessageStore&)> job,
                  std::function<void(Engine&, const Status&)> failed) {
  ++group.pins;
  Lsn holds = std::max(group.lsn, forgotten_lsn_);
  auto come_back = [it = &group, unloads = group.unloads, failed = std::move(failed)](
                       Engine& engine, const Status& status, const Continuation& then) {
    --it->pins;
    if (it->unloads != unloads) {
      return failed(engine, {Code::kUnavailable, "the journal has failed meanwhile; try again"});
    }
    if (!status.ok()) return failed(engine, status);
    then(engine);
  };
  reads_.push_back(
      [log = log_, id = group.id.str(), holds, come_back, job = std::move(job)]() -> Continuation {
        Continuation then;
        Status status = log->WaitRoster(holds);
        if (status.ok()) status = log->WaitApplied(id, holds);
        if (status.ok()) {
          auto store = log->store(id);
          if (store) {
            then = job(**store);
          } else {
            status = store.error();
          }
        }
        return [come_back, status, then = std::move(then)](Engine& engine) {
          come_back(engine, status, then);
        };
      });
}

const Engine::Member* Engine::MemberOf(const Group& group, const UserId& user) const {
  if (group.state != Loaded::kYes || !group.exists) return nullptr;
  auto member = group.members.find(user);
  return member != group.members.end() && IsIn(member->second.role) ? &member->second : nullptr;
}

// Subscriptions to group/<id>. The broker has been told yes by a table of hashes; by name it is
// decided here.

void Engine::Subscribe(Session& session, const GroupId& id, int8_t qos) {
  Group& group = GroupOf(id);
  if (!session.groups) session.groups = std::make_unique<std::vector<GroupId>>();
  if (std::find(session.groups->begin(), session.groups->end(), id) == session.groups->end()) {
    session.groups->push_back(id);
  }
  auto subscribe = [this, session_id = session.id, it = &group, qos](const Status& status) {
    Session* now = FindSession(session_id);
    if (now == nullptr || !now->groups) return;
    auto wanted = std::find(now->groups->begin(), now->groups->end(), it->id);
    if (wanted == now->groups->end()) return;
    Asker asker{now->id, now->user->id, "\"topic\":\"group/" + it->id.str() + "\",", "", ""};
    bool may = status.ok() && MemberOf(*it, now->user->id) != nullptr &&
               it->settings.delivery == GroupDelivery::kTopic;
    if (!may) {
      now->groups->erase(wanted);
      return Refuse(asker, status.ok() ? NoSuchGroup() : status);
    }
    std::erase_if(it->subscribers, [&](const Subscriber& s) { return s.session == now->id; });
    it->subscribers.push_back({now->id, now->user, qos});
    it->fanout.reset();
  };
  if (Load(group, subscribe) == Ready::kNow) subscribe(Status());
}

void Engine::Unsubscribe(Session& session, const GroupId& id) {
  auto known = groups_.find(id);
  if (known == groups_.end()) return;
  Group& group = *known->second;
  std::erase_if(group.subscribers, [&](const Subscriber& s) { return s.session == session.id; });
  group.fanout.reset();
}

bool Engine::IsSubscribed(const Session& session, const Sending& sending) const {
  if (sending.group.empty() || !session.groups) return false;
  auto known = groups_.find(sending.group);
  if (known == groups_.end()) return false;
  const auto& subscribers = known->second->subscribers;
  return std::any_of(subscribers.begin(), subscribers.end(),
                     [&](const Subscriber& s) { return s.session == session.id; });
}

// Messages.

// As TrySend, for what goes to a group.
bool Engine::TryGroup(User& sender, Sending& sending) {
  if (roster_ == nullptr) return RefuseSending(sending, NoSuchGroup());
  if (!log_->roster_ok()) return RefuseSending(sending, Unwritable());
  Group& group = GroupOf(sending.group);
  auto then = [this, it = &sender](const Status& status) { Unpark(*it, status); };
  Parts parts = kTail | kSent | kContacts;
  using Kind = GroupChange::Kind;
  bool joins = sending.change &&
               (sending.change->kind == Kind::kCreate || sending.change->kind == Kind::kJoin);
  if (joins) parts |= kGroups;
  if (Load(sender, parts, then) == Ready::kLater || Load(group, then) == Ready::kLater) {
    sender.parked_waits = true;
    return false;
  }
  if (sending.change) return TryChange(sender, sending, group);
  if (SentBefore(sender, sending)) return true;
  if (MemberOf(group, sender.id) == nullptr) return RefuseSending(sending, NoSuchGroup());
  std::vector<User*> inboxes;
  if (group.settings.delivery == GroupDelivery::kInbox) {
    inboxes = MembersOf(group);
    if (!StoresOk(inboxes)) return RefuseSending(sending, Unwritable());
    if (!Await(sender, inboxes, kTail)) return false;
  }
  std::vector<User*> woken;
  if (group.settings.delivery == GroupDelivery::kTopic &&
      sending.request.type == MessageType::kMessage) {
    woken = WokenMembers(group, sender);
    if (!Await(sender, woken, 0)) return false;
  }
  if (sending.request.type != MessageType::kMessage && !sending.ref_checked) {
    AwaitGroupRef(sender, sending, group);
    return false;
  }
  int64_t retry_after_ms = 0;
  Status status = TakeQuota(sender, sending.ts_ms, &retry_after_ms);
  if (!status.ok()) return RefuseSending(sending, status, retry_after_ms);
  NumberInGroup(sender, group, sending, inboxes, woken);
  return true;
}

std::vector<Engine::User*> Engine::MembersOf(const Group& group) {
  std::vector<User*> users;
  users.reserve(group.count);
  for (const auto& [user, member] : group.members) {
    if (IsIn(member.role)) users.push_back(&UserOf(user));
  }
  return users;
}

bool Engine::StoresOk(const std::vector<User*>& users) const {
  return std::all_of(users.begin(), users.end(),
                     [this](const User* user) { return log_->store_ok(user->id.str()); });
}

// False where `always` of some users, or their opt-ins, have to be read first, all at once.
bool Engine::Await(User& sender, const std::vector<User*>& users, Parts always) {
  std::shared_ptr<std::pair<size_t, Status>> pending;
  for (User* user : users) {
    const Parts parts = always | PushPart(*user);
    if (Loads(*user, parts)) continue;
    if (!pending) pending = std::make_shared<std::pair<size_t, Status>>(0, Status());
    ++pending->first;
    (void)Load(*user, parts, [this, it = &sender, pending](const Status& status) {
      if (!status.ok()) pending->second = status;
      if (--pending->first == 0) Unpark(*it, pending->second);
    });
  }
  if (pending) sender.parked_waits = true;
  return pending == nullptr;
}

void Engine::NumberInGroup(User& sender, Group& group, Sending& sending,
                           const std::vector<User*>& inboxes, const std::vector<User*>& woken) {
  MessageRecord message;
  message.from = sender.id;
  message.ts_ms = sending.ts_ms;
  message.type = sending.request.type;
  message.id = sending.request.id;
  message.body = std::move(sending.request.body);
  message.ref = std::move(sending.request.ref);
  message.content_hash = sending.content_hash;
  size_t before = effects_.size();
  Transaction& change = Change();
  Lsn lsn = change.lsn;
  bool to_subscribers = group.settings.delivery == GroupDelivery::kTopic;
  sender.lsn = lsn;
  Seq seq = Post(group, change, std::move(message), inboxes, to_subscribers, woken);
  SentIds::Sent sent{seq, sending.content_hash, lsn, group.last};
  sender.sent->Add(sending.request.id, sent);
  TellOutcome(sender, sending, sent, before);
}

Seq Engine::Post(Group& group, Transaction& change, MessageRecord message,
                 const std::vector<User*>& inboxes, bool to_subscribers,
                 const std::vector<User*>& woken) {
  Lsn lsn = change.lsn;
  GroupMessageRecord record;
  record.group = group.id;
  record.gseq = group.last = group.last.Next();
  group.lsn = lsn;
  group.used_ms = now_ms_;
  record.entries.reserve(inboxes.size());
  for (User* user : inboxes) {
    record.entries.push_back({user->id, user->last.Next()});
    if (user->id == message.from) message.from_seq = user->last.Next();
    user->lsn = lsn;
    WakeMember(*user, message, group.id, user->last.Next(), record.gseq, &change);
  }
  for (const User* user : woken) {
    WakeMember(*user, message, group.id, Seq(), record.gseq, &change);
  }
  auto cached = std::make_shared<CachedMessage>(
      CachedMessage{message.from, UserId(), group.id, record.gseq, message.type,
                    GroupMessageRest(message, group.id, record.gseq), lsn});
  Seq own = message.from_seq;
  record.message = std::move(message);
  change.records.emplace_back(std::move(record));
  for (User* user : inboxes) AppendEntry(*user, {user->last.Next(), Seq(), cached});
  if (to_subscribers) EmitFanout(group, cached);
  return own;
}

void Engine::EmitFanout(Group& group, const std::shared_ptr<const CachedMessage>& message) {
  if (group.subscribers.empty()) return;
  if (!group.fanout) {
    auto fanout = std::make_shared<Fanout>();
    fanout->topic = "group/" + group.id.str();
    fanout->to.reserve(group.subscribers.size());
    for (const Subscriber& one : group.subscribers) fanout->to.push_back({one.session, one.qos});
    group.fanout = std::move(fanout);
  }
  size_t count = group.fanout->to.size();
  for (size_t first = 0; first < count; first += kFanoutChunk) {
    Effect& effect = Emit(0, Channel::kGroup);
    effect.rest = {message, &message->rest};
    effect.fanout = group.fanout;
    effect.first = static_cast<uint32_t>(first);
    effect.end = static_cast<uint32_t>(std::min(count, first + kFanoutChunk));
    effect.needs = message->lsn;
  }
}

// The same id again, to a group whose messages have no entry in the sender's log: a copy to this
// device alone where it is subscribed, else an answer.
void Engine::GroupOutcomeAgain(User& sender, const Sending& sending, const SentIds::Sent& sent) {
  const Session* session = FindSession(sending.asker.session);
  if (session->user != &sender || !IsSubscribed(*session, sending)) {
    return EmitOutcome(sender, sending, sent);
  }
  Asker asker = sending.asker;
  asker.head = SendHead(sending);
  if (!Count(&asker, &UnderWay::asks, options_.asks_max)) {
    return AnswerNumber(asker, "gseq", sent.gseq, sent.lsn);
  }
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, id = sending.group, gseq = sent.gseq,
              failed](const MessageStore& store) -> Continuation {
    auto page = store.ReadGroup(id, {.after = Seq(gseq.value() - 1), .limit = 1});
    if (!page) return [failed, why = page.error()](Engine& engine) { failed(engine, why); };
    bool found = !page->entries.empty() && page->entries[0].gseq == gseq;
    std::string payload;
    if (found) AppendGroupMessage(MessageRest(page->entries[0]), &payload);
    return [asker, id, gseq, rest = payload](Engine& engine) {
      if (rest.empty()) return engine.AnswerNumber(asker, "gseq", gseq);
      engine.EmitAgain(asker.session, id, rest);
    };
  };
  Read(GroupOf(sending.group), std::move(job), failed);
}

// One group message to one subscriber.
void Engine::EmitAgain(SessionId session, const GroupId& id, const std::string& message) {
  const Group& group = GroupOf(id);
  auto subscriber = std::find_if(group.subscribers.begin(), group.subscribers.end(),
                                 [&](const Subscriber& one) { return one.session == session; });
  if (subscriber == group.subscribers.end()) return;
  auto fanout = std::make_shared<Fanout>();
  fanout->topic = "group/" + id.str();
  fanout->to.push_back({session, subscriber->qos});
  Effect& effect = Emit(0, Channel::kGroup);
  effect.rest = std::make_shared<const std::string>("," + message.substr(1));
  effect.fanout = std::move(fanout);
  effect.end = 1;
}

// As AwaitRef: the message must be one of this group's, and one that the sender may see. Its author
// edits and retracts it; those who manage the group may retract it, too.
void Engine::AwaitGroupRef(User& sender, const Sending& sending, Group& group) {
  sender.parked_waits = true;
  auto done = [it = &sender](Engine& engine, const Status& status) {
    it->parked.front().ref_checked = true;
    engine.Unpark(*it, status);
  };
  const MessageRef& ref = *sending.request.ref;
  const Member& member = *MemberOf(group, sender.id);
  MessageType type = sending.request.type;
  bool manages = member.role == GroupRole::kOwner || member.role == GroupRole::kAdmin;
  bool may = type == MessageType::kReaction || ref.from == sender.id ||
             (type == MessageType::kRetract && manages);
  auto job = [log = log_, done, ref, may, it = &sender, id = group.id, holds = group.lsn,
              spans = member.spans,
              all = group.settings.history_all](const MessageStore& store) -> Continuation {
    auto tell = [&](const Status& why) -> Continuation {
      return [done, why](Engine& engine) { done(engine, why); };
    };
    Status none(Code::kNotFound,
                "no message '" + ref.id + "' of " + ref.from.str() + " in this group");
    auto place = store.FindSent(ref.from, ref.id);
    if (!place) return tell(place.error());
    Seq gseq = place->gseq;
    if (place->group != id || !(all || IsVisible(spans, gseq))) return tell(none);
    Status status = log->WaitApplied(id.str(), holds);
    auto messages = status.ok() ? log->store(id.str())
                                : Result<std::shared_ptr<const MessageStore>>(Error(status));
    if (!messages) return tell(messages.error());
    auto page = (*messages)->ReadGroup(id, {.after = Seq(gseq.value() - 1), .limit = 1});
    if (!page) return tell(page.error());
    bool found = !page->entries.empty() && page->entries[0].gseq == gseq &&
                 page->entries[0].message.type == MessageType::kMessage;
    if (!found) return tell(none);
    if (!may) return tell({Code::kDenied, "only its author may edit or retract a message"});
    return [done, it, gseq](Engine& engine) {
      MessageRef& named = *it->parked.front().request.ref;
      named.from_seq = named.to_seq = gseq;
      done(engine, Status());
    };
  };
  if (!accounts_->Exists(ref.from)) {
    reads_.push_back([done]() -> Continuation {
      return [done](Engine& engine) {
        done(engine, {Code::kNotFound, "no such message in this group"});
      };
    });
    return;
  }
  Read(UserOf(ref.from), std::move(job), done);
}

}  // namespace parley
