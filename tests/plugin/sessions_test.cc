#include "plugin/sessions.h"

#include "tests/catch.h"

namespace parley {
namespace {

// Mosquitto's pointers are names to us: any will do.
const mosquitto* Pointer(uintptr_t n) { return reinterpret_cast<const mosquitto*>(n * 64); }

Who Of(const char* user, const char* device) {
  return {UserId(user), DeviceId(device), Role::kUser};
}

constexpr int64_t kNow = 1000;
constexpr size_t kInbox = static_cast<size_t>(Channel::kInbox);

Session& AddLasting(Sessions* sessions, const mosquitto* client, Who who, bool resume = true) {
  Session& session = sessions->Add(client, std::move(who), resume, kNow);
  session.lasting = true;
  return session;
}

TEST_CASE("a session is found by its pointer and its id until it ends, once") {
  Sessions sessions(60);
  const SessionId id = sessions.Add(Pointer(1), Of("alice", "alice:phone"), false, kNow).id;
  CHECK(sessions.Find(Pointer(1))->id == id);
  CHECK(sessions.Find(id)->who.user == UserId("alice"));
  CHECK(sessions.Connected("alice:phone"));
  CHECK(sessions.Remove(Pointer(1), kNow) == id);
  CHECK(sessions.Remove(Pointer(1), kNow) == 0);  // Mosquitto tells some ends twice
  CHECK(sessions.Find(id) == nullptr);
  CHECK_FALSE(sessions.Connected("alice:phone"));
}

TEST_CASE("a pointer that is used again is another session") {
  Sessions sessions(60);
  const SessionId first = sessions.Add(Pointer(1), Of("alice", "alice:phone"), false, kNow).id;
  sessions.Remove(Pointer(1), kNow);
  const SessionId second = sessions.Add(Pointer(1), Of("bob", "bob:phone"), false, kNow).id;
  CHECK(first != second);
  CHECK(sessions.Find(Pointer(1))->who.user == UserId("bob"));
}

TEST_CASE("in a takeover the old session's end leaves the new one alone") {
  Sessions sessions(60);
  const SessionId old_id = sessions.Add(Pointer(1), Of("alice", "alice:phone"), false, kNow).id;
  const SessionId new_id = sessions.Add(Pointer(2), Of("alice", "alice:phone"), false, kNow).id;
  CHECK(sessions.Remove(Pointer(1), kNow) == old_id);
  CHECK(sessions.Connected("alice:phone"));
  CHECK(sessions.Find(Pointer(2))->id == new_id);
}

TEST_CASE("a lasting session's subscriptions return with it, to its user alone") {
  Sessions sessions(60);
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).to.qos[kInbox] = 1;
  sessions.Remove(Pointer(1), kNow);
  CHECK(sessions.HeldByOther("tablet", UserId("bob"), kNow));
  CHECK_FALSE(sessions.HeldByOther("tablet", UserId("alice"), kNow));
  CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), true, kNow).to.qos[kInbox] == 1);
}

TEST_CASE("a clean start, or the time that they are kept, ends remembered subscriptions") {
  Sessions sessions(60);
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).to.qos[kInbox] = 1;
  sessions.Remove(Pointer(1), kNow);
  SECTION("a clean start") {
    CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), false, kNow).to.qos[kInbox] ==
          kNotSubscribed);
    sessions.Remove(Pointer(2), kNow);
    CHECK(sessions.Add(Pointer(3), Of("alice", "tablet"), true, kNow).to.qos[kInbox] ==
          kNotSubscribed);
  }
  SECTION("time") {
    CHECK_FALSE(sessions.HeldByOther("tablet", UserId("bob"), kNow + 60));
    sessions.Expire(kNow + 60);
    CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), true, kNow + 60).to.qos[kInbox] ==
          kNotSubscribed);
  }
}

TEST_CASE("of one user's subscriptions so many are remembered, those that left last") {
  Sessions sessions(60);
  auto visit = [&](const char* user, const std::string& device) {
    Session& session = AddLasting(&sessions, Pointer(1), {UserId(user), DeviceId(device)});
    bool known = session.to.qos[kInbox] == 1;
    session.to.qos[kInbox] = 1;
    sessions.Remove(Pointer(1), kNow);
    return known;
  };
  visit("bob", "bob:phone");
  for (size_t i = 1; i <= kRememberedMax; ++i) visit("alice", "alice:" + std::to_string(i));
  CHECK(sessions.remembered() == kRememberedMax + 1);
  CHECK(visit("alice", "alice:1"));  // and so it is the latest
  visit("alice", "alice:new");
  CHECK(sessions.remembered() == kRememberedMax + 1);
  CHECK_FALSE(visit("alice", "alice:2"));
  CHECK(visit("alice", "alice:1"));
  CHECK(visit("bob", "bob:phone"));
  sessions.Expire(kNow + 61);
  CHECK(sessions.remembered() == 0);
  CHECK_FALSE(visit("alice", "alice:1"));
  CHECK(sessions.remembered() == 1);
}

TEST_CASE("a takeover of a lasting session keeps its subscriptions") {
  Sessions sessions(60);
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).to.qos[kInbox] = 1;
  CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), true, kNow).to.qos[kInbox] == 1);
}

TEST_CASE("what a device is subscribed to returns with its groups") {
  Sessions sessions(60);
  const GroupId ubuntu("ubuntu");
  Session& first = AddLasting(&sessions, Pointer(1), Of("alice", "tablet"));
  CHECK(first.to.groups == nullptr);
  CHECK(first.to.AddGroup(ubuntu, 0));
  CHECK(first.to.AddGroup(ubuntu, 1));
  CHECK(first.to.AddGroup(GroupId("debian"), 2));
  SECTION("after an end") { sessions.Remove(Pointer(1), kNow); }
  SECTION("in a takeover") {}
  const Session& again = sessions.Add(Pointer(2), Of("alice", "tablet"), true, kNow);
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
  Sessions sessions(60);
  sessions.Add(Pointer(1), Of("alice", "phone"), false, kNow);
  CHECK_FALSE(sessions.TakenOver(*sessions.Find(Pointer(1))));
  sessions.Add(Pointer(2), Of("alice", "tablet"), false, kNow);
  CHECK_FALSE(sessions.TakenOver(*sessions.Find(Pointer(1))));
  sessions.Add(Pointer(3), Of("alice", "phone"), false, kNow);
  CHECK(sessions.TakenOver(*sessions.Find(Pointer(1))));
  CHECK_FALSE(sessions.TakenOver(*sessions.Find(Pointer(3))));
  sessions.Remove(Pointer(3), kNow);
  CHECK_FALSE(sessions.TakenOver(*sessions.Find(Pointer(1))));
}

TEST_CASE("a pointer that just ended was its user's, once, until anything else happens") {
  Sessions sessions(60);
  sessions.Add(Pointer(1), Of("alice", "phone"), false, kNow);
  sessions.Add(Pointer(2), Of("bob", "tablet"), false, kNow);
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
    sessions.Add(Pointer(3), Of("carol", "phone"), false, kNow);
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
  Sessions sessions(60);
  sessions.Add(Pointer(1), Of("alice", "phone"), false, kNow).held = std::make_unique<Held>();
  sessions.Remove(Pointer(1), kNow);
  CHECK(sessions.TakeEnded(Pointer(1)).empty());
}

TEST_CASE("a client id that is connected is its user's") {
  Sessions sessions(60);
  sessions.Add(Pointer(1), Of("alice", "tablet"), false, kNow);
  CHECK(sessions.HeldByOther("tablet", UserId("bob"), kNow));
  CHECK_FALSE(sessions.HeldByOther("tablet", UserId("alice"), kNow));
  CHECK_FALSE(sessions.HeldByOther("other", UserId("bob"), kNow));
}

}  // namespace
}  // namespace parley
