// Requests: `ask/<method>` → one answer (PROTOCOL: asking). A method is one row of kMethods and its
// function.
#include <algorithm>
#include <map>

#include "chat/engine.h"
#include "chat/glance.h"
#include "chat/pages.h"

namespace parley {
namespace {

using nlohmann::json;

// What one message takes at most; a reaction that makes it more is left out.
constexpr size_t kMessageBytesMax = kMessagesBytesMax - 256;

// A message in its latest form: edits and a retraction applied, reactions listed.
std::string LatestRest(const LogEntry& message, const std::vector<LogEntry>& later) {
  LogEntry latest = message;
  int64_t edited_ms = 0;
  int64_t retracted_ms = 0;
  std::map<UserId, std::string> reactions;  // the last one of each user; "" takes it back
  for (const LogEntry& entry : later) {
    const MessageRecord& what = entry.message;
    if (what.type == MessageType::kEdit) {
      latest.message.body = what.body;
      edited_ms = what.ts_ms;
    } else if (what.type == MessageType::kRetract) {
      retracted_ms = what.ts_ms;
    } else if (what.type == MessageType::kReaction) {
      reactions[what.from] = what.body;
    }
  }
  if (retracted_ms > 0) latest.message.body.clear();
  std::string rest = MessageRest(latest);
  rest.pop_back();
  if (edited_ms > 0) AppendMember("edited", static_cast<uint64_t>(edited_ms), &rest);
  if (retracted_ms > 0) AppendMember("retracted", static_cast<uint64_t>(retracted_ms), &rest);
  std::string listed;
  for (const auto& [from, body] : reactions) {
    if (body == "\"\"" || rest.size() + listed.size() + body.size() > kMessageBytesMax) continue;
    listed +=
        (listed.empty() ? "" : ",") + ("{\"from\":\"" + from.str() + "\",\"body\":" + body + "}");
  }
  if (!listed.empty()) rest += ",\"reactions\":[" + listed + "]";
  return rest + "}";
}

bool FoldedIn(MessageType type) {
  return type == MessageType::kEdit || type == MessageType::kRetract ||
         type == MessageType::kReaction;
}

}  // namespace

// What edits a message is folded in, so that a page of the log may give fewer.
Result<HistoryPage> BuildHistory(const HistorySource& source, Page page, size_t limit) {
  MessageList list(kMessagesBytesMax);
  size_t count = 0;
  for (;;) {
    page.limit = limit;
    auto read = source.read(page);
    if (!read) return Error(read.error());
    for (const LogEntry& entry : read->entries) {
      if (FoldedIn(entry.message.type)) continue;
      if (count == limit) return HistoryPage{list.Json(), true};
      auto later = source.referring(entry.seq);
      if (!later) return Error(later.error());
      if (!list.Add(entry, later->empty() ? MessageRest(entry) : LatestRest(entry, *later))) {
        return HistoryPage{list.Json(), true};
      }
      ++count;
    }
    if (!read->more || read->entries.empty()) return HistoryPage{list.Json(), false};
    (page.descending ? page.before : page.after) = read->entries.back().seq;
  }
}

namespace {

bool CountsAsUnread(const CachedMessage& message, const UserId& user) {
  return message.from != user && message.type != MessageType::kSystem;
}

// `"with":"bob"` or `"group":"ubuntu"`.
std::string TalkName(const UserId& peer, const GroupId& group) {
  return group.empty() ? "\"with\":\"" + peer.str() + "\"" : "\"group\":\"" + group.str() + "\"";
}

Result<UserId> ReadPeer(const json& request) {
  std::string with;
  if (Status status = ReadString(request, "with", &with); !status.ok()) return Error(status);
  if (!ValidId(with)) return Error(Code::kBadRequest, "'with' must be a user id");
  return UserId(with);
}

}  // namespace

CachedEntry ToCached(const LogEntry& entry) {
  const MessageRecord& message = entry.message;
  return {entry.seq, entry.peer_seq,
          std::make_shared<CachedMessage>(CachedMessage{message.from, message.to, entry.group,
                                                        entry.gseq, message.type,
                                                        MessageRest(entry), Lsn()})};
}

void AppendMember(const char* name, uint64_t value, std::string* out) {
  *out += ",\"";
  *out += name;
  *out += "\":";
  AppendNumber(value, out);
}

bool MessageList::Add(Seq seq, std::string_view rest) {
  if (!HasRoom(rest)) return false;
  AppendMessage(seq, rest, &text_);
  return true;
}

bool MessageList::Add(const LogEntry& entry, std::string_view rest) {
  if (entry.group.empty()) return Add(entry.seq, rest);
  if (entry.peer_seq > Seq()) return Add(entry.peer_seq, rest);
  if (!HasRoom(rest)) return false;
  AppendGroupMessage(rest, &text_);
  return true;
}

bool MessageList::HasRoom(std::string_view rest) {
  if (text_.size() + rest.size() + 32 > (text_.empty() ? first_max_ : bytes_max_)) return false;
  if (!text_.empty()) text_ += ',';
  return true;
}

struct Engine::Method {
  std::string_view name;
  void (*ask)(Engine&, const Asker&, const json&);
  std::initializer_list<std::string_view> members;  // besides "rid"
};

#define PARLEY_ASK(call) [](Engine& e, const Asker& a, const json& r) { e.call; }
const Engine::Method Engine::kMethods[] = {
    {"sync", PARLEY_ASK(AskSync(a, r)), {"rid", "after", "limit", "wait", "group"}},
    {"history", PARLEY_ASK(AskHistory(a, r)), {"rid", "with", "group", "before", "after", "limit"}},
    {"conversations", PARLEY_ASK(AskConversations(a, r)), {"rid", "limit", "before"}},
    {"recent", PARLEY_ASK(AskRecent(a, r)), {"rid"}},
    {"presence", PARLEY_ASK(AskPresence(a, r)), {"rid", "users", "contacts"}},
    {"contacts.list", PARLEY_ASK(AskContacts(a, "list", r)), {"rid", "after", "limit"}},
    {"contacts.add", PARLEY_ASK(AskContacts(a, "add", r)), {"rid", "user"}},
    {"contacts.accept", PARLEY_ASK(AskContacts(a, "accept", r)), {"rid", "user"}},
    {"contacts.remove", PARLEY_ASK(AskContacts(a, "remove", r)), {"rid", "user"}},
    {"contacts.block", PARLEY_ASK(AskContacts(a, "block", r)), {"rid", "user"}},
    {"contacts.unblock", PARLEY_ASK(AskContacts(a, "unblock", r)), {"rid", "user"}},
    {"groups.create",
     PARLEY_ASK(AskGroupChange(a, GroupChange::Kind::kCreate, r)),
     {"rid", "group", "title", "members", "delivery", "open", "history"}},
    {"groups.get", PARLEY_ASK(AskGroupGet(a, r)), {"rid", "group", "after", "limit", "receipts"}},
    {"groups.list", PARLEY_ASK(AskGroupList(a, r)), {"rid", "after", "limit"}},
    {"groups.add",
     PARLEY_ASK(AskGroupChange(a, GroupChange::Kind::kAdd, r)),
     {"rid", "group", "user", "users"}},
    {"groups.remove",
     PARLEY_ASK(AskGroupChange(a, GroupChange::Kind::kRemove, r)),
     {"rid", "group", "user"}},
    {"groups.join", PARLEY_ASK(AskGroupChange(a, GroupChange::Kind::kJoin, r)), {"rid", "group"}},
    {"groups.leave",
     PARLEY_ASK(AskGroupChange(a, GroupChange::Kind::kLeave, r)),
     {"rid", "group", "user"}},
    {"groups.set_role",
     PARLEY_ASK(AskGroupChange(a, GroupChange::Kind::kSetRole, r)),
     {"rid", "group", "user", "role"}},
    {"groups.set",
     PARLEY_ASK(AskGroupChange(a, GroupChange::Kind::kSet, r)),
     {"rid", "group", "title", "delivery", "open", "history", "name"}},
    {"groups.delete",
     PARLEY_ASK(AskGroupChange(a, GroupChange::Kind::kDelete, r)),
     {"rid", "group"}},
    {"push.subscribe",
     PARLEY_ASK(AskPush(a, "subscribe", r)),
     {"rid", "provider", "target", "preview", "muted", "device"}},
    {"push.unsubscribe",
     PARLEY_ASK(AskPush(a, "unsubscribe", r)),
     {"rid", "provider", "target", "device"}},
    {"push.list", PARLEY_ASK(AskPush(a, "list", r)), {"rid", "device"}},
    {"devices.list", PARLEY_ASK(AskDevices(a, r)), {"rid"}},
    {"devices.remove", PARLEY_ASK(AskRemoveDevice(a, r)), {"rid", "device"}},
    {"account.get", PARLEY_ASK(AskAccount(a, "get", r)), {"rid"}},
    {"account.set", PARLEY_ASK(AskAccount(a, "set", r)), {"rid", "name"}},
    {"account.password", PARLEY_ASK(AskAccount(a, "password", r)), {"rid", "old", "new"}},
    {"account.token", PARLEY_ASK(AskAccount(a, "token", r)), {"rid", "ttl", "device"}},
};
#undef PARLEY_ASK

std::map<std::string, std::vector<std::string>> Engine::Methods() {
  std::map<std::string, std::vector<std::string>> methods;
  for (const Method& row : kMethods) {
    methods[std::string(row.name)].assign(row.members.begin(), row.members.end());
  }
  return methods;
}

// False where `max` of its user's are under way. A sync that waits no longer is: it has a limit of
// its own.
bool Engine::Count(Asker* asker, std::atomic<size_t> UnderWay::*what, size_t max) {
  auto& slot = under_way_[asker->user];
  if (!slot) slot = std::make_shared<UnderWay>();
  if ((*slot).*what >= max) return false;
  ++((*slot).*what);
  asker->counted = std::shared_ptr<void>(nullptr, [slot, what](void*) { --((*slot).*what); });
  return true;
}

void Engine::Ask(const Asker& asker, std::string_view method, std::string_view payload) {
  Asker named = asker;
  named.topic = "ask/" + std::string(method);
  auto request = ParseObject(payload);
  if (!request) {
    if (std::string rid = Glance(payload, "rid", kRidBytesMax); !rid.empty()) {
      named.head = RidHead(rid) + asker.head;
      named.topic.clear();
    }
    return Refuse(named, request.error());
  }
  if (auto rid = request->find("rid"); rid != request->end()) {
    if (!rid->is_string() || rid->get_ref<const std::string&>().size() > kRidBytesMax) {
      return Refuse(named, {Code::kBadRequest, "'rid' must be a string of at most 128 bytes"});
    }
    named.head = RidHead(rid->get_ref<const std::string&>()) + asker.head;
    named.topic.clear();
  }
  auto row = std::find_if(std::begin(kMethods), std::end(kMethods),
                          [&](const Method& m) { return m.name == method; });
  if (row == std::end(kMethods)) {
    return Refuse(named, {Code::kBadRequest, "there is no method '" + std::string(method) + "'"});
  }
  if (Status status = OnlyKnown(*request, row->members); !status.ok()) return Refuse(named, status);
  if (!Count(&named, &UnderWay::asks, options_.asks_max)) {
    return Refuse(named, {Code::kBusy, "too many of your requests have no answer yet; try again"});
  }
  if (request->contains("group") && roster_ == nullptr) return Refuse(named, NoSuchGroup());
  User& user = UserOf(asker.user);
  auto go = [this, named, row, request = std::move(*request)](const Status& status) {
    if (!status.ok()) return Refuse(named, status);
    row->ask(*this, named, request);
  };
  if (!log_->store_ok(user.id.str())) {
    return Refuse(named, {Code::kUnavailable, "the store can't be read now; try again later"});
  }
  if (Load(user, kTail, go) == Ready::kNow) go(Status());
}

// sync.

void Engine::AskSync(const Asker& asker, const json& request) {
  if (request.contains("group")) return AskGroupSync(asker, request);
  uint64_t after = 0, limit = 100, wait_s = 0;
  Status status = ReadNumber(request, "after", 0, UINT64_MAX, &after);
  if (status.ok()) status = ReadNumber(request, "limit", 1, 1000, &limit);
  if (status.ok()) status = ReadNumber(request, "wait", 0, 60, &wait_s);
  if (!status.ok()) return Refuse(asker, status);
  User& user = UserOf(asker.user);
  if (Seq(after) < user.last || wait_s == 0) return AnswerSync(user, asker, Seq(after), limit);
  if (user.waiting_syncs.size() >= options_.sync_waiting_max) {
    return Refuse(asker, {Code::kBusy, "too many syncs of this user are waiting"});
  }
  Asker waits = asker;
  waits.counted.reset();
  user.waiting_syncs.push_back(
      {std::move(waits), Seq(after), limit, now_ms_ + static_cast<int64_t>(wait_s) * 1000});
  if (!user.syncing) syncing_.push_back(&user);
  user.syncing = true;
}

void Engine::AnswerSync(User& user, const Asker& asker, Seq after, uint64_t limit) {
  if (after >= user.last) return AnswerSyncFrom(user, asker, {}, false);
  if (InCache(user, after.Next()) != nullptr) {
    ++counts_.cache_hits;
    const auto& entries = user.cache->entries;
    auto begin = entries.begin() +
                 static_cast<std::ptrdiff_t>(after.value() + 1 - entries.front().seq.value());
    auto count =
        std::min<std::ptrdiff_t>(entries.end() - begin, static_cast<std::ptrdiff_t>(limit));
    return AnswerSyncFrom(user, asker, {begin, begin + count}, false);
  }
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  Page page{.after = after, .limit = limit, .bytes_max = kMessagesBytesMax};
  auto job = [asker, page, failed, it = &user,
              log = log_](const MessageStore& store) -> Continuation {
    auto read = store.ReadLog(asker.user, page);
    Status status = read ? FillPage(log, &*read, page.bytes_max) : read.error();
    if (!status.ok()) return [failed, status](Engine& engine) { failed(engine, status); };
    auto entries = std::make_shared<std::vector<CachedEntry>>();
    for (LogEntry& entry : read->entries) entries->push_back(ToCached(entry));
    return [asker, it, entries, more = read->more](Engine& engine) {
      engine.AnswerSyncFrom(*it, asker, *entries, more);
    };
  };
  ++counts_.cache_misses;
  Read(user, std::move(job), failed);
}

void Engine::AnswerSyncFrom(User& user, const Asker& asker, const std::vector<CachedEntry>& entries,
                            bool cut) {
  MessageList list(kMessagesBytesMax);
  Seq end;
  for (const CachedEntry& entry : entries) {
    if (!list.Add(entry.seq, entry.message->rest)) break;
    end = entry.seq;
  }
  std::string members = ",\"messages\":" + list.Json();
  AppendMember("head", user.last.value(), &members);
  AppendMember("floor", user.floor.value(), &members);
  members += ",\"epoch\":\"" + log_->epoch() + "\"";
  bool more = cut || (!entries.empty() && end < user.last);
  members += more ? ",\"more\":true" : ",\"more\":false";
  Answer(asker, members, user.lsn);
}

// Something was appended: whoever waits for it has it.
void Engine::WakeSyncs(User& user) {
  auto waiting = std::exchange(user.waiting_syncs, {});
  for (WaitingSync& sync : waiting) {
    if (sync.after < user.last) {
      AnswerSync(user, sync.asker, sync.after, sync.limit);
    } else {
      user.waiting_syncs.push_back(std::move(sync));
    }
  }
}

void Engine::ExpireSyncs(User& user, int64_t now_ms) {
  auto waiting = std::exchange(user.waiting_syncs, {});
  for (WaitingSync& sync : waiting) {
    if (sync.deadline_ms <= now_ms) {
      auto answer = [this, sync, it = &user](const Status& status) {
        if (!status.ok()) return Refuse(sync.asker, status);
        AnswerSync(*it, sync.asker, sync.after, sync.limit);
      };
      if (Load(user, kTail, answer) == Ready::kNow) answer(Status());
    } else {
      user.waiting_syncs.push_back(std::move(sync));
    }
  }
}

// history.

Status ReadHistoryPage(const json& request, Page* page, uint64_t* limit) {
  uint64_t before = UINT64_MAX, after = 0;
  bool forward = request.contains("after");
  Status status = ReadNumber(request, "before", 1, UINT64_MAX, &before);
  if (status.ok()) status = ReadNumber(request, "after", 0, UINT64_MAX, &after);
  if (status.ok()) status = ReadNumber(request, "limit", 1, 100, limit);
  if (status.ok() && forward && request.contains("before")) {
    status = {Code::kBadRequest, "'before' or 'after', not both"};
  }
  *page = Page{.after = Seq(after), .before = Seq(before), .descending = !forward};
  return status;
}

void Engine::AskHistory(const Asker& asker, const json& request) {
  if (request.contains("group")) return AskGroupHistory(asker, request);
  auto peer = ReadPeer(request);
  if (!peer) return Refuse(asker, peer.error());
  Page page;
  uint64_t limit = 20;
  if (Status status = ReadHistoryPage(request, &page, &limit); !status.ok()) {
    return Refuse(asker, status);
  }
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, peer = *peer, page, limit, failed](const MessageStore& store) -> Continuation {
    Conversation with{.peer = peer};
    auto history = BuildHistory(
        {[&](const Page& part) { return store.ReadConversation(asker.user, with, part); },
         [&](Seq seq) { return store.ReadReferring(asker.user, seq); }},
        page, limit);
    if (!history) return [failed, why = history.error()](Engine& engine) { failed(engine, why); };
    auto marks = store.ReadPeerMarks(asker.user, peer);
    if (!marks) return [failed, why = marks.error()](Engine& engine) { failed(engine, why); };
    std::string members = ",\"messages\":" + history->messages;
    members += history->more ? ",\"more\":true" : ",\"more\":false";
    AppendMember("delivered", std::max(marks->delivered, marks->read).value(), &members);
    AppendMember("read", marks->read.value(), &members);
    return [asker, members = std::move(members)](Engine& engine) { engine.Answer(asker, members); };
  };
  Read(UserOf(asker.user), std::move(job), failed);
}

// conversations.

void Engine::AskConversations(const Asker& asker, const json& request) {
  uint64_t limit = 20, before = UINT64_MAX;
  Status status = ReadNumber(request, "limit", 1, 100, &limit);
  if (status.ok()) status = ReadNumber(request, "before", 1, UINT64_MAX, &before);
  if (!status.ok()) return Refuse(asker, status);
  User& user = UserOf(asker.user);
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, limit, before, read = user.read, failed,
              log = log_](const MessageStore& store) -> Continuation {
    auto fail = [&](const Status& why) { return [failed, why](Engine& e) { failed(e, why); }; };
    auto talks = store.ReadConversations(asker.user, Seq(before), limit + 1);
    if (!talks) return fail(talks.error());
    bool more = talks->size() > limit;
    if (more) talks->pop_back();
    std::string listed;
    for (const Conversation& talk : *talks) {
      auto last = store.ReadLog(asker.user, {.after = Seq(talk.last.value() - 1), .limit = 1});
      Status filled = last ? FillEntries(log, last->entries) : last.error();
      if (!filled.ok()) return fail(filled);
      auto unread = store.CountUnread(asker.user, talk, read, kUnreadMax);
      if (!unread) return fail(unread.error());
      if (last->entries.empty()) continue;
      std::string rest = MessageRest(last->entries[0]);
      if (!listed.empty() && listed.size() + rest.size() + 256 > kMessagesBytesMax) {
        more = true;
        break;
      }
      listed += (listed.empty() ? "{" : ",{") + TalkName(talk.peer, talk.group) + ",\"last\":";
      AppendMessage(talk.last, rest, &listed);
      AppendMember("unread", *unread, &listed);
      listed += '}';
    }
    return [asker, members = ",\"conversations\":[" + listed +
                             (more ? "],\"more\":true" : "],\"more\":false")](Engine& engine) {
      engine.Answer(asker, members);
    };
  };
  Read(user, std::move(job), failed);
}

// recent.

void Engine::AskRecent(const Asker& asker, const json&) {
  User& user = UserOf(asker.user);
  bool complete =
      user.recent && std::all_of(user.recent->talks.begin(), user.recent->talks.end(),
                                 [](const Recent::Talk& talk) { return talk.complete; });
  ++(complete ? counts_.cache_hits : counts_.cache_misses);
  if (!complete) return ReadRecent(user, asker);
  user.recent->used_ms = now_ms_;
  AnswerRecent(asker, *user.recent, user.last, user.lsn);
}

void Engine::AnswerRecent(const Asker& asker, const Recent& recent, Seq head, Lsn needs) {
  std::string listed;
  size_t left = kMessagesBytesMax;
  for (const Recent::Talk& talk : recent.talks) {
    // Its share, and for its newest message whatever is left.
    MessageList list(kMessagesBytesMax / kRecentTalks - 128, left);
    for (auto entry = talk.messages.rbegin(); entry != talk.messages.rend(); ++entry) {
      if (!list.Add(entry->seq, entry->message->rest)) break;
    }
    listed += (listed.empty() ? "{" : ",{") + TalkName(talk.peer, talk.group);
    AppendMember("unread", talk.unread, &listed);
    std::string messages = list.Json();
    left -= std::min(left, messages.size() + 128);
    listed += ",\"messages\":" + messages + "}";
  }
  std::string members = ",\"conversations\":[" + listed + "]";
  AppendMember("head", head.value(), &members);
  members += ",\"epoch\":\"" + log_->epoch() + "\"";
  Answer(asker, members, needs);
}

void Engine::ReadRecent(User& user, const Asker& asker) {
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, failed, it = &user, as_of = user.last, lsn = user.lsn, read = user.read,
              log = log_](const MessageStore& store) -> Continuation {
    auto fail = [&](const Status& why) { return [failed, why](Engine& e) { failed(e, why); }; };
    auto recent = std::make_shared<Recent>();
    auto talks = store.ReadConversations(asker.user, Seq(UINT64_MAX), kRecentTalks);
    if (!talks) return fail(talks.error());
    for (const Conversation& talk : *talks) {
      auto page =
          store.ReadConversation(asker.user, talk, {.descending = true, .limit = kRecentMessages});
      Status filled = page ? FillEntries(log, page->entries) : page.error();
      if (!filled.ok()) return fail(filled);
      auto unread = store.CountUnread(asker.user, talk, read, kUnreadMax);
      if (!unread) return fail(unread.error());
      Recent::Talk& kept =
          recent->talks.emplace_back(Recent::Talk{talk.peer, talk.group, {}, *unread, true});
      for (auto entry = page->entries.rbegin(); entry != page->entries.rend(); ++entry) {
        kept.messages.push_back(ToCached(*entry));
      }
    }
    return [asker, it, recent, as_of, lsn](Engine& engine) {
      engine.AnswerRecent(asker, *recent, as_of, Lsn());
      // Kept only where nothing changed meanwhile, so that it can't miss or count twice.
      if (it->lsn == lsn && it->last == as_of) engine.KeepRecent(*it, *recent);
    };
  };
  Read(user, std::move(job), failed);
}

// Only where there is room: it isn't worth what others use.
void Engine::KeepRecent(User& user, const Recent& recent) {
  DropRecent(user);
  size_t bytes = 0;
  for (const Recent::Talk& talk : recent.talks) {
    for (const CachedEntry& entry : talk.messages) bytes += BytesOf(entry);
  }
  if (cached_bytes_ + bytes > options_.cache_bytes) return;
  user.recent = std::make_unique<Recent>(recent);
  user.recent->bytes = bytes;
  user.recent->used_ms = now_ms_;
  cached_bytes_ += bytes;
}

void Engine::AddToRecent(User& user, const CachedEntry& entry) {
  auto& talks = user.recent->talks;
  const CachedMessage& message = *entry.message;
  bool incoming = CountsAsUnread(message, user.id);
  size_t freed = 0;
  UserId peer;
  if (message.group.empty()) peer = message.from != user.id ? message.from : message.to;
  auto talk = std::find_if(talks.begin(), talks.end(), [&](const auto& t) {
    return t.peer == peer && t.group == message.group;
  });
  if (talk == talks.end()) {
    if (talks.size() == kRecentTalks) {
      for (const CachedEntry& old : talks.back().messages) freed += BytesOf(old);
      talks.pop_back();
    }
    // What was said in it before is not known here: it is read when somebody asks.
    talks.insert(talks.begin(), Recent::Talk{peer, message.group, {}, 0, false});
  } else {
    std::rotate(talks.begin(), talk, talk + 1);
  }
  Recent::Talk& front = talks.front();
  front.messages.push_back(entry);
  if (front.messages.size() > kRecentMessages) {
    freed += BytesOf(front.messages.front());
    front.messages.erase(front.messages.begin());
  }
  user.recent->bytes += BytesOf(entry) - freed;
  cached_bytes_ += BytesOf(entry) - freed;
  if (incoming && front.unread < kUnreadMax) ++front.unread;
}

// The read mark has moved.
void Engine::UpdateUnread(User& user) {
  if (!user.recent) return;
  for (Recent::Talk& talk : user.recent->talks) {
    if (talk.unread == 0) continue;
    // Only what is here can be counted: if messages before the oldest are unread, it is read anew.
    bool knows = !talk.messages.empty() && talk.messages.front().seq <= user.read.Next();
    talk.complete = talk.complete && (knows || talk.messages.size() < kRecentMessages);
    talk.unread = static_cast<uint64_t>(
        std::count_if(talk.messages.begin(), talk.messages.end(), [&](const CachedEntry& entry) {
          return CountsAsUnread(*entry.message, user.id) && entry.seq > user.read;
        }));
  }
}

}  // namespace parley
