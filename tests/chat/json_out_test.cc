#include "chat/json_out.h"

#include <nlohmann/json.hpp>

#include "tests/catch.h"

namespace parley {
namespace {

MessageRecord Hi() {
  MessageRecord message;
  message.from = UserId("alice");
  message.to = UserId("bob");
  message.ts_ms = 1764000000123;
  message.id = "7f3a";
  message.body = "\"hi\"";
  return message;
}

std::string Written(Seq seq, const MessageRecord& message) {
  std::string out;
  AppendMessage(seq, MessageRest(message), &out);
  return out;
}

TEST_CASE("a message has its members in a fixed order and no white space") {
  CHECK(Written(Seq(42), Hi()) == R"({"seq":42,"type":"message","id":"7f3a","from":"alice",)"
                                  R"("to":"bob","ts":1764000000123,"body":"hi"})");
}

TEST_CASE("a ref follows the body, and where there is no body nothing stands for it") {
  MessageRecord message = Hi();
  message.type = MessageType::kReaction;
  message.ref = MessageRef{UserId("bob"), "c0de", Seq(3), Seq(4)};
  CHECK(Written(Seq(1), message) ==
        R"({"seq":1,"type":"reaction","id":"7f3a","from":"alice","to":"bob",)"
        R"("ts":1764000000123,"body":"hi","ref":{"from":"bob","id":"c0de"}})");
  message.type = MessageType::kRetract;
  message.body.clear();
  CHECK(Written(Seq(UINT64_MAX), message) ==
        R"({"seq":18446744073709551615,"type":"retract","id":"7f3a","from":"alice","to":"bob",)"
        R"("ts":1764000000123,"ref":{"from":"bob","id":"c0de"}})");
}

TEST_CASE("ids are escaped, bodies are not") {
  MessageRecord message = Hi();
  message.id = "a\"\\\n";
  message.body = R"("\u0041")";
  message.ref = MessageRef{UserId("bob"), "\"", Seq(), Seq()};
  std::string written = Written(Seq(1), message);
  CHECK(written.find(R"("body":"\u0041")") != std::string::npos);
  auto parsed = nlohmann::json::parse(written);
  CHECK(parsed["id"] == "a\"\\\n");
  CHECK(parsed["ref"]["id"] == "\"");
}

TEST_CASE("every byte that JSON wants escaped is escaped, everything else is as it was") {
  std::string text;
  for (int c = 0; c < 128; ++c) text += static_cast<char>(c);
  text += "grüße 👋";
  std::string out;
  AppendJsonString(text, &out);
  CHECK(nlohmann::json::parse(out) == text);
  for (char c : out) CHECK((static_cast<unsigned char>(c) >= 0x20));
  std::string plain;
  AppendJsonString("plain / ü", &plain);
  CHECK(plain == "\"plain / ü\"");
  std::string few;
  AppendJsonString(std::string("\x00\x1f\t", 3), &few);
  CHECK(few == R"("\u0000\u001f\t")");
}

TEST_CASE("numbers are written whole") {
  std::string out;
  AppendNumber(0, &out);
  out += ' ';
  AppendNumber(UINT64_MAX, &out);
  CHECK(out == "0 18446744073709551615");
}

TEST_CASE("types are named as the protocol names them") {
  CHECK(TypeName(MessageType::kMessage) == "message");
  CHECK(TypeName(MessageType::kEdit) == "edit");
  CHECK(TypeName(MessageType::kRetract) == "retract");
  CHECK(TypeName(MessageType::kReaction) == "reaction");
}

TEST_CASE("an answer begins with what it answers") {
  CHECK(OkAnswer("\"rid\":\"1\",", ",\"head\":7") == R"({"rid":"1","ok":true,"head":7})");
  CHECK(OkAnswer("\"rid\":\"1\",", "") == R"({"rid":"1","ok":true})");
  CHECK(OkAnswer("\"topic\":\"chat/bob\",\"id\":\"7f3a\",", ",\"seq\":42") ==
        R"({"ok":true,"topic":"chat/bob","id":"7f3a","seq":42})");
  CHECK(OkAnswer("", ",\"head\":7") == R"({"ok":true,"head":7})");
  CHECK(OkAnswer("", "") == R"({"ok":true})");
}

TEST_CASE("an error answer has a code and a message") {
  CHECK(ErrorAnswer("\"topic\":\"chat/bob\",", {Code::kNotFound, "no account 'bob'"}) ==
        R"({"ok":false,"topic":"chat/bob","error":{"code":"not_found",)"
        R"("message":"no account 'bob'"}})");
  CHECK(ErrorAnswer("\"rid\":\"1\",", {Code::kBadRequest, "a \"b\""}) ==
        R"({"rid":"1","ok":false,"error":{"code":"bad_request","message":"a \"b\""}})");
  CHECK(ErrorAnswer("", {Code::kQuota, "slower"}, 1500) ==
        R"({"ok":false,"error":{"code":"quota","message":"slower","retry_after_ms":1500}})");
}

TEST_CASE("what failed on the server's disk is unavailable, and names no file") {
  for (Code code : {Code::kIoError, Code::kCorruption}) {
    std::string answer = ErrorAnswer("", {code, "/var/lib/parley/store-0: read failed"});
    CHECK(nlohmann::json::parse(answer)["error"]["code"] == "unavailable");
    CHECK(answer.find("/var") == std::string::npos);
  }
}

TEST_CASE("an error's message has 200 bytes, and is cut between two characters") {
  auto told = [](const std::string& message) {
    return nlohmann::json::parse(ErrorAnswer("", {Code::kBadRequest, message}))["error"]["message"];
  };
  const std::string full(200, 'x');
  CHECK(told(full) == full);
  CHECK(told(full + "x") == full);
  CHECK(told(full.substr(0, 199) + "ä") == full.substr(0, 199));
  CHECK(told(full.substr(0, 197) + "👋") == full.substr(0, 197));
  CHECK(told(full.substr(0, 196) + "👋x") == full.substr(0, 196) + "👋");
}

}  // namespace
}  // namespace parley
