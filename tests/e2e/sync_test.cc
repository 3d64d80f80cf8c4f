// PROTOCOL §§4 and 6: catching up, the window, and what a device asks for.
#include <chrono>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

constexpr size_t kAnswerBytesMax = 256 * 1024;
constexpr int kWindow = 500;

ChatServer& Server() {
  static ChatServer server;
  return server;
}

struct Pair {
  Device alice = Server().Open(Server().NewUser("alice"));
  Device bob = Server().Open(Server().NewUser("bob"));
};

// Sends `count` messages with bodies first, first + 1, … and returns when the last of them is
// stored.
void SendMany(Device& sender, const std::string& receiver, int first, int count) {
  for (int n = first; n < first + count; ++n) {
    sender.Publish("chat/" + receiver,
                   Json{{"id", "many-" + std::to_string(n)}, {"body", n}}.dump(), {.qos = 0});
  }
  for (int n = first; n < first + count; ++n) REQUIRE(sender.Receive()["body"] == n);
}

std::vector<int> Seqs(const Json& messages) {
  std::vector<int> seqs;
  for (const Json& message : messages) seqs.push_back(message.at("seq").get<int>());
  return seqs;
}

std::vector<int> Range(int first, int last) {
  std::vector<int> numbers;
  const int step = first <= last ? 1 : -1;
  for (int n = first; n != last + step; n += step) numbers.push_back(n);
  return numbers;
}

std::string ErrorCode(const Json& answer) {
  return answer.contains("error") ? answer["error"].value("code", "") : "none: " + answer.dump();
}

TEST_CASE("sync pages through the whole log") {
  Pair pair;
  SendMany(pair.alice, pair.bob.user(), 1, 250);
  Json page = pair.bob.AskDone("sync");
  CHECK(Seqs(page["messages"]) == Range(1, 100));  // the default page
  CHECK(page["more"] == true);
  CHECK(page["head"] == 250);
  CHECK(page["floor"] == 1);
  CHECK(page.contains("epoch"));
  page = pair.bob.AskDone("sync", {{"after", 100}, {"limit", 149}});
  CHECK(Seqs(page["messages"]) == Range(101, 249));
  CHECK(page["more"] == true);
  page = pair.bob.AskDone("sync", {{"after", 249}, {"limit", 1}});
  CHECK(Seqs(page["messages"]) == Range(250, 250));
  CHECK(page["more"] == false);
  page = pair.bob.AskDone("sync", {{"after", 0}, {"limit", 1000}});
  CHECK(Seqs(page["messages"]) == Range(1, 250));
  CHECK(page["more"] == false);
  page = pair.bob.AskDone("sync", {{"after", 250}});
  CHECK(page["messages"].empty());
  CHECK(page["more"] == false);
  CHECK(page["head"] == 250);
}

TEST_CASE("sync and history give a message as it arrived, byte for byte") {
  Pair pair;
  pair.alice.Publish(pair.bob.inbox(), R"({"id":"1","body":{ "a" : 1.50, "\u00e9":[ ] }})");
  pair.alice.Publish(pair.bob.inbox(), "plain \"text\"");
  for (int n = 0; n < 2; ++n) {
    const std::string copy = pair.alice.ReceiveText();
    const std::string live = pair.bob.ReceiveText();
    CAPTURE(live);
    CHECK(pair.bob.AskText("sync").find(live) != std::string::npos);
    CHECK(pair.bob.AskText("history", {{"with", pair.alice.user()}}).find(live) !=
          std::string::npos);
    CHECK(pair.alice.AskText("sync").find(copy) != std::string::npos);
  }
}

TEST_CASE("sync holds what one sent and received, of every conversation") {
  Pair pair;
  Device carol = Server().Open(Server().NewUser("carol"));
  pair.alice.Say(pair.bob.user(), 1);
  carol.Say(pair.alice.user(), 2);
  pair.alice.Say(pair.alice.user(), 3);
  pair.bob.Say(pair.alice.user(), 4);
  const Json messages = pair.alice.AskDone("sync")["messages"];
  REQUIRE(Seqs(messages) == Range(1, 4));
  for (int n = 1; n <= 4; ++n) CHECK(messages[static_cast<size_t>(n - 1)]["body"] == n);
}

TEST_CASE("a new account syncs to nothing") {
  Device alice = Server().OpenDeaf(Server().NewUser("alice"));
  const Json page = alice.AskDone("sync");
  CHECK(page["messages"].empty());
  CHECK(page["head"] == 0);
  CHECK(page["more"] == false);
  CHECK(alice.AskDone("conversations")["conversations"].empty());
  CHECK(alice.AskDone("recent")["conversations"].empty());
}

TEST_CASE("sync, history, conversations refuse numbers out of their range") {
  Pair pair;
  pair.alice.Say(pair.bob.user(), "x");
  const std::string with = pair.bob.user();
  const std::vector<std::pair<std::string, Json>> asks = {
      {"sync", {{"limit", 0}}},
      {"sync", {{"limit", 1001}}},
      {"sync", {{"limit", -1}}},
      {"sync", {{"limit", 1.5}}},
      {"sync", {{"limit", "10"}}},
      {"sync", {{"limit", nullptr}}},
      {"sync", {{"after", -1}}},
      {"sync", {{"after", "0"}}},
      {"sync", {{"after", 0.5}}},
      {"sync", {{"wait", -1}}},
      {"sync", {{"wait", 61}}},
      {"sync", {{"wait", "1"}}},
      {"sync", {{"colour", "blue"}}},
      {"history", Json::object()},
      {"history", {{"with", 7}}},
      {"history", {{"with", "NOT AN ID"}}},
      {"history", {{"with", with}, {"limit", 0}}},
      {"history", {{"with", with}, {"limit", 101}}},
      {"history", {{"with", with}, {"before", "x"}}},
      {"history", {{"with", with}, {"after", -1}}},
      {"conversations", {{"limit", 0}}},
      {"conversations", {{"limit", 101}}},
      {"conversations", {{"before", -1}}}};
  for (const auto& [method, members] : asks) {
    CAPTURE(method, members.dump());
    const Json answer = pair.alice.Ask(method, members);
    CHECK(answer["ok"] == false);
    CHECK(ErrorCode(answer) == "bad_request");
  }
  CHECK(pair.alice.AskDone("sync", {{"limit", 1000}, {"wait", 0}})["head"] == 1);
}

TEST_CASE("a request that can't be read is an error") {
  Device alice = Server().OpenDeaf(Server().NewUser("alice"));
  const std::vector<std::string> payloads = {"",
                                             "hello",
                                             "[]",
                                             "1",
                                             "{\"rid\":\"1\"",
                                             R"({"rid":1})",
                                             R"({"rid":null})",
                                             R"({"rid":{}})",
                                             R"({"rid":"1","rid":"2"})",
                                             "{\"rid\":\"\xff\"}"};
  for (const std::string& payload : payloads) {
    CAPTURE(payload);
    alice.Publish("ask/sync", payload);
    const Json error = Json::parse(alice.Next(alice.answers()).payload);
    CHECK(error["ok"] == false);
    CHECK(ErrorCode(error) == "bad_request");
  }
}

TEST_CASE("an unknown method is an error that carries the rid") {
  Device alice = Server().OpenDeaf(Server().NewUser("alice"));
  for (const std::string method : {"no.such.method", "Sync", "sync/below", ""}) {
    CAPTURE(method);
    alice.Publish("ask/" + method, R"({"rid":"r1"})");
    const Json error = Json::parse(alice.Next(alice.answers()).payload);
    CHECK(error["ok"] == false);
    CHECK_FALSE(ErrorCode(error).empty());
    if (method == "no.such.method") CHECK(error["rid"] == "r1");
  }
}

TEST_CASE("an answer begins with its rid and ok") {
  Device alice = Server().OpenDeaf(Server().NewUser("alice"));
  alice.Publish("ask/sync", R"({"rid":"some \"id\""})");
  CHECK(alice.Next(alice.answers()).payload.rfind(R"({"rid":"some \"id\"","ok":true,)", 0) == 0);
}

TEST_CASE("a sync that waits is answered when there is something") {
  Pair pair;
  const std::string rid = pair.bob.StartAsk("sync", {{"after", 0}, {"wait", 60}});
  CHECK(pair.bob.ArrivedByAnswer().empty());
  pair.alice.Say(pair.bob.user(), "at last");
  const Json answer = Json::parse(pair.bob.AwaitAnswer(rid));
  CHECK(answer["ok"] == true);
  CHECK(Seqs(answer["messages"]) == Range(1, 1));
  CHECK(answer["head"] == 1);
}

TEST_CASE("a sync that waits is answered by a message that the user sent from another device") {
  Pair pair;
  Device laptop = Server().OpenDeaf(pair.alice.user(), {.name = "laptop"});
  const std::string rid = laptop.StartAsk("sync", {{"wait", 60}});
  laptop.ArrivedByAnswer();
  pair.alice.Say(pair.bob.user(), "x");
  CHECK(Json::parse(laptop.AwaitAnswer(rid))["head"] == 1);
}

TEST_CASE("a sync that waits is answered at once where there is something already") {
  Pair pair;
  pair.alice.Say(pair.bob.user(), "x");
  const Clock::time_point begin = Clock::now();
  CHECK(Seqs(pair.bob.AskDone("sync", {{"wait", 60}})["messages"]) == Range(1, 1));
  CHECK(Clock::now() - begin < std::chrono::seconds(30));
}

TEST_CASE("a sync that waits in vain is answered when its time is over") {
  Pair pair;
  const Clock::time_point begin = Clock::now();
  const Json page = pair.bob.AskDone("sync", {{"wait", 1}});
  CHECK(Clock::now() - begin >= std::chrono::milliseconds(900));
  CHECK(page["messages"].empty());
  CHECK(page["head"] == 0);
}

TEST_CASE("an answer has at most 256 KiB, and paging goes on after it") {
  Pair pair;
  const std::string long_text(60000, 'x');
  for (int n = 1; n <= 20; ++n) pair.alice.Say(pair.bob.user(), long_text);
  int after = 0;
  bool more = true;
  while (more) {
    const std::string text = pair.bob.AskText("sync", {{"after", after}, {"limit", 1000}});
    CHECK(text.size() <= kAnswerBytesMax);
    const Json page = Json::parse(text);
    const std::vector<int> seqs = Seqs(page["messages"]);
    REQUIRE_FALSE(seqs.empty());
    CHECK(seqs == Range(after + 1, after + static_cast<int>(seqs.size())));
    after = seqs.back();
    more = page["more"].get<bool>();
    CHECK(more == (after < 20));
  }
  CHECK(after == 20);

  int before = 21;
  while (before > 1) {
    const std::string text = pair.bob.AskText(
        "history", {{"with", pair.alice.user()}, {"before", before}, {"limit", 100}});
    CHECK(text.size() <= kAnswerBytesMax);
    const Json page = Json::parse(text);
    const std::vector<int> seqs = Seqs(page["messages"]);
    REQUIRE_FALSE(seqs.empty());
    CHECK(seqs == Range(before - 1, before - static_cast<int>(seqs.size())));
    before = seqs.back();
    CHECK(page["more"] == (before > 1));
  }
  CHECK(pair.bob.AskText("recent").size() <= kAnswerBytesMax);
  CHECK(pair.bob.AskText("conversations").size() <= kAnswerBytesMax);
}

TEST_CASE("history shows one conversation, newest first, or oldest first after a number") {
  Pair pair;
  Device carol = Server().Open(Server().NewUser("carol"));
  // Alice's log: odd numbers with bob, both ways; even ones with carol.
  for (int n = 1; n <= 60; n += 2) {
    if (n % 4 == 1) {
      REQUIRE(pair.alice.Say(pair.bob.user(), n)["seq"] == n);
    } else {
      pair.bob.Say(pair.alice.user(), n);
      REQUIRE(pair.alice.ReceiveFrom(pair.bob.user())["seq"] == n);
    }
    carol.Say(pair.alice.user(), n + 1);
    REQUIRE(pair.alice.ReceiveFrom(carol.user())["seq"] == n + 1);
  }
  const auto history = [&](Json members) {
    members["with"] = pair.bob.user();
    return pair.alice.AskDone("history", members);
  };
  const auto odd = [](int first, int last) {
    std::vector<int> numbers;
    for (int n = first; first <= last ? n <= last : n >= last; n += first <= last ? 2 : -2) {
      numbers.push_back(n);
    }
    return numbers;
  };
  Json page = history({});
  CHECK(Seqs(page["messages"]) == odd(59, 21));  // 20, the default
  CHECK(page["more"] == true);
  page = history({{"before", 21}, {"limit", 100}});
  CHECK(Seqs(page["messages"]) == odd(19, 1));
  CHECK(page["more"] == false);
  page = history({{"before", 20}, {"limit", 2}});
  CHECK(Seqs(page["messages"]) == odd(19, 17));
  CHECK(page["more"] == true);
  page = history({{"after", 0}, {"limit", 3}});
  CHECK(Seqs(page["messages"]) == odd(1, 5));
  CHECK(page["more"] == true);
  page = history({{"after", 54}});
  CHECK(Seqs(page["messages"]) == odd(55, 59));
  CHECK(page["more"] == false);
  page = history({{"after", 59}});
  CHECK(page["messages"].empty());
  CHECK(page["more"] == false);
  for (const Json& message : history({{"limit", 100}})["messages"]) {
    CHECK(message["seq"] == message["body"]);
  }
  // In the numbers of the one who asks.
  CHECK(Seqs(pair.bob.AskDone(
            "history", {{"with", pair.alice.user()}, {"after", 0}})["messages"]) == Range(1, 20));
}

TEST_CASE("history carries the peer's receipts in one's own numbers") {
  Pair pair;
  Device carol = Server().Open(Server().NewUser("carol"));
  carol.Say(pair.alice.user(), "shifts alice's numbers");
  for (int n = 1; n <= 5; ++n) pair.alice.Say(pair.bob.user(), n);  // hers: 2 to 6
  const auto marks = [&] {
    const Json page = pair.alice.AskDone("history", {{"with", pair.bob.user()}});
    return std::make_pair(page.value("delivered", 0), page.value("read", 0));
  };
  CHECK(marks() == std::make_pair(0, 0));
  pair.bob.SendReceipt({{"delivered", 4}, {"read", 2}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 5);
  CHECK(marks() == std::make_pair(5, 3));
}

TEST_CASE("history shows an edited message in its latest form, sync shows the events") {
  Pair pair;
  const std::string ref = R"("ref":{"from":")" + pair.alice.user() + R"(","id":"m"})";
  pair.alice.Send(pair.bob.user(), R"({"id":"m","body":"helo"})", "m");
  pair.alice.Send(pair.bob.user(), R"({"id":"e1","type":"edit","body":"hallo",)" + ref + "}", "e1");
  pair.alice.Send(pair.bob.user(), R"({"id":"e2","type":"edit","body":"hello",)" + ref + "}", "e2");
  const std::string reader_is = GENERATE(as<std::string>{}, "the author", "the receiver");
  CAPTURE(reader_is);
  Device& reader = reader_is == "the author" ? pair.alice : pair.bob;
  const std::string peer = reader_is == "the author" ? pair.bob.user() : pair.alice.user();

  const Json messages = reader.AskDone("history", {{"with", peer}})["messages"];
  int found = 0;
  for (const Json& message : messages) {
    if (message["id"] != "m") continue;
    ++found;
    CHECK(message["seq"] == 1);
    CHECK(message["body"] == "hello");
  }
  CHECK(found == 1);
  const Json events = reader.AskDone("sync")["messages"];
  REQUIRE(events.size() == 3);
  CHECK(events[0]["body"] == "helo");
  CHECK(events[1]["type"] == "edit");
  CHECK(events[2]["body"] == "hello");
}

TEST_CASE("history shows nothing of what a retracted message said") {
  Pair pair;
  pair.alice.Send(pair.bob.user(), R"({"id":"m","body":"regretted"})", "m");
  pair.alice.Send(
      pair.bob.user(),
      R"({"id":"d","type":"retract","ref":{"from":")" + pair.alice.user() + R"(","id":"m"}})", "d");
  CHECK(pair.bob.AskText("history", {{"with", pair.alice.user()}}).find("regretted") ==
        std::string::npos);
  CHECK(pair.alice.AskText("history", {{"with", pair.bob.user()}}).find("regretted") ==
        std::string::npos);
}

TEST_CASE("conversations stand latest first, each with its last message and what is unread") {
  Device alice = Server().Open(Server().NewUser("alice"));
  std::vector<Device> peers;
  for (int n = 0; n < 4; ++n) peers.push_back(Server().Open(Server().NewUser("bob")));
  for (int round = 0; round < 3; ++round) {
    for (Device& peer : peers) peer.Say(alice.user(), round);
  }
  for (int n = 0; n < 12; ++n) alice.Receive();
  alice.Say(peers[0].user(), "mine is not unread");

  Json all = alice.AskDone("conversations");
  REQUIRE(all["conversations"].size() == 4);
  CHECK(all["more"] == false);
  const std::vector<size_t> order = {0, 3, 2, 1};
  for (size_t n = 0; n < 4; ++n) {
    const Json& conversation = all["conversations"][n];
    CAPTURE(conversation.dump());
    CHECK(conversation["with"] == peers[order[n]].user());
    CHECK(conversation["unread"] == 3);
    CHECK(conversation["last"]["seq"] == (n == 0 ? 13 : static_cast<int>(9 + order[n])));
  }
  // Peers[0] wrote 1, 5, 9; peers[1] 2, 6, 10; and so on.
  alice.SendReceipt({{"read", 6}});
  all = alice.AskDone("conversations");
  CHECK(all["conversations"][0]["unread"] == 1);
  CHECK(all["conversations"][3]["unread"] == 1);
  CHECK(all["conversations"][2]["unread"] == 2);

  Json page = alice.AskDone("conversations", {{"limit", 3}});
  REQUIRE(page["conversations"].size() == 3);
  CHECK(page["more"] == true);
  const Json last = page["conversations"][2]["last"]["seq"];
  page = alice.AskDone("conversations", {{"limit", 3}, {"before", last}});
  REQUIRE(page["conversations"].size() == 1);
  CHECK(page["conversations"][0]["with"] == peers[1].user());
  CHECK(page["more"] == false);
}

TEST_CASE("recent gives the last five conversations with their last fifteen messages") {
  Device alice = Server().Open(Server().NewUser("alice"));
  std::vector<Device> peers;
  for (int n = 0; n < 6; ++n) peers.push_back(Server().Open(Server().NewUser("bob")));
  for (Device& peer : peers) SendMany(peer, alice.user(), 1, 16);
  const Json recent = alice.AskDone("recent");
  CHECK(recent["head"] == 96);
  CHECK(recent["epoch"] == alice.AskDone("sync")["epoch"]);
  REQUIRE(recent["conversations"].size() == 5);
  for (size_t n = 0; n < 5; ++n) {
    const Json& conversation = recent["conversations"][n];
    CHECK(conversation["with"] == peers[5 - n].user());
    CHECK(conversation["unread"] == 16);
    const int newest = 96 - 16 * static_cast<int>(n);
    CHECK(Seqs(conversation["messages"]) == Range(newest, newest - 14));
  }
}

TEST_CASE("a device list names one's devices and how far they have acknowledged") {
  Pair pair;
  Device tablet = Server().Open(pair.bob.user(), {.name = "tablet"});
  pair.alice.Say(pair.bob.user(), 1);
  pair.alice.Say(pair.bob.user(), 2);
  tablet.SendReceipt({{"delivered", 2}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 2);
  const Json devices = pair.bob.AskDone("devices.list")["devices"];
  bool found = false;
  for (const Json& device : devices) {
    if (device["device"] != tablet.client_id()) continue;
    found = true;
    CHECK(device["delivered"] == 2);
  }
  CHECK(found);
}

TEST_CASE("MQTT 5: an answer goes to the response topic with the correlation data") {
  Device alice = Server().OpenDeaf(Server().NewUser("alice"), {.version = 5});
  MqttPublish options;
  options.correlation_data = std::string("\0\xff corr", 7);
  options.response_topic = alice.answers() + GENERATE("", "/below/it");
  alice.Publish("ask/sync", R"({"rid":"1"})", options);
  const MqttMessage answer = alice.Next("#");
  CHECK(answer.topic == *options.response_topic);
  CHECK(answer.correlation_data == options.correlation_data);
  CHECK(Json::parse(answer.payload)["rid"] == "1");
}

TEST_CASE("MQTT 5: a response topic that is not one's own is not honoured") {
  Device victim = Server().Open(Server().NewUser("alice"), {.version = 5});
  Device mallory = Server().OpenDeaf(Server().NewUser("mallory"), {.version = 5});
  for (const std::string& topic :
       {victim.answers(), victim.inbox(), "answer/" + mallory.user(), mallory.answers() + "x",
        std::string("$SYS/x"), std::string("elsewhere")}) {
    CAPTURE(topic);
    MqttPublish options;
    options.response_topic = topic;
    options.correlation_data = "c1";
    mallory.Publish("ask/sync", R"({"rid":"1"})", options);
    const MqttMessage request = mallory.Next("#");
    CHECK(request.topic == mallory.answers());
    CHECK(request.correlation_data == "c1");
    CHECK(request.payload.starts_with(R"({"rid":"1","ok":false,"error":{"code":"denied",)"));
    mallory.Publish(victim.inbox(), R"({"id":"k1","body":"x"})", options);
    const MqttMessage message = mallory.Next("#");
    CHECK(message.topic == mallory.answers());
    CHECK(message.correlation_data == "c1");
    CHECK(Json::parse(message.payload)["id"] == "k1");
    CHECK(Json::parse(message.payload)["topic"] == victim.inbox());
  }
  CHECK(victim.ArrivedByNow().empty());
}

TEST_CASE("a device that acknowledges catches up where it stood, then hears live") {
  const int qos = GENERATE(0, 1, 2);
  CAPTURE(qos);
  Pair pair;
  Device phone = Server().Open(pair.bob.user(), {.qos = qos});  // takes bob's place
  for (int n = 1; n <= 3; ++n) pair.alice.Say(pair.bob.user(), n);
  for (int n = 1; n <= 3; ++n) CHECK(phone.Receive()["seq"] == n);
  phone.SendReceipt({{"delivered", 2}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 2);
  const bool clean = GENERATE(true, false);
  if (clean) {
    phone.Disconnect();
  } else {
    phone.Drop();
  }
  for (int n = 4; n <= 8; ++n) pair.alice.Say(pair.bob.user(), n);

  Device other = Server().Open(pair.bob.user(), {.name = "other"});
  phone.Login();
  phone.Listen();
  for (int n = 3; n <= 8; ++n) REQUIRE(phone.Receive()["seq"] == n);
  pair.alice.Say(pair.bob.user(), 9);
  CHECK(phone.Receive()["seq"] == 9);
  // It, and only it: another device that never acknowledged starts live.
  CHECK(other.Receive()["seq"] == 9);
  CHECK(other.ArrivedByNow().empty());
}

TEST_CASE("a device that never acknowledged starts live") {
  Pair pair;
  pair.bob.Drop();
  pair.alice.Say(pair.bob.user(), "before");
  Device phone = Server().Open(pair.bob.user());
  pair.alice.Say(pair.bob.user(), "after");
  CHECK(phone.Receive()["body"] == "after");
  CHECK(phone.ArrivedByNow().empty());
}

TEST_CASE("catching up and live messages meet without a gap while messages keep coming") {
  Pair pair;
  pair.alice.Say(pair.bob.user(), 1);
  pair.bob.SendReceipt({{"delivered", 1}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 1);
  pair.bob.Drop();
  SendMany(pair.alice, pair.bob.user(), 2, 200);
  for (int n = 202; n <= 300; ++n) {
    pair.alice.StartPublish(pair.bob.inbox(),
                            Json{{"id", "l" + std::to_string(n)}, {"body", n}}.dump(), {.qos = 0});
  }
  pair.bob.Login();
  pair.bob.Listen();
  for (int n = 301; n <= 400; ++n) {
    pair.alice.StartPublish(pair.bob.inbox(),
                            Json{{"id", "l" + std::to_string(n)}, {"body", n}}.dump(), {.qos = 0});
  }
  for (int n = 2; n <= 400; ++n) {
    const Json message = pair.bob.Receive();
    REQUIRE(message["seq"] == n);
    REQUIRE(message["body"] == n);
  }
  CHECK(pair.bob.ArrivedByNow().empty());
}

TEST_CASE("a device that acknowledges slowly loses nothing and never has more than 500 in flight") {
  const int count = 1300;
  Pair pair;
  Device deaf_to_receipts = Server().Open(pair.bob.user(), {.name = "tablet"});
  pair.alice.Say(pair.bob.user(), 1);
  CHECK(pair.bob.Receive()["seq"] == 1);
  pair.bob.SendReceipt({{"delivered", 1}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 1);
  SendMany(pair.alice, pair.bob.user(), 2, count - 1);

  int acknowledged = 1;
  int received = 1;
  for (;;) {
    // All that was on its way is here when the answer is.
    for (const MqttMessage& message : pair.bob.ArrivedByAnswer()) {
      if (message.topic != pair.bob.inbox()) continue;
      REQUIRE(Json::parse(message.payload)["seq"] == ++received);
    }
    CHECK(received - acknowledged <= kWindow);
    if (acknowledged == 1) CHECK(received == 1 + kWindow);
    if (received == count) break;
    acknowledged += (received - acknowledged + 1) / 2;
    pair.bob.SendReceipt({{"delivered", acknowledged}});
    REQUIRE(pair.bob.Receive()["seq"] == ++received);
  }
  // The device that never acknowledged was sent everything live.
  for (int n = 1; n <= count; ++n) REQUIRE(deaf_to_receipts.Receive()["seq"] == n);
}

TEST_CASE("a catch-up of more than the window comes as it is acknowledged") {
  const int count = 1200;
  Pair pair;
  pair.alice.Say(pair.bob.user(), 1);
  pair.bob.SendReceipt({{"delivered", 1}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 1);
  pair.bob.Drop();
  SendMany(pair.alice, pair.bob.user(), 2, count - 1);
  pair.bob.Login();
  pair.bob.Listen();
  for (int n = 2; n <= count; ++n) {
    REQUIRE(pair.bob.Receive()["seq"] == n);
    if (n % 100 == 0) pair.bob.SendReceipt({{"delivered", n}});
  }
  pair.alice.Say(pair.bob.user(), "live");
  CHECK(pair.bob.Receive()["seq"] == count + 1);
}

TEST_CASE("a device that unsubscribed hears what it missed when it subscribes again") {
  Pair pair;
  pair.alice.Say(pair.bob.user(), 1);
  CHECK(pair.bob.Receive()["seq"] == 1);
  pair.bob.SendReceipt({{"delivered", 1}});
  pair.alice.AwaitReceipt(pair.bob.user(), "delivered", 1);
  pair.bob.Unsubscribe(pair.bob.inbox());
  pair.alice.Say(pair.bob.user(), 2);
  CHECK(pair.bob.ArrivedByAnswer().empty());
  pair.bob.ListenTo(pair.bob.inbox());
  CHECK(pair.bob.Receive()["seq"] == 2);
}

}  // namespace
}  // namespace parley::e2e
