// The program under test, as the plugin runs it (plugin/host.cc), without Mosquitto and accounts'
// database: engine with its thread and readers, log with committer, keeper and store writers,
// LevelDB stores, roster in SQLite. On one simulated disk; may be killed at any time, and started
// again.
#ifndef PARLEY_TESTS_SIM_SERVER_H_
#define PARLEY_TESTS_SIM_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "chat/engine_thread.h"
#include "storage/log.h"
#include "storage/roster.h"
#include "tests/sim/disk.h"
#include "tests/sim/leveldb_env.h"

namespace parley::sim {

struct ServerOptions {
  EngineThread::Options engine;
  LogOptions log;
  size_t write_buffer_bytes = 64 << 10;  // LevelDB's
};

class Server {
 public:
  enum class State { kDown, kStarting, kUp, kStopping };

  Server(const ServerOptions& options, Disk* disk, Accounts* accounts);

  // Each is a thread of its own: state() tells how far it is.
  void Start();
  void Stop();
  // Its threads are dead already (Scheduler::Kill): forgets all that it owned.
  void Died();

  State state() const { return state_; }
  // Why the last start failed.
  const Status& failure() const { return failure_; }
  // What it said for the broker's log since the last call.
  std::vector<std::string> TakeLines();

  // Only where it is up.
  EngineThread& engine() { return *process_->engine; }
  Release& release() { return *process_->release; }
  Log& log() { return *process_->log; }
  Roster& roster() { return *process_->roster; }
  TopicMembers& topic_members() { return *process_->topic_members; }

 private:
  // In the order in which they are made; destroyed the other way round.
  struct Process {
    std::unique_ptr<LevelDbEnv> leveldb_env;
    std::unique_ptr<Release> release;
    std::unique_ptr<TopicMembers> topic_members;
    std::unique_ptr<Roster> roster;
    std::unique_ptr<EngineThread> engine;
    std::unique_ptr<Log> log;
  };

  Status Open(Process* process);
  Result<std::unique_ptr<MessageStore>> OpenStore(const std::string& path, bool create,
                                                  LevelDbEnv* env);

  const ServerOptions options_;
  Disk* const disk_;
  Accounts* const accounts_;
  State state_ = State::kDown;
  Status failure_;
  Process* process_ = nullptr;  // leaked by Died
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_SERVER_H_
