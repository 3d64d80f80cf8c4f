// What a client can make grow in the engine ends somewhere: at each limit, and one past it.
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;

std::string CodeOf(const std::string& answer) {
  return json::parse(answer).value("error", json::object()).value("code", "");
}

size_t Count(const std::vector<std::string>& answers, const std::string& code) {
  size_t count = 0;
  for (const std::string& answer : answers) count += CodeOf(answer) == code;
  return count;
}

std::string History(int rid) { return R"({"rid":")" + std::to_string(rid) + R"(","with":"bob"})"; }

TEST_CASE("a user has no more requests under way than it may, from all its devices together") {
  World world({.asks_max = 3});
  TestDevice& phone = world.Connect("alice", "a1");
  TestDevice& tablet = world.Connect("alice", "a2");
  TestDevice& carol = world.Connect("carol", "c1");
  for (int i = 0; i < 3; ++i) world.Publish(phone, "ask/history", History(i));
  world.Publish(tablet, "ask/history", History(3));
  world.Publish(carol, "ask/history", History(0));
  world.Deliver();
  REQUIRE(tablet.answers.size() == 1);
  CHECK(CodeOf(tablet.answers[0]) == "busy");
  CHECK(json::parse(tablet.answers[0])["rid"] == "3");
  CHECK(phone.answers.empty());
  world.Settle();
  CHECK(phone.answers.size() == 3);
  CHECK(carol.answers.size() == 1);
  CHECK(Count(phone.answers, "") == 3);
  // Once they are answered, there is room again.
  for (int i = 0; i < 3; ++i) world.Publish(tablet, "ask/history", History(i));
  world.Settle();
  CHECK(Count(tablet.answers, "busy") == 1);
  CHECK(tablet.answers.size() == 4);
}

TEST_CASE(
    "a user has no more connections than it may, and one that takes another over is no more") {
  World world({.sessions_max = 2});
  TestDevice& first = world.Connect("alice", "a1");
  TestDevice& second = world.Connect("alice", "a2");
  TestDevice& third = world.Connect("alice", "a3");
  TestDevice& bob = world.Connect("bob", "b1");
  world.Settle();
  CHECK(third.closed);
  REQUIRE(third.answers.size() == 1);
  CHECK(CodeOf(third.answers[0]) == "too_large");
  for (TestDevice* device : {&first, &second, &bob}) CHECK_FALSE(device->closed);
  // What it sends until it is closed goes nowhere.
  world.Publish(third, "chat/bob", "x");
  world.Settle();
  CHECK(world.log.transactions().empty());
  TestDevice& again = world.Connect("alice", "a2");
  world.Settle();
  CHECK_FALSE(again.closed);
  world.Leave(second);
  world.Leave(first);
  world.Leave(third);
  CHECK_FALSE(world.Connect("alice", "a4").closed);
  TestDevice& fifth = world.Connect("alice", "a5");
  world.Settle();
  CHECK(fifth.closed);
}

TEST_CASE("a password that is still being checked takes no connection from its user") {
  World world({.sessions_max = 1});
  world.Turn(Connected{1000, UserId("alice"), DeviceId("guess"), false, true});
  TestDevice& alice = world.Connect("alice", "a1");
  world.Settle();
  CHECK_FALSE(alice.closed);
  // Should it be right, it is one too many.
  TestDevice& late = world.devices[1000];
  late.session = 1000;
  world.Turn(Welcomed{1000});
  world.Settle();
  CHECK(late.closed);
}

TEST_CASE("what was refused, or had to wait for an answer, no longer counts as under way") {
  World world({.asks_max = 2, .sync_waiting_max = 8});
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  for (int i = 0; i < 5; ++i) world.Publish(alice, "ask/sync", R"({"rid":"w","wait":60})");
  for (int i = 0; i < 5; ++i) world.Publish(alice, "ask/history", R"({"rid":"b","with":5})");
  world.Settle();
  CHECK(Count(alice.answers, "busy") == 0);
  CHECK(Count(alice.answers, "bad_request") == 5);
  world.FailJournal();
  for (int i = 0; i < 2; ++i) world.Publish(alice, "ask/history", History(i));
  world.Settle();
  CHECK(Count(alice.answers, "busy") == 0);
}

TEST_CASE("a user has no more receipts waiting for a read than it may") {
  World world({.parked_max = 3});
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  TestDevice& alice = world.Connect("alice", "a1");
  for (int i = 0; i < 4; ++i) world.Confirm(alice, 0);
  world.Confirm(bob, 0);
  world.Deliver();
  REQUIRE(alice.answers.size() == 1);
  CHECK(CodeOf(alice.answers[0]) == "busy");
  world.Settle();
  for (int i = 0; i < 10; ++i) world.Confirm(alice, 0);
  world.Settle();
  CHECK(alice.answers.size() == 1);
  CHECK(bob.answers.empty());
}

TEST_CASE("messages that wait for a read have so many bytes together, and no more") {
  // The first of each sender is looked at, and waits as JSON, with its quotes: 102 bytes.
  const std::string body(100, 'x');
  const size_t bytes_max = GENERATE(204, 205);
  World world({.parked_bytes_max = bytes_max});
  TestDevice& alice = world.Connect("alice", "a1");
  TestDevice& carol = world.Connect("carol", "c1");
  world.Publish(alice, "chat/bob", body);
  world.Publish(carol, "chat/bob", body);
  world.Publish(carol, "chat/bob", body);
  world.Deliver();
  CHECK(Count(carol.answers, "busy") == (bytes_max == 204 ? 1 : 0));
  world.Settle();
  world.Publish(carol, "chat/bob", body);
  world.Settle();
  CHECK(Count(carol.answers, "busy") == (bytes_max == 204 ? 1 : 0));
  CHECK(Count(carol.answers, "") == (bytes_max == 204 ? 2 : 3));
}

TEST_CASE("room for what waits comes back however the waiting ends") {
  World world({.parked_bytes_max = 1});
  TestDevice& alice = world.Connect("alice", "a1");
  for (int round = 0; round < 5; ++round) {
    world.Publish(alice, "chat/bob", "x");
    world.FailJournal();  // the read that it waits for is void, and it is refused or sent
    world.Settle();
    world.Publish(alice, "chat/nobody", "x");
    world.Publish(alice, "chat/bob",
                  R"({"type":"edit","body":"y","ref":{"from":"alice","id":"none"}})");
    world.Settle();
  }
  CHECK(Count(alice.answers, "busy") == 0);
  CHECK(alice.answers.size() == 15);
}

TEST_CASE("of a user's devices the latest hundred keep their place, and those that are here") {
  World world;
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(bob, "alice", "1", "x");
  world.Settle();
  auto visit = [&](const std::string& device) {
    TestDevice& made = world.Connect("alice", device);
    world.Confirm(made, 1);
    world.Settle();
    world.Leave(made);
    world.env.now_ms += 1000;
  };
  TestDevice& first = world.Join("alice", "stays");
  world.Confirm(first, 1);
  world.Settle();
  world.env.now_ms += 1000;
  for (int i = 1; i <= 99; ++i) visit("d" + std::to_string(i));
  world.Send(bob, "alice", "2", "y");
  world.Settle();
  auto catches_up = [&](const std::string& device) {
    TestDevice& made = world.Join("alice", device);
    world.Settle();
    bool caught_up = !made.inbox.empty();
    world.Leave(made);
    return caught_up;
  };
  CHECK(catches_up("d1"));  // a hundred: all have theirs, and none confirms anew
  visit("d100");
  world.Settle();
  CHECK_FALSE(catches_up("d1"));  // the one of longest ago that isn't here
  CHECK(catches_up("d2"));
  CHECK(catches_up("d100"));
  world.Leave(first);
  CHECK(catches_up("stays"));
}

TEST_CASE("ids of senders in memory are so many at most, and none is stored twice for that") {
  World world({.user_rate = 0, .sent_ids_max = 150});
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& carol = world.Join("carol", "c1");
  auto send = [&](TestDevice& from, int count) {
    for (int i = 0; i < count; ++i) world.Send(from, "bob", std::to_string(i), "x");
    world.Settle();
  };
  send(alice, 75);
  send(carol, 75);
  world.Tick(1000);
  CHECK(world.engine->sent_ids() == 150);
  send(carol, 76);
  CHECK(world.log.transactions().size() == 151);
  world.Tick(1000);
  CHECK(world.engine->sent_ids() < 150);
  send(alice, 75);
  send(carol, 76);
  CHECK(world.log.transactions().size() == 151);
}

// Groups.

std::string GroupOf(const std::string& members = "") {
  return R"("group":"g")" + (members.empty() ? "" : "," + members);
}

TEST_CASE("a group's title and a member's name have so many bytes and no more") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  auto code = [&](const std::string& method, const std::string& member, size_t bytes) {
    auto answer =
        world.Ask(alice, method, GroupOf("\"" + member + "\":\"" + std::string(bytes, 'x') + "\""));
    return answer["ok"] == true ? "ok" : CodeOf(answer.dump());
  };
  CHECK(code("groups.create", "title", 257) == "too_large");
  CHECK(code("groups.create", "title", 256) == "ok");
  CHECK(code("groups.set", "title", 257) == "too_large");
  CHECK(code("groups.set", "name", 129) == "too_large");
  CHECK(code("groups.set", "name", 128) == "ok");
}

TEST_CASE("a system message names 256 users, and counts more") {
  World world({.inbox_members_max = 1000});
  TestDevice& alice = world.Join("alice", "a1");
  auto add = [&](int first, int last) {
    std::string users;
    for (int i = first; i <= last; ++i) {
      std::string user = "u" + std::to_string(i);
      world.accounts.users.insert(user);
      users += (users.empty() ? "\"" : ",\"") + user + "\"";
    }
    REQUIRE(world.Ask(alice, "groups.add", GroupOf("\"users\":[" + users + "]"))["ok"] == true);
    return json::parse(alice.inbox.back())["body"];
  };
  world.Ask(alice, "groups.create", GroupOf());
  json body = add(1, 256);
  CHECK(body["users"].size() == 256);
  body = add(1001, 1257);
  CHECK_FALSE(body.contains("users"));
  CHECK(body["count"] == 257);
}

TEST_CASE("who came and went more than 32 times sees what was said in the last of them") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Ask(alice, "groups.create", GroupOf());
  auto stay = [&](int n) {
    world.Ask(alice, "groups.add", GroupOf(R"("user":"bob")"));
    world.Publish(alice, "group/g", R"({"id":")" + std::to_string(n) + R"(","body":"said"})");
    world.Settle();
    world.Ask(alice, "groups.remove", GroupOf(R"("user":"bob")"));
  };
  auto sees = [&] {
    world.Ask(alice, "groups.add", GroupOf(R"("user":"bob")"));
    auto page = world.Ask(bob, "sync", GroupOf(R"("after":0,"limit":1000)"))["messages"];
    world.Ask(alice, "groups.remove", GroupOf(R"("user":"bob")"));
    std::vector<std::string> ids;
    for (const auto& message : page) {
      if (message["type"] == "message") ids.push_back(message["id"]);
    }
    return ids;
  };
  for (int n = 1; n <= 31; ++n) stay(n);
  CHECK(sees().size() == 31);
  CHECK(sees().front() == "2");  // the stay before this one was the 32nd
}

// Presence.

TEST_CASE("unread messages are counted to 10,000") {
  World world({.user_rate = 0});
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  const bool group = GENERATE(false, true);
  if (group) {
    const std::string members = R"("group":"g","delivery":"topic","members":["bob"])";
    REQUIRE(world.Ask(alice, "groups.create", members)["ok"] == true);
  }
  const auto unread = [&](const std::string& method, const char* list) {
    return world.Ask(bob, method).at(list).at(0).at("unread");
  };
  const auto say = [&](int times) {
    for (int n = 0; n < times; ++n) world.Publish(alice, group ? "group/g" : "chat/bob", "hi");
    world.Settle();
  };
  say(1);  // its sender is in memory then
  say(9'998);
  for (const int expected : {9'999, 10'000, 10'000}) {
    if (group) {
      CHECK(unread("groups.list", "groups") == expected);
    } else {
      CHECK(unread("recent", "conversations") == expected);
      CHECK(unread("conversations", "conversations") == expected);
    }
    say(1);
  }
}

TEST_CASE("500 users are asked for at once, and no more") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  auto ask = [&](int count) {
    std::string users;
    for (int i = 0; i < count; ++i) users += (i == 0 ? "\"u" : ",\"u") + std::to_string(i) + "\"";
    return world.Ask(alice, "presence", "\"users\":[" + users + "]");
  };
  CHECK(ask(500)["ok"] == true);
  CHECK(CodeOf(ask(501).dump()) == "too_large");
}

TEST_CASE("a device's name that is longer than any can be is refused") {
  World world;
  TestDevice& alice = world.Connect("alice", "a1");
  auto code = [&](size_t bytes) {
    return CodeOf(
        world.Ask(alice, "devices.remove", "\"device\":\"" + std::string(bytes, 'x') + "\"")
            .dump());
  };
  CHECK(code(256) == "not_found");
  CHECK(code(257) == "bad_request");
}

}  // namespace
}  // namespace parley
