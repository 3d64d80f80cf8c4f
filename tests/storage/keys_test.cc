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
  CHECK(keys::Conversation(alice, keys::With(bob), first) == shard + "c\5alice\3bob" + one);
  CHECK(keys::Conversation(alice, keys::With(GroupId("bob")), first) ==
        shard + "c\5alice\4#bob" + one);
  CHECK(keys::Newest(alice, keys::With(bob)) == shard + "l\5alice\3bob");
  CHECK(keys::Newest(alice, keys::With(GroupId("bob"))) == shard + "l\5alice\4#bob");
  CHECK(keys::Sent(alice, Lsn(later.value())) == shard + "s\5alice" + big);
  CHECK(keys::SentById(alice, "7f3a") == shard + "i\5alice7f3a");
  CHECK(keys::Referring(alice, later, first) == shard + "x\5alice" + big + one);
  CHECK(keys::Marks(alice) == shard + "r\5alicem");
  CHECK(keys::PeerDelivered(alice, bob) == shard + "r\5aliced\3bob");
  CHECK(keys::PeerRead(alice, bob) == shard + "r\5alicer\3bob");
  CHECK(keys::Device(alice, DeviceId("alice:phone")) == shard + "r\5alicevalice:phone");
  CHECK(keys::Meta("applied") == "\xff\xff"s + "applied");

  GroupId group("alice");  // of the same shard as the user
  CHECK(keys::GroupLog(group, later) == shard + "g\5alice" + big);
  CHECK(keys::GroupAuthor(group, later) == shard + "w\5alice" + big);
  CHECK(keys::GroupReferring(group, later, first) == shard + "y\5alice" + big + one);
  CHECK(keys::MemberDelivered(group, bob) == shard + "m\5alicebob\0d"s);
  CHECK(keys::MemberRead(group, bob) == shard + "m\5alicebob\0r"s);
}

TEST_CASE("a key begins with its prefix") {
  UserId alice("alice"), bob("bob");
  CHECK(keys::Log(alice, Seq(1)).starts_with(keys::LogPrefix(alice)));
  CHECK(keys::Conversation(alice, bob.str(), Seq(1))
            .starts_with(keys::ConversationPrefix(alice, bob.str())));
  CHECK(keys::Newest(alice, bob.str()).starts_with(keys::NewestPrefix(alice)));
  CHECK(keys::Sent(alice, Lsn(1)).starts_with(keys::SentPrefix(alice)));
  CHECK(keys::Referring(alice, Seq(2), Seq(3)).starts_with(keys::ReferringPrefix(alice, Seq(2))));
  CHECK(keys::Device(alice, DeviceId("d")).starts_with(keys::DevicesPrefix(alice)));

  GroupId group("g");
  CHECK(keys::GroupLog(group, Seq(1)).starts_with(keys::GroupLogPrefix(group)));
  CHECK(keys::GroupAuthor(group, Seq(1)).starts_with(keys::GroupAuthorsPrefix(group)));
  CHECK(keys::GroupReferring(group, Seq(2), Seq(3))
            .starts_with(keys::GroupReferringPrefix(group, Seq(2))));
  CHECK(keys::MemberRead(group, bob).starts_with(keys::GroupMarksPrefix(group)));
}

TEST_CASE("no table of a group's is one of a user's with the same id") {
  UserId user("same");
  GroupId group("same");
  const std::string users[] = {keys::LogPrefix(user),
                               keys::NewestPrefix(user),
                               keys::SentPrefix(user),
                               keys::SentById(user, ""),
                               keys::Marks(user).substr(0, keys::LogPrefix(user).size()),
                               keys::ConversationPrefix(user, "x").substr(0, 8),
                               keys::ReferringPrefix(user, Seq(1)).substr(0, 8)};
  for (const std::string& own :
       {keys::GroupLogPrefix(group), keys::GroupAuthorsPrefix(group),
        keys::GroupReferringPrefix(group, Seq(1)).substr(0, 8), keys::GroupMarksPrefix(group)}) {
    REQUIRE(own.size() == 8);
    for (const std::string& other : users) {
      REQUIRE(other.size() == 8);
      CHECK(own != other);
    }
  }
}

TEST_CASE("a conversation's other side tells a group from a user of the same id") {
  std::string group = keys::With(GroupId("bob"));
  std::string_view with = group;
  REQUIRE(keys::TakeGroup(&with));
  CHECK(with == "bob");
  UserId bob("bob");
  with = keys::With(bob);
  REQUIRE_FALSE(keys::TakeGroup(&with));
  CHECK(with == "bob");
}

TEST_CASE("marks of members sort as the members' ids, and past a member come only later ones") {
  GroupId group("g");
  const UserId ids[] = {UserId("a"),  UserId("a-b"), UserId("a.b"), UserId("a0"),
                        UserId("ab"), UserId("abc"), UserId("b")};
  for (size_t i = 0; i < std::size(ids); ++i) {
    CHECK(keys::MemberDelivered(group, ids[i]) < keys::MemberRead(group, ids[i]));
    CHECK(keys::MemberRead(group, ids[i]) < keys::PastMember(group, ids[i]));
    if (i == 0) continue;
    CHECK(keys::PastMember(group, ids[i - 1]) < keys::MemberDelivered(group, ids[i]));
  }
  std::string key = keys::MemberRead(group, ids[1]);
  std::string_view user, rest = std::string_view(key).substr(keys::GroupMarksPrefix(group).size());
  bool read = false;
  REQUIRE(keys::TakeMember(rest, &user, &read));
  CHECK(user == "a-b");
  CHECK(read);
  for (std::string_view bad : {"", "d", "\0d", "abd", "a\0x"}) {
    CHECK_FALSE(keys::TakeMember(bad, &user, &read));
  }
}

TEST_CASE("numbers in keys sort as numbers") {
  UserId alice("alice");
  uint64_t numbers[] = {0, 1, 255, 256, 65535, 1 << 20, uint64_t{1} << 40, UINT64_MAX};
  for (size_t i = 1; i < std::size(numbers); ++i) {
    CHECK(keys::Log(alice, Seq(numbers[i - 1])) < keys::Log(alice, Seq(numbers[i])));
  }
}

TEST_CASE("numbers and ids come back off the front of a key") {
  std::string key = keys::Conversation(UserId("a"), "bob", Seq(77));
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
