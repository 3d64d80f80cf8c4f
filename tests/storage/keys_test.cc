#include "storage/keys.h"

#include "tests/catch.h"

namespace parley {

using namespace std::string_literals;

TEST_CASE("the bytes of keys are these, for ever") {
  UserId alice("alice"), bob("bob");
  std::string shard = "\x02\x9d"s;  // 669, the shard of "alice"
  std::string one = "\0\0\0\0\0\0\0\1"s, big = "\1\2\3\4\5\6\7\x08"s;
  Seq first(1), later(0x0102030405060708);

  CHECK(keys::Log(alice, later) == shard + "u\5alice" + big);
  CHECK(keys::Conversation(alice, bob, first) == shard + "c\5alice\3bob" + one);
  CHECK(keys::Peer(alice, bob) == shard + "l\5alice\3bob");
  CHECK(keys::Sent(alice, first) == shard + "s\5alice" + one);
  CHECK(keys::SentById(alice, "7f3a") == shard + "i\5alice7f3a");
  CHECK(keys::Referring(alice, later, first) == shard + "x\5alice" + big + one);
  CHECK(keys::Marks(alice) == shard + "r\5alicem");
  CHECK(keys::PeerDelivered(alice, bob) == shard + "r\5aliced\3bob");
  CHECK(keys::PeerRead(alice, bob) == shard + "r\5alicer\3bob");
  CHECK(keys::Device(alice, DeviceId("alice:phone")) == shard + "r\5alicevalice:phone");
  CHECK(keys::Meta("applied") == "\xff\xff"s + "applied");
}

TEST_CASE("a key begins with its prefix") {
  UserId alice("alice"), bob("bob");
  CHECK(keys::Log(alice, Seq(1)).starts_with(keys::LogPrefix(alice)));
  CHECK(keys::Conversation(alice, bob, Seq(1)).starts_with(keys::ConversationPrefix(alice, bob)));
  CHECK(keys::Peer(alice, bob).starts_with(keys::PeersPrefix(alice)));
  CHECK(keys::Sent(alice, Seq(1)).starts_with(keys::SentPrefix(alice)));
  CHECK(keys::Referring(alice, Seq(2), Seq(3)).starts_with(keys::ReferringPrefix(alice, Seq(2))));
  CHECK(keys::Device(alice, DeviceId("d")).starts_with(keys::DevicesPrefix(alice)));
}

TEST_CASE("numbers in keys sort as numbers") {
  UserId alice("alice");
  uint64_t numbers[] = {0, 1, 255, 256, 65535, 1 << 20, uint64_t{1} << 40, UINT64_MAX};
  for (size_t i = 1; i < std::size(numbers); ++i) {
    CHECK(keys::Log(alice, Seq(numbers[i - 1])) < keys::Log(alice, Seq(numbers[i])));
  }
}

TEST_CASE("numbers and ids come back off the front of a key") {
  std::string key = keys::Conversation(UserId("a"), UserId("bob"), Seq(77));
  std::string_view rest = key;
  rest.remove_prefix(3);  // shard and table
  std::string_view user, peer;
  uint64_t seq = 0;
  REQUIRE(keys::TakeId(&rest, &user));
  REQUIRE(keys::TakeId(&rest, &peer));
  REQUIRE(keys::TakeNumber(&rest, &seq));
  CHECK(user == "a");
  CHECK(peer == "bob");
  CHECK(seq == 77);
  CHECK(rest.empty());

  std::string_view cut = "\5bob", none = "", number = "1234567";
  CHECK_FALSE(keys::TakeId(&cut, &user));
  CHECK_FALSE(keys::TakeId(&none, &user));
  CHECK_FALSE(keys::TakeNumber(&number, &seq));
}

}  // namespace parley
