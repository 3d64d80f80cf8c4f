// What is asked about groups, and receipts in them.
#include <algorithm>
#include <map>

#include "chat/engine.h"
#include "chat/pages.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr size_t kTitleBytesMax = 256;
constexpr size_t kMemberNameBytesMax = 128;
constexpr size_t kGroupPageMax = 1000;  // members, groups in one answer
constexpr size_t kMembersBytesMax = 200'000;
constexpr size_t kReceiptRangeMax = 1000;  // messages whose senders one receipt tells

Result<UserId> UserIn(const json& value, const char* name) {
  if (!value.is_string() || !ValidId(value.get_ref<const std::string&>())) {
    return Error(Code::kBadRequest, "'" + std::string(name) + "' must be a user id");
  }
  return UserId(value.get<std::string>());
}

Status ReadUsers(const json& request, const char* name, std::vector<UserId>* users) {
  auto member = request.find(name);
  if (member == request.end()) return {};
  if (!member->is_array()) {
    return {Code::kBadRequest, "'" + std::string(name) + "' must be an array of user ids"};
  }
  for (const json& one : *member) {
    auto user = UserIn(one, name);
    if (!user) return user.error();
    users->push_back(*user);
  }
  return {};
}

Status ReadUser(const json& request, bool required, std::vector<UserId>* users) {
  auto member = request.find("user");
  if (member == request.end()) {
    return required ? Status(Code::kBadRequest, "'user' is missing") : Status();
  }
  auto user = UserIn(*member, "user");
  if (!user) return user.error();
  users->push_back(*user);
  return {};
}

// One of two words.
Status ReadChoice(const json& request, const char* name, const char* no, const char* yes,
                  std::optional<bool>* out) {
  std::string text;
  if (!request.contains(name)) return {};
  if (Status status = ReadString(request, name, &text); !status.ok()) return status;
  if (text != no && text != yes) {
    return {Code::kBadRequest, "'" + std::string(name) + "' is '" + no + "' or '" + yes + "'"};
  }
  *out = text == yes;
  return {};
}

Status ReadText(const json& request, const char* name, size_t bytes_max,
                std::optional<std::string>* out) {
  if (!request.contains(name)) return {};
  std::string text;
  if (Status status = ReadString(request, name, &text); !status.ok()) return status;
  if (text.size() > bytes_max) {
    return {Code::kTooLarge,
            "'" + std::string(name) + "' takes " + std::to_string(bytes_max) + " bytes"};
  }
  *out = std::move(text);
  return {};
}

Result<GroupId> ReadGroupId(const json& request) {
  auto member = request.find("group");
  if (member == request.end() || !member->is_string() ||
      !ValidId(member->get_ref<const std::string&>())) {
    return Error(Code::kBadRequest, "'group' must be a group id");
  }
  return GroupId(member->get<std::string>());
}

// A page of what somebody may see of a group: of the stretches in which it was in.
Result<LogPage> ReadVisible(const MessageStore& store, const GroupId& group,
                            const std::vector<GroupSpan>& spans, Seq head, const Page& page) {
  LogPage out;
  for (size_t i = 0; i < spans.size(); ++i) {
    const GroupSpan& span = spans[page.descending ? spans.size() - 1 - i : i];
    Seq last = span.last == Seq() ? head : span.last;
    Page part = page;
    part.after = std::max(page.after, Seq(span.first.value() - 1));
    part.before = std::min(page.before, last.Next());
    if (part.after.Next() >= part.before) continue;
    if (out.entries.size() >= page.limit) {
      out.more = true;
      break;
    }
    part.limit = page.limit - out.entries.size();
    auto read = store.ReadGroup(group, part);
    if (!read) return read;
    std::move(read->entries.begin(), read->entries.end(), std::back_inserter(out.entries));
    if (read->more) {
      out.more = true;
      break;
    }
  }
  return out;
}

// … with the numbers that it has in the log of `user`.
Result<LogPage> ReadNumbered(Log* log, const UserId& user, Lsn holds, const MessageStore& store,
                             const GroupId& group, const std::vector<GroupSpan>& spans, Seq head,
                             const Page& page) {
  auto read = ReadVisible(store, group, spans, head, page);
  if (!read) return read;
  Status status = NumberEntries(log, user, holds, read->entries);
  if (!status.ok()) return Error(std::move(status));
  return read;
}

std::vector<GroupSpan> SpansOf(const GroupSettings& settings, const std::vector<GroupSpan>& spans) {
  return settings.history_all ? std::vector<GroupSpan>{{Seq(1), Seq()}} : spans;
}

std::string DeliveryName(GroupDelivery delivery) {
  return delivery == GroupDelivery::kTopic ? "topic" : "inbox";
}

std::string SettingsJson(const GroupId& id, const GroupSettings& settings) {
  std::string text = "\"group\":\"" + id.str() + "\",\"title\":";
  AppendJsonString(settings.title, &text);
  text += ",\"delivery\":\"" + DeliveryName(settings.delivery) + "\",\"open\":";
  text += settings.open ? "true" : "false";
  text += settings.history_all ? ",\"history\":\"all\"" : ",\"history\":\"joined\"";
  AppendMember("created", static_cast<uint64_t>(settings.created_ms), &text);
  return text;
}

}  // namespace

// Changes.

void Engine::AskGroupChange(const Asker& asker, GroupChange::Kind kind, const json& request) {
  using Kind = GroupChange::Kind;
  auto id = ReadGroupId(request);
  if (!id) return Refuse(asker, id.error());
  auto change = std::make_unique<GroupChange>();
  change->kind = kind;
  Status status;
  if (kind == Kind::kAdd && request.contains("users")) {
    status = ReadUsers(request, "users", &change->users);
    if (status.ok() && request.contains("user")) status = ReadUser(request, true, &change->users);
  } else if (kind == Kind::kCreate) {
    status = ReadUsers(request, "members", &change->users);
  } else if (kind == Kind::kAdd || kind == Kind::kRemove || kind == Kind::kSetRole) {
    status = ReadUser(request, true, &change->users);
  } else if (kind == Kind::kLeave) {
    status = ReadUser(request, false, &change->users);
  }
  std::optional<bool> topic;
  if (status.ok()) status = ReadChoice(request, "delivery", "inbox", "topic", &topic);
  if (status.ok()) status = ReadChoice(request, "history", "joined", "all", &change->history_all);
  if (status.ok()) status = ReadText(request, "title", kTitleBytesMax, &change->title);
  if (status.ok()) status = ReadText(request, "name", kMemberNameBytesMax, &change->name);
  if (topic) change->delivery = *topic ? GroupDelivery::kTopic : GroupDelivery::kInbox;
  if (auto open = request.find("open"); status.ok() && open != request.end()) {
    if (!open->is_boolean()) status = {Code::kBadRequest, "'open' is true or false"};
    if (status.ok()) change->open = open->get<bool>();
  }
  if (status.ok() && kind == Kind::kSetRole) {
    std::string role;
    status = ReadString(request, "role", &role);
    if (role == "owner") change->role = GroupRole::kOwner;
    if (role == "admin") change->role = GroupRole::kAdmin;
    if (status.ok() && role != "owner" && role != "admin" && role != "member") {
      status = {Code::kBadRequest, "'role' is 'owner', 'admin' or 'member'"};
    }
  }
  if (status.ok() && kind == Kind::kSet && request.size() == request.count("rid") + 1) {
    status = {Code::kBadRequest, "there is nothing to set"};
  }
  if (!status.ok()) return Refuse(asker, status);
  User& actor = UserOf(asker.user);
  int64_t retry_after_ms = actor.bucket.Take(
      now_ms_, options_.user_rate, std::max(1.0, options_.user_rate * options_.user_burst_s));
  if (retry_after_ms > 0) {
    return Refuse(asker, {Code::kQuota, "more changes a second than a user may make"},
                  retry_after_ms);
  }
  Sending sending;
  sending.asker = asker;
  sending.ts_ms = now_ms_;
  sending.group = *id;
  sending.change = std::move(change);
  sending.request.id = MakeId();
  sending.admitted = true;
  Send(std::move(sending));
}

// Reading.

void Engine::WithGroup(const Asker& asker, const GroupId& id, std::function<void(Group&)> then) {
  if (roster_ == nullptr) return Refuse(asker, NoSuchGroup());
  Group& group = GroupOf(id);
  auto loaded = [this, asker, it = &group, then = std::move(then)](const Status& status) {
    if (!status.ok()) return Refuse(asker, status);
    if (MemberOf(*it, asker.user) == nullptr) return Refuse(asker, NoSuchGroup());
    then(*it);
  };
  if (Load(group, loaded) == Ready::kNow) loaded(Status());
}

// Its settings, and what it has of members, by user id after `after`.
std::string Engine::MembersJson(const Group& group, const UserId& after, size_t limit) const {
  std::vector<const UserId*> in;
  for (const auto& [user, member] : group.members) {
    if (IsIn(member.role) && user > after) in.push_back(&user);
  }
  auto by_id = [](const UserId* a, const UserId* b) { return *a < *b; };
  size_t shown = std::min(limit, in.size());
  std::partial_sort(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(shown), in.end(), by_id);
  std::string text;
  size_t count = 0;
  for (; count < shown && text.size() < kMembersBytesMax; ++count) {
    const Member& member = group.members.at(*in[count]);
    text += (text.empty() ? "{\"user\":\"" : ",{\"user\":\"") + in[count]->str();
    text += "\",\"role\":\"" + std::string(RoleName(member.role)) + "\"";
    if (!member.name.empty()) {
      text += ",\"name\":";
      AppendJsonString(member.name, &text);
    }
    text += "}";
  }
  return ",\"members\":[" + text + (count < in.size() ? "],\"more\":true" : "],\"more\":false");
}

std::string Engine::GroupJson(const Group& group, const UserId& asker) const {
  std::string text = "," + SettingsJson(group.id, group.settings);
  AppendMember("head", group.last.value(), &text);
  AppendMember("count", group.count, &text);
  const Member* own = MemberOf(group, asker);
  text += ",\"role\":\"" + std::string(RoleName(own == nullptr ? GroupRole::kNone : own->role));
  text += "\"" + MembersJson(group, UserId(), 100);
  return text;
}

void Engine::AskGroupGet(const Asker& asker, const json& request) {
  auto id = ReadGroupId(request);
  if (!id) return Refuse(asker, id.error());
  std::string after;
  uint64_t limit = 100;
  bool receipts = false;
  Status status = ReadString(request, "after", &after);
  if (status.ok()) status = ReadNumber(request, "limit", 1, kGroupPageMax, &limit);
  if (auto wanted = request.find("receipts"); status.ok() && wanted != request.end()) {
    if (!wanted->is_boolean()) status = {Code::kBadRequest, "'receipts' is true or false"};
    if (status.ok()) receipts = wanted->get<bool>();
  }
  if (!status.ok()) return Refuse(asker, status);
  WithGroup(asker, *id, [this, asker, after = UserId(after), limit, receipts](Group& group) {
    std::string text = "," + SettingsJson(group.id, group.settings);
    AppendMember("head", group.last.value(), &text);
    AppendMember("count", group.count, &text);
    text += ",\"role\":\"" + std::string(RoleName(MemberOf(group, asker.user)->role)) + "\"";
    text += MembersJson(group, after, limit);
    if (!receipts) return Answer(asker, text, group.lsn);
    auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
    auto job = [asker, failed, text, after, limit,
                group_id = group.id](const MessageStore& store) -> Continuation {
      auto marks = store.ReadGroupMarks(group_id, after, limit);
      if (!marks) return [failed, why = marks.error()](Engine& engine) { failed(engine, why); };
      std::string listed;
      for (const GroupMark& mark : *marks) {
        if (listed.size() > kAnswerBytesMax - kMembersBytesMax - 4096) break;
        listed += (listed.empty() ? "{\"user\":\"" : ",{\"user\":\"") + mark.user.str() + "\"";
        AppendMember("delivered", std::max(mark.delivered, mark.read).value(), &listed);
        AppendMember("read", mark.read.value(), &listed);
        listed += "}";
      }
      return [asker, members = text + ",\"receipts\":[" + listed + "]"](Engine& engine) {
        engine.Answer(asker, members);
      };
    };
    Read(group, std::move(job), failed);
  });
}

void Engine::AskGroupList(const Asker& asker, const json& request) {
  std::string after;
  uint64_t limit = 100;
  Status status = ReadString(request, "after", &after);
  if (status.ok()) status = ReadNumber(request, "limit", 1, kGroupPageMax, &limit);
  if (!status.ok()) return Refuse(asker, status);
  if (roster_ == nullptr) return Answer(asker, ",\"groups\":[],\"more\":false");
  // All that was numbered until now is seen, whatever group it is of.
  Lsn holds(next_lsn_.value() - 1);
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, failed, holds, limit, after = GroupId(after), log = log_,
              roster = roster_](const MessageStore&) -> Continuation {
    auto fail = [&](const Status& why) -> Continuation {
      return [failed, why](Engine& engine) { failed(engine, why); };
    };
    if (Status waited = log->WaitRoster(holds); !waited.ok()) return fail(waited);
    auto groups = roster->GroupsOf(asker.user, after, limit + 1);
    if (!groups) return fail(groups.error());
    bool more = groups->size() > limit;
    if (more) groups->pop_back();
    std::string listed;
    for (const Membership& one : *groups) {
      if (listed.size() > kMembersBytesMax) {
        more = true;
        break;
      }
      const std::string& id = one.group.str();
      Status ready = log->WaitApplied(id, holds);
      auto store =
          ready.ok() ? log->store(id) : Result<std::shared_ptr<const MessageStore>>(Error(ready));
      if (!store) return fail(store.error());
      auto head = (*store)->ReadGroupTail(one.group);
      auto mark = (*store)->ReadGroupMark(one.group, asker.user);
      if (!head || !mark) return fail(!head ? head.error() : mark.error());
      auto unread = (*store)->CountGroupUnread(one.group, asker.user, mark->read, kUnreadMax);
      if (!unread) return fail(unread.error());
      listed += (listed.empty() ? "{" : ",{") + SettingsJson(one.group, one.settings);
      AppendMember("head", head->value(), &listed);
      AppendMember("count", one.members, &listed);
      listed += ",\"role\":\"" + std::string(RoleName(one.role)) + "\"";
      AppendMember("read", mark->read.value(), &listed);
      AppendMember("unread", *unread, &listed);
      listed += "}";
    }
    return [asker, members = ",\"groups\":[" + listed +
                             (more ? "],\"more\":true" : "],\"more\":false")](Engine& engine) {
      engine.Answer(asker, members);
    };
  };
  Read(UserOf(asker.user), std::move(job), failed);
}

void Engine::AskGroupSync(const Asker& asker, const json& request) {
  auto id = ReadGroupId(request);
  if (!id) return Refuse(asker, id.error());
  uint64_t after = 0, limit = 100;
  Status status = ReadNumber(request, "after", 0, UINT64_MAX, &after);
  if (status.ok()) status = ReadNumber(request, "limit", 1, 1000, &limit);
  if (status.ok() && request.contains("wait")) {
    status = {Code::kBadRequest, "'wait' is for sync without 'group'"};
  }
  if (!status.ok()) return Refuse(asker, status);
  Page page{.after = Seq(after), .limit = limit, .bytes_max = kMessagesBytesMax};
  WithGroup(asker, *id, [this, asker, page](Group& group) {
    auto spans = SpansOf(group.settings, MemberOf(group, asker.user)->spans);
    auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
    auto job = [asker, failed, page, spans, head = group.last, group_id = group.id,
                holds = group.lsn, log = log_](const MessageStore& store) -> Continuation {
      auto read = ReadNumbered(log, asker.user, holds, store, group_id, spans, head, page);
      if (!read) return [failed, why = read.error()](Engine& engine) { failed(engine, why); };
      MessageList list(kMessagesBytesMax);
      bool more = read->more;
      for (const LogEntry& entry : read->entries) {
        if (list.Add(entry, MessageRest(entry))) continue;
        more = true;
        break;
      }
      std::string members = ",\"messages\":" + list.Json();
      AppendMember("head", head.value(), &members);
      AppendMember("floor", spans.front().first.value(), &members);
      members +=
          ",\"epoch\":\"" + log->epoch() + "\"" + (more ? ",\"more\":true" : ",\"more\":false");
      return
          [asker, members = std::move(members)](Engine& engine) { engine.Answer(asker, members); };
    };
    Read(group, std::move(job), failed);
  });
}

void Engine::AskGroupHistory(const Asker& asker, const json& request) {
  auto id = ReadGroupId(request);
  if (!id) return Refuse(asker, id.error());
  Page page;
  uint64_t limit = 20;
  Status status = ReadHistoryPage(request, &page, &limit);
  if (status.ok() && request.contains("with")) {
    status = {Code::kBadRequest, "'with' or 'group', not both"};
  }
  if (!status.ok()) return Refuse(asker, status);
  WithGroup(asker, *id, [this, asker, page, limit](Group& group) {
    auto spans = SpansOf(group.settings, MemberOf(group, asker.user)->spans);
    std::vector<UserId> others;  // whose receipts are shown
    if (group.count <= options_.receipt_members_max) {
      for (const auto& [user, member] : group.members) {
        if (IsIn(member.role) && user != asker.user) others.push_back(user);
      }
      std::sort(others.begin(), others.end());
    }
    auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
    auto job = [asker, failed, page, limit, spans, others, head = group.last, group_id = group.id,
                holds = group.lsn, log = log_](const MessageStore& store) -> Continuation {
      auto fail = [&](const Status& why) -> Continuation {
        return [failed, why](Engine& engine) { failed(engine, why); };
      };
      auto referring = [&](Seq seq) {
        auto found = store.ReadGroupReferring(group_id, seq);
        if (found) {
          std::erase_if(*found, [&](const LogEntry& e) { return !IsVisible(spans, e.gseq); });
        }
        return found;
      };
      auto history = BuildHistory({[&](const Page& part) {
                                     return ReadNumbered(log, asker.user, holds, store, group_id,
                                                         spans, head, part);
                                   },
                                   referring},
                                  page, limit);
      if (!history) return fail(history.error());
      // What all the others have got, and read.
      std::map<UserId, GroupMark> marks;
      auto read = store.ReadGroupMarks(group_id, UserId(), others.empty() ? 0 : SIZE_MAX);
      if (!read) return fail(read.error());
      for (GroupMark& mark : *read) marks[mark.user] = mark;
      Seq delivered = others.empty() ? Seq() : Seq(UINT64_MAX);
      Seq all_read = delivered;
      std::string receipts;
      for (const UserId& user : others) {
        const GroupMark& mark = marks[user];
        Seq got = std::max(mark.delivered, mark.read);
        delivered = std::min(delivered, got);
        all_read = std::min(all_read, mark.read);
        receipts += (receipts.empty() ? "{\"by\":\"" : ",{\"by\":\"") + user.str() + "\"";
        AppendMember("delivered", got.value(), &receipts);
        AppendMember("read", mark.read.value(), &receipts);
        receipts += "}";
      }
      std::string members = ",\"messages\":" + history->messages;
      members += history->more ? ",\"more\":true" : ",\"more\":false";
      AppendMember("delivered", delivered.value(), &members);
      AppendMember("read", all_read.value(), &members);
      members += ",\"receipts\":[" + receipts + "]";
      return
          [asker, members = std::move(members)](Engine& engine) { engine.Answer(asker, members); };
    };
    Read(group, std::move(job), failed);
  });
}

// Receipts.

void Engine::GroupRange::Add(const CachedMessage& message, const UserId& reader, bool delivered,
                             bool read) {
  bool counts = message.from != reader && message.type != MessageType::kSystem;
  for (PeerMarks* marks : {&all, counts ? &senders[message.from] : nullptr}) {
    if (marks == nullptr) continue;
    if (delivered) marks->delivered = std::max(marks->delivered, message.gseq);
    if (read) marks->read = std::max(marks->read, message.gseq);
  }
}

void Engine::RecordGroupMarks(const User& user, const GroupId& group, const PeerMarks& marks,
                              Transaction& change) {
  if (marks.delivered == Seq() && marks.read == Seq()) return;
  change.records.emplace_back(
      GroupMarksRecord{group, user.id, marks.delivered, marks.read, now_ms_});
  auto known = groups_.find(group);
  if (known == groups_.end()) {
    forgotten_lsn_ = std::max(forgotten_lsn_, change.lsn);
  } else {
    known->second->lsn = change.lsn;
  }
}

// Each hears how far its own messages got: in groups that are small enough.
void Engine::TellGroupSenders(const UserId& by, const GroupId& id,
                              const std::map<UserId, PeerMarks>& senders, Lsn lsn) {
  if (senders.empty() || roster_ == nullptr) return;
  Group& group = GroupOf(id);
  auto tell = [this, by, it = &group, senders, lsn](const Status& status) {
    if (!status.ok() || it->count > options_.receipt_members_max) return;
    std::string members = ",\"group\":\"" + it->id.str() + "\"";
    for (const auto& [sender, marks] : senders) {
      if (marks.delivered == Seq() && marks.read == Seq()) continue;
      auto known = users_.find(sender);
      if (known == users_.end() || MemberOf(*it, sender) == nullptr) continue;
      EmitReceipt(*known->second, by, members, marks, lsn);
    }
  };
  if (Load(group, tell) == Ready::kNow) tell(Status());
}

// `{"group":"ubuntu","read":7}`, for groups whose messages have no place in the user's log.
void Engine::GroupReceipt(User& user, const Asker& asker, const json& receipt) {
  uint64_t delivered = 0;
  uint64_t read = 0;
  auto id = ReadGroupId(receipt);
  Status status = id ? OnlyKnown(receipt, {"group", "delivered", "read"}) : id.error();
  if (status.ok()) status = ReadNumber(receipt, "delivered", 0, UINT64_MAX, &delivered);
  if (status.ok()) status = ReadNumber(receipt, "read", 0, UINT64_MAX, &read);
  if (status.ok() && receipt.size() == 1) {
    status = {Code::kBadRequest, "a receipt holds 'delivered', 'read' or both"};
  }
  if (!status.ok()) return Refuse(asker, status);
  PeerMarks wanted{Seq(std::max(delivered, read)), Seq(read)};
  WithGroup(asker, *id, [this, asker, wanted, it = &user](Group& group) {
    if (group.settings.delivery == GroupDelivery::kInbox) {
      return Refuse(asker, {Code::kBadRequest,
                            "this group's messages are in your log: confirm them by its 'seq'"});
    }
    if (wanted.delivered > group.last) {
      return Refuse(asker, {Code::kBadRequest, "past the end of the group, which is at " +
                                                   std::to_string(group.last.value())});
    }
    auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
    auto job = [asker, failed, wanted, it, id = group.id,
                small = group.count <= options_.receipt_members_max,
                known = &group](const MessageStore& store) -> Continuation {
      auto mark = store.ReadGroupMark(id, asker.user);
      Seq from = mark ? std::min(std::max(mark->delivered, mark->read), mark->read) : Seq();
      auto page = small && mark ? store.ReadGroup(id, {.after = from,
                                                       .before = wanted.delivered.Next(),
                                                       .descending = true,
                                                       .limit = kReceiptRangeMax})
                                : Result<LogPage>(LogPage());
      if (!mark || !page) {
        return [failed, why = mark ? page.error() : mark.error()](Engine& engine) {
          failed(engine, why);
        };
      }
      auto entries = std::make_shared<std::vector<CachedEntry>>();
      for (const LogEntry& entry : page->entries) entries->push_back(ToCached(entry));
      return [asker, wanted, it, known, entries,
              had = PeerMarks{mark->delivered, mark->read}](Engine& engine) {
        engine.TakeGroupReceipt(*it, asker, *known, had, wanted, *entries);
      };
    };
    Read(group, std::move(job), failed);
  });
}

// `had`: the marks as the store has them; newer ones may be in memory.
void Engine::TakeGroupReceipt(User& user, const Asker& asker, Group& group, PeerMarks had,
                              PeerMarks wanted, const std::vector<CachedEntry>& entries) {
  if (!log_->journal_ok() || !log_->store_ok(group.id.str())) return Refuse(asker, Unwritable());
  PeerMarks& now = group.marks[user.id];
  now.delivered = std::max(now.delivered, had.delivered);
  now.read = std::max(now.read, had.read);
  bool more_delivered = wanted.delivered > now.delivered;
  bool more_read = wanted.read > now.read;
  if (!more_delivered && !more_read) {
    if (IsForOther(asker)) Answer(asker, "", Lsn(next_lsn_.value() - 1));
    return;
  }
  GroupRange range;
  for (const CachedEntry& entry : entries) {
    range.Add(*entry.message, user.id, entry.seq > now.delivered && entry.seq <= wanted.delivered,
              entry.seq > now.read && entry.seq <= wanted.read);
  }
  now.delivered = std::max(now.delivered, wanted.delivered);
  now.read = std::max(now.read, wanted.read);
  Transaction& change = Change();
  Lsn lsn = change.lsn;
  RecordGroupMarks(user, group.id, now, change);
  CancelRead(user, group.id, now.read, &change);
  TellGroupSenders(user.id, group.id, range.senders, lsn);
  if (IsForOther(asker)) Answer(asker, "", lsn);
}

}  // namespace parley
