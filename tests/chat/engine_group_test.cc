// Groups: membership, messages, what each may see, receipts, settings.
#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;

// Users with one device each, all subscribed to their inboxes and receipts.
class Club {
 public:
  explicit Club(EngineOptions options = {}) : world(options) {
    for (const char* user : {"alice", "bob", "carol", "dave", "eve", "frank"}) Enter(user);
    world.Settle();
  }
  void Enter(const std::string& user) {
    TestDevice& device = world.Join(user, user + ":1");
    world.Subscribe(device, Channel::kPresence);
    devices[user] = &device;
  }
  void Restart() {
    world.Restart();
    for (auto& [user, device] : devices) Enter(user);
    world.Settle();
  }
  json Ask(const std::string& user, const std::string& method, const std::string& members) {
    return world.Ask(*devices.at(user), method, members);
  }
  // The group `g` of alice's.
  json Create(const std::string& members, const std::string& more = "") {
    return Ask("alice", "groups.create", R"("group":"g","members":)" + members + more);
  }
  json Change(const std::string& user, const std::string& method, const std::string& more = "") {
    return Ask(user, method, R"("group":"g")" + (more.empty() ? "" : "," + more));
  }
  void Say(const std::string& user, const std::string& id, const std::string& body = "x") {
    world.Publish(*devices.at(user), "group/g",
                  R"({"id":")" + id + R"(","body":")" + body + R"("})");
    world.Settle();
  }
  void Refer(const std::string& user, const std::string& type, const std::string& body,
             const std::string& from, const std::string& id) {
    world.Publish(*devices.at(user), "group/g",
                  R"({"type":")" + type + R"(")" + (body.empty() ? "" : R"(,"body":)" + body) +
                      R"(,"ref":{"from":")" + from + R"(","id":")" + id + R"("}})");
    world.Settle();
  }
  // What a user's device got: "1 created, 2 x:hello" as gseq and what it is.
  std::string Inbox(const std::string& user) { return Told(devices.at(user)->inbox); }
  std::string Topic(const std::string& user) { return Told(devices.at(user)->group); }
  std::string Sync(const std::string& user) {
    return Listed(Change(user, "sync", R"("after":0,"limit":1000)"));
  }
  std::string History(const std::string& user, const std::string& more = R"("after":0)") {
    return Listed(Change(user, "history", more));
  }
  json LastAnswer(const std::string& user) { return json::parse(devices.at(user)->answers.back()); }
  std::string LastError(const std::string& user) {
    return LastAnswer(user).value("/error/code"_json_pointer, std::string("none"));
  }

  World world;
  std::map<std::string, TestDevice*> devices;

 private:
  static std::string Word(const json& message) {
    std::string text = std::to_string(message.at("gseq").get<uint64_t>()) + " ";
    if (message.at("type") == "system") return text + message["body"]["event"].get<std::string>();
    if (message.at("type") != "message") text += message["type"].get<std::string>() + " ";
    return text + message.value("body", "");
  }
  static std::string Told(const std::vector<std::string>& messages) {
    json list = json::array();
    for (const std::string& message : messages) {
      json parsed = json::parse(message);
      if (parsed.contains("group")) list.push_back(parsed);
    }
    return Joined(list);
  }
  static std::string Joined(const json& list) {
    std::string text;
    for (const json& message : list) text += (text.empty() ? "" : ", ") + Word(message);
    return text;
  }
  static std::string Listed(const json& answer) {
    if (!answer.value("ok", false)) return answer.dump();
    return Joined(answer.at("messages"));
  }
};

std::string CodeOf(const json& answer) {
  return answer.value("/error/code"_json_pointer, std::string("ok"));
}

TEST_CASE("a message to a group comes to every member, under its own number and the group's") {
  Club club;
  json group = club.Create(R"(["bob","carol"])", R"(,"title":"Readers")");
  REQUIRE(CodeOf(group) == "ok");
  CHECK(group["group"] == "g");
  CHECK(group["title"] == "Readers");
  CHECK(group["role"] == "owner");
  CHECK(group["count"] == 3);
  CHECK(group["members"].size() == 3);
  club.Say("bob", "m1", "hello");
  for (const char* user : {"alice", "bob", "carol"}) {
    CHECK(club.Inbox(user) == "1 created, 2 hello");
  }
  CHECK(club.Inbox("dave") == "");
  CHECK(club.devices["carol"]->inbox.back() ==
        R"({"seq":2,"type":"message","id":"m1","from":"bob","group":"g","gseq":2,"ts":)" +
            std::to_string(club.world.env.now_ms) + R"(,"body":"hello"})");
}

TEST_CASE("numbers, members and messages of a group survive a restart") {
  Club club;
  club.Create(R"(["bob","carol"])");
  club.Say("bob", "m1", "one");
  club.Change("alice", "groups.remove", R"("user":"carol")");
  club.Restart();
  club.Say("alice", "m2", "two");
  CHECK(club.Inbox("bob") == "4 two");
  CHECK(club.Inbox("carol") == "");
  CHECK(club.Sync("bob") == "1 created, 2 one, 3 removed, 4 two");
  // The same id again, after the restart.
  club.Say("bob", "m1", "one");
  CHECK(club.Sync("alice") == "1 created, 2 one, 3 removed, 4 two");
  club.Say("bob", "m1", "other");
  CHECK(club.LastError("bob") == "conflict");
}

TEST_CASE("who is no member is told the same as of a group that doesn't exist") {
  Club club;
  club.Create(R"(["bob"])");
  for (const std::string group : {"g", "nothing"}) {
    const std::string named = R"("group":")" + group + R"(")";
    for (const auto& [method, more] :
         std::map<std::string, std::string>{{"sync", ""},
                                            {"history", ""},
                                            {"groups.get", ""},
                                            {"groups.add", R"(,"user":"eve")"},
                                            {"groups.remove", R"(,"user":"bob")"},
                                            {"groups.join", ""},
                                            {"groups.leave", ""},
                                            {"groups.set", R"(,"title":"mine")"},
                                            {"groups.set_role", R"(,"user":"eve","role":"owner")"},
                                            {"groups.delete", ""}}) {
      json answer = club.Ask("eve", method, named + more);
      INFO(method << " " << group);
      CHECK(answer["error"] ==
            json{{"code", "denied"}, {"message", "no such group, or you are not in it"}});
    }
    club.world.Publish(*club.devices["eve"], "group/" + group, R"({"id":"x","body":"hi"})");
    club.world.Settle();
    CHECK(club.LastAnswer("eve")["error"] ==
          json{{"code", "denied"}, {"message", "no such group, or you are not in it"}});
    club.world.Turn(Subscribed{club.devices["eve"]->session, Channel::kGroup, GroupId(group), 1});
    club.world.Settle();
    CHECK(club.LastError("eve") == "denied");
  }
  CHECK(club.Sync("bob") == "1 created");
  CHECK(club.Ask("eve", "groups.list", R"("limit":10)")["groups"].empty());
  CHECK(club.Inbox("eve") == "");
}

TEST_CASE("a member sees what was said while it was in, and no more") {
  Club club;
  club.Create(R"(["bob"])");
  club.Say("bob", "1", "before");
  club.Change("alice", "groups.add", R"("user":"carol")");
  club.Say("bob", "2", "during");
  CHECK(club.Inbox("carol") == "3 added, 4 during");
  CHECK(club.Sync("carol") == "3 added, 4 during");
  CHECK(CodeOf(club.Change("carol", "groups.leave")) == "ok");
  club.Say("bob", "3", "after");
  CHECK(club.Inbox("carol") == "3 added, 4 during, 5 left");
  CHECK(CodeOf(club.Change("carol", "sync")) == "denied");
  // What is in its own log stays there.
  json log = club.Ask("carol", "sync", R"("after":0)");
  CHECK(SeqsOf(log["messages"]) == "1-3");
  club.Change("alice", "groups.add", R"("user":"carol")");
  club.Say("bob", "4", "again");
  CHECK(club.Sync("carol") == "3 added, 4 during, 5 left, 7 added, 8 again");
  CHECK(club.History("carol") == "3 added, 4 during, 5 left, 7 added, 8 again");
  CHECK(club.History("carol", R"("limit":3)") == "8 again, 7 added, 5 left");
  // … across the gap, page by page, with a true `more`.
  json page = club.Change("carol", "sync", R"("after":0,"limit":3)");
  CHECK(page["more"] == true);
  page = club.Change("carol", "sync", R"("after":5,"limit":2)");
  CHECK(page["more"] == false);
  club.Restart();
  CHECK(club.Sync("carol") == "3 added, 4 during, 5 left, 7 added, 8 again");
}

TEST_CASE("a group may show what was said before somebody came") {
  Club club;
  club.Create("[]", R"(,"history":"all")");
  club.Say("alice", "1", "before");
  club.Change("alice", "groups.add", R"("user":"carol")");
  CHECK(club.Sync("carol") == "1 created, 2 before, 3 added");
  club.Change("alice", "groups.set", R"("history":"joined")");
  CHECK(club.Sync("carol") == "3 added, 4 set");
}

TEST_CASE("an open group takes in who asks, but not who was removed") {
  Club club;
  club.Create("[]");
  CHECK(CodeOf(club.Change("bob", "groups.join")) == "denied");
  club.Change("alice", "groups.set", R"("open":true)");
  CHECK(CodeOf(club.Change("bob", "groups.join")) == "ok");
  CHECK(CodeOf(club.Change("bob", "groups.join")) == "ok");  // it is in
  CHECK(club.Inbox("bob") == "3 joined");
  club.Change("alice", "groups.remove", R"("user":"bob")");
  CHECK(CodeOf(club.Change("bob", "groups.join")) == "denied");
  club.Restart();
  CHECK(CodeOf(club.Change("bob", "groups.join")) == "denied");
  CHECK(CodeOf(club.Change("alice", "groups.add", R"("user":"bob")")) == "ok");
  CHECK(CodeOf(club.Change("bob", "groups.leave")) == "ok");
  CHECK(CodeOf(club.Change("bob", "groups.join")) == "ok");  // it left by itself
}

TEST_CASE("owners and admins manage, members don't") {
  Club club;
  club.Create(R"(["bob","carol","dave"])");
  CHECK(CodeOf(club.Change("bob", "groups.add", R"("user":"eve")")) == "denied");
  CHECK(CodeOf(club.Change("bob", "groups.remove", R"("user":"dave")")) == "denied");
  CHECK(CodeOf(club.Change("bob", "groups.set", R"("title":"x")")) == "denied");
  CHECK(CodeOf(club.Change("bob", "groups.set_role", R"("user":"bob","role":"owner")")) ==
        "denied");
  CHECK(CodeOf(club.Change("bob", "groups.delete")) == "denied");
  CHECK(CodeOf(club.Change("bob", "groups.set", R"("name":"Bobby")")) == "ok");  // its own name
  CHECK(CodeOf(club.Change("alice", "groups.set_role", R"("user":"bob","role":"admin")")) == "ok");
  CHECK(CodeOf(club.Change("bob", "groups.add", R"("user":"eve")")) == "ok");
  CHECK(CodeOf(club.Change("bob", "groups.set", R"("title":"x")")) == "ok");
  CHECK(CodeOf(club.Change("bob", "groups.set", R"("delivery":"topic")")) == "denied");
  CHECK(CodeOf(club.Change("bob", "groups.remove", R"("user":"dave")")) == "ok");
  CHECK(CodeOf(club.Change("bob", "groups.remove", R"("user":"alice")")) == "denied");
  CHECK(CodeOf(club.Change("bob", "groups.remove", R"("user":"frank")")) == "not_found");
  CHECK(club.Sync("alice") == "1 created, 2 renamed, 3 role, 4 added, 5 set, 6 removed");
  json group = club.Change("carol", "groups.get");
  CHECK(group["members"].dump() ==
        R"([{"role":"owner","user":"alice"},{"name":"Bobby","role":"admin","user":"bob"},)"
        R"({"role":"member","user":"carol"},{"role":"member","user":"eve"}])");
}

TEST_CASE("a group's last owner can't go without naming another") {
  Club club;
  club.Create(R"(["bob","carol"])");
  CHECK(CodeOf(club.Change("alice", "groups.leave")) == "denied");
  CHECK(CodeOf(club.Change("alice", "groups.set_role", R"("user":"alice","role":"member")")) ==
        "denied");
  CHECK(CodeOf(club.Change("alice", "groups.leave", R"("user":"alice")")) == "bad_request");
  CHECK(CodeOf(club.Change("alice", "groups.leave", R"("user":"eve")")) == "not_found");
  CHECK(CodeOf(club.Change("alice", "groups.leave", R"("user":"bob")")) == "ok");
  CHECK(club.Change("bob", "groups.get")["role"] == "owner");
  CHECK(CodeOf(club.Change("carol", "groups.leave")) == "ok");
  // The last one of all ends the group.
  CHECK(CodeOf(club.Change("bob", "groups.leave")) == "ok");
  CHECK(CodeOf(club.Change("bob", "groups.get")) == "denied");
  CHECK(CodeOf(club.Create("[]")) == "conflict");
}

TEST_CASE("a removed member's way back into a group is closed on every device") {
  Club club;
  club.Create(R"(["bob","carol"])", R"(,"delivery":"topic")");
  for (const char* user : {"bob", "carol"}) {
    club.world.Turn(Subscribed{club.devices[user]->session, Channel::kGroup, GroupId("g"), 1});
  }
  club.world.Settle();
  club.Say("alice", "1", "all");
  CHECK(club.Topic("bob") == "2 all");
  club.Change("alice", "groups.remove", R"("user":"bob")");
  club.Say("alice", "2", "rest");
  CHECK(club.Topic("bob") == "2 all, 3 removed");
  CHECK(club.Topic("carol") == "2 all, 3 removed, 4 rest");
  club.Say("bob", "3", "let me in");
  CHECK(club.LastError("bob") == "denied");
  club.world.Turn(Subscribed{club.devices["bob"]->session, Channel::kGroup, GroupId("g"), 1});
  club.world.Settle();
  CHECK(club.LastError("bob") == "denied");
  club.Say("alice", "4", "still without");
  CHECK(club.Topic("bob") == "2 all, 3 removed");
  CHECK_FALSE(club.world.topic_members.Has(GroupId("g"), UserId("bob")));
  CHECK(club.world.topic_members.Has(GroupId("g"), UserId("carol")));
}

TEST_CASE("a topic group's message has no place in anybody's log") {
  Club club;
  club.Create(R"(["bob"])", R"(,"delivery":"topic")");
  club.world.Turn(Subscribed{club.devices["bob"]->session, Channel::kGroup, GroupId("g"), 0});
  club.world.Settle();
  club.Say("bob", "1", "hello");
  CHECK(club.devices["bob"]->group.back() ==
        R"({"type":"message","id":"1","from":"bob","group":"g","gseq":2,"ts":)" +
            std::to_string(club.world.env.now_ms) + R"(,"body":"hello"})");
  CHECK(club.Inbox("bob") == "");
  // A sender that is not subscribed is told on its answer topic, again where it sends again.
  for (int i = 0; i < 2; ++i) {
    club.Say("alice", "2", "hi");
    json answer = club.LastAnswer("alice");
    CHECK(answer["ok"] == true);
    CHECK(answer["topic"] == "group/g");
    CHECK(answer["id"] == "2");
    CHECK(answer["gseq"] == 3);
    CHECK_FALSE(answer.contains("seq"));
  }
  // One that is subscribed gets its copy again.
  club.Say("bob", "1", "hello");
  CHECK(club.Topic("bob") == "2 hello, 3 hi, 2 hello");
  CHECK(club.Sync("alice") == "1 created, 2 hello, 3 hi");
  club.Restart();
  club.Say("alice", "2", "hi");
  CHECK(club.LastAnswer("alice")["gseq"] == 3);
  CHECK(club.Ask("alice", "sync", R"("after":0)")["head"] == 0);
}

TEST_CASE("a group's delivery changes, and a message tells all of it") {
  Club club;
  club.Create(R"(["bob"])");
  CHECK(CodeOf(club.Change("alice", "groups.set", R"("delivery":"topic")")) == "ok");
  club.world.Turn(Subscribed{club.devices["bob"]->session, Channel::kGroup, GroupId("g"), 1});
  club.world.Settle();
  club.Say("alice", "1", "by topic");
  CHECK(club.Inbox("bob") == "1 created, 2 set");
  CHECK(club.Topic("bob") == "3 by topic");
  CHECK(CodeOf(club.Change("alice", "groups.set", R"("delivery":"inbox")")) == "ok");
  club.Say("alice", "2", "by inbox");
  CHECK(club.Inbox("bob") == "1 created, 2 set, 4 set, 5 by inbox");
  CHECK(club.Topic("bob") == "3 by topic, 4 set");
  CHECK(SeqsOf(club.devices["bob"]->inbox) == "1-4");
}

TEST_CASE("an inbox group takes as many members as it may, and says what to do") {
  EngineOptions options;
  options.inbox_members_max = 3;
  options.topic_members_max = 4;
  Club club(options);
  CHECK(CodeOf(club.Create(R"(["bob","carol","dave"])")) == "too_large");
  CHECK(CodeOf(club.Create(R"(["bob","carol"])")) == "ok");
  json full = club.Change("alice", "groups.add", R"("user":"dave")");
  CHECK(CodeOf(full) == "too_large");
  CHECK(full["error"]["message"].get<std::string>().find("topic") != std::string::npos);
  CHECK(CodeOf(club.Change("alice", "groups.set", R"("delivery":"topic")")) == "ok");
  CHECK(CodeOf(club.Change("alice", "groups.add", R"("user":"dave")")) == "ok");
  CHECK(CodeOf(club.Change("alice", "groups.add", R"("user":"eve")")) == "too_large");
  CHECK(CodeOf(club.Change("alice", "groups.set", R"("delivery":"inbox")")) == "too_large");
}

TEST_CASE("who makes and joins groups can be in so many, and others may still add it to theirs") {
  EngineOptions options;
  options.groups_max = 2;
  Club club(options);
  auto create = [&](const std::string& user, const std::string& id, const std::string& more = "") {
    return CodeOf(club.Ask(user, "groups.create", R"("group":")" + id + R"(")" + more));
  };
  CHECK(create("alice", "a1", R"(,"members":["bob"],"open":true)") == "ok");
  CHECK(create("alice", "a2", R"(,"members":["bob"],"delivery":"topic","open":true)") == "ok");
  CHECK(create("alice", "a3") == "too_large");
  CHECK(create("bob", "b1") == "too_large");
  CHECK(create("carol", "c1", R"(,"members":["alice"],"open":true)") == "ok");
  CHECK(create("carol", "c2") == "ok");
  CHECK(CodeOf(club.Ask("carol", "groups.join", R"("group":"a1")")) == "too_large");
  // After a restart the roster says how many there are.
  club.Restart();
  CHECK(create("bob", "b1") == "too_large");
  CHECK(CodeOf(club.Ask("bob", "groups.leave", R"("group":"a2")")) == "ok");
  CHECK(create("bob", "b1") == "ok");
  CHECK(CodeOf(club.Ask("carol", "groups.delete", R"("group":"c2")")) == "ok");
  CHECK(CodeOf(club.Ask("carol", "groups.join", R"("group":"a1")")) == "ok");
  CHECK(CodeOf(club.Ask("carol", "groups.join", R"("group":"a2")")) == "too_large");
}

TEST_CASE("edits, retractions and reactions are folded into a group's history") {
  Club club;
  club.Create(R"(["bob","carol"])");
  club.Say("bob", "m", "helo");
  club.Refer("bob", "edit", R"("hello")", "bob", "m");
  club.Refer("carol", "reaction", R"("+1")", "bob", "m");
  CHECK(club.Inbox("alice") == "1 created, 2 helo, 3 edit hello, 4 reaction +1");
  json history = club.Change("alice", "history", R"("after":1)");
  REQUIRE(history["messages"].size() == 1);
  CHECK(history["messages"][0]["body"] == "hello");
  CHECK(history["messages"][0]["reactions"].dump() == R"([{"body":"+1","from":"carol"}])");
  CHECK(history["messages"][0]["seq"] == 2);  // as in the inbox
  // Others don't edit; admins may retract.
  club.Refer("carol", "edit", R"("mine")", "bob", "m");
  CHECK(club.LastError("carol") == "denied");
  club.Refer("carol", "retract", "", "bob", "m");
  CHECK(club.LastError("carol") == "denied");
  club.Refer("alice", "retract", "", "bob", "m");
  history = club.Change("alice", "history", R"("after":1)");
  CHECK(history["messages"][0].contains("retracted"));
  CHECK_FALSE(history["messages"][0].contains("body"));
  // What doesn't exist, or stands elsewhere, can't be edited.
  club.Refer("bob", "edit", R"("x")", "bob", "none");
  CHECK(club.LastError("bob") == "not_found");
  club.world.Send(*club.devices["bob"], "alice", "private", "x");
  club.world.Settle();
  club.Refer("bob", "edit", R"("x")", "bob", "private");
  CHECK(club.LastError("bob") == "not_found");
  club.Refer("bob", "edit", R"("x")", "nobody", "m");
  CHECK(club.LastError("bob") == "not_found");
  // Who came later can't react to what it may not see.
  club.Change("alice", "groups.add", R"("user":"dave")");
  club.Refer("dave", "reaction", R"("+1")", "bob", "m");
  CHECK(club.LastError("dave") == "not_found");
}

TEST_CASE("senders in a small group hear how far their messages got") {
  Club club;
  club.Create(R"(["bob","carol"])");
  club.Say("alice", "1");
  club.Say("bob", "2");
  club.Say("alice", "3");
  club.world.Confirm(*club.devices["carol"], 4);
  club.world.Settle();
  json told = json::parse(club.devices["alice"]->receipts.back());
  CHECK(told["by"] == "carol");
  CHECK(told["group"] == "g");
  CHECK(told["delivered"] == 4);
  CHECK(json::parse(club.devices["bob"]->receipts.back())["delivered"] == 3);
  club.world.ConfirmRead(*club.devices["carol"], 3);
  club.world.Settle();
  CHECK(json::parse(club.devices["alice"]->receipts.back())["read"] == 2);
  json history = club.Change("alice", "history");
  CHECK(history["delivered"] == 0);  // bob's device has confirmed nothing
  CHECK(history["receipts"].dump() ==
        R"([{"by":"bob","delivered":0,"read":0},{"by":"carol","delivered":4,"read":3}])");
  club.world.ConfirmRead(*club.devices["bob"], 4);
  club.world.Settle();
  history = club.Change("alice", "history");
  CHECK(history["delivered"] == 4);
  CHECK(history["read"] == 3);
}

TEST_CASE("in a large group read positions are told on request only") {
  EngineOptions options;
  options.receipt_members_max = 2;
  Club club(options);
  club.Create(R"(["bob","carol"])");
  club.Say("alice", "1");
  club.world.ConfirmRead(*club.devices["carol"], 2);
  club.world.Settle();
  CHECK(club.devices["alice"]->receipts.empty());
  json group = club.Change("alice", "groups.get", R"("receipts":true)");
  CHECK(group["receipts"].dump() == R"([{"delivered":2,"read":2,"user":"carol"}])");
}

TEST_CASE("a topic group's receipts go by the group's numbers") {
  Club club;
  club.Create(R"(["bob"])", R"(,"delivery":"topic")");
  club.Say("alice", "1");
  club.Say("alice", "2");
  auto receipt = [&](const std::string& text) {
    club.world.Publish(*club.devices["bob"], "receipt/bob", text);
    club.world.Settle();
  };
  receipt(R"({"group":"g","read":2})");
  json told = json::parse(club.devices["alice"]->receipts.back());
  CHECK(told["group"] == "g");
  CHECK(told["read"] == 2);
  size_t before = club.devices["alice"]->receipts.size();
  receipt(R"({"group":"g","read":1})");
  CHECK(club.devices["alice"]->receipts.size() == before);
  receipt(R"({"group":"g","read":4})");
  CHECK(club.LastError("bob") == "bad_request");
  receipt(R"({"group":"nothing","read":1})");
  CHECK(club.LastError("bob") == "denied");
  club.Restart();
  json list = club.Ask("bob", "groups.list", R"("limit":10)");
  REQUIRE(list["groups"].size() == 1);
  CHECK(list["groups"][0]["head"] == 3);
  CHECK(list["groups"][0]["read"] == 2);
  CHECK(list["groups"][0]["unread"] == 1);
}

TEST_CASE("a group is among its members' conversations") {
  Club club;
  club.Create(R"(["bob"])");
  club.Say("alice", "1", "hi");
  club.world.Send(*club.devices["carol"], "bob", "c", "private");
  club.world.Settle();
  for (int round = 0; round < 2; ++round) {
    json talks = club.Ask("bob", "conversations", R"("limit":5)")["conversations"];
    REQUIRE(talks.size() == 2);
    CHECK(talks[0]["with"] == "carol");
    CHECK(talks[1]["group"] == "g");
    CHECK(talks[1]["unread"] == 1);
    CHECK(talks[1]["last"]["body"] == "hi");
    CHECK(talks[1]["last"]["gseq"] == 2);
    json recent = club.world.Ask(*club.devices["bob"], "recent")["conversations"];
    INFO(recent.dump());
    REQUIRE(recent.size() == 2);
    CHECK(recent[1]["group"] == "g");
    CHECK(recent[1]["unread"] == 1);
    CHECK(SeqsOf(recent[1]["messages"]) == "2 1");
    club.Restart();
  }
}

TEST_CASE("what the journal refuses of a group's changes has not happened") {
  Club club;
  club.Create(R"(["bob"])");
  World& world = club.world;
  world.Publish(*club.devices["alice"], "ask/groups.add",
                R"({"rid":"a","group":"g","user":"carol"})");
  world.ReadAll();
  world.Publish(*club.devices["alice"], "group/g", R"({"id":"1","body":"to three"})");
  world.ReadAll();
  world.FailJournal();
  world.Settle();
  CHECK(club.LastError("alice") == "unavailable");
  CHECK(club.Inbox("carol") == "");
  CHECK(CodeOf(club.Change("carol", "groups.get")) == "denied");
  club.Say("alice", "1", "to two");
  CHECK(club.Inbox("bob") == "1 created, 2 to two");
  CHECK(club.Inbox("carol") == "");
  CHECK(club.Change("bob", "groups.get")["count"] == 2);
}

TEST_CASE("a member whose store is down makes its groups unavailable, and nothing is lost") {
  Club club;
  club.Create(R"(["bob","carol"])");
  club.world.log.SetDown(UserId("carol"), true);
  club.Say("alice", "1", "x");
  CHECK(club.LastError("alice") == "unavailable");
  CHECK(CodeOf(club.Change("alice", "groups.set", R"("title":"t")")) == "unavailable");
  club.world.log.SetDown(UserId("carol"), false);
  club.Say("alice", "1", "x");
  CHECK(club.Inbox("carol") == "1 created, 2 x");
}

TEST_CASE("what somebody does to a group stays in order, though it has to be read first") {
  Club club;
  World& world = club.world;
  world.Publish(*club.devices["alice"], "ask/groups.create",
                R"({"rid":"a","group":"g","members":["bob"]})");
  world.Publish(*club.devices["alice"], "group/g", R"({"id":"1","body":"first"})");
  world.Publish(*club.devices["alice"], "ask/groups.add",
                R"({"rid":"b","group":"g","user":"carol"})");
  world.Publish(*club.devices["alice"], "group/g", R"({"id":"2","body":"second"})");
  world.Settle();
  CHECK(club.Inbox("bob") == "1 created, 2 first, 3 added, 4 second");
  CHECK(club.Inbox("carol") == "3 added, 4 second");
}

TEST_CASE("requests about groups that are wrong are refused and change nothing") {
  Club club;
  club.Create(R"(["bob"])");
  struct Case {
    const char* method;
    const char* members;
    const char* code;
  };
  const Case cases[] = {
      {"groups.create", R"("group":"G")", "bad_request"},
      {"groups.create", R"("title":"x")", "bad_request"},
      {"groups.create", R"("group":"h","members":"bob")", "bad_request"},
      {"groups.create", R"("group":"h","members":["Bob"])", "bad_request"},
      {"groups.create", R"("group":"h","members":["nobody"])", "not_found"},
      {"groups.create", R"("group":"h","delivery":"mail")", "bad_request"},
      {"groups.create", R"("group":"h","open":1)", "bad_request"},
      {"groups.create", R"("group":"h","history":"none")", "bad_request"},
      {"groups.create", R"("group":"g")", "conflict"},
      {"groups.add", R"("group":"g")", "bad_request"},
      {"groups.add", R"("group":"g","user":"nobody")", "not_found"},
      {"groups.remove", R"("group":"g","user":"alice")", "bad_request"},
      {"groups.set", R"("group":"g")", "bad_request"},
      {"groups.set_role", R"("group":"g","user":"bob","role":"king")", "bad_request"},
      {"groups.set_role", R"("group":"g","user":"eve","role":"admin")", "not_found"},
      {"sync", R"("group":"g","wait":5)", "bad_request"},
      {"history", R"("group":"g","with":"bob")", "bad_request"},
  };
  for (const Case& c : cases) {
    INFO(c.method << " " << c.members);
    CHECK(CodeOf(club.Ask("alice", c.method, c.members)) == c.code);
  }
  json title = club.Change("alice", "groups.set", R"("title":")" + std::string(257, 'x') + "\"");
  CHECK(CodeOf(title) == "too_large");
  CHECK(club.Sync("alice") == "1 created");
}

TEST_CASE("a gateway is told of a group's receipt, whether it changes anything or not") {
  World world;
  TestDevice& gate = world.Connect("gate", "g1", true);
  TestDevice& alice = world.Join("alice", "a1");
  REQUIRE(CodeOf(world.Ask(alice, "groups.create",
                           R"("group":"g","members":["bob"],"delivery":"topic")")) == "ok");
  for (int i = 0; i < 2; ++i) {
    world.Publish(gate, "as/bob/receipt/bob", R"({"group":"g","read":1})");
    world.Settle();
  }
  const std::string ok = R"({"ok":true,"user":"bob","topic":"receipt/bob"})";
  CHECK(gate.answers == std::vector<std::string>{ok, ok});
}

}  // namespace
}  // namespace parley
