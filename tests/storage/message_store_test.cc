// Every MessageStore runs this test: add a fixture and name it in each TEMPLATE_TEST_CASE's list.
#include "storage/message_store.h"

#include <rapidcheck.h>

#include <cstdlib>
#include <filesystem>

#include "storage/leveldb_store.h"
#include "storage/shard_map.h"
#include "tests/catch.h"
#include "tests/storage/store_model.h"

#define STORES LevelDbFixture

namespace parley {
namespace {

// A store in a directory of its own, gone at the end.
class LevelDbFixture {
 public:
  LevelDbFixture() {
    path_ = (std::filesystem::temp_directory_path() / "parley-store-XXXXXX").string();
    REQUIRE(mkdtemp(path_.data()) != nullptr);
    Open(/*create=*/true);
  }
  ~LevelDbFixture() {
    store_.reset();
    std::filesystem::remove_all(path_);
  }
  MessageStore& store() { return *store_; }
  void Reopen() {
    REQUIRE(store_->Sync().ok());
    store_.reset();
    Open(/*create=*/false);
  }

 private:
  void Open(bool create) {
    auto store = LevelDbStore::Open({.path = path_, .create = create});
    REQUIRE(store.has_value());
    store_ = std::move(*store);
  }

  std::string path_;
  std::unique_ptr<MessageStore> store_;
};

// Ids of one shard, of which each is the beginning of others, and two of other shards.
std::vector<UserId> Users() {
  std::vector<UserId> users{UserId("a")};
  for (int number = 0; users.size() < 4; ++number) {
    UserId user("a" + std::to_string(number));
    if (ShardOf(user.str()) == ShardOf(users[0].str())) users.push_back(user);
  }
  users.push_back(UserId("ab"));
  users.push_back(UserId("elsewhere"));  // the last one is never the store's
  return users;
}

// Some of which have the ids of users.
std::vector<GroupId> Groups() {
  std::vector<UserId> users = Users();
  return {GroupId("g"), GroupId("a"), GroupId(users[1].str()),
          GroupId("far")};  // the last one is never the store's
}

// All but the last ones.
StoreModel::Owners OwnersOf(const std::vector<UserId>& users, const std::vector<GroupId>& groups) {
  StoreModel::Owners owners;
  for (size_t i = 0; i + 1 < users.size(); ++i) owners.insert(users[i].str());
  for (size_t i = 0; i + 1 < groups.size(); ++i) owners.insert(groups[i].str());
  return owners;
}

rc::Gen<Step> Steps() {
  return rc::gen::build<Step>(
      rc::gen::set(&Step::kind, rc::gen::weightedElement<Step::Kind>({{8, Step::kMessage},
                                                                      {4, Step::kReferring},
                                                                      {6, Step::kGroupMessage},
                                                                      {4, Step::kGroupReferring},
                                                                      {2, Step::kSystem},
                                                                      {3, Step::kGroupMarks},
                                                                      {1, Step::kRoster},
                                                                      {1, Step::kDeviceGone},
                                                                      {2, Step::kCursor},
                                                                      {2, Step::kMarks},
                                                                      {2, Step::kPeerMarks}})),
      rc::gen::set(&Step::user, rc::gen::inRange<size_t>(0, 100)),
      rc::gen::set(&Step::peer, rc::gen::inRange<size_t>(0, 100)),
      rc::gen::set(&Step::number, rc::gen::inRange<uint64_t>(0, 1000)),
      rc::gen::set(&Step::body_bytes, rc::gen::inRange<size_t>(0, 200)));
}

// Pages that begin and end before, at, between and after what is there.
rc::Gen<Page> Pages() {
  auto bound = rc::gen::map(rc::gen::inRange<uint64_t>(0, 40), [](uint64_t n) { return Seq(n); });
  return rc::gen::build<Page>(
      rc::gen::set(&Page::after, rc::gen::oneOf(rc::gen::just(Seq()), bound)),
      rc::gen::set(&Page::before, rc::gen::oneOf(rc::gen::just(Seq(UINT64_MAX)), bound)),
      rc::gen::set(&Page::descending), rc::gen::set(&Page::limit, rc::gen::inRange<size_t>(0, 12)),
      rc::gen::set(&Page::bytes_max, rc::gen::element<size_t>(0, 150, 500, 1 << 20)));
}

template <class T>
T Got(const Result<T>& result) {
  if (!result) RC_FAIL(result.error().ToString());
  return *result;
}

Status ApplyAll(
    MessageStore& store, const std::vector<Transaction>& transactions,
    const Mine& mine = [](std::string_view) { return true; }) {
  std::vector<const Transaction*> pointers;
  for (const Transaction& transaction : transactions) pointers.push_back(&transaction);
  return store.Apply(pointers, mine);
}

Status ApplyTo(MessageStore& store, const StoreModel& model,
               const std::vector<Transaction>& transactions) {
  return ApplyAll(store, transactions, [&](std::string_view owner) { return model.Mine(owner); });
}

void CheckPage(const LogPage& got, const LogPage& expected) {
  RC_ASSERT(got.entries == expected.entries);
  RC_ASSERT(got.more == expected.more);
}

void CheckUser(const MessageStore& store, const StoreModel& model, const UserId& user) {
  LogTail tail = Got(store.ReadTail(user)), expected = model.Tail(user);
  RC_ASSERT(tail.last == expected.last);
  RC_ASSERT(tail.floor == expected.floor);
  RC_ASSERT(tail.delivered == expected.delivered);
  RC_ASSERT(tail.read == expected.read);

  Page page = *Pages();
  CheckPage(Got(store.ReadLog(user, page)), StoreModel::PageOf(model.Log(user), page));
  for (uint64_t target = 0; target <= tail.last.value() + 1; ++target) {
    RC_ASSERT(Got(store.ReadReferring(user, Seq(target))) == model.Referring(user, Seq(target)));
  }

  size_t limit = *rc::gen::inRange<size_t>(0, 10);
  RC_ASSERT(Got(store.ReadConversations(user, page.before, limit)) ==
            model.Conversations(user, page.before, limit));
  RC_ASSERT(Got(store.ReadSent(user, limit)) == model.Sent(user, limit));
  for (int id = 0; id < 50; ++id) {
    std::string text = std::to_string(id);
    RC_ASSERT(Got(store.FindSent(user, text)) == model.SentAs(user, text));
  }

  std::vector<DeviceCursor> devices = Got(store.ReadDevices(user));
  std::vector<DeviceCursorRecord> expected_devices = model.Devices(user);
  RC_ASSERT(devices.size() == expected_devices.size());
  for (size_t i = 0; i < devices.size(); ++i) {
    RC_ASSERT(devices[i].device == expected_devices[i].device);
    RC_ASSERT(devices[i].delivered == expected_devices[i].delivered);
    RC_ASSERT(devices[i].ts_ms == expected_devices[i].ts_ms);
  }
}

void CheckConversation(const MessageStore& store, const StoreModel& model, const UserId& user,
                       const Conversation& with) {
  Page page = *Pages();
  CheckPage(Got(store.ReadConversation(user, with, page)),
            StoreModel::PageOf(model.Conversation(user, with), page));
  uint64_t max = *rc::gen::inRange<uint64_t>(0, 10);
  RC_ASSERT(Got(store.CountUnread(user, with, page.after, max)) ==
            model.Unread(user, with, page.after, max));
}

void CheckPeer(const MessageStore& store, const StoreModel& model, const UserId& user,
               const UserId& peer) {
  CheckConversation(store, model, user, {peer, GroupId(), Seq()});
  PeerMarks marks = Got(store.ReadPeerMarks(user, peer)), expected = model.MarksOf(user, peer);
  RC_ASSERT(marks.delivered == expected.delivered);
  RC_ASSERT(marks.read == expected.read);
}

void CheckMember(const MessageStore& store, const StoreModel& model, const GroupId& group,
                 const UserId& user) {
  CheckConversation(store, model, user, {UserId(), group, Seq()});
  RC_ASSERT(Got(store.ReadGroupMark(group, user)) == model.MarkOf(group, user));
  Seq read = *rc::gen::arbitrary<bool>() ? Seq() : Seq(*rc::gen::inRange<uint64_t>(0, 40));
  uint64_t max = *rc::gen::inRange<uint64_t>(0, 10);
  RC_ASSERT(Got(store.CountGroupUnread(group, user, read, max)) ==
            model.GroupUnread(group, user, read, max));
  size_t limit = *rc::gen::inRange<size_t>(0, 8);
  RC_ASSERT(Got(store.ReadGroupMarks(group, user, limit)) == model.GroupMarks(group, user, limit));
}

void CheckGroup(const MessageStore& store, const StoreModel& model, const GroupId& group) {
  Seq last = Got(store.ReadGroupTail(group));
  RC_ASSERT(last == model.GroupTail(group));
  Page page = *Pages();
  CheckPage(Got(store.ReadGroup(group, page)), StoreModel::PageOf(model.GroupLog(group), page));
  for (uint64_t target = 0; target <= last.value() + 1; ++target) {
    RC_ASSERT(Got(store.ReadGroupReferring(group, Seq(target))) ==
              model.GroupReferring(group, Seq(target)));
  }
  RC_ASSERT(Got(store.ReadGroupMarks(group, UserId(), SIZE_MAX)) ==
            model.GroupMarks(group, UserId(), SIZE_MAX));
}

void CheckAll(const MessageStore& store, const StoreModel& model, const std::vector<UserId>& users,
              const std::vector<GroupId>& groups) {
  for (const UserId& user : users) {
    CheckUser(store, model, user);
    for (const UserId& peer : users) CheckPeer(store, model, user, peer);
    for (const GroupId& group : groups) CheckMember(store, model, group, user);
  }
  for (const GroupId& group : groups) CheckGroup(store, model, group);
}

MessageRecord Hello(uint64_t number) {
  MessageRecord message;
  message.from = UserId("alice");
  message.to = UserId("bob");
  message.from_seq = message.to_seq = Seq(number);
  message.id = std::to_string(number);
  message.body = "\"hello\"";
  return message;
}

bool Everyone(std::string_view) { return true; }

}  // namespace

TEMPLATE_TEST_CASE("a store answers every read as the plain model does", "", STORES) {
  std::vector<UserId> users = Users();
  std::vector<GroupId> groups = Groups();
  CHECK(rc::check([&] {
    TestType fixture;
    StoreModel model(OwnersOf(users, groups));
    StepNumberer numberer(users, groups);
    uint64_t lsn = 0;
    auto batches = *rc::gen::container<std::vector<std::vector<Step>>>(
        *rc::gen::inRange<size_t>(1, 5), rc::gen::container<std::vector<Step>>(Steps()));
    for (const std::vector<Step>& steps : batches) {
      std::vector<Transaction> transactions;
      for (const Step& step : steps) {
        transactions.push_back(numberer.Next(step));
        model.Apply(transactions.back());
        lsn = transactions.back().lsn.value();
      }
      RC_ASSERT(ApplyTo(fixture.store(), model, transactions).ok());
      if (*rc::gen::arbitrary<bool>()) {
        RC_ASSERT(ApplyTo(fixture.store(), model, transactions).ok());  // once more: no change
      }
      if (*rc::gen::weightedElement<bool>({{3, false}, {1, true}})) fixture.Reopen();
      RC_ASSERT(Got(fixture.store().Applied()) == Lsn(lsn));
      CheckAll(fixture.store(), model, users, groups);
    }
  }));
}

TEMPLATE_TEST_CASE("a new store is empty and says so", "", STORES) {
  TestType fixture;
  MessageStore& store = fixture.store();
  UserId alice("alice"), bob("bob");
  CHECK(store.Applied().value() == Lsn(0));
  LogTail tail = store.ReadTail(alice).value();
  CHECK(tail.last == Seq(0));
  CHECK(tail.floor == Seq(1));
  CHECK(store.ReadLog(alice, Page()).value().entries.empty());
  CHECK_FALSE(store.ReadLog(alice, Page()).value().more);
  Conversation with_bob{bob, GroupId(), Seq()};
  CHECK(store.ReadConversation(alice, with_bob, Page{.descending = true}).value().entries.empty());
  CHECK(store.ReadConversations(alice, Seq(UINT64_MAX), 5).value().empty());
  CHECK(store.CountUnread(alice, with_bob, Seq(), 9).value() == 0);
  CHECK(store.ReadSent(alice, 9).value().empty());
  CHECK_FALSE(store.FindSent(alice, "1").value().found());
  CHECK(store.ReadDevices(alice).value().empty());
  GroupId group("alice");
  CHECK(store.ReadGroupTail(group).value() == Seq(0));
  CHECK(store.ReadGroup(group, Page()).value().entries.empty());
  CHECK(store.ReadGroupReferring(group, Seq(1)).value().empty());
  CHECK(store.CountGroupUnread(group, bob, Seq(), 9).value() == 0);
  CHECK(store.ReadGroupMarks(group, UserId(), 9).value().empty());
  CHECK(store.ReadGroupMark(group, bob).value().read == Seq());
}

TEMPLATE_TEST_CASE("a member's marks in a group don't go back", "", STORES) {
  TestType fixture;
  const GroupId group("readers");
  const UserId bob("bob");
  auto confirm = [&](uint64_t lsn, Seq delivered, Seq read) {
    Transaction marks{Lsn(lsn), {GroupMarksRecord{group, bob, delivered, read, 7}}};
    const Transaction* one[] = {&marks};
    REQUIRE(fixture.store().Apply(one, Everyone).ok());
  };
  confirm(1, Seq(5), Seq(4));
  confirm(2, Seq(3), Seq(6));
  CHECK(fixture.store().ReadGroupMark(group, bob)->delivered == Seq(5));
  CHECK(fixture.store().ReadGroupMark(group, bob)->read == Seq(6));
}

TEMPLATE_TEST_CASE("transactions at or below the applied one change nothing", "", STORES) {
  TestType fixture;
  MessageStore& store = fixture.store();
  Transaction old{Lsn(3), {MarksRecord{UserId("bob"), Seq(1), Seq(1)}}};
  Transaction fresh{Lsn(7), {Hello(1), MarksRecord{UserId("bob"), Seq(5), Seq(4)}}};
  const Transaction* both[] = {&old, &fresh};
  REQUIRE(store.Apply(both, Everyone).ok());
  REQUIRE(store.Apply(std::span(both).first(1), Everyone).ok());  // the old one alone
  CHECK(store.Applied().value() == Lsn(7));
  CHECK(store.ReadTail(UserId("bob")).value().delivered == Seq(5));

  Transaction empty{Lsn(9), {}};
  const Transaction* nothing[] = {&empty};
  REQUIRE(store.Apply(nothing, Everyone).ok());
  CHECK(store.Applied().value() == Lsn(9));
  fixture.Reopen();
  CHECK(fixture.store().Applied().value() == Lsn(9));
}

TEMPLATE_TEST_CASE("paging through a conversation gives each message once, both ways", "", STORES) {
  TestType fixture;
  std::vector<Transaction> transactions;
  for (uint64_t number = 1; number <= 300; ++number) {
    transactions.push_back({Lsn(number), {Hello(number)}});
  }
  REQUIRE(ApplyAll(fixture.store(), transactions).ok());
  for (bool descending : {false, true}) {
    Page page{.descending = descending, .limit = 7};
    std::vector<uint64_t> seen;
    for (bool more = true; more;) {
      Conversation with{UserId("alice"), GroupId(), Seq()};
      LogPage got = fixture.store().ReadConversation(UserId("bob"), with, page).value();
      REQUIRE_FALSE(got.entries.empty());
      for (const LogEntry& entry : got.entries) seen.push_back(entry.seq.value());
      (descending ? page.before : page.after) = got.entries.back().seq;
      more = got.more;
    }
    REQUIRE(seen.size() == 300);
    for (size_t i = 0; i < 300; ++i) CHECK(seen[i] == (descending ? 300 - i : i + 1));
  }
}

// The lsn-th transaction: alice to the group, which copies it to alice and bob.
Transaction ToGroup(uint64_t lsn, uint64_t gseq, uint64_t alices, uint64_t bobs) {
  GroupMessageRecord said;
  said.group = GroupId("g");
  said.gseq = Seq(gseq);
  said.message = Hello(alices);
  said.message.to = UserId();
  said.message.to_seq = Seq();
  said.message.ts_ms = 1700;
  said.entries = {{UserId("alice"), Seq(alices)}, {UserId("bob"), Seq(bobs)}};
  return {Lsn(lsn), {said}};
}

TEMPLATE_TEST_CASE("a member's log points to a group's message; the group's store has its body", "",
                   STORES) {
  auto stored_by = [](const std::string& owner) {
    auto fixture = std::make_unique<TestType>();
    REQUIRE(ApplyAll(fixture->store(), {ToGroup(9, 3, 5, 7)}, [&](std::string_view one) {
              return one == owner;
            }).ok());
    return fixture;
  };
  auto bobs = stored_by("bob");
  LogPage log = bobs->store().ReadLog(UserId("bob"), Page()).value();
  REQUIRE(log.entries.size() == 1);
  const LogEntry& entry = log.entries[0];
  CHECK(entry.seq == Seq(7));
  CHECK(entry.group == GroupId("g"));
  CHECK(entry.gseq == Seq(3));
  CHECK(entry.lsn == Lsn(9));
  CHECK(entry.message.from == UserId("alice"));
  CHECK(entry.message.ts_ms == 1700);
  CHECK(entry.message.id.empty());
  CHECK(entry.message.body.empty());
  CHECK(bobs->store().ReadTail(UserId("bob")).value().last == Seq(7));
  CHECK(bobs->store().ReadGroupTail(GroupId("g")).value() == Seq());
  CHECK(bobs->store().ReadSent(UserId("alice"), 9).value().empty());
  CHECK(bobs->store().ReadLog(UserId("alice"), Page()).value().entries.empty());

  auto groups = stored_by("g");
  LogPage said = groups->store().ReadGroup(GroupId("g"), Page()).value();
  REQUIRE(said.entries.size() == 1);
  CHECK(said.entries[0].seq == Seq(3));
  CHECK(said.entries[0].message.body == "\"hello\"");
  CHECK(groups->store().ReadLog(UserId("bob"), Page()).value().entries.empty());
  CHECK(groups->store().ReadSent(UserId("alice"), 9).value().empty());

  auto alices = stored_by("alice");
  std::vector<SentId> sent = alices->store().ReadSent(UserId("alice"), 9).value();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0] == SentId{Lsn(9), Seq(5), "5", 0, GroupId("g"), Seq(3)});
  CHECK(alices->store().FindSent(UserId("alice"), "5").value() ==
        SentPlace{Seq(5), GroupId("g"), Seq(3)});
  CHECK(alices->store().ReadGroupTail(GroupId("g")).value() == Seq());
}

TEMPLATE_TEST_CASE("what is sent to a group without copies is found by its id, in the order sent",
                   "", STORES) {
  TestType fixture;
  Transaction first = ToGroup(1, 1, 1, 1), topic = ToGroup(2, 2, 0, 0);
  GroupMessageRecord& said = std::get<GroupMessageRecord>(topic.records[0]);
  said.message.id = "topic";
  said.entries.clear();
  REQUIRE(ApplyAll(fixture.store(), {first, topic, {Lsn(3), {Hello(2)}}}).ok());
  std::vector<std::string> ids;
  const std::vector<SentId> all = fixture.store().ReadSent(UserId("alice"), 9).value();
  for (const SentId& sent : all) ids.push_back(sent.id);
  CHECK(ids == std::vector<std::string>{"2", "topic", "1"});
  SentPlace place = fixture.store().FindSent(UserId("alice"), "topic").value();
  CHECK(place.found());
  CHECK(place == SentPlace{Seq(), GroupId("g"), Seq(2)});
  CHECK(fixture.store().ReadTail(UserId("alice")).value().last == Seq(2));
}

TEMPLATE_TEST_CASE("system messages are neither unread nor among what was sent", "", STORES) {
  TestType fixture;
  Transaction joined = ToGroup(1, 1, 1, 1), hello = ToGroup(2, 2, 2, 2);
  std::get<GroupMessageRecord>(joined.records[0]).message.type = MessageType::kSystem;
  REQUIRE(ApplyAll(fixture.store(), {joined, hello}).ok());
  const MessageStore& store = fixture.store();
  Conversation with{UserId(), GroupId("g"), Seq()};
  CHECK(store.CountUnread(UserId("bob"), with, Seq(), 9).value() == 1);
  CHECK(store.CountUnread(UserId("alice"), with, Seq(), 9).value() == 0);
  CHECK(store.CountGroupUnread(GroupId("g"), UserId("bob"), Seq(), 9).value() == 1);
  CHECK(store.CountGroupUnread(GroupId("g"), UserId("bob"), Seq(2), 9).value() == 0);
  CHECK(store.CountGroupUnread(GroupId("g"), UserId("alice"), Seq(), 9).value() == 0);
  CHECK(store.ReadSent(UserId("alice"), 9).value().size() == 1);
  CHECK_FALSE(store.FindSent(UserId("alice"), "1").value().found());
}

}  // namespace parley
