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
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).qos[kInbox] = 1;
  sessions.Remove(Pointer(1), kNow);
  CHECK(sessions.HeldByOther("tablet", UserId("bob"), kNow));
  CHECK_FALSE(sessions.HeldByOther("tablet", UserId("alice"), kNow));
  CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), true, kNow).qos[kInbox] == 1);
}

TEST_CASE("a clean start, or the time that they are kept, ends remembered subscriptions") {
  Sessions sessions(60);
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).qos[kInbox] = 1;
  sessions.Remove(Pointer(1), kNow);
  SECTION("a clean start") {
    CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), false, kNow).qos[kInbox] ==
          kNotSubscribed);
    sessions.Remove(Pointer(2), kNow);
    CHECK(sessions.Add(Pointer(3), Of("alice", "tablet"), true, kNow).qos[kInbox] ==
          kNotSubscribed);
  }
  SECTION("time") {
    CHECK_FALSE(sessions.HeldByOther("tablet", UserId("bob"), kNow + 60));
    sessions.Expire(kNow + 60);
    CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), true, kNow + 60).qos[kInbox] ==
          kNotSubscribed);
  }
}

TEST_CASE("a takeover of a lasting session keeps its subscriptions") {
  Sessions sessions(60);
  AddLasting(&sessions, Pointer(1), Of("alice", "tablet")).qos[kInbox] = 1;
  CHECK(sessions.Add(Pointer(2), Of("alice", "tablet"), true, kNow).qos[kInbox] == 1);
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
