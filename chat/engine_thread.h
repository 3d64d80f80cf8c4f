// The engine with its thread, its queue and its readers: what the plugin holds.
//
// Threads: Post and PostAlways by the broker's thread (and, for continuations, by readers and the
// log's threads); everything else is its own.
#ifndef PARLEY_CHAT_ENGINE_THREAD_H_
#define PARLEY_CHAT_ENGINE_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "chat/engine.h"
#include "chat/readers.h"

namespace parley {

struct EngineFigures {
  // Kept up to date by the tenth of a second: what only the engine's thread counts.
  struct Told {
    size_t users = 0;
    size_t online = 0;
    size_t cached_bytes = 0;
    size_t push_jobs = 0;
    EngineCounts counts;
  };

  std::atomic<uint64_t> commands{0};
  std::atomic<uint64_t> turns{0};
  std::atomic<uint64_t> refused_busy{0};
  std::atomic<uint64_t> queued{0};
};

class EngineThread : public Log::Listener {
 public:
  static constexpr size_t kOverrun = 10;  // times queue_max

  struct Options {
    EngineOptions engine;
    size_t queue_max = 10'000;            // commands that wait for the engine
    size_t queue_bytes_max = 64 << 20;    // … their bytes
    size_t backlog_bytes_max = 64 << 20;  // bytes that wait for the journal
    size_t effects_max = 100'000;         // publishes that wait for the broker's thread
    size_t effects_bytes_max = 64 << 20;  // … their bytes
    int readers = 2;
  };

  EngineThread(const Options& options, Env* env, Accounts* accounts, Roster* roster,
               TopicMembers* topic_members, Release* release);
  ~EngineThread() override;  // finishes what is queued, then stops

  // The log was opened with this as its listener: from now on commands are handled. Fails where the
  // roster can't be read.
  Status Start(Log* log);
  void Stop();

  // False where the queue is full: `command` is as it was, and the client is told `busy`. The
  // engine is woken by WakeUp, once for all that the broker's loop found in one turn.
  bool Post(Command&& command);
  void WakeUp();
  // For what must not be lost: sessions coming and going.
  void PostAlways(Command command);
  // True where even that has become too much: nobody may come, or subscribe, for the moment.
  bool overrun() const { return figures_.queued > kOverrun * options_.queue_max; }

  const EngineFigures& figures() const { return figures_; }
  EngineFigures::Told told() const;

  // Log::Listener.
  void Committed(Lsn last) override { release_->Committed(last); }
  void Failed(Lsn first, Lsn last, const Status& why) override;
  void StoresChanged() override;
  void LogLine(const std::string& line) override;
  // Lines for the broker's log, taken by its thread.
  std::vector<std::string> TakeLines();

 private:
  void Run();
  void Push(Command command);
  void Notify(std::unique_lock<std::mutex> lock);
  bool Overloaded() const;
  void CountEngine();

  const Options options_;
  Env* const env_;
  Accounts* const accounts_;
  Roster* const roster_;
  TopicMembers* const topic_members_;
  Release* const release_;
  Log* log_ = nullptr;
  EngineFigures figures_;

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Command> queue_;
  size_t queue_bytes_ = 0;
  bool waiting_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> journal_failed_ = false;  // the engine has yet to hear of it

  mutable std::mutex told_mutex_;
  EngineFigures::Told told_;

  std::mutex lines_mutex_;
  std::vector<std::string> lines_;

  std::unique_ptr<ReaderPool> readers_;
  std::unique_ptr<Engine> engine_;
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_CHAT_ENGINE_THREAD_H_
