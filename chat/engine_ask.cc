// Requests: `ask/<method>` → one answer (PROTOCOL: asking). A method is one row of kMethods and its
// function.
#include <algorithm>
#include <map>

#include "chat/engine.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr size_t kRidBytesMax = 128;

// Adds messages to a JSON array until an answer would pass its size.
class MessageList {
 public:
  explicit MessageList(size_t bytes_max) : MessageList(bytes_max, SIZE_MAX) {}
  // … or its first one `first_max`, where that is more.
  MessageList(size_t bytes_max, size_t first_max) : bytes_max_(bytes_max), first_max_(first_max) {}
  // False where it has no room left.
  bool Add(Seq seq, std::string_view rest) {
    if (text_.size() + rest.size() + 32 > (text_.empty() ? first_max_ : bytes_max_)) return false;
    if (!text_.empty()) text_ += ',';
    AppendMessage(seq, rest, &text_);
    return true;
  }
  std::string Json() const { return '[' + text_ + ']'; }

 private:
  const size_t bytes_max_;
  const size_t first_max_;
  std::string text_;
};

constexpr size_t kMessagesBytesMax = kAnswerBytesMax - 1024;  // room for what stands around them

// What one message takes at most; a reaction that makes it more is left out.
constexpr size_t kMessageBytesMax = kMessagesBytesMax - 256;

void AppendMember(const char* name, uint64_t value, std::string* out) {
  *out += ",\"";
  *out += name;
  *out += "\":";
  AppendNumber(value, out);
}

// A message in its latest form: edits and a retraction applied, reactions listed.
std::string LatestRest(const MessageRecord& message, const std::vector<LogEntry>& later) {
  MessageRecord latest = message;
  int64_t edited_ms = 0;
  int64_t retracted_ms = 0;
  std::map<UserId, std::string> reactions;  // the last one of each user; "" takes it back
  for (const LogEntry& entry : later) {
    const MessageRecord& what = entry.message;
    if (what.type == MessageType::kEdit) {
      latest.body = what.body;
      edited_ms = what.ts_ms;
    } else if (what.type == MessageType::kRetract) {
      retracted_ms = what.ts_ms;
    } else if (what.type == MessageType::kReaction) {
      reactions[what.from] = what.body;
    }
  }
  if (retracted_ms > 0) latest.body.clear();
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

struct HistoryPage {
  std::string messages;
  bool more = false;
};

// Messages only; what edits them is folded in, so that a page of the log may give fewer.
Result<HistoryPage> BuildHistory(const MessageStore& store, const UserId& user, const UserId& peer,
                                 Page page, size_t limit) {
  MessageList list(kMessagesBytesMax);
  size_t count = 0;
  for (;;) {
    page.limit = limit;
    auto read = store.ReadConversation(user, peer, page);
    if (!read) return Error(read.error());
    for (const LogEntry& entry : read->entries) {
      if (entry.message.type != MessageType::kMessage) continue;
      if (count == limit) return HistoryPage{list.Json(), true};
      auto later = store.ReadReferring(user, entry.seq);
      if (!later) return Error(later.error());
      std::string rest =
          later->empty() ? MessageRest(entry.message) : LatestRest(entry.message, *later);
      if (!list.Add(entry.seq, rest)) return HistoryPage{list.Json(), true};
      ++count;
    }
    if (!read->more || read->entries.empty()) return HistoryPage{list.Json(), false};
    (page.descending ? page.before : page.after) = read->entries.back().seq;
  }
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
          std::make_shared<CachedMessage>(
              CachedMessage{message.from, message.to, message.type, MessageRest(message), Lsn()})};
}

struct Engine::Method {
  std::string_view name;
  void (Engine::*ask)(const Asker&, const json&);
  std::initializer_list<std::string_view> members;  // besides "rid"
};

const Engine::Method Engine::kMethods[] = {
    {"sync", &Engine::AskSync, {"rid", "after", "limit", "wait", "group"}},
    {"history", &Engine::AskHistory, {"rid", "with", "group", "before", "after", "limit"}},
    {"conversations", &Engine::AskConversations, {"rid", "limit", "before"}},
    {"recent", &Engine::AskRecent, {"rid"}},
    {"devices.list", &Engine::AskDevices, {"rid"}},
};

void Engine::Ask(const Asker& asker, std::string_view method, std::string_view payload) {
  Asker named = asker;
  auto request = ParseObject(payload);
  if (!request) return Refuse(named, request.error());
  if (auto rid = request->find("rid"); rid != request->end()) {
    if (!rid->is_string() || rid->get_ref<const std::string&>().size() > kRidBytesMax) {
      return Refuse(named, {Code::kBadRequest, "'rid' must be a string of at most 128 bytes"});
    }
    named.head = "\"rid\":" + rid->dump() + "," + asker.head;
  }
  auto row = std::find_if(std::begin(kMethods), std::end(kMethods),
                          [&](const Method& m) { return m.name == method; });
  if (row == std::end(kMethods)) {
    return Refuse(named, {Code::kBadRequest, "there is no method '" + std::string(method) + "'"});
  }
  if (Status status = OnlyKnown(*request, row->members); !status.ok()) return Refuse(named, status);
  if (request->contains("group")) return Refuse(named, {Code::kNotFound, "no such group"});
  User& user = UserOf(asker.user);
  auto go = [this, named, row, request = std::move(*request)](const Status& status) {
    if (!status.ok()) return Refuse(named, status);
    (this->*row->ask)(named, request);
  };
  if (!log_->store_ok(user.id)) {
    return Refuse(named, {Code::kUnavailable, "the store can't be read now; try again later"});
  }
  if (Load(user, false, go) == Ready::kNow) go(Status());
}

// sync.

void Engine::AskSync(const Asker& asker, const json& request) {
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
  user.waiting_syncs.push_back(
      {asker, Seq(after), limit, now_ms_ + static_cast<int64_t>(wait_s) * 1000});
  if (!std::exchange(user.syncing, true)) syncing_.push_back(&user);
}

void Engine::AnswerSync(User& user, const Asker& asker, Seq after, uint64_t limit) {
  if (after >= user.last) return AnswerSyncFrom(user, asker, {}, false);
  if (InCache(user, after.Next()) != nullptr) {
    auto begin = user.cache.begin() +
                 static_cast<std::ptrdiff_t>(after.value() + 1 - user.cache.front().seq.value());
    auto count =
        std::min<std::ptrdiff_t>(user.cache.end() - begin, static_cast<std::ptrdiff_t>(limit));
    return AnswerSyncFrom(user, asker, {begin, begin + count}, false);
  }
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  Page page{.after = after, .limit = limit, .bytes_max = kMessagesBytesMax};
  auto job = [asker, page, failed, it = &user](const MessageStore& store) -> Continuation {
    auto read = store.ReadLog(asker.user, page);
    if (!read) return [failed, why = read.error()](Engine& engine) { failed(engine, why); };
    auto entries = std::make_shared<std::vector<CachedEntry>>();
    for (LogEntry& entry : read->entries) entries->push_back(ToCached(entry));
    return [asker, it, entries, more = read->more](Engine& engine) {
      engine.AnswerSyncFrom(*it, asker, *entries, more);
    };
  };
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
      if (Load(user, false, answer) == Ready::kNow) answer(Status());
    } else {
      user.waiting_syncs.push_back(std::move(sync));
    }
  }
}

// history.

void Engine::AskHistory(const Asker& asker, const json& request) {
  auto peer = ReadPeer(request);
  if (!peer) return Refuse(asker, peer.error());
  uint64_t before = UINT64_MAX, after = 0, limit = 20;
  bool forward = request.contains("after");
  Status status = ReadNumber(request, "before", 1, UINT64_MAX, &before);
  if (status.ok()) status = ReadNumber(request, "after", 0, UINT64_MAX, &after);
  if (status.ok()) status = ReadNumber(request, "limit", 1, 100, &limit);
  if (status.ok() && forward && request.contains("before")) {
    status = {Code::kBadRequest, "'before' or 'after', not both"};
  }
  if (!status.ok()) return Refuse(asker, status);
  Page page{.after = Seq(after), .before = Seq(before), .descending = !forward};
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, peer = *peer, page, limit, failed](const MessageStore& store) -> Continuation {
    auto history = BuildHistory(store, asker.user, peer, page, limit);
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
  auto job = [asker, limit, before, read = user.read,
              failed](const MessageStore& store) -> Continuation {
    auto fail = [&](const Status& why) { return [failed, why](Engine& e) { failed(e, why); }; };
    auto talks = store.ReadConversations(asker.user, Seq(before), limit + 1);
    if (!talks) return fail(talks.error());
    bool more = talks->size() > limit;
    if (more) talks->pop_back();
    std::string listed;
    for (const Conversation& talk : *talks) {
      auto last = store.ReadLog(asker.user, {.after = Seq(talk.last.value() - 1), .limit = 1});
      if (!last) return fail(last.error());
      auto unread = store.CountUnread(asker.user, talk.peer, read, kUnreadMax);
      if (!unread) return fail(unread.error());
      if (last->entries.empty()) continue;
      std::string rest = MessageRest(last->entries[0].message);
      if (!listed.empty() && listed.size() + rest.size() + 256 > kMessagesBytesMax) {
        more = true;
        break;
      }
      listed +=
          (listed.empty() ? "{\"with\":\"" : ",{\"with\":\"") + talk.peer.str() + "\",\"last\":";
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
  if (complete) return AnswerRecent(asker, *user.recent, user.last, user.lsn);
  ReadRecent(user, asker);
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
    listed += (listed.empty() ? "{\"with\":\"" : ",{\"with\":\"") + talk.peer.str() + "\"";
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
  auto job = [asker, failed, it = &user, as_of = user.last, lsn = user.lsn,
              read = user.read](const MessageStore& store) -> Continuation {
    auto fail = [&](const Status& why) { return [failed, why](Engine& e) { failed(e, why); }; };
    auto recent = std::make_shared<Recent>();
    auto talks = store.ReadConversations(asker.user, Seq(UINT64_MAX), kRecentTalks);
    if (!talks) return fail(talks.error());
    for (const Conversation& talk : *talks) {
      auto page = store.ReadConversation(asker.user, talk.peer,
                                         {.descending = true, .limit = kRecentMessages});
      if (!page) return fail(page.error());
      auto unread = store.CountUnread(asker.user, talk.peer, read, kUnreadMax);
      if (!unread) return fail(unread.error());
      Recent::Talk& kept = recent->talks.emplace_back(Recent::Talk{talk.peer, {}, *unread, true});
      for (auto entry = page->entries.rbegin(); entry != page->entries.rend(); ++entry) {
        kept.messages.push_back(ToCached(*entry));
      }
    }
    return [asker, it, recent, as_of, lsn](Engine& engine) {
      engine.AnswerRecent(asker, *recent, as_of, Lsn());
      // Kept only where nothing changed meanwhile, so that it can't miss or count twice.
      if (it->lsn == lsn && it->last == as_of) it->recent = std::make_unique<Recent>(*recent);
    };
  };
  Read(user, std::move(job), failed);
}

void Engine::AddToRecent(User& user, const CachedEntry& entry) {
  auto& talks = user.recent->talks;
  bool incoming = entry.message->from != user.id;
  const UserId& peer = incoming ? entry.message->from : entry.message->to;
  auto talk =
      std::find_if(talks.begin(), talks.end(), [&](const auto& t) { return t.peer == peer; });
  if (talk == talks.end()) {
    if (talks.size() == kRecentTalks) talks.pop_back();
    // What was said in it before is not known here: it is read when somebody asks.
    talks.insert(talks.begin(), Recent::Talk{peer, {}, 0, false});
  } else {
    std::rotate(talks.begin(), talk, talk + 1);
  }
  Recent::Talk& front = talks.front();
  front.messages.push_back(entry);
  if (front.messages.size() > kRecentMessages) front.messages.erase(front.messages.begin());
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
          return entry.message->from != user.id && entry.seq > user.read;
        }));
  }
}

// devices.

void Engine::AskDevices(const Asker& asker, const json&) {
  User& user = UserOf(asker.user);
  std::map<std::string, Seq> online;
  for (const Session* session : user.sessions)
    online[session->device.str()] = session->cursor.value_or(Seq());
  auto failed = [asker](Engine& engine, const Status& why) { engine.Refuse(asker, why); };
  auto job = [asker, online, failed,
              now = now_ms_](const MessageStore& store) mutable -> Continuation {
    auto cursors = store.ReadDevices(asker.user);
    if (!cursors) return [failed, why = cursors.error()](Engine& engine) { failed(engine, why); };
    std::string listed;
    auto add = [&](const std::string& device, Seq delivered, int64_t seen_ms, bool is_online) {
      listed += listed.empty() ? "{\"device\":" : ",{\"device\":";
      AppendJsonString(device, &listed);
      AppendMember("delivered", delivered.value(), &listed);
      AppendMember("last_seen", static_cast<uint64_t>(seen_ms), &listed);
      listed += is_online ? ",\"online\":true}" : ",\"online\":false}";
    };
    for (const DeviceCursor& cursor : *cursors) {
      bool is_online = online.erase(cursor.device.str()) > 0;
      add(cursor.device.str(), cursor.delivered, is_online ? now : cursor.ts_ms, is_online);
    }
    for (const auto& [device, delivered] : online) add(device, delivered, now, true);
    return [asker, members = ",\"devices\":[" + listed + "]"](Engine& engine) {
      engine.Answer(asker, members);
    };
  };
  Read(user, std::move(job), failed);
}

}  // namespace parley
