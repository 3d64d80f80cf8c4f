#include "bridge/resting_log.h"

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>

#include "storage/dead_letter.h"
#include "storage/log.h"

namespace parley {
namespace {

using nlohmann::json;

struct Waiting {
  uint64_t letters = 0;
  uint64_t stores = 0;
};

// The n of "store-<n>.log".
std::optional<int> StoreOf(std::string_view name) {
  constexpr std::string_view kHead = "store-";
  constexpr std::string_view kTail = ".log";
  if (!name.starts_with(kHead) || !name.ends_with(kTail)) return std::nullopt;
  name.remove_prefix(kHead.size());
  name.remove_suffix(kTail.size());
  int store = -1;
  auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), store);
  bool good = error == std::errc() && stop == name.data() + name.size() && store >= 0;
  return good ? std::optional(store) : std::nullopt;
}

Result<Waiting> Count(const std::string& data_dir, Env* env) {
  Waiting waiting;
  std::string dir = data_dir + "/deadletter";
  if (!env->Exists(dir)) return waiting;  // the log was never opened
  Result<std::vector<std::string>> names = env->List(dir);
  if (!names) return Error(names.error());
  for (const std::string& name : *names) {
    std::optional<int> store = StoreOf(name);
    if (!store) continue;
    Result<DeadLetters> dead = DeadLetters::Open(env, dir, *store);
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

Result<json> ReplayDeadLetters(const std::string& data_dir, Env* env) {
  Result<Waiting> before = Count(data_dir, env);
  if (!before) return Error(before.error());
  // Nothing to do; and a log that was never opened must not be made with other options than the
  // broker's.
  if (before->letters == 0) return json{{"replayed", 0}};
  LinesToStderr listener;
  LogOptions options;
  options.data_dir = data_dir;
  auto log = Log::Open(options, env, &listener);
  if (!log) return Error(log.error());
  Status status = (*log)->ReplayDeadLetters();
  log->reset();
  if (!status.ok()) return Error(status);
  return json{{"replayed", before->letters}};
}

}  // namespace parley
