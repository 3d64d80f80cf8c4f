// Devices: catching up, then live; and what they confirm.
//
// One point for each device: `sent` is the last number put on its way, and nothing but the next one
// ever follows it. Live messages go out at once where the device is there; else Pump brings it
// there, from the cache or by reads, as far as its window allows.
#include <algorithm>
#include <map>

#include "chat/engine.h"

namespace parley {

void Engine::SubscribeInbox(Session& session, bool kept) {
  session.inbox = true;
  bool first = session.kept;
  session.kept = kept;
  using Delivery = Session::Delivery;
  switch (session.delivery) {
    case Delivery::kOff:
      return StartDelivery(session);
    case Delivery::kFailed:  // it goes on where it was to begin
      return Restart(session);
    case Delivery::kStarting:
      return;
    case Delivery::kReading:
    case Delivery::kLive:
      // Once more, so once more from what it confirmed. One that never did starts live, as it has.
      if (session.cursor && !first) StartDelivery(session);
  }
}

void Engine::StartDelivery(Session& session) {
  session.delivery = Session::Delivery::kStarting;
  session.placed = session.started = false;
  uint32_t start = ++session.start;
  User* user = session.user;
  auto with_tail = [this, id = session.id, start](const Status& status) {
    Session* it = FindSession(id);
    if (it == nullptr || it->start != start || it->delivery != Session::Delivery::kStarting) return;
    if (!status.ok()) return DeliveryFailed(*it, status);
    StartAt(*it, it->user->last);
  };
  if (Load(*user, kTail, with_tail) == Ready::kNow) StartAt(session, user->last);
}

// Live from `from`, unless the device once confirmed an earlier number: then from there.
void Engine::StartAt(Session& session, Seq from) {
  session.sent = from;
  session.placed = true;
  LoadCursor(session, [this, from, start = session.start](Session& it, const Status& status) {
    if (it.start != start) return;
    if (!status.ok()) return DeliveryFailed(it, status);
    it.acked = it.cursor.value_or(from);
    it.sent = it.acked;
    it.started = true;
    it.delivery = Session::Delivery::kLive;
    Pump(it);
  });
}

// Calls `then`, now or later, unless the session is gone by then.
void Engine::LoadCursor(Session& session, OnCursor then) {
  if (session.cursor_loaded) return then(session, Status());
  auto failed = [id = session.id, then](Engine& engine, const Status& status) {
    if (Session* it = engine.FindSession(id)) then(*it, status);
  };
  auto job = [user = session.user->id, device = session.device, id = session.id, then,
              failed](const MessageStore& store) -> Continuation {
    auto cursors = store.ReadDevices(user);
    if (!cursors) return [failed, status = cursors.error()](Engine& e) { failed(e, status); };
    auto mine = std::find_if(cursors->begin(), cursors->end(),
                             [&](const DeviceCursor& c) { return c.device == device; });
    std::optional<Seq> cursor;
    if (mine != cursors->end()) cursor = mine->delivered;
    return [id, then, cursor](Engine& engine) {
      Session* it = engine.FindSession(id);
      if (it == nullptr) return;
      if (!it->cursor_loaded) it->cursor = cursor;
      it->cursor_loaded = true;
      then(*it, Status());
    };
  };
  Read(*session.user, std::move(job), failed);
}

// The user's log is read again, after the journal took numbers back or its store was down.
void Engine::Restart(Session& session) {
  session.cursor_loaded = false;
  if (session.delivery == Session::Delivery::kOff) return;
  if (!session.placed) return StartDelivery(session);
  uint32_t start = ++session.start;
  session.delivery = session.started ? Session::Delivery::kReading : Session::Delivery::kStarting;
  // What it confirmed may have been taken back, too: then it has neither window nor place.
  auto resume = [this, start](Session& it, const Status& status) {
    if (it.start != start) return;
    if (!status.ok()) return DeliveryFailed(it, status);
    it.delivery = Session::Delivery::kLive;
    Pump(it);
  };
  auto with_tail = [this, id = session.id, start, resume](const Status& status) {
    Session* it = FindSession(id);
    if (it == nullptr || it->start != start) return;
    if (!status.ok()) return DeliveryFailed(*it, status);
    if (!it->started) return StartAt(*it, it->sent);
    LoadCursor(*it, resume);
  };
  if (Load(*session.user, kTail, with_tail) == Ready::kNow) with_tail(Status());
}

void Engine::StoresChanged() {
  any_failed_ = false;
  for (auto& [id, session] : sessions_) {
    if (session.delivery != Session::Delivery::kFailed) continue;
    if (log_->store_ok(session.user->id.str())) {
      Restart(session);
    } else {
      any_failed_ = true;
    }
  }
}

// Its log can't be read now. Rather no messages than a gap; it goes on when the store is back.
void Engine::DeliveryFailed(Session& session, const Status& status) {
  session.delivery = Session::Delivery::kFailed;
  any_failed_ = true;
  if (std::exchange(session.told_failed, true)) return;
  Asker asker{session.id, session.user->id, "\"topic\":\"chat/" + session.user->id.str() + "\",",
              "", ""};
  Refuse(asker, status);
}

bool Engine::WindowOpen(const Session& session) const {
  return !session.cursor || session.sent.value() < session.acked.value() + options_.window;
}

void Engine::Deliver(Session& session, const CachedEntry& entry) {
  Effect& effect = Emit(session.id, Channel::kInbox);
  effect.seq = entry.seq;
  effect.rest = {entry.message, &entry.message->rest};
  effect.needs = entry.message->lsn;
  session.sent = entry.seq;
  session.told_failed = false;
}

const CachedEntry* Engine::InCache(const User& user, Seq seq) const {
  if (!user.cache || seq > user.last) return nullptr;
  const auto& entries = user.cache->entries;
  if (seq < entries.front().seq) return nullptr;
  return &entries[seq.value() - entries.front().seq.value()];
}

void Engine::Pump(Session& session) {
  if (session.delivery != Session::Delivery::kLive) return;
  User& user = *session.user;
  while (session.sent < user.last && WindowOpen(session)) {
    const CachedEntry* next = InCache(user, session.sent.Next());
    if (next == nullptr) return ReadFor(session);
    ++counts_.cache_hits;
    Deliver(session, *next);
  }
}

void Engine::ReadFor(Session& session) {
  session.delivery = Session::Delivery::kReading;
  ++counts_.cache_misses;
  uint64_t room = session.cursor ? session.acked.value() + options_.window - session.sent.value()
                                 : options_.window;
  auto failed = [id = session.id, start = session.start](Engine& engine, const Status& status) {
    Session* it = engine.FindSession(id);
    if (it != nullptr && it->start == start) engine.DeliveryFailed(*it, status);
  };
  auto job = [user = session.user->id, id = session.id, start = session.start, failed, log = log_,
              page = Page{.after = session.sent, .limit = room}](
                 const MessageStore& store) -> Continuation {
    auto read = store.ReadLog(user, page);
    Status status = read ? FillPage(log, &*read, page.bytes_max) : read.error();
    if (!status.ok()) return [failed, status](Engine& engine) { failed(engine, status); };
    auto entries = std::make_shared<std::vector<CachedEntry>>();
    for (LogEntry& entry : read->entries) entries->push_back(ToCached(entry));
    return [id, start, entries](Engine& engine) {
      Session* it = engine.FindSession(id);
      if (it == nullptr || it->start != start) return;
      it->delivery = Session::Delivery::kLive;
      for (const CachedEntry& entry : *entries) {
        // A receipt may have moved `sent` on meanwhile.
        if (entry.seq == it->sent.Next() && engine.WindowOpen(*it)) engine.Deliver(*it, entry);
      }
      if (!entries->empty()) engine.Pump(*it);
    };
  };
  Read(*session.user, std::move(job), failed);
}

// Receipts.

void Engine::Receipt(Session& session, User& user, const Asker& asker, std::string_view payload) {
  Asker named = asker;
  named.head += "\"topic\":\"receipt/" + user.id.str() + "\",";
  if (!Count(&named, &UnderWay::receipts, options_.parked_max)) {
    return Refuse(named, {Code::kBusy, "too many of your receipts are waiting; try again"});
  }
  auto receipt = ParseObject(payload);
  if (!receipt) return Refuse(named, receipt.error());
  if (receipt->contains("group")) return GroupReceipt(user, named, *receipt);
  uint64_t delivered = 0;
  uint64_t read = 0;
  Status status = OnlyKnown(*receipt, {"delivered", "read"});
  if (status.ok()) status = ReadNumber(*receipt, "delivered", 0, UINT64_MAX, &delivered);
  if (status.ok()) status = ReadNumber(*receipt, "read", 0, UINT64_MAX, &read);
  if (status.ok() && receipt->empty()) {
    status = {Code::kBadRequest, "a receipt holds 'delivered', 'read' or both"};
  }
  if (!status.ok()) return Refuse(named, status);
  // A gateway that confirms for somebody is no device of theirs.
  bool own = session.user == &user;
  ++session.receipts_waiting;
  auto done = [this, id = session.id, it = &user, own, named, delivered,
               read](const Status& cursor) {
    Session* device = FindSession(id);
    if (cursor.ok()) {
      bool confirms = own && !device->removed;
      TakeReceipt(confirms ? device : nullptr, *it, named, Seq(delivered), Seq(read));
    } else {
      Refuse(named, cursor);
    }
    Disconnected left{id};
    if (--device->receipts_waiting == 0 && device->gone) On(left);
  };
  auto take = [this, id = session.id, own, done](const Status& loaded) {
    if (!loaded.ok() || !own) return done(loaded);
    LoadCursor(*FindSession(id), [done](Session&, const Status& cursor) { done(cursor); });
  };
  if (Load(user, kTail, take) == Ready::kNow) take(Status());
}

void Engine::TakeReceipt(Session* device, User& user, const Asker& asker, Seq delivered, Seq read) {
  delivered = std::max(delivered, read);  // what was read was delivered
  if (!Loads(user, kTail) || !log_->journal_ok() || !log_->store_ok(user.id.str())) {
    return Refuse(asker, {Code::kUnavailable, "the store can't be written now; try again later"});
  }
  if (delivered > user.last) {
    return Refuse(asker, {Code::kBadRequest, "past the end of the log, which is at " +
                                                 std::to_string(user.last.value())});
  }
  Lsn before = next_lsn_;
  if (device != nullptr) Confirm(*device, delivered);
  user.wanted_delivered = std::max(user.wanted_delivered, delivered);
  user.wanted_read = std::max(user.wanted_read, read);
  if (IsForOther(asker)) user.waiting_receipts.push_back({asker, delivered, read});
  AdvanceMarks(user);
  if (device != nullptr && next_lsn_ > before) device->receipt_lsn = Lsn(next_lsn_.value() - 1);
}

void Engine::RefuseReceipt(Session& device, const Status& why) {
  device.receipt_lsn = Lsn();
  Refuse(
      {device.id, device.user->id, "\"topic\":\"receipt/" + device.user->id.str() + "\",", "", ""},
      why);
}

void Engine::Confirm(Session& device, Seq delivered) {
  bool first = !device.cursor;
  if (first || delivered > *device.cursor) {
    device.cursor = delivered;
    Transaction& change = Change();
    change.records.emplace_back(
        DeviceCursorRecord{device.user->id, device.device, delivered, now_ms_});
    device.user->lsn = change.lsn;
  }
  device.acked = std::max(device.acked, delivered);
  device.sent = std::max(device.sent, delivered);
  if (first) ForgetOldCursors(*device.user);
  Pump(device);
}

// A device has confirmed for the first time. Of more than kDevicesMax those that confirmed longest
// ago lose their place, as they are no longer listed: they start live when they come back.
void Engine::ForgetOldCursors(User& user) {
  auto failed = [](Engine&, const Status&) {};  // the next one tries again
  auto job = [it = &user, id = user.id](const MessageStore& store) -> Continuation {
    auto cursors = store.ReadDevices(id);
    if (!cursors || cursors->size() <= kDevicesMax) return [](Engine&) {};
    std::sort(cursors->begin(), cursors->end(),
              [](const DeviceCursor& a, const DeviceCursor& b) { return a.ts_ms < b.ts_ms; });
    return [it, oldest = std::move(*cursors)](Engine& engine) {
      engine.DropCursors(*it, oldest, oldest.size() - kDevicesMax);
    };
  };
  Read(user, std::move(job), failed);
}

// The first `count` of those that aren't here.
void Engine::DropCursors(User& user, const std::vector<DeviceCursor>& cursors, size_t count) {
  if (!log_->journal_ok() || !log_->store_ok(user.id.str())) return;
  auto here = [&](const DeviceCursor& cursor) {
    return std::any_of(user.sessions.begin(), user.sessions.end(),
                       [&](const Session* session) { return session->device == cursor.device; });
  };
  std::vector<Record> gone;
  for (const DeviceCursor& cursor : cursors) {
    if (gone.size() == count) break;
    if (!here(cursor)) gone.emplace_back(DeviceGoneRecord{user.id, cursor.device});
  }
  if (gone.empty()) return;
  Transaction& change = Change();
  change.records = std::move(gone);
  user.lsn = change.lsn;
}

// Moves the user's marks to what is wanted and tells the senders of what lies between.
void Engine::AdvanceMarks(User& user) {
  if (user.marks_reading) return;
  Seq delivered = std::max(user.delivered, user.wanted_delivered);
  Seq read = std::max(user.read, user.wanted_read);
  if (delivered == user.delivered && read == user.read) return TellReceipts(user, Status());
  Seq from = delivered > user.delivered ? user.delivered : user.read;
  if (read > user.read) from = std::min(from, user.read);
  if (InCache(user, from.Next()) != nullptr) {
    std::vector<CachedEntry> entries;
    for (Seq seq = from.Next(); seq <= std::max(delivered, read); seq = seq.Next()) {
      entries.push_back(*InCache(user, seq));
    }
    MarkRange(user, delivered, read, entries);
    return TellReceipts(user, Status());
  }
  user.marks_reading = true;
  User* it = &user;
  auto failed = [it](Engine& engine, const Status& why) {
    it->marks_reading = false;
    engine.TellReceipts(*it, why);
  };
  auto job = [it, from, delivered, read, failed,
              id = user.id](const MessageStore& store) -> Continuation {
    auto page = store.ReadLog(id, {.after = from, .limit = 1000});
    if (!page) return [failed, status = page.error()](Engine& engine) { failed(engine, status); };
    auto entries = std::make_shared<std::vector<CachedEntry>>();
    for (LogEntry& entry : page->entries) entries->push_back(ToCached(entry));
    return [it, delivered, read, entries](Engine& engine) {
      it->marks_reading = false;
      if (entries->empty() || !engine.Loads(*it, kTail)) {
        return engine.TellReceipts(*it, Unwritable());
      }
      Seq end = entries->back().seq;
      engine.MarkRange(*it, std::clamp(end, it->delivered, delivered),
                       std::clamp(end, it->read, std::max(read, it->read)), *entries);
      engine.AdvanceMarks(*it);
    };
  };
  Read(user, std::move(job), failed);
}

// Gateways are told of a receipt: that the user's marks are so far, or why they can't be.
void Engine::TellReceipts(User& user, const Status& status) {
  for (const WaitingReceipt& waiting : user.waiting_receipts) {
    if (!status.ok()) {
      Refuse(waiting.asker, status);
    } else if (waiting.delivered <= user.delivered && waiting.read <= user.read) {
      Answer(waiting.asker, "", user.lsn);
    }
  }
  user.waiting_receipts.RemoveIf([&](const WaitingReceipt& waiting) {
    return !status.ok() || (waiting.delivered <= user.delivered && waiting.read <= user.read);
  });
}

// `entries` hold at least what lies between the marks as they are and as they become.
void Engine::MarkRange(User& user, Seq delivered, Seq read,
                       const std::vector<CachedEntry>& entries) {
  std::map<UserId, PeerMarks> senders;
  std::map<GroupId, GroupRange> groups;
  for (const CachedEntry& entry : entries) {
    const CachedMessage& message = *entry.message;
    bool in_delivered = entry.seq > user.delivered && entry.seq <= delivered;
    bool in_read = entry.seq > user.read && entry.seq <= read;
    if (!message.group.empty()) {
      groups[message.group].Add(message, user.id, in_delivered, in_read);
    } else if (message.from != user.id) {
      if (in_delivered) senders[message.from].delivered = entry.peer_seq;
      if (in_read) senders[message.from].read = entry.peer_seq;
    }
  }
  user.delivered = delivered;
  user.read = read;
  Transaction& change = Change();
  user.lsn = change.lsn;
  Lsn lsn = change.lsn;
  change.records.emplace_back(MarksRecord{user.id, delivered, read});
  CancelRead(user, GroupId(), read, &change);
  for (const auto& [group, range] : groups) RecordGroupMarks(user, group, range.all, change);
  for (const auto& [sender, marks] : senders) {
    change.records.emplace_back(
        PeerMarksRecord{sender, user.id, marks.delivered, marks.read, now_ms_});
    auto known = users_.find(sender);
    if (known == users_.end()) {
      forgotten_lsn_ = std::max(forgotten_lsn_, change.lsn);
      continue;
    }
    known->second->lsn = change.lsn;
    EmitReceipt(*known->second, user.id, "", marks, lsn);
  }
  for (const auto& [group, range] : groups) TellGroupSenders(user.id, group, range.senders, lsn);
  UpdateUnread(user);
}

// `members`: what stands between "by" and the numbers.
void Engine::EmitReceipt(const User& sender, const UserId& by, std::string_view members,
                         const PeerMarks& marks, Lsn needs) {
  std::string payload;
  for (const Session* session : sender.sessions) {
    if (!session->receipts) continue;
    if (payload.empty()) {
      payload = "{\"by\":\"" + by.str() + "\"";
      payload += members;
      if (marks.delivered > Seq()) {
        payload += ",\"delivered\":" + std::to_string(marks.delivered.value());
      }
      if (marks.read > Seq()) payload += ",\"read\":" + std::to_string(marks.read.value());
      payload += ",\"ts\":" + std::to_string(now_ms_) + "}";
    }
    Effect& effect = Emit(session->id, Channel::kReceipt);
    effect.payload = payload;
    effect.needs = needs;
  }
}

}  // namespace parley
