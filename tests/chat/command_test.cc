#include "chat/command.h"

#include "chat/glance.h"
#include "tests/catch.h"

namespace parley {
namespace {

std::string Head(const std::string& topic, const std::string& payload,
                 const std::string& correlation = "") {
  Published published;
  published.topic = topic;
  published.payload = payload;
  published.correlation = correlation;
  return HeadOfRefused(published);
}

TEST_CASE("a message that was not read is refused by its topic and its id") {
  CHECK(Head("chat/bob", R"({"id":"k1","body":"x"})") == R"("topic":"chat/bob","id":"k1",)");
  CHECK(Head("group/g", R"({"body":"x","id":"k1"})") == R"("topic":"group/g","id":"k1",)");
  CHECK(Head("chat/bob", R"({"body":"x"})", "c\"1") == R"("topic":"chat/bob","id":"c\"1",)");
  CHECK(Head("chat/bob", R"({"id":"k1"})", "c1") == R"("topic":"chat/bob","id":"k1",)");
  CHECK(Head("chat/bob", "hi") == R"("topic":"chat/bob",)");
  CHECK(Head("chat/bob", "hi", std::string(65, 'x')) == R"("topic":"chat/bob",)");
  CHECK(Head("chat/bob", "hi", "\xff") == R"("topic":"chat/bob",)");
}

TEST_CASE("a request is by its rid, or by its topic") {
  CHECK(Head("ask/sync", R"({"rid":"1","after":3})") == R"("rid":"1",)");
  CHECK(Head("ask/sync", R"({"after":3})", "c1") == R"("topic":"ask/sync",)");
  CHECK(Head("ask/sync", R"({"rid":1})") == R"("topic":"ask/sync",)");
  CHECK(Head("as/alice/login", R"({"rid":"1"})") == R"("rid":"1","user":"alice",)");
  CHECK(Head("as/alice/login", "{}") == R"("user":"alice","topic":"as/alice/login",)");
}

TEST_CASE("what a gateway sent names the user that it was for") {
  CHECK(Head("as/alice/chat/bob", R"({"id":"k1"})") ==
        R"("user":"alice","topic":"chat/bob","id":"k1",)");
  CHECK(Head("as/alice/ask/sync", R"({"rid":"1"})") == R"("rid":"1","user":"alice",)");
  CHECK(Head("as/alice/receipt/alice", R"({"id":"k1","rid":"1"})", "c1") ==
        R"("user":"alice","topic":"receipt/alice",)");
}

TEST_CASE("only the beginning of a payload is looked at") {
  const std::string id = R"("id":"k1")";
  const std::string fill(kGlanceBytesMax - id.size() - 1, ' ');
  CHECK(Head("chat/bob", "{" + fill + id + "}") == R"("topic":"chat/bob","id":"k1",)");
  CHECK(Head("chat/bob", "{ " + fill + id + "}") == R"("topic":"chat/bob",)");
}

}  // namespace
}  // namespace parley
