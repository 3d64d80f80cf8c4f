// What LevelDbStore promises about disks that fail; what it stores: message_store_test.cc.
#include "storage/leveldb_store.h"

#include <leveldb/env.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/catch.h"
#include "tests/storage/lossy_leveldb_env.h"
#include "tests/storage/store_model.h"

namespace parley {
namespace {

const UserId kAlice("alice"), kBob("bob");

class TempDir {
 public:
  TempDir() {
    path_ = (std::filesystem::temp_directory_path() / "parley-leveldb-XXXXXX").string();
    REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

bool Everyone(std::string_view) { return true; }

// The lsn-th transaction: one message of alice's to bob, both logs numbered as the transactions.
Transaction Numbered(uint64_t lsn, size_t body_bytes) {
  MessageRecord message;
  message.from = kAlice;
  message.to = kBob;
  message.from_seq = message.to_seq = Seq(lsn);
  message.id = std::to_string(lsn);
  message.body.assign(body_bytes, static_cast<char>('a' + lsn % 26));
  return {Lsn(lsn), {message, MarksRecord{kBob, Seq(lsn), Seq(lsn - 1)}}};
}

Status ApplyOne(MessageStore* store, uint64_t lsn, size_t body_bytes) {
  Transaction transaction = Numbered(lsn, body_bytes);
  const Transaction* one[] = {&transaction};
  return store->Apply(one, Everyone);
}

// All that it lacks through `last`: after a failure that may be more than was last given to it.
Status ApplyThrough(MessageStore* store, uint64_t last, size_t body_bytes) {
  if (Status opened = store->Apply({}, Everyone); !opened.ok()) return opened;
  for (uint64_t lsn = store->Applied().value().value() + 1; lsn <= last; ++lsn) {
    if (Status status = ApplyOne(store, lsn, body_bytes); !status.ok()) return status;
  }
  return Status();
}

Status SyncThrough(MessageStore* store, uint64_t last, size_t body_bytes) {
  Status status = ApplyThrough(store, last, body_bytes);
  return status.ok() ? store->Sync() : status;
}

// Exactly the transactions up to `last` are there, wholly.
void CheckHolds(const MessageStore& store, uint64_t last, size_t body_bytes) {
  REQUIRE(store.Applied().value() == Lsn(last));
  for (const UserId& user : {kAlice, kBob}) {
    LogPage page = store.ReadLog(user, {.limit = SIZE_MAX, .bytes_max = SIZE_MAX}).value();
    REQUIRE(page.entries.size() == last);
    for (uint64_t lsn = 1; lsn <= last; ++lsn) {
      REQUIRE(Record(page.entries[lsn - 1].message) == Numbered(lsn, body_bytes).records[0]);
    }
    Page conversation{.limit = SIZE_MAX, .bytes_max = SIZE_MAX};
    const Conversation with{user == kAlice ? kBob : kAlice, GroupId(), Seq()};
    REQUIRE(store.ReadConversation(user, with, conversation).value().entries.size() == last);
    REQUIRE(store.ReadTail(user).value().last == Seq(last));
  }
  REQUIRE(store.ReadSent(kAlice, SIZE_MAX).value().size() == last);
  REQUIRE(store.ReadTail(kBob).value().delivered == Seq(last));
}

std::unique_ptr<LevelDbStore> MustOpen(const std::string& path, leveldb::Env* env) {
  auto store = LevelDbStore::Open({.path = path, .env = env, .create = true});
  if (!store) FAIL(store.error().ToString());
  return std::move(*store);
}

}  // namespace

TEST_CASE("of what refers to a message the newest thousand are read, however many there are") {
  TempDir dir;
  auto store = MustOpen(dir.path(), nullptr);
  REQUIRE(ApplyOne(store.get(), 1, 10).ok());
  auto react = [&](uint64_t lsn) {
    Transaction transaction = Numbered(lsn, 10);
    auto& message = std::get<MessageRecord>(transaction.records[0]);
    message.type = MessageType::kReaction;
    message.ref = MessageRef{kAlice, "1", Seq(1), Seq(1)};
    const Transaction* one[] = {&transaction};
    REQUIRE(store->Apply(one, Everyone).ok());
  };
  for (uint64_t lsn = 2; lsn <= 1001; ++lsn) react(lsn);
  auto first = store->ReadReferring(kBob, Seq(1)).value();
  CHECK(first.size() == LevelDbStore::kReferringMax);
  CHECK(first.front().seq == Seq(2));
  react(1002);
  auto later = store->ReadReferring(kBob, Seq(1)).value();
  CHECK(later.size() == LevelDbStore::kReferringMax);
  CHECK(later.front().seq == Seq(3));
  CHECK(later.back().seq == Seq(1002));
}

TEST_CASE(
    "after a power cut a store holds a beginning with all that was synced, and takes the rest") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    size_t body_bytes = random() % 2 == 0 ? 100 : 40'000;
    TempDir dir;
    LossyLevelDbEnv env;
    uint64_t last = 0, synced = 0;
    for (int life = 0; life < 3; ++life) {
      std::unique_ptr<LevelDbStore> store = MustOpen(dir.path(), &env);
      uint64_t applied = store->Applied().value().value();
      REQUIRE(applied >= synced);
      REQUIRE(applied <= last);
      CheckHolds(*store, applied, body_bytes);
      REQUIRE(ApplyThrough(store.get(), last, body_bytes).ok());
      CheckHolds(*store, last, body_bytes);
      for (uint64_t more = random() % 150; more > 0; --more) {
        REQUIRE(ApplyOne(store.get(), ++last, body_bytes).ok());
        if (random() % 40 != 0) continue;
        REQUIRE(store->Sync().ok());
        synced = last;
      }
      env.Kill();
      store.reset();
      env.PowerCut(&random);
      env.Heal();
    }
  }
}

TEST_CASE("a store that fails at any operation goes on when the same is applied again") {
  constexpr uint64_t kLast = 30;
  constexpr size_t kBodyBytes = 300;
  auto run = [&](LossyLevelDbEnv* env, const std::string& path) {
    int failures = 0;
    auto until_ok = [&](auto call) {
      while (!call().ok()) REQUIRE(++failures < 100);
    };
    std::unique_ptr<LevelDbStore> store;
    until_ok([&]() -> Status {
      auto opened = LevelDbStore::Open({.path = path, .env = env, .create = true});
      if (!opened) return opened.error();
      store = std::move(*opened);
      return Status();
    });
    for (uint64_t lsn = 1; lsn <= kLast; ++lsn) {
      until_ok([&] { return ApplyThrough(store.get(), lsn, kBodyBytes); });
      if (lsn % 10 == 0) until_ok([&] { return SyncThrough(store.get(), lsn, kBodyBytes); });
    }
    CheckHolds(*store, kLast, kBodyBytes);
    store.reset();
    env->Heal();
    CheckHolds(*MustOpen(path, env), kLast, kBodyBytes);
    return failures;
  };

  uint64_t operations;
  {
    TempDir dir;
    LossyLevelDbEnv env;
    REQUIRE(run(&env, dir.path()) == 0);
    operations = env.operations();
  }
  for (uint64_t at = 0; at < operations; ++at) {
    for (uint64_t count : {1, 2, 5}) {
      INFO("operations " << at << " and on, " << count);
      TempDir dir;
      LossyLevelDbEnv env;
      env.FailFrom(at, count);
      run(&env, dir.path());
    }
  }
}

TEST_CASE("what a store had before a failure is not read until it is whole again") {
  constexpr size_t kBodyBytes = 100;
  TempDir dir;
  LossyLevelDbEnv env;
  std::unique_ptr<LevelDbStore> store = MustOpen(dir.path(), &env);
  REQUIRE(SyncThrough(store.get(), 4, kBodyBytes).ok());
  REQUIRE(ApplyThrough(store.get(), 7, kBodyBytes).ok());
  env.FailFrom(env.operations(), 1);
  REQUIRE_FALSE(store->Sync().ok());
  REQUIRE(store->Apply({}, Everyone).ok());  // opens it again
  CHECK(store->Applied().value() == Lsn(4));
  CHECK(store->ReadTail(kAlice).error().code() == Code::kUnavailable);
  REQUIRE(ApplyThrough(store.get(), 6, kBodyBytes).ok());
  CHECK(store->ReadTail(kAlice).error().code() == Code::kUnavailable);
  REQUIRE(ApplyThrough(store.get(), 7, kBodyBytes).ok());
  CheckHolds(*store, 7, kBodyBytes);
}

TEST_CASE("a store has no log of LevelDB's") {
  TempDir dir;
  std::unique_ptr<LevelDbStore> store = MustOpen(dir.path(), nullptr);
  REQUIRE(SyncThrough(store.get(), 4, 100).ok());
  REQUIRE(ApplyThrough(store.get(), 7, 100).ok());
  for (const auto& file : std::filesystem::directory_iterator(dir.path())) {
    CHECK(file.path().extension() != ".log");
  }
  store.reset();
  CheckHolds(*MustOpen(dir.path(), nullptr), 4, 100);
}

TEST_CASE("a store that can't be opened again answers unavailable until it can") {
  TempDir dir;
  LossyLevelDbEnv env;
  std::unique_ptr<LevelDbStore> store = MustOpen(dir.path(), &env);
  REQUIRE(ApplyOne(store.get(), 1, 10).ok());
  env.Kill();
  CHECK(store->Sync().code() == Code::kIoError);
  CHECK(store->ReadTail(kBob).value().last == Seq(1));  // still open
  CHECK(ApplyOne(store.get(), 2, 10).code() == Code::kIoError);
  CHECK(store->ReadTail(kBob).error().code() == Code::kUnavailable);
  CHECK(store->Applied().error().code() == Code::kUnavailable);
  env.Heal();
  REQUIRE(ApplyThrough(store.get(), 2, 10).ok());
  CheckHolds(*store, 2, 10);
}

TEST_CASE("damage in a table is corruption that names the directory") {
  TempDir dir;
  {
    std::unique_ptr<LevelDbStore> store = MustOpen(dir.path(), nullptr);
    REQUIRE(SyncThrough(store.get(), 20, 1000).ok());
  }
  int tables = 0;
  for (const auto& file : std::filesystem::directory_iterator(dir.path())) {
    if (file.path().extension() != ".ldb") continue;
    ++tables;
    std::fstream table(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    table.seekp(static_cast<std::streamoff>(file.file_size() / 2));
    table.write("damage", 6);
  }
  REQUIRE(tables > 0);
  std::unique_ptr<LevelDbStore> store = MustOpen(dir.path(), nullptr);
  bool found = false;
  for (const UserId& user : {kAlice, kBob}) {
    auto page = store->ReadLog(user, Page());
    if (page) continue;
    found = true;
    CHECK(page.error().code() == Code::kCorruption);
    CHECK(page.error().message().find(dir.path()) != std::string::npos);
  }
  CHECK(found);
}

TEST_CASE("a store that isn't there is not found, and one that is open is left alone") {
  TempDir dir;
  auto none = LevelDbStore::Open({.path = dir.path() + "/none"});
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code() == Code::kNotFound);

  std::unique_ptr<LevelDbStore> store = MustOpen(dir.path(), nullptr);
  REQUIRE(ApplyOne(store.get(), 1, 10).ok());
  auto second = LevelDbStore::Open({.path = dir.path()});
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code() == Code::kIoError);
  REQUIRE(ApplyOne(store.get(), 2, 10).ok());
  REQUIRE(store->Sync().ok());
  store.reset();
  CheckHolds(*MustOpen(dir.path(), nullptr), 2, 10);
}

}  // namespace parley
