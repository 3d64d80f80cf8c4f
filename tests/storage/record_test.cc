#include "storage/record.h"

#include "tests/catch.h"
#include "tests/storage/record_gen.h"

namespace parley {
namespace {

std::string Encode(const Record& record) {
  std::string bytes;
  EncodeRecord(record, &bytes);
  return bytes;
}

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (unsigned char byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

// Whatever stands there: an error, or a record whose encoding is exactly what was taken.
void CheckDecodesExactlyOrNotAtAll(std::string_view bytes) {
  std::string_view rest = bytes;
  Result<Record> record = DecodeRecord(&rest);
  if (!record) {
    RC_ASSERT(record.error().code() == Code::kCorruption);
  } else {
    RC_ASSERT(Encode(*record) == bytes.substr(0, bytes.size() - rest.size()));
  }
}

}  // namespace

TEST_CASE("every record decodes to what was encoded, and leaves what follows") {
  CHECK(rc::check([](const Record& record, const std::string& more) {
    std::string bytes = Encode(record) + more;
    std::string_view rest = bytes;
    Result<Record> decoded = DecodeRecord(&rest);
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(*decoded == record);
    RC_ASSERT(rest == more);
  }));
}

TEST_CASE("a record that ends early is corruption, wherever it ends") {
  CHECK(rc::check([](const Record& record) {
    std::string bytes = Encode(record);
    for (size_t size = 0; size < bytes.size(); ++size) {
      std::string_view rest = std::string_view(bytes).substr(0, size);
      Result<Record> decoded = DecodeRecord(&rest);
      RC_ASSERT(!decoded && decoded.error().code() == Code::kCorruption);
    }
  }));
}

TEST_CASE("a damaged record is refused or is the encoding of another one") {
  CHECK(rc::check([](const Record& record, uint8_t flip) {
    std::string bytes = Encode(record);
    size_t at = *rc::gen::inRange<size_t>(0, bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ flip);
    CheckDecodesExactlyOrNotAtAll(bytes);
  }));
}

TEST_CASE("garbage is refused or is the encoding of a record") {
  CHECK(rc::check([](const std::string& garbage) {
    uint8_t kind = *rc::gen::inRange<uint8_t>(0, 15);
    CheckDecodesExactlyOrNotAtAll(std::string(1, static_cast<char>(kind)) + garbage);
  }));
}

TEST_CASE("the bytes of records are these, for ever") {
  MessageRecord message;
  message.from = UserId("alice");
  message.to = UserId("bob");
  message.from_seq = Seq(1);
  message.to_seq = Seq(300);
  message.ts_ms = 1764000000123;
  message.id = "7f3a";
  message.body = "\"hi\"";
  message.content_hash = 0x0123456789abcdef;
  CHECK(Hex(Encode(message)) ==
        "01"
        "05616c696365"
        "03626f62"
        "01"
        "ac02"
        "fbd0dfb4ab33"
        "00"
        "0437663361"
        "0422686922"
        "efcdab8967452301");

  message.type = MessageType::kReaction;
  message.ref = MessageRef{UserId("bob"), "c0de", Seq(7), Seq(8)};
  CHECK(Hex(Encode(message)) ==
        "01"
        "05616c696365"
        "03626f62"
        "01"
        "ac02"
        "fbd0dfb4ab33"
        "83"
        "0437663361"
        "0422686922"
        "03626f62"
        "0463306465"
        "07"
        "08"
        "efcdab8967452301");

  CHECK(Hex(Encode(DeviceCursorRecord{UserId("bob"), DeviceId("bob:tab"), Seq(2), 5})) ==
        "02"
        "03626f62"
        "07626f623a746162"
        "02"
        "05");
  CHECK(Hex(Encode(MarksRecord{UserId("bob"), Seq(9), Seq(8)})) ==
        "03"
        "03626f62"
        "09"
        "08");
  CHECK(Hex(Encode(PeerMarksRecord{UserId("bob"), UserId("eve"), Seq(9), Seq(), -1})) ==
        "04"
        "03626f62"
        "03657665"
        "09"
        "00"
        "ffffffffffffffffff01");
  CHECK(Hex(Encode(DeviceGoneRecord{UserId("bob"), DeviceId("bob:tab")})) ==
        "05"
        "03626f62"
        "07626f623a746162");
}

TEST_CASE("the bytes of what groups and contacts leave are these, for ever") {
  GroupMessageRecord said;
  said.group = GroupId("ubuntu");
  said.gseq = Seq(7);
  said.message.from = UserId("bob");
  said.message.from_seq = Seq(300);
  said.message.ts_ms = 5;
  said.message.type = MessageType::kEdit;
  said.message.id = "m";
  said.message.body = "1";
  said.message.ref = MessageRef{UserId("bob"), "n", Seq(6), Seq(6)};
  said.message.content_hash = 0x0123456789abcdef;
  said.entries = {{UserId("bob"), Seq(300)}, {UserId("eve"), Seq(2)}};
  CHECK(Hex(Encode(said)) ==
        "06"
        "067562756e7475"
        "07"
        "03626f62"
        "ac02"
        "05"
        "81"
        "016d"
        "0131"
        "03626f62"
        "016e"
        "06"
        "06"
        "efcdab8967452301"
        "02"
        "03626f62"
        "ac02"
        "03657665"
        "02");

  CHECK(Hex(Encode(GroupMarksRecord{GroupId("ubuntu"), UserId("bob"), Seq(9), Seq(8), 5})) ==
        "07"
        "067562756e7475"
        "03626f62"
        "09"
        "08"
        "05");

  GroupRecord group;
  group.group = GroupId("ubuntu");
  group.gseq = Seq(7);
  group.settings = {"Help", GroupDelivery::kTopic, true, false, true, 5};
  group.changed = {{UserId("bob"), GroupRole::kOwner, "Bob", {{Seq(1), Seq(3)}, {Seq(6), Seq()}}},
                   {UserId("eve"), GroupRole::kRemoved, "", {}}};
  CHECK(Hex(Encode(group)) ==
        "08"
        "067562756e7475"
        "07"
        "0448656c70"
        "01"
        "05"
        "05"
        "02"
        "03626f62"
        "03"
        "03426f62"
        "02"
        "0103"
        "0600"
        "03657665"
        "04"
        "00"
        "00");

  CHECK(Hex(Encode(
            ContactRecord{UserId("bob"), UserId("eve"), ContactState::kAccepted, false, true})) ==
        "09"
        "03626f62"
        "03657665"
        "03"
        "02");

  PushTargetRecord target;
  target.user = UserId("bob");
  target.device = DeviceId("b:1");
  target.provider = PushProvider::kNtfy;
  target.target = "\"u\"";
  target.muted = {"eve", "group/x"};
  target.ts_ms = 5;
  CHECK(Hex(Encode(target)) ==
        "0a"
        "03626f62"
        "03623a31"
        "01"
        "03227522"
        "01"
        "02"
        "03657665"
        "0767726f75702f78"
        "05");

  PushJobRecord job;
  job.id = 300;
  job.user = UserId("bob");
  job.device = DeviceId("b:1");
  job.provider = PushProvider::kApns;
  job.from = UserId("eve");
  job.group = GroupId("x");
  job.seq = Seq(7);
  job.gseq = Seq(8);
  job.body = "\"h\"";
  job.count = 2;
  job.ts_ms = 5;
  job.created_ms = 4;
  CHECK(Hex(Encode(job)) ==
        "0b"
        "ac02"
        "03626f62"
        "03623a31"
        "04"
        "03657665"
        "0178"
        "07"
        "08"
        "03226822"
        "02"
        "05"
        "04");

  CHECK(Hex(Encode(PushDoneRecord{300, "no", 5})) ==
        "0c"
        "ac02"
        "026e6f"
        "05");
}

TEST_CASE("the roster's records are those of members, contacts and pushes, and have no owner") {
  CHECK(rc::check([](const Record& record) {
    bool owned = false;
    ForEachOwner(record, [&](std::string_view) { owned = true; });
    RC_ASSERT(owned != ConcernsRoster(record));
    RC_ASSERT(ConcernsRoster(record) == (std::holds_alternative<GroupRecord>(record) ||
                                         std::holds_alternative<ContactRecord>(record) ||
                                         std::holds_alternative<PushTargetRecord>(record) ||
                                         std::holds_alternative<PushJobRecord>(record) ||
                                         std::holds_alternative<PushDoneRecord>(record)));
  }));
}

TEST_CASE("a group's message concerns the group, its author and each member it is copied to") {
  GroupMessageRecord said;
  said.group = GroupId("g");
  said.message.from = UserId("a");
  said.entries = {{UserId("b"), Seq(1)}, {UserId("c"), Seq(2)}};
  std::string owners;
  ForEachOwner(said, [&](std::string_view owner) { owners += owner; });
  CHECK(owners == "gabc");
}

TEST_CASE("what breaks a rule of the grammar is corruption and says which") {
  auto why = [](std::string_view bytes) {
    Result<Record> record = DecodeRecord(&bytes);
    REQUIRE_FALSE(record.has_value());
    CHECK(record.error().code() == Code::kCorruption);
    return record.error().message();
  };
  using namespace std::string_literals;
  CHECK(why("") == "a record ends early");
  CHECK(why("\0\3bob\1\1"s) == "a record is of an unknown kind");
  CHECK(why("\x0d\3bob\1\1"s) == "a record is of an unknown kind");
  CHECK(why("\3\0\1\1"s) == "a record holds a length out of range");  // no id
  CHECK(why("\3\x41"s + std::string(65, 'a') + "\1\1") == "a record holds a length out of range");
  CHECK(why("\3\3bob\x81\x00\1"s) == "a record holds a number that is too long");  // 1
  CHECK(why("\3\3bob\xff\xff\xff\xff\xff\xff\xff\xff\xff\2\1"s) ==                 // 2^64
        "a record holds a number that is too long");
  for (char shape : {'\5', '\7', '\x10', '\x40', '\x85'}) {
    CHECK(why("\1\1a\1b\1\1\1"s + shape + "\1m\0\0\0\0\0\0\0\0\0"s) ==
          "a record holds an unknown message type");
  }
  CHECK(why("\6\1g\1\1a\1\1\5\1m\0\0\0\0\0\0\0\0\0\0"s) ==
        "a record holds an unknown message type");
  const std::string group = "\x8\1g\1\0"s;  // no title
  CHECK(why(group + "\2\0\0\0"s) == "a record holds an unknown value");
  CHECK(why(group + "\0\x8\0\0"s) == "a record holds an unknown flag");
  CHECK(why(group + "\0\0\0\1\1a\5\0\0"s) == "a record holds an unknown value");  // a role
  CHECK(why(group + "\0\0\0\2\1a\1\0\0"s) == "a record ends early");  // one member of two
  CHECK(why(group + "\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"s) == "a record ends early");
  const std::string long_text = "\x81\x08"s + std::string(1025, 'x');
  CHECK(why("\x8\1g\1"s + long_text + "\0\0\0\0"s) == "a record holds a length out of range");
  CHECK(why(group + "\0\0\0\1\1a\1"s + long_text + "\0"s) ==
        "a record holds a length out of range");
  CHECK(why("\x9\1a\1b\4\0"s) == "a record holds an unknown value");
  CHECK(why("\x9\1a\1b\3\4"s) == "a record holds an unknown flag");
}

}  // namespace parley
