#include "plugin/access.h"

#include <algorithm>
#include <map>

#include "tests/catch.h"

namespace parley {
namespace {

const Who kAlice{UserId("alice"), DeviceId("alice:phone"), Role::kUser};
const Who kGateway{UserId("gate"), DeviceId("gate:1"), Role::kService};
const Who kAdmin{UserId("root"), DeviceId("root:1"), Role::kAdmin};

TEST_CASE("who may publish to what") {
  const std::vector<std::string> everybody = {
      "chat/bob",   "chat/alice",   "chat/1001",    "group/ubuntu",        "group/1",
      "typing/bob", "typing/alice", "typing/group", "typing/group/ubuntu", "typing/group/group",
      "ask/sync"};
  for (const std::string& topic : everybody) {
    CAPTURE(topic);
    for (const Who& who : {kAlice, kGateway, kAdmin}) CHECK(MayPublish(who, topic).has_value());
  }
  CHECK(*MayPublish(kAlice, "receipt/alice") == PublishKind::kCommand);
  CHECK(*MayPublish(kAlice, "presence/alice") == PublishKind::kCommand);
  CHECK(*MayPublish(kGateway, "as/bob/group/ubuntu") == PublishKind::kCommand);
  CHECK(*MayPublish(kGateway, "as/bob/chat/carol") == PublishKind::kCommand);
  CHECK(*MayPublish(kGateway, "as/bob/login") == PublishKind::kLogin);
  CHECK(*MayPublish(kAdmin, "$CONTROL/parley/v1") == PublishKind::kControl);
}

TEST_CASE("a service does nothing for others but what the table has") {
  for (const char* topic :
       {"as/", "as/bob", "as/bob/", "as/bob/login/x", "as/bob/presence/bob", "as/bob/push/done",
        "as/bob/as/carol/login", "as/bob/$CONTROL/parley/v1"}) {
    CAPTURE(topic);
    CHECK_FALSE(MayPublish(kGateway, topic));
  }
}

TEST_CASE("what there is to publish to is named as the documents name it") {
  const std::vector<std::string> all = PublishAddresses();
  for (const char* address : {"chat/{user}", "ask/{method}", "presence/{user}", "push/done",
                              "as/{user}/group/{group}", "as/{user}/login"}) {
    CHECK(std::count(all.begin(), all.end(), address) == 1);
  }
}

TEST_CASE("what nobody, or only others, may publish to") {
  const std::vector<std::string> topics = {"",
                                           "chat",
                                           "chat/",
                                           "chat/Bob",
                                           "chat/bob/x",
                                           "Chat/bob",
                                           "/chat/bob",
                                           "receipt/bob",
                                           "receipt/",
                                           "presence/bob",
                                           "answer/alice:phone",
                                           "group/",
                                           "group",
                                           "group/Ubuntu",
                                           "group/ubuntu/x",
                                           "typing/",
                                           "typing/Bob",
                                           "typing/bob/x",
                                           "typing/group/",
                                           "typing/group/Ubuntu",
                                           "typing/group/ubuntu/x",
                                           "presence/",
                                           "as/bob/chat/carol",
                                           "as/bob/group/ubuntu",
                                           "push/done",
                                           "$SYS/x",
                                           "$CONTROL/parley/v1",
                                           "$CONTROL/parley/v1/response",
                                           "$share/g/chat/bob",
                                           "anything"};
  for (const std::string& topic : topics) {
    CAPTURE(topic);
    const auto kind = MayPublish(kAlice, topic);
    REQUIRE_FALSE(kind);
    CHECK(kind.error().code() == Code::kDenied);
    CHECK_FALSE(kind.error().message().empty());
  }
}

TEST_CASE("who may subscribe to what") {
  const std::map<std::string, Channel> own = {
      {"chat/alice", Channel::kInbox},          {"receipt/alice", Channel::kReceipt},
      {"presence/alice", Channel::kPresence},   {"typing/alice", Channel::kTyping},
      {"answer/alice:phone", Channel::kAnswer}, {"answer/alice:phone/#", Channel::kAnswer}};
  for (const auto& [filter, channel] : own) {
    CAPTURE(filter);
    const auto subscription = MaySubscribe(kAlice, filter);
    REQUIRE(subscription);
    CHECK_FALSE(subscription->admin);
    CHECK(subscription->channel == channel);
    CHECK_FALSE(MaySubscribe(kAdmin, filter));
  }
  const std::vector<std::string> admins = {"$SYS/#", "$SYS/broker/parley/#",
                                           "$CONTROL/parley/v1/response"};
  for (const std::string& filter : admins) {
    CAPTURE(filter);
    CHECK(MaySubscribe(kAdmin, filter).has_value());
    CHECK_FALSE(MaySubscribe(kAlice, filter));
    CHECK(MaySubscribe(kGateway, filter).has_value() == filter.starts_with("$SYS/broker/parley/"));
  }
}

TEST_CASE("push jobs are a service account's alone") {
  CHECK(MaySubscribe(kGateway, "push/webpush")->channel == Channel::kPushWebPush);
  CHECK(MaySubscribe(kGateway, "push/ntfy")->channel == Channel::kPushNtfy);
  CHECK(MaySubscribe(kGateway, "push/webhook")->channel == Channel::kPushWebhook);
  CHECK(MaySubscribe(kGateway, "push/fcm")->channel == Channel::kPushFcm);
  CHECK(MaySubscribe(kGateway, "push/apns")->channel == Channel::kPushApns);
  CHECK(MayPublish(kGateway, "push/done").has_value());
  for (const char* topic : {"push/#", "push/+", "push/done", "push/pigeon", "push/"}) {
    CHECK_FALSE(MaySubscribe(kGateway, topic));
  }
  for (const Who& who : {kAlice, kAdmin}) {
    CHECK_FALSE(MaySubscribe(who, "push/webpush"));
    CHECK_FALSE(MayPublish(who, "push/done"));
  }
  CHECK_FALSE(MayPublish(kGateway, "push/webpush"));
}

TEST_CASE("a subscription to a group names the group, whose members the caller knows") {
  for (const Who& who : {kAlice, kGateway, kAdmin}) {
    const auto subscription = MaySubscribe(who, "group/ubuntu");
    REQUIRE(subscription);
    CHECK_FALSE(subscription->admin);
    CHECK(subscription->channel == Channel::kGroup);
    CHECK(subscription->group == GroupId("ubuntu"));
  }
}

TEST_CASE("a user named group has a typing topic like any other") {
  const Who group{UserId("group"), DeviceId("group:1"), Role::kUser};
  const auto subscription = MaySubscribe(group, "typing/group");
  REQUIRE(subscription);
  CHECK(subscription->channel == Channel::kTyping);
  CHECK_FALSE(MaySubscribe(group, "typing/group/ubuntu"));
}

TEST_CASE("a presence topic tells its one user's") {
  CHECK(PresenceOf("presence/alice") == "alice");
  CHECK(PresenceOf("presence/") == "");
  CHECK(PresenceOf("chat/alice") == "");
  CHECK(PresenceOf("presence/alice/x") == "alice/x");  // nobody's id
}

TEST_CASE("typing alone may be lost") {
  CHECK(Transient("typing/bob"));
  CHECK(Transient("typing/group/ubuntu"));
  for (const std::string topic : {"chat/bob", "group/ubuntu", "receipt/alice", "presence/alice"}) {
    CHECK_FALSE(Transient(topic));
  }
}

TEST_CASE("what nobody may subscribe to") {
  const std::vector<std::string> filters = {"#",
                                            "+/alice",
                                            "chat/#",
                                            "chat/+",
                                            "chat/alice/#",
                                            "chat/bob",
                                            "chat",
                                            "receipt/bob",
                                            "ask/sync",
                                            "group",
                                            "group/",
                                            "group/#",
                                            "group/+",
                                            "group/Ubuntu",
                                            "group/ubuntu/#",
                                            "group/ubuntu/x",
                                            "presence/bob",
                                            "presence/alice/#",
                                            "typing/bob",
                                            "typing/group",
                                            "typing/group/ubuntu",
                                            "$share/g/group/ubuntu",
                                            "answer/#",
                                            "answer/bob:phone",
                                            "answer/alice:phone2",
                                            "answer/alice:phone/+",
                                            "$share/g/chat/alice",
                                            "$share/g/chat/bob",
                                            "as/alice/#",
                                            "$CONTROL/#",
                                            "$hat/bob"};
  for (const std::string& filter : filters) {
    CAPTURE(filter);
    for (const Who& who : {kAlice, kAdmin}) CHECK_FALSE(MaySubscribe(who, filter));
  }
}

TEST_CASE("the broker itself delivers nothing but figures to admins") {
  for (const std::string topic : {"chat/alice", "receipt/alice", "answer/alice:phone", "$SYS/x"}) {
    CAPTURE(topic);
    CHECK_FALSE(MayReceive(kAlice, topic));
  }
  CHECK(MayReceive(kAdmin, "$SYS/broker/uptime"));
  CHECK_FALSE(MayReceive(kAdmin, "chat/root"));
  CHECK(MayReceive(kGateway, "$SYS/broker/parley/sessions"));
  CHECK_FALSE(MayReceive(kGateway, "$SYS/broker/uptime"));
}

TEST_CASE("a client id with a colon belongs to its user") {
  const UserId alice("alice");
  for (const std::string id : {"alice:phone", "phone", "", "alice:", "alice:a:b", "auto-1"}) {
    CAPTURE(id);
    CHECK(CheckClientId(id, alice).ok());
  }
  for (const std::string id : {"bob:phone", ":phone", "alice2:phone", "a/b", "a+b", "a#b"}) {
    CAPTURE(id);
    CHECK_FALSE(CheckClientId(id, alice).ok());
  }
}

TEST_CASE("a client id has 256 bytes at most") {
  const UserId alice("alice");
  CHECK(CheckClientId("alice:" + std::string(250, 'x'), alice).ok());
  CHECK(CheckClientId("alice:" + std::string(251, 'x'), alice).code() == Code::kTooLarge);
}

TEST_CASE("a topic has 512 bytes at most") {
  const std::string method = "ask/" + std::string(508, 'x');
  CHECK(MayPublish(kAlice, method));
  CHECK(MayPublish(kAlice, method + "x").error().code() == Code::kTooLarge);
  CHECK(MaySubscribe(kAlice, std::string(512, 'x')).error().code() == Code::kDenied);
  CHECK(MaySubscribe(kAlice, std::string(513, 'x')).error().code() == Code::kTooLarge);
  const std::string answer = "answer/alice:phone/";
  CHECK(MayAnswerTo(kAlice, answer + std::string(512 - answer.size(), 'x')));
  CHECK_FALSE(MayAnswerTo(kAlice, answer + std::string(513 - answer.size(), 'x')));
  // The longest that is needed: of an id and a client id that are as long as they may be.
  const Who longest{UserId(std::string(64, 'a')), DeviceId(std::string(256, 'd'))};
  CHECK(MaySubscribe(longest, "answer/" + longest.device.str() + "/#"));
}

TEST_CASE("an answer goes to the device's own topic or below it") {
  CHECK(MayAnswerTo(kAlice, "answer/alice:phone"));
  CHECK(MayAnswerTo(kAlice, "answer/alice:phone/x/y"));
  for (const std::string topic : {"answer/alice:phone2", "answer/bob:phone", "chat/bob", "answer/",
                                  "answer/alice:phone/#", "answer/alice:phone/+", "$SYS/x"}) {
    CAPTURE(topic);
    CHECK_FALSE(MayAnswerTo(kAlice, topic));
  }
}

}  // namespace
}  // namespace parley
