#include "chat/engine_thread.h"

#include <chrono>

#include "storage/thread_name.h"

namespace parley {
namespace {

constexpr auto kTickEvery = std::chrono::milliseconds(100);
constexpr size_t kTurnCommandsMax = 512;
constexpr size_t kWakeCommands = 32;  // that many don't wait for the broker's loop to turn
constexpr size_t kLinesMax = 1000;

size_t BytesOf(const Command& command) {
  const auto* published = std::get_if<Published>(&command);
  return published != nullptr ? BytesOf(*published) : 0;
}

}  // namespace

EngineThread::EngineThread(const Options& options, Env* env, Accounts* accounts, Roster* roster,
                           TopicMembers* topic_members, Release* release)
    : options_(options),
      env_(env),
      accounts_(accounts),
      roster_(roster),
      topic_members_(topic_members),
      release_(release) {}

EngineThread::~EngineThread() { Stop(); }

Status EngineThread::Start(Log* log) {
  log_ = log;
  readers_ = std::make_unique<ReaderPool>(
      options_.readers, [this](Continuation then) { PostAlways(std::move(then)); });
  engine_ = std::make_unique<Engine>(options_.engine, env_, log, accounts_, roster_, topic_members_,
                                     readers_.get(), release_);
  if (Status status = engine_->LoadPush(); !status.ok()) return status;
  thread_ = std::thread([this] { Run(); });
  return {};
}

void EngineThread::Stop() {
  if (!thread_.joinable()) {
    readers_.reset();
    engine_.reset();
    return;
  }
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_one();
  thread_.join();
  engine_->Flush();
  readers_.reset();
  engine_.reset();
}

bool EngineThread::Post(Command&& command) {
  std::unique_lock lock(mutex_);
  if (queue_.size() >= options_.queue_max || queue_bytes_ >= options_.queue_bytes_max) {
    figures_.refused_busy.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  Push(std::move(command));
  if (queue_.size() >= kWakeCommands) Notify(std::move(lock));
  return true;
}

// mutex_ is held.
void EngineThread::Push(Command command) {
  queue_bytes_ += BytesOf(command);
  queue_.push_back(std::move(command));
  figures_.queued.store(queue_.size(), std::memory_order_relaxed);
}

void EngineThread::WakeUp() {
  std::unique_lock lock(mutex_);
  if (!queue_.empty()) Notify(std::move(lock));
}

void EngineThread::Notify(std::unique_lock<std::mutex> lock) {
  if (!waiting_) return;
  waiting_ = false;
  lock.unlock();
  ready_.notify_one();
}

void EngineThread::PostAlways(Command command) {
  std::unique_lock lock(mutex_);
  Push(std::move(command));
  Notify(std::move(lock));
}

bool EngineThread::Overloaded() const {
  return log_->backlog_bytes() > options_.backlog_bytes_max ||
         release_->size() > options_.effects_max ||
         release_->bytes() > options_.effects_bytes_max || readers_->queued() > options_.queue_max;
}

void EngineThread::Run() {
  NameThread("parley-engine");
  std::deque<Command> turn;
  auto next_tick = std::chrono::steady_clock::now() + kTickEvery;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      while (queue_.empty() && !stopping_) {
        waiting_ = true;
        if (ready_.wait_until(lock, next_tick) == std::cv_status::timeout) break;
      }
      waiting_ = false;
      if (queue_.empty() && stopping_) return;
      if (queue_.size() <= kTurnCommandsMax) {
        turn.swap(queue_);
      } else {
        auto end = queue_.begin() + kTurnCommandsMax;
        turn.insert(turn.end(), std::make_move_iterator(queue_.begin()),
                    std::make_move_iterator(end));
        queue_.erase(queue_.begin(), end);
      }
      for (const Command& command : turn) queue_bytes_ -= BytesOf(command);
      figures_.queued.store(queue_.size(), std::memory_order_relaxed);
    }
    for (Command& command : turn) engine_->Handle(std::move(command));
    figures_.commands.fetch_add(turn.size(), std::memory_order_relaxed);
    figures_.turns.fetch_add(turn.empty() ? 0 : 1, std::memory_order_relaxed);
    turn.clear();
    auto now = std::chrono::steady_clock::now();
    if (now >= next_tick) {
      engine_->Tick();
      CountEngine();
      next_tick = now + kTickEvery;
    }
    engine_->EndTurn();
    // A slow disk or a slow broker holds the engine back, and the full queue tells the senders. Not
    // where the journal has failed: then the way out begins in the queue.
    while (Overloaded() && !stopping_ && !journal_failed_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

void EngineThread::CountEngine() {
  std::lock_guard lock(told_mutex_);
  told_ = {engine_->users(), engine_->online(), engine_->cached_bytes(), engine_->push_jobs(),
           engine_->counts()};
}

EngineFigures::Told EngineThread::told() const {
  std::lock_guard lock(told_mutex_);
  return told_;
}

void EngineThread::Failed(Lsn first, Lsn, const Status& why) {
  journal_failed_ = true;
  PostAlways(Continuation([this, first, why](Engine& engine) {
    journal_failed_ = false;
    engine.JournalFailed(first, why);
  }));
}

void EngineThread::StoresChanged() {
  PostAlways(Continuation([](Engine& engine) { engine.StoresChanged(); }));
}

void EngineThread::LogLine(const std::string& line) {
  std::lock_guard lock(lines_mutex_);
  if (lines_.size() < kLinesMax) lines_.push_back(line);
}

std::vector<std::string> EngineThread::TakeLines() {
  std::lock_guard lock(lines_mutex_);
  return std::exchange(lines_, {});
}

}  // namespace parley
