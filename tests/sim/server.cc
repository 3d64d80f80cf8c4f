#include "tests/sim/server.h"

#include <utility>

#include "storage/leveldb_store.h"
#include "tests/sim/sqlite_vfs.h"

namespace parley::sim {

Server::Server(const ServerOptions& options, Disk* disk, Accounts* accounts)
    : options_(options), disk_(disk), accounts_(accounts) {}

void Server::Start() {
  state_ = State::kStarting;
  sqlite_vfs::Reset(disk_);
  process_ = new Process;
  Scheduler::Current()->Start("start", [this] {
    failure_ = Open(process_);
    if (!failure_.ok()) delete std::exchange(process_, nullptr);
    state_ = failure_.ok() ? State::kUp : State::kDown;
  });
}

Status Server::Open(Process* process) {
  process->leveldb_env = std::make_unique<LevelDbEnv>(disk_);
  process->release = std::make_unique<Release>([] {});
  process->topic_members = std::make_unique<TopicMembers>();
  auto roster = Roster::Open(options_.log.data_dir, disk_);
  if (!roster) return roster.error();
  process->roster = std::move(*roster);
  process->engine =
      std::make_unique<EngineThread>(options_.engine, disk_, accounts_, process->roster.get(),
                                     process->topic_members.get(), process->release.get());
  LogOptions options = options_.log;
  options.roster = process->roster.get();
  options.open_store = [this, env = process->leveldb_env.get()](int, const std::string& path,
                                                                bool create) {
    return OpenStore(path, create, env);
  };
  auto log = Log::Open(options, disk_, process->engine.get());
  if (!log) return log.error();
  process->log = std::move(*log);
  Status status =
      process->roster->ForEachTopicMember([process](const GroupId& group, const UserId& user) {
        process->topic_members->Add(group, user);
      });
  if (status.ok()) status = process->engine->Start(process->log.get());
  return status;
}

Result<std::unique_ptr<MessageStore>> Server::OpenStore(const std::string& path, bool create,
                                                        LevelDbEnv* env) {
  LevelDbOptions options;
  options.path = path;
  options.env = env;
  options.create = create;
  options.write_buffer_bytes = options_.write_buffer_bytes;
  auto store = LevelDbStore::Open(options);
  if (!store) return Error(std::move(store.error()));
  return std::unique_ptr<MessageStore>(std::move(*store));
}

void Server::Stop() {
  state_ = State::kStopping;
  Scheduler::Current()->Start("stop", [this] {
    process_->engine->Stop();
    delete std::exchange(process_, nullptr);
    state_ = State::kDown;
  });
}

void Server::Died() {
  process_ = nullptr;
  state_ = State::kDown;
  failure_ = Status();
}

std::vector<std::string> Server::TakeLines() {
  return process_ != nullptr && process_->engine ? process_->engine->TakeLines()
                                                 : std::vector<std::string>();
}

}  // namespace parley::sim
