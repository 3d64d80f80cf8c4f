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
    if (ShardOf(user) == ShardOf(users[0])) users.push_back(user);
  }
  users.push_back(UserId("ab"));
  users.push_back(UserId("elsewhere"));  // the last one is never the store's
  return users;
}

rc::Gen<Step> Steps() {
  return rc::gen::build<Step>(
      rc::gen::set(&Step::kind, rc::gen::weightedElement<Step::Kind>({{8, Step::kMessage},
                                                                      {4, Step::kReferring},
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

Status ApplyTo(MessageStore& store, const StoreModel& model,
               const std::vector<Transaction>& transactions) {
  std::vector<const Transaction*> pointers;
  for (const Transaction& transaction : transactions) pointers.push_back(&transaction);
  return store.Apply(pointers, [&](const UserId& user) { return model.Mine(user); });
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
  std::vector<std::pair<UserId, Seq>> conversations;
  for (const Conversation& one : Got(store.ReadConversations(user, page.before, limit))) {
    conversations.emplace_back(one.peer, one.last);
  }
  RC_ASSERT(conversations == model.Conversations(user, page.before, limit));

  std::vector<SentId> sent = Got(store.ReadSent(user, limit));
  std::vector<LogEntry> expected_sent = model.Sent(user, limit);
  RC_ASSERT(sent.size() == expected_sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    RC_ASSERT(sent[i].seq == expected_sent[i].seq);
    RC_ASSERT(sent[i].id == expected_sent[i].message.id);
    RC_ASSERT(sent[i].content_hash == expected_sent[i].message.content_hash);
  }
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
                       const UserId& peer) {
  Page page = *Pages();
  CheckPage(Got(store.ReadConversation(user, peer, page)),
            StoreModel::PageOf(model.Conversation(user, peer), page));
  uint64_t max = *rc::gen::inRange<uint64_t>(0, 10);
  RC_ASSERT(Got(store.CountUnread(user, peer, page.after, max)) ==
            model.Unread(user, peer, page.after, max));
  PeerMarks marks = Got(store.ReadPeerMarks(user, peer)), expected = model.MarksOf(user, peer);
  RC_ASSERT(marks.delivered == expected.delivered);
  RC_ASSERT(marks.read == expected.read);
}

void CheckAll(const MessageStore& store, const StoreModel& model,
              const std::vector<UserId>& users) {
  for (const UserId& user : users) {
    CheckUser(store, model, user);
    for (const UserId& peer : users) CheckConversation(store, model, user, peer);
  }
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

bool Everyone(const UserId&) { return true; }

}  // namespace

TEMPLATE_TEST_CASE("a store answers every read as the plain model does", "", STORES) {
  std::vector<UserId> users = Users();
  CHECK(rc::check([&] {
    TestType fixture;
    StoreModel model({users.begin(), users.end() - 1});
    StepNumberer numberer(users);
    uint64_t lsn = 0;
    auto batches = *rc::gen::container<std::vector<std::vector<Step>>>(
        *rc::gen::inRange<size_t>(1, 5), rc::gen::container<std::vector<Step>>(Steps()));
    for (const std::vector<Step>& steps : batches) {
      std::vector<Transaction> transactions;
      for (const Step& step : steps) {
        transactions.push_back(numberer.Next(step));
        for (const Record& record : transactions.back().records) model.Apply(record);
        lsn = transactions.back().lsn.value();
      }
      RC_ASSERT(ApplyTo(fixture.store(), model, transactions).ok());
      if (*rc::gen::arbitrary<bool>()) {
        RC_ASSERT(ApplyTo(fixture.store(), model, transactions).ok());  // once more: no change
      }
      if (*rc::gen::weightedElement<bool>({{3, false}, {1, true}})) fixture.Reopen();
      RC_ASSERT(Got(fixture.store().Applied()) == Lsn(lsn));
      CheckAll(fixture.store(), model, users);
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
  CHECK(store.ReadConversation(alice, bob, Page{.descending = true}).value().entries.empty());
  CHECK(store.ReadConversations(alice, Seq(UINT64_MAX), 5).value().empty());
  CHECK(store.CountUnread(alice, bob, Seq(), 9).value() == 0);
  CHECK(store.ReadSent(alice, 9).value().empty());
  CHECK(store.FindSent(alice, "1").value() == Seq());
  CHECK(store.ReadDevices(alice).value().empty());
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
  CHECK(store.Applied().value() == Lsn(9));
}

TEMPLATE_TEST_CASE("paging through a conversation gives each message once, both ways", "", STORES) {
  TestType fixture;
  Transaction transaction{Lsn(1), {}};
  for (uint64_t number = 1; number <= 300; ++number) transaction.records.push_back(Hello(number));
  const Transaction* all[] = {&transaction};
  REQUIRE(fixture.store().Apply(all, Everyone).ok());
  for (bool descending : {false, true}) {
    Page page{.descending = descending, .limit = 7};
    std::vector<uint64_t> seen;
    for (bool more = true; more;) {
      LogPage got = fixture.store().ReadConversation(UserId("bob"), UserId("alice"), page).value();
      REQUIRE_FALSE(got.entries.empty());
      for (const LogEntry& entry : got.entries) seen.push_back(entry.seq.value());
      (descending ? page.before : page.after) = got.entries.back().seq;
      more = got.more;
    }
    REQUIRE(seen.size() == 300);
    for (size_t i = 0; i < 300; ++i) CHECK(seen[i] == (descending ? 300 - i : i + 1));
  }
}

}  // namespace parley
