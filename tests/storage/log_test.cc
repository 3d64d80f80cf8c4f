#include "storage/log.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "storage/journal.h"
#include "tests/catch.h"
#include "tests/storage/clock_env.h"
#include "tests/storage/log_bench.h"

namespace parley {
namespace {

// Sends until `n` more messages are committed.
void SendAndWait(LogBench* bench, int n) {
  REQUIRE(bench->heard->WaitCommitted(bench->SendSome(n)));
  REQUIRE(bench->Settle());
}

// Waits for a condition that no listener tells.
template <class Ready>
bool Eventually(Ready ready) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// A place where a store's writer can be held.
class Gate {
 public:
  void Close() { Set(false); }
  void Open() { Set(true); }
  void Pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    --waiting_;
  }
  bool AwaitGuest() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return waiting_ > 0; });
  }

 private:
  void Set(bool open) {
    std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  int waiting_ = 0;
};

// ---- Committing and reading

TEST_CASE("what is committed can be read, and again after the log was opened anew") {
  LogBench bench;
  std::string epoch;
  for (int round = 0; round < 3; ++round) {
    REQUIRE(bench.Open().ok());
    if (round == 0) epoch = bench.log->epoch();
    CHECK(bench.log->epoch() == epoch);
    CHECK(epoch.size() == 16);
    CHECK(bench.log->next_lsn() == Lsn(static_cast<uint64_t>(round) * 40 + 1));
    bench.Check();
    SendAndWait(&bench, 40);
    bench.Check();
    CHECK(bench.log->backlog_bytes() == 0);
    CHECK(bench.log->figures().transactions == 40);
    CHECK(bench.log->figures().commits <= 40);
    CHECK(bench.log->journal_ok());
  }
  CHECK(bench.sure() == 120);
}

TEST_CASE("real files, as the broker uses them") {
  TempDir dir;
  LogOptions options;
  options.data_dir = dir.path() + "/data";
  options.journal_segment_bytes = 1 << 20;
  for (uint64_t round = 0; round < 3; ++round) {
    Heard heard;
    auto log = Log::Open(options, Env::Posix(), &heard);
    INFO((log ? "" : log.error().ToString()));
    REQUIRE(log.has_value());
    MessageRecord message;
    message.from = UserId("alice");
    message.to = UserId("bob");
    message.id = "m";
    message.body = std::string(2000, 'b');
    for (uint64_t i = 0; i < 2000; ++i) {  // several segments
      const Lsn lsn = (*log)->next_lsn();
      message.from_seq = message.to_seq = Seq(lsn.value());
      (*log)->Append({Transaction{lsn, {message}}});
    }
    const Lsn last(2000 * (round + 1));
    REQUIRE(heard.WaitCommitted(last));
    REQUIRE((*log)->WaitApplied("bob", last).ok());
    CHECK((*(*log)->store("bob"))->ReadTail(UserId("bob"))->last == Seq(last.value()));
  }
}

TEST_CASE("what queued while a sync was under way is committed as one group") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  std::vector<Transaction> batch;
  const Lsn first = bench.log->next_lsn();
  for (uint64_t i = 0; i < 50; ++i) batch.push_back(Transaction{Lsn(first.value() + i), {}});
  bench.log->Append(std::move(batch));
  REQUIRE(bench.heard->WaitCommitted(Lsn(50)));
  CHECK(bench.log->figures().commits == 1);
}

TEST_CASE("segments go when the stores have synced what they hold, and one file is used again") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 20; ++i) SendAndWait(&bench, 20);  // some ten segments
  REQUIRE(Eventually([&] { return bench.log->figures().journal_bytes <= 3 * (16 << 10); }));
  bench.Check();
  bench.Close();
  REQUIRE(bench.Open().ok());
  bench.Check();
}

TEST_CASE("a store that no user wrote to does not keep segments") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  const UserId a = bench.UserOf(0), b = bench.UserOf(0, 1);
  for (int i = 0; i < 300; ++i) REQUIRE(bench.heard->WaitCommitted(bench.Send(a, b)));
  REQUIRE(Eventually([&] { return bench.log->figures().journal_bytes <= 3 * (16 << 10); }));
  bench.Settle();
  bench.Check();
  bench.Close();
  REQUIRE(bench.Open().ok());
  bench.Check();
}

// ---- The journal fails

TEST_CASE("a full disk: senders are told, nothing is lost, and it works when there is room") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  for (int round = 0; round < 3; ++round) {
    bench.disk.SetFull(true);
    while (true) {
      const Lsn last = bench.SendSome(5);
      REQUIRE(bench.heard->WaitSettled(last));
      if (!bench.Settle()) break;
    }
    CHECK(bench.log->journal_ok());
    bench.disk.SetFull(false);
    (void)bench.log->ReplayDeadLetters();
    REQUIRE(Eventually([&] { return bench.log->figures().stores_down == 0; }));
    SendAndWait(&bench, 10);
    bench.Check();
  }
  bench.Close();
  REQUIRE(bench.Open().ok());
  bench.Check();
}

TEST_CASE("all that queued behind a failed batch fails with it, until the caller resumes") {
  LogBench bench;
  bench.options.journal_bytes_max = bench.options.journal_segment_bytes;
  REQUIRE(bench.Open().ok());
  const Lsn last = bench.SendSome(200);  // more than a segment
  REQUIRE(bench.heard->WaitSettled(last));
  const Lsn committed = bench.heard->committed();
  CHECK(committed < last);
  CHECK(bench.log->next_lsn() == last.Next());
  bench.SendSome(3);  // dropped: it was numbered on what failed
  CHECK_FALSE(bench.Settle());
  CHECK(bench.log->next_lsn() == committed.Next());
  bench.Check();
}

TEST_CASE("a wait for what the journal refused ends, before and after the caller resumes") {
  LogBench bench;
  bench.options.journal_bytes_max = bench.options.journal_segment_bytes;
  REQUIRE(bench.Open().ok());
  const Lsn last = bench.SendSome(200);
  Status waited;
  std::thread waiter([&] { waited = bench.log->WaitApplied(bench.UserOf(0).str(), last); });
  const bool settled = bench.heard->WaitSettled(last);
  waiter.join();
  REQUIRE(settled);
  CHECK(waited.code() == Code::kUnavailable);
  CHECK(bench.log->WaitApplied(bench.UserOf(0).str(), last).code() == Code::kUnavailable);
  CHECK(bench.log->WaitApplied(bench.UserOf(0).str(), bench.heard->committed()).ok());
  CHECK_FALSE(bench.Settle());
  CHECK(bench.log->WaitApplied(bench.UserOf(0).str(), last).code() == Code::kUnavailable);
}

TEST_CASE("a wait for what the journal is stuck with ends") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  bench.disk.Break("/data/journal");
  const Lsn last = bench.SendSome(3);
  CHECK(bench.log->WaitApplied(bench.UserOf(0).str(), last).code() == Code::kUnavailable);
  bench.disk.Mend();
  REQUIRE(bench.heard->WaitCommitted(last));
  CHECK(bench.log->WaitApplied(bench.UserOf(0).str(), last).ok());
}

TEST_CASE("a failure is reported as a range that begins after the last committed one") {
  LogBench bench;
  bench.options.journal_bytes_max = bench.options.journal_segment_bytes;
  REQUIRE(bench.Open().ok());
  const Lsn last = bench.SendSome(200);
  REQUIRE(bench.heard->WaitSettled(last));
  const auto failures = bench.heard->TakeFailures();
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].first == bench.heard->committed().Next());
  CHECK(failures[0].last >= failures[0].first);  // what came later was dropped without a word
  CHECK(failures[0].last <= last);
  CHECK(failures[0].why.code() == Code::kUnavailable);
}

TEST_CASE("a batch that may or may not be on the disk is written again until it is") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  bench.disk.Break("/data/journal");
  const Lsn last = bench.SendSome(3);
  REQUIRE(bench.heard->WaitLine("event=retry"));
  CHECK(Eventually([&] { return !bench.log->journal_ok(); }));
  CHECK(bench.log->backlog_bytes() > 0);
  CHECK(bench.heard->committed() < last);
  bench.disk.Mend();
  REQUIRE(bench.heard->WaitCommitted(last));
  CHECK(bench.log->journal_ok());
  CHECK(bench.log->figures().journal_errors > 0);
  bench.Settle();
  bench.Check();
  SendAndWait(&bench, 10);
  bench.Close();
  REQUIRE(bench.Open().ok());
  bench.Check();
}

TEST_CASE("a log whose journal refuses can be closed, and tells nobody what it does not know") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  bench.disk.Break("/data/journal");
  bench.SendSome(3);
  REQUIRE(bench.heard->WaitLine("event=retry"));
  bench.Close();
  CHECK(bench.heard->TakeFailures().empty());
  bench.disk.Mend();
  REQUIRE(bench.Open().ok());
  bench.Check();
}

TEST_CASE("segments that couldn't be removed are removed later, though nothing is sent any more") {
  LogBench bench;
  Gate gate;
  bench.watch = [&](int, std::span<const Transaction* const> transactions) {
    if (transactions.empty()) gate.Pass();  // a sync
    return Status();
  };
  REQUIRE(bench.Open().ok());
  gate.Close();
  // A few at a time: a group that no segment holds gets one as large as it is, and the newest
  // stays.
  for (int i = 0; i < 15; ++i) SendAndWait(&bench, 20);
  REQUIRE(gate.AwaitGuest());
  bench.disk.Break("/data/journal");
  gate.Open();
  REQUIRE(bench.heard->WaitLine("event=not_kept"));
  bench.disk.Mend();
  CHECK(Eventually([&] { return bench.log->figures().journal_bytes <= 3 * (16 << 10); }));
  bench.Check();
}

// ---- Stores fail

// A store that can't be written is found out when it must be synced, since a segment is full.
void BreakStore(LogBench* bench) {
  bench->disk.Break("/data/store-1");
  SendAndWait(bench, 100);
  REQUIRE(bench->heard->WaitStoresChanged(1));
}

TEST_CASE(
    "a failing store's users are unavailable, the others go on, and it comes back by itself") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  const UserId well = bench.UserOf(0), ill = bench.UserOf(1);
  BreakStore(&bench);
  const Lsn last = bench.Send(well, ill);
  REQUIRE(bench.heard->WaitCommitted(last));
  CHECK(bench.log->WaitApplied(ill.str(), last).code() == Code::kUnavailable);
  CHECK_FALSE(bench.log->store_ok(ill.str()));
  CHECK(bench.log->store(ill.str()).error().code() == Code::kUnavailable);
  CHECK(bench.log->WaitApplied(well.str(), last).ok());
  CHECK(bench.log->store_ok(well.str()));
  CHECK(bench.log->figures().store_retries >= 2);
  SendAndWait(&bench, 30);
  REQUIRE(Eventually([&] { return bench.log->figures().dead_letters > 0; }));
  CHECK(bench.log->figures().stores_down == 1);
  bench.disk.Mend();
  REQUIRE(bench.heard->WaitStoresChanged(2));
  CHECK(bench.log->store_ok(ill.str()));
  CHECK(bench.log->figures().dead_letters == 0);
  bench.Check();
  SendAndWait(&bench, 10);
  bench.Check();
}

TEST_CASE("dead letters are replayed on demand, in order, and an attempt that fails says so") {
  LogBench bench;
  bench.options.retry_ms = 1000;  // no probe of its own while the test lasts
  bench.options.retry_max = 0;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  BreakStore(&bench);
  CHECK_FALSE(bench.log->ReplayDeadLetters().ok());
  SendAndWait(&bench, 20);
  bench.disk.Mend();
  Status status = bench.log->ReplayDeadLetters();
  INFO(status.ToString());
  REQUIRE(status.ok());
  CHECK(bench.log->ReplayDeadLetters().ok());
  bench.Check();
}

TEST_CASE("dead letters outlive the process, and while a store is down segments can go") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  bench.disk.Break("/data/store-1");
  for (int i = 0; i < 20; ++i) SendAndWait(&bench, 20);
  REQUIRE(Eventually([&] {
    (void)bench.log->ReplayDeadLetters();  // a turn in which it copies
    return bench.log->figures().journal_bytes <= 3 * (16 << 10);
  }));
  CHECK(bench.disk.Exists("/data/deadletter/store-1.log"));
  bench.Close();
  bench.disk.Mend();
  if (GENERATE(true, false)) {
    bench.disk.CutPower();
    bench.disk.PowerOn();
  }
  Status status = bench.Open();
  INFO(status.ToString());
  REQUIRE(status.ok());
  bench.Check();
  CHECK_FALSE(bench.disk.Exists("/data/deadletter/store-1.log"));
}

TEST_CASE("where dead letters can't be written either, the journal keeps what a store lacks") {
  LogBench bench;
  bench.options.store_queue_bytes_max = 4 << 10;  // what waits in memory is dropped soon
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  bench.disk.Break("/data/store-1");
  bench.disk.Break("/data/deadletter");
  for (int i = 0; i < 10; ++i) SendAndWait(&bench, 20);
  REQUIRE(bench.heard->WaitLine("event=dead_letters_not_written"));
  CHECK(bench.log->figures().dead_letters == 0);
  SECTION("until both work again") {
    bench.disk.Mend();
    REQUIRE(Eventually([&] { return bench.log->ReplayDeadLetters().ok(); }));
  }
  SECTION("until the next start") {
    bench.Close();
    bench.disk.Mend();
    REQUIRE(bench.Open().ok());
  }
  SECTION("through a power cut") {
    bench.disk.CutPower();
    bench.Close();
    bench.disk.PowerOn();
    bench.disk.Mend();
    REQUIRE(bench.Open().ok());
  }
  bench.Check();
}

TEST_CASE("whichever operations of a store or its dead letters fail, nothing is lost") {
  for (uint64_t at = 1; at <= 60; at += 2) {
    for (uint64_t how_many : {1, 3, 6}) {
      LogBench bench(at * 100 + how_many);
      INFO("operation " << at << ", " << how_many << " of them");
      REQUIRE(bench.Open().ok());
      SendAndWait(&bench, 3);
      bench.disk.FailAt(at, how_many);
      for (int i = 0; i < 30; ++i) {
        REQUIRE(bench.heard->WaitSettled(bench.SendSome(2)));
        bench.Settle();
        if (i % 3 == 0) bench.Apply(bench.UserOf(i % 2));
      }
      bench.disk.FailAt(0, 0);
      REQUIRE(Eventually([&] { return bench.log->ReplayDeadLetters().ok(); }));
      bench.Check();
      bench.Close();
      Status status = bench.Open();
      INFO(status.ToString());
      REQUIRE(status.ok());
      bench.Check();
    }
  }
}

TEST_CASE("a slow store holds the committer back once its queue is full, and nothing else") {
  LogBench bench;
  Gate gate;
  bench.options.store_queue_bytes_max = 8 << 10;
  bench.watch = [&](int store, std::span<const Transaction* const> transactions) {
    if (store == 1 && !transactions.empty()) gate.Pass();
    return Status();
  };
  REQUIRE(bench.Open().ok());
  gate.Close();
  const UserId slow = bench.UserOf(1);
  Lsn last;
  for (int i = 0; i < 100; ++i) last = bench.Send(slow, bench.UserOf(0));
  REQUIRE(gate.AwaitGuest());
  // More than the queue holds is never handed on; that much stays in the backlog. Appending goes
  // on.
  REQUIRE(Eventually([&] { return bench.log->figures().unapplied > 0; }));
  for (int i = 0; i < 100; ++i) {
    last = bench.Send(slow, bench.UserOf(0));
    if (i % 10 == 9) std::this_thread::yield();
  }
  CHECK(bench.log->store_ok(slow.str()));
  gate.Open();
  REQUIRE(bench.heard->WaitCommitted(last));
  bench.Settle();
  bench.Check();
  CHECK(bench.log->backlog_bytes() == 0);
}

TEST_CASE("a start waits for no table: the journal keeps what no store has synced since then") {
  LogBench bench;
  Gate gate;
  bench.watch = [&](int store, std::span<const Transaction* const> transactions) {
    if (store == 1 && transactions.empty()) gate.Pass();
    return Status();
  };
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 3; ++i) SendAndWait(&bench, 20);
  bench.Close();
  gate.Close();
  REQUIRE(bench.Open().ok());
  REQUIRE(gate.AwaitGuest());
  const uint64_t kept = bench.log->figures().journal_bytes;
  for (int i = 0; i < 10; ++i) SendAndWait(&bench, 20);
  CHECK(bench.log->figures().journal_bytes > kept + 3 * (16 << 10));
  SECTION("until they have") {
    gate.Open();
    REQUIRE(Eventually([&] { return bench.log->figures().journal_bytes <= 3 * (16 << 10); }));
  }
  SECTION("through a power cut") {
    bench.disk.CutPower();
    gate.Open();
    bench.Close();
    bench.disk.PowerOn();
    REQUIRE(bench.Open().ok());
  }
  bench.Check();
}

// ---- Groups and the roster

// Changes of groups, from now on until `n` more are committed.
void ChangeAndWait(LogBench* bench, int n) {
  Lsn last;
  for (int i = 0; i < n; ++i) {
    last = bench->SendToGroup(bench->UserOf(i % 2), bench->GroupOf(i / 2 % 2), /*change=*/true);
  }
  REQUIRE(bench->heard->WaitCommitted(last));
  REQUIRE(bench->Settle());
}

TEST_CASE("what the roster has to know is in it once it is waited for, and after a restart") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  CHECK(bench.log->roster_ok());
  ChangeAndWait(&bench, 5);
  REQUIRE(bench.log->WaitRoster(bench.heard->committed()).ok());
  CHECK(bench.roster->records().size() == 5);
  SendAndWait(&bench, 20);
  REQUIRE(bench.log->WaitRoster(bench.heard->committed()).ok());  // none of it, or little, is its
  bench.Close();
  REQUIRE(bench.Open().ok());
  CHECK(bench.roster->Applied() == Lsn(25));
  CHECK(bench.log->WaitRoster(Lsn(25)).ok());
  bench.Check();
}

TEST_CASE("a roster that fails holds up nobody's messages, and comes back by itself") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  ChangeAndWait(&bench, 3);
  bench.disk.Break("/data/roster");
  ChangeAndWait(&bench, 3);
  CHECK(bench.log->WaitRoster(bench.heard->committed()).code() == Code::kUnavailable);
  CHECK_FALSE(bench.log->roster_ok());
  REQUIRE(bench.heard->WaitStoresChanged(1));
  CHECK(bench.heard->HasSaid("store=roster"));
  CHECK(bench.log->figures().stores_down == 1);
  CHECK(bench.log->figures().store_retries >= 2);
  SendAndWait(&bench, 30);
  for (int store : {0, 1}) {
    const std::string user = bench.UserOf(store).str(), group = bench.GroupOf(store).str();
    CHECK(bench.log->store_ok(user));
    CHECK(bench.log->WaitApplied(user, bench.heard->committed()).ok());
    CHECK(bench.log->WaitApplied(group, bench.heard->committed()).ok());
  }
  REQUIRE(Eventually([&] { return bench.log->figures().dead_letters > 0; }));
  bench.disk.Mend();
  REQUIRE(bench.heard->WaitStoresChanged(2));
  CHECK(bench.log->roster_ok());
  CHECK(bench.log->figures().dead_letters == 0);
  bench.Check();
  ChangeAndWait(&bench, 3);
  bench.Check();
}

TEST_CASE("the roster's dead letters are replayed on demand, and an attempt that fails says so") {
  LogBench bench;
  bench.options.retry_ms = 1000;  // no probe of its own while the test lasts
  bench.options.retry_max = 0;
  REQUIRE(bench.Open().ok());
  bench.disk.Break("/data/roster");
  ChangeAndWait(&bench, 4);
  REQUIRE(bench.heard->WaitStoresChanged(1));
  CHECK_FALSE(bench.log->ReplayDeadLetters().ok());
  ChangeAndWait(&bench, 4);
  bench.disk.Mend();
  Status status = bench.log->ReplayDeadLetters();
  INFO(status.ToString());
  REQUIRE(status.ok());
  // What the writer hadn't yet put behind the dead letters it applies after them.
  REQUIRE(bench.log->WaitRoster(Lsn(bench.log->next_lsn().value() - 1)).ok());
  CHECK(bench.roster->records().size() == 8);
  bench.Check();
}

TEST_CASE("the roster's dead letters outlive the process, and let segments go meanwhile") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  bench.disk.Break("/data/roster");
  for (int i = 0; i < 20; ++i) {
    ChangeAndWait(&bench, 5);
    SendAndWait(&bench, 15);
  }
  REQUIRE(Eventually([&] {
    (void)bench.log->ReplayDeadLetters();  // a turn in which it copies
    return bench.log->figures().journal_bytes <= 3 * (16 << 10);
  }));
  CHECK(bench.disk.Exists("/data/deadletter/roster.log"));
  bench.Close();
  bench.disk.Mend();
  if (GENERATE(true, false)) {
    bench.disk.CutPower();
    bench.disk.PowerOn();
  }
  Status status = bench.Open();
  INFO(status.ToString());
  REQUIRE(status.ok());
  bench.Check();
  CHECK_FALSE(bench.disk.Exists("/data/deadletter/roster.log"));
}

TEST_CASE("the journal keeps what the roster has not synced, and brings it there at the start") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 10; ++i) {
    ChangeAndWait(&bench, 5);
    SendAndWait(&bench, 15);
  }
  REQUIRE(bench.log->WaitRoster(bench.heard->committed()).ok());
  bench.disk.CutPower();
  bench.Close();
  bench.disk.PowerOn();
  REQUIRE(bench.Open().ok());
  CHECK(bench.roster->Applied() == Lsn(bench.log->next_lsn().value() - 1));
  bench.Check();
}

TEST_CASE("a roster that lacks what the journal no longer has is refused") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 20; ++i) SendAndWait(&bench, 20);
  REQUIRE(Eventually([&] { return bench.log->figures().journal_bytes <= 3 * (16 << 10); }));
  bench.Close();
  REQUIRE(bench.disk.Remove("/data/roster").ok());
  CHECK(bench.Open().code() == Code::kCorruption);
}

TEST_CASE("a log without a roster takes what is the roster's as nobody's") {
  LogBench bench;
  bench.with_roster = false;
  REQUIRE(bench.Open().ok());
  ChangeAndWait(&bench, 5);
  SendAndWait(&bench, 20);
  CHECK(bench.log->roster_ok());
  CHECK(bench.log->WaitRoster(bench.heard->committed()).ok());
  CHECK(bench.log->WaitRoster(bench.log->next_lsn()).code() == Code::kUnavailable);
  bench.Check();
  bench.Close();
  REQUIRE(bench.Open().ok());
  bench.Check();
}

// A member's log, unfilled.
std::vector<LogEntry> LogOf(LogBench* bench, const UserId& user, bool descending = false) {
  REQUIRE(bench->log->WaitApplied(user.str(), bench->heard->committed()).ok());
  const Page page{.descending = descending, .limit = 1000};
  return (*bench->log->store(user.str()))->ReadLog(user, page)->entries;
}

TEST_CASE("entries that point to groups' messages are filled from the groups' stores") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 100);
  const bool descending = GENERATE(true, false);
  std::vector<LogEntry> entries = LogOf(&bench, bench.UserOf(0), descending);
  if (GENERATE(true, false)) {  // with gaps, as in a page of which some are left out
    for (size_t i = 0; i < entries.size(); ++i)
      entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
  }
  const std::vector<LogEntry> before = entries;
  REQUIRE(FillEntries(bench.log.get(), entries).ok());
  REQUIRE(entries.size() == before.size());
  std::set<GroupId> groups;
  for (size_t i = 0; i < entries.size(); ++i) {
    CHECK(entries[i].seq == before[i].seq);
    CHECK(entries[i].lsn == before[i].lsn);
    if (before[i].group.empty()) {
      CHECK(entries[i].message == before[i].message);
      continue;
    }
    const GroupId group = before[i].group;
    groups.insert(group);
    const Seq gseq = before[i].gseq;
    const Page one{.after = Seq(gseq.value() - 1), .limit = 1};
    auto store = *bench.log->store(group.str());
    CHECK(entries[i].message == store->ReadGroup(group, one)->entries.at(0).message);
    CHECK_FALSE(entries[i].message.body.empty());
    CHECK(entries[i].message.from == before[i].message.from);
    CHECK(entries[i].message.type == before[i].message.type);
    CHECK(entries[i].message.ts_ms == before[i].message.ts_ms);
  }
  CHECK(groups.size() == 2);  // one in each store
}

TEST_CASE("a group's entries get the numbers that they have in a member's log") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 20; ++i) SendAndWait(&bench, 20);
  const Lsn holds = bench.heard->committed();
  for (const GroupId& group : {bench.GroupOf(0), bench.GroupOf(1), bench.GroupOf(1, true)}) {
    for (const UserId& user : {bench.UserOf(0), bench.UserOf(1), UserId("stranger")}) {
      INFO(group.str() << " in the log of " << user.str());
      std::map<Seq, Seq> numbers;
      for (const LogEntry& entry : LogOf(&bench, user)) {
        if (entry.group == group) numbers[entry.gseq] = entry.seq;
      }
      REQUIRE(bench.log->WaitApplied(group.str(), holds).ok());
      const auto store = *bench.log->store(group.str());
      const uint64_t last = store->ReadGroupTail(group)->value();
      REQUIRE(last > 20);
      for (uint64_t after = 0; after <= last; ++after) {
        for (const Page& page : {Page{.after = Seq(after), .limit = 1 + after % 7},
                                 Page{.before = Seq(after), .descending = true, .limit = 5}}) {
          std::vector<LogEntry> entries = store->ReadGroup(group, page)->entries;
          REQUIRE(NumberEntries(bench.log.get(), user, holds, entries).ok());
          for (const LogEntry& entry : entries) CHECK(entry.peer_seq == numbers[entry.gseq]);
        }
      }
    }
  }
}

TEST_CASE("what comes while a group's entries get their numbers takes nothing from them") {
  LogBench bench;
  bench.watch = [](int, std::span<const Transaction* const>) { return Status(); };
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 40);
  const UserId user = bench.UserOf(0);
  std::map<GroupId, std::vector<LogEntry>> groups;
  for (const LogEntry& entry : LogOf(&bench, user)) {
    if (!entry.group.empty()) groups[entry.group].push_back(entry);
  }
  const Lsn holds = bench.heard->committed();
  bench.conversation_read = [&] {
    SendAndWait(&bench, 40);
    REQUIRE(bench.log->WaitApplied(user.str(), bench.heard->committed()).ok());
  };
  REQUIRE_FALSE(groups.empty());
  for (auto& [group, entries] : groups) {
    std::vector<LogEntry> numbered = entries;
    REQUIRE(NumberEntries(bench.log.get(), user, holds, numbered).ok());
    for (const LogEntry& entry : numbered) CHECK(entry.peer_seq == entry.seq);
  }
}

TEST_CASE("a page is cut where what its entries point to is more than it takes") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 100);
  LogPage whole{LogOf(&bench, bench.UserOf(0)), false};
  LogPage page = whole;
  REQUIRE(FillPage(bench.log.get(), &whole, SIZE_MAX).ok());
  CHECK_FALSE(whole.more);
  REQUIRE(whole.entries.size() == page.entries.size());
  const size_t kept = GENERATE(size_t{1}, size_t{2}, size_t{20});
  REQUIRE(kept < whole.entries.size());
  size_t bytes = 0;
  for (size_t i = 0; i < kept; ++i) bytes += whole.entries[i].message.body.size();
  const size_t short_by = GENERATE(size_t{0}, size_t{1});
  REQUIRE(FillPage(bench.log.get(), &page, bytes - short_by).ok());
  CHECK(page.more);
  // The first one stays, whatever its size.
  REQUIRE(page.entries.size() == std::max(size_t{1}, kept - short_by));
  for (size_t i = 0; i < page.entries.size(); ++i) {
    CHECK(page.entries[i].message == whole.entries[i].message);
  }
}

TEST_CASE("entries can't be filled while the group's store is down, nor from what isn't there") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  const UserId user = bench.UserOf(0);
  REQUIRE(bench.heard->WaitCommitted(bench.SendToGroup(user, bench.GroupOf(1))));
  REQUIRE(bench.Settle());
  std::vector<LogEntry> entries = LogOf(&bench, user);
  REQUIRE(entries.size() == 1);
  SECTION("down") {
    BreakStore(&bench);
    REQUIRE(bench.heard->WaitCommitted(bench.SendToGroup(user, bench.GroupOf(1))));
    REQUIRE(bench.Settle());
    entries = LogOf(&bench, user);  // of the other store
    CHECK(FillEntries(bench.log.get(), entries).code() == Code::kUnavailable);
    bench.disk.Mend();
    REQUIRE(Eventually([&] { return bench.log->ReplayDeadLetters().ok(); }));
    CHECK(FillEntries(bench.log.get(), entries).ok());
  }
  SECTION("a number that the group doesn't have") {
    entries[0].gseq = Seq(2);
    CHECK(FillEntries(bench.log.get(), entries).code() == Code::kCorruption);
    entries[0].gseq = Seq(0);
    CHECK(FillEntries(bench.log.get(), entries).code() == Code::kCorruption);
  }
  SECTION("a group that nobody knows") {
    entries[0].group = GroupId("other");
    Status status = FillEntries(bench.log.get(), entries);
    CHECK(status.code() == Code::kCorruption);
    CHECK(status.message().find("'other'") != std::string::npos);
  }
}

// ---- Durability

TEST_CASE("with a sync at intervals, what a store is given survives a power cut at that moment") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    LogBench bench(seed);
    std::atomic<uint64_t> given{0};
    std::atomic<int> calls{-1};
    bench.watch = [&](int, std::span<const Transaction* const> transactions) {
      if (transactions.empty() || calls < 0) return Status();
      if (++calls == static_cast<int>(1 + seed % 3)) {
        given = transactions.back()->lsn.value();
        bench.disk.CutPower();
      }
      return Status();
    };
    bench.options.durability = Durability::kInterval;
    bench.options.interval_ms = 20;
    bench.committed_is_durable = false;
    REQUIRE(bench.Open().ok());
    calls = 0;
    while (!bench.disk.power_is_off()) {
      bench.SendSome(3);
      std::this_thread::yield();
    }
    bench.Close();
    bench.disk.PowerOn();
    bench.watch = nullptr;
    REQUIRE(bench.Open().ok());
    CHECK(bench.log->next_lsn() > Lsn(given));
    bench.Check();
  }
}

TEST_CASE("waiting for a store does not wait for the interval to end") {
  LogBench bench;
  bench.options.durability = Durability::kInterval;
  bench.options.interval_ms = 3'600'000;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  CHECK(bench.log->figures().commits == 0);
  bench.Check();  // waits for each user
  CHECK(bench.log->figures().commits >= 1);
}

TEST_CASE("a wait for a store ends where the journal can't be synced") {
  LogBench bench;
  bench.options.durability = Durability::kInterval;
  bench.options.interval_ms = 3'600'000;
  REQUIRE(bench.Open().ok());
  SendAndWait(&bench, 10);
  bench.disk.Break("/data/journal");
  CHECK(bench.log->WaitApplied(bench.UserOf(0).str(), Lsn(10)).code() == Code::kUnavailable);
  bench.disk.Mend();
  REQUIRE(Eventually([&] { return bench.log->WaitApplied(bench.UserOf(0).str(), Lsn(10)).ok(); }));
  bench.Check();
}

// Nothing of the journal is synced, and stores make tables meanwhile.
void MakeStoresAhead(LogBench* bench) {
  bench->options.durability = Durability::kOs;
  bench->options.journal_segment_bytes = 1 << 20;
  bench->write_buffer_bytes = 64 << 10;
}

void SendAndApply(LogBench* bench) {
  for (int i = 0; i < 20; ++i) {
    SendAndWait(bench, 15);
    bench->Apply(bench->UserOf(0));
    bench->Apply(bench->UserOf(1));
  }
}

TEST_CASE("without syncs the numbers go on past what any store knows after a power cut") {
  int jumps = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    LogBench bench(seed);
    INFO("seed " << seed);
    MakeStoresAhead(&bench);
    REQUIRE(bench.Open().ok());
    SendAndApply(&bench);
    bench.disk.CutPower();
    bench.Close();
    bench.disk.PowerOn();
    REQUIRE(bench.Open().ok());
    jumps += bench.heard->HasSaid("event=jump");
    const UserId user = bench.UserOf(0);
    const Seq before = (*bench.log->store(user.str()))->ReadTail(user)->last;
    MessageRecord message;
    message.from = message.to = user;
    message.from_seq = message.to_seq = before.Next();
    message.id = "new";
    const Lsn lsn = bench.log->next_lsn();
    bench.log->Append({Transaction{lsn, {message}}});
    REQUIRE(bench.heard->WaitCommitted(lsn));
    REQUIRE(bench.log->WaitApplied(user.str(), lsn).ok());
    CHECK((*bench.log->store(user.str()))->ReadTail(user)->last == before.Next());
    bench.Close();
    REQUIRE(bench.Open().ok());
    CHECK((*bench.log->store(user.str()))->ReadTail(user)->last == before.Next());
  }
  CHECK(jumps > 0);
}

// Who sent what, under which id, in all that the journal has.
std::vector<std::pair<UserId, std::string>> SentInJournal(LogBench* bench) {
  JournalOptions options;
  options.dir = "/data/journal";
  options.unsynced = true;
  auto journal = Journal::Open(options, &bench->disk, [](const std::string&) {});
  REQUIRE(journal.has_value());
  std::vector<std::pair<UserId, std::string>> sent;
  const Lsn before((*journal)->first().value() - 1);
  auto visit = [&](const std::vector<Transaction>& transactions) {
    for (const Transaction& transaction : transactions) {
      for (const Record& record : transaction.records) {
        if (const auto* message = std::get_if<MessageRecord>(&record)) {
          sent.emplace_back(message->from, message->id);
        }
      }
    }
    return Status();
  };
  REQUIRE((*journal)->Read(before, (*journal)->last(), visit).ok());
  return sent;
}

TEST_CASE("without syncs, where one store is ahead of the journal the others get what it has") {
  int jumps = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    LogBench bench(seed);
    INFO("seed " << seed);
    MakeStoresAhead(&bench);
    REQUIRE(bench.Open().ok());
    SendAndApply(&bench);
    bench.disk.CutPower();
    bench.Close();
    bench.disk.PowerOn();
    const auto sent = SentInJournal(&bench);
    REQUIRE(bench.Open().ok());
    if (!bench.heard->HasSaid("event=jump")) continue;
    jumps += !sent.empty();
    for (const auto& [user, id] : sent) {
      auto place = (*bench.log->store(user.str()))->FindSent(user, id);
      REQUIRE(place.has_value());
      INFO(id << " of " << user.str());
      CHECK(place->found());
    }
  }
  CHECK(jumps > 0);
}

// ---- What is refused

void RemoveAll(FaultEnv* disk, const std::string& dir) {
  const auto names = disk->List(dir);
  REQUIRE(names.has_value());
  for (const std::string& name : *names) REQUIRE(disk->Remove(dir + "/" + name).ok());
}

TEST_CASE("a directory in which something is missing or damaged is refused by name") {
  LogBench bench;
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 10; ++i) SendAndWait(&bench, 20);
  bench.Close();
  std::string name;
  SECTION("the shard map") {
    name = "/data/shards";
    REQUIRE(bench.disk.Remove(name).ok());
  }
  SECTION("a damaged shard map") {
    name = "/data/shards";
    bench.disk.FlipBit(name, 20);
  }
  SECTION("a store's CURRENT") {
    name = "/data/store-1";
    REQUIRE(bench.disk.Remove(name + "/CURRENT").ok());
  }
  SECTION("a store's files") {
    name = "/data/store-1";
    RemoveAll(&bench.disk, name);
  }
  SECTION("the journal's segments") {
    name = "/data/journal";
    RemoveAll(&bench.disk, name);
  }
  SECTION("a damaged header of the journal") {
    name = "/data/journal/" + bench.disk.List("/data/journal")->front();
    bench.disk.FlipBit(name, 20);
  }
  Status status = bench.Open();
  REQUIRE_FALSE(status.ok());
  INFO(status.ToString());
  CHECK(status.message().find(name) != std::string::npos);
}

// ---- Threads

TEST_CASE("many readers, a failing store and a caller who never waits get along") {
  LogBench bench;
  bench.options.stores = 4;
  REQUIRE(bench.Open().ok());
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      const UserId user = bench.UserOf(i);
      while (!stop) {
        const Lsn committed = bench.heard->committed();
        if (!bench.log->WaitApplied(user.str(), committed).ok()) continue;
        auto store = bench.log->store(user.str());
        if (store) (void)(*store)->ReadLog(user, Page{});
        (void)bench.log->store_ok(user.str());
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      (void)bench.log->figures();
      (void)bench.log->backlog_bytes();
      (void)bench.log->ReplayDeadLetters();
      std::this_thread::yield();
    }
  });
  for (int round = 0; round < 6; ++round) {
    if (round % 2 == 1) bench.disk.Break("/data/store-1");
    for (int i = 0; i < 10; ++i) {
      const Lsn last = bench.SendSome(10);
      REQUIRE(bench.heard->WaitCommitted(last));
      bench.Settle();
    }
    bench.disk.Mend();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  Status status;
  const bool up = Eventually([&] { return (status = bench.log->ReplayDeadLetters()).ok(); });
  INFO(status.ToString());
  REQUIRE(up);
  bench.Check();
  CHECK(bench.sure() == 600);
}

}  // namespace
}  // namespace parley
