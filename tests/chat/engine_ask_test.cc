// Requests: sync, history, conversations, recent, devices.
#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;

// alice, who asks, and bob and others, who write.
class Talk {
 public:
  explicit Talk(EngineOptions options = {}) : world(options) {
    for (const char* user : {"alice", "bob", "carol", "dave", "eve", "frank", "gina"}) {
      devices[user] = &world.Connect(user, std::string(user) + ":1");
    }
    world.Settle();
  }
  void Say(const std::string& from, const std::string& to, const std::string& id,
           const std::string& body = "x") {
    world.Send(*devices[from], to, id, body);
    world.Settle();
  }
  void Refer(const std::string& from, const std::string& to, const std::string& type,
             const std::string& body, const std::string& ref_from, const std::string& ref_id) {
    world.env.now_ms += 1000;
    world.Publish(*devices[from], "chat/" + to,
                  R"({"type":")" + type + R"(")" + (body.empty() ? "" : R"(,"body":)" + body) +
                      R"(,"ref":{"from":")" + ref_from + R"(","id":")" + ref_id + R"("}})");
    world.Settle();
  }
  json Ask(const std::string& user, const std::string& method, const std::string& members = "") {
    return world.Ask(*devices[user], method, members);
  }
  // … by a user that has to be read first.
  json AskCold(const std::string& user, const std::string& method,
               const std::string& members = "") {
    world.Restart();
    for (auto& [name, device] : devices) device = &world.Connect(name, name + ":1");
    return Ask(user, method, members);
  }

  World world;
  std::map<std::string, TestDevice*> devices;
};

std::string CodeOf(const json& answer) { return answer.at("error").at("code"); }

TEST_CASE("an answer bears the request's rid") {
  World world;
  TestDevice& alice = world.Connect("alice", "a1");
  world.Publish(alice, "ask/sync", R"({"rid":"x\"y"})");
  world.Publish(alice, "ask/sync", R"({})");
  world.Settle();
  REQUIRE(alice.answers.size() == 2);
  CHECK(alice.answers[0].starts_with(R"({"rid":"x\"y","ok":true,"messages":[])"));
  CHECK(alice.answers[1].starts_with(R"({"ok":true,"messages":[])"));
}

TEST_CASE("a request that is wrong is refused with its rid") {
  Talk talk;
  struct Case {
    const char* method;
    const char* members;
    const char* code;
  };
  const Case cases[] = {
      {"nothing", "", "bad_request"},
      {"", "", "bad_request"},
      {"sync", R"("since":1)", "bad_request"},
      {"sync", R"("after":-1)", "bad_request"},
      {"sync", R"("limit":0)", "bad_request"},
      {"sync", R"("limit":1001)", "bad_request"},
      {"sync", R"("wait":61)", "bad_request"},
      {"sync", R"("group":"x")", "denied"},
      {"history", "", "bad_request"},
      {"history", R"("with":"Bob")", "bad_request"},
      {"history", R"("with":3)", "bad_request"},
      {"history", R"("with":"bob","limit":101)", "bad_request"},
      {"history", R"("with":"bob","before":1,"after":1)", "bad_request"},
      {"history", R"("with":"bob","before":0)", "bad_request"},
      {"history", R"("group":"x")", "denied"},
      {"conversations", R"("limit":101)", "bad_request"},
      {"conversations", R"("before":0)", "bad_request"},
      {"recent", R"("limit":1)", "bad_request"},
      {"devices.list", R"("x":1)", "bad_request"},
  };
  for (const Case& one : cases) {
    INFO(one.method << " " << one.members);
    json answer = talk.Ask("alice", one.method, one.members);
    CHECK(answer["rid"] == "q");
    CHECK(answer["ok"] == false);
    CHECK(CodeOf(answer) == one.code);
  }
}

TEST_CASE("a request that is no object, or whose rid is no string of 128 bytes, is refused") {
  World world;
  TestDevice& alice = world.Connect("alice", "a1");
  for (const std::string& payload :
       {std::string(), std::string("x"), std::string("[]"), std::string(R"({"rid":{}})"),
        std::string(R"({"rid":7})"), R"({"rid":")" + std::string(129, 'x') + R"("})"}) {
    world.Publish(alice, "ask/sync", payload);
    world.Settle();
    json refused = json::parse(alice.answers.back());
    CHECK(CodeOf(refused) == "bad_request");
    CHECK(refused["topic"] == "ask/sync");
    CHECK_FALSE(refused.contains("rid"));
  }
  world.Publish(alice, "ask/sync", R"({"rid":")" + std::string(128, 'x') + R"("})");
  world.Settle();
  CHECK(json::parse(alice.answers.back())["ok"] == true);
}

TEST_CASE("a request that can't be read is refused with its rid, where that can") {
  World world;
  TestDevice& alice = world.Connect("alice", "a1");
  TestDevice& gate = world.Connect("gate", "g1", true);
  const std::string deep = std::string(32, '[') + std::string(32, ']');
  for (std::string wrong : {std::string(R"("after":1,"after":2)"), R"("after":)" + deep,
                            std::string(R"("with":"\ud800")"), std::string(R"("after":1E400)")}) {
    for (std::string payload : {R"({"rid":"7",)" + wrong + "}", "{" + wrong + R"(,"rid":"7"})"}) {
      INFO(payload);
      world.Publish(alice, "ask/sync", payload);
      world.Publish(gate, "as/alice/ask/sync", payload);
      world.Settle();
      CHECK(alice.answers.back().starts_with(R"({"rid":"7","ok":false,"error":)"));
      CHECK(gate.answers.back().starts_with(R"({"rid":"7","user":"alice","ok":false,"error":)"));
    }
  }
}

TEST_CASE("without a rid, its topic tells of which request an error is") {
  World world;
  TestDevice& alice = world.Connect("alice", "a1");
  TestDevice& gate = world.Connect("gate", "g1", true);
  world.Publish(alice, "ask/history", R"({"with":"Bob"})");
  world.Publish(gate, "as/alice/ask/history", R"({"with":"Bob"})");
  world.Settle();
  CHECK(alice.answers.at(0).starts_with(R"({"ok":false,"topic":"ask/history","error":)"));
  CHECK(gate.answers.at(0).starts_with(
      R"({"ok":false,"user":"alice","topic":"ask/history","error":)"));
}

TEST_CASE("sync gives what came after a number, and the log's head, floor and epoch") {
  Talk talk;
  for (int i = 1; i <= 5; ++i)
    talk.Say(i % 2 ? "bob" : "alice", i % 2 ? "alice" : "bob", std::to_string(i));
  for (bool cold : {false, true}) {
    auto ask = [&](const std::string& members) {
      return cold ? talk.AskCold("alice", "sync", members) : talk.Ask("alice", "sync", members);
    };
    json all = ask("");
    CHECK(SeqsOf(all["messages"]) == "1-5");
    CHECK(all["head"] == 5);
    CHECK(all["floor"] == 1);
    CHECK(all["epoch"] == "e1");
    CHECK(all["more"] == false);
    json some = ask(R"("after":1,"limit":3)");
    CHECK(SeqsOf(some["messages"]) == "2-4");
    CHECK(some["more"] == true);
    CHECK(SeqsOf(ask(R"("after":4)")["messages"]) == "5");
    for (const char* past : {R"("after":5)", R"("after":6)", R"("after":18446744073709551615)"}) {
      json none = ask(past);
      CHECK(none["messages"].empty());
      CHECK(none["head"] == 5);
      CHECK(none["more"] == false);
    }
  }
}

TEST_CASE("sync has 100 messages where nothing is said, and 1000 at most") {
  Talk talk({.user_rate = 0});
  talk.Say("bob", "alice", "1");
  for (int i = 2; i <= 1100; ++i) talk.world.Publish(*talk.devices["bob"], "chat/alice", "x");
  talk.world.Settle();
  for (const char* after : {"", R"(,"after":1000)"}) {
    json page = talk.Ask("alice", "sync", std::string(R"("wait":0)") + after);
    CHECK(page["messages"].size() == 100);
    CHECK(page["more"] == (std::string(after).empty()));
  }
  json most = talk.Ask("alice", "sync", R"("limit":1000)");
  CHECK(SeqsOf(most["messages"]) == "1-1000");
  CHECK(most["more"] == true);
}

TEST_CASE("cache and store give the same sync, message for message") {
  Talk talk({.user_cache_messages = 8});
  for (int i = 1; i <= 40; ++i)
    talk.Say("bob", "alice", std::to_string(i), "x" + std::to_string(i));
  json warm = talk.Ask("alice", "sync", R"("after":30)");
  json cold = talk.AskCold("alice", "sync", R"("after":30)");
  CHECK(warm == cold);
  CHECK(SeqsOf(warm["messages"]) == "31-40");
}

TEST_CASE("an answer stays within 256 KiB, and says that there is more") {
  Talk talk;
  for (int i = 1; i <= 6; ++i) {
    talk.Say("bob", "alice", std::to_string(i), std::string(65'000, 'x'));
  }
  for (bool cold : {false, true}) {
    INFO("cold " << cold);
    if (cold) talk.AskCold("alice", "sync");
    for (const auto& [method, members] :
         std::map<std::string, std::string>{{"sync", ""}, {"history", R"("with":"bob")"}}) {
      json page = talk.Ask("alice", method, members);
      CHECK(talk.devices["alice"]->answers.back().size() <= 262'144);
      CHECK(page["messages"].size() == 4);
      CHECK(page["more"] == true);
    }
  }
  json rest = talk.Ask("alice", "sync", R"("after":4)");
  CHECK(SeqsOf(rest["messages"]) == "5-6");
  CHECK(rest["more"] == false);
}

TEST_CASE("a sync may wait for something to come") {
  Talk talk;
  talk.Say("bob", "alice", "1");
  TestDevice& alice = *talk.devices["alice"];
  alice.answers.clear();
  // There is something already.
  talk.world.Publish(alice, "ask/sync", R"({"rid":"a","wait":10})");
  talk.world.Settle();
  CHECK(alice.answers.size() == 1);
  talk.world.Publish(alice, "ask/sync", R"({"rid":"b","after":1,"wait":10})");
  talk.world.Publish(alice, "ask/sync", R"({"rid":"c","after":2,"wait":10})");
  talk.world.Settle();
  CHECK(alice.answers.size() == 1);
  talk.world.Send(*talk.devices["bob"], "alice", "2", "x");
  talk.world.Deliver();
  CHECK(alice.answers.size() == 1);  // not before it is durable
  talk.world.Settle();
  REQUIRE(alice.answers.size() == 2);
  json waited = json::parse(alice.answers[1]);
  CHECK(waited["rid"] == "b");
  CHECK(SeqsOf(waited["messages"]) == "2");
  CHECK(waited["head"] == 2);
  talk.Say("bob", "alice", "3");
  CHECK(json::parse(alice.answers.at(2))["rid"] == "c");
}

TEST_CASE("a sync that waited in vain has an empty answer when its time is over") {
  Talk talk;
  TestDevice& alice = *talk.devices["alice"];
  talk.world.Publish(alice, "ask/sync", R"({"rid":"a","wait":10})");
  talk.world.Publish(alice, "ask/sync", R"({"rid":"b","wait":20})");
  talk.world.Settle();
  talk.world.Tick(9'999);
  talk.world.Deliver();
  CHECK(alice.answers.empty());
  talk.world.Tick(1);
  talk.world.Deliver();
  REQUIRE(alice.answers.size() == 1);
  json answer = json::parse(alice.answers[0]);
  CHECK(answer["rid"] == "a");
  CHECK(answer["messages"].empty());
  CHECK(answer["more"] == false);
  talk.world.Tick(10'000);
  talk.world.Deliver();
  CHECK(alice.answers.size() == 2);
}

TEST_CASE("one sync after another may wait, and each has its time") {
  Talk talk;
  TestDevice& alice = *talk.devices["alice"];
  for (int i = 1; i <= 50; ++i) {
    talk.world.Publish(alice, "ask/sync",
                       R"({"rid":"s","wait":60,"after":)" + std::to_string(i - 1) + "}");
    talk.Say("bob", "alice", std::to_string(i));
    CHECK(alice.answers.size() == static_cast<size_t>(i));
  }
  CHECK(talk.world.engine->syncing() == 1);
  talk.world.Tick();
  CHECK(talk.world.engine->syncing() == 0);
}

TEST_CASE("a user has a limited number of syncs waiting, and those of a gone device don't count") {
  Talk talk({.sync_waiting_max = 2});
  TestDevice& alice = *talk.devices["alice"];
  TestDevice& tablet = talk.world.Connect("alice", "a2");
  talk.world.Publish(alice, "ask/sync", R"({"rid":"a","wait":10})");
  talk.world.Publish(tablet, "ask/sync", R"({"rid":"b","wait":10})");
  talk.world.Publish(alice, "ask/sync", R"({"rid":"c","wait":10})");
  talk.world.Settle();
  REQUIRE(alice.answers.size() == 1);
  CHECK(CodeOf(json::parse(alice.answers[0])) == "busy");
  talk.world.Leave(tablet);
  talk.world.Publish(alice, "ask/sync", R"({"rid":"d","wait":10})");
  talk.world.Settle();
  CHECK(alice.answers.size() == 1);
}

// History.

TEST_CASE("history gives one conversation, newest first from the end, oldest first from a number") {
  Talk talk;
  for (int i = 1; i <= 6; ++i) {
    talk.Say("alice", "bob", "b" + std::to_string(i));
    talk.Say("carol", "alice", "c" + std::to_string(i));
  }
  auto seqs = [&](const std::string& members) {
    return SeqsOf(talk.Ask("alice", "history", R"("with":"bob")" + members)["messages"]);
  };
  CHECK(seqs("") == "11 9 7 5 3 1");
  CHECK(seqs(R"(,"limit":2)") == "11 9");
  CHECK(seqs(R"(,"before":9,"limit":2)") == "7 5");
  CHECK(seqs(R"(,"before":8,"limit":2)") == "7 5");
  CHECK(seqs(R"(,"after":0,"limit":2)") == "1 3");
  CHECK(seqs(R"(,"after":5)") == "7 9 11");
  CHECK(seqs(R"(,"before":1)") == "");
  CHECK(talk.Ask("alice", "history", R"("with":"bob","limit":6)")["more"] == false);
  CHECK(talk.Ask("alice", "history", R"("with":"bob","limit":5)")["more"] == true);
  CHECK(talk.Ask("alice", "history", R"("with":"eve")")["messages"].empty());
  // The peer's own numbers are others.
  CHECK(SeqsOf(talk.Ask("bob", "history", R"("with":"alice","after":4)")["messages"]) == "5-6");
}

TEST_CASE("a page of history has 20 messages where nothing is said") {
  Talk talk;
  for (int i = 1; i <= 25; ++i) talk.Say("bob", "alice", std::to_string(i));
  json page = talk.Ask("alice", "history", R"("with":"bob")");
  CHECK(page["messages"].size() == 20);
  CHECK(page["more"] == true);
}

TEST_CASE("history shows a message as it is in sync where nothing changed it") {
  Talk talk;
  talk.Say("bob", "alice", "1", "hi");
  CHECK(talk.Ask("alice", "history", R"("with":"bob")")["messages"] ==
        talk.Ask("alice", "sync")["messages"]);
}

TEST_CASE("history shows a message in its latest form, sync shows the events") {
  Talk talk;
  talk.Say("bob", "alice", "m", "first");
  talk.Refer("bob", "alice", "edit", R"("second")", "bob", "m");
  talk.Refer("bob", "alice", "edit", R"("third")", "bob", "m");
  talk.Say("bob", "alice", "n", "other");
  json history = talk.Ask("alice", "history", R"("with":"bob")");
  REQUIRE(SeqsOf(history["messages"]) == "4 1");
  json latest = history["messages"][1];
  CHECK(latest["body"] == "third");
  CHECK(latest["ts"] == 1764000000000);
  CHECK(latest["edited"] == 1764000002000);
  CHECK(history["messages"][0].contains("edited") == false);
  CHECK(SeqsOf(talk.Ask("alice", "sync")["messages"]) == "1-4");
  // The author sees the same, under its own numbers.
  json own = talk.Ask("bob", "history", R"("with":"alice")");
  CHECK(own["messages"][1]["body"] == "third");
}

TEST_CASE("a retracted message is there without its body, also when it is edited later") {
  Talk talk;
  talk.Say("bob", "alice", "m", "secret");
  talk.Refer("bob", "alice", "retract", "", "bob", "m");
  talk.Refer("bob", "alice", "edit", R"("again")", "bob", "m");
  json history = talk.Ask("alice", "history", R"("with":"bob")");
  REQUIRE(history["messages"].size() == 1);
  CHECK_FALSE(history["messages"][0].contains("body"));
  CHECK(history["messages"][0]["retracted"] == 1764000001000);
}

TEST_CASE("reactions are listed with their message: the last of each user, none where taken back") {
  Talk talk;
  talk.Say("bob", "alice", "m", "hi");
  talk.Refer("alice", "bob", "reaction", R"("+")", "bob", "m");
  talk.Refer("bob", "alice", "reaction", R"("!")", "bob", "m");
  talk.Refer("alice", "bob", "reaction", R"({"x":1})", "bob", "m");
  json history = talk.Ask("alice", "history", R"("with":"bob")");
  REQUIRE(history["messages"].size() == 1);
  CHECK(history["messages"][0]["reactions"] ==
        json::parse(R"([{"from":"alice","body":{"x":1}},{"from":"bob","body":"!"}])"));
  talk.Refer("alice", "bob", "reaction", R"("")", "bob", "m");
  talk.Refer("bob", "alice", "reaction", R"("")", "bob", "m");
  history = talk.Ask("alice", "history", R"("with":"bob")");
  CHECK_FALSE(history["messages"][0].contains("reactions"));
}

TEST_CASE("a page of history is full of messages, however many events stand between them") {
  Talk talk;
  for (int i = 1; i <= 4; ++i) {
    talk.Say("bob", "alice", std::to_string(i), "hi");
    for (int k = 0; k < 5; ++k) {
      talk.Refer("alice", "bob", "reaction", R"("+")", "bob", std::to_string(i));
    }
  }
  json page = talk.Ask("alice", "history", R"("with":"bob","limit":3)");
  CHECK(SeqsOf(page["messages"]) == "19 13 7");
  CHECK(page["more"] == true);
  page = talk.Ask("alice", "history", R"("with":"bob","limit":3,"before":7)");
  CHECK(SeqsOf(page["messages"]) == "1");
  CHECK(page["more"] == false);
}

TEST_CASE("history carries how far the peer is") {
  Talk talk;
  talk.Say("alice", "carol", "0");
  for (int i = 1; i <= 3; ++i) talk.Say("alice", "bob", std::to_string(i));
  json history = talk.Ask("alice", "history", R"("with":"bob")");
  CHECK(history["delivered"] == 0);
  CHECK(history["read"] == 0);
  talk.world.Publish(*talk.devices["bob"], "receipt/bob", R"({"delivered":3,"read":2})");
  talk.world.Settle();
  for (bool cold : {false, true}) {
    history = cold ? talk.AskCold("alice", "history", R"("with":"bob")")
                   : talk.Ask("alice", "history", R"("with":"bob")");
    CHECK(history["delivered"] == 4);
    CHECK(history["read"] == 3);
  }
}

// Conversations and recent.

TEST_CASE("conversations come latest first, with their last message and what is unread") {
  Talk talk;
  talk.Say("bob", "alice", "1", "b");
  talk.Say("carol", "alice", "1", "c");
  talk.Say("alice", "dave", "1", "d");
  talk.Say("bob", "alice", "2", "bb");
  json all = talk.Ask("alice", "conversations");
  REQUIRE(all["conversations"].size() == 3);
  CHECK(all["more"] == false);
  CHECK(all["conversations"][0]["with"] == "bob");
  CHECK(all["conversations"][0]["last"]["seq"] == 4);
  CHECK(all["conversations"][0]["last"]["body"] == "bb");
  CHECK(all["conversations"][0]["unread"] == 2);
  CHECK(all["conversations"][1]["with"] == "dave");
  CHECK(all["conversations"][1]["unread"] == 0);
  CHECK(all["conversations"][2]["with"] == "carol");
  CHECK(all["conversations"][2]["unread"] == 1);

  json page = talk.Ask("alice", "conversations", R"("limit":2)");
  CHECK(page["conversations"].size() == 2);
  CHECK(page["more"] == true);
  json rest = talk.Ask("alice", "conversations", R"("limit":2,"before":3)");
  REQUIRE(rest["conversations"].size() == 1);
  CHECK(rest["conversations"][0]["with"] == "carol");
  CHECK(rest["more"] == false);
}

TEST_CASE("what is read is no longer unread") {
  Talk talk;
  for (int i = 1; i <= 4; ++i) {
    talk.Say("bob", "alice", std::to_string(i));
    talk.Say("carol", "alice", std::to_string(i));
  }
  talk.world.ConfirmRead(*talk.devices["alice"], 5);
  talk.world.Settle();
  for (bool cold : {false, true}) {
    json all = cold ? talk.AskCold("alice", "conversations") : talk.Ask("alice", "conversations");
    REQUIRE(all["conversations"].size() == 2);
    CHECK(all["conversations"][0]["with"] == "carol");
    CHECK(all["conversations"][0]["unread"] == 2);
    CHECK(all["conversations"][1]["unread"] == 1);
  }
}

TEST_CASE("a page of conversations stays within 256 KiB") {
  Talk talk;
  for (const char* peer : {"bob", "carol", "dave", "eve", "frank"}) {
    talk.Say(peer, "alice", "1", std::string(65'000, 'x'));
  }
  json page = talk.Ask("alice", "conversations");
  CHECK(talk.devices["alice"]->answers.back().size() <= 262'144);
  CHECK(page["conversations"].size() == 4);
  CHECK(page["more"] == true);
  json rest = talk.Ask("alice", "conversations", R"("before":2)");
  CHECK(rest["conversations"].size() == 1);
}

TEST_CASE("recent gives the last 5 conversations with their last 15 messages, newest first") {
  Talk talk;
  for (const char* peer : {"bob", "carol", "dave", "eve", "frank", "gina"}) {
    talk.Say(peer, "alice", "1");
  }
  for (int i = 2; i <= 20; ++i) talk.Say("carol", "alice", std::to_string(i));
  json recent = talk.Ask("alice", "recent");
  std::vector<std::string> peers;
  for (const json& one : recent["conversations"]) peers.push_back(one["with"]);
  CHECK(peers == std::vector<std::string>{"carol", "gina", "frank", "eve", "dave"});
  CHECK(recent["conversations"][0]["unread"] == 20);
  CHECK(SeqsOf(recent["conversations"][0]["messages"]) ==
        "25 24 23 22 21 20 19 18 17 16 15 14 13 12 11");
  CHECK(recent["head"] == 25);
  CHECK(recent["epoch"] == "e1");
}

TEST_CASE("recent stays within 256 KiB: each conversation has its share, the latest have more") {
  Talk talk;
  for (int i = 1; i <= 3; ++i) {
    for (const char* peer : {"bob", "carol", "dave", "eve", "frank"}) {
      talk.Say(peer, "alice", std::to_string(i), std::string(65'000, 'x'));
    }
  }
  json recent = talk.Ask("alice", "recent");
  CHECK(talk.devices["alice"]->answers.back().size() <= 262'144);
  std::vector<size_t> counts;
  for (const json& one : recent["conversations"]) counts.push_back(one["messages"].size());
  CHECK(counts == std::vector<size_t>{1, 1, 1, 1, 0});
  CHECK(recent["conversations"][4]["unread"] == 3);
}

TEST_CASE("a message with long reactions stays within 256 KiB") {
  Talk talk({.max_body = 200'000});
  talk.Say("bob", "alice", "m", std::string(190'000, 'x'));
  const std::string reaction = '"' + std::string(65'000, 'y') + '"';
  talk.Refer("alice", "bob", "reaction", reaction, "bob", "m");
  talk.Refer("bob", "alice", "reaction", reaction, "bob", "m");
  json history = talk.Ask("alice", "history", R"("with":"bob")");
  CHECK(talk.devices["alice"]->answers.back().size() <= 262'144);
  REQUIRE(history["messages"].size() == 1);
  CHECK(history["messages"][0]["reactions"].size() == 1);
}

// The answer that is kept as messages come must be the one that the store gives.
TEST_CASE("recent is the same from memory as from the store, after every kind of change") {
  Talk talk;
  std::mt19937 random(7);
  const std::vector<std::string> peers = {"bob", "carol", "dave", "eve", "frank", "gina", "alice"};
  uint64_t read = 0;
  int from_memory = 0;
  for (int step = 1; step <= 150; ++step) {
    // Mostly few peers, so that conversations become long.
    std::string peer = peers[random() % (step % 30 < 20 ? 2 : peers.size())];
    uint64_t head = talk.Ask("alice", "sync")["head"];
    switch (random() % 5) {
      case 0:
        talk.Say("alice", peer, "a" + std::to_string(step));
        break;
      case 1:
        read = std::min(head, read + random() % 12);
        talk.world.ConfirmRead(*talk.devices["alice"], read);
        break;
      default:
        talk.Say(peer, peer == "alice" ? "bob" : "alice", "p" + std::to_string(step));
    }
    talk.world.Settle();
    talk.world.Publish(*talk.devices["alice"], "ask/recent", R"({"rid":"q"})");
    from_memory += talk.world.readers.jobs.empty();
    talk.world.Settle();
    json kept = json::parse(talk.devices["alice"]->answers.back());
    INFO("step " << step);
    REQUIRE(kept == talk.AskCold("alice", "recent"));
    // Both ways again and again: the next change meets an answer that is kept.
    REQUIRE(kept == talk.Ask("alice", "recent"));
  }
  CHECK(from_memory > 20);
}

TEST_CASE("recent is kept while messages come, and reads no store") {
  Talk talk;
  for (const char* peer : {"bob", "carol"}) {
    for (int i = 1; i <= 20; ++i) talk.Say(peer, "alice", std::to_string(i));
  }
  talk.Ask("alice", "recent");
  TestDevice& alice = *talk.devices["alice"];
  for (int i = 21; i <= 30; ++i) {
    talk.Say("bob", "alice", std::to_string(i));
    talk.Say("alice", "carol", std::to_string(i));
    talk.world.ConfirmRead(alice, 30 + static_cast<uint64_t>(i) / 2);
    talk.world.Settle();
    talk.world.Publish(alice, "ask/recent", R"({"rid":"q"})");
    CHECK(talk.world.readers.jobs.empty());
    talk.world.Settle();
    json kept = json::parse(alice.answers.back());
    CHECK(kept["conversations"][0]["with"] == "carol");
    CHECK(kept["conversations"][0]["messages"].size() == 15);
  }
  json kept = talk.Ask("alice", "recent");
  CHECK(kept == talk.AskCold("alice", "recent"));
}

TEST_CASE(
    "recent isn't kept of somebody who didn't ask for it in a while, or where there is no room") {
  World world({.cache_bytes = 20'000, .user_idle_ms = 60'000});
  TestDevice& alice = world.Join("alice", "a1");
  size_t text = 10;
  int64_t pass_ms = 59'000;
  bool kept = true;
  SECTION("asked for a moment ago") {}
  SECTION("a while ago") {
    pass_ms = 61'000;
    kept = false;
  }
  SECTION("no room") {
    text = 2000;
    kept = false;
  }
  for (int i = 1; i <= 15; ++i) world.Send(alice, "bob", std::to_string(i), std::string(text, 'x'));
  world.Settle();
  world.Ask(alice, "recent");
  CHECK(world.engine->cached_bytes() <= 20'000);
  world.Tick(pass_ms);
  world.Publish(alice, "ask/recent", R"({"rid":"q"})");
  CHECK(world.readers.jobs.empty() == kept);
  CHECK(world.Ask(alice, "recent")["conversations"][0]["messages"].size() == 15);
}

TEST_CASE("the device list shows each device, how far it is and whether it is there") {
  Talk talk;
  for (int i = 1; i <= 5; ++i) talk.Say("bob", "alice", std::to_string(i));
  TestDevice& tablet = talk.world.Join("alice", "tab\"let");
  TestDevice& phone = talk.world.Join("alice", "phone");
  talk.world.Settle();
  talk.world.Confirm(tablet, 3);
  talk.world.Confirm(phone, 5);
  talk.world.Settle();
  talk.world.Leave(tablet);
  talk.world.env.now_ms += 60'000;
  json devices = talk.Ask("alice", "devices.list")["devices"];
  REQUIRE(devices.size() == 3);
  std::map<std::string, json> by_name;
  for (const json& device : devices) by_name[device["device"]] = device;
  CHECK(by_name["tab\"let"] == json({{"device", "tab\"let"},
                                     {"delivered", 3},
                                     {"last_seen", 1764000000000},
                                     {"online", false}}));
  CHECK(
      by_name["phone"] ==
      json(
          {{"device", "phone"}, {"delivered", 5}, {"last_seen", 1764000060000}, {"online", true}}));
  CHECK(by_name["alice:1"]["delivered"] == 0);
  CHECK(by_name["alice:1"]["online"] == true);
}

}  // namespace
}  // namespace parley
