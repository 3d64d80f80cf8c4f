#include "storage/roster.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <set>
#include <thread>

#include "storage/sqlite_db.h"
#include "tests/catch.h"
#include "tests/cpu_time.h"
#include "tests/storage/clock_env.h"

namespace parley {
namespace {

using Catch::Matchers::Contains;

const GroupId kUbuntu("ubuntu");
const UserId kAlice("alice");
const UserId kBob("bob");

// A roster that a test opens, writes, closes and opens again.
class RosterFixture {
 public:
  RosterFixture() { Reopen(); }

  void Close() { roster_.reset(); }
  void Reopen() {
    Close();
    auto opened = Roster::Open(temp_.path(), &env_);
    REQUIRE(opened);
    roster_ = std::move(*opened);
  }

  // Applies one transaction, the next.
  void Apply(std::vector<Record> records) {
    last_ = last_.Next();
    Transaction transaction{last_, std::move(records)};
    REQUIRE(ApplyThese({&transaction}).ok());
    CHECK(*roster_->Applied() == last_);
  }
  Status ApplyThese(const std::vector<const Transaction*>& transactions) {
    return roster_->Apply(transactions, [](std::string_view) { return false; });
  }

  // The ids of the user's groups, of a page of them.
  std::string GroupsOf(const UserId& user, const char* after = "", size_t limit = 100) {
    auto groups = roster_->GroupsOf(user, GroupId(after), limit);
    REQUIRE(groups);
    std::string ids;
    for (const Membership& one : *groups) ids += one.group.str() + " ";
    return ids;
  }
  std::set<std::string> TopicMembers() {
    std::set<std::string> members;
    REQUIRE(roster_
                ->ForEachTopicMember([&](const GroupId& group, const UserId& user) {
                  CHECK(members.insert(group.str() + "/" + user.str()).second);
                })
                .ok());
    return members;
  }

  Roster* operator->() { return roster_.get(); }
  std::string file() const { return temp_.path() + "/roster.db"; }
  const std::string& dir() const { return temp_.path(); }
  ClockEnv& env() { return env_; }

 private:
  TempDir temp_;
  ClockEnv env_;
  Lsn last_;
  std::unique_ptr<Roster> roster_;
};

GroupMember In(const char* user, GroupRole role = GroupRole::kMember, uint64_t since = 1) {
  return {UserId(user), role, "", {{Seq(since), Seq()}}};
}

GroupRecord GroupOf(const char* id, std::vector<GroupMember> changed,
                    GroupDelivery delivery = GroupDelivery::kInbox) {
  return {GroupId(id), Seq(1), {.title = id, .delivery = delivery, .created_ms = 7}, changed};
}

TEST_CASE("a group is read as it was written, now and after a restart") {
  RosterFixture roster;
  GroupRecord group{kUbuntu,
                    Seq(9),
                    {.title = "Ubuntu “chat”",
                     .delivery = GroupDelivery::kTopic,
                     .open = true,
                     .history_all = true,
                     .created_ms = 1764000000123},
                    {{kBob, GroupRole::kOwner, "Bob der Große", {{Seq(1), Seq()}}},
                     {UserId("carol"),
                      GroupRole::kRemoved,
                      "",
                      {{Seq(1), Seq(7)}, {Seq(12), Seq(12)}, {Seq(20), Seq(UINT64_MAX)}}},
                     {kAlice, GroupRole::kAdmin, "", {{Seq(2), Seq(3)}, {Seq(5), Seq()}}},
                     {UserId("dave"), GroupRole::kNone, "", {}}}};
  roster.Apply({group});
  for (int round = 0; round < 2; ++round) {
    auto state = roster->ReadGroup(kUbuntu);
    REQUIRE(state);
    CHECK(state->settings == group.settings);
    REQUIRE(state->members.size() == 4);
    CHECK(state->members[0] == group.changed[2]);  // by user id
    CHECK(state->members[1] == group.changed[0]);
    CHECK(state->members[2] == group.changed[1]);
    CHECK(state->members[3] == group.changed[3]);
    roster.Reopen();
  }
}

TEST_CASE("a group that never was is not found, and one without members is") {
  RosterFixture roster;
  auto state = roster->ReadGroup(kUbuntu);
  REQUIRE_FALSE(state);
  CHECK(state.error().code() == Code::kNotFound);
  roster.Apply({GroupOf("ubuntu", {})});
  state = roster->ReadGroup(kUbuntu);
  REQUIRE(state);
  CHECK(state->members.empty());
}

TEST_CASE("a change replaces the settings and those members that it names") {
  RosterFixture roster;
  roster.Apply({GroupOf("ubuntu", {In("alice", GroupRole::kOwner), In("bob")})});
  GroupRecord change{kUbuntu,
                     Seq(8),
                     {.title = "new", .open = true, .created_ms = 7},
                     {{kBob, GroupRole::kNone, "Bob", {{Seq(1), Seq(7)}}}}};
  roster.Apply({change});
  auto state = roster->ReadGroup(kUbuntu);
  REQUIRE(state);
  CHECK(state->settings == change.settings);
  REQUIRE(state->members.size() == 2);
  CHECK(state->members[0] == In("alice", GroupRole::kOwner));
  CHECK(state->members[1] == change.changed[0]);
  CHECK(roster.GroupsOf(kBob).empty());
}

TEST_CASE("a deleted group is found and says so, but nobody is in it") {
  RosterFixture roster;
  GroupRecord group = GroupOf("ubuntu", {In("alice")}, GroupDelivery::kTopic);
  roster.Apply({group});
  group.settings.deleted = true;
  group.changed.clear();
  roster.Apply({group});
  auto state = roster->ReadGroup(kUbuntu);
  REQUIRE(state);
  CHECK(state->settings.deleted);
  CHECK(state->members.size() == 1);
  CHECK(roster.GroupsOf(kAlice).empty());
  CHECK(roster.TopicMembers().empty());
}

TEST_CASE("a user's groups come in pages by id, those in which it is now") {
  RosterFixture roster;
  for (const char* id : {"c", "a", "d", "b", "e"}) roster.Apply({GroupOf(id, {In("alice")})});
  roster.Apply({GroupOf("z", {In("bob")})});
  roster.Apply({GroupOf("a", {{kAlice, GroupRole::kNone, "", {{Seq(1), Seq(2)}}}})});
  roster.Apply({GroupOf("e", {{kAlice, GroupRole::kRemoved, "", {{Seq(1), Seq(2)}}}})});
  CHECK(roster.GroupsOf(kAlice) == "b c d ");
  CHECK(roster->CountGroups(kAlice) == 3U);
  CHECK(roster->CountGroups(UserId("nobody")) == 0U);
  CHECK(roster.GroupsOf(kAlice, "", 2) == "b c ");
  CHECK(roster.GroupsOf(kAlice, "c", 2) == "d ");
  CHECK(roster.GroupsOf(kAlice, "d", 2).empty());
  CHECK(roster.GroupsOf(kAlice, "", 0).empty());
  CHECK(roster.GroupsOf(UserId("nobody")).empty());
  roster.Apply({GroupOf("a", {In("alice", GroupRole::kMember, 5)})});
  CHECK(roster.GroupsOf(kAlice) == "a b c d ");
}

TEST_CASE("a membership tells the role, the settings and how many are in now") {
  RosterFixture roster;
  auto only = [&](const UserId& user) {
    auto groups = roster->GroupsOf(user, GroupId(), 10);
    REQUIRE(groups);
    REQUIRE(groups->size() == 1);
    return groups->front();
  };
  GroupRecord group = GroupOf("ubuntu", {In("alice", GroupRole::kOwner), In("bob"), In("carol")});
  group.settings.open = true;
  roster.Apply({group});
  CHECK(only(kAlice).role == GroupRole::kOwner);
  CHECK(only(kBob).role == GroupRole::kMember);
  CHECK(only(kBob).settings == group.settings);
  CHECK(only(kBob).members == 3);
  // One leaves, one that is in is changed, one that was never in is refused for good, one comes.
  group.changed = {{UserId("carol"), GroupRole::kNone, "", {{Seq(1), Seq(2)}}},
                   In("bob", GroupRole::kAdmin),
                   {UserId("eve"), GroupRole::kRemoved, "", {}},
                   In("dave")};
  roster.Apply({group});
  CHECK(only(kBob).role == GroupRole::kAdmin);
  CHECK(only(kBob).members == 3);
  group.changed = {{UserId("dave"), GroupRole::kRemoved, "", {}},
                   {UserId("carol"), GroupRole::kNone, "", {}}};
  roster.Apply({group});
  CHECK(only(kBob).members == 2);
}

TEST_CASE("members of groups of delivery topic are told for the start, and no others") {
  RosterFixture roster;
  roster.Apply({GroupOf("small", {In("alice"), In("bob")})});
  roster.Apply({GroupOf("big", {In("alice"), In("bob"), In("carol")}, GroupDelivery::kTopic)});
  roster.Apply({GroupOf("big", {{kBob, GroupRole::kRemoved, "", {}}}, GroupDelivery::kTopic)});
  roster.Apply({GroupOf("other", {In("bob")}, GroupDelivery::kTopic)});
  std::set<std::string> expected{"big/alice", "big/carol", "other/bob"};
  CHECK(roster.TopicMembers() == expected);
  roster.Apply({GroupOf("small", {}, GroupDelivery::kTopic)});
  expected.insert({"small/alice", "small/bob"});
  CHECK(roster.TopicMembers() == expected);
}

TEST_CASE("contacts are read by peer, and one with nothing in it is no more") {
  RosterFixture roster;
  ContactRecord bob{kAlice, kBob, ContactState::kAsked, false, true};
  ContactRecord anna{kAlice, UserId("anna"), ContactState::kNone, true, false};
  ContactRecord other{kBob, kAlice, ContactState::kRequested, true, false};
  roster.Apply({bob, anna, other});
  for (int round = 0; round < 2; ++round) {
    CHECK(*roster->Contacts(kAlice) == std::vector{anna, bob});
    CHECK(*roster->Contacts(kBob) == std::vector{other});
    CHECK(roster->Contacts(UserId("carol"))->empty());
    roster.Reopen();
  }
  bob = {kAlice, kBob, ContactState::kAccepted, false, false};
  anna.blocked = false;
  roster.Apply({bob, anna});
  CHECK(*roster->Contacts(kAlice) == std::vector{bob});
  // What was empty and is emptied again is still nothing.
  roster.Apply({anna});
  CHECK(*roster->Contacts(kAlice) == std::vector{bob});
}

TEST_CASE("opt-ins are kept until they end, by device and provider") {
  RosterFixture roster;
  PushTargetRecord phone{kBob, DeviceId("bob:1"), PushProvider::kNtfy, "\"u\"", true, {}, 5};
  PushTargetRecord page{
      kBob, DeviceId("bob:1"), PushProvider::kWebPush, "{}", false, {"eve", "group/x"}, 6};
  PushTargetRecord other{kAlice, DeviceId("alice:1"), PushProvider::kApns, "\"t\"", true, {}, 7};
  roster.Apply({phone, page, other});
  for (int round = 0; round < 2; ++round) {
    CHECK(*roster->PushTargets(kBob) == std::vector{page, phone});
    CHECK(*roster->PushTargets(kAlice) == std::vector{other});
    std::set<UserId> users;
    REQUIRE(roster->ForEachPushUser([&](const UserId& user) { users.insert(user); }).ok());
    CHECK(users == std::set{kAlice, kBob});
    roster.Reopen();
  }
  phone.target = "\"new\"";
  page.target.clear();
  other.target.clear();
  roster.Apply({phone, page, other});
  CHECK(*roster->PushTargets(kBob) == std::vector{phone});
  CHECK(roster->PushTargets(kAlice)->empty());
}

TEST_CASE("push jobs are kept until they end, and with a reason after that") {
  RosterFixture roster;
  PushJobRecord one;
  one.id = 1;
  one.user = kBob;
  one.device = DeviceId("bob:1");
  one.provider = PushProvider::kFcm;
  one.from = kAlice;
  one.group = kUbuntu;
  one.seq = Seq(3);
  one.gseq = Seq(4);
  one.body = "\"hi\"";
  one.ts_ms = 5;
  one.created_ms = 6;
  PushJobRecord two = one;
  two.id = 2;
  roster.Apply({one, two});
  one.count = 2;
  roster.Apply({one});
  roster.Reopen();
  CHECK(*roster->PushJobs() == std::vector{one, two});
  roster.Apply({PushDoneRecord{1, "", 7}, PushDoneRecord{2, "no such host", 8}});
  roster.Apply({PushDoneRecord{2, "again", 9}});  // there is none
  CHECK(roster->PushJobs()->empty());
  const auto dead = roster->PushDeadLetters(10);
  REQUIRE(dead->size() == 1);
  CHECK(dead->front().reason == "no such host");
  CHECK(dead->front().ts_ms == 8);
  CHECK(dead->front().job.user == kBob);
  CHECK(dead->front().job.body.empty());  // nobody's words are kept for that
}

TEST_CASE("of push dead letters the latest ten thousand are kept") {
  RosterFixture roster;
  const auto kill = [&](uint64_t first, uint64_t last) {
    std::vector<Record> jobs, ends;
    for (uint64_t id = first; id <= last; ++id) {
      PushJobRecord job;
      job.id = id;
      job.user = kBob;
      job.from = kAlice;
      jobs.push_back(job);
      ends.push_back(PushDoneRecord{id, "no such host", 8});
    }
    roster.Apply(std::move(jobs));
    roster.Apply(std::move(ends));
    std::set<uint64_t> kept;
    const auto letters = roster->PushDeadLetters(2 * kPushDeadLettersMax);
    for (const PushDeadLetter& letter : *letters) kept.insert(letter.job.id);
    return kept;
  };
  std::set<uint64_t> kept = kill(1, kPushDeadLettersMax);
  CHECK(kept.size() == 10'000);
  CHECK(kept.contains(1));
  kept = kill(kPushDeadLettersMax + 1, kPushDeadLettersMax + 1);
  CHECK(kept.size() == 10'000);
  CHECK_FALSE(kept.contains(1));
  CHECK(kept.contains(kPushDeadLettersMax + 1));
}

TEST_CASE("a transaction is applied once") {
  RosterFixture roster;
  Transaction first{Lsn(1), {GroupOf("ubuntu", {In("alice"), In("bob")})}};
  Transaction second{Lsn(2),
                     {GroupOf("ubuntu", {{kBob, GroupRole::kNone, "", {{Seq(1), Seq(2)}}}})}};
  REQUIRE(roster.ApplyThese({&first, &second}).ok());
  REQUIRE(roster.ApplyThese({&first}).ok());
  CHECK(*roster->Applied() == Lsn(2));
  CHECK(roster.GroupsOf(kBob).empty());
  roster.Reopen();
  CHECK(*roster->Applied() == Lsn(2));
  Transaction third{Lsn(3), {ContactRecord{kAlice, kBob, ContactState::kAccepted, false, false}}};
  REQUIRE(roster.ApplyThese({&first, &second, &third}).ok());
  CHECK(*roster->Applied() == Lsn(3));
  CHECK(roster.GroupsOf(kBob).empty());
  CHECK(roster->GroupsOf(kAlice, GroupId(), 1)->front().members == 1);
  CHECK(roster->Contacts(kAlice)->size() == 1);
}

TEST_CASE("transactions that concern others are applied, too, and kept by a sync") {
  RosterFixture roster;
  Transaction others{Lsn(5), {MarksRecord{kAlice, Seq(1), Seq(1)}}};
  Transaction empty{Lsn(6), {}};
  REQUIRE(roster.ApplyThese({&others, &empty}).ok());
  CHECK(*roster->Applied() == Lsn(6));
  REQUIRE(roster.ApplyThese({}).ok());
  CHECK(*roster->Applied() == Lsn(6));
  REQUIRE(roster->Sync().ok());
  roster.Reopen();
  CHECK(*roster->Applied() == Lsn(6));
  REQUIRE(roster->Sync().ok());
  CHECK(*roster->Applied() == Lsn(6));
}

TEST_CASE("a batch that can't be written changes nothing, and can be tried again") {
  RosterFixture roster;
  roster.Apply({GroupOf("ubuntu", {In("alice")})});
  Transaction change{Lsn(2), {GroupOf("ubuntu", {In("bob")}), GroupOf("other", {In("bob")})}};
  {
    auto other = SqliteDb::Open(roster.file(), SqliteDb::Mode::kReadWrite);
    REQUIRE(other);
    // Refuses the second record of the batch.
    REQUIRE(other
                ->Exec("CREATE TRIGGER refuse BEFORE INSERT ON groups WHEN NEW.id = 'other' "
                       "BEGIN SELECT raise(ABORT, 'refused'); END")
                .ok());
    Status status = roster.ApplyThese({&change});
    CHECK_FALSE(status.ok());
    CHECK_THAT(status.message(), Contains("roster.db"));
    CHECK(*roster->Applied() == Lsn(1));
    CHECK(roster.GroupsOf(kBob).empty());
    REQUIRE(other->Exec("DROP TRIGGER refuse").ok());
  }
  REQUIRE(roster.ApplyThese({&change}).ok());
  CHECK(*roster->Applied() == Lsn(2));
  CHECK(roster.GroupsOf(kBob) == "other ubuntu ");
}

TEST_CASE("a change that was applied survives kill -9") {
  RosterFixture roster;
  roster.Close();
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  pid_t child = fork();
  if (child == 0) {
    auto opened = Roster::Open(roster.dir(), &roster.env());
    Transaction change{Lsn(1), {GroupOf("ubuntu", {In("alice")})}};
    const Transaction* one = &change;
    bool ok = opened && (*opened)->Apply({&one, 1}, {}).ok();
    char answer = ok ? 'y' : 'n';
    (void)!write(ready[1], &answer, 1);
    for (;;) pause();
  }
  char answer = 0;
  REQUIRE(read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  roster.Reopen();
  CHECK(*roster->Applied() == Lsn(1));
  CHECK(roster.GroupsOf(kAlice) == "ubuntu ");
}

TEST_CASE("a group of 100,000 members is written and read in moments") {
  RosterFixture roster;
  constexpr size_t kMembers = 100'000;
  GroupRecord group = GroupOf("ubuntu", {}, GroupDelivery::kTopic);
  for (size_t i = 0; i < kMembers; ++i) {
    group.changed.push_back(In(("user" + std::to_string(i)).c_str()));
  }
  roster.Apply({group});
  double start = ThreadCpuSeconds();
  auto state = roster->ReadGroup(kUbuntu);
  double took = ThreadCpuSeconds() - start;
  REQUIRE(state);
  CHECK(state->members.size() == kMembers);
  CHECK(took < 1);
  start = ThreadCpuSeconds();
  auto groups = roster->GroupsOf(UserId("user7"), GroupId(), 10);
  took = ThreadCpuSeconds() - start;
  REQUIRE(groups);
  CHECK(groups->front().members == kMembers);
  CHECK(took < 0.05);
  CHECK(roster.TopicMembers().size() == kMembers);
}

TEST_CASE("readers see whole changes while they are made") {
  RosterFixture roster;
  roster.Apply({GroupOf("ubuntu", {In("alice"), In("bob")})});
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0;
  std::atomic<int> reads = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        auto state = roster->ReadGroup(kUbuntu);
        if (!state || state->members.size() != 2) ++wrong;
        // A change names title and members alike.
        bool same = state && state->settings.title == state->members[0].name &&
                    state->settings.title == state->members[1].name;
        if (state && state->settings.open && !same) ++wrong;
        if (!roster->Contacts(kAlice)) ++wrong;
        ++reads;
      }
    });
  }
  for (int i = 0; i < 300 || reads < 50; ++i) {
    std::string name = std::to_string(i);
    GroupRecord change = GroupOf("ubuntu", {In("alice"), In("bob")});
    change.settings.title = name;
    change.settings.open = true;
    change.changed[0].name = change.changed[1].name = name;
    roster.Apply({change});
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
}

TEST_CASE("nobody else may read who is with whom") {
  mode_t old = umask(0022);
  RosterFixture roster;
  umask(old);
  roster.Apply({GroupOf("ubuntu", {In("alice")})});
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info;
    REQUIRE(stat((roster.file() + suffix).c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
  }
}

TEST_CASE("a roster that is damaged is corruption with the file's name") {
  RosterFixture roster;
  roster.Apply({GroupOf("ubuntu", {In("alice")})});
  SECTION("no database at all") {
    roster.Close();
    std::ofstream(roster.file(), std::ios::trunc) << std::string(8192, 'x');
    auto opened = Roster::Open(roster.dir(), &roster.env());
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code() == Code::kCorruption);
    CHECK_THAT(opened.error().message(), Contains("roster.db"));
  }
  SECTION("pages overwritten") {
    roster.Close();
    auto size = std::filesystem::file_size(roster.file());
    std::fstream file(roster.file(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(size - 4096, '\xff');
    file.close();
    // Named when it is opened, or else when what is damaged is read.
    auto opened = Roster::Open(roster.dir(), &roster.env());
    Status status = opened ? Status() : opened.error();
    if (opened) {
      auto state = (*opened)->ReadGroup(kUbuntu);
      REQUIRE_FALSE(state);
      status = state.error();
    }
    CHECK(status.code() == Code::kCorruption);
    CHECK_THAT(status.message(), Contains("roster.db"));
  }
  SECTION("values that can't be") {
    auto other = SqliteDb::Open(roster.file(), SqliteDb::Mode::kReadWrite);
    REQUIRE(other);
    for (const char* damage :
         {"UPDATE members SET role = 9", "UPDATE members SET role = 1, spans = '1-2,x'",
          "UPDATE members SET spans = '1'", "UPDATE members SET spans = '1-2,'",
          "UPDATE members SET spans = '-3'", "UPDATE members SET spans = '1-99999999999999999999'",
          "UPDATE members SET spans = ''; UPDATE groups SET delivery = 2"}) {
      INFO(damage);
      REQUIRE(other->Exec(damage).ok());
      auto state = roster->ReadGroup(kUbuntu);
      REQUIRE_FALSE(state);
      CHECK(state.error().code() == Code::kCorruption);
      CHECK_THAT(state.error().message(), Contains(roster.file()));
    }
  }
}

TEST_CASE("a roster of a newer Parley is refused and left alone") {
  RosterFixture roster;
  roster.Close();
  {
    auto db = SqliteDb::Open(roster.file(), SqliteDb::Mode::kReadWrite);
    REQUIRE(db);
    REQUIRE(db->Exec("PRAGMA user_version = 999").ok());
  }
  auto opened = Roster::Open(roster.dir(), &roster.env());
  REQUIRE_FALSE(opened);
  CHECK_THAT(opened.error().message(), Contains("roster.db") && Contains("newer Parley"));
}

}  // namespace
}  // namespace parley
