#include "plugin/host.h"

#include <utility>

#include "chat/figures.h"

namespace parley {
namespace {

// A parleyctl that is at work when the broker starts.
constexpr std::chrono::seconds kLockPatience{10};

nlohmann::json ByProvider(const EngineCounts::ByProvider& counts) {
  nlohmann::json json = nlohmann::json::object();
  for (size_t i = 0; i < counts.size(); ++i) {
    json[std::string(PushProviderName(static_cast<PushProvider>(i)))] = counts[i];
  }
  return json;
}

}  // namespace

Result<std::unique_ptr<Host>> Host::Start(const Options& options) {
  std::unique_ptr<Host> host(new Host(options));
  if (Status status = host->Open(); !status.ok()) return Error(status);
  return host;
}

Host::Host(const Options& options)
    : options_(options),
      release_([this] { wake_.Signal(); }),
      disk_(options.data_dir),
      sessions_(options.sessions,
                [this](const std::string& client_id) { return BrokerKeeps(client_id); }),
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
  disk_.Measure();
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

Host::FigureList Host::Figures() const {
  const EngineFigures& engine = engine_->figures();
  const EngineFigures::Told told = engine_->told();
  FigureList list = {
      {"messages/accepted", figures_.publishes.load()},
      {"messages/refused", figures_.refused_publish.load()},
      {"messages/delivered", figures_.deliveries.load()},
      {"refused", RefusedByCode(told.counts)},
      {"typing/dropped", figures_.typing_dropped.load()},
      {"subscriptions/refused", figures_.refused_subscribe.load()},
      {"logins/accepted", figures_.logins.load()},
      {"logins/refused", figures_.refused_login.load()},
      {"sessions", figures_.sessions.load()},
      {"users/online", told.online},
      {"accounts", directory_->user_count()},
      {"callbacks/seconds", HistogramJson(figures_.callbacks.counts())},
      {"wakes", figures_.wakes.load()},
      {"engine/commands", engine.commands.load()},
      {"engine/turns", engine.turns.load()},
      {"engine/queued", engine.queued.load()},
      {"engine/refused_busy", engine.refused_busy.load()},
      {"engine/users", told.users},
      {"engine/cached_bytes", told.cached_bytes},
      {"engine/effects_waiting", release_.size()},
      {"push/jobs", told.push_jobs},
      {"push/handed", ByProvider(told.counts.push_handed)},
      {"push/delivered", ByProvider(told.counts.push_delivered)},
      {"push/failed", ByProvider(told.counts.push_failed)},
      {"push/gone", ByProvider(told.counts.push_gone)},
      {"push/dead_letters", told.counts.push_dead},
      {"push/refused", told.counts.push_refused},
      {"cache/hits", told.counts.cache_hits},
      {"cache/misses", told.counts.cache_misses},
      {"presence/changes", told.counts.presence_changes},
      {"presence/publishes", told.counts.presence_publishes},
      {"version", PARLEY_VERSION},
      {"started", started_ms_ / 1000},
  };
  AddLogFigures(&list);
  AddDiskFigures(&list);
  return list;
}

void Host::AddLogFigures(FigureList* list) const {
  const LogFigures log = log_->figures();
  const FigureList figures = {
      {"messages/stored", log.messages},
      {"journal/commits", log.commits},
      {"journal/transactions", log.transactions},
      {"journal/bytes", log.journal_bytes},
      {"journal/errors", log.journal_errors},
      {"journal/backlog_bytes", log_->backlog_bytes()},
      {"journal/commit_seconds", HistogramJson(log.commit)},
      {"stores/unapplied", log.unapplied},
      {"stores/queued_bytes", log.queued_bytes},
      {"stores/oldest_ms", log.oldest_ms},
      {"stores/write_seconds", HistogramJson(log.apply)},
      {"stores/retries", log.store_retries},
      {"stores/down", log.stores_down},
      {"stores/dead_letters", log.dead_letters},
      {"stores/dead_letter_bytes", log.dead_letter_bytes},
  };
  list->insert(list->end(), figures.begin(), figures.end());
}

void Host::AddDiskFigures(FigureList* list) const {
  const DiskFigures::Sizes disk = disk_.sizes();
  list->emplace_back("stores/bytes", disk.stores);
  list->emplace_back("directory/bytes", disk.directory_bytes);
  list->emplace_back("disk/free_bytes", disk.free_bytes);
  list->emplace_back("disk/size_bytes", disk.size_bytes);
}

// On the broker's thread and by the engine, together.
nlohmann::json Host::RefusedByCode(const EngineCounts& engine) const {
  nlohmann::json refused = nlohmann::json::object();
  for (auto i = static_cast<size_t>(Code::kBadRequest);
       i <= static_cast<size_t>(Code::kUnavailable); ++i) {
    refused[std::string(CodeName(static_cast<Code>(i)))] =
        figures_.refused[i].load() + engine.refused[i];
  }
  return refused;
}

// Not on the broker's thread: a disk may hang.
void Host::MeasureDisk() {
  directory_thread_->Post([this] { disk_.Measure(); });
}

}  // namespace parley
