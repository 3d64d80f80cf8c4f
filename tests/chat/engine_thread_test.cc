// The engine on its thread, with its readers: queue, back-pressure, failure, end. What it does with
// a command is tested without threads (engine_*_test.cc).
#include "chat/engine_thread.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);

// A log that keeps what is appended and commits nothing by itself. Its Append can be held.
class HeldLog : public Log {
 public:
  void Append(std::vector<Transaction> batch) override {
    std::unique_lock lock(mutex_);
    next_lsn_ = batch.back().lsn.Next();
    appended_ += batch.size();
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_; });
  }
  Lsn next_lsn() const override {
    std::lock_guard lock(mutex_);
    return next_lsn_;
  }
  void Resume() override {
    std::lock_guard lock(mutex_);
    next_lsn_ = Lsn(1);
    resumed_ = true;
    changed_.notify_all();
  }
  size_t backlog_bytes() const override { return backlog; }
  bool journal_ok() const override { return true; }
  bool store_ok(std::string_view) const override { return true; }
  Status WaitApplied(std::string_view, Lsn) override { return {}; }
  Result<std::shared_ptr<const MessageStore>> store(std::string_view owner) const override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !reads_held_; });
    return std::shared_ptr<const MessageStore>(std::make_shared<ModelStore>(owner));
  }
  bool roster_ok() const override { return true; }
  Status WaitRoster(Lsn) override { return {}; }
  Status ReplayDeadLetters() override { return {}; }
  LogFigures figures() const override { return {}; }
  const std::string& epoch() const override { return epoch_; }

  void Hold(bool held) {
    std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  void HoldReads(bool held) {
    std::lock_guard lock(mutex_);
    reads_held_ = held;
    changed_.notify_all();
  }
  bool AwaitAppended(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return appended_ >= count; });
  }
  bool AwaitResumed() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return resumed_; });
  }
  size_t appended() const {
    std::lock_guard lock(mutex_);
    return appended_;
  }

  std::atomic<size_t> backlog = 0;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Lsn next_lsn_{1};
  size_t appended_ = 0;
  bool held_ = false;
  bool reads_held_ = false;
  bool resumed_ = false;
  std::string epoch_ = "e1";
};

class Running {
 public:
  explicit Running(const EngineThread::Options& options = {})
      : thread_(options, &env_, &accounts_, &roster_, &topic_members_, &release) {
    accounts_.users = {"alice", "bob"};
    REQUIRE(thread_.Start(&log).ok());
    thread_.PostAlways(Connected{1, UserId("alice"), DeviceId("a1")});
  }
  // Alice and bob are in memory: a message needs no read from now on.
  void Warm() {
    REQUIRE(thread_.Post(Message()));
    REQUIRE(log.AwaitAppended(1));
  }
  static Published Message(size_t bytes = 1) {
    Published published;
    published.session = 1;
    published.topic = "chat/bob";
    published.payload.assign(bytes, 'x');
    return published;
  }
  // Posts messages until the queue is full.
  size_t Fill() {
    size_t posted = 0;
    while (thread_.Post(Message())) ++posted;
    return posted;
  }
  EngineThread& thread() { return thread_; }
  // What is released, once there are `count` effects or more.
  std::vector<Effect> Take(size_t count) {
    std::vector<Effect> effects;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (effects.size() < count && std::chrono::steady_clock::now() < deadline) {
      release.Take(SIZE_MAX, &effects);
      std::this_thread::yield();
    }
    return effects;
  }

  HeldLog log;
  Release release{[] {}};

 private:
  TestEnv env_;
  FakeAccounts accounts_;
  FakeRoster roster_;
  TopicMembers topic_members_;
  EngineThread thread_;
};

TEST_CASE("commands go through the thread, its readers and the log, in order") {
  Running running;
  for (int i = 0; i < 100; ++i) REQUIRE(running.thread().Post(Running::Message()));
  REQUIRE(running.log.AwaitAppended(100));
  running.thread().Committed(Lsn(100));
  auto effects = running.Take(100);
  REQUIRE(effects.size() == 100);
  for (size_t i = 0; i < effects.size(); ++i) {
    CHECK(effects[i].payload.ends_with("\"seq\":" + std::to_string(i + 1) + "}"));
  }
  CHECK(running.thread().figures().commands >= 100);
}

TEST_CASE("a full queue refuses what a client can send again, and never who comes and goes") {
  EngineThread::Options options;
  options.queue_max = 50;
  Running running(options);
  running.log.Hold(true);
  REQUIRE(running.thread().Post(Running::Message()));
  REQUIRE(running.log.AwaitAppended(1));  // the engine stands in Append
  CHECK(running.Fill() == 50);
  CHECK(running.thread().figures().refused_busy == 1);
  running.thread().PostAlways(Disconnected{1});
  running.log.Hold(false);
  CHECK(running.log.AwaitAppended(51));
}

TEST_CASE("a queue that has as many bytes as it may is full") {
  EngineThread::Options options;
  options.queue_bytes_max = 1000;
  Running running(options);
  running.log.Hold(true);
  REQUIRE(running.thread().Post(Running::Message()));
  REQUIRE(running.log.AwaitAppended(1));
  for (char id : {'a', 'b'}) {
    Published large = Running::Message(240);
    large.correlation.assign(60, id);
    large.response_topic.assign(200, 'r');
    CHECK(running.thread().Post(std::move(large)));  // 508 bytes with its topic
  }
  CHECK_FALSE(running.thread().Post(Running::Message()));
  running.thread().PostAlways(Disconnected{99});
  running.log.Hold(false);
  REQUIRE(running.log.AwaitAppended(3));
  CHECK(running.thread().Post(Running::Message()));
}

TEST_CASE("nobody may come once ten times a full queue waits, until it is worked off") {
  EngineThread::Options options;
  options.queue_max = 5;
  Running running(options);
  running.log.Hold(true);
  REQUIRE(running.thread().Post(Running::Message()));
  REQUIRE(running.log.AwaitAppended(1));
  for (SessionId id = 1; id <= 50; ++id) running.thread().PostAlways(Disconnected{100 + id});
  CHECK_FALSE(running.thread().overrun());
  running.thread().PostAlways(Disconnected{200});
  CHECK(running.thread().overrun());
  running.log.Hold(false);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (running.thread().overrun()) REQUIRE(std::chrono::steady_clock::now() < deadline);
}

TEST_CASE("a backlog of the journal's holds the engine back until it is gone") {
  EngineThread::Options options;
  options.queue_max = 10;
  options.backlog_bytes_max = 1000;
  Running running(options);
  running.Warm();
  running.log.backlog = 1001;
  // At most one turn more is begun; then the queue fills, and what is in it stays there.
  size_t posted = 1;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  do {
    posted += running.Fill();
  } while (running.log.appended() != posted - 10 && std::chrono::steady_clock::now() < deadline);
  const size_t appended = running.log.appended();
  CHECK(appended == posted - 10);
  CHECK(running.Fill() == 0);
  running.log.backlog = 0;
  CHECK(running.log.AwaitAppended(appended + 1));
}

TEST_CASE("publishes that nobody takes hold the engine back until they are taken") {
  EngineThread::Options options;
  options.queue_max = 10;
  options.effects_max = 20;
  Running running(options);
  running.thread().Committed(Lsn(1'000'000));
  running.Warm();
  while (running.release.size() <= 20) running.thread().Post(Running::Message());
  while (running.Fill() > 0) continue;
  const size_t appended = running.log.appended();
  CHECK(running.Take(20).size() >= 20);
  CHECK(running.log.AwaitAppended(appended + 1));
}

TEST_CASE("publishes with as many bytes as may wait hold the engine back, too") {
  EngineThread::Options options;
  options.queue_max = 10;
  options.effects_bytes_max = 10'000;
  Running running(options);
  running.thread().Committed(Lsn(1'000'000));
  running.Warm();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (running.release.bytes() <= 10'000) {
    running.thread().Post(Running::Message());
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
  while (running.Fill() > 0) continue;
  CHECK(running.release.size() < options.effects_max);
  const size_t appended = running.log.appended();
  CHECK_FALSE(running.Take(1).empty());
  CHECK(running.log.AwaitAppended(appended + 1));
}

TEST_CASE("reads that wait for the stores hold the engine back until they are done") {
  EngineThread::Options options;
  options.queue_max = 10;
  Running running(options);
  running.Warm();
  running.log.HoldReads(true);
  Published ask;
  ask.session = 1;
  ask.topic = "ask/conversations";
  ask.payload = R"({"rid":"1"})";
  // Readers stand, ten asks and one turn more wait for them; then the queue fills, and stays full.
  size_t posted = 0;
  for (int full = 0; full < 100 && posted < 500;) {
    const bool taken = running.thread().Post(Published(ask));
    posted += taken;
    full = taken ? 0 : full + 1;
    if (!taken) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(posted > 10);
  CHECK(posted <= 50);
  running.log.HoldReads(false);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!running.thread().Post(Published(ask))) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
}

TEST_CASE("a failure of the journal reaches an engine that is held back") {
  EngineThread::Options options;
  options.queue_max = 10;
  options.effects_max = 20;
  Running running(options);
  running.Warm();
  // Nothing is committed: what is held holds the engine back.
  while (running.release.size() <= 20) running.thread().Post(Running::Message());
  while (running.Fill() > 0) continue;
  running.thread().Failed(Lsn(1), Lsn(100), {Code::kIoError, "no space left"});
  REQUIRE(running.log.AwaitResumed());
  auto effects = running.Take(21);
  CHECK(effects.size() >= 21);
  CHECK(effects[0].payload.find("\"unavailable\"") != std::string::npos);
}

TEST_CASE("stopping finishes what is queued") {
  Running running;
  running.Warm();
  running.log.Hold(true);
  for (int i = 0; i < 1000; ++i) REQUIRE(running.thread().Post(Running::Message()));
  std::jthread opener([&] { running.log.Hold(false); });
  running.thread().Stop();
  CHECK(running.log.appended() == 1001);
}

TEST_CASE("lines for the broker's log are taken once, and of very many the first") {
  Running running;
  for (int i = 0; i < 2000; ++i) running.thread().LogLine("line " + std::to_string(i));
  auto lines = running.thread().TakeLines();
  CHECK(lines.size() == 1000);
  CHECK(lines.front() == "line 0");
  CHECK(running.thread().TakeLines().empty());
}

}  // namespace
}  // namespace parley
