// DESIGN's promises 1 to 3 under kill -9: many people write, ask, acknowledge, drop and return at
// random while the broker is killed again and again. What somebody was told once holds for ever.
//
//   PARLEY_CRASH_KILLS   kills of the first run; the others take a quarter of it (20)
//   PARLEY_CRASH_SEED    of all that is random but the threads' timing; printed (random)
//
// script/crash sets them.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "storage/credentials.h"
#include "storage/env.h"
#include "tests/catch.h"
#include "tests/e2e/crash_ledger.h"
#include "tests/e2e/crash_worker.h"

namespace parley::e2e {
namespace {

using std::chrono::milliseconds;

constexpr int kUsers = 52;
constexpr size_t kWorkers = 4;
constexpr std::chrono::seconds kSettleDeadline{60};

unsigned FromEnvironment(const char* name, unsigned otherwise) {
  const char* value = getenv(name);
  return value != nullptr && *value != '\0' ? static_cast<unsigned>(strtoul(value, nullptr, 10))
                                            : otherwise;
}

class CrashTest {
 public:
  CrashTest(BrokerConfig config, unsigned seed) : broker_(std::move(config)), random_(seed) {
    std::vector<std::string> import;
    for (int n = 1; n <= kUsers; ++n) {
      users_.push_back("user" + std::to_string(n));
      import.push_back(users_.back() + ",");
    }
    broker_.ImportUsers(import);
    // As `parleyctl token issue` does: passwords would take most of a broker's short life.
    const auto credentials =
        Credentials::Load(broker_.data_dir().string(), kPasswordMemoryKibDefault, Env::Posix());
    REQUIRE(credentials);
    for (const std::string& user : users_) tokens_[user] = credentials->IssueToken(user, 86400);
    for (size_t worker = 0; worker < kWorkers; ++worker) {
      std::map<std::string, std::string> mine;
      for (size_t n = worker; n < users_.size(); n += kWorkers) {
        mine[users_[n]] = tokens_[users_[n]];
      }
      workers_.push_back(std::make_unique<CrashWorker>(broker_.port(), random_(), mine, users_,
                                                       &ledger_, &stage_));
    }
  }

  void Run(unsigned kills) {
    broker_.Start();
    for (auto& worker : workers_) worker->Introduce();
    broker_.Stop();
    std::vector<std::jthread> threads;
    for (auto& worker : workers_) threads.emplace_back([&worker] { worker->Run(); });
    try {
      // On a full machine a life is too short for much: there are more of them, then.
      for (unsigned kill = 0; kill < kills || (kill < 10 * kills && TestedLittle(kills)); ++kill) {
        LiveAndDie();
      }
      broker_.Start();
      stage_.Set(CrashStage::Phase::kSettle);
      AwaitSettled();
    } catch (...) {
      stage_.Set(CrashStage::Phase::kFinish);
      throw;
    }
    stage_.Set(CrashStage::Phase::kFinish);
  }

  void Check() {
    for (const std::string& user : users_) {
      Device reader(broker_.port(), user, tokens_[user], {.name = "reader"});
      reader.Login();
      const std::vector<ShownMessage> log = Everything(&reader, "sync", {});
      ledger_.CheckLog(user, log);
      std::map<std::string, std::vector<std::string>> by_peer;
      for (const ShownMessage& message : log) {
        by_peer[message.from == user ? message.to : message.from].push_back(message.text);
      }
      for (const std::string& peer : users_) CheckHistory(&reader, peer, by_peer[peer]);
    }
    ledger_.CheckOutcomes();
  }

  const CrashLedger& ledger() const { return ledger_; }

  // So little was sent and stored that so many kills have tested next to nothing.
  bool TestedLittle(unsigned kills) const {
    return ledger_.stored() < size_t{20} * kills || ledger_.sent_again() < kills;
  }

 private:
  // One broker's life, of random length; now and then it is killed while it starts.
  void LiveAndDie() {
    if (Between(1, 5) == 1) broker_.StartAndKill(milliseconds(Between(0, 60)));
    broker_.Start();
    stage_.Set(CrashStage::Phase::kUp);
    std::this_thread::sleep_for(milliseconds(Between(20, 400)));  // when it dies, not a wait
    stage_.Set(CrashStage::Phase::kDown);
    broker_.Kill();
  }

  void AwaitSettled() {
    const Clock::time_point deadline = Clock::now() + kSettleDeadline;
    for (const auto& worker : workers_) {
      while (!worker->settled() && Clock::now() < deadline) {
        std::this_thread::sleep_for(milliseconds(5));
      }
    }
  }

  static std::vector<ShownMessage> Everything(Device* reader, const std::string& method,
                                              Json members) {
    members["after"] = 0;
    members["limit"] = 100;
    std::vector<ShownMessage> messages;
    for (;;) {
      const auto answer = nlohmann::ordered_json::parse(reader->AskText(method, members));
      if (answer["ok"] != true) throw MqttError(reader->user() + ": " + answer.dump());
      for (const auto& object : answer["messages"]) messages.emplace_back(object);
      if (!answer["more"].get<bool>()) return messages;
      members["after"] = messages.back().seq;
    }
  }

  void CheckHistory(Device* reader, const std::string& peer,
                    const std::vector<std::string>& expected) {
    std::vector<std::string> texts;
    for (const ShownMessage& message : Everything(reader, "history", {{"with", peer}})) {
      texts.push_back(message.text);
    }
    if (texts == expected) return;
    ledger_.Contradiction(reader->user() + "'s history with " + peer + " has " +
                          std::to_string(texts.size()) + " messages, the log " +
                          std::to_string(expected.size()) + ", or they differ");
  }

  int Between(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }

  Broker broker_;
  std::mt19937 random_;
  std::vector<std::string> users_;
  std::map<std::string, std::string> tokens_;
  CrashLedger ledger_;
  CrashStage stage_;
  std::vector<std::unique_ptr<CrashWorker>> workers_;
};

void RunAndCheck(const std::map<std::string, std::string>& options, unsigned kills) {
  const unsigned seed = FromEnvironment("PARLEY_CRASH_SEED", std::random_device{}());
  INFO("seed " << seed << ", " << kills << " kills");
  std::cout << "seed " << seed << ": " << kills << " kills" << std::flush;
  BrokerConfig config;
  config.options = options;
  config.options["plugin_opt_journal_segment_bytes"] = "1048576";  // many of them
  CrashTest test(config, seed);
  test.Run(kills);
  test.Check();
  std::cout << ", " << test.ledger().stored() << " messages stored, " << test.ledger().sent_again()
            << " sent again\n";
  for (const std::string& contradiction : test.ledger().contradictions()) {
    UNSCOPED_INFO(contradiction);
  }
  CHECK(test.ledger().contradiction_count() == 0);
  CHECK_FALSE(test.TestedLittle(kills));
}

unsigned Kills() { return FromEnvironment("PARLEY_CRASH_KILLS", 20); }

TEST_CASE("what anybody was told holds however often the broker is killed") {
  RunAndCheck({}, Kills());
}

TEST_CASE("it holds where users are forgotten and little is cached") {
  RunAndCheck({{"plugin_opt_user_idle_ms", "20"}, {"plugin_opt_cache_bytes", "20000"}},
              (Kills() + 3) / 4);
}

TEST_CASE("it holds where the journal is synced later or never") {
  const std::string durability = GENERATE("interval 50", "os");
  CAPTURE(durability);
  RunAndCheck({{"plugin_opt_durability", durability}}, (Kills() + 3) / 4);
}

}  // namespace
}  // namespace parley::e2e
