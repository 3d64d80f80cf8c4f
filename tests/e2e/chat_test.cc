// PROTOCOL §§3–4: what is sent, what arrives, and what the sender learns.
#include <chrono>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({}, 80);
  return server;
}

// Two new users, a listening device each.
struct Pair {
  Pair() : Pair(DeviceOptions{}, DeviceOptions{}) {}
  Pair(const DeviceOptions& sending, const DeviceOptions& receiving)
      : alice(Server().Open(Server().NewUser("alice"), sending)),
        bob(Server().Open(Server().NewUser("bob"), receiving)) {}
  Device alice;
  Device bob;
};

// The object with its time, which no test can know, replaced by T.
std::string WithoutTime(std::string text) {
  const size_t begin = text.find("\"ts\":");
  if (begin == text.npos) return text;
  const size_t end = text.find_first_not_of("0123456789", begin + 5);
  return text.replace(begin + 5, end - begin - 5, "T");
}

std::string Object(uint64_t seq, const std::string& id, const Device& from, const Device& to,
                   const std::string& body_and_ref) {
  return "{\"seq\":" + std::to_string(seq) + ",\"type\":\"message\",\"id\":\"" + id +
         "\",\"from\":\"" + from.user() + "\",\"to\":\"" + to.user() +
         "\",\"ts\":T,\"body\":" + body_and_ref + "}";
}

// The body as it stands in a message's text, where nothing follows it.
std::string BodyText(const std::string& text) {
  const size_t begin = text.find(",\"body\":");
  REQUIRE(begin != text.npos);
  return text.substr(begin + 8, text.size() - begin - 9);
}

std::string CodeOf(const std::string& outcome) {
  const Json object = Json::parse(outcome);
  return object.contains("error") ? object["error"]["code"].get<std::string>() : "none: " + outcome;
}

std::string Nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

TEST_CASE("two people write to each other and see the same messages under numbers of their own") {
  Pair pair;
  Device carol = Server().Open(Server().NewUser("carol"));
  CHECK(carol.Say(pair.bob.user(), "first")["seq"] == 1);
  CHECK(pair.bob.Receive()["seq"] == 1);

  CHECK(pair.alice.Say(pair.bob.user(), "hi")["seq"] == 1);
  Json got = pair.bob.Receive();
  CHECK(got["seq"] == 2);
  CHECK(got["from"] == pair.alice.user());
  CHECK(got["to"] == pair.bob.user());
  CHECK(got["type"] == "message");
  CHECK(got["body"] == "hi");

  CHECK(pair.bob.Say(pair.alice.user(), "hello")["seq"] == 3);
  got = pair.alice.Receive();
  CHECK(got["seq"] == 2);
  CHECK(got["body"] == "hello");
}

TEST_CASE("a message arrives as one object with its members in order and no white space") {
  Pair pair;
  const std::string copy =
      pair.alice.Send(pair.bob.user(), R"({ "body" : "hi" , "id" : "7f3a" })", "7f3a");
  CHECK(WithoutTime(copy) == Object(1, "7f3a", pair.alice, pair.bob, R"("hi")"));
  CHECK(pair.bob.ReceiveText() == copy);
}

TEST_CASE("a reference follows the body") {
  Pair pair;
  const std::string ref = R"("ref":{"from":")" + pair.bob.user() + R"(","id":"earlier"})";
  pair.bob.Send(pair.alice.user(), R"({"id":"earlier","body":"question"})", "earlier");
  const std::string copy =
      pair.alice.Send(pair.bob.user(), "{" + ref + R"(,"id":"a1","body":"answer"})", "a1");
  CHECK(WithoutTime(copy) == Object(2, "a1", pair.alice, pair.bob, "\"answer\"," + ref));
}

TEST_CASE("the time of a message is the server's clock in milliseconds") {
  Pair pair;
  const auto now = [] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  const int64_t before = now();
  const int64_t ts = pair.alice.Say(pair.bob.user(), "when?")["ts"].get<int64_t>();
  CHECK(ts >= before - 1000);
  CHECK(ts <= now() + 1000);
}

TEST_CASE("every device of both sees a message, under the same number") {
  Pair pair;
  Device laptop = Server().Open(pair.alice.user(), {.name = "laptop"});
  Device tablet = Server().Open(pair.bob.user(), {.name = "tablet"});
  const std::string copy = pair.alice.Send(pair.bob.user(), R"({"id":"x","body":1})", "x");
  CHECK(laptop.ReceiveText() == copy);
  CHECK(pair.bob.ReceiveText() == copy);
  CHECK(tablet.ReceiveText() == copy);
  // And once: the next one is the next.
  pair.alice.Say(pair.bob.user(), "next");
  for (Device* device : {&laptop, &pair.bob, &tablet}) CHECK(device->Receive()["body"] == "next");
}

TEST_CASE("a message to oneself appears once") {
  Pair pair;
  Device laptop = Server().Open(pair.alice.user(), {.name = "laptop"});
  CHECK(pair.alice.Say(pair.alice.user(), "note")["seq"] == 1);
  CHECK(laptop.Receive()["body"] == "note");
  CHECK(pair.alice.ArrivedByNow().empty());
  CHECK(laptop.Receive()["seq"] == 2);  // the marker: nothing came between
}

TEST_CASE("text is a message as it is, and the server makes the id") {
  Pair pair;
  const std::vector<std::string> texts = {
      "hi", "with \"quotes\", \\ and /", "line\nbreak\ttab", "  spaces  ", "",
      "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x98\x80", std::string("nul\0inside", 10),
      // These look like JSON and are no objects.
      "42", "-1.5e3", "true", "null", "[1,2,3]", "\"quoted\"", "{not an object",
      "{\"id\":\"x\"} and more", R"({"body":"\xff"})"};
  for (const std::string& text : texts) {
    CAPTURE(text);
    const Json copy = Json::parse(pair.alice.Send(pair.bob.user(), text, ""));
    CHECK(copy["body"] == text);
    CHECK(copy["type"] == "message");
    const std::string id = copy.value("id", "");
    CHECK(id.size() >= 1);
    CHECK(id.size() <= 64);
    CHECK(pair.bob.Receive() == copy);
  }
}

TEST_CASE("ids that the server makes differ") {
  Pair pair;
  const Json first = Json::parse(pair.alice.Send(pair.bob.user(), "same", ""));
  const Json second = Json::parse(pair.alice.Send(pair.bob.user(), "same", ""));
  CHECK(first["id"] != second["id"]);
  CHECK(second["seq"] == 2);
}

TEST_CASE("a body is passed on byte for byte") {
  Pair pair;
  const std::vector<std::string> bodies = {"1.0",
                                           "-0",
                                           "0.10",
                                           "1E+2",
                                           "123456789012345678901234567890",
                                           "true",
                                           "null",
                                           "[]",
                                           "{}",
                                           R"("")",
                                           R"("\u00e9\/\ud83d\ude00\n")",
                                           "\"\xc3\xa9\xf0\x9f\x98\x80\"",
                                           R"("\u0000")",
                                           R"({ "b" : [ 1, 2 ,3 ] , "a":{"b":null} })",
                                           R"({"id":1,"ref":2,"body":{"type":3}})",
                                           "[ {\"x\":\"},]\\\"} ,\"}\t, \"\\\"\" ]"};
  int n = 0;
  for (const std::string& body : bodies) {
    CAPTURE(body);
    const std::string id = "b" + std::to_string(++n);
    const std::string copy =
        pair.alice.Send(pair.bob.user(), R"({"id":")" + id + R"(","body":)" + body + "}", "");
    CHECK(BodyText(copy) == body);
    CHECK(pair.bob.ReceiveText() == copy);
  }
}

TEST_CASE("white space around a body is not part of it") {
  Pair pair;
  const std::string copy =
      pair.alice.Send(pair.bob.user(), " { \"body\" :\n [1 , 2]\t , \"id\" : \"b\" } \r\n", "b");
  CHECK(BodyText(copy) == "[1 , 2]");
}

TEST_CASE("a malformed payload is an error and nothing is stored") {
  Pair pair;
  const std::string long_id(65, 'i');
  const std::vector<std::string> payloads = {
      "\xff\xfe",
      "cut \xc3",
      "{\"id\":\"x\",\"body\":\"\xc0\xaf\"}",
      R"({"id":"x","body":1,"extra":2})",
      R"({"id":"x","body":1,"body":2})",
      R"({"id":"x","id":"x","body":1})",
      R"({"id":"","body":1})",
      R"({"id":")" + long_id + R"(","body":1})",
      R"({"id":7,"body":1})",
      R"({"id":null,"body":1})",
      R"({"id":"x","type":"shout","body":1})",
      R"({"id":"x","type":1,"body":1})",
      R"({"id":"x","body":1,"ref":"y"})",
      R"({"id":"x","body":1,"ref":{}})",
      R"({"id":"x","body":1,"ref":{"from":"a"}})",
      R"({"id":"x","body":1,"ref":{"id":"a"}})",
      R"({"id":"x","body":1,"ref":{"from":"a","id":1}})",
      R"({"id":"x","body":1,"ref":{"from":"NO","id":"a"}})",
      R"({"id":"x","body":1,"ref":{"from":"a","id":"a","more":1}})",
      R"({"id":"x","body":1,"ref":{"from":"a","id":")" + long_id + R"("}})",
      R"({"id":"x","type":"edit","body":1})",
      R"({"id":"x","type":"retract"})",
      R"({"id":"x","type":"reaction","body":"+1"})",
      R"({"id":"x","body":)" + Nested(33) + "}"};
  for (const std::string& payload : payloads) {
    CAPTURE(payload);
    const Json error = Json::parse(pair.alice.Send(pair.bob.user(), payload, ""));
    CHECK(error["ok"] == false);
    CHECK(error["topic"] == "chat/" + pair.bob.user());
    REQUIRE(error.contains("error"));
    CHECK(error["error"]["code"] == "bad_request");
    CHECK_FALSE(error["error"]["message"].get<std::string>().empty());
    CHECK(error.value("id", "") == (payload.starts_with(R"({"id":"x")") ? "x" : ""));
  }
  CHECK(pair.alice.Say(pair.bob.user(), "next")["seq"] == 1);
  CHECK(pair.bob.Receive()["seq"] == 1);
}

TEST_CASE("nesting up to 32 is accepted") {
  Pair pair;
  const std::string copy =
      pair.alice.Send(pair.bob.user(), R"({"id":"n","body":)" + Nested(31) + "}", "n");
  CHECK(BodyText(copy) == Nested(31));
}

TEST_CASE("an id may have 64 bytes of any text") {
  Pair pair;
  const std::string id =
      GENERATE(as<std::string>{}, std::string(64, 'i'), "gr\xc3\xbc\xc3\x9f", "a/b #+ \"q\"", "1");
  CAPTURE(id);
  const std::string payload = Json{{"id", id}, {"body", "x"}}.dump();
  CHECK(Json::parse(pair.alice.Send(pair.bob.user(), payload, id))["id"] == id);
  CHECK(pair.bob.Receive()["id"] == id);
}

TEST_CASE("a body may be as long as max_body and no longer") {
  Pair pair;
  const size_t max_body = 65536;
  const bool object = GENERATE(false, true);
  const auto payload = [&](size_t bytes) {
    const std::string text(bytes, 'x');
    return object ? Json{{"id", "long"}, {"body", text}}.dump() : text;
  };
  const std::string id = object ? "long" : "";
  const Json error = Json::parse(pair.alice.Send(pair.bob.user(), payload(max_body + 3), id));
  CHECK(error["error"]["code"] == "too_large");
  const Json copy = Json::parse(pair.alice.Send(pair.bob.user(), payload(max_body - 2), id));
  CHECK(copy["seq"] == 1);
  CHECK(copy["body"].get<std::string>().size() == max_body - 2);
  CHECK(pair.bob.Receive() == copy);
}

TEST_CASE("a text may have exactly max_body bytes") {
  Pair pair;
  const std::string text(65536, 'x');
  CHECK(Json::parse(pair.alice.Send(pair.bob.user(), text, ""))["body"] == text);
  CHECK(CodeOf(pair.alice.Send(pair.bob.user(), text + "x", "")) == "too_large");
}

TEST_CASE("an error names the topic and the id") {
  Pair pair;
  const Json error =
      Json::parse(pair.alice.Send("nobody-of-this-name", R"({"id":"7f3a","body":"hi"})", "7f3a"));
  CHECK(error["ok"] == false);
  CHECK(error["topic"] == "chat/nobody-of-this-name");
  CHECK(error["id"] == "7f3a");
  CHECK(error["error"]["code"] == "not_found");
  CHECK_FALSE(error["error"]["message"].get<std::string>().empty());
}

TEST_CASE("a receiver whose id can't be one is an error") {
  Pair pair;
  const std::string peer =
      GENERATE(as<std::string>{}, "Bob", "-bob", "b ob", "bob/phone", std::string(65, 'b'));
  CAPTURE(peer);
  const Json error = Json::parse(pair.alice.Send(peer, "hi", ""));
  CHECK(error["ok"] == false);
  CHECK(error["topic"] == "chat/" + peer);
}

TEST_CASE("a message may be sent at any QoS, in both versions") {
  const int version = GENERATE(4, 5);
  const int qos = GENERATE(0, 1, 2);
  CAPTURE(version, qos);
  Pair pair({.version = version}, {.version = version});
  const Json copy =
      Json::parse(pair.alice.Send(pair.bob.user(), R"({"id":"q","body":"x"})", "q", {.qos = qos}));
  CHECK(copy["seq"] == 1);
  CHECK(pair.bob.Receive() == copy);
  CHECK(pair.alice.ArrivedByNow().empty());
}

TEST_CASE("a message arrives at the QoS of the subscription, never retained") {
  const int version = GENERATE(4, 5);
  const int qos = GENERATE(0, 1, 2);
  CAPTURE(version, qos);
  Pair pair({}, {.version = version, .qos = qos});
  pair.alice.Say(pair.bob.user(), "x");
  const MqttMessage message = pair.bob.Next(pair.bob.inbox());
  CHECK(message.qos == qos);
  CHECK_FALSE(message.retain);
}

TEST_CASE("an MQTT 5 client sees that the broker took the message") {
  Pair pair({.version = 5}, {});
  CHECK(pair.alice.Publish(pair.bob.inbox(), "one", {.qos = 1}) < 0x80);
  CHECK(pair.alice.Publish(pair.bob.inbox(), "two", {.qos = 2}) < 0x80);
  CHECK(pair.bob.Receive()["body"] == "one");
  CHECK(pair.bob.Receive()["body"] == "two");
}

TEST_CASE("the same id again changes nothing and yields the first outcome again") {
  Pair pair;
  const std::string payload = R"({"id":"once","body":"hi"})";
  const std::string first = pair.alice.Send(pair.bob.user(), payload, "once");
  pair.alice.Say(pair.bob.user(), "between");
  CHECK(pair.alice.Send(pair.bob.user(), payload, "once") == first);
  CHECK(pair.alice.Send(pair.bob.user(), payload, "once", {.qos = 1, .dup = true}) == first);
  CHECK(pair.bob.ReceiveText() == first);
  CHECK(pair.bob.Receive()["body"] == "between");
  CHECK(pair.bob.ArrivedByNow().empty());
  CHECK(pair.alice.Say(pair.bob.user(), "after")["seq"] == 3);
}

TEST_CASE("the same id from another device of the sender is the same message") {
  Pair pair;
  const std::string payload = R"({"id":"once","body":"hi"})";
  const std::string first = pair.alice.Send(pair.bob.user(), payload, "once");
  SECTION("from one that listens") {
    Device laptop = Server().Open(pair.alice.user(), {.name = "laptop"});
    CHECK(laptop.Send(pair.bob.user(), payload, "once") == first);
  }
  SECTION("from one that does not") {
    Device script = Server().OpenDeaf(pair.alice.user(), {.name = "script"});
    CHECK(Json::parse(script.Send(pair.bob.user(), payload, "once")) ==
          Json{{"ok", true}, {"topic", pair.bob.inbox()}, {"id", "once"}, {"seq", 1}});
  }
  CHECK(pair.bob.ReceiveText() == first);
  CHECK(pair.bob.ArrivedByNow().empty());
}

TEST_CASE("the same id with another content is a conflict") {
  Pair pair;
  Device carol = Server().Open(Server().NewUser("carol"));
  pair.alice.Send(pair.bob.user(), R"({"id":"once","body":"hi"})", "once");
  pair.bob.Receive();
  CHECK(CodeOf(pair.alice.Send(pair.bob.user(), R"({"id":"once","body":"ho"})", "once")) ==
        "conflict");
  CHECK(CodeOf(pair.alice.Send(carol.user(), R"({"id":"once","body":"hi"})", "once")) ==
        "conflict");
  CHECK(pair.bob.ArrivedByNow().empty());
  CHECK(carol.ArrivedByNow().empty());
}

TEST_CASE("two senders may use the same id") {
  Pair pair;
  Device carol = Server().Open(Server().NewUser("carol"));
  pair.alice.Send(pair.bob.user(), R"({"id":"1","body":"from alice"})", "1");
  carol.Send(pair.bob.user(), R"({"id":"1","body":"from carol"})", "1");
  CHECK(pair.bob.Receive()["body"] == "from alice");
  CHECK(pair.bob.Receive()["body"] == "from carol");
}

TEST_CASE("an id is remembered through the sender's next 1000 messages") {
  Pair pair;
  const std::string payload = R"({"id":"old","body":"hi"})";
  const std::string first = pair.alice.Send(pair.bob.user(), payload, "old");
  for (int n = 1; n <= 1000; ++n) {
    pair.alice.Publish(pair.bob.inbox(), Json{{"id", std::to_string(n)}, {"body", n}}.dump(),
                       {.qos = 0});
  }
  for (int n = 1; n <= 1000; ++n) REQUIRE(pair.alice.Receive()["seq"] == n + 1);
  CHECK(pair.alice.Send(pair.bob.user(), payload, "old") == first);
  CHECK(pair.alice.Say(pair.bob.user(), "after")["seq"] == 1002);
}

TEST_CASE("an error does not use up its id") {
  Pair pair;
  CHECK(CodeOf(pair.alice.Send("nobody-here", R"({"id":"e","body":"x"})", "e")) == "not_found");
  CHECK(Json::parse(pair.alice.Send(pair.bob.user(), R"({"id":"e","body":"y"})", "e"))["seq"] == 1);
}

TEST_CASE("a sender that does not listen is told in place of its copy") {
  const int version = GENERATE(4, 5);
  Pair pair;
  Device sensor =
      Server().OpenDeaf(Server().NewUser("carol"), {.name = "sensor", .version = version});
  CHECK(sensor.Send(pair.bob.user(), R"({"id":"7f3a","body":21.5})", "7f3a") ==
        "{\"ok\":true,\"topic\":\"" + pair.bob.inbox() + "\",\"id\":\"7f3a\",\"seq\":1}");
  CHECK(pair.bob.Receive()["body"] == 21.5);
}

TEST_CASE("a device whose id the broker chose gets its answers") {
  Pair pair;
  MqttClient sensor(Server().port());
  MqttConnect options;
  options.user = Server().NewUser("carol");
  options.password = ChatServer::PasswordOf(*options.user);
  options.version = GENERATE(4, 5);
  REQUIRE(sensor.Connect(options) == 0);
  sensor.Publish(pair.bob.inbox(), R"({"id":"7f3a","body":1})");
  const MqttMessage outcome = sensor.Next("answer/#");
  CHECK(Json::parse(outcome.payload)["seq"] == 1);
  if (options.version == 5) CHECK(outcome.topic == "answer/" + sensor.client_id());
}

TEST_CASE("a device stops hearing when it unsubscribes, and is told instead") {
  Pair pair;
  pair.alice.Say(pair.bob.user(), "heard");
  pair.alice.Unsubscribe(pair.alice.inbox());
  const Json outcome =
      Json::parse(pair.alice.Send(pair.bob.user(), R"({"id":"deaf","body":1})", "deaf"));
  CHECK(outcome["ok"] == true);
  CHECK(outcome["seq"] == 2);
}

TEST_CASE("MQTT 5: content type text/plain makes an object a text") {
  Pair pair({.version = 5}, {});
  const std::string text = R"({"id":"x","body":"hi"})";
  MqttPublish options;
  options.content_type = GENERATE("text/plain", "TEXT/PLAIN; charset=utf-8");
  const Json copy = Json::parse(pair.alice.Send(pair.bob.user(), text, "", options));
  CHECK(copy["body"] == text);
  CHECK(pair.bob.Receive() == copy);
}

TEST_CASE("MQTT 5: a content type that only begins like one forces nothing") {
  Pair pair({.version = 5}, {});
  MqttPublish options;
  options.content_type = GENERATE("text/plainfoo", "application/json5");
  const std::string object = R"({"id":"x","body":"hi"})";
  CHECK(Json::parse(pair.alice.Send(pair.bob.user(), object, "x", options))["body"] == "hi");
  CHECK(Json::parse(pair.alice.Send(pair.bob.user(), "ho", "", options))["body"] == "ho");
}

TEST_CASE("MQTT 5: content type application/json allows only an object") {
  Pair pair({.version = 5}, {});
  MqttPublish options;
  options.content_type = "application/json";
  for (const char* payload : {"hi", "[1]", "\"text\"", "{broken"}) {
    CAPTURE(payload);
    CHECK(CodeOf(pair.alice.Send(pair.bob.user(), payload, "", options)) == "bad_request");
  }
  CHECK(Json::parse(
            pair.alice.Send(pair.bob.user(), R"({"id":"x","body":1})", "x", options))["body"] == 1);
}

TEST_CASE("MQTT 5: correlation data stands for an id that the payload lacks") {
  Pair pair({.version = 5}, {});
  MqttPublish options;
  options.correlation_data = "from-properties";
  CHECK(Json::parse(pair.alice.Send(pair.bob.user(), "hi", "from-properties", options))["id"] ==
        "from-properties");
  const std::string again = pair.alice.Send(pair.bob.user(), "hi", "from-properties", options);
  CHECK(Json::parse(again)["seq"] == 1);
  const std::string own = R"({"id":"from-payload","body":"hi"})";
  CHECK(Json::parse(pair.alice.Send(pair.bob.user(), own, "from-payload", options))["seq"] == 2);
}

TEST_CASE("MQTT 5: correlation data that can't be an id is an error") {
  Pair pair({.version = 5}, {});
  MqttPublish options;
  options.correlation_data = GENERATE(as<std::string>{}, std::string(65, 'c'), "\xff\xfe");
  CHECK(CodeOf(pair.alice.Send(pair.bob.user(), "hi", "", options)) == "bad_request");
}

TEST_CASE("an edit, a retraction and a reaction are messages of their own") {
  Pair pair;
  pair.alice.Send(pair.bob.user(), R"({"id":"m","body":"helo"})", "m");
  const std::string ref = R"("ref":{"from":")" + pair.alice.user() + R"(","id":"m"})";
  const std::string edit = pair.alice.Send(
      pair.bob.user(), R"({"id":"e","type":"edit","body":"hello",)" + ref + "}", "e");
  CHECK(Json::parse(edit)["seq"] == 2);
  CHECK(Json::parse(edit)["type"] == "edit");
  CHECK(Json::parse(edit)["ref"]["id"] == "m");
  const std::string reaction = pair.bob.Send(
      pair.alice.user(), R"({"id":"r","type":"reaction","body":"+1",)" + ref + "}", "r");
  CHECK(Json::parse(reaction)["seq"] == 3);
  CHECK(Json::parse(reaction)["type"] == "reaction");
  const std::string retraction =
      pair.alice.Send(pair.bob.user(), R"({"id":"d","type":"retract",)" + ref + "}", "d");
  CHECK(Json::parse(retraction)["seq"] == 4);
  CHECK(Json::parse(retraction)["type"] == "retract");
  CHECK(pair.bob.Receive()["id"] == "m");
  CHECK(pair.bob.ReceiveText() == edit);
  CHECK(pair.bob.ReceiveText() == retraction);
  CHECK(pair.alice.ReceiveText() == reaction);
}

TEST_CASE("only the author edits or retracts") {
  Pair pair;
  pair.alice.Send(pair.bob.user(), R"({"id":"m","body":"mine"})", "m");
  pair.bob.Receive();
  const std::string type = GENERATE(as<std::string>{}, "edit", "retract");
  const std::string payload = R"({"id":"x","type":")" + type +
                              R"(","body":"theirs","ref":{"from":")" + pair.alice.user() +
                              R"(","id":"m"}})";
  CHECK(CodeOf(pair.bob.Send(pair.alice.user(), payload, "x")) == "denied");
  CHECK(pair.alice.ArrivedByNow().empty());
}

TEST_CASE("an edit of a message that does not exist is not found") {
  Pair pair;
  const std::string payload = R"({"id":"x","type":"edit","body":"new","ref":{"from":")" +
                              pair.alice.user() + R"(","id":"never-sent"}})";
  CHECK(CodeOf(pair.alice.Send(pair.bob.user(), payload, "x")) == "not_found");
  CHECK(pair.bob.ArrivedByNow().empty());
}

TEST_CASE("messages of one sender arrive in the order in which they were sent") {
  Pair pair;
  for (int n = 1; n <= 300; ++n) {
    pair.alice.StartPublish(pair.bob.inbox(), Json{{"id", std::to_string(n)}, {"body", n}}.dump());
  }
  for (int n = 1; n <= 300; ++n) {
    const Json message = pair.bob.Receive();
    REQUIRE(message["seq"] == n);
    REQUIRE(message["body"] == n);
  }
  for (int n = 1; n <= 300; ++n) REQUIRE(pair.alice.Receive()["body"] == n);
}

}  // namespace
}  // namespace parley::e2e
