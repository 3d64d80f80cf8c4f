// parley-check: many stock clients, a random workload, whatever goes wrong meanwhile, and whether
// everything that anybody was told holds. docs/proof.md.
//
// Exit codes: 0 nothing contradicts anything; 1 something does; 2 wrong usage; 3 the run couldn't
// be done. The result goes to standard output, everything else to standard error.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "tests/check/accounts.h"
#include "tests/check/chat_run.h"
#include "tests/check/checker.h"
#include "tests/check/faults.h"
#include "tests/check/local_broker.h"
#include "tests/check/plain_run.h"

namespace parley::check {
namespace {

enum ExitCode { kHolds = 0, kContradicts = 1, kUsage = 2, kFailed = 3 };

struct Arguments {
  std::string broker = "parley";
  std::string host;
  uint16_t port = 1883;
  std::string ca_file;
  std::string admin;
  std::string admin_password_file;
  std::string accounts;
  size_t users = 40;
  size_t devices = 3;
  size_t groups = 8;
  uint64_t seconds = 60;
  uint64_t settle = 120;
  uint64_t seed = 0;
  double rate = 100;
  std::string faults;
  double fault_every = 3;
  std::string history;
  std::string plugin;
  std::vector<std::string> conf;
  bool json = false;
  std::string verify;
  std::string command;
};

// One line that is written over, on a terminal; nothing elsewhere.
class Progress {
 public:
  void Tell(const std::string& what) {
    const auto now = Clock::now();
    if (!terminal_ || now - told_ < std::chrono::milliseconds(200)) return;
    told_ = now;
    std::fprintf(stderr, "\r\x1b[Kparley-check: %s", what.c_str());
  }
  ~Progress() {
    if (terminal_) std::fprintf(stderr, "\r\x1b[K");
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  Clock::time_point told_;
};

void Say(const std::string& what) { std::fprintf(stderr, "parley-check: %s\n", what.c_str()); }

nlohmann::ordered_json ToJson(const Verified& verified, const std::string& path) {
  nlohmann::ordered_json out{{"ok", verified.verdict.ok()},
                             {"broker", verified.head.broker},
                             {"seed", verified.head.seed},
                             {"history", path},
                             {"complete", verified.complete}};
  for (const auto& [name, value] : verified.verdict.figures()) out["figures"][name] = value;
  out["violations"] = nlohmann::ordered_json::object();
  for (const auto& [rule, count] : verified.verdict.counts()) {
    out["violations"][std::string(rule)] = count;
  }
  if (verified.verdict.ok()) return out;
  const Violation& smallest = verified.verdict.Smallest();
  out["smallest"] = {{"rule", smallest.rule}, {"what", smallest.what}};
  for (const Cited& event : smallest.events) {
    out["smallest"]["events"].push_back({{"line", event.line}, {"says", event.says}});
  }
  return out;
}

void Print(const Verified& verified, const std::string& path, bool json) {
  if (json) {
    std::puts(ToJson(verified, path).dump().c_str());
    return;
  }
  for (const auto& [name, value] : verified.verdict.figures()) {
    std::printf("%-34s %llu\n", name.c_str(), static_cast<unsigned long long>(value));
  }
  if (!verified.complete)
    std::puts("The history has no end: what is due at the end isn't checked.");
  if (verified.verdict.ok()) {
    std::puts("Nothing contradicts anything.");
    return;
  }
  for (const auto& [rule, count] : verified.verdict.counts()) {
    std::printf("VIOLATED %-25s %llu\n", std::string(rule).c_str(),
                static_cast<unsigned long long>(count));
  }
  std::printf("\nThe fewest events that contradict each other:\n%s",
              Explain(verified.verdict.Smallest(), path).c_str());
}

ExitCode Verify(const std::string& path, bool json) {
  Verified verified;
  {
    Progress progress;
    verified = VerifyFile(path, [&](uint64_t bytes, uint64_t size) {
      progress.Tell("verifying: " + std::to_string(bytes * 100 / std::max<uint64_t>(size, 1)) +
                    " %");
    });
  }
  Print(verified, path, json);
  return verified.verdict.ok() ? kHolds : kContradicts;
}

std::string FirstLine(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!std::getline(in, line)) throw std::runtime_error("can't read " + path);
  return line;
}

bool HasDiskFault(const std::vector<std::string>& kinds) {
  return std::find(kinds.begin(), kinds.end(), "disk") != kinds.end();
}

std::unique_ptr<LocalBroker> StartBroker(const Arguments& arguments, BrokerKind kind,
                                         const std::vector<std::string>& faults) {
  LocalOptions options;
  options.kind = kind;
  options.plugin = arguments.plugin;
  options.lines = arguments.conf;
  options.small_disk = HasDiskFault(faults);
  // What it starts with, and what the run's messages need in all their copies.
  options.disk_bytes =
      (uint64_t{256} << 20) + static_cast<uint64_t>(arguments.rate) * arguments.seconds * 4096;
  auto broker = std::make_unique<LocalBroker>(options);
  broker->Start();
  if (broker->disk_fault() == DiskFault::kFileLimit) {
    Say("may not mount a small disk here: fault 'disk' is a limit on the size of files, of which "
        "writes past 4 KiB fail");
  }
  return broker;
}

FaultOptions FaultsOf(const Arguments& arguments) {
  return {ParseFaults(arguments.faults), arguments.seed,
          std::chrono::milliseconds(static_cast<int64_t>(arguments.fault_every * 1000))};
}

ChatRunOptions RunOptions(const Arguments& arguments) {
  ChatRunOptions options;
  options.crowd = {arguments.seed, arguments.devices, arguments.groups};
  options.duration = std::chrono::seconds(arguments.seconds);
  options.rate = arguments.rate;
  options.settle = std::chrono::seconds(arguments.settle);
  return options;
}

// What the ids of a run's users begin with: no other run's do.
std::string RunName() {
  std::random_device random;
  std::string name = "check-";
  for (int n = 0; n < 5; ++n) name += "abcdefghijkmnpqrstuvwxyz23456789"[random() % 32];
  return name + "-u";
}

// Whom the run talks to, and as whom.
struct Stage {
  std::unique_ptr<LocalBroker> broker;  // null: somebody else's
  Address address;
  std::unique_ptr<Admin> admin;  // null: the accounts are the user's own
  std::vector<Account> accounts;
};

Stage SetUp(const Arguments& arguments) {
  Stage stage;
  std::string admin = arguments.admin;
  std::string password;
  if (arguments.host.empty()) {
    stage.broker = StartBroker(arguments, BrokerKind::kParley, ParseFaults(arguments.faults));
    stage.address = stage.broker->address();
    admin = "admin";
    password = stage.broker->admin_password();
  } else {
    stage.address = {arguments.host, arguments.port, arguments.ca_file};
    if (!arguments.admin.empty()) password = FirstLine(arguments.admin_password_file);
  }
  if (!arguments.accounts.empty()) {
    stage.accounts = ReadAccounts(arguments.accounts);
    return stage;
  }
  stage.admin = std::make_unique<Admin>(stage.address, admin, password);
  stage.accounts = stage.admin->MakeAccounts(RunName(), arguments.users, arguments.seconds + 86400);
  // The broker may be killed before the admin is needed again.
  stage.admin.reset();
  return stage;
}

void CleanUp(const Arguments& arguments, const Stage& stage) {
  if (stage.broker != nullptr || !arguments.accounts.empty()) return;
  Admin(stage.address, arguments.admin, FirstLine(arguments.admin_password_file))
      .DisableAccounts(stage.accounts);
}

// Work, with its faults, to the end of the history. Empty, or what wasn't done in time.
std::string Work(const Arguments& arguments, const Stage& stage, Recorder* recorder) {
  Progress progress;
  ChatRun run(RunOptions(arguments), stage.accounts, stage.address, recorder,
              [&](const std::string& what) { progress.Tell(what); });
  run.Introduce();
  Faults faults(
      FaultsOf(arguments), stage.broker.get(), [&](uint64_t of) { run.crowd().Cut(of); }, recorder);
  run.Work(&faults);
  std::string why, unread;
  run.Settle(&why);
  run.Read(&unread);
  return why.empty() ? unread : why;
}

ExitCode RunChat(const Arguments& arguments) {
  const Stage stage = SetUp(arguments);
  HistoryWriter history(
      arguments.history,
      {.broker = arguments.broker, .seed = arguments.seed, .command = arguments.command});
  Recorder recorder(&history);
  const std::string why = Work(arguments, stage, &recorder);
  recorder.Write({.kind = EventKind::kEnd});
  history.Close();
  if (!why.empty()) Say("at the end: " + why);
  CleanUp(arguments, stage);
  return Verify(arguments.history, arguments.json);
}

// A broker without Parley, which lets everybody in, or knows those of --accounts.
Stage SetUpPlain(const Arguments& arguments) {
  Stage stage;
  stage.address = {arguments.host, arguments.port, arguments.ca_file};
  if (arguments.host.empty()) {
    const bool stock = arguments.broker == "stock";
    stage.broker = StartBroker(arguments, stock ? BrokerKind::kStock : BrokerKind::kEjabberd,
                               ParseFaults(arguments.faults));
    stage.address = stage.broker->address();
  }
  if (!arguments.accounts.empty()) {
    stage.accounts = ReadAccounts(arguments.accounts);
    return stage;
  }
  const std::string domain = arguments.broker == "ejabberd" ? "@localhost" : "";
  for (size_t n = 1; n <= arguments.users; ++n) {
    stage.accounts.push_back({"u" + std::to_string(n) + domain, "-"});
  }
  return stage;
}

std::string WorkPlainly(const Arguments& arguments, const Stage& stage, Recorder* recorder) {
  Progress progress;
  PlainRun run(RunOptions(arguments), stage.accounts, stage.address, recorder,
               [&](const std::string& what) { progress.Tell(what); });
  run.Introduce();
  Faults faults(
      FaultsOf(arguments), stage.broker.get(), [&](uint64_t of) { run.Cut(of); }, recorder);
  run.Work(&faults);
  std::string why;
  run.Settle(&why);
  return why;
}

ExitCode RunPlain(const Arguments& arguments) {
  const Stage stage = SetUpPlain(arguments);
  HistoryWriter history(arguments.history, {.broker = arguments.broker,
                                            .seed = arguments.seed,
                                            .plain = true,
                                            .command = arguments.command});
  Recorder recorder(&history);
  const std::string why = WorkPlainly(arguments, stage, &recorder);
  recorder.Write({.kind = EventKind::kEnd});
  history.Close();
  if (!why.empty()) Say("at the end: " + why);
  return Verify(arguments.history, arguments.json);
}

void AddOptions(CLI::App* app, Arguments* arguments) {
  app->add_option(
         "--broker", arguments->broker,
         "parley; or, with plain MQTT: stock (Mosquitto alone), ejabberd, or plain (yours)")
      ->check(CLI::IsMember({"parley", "stock", "ejabberd", "plain"}))
      ->capture_default_str();
  app->add_option("--conf", arguments->conf,
                  "A line more for a local Mosquitto's configuration; may be repeated");
  app->add_option("--host", arguments->host, "Your broker; without it one is started for the run");
  app->add_option("--port", arguments->port, "Its port")->capture_default_str();
  app->add_option("--ca-file", arguments->ca_file,
                  "Over TLS: the authorities of your broker's certificate");
  auto* admin = app->add_option("--admin", arguments->admin,
                                "An admin of your broker: makes the accounts, disables them after");
  auto* password = app->add_option("--admin-password-file", arguments->admin_password_file,
                                   "Its password or a token, on the first line");
  admin->needs(password);
  app->add_option("--accounts", arguments->accounts,
                  "Your own accounts instead, unused so far: lines of user,password")
      ->excludes(admin);
  app->add_option("--users", arguments->users, "Users")->capture_default_str();
  app->add_option("--devices", arguments->devices, "Devices of each")->capture_default_str();
  app->add_option("--groups", arguments->groups, "Groups")->capture_default_str();
  app->add_option("--seconds", arguments->seconds, "How long they work")->capture_default_str();
  app->add_option("--settle", arguments->settle,
                  "Seconds after that until what is missing is taken for lost")
      ->capture_default_str();
  app->add_option("--rate", arguments->rate, "What they do, in all, a second")
      ->capture_default_str();
  app->add_option("--seed", arguments->seed, "Repeats the choices of an earlier run (random)");
  app->add_option("--faults", arguments->faults,
                  "Of a local broker: kill,pause,disk,cut,restart, or all");
  app->add_option("--fault-every", arguments->fault_every, "Seconds between two, on average")
      ->capture_default_str();
  app->add_option("--history", arguments->history, "The file to write")
      ->default_str("parley-check.history");
  app->add_option("--plugin", arguments->plugin, "The plugin of a local broker");
  app->add_flag("--json", arguments->json, "The result as one line of JSON");
}

// Empty, or what is wrong.
std::string Mistake(const Arguments& arguments) {
  try {
    ParseFaults(arguments.faults);
  } catch (const std::exception& error) {
    return error.what();
  }
  if (arguments.users < 2 || arguments.devices < 1) return "two users with a device are the least";
  const bool local = arguments.host.empty();
  const bool plain = arguments.broker == "plain";
  if (local) return plain ? "--broker plain needs --host" : "";
  if (!plain && arguments.broker != "parley") return "of your own broker, say --broker plain";
  if (!arguments.faults.empty()) return "--faults is for a local broker: leave --host out";
  if (!plain && arguments.admin.empty() && arguments.accounts.empty()) {
    return "--host needs --admin or --accounts";
  }
  return "";
}

ExitCode Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Checks a chat broker: many clients, random work and faults; then whether all that "
      "anybody was told holds.");
  app.footer("Exit codes: 0 it holds, 1 something contradicts, 2 wrong usage, 3 it couldn't run.");
  AddOptions(&app, &arguments);
  CLI::App* verify = app.add_subcommand("verify", "Checks a history that was written before");
  verify->add_option("FILE", arguments.verify, "The history")->required();
  verify->add_flag("--json", arguments.json, "The result as one line of JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kHolds : kUsage;
  }
  for (int n = 1; n < argc; ++n) arguments.command += (n > 1 ? " " : "") + std::string(argv[n]);
  if (const std::string mistake = Mistake(arguments); !mistake.empty()) {
    Say(mistake);
    return kUsage;
  }
  if (arguments.history.empty()) arguments.history = "parley-check.history";
  try {
    if (verify->parsed()) return Verify(arguments.verify, arguments.json);
    if (app.count("--seed") == 0) arguments.seed = std::random_device()();
    return arguments.broker == "parley" ? RunChat(arguments) : RunPlain(arguments);
  } catch (const std::exception& error) {
    Say(error.what());
    return kFailed;
  }
}

}  // namespace
}  // namespace parley::check

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  return parley::check::Main(argc, argv);
}
