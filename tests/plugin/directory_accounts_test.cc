#include "plugin/directory_accounts.h"

#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <thread>

#include "storage/data_dir.h"
#include "storage/sqlite_db.h"
#include "tests/catch.h"
#include "tests/storage/clock_env.h"

namespace parley {
namespace {

using std::chrono::steady_clock;

constexpr auto kDeadline = std::chrono::seconds(60);
const UserId kAlice("alice");
const UserId kBob("bob");
const DeviceId kPhone("alice:phone");

class AccountsFixture {
 public:
  AccountsFixture() {
    REQUIRE(Directory::Create(temp_.path(), &env_));
    directory_ = std::move(*Directory::Open(temp_.path(), &env_));
    credentials_.emplace(*Credentials::Load(temp_.path(), 64, &env_));
    Start();
    NewUser alice{.id = kAlice, .password_hash = *credentials_->HashPassword("wonderland")};
    REQUIRE(directory_->AddUser(alice).ok());
  }
  ~AccountsFixture() { Stop(); }

  void Start() {
    thread_ = std::make_unique<DirectoryThread>();
    accounts_ =
        std::make_unique<DirectoryAccounts>(directory_.get(), &*credentials_, thread_.get());
  }
  // What was queued is done then.
  void Stop() {
    thread_.reset();
    accounts_.reset();
  }

  bool PasswordIs(const char* password) {
    auto hash = directory_->PasswordHash(kAlice);
    return hash && *hash && credentials_->VerifyPassword(**hash, password) == PasswordCheck::kRight;
  }

  DirectoryAccounts* operator->() { return accounts_.get(); }
  DirectoryThread& thread() { return *thread_; }
  Directory* directory() { return directory_.get(); }
  Credentials& credentials() { return *credentials_; }
  ClockEnv& env() { return env_; }
  const std::string& dir() const { return temp_.path(); }

 private:
  TempDir temp_;
  ClockEnv env_;
  std::unique_ptr<Directory> directory_;
  std::optional<Credentials> credentials_;
  std::unique_ptr<DirectoryThread> thread_;
  std::unique_ptr<DirectoryAccounts> accounts_;
};

// Holds the directory's thread until it ends.
class Held {
 public:
  explicit Held(DirectoryThread* thread) {
    REQUIRE(thread->Post([this, end = end_.get_future().share()] {
      began_.set_value();
      end.wait();
    }));
    began_.get_future().wait();
  }
  ~Held() { end_.set_value(); }

 private:
  std::promise<void> began_, end_;
};

bool Until(const std::function<bool()>& done) {
  auto deadline = steady_clock::now() + kDeadline;
  while (!done()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST_CASE("accounts and keys are answered from memory") {
  AccountsFixture accounts;
  KeyName shut("shut");
  REQUIRE(accounts.directory()->AddKey(shut, 5, 6, false).ok());
  REQUIRE(accounts.directory()->AddUser({.id = kBob, .key = shut}).ok());
  CHECK(accounts->Exists(kBob));
  CHECK_FALSE(accounts->Exists(UserId("nobody")));
  CHECK(accounts->KeyOf(kBob) == shut);
  CHECK(accounts->KeyOf(UserId("nobody")).empty());
  CHECK(accounts->Limits(shut).rate == 5);
  CHECK(accounts->Limits(shut).quota == 6);
  CHECK(accounts->StrangersAllowed(KeyName(kDefaultKey)));
  CHECK_FALSE(accounts->StrangersAllowed(shut));
  CHECK(accounts->StrangersAllowed(KeyName("none")));
  accounts->RecordUse(shut, {20000, 4});
  accounts.Stop();
  CHECK(accounts.directory()->FindKey(shut)->used == 4);
}

TEST_CASE("devices seen are written together, a while later, and at the end") {
  AccountsFixture accounts;
  auto start = steady_clock::now();
  accounts->RecordSeen(kAlice, kPhone, 10);
  accounts->RecordSeen(kAlice, DeviceId("pc"), 20);
  accounts->RecordSeen(kAlice, kPhone, 5);
  accounts->RecordSeen(kBob, DeviceId("pc"), 30);
  REQUIRE(Until([&] { return !accounts.directory()->Devices(kBob)->empty(); }));
  CHECK(steady_clock::now() - start >= DirectoryAccounts::kSeenDelay);
  std::vector<Device> expected{{DeviceId("pc"), 20}, {kPhone, 10}};
  CHECK(*accounts.directory()->Devices(kAlice) == expected);

  accounts->RecordSeen(kAlice, kPhone, 40);
  accounts.Stop();
  expected = {{kPhone, 40}, {DeviceId("pc"), 20}};
  CHECK(*accounts.directory()->Devices(kAlice) == expected);
}

TEST_CASE("what was seen counts before it is written") {
  AccountsFixture accounts;
  const std::vector<UserId> users{kBob, kAlice, UserId("nobody")};
  accounts->RecordSeen(kAlice, kPhone, 10);
  accounts->RecordSeen(kAlice, DeviceId("pc"), 20);
  CHECK(*accounts->LastSeen(users) == std::vector<int64_t>{0, 20, 0});
  accounts->RecordSeen(kAlice, kPhone, 30);
  std::vector<Device> expected{{kPhone, 30}, {DeviceId("pc"), 20}};
  CHECK(*accounts->Devices(kAlice) == expected);
  accounts->RecordSeen(kAlice, kPhone, 40);
  CHECK(*accounts->LastSeen(users) == std::vector<int64_t>{0, 40, 0});
  accounts.Stop();
  accounts.Start();
  CHECK(*accounts->LastSeen(users) == std::vector<int64_t>{0, 40, 0});
}

TEST_CASE("10,000 jobs wait for the directory, and as many for their time, and no more") {
  std::atomic<size_t> done = 0;
  {
    DirectoryThread thread;
    Held held(&thread);
    size_t now = 0, later = 0;
    while (thread.Post([&] { ++done; })) ++now;
    while (thread.PostAfter(std::chrono::hours(1), [&] { ++done; })) ++later;
    CHECK(now == 10'000);
    CHECK(later == 10'000);
  }
  CHECK(done == 20'000);
}

TEST_CASE("100,000 devices wait to be written as seen, and no more") {
  AccountsFixture accounts;
  {
    Held held(&accounts.thread());
    for (size_t n = 1; n < 100'000; ++n) accounts->RecordSeen(kAlice, kPhone, 10);
    accounts->RecordSeen(kBob, kPhone, 20);
    accounts->RecordSeen(kAlice, kPhone, 30);
    CHECK(*accounts->LastSeen({kAlice, kBob}) == std::vector<int64_t>{10, 20});
  }
  // Once they are written there is room again.
  CHECK(Until([&] {
    accounts->RecordSeen(kAlice, kPhone, 30);
    return *accounts->LastSeen({kAlice}) == std::vector<int64_t>{30};
  }));
}

TEST_CASE("what couldn't be written as seen is written when it can be") {
  AccountsFixture accounts;
  auto other = SqliteDb::Open(DatabasePath(accounts.dir()), SqliteDb::Mode::kReadWrite);
  REQUIRE(other);
  REQUIRE(other
              ->Exec("CREATE TRIGGER refuse BEFORE INSERT ON devices "
                     "BEGIN SELECT raise(ABORT, 'refused'); END")
              .ok());
  accounts->RecordSeen(kAlice, kPhone, 10);
  CHECK_FALSE(accounts->Devices(kAlice));
  CHECK(*accounts->LastSeen({kAlice}) == std::vector<int64_t>{10});
  REQUIRE(other->Exec("DROP TRIGGER refuse").ok());
  CHECK(Until([&] { return !accounts.directory()->Devices(kAlice)->empty(); }));
}

TEST_CASE(
    "a device that was seen just now is removed, and what was seen before doesn't bring it back") {
  AccountsFixture accounts;
  int64_t now_ms = accounts.env().NowMs();
  accounts->RecordSeen(kAlice, kPhone, now_ms - 1);
  REQUIRE(accounts->RemoveDevice(kAlice, kPhone).ok());
  CHECK(accounts->RemoveDevice(kAlice, kPhone).code() == Code::kNotFound);
  accounts->RecordSeen(kAlice, kPhone, now_ms);
  CHECK(accounts->Devices(kAlice)->empty());
  CHECK(*accounts->LastSeen({kAlice}) == std::vector<int64_t>{now_ms});
  accounts->RecordSeen(kAlice, kPhone, now_ms + 1);
  CHECK(accounts->Devices(kAlice)->size() == 1);
  CHECK(accounts.directory()->DeviceTokensAfter(kAlice, kPhone) == now_ms);
}

TEST_CASE("an account tells about itself, and calls itself what is one line of text") {
  AccountsFixture accounts;
  auto info = accounts->Info(kAlice);
  REQUIRE(info);
  CHECK(info->role == "user");
  CHECK(info->key.str() == kDefaultKey);
  CHECK(info->name.empty());
  CHECK(info->has_password);
  CHECK(info->created_ms == accounts.env().NowMs());
  REQUIRE(accounts->SetName(kAlice, "Alice – 愛麗絲").ok());
  CHECK(accounts->Info(kAlice)->name == "Alice – 愛麗絲");
  for (const std::string& bad : {std::string("two\nlines"), std::string("\x7f"),
                                 std::string("\xff"), std::string(1, '\0')}) {
    CHECK(accounts->SetName(kAlice, bad).code() == Code::kBadRequest);
  }
  std::string long_name(kNameBytesMax + 1, 'x');
  CHECK(accounts->SetName(kAlice, long_name).code() == Code::kTooLarge);
  CHECK(accounts->Info(kAlice)->name == "Alice – 愛麗絲");
  CHECK(accounts->SetName(UserId("nobody"), "x").code() == Code::kNotFound);
  CHECK(accounts->Info(UserId("nobody")).error().code() == Code::kNotFound);
}

TEST_CASE("a password is changed by who knows the old one, and voids tokens and logins") {
  AccountsFixture accounts;
  uint32_t generation = accounts.directory()->Find(kAlice)->generation;
  CHECK(accounts->ChangePassword(kAlice, "looking-glass", "x").code() == Code::kDenied);
  CHECK(accounts->ChangePassword(kAlice, "", "x").code() == Code::kDenied);
  CHECK(accounts->ChangePassword(kAlice, "wonderland", "").code() == Code::kBadRequest);
  CHECK(accounts->ChangePassword(UserId("nobody"), "x", "y").code() == Code::kNotFound);
  CHECK(PasswordCheck::kRight == accounts.credentials().VerifyPassword(
                                     **accounts.directory()->PasswordHash(kAlice), "wonderland"));
  CHECK(accounts.directory()->Find(kAlice)->generation == generation);
  REQUIRE(accounts->ChangePassword(kAlice, "wonderland", "looking-glass").ok());
  CHECK(accounts.PasswordIs("looking-glass"));
  CHECK(accounts.directory()->Find(kAlice)->generation != generation);
  CHECK(accounts.directory()->Find(kAlice)->tokens_after_ms == accounts.env().NowMs());
  REQUIRE(accounts.directory()->AddUser({.id = kBob}).ok());
  CHECK(accounts->ChangePassword(kBob, "", "x").code() == Code::kDenied);
}

TEST_CASE("a token is issued for any device or for one, and not to who may not log in") {
  AccountsFixture accounts;
  auto any = accounts->IssueToken(kAlice, DeviceId(), 60);
  REQUIRE(any);
  auto claims = accounts.credentials().VerifyToken(*any, "alice");
  REQUIRE(claims);
  CHECK(claims->device.empty());
  CHECK_FALSE(claims->admin);
  CHECK(claims->expires_s == accounts.env().NowMs() / 1000 + 60);
  auto one = accounts->IssueToken(kAlice, kPhone, 60);
  REQUIRE(one);
  CHECK(accounts.credentials().VerifyToken(*one, "alice")->device == kPhone.str());
  for (int64_t ttl_s : {int64_t{0}, int64_t{-1}, kTokenTtlMaxS + 1}) {
    CHECK(accounts->IssueToken(kAlice, kPhone, ttl_s).error().code() == Code::kBadRequest);
  }
  for (const std::string& device :
       {std::string("\xff"), std::string("a\nb"), std::string(kTokenDeviceBytesMax + 1, 'x')}) {
    CHECK(accounts->IssueToken(kAlice, DeviceId(device), 60).error().code() == Code::kBadRequest);
  }
  CHECK(accounts->IssueToken(UserId("nobody"), kPhone, 60).error().code() == Code::kNotFound);
  REQUIRE(accounts.directory()->SetDisabled(kAlice, true).ok());
  CHECK(accounts->IssueToken(kAlice, kPhone, 60).error().code() == Code::kDenied);
}

}  // namespace
}  // namespace parley
