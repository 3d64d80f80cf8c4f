#include "storage/journal.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/storage/fault_env.h"

namespace parley {
namespace {

constexpr uint64_t kSmallSegment = 16 << 10;
const std::string kDir = "/journal";

Transaction Make(uint64_t lsn, const std::string& id, size_t body_bytes = 100) {
  MessageRecord message;
  message.from = UserId("alice");
  message.to = UserId("bob");
  message.from_seq = message.to_seq = Seq(lsn);
  message.id = id;
  message.body = std::string(body_bytes, 'b');
  return Transaction{Lsn(lsn), {message}};
}

std::string IdOf(const Transaction& transaction) {
  return std::get<MessageRecord>(transaction.records.front()).id;
}

// A journal on a disk that can fail, and what was said in its log.
class Bench {
 public:
  explicit Bench(uint64_t seed = 1) : disk(seed) { options.segment_bytes = kSmallSegment; }

  Status Open() {
    journal.reset();
    options.dir = kDir;
    auto opened =
        Journal::Open(options, &disk, [this](const std::string& line) { lines.push_back(line); });
    if (!opened) return opened.error();
    journal = std::move(*opened);
    return Status();
  }

  Status Commit(size_t body_bytes = 100, bool sync = true) {
    const uint64_t lsn = journal->last().value() + 1;
    const Transaction transaction = Make(lsn, "m" + std::to_string(lsn), body_bytes);
    return journal->Commit({&transaction, 1}, sync);
  }

  // The ids of what stands in the journal after `after`.
  Result<std::vector<std::string>> Ids(Lsn after = Lsn()) {
    std::vector<std::string> ids;
    Status status = journal->Read(std::max(after, Lsn(journal->first().value() - 1)),
                                  journal->last(), [&](std::vector<Transaction> found) {
                                    for (const Transaction& t : found) ids.push_back(IdOf(t));
                                    return Status();
                                  });
    if (!status.ok()) return Error(status);
    return ids;
  }

  std::vector<std::string> Files() { return *disk.List(kDir); }
  bool Said(const std::string& what) const {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(what) != std::string::npos;
    });
  }

  FaultEnv disk;
  JournalOptions options;
  std::unique_ptr<Journal> journal;
  std::vector<std::string> lines;
};

std::vector<std::string> Numbered(uint64_t from, uint64_t to) {
  std::vector<std::string> ids;
  for (uint64_t i = from; i <= to; ++i) ids.push_back("m" + std::to_string(i));
  return ids;
}

// The offset of the n-th frame (from 0) of a segment.
uint64_t FrameOffset(FaultEnv* disk, const std::string& path, int n) {
  const std::string data = *disk->ReadFile(path);
  const uint64_t nonce = DecodeHeader(data)->nonce;
  uint64_t at = kFramesStart;
  for (; n > 0; --n) at = ParseFrame(data, nonce, at)->end;
  REQUIRE(ParseFrame(data, nonce, at).has_value());
  return at;
}

TEST_CASE("what was committed is read back in order after the journal was opened anew") {
  Bench bench;
  for (uint64_t round = 1; round <= 3; ++round) {
    REQUIRE(bench.Open().ok());
    CHECK(bench.journal->last() == Lsn(10 * (round - 1)));
    for (int i = 0; i < 10; ++i) REQUIRE(bench.Commit().ok());
    CHECK(bench.Ids() == Numbered(1, 10 * round));
    CHECK(bench.Ids(Lsn(7)) == Numbered(8, 10 * round));
  }
}

TEST_CASE("a group of transactions is one frame, and any part of it can be read") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  const std::vector<Transaction> group{Make(1, "m1"), Make(2, "m2"), Make(3, "m3")};
  REQUIRE(bench.journal->Commit(group, true).ok());
  CHECK(bench.Ids(Lsn(1)) == Numbered(2, 3));
  size_t visits = 0;
  REQUIRE(bench.journal
              ->Read(Lsn(0), Lsn(2),
                     [&](std::vector<Transaction> found) {
                       ++visits;
                       CHECK(found.size() == 2);
                       return Status();
                     })
              .ok());
  CHECK(visits == 1);
}

TEST_CASE("a transaction larger than a segment gets a segment of its size") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  REQUIRE(bench.Commit().ok());
  REQUIRE(bench.Commit(3 * kSmallSegment).ok());
  REQUIRE(bench.Commit().ok());
  REQUIRE(bench.Open().ok());
  CHECK(bench.Ids() == Numbered(1, 3));
}

TEST_CASE("trimming keeps what is not applied, and the oldest file becomes the next segment") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  while (bench.journal->bytes() < 4 * kSmallSegment) REQUIRE(bench.Commit().ok());
  const Lsn last = bench.journal->last();
  const Lsn closed = bench.journal->closed_through();
  REQUIRE(bench.journal->Trim(Lsn(closed.value() - 1)).ok());
  CHECK(bench.journal->bytes() == 2 * kSmallSegment);
  CHECK(bench.journal->first() < closed);
  CHECK(bench.disk.Exists(kDir + "/spare"));
  CHECK(bench.Files().size() == 3);

  // Its old frames still stand in the recycled file, whole; they must not be taken for new ones.
  while (bench.disk.Exists(kDir + "/spare")) REQUIRE(bench.Commit().ok());
  REQUIRE(bench.journal->last() > last);
  const Lsn now = bench.journal->last();
  REQUIRE(bench.Open().ok());
  CHECK(bench.journal->last() == now);
  CHECK(bench.Ids() == Numbered(bench.journal->first().value(), now.value()));
  CHECK_FALSE(bench.Said("tail_cut"));
}

TEST_CASE("a spare is made when half a segment is used, and used for the next") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  REQUIRE(bench.Commit().ok());
  CHECK_FALSE(bench.journal->WantsSpare());
  while (!bench.journal->WantsSpare()) REQUIRE(bench.Commit().ok());
  CHECK(bench.journal->bytes() == kSmallSegment);
  REQUIRE(bench.journal->PrepareSpare().ok());
  CHECK_FALSE(bench.journal->WantsSpare());
  CHECK(bench.disk.Size(kDir + "/spare") == kSmallSegment);
  while (bench.journal->bytes() == kSmallSegment) REQUIRE(bench.Commit().ok());
  CHECK_FALSE(bench.disk.Exists(kDir + "/spare"));
}

TEST_CASE("past bytes_max a commit fails for certain, and works again after a trim") {
  Bench bench;
  bench.options.bytes_max = 2 * kSmallSegment;
  REQUIRE(bench.Open().ok());
  Status status;
  while (status.ok()) status = bench.Commit();
  CHECK(status.code() == Code::kUnavailable);
  CHECK_FALSE(bench.journal->uncertain());
  const Lsn last = bench.journal->last();
  CHECK(bench.Ids() == Numbered(1, last.value()));
  REQUIRE(bench.journal->Trim(bench.journal->closed_through()).ok());
  REQUIRE(bench.Commit().ok());
  CHECK(bench.journal->last() == last.Next());
}

TEST_CASE("what is uncertain is written again past bytes_max where no trim can make room") {
  Bench bench;
  bench.options.bytes_max = kSmallSegment * 3 / 2;
  REQUIRE(bench.Open().ok());
  REQUIRE(bench.Commit().ok());
  bench.disk.FailAt(2, 2);  // the sync, and what would void it
  REQUIRE_FALSE(bench.Commit().ok());
  REQUIRE(bench.journal->uncertain());
  REQUIRE(bench.journal->Retry().ok());
  CHECK(bench.Ids() == Numbered(1, 2));
  REQUIRE(bench.journal->Trim(bench.journal->closed_through()).ok());
  CHECK(bench.Commit().ok());
}

TEST_CASE("a full disk fails commits for certain, and they work again when there is room") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  REQUIRE(bench.Commit().ok());
  bench.disk.SetFull(true);
  Status status;
  while (status.ok()) status = bench.Commit();
  CHECK_FALSE(bench.journal->uncertain());
  CHECK_FALSE(bench.Commit().ok());
  const Lsn last = bench.journal->last();
  bench.disk.SetFull(false);
  REQUIRE(bench.Commit().ok());
  REQUIRE(bench.Open().ok());
  CHECK(bench.Ids() == Numbered(1, last.value() + 1));
}

TEST_CASE("trimming and making spares while commits go on harms neither") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Bench bench(seed);
    REQUIRE(bench.Open().ok());
    std::atomic<uint64_t> committed{0};
    std::atomic<bool> done{false};
    std::thread keeper([&] {
      while (!done) {
        (void)bench.journal->Trim(Lsn(committed));
        if (bench.journal->WantsSpare()) (void)bench.journal->PrepareSpare();
      }
    });
    bool all_well = true;
    for (int i = 0; i < 3000 && all_well; ++i) {
      all_well = bench.Commit(500).ok();
      committed = bench.journal->last().value();
      const Lsn last(committed);
      all_well = all_well && bench.journal
                                 ->Read(Lsn(committed - 1), last,
                                        [](std::vector<Transaction>) { return Status(); })
                                 .ok();
    }
    done = true;
    keeper.join();
    REQUIRE(all_well);
    REQUIRE(bench.Open().ok());
    CHECK(bench.journal->last() == Lsn(3000));
    CHECK(bench.Ids() == Numbered(bench.journal->first().value(), 3000));
  }
}

// ---- Damage

TEST_CASE("a frame is whole only in the file and at the place it was written for") {
  std::string frame;
  const Transaction transaction = Make(5, "m5");
  AppendFrame({&transaction, 1}, Lsn(5), &frame);
  const uint64_t nonce = 77;
  SealFrame(&frame, 0, nonce, 64, 0);
  const std::string file = std::string(64, '\0') + frame + frame;
  REQUIRE(ParseFrame(file, nonce, 64).has_value());
  CHECK(ParseFrame(file, nonce, 64)->end == 64 + frame.size());
  CHECK_FALSE(ParseFrame(file, nonce + 1, 64).has_value());
  CHECK_FALSE(ParseFrame(file, nonce, 64 + frame.size()).has_value());
  CHECK_FALSE(ParseFrame(file.substr(0, 64 + frame.size() - 8), nonce, 64).has_value());
}

TEST_CASE("a torn tail is cut at the last whole frame, with a log line") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 5; ++i) REQUIRE(bench.Commit().ok());
  const std::string path = kDir + "/000000000001.log";
  bench.disk.FlipBit(path, FrameOffset(&bench.disk, path, 4) + 60);
  REQUIRE(bench.Open().ok());
  CHECK(bench.journal->last() == Lsn(4));
  CHECK(bench.Said("event=tail_cut file=" + path));
  REQUIRE(bench.Commit(200).ok());
  REQUIRE(bench.Open().ok());
  CHECK(bench.Ids() == Numbered(1, 5));
}

TEST_CASE("a damaged frame before a whole one is refused, naming file and offset") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 5; ++i) REQUIRE(bench.Commit().ok());
  const std::string path = kDir + "/000000000001.log";
  const uint64_t offset = FrameOffset(&bench.disk, path, 2);
  // Every byte of it that a checksum must see: the checksum, length, count, number, payload.
  const uint64_t at = GENERATE(0u, 8u, 9u, 11u, 12u, 16u, 24u, 32u, 80u, 150u);
  bench.disk.FlipBit(path, offset + at);
  Status status = bench.Open();
  CHECK(status.code() == Code::kCorruption);
  CHECK(status.message().find(path) != std::string::npos);
  CHECK(status.message().find("offset " + std::to_string(offset)) != std::string::npos);
  CHECK(status.message().find("restore") != std::string::npos);
}

TEST_CASE("after an orderly close damage to the last frame is refused too") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  for (int i = 0; i < 5; ++i) REQUIRE(bench.Commit().ok());
  REQUIRE(bench.journal->Close().ok());
  const std::string path = kDir + "/000000000001.log";
  bench.disk.FlipBit(path, FrameOffset(&bench.disk, path, 4) + 60);
  CHECK(bench.Open().code() == Code::kCorruption);
}

TEST_CASE("damage in a segment that is not the last is refused when it is read") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  while (bench.journal->bytes() < 3 * kSmallSegment) REQUIRE(bench.Commit().ok());
  const std::string path = kDir + "/000000000001.log";
  bench.disk.FlipBit(path, FrameOffset(&bench.disk, path, 3) + 60);
  REQUIRE(bench.Open().ok());
  auto ids = bench.Ids();
  REQUIRE_FALSE(ids.has_value());
  CHECK(ids.error().code() == Code::kCorruption);
  CHECK(ids.error().message().find(path) != std::string::npos);
}

TEST_CASE("a damaged header is refused") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  REQUIRE(bench.Commit().ok());
  const std::string path = kDir + "/000000000001.log";
  bench.disk.FlipBit(path, GENERATE(0u, 8u, 12u, 16u, 24u, 32u, 40u, 48u, 56u, 63u));
  Status status = bench.Open();
  CHECK(status.code() == Code::kCorruption);
  CHECK(status.message().find(path) != std::string::npos);
}

TEST_CASE("a missing segment in the middle is refused when it is needed") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  while (bench.journal->bytes() < 4 * kSmallSegment) REQUIRE(bench.Commit().ok());
  REQUIRE(bench.disk.Remove(kDir + "/000000000002.log").ok());
  REQUIRE(bench.Open().ok());
  CHECK(bench.journal->first() > Lsn(1));
  Status status = bench.journal->Read(Lsn(0), bench.journal->last(),
                                      [](std::vector<Transaction>) { return Status(); });
  CHECK(status.code() == Code::kCorruption);
}

TEST_CASE("a hole among frames that were never synced is a torn tail, not damage") {
  Bench bench;
  REQUIRE(bench.Open().ok());
  REQUIRE(bench.Commit().ok());
  for (int i = 0; i < 4; ++i) REQUIRE(bench.Commit(100, false).ok());
  const std::string path = kDir + "/000000000001.log";
  bench.disk.FlipBit(path, FrameOffset(&bench.disk, path, 2) + 60);
  REQUIRE(bench.Open().ok());
  CHECK(bench.Ids() == Numbered(1, 2));
  REQUIRE(bench.Commit().ok());
  REQUIRE(bench.Open().ok());
  CHECK(bench.Ids() == Numbered(1, 3));
}

TEST_CASE("any bytes where a journal should be are refused or cut, and never crash") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    Bench bench(static_cast<uint64_t>(round));
    REQUIRE(bench.Open().ok());
    for (int i = 0; i < 5; ++i) REQUIRE(bench.Commit().ok());
    const std::string path = kDir + "/000000000001.log";
    for (uint64_t flips = 1 + random() % 4; flips > 0; --flips) {
      bench.disk.FlipBit(path, random() % (kFramesStart + 1000));
    }
    if (!bench.Open().ok()) continue;
    auto ids = bench.Ids();
    if (ids) CHECK(*ids == Numbered(1, ids->size()));
  }
}

// ---- Faults

// Commits against a failing disk as the log does, and knows what must be there afterwards.
class Workload {
 public:
  Workload(Bench* bench, bool sync_each) : bench_(bench), sync_each_(sync_each) {}

  // False: the disk refused to open.
  bool Open() {
    if (!bench_->Open().ok()) return false;
    (void)bench_->journal->Begin();
    return true;
  }
  void GiveUpAfter(int retries) { retries_ = retries; }

  void Run(int commits) {
    for (int i = 0; i < commits && !Dead(); ++i) {
      CommitOne();
      if (!sync_each_ && i % 3 == 2 && !Dead()) SyncAll();
      if (i % 7 == 6) {
        (void)bench_->journal->Trim(Lsn(durable_.empty() ? 0 : durable_.rbegin()->first));
        if (bench_->journal->WantsSpare()) (void)bench_->journal->PrepareSpare();
      }
    }
  }

  // What a recovery must find, and what it mustn't.
  void Check() {
    const Lsn last = bench_->journal->last();
    const Lsn first = bench_->journal->first();
    auto ids = bench_->Ids();
    INFO((ids ? "" : ids.error().ToString()));
    REQUIRE(ids.has_value());
    REQUIRE(ids->size() == last.value() + 1 - first.value());
    for (size_t i = 0; i < ids->size(); ++i) CheckOne(first.value() + i, (*ids)[i]);
    REQUIRE((durable_.empty() || last >= Lsn(durable_.rbegin()->first)));
    // Recovery made them durable.
    for (size_t i = 0; i < ids->size(); ++i) durable_[first.value() + i] = (*ids)[i];
    written_.clear();
  }

 private:
  // The power is off, or what is committed isn't known.
  bool Dead() const { return bench_->disk.power_is_off() || bench_->journal->uncertain(); }

  void CommitOne() {
    Journal& journal = *bench_->journal;
    const uint64_t lsn = journal.last().value() + 1;
    const std::string id = "try" + std::to_string(++tries_);
    const Transaction transaction = Make(lsn, id, 1 + tries_ * 37 % 900);
    written_[lsn].insert(id);
    Status status = journal.Commit({&transaction, 1}, sync_each_);
    for (int i = 0; i < retries_ && !status.ok() && journal.uncertain(); ++i) {
      status = journal.Retry();
      if (status.ok()) durable_through_ = lsn;
    }
    if (status.ok()) {
      chosen_[lsn] = id;
      if (sync_each_) durable_through_ = lsn;
      Promote();
    } else if (!journal.uncertain()) {
      written_[lsn].erase(id);
      failed_.insert(id);
    }
  }

  void SyncAll() {
    Journal& journal = *bench_->journal;
    Status status = journal.Sync();
    for (int i = 0; i < retries_ && !status.ok() && journal.uncertain(); ++i)
      status = journal.Retry();
    if (!status.ok()) return;
    durable_through_ = journal.last().value();
    Promote();
  }

  void Promote() {
    for (const auto& [lsn, id] : chosen_) {
      if (lsn <= durable_through_) durable_[lsn] = id;
    }
    std::erase_if(chosen_, [&](const auto& one) { return one.first <= durable_through_; });
  }

  void CheckOne(uint64_t lsn, const std::string& id) {
    INFO("transaction " << lsn << " is " << id);
    CHECK_FALSE(failed_.contains(id));
    if (auto durable = durable_.find(lsn); durable != durable_.end()) {
      CHECK(durable->second == id);
    } else {
      CHECK(written_[lsn].contains(id));
    }
  }

  Bench* const bench_;
  const bool sync_each_;
  int retries_ = 50;
  uint64_t tries_ = 0;
  uint64_t durable_through_ = 0;
  std::map<uint64_t, std::string> chosen_;             // committed, perhaps not yet durable
  std::map<uint64_t, std::string> durable_;            // promised to last
  std::map<uint64_t, std::set<std::string>> written_;  // may be there
  std::set<std::string> failed_;                       // must never be there
};

constexpr int kCommits = 60;

// How many operations the workload takes when nothing fails.
uint64_t CountOperations(bool sync_each) {
  Bench bench;
  Workload workload(&bench, sync_each);
  REQUIRE(workload.Open());
  workload.Run(kCommits);
  return bench.disk.operations();
}

TEST_CASE("whichever operations fail, what was committed is there and what failed is not") {
  const bool sync_each = GENERATE(true, false);
  const uint64_t operations = CountOperations(sync_each);
  for (uint64_t at = 1; at <= operations; ++at) {
    for (uint64_t how_many : {1, 2, 5, 9, 30}) {
      Bench bench(at * 100 + how_many);
      INFO("operation " << at << ", " << how_many << " of them, sync_each " << sync_each);
      Workload workload(&bench, sync_each);
      bench.disk.FailAt(at, how_many);
      if (!workload.Open()) continue;
      workload.Run(kCommits);
      bench.disk.FailAt(0, 0);
      bench.disk.CutPower();
      bench.disk.PowerOn();
      REQUIRE(workload.Open());
      workload.Check();
      workload.Run(10);
      bench.disk.CutPower();
      bench.disk.PowerOn();
      REQUIRE(workload.Open());
      workload.Check();
    }
  }
}

TEST_CASE("what a process that died had left unsynced is durable once it was read") {
  const bool sync_each = GENERATE(true, false);
  const uint64_t operations = CountOperations(sync_each);
  for (uint64_t at = 1; at <= operations; ++at) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      Bench bench(at * 100 + seed);
      INFO("operation " << at << ", seed " << seed << ", sync_each " << sync_each);
      Workload workload(&bench, sync_each);
      workload.GiveUpAfter(0);
      bench.disk.FailAt(at, 1000);  // the process dies soon after, in the midst of it
      if (workload.Open()) workload.Run(kCommits);
      bench.disk.FailAt(0, 0);
      REQUIRE(workload.Open());
      workload.Check();
      bench.disk.CutPower();
      bench.disk.PowerOn();
      REQUIRE(workload.Open());
      workload.Check();
    }
  }
}

TEST_CASE("a process that dies while a failed sync is made good loses nothing committed") {
  const bool by_commit = GENERATE(false, true);  // one that doesn't fit
  const uint64_t dies_at = GENERATE(range(2, 16));
  CAPTURE(by_commit, dies_at);
  Bench bench(dies_at);
  REQUIRE(bench.Open().ok());
  REQUIRE(bench.Commit().ok());
  for (int i = 0; i < 3; ++i) REQUIRE(bench.Commit(100, false).ok());
  bench.disk.FailAt(1);  // the sync
  bench.disk.CutPowerAt(dies_at);
  const Status made_good = by_commit ? bench.Commit(kSmallSegment) : bench.journal->Sync();
  CHECK((made_good.ok() || dies_at < 12));  // the last of them are after the end
  bench.disk.StartProcess();
  REQUIRE(bench.Open().ok());
  auto ids = bench.Ids();
  REQUIRE(ids.has_value());
  REQUIRE(ids->size() >= 4);
  CHECK(std::vector<std::string>(ids->begin(), ids->begin() + 4) == Numbered(1, 4));
}

TEST_CASE("a segment that was begun and given up voids nothing that was committed after it") {
  for (uint64_t at = 1; at <= 8; ++at) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      Bench bench(at * 1000 + seed);
      INFO("operation " << at << ", seed " << seed);
      REQUIRE(bench.Open().ok());
      for (int i = 0; i < 5; ++i) REQUIRE(bench.Commit().ok());
      bench.disk.FailAt(at, 1 + seed % 4);
      bool large = bench.Commit(kSmallSegment).ok();
      bench.disk.FailAt(0, 0);
      if (bench.journal->uncertain()) large = bench.journal->Retry().ok();
      REQUIRE_FALSE(bench.journal->uncertain());
      REQUIRE(bench.Commit(10).ok());  // there is room for it in the first segment
      bench.disk.CutPower();
      bench.disk.PowerOn();
      Status status = bench.Open();
      INFO(status.ToString());
      REQUIRE(status.ok());
      CHECK(bench.Ids() == Numbered(1, large ? 7 : 6));
    }
  }
}

TEST_CASE("whenever the power goes, what was committed is there, without gaps, and it goes on") {
  const bool sync_each = GENERATE(true, false);
  const uint64_t operations = CountOperations(sync_each);
  for (uint64_t at = 1; at <= operations; ++at) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      Bench bench(at * 100 + seed);
      INFO("operation " << at << ", seed " << seed << ", sync_each " << sync_each);
      Workload workload(&bench, sync_each);
      bench.disk.CutPowerAt(at);
      if (workload.Open()) workload.Run(kCommits);
      bench.disk.CutPower();
      bench.disk.PowerOn();
      // Once more while it recovers, and once more while it works.
      bench.disk.CutPowerAt(1 + at % 11);
      if (workload.Open()) {
        if (!bench.disk.power_is_off()) workload.Check();
        workload.Run(20);
      }
      bench.disk.CutPower();
      bench.disk.PowerOn();
      Status status = bench.Open();
      INFO(status.ToString());
      REQUIRE(status.ok());
      workload.Check();
      workload.Run(20);
      REQUIRE(bench.Open().ok());
      workload.Check();
    }
  }
}

}  // namespace
}  // namespace parley
