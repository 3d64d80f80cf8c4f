#include "storage/log.h"

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/storage/clock_env.h"

namespace parley {
namespace {

class Heard : public Log::Listener {
 public:
  void Committed(Lsn last) override {
    std::lock_guard lock(mutex_);
    committed_ = last;
    changed_.notify_all();
  }
  void Failed(Lsn, Lsn, const Status&) override {}
  void StoresChanged() override {}
  void LogLine(const std::string& line) override { UNSCOPED_INFO(line); }
  bool WaitCommitted(Lsn lsn) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return committed_ >= lsn; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Lsn committed_;
};

Transaction Message(uint64_t lsn, const std::string& from, const std::string& to, uint64_t seq) {
  MessageRecord m;
  m.from = UserId(from);
  m.to = UserId(to);
  m.from_seq = m.to_seq = Seq(seq);
  m.id = "m" + std::to_string(lsn);
  m.body = "\"hi\"";
  return Transaction{Lsn(lsn), {m}};
}

TEST_CASE("what is committed can be read, and again after the log was opened anew") {
  TempDir dir;
  LogOptions options;
  options.data_dir = dir.path();
  options.journal_segment_bytes = 1 << 20;
  Heard heard;
  std::string epoch;
  for (uint64_t round = 0; round < 3; ++round) {
    auto log = Log::Open(options, Env::Posix(), &heard);
    REQUIRE(log.has_value());
    if (round == 0) epoch = (*log)->epoch();
    CHECK((*log)->epoch() == epoch);
    REQUIRE((*log)->next_lsn() == Lsn(round * 10 + 1));
    for (uint64_t i = round * 10 + 1; i <= round * 10 + 10; ++i) {
      (*log)->Append({Message(i, "alice", "bob", i)});
    }
    const Lsn last(round * 10 + 10);
    REQUIRE(heard.WaitCommitted(last));
    for (const char* user : {"alice", "bob"}) {
      REQUIRE((*log)->WaitApplied(UserId(user), last).ok());
      auto store = (*log)->store(UserId(user));
      REQUIRE(store.has_value());
      auto page = (*store)->ReadLog(UserId(user), Page{});
      REQUIRE(page.has_value());
      CHECK(page->entries.size() == last.value());
    }
  }
}

}  // namespace
}  // namespace parley
