// parley_load: the load generator. One thread; each mode is a subcommand with a file of its own.
#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <string>

#include "bench/cold.h"
#include "bench/connections.h"
#include "bench/disk.h"
#include "bench/fanout.h"
#include "bench/growth_report.h"
#include "bench/history.h"
#include "bench/idle.h"
#include "bench/pairs.h"
#include "bench/presence.h"
#include "bench/report.h"
#include "bench/soak.h"
#include "bench/soak_report.h"

namespace parley::bench {
namespace {

class Nothing : public ClientEvents {
 public:
  void OnPublish(Client& /*client*/, const Publish& /*publish*/, int64_t /*now_ns*/) override {}
};

// Whether anybody listens there yet.
bool Listens(const Endpoint& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool listens = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return listens;
}

// Returns when user u0 is connected and subscribed; tells how long that took.
int RunWait(const Workload& workload, double timeout_s) {
  const int64_t start_ns = NowNs();
  while (!Listens(workload.endpoint)) {
    if (static_cast<double>(NowNs() - start_ns) > timeout_s * 1e9) Die("nobody listens");
    usleep(500);
  }
  Nothing nothing;
  Clients clients(workload.endpoint, &nothing);
  AddUser(&clients, Credentials(workload.credentials), 0, {"chat/" + UserName(0)});
  clients.ConnectAll();
  Report report;
  report.Text("mode", "wait");
  report.Number("waited_ms", static_cast<double>(NowNs() - start_ns) / 1e6);
  report.Print(workload.json);
  return 0;
}

// Thousands of sockets, and timers that are not rounded up to 50 µs.
void PrepareProcess() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  prctl(PR_SET_TIMERSLACK, 1);
}

struct Options {
  Workload workload;
  bool mqtt5 = false;
  PairsOptions pairs;
  FanoutOptions fanout;
  PresenceOptions presence;
  IdleOptions idle;
  ConnectionsOptions connections;
  ColdOptions cold;
  SoakOptions soak;
  std::string svg;
  std::string figures;
  FillOptions fill;
  HistoryOptions history;
  double wait_timeout_s = 30;
  std::string fsync_directory = ".";
  int fsync_rounds = 500;
};

void AddCommon(CLI::App* mode, Options* options) {
  Workload& workload = options->workload;
  mode->add_option("--host", workload.endpoint.host, "IPv4 address of the broker");
  mode->add_option("--port", workload.endpoint.port, "its port");
  mode->add_option("--pid", workload.pid, "its process, to read CPU and memory");
  mode->add_option("--credentials", workload.credentials, "file of 'user token' lines");
  mode->add_flag("--plain", workload.plain, "a broker without Parley");
  mode->add_flag("--mqtt5", options->mqtt5, "speak MQTT 5 in place of 3.1.1");
  mode->add_flag("--json", workload.json, "one JSON object on one line");
}

void AddPairs(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("pairs", "pairs of users: throughput, or latency at a rate");
  PairsOptions& pairs = options->pairs;
  Endpoint& endpoint = options->workload.endpoint;
  AddCommon(mode, options);
  mode->add_option("--pairs", pairs.pairs, "how many")->check(CLI::Range(1, 10000));
  mode->add_option("--users", pairs.users, "accounts that they are spread over; 0: the first ones");
  mode->add_option("--window", pairs.window, "messages a sender has under way")
      ->check(CLI::Range(1, 10000));
  mode->add_option("--rate", pairs.rate, "messages/s over all pairs, Poisson; 0: closed loop");
  mode->add_option("--bytes", pairs.body_bytes, "length of a message's text");
  mode->add_option("--qos", endpoint.qos, "of publishes")->check(CLI::Range(0, 1));
  mode->add_option("--sub-qos", endpoint.sub_qos, "of subscriptions")->check(CLI::Range(0, 1));
  mode->add_option("--warmup", pairs.warmup_s, "seconds before measuring");
  mode->add_option("--seconds", pairs.seconds, "seconds measured");
  mode->add_option("--receipts", pairs.receipts_every, "a receipt every so many messages; 0: none");
  mode->add_option("--seed", options->workload.seed, "of the arrivals");
}

void AddFanout(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("fanout", "a group: one writes, all members get it");
  FanoutOptions& fanout = options->fanout;
  AddCommon(mode, options);
  mode->add_option("--members", fanout.members, "how many")->check(CLI::Range(2, 100000));
  mode->add_option("--delivery", fanout.delivery, "of Parley's group")
      ->check(CLI::IsMember({"topic", "inbox"}));
  mode->add_option("--window", fanout.window, "messages that have not reached all")
      ->check(CLI::Range(1, 1000));
  mode->add_option("--bytes", fanout.body_bytes, "length of a message's text");
  mode->add_option("--warmup", fanout.warmup_s, "seconds before measuring");
  mode->add_option("--seconds", fanout.seconds, "seconds measured");
}

void AddPresence(CLI::App* app, Options* options) {
  PresenceOptions& presence = options->presence;
  CLI::App* make = app->add_subcommand("contacts", "make the contacts for presence, once");
  CLI::App* mode = app->add_subcommand("presence", "users who come, go and flap");
  for (CLI::App* one : {make, mode}) {
    AddCommon(one, options);
    one->add_option("--users", presence.users, "how many")->check(CLI::Range(100, 50000));
    one->add_option("--contacts", presence.contacts, "of each, half on either side in a ring")
        ->check(CLI::Range(2, 50));
  }
  mode->add_option("--flapping-every", presence.flapping_every, "one user of so many flaps")
      ->check(CLI::Range(1, 1000));
  mode->add_flag("--unwatched", presence.unwatched, "no subscriptions to presence and no wills");
  mode->add_option("--warmup", presence.warmup_s, "seconds before measuring");
  mode->add_option("--seconds", presence.seconds, "seconds measured");
  mode->add_option("--seed", options->workload.seed, "of who comes and goes when");
}

void AddIdle(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("idle", "memory of idle connections");
  AddCommon(mode, options);
  mode->add_option("--connections", options->idle.connections, "how many");
  mode->add_option("--seconds", options->idle.seconds, "how long they stay");
}

void AddConnections(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("connections", "many devices, and a storm of all of them");
  ConnectionsOptions& connections = options->connections;
  AddCommon(mode, options);
  mode->add_option("--connections", connections.connections, "how many");
  mode->add_option("--active-every", connections.active_every, "one device of so many chats")
      ->check(CLI::Range(1, 1000));
  mode->add_option("--rate", connections.rate, "messages/s over all of those, Poisson");
  mode->add_option("--return-within", connections.return_within_s,
                   "seconds in which all come back; 0: as fast as they are let in");
  mode->add_option("--quiet", connections.quiet_s, "seconds of pings alone");
  mode->add_option("--before", connections.before_s, "seconds of messages before the storm");
  mode->add_option("--after", connections.after_s, "seconds after it");
  mode->add_option("--bytes", connections.body_bytes, "length of a message's text");
  mode->add_option("--seed", options->workload.seed, "of arrivals and returns");
}

void AddCold(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("cold", "users who come for the first time after a start");
  AddCommon(mode, options);
  mode->add_option("--users", options->cold.users, "as filled");
  mode->add_option("--step", options->cold.step, "one user of so many comes")
      ->check(CLI::PositiveNumber);
}

void AddSoak(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("soak", "hours of mixed load, recorded");
  SoakOptions& soak = options->soak;
  AddCommon(mode, options);
  mode->add_option("--users", soak.users, "in a ring")->check(CLI::Range(100, 10000));
  mode->add_option("--peers", soak.peers, "neighbours whom each writes to")
      ->check(CLI::Range(1, 19));
  mode->add_option("--rate", soak.rate, "messages/s between neighbours")
      ->check(CLI::PositiveNumber);
  mode->add_option("--seconds", soak.seconds, "how long");
  mode->add_option("--every", soak.every_s, "seconds between two lines");
  mode->add_option("--data", soak.data_dir, "the broker's data directory")->required();
  mode->add_option("--csv", soak.csv, "the file to write")->required();
  mode->add_option("--bytes", soak.body_bytes, "length of a message's text");
  mode->add_option("--seed", options->workload.seed, "of who does what when");

  CLI::App* report = app->add_subcommand(
      "soak-report", "judge what a soak recorded: exits with 1 where it isn't flat");
  report->add_option("csv", soak.csv, "what soak wrote")->required();
  report->add_option("--svg", options->svg, "the picture to write");
}

void AddFill(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("fill", "fill the store through the broker");
  FillOptions& fill = options->fill;
  AddCommon(mode, options);
  mode->add_option("--messages", fill.messages, "how many");
  mode->add_option("--users", fill.users, "of how many users")->check(CLI::Range(2, 19000));
  mode->add_option("--peers", fill.peers, "whom each user writes to")->check(CLI::Range(1, 1000));
  mode->add_option("--bytes", fill.body_bytes, "length of a message's text");
  mode->add_option("--window", fill.window, "messages a sender has under way");
}

void AddHistory(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("history", "pages of a filled store");
  HistoryOptions& history = options->history;
  AddCommon(mode, options);
  mode->add_option("--users", history.users, "as filled");
  mode->add_option("--peers", history.peers, "as filled")->check(CLI::Range(1, 1000));
  mode->add_option("--connections", history.connections, "users that ask");
  mode->add_option("--outstanding", history.outstanding, "questions under way");
  mode->add_option("--limit", history.limit, "messages to a page");
  mode->add_option("--warmup", history.warmup_s, "seconds before measuring");
  mode->add_option("--seconds", history.seconds, "seconds measured");
  mode->add_option("--seed", options->workload.seed, "of the questions");
}

void AddGrowthReport(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("growth-report", "draw what script/bench growth measured");
  mode->add_option("figures", options->figures, "its medians")->required();
  mode->add_option("--svg", options->svg, "the picture to write")->required();
}

void AddWait(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("wait", "wait until the broker serves user u0");
  AddCommon(mode, options);
  mode->add_option("--timeout", options->wait_timeout_s, "seconds");
}

void AddFsync(CLI::App* app, Options* options) {
  CLI::App* mode = app->add_subcommand("fsync", "what a fdatasync costs");
  mode->add_option("directory", options->fsync_directory, "on the disk to measure")->required();
  mode->add_option("--rounds", options->fsync_rounds, "how many");
  mode->add_flag("--json", options->workload.json, "one JSON object on one line");
}

int RunMode(const std::string& mode, Options* options) {
  Workload& workload = options->workload;
  if (options->mqtt5) workload.endpoint.version = MqttVersion::k5;
  if (mode == "pairs") return RunPairs(workload, options->pairs);
  if (mode == "fanout") return RunFanout(workload, options->fanout);
  if (mode == "contacts") return MakeContacts(workload, options->presence);
  if (mode == "presence") return RunPresence(workload, options->presence);
  if (mode == "idle") return RunIdle(workload, options->idle);
  if (mode == "connections") return RunConnections(workload, options->connections);
  if (mode == "cold") return RunCold(workload, options->cold);
  if (mode == "soak") return RunSoak(workload, options->soak);
  if (mode == "soak-report") return RunSoakReport(options->soak.csv, options->svg);
  if (mode == "fill") return RunFill(workload, options->fill);
  if (mode == "history") return RunHistory(workload, options->history);
  if (mode == "growth-report") return RunGrowthReport(options->figures, options->svg);
  if (mode == "wait") return RunWait(workload, options->wait_timeout_s);
  return RunFsync(options->fsync_directory, options->fsync_rounds, workload.json);
}

}  // namespace
}  // namespace parley::bench

int main(int argc, char** argv) {
  using namespace parley::bench;
  CLI::App app(
      "Load for Parley and for a plain MQTT broker: exits with 0 after a run without loss, "
      "doubles, disorder or errors, with 1 after one with them, with 2 when it can't run.");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  Options options;
  AddPairs(&app, &options);
  AddFanout(&app, &options);
  AddPresence(&app, &options);
  AddIdle(&app, &options);
  AddConnections(&app, &options);
  AddCold(&app, &options);
  AddSoak(&app, &options);
  AddFill(&app, &options);
  AddHistory(&app, &options);
  AddGrowthReport(&app, &options);
  AddWait(&app, &options);
  AddFsync(&app, &options);
  CLI11_PARSE(app, argc, argv);
  PrepareProcess();
  return RunMode(app.get_subcommands().front()->get_name(), &options);
}
