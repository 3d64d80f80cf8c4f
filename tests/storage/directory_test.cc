#include "storage/directory.h"

#include <malloc.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "storage/data_dir.h"
#include "storage/sqlite_db.h"
#include "tests/catch.h"
#include "tests/storage/clock_env.h"

namespace parley {
namespace {

const UserId kAlice("alice");
const UserId kBob("bob");

// A data directory that a test opens, closes and opens again.
class DirectoryFixture {
 public:
  DirectoryFixture() {
    Result<bool> created = Directory::Create(dir(), &env_);
    REQUIRE(created);
    REQUIRE(*created);
    Reopen();
  }

  void Close() { directory_.reset(); }
  void Reopen() {
    Close();
    auto opened = Directory::Open(dir(), &env_);
    REQUIRE(opened);
    directory_ = std::move(*opened);
  }
  Directory* operator->() { return directory_.get(); }
  const std::string& dir() const { return temp_.path(); }
  ClockEnv& env() { return env_; }

 private:
  TempDir temp_;
  ClockEnv env_;
  std::unique_ptr<Directory> directory_;
};

std::string PasswordOf(DirectoryFixture& directory, const UserId& user) {
  Result<std::optional<std::string>> hash = directory->PasswordHash(user);
  REQUIRE(hash);
  return hash->value_or("none");
}

mode_t ModeOf(const std::string& path) {
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}

TEST_CASE("a user is found at once and after a restart") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice, .role = Role::kAdmin, .password_hash = "$h"}).ok());
  REQUIRE(directory->AddUser({.id = kBob}).ok());
  for (int round = 0; round < 2; ++round) {
    std::optional<Account> alice = directory->Find(kAlice);
    REQUIRE(alice);
    CHECK(alice->role == Role::kAdmin);
    CHECK(alice->has_password);
    CHECK_FALSE(alice->disabled);
    CHECK(alice->key.str() == kDefaultKey);
    CHECK_FALSE(directory->Find(kBob)->has_password);
    CHECK_FALSE(directory->Find(UserId("carol")));
    CHECK(directory->user_count() == 2);
    CHECK(PasswordOf(directory, kAlice) == "$h");
    CHECK(PasswordOf(directory, kBob) == "none");
    directory.Reopen();
  }
}

TEST_CASE("an account is made once, with a valid id and an existing key") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice, .password_hash = "first"}).ok());
  CHECK(directory->AddUser({.id = kAlice, .password_hash = "second"}).code() == Code::kConflict);
  CHECK(PasswordOf(directory, kAlice) == "first");
  CHECK(directory->AddUser({.id = UserId("Alice")}).code() == Code::kBadRequest);
  CHECK(directory->AddUser({.id = UserId("$parleyctl")}).code() == Code::kBadRequest);
  CHECK(directory->AddUser({.id = kBob, .key = KeyName("none")}).code() == Code::kNotFound);
  CHECK(directory->user_count() == 1);
}

TEST_CASE("an import leaves those that exist and tells which they were") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kBob, .password_hash = "kept"}).ok());
  std::vector<NewUser> users = {
      {.id = kAlice}, {.id = kBob, .password_hash = "other"}, {.id = kAlice}};
  Result<std::vector<bool>> created = directory->ImportUsers(users);
  REQUIRE(created);
  CHECK(*created == std::vector<bool>{true, false, false});
  CHECK(PasswordOf(directory, kBob) == "kept");
  CHECK(directory->Find(kBob)->has_password);
  CHECK(directory->user_count() == 2);
}

TEST_CASE("an import with one bad user does nothing") {
  DirectoryFixture directory;
  std::vector<NewUser> users = {{.id = kAlice}, {.id = UserId("no good")}};
  CHECK(directory->ImportUsers(users).error().code() == Code::kBadRequest);
  CHECK_FALSE(directory->Find(kAlice));
  directory.Reopen();
  CHECK_FALSE(directory->Find(kAlice));
}

TEST_CASE("a new password voids earlier tokens and changes the generation") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice, .password_hash = "first"}).ok());
  uint32_t generation = directory->Find(kAlice)->generation;
  CHECK(directory->Find(kAlice)->tokens_after_ms == 0);
  directory.env().Advance(1000);
  REQUIRE(directory->SetPassword(kAlice, "second").ok());
  CHECK(directory->Find(kAlice)->generation != generation);
  CHECK(directory->Find(kAlice)->tokens_after_ms == directory.env().NowMs());
  int64_t voided_ms = directory.env().NowMs();
  directory.env().Advance(1000);
  directory.Reopen();
  CHECK(directory->Find(kAlice)->tokens_after_ms == voided_ms);
  CHECK(PasswordOf(directory, kAlice) == "second");

  REQUIRE(directory->SetPassword(kAlice, std::nullopt).ok());
  CHECK_FALSE(directory->Find(kAlice)->has_password);
  CHECK(PasswordOf(directory, kAlice) == "none");
  CHECK(directory->SetPassword(kBob, "x").code() == Code::kNotFound);
}

TEST_CASE("who knew the old password changes it, unless it is another by now") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice, .password_hash = "first"}).ok());
  uint32_t generation = directory->Find(kAlice)->generation;
  CHECK(directory->ChangePassword(kAlice, "other", "new").code() == Code::kConflict);
  CHECK(PasswordOf(directory, kAlice) == "first");
  CHECK(directory->Find(kAlice)->generation == generation);
  CHECK(directory->Find(kAlice)->tokens_after_ms == 0);
  REQUIRE(directory->ChangePassword(kAlice, "first", "new").ok());
  CHECK(PasswordOf(directory, kAlice) == "new");
  CHECK(directory->Find(kAlice)->generation != generation);
  CHECK(directory->Find(kAlice)->tokens_after_ms == directory.env().NowMs());
  REQUIRE(directory->SetPassword(kAlice, std::nullopt).ok());
  CHECK(directory->ChangePassword(kAlice, "new", "newer").code() == Code::kConflict);
  CHECK_FALSE(directory->Find(kAlice)->has_password);
  CHECK(directory->ChangePassword(kBob, "x", "y").code() == Code::kNotFound);
}

TEST_CASE("an account's name and the rest of it are read after a restart") {
  DirectoryFixture directory;
  int64_t made_ms = directory.env().NowMs();
  REQUIRE(directory->AddUser({.id = kAlice, .role = Role::kService, .password_hash = "h"}).ok());
  CHECK(directory->Info(kAlice)->name.empty());
  directory.env().Advance(1000);
  const std::string name = "Alice Lidell – 愛麗絲";
  REQUIRE(directory->SetName(kAlice, name).ok());
  CHECK(directory->SetName(kAlice, std::string(kNameBytesMax + 1, 'x')).code() == Code::kTooLarge);
  CHECK(directory->SetName(kBob, "Bob").code() == Code::kNotFound);
  CHECK(directory->Info(kBob).error().code() == Code::kNotFound);
  directory.Reopen();
  Result<UserRow> info = directory->Info(kAlice);
  REQUIRE(info);
  CHECK(info->id == kAlice);
  CHECK(info->role == Role::kService);
  CHECK(info->has_password);
  CHECK_FALSE(info->disabled);
  CHECK(info->key.str() == kDefaultKey);
  CHECK(info->created_ms == made_ms);
  CHECK(info->name == name);
  CHECK(directory->ListUsers(UserId(), 10)->at(0).name == name);
  REQUIRE(directory->SetName(kAlice, std::string(kNameBytesMax, 'x')).ok());
  REQUIRE(directory->SetName(kAlice, "").ok());
  CHECK(directory->Info(kAlice)->name.empty());
}

TEST_CASE("a hash is replaced only where it is still the one that was checked") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice, .password_hash = "old"}).ok());
  uint32_t generation = directory->Find(kAlice)->generation;
  REQUIRE(directory->ReplaceHash(kAlice, "older", "lost").ok());
  CHECK(PasswordOf(directory, kAlice) == "old");
  REQUIRE(directory->ReplaceHash(kAlice, "old", "new").ok());
  CHECK(PasswordOf(directory, kAlice) == "new");
  CHECK(directory->Find(kAlice)->generation == generation);
}

TEST_CASE("disabling survives a restart, and enabling does not revive tokens") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice}).ok());
  uint32_t generation = directory->Find(kAlice)->generation;
  REQUIRE(directory->SetDisabled(kAlice, true).ok());
  CHECK(directory->Find(kAlice)->disabled);
  CHECK(directory->Find(kAlice)->generation != generation);
  int64_t voided_ms = directory.env().NowMs();
  directory.env().Advance(1000);
  directory.Reopen();
  CHECK(directory->Find(kAlice)->disabled);
  REQUIRE(directory->SetDisabled(kAlice, false).ok());
  CHECK_FALSE(directory->Find(kAlice)->disabled);
  CHECK(directory->Find(kAlice)->tokens_after_ms == voided_ms);
  CHECK(directory->SetDisabled(kBob, true).code() == Code::kNotFound);
}

TEST_CASE("users are listed in pages by id") {
  DirectoryFixture directory;
  std::vector<NewUser> users;
  for (const char* id : {"b", "a", "1001", "c"}) users.push_back({.id = UserId(id)});
  REQUIRE(directory->ImportUsers(users));
  auto ids = [&](const char* after, size_t limit) {
    Result<std::vector<UserRow>> rows = directory->ListUsers(UserId(after), limit);
    REQUIRE(rows);
    std::string joined;
    for (const UserRow& row : *rows) joined += row.id.str() + " ";
    return joined;
  };
  CHECK(ids("", 3) == "1001 a b ");
  CHECK(ids("b", 3) == "c ");
  CHECK(ids("c", 3).empty());
}

TEST_CASE("keys have limits that change in part, and today's use survives a restart") {
  DirectoryFixture directory;
  KeyName mobile("mobile");
  REQUIRE(directory->AddKey(mobile, 100, 5000).ok());
  CHECK(directory->AddKey(mobile, 1, 1).code() == Code::kConflict);
  CHECK(directory->AddKey(KeyName("No"), 1, 1).code() == Code::kBadRequest);
  CHECK(directory->AddKey(KeyName("n"), -1, 1).code() == Code::kBadRequest);
  REQUIRE(directory->SetKey(mobile, std::nullopt, 6000).ok());
  CHECK(directory->SetKey(mobile, -1, std::nullopt).code() == Code::kBadRequest);
  CHECK(directory->SetKey(KeyName("none"), 1, 1).code() == Code::kNotFound);
  std::vector<std::pair<KeyName, int64_t>> used = {{mobile, 42}, {KeyName("gone"), 7}};
  REQUIRE(directory->RecordKeyUse(20000, used).ok());
  ApiKey expected{mobile, 100, 6000, 20000, 42};
  CHECK(directory->FindKey(mobile) == expected);
  directory.Reopen();
  CHECK(directory->FindKey(mobile) == expected);
  REQUIRE(directory->Keys().size() == 2);
  CHECK(directory->Keys()[0].name.str() == kDefaultKey);
  CHECK(directory->Keys()[0].rate_per_s == 0);
  CHECK(directory->Keys()[1] == expected);
  REQUIRE(directory->AddUser({.id = kAlice, .key = mobile}).ok());
  CHECK(directory->Find(kAlice)->key == mobile);
}

TEST_CASE("there are 10,000 keys and no more, also after a restart") {
  DirectoryFixture directory;
  directory.Close();
  {
    auto db = SqliteDb::Open(DatabasePath(directory.dir()), SqliteDb::Mode::kReadWrite);
    REQUIRE(db);
    // With the default key 9,999.
    REQUIRE(db->Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
                     "i < 9998) INSERT INTO keys (name, rate, quota, strangers) "
                     "SELECT 'key' || i, 0, 0, 1 FROM n")
                .ok());
  }
  directory.Reopen();
  CHECK(directory->AddKey(KeyName("last"), 0, 0, true).ok());
  CHECK(directory->AddKey(KeyName("more"), 0, 0, true).code() == Code::kTooLarge);
  directory.Reopen();
  CHECK(directory->FindKey(KeyName("last")));
  CHECK(directory->AddKey(KeyName("more"), 0, 0, true).code() == Code::kTooLarge);
}

TEST_CASE("a key says whether strangers may write, yes unless it was set") {
  DirectoryFixture directory;
  KeyName open("open");
  KeyName closed("closed");
  REQUIRE(directory->AddKey(open, 1, 1).ok());
  REQUIRE(directory->AddKey(closed, 1, 1, false).ok());
  for (int round = 0; round < 2; ++round) {
    CHECK(directory->FindKey(KeyName(kDefaultKey))->strangers);
    CHECK(directory->FindKey(open)->strangers);
    CHECK_FALSE(directory->FindKey(closed)->strangers);
    directory.Reopen();
  }
  REQUIRE(directory->SetKey(open, 2, std::nullopt, false).ok());
  REQUIRE(directory->SetKey(closed, 2, std::nullopt).ok());
  REQUIRE(directory->SetKey(KeyName(kDefaultKey), std::nullopt, std::nullopt, false).ok());
  std::vector<std::pair<KeyName, int64_t>> used = {{open, 42}};
  REQUIRE(directory->RecordKeyUse(20000, used).ok());
  for (int round = 0; round < 2; ++round) {
    CHECK(directory->FindKey(open) == ApiKey{open, 2, 1, 20000, 42, false});
    CHECK_FALSE(directory->FindKey(closed)->strangers);
    CHECK_FALSE(directory->FindKey(KeyName(kDefaultKey))->strangers);
    directory.Reopen();
  }
  REQUIRE(directory->SetKey(closed, std::nullopt, std::nullopt, true).ok());
  CHECK(directory->FindKey(closed)->strangers);
}

TEST_CASE("a user's devices are the latest seen, no more than the limit") {
  DirectoryFixture directory;
  std::vector<DeviceSeen> seen = {{kBob, {DeviceId("bob:pc"), 5}}};
  int64_t count = static_cast<int64_t>(kDevicesMax) + 5;
  for (int64_t i = 1; i <= count; ++i) {
    seen.push_back({kAlice, {DeviceId("d" + std::to_string(i)), i}});
  }
  REQUIRE(directory->TouchDevices(seen).ok());
  seen = {{kAlice, {DeviceId("d50"), count + 1}}, {kAlice, {DeviceId("d51"), 1}}};
  REQUIRE(directory->TouchDevices(seen).ok());

  Result<std::vector<Device>> devices = directory->Devices(kAlice);
  REQUIRE(devices);
  REQUIRE(devices->size() == kDevicesMax);
  CHECK(devices->front() == Device{DeviceId("d50"), count + 1});
  CHECK(devices->back() == Device{DeviceId("d6"), 6});
  CHECK(std::count(devices->begin(), devices->end(), Device{DeviceId("d51"), 51}) == 1);

  REQUIRE(directory->RemoveDevice(kAlice, DeviceId("d50")).ok());
  CHECK(directory->RemoveDevice(kAlice, DeviceId("d50")).code() == Code::kNotFound);
  CHECK(directory->Devices(kAlice)->size() == kDevicesMax - 1);
  CHECK(directory->Devices(kBob)->size() == 1);
}

// The ids of the user's devices, as they are listed.
std::string DevicesOf(DirectoryFixture& directory, const UserId& user) {
  Result<std::vector<Device>> devices = directory->Devices(user);
  REQUIRE(devices);
  std::string ids;
  for (const Device& device : *devices) ids += device.id.str() + " ";
  return ids;
}

// Where it was seen, at the fixture's time.
void See(DirectoryFixture& directory, const UserId& user, const char* device) {
  DeviceSeen seen{user, {DeviceId(device), directory.env().NowMs()}};
  REQUIRE(directory->TouchDevices({&seen, 1}).ok());
}

TEST_CASE("a removed device is not listed, its tokens are void, also after a restart") {
  DirectoryFixture directory;
  DeviceId phone("phone");
  REQUIRE(directory->AddUser({.id = kAlice}).ok());
  See(directory, kAlice, "phone");
  See(directory, kAlice, "pc");
  See(directory, kBob, "phone");
  CHECK(directory->DeviceTokensAfter(kAlice, phone) == 0);
  directory.env().Advance(1000);
  int64_t removed_ms = directory.env().NowMs();
  REQUIRE(directory->RemoveDevice(kAlice, phone).ok());
  CHECK(directory->RemoveDevice(kAlice, phone).code() == Code::kNotFound);
  // One that was forgotten, or never was, is removed all the same.
  CHECK(directory->RemoveDevice(kAlice, DeviceId("fridge")).code() == Code::kNotFound);
  directory.env().Advance(1000);
  for (int round = 0; round < 2; ++round) {
    CHECK(DevicesOf(directory, kAlice) == "pc ");
    CHECK(DevicesOf(directory, kBob) == "phone ");
    CHECK(directory->DeviceTokensAfter(kAlice, phone) == removed_ms);
    CHECK(directory->DeviceTokensAfter(kAlice, DeviceId("fridge")) == removed_ms);
    CHECK(directory->DeviceTokensAfter(kAlice, DeviceId("pc")) == 0);
    CHECK(directory->DeviceTokensAfter(kBob, phone) == 0);
    CHECK(directory->Find(kAlice)->tokens_after_ms == 0);
    directory.Reopen();
  }
  // What is written late was seen before the removal.
  DeviceSeen late{kAlice, {phone, removed_ms}};
  REQUIRE(directory->TouchDevices({&late, 1}).ok());
  CHECK(DevicesOf(directory, kAlice) == "pc ");
  See(directory, kAlice, "phone");
  CHECK(DevicesOf(directory, kAlice) == "phone pc ");
  CHECK(directory->DeviceTokensAfter(kAlice, phone) == removed_ms);
  directory.env().Advance(1000);
  REQUIRE(directory->RemoveDevice(kAlice, phone).ok());
  CHECK(directory->DeviceTokensAfter(kAlice, phone) == directory.env().NowMs());
}

TEST_CASE("a user was last seen when the latest of its devices was, also a removed one") {
  DirectoryFixture directory;
  const UserId users[] = {kBob, UserId("nobody"), kAlice};
  See(directory, kBob, "phone");
  int64_t bob_ms = directory.env().NowMs();
  directory.env().Advance(1000);
  See(directory, kAlice, "phone");
  directory.env().Advance(1000);
  See(directory, kAlice, "pc");
  int64_t alice_ms = directory.env().NowMs();
  CHECK(*directory->LastSeen(users) == std::vector<int64_t>{bob_ms, 0, alice_ms});
  directory.env().Advance(1000);
  REQUIRE(directory->RemoveDevice(kAlice, DeviceId("pc")).ok());
  directory.Reopen();
  CHECK(*directory->LastSeen(users) == std::vector<int64_t>{bob_ms, 0, alice_ms});
  CHECK(directory->LastSeen({})->empty());
}

TEST_CASE("more removed devices than are remembered void the user's older tokens altogether") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice}).ok());
  int64_t first_ms = 0;
  for (size_t i = 0; i <= kDevicesMax; ++i) {
    std::string id = "d" + std::to_string(i);
    See(directory, kAlice, id.c_str());
    directory.env().Advance(1000);
    if (i == 0) first_ms = directory.env().NowMs();
    if (i == kDevicesMax) CHECK(directory->Find(kAlice)->tokens_after_ms == 0);
    REQUIRE(directory->RemoveDevice(kAlice, DeviceId(id)).ok());
  }
  for (int round = 0; round < 2; ++round) {
    CHECK(directory->Find(kAlice)->tokens_after_ms == first_ms);
    CHECK(directory->DeviceTokensAfter(kAlice, DeviceId("d0")) == 0);
    CHECK(directory->DeviceTokensAfter(kAlice, DeviceId("d1")) == first_ms + 1000);
    directory.Reopen();
  }
}

TEST_CASE("devices that go for later ones leave their void tokens void") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice}).ok());
  See(directory, kAlice, "phone");
  directory.env().Advance(1000);
  int64_t removed_ms = directory.env().NowMs();
  REQUIRE(directory->RemoveDevice(kAlice, DeviceId("phone")).ok());
  directory.env().Advance(1000);
  See(directory, kAlice, "phone");
  for (size_t i = 0; i < kDevicesMax; ++i) {
    directory.env().Advance(1000);
    See(directory, kAlice, ("d" + std::to_string(i)).c_str());
  }
  CHECK(directory->Devices(kAlice)->size() == kDevicesMax);
  CHECK_THAT(DevicesOf(directory, kAlice), !Catch::Matchers::Contains("phone"));
  directory.Reopen();
  CHECK(directory->DeviceTokensAfter(kAlice, DeviceId("phone")) == removed_ms);
}

TEST_CASE("a key's secret survives a restart, and a change of its limits") {
  DirectoryFixture directory;
  const KeyName shop("shop");
  CHECK(directory->SetKeySecret(shop, "hash").code() == Code::kNotFound);
  REQUIRE(directory->AddKey(shop, 1, 1).ok());
  CHECK(directory->FindKey(shop)->secret_hash.empty());
  REQUIRE(directory->SetKeySecret(shop, "hash").ok());
  REQUIRE(directory->SetKey(shop, 2, 2).ok());
  for (int round = 0; round < 2; ++round) {
    CHECK(directory->FindKey(shop)->secret_hash == "hash");
    directory.Reopen();
  }
  REQUIRE(directory->SetKeySecret(shop, "").ok());
  directory.Reopen();
  CHECK(directory->FindKey(shop)->secret_hash.empty());
}

// The first version's tables with something in them, as a Parley of that time left them.
void MakeVersion1(const std::string& path) {
  auto db = SqliteDb::Open(path, SqliteDb::Mode::kReadWrite);
  REQUIRE(db);
  Status status = db->Exec(R"sql(
DROP TABLE keys; DROP TABLE accounts; DROP TABLE devices;
CREATE TABLE keys (name TEXT PRIMARY KEY, rate INTEGER NOT NULL DEFAULT 0,
  quota INTEGER NOT NULL DEFAULT 0, day INTEGER NOT NULL DEFAULT 0,
  used INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE accounts (id TEXT PRIMARY KEY, role TEXT NOT NULL, key TEXT NOT NULL REFERENCES keys,
  disabled INTEGER NOT NULL DEFAULT 0, password TEXT, tokens_after_ms INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE devices (user TEXT NOT NULL, device TEXT NOT NULL, last_seen_ms INTEGER NOT NULL,
  PRIMARY KEY (user, device)) STRICT, WITHOUT ROWID;
INSERT INTO keys VALUES ('default', 0, 0, 0, 0), ('mobile', 5, 6, 7, 8);
INSERT INTO accounts VALUES ('alice', 'admin', 'mobile', 0, 'h', 9, 10);
INSERT INTO devices VALUES ('alice', 'phone', 11);
PRAGMA user_version = 1;
)sql");
  INFO(status.ToString());
  REQUIRE(status.ok());
}

TEST_CASE("a directory of the first version is brought to this one with all that is in it") {
  DirectoryFixture directory;
  directory.Close();
  MakeVersion1(DatabasePath(directory.dir()));
  for (int round = 0; round < 2; ++round) {
    directory.Reopen();
    CHECK(directory->FindKey(KeyName("mobile")) == ApiKey{KeyName("mobile"), 5, 6, 7, 8, true});
    CHECK(directory->Find(kAlice)->role == Role::kAdmin);
    CHECK(directory->Find(kAlice)->tokens_after_ms == 9);
    CHECK(directory->Info(kAlice)->name.empty());
    CHECK(*directory->Devices(kAlice) == std::vector{Device{DeviceId("phone"), 11}});
    CHECK(directory->DeviceTokensAfter(kAlice, DeviceId("phone")) == 0);
  }
  REQUIRE(directory->RemoveDevice(kAlice, DeviceId("phone")).ok());
  CHECK(DevicesOf(directory, kAlice).empty());
}

TEST_CASE("a directory is in use by one at a time, and the other is told by whom") {
  DirectoryFixture directory;
  auto second = Directory::Open(directory.dir(), &directory.env());
  REQUIRE_FALSE(second);
  CHECK(second.error().code() == Code::kBusy);
  CHECK_THAT(second.error().message(),
             Catch::Matchers::Contains("in use by process " + std::to_string(getpid()) + " ("));
  directory.Reopen();
}

TEST_CASE("who has patience gets the directory when the other lets go of it") {
  DirectoryFixture directory;
  std::atomic<bool> done = false;
  std::thread waiting([&] {
    auto opened = Directory::Open(directory.dir(), &directory.env(), std::chrono::minutes(1));
    done = opened.has_value();
  });
  directory.Close();
  waiting.join();
  CHECK(done);
  directory.Reopen();
  auto start = std::chrono::steady_clock::now();
  auto second = Directory::Open(directory.dir(), &directory.env(), std::chrono::milliseconds(50));
  REQUIRE_FALSE(second);
  CHECK(second.error().code() == Code::kBusy);
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(50));
}

TEST_CASE("a directory that was never made says how to make it") {
  TempDir temp;
  ClockEnv env;
  auto opened = Directory::Open(temp.path(), &env);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code() == Code::kNotFound);
  CHECK_THAT(opened.error().message(),
             Catch::Matchers::Contains("parleyctl --data " + temp.path() + " init"));
  // An init that was cut short before the schema was committed.
  std::ofstream(DatabasePath(temp.path())).close();
  CHECK(Directory::Open(temp.path(), &env).error().code() == Code::kNotFound);
  CHECK(*Directory::Create(temp.path(), &env));
  CHECK(Directory::Open(temp.path(), &env));
}

TEST_CASE("making a directory again changes nothing, not even a lost secret") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice}).ok());
  directory.Close();
  std::string secret = *directory.env().ReadFile(SecretPath(directory.dir()));
  CHECK(secret.size() == 32);
  CHECK_FALSE(*Directory::Create(directory.dir(), &directory.env()));
  CHECK(*directory.env().ReadFile(SecretPath(directory.dir())) == secret);
  REQUIRE(directory.env().Remove(SecretPath(directory.dir())).ok());
  CHECK_FALSE(*Directory::Create(directory.dir(), &directory.env()));
  CHECK_FALSE(directory.env().Exists(SecretPath(directory.dir())));
  directory.Reopen();
  CHECK(directory->Find(kAlice));
}

TEST_CASE("nobody else may read passwords or the secret") {
  mode_t old = umask(0022);
  DirectoryFixture directory;
  umask(old);
  REQUIRE(directory->AddUser({.id = kAlice}).ok());
  CHECK(ModeOf(SecretPath(directory.dir())) == 0600);
  CHECK(ModeOf(DatabasePath(directory.dir())) == 0600);
  CHECK(ModeOf(DatabasePath(directory.dir()) + "-wal") == 0600);
}

TEST_CASE("a database of a newer Parley is refused and left alone") {
  DirectoryFixture directory;
  directory.Close();
  {
    auto db = SqliteDb::Open(DatabasePath(directory.dir()), SqliteDb::Mode::kReadWrite);
    REQUIRE(db);
    REQUIRE(db->Exec("PRAGMA user_version = 999").ok());
  }
  auto opened = Directory::Open(directory.dir(), &directory.env());
  REQUIRE_FALSE(opened);
  CHECK_THAT(opened.error().message(), Catch::Matchers::Contains("newer Parley"));
}

TEST_CASE("a database that is no database is corruption with the file's name") {
  DirectoryFixture directory;
  directory.Close();
  std::ofstream(DatabasePath(directory.dir()), std::ios::trunc) << std::string(8192, 'x');
  auto opened = Directory::Open(directory.dir(), &directory.env());
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code() == Code::kCorruption);
  CHECK_THAT(opened.error().message(), Catch::Matchers::Contains("directory.db"));
}

TEST_CASE("a change that was answered survives kill -9") {
  DirectoryFixture directory;
  directory.Close();
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  pid_t child = fork();
  if (child == 0) {
    auto opened = Directory::Open(directory.dir(), &directory.env());
    bool ok = opened && (*opened)->AddUser({.id = kAlice, .password_hash = "h"}).ok();
    char answer = ok ? 'y' : 'n';
    (void)!write(ready[1], &answer, 1);
    for (;;) pause();
  }
  char answer = 0;
  REQUIRE(read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  CHECK(Directory::Open(directory.dir(), &directory.env()).error().code() == Code::kBusy);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  directory.Reopen();
  CHECK(PasswordOf(directory, kAlice) == "h");
}

TEST_CASE("many threads find accounts while they are written") {
  DirectoryFixture directory;
  REQUIRE(directory->AddUser({.id = kAlice, .password_hash = "h"}).ok());
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        std::optional<Account> alice = directory->Find(kAlice);
        if (!alice || alice->key.str() != kDefaultKey) ++wrong;
        if (auto key = directory->FindKey(KeyName(kDefaultKey)); !key) ++wrong;
        if (auto hash = directory->PasswordHash(kAlice); !hash || !*hash) ++wrong;
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    std::string name = "user" + std::to_string(i);
    if (!directory->AddUser({.id = UserId(name)}).ok()) ++wrong;
    if (!directory->SetDisabled(kAlice, i % 2 == 0).ok()) ++wrong;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

size_t ResidentKib() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

// Hidden: run by name. Prints what directory.h claims.
TEST_CASE("a million accounts are loaded in seconds and take about 100 bytes each", "[.million]") {
  DirectoryFixture directory;
  constexpr int kUsers = 1000000;
  std::vector<NewUser> batch;
  for (int i = 0; i < kUsers; ++i) {
    batch.push_back({.id = UserId("user-" + std::to_string(i))});
    if (batch.size() < 10000) continue;
    REQUIRE(directory->ImportUsers(batch));
    batch.clear();
  }
  directory.Close();
  pid_t child = fork();  // a heap that has not grown yet
  if (child == 0) {
    malloc_trim(0);
    size_t before_kib = ResidentKib();
    auto start = std::chrono::steady_clock::now();
    auto opened = Directory::Open(directory.dir(), &directory.env());
    auto took = std::chrono::steady_clock::now() - start;
    if (!opened || (*opened)->user_count() != kUsers) _exit(1);
    int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
    size_t bytes = (ResidentKib() - before_kib) * 1024 / kUsers;
    std::printf("loaded in %lld ms, %zu bytes each\n", static_cast<long long>(ms), bytes);
    std::fflush(stdout);
    _exit(ms < 4000 && bytes < 150 ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("a folder that holds other things is not taken for a data directory") {
  TempDir temp;
  std::ofstream(temp.path() + "/thesis.txt") << "years of work";
  Status status = PrepareDataDir(temp.path(), "mosquitto");
  CHECK(status.code() == Code::kConflict);
  CHECK_THAT(status.message(), Catch::Matchers::Contains(temp.path()));
  REQUIRE(PrepareDataDir(temp.path() + "/a/b/", "no-such-user").ok());
  CHECK(ModeOf(temp.path() + "/a/b") == 0700);
  CHECK(PrepareDataDir(temp.path() + "/thesis.txt", "mosquitto").code() == Code::kConflict);
}

}  // namespace
}  // namespace parley
