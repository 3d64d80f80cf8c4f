#include "tests/sim/world.h"

#include <utility>

#include "tests/sim/sqlite_vfs.h"

namespace parley::sim {
namespace {

constexpr char kDataDir[] = "/data";

// By the seed, and not by a choice of the run's: runs without are as they were.
bool HasPushes(uint64_t seed) { return Dice(~seed).OneIn(3); }

}  // namespace

// Small limits, so that a short life reaches all of them.
ServerOptions World::OptionsFor(Dice* random, bool pushes) {
  ServerOptions options;
  EngineOptions& engine = options.engine.engine;
  engine.window = random->Between(2, 40);
  engine.user_rate = 0;
  engine.cache_bytes = random->OneIn(3) ? 2000 : 64 << 20;
  engine.user_cache_messages = random->Between(1, 20);
  engine.parked_max = random->OneIn(4) ? 3 : 1000;
  engine.sync_waiting_max = 2;
  engine.user_idle_ms = random->OneIn(2) ? 200 : 5000;
  options.engine.queue_max = random->OneIn(4) ? 8 : 10'000;
  options.engine.effects_max = random->OneIn(4) ? 20 : 100'000;
  options.engine.backlog_bytes_max = random->OneIn(4) ? 4000 : 64 << 20;
  options.engine.readers = static_cast<int>(random->Between(1, 3));
  LogOptions& log = options.log;
  log.data_dir = kDataDir;
  static constexpr Durability kDurability[] = {Durability::kInterval, Durability::kOs};
  if (random->OneIn(5)) log.durability = kDurability[random->Below(2)];
  log.interval_ms = static_cast<int64_t>(random->Between(1, 500));
  log.stores = static_cast<int>(random->Between(1, 3));
  log.journal_segment_bytes = 1024 * random->Between(8, 64);
  log.journal_bytes_max = log.journal_segment_bytes * (random->OneIn(3) ? 4 : 1000);
  log.retry_ms = static_cast<int64_t>(random->Between(1, 100));
  log.retry_max = static_cast<int>(random->Between(0, 3));
  log.store_queue_bytes_max = random->OneIn(3) ? 2000 : 64 << 20;
  if (!pushes) return options;
  engine.push_delay_ms = static_cast<int64_t>(random->Below(1000));
  engine.push_again_s = static_cast<int64_t>(random->Below(3));
  engine.push_lease_s = 20;
  engine.push_window = random->Between(1, 5);
  engine.push_retry_ms = 50;
  engine.push_attempts_max = static_cast<uint32_t>(random->Between(2, 6));
  engine.push_age_max_s = 30 * 86'400;
  return options;
}

World::World(uint64_t seed, bool verbose)
    : has_pushes_(HasPushes(seed)),
      random_(seed),
      scheduler_(random_.Next()),
      trace_(verbose),
      disk_(random_.Next()),
      accounts_({"alice", "bob", "carol", "dave", "erin", "gateway"}),
      options_(OptionsFor(&random_, has_pushes_)),
      server_(options_, &disk_, &accounts_),
      broker_(&server_, &oracle_, &trace_, &random_) {
  for (const std::string& user : users_) {
    broker_.AddPhone(user, user + ":phone", true);
    broker_.AddPhone(user, user + ":desk", random_.OneIn(2));
    auditors_.push_back(&broker_.AddPhone(user, user + ":audit", false));
  }
  steps_ = random_.Between(50, 600);
  static constexpr uint64_t kTrouble[] = {20, 40, 80, 200};
  trouble_one_in_ = kTrouble[random_.Below(4)];
  bool heavy = random_.OneIn(4);  // so that LevelDB begins new logs
  long_one_in_ = heavy ? 2 : 10;
  long_body_ = heavy ? 20'000 : 3'000;
  disk_.on_access = [this](const char* what, const std::string& path) {
    trace_.Access(what, path);
  };
}

void World::Run() {
  scheduler_.Run([this] { Live(); });
}

void World::Live() {
  // As `parleyctl init` leaves it.
  bool made = disk_.MakeDir(kDataDir).ok() && disk_.OpenWritable("/data/roster.db") &&
              disk_.SyncDir(kDataDir).ok();
  if (!made) throw Violation{"the disk can't be used"};
  if (has_pushes_) StartPushes();
  for (uint64_t step = 0; step < steps_; ++step) Step();
  Audit();
  Died("kill -9, for the last time");
  Audit();
  if (random_.OneIn(3)) Rot();
}

void World::Step() {
  NoticePowerCut();
  if (forgotten_) Audit();
  if (mend_at_us_ != 0 && scheduler_.now_us() >= mend_at_us_) Mend();
  if (server_.state() == Server::State::kDown) StartServer();
  if (server_.state() == Server::State::kUp) {
    for (uint64_t i = random_.Below(4); i > 0; --i) {
      Act(broker_.phones()[random_.Below(broker_.phones().size())]);
    }
    RunGateways();
    broker_.Turn(random_.OneIn(4) ? 1 : 500);
  }
  if (random_.OneIn(trouble_one_in_)) GoWrong();
  if (random_.OneIn(3 * trouble_one_in_)) Audit();
  Pause();
}

// The others go on.
void World::Pause() {
  int64_t most_us = random_.OneIn(20) ? 3'000'000 : random_.OneIn(4) ? 100'000 : 2'000;
  scheduler_.SleepUs(static_cast<int64_t>(random_.Below(static_cast<uint64_t>(most_us))));
}

}  // namespace parley::sim
