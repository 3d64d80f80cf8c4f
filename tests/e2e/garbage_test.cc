// A day's worth of garbage (garbage.h) against a broker while people talk (talks.h): they get what
// they get without it, and the broker holds afterwards what it held before.
//
//   PARLEY_GARBAGE_DAYS     how much of it (0.02)
//   PARLEY_GARBAGE_SECONDS  in which time; they talk as long (4)
//   PARLEY_GARBAGE_SEED     of all that is random but the threads' timing (1)
//   PARLEY_GARBAGE_JSON     a file for the figures
//
// script/garbage sets them.
#include "tests/e2e/garbage.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "bench/process_usage.h"
#include "tests/catch.h"
#include "tests/e2e/talks.h"

namespace parley::e2e {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr size_t kThrowers = 4;
constexpr milliseconds kPause{200};
constexpr double kGrowthMaxMib = 48;
// Those who throw share the machine with the broker, and others may: this says only that nobody has
// to wait for long.
constexpr double kP99Times = 10, kP99MoreMs = 2000;

double FromEnvironment(const char* name, double otherwise) {
  const char* value = getenv(name);
  return value != nullptr && *value != '\0' ? strtod(value, nullptr) : otherwise;
}

TalkOptions TalksFor(const std::string& prefix, double seconds) {
  TalkOptions options;
  options.prefix = prefix;
  options.seed = static_cast<unsigned>(FromEnvironment("PARLEY_GARBAGE_SEED", 1));
  options.pause = kPause;
  options.messages = static_cast<uint64_t>(seconds * 1000) / static_cast<uint64_t>(kPause.count());
  return options;
}

Json LatencyOf(const bench::Histogram& latency) {
  Json json = {{"messages", latency.count()}};
  for (const auto& [name, percent] :
       {std::pair("p50_ms", 50.0), {"p99_ms", 99.0}, {"p999_ms", 99.9}}) {
    json[name] = latency.PercentileUs(percent) / 1000;
  }
  json["max_ms"] = static_cast<double>(latency.max_ns()) / 1e6;
  return json;
}

double P99Ms(const Talks& talks) { return talks.latency().PercentileUs(99) / 1000; }

// What the broker holds. Files of its stores are LevelDB's to keep open or not.
struct Holdings {
  uint64_t descriptors = 0;
  double anon_mib = 0;  // memory that no file backs

  Json ToJson() const { return {{"descriptors", descriptors}, {"anon_mib", anon_mib}}; }
};

Holdings HoldingsOf(const Broker& broker) {
  Holdings holdings;
  const auto anon = static_cast<double>(bench::ReadSize(broker.pid()).anon_bytes);
  holdings.anon_mib = anon / (1 << 20);
  const fs::path descriptors = "/proc/" + std::to_string(broker.pid()) + "/fd";
  for (const auto& entry : fs::directory_iterator(descriptors)) {
    std::error_code gone;
    const std::string target = fs::read_symlink(entry.path(), gone).string();
    holdings.descriptors += !gone && !target.starts_with(broker.data_dir().string());
  }
  return holdings;
}

// Connections to the port that the broker hasn't closed (proc(5), /proc/net/tcp: the local address,
// then the remote one and the state; 0A listens, 06 is over).
size_t ConnectionsTo(uint16_t port) {
  std::ifstream table("/proc/net/tcp");
  size_t connections = 0;
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state;
    fields >> slot >> local >> remote >> state;
    const bool ours = std::stoul(local.substr(local.find(':') + 1), nullptr, 16) == port;
    connections += ours && state != "0A" && state != "06";
  }
  return connections;
}

// Once everybody is gone.
Holdings AwaitRest(const Broker& broker) {
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(60);
  while (ConnectionsTo(broker.port()) > 0 && Clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  return HoldingsOf(broker);
}

void Print(const Json& report) {
  std::cout << report["days"] << " days' worth of garbage in " << report["seconds"] << " s:\n";
  for (const GarbageKind& kind : kGarbage) {
    std::cout << "  " << kind.name << ": " << report["thrown"][std::string(kind.name)] << "  ("
              << kind.what << ")\n";
  }
  std::cout << "connections that the broker closed: " << report["closed"] << "\n";
  for (const char* name : {"without", "with"}) {
    std::cout << name << " garbage: " << report[name].dump() << "\n";
  }
  std::cout << "the broker before: " << report["before"].dump()
            << "\n           after: " << report["after"].dump() << std::endl;
}

TEST_CASE("those who behave get the same whether garbage is thrown at the broker or not") {
  const double days = FromEnvironment("PARLEY_GARBAGE_DAYS", 0.02);
  const double seconds = FromEnvironment("PARLEY_GARBAGE_SECONDS", 4);
  // Small caches: what they hold is no leak, and would hide one.
  Broker broker({.options = {{"plugin_opt_cache_bytes", "4194304"},
                             {"plugin_opt_store_cache_bytes", "4194304"},
                             {"plugin_opt_user_idle_ms", "1000"}}});
  broker.Start();
  GarbageOptions options;
  options.port = broker.port();
  options.seed = static_cast<unsigned>(FromEnvironment("PARLEY_GARBAGE_SEED", 1));
  options.corpus = PARLEY_FUZZ_CORPUS;
  options.days = days;
  options.time = std::chrono::seconds(static_cast<int64_t>(seconds));
  std::vector<std::string> lines;
  for (size_t i = 0; i < kThrowers; ++i) {
    options.users.push_back("mallory" + std::to_string(i));
    lines.push_back(options.users.back() + "," + Garbage::PasswordOf(options.users.back()));
  }
  broker.ImportUsers(lines);

  Talks quiet(&broker, TalksFor("t1x", seconds));
  quiet.Run();
  const auto expected = quiet.Logs();
  const Holdings before = AwaitRest(broker);

  Talks loud(&broker, TalksFor("t2x", seconds));
  options.victims = loud.users();
  options.victims.push_back(loud.group());
  options.victims.push_back(options.users[0]);
  Garbage garbage(options);
  std::atomic<bool> stop = false;
  std::exception_ptr failure;
  {
    std::jthread thrower([&] {
      try {
        garbage.Run(stop);
      } catch (...) {
        failure = std::current_exception();
      }
    });
    loud.Run();
  }
  if (failure) std::rethrow_exception(failure);
  const Holdings after = AwaitRest(broker);

  Json report = {{"days", days}, {"seconds", seconds}, {"closed", garbage.closed()}};
  for (size_t i = 0; i < kGarbage.size(); ++i) {
    report["thrown"][std::string(kGarbage[i].name)] = garbage.thrown()[i].load();
  }
  report["without"] = LatencyOf(quiet.latency());
  report["with"] = LatencyOf(loud.latency());
  report["before"] = before.ToJson();
  report["after"] = after.ToJson();
  Print(report);
  if (const char* file = getenv("PARLEY_GARBAGE_JSON"))
    std::ofstream(file) << report.dump() << "\n";

  CHECK(P99Ms(loud) <= kP99Times * P99Ms(quiet) + kP99MoreMs);
  CHECK(loud.Logs() == expected);
  CHECK(after.descriptors == before.descriptors);
  CHECK(after.anon_mib <= before.anon_mib + kGrowthMaxMib);
  broker.Restart();
  CHECK(loud.Logs() == expected);
}

}  // namespace
}  // namespace parley::e2e
