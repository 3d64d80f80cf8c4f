#include "plugin/host.h"

#include <utility>

namespace parley {
namespace {

// A parleyctl that is at work when the broker starts.
constexpr std::chrono::seconds kLockPatience{10};

}  // namespace

Result<std::unique_ptr<Host>> Host::Start(const Options& options) {
  std::unique_ptr<Host> host(new Host(options));
  if (Status status = host->Open(); !status.ok()) return Error(status);
  return host;
}

Host::Host(const Options& options)
    : options_(options),
      release_([this] { wake_.Signal(); }),
      sessions_(options.session_expiry_s),
      started_ms_(env_->NowMs()) {}

Status Host::Open() {
  auto directory = Directory::Open(options_.data_dir, env_, kLockPatience);
  if (!directory) return directory.error();
  directory_ = std::move(*directory);
  auto credentials = Credentials::Load(options_.data_dir, options_.password_memory_kib, env_);
  if (!credentials) return credentials.error();
  credentials_ = std::make_unique<Credentials>(std::move(*credentials));
  logins_ = std::make_unique<LoginGate>(options_.login, directory_.get(), credentials_.get(), env_,
                                        [this] { wake_.Signal(); });
  directory_thread_ = std::make_unique<DirectoryThread>();
  accounts_ = std::make_unique<DirectoryAccounts>(directory_.get(), credentials_.get(),
                                                  directory_thread_.get());
  auto roster = Roster::Open(options_.data_dir, env_);
  if (!roster) return roster.error();
  roster_ = std::move(*roster);
  engine_ = std::make_unique<EngineThread>(options_.engine, env_, accounts_.get(), roster_.get(),
                                           &topic_members_, &release_);
  if (Status status = OpenLog(); !status.ok()) return status;
  if (Status status = engine_->Start(log_.get()); !status.ok()) return status;
  OpenControl();
  return {};
}

// The log brings the roster up to date; then it is known who may subscribe to what.
Status Host::OpenLog() {
  LogOptions options = options_.log;
  options.roster = roster_.get();
  auto log = Log::Open(options, env_, engine_.get());
  // What recovery has to say is for the broker's log, also where it fails.
  for (const std::string& line : engine_->TakeLines()) {
    mosquitto_log_printf(MOSQ_LOG_NOTICE, "parley: %s", line.c_str());
  }
  if (!log) return log.error();
  log_ = std::move(*log);
  return roster_->ForEachTopicMember(
      [this](const GroupId& group, const UserId& user) { topic_members_.Add(group, user); });
}

// What admins ask of a running broker, on the directory's thread.
void Host::OpenControl() {
  using nlohmann::json;
  ControlHooks hooks;
  hooks.status = [this] {
    json figures = json::object();
    for (const auto& [name, value] : Figures()) figures[std::string(name)] = value;
    return figures;
  };
  hooks.deadletters = [this](size_t) -> Result<json> {
    LogFigures log = log_->figures();
    return json{{"waiting", log.dead_letters}, {"stores_down", log.stores_down}};
  };
  hooks.replay_deadletters = [this]() -> Result<json> {
    uint64_t before = log_->figures().dead_letters;
    if (Status status = log_->ReplayDeadLetters(); !status.ok()) return Error(status);
    return json{{"replayed", before - log_->figures().dead_letters}};
  };
  hooks.push_deadletters = [this](size_t limit) { return roster_->PushDeadLetters(limit); };
  hooks.account_changed = [this](const UserId& user) {
    ToBroker([this, user] { EndSessions(user); });
  };
  control_ = std::make_unique<Control>(directory_.get(), credentials_.get(), env_, hooks);
}

// Commands first, then what they left for the directory, then the log with what they wrote.
Host::~Host() {
  if (engine_) engine_->Stop();
  directory_thread_.reset();
  log_.reset();
  roster_.reset();
  logins_.reset();
}

void Host::ToBroker(std::function<void()> job) {
  {
    std::lock_guard lock(broker_jobs_mutex_);
    broker_jobs_.push_back(std::move(job));
  }
  wake_.Signal();
}

std::vector<std::pair<std::string_view, uint64_t>> Host::Figures() const {
  LogFigures log = log_->figures();
  const EngineFigures& engine = engine_->figures();
  return {
      {"messages/accepted", figures_.publishes},
      {"messages/refused", figures_.refused_publish},
      {"messages/delivered", figures_.deliveries},
      {"typing/dropped", figures_.typing_dropped},
      {"subscriptions/refused", figures_.refused_subscribe},
      {"logins/accepted", figures_.logins},
      {"logins/refused", figures_.refused_login},
      {"sessions", figures_.sessions},
      {"accounts", directory_->user_count()},
      {"wakes", figures_.wakes},
      {"engine/commands", engine.commands.load()},
      {"engine/turns", engine.turns.load()},
      {"engine/queued", engine.queued.load()},
      {"engine/refused_busy", engine.refused_busy.load()},
      {"engine/users", engine.users.load()},
      {"engine/cached_bytes", engine.cached_bytes.load()},
      {"engine/effects_waiting", release_.size()},
      {"push/jobs", engine.push_jobs.load()},
      {"push/handed", engine.push_handed.load()},
      {"push/delivered", engine.push_delivered.load()},
      {"push/failed", engine.push_failed.load()},
      {"push/dead_letters", engine.push_dead.load()},
      {"push/refused", engine.push_refused.load()},
      {"journal/commits", log.commits},
      {"journal/transactions", log.transactions},
      {"journal/bytes", log.journal_bytes},
      {"journal/errors", log.journal_errors},
      {"stores/retries", log.store_retries},
      {"stores/down", log.stores_down},
      {"stores/unapplied", log.unapplied},
      {"stores/dead_letters", log.dead_letters},
  };
}

}  // namespace parley
