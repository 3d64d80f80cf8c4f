#include "bridge/resting_log.h"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>

#include "storage/dead_letter.h"
#include "storage/log.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr std::string_view kLetters = ".log";

struct Waiting {
  uint64_t letters = 0;
  uint64_t stores = 0;
};

Result<Waiting> Count(const std::string& data_dir, Env* env) {
  Waiting waiting;
  std::string dir = data_dir + "/deadletter";
  if (!env->Exists(dir)) return waiting;  // the log was never opened
  Result<std::vector<std::string>> names = env->List(dir);
  if (!names) return Error(names.error());
  for (const std::string& name : *names) {
    if (!name.ends_with(kLetters)) continue;
    Result<DeadLetters> dead =
        DeadLetters::Open(env, dir, name.substr(0, name.size() - kLetters.size()));
    if (!dead) return Error(dead.error());
    waiting.letters += dead->letters();
    if (dead->letters() > 0) ++waiting.stores;
  }
  return waiting;
}

// What the log says of its recovery is for the administrator.
class LinesToStderr final : public Log::Listener {
 public:
  void Committed(Lsn) override {}
  void Failed(Lsn, Lsn, const Status&) override {}
  void StoresChanged() override {}
  void LogLine(const std::string& line) override { std::fprintf(stderr, "%s\n", line.c_str()); }
};

}  // namespace

Result<json> CountDeadLetters(const std::string& data_dir, Env* env) {
  Result<Waiting> waiting = Count(data_dir, env);
  if (!waiting) return Error(waiting.error());
  return json{{"waiting", waiting->letters}, {"stores_down", waiting->stores}};
}

Result<std::vector<PushDeadLetter>> ListPushDeadLetters(const std::string& data_dir, size_t limit,
                                                        Env* env) {
  if (!env->Exists(data_dir + "/roster.db")) return std::vector<PushDeadLetter>();
  auto roster = Roster::Open(data_dir, env);
  return roster ? (*roster)->PushDeadLetters(limit) : Error(roster.error());
}

Result<json> ReplayDeadLetters(const std::string& data_dir, Env* env) {
  Result<Waiting> before = Count(data_dir, env);
  if (!before) return Error(before.error());
  // Nothing to do; and a log that was never opened must not be made with other options than the
  // broker's.
  if (before->letters == 0) return json{{"replayed", 0}};
  LinesToStderr listener;
  Result<std::unique_ptr<Roster>> roster = Roster::Open(data_dir, env);
  if (!roster) return Error(roster.error());
  LogOptions options;
  options.data_dir = data_dir;
  options.roster = roster->get();
  auto log = Log::Open(options, env, &listener);
  if (!log) return Error(log.error());
  Status status = (*log)->ReplayDeadLetters();
  log->reset();
  if (!status.ok()) return Error(status);
  return json{{"replayed", before->letters}};
}

}  // namespace parley
