#include "plugin/sessions.h"

#include <set>

#include "tests/catch.h"

namespace parley {
namespace {

// Mosquitto's pointers are names to us: any will do.
const mosquitto* Pointer(uintptr_t n) { return reinterpret_cast<const mosquitto*>(n * 64); }

Who Of(const char* user, const char* device) {
  return {UserId(user), DeviceId(device), Role::kUser};
}

constexpr int64_t kNow = 1000;
constexpr Sessions::Limits kLimits{.expiry_s = 600, .lasting_max = 3};
constexpr size_t kInbox = static_cast<size_t>(Channel::kInbox);

// A broker that keeps every session.
bool Keeps(const std::string&) { return true; }

Session& AddLasting(Sessions* sessions, const mosquitto* client, Who who, bool resume = true) {
  Session& session = sessions->Add(client, std::move(who), resume);
  session.lasting = true;
  return session;
}

TEST_CASE("a session is found by its pointer and its id until it ends, once") {
  Sessions sessions(kLimits, Keeps);
  const SessionId id = sessions.Add(Pointer(1), Of("alice", "alice:phone"), false).id;
  CHECK(sessions.Find(Pointer(1))->id == id);
  CHECK(sessions.Find(id)->who.user == UserId("alice"));
  CHECK(sessions.Connected("alice:phone"));
  CHECK(sessions.Remove(Pointer(1), kNow) == id);
  CHECK(sessions.Remove(Pointer(1), kNow) == 0);  // Mosquitto tells some ends twice
  CHECK(sessions.Find(id) == nullptr);
  CHECK_FALSE(sessions.Connected("alice:phone"));
}

TEST_CASE("a pointer that is used again is another session") {
  Sessions sessions(kLimits, Keeps);
  const SessionId first = sessions.Add(Pointer(1), Of("alice", "alice:phone"), false).id;
  sessions.Remove(Pointer(1), kNow);
  const SessionId second = sessions.Add(Pointer(1), Of("bob", "bob:phone"), false).id;
  CHECK(first != second);
  CHECK(sessions.Find(Pointer(1))->who.user == UserId("bob"));
}

TEST_CASE("in a takeover the old session's end leaves the new one alone") {
  Sessions sessions(kLimits, Keeps);
  const SessionId old_id = sessions.Add(Pointer(1), Of("alice", "alice:phone"), false).id;
  const SessionId new_id = sessions.Add(Pointer(2), Of("alice", "alice:phone"), false).id;
  CHECK(sessions.Remove(Pointer(1), kNow) == old_id);
  CHECK(sessions.Connected("alice:phone"));
  CHECK(sessions.Find(Pointer(2))->id == new_id);
}

TEST_CASE("a lasting session's subscriptions return with it, to its user alone") {
  Sessions sessions(kLimits, Keeps);
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).to.qos[kInbox] = 1;
  sessions.Remove(Pointer(1), kNow);
  CHECK(sessions.HeldByOther("tablet", UserId("bob"), kNow));
  CHECK_FALSE(sessions.HeldByOther("tablet", UserId("alice"), kNow));
  CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), true).to.qos[kInbox] == 1);
}

TEST_CASE("a clean start ends remembered subscriptions") {
  Sessions sessions(kLimits, Keeps);
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).to.qos[kInbox] = 1;
  sessions.Remove(Pointer(1), kNow);
  CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), false).to.qos[kInbox] == kNotSubscribed);
  sessions.Remove(Pointer(2), kNow);
  CHECK(sessions.Add(Pointer(3), Of("alice", "tablet"), true).to.qos[kInbox] == kNotSubscribed);
}

// A broker that keeps what a test says, and how often it was asked.
struct Broker {
  std::set<std::string> kept;
  int asked = 0;
  Sessions sessions{kLimits, [this](const std::string& client_id) {
                      ++asked;
                      return kept.contains(client_id);
                    }};

  // A lasting session that comes and goes.
  void Visit(const char* user, const std::string& device, bool keep, int64_t now_s = kNow) {
    AddLasting(&sessions, Pointer(1), {UserId(user), DeviceId(device)}).to.qos[kInbox] = 1;
    if (keep) kept.insert(device);
    sessions.Remove(Pointer(1), now_s);
  }
};

TEST_CASE(
    "a client id is free once the broker doesn't keep its session, and its user's till then") {
  Broker broker;
  const UserId bob("bob");
  SECTION("it never did") {
    broker.Visit("alice", "tablet", false);
    CHECK_FALSE(broker.sessions.HeldByOther("tablet", bob, kNow));
    CHECK(broker.sessions.remembered() == 0);
  }
  SECTION("it does, subscribed or not, however long") {
    AddLasting(&broker.sessions, Pointer(1), Of("alice", "tablet"));
    broker.kept.insert("tablet");
    broker.sessions.Remove(Pointer(1), kNow);
    for (int64_t after_s : {0, 1, 600, 100'000}) {
      broker.sessions.Expire(kNow + after_s);
      CHECK(broker.sessions.HeldByOther("tablet", bob, kNow + after_s));
    }
  }
  SECTION("no longer: it is believed for a while") {
    broker.Visit("alice", "tablet", true);
    broker.sessions.Settle(kNow);
    broker.kept.clear();
    CHECK(broker.sessions.HeldByOther("tablet", bob, kNow + kBelievedS - 1));
    CHECK(broker.asked == 1);
    CHECK_FALSE(broker.sessions.HeldByOther("tablet", bob, kNow + kBelievedS));
  }
}

TEST_CASE("what the broker doesn't keep isn't remembered beyond the next tick, or its expiry") {
  Broker broker;
  broker.Visit("alice", "clean", false);
  broker.Visit("alice", "lasting", true);
  CHECK(broker.sessions.remembered() == 2);
  broker.sessions.Settle(kNow);
  CHECK(broker.sessions.remembered() == 1);
  broker.kept.clear();
  broker.sessions.Expire(kNow + kLimits.expiry_s - 1);
  CHECK(broker.sessions.remembered() == 1);
  broker.sessions.Expire(kNow + kLimits.expiry_s);
  CHECK(broker.sessions.remembered() == 0);
}

TEST_CASE("subscriptions return only with the session that the broker has") {
  Broker broker;
  broker.Visit("alice", "tablet", true);
  broker.sessions.Settle(kNow);
  broker.kept.clear();
  CHECK(broker.sessions.Add(Pointer(2), Of("alice", "tablet"), true).to.qos[kInbox] ==
        kNotSubscribed);
}

TEST_CASE("a user has so many lasting sessions away and no more") {
  Broker broker;
  const UserId alice("alice");
  broker.Visit("bob", "bob:phone", true);
  for (const char* device : {"1", "2", "3"}) {
    CHECK(broker.sessions.MayLast(device, alice, kNow));
    broker.Visit("alice", device, true);
  }
  CHECK_FALSE(broker.sessions.MayLast("4", alice, kNow));
  CHECK(broker.sessions.MayLast("3", alice, kNow));  // it is one of them
  CHECK(broker.sessions.MayLast("4", UserId("bob"), kNow));
  SECTION("one of them is here") {
    AddLasting(&broker.sessions, Pointer(2), Of("alice", "2"));
    CHECK(broker.sessions.MayLast("4", alice, kNow));
  }
  SECTION("one of them the broker has no longer") {
    broker.kept.erase("2");
    CHECK(broker.sessions.MayLast("4", alice, kNow + kBelievedS));
    CHECK(broker.sessions.remembered() == 3);
  }
}

TEST_CASE("a takeover of a lasting session keeps its subscriptions") {
  Sessions sessions(kLimits, Keeps);
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).to.qos[kInbox] = 1;
  CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), true).to.qos[kInbox] == 1);
}

TEST_CASE("what a device is subscribed to returns with its groups") {
  Sessions sessions(kLimits, Keeps);
  const GroupId ubuntu("ubuntu");
  Session& first = AddLasting(&sessions, Pointer(1), Of("alice", "tablet"));
  CHECK(first.to.groups == nullptr);
  CHECK(first.to.AddGroup(ubuntu, 0));
  CHECK(first.to.AddGroup(ubuntu, 1));
  CHECK(first.to.AddGroup(GroupId("debian"), 2));
  SECTION("after an end") { sessions.Remove(Pointer(1), kNow); }
  SECTION("in a takeover") {}
  const Session& again = sessions.Add(Pointer(2), Of("alice", "tablet"), true);
  REQUIRE(again.to.groups);
  REQUIRE(again.to.groups->size() == 2);
  CHECK(again.to.groups->at(0).group == GroupId("debian"));
  CHECK(again.to.groups->at(0).qos == 2);
  CHECK(again.to.groups->at(1).group == ubuntu);
  CHECK(again.to.groups->at(1).qos == 1);
}

TEST_CASE("a device leaves the groups that it was subscribed to, and no others") {
  Subscriptions to;
  CHECK_FALSE(to.RemoveGroup(GroupId("a")));
  for (const char* group : {"b", "c", "a"}) CHECK(to.AddGroup(GroupId(group), 1));
  CHECK_FALSE(to.RemoveGroup(GroupId("d")));
  CHECK(to.RemoveGroup(GroupId("b")));
  CHECK_FALSE(to.RemoveGroup(GroupId("b")));
  CHECK(to.Any());
  CHECK(to.RemoveGroup(GroupId("a")));
  CHECK(to.RemoveGroup(GroupId("c")));
  CHECK(to.groups == nullptr);
  CHECK_FALSE(to.Any());
}

TEST_CASE("a device is subscribed to so many groups and no more") {
  Subscriptions to;
  for (size_t n = 0; n < kGroupSubscriptionsMax; ++n) {
    REQUIRE(to.AddGroup(GroupId("g" + std::to_string(n)), 1));
  }
  CHECK_FALSE(to.AddGroup(GroupId("one-more"), 1));
  CHECK(to.groups->size() == kGroupSubscriptionsMax);
  CHECK(to.AddGroup(GroupId("g7"), 0));  // it has that one
  CHECK(to.RemoveGroup(GroupId("g8")));
  CHECK(to.AddGroup(GroupId("one-more"), 1));
}

TEST_CASE("a session is taken over once its client id is a newer one's") {
  Sessions sessions(kLimits, Keeps);
  sessions.Add(Pointer(1), Of("alice", "phone"), false);
  CHECK_FALSE(sessions.TakenOver(*sessions.Find(Pointer(1))));
  sessions.Add(Pointer(2), Of("alice", "tablet"), false);
  CHECK_FALSE(sessions.TakenOver(*sessions.Find(Pointer(1))));
  sessions.Add(Pointer(3), Of("alice", "phone"), false);
  CHECK(sessions.TakenOver(*sessions.Find(Pointer(1))));
  CHECK_FALSE(sessions.TakenOver(*sessions.Find(Pointer(3))));
  sessions.Remove(Pointer(3), kNow);
  CHECK_FALSE(sessions.TakenOver(*sessions.Find(Pointer(1))));
}

TEST_CASE("a pointer that just ended was its user's, once, until anything else happens") {
  Sessions sessions(kLimits, Keeps);
  sessions.Add(Pointer(1), Of("alice", "phone"), false);
  sessions.Add(Pointer(2), Of("bob", "tablet"), false);
  CHECK(sessions.TakeEnded(Pointer(1)).empty());  // not ended
  sessions.Remove(Pointer(1), kNow);
  SECTION("it is asked for") {
    CHECK(sessions.TakeEnded(Pointer(1)) == UserId("alice"));
    CHECK(sessions.TakeEnded(Pointer(1)).empty());
  }
  SECTION("another is asked for") {
    CHECK(sessions.TakeEnded(Pointer(3)).empty());
    CHECK(sessions.TakeEnded(Pointer(1)).empty());
  }
  SECTION("another session begins") {
    sessions.Add(Pointer(3), Of("carol", "phone"), false);
    CHECK(sessions.TakeEnded(Pointer(1)).empty());
  }
  SECTION("another session ends") {
    sessions.Remove(Pointer(2), kNow);
    CHECK(sessions.TakeEnded(Pointer(1)).empty());
    CHECK(sessions.TakeEnded(Pointer(2)).empty());
  }
  SECTION("the end of nobody's is told: a login that failed, or this one again") {
    sessions.Remove(GENERATE(Pointer(1), Pointer(3)), kNow);
    CHECK(sessions.TakeEnded(Pointer(1)).empty());
  }
}

TEST_CASE("a session whose password was never verified ended as nobody's") {
  Sessions sessions(kLimits, Keeps);
  sessions.Add(Pointer(1), Of("alice", "phone"), false).held = std::make_unique<Held>();
  sessions.Remove(Pointer(1), kNow);
  CHECK(sessions.TakeEnded(Pointer(1)).empty());
}

TEST_CASE("a client id that is connected is its user's") {
  Sessions sessions(kLimits, Keeps);
  sessions.Add(Pointer(1), Of("alice", "tablet"), false);
  CHECK(sessions.HeldByOther("tablet", UserId("bob"), kNow));
  CHECK_FALSE(sessions.HeldByOther("tablet", UserId("alice"), kNow));
  CHECK_FALSE(sessions.HeldByOther("other", UserId("bob"), kNow));
}

}  // namespace
}  // namespace parley
