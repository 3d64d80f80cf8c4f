// Messages: numbers, outcomes, sending again, references, limits.
#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

std::string CodeIn(const std::string& answer) {
  return json::parse(answer).at("error").at("code").get<std::string>();
}

TEST_CASE("a message has a number of its own in both logs") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  TestDevice& carol = world.Join("carol", "c1");
  world.Settle();
  world.Send(carol, "bob", "0", "first");
  world.Send(alice, "bob", "7f3a", "hi");
  world.Settle();

  CHECK(alice.inbox == Strings{R"({"seq":1,"type":"message","id":"7f3a","from":"alice",)"
                               R"("to":"bob","ts":1764000000000,"body":"hi"})"});
  CHECK(SeqsOf(bob.inbox) == "1-2");
  CHECK(bob.inbox[1] == R"({"seq":2,"type":"message","id":"7f3a","from":"alice","to":"bob",)"
                        R"("ts":1764000000000,"body":"hi"})");
  CHECK(SeqsOf(carol.inbox) == "1");
  CHECK(alice.answers.empty());
}

TEST_CASE("all devices of both sides get a message, under the same number") {
  World world;
  TestDevice& a1 = world.Join("alice", "a1");
  TestDevice& a2 = world.Join("alice", "a2");
  TestDevice& b1 = world.Join("bob", "b1");
  TestDevice& b2 = world.Join("bob", "b2");
  world.Settle();
  for (int i = 0; i < 5; ++i)
    world.Publish(i % 2 ? a1 : b2, i % 2 ? "chat/bob" : "chat/alice", "x");
  world.Settle();
  CHECK(SeqsOf(a1.inbox) == "1-5");
  CHECK(a2.inbox == a1.inbox);
  CHECK(b1.inbox == a1.inbox);
  CHECK(b2.inbox == a1.inbox);
}

TEST_CASE("a message to oneself appears once") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  world.Send(alice, "alice", "1", "note");
  world.Send(alice, "bob", "2", "hi");
  world.Settle();
  CHECK(SeqsOf(alice.inbox) == "1-2");
  CHECK(json::parse(alice.inbox[0])["to"] == "alice");
}

TEST_CASE("nothing is shown before it is durable") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  TestDevice& script = world.Connect("alice", "s1");
  world.Settle();
  world.Send(alice, "bob", "1", "hi");
  world.ReadAll();
  world.Send(script, "bob", "2", "ho");
  world.Deliver();
  CHECK(alice.inbox.empty());
  CHECK(bob.inbox.empty());
  CHECK(script.answers.empty());
  world.log.Commit(1);
  world.Deliver();
  CHECK(SeqsOf(alice.inbox) == "1");
  CHECK(SeqsOf(bob.inbox) == "1");
  CHECK(script.answers.empty());
  world.log.Commit(1);
  world.Deliver();
  CHECK(SeqsOf(bob.inbox) == "1-2");
  CHECK(script.answers.size() == 1);
}

TEST_CASE("a sender that is not subscribed to its inbox gets an answer in place of its copy") {
  World world;
  TestDevice& script = world.Connect("alice", "s1");
  TestDevice& phone = world.Join("alice", "a1");
  world.Settle();
  world.Send(script, "bob", "7f3a", "hi");
  world.Settle();
  CHECK(script.inbox.empty());
  CHECK(script.answers == Strings{R"({"ok":true,"topic":"chat/bob","id":"7f3a","seq":1})"});
  CHECK(SeqsOf(phone.inbox) == "1");
  CHECK(phone.answers.empty());
}

TEST_CASE("an answer goes to the response topic with the correlation data") {
  World world;
  TestDevice& script = world.Connect("alice", "s1");
  Published published = world.PublishOf(script, "chat/bob", R"({"id":"1","body":"hi"})");
  published.response_topic = "answer/s1/x";
  published.correlation = "c";
  world.Turn(published);
  published.topic = "chat/nobody";
  world.Turn(published);
  published.topic = "ask/sync";
  published.payload = "{}";
  world.Turn(published);
  world.Settle();
  REQUIRE(script.effects.size() == 3);
  for (const Effect& effect : script.effects) {
    CHECK(effect.response_topic == "answer/s1/x");
    CHECK(effect.correlation == "c");
  }
}

TEST_CASE("the server makes an id where the sender gives none") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  world.Publish(alice, "chat/bob", "hi");
  world.Publish(alice, "chat/bob", "hi");
  world.Settle();
  REQUIRE(alice.inbox.size() == 2);
  auto first = json::parse(alice.inbox[0])["id"].get<std::string>();
  CHECK(first.size() <= 64);
  CHECK_FALSE(first.empty());
  CHECK(first != json::parse(alice.inbox[1])["id"]);
}

TEST_CASE("ids that the server makes are other ones after a restart") {
  World world;
  std::set<std::string> ids;
  for (int run = 0; run < 2; ++run) {
    TestDevice& alice = world.Join("alice", "a1");
    world.Settle();
    world.Publish(alice, "chat/bob", "hi");
    world.Settle();
    ids.insert(json::parse(alice.inbox.back())["id"].get<std::string>());
    world.Restart();
  }
  CHECK(ids.size() == 2);
}

TEST_CASE("a refusal of a message by the journal goes to the response topic") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  world.Send(alice, "bob", "0", "x");
  world.Settle();
  Published published = world.PublishOf(alice, "chat/bob", R"({"id":"1","body":"hi"})");
  published.response_topic = "answer/a1/x";
  published.correlation = "c";
  world.Turn(published);
  world.FailJournal();
  world.Settle();
  CHECK(alice.effects.back().channel == Channel::kAnswer);
  CHECK(alice.effects.back().response_topic == "answer/a1/x");
  CHECK(alice.effects.back().correlation == "c");
}

TEST_CASE("correlation data stands for the id where the payload has none") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  Published published = world.PublishOf(alice, "chat/bob", "hi");
  published.correlation = "c1";
  world.Turn(published);
  published.payload = R"({"id":"own","body":"hi"})";
  world.Turn(published);
  published.payload = "again";
  published.correlation = "\xff";
  world.Turn(published);
  published.correlation = std::string(65, 'x');
  world.Turn(published);
  world.Settle();
  REQUIRE(alice.inbox.size() == 2);
  CHECK(json::parse(alice.inbox[0])["id"] == "c1");
  CHECK(json::parse(alice.inbox[1])["id"] == "own");
  REQUIRE(alice.answers.size() == 2);
  CHECK(CodeIn(alice.answers[0]) == "bad_request");
  CHECK(CodeIn(alice.answers[1]) == "bad_request");
}

TEST_CASE(
    "what is wrong with a message is told to the device that sent it, and nothing is stored") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& other = world.Join("alice", "a2");
  world.Settle();
  world.Send(alice, "nobody", "1", "hi");
  world.Publish(alice, "chat/bob", R"({"id":"2"})");
  world.Publish(alice, "chat/bob", std::string(65'537, 'x'));
  world.Publish(alice, "chat/", "hi");
  world.Publish(alice, "chat/Bob", "hi");
  world.Publish(alice, "chat/bob/x", "hi");
  world.Settle();
  REQUIRE(alice.answers.size() == 6);
  CHECK(alice.answers[0] ==
        R"({"ok":false,"topic":"chat/nobody","id":"1","error":{"code":"not_found",)"
        R"("message":"no account 'nobody'"}})");
  CHECK(CodeIn(alice.answers[1]) == "bad_request");
  CHECK(CodeIn(alice.answers[2]) == "too_large");
  for (size_t i = 3; i < 6; ++i) CHECK(CodeIn(alice.answers[i]) == "bad_request");
  CHECK(other.answers.empty());
  CHECK(world.log.committed() == Lsn());
}

TEST_CASE("messages of one sender are numbered in the order in which they came") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  // Each waits for its receiver to be read, or not.
  world.Send(alice, "bob", "1", "x");
  world.Send(alice, "carol", "2", "x");
  world.Send(alice, "alice", "3", "x");
  world.Send(alice, "bob", "4", "x");
  world.Settle();
  REQUIRE(alice.inbox.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(json::parse(alice.inbox[i])["id"] == std::to_string(i + 1));
  }
}

TEST_CASE("a sender that is gone by the time is sent for all the same") {
  World world;
  TestDevice& bob = world.Join("bob", "b1");
  TestDevice& alice = world.Connect("alice", "s1");
  world.Settle();
  world.Send(alice, "bob", "1", "x");
  world.Leave(alice);
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1");
}

// Sending again.

TEST_CASE("the same id again changes nothing and gives the first outcome to who asks again") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& tablet = world.Join("alice", "a2");
  TestDevice& script = world.Connect("alice", "s1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(alice, "bob", "7f3a", "hi");
  world.Settle();
  Strings first = alice.inbox;
  world.env.now_ms += 5000;
  world.Send(alice, "bob", "7f3a", "hi");
  world.Settle();
  CHECK(alice.inbox == Strings{first[0], first[0]});
  CHECK(tablet.inbox == first);
  CHECK(bob.inbox.size() == 1);

  world.Send(tablet, "bob", "7f3a", "hi");
  world.Send(script, "bob", "7f3a", "hi");
  world.Settle();
  CHECK(tablet.inbox == Strings{first[0], first[0]});
  CHECK(alice.inbox.size() == 2);
  CHECK(script.answers == Strings{R"({"ok":true,"topic":"chat/bob","id":"7f3a","seq":1})"});
  CHECK(bob.inbox.size() == 1);
  CHECK(world.log.transactions().size() == 1);
}

TEST_CASE("text and object of the same content are the same message") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  Published published = world.PublishOf(alice, "chat/bob", "hi");
  published.correlation = "1";
  world.Turn(published);
  world.Send(alice, "bob", "1", "hi");
  world.Settle();
  REQUIRE(alice.answers.size() == 2);
  CHECK(alice.answers[0] == alice.answers[1]);
}

TEST_CASE("the same id with another content, receiver, type or ref is a conflict") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  world.Send(alice, "bob", "1", "hi");
  world.Settle();
  world.Send(alice, "bob", "1", "ho");
  world.Send(alice, "carol", "1", "hi");
  world.Publish(alice, "chat/bob",
                R"({"id":"1","type":"edit","body":"hi","ref":{"from":"alice","id":"1"}})");
  world.Publish(alice, "chat/bob", R"({"id":"1","body":"hi","ref":{"from":"alice","id":"1"}})");
  world.Settle();
  REQUIRE(alice.answers.size() == 5);
  for (size_t i = 1; i < 5; ++i) CHECK(CodeIn(alice.answers[i]) == "conflict");
  CHECK(world.log.transactions().size() == 1);
}

TEST_CASE("ids of two senders have nothing to do with each other") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& carol = world.Connect("carol", "s2");
  world.Send(alice, "bob", "1", "hi");
  world.Send(carol, "bob", "1", "ho");
  world.Settle();
  CHECK(world.log.transactions().size() == 2);
}

TEST_CASE("an id sent again before the first is committed is no second message") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(alice, "bob", "1", "hi");
  world.Send(alice, "bob", "1", "hi");
  world.ReadAll();
  world.Send(alice, "bob", "1", "hi");
  world.Deliver();
  CHECK(alice.answers.empty());
  world.Settle();
  CHECK(alice.answers.size() == 3);
  CHECK(bob.inbox.size() == 1);
}

TEST_CASE("ids are known again after a restart, also of what left the cache") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  for (int i = 1; i <= 1000; ++i) world.Send(alice, "bob", std::to_string(i), "hi");
  world.Settle();
  Strings outcomes = alice.answers;
  REQUIRE(outcomes.size() == 1000);
  world.Restart();
  TestDevice& again = world.Connect("alice", "s1");
  for (int i = 1; i <= 1000; ++i) world.Send(again, "bob", std::to_string(i), "hi");
  world.Settle();
  world.Send(again, "bob", "500", "ho");
  world.Settle();
  REQUIRE(again.answers.size() == 1001);
  CHECK(CodeIn(again.answers.back()) == "conflict");
  again.answers.pop_back();
  CHECK((again.answers == outcomes));
  CHECK(world.log.transactions().size() == 1000);
}

TEST_CASE("an id is remembered through the sender's next 1000 messages, also those without an id") {
  World world({.user_rate = 0});
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  world.Send(alice, "bob", "first", "hi");
  world.Settle();
  for (int i = 0; i < 1000; ++i) world.Publish(alice, "chat/bob", "x");
  world.Send(alice, "bob", "first", "hi");
  world.Settle();
  CHECK(SeqsOf(alice.inbox) == "1-1001 1");
  CHECK(world.log.transactions().size() == 1001);
  // After many more it is forgotten, and a message like any other.
  for (int i = 0; i < 30; ++i) world.Publish(alice, "chat/bob", "x");
  world.Send(alice, "bob", "first", "hi");
  world.Settle();
  CHECK(SeqsOf(alice.inbox) == "1-1001 1 1002-1032");
}

TEST_CASE("a copy that left the cache is read to be given again") {
  World world({.user_cache_messages = 4});
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  for (int i = 1; i <= 20; ++i) world.Send(alice, "bob", std::to_string(i), "x");
  world.Settle();
  world.Send(alice, "bob", "3", "x");
  CHECK(world.readers.jobs.size() == 1);
  world.Settle();
  REQUIRE(alice.inbox.size() == 21);
  CHECK(alice.inbox[20] == alice.inbox[2]);
}

TEST_CASE("whose own sync waits for its message gets the outcome besides") {
  World world;
  TestDevice& script = world.Connect("alice", "s1");
  world.Publish(script, "ask/sync", R"({"rid":"w","wait":10})");
  world.Settle();
  world.Send(script, "bob", "1", "x");
  world.Settle();
  REQUIRE(script.answers.size() == 2);
  CHECK(json::parse(script.answers[0])["rid"] == "w");
  CHECK(script.answers[1] == R"({"ok":true,"topic":"chat/bob","id":"1","seq":1})");
}

TEST_CASE("a device that publishes before it subscribes, or the other way round, has an outcome") {
  World world;
  TestDevice& device = world.Connect("alice", "a1");
  // Nothing is read in between: all of it waits for the same read.
  SECTION("publishes first") {
    world.Send(device, "alice", "1", "x");
    world.Subscribe(device);
    world.Settle();
    CHECK(device.inbox.size() + device.answers.size() == 1);
  }
  SECTION("subscribes first") {
    world.Subscribe(device);
    world.Send(device, "bob", "1", "x");
    world.Settle();
    CHECK(SeqsOf(device.inbox) == "1");
    CHECK(device.answers.empty());
  }
  world.Send(device, "bob", "2", "x");
  world.Settle();
  CHECK(SeqsOf(device.inbox).ends_with("2"));
}

TEST_CASE("a copy that is asked for again never overtakes what the device is still to get") {
  World world({.window = 3, .user_cache_messages = 2});
  TestDevice& phone = world.Join("alice", "a1");
  TestDevice& script = world.Connect("alice", "s1");
  world.Settle();
  world.Confirm(phone, 0);
  world.Settle();
  for (int i = 1; i <= 9; ++i) {
    world.Send(script, "bob", std::to_string(i), "x");
    world.Settle();
  }
  SECTION("with a full window") {
    world.Send(phone, "bob", "2", "x");
    world.Send(phone, "bob", "8", "x");
    world.Settle();
    CHECK(SeqsOf(phone.inbox) == "1-3 2");
    CHECK(phone.answers.empty());
    for (uint64_t seq : {3, 6, 9}) {
      world.Confirm(phone, seq);
      world.Settle();
    }
    CHECK(SeqsOf(phone.inbox) == "1-3 2 4-9");
  }
  SECTION("while it catches up") {
    world.Restart();
    TestDevice& again = world.Join("alice", "a1");
    world.Send(again, "bob", "8", "x");
    world.Settle();
    CHECK(SeqsOf(again.inbox) == "1-3");
    world.Confirm(again, 3);
    world.Send(again, "bob", "2", "x");
    world.Settle();
    CHECK((SeqsOf(again.inbox) == "1-6 2" || SeqsOf(again.inbox) == "1-3 2 4-6"));
  }
  SECTION("before it is known from where it is served") {
    world.Restart();
    TestDevice& again = world.Connect("alice", "a1");
    world.Publish(again, "chat/bob", "x");
    world.Settle();
    again.answers.clear();
    world.Subscribe(again);
    REQUIRE(world.readers.jobs.size() == 1);  // its cursor
    world.Send(again, "bob", "2", "x");
    world.Settle();
    CHECK(SeqsOf(again.inbox) == "1-3");
    CHECK(again.answers.empty());
  }
}

// References.

TEST_CASE("an author may edit and retract, anybody in the conversation may react") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(alice, "bob", "m", "hi");
  world.Publish(alice, "chat/bob",
                R"({"id":"e","type":"edit","body":"ho","ref":{"from":"alice","id":"m"}})");
  world.Publish(bob, "chat/alice",
                R"({"id":"r","type":"reaction","body":"+","ref":{"from":"alice","id":"m"}})");
  world.Publish(alice, "chat/bob",
                R"({"id":"s","type":"reaction","body":"!","ref":{"from":"alice","id":"m"}})");
  world.Publish(alice, "chat/bob",
                R"({"id":"x","type":"retract","ref":{"from":"alice","id":"m"}})");
  world.Settle();
  CHECK(SeqsOf(bob.inbox) == "1-5");
  CHECK(SeqsOf(alice.inbox) == "1-5");
  CHECK(json::parse(bob.inbox[1])["ref"] == json({{"from", "alice"}, {"id", "m"}}));
  // Each of them names the message's place in both logs.
  for (const Transaction& transaction : world.log.transactions()) {
    const auto& message = std::get<MessageRecord>(transaction.records[0]);
    if (!message.ref) continue;
    CHECK(message.ref->from_seq == Seq(1));
    CHECK(message.ref->to_seq == Seq(1));
  }
}

TEST_CASE("references hold the numbers of the right side") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(bob, "carol", "0", "so that numbers differ");
  world.Settle();
  world.Send(alice, "bob", "m", "hi");
  world.Settle();
  world.Publish(bob, "chat/alice",
                R"({"id":"r","type":"reaction","body":"+","ref":{"from":"alice","id":"m"}})");
  world.Publish(alice, "chat/bob",
                R"({"id":"e","type":"edit","body":"ho","ref":{"from":"alice","id":"m"}})");
  world.Settle();
  const auto& all = world.log.transactions();
  std::map<std::string, MessageRef> refs;
  for (const auto& t : all) {
    const auto& message = std::get<MessageRecord>(t.records[0]);
    if (message.ref) refs[message.id] = *message.ref;
  }
  REQUIRE(refs.size() == 2);
  CHECK(refs["r"].from_seq == Seq(2));  // bob's number of it
  CHECK(refs["r"].to_seq == Seq(1));
  CHECK(refs["e"].from_seq == Seq(1));  // alice's
  CHECK(refs["e"].to_seq == Seq(2));
}

TEST_CASE("nobody changes another's message, or one of another conversation") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& bob = world.Connect("bob", "s2");
  TestDevice& carol = world.Connect("carol", "s3");
  world.Send(alice, "bob", "m", "hi");
  world.Settle();
  alice.answers.clear();
  auto refused = [&](TestDevice& who, const std::string& to, const std::string& payload) {
    world.Publish(who, "chat/" + to, payload);
    world.Settle();
    auto answer = who.answers.back();
    who.answers.clear();
    return CodeIn(answer);
  };
  const std::string ref = R"(,"ref":{"from":"alice","id":"m"}})";
  CHECK(refused(bob, "alice", R"({"type":"edit","body":"x")" + ref) == "denied");
  CHECK(refused(bob, "alice", R"({"type":"retract")" + ref) == "denied");
  CHECK(refused(carol, "alice", R"({"type":"reaction","body":"x")" + ref) == "not_found");
  CHECK(refused(carol, "bob", R"({"type":"reaction","body":"x")" + ref) == "not_found");
  CHECK(refused(alice, "carol", R"({"type":"edit","body":"x")" + ref) == "not_found");
  CHECK(refused(alice, "bob", R"({"type":"edit","body":"x","ref":{"from":"alice","id":"n"}})") ==
        "not_found");
  CHECK(refused(alice, "bob", R"({"type":"reaction","body":"x","ref":{"from":"bob","id":"m"}})") ==
        "not_found");
  CHECK(world.log.transactions().size() == 1);
}

TEST_CASE("an edit can't be edited, nor a reaction reacted to") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  world.Send(alice, "bob", "m", "hi");
  world.Publish(alice, "chat/bob",
                R"({"id":"e","type":"edit","body":"ho","ref":{"from":"alice","id":"m"}})");
  world.Publish(alice, "chat/bob",
                R"({"id":"f","type":"edit","body":"hu","ref":{"from":"alice","id":"e"}})");
  world.Settle();
  REQUIRE(alice.answers.size() == 3);
  CHECK(CodeIn(alice.answers[2]) == "not_found");
}

TEST_CASE("a reply may name any message, also one that nobody knows") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  world.Publish(alice, "chat/bob", R"({"id":"1","body":"so","ref":{"from":"zoe","id":"unknown"}})");
  world.Settle();
  CHECK(json::parse(alice.answers.at(0))["ok"] == true);
}

TEST_CASE("what follows an edit waits for it") {
  World world;
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  world.Send(alice, "bob", "m", "hi");
  world.Settle();
  world.Publish(alice, "chat/bob",
                R"({"id":"e","type":"edit","body":"ho","ref":{"from":"alice","id":"m"}})");
  world.Publish(alice, "chat/bob",
                R"({"id":"d","type":"edit","body":"ho","ref":{"from":"bob","id":"m"}})");
  world.Send(alice, "bob", "n", "after");
  world.Settle();
  REQUIRE(alice.inbox.size() == 3);
  CHECK(json::parse(alice.inbox[1])["id"] == "e");
  CHECK(json::parse(alice.inbox[2])["id"] == "n");
  CHECK(CodeIn(alice.answers.at(0)) == "denied");
}

// Refusals.

TEST_CASE("a message that is refused for what it holds is refused by its id") {
  World world({.max_body = 100});
  TestDevice& alice = world.Connect("alice", "a1");
  TestDevice& gate = world.Connect("gate", "g1", true);
  const std::string deep = std::string(32, '[') + std::string(32, ']');
  for (const std::string& wrong : std::vector<std::string>{
           R"("body":"x","foo":1)", R"("body":")" + std::string(101, 'x') + "\"",
           R"("type":"message")", R"("body":1,"type":"shout")",
           R"("body":1,"ref":{"from":"A","id":"1"})", R"("body":{"a":1,"a":2})",
           R"("body":)" + deep, R"("body":"\ud800")", R"("body":1E400)"}) {
    for (const std::string& payload :
         {R"({"id":"k1",)" + wrong + "}", "{" + wrong + R"(,"id":"k1"})"}) {
      INFO(payload);
      world.Publish(alice, "chat/bob", payload);
      world.Publish(gate, "as/alice/group/g", payload);
      world.Settle();
      json refused = json::parse(alice.answers.back());
      CHECK(refused["id"] == "k1");
      CHECK(refused["topic"] == "chat/bob");
      json at_gate = json::parse(gate.answers.back());
      CHECK(at_gate["id"] == "k1");
      CHECK(at_gate["user"] == "alice");
      CHECK(at_gate["topic"] == "group/g");
    }
  }
  CHECK(alice.answers.size() == 18);
  CHECK(world.log.transactions().empty());
}

TEST_CASE("where it has no id of its own, it is refused by its correlation data") {
  World world;
  TestDevice& alice = world.Connect("alice", "a1");
  auto id_of = [&](const std::string& payload, ContentType type = ContentType::kAny) {
    Published published = world.PublishOf(alice, "chat/bob", payload);
    published.correlation = "c1";
    published.content_type = type;
    world.Turn(std::move(published));
    world.Settle();
    json refused = json::parse(alice.answers.back());
    CHECK(refused["ok"] == false);
    return refused.value("id", "");
  };
  CHECK(id_of(R"({"body":1,"foo":1})") == "c1");
  CHECK(id_of(R"({"id":7,"body":1})") == "c1");
  CHECK(id_of(R"({"id":"k1","body":1,"foo":1})") == "k1");
  CHECK(id_of("\xff") == "c1");
  CHECK(id_of("hi", ContentType::kObject) == "c1");
  CHECK(id_of(R"({"id":"k1"})" + std::string(70'000, ' '), ContentType::kText) == "c1");
}

TEST_CASE("an error's message is short, whatever it quotes, and is UTF-8") {
  World world;
  TestDevice& alice = world.Connect("alice", "a1");
  std::string longs;
  for (int i = 0; i < 10'000; ++i) longs += "ä";
  world.Publish(alice, "chat/bob", R"({"body":1,")" + longs + R"(":1})");
  world.Publish(alice, "chat/bob", R"({"body":)" + std::string(9000, '9') + "}");
  world.Publish(alice, "ask/sync", R"({"x)" + longs + R"(":1})");
  world.Settle();
  REQUIRE(alice.answers.size() == 3);
  for (const std::string& answer : alice.answers) {
    CHECK(json::parse(answer)["error"]["message"].get<std::string>().size() <= 200);
  }
}

// Limits.

TEST_CASE("a user sends no more than its rate, with ten seconds of it at once") {
  World world({.user_rate = 2});
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& more = world.Connect("alice", "s2");
  TestDevice& carol = world.Connect("carol", "s3");
  for (int i = 0; i < 15; ++i) {
    world.Publish(alice, "chat/bob", "x");
    world.Publish(more, "chat/bob", "x");
  }
  world.Publish(carol, "chat/bob", "x");
  world.Settle();
  CHECK(world.log.transactions().size() == 21);
  json refused = json::parse(alice.answers.back());
  CHECK(refused["error"]["code"] == "quota");
  CHECK(refused["error"]["retry_after_ms"] == 500);
  world.env.now_ms += 500;
  world.Publish(alice, "chat/bob", "x");
  world.Settle();
  CHECK(json::parse(alice.answers.back())["ok"] == true);
}

TEST_CASE("what is sent again is told its outcome, also to who may send nothing more now") {
  World world({.user_rate = 1, .user_burst_s = 2});
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& script = world.Connect("alice", "a2");
  world.Settle();
  for (const char* id : {"1", "2", "3"}) world.Send(alice, "bob", id, "x");
  world.Settle();
  REQUIRE(alice.answers.size() == 1);
  CHECK(CodeIn(alice.answers[0]) == "quota");
  for (int i = 0; i < 5; ++i) world.Send(alice, "bob", "1", "x");
  world.Send(script, "bob", "2", "x");
  world.Settle();
  CHECK(alice.answers.size() == 1);
  CHECK(SeqsOf(alice.inbox) == "1-2 1 1 1 1 1");
  CHECK(script.answers == Strings{R"({"ok":true,"topic":"chat/bob","id":"2","seq":2})"});
  // Neither is another content what was sent, nor has it taken anything.
  world.Send(alice, "bob", "1", "other");
  world.Send(alice, "bob", "3", "x");
  world.Settle();
  CHECK(CodeIn(alice.answers.at(1)) == "quota");
  CHECK(CodeIn(alice.answers.at(2)) == "quota");
  world.env.now_ms += 1000;
  world.Send(alice, "bob", "3", "x");
  world.Settle();
  CHECK(SeqsOf(alice.inbox) == "1-2 1 1 1 1 1 3");
}

TEST_CASE(
    "of messages sent again so many are read again at a time, of the others the number is told") {
  World world({.cache_bytes = 0, .asks_max = 3});
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  world.Send(alice, "bob", "1", "x");
  world.Settle();
  for (int i = 0; i < 5; ++i) world.Send(alice, "bob", "1", "x");
  CHECK(world.readers.jobs.size() == 3);
  world.Settle();
  CHECK(SeqsOf(alice.inbox) == "1 1 1 1");
  const std::string number = R"({"ok":true,"topic":"chat/bob","id":"1","seq":1})";
  CHECK(alice.answers == Strings{number, number});
  world.Send(alice, "bob", "1", "x");
  world.Settle();
  CHECK(SeqsOf(alice.inbox) == "1 1 1 1 1");
}

TEST_CASE("an API key's accounts share its rate and its daily quota") {
  World world;
  world.accounts.keys = {{"alice", KeyName("k")}, {"carol", KeyName("k")}, {"dave", KeyName("l")}};
  world.accounts.limits[KeyName("k")] = {.rate = 0, .quota = 3};
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& carol = world.Connect("carol", "s2");
  TestDevice& dave = world.Connect("dave", "s3");
  world.Send(alice, "bob", "1", "x");
  world.Send(carol, "bob", "1", "x");
  world.Settle();
  world.Send(alice, "bob", "1", "x");  // again: costs nothing
  world.Send(alice, "bob", "2", "x");
  world.Send(carol, "bob", "2", "x");
  world.Send(dave, "bob", "1", "x");
  world.Settle();
  json refused = json::parse(carol.answers.back());
  CHECK(refused["error"]["code"] == "quota");
  int64_t day_ms = 86'400'000;
  CHECK(refused["error"]["retry_after_ms"] == day_ms - world.env.now_ms % day_ms);
  CHECK(json::parse(alice.answers.back())["ok"] == true);
  CHECK(json::parse(dave.answers.back())["ok"] == true);
  world.env.now_ms += day_ms;
  world.Send(carol, "bob", "2", "x");
  world.Settle();
  CHECK(json::parse(carol.answers.back())["ok"] == true);
}

TEST_CASE("an API key's rate holds for all its accounts together") {
  World world;
  world.accounts.keys = {{"alice", KeyName("k")}, {"carol", KeyName("k")}};
  world.accounts.limits[KeyName("k")] = {.rate = 4, .quota = 0};
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& carol = world.Connect("carol", "s2");
  for (int i = 0; i < 3; ++i) {
    world.Publish(alice, "chat/bob", "x");
    world.Publish(carol, "chat/bob", "x");
  }
  world.Settle();
  CHECK(world.log.transactions().size() == 4);
  CHECK(CodeIn(carol.answers.back()) == "quota");
}

TEST_CASE("what a key has used is recorded, and counts after a restart") {
  World world;
  world.accounts.keys["alice"] = KeyName("k");
  world.accounts.limits[KeyName("k")] = {.rate = 0, .quota = 3};
  TestDevice& alice = world.Connect("alice", "s1");
  world.Publish(alice, "chat/bob", "x");
  world.Publish(alice, "chat/bob", "x");
  world.Settle();
  world.Tick(1000);
  CHECK(world.accounts.used[KeyName("k")].used == 2);
  world.Restart();
  TestDevice& again = world.Connect("alice", "s1");
  world.Publish(again, "chat/bob", "x");
  world.Publish(again, "chat/bob", "x");
  world.Settle();
  REQUIRE(again.answers.size() == 2);
  CHECK(json::parse(again.answers[0])["ok"] == true);
  CHECK(CodeIn(again.answers[1]) == "quota");
}

TEST_CASE("a sender has no more messages waiting for a read than it may") {
  World world({.parked_max = 3});
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& carol = world.Connect("carol", "s2");
  for (int i = 0; i < 5; ++i) world.Send(alice, "bob", std::to_string(i), "x");
  world.Send(carol, "bob", "0", "x");
  world.Deliver();
  REQUIRE(alice.answers.size() == 2);
  CHECK(json::parse(alice.answers[0])["id"] == "3");
  CHECK(CodeIn(alice.answers[0]) == "busy");
  CHECK(CodeIn(alice.answers[1]) == "busy");
  world.Settle();
  CHECK(world.log.transactions().size() == 4);
  world.Send(alice, "bob", "3", "x");
  world.Settle();
  CHECK(json::parse(alice.answers.back())["ok"] == true);
}

// On behalf of others.

TEST_CASE("a gateway sends as a user, with that user's rights, and the outcome is the gateway's") {
  World world;
  world.accounts.keys["alice"] = KeyName("k");
  world.accounts.limits[KeyName("k")] = {.rate = 0, .quota = 1};
  TestDevice& gate = world.Connect("gate", "g1", true);
  TestDevice& alice = world.Join("alice", "a1");
  TestDevice& bob = world.Join("bob", "b1");
  world.Settle();
  world.Send(gate, "bob", "own", "I am gate");
  world.Publish(gate, "as/alice/chat/bob", R"({"id":"1","body":"hi"})");
  world.Publish(gate, "as/alice/chat/bob", R"({"id":"2","body":"ho"})");
  world.Publish(gate, "as/alice/chat/nobody", R"({"id":"3","body":"ho"})");
  world.Settle();
  REQUIRE(gate.answers.size() == 4);
  CHECK(gate.answers[0] == R"({"ok":true,"topic":"chat/bob","id":"own","seq":1})");
  CHECK(gate.answers[1] == R"({"ok":true,"user":"alice","topic":"chat/bob","id":"1","seq":1})");
  json quota = json::parse(gate.answers[2]);
  CHECK(quota["user"] == "alice");
  CHECK(quota["error"]["code"] == "quota");
  CHECK(CodeIn(gate.answers[3]) == "not_found");
  CHECK(SeqsOf(alice.inbox) == "1");
  CHECK(SeqsOf(bob.inbox) == "1-2");
  CHECK(json::parse(bob.inbox[1])["from"] == "alice");
}

TEST_CASE("a gateway asks and confirms as a user") {
  World world;
  TestDevice& gate = world.Connect("gate", "g1", true);
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  world.Send(alice, "bob", "1", "hi");
  world.Settle();
  world.Publish(gate, "as/bob/ask/sync", R"({"rid":"7"})");
  world.Publish(gate, "as/bob/receipt/bob", R"({"delivered":1})");
  world.Settle();
  REQUIRE(gate.answers.size() == 2);
  CHECK(gate.answers[1] == R"({"ok":true,"user":"bob","topic":"receipt/bob"})");
  json sync = json::parse(gate.answers[0]);
  CHECK(sync["rid"] == "7");
  CHECK(sync["user"] == "bob");
  CHECK(SeqsOf(sync["messages"]) == "1");
  REQUIRE(alice.receipts.size() == 1);
  CHECK(json::parse(alice.receipts[0])["by"] == "bob");
  // It is no device of bob's.
  CHECK(world.Ask(gate, "devices.list")["devices"].size() == 1);
  CHECK(world.log.Caught(UserId("bob")).ReadDevices(UserId("bob"))->empty());
}

TEST_CASE("a gateway is told of each receipt, once it holds") {
  World world({.cache_bytes = 0});
  TestDevice& gate = world.Connect("gate", "g1", true);
  TestDevice& alice = world.Join("alice", "a1");
  world.Settle();
  for (const char* id : {"1", "2"}) world.Send(alice, "bob", id, "hi");
  world.Settle();
  auto confirm = [&](uint64_t seq) {
    Published published =
        world.PublishOf(gate, "as/bob/receipt/bob", "{\"read\":" + std::to_string(seq) + "}");
    published.correlation = "c" + std::to_string(seq);
    published.response_topic = "answer/g1/x";
    world.Turn(std::move(published));
  };
  const std::string ok = R"({"ok":true,"user":"bob","topic":"receipt/bob"})";
  confirm(1);
  world.ReadAll();
  world.Deliver();
  CHECK(gate.answers.empty());  // not committed
  world.Settle();
  CHECK(gate.answers == Strings{ok});
  CHECK(gate.effects.back().correlation == "c1");
  CHECK(gate.effects.back().response_topic == "answer/g1/x");
  confirm(1);  // changes nothing
  confirm(2);
  confirm(3);  // past the end
  world.Settle();
  REQUIRE(gate.answers.size() == 4);
  CHECK(std::count(gate.answers.begin(), gate.answers.end(), ok) == 3);
  CHECK(std::any_of(gate.answers.begin(), gate.answers.end(), [](const std::string& answer) {
    return answer.find("past the end") != std::string::npos;
  }));
  CHECK(alice.answers.empty());
}

TEST_CASE("a gateway is told of a receipt that the journal refused") {
  World world({.cache_bytes = GENERATE(size_t{0}, size_t{1} << 20)});
  TestDevice& gate = world.Connect("gate", "g1", true);
  world.Send(gate, "bob", "1", "hi");
  world.Settle();
  gate.answers.clear();
  world.Publish(gate, "as/bob/receipt/bob", R"({"read":1})");
  world.ReadAll();
  world.FailJournal();
  world.Settle();
  REQUIRE(gate.answers.size() == 1);
  CHECK(CodeIn(gate.answers[0]) == "unavailable");
  CHECK(json::parse(gate.answers[0])["topic"] == "receipt/bob");
  world.Publish(gate, "as/bob/receipt/bob", R"({"read":1})");
  world.Settle();
  REQUIRE(gate.answers.size() == 2);
  CHECK(json::parse(gate.answers[1])["ok"] == true);
}

TEST_CASE("nobody but a service account acts for others, and only for who is there") {
  World world;
  TestDevice& alice = world.Connect("alice", "s1");
  TestDevice& gate = world.Connect("gate", "g1", true);
  world.Publish(alice, "as/bob/chat/carol", "hi");
  world.Publish(gate, "as/nobody/chat/carol", "hi");
  world.Publish(gate, "as/bob/receipt/carol", R"({"read":1})");
  world.Publish(gate, "as/bob/as/carol/chat/dave", "hi");
  world.Publish(gate, "as/bob/presence/bob", "hi");
  world.Publish(gate, "as/bob", "hi");
  world.Settle();
  CHECK(CodeIn(alice.answers.at(0)) == "denied");
  REQUIRE(gate.answers.size() == 5);
  CHECK(CodeIn(gate.answers[0]) == "not_found");
  for (size_t i = 1; i < 5; ++i) CHECK(CodeIn(gate.answers[i]) == "denied");
  CHECK(world.log.transactions().empty());
}

TEST_CASE("whatever stands in a topic, the answer is JSON and goes where the client wants it") {
  World world;
  TestDevice& gate = world.Connect("gate", "g1", true);
  for (const std::string topic :
       {R"(as/x"y\/chat/bob)", R"(as/bob/"x")", R"(as/bob/chat/"x")", R"(as/bob/ask/"x")"}) {
    Published published = world.PublishOf(gate, topic, "{}");
    published.response_topic = "answer/g1/x";
    published.correlation = "c";
    world.Turn(published);
    world.Settle();
    INFO(topic);
    CHECK(json::parse(gate.answers.back())["ok"] == false);
    CHECK(gate.effects.back().response_topic == "answer/g1/x");
    CHECK(gate.effects.back().correlation == "c");
  }
}

}  // namespace
}  // namespace parley
