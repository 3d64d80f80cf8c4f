// Random users, devices, messages, receipts and requests on an engine whose reads come back in any
// order, whose journal commits, refuses, sticks and crashes at any moment and whose stores fail,
// against the plain truth: what the log has committed.
//
// A failing run prints its seed. PARLEY_MODEL_SEED runs that one alone, PARLEY_MODEL_RUNS says how
// many are run.
#include <cstdlib>
#include <optional>
#include <random>

#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;

const std::vector<std::string> kUsers = {"alice", "bob", "carol", "dave"};

// What the log has committed, read the plain way.
struct Truth {
  struct Entry {
    MessageRecord message;
    uint64_t seq = 0;
    std::string json;
  };
  std::map<std::string, std::vector<Entry>> logs;  // by user; the entry of seq n is at n - 1
  size_t seen = 0;                                 // transactions that are in it

  const std::vector<Entry>& Log(const std::string& user) { return logs[user]; }

  // Takes in what was committed since. Numbers have no gap, and no id is there twice.
  void Grow(const FakeLog& log) {
    for (; seen < log.transactions().size(); ++seen) {
      for (const Record& record : log.transactions()[seen].records) {
        if (auto message = std::get_if<MessageRecord>(&record)) Add(*message);
      }
    }
  }
  void Add(const MessageRecord& message) {
    for (const Entry& entry : logs[message.from.str()]) {
      bool twice = entry.message.from == message.from && entry.message.id == message.id;
      INFO("id " << message.id << " of " << message.from.str());
      REQUIRE_FALSE(twice);
    }
    Append(message.from.str(), message.from_seq, message);
    if (message.to != message.from) Append(message.to.str(), message.to_seq, message);
  }
  void Append(const std::string& user, Seq seq, const MessageRecord& message) {
    INFO("the log of " << user);
    REQUIRE(seq.value() == logs[user].size() + 1);
    std::string text;
    AppendMessage(seq, MessageRest(message), &text);
    logs[user].push_back({message, seq.value(), text});
  }

  static const std::string& PeerIn(const Entry& entry, const std::string& user) {
    return entry.message.from.str() == user ? entry.message.to.str() : entry.message.from.str();
  }

  // A conversation's messages in their latest form, oldest first.
  json History(const std::string& user, const std::string& peer) {
    json all = json::array();
    for (const Entry& entry : Log(user)) {
      if (PeerIn(entry, user) != peer || entry.message.type != MessageType::kMessage) continue;
      all.push_back(Latest(user, entry));
    }
    return all;
  }
  json Latest(const std::string& user, const Entry& entry) {
    json latest = json::parse(entry.json);
    std::map<std::string, json> reactions;
    for (const Entry& later : Log(user)) {
      const MessageRecord& what = later.message;
      if (what.type == MessageType::kMessage || what.ref->from != entry.message.from ||
          what.ref->id != entry.message.id) {
        continue;
      }
      if (what.type == MessageType::kEdit) {
        latest["body"] = json::parse(what.body);
        latest["edited"] = what.ts_ms;
      } else if (what.type == MessageType::kRetract) {
        latest["retracted"] = what.ts_ms;
      } else {
        reactions[what.from.str()] = json::parse(what.body);
      }
    }
    if (latest.contains("retracted")) latest.erase("body");
    for (const auto& [from, body] : reactions) {
      if (body != "") latest["reactions"].push_back({{"from", from}, {"body", body}});
    }
    return latest;
  }

  // Peers, latest first.
  std::vector<std::string> Peers(const std::string& user) {
    std::vector<std::string> peers;
    for (auto entry = Log(user).rbegin(); entry != Log(user).rend(); ++entry) {
      if (std::find(peers.begin(), peers.end(), PeerIn(*entry, user)) == peers.end()) {
        peers.push_back(PeerIn(*entry, user));
      }
    }
    return peers;
  }
  uint64_t Unread(const std::string& user, const std::string& peer, uint64_t read) {
    uint64_t unread = 0;
    for (const Entry& entry : Log(user)) {
      unread += PeerIn(entry, user) == peer && entry.message.from.str() != user && entry.seq > read;
    }
    return unread;
  }
};

// A device as its owner knows it, over all its connections.
struct Gadget {
  std::string user;
  std::string id;
  bool confirms = false;
  TestDevice* now = nullptr;  // connected as
  bool subscribed = false;
  uint64_t have = 0;                      // has every message up to this
  std::optional<uint64_t> live;           // one that doesn't confirm: the last live message
  std::set<std::string> without_outcome;  // ids sent on this connection
  size_t looked_at = 0;                   // effects of this connection that were checked
};

class Run {
 public:
  explicit Run(uint64_t seed) : random_(seed), world_(RandomOptions()) {
    for (const std::string& user : kUsers) {
      for (int i = 0; i < 3; ++i) {
        Gadget gadget;
        gadget.user = user;
        gadget.id = user + ":" + std::to_string(i);
        gadget.confirms = i < 2;
        gadgets_.push_back(gadget);
      }
    }
    for (Gadget& gadget : gadgets_) {
      Connect(gadget);
      if (gadget.confirms) world_.Confirm(*gadget.now, 0);
    }
    world_.Settle();
    Look();
  }

  void Steps(int count) {
    for (int i = 0; i < count; ++i) {
      Step();
      truth_.Grow(world_.log);
      Look();
    }
  }

  // Everything heals, everybody comes and confirms: then all must be there, and be one.
  void Finish() {
    Heal();
    uint64_t before = 0;
    for (int round = 0; round < 500; ++round) {
      for (Gadget& gadget : gadgets_) {
        if (gadget.now == nullptr) Connect(gadget);
        if (!gadget.subscribed) Subscribe(gadget);
        // Also what was confirmed before: a receipt may have been refused.
        if (gadget.confirms) Confirm(gadget, gadget.have);
      }
      world_.Tick(1000);
      world_.Settle();
      truth_.Grow(world_.log);
      Look();
      uint64_t shown = 0;
      for (const Gadget& gadget : gadgets_) shown += gadget.have;
      if (round > 2 && shown == before) break;
      before = shown;
    }
    CheckDevices();
    CheckOutcomes();
    for (const std::string& user : kUsers) CheckUser(user);
  }

 private:
  EngineOptions RandomOptions() {
    EngineOptions options;
    options.window = 1 + Pick(6);
    options.user_rate = 0;
    options.user_cache_messages = 1 + Pick(6);
    options.cache_bytes = Chance(50) ? 2000 : 1 << 20;
    options.parked_max = 5 + Pick(20);
    options.user_idle_ms = Chance(50) ? 0 : 5000;
    return options;
  }

  size_t Pick(size_t count) { return random_() % count; }
  bool Chance(size_t percent) { return Pick(100) < percent; }
  const std::string& AUser() { return kUsers[Pick(kUsers.size())]; }
  Gadget& AGadget() { return gadgets_[Pick(gadgets_.size())]; }

  void Step() {
    const size_t what = Pick(100);
    if (what < 22) return Send(AGadget());
    if (what < 32) return ConfirmSome(AGadget());
    if (what < 38) return AskSync(AGadget());
    if (what < 40) return AskOther(AGadget());
    if (what < 44) return ComeOrGo(AGadget());
    if (what < 58) return RunARead();
    if (what < 72) return TakeARead();
    if (what < 84) return world_.log.Commit(1 + Pick(3));
    if (what < 94) return world_.Deliver(1 + Pick(20));
    if (what < 96) return world_.Tick(static_cast<int64_t>(Pick(3000)));
    if (what < 98) return FailOrStick();
    if (what < 99) return BreakAStore();
    if (Chance(20)) Crash();
  }

  // People.

  void Connect(Gadget& gadget) {
    gadget.now = &world_.Connect(gadget.user, gadget.id);
    world_.Subscribe(*gadget.now, Channel::kReceipt);
    gadget.looked_at = 0;
    gadget.without_outcome.clear();
    Subscribe(gadget);
  }
  void Subscribe(Gadget& gadget) {
    world_.Subscribe(*gadget.now);
    gadget.subscribed = true;
    gadget.live.reset();
  }
  void ComeOrGo(Gadget& gadget) {
    if (gadget.now == nullptr) return Connect(gadget);
    if (Chance(50)) {
      world_.Leave(*gadget.now);
      gadget.now = nullptr;
      gadget.subscribed = false;
    } else if (gadget.subscribed) {
      // What is on its way now would come mixed with what the next subscription brings.
      world_.log.Commit();
      world_.Deliver();
      if (world_.release->size() > 0) return;
      world_.Unsubscribe(*gadget.now);
      gadget.subscribed = false;
      gadget.without_outcome.clear();  // copies that were to come don't any more
    } else {
      Subscribe(gadget);
    }
  }

  void Send(Gadget& gadget) {
    if (gadget.now == nullptr) return;
    const std::string to = AUser();
    json payload;
    std::string id;
    if (Chance(60)) {
      id = "once-" + std::to_string(++ids_);
      once_.emplace(id, gadget.user);
    } else {
      id = "often-" + std::to_string(Pick(20));
    }
    payload["id"] = id;
    payload["body"] = "b" + std::to_string(Pick(2));
    const auto& log = truth_.Log(gadget.user);
    if (!log.empty() && Chance(30)) {
      static const char* const types[] = {"edit", "retract", "reaction", "message"};
      const MessageRecord& about = log[Pick(log.size())].message;
      payload["type"] = types[Pick(4)];
      payload["ref"] = {{"from", about.from.str()}, {"id", about.id}};
      if (payload["type"] == "retract") payload.erase("body");
    }
    gadget.without_outcome.insert(id);
    world_.Publish(*gadget.now, "chat/" + to, payload.dump());
  }

  void Confirm(Gadget& gadget, uint64_t delivered) {
    world_.Confirm(*gadget.now, delivered);
    most_confirmed_[gadget.user] = std::max(most_confirmed_[gadget.user], delivered);
  }
  void ConfirmSome(Gadget& gadget) {
    if (gadget.now == nullptr || !gadget.confirms) return;
    uint64_t seq = gadget.have - (gadget.have > 0 ? Pick(std::min<uint64_t>(gadget.have, 4)) : 0);
    if (Chance(70)) return Confirm(gadget, seq);
    world_.ConfirmRead(*gadget.now, seq);
    most_confirmed_[gadget.user] = std::max(most_confirmed_[gadget.user], seq);
  }

  struct Asked {
    std::string user;
    uint64_t after = 0, limit = 0;
    uint64_t shown = 0;  // the user had seen this much by then
  };
  void AskSync(Gadget& gadget) {
    if (gadget.now == nullptr) return;
    Asked asked{gadget.user, Pick(truth_.Log(gadget.user).size() + 3), 1 + Pick(10),
                shown_[gadget.user]};
    const std::string rid = "s" + std::to_string(++ids_);
    asked_[rid] = asked;
    json request = {{"rid", rid}, {"after", asked.after}, {"limit", asked.limit}};
    if (Chance(30)) request["wait"] = Pick(4);
    world_.Publish(*gadget.now, "ask/sync", request.dump());
  }
  // Their answers are checked at the end; here they only get in the way.
  void AskOther(Gadget& gadget) {
    if (gadget.now == nullptr) return;
    static const char* const methods[] = {"recent", "conversations", "devices.list"};
    world_.Publish(*gadget.now, std::string("ask/") + methods[Pick(3)], "{}");
  }

  // The machine.

  void RunARead() {
    if (!world_.readers.jobs.empty()) world_.RunRead(Pick(world_.readers.jobs.size()));
  }
  void TakeARead() {
    if (!world_.readers.done.empty()) world_.TakeRead(Pick(world_.readers.done.size()));
  }
  void FailOrStick() {
    if (failed_) {
      world_.TellFailed(*std::exchange(failed_, std::nullopt));
    } else if (stuck_ || Chance(40)) {
      stuck_ = !stuck_;
      world_.log.SetStuck(stuck_);
    } else {
      failed_ = world_.log.Fail();
      if (Chance(50)) FailOrStick();
    }
  }
  void BreakAStore() {
    const UserId user(AUser());
    if (Chance(50)) {
      world_.log.SetDown(user, !world_.log.store_ok(user.str()) ? false : true);
    } else {
      world_.log.SetUnreadable(user, Chance(50));
    }
    if (Chance(80)) world_.TellStores();
  }
  void Heal() {
    if (failed_) world_.TellFailed(*std::exchange(failed_, std::nullopt));
    world_.log.SetStuck(stuck_ = false);
    for (const std::string& user : kUsers) {
      world_.log.SetDown(UserId(user), false);
      world_.log.SetUnreadable(UserId(user), false);
    }
    world_.TellStores();
    world_.Settle();
    truth_.Grow(world_.log);
    Look();
  }
  // What is queued may or may not be on the disk; nobody has seen it.
  void Crash() {
    failed_.reset();
    world_.log.SetStuck(stuck_ = false);
    world_.log.Commit(Pick(5));
    world_.Restart();
    for (Gadget& gadget : gadgets_) {
      gadget.now = nullptr;
      gadget.subscribed = false;
    }
    asked_.clear();
  }

  // What the devices were shown since.

  void Look() {
    for (Gadget& gadget : gadgets_) {
      if (gadget.now == nullptr) continue;
      for (; gadget.looked_at < gadget.now->effects.size(); ++gadget.looked_at) {
        const Effect& effect = gadget.now->effects[gadget.looked_at];
        INFO("device " << gadget.id);
        if (effect.channel == Channel::kInbox) {
          LookAtMessage(gadget, effect);
        } else if (effect.channel == Channel::kReceipt) {
          LookAtReceipt(gadget, json::parse(effect.payload));
        } else if (!effect.payload.empty()) {
          LookAtAnswer(gadget, json::parse(effect.payload));
        }
      }
    }
  }

  void LookAtMessage(Gadget& gadget, const Effect& effect) {
    std::string shown;
    AppendMessage(effect.seq, *effect.rest, &shown);
    const uint64_t seq = effect.seq.value();
    const auto& log = truth_.Log(gadget.user);
    REQUIRE(seq <= log.size());
    REQUIRE(shown == log[seq - 1].json);
    const MessageRecord& message = log[seq - 1].message;
    const bool own = message.from.str() == gadget.user;
    shown_[gadget.user] = std::max(shown_[gadget.user], seq);
    if (own) gadget.without_outcome.erase(message.id);
    if (own && once_.contains(message.id)) stored_.insert(message.id);
    // The broker would not deliver what was on its way when the device unsubscribed.
    if (!gadget.subscribed) return;
    if (gadget.confirms) {
      REQUIRE(seq <= gadget.have + 1);
      gadget.have = std::max(gadget.have, seq);
    } else if (gadget.live) {
      REQUIRE((seq == *gadget.live + 1 || (own && seq <= *gadget.live)));
      gadget.live = std::max(*gadget.live, seq);
    } else if (!own) {  // an own one may be a copy that was asked for again
      gadget.live = seq;
    }
  }

  // Nobody is told that another has what it never confirmed.
  void LookAtReceipt(const Gadget& gadget, const json& receipt) {
    const std::string by = receipt["by"];
    for (const char* mark : {"delivered", "read"}) {
      if (!receipt.contains(mark)) continue;
      const uint64_t seq = receipt[mark];
      const auto& log = truth_.Log(gadget.user);
      REQUIRE((seq > 0 && seq <= log.size()));
      const MessageRecord& message = log[seq - 1].message;
      REQUIRE(message.to.str() == by);
      REQUIRE(message.to_seq.value() <= most_confirmed_[by]);
    }
  }

  void LookAtAnswer(Gadget& gadget, const json& answer) {
    if (answer.contains("id")) {
      const std::string id = answer["id"];
      gadget.without_outcome.erase(id);
      if (!once_.contains(id)) return;
      (answer["ok"] == true ? stored_ : refused_).insert(id);
      if (answer["ok"] != true) return;
      const uint64_t seq = answer["seq"];
      REQUIRE((seq > 0 && seq <= truth_.Log(gadget.user).size()));
      REQUIRE(truth_.Log(gadget.user)[seq - 1].message.id == id);
      return;
    }
    if (answer["ok"] == true && answer.contains("rid")) {
      auto asked = asked_.find(answer["rid"]);
      if (asked != asked_.end()) LookAtSync(asked->second, answer);
    }
    // A message that was refused before its id was read names none: any may be meant.
    if (answer["ok"] == false && answer.value("topic", "").starts_with("chat/")) {
      if (answer["error"]["code"] == "busy") gadget.without_outcome.clear();
    }
  }

  void LookAtSync(const Asked& asked, const json& answer) {
    const auto& log = truth_.Log(asked.user);
    const uint64_t head = answer["head"];
    REQUIRE(head <= log.size());
    REQUIRE(head >= asked.shown);  // never less than was seen before
    const json& messages = answer["messages"];
    REQUIRE(messages.size() <= asked.limit);
    uint64_t seq = asked.after;
    for (const json& message : messages) {
      REQUIRE(++seq <= log.size());
      REQUIRE(message == json::parse(log[seq - 1].json));
    }
    if (messages.empty()) REQUIRE(asked.after >= head);
    if (answer["more"] == false) REQUIRE(std::max(asked.after, seq) >= head);
  }

  // The end.

  void CheckDevices() {
    for (const Gadget& gadget : gadgets_) {
      INFO("device " << gadget.id);
      if (gadget.confirms) CHECK(gadget.have == truth_.Log(gadget.user).size());
    }
  }
  void CheckOutcomes() {
    for (const Gadget& gadget : gadgets_) {
      INFO("device " << gadget.id);
      for (const std::string& id : gadget.without_outcome) FAIL_CHECK("no outcome of " << id);
    }
    std::set<std::string> in_log;
    for (const std::string& user : kUsers) {
      for (const Truth::Entry& entry : truth_.Log(user)) in_log.insert(entry.message.id);
    }
    for (const std::string& id : stored_) {
      if (!in_log.contains(id)) FAIL_CHECK(id << " was stored and is gone");
    }
    for (const std::string& id : refused_) {
      if (in_log.contains(id)) FAIL_CHECK(id << " was refused and is there");
    }
  }

  void CheckUser(const std::string& user) {
    INFO("user " << user);
    TestDevice& device = *std::find_if(gadgets_.begin(), gadgets_.end(), [&](const Gadget& gadget) {
                            return gadget.user == user;
                          })->now;
    const auto& log = truth_.Log(user);
    for (uint64_t after = 0; after < log.size(); after += 100) {
      json page = world_.Ask(device, "sync", "\"after\":" + std::to_string(after));
      REQUIRE(page["messages"].size() == std::min<size_t>(100, log.size() - after));
      for (size_t i = 0; i < page["messages"].size(); ++i) {
        REQUIRE(page["messages"][i] == json::parse(log[after + i].json));
      }
      REQUIRE(page["head"] == log.size());
    }
    const uint64_t read = world_.log.Caught(UserId(user)).ReadTail(UserId(user))->read.value();
    const auto peers = truth_.Peers(user);
    json recent = world_.Ask(device, "recent")["conversations"];
    json talks = world_.Ask(device, "conversations")["conversations"];
    REQUIRE(recent.size() == peers.size());
    REQUIRE(talks.size() == peers.size());
    for (size_t i = 0; i < peers.size(); ++i) {
      INFO("with " << peers[i]);
      CHECK(talks[i]["with"] == peers[i]);
      CHECK(recent[i]["with"] == peers[i]);
      CHECK(talks[i]["unread"] == truth_.Unread(user, peers[i], read));
      CHECK(recent[i]["unread"] == truth_.Unread(user, peers[i], read));
      CheckLast(user, peers[i], talks[i], recent[i]);
      CheckHistory(device, user, peers[i]);
    }
  }
  void CheckLast(const std::string& user, const std::string& peer, const json& talk,
                 const json& recent) {
    json last = json::array();
    for (auto entry = truth_.Log(user).rbegin(); entry != truth_.Log(user).rend(); ++entry) {
      if (Truth::PeerIn(*entry, user) == peer && last.size() < 15) {
        last.push_back(json::parse(entry->json));
      }
    }
    CHECK(recent["messages"] == last);
    CHECK(talk["last"] == last[0]);
  }
  void CheckHistory(TestDevice& device, const std::string& user, const std::string& peer) {
    const json expected = truth_.History(user, peer);
    json all = json::array();
    for (uint64_t after = 0;;) {
      json page =
          world_.Ask(device, "history",
                     R"("limit":7,"with":")" + peer + R"(","after":)" + std::to_string(after));
      for (const json& message : page["messages"]) all.push_back(message);
      if (page["more"] == false) {
        CheckMarks(user, peer, page);
        break;
      }
      after = all.back()["seq"];
    }
    CHECK(all == expected);
    json newest = world_.Ask(device, "history", R"("limit":7,"with":")" + peer + "\"")["messages"];
    REQUIRE(newest.size() == std::min<size_t>(7, expected.size()));
    for (size_t i = 0; i < newest.size(); ++i) {
      CHECK(newest[i] == expected[expected.size() - 1 - i]);
    }
  }
  // What the peer has confirmed of what the user sent to it.
  void CheckMarks(const std::string& user, const std::string& peer, const json& page) {
    if (user == peer) return;
    auto tail = *world_.log.Caught(UserId(peer)).ReadTail(UserId(peer));
    uint64_t delivered = 0, read = 0;
    for (const Truth::Entry& entry : truth_.Log(user)) {
      if (entry.message.from.str() != user || entry.message.to.str() != peer) continue;
      if (entry.message.to_seq <= tail.delivered) delivered = entry.seq;
      if (entry.message.to_seq <= tail.read) read = entry.seq;
    }
    CHECK(page["delivered"] == delivered);
    CHECK(page["read"] == read);
  }

  std::mt19937_64 random_;
  World world_;
  Truth truth_;
  std::vector<Gadget> gadgets_;
  std::map<std::string, uint64_t> shown_, most_confirmed_;  // by user
  std::map<std::string, Asked> asked_;                      // by rid
  std::map<std::string, std::string> once_;                 // ids that are sent once → by whom
  std::set<std::string> stored_, refused_;                  // of those, as their senders were told
  std::optional<Lsn> failed_;  // the journal has failed and the engine doesn't know
  bool stuck_ = false;
  uint64_t ids_ = 0;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST_CASE("whatever fails in whatever order, every user has one log, and every device sees it") {
  const uint64_t one = FromEnvironment("PARLEY_MODEL_SEED", 0);
  const uint64_t first = one > 0 ? one : 1;
  const uint64_t runs = one > 0 ? 1 : FromEnvironment("PARLEY_MODEL_RUNS", 150);
  for (uint64_t seed = first; seed < first + runs; ++seed) {
    INFO("PARLEY_MODEL_SEED=" << seed);
    Run run(seed);
    run.Steps(600);
    run.Finish();
  }
}

}  // namespace
}  // namespace parley
