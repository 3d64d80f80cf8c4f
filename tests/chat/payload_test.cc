#include "chat/payload.h"

#include "tests/catch.h"

namespace parley {
namespace {

constexpr size_t kMaxBody = 100;

Result<SendRequest> Parse(std::string_view payload, ContentType type = ContentType::kAny) {
  return ParseSend(payload, type, kMaxBody);
}

Code CodeOf(std::string_view payload, ContentType type = ContentType::kAny) {
  auto request = Parse(payload, type);
  return request ? Code::kOk : request.error().code();
}

// The body of a payload that must be right.
std::string Body(std::string_view payload, ContentType type = ContentType::kAny) {
  auto request = Parse(payload, type);
  INFO(payload);
  REQUIRE(request);
  return request->body;
}

std::string Nested(int depth, const std::string& innermost) {
  return std::string(static_cast<size_t>(depth), '[') + innermost +
         std::string(static_cast<size_t>(depth), ']');
}

TEST_CASE("a text is a message whose body is that text as a JSON string") {
  auto request = Parse("hi");
  REQUIRE(request);
  CHECK(request->id.empty());
  CHECK(request->type == MessageType::kMessage);
  CHECK(request->body == "\"hi\"");
  CHECK_FALSE(request->ref);

  CHECK(Body("") == "\"\"");
  CHECK(Body(" hi ") == "\" hi \"");
  CHECK(Body("say \"hi\"\n\\") == R"("say \"hi\"\n\\")");
  CHECK(Body("grüße 👋") == "\"grüße 👋\"");
  CHECK(Body(std::string_view("a\0b", 3)) == "\"a\\u0000b\"");
}

TEST_CASE("JSON that is no object is a text") {
  CHECK(Body("42") == "\"42\"");
  CHECK(Body("null") == "\"null\"");
  CHECK(Body(R"(["a"])") == R"("[\"a\"]")");
  CHECK(Body(R"("quoted")") == R"("\"quoted\"")");
}

TEST_CASE("what begins like an object and is none is a text") {
  CHECK(Body("{") == "\"{\"");
  CHECK(Body("{ hi }") == "\"{ hi }\"");
  CHECK(Body(R"({"body":"hi"} and more)") == R"("{\"body\":\"hi\"} and more")");
  CHECK(Body(R"({"body":"hi",})") == R"("{\"body\":\"hi\",}")");
  CHECK(Body(R"({"oops":1,)") == R"("{\"oops\":1,")");
  CHECK(Body(R"({"body":"1","body":"2")") == R"("{\"body\":\"1\",\"body\":\"2\"")");
}

TEST_CASE("an object ends where it ends: a NUL behind it makes it a text") {
  CHECK(Body(std::string_view("{\"body\":\"hi\"}\0x", 15)) == R"("{\"body\":\"hi\"}\u0000x")");
  CHECK(CodeOf(std::string_view("{\"body\":\"hi\"}\0x", 15), ContentType::kObject) ==
        Code::kBadRequest);
}

TEST_CASE("an object says id, type, body and ref") {
  auto request =
      Parse(R"( {"ref":{"id":"7f3a","from":"alice"},"type":"edit","body":"ho","id":"c0de"} )");
  REQUIRE(request);
  CHECK(request->id == "c0de");
  CHECK(request->type == MessageType::kEdit);
  CHECK(request->body == "\"ho\"");
  REQUIRE(request->ref);
  CHECK(request->ref->from == UserId("alice"));
  CHECK(request->ref->id == "7f3a");
  CHECK(request->ref->from_seq == Seq());
  CHECK(request->ref->to_seq == Seq());
}

TEST_CASE("a body passes through byte for byte") {
  const std::string bodies[] = {
      R"("hi")",
      R"("\u0048\/\"\\")",
      R"("a } ] , { [ : b")",
      "{ \"link\" : \"x\" ,\n \"n\":[1, 2 ,{} ] }",
      R"([[],{"a":{"b":"}"}}])",
      "1.50e+3",
      "-0",
      "12345678901234567890123",
      "true",
      "null",
      "{}",
      "\"grüße 👋\"",
  };
  for (const std::string& body : bodies) {
    CHECK(Body(R"({"body":)" + body + "}") == body);
    CHECK(Body(R"({ "id":"1", "body" : )" + body + R"( , "type":"message"})") == body);
    CHECK(Body(R"({"ref":{"from":"al","id":"{\"body\":0}"},"body":)" + body + "\n}") == body);
  }
}

TEST_CASE("a member's name may be written with escapes, and is the same name") {
  CHECK(Body(R"({"bo\u0064y":"hi","\u0069d":"1"})") == "\"hi\"");
  CHECK(Parse(R"({"body":1,"\u0069d":"x"})")->id == "x");
  CHECK(CodeOf(R"({"body":1,"bo\u0064y":2})") == Code::kBadRequest);
  CHECK(Body(R"({"body":{"\"body\"":1}})") == R"({"\"body\"":1})");
}

TEST_CASE("escapes in an id are read, and its bytes are counted") {
  CHECK(Parse(R"({"id":"\u00e4\n","body":1})")->id == "ä\n");
  CHECK(CodeOf(R"({"id":")" + std::string(64, 'x') + R"(","body":1})") == Code::kOk);
  CHECK(CodeOf(R"({"id":")" + std::string(65, 'x') + R"(","body":1})") == Code::kBadRequest);
  std::string escaped;
  for (int i = 0; i < 33; ++i) escaped += "\\u00e4";
  CHECK(CodeOf(R"({"id":")" + escaped + R"(","body":1})") == Code::kBadRequest);
}

TEST_CASE("an object that breaks a rule is an error, not a text") {
  auto payload = GENERATE(
      as<std::string>{},
      // no body where one must be
      R"({})", R"({"id":"1"})", R"({"type":"edit","ref":{"from":"a","id":"1"}})",
      // unknown members
      R"({"body":1,"subject":"x"})", R"({"Body":1})", R"({"body":1,"":1})",
      // members given twice, at any depth
      R"({"body":1,"body":1})", R"({"id":"1","id":"1","body":1})", R"({"body":{"a":1,"a":2}})",
      R"({"body":[{"a":{"b":1,"b":1}}]})", R"({"body":1,"ref":{"from":"a","from":"a","id":"1"}})",
      // ids
      R"({"id":"","body":1})", R"({"id":7,"body":1})", R"({"id":null,"body":1})",
      R"({"id":["1"],"body":1})", R"({"id":{"a":1},"body":1})",
      // types
      R"({"type":"","body":1})", R"({"type":"Message","body":1})", R"({"type":"system","body":1})",
      R"({"type":0,"body":1})", R"({"type":{},"body":1})",
      // refs
      R"({"body":1,"ref":null})", R"({"body":1,"ref":"7f3a"})", R"({"body":1,"ref":["a","1"]})",
      R"({"body":1,"ref":{}})", R"({"body":1,"ref":{"from":"alice"}})",
      R"({"body":1,"ref":{"id":"1"}})", R"({"body":1,"ref":{"from":"Alice","id":"1"}})",
      R"({"body":1,"ref":{"from":"alice","id":""}})", R"({"body":1,"ref":{"from":"alice","id":1}})",
      R"({"body":1,"ref":{"from":{"a":1},"id":"1"}})",
      R"({"body":1,"ref":{"from":["a"],"id":"1"}})",
      R"({"body":1,"ref":{"from":"alice","id":"1","seq":3}})",
      // what needs a ref has none
      R"({"type":"edit","body":1})", R"({"type":"retract"})", R"({"type":"reaction","body":"+"})");
  INFO(payload);
  CHECK(CodeOf(payload) == Code::kBadRequest);
  CHECK(CodeOf(payload, ContentType::kObject) == Code::kBadRequest);
}

TEST_CASE("an error tells the client's developer what is wrong") {
  CHECK(Parse(R"({"body":1,"subject":"x"})").error().message() == "unknown member 'subject'");
  CHECK(Parse(R"({"body":1,"body":1})").error().message() == "member 'body' is given twice");
  CHECK(Parse(R"({"id":7,"body":1})").error().message() == "'id' must be a string, not a number");
  CHECK(Parse(R"({"id":""  ,"body":1})").error().message() == "'id' must have 1 to 64 bytes");
  CHECK(Parse(R"({"body":1,"ref":{"from":"A","id":"1"}})").error().message() ==
        "'ref.from' must be a user id");
  CHECK(Parse("[1]", ContentType::kObject).error().message() ==
        "the content type says JSON, the payload is no JSON object");
}

TEST_CASE("only a retraction needs no body") {
  auto request = Parse(R"({"type":"retract","ref":{"from":"alice","id":"1"}})");
  REQUIRE(request);
  CHECK(request->type == MessageType::kRetract);
  CHECK(request->body.empty());
}

TEST_CASE("a number that no double holds is an error and never a text") {
  CHECK(CodeOf(R"({"body":1e999})") == Code::kBadRequest);
  CHECK(CodeOf(R"({"body":[-1.5E+400]})") == Code::kBadRequest);
  CHECK(CodeOf("{\"body\":" + std::string(90, '9') + "}") == Code::kOk);
  CHECK(ParseSend("{\"body\":" + std::string(400, '9') + "}", ContentType::kAny, 1000)
            .error()
            .code() == Code::kBadRequest);
  CHECK(Body(R"({"body":1e999 or so})") == R"("{\"body\":1e999 or so}")");
}

TEST_CASE("nesting goes 32 deep, the message's own object included") {
  CHECK(CodeOf(R"({"body":)" + Nested(31, "1") + "}") == Code::kOk);
  CHECK(CodeOf(R"({"body":)" + Nested(32, "1") + "}") == Code::kBadRequest);
  CHECK(CodeOf(R"({"body":)" + Nested(32, "1") + "}", ContentType::kText) == Code::kOk);
  CHECK(ParseSend(R"({"body":)" + Nested(50'000, "1") + "}", ContentType::kAny, 200'000)
            .error()
            .code() == Code::kBadRequest);
}

TEST_CASE("a body has at most max_body bytes, as it is written") {
  const std::string full(kMaxBody, 'x');
  CHECK(CodeOf(full) == Code::kOk);
  CHECK(CodeOf(full + "x") == Code::kTooLarge);
  CHECK(CodeOf(R"({"body":")" + full + R"("})") == Code::kOk);
  CHECK(CodeOf(R"({"body":"x)" + full + R"("})") == Code::kTooLarge);
  const std::string list = "[" + std::string(kMaxBody - 2, ' ') + "]";
  CHECK(CodeOf(R"({"body":)" + list + "}") == Code::kOk);
  CHECK(CodeOf(R"({"body":[ )" + list + "]}") == Code::kTooLarge);
  // A text is measured as the client wrote it, not as it is escaped.
  CHECK(CodeOf(std::string(kMaxBody, '\n')) == Code::kOk);
}

TEST_CASE("a text of which escapes would make more than any answer holds is too large") {
  CHECK(ParseSend(std::string(65'536, '\n'), ContentType::kAny, 65'536));
  auto request = ParseSend(std::string(65'536, '\x01'), ContentType::kAny, 65'536);
  REQUIRE_FALSE(request);
  CHECK(request.error().code() == Code::kTooLarge);
}

TEST_CASE("the content type forces text or the object") {
  CHECK(Body(R"({"body":"hi"})", ContentType::kText) == R"("{\"body\":\"hi\"}")");
  CHECK(Body(R"({"body":"hi"})", ContentType::kObject) == "\"hi\"");
  CHECK(CodeOf("hi", ContentType::kObject) == Code::kBadRequest);
  CHECK(CodeOf("", ContentType::kObject) == Code::kBadRequest);
  CHECK(CodeOf("{ hi }", ContentType::kObject) == Code::kBadRequest);
  CHECK(CodeOf(R"({"body":"hi"} x)", ContentType::kObject) == Code::kBadRequest);
}

TEST_CASE("a content type is named without regard to case, and ends at a semicolon") {
  for (const char* name :
       {"text/plain", "TEXT/PLAIN; charset=utf-8", "Text/Plain;", "text/plain ;a"})
    CHECK(ContentTypeNamed(name) == ContentType::kText);
  for (const char* name : {"application/json", "Application/JSON;charset=UTF-8"})
    CHECK(ContentTypeNamed(name) == ContentType::kObject);
  for (const char* name : {"text/plainfoo", "text/plain+x", "application/json5", "", ";text/plain",
                           "text", "application/octet-stream"})
    CHECK(ContentTypeNamed(name) == ContentType::kAny);
}

TEST_CASE("only UTF-8 is taken") {
  auto bad = GENERATE(as<std::string>{}, "\xff", "\x80", "a\xc3", "\xc0\xaf", "\xe0\x80\xaf",
                      "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                      "\xe2\x82", "\xc3(");
  CHECK_FALSE(ValidUtf8(bad));
  CHECK(CodeOf(bad) == Code::kBadRequest);
  CHECK(CodeOf("{\"body\":\"" + bad + "\"}") == Code::kBadRequest);
  CHECK(CodeOf(bad, ContentType::kText) == Code::kBadRequest);
}

TEST_CASE("all of UTF-8 is taken") {
  CHECK(ValidUtf8(""));
  CHECK(ValidUtf8("\x7f"));
  CHECK(ValidUtf8("\xc2\x80\xdf\xbf"));
  CHECK(ValidUtf8("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"));
  CHECK(ValidUtf8("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
}

TEST_CASE("half of a surrogate pair in an escape is an error and never a text") {
  for (const char* body :
       {R"("\ud800")", R"("\udfff")", R"("\uD83D\u0041")", R"(["\ud83d\ud83d\udc4b"])",
        R"({"\udc4b":1})", R"("\ud83d\\udc4b")", R"("\ud83d\ude")"}) {
    INFO(body);
    std::string payload = R"({"id":"x1","body":)" + std::string(body) + "}";
    bool escape_breaks_off = payload.find("ude\"") != std::string::npos;
    CHECK(CodeOf(payload) == (escape_breaks_off ? Code::kOk : Code::kBadRequest));
    CHECK(CodeOf(payload, ContentType::kObject) == Code::kBadRequest);
    CHECK(CodeOf(payload + " and more") == Code::kOk);  // a text
  }
  CHECK(Body(R"({"body":"\ud83d\udc4b"})") == R"("\ud83d\udc4b")");
  CHECK(Body(R"({"body":"\\ud800"})") == R"("\\ud800")");
  CHECK(Body(R"({\ud800)") == R"("{\\ud800")");
}

TEST_CASE("a request is an object without a member twice or deep nesting") {
  CHECK(ParseObject("{}"));
  CHECK((*ParseObject(R"({"after":3,"with":"bob"})"))["after"] == 3);
  for (std::string payload :
       {std::string(), std::string("hi"), std::string("3"), std::string("[]"), std::string("{"),
        std::string(R"({"a":1}x)"), std::string(R"({"a":1,"a":2})"),
        std::string(R"({"a":{"b":1,"b":2}})"), R"({"a":)" + Nested(32, "1") + "}",
        R"({"a":)" + Nested(100'000, "") + "}", std::string("{\"a\":\"\xff\"}"),
        std::string("{}\0x", 4)}) {
    INFO(payload.substr(0, 100));
    auto object = ParseObject(payload);
    REQUIRE_FALSE(object);
    CHECK(object.error().code() == Code::kBadRequest);
  }
}

TEST_CASE("a request's members may have the names of a message's members") {
  CHECK(ParseObject(R"({"id":{"a":1},"x":2})"));
  CHECK(ParseObject(R"({"type":{},"ref":"x","body":{"id":{}},"id":[{}]})"));
  CHECK(ParseObject(R"({"id":{},"type":{},"ref":{"from":{"a":[]}},"x":{"y":1}})"));
}

TEST_CASE("a request's members are checked one by one") {
  auto object = ParseObject(R"({"n":5,"neg":-1,"f":5.0,"big":18446744073709551616,"s":"x","t":true,
                                "max":18446744073709551615})");
  REQUIRE(object);
  uint64_t number = 7;
  CHECK(ReadNumber(*object, "absent", 1, 9, &number).ok());
  CHECK(number == 7);
  CHECK(ReadNumber(*object, "n", 5, 5, &number).ok());
  CHECK(number == 5);
  CHECK(ReadNumber(*object, "max", 0, UINT64_MAX, &number).ok());
  CHECK(number == UINT64_MAX);
  for (const char* name : {"neg", "f", "big", "s", "t"}) {
    CHECK(ReadNumber(*object, name, 0, UINT64_MAX, &number).code() == Code::kBadRequest);
  }
  CHECK(ReadNumber(*object, "n", 6, 9, &number).message() == "'n' must be from 6 to 9");
  CHECK(ReadNumber(*object, "n", 1, 4, &number).code() == Code::kBadRequest);

  std::string text = "kept";
  CHECK(ReadString(*object, "absent", &text).ok());
  CHECK(text == "kept");
  CHECK(ReadString(*object, "s", &text).ok());
  CHECK(text == "x");
  CHECK(ReadString(*object, "n", &text).code() == Code::kBadRequest);

  CHECK(OnlyKnown(*ParseObject("{}"), {"n"}).ok());
  CHECK(OnlyKnown(*ParseObject(R"({"n":1})"), {"m", "n"}).ok());
  CHECK(OnlyKnown(*ParseObject(R"({"n":1,"o":2})"), {"m", "n"}).message() == "unknown member 'o'");
}

TEST_CASE("why a payload is refused is UTF-8, wherever its JSON breaks off") {
  for (const char* payload : {"{\"a\":1\u00e4}", "{\"a\":\U0001f600}", "{\"n\":2.5e\u00e4}"}) {
    for (std::string message : {ParseObject(payload).error().message(),
                                ParseSend(payload, ContentType::kObject, 100).error().message()}) {
      INFO(message);
      CHECK(ValidUtf8(message));
    }
  }
}

}  // namespace
}  // namespace parley
