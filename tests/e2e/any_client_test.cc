// The same conversation with the clients that people use, in MQTT 3.1.1 and 5.
#include "tests/e2e/any_client.h"

#include <algorithm>
#include <memory>
#include <string>

#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server;
  return server;
}

class Conversation {
 public:
  Conversation(ChatServer* server, const MakeAnyClient& make, int version)
      : alice_(server->NewUser("alice")),
        bob_(server->NewUser("bob")),
        alices_(make({server->port(), alice_, ChatServer::PasswordOf(alice_), version})),
        bobs_(make({server->port(), bob_, ChatServer::PasswordOf(bob_), version})) {
    alices_->Open();
    bobs_->Open();
  }

  void All() {
    Text();
    Object();
    Again();
    Receipts();
    Requests();
    Errors();
    CatchUp();
  }

 private:
  // The message as both see it: the same number, since they write to each other alone.
  std::string AtBoth() {
    const std::string copy = alices_->Next("chat/" + alice_);
    CHECK(bobs_->Next("chat/" + bob_) == copy);
    return copy;
  }

  void Text() {
    alices_->Publish("chat/" + bob_, "hi, bob: \"gr\xc3\xbc\xc3\x9f dich\"");
    first_ = AtBoth();
    const Json message = Json::parse(first_);
    CHECK(message["seq"] == 1);
    CHECK(message["from"] == alice_);
    CHECK(message["to"] == bob_);
    CHECK(message["body"] == "hi, bob: \"gr\xc3\xbc\xc3\x9f dich\"");
  }

  void Object() {
    const std::string body = R"({ "n" : [1.0, 2e3], "text":"\u00e9"})";
    alices_->Publish("chat/" + bob_, R"({"id":"7f3b","body":)" + body + "}");
    second_ = AtBoth();
    CHECK(Json::parse(second_)["id"] == "7f3b");
    CHECK(second_.find("\"body\":" + body + "}") != std::string::npos);
  }

  // Sent again under its id, it is the message that there is already.
  void Again() {
    alices_->Publish("chat/" + bob_, R"({"id":"7f3c","body":1})");
    const std::string third = AtBoth();
    CHECK(Json::parse(third)["seq"] == 3);
    alices_->Publish("chat/" + bob_, R"({"id":"7f3c","body":1})");
    // Its copy comes again to the device that sent it, which may be this one. The sync below sees
    // that there is no fourth message.
    again_ = third;
  }

  void Receipts() {
    bobs_->Confirm(R"({"delivered":3,"read":2})");
    const Json receipt = Json::parse(alices_->Next("receipt/" + alice_));
    CHECK(receipt["by"] == bob_);
    CHECK(receipt["delivered"] == 3);
    CHECK(receipt["read"] == 2);
  }

  void Requests() {
    const Json sync = Json::parse(bobs_->Request("ask/sync", R"({"rid":"1","after":0})"));
    CHECK(sync["rid"] == "1");
    CHECK(sync["ok"] == true);
    CHECK(sync["head"] == 3);
    REQUIRE(sync["messages"].size() == 3);
    CHECK(sync["messages"][0] == Json::parse(first_));
    CHECK(sync["messages"][1] == Json::parse(second_));
    const Json history =
        Json::parse(alices_->Request("ask/history", R"({"rid":"2","with":")" + bob_ + "\"}"));
    CHECK(history["messages"].size() == 3);
    CHECK(history["delivered"] == 3);
    CHECK(history["read"] == 2);
  }

  void Errors() {
    const Json error =
        Json::parse(alices_->Request("chat/nobody-of-this-name", R"({"id":"e","body":"x"})"));
    CHECK(error["ok"] == false);
    CHECK(error["id"] == "e");
    CHECK(error["error"]["code"] == "not_found");
  }

  // What it missed since its last receipt comes first when it is back, then what is new.
  void CatchUp() {
    bobs_->Close();
    for (int n = 4; n <= 6; ++n) {
      alices_->Publish("chat/" + bob_, std::to_string(n));
      std::string copy = alices_->Next("chat/" + alice_);
      if (copy == again_) copy = alices_->Next("chat/" + alice_);
      CHECK(Json::parse(copy)["seq"] == n);
    }
    bobs_->Open();
    alices_->Publish("chat/" + bob_, "7");
    for (int n = 4; n <= 7; ++n) {
      const Json message = Json::parse(bobs_->Next("chat/" + bob_));
      CHECK(message["seq"] == n);
      CHECK(message["body"] == std::to_string(n));
    }
  }

  const std::string alice_;
  const std::string bob_;
  std::unique_ptr<AnyClient> alices_;
  std::unique_ptr<AnyClient> bobs_;
  std::string first_;
  std::string second_;
  std::string again_;
};

TEST_CASE("a conversation with mosquitto_pub, mosquitto_sub and mosquitto_rr") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Conversation(&Server(), MosquittoTools, version).All();
}

TEST_CASE("a conversation with paho.mqtt.cpp") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Conversation(&Server(), Paho, version).All();
}

TEST_CASE("a conversation with MQTT.js") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  Conversation(&Server(), MqttJs, version).All();
}

}  // namespace
}  // namespace parley::e2e
