#include "chat/glance.h"

#include <nlohmann/json.hpp>

#include "tests/catch.h"

namespace parley {
namespace {

using nlohmann::json;

std::string Id(std::string_view object) { return Glance(object, "id", 64); }

TEST_CASE("a member is found at the top level, before and behind what is wrong") {
  CHECK(Id(R"({"id":"k1"})") == "k1");
  CHECK(Id(R"( {"id" : "k1","body":"x","foo":1})") == "k1");
  CHECK(Id(R"({"foo":[{"id":"no"}],"ref":{"id":"no"},"id":"k1"})") == "k1");
  CHECK(Id(R"({"body":1,"body":2,"id":"k1"})") == "k1");
  CHECK(Id(R"({"body":)" + std::string(50, '[') + std::string(50, ']') + R"(,"id":"k1"})") == "k1");
  CHECK(Id(R"({"body":"\ud800","n":1E400,"id":"k1"})") == "k1");
  CHECK(Id(R"({"n":)" + std::string(400, '9') + R"(,"id":"k1"})") == "k1");
  CHECK(Id(R"({"\u0069d":"\u00e4\n\ud83d\udc4b"})") == "ä\n👋");
  CHECK(Glance(R"({"id":"k1","rid":"7"})", "rid", 128) == "7");
}

TEST_CASE(
    "of two members with the same name the first counts, of an object that breaks off what is "
    "there") {
  CHECK(Id(R"({"id":"k1","id":"k2"})") == "k1");
  CHECK(Id(R"({"id":"k1","body":"half of i)") == "k1");
}

TEST_CASE("no name is taken that isn't one") {
  for (std::string object :
       {R"()", R"(hi)", R"("id")", R"(["id","k1"])", R"([{"id":"k1"}])", R"({"body":"id"})",
        R"({"id":7})", R"({"id":null,"id":"k1"})", R"({"id":{"id":"k1"}})", R"({"id":["k1"]})",
        R"({"id":""})", R"({"id":"k)", R"({"id":"k\ud800"})", R"({x "id":"k1"})",
        R"({"a":{"id":"k1"}})"}) {
    INFO(object);
    CHECK(Id(object).empty());
  }
  CHECK(Id("{\"id\":\"\xff\"}").empty());
  CHECK(Id(R"({"id":")" + std::string(64, 'x') + "\"}").size() == 64);
  CHECK(Id(R"({"id":")" + std::string(65, 'x') + "\"}").empty());
}

TEST_CASE("what the parser takes stays as it is written") {
  for (std::string text :
       {R"({"a":[1,-2.5e0,"\ud83d\udc4b","\\ud800","\"1e999\"",true,false,null]})", "{ hi }", "",
        "\"", "\"\\", "{\"a\":\"\\ud83"}) {
    CHECK(Representable(text) == text);
  }
}

TEST_CASE("what it doesn't take and is JSON is taken otherwise, and what is no JSON stays none") {
  for (std::string text : {R"(["\ud800"])", R"(["\udc00\ud800x"])", "[1e999,-1E+999,1.5e-999]",
                           "[0.1e0400]", "[\"\\ud83d\\ud83d\\udc4b\"]"}) {
    INFO(text);
    CHECK(json::accept(Representable(text)));
  }
  CHECK(json::accept(Representable("[-" + std::string(400, '9') + ".5]")));
  for (std::string text : {"[01e999]", "[1e]", "[1e+]", "[e999]", "[1e9 9]", R"(["\ud8"])",
                           R"(["\uD8G0"])", "[1e999", "[--1]", "[true1]"}) {
    INFO(text);
    CHECK_FALSE(json::accept(Representable(text)));
  }
  CHECK_FALSE(json::accept(Representable("[0" + std::string(400, '9') + "]")));
}

}  // namespace
}  // namespace parley
