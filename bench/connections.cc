#include "bench/connections.h"

#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

#include "bench/arrivals.h"
#include "bench/chatters.h"
#include "bench/histogram.h"
#include "bench/process_usage.h"
#include "bench/report.h"
#include "bench/returns.h"

namespace parley::bench {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kAllBackNs = 60 * kSecondNs;  // the storm's target
constexpr int64_t kStallNs = 60 * kSecondNs;    // without any progress
constexpr uint16_t kKeepAliveS = 90;
constexpr double kPingsPerS = 1.0 / 60;  // of each device
constexpr uint64_t kSyncLimit = 1000;
constexpr size_t kSyncsAtOnce = 16;

int64_t Ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

// What was said, and which logs have it.
struct Said {
  size_t from;
  size_t to;
  bool in_senders_log = false;
  bool in_receivers_log = false;
};

struct Latencies {
  Histogram stored;
  Histogram delivered;
};

// What happened to the messages that were due in one part of the run.
struct Phase {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  ProcessUsage begin;
  ProcessUsage end;
  Latencies there;  // both devices were, all the while
  Latencies away;   // one wasn't
  Histogram lag;    // the generator's own
};

class ConnectionsRun : public ClientEvents, private Chatters::Events {
 public:
  ConnectionsRun(const Workload& workload, const ConnectionsOptions& options);
  int Run();

  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;
  void OnPuback(Client& client, uint8_t code) override;
  void OnSubscribed(Client& client, int64_t now_ns) override;
  void OnLost(Client& client, const std::string& why) override;

 private:
  void OnStored(const Chatters::Message& message, bool there, int64_t now_ns) override;
  void OnArrived(const Chatters::Message& message, bool there, int64_t now_ns) override;
  Latencies* LatenciesOf(const Chatters::Message& message, bool there);

  size_t Actives() const { return clients_.size() / options_.active_every; }
  bool Active(size_t index) const { return index % options_.active_every == 0; }
  size_t RandomActive() { return random_() % Actives() * options_.active_every; }

  void AddAll();
  ProcessUsage Usage() const { return ReadUsage(workload_.pid); }
  template <class Done>
  void RunUntil(int64_t end_ns, Done done);
  void RunFor(Phase* phase, double seconds);
  void Begin(Phase* phase);
  void End(Phase* phase);
  void Storm();
  void Drain();

  void SayDue(int64_t now_ns);
  void PingDue(int64_t now_ns);
  void CheckLogs();
  void AskLog(size_t index, uint64_t after);
  void TakeLog(Client& client, std::string_view answer);
  void TakeEntry(size_t owner, const Messages::Arrival& entry);
  uint64_t PrintFaults(Report* report) const;
  void PrintPhase(Report* report, const std::string& name, const Phase& phase) const;
  int Print();

  const Workload& workload_;
  const ConnectionsOptions& options_;
  Clients clients_;
  Chatters chatters_;
  std::vector<Said> said_;  // by number
  Returns returns_;
  Arrivals arrivals_;
  std::mt19937_64 random_;
  int64_t next_ping_ns_ = Returns::kNever;
  size_t next_ping_ = 0;

  ProcessUsage empty_;
  ProcessUsage connected_;
  double connect_s_ = 0;
  double all_back_s_ = 0;
  Phase quiet_, before_, storm_, after_;
  Phase* phase_ = &quiet_;

  bool storming_ = false;
  uint64_t retries_ = 0;  // connections that failed in the storm
  uint64_t doubled_ = 0;
  std::vector<uint64_t> log_end_;  // by device: the last number read with sync
  size_t logs_open_ = 0;
};

ConnectionsRun::ConnectionsRun(const Workload& workload, const ConnectionsOptions& options)
    : workload_(workload),
      options_(options),
      clients_(
          [&] {
            Endpoint endpoint = workload.endpoint;
            endpoint.keep_alive_s = kKeepAliveS;
            return endpoint;
          }(),
          this),
      chatters_(&clients_, options.body_bytes, this),
      arrivals_(0, workload.seed, 0),
      random_(workload.seed),
      log_end_(options.connections) {}

void ConnectionsRun::AddAll() {
  const Credentials credentials(workload_.credentials);
  for (size_t i = 0; i < options_.connections; ++i) {
    AddUser(&clients_, credentials, i, {"chat/" + UserName(i)});
    clients_[i].will = {"presence/" + UserName(i), "offline"};
  }
}

int ConnectionsRun::Run() {
  AddAll();
  empty_ = Usage();
  const int64_t start_ns = NowNs();
  clients_.ConnectAll();
  connect_s_ = static_cast<double>(NowNs() - start_ns) / 1e9;
  connected_ = Usage();
  next_ping_ns_ = NowNs();
  RunFor(&quiet_, options_.quiet_s);
  if (!workload_.plain) arrivals_ = Arrivals(options_.rate, workload_.seed, NowNs());
  RunFor(&before_, options_.before_s);
  Storm();
  RunFor(&after_, options_.after_s);
  arrivals_ = Arrivals(0, 0, 0);
  Drain();
  if (!workload_.plain) CheckLogs();
  return Print();
}

template <class Done>
void ConnectionsRun::RunUntil(int64_t end_ns, Done done) {
  for (int64_t now_ns = NowNs(); now_ns < end_ns && !done(); now_ns = NowNs()) {
    SayDue(now_ns);
    PingDue(now_ns);
    returns_.OpenDue(&clients_, now_ns);
    clients_.Turn(std::min({end_ns, arrivals_.next_ns(), next_ping_ns_, returns_.NextNs()}));
  }
}

void ConnectionsRun::Begin(Phase* phase) {
  phase_ = phase;
  phase->begin = Usage();
  phase->begin_ns = NowNs();
  phase->end_ns = Returns::kNever;
}

void ConnectionsRun::End(Phase* phase) {
  phase->end_ns = NowNs();
  phase->end = Usage();
}

void ConnectionsRun::RunFor(Phase* phase, double seconds) {
  Begin(phase);
  RunUntil(phase->begin_ns + Ns(seconds), [] { return false; });
  End(phase);
}

// The moment at which all are lost is one turn: the broker learns of it as it gets round to it.
void ConnectionsRun::Storm() {
  Begin(&storm_);
  storming_ = true;
  for (size_t i = 0; i < clients_.size(); ++i) {
    clients_.Close(clients_[i], false);
    chatters_.Went(i, storm_.begin_ns);
    const double wait_s = std::uniform_real_distribution(0.0, options_.return_within_s)(random_);
    returns_.Add(i, storm_.begin_ns + Ns(wait_s));
  }
  RunUntil(storm_.begin_ns + 2 * kAllBackNs,
           [this] { return clients_.subscribed() == clients_.size(); });
  End(&storm_);
  if (clients_.subscribed() < clients_.size()) Die("not all devices came back");
  all_back_s_ = static_cast<double>(storm_.end_ns - storm_.begin_ns) / 1e9;
}

// Until all that was said is stored and has arrived, or nothing comes any more.
void ConnectionsRun::Drain() {
  for (uint64_t last = ~uint64_t{0}; last != chatters_.unseen() && chatters_.unseen() > 0;) {
    last = chatters_.unseen();
    RunUntil(NowNs() + kStallNs, [&] { return chatters_.unseen() < last; });
  }
}

void ConnectionsRun::SayDue(int64_t now_ns) {
  for (int64_t due_ns = 0; arrivals_.Take(now_ns, &due_ns);) {
    const size_t from = RandomActive();
    const size_t away = (1 + random_() % (Actives() - 1)) * options_.active_every;
    const size_t to = (from + away) % (Actives() * options_.active_every);
    said_.push_back({from, to});
    chatters_.Say(from, to, due_ns);
    phase_->lag.Add(now_ns - due_ns);
  }
}

void ConnectionsRun::PingDue(int64_t now_ns) {
  const auto gap_ns = Ns(1 / (kPingsPerS * static_cast<double>(clients_.size())));
  while (next_ping_ns_ <= now_ns) {
    next_ping_ns_ += gap_ns;
    next_ping_ = (next_ping_ + 1) % clients_.size();
    if (chatters_.There(next_ping_)) clients_.Ping(clients_[next_ping_]);
  }
}

void ConnectionsRun::OnSubscribed(Client& client, int64_t now_ns) {
  if (storming_) returns_.Done();
  chatters_.Came(client.index, now_ns);
}

void ConnectionsRun::OnLost(Client& client, const std::string& why) {
  if (phase_ != &storm_) Die(why);
  if (!chatters_.There(client.index)) returns_.Done();
  if (retries_++ == 0) std::fprintf(stderr, "parley_load: in the storm: %s\n", why.c_str());
  chatters_.Went(client.index, NowNs());
  returns_.Add(client.index, NowNs() + kSecondNs);
}

void ConnectionsRun::OnPuback(Client& client, uint8_t code) {
  if (code >= 0x80) chatters_.Complain("refused", client.client_id);
}

void ConnectionsRun::OnPublish(Client& client, const Publish& publish, int64_t now_ns) {
  if (publish.topic.starts_with("chat/")) return chatters_.Take(client, publish.payload, now_ns);
  if (publish.payload.find(R"("ok":true)") == publish.payload.npos) {
    return chatters_.Complain("answer", publish.payload);
  }
  if (logs_open_ > 0) TakeLog(client, publish.payload);
}

void ConnectionsRun::OnStored(const Chatters::Message& message, bool there, int64_t now_ns) {
  LatenciesOf(message, there)->stored.Add(now_ns - message.due_ns);
}

void ConnectionsRun::OnArrived(const Chatters::Message& message, bool there, int64_t now_ns) {
  LatenciesOf(message, there)->delivered.Add(now_ns - message.due_ns);
}

Latencies* ConnectionsRun::LatenciesOf(const Chatters::Message& message, bool there) {
  Phase* due = &after_;
  if (message.due_ns < storm_.end_ns) due = &storm_;
  if (message.due_ns < before_.end_ns) due = &before_;
  return there ? &due->there : &due->away;
}

void ConnectionsRun::CheckLogs() {
  for (size_t next = 0; next < clients_.size() || logs_open_ > 0;) {
    while (next < clients_.size() && logs_open_ < kSyncsAtOnce) {
      if (Active(next)) {
        ++logs_open_;
        AskLog(next, 0);
      }
      ++next;
    }
    const size_t before = logs_open_;
    if (before == 0) return;
    RunUntil(NowNs() + kStallNs, [&] { return logs_open_ < before; });
    if (logs_open_ == before) Die("no answer to sync");
  }
}

void ConnectionsRun::AskLog(size_t index, uint64_t after) {
  log_end_[index] = after;
  clients_.Publish(clients_[index], "ask/sync",
                   R"({"rid":"log","after":)" + std::to_string(after) + R"(,"limit":)" +
                       std::to_string(kSyncLimit) + "}");
}

void ConnectionsRun::TakeLog(Client& client, std::string_view answer) {
  constexpr std::string_view kEntry = R"({"seq":)";
  uint64_t& end = log_end_[client.index];
  for (size_t at = answer.find(kEntry); at != answer.npos; at = answer.find(kEntry, at + 1)) {
    std::string_view entry = answer.substr(at);
    Messages::Arrival arrival{};
    const bool ours = chatters_.texts().TakeStart(&entry, &arrival);
    if (arrival.seq != ++end) return chatters_.Complain("a gap in a log", answer.substr(at));
    if (ours) TakeEntry(client.index, arrival);
  }
  if (answer.find(R"("more":true)") != answer.npos) return AskLog(client.index, end);
  --logs_open_;
}

void ConnectionsRun::TakeEntry(size_t owner, const Messages::Arrival& entry) {
  if (entry.number >= said_.size()) return chatters_.Complain("never sent", UserName(owner));
  Said& said = said_[entry.number];
  if (owner != said.from && owner != said.to) {
    return chatters_.Complain("somebody else's in the log of", UserName(owner));
  }
  bool& there = owner == said.from ? said.in_senders_log : said.in_receivers_log;
  doubled_ += there;
  there = true;
}

uint64_t ConnectionsRun::PrintFaults(Report* report) const {
  const auto lost =
      static_cast<uint64_t>(std::count_if(said_.begin(), said_.end(), [](const Said& s) {
        return !s.in_senders_log || !s.in_receivers_log;
      }));
  const uint64_t faults =
      lost + chatters_.unseen() + doubled_ + chatters_.gaps() + chatters_.errors();
  report->Count("messages", said_.size());
  report->Count("lost", lost);  // not in both logs
  report->Count("unseen", chatters_.unseen());
  report->Count("doubled", doubled_);
  report->Count("gaps", chatters_.gaps());
  report->Count("errors", chatters_.errors());
  report->Count("faults", faults);
  report->Count("delivered_again", chatters_.again());
  report->Count("connections_retried", retries_);
  return faults;
}

void ConnectionsRun::PrintPhase(Report* report, const std::string& name, const Phase& phase) const {
  const double seconds = static_cast<double>(phase.end_ns - phase.begin_ns) / 1e9;
  auto percent = [&](double ProcessUsage::*cpu) {
    return (phase.end.*cpu - phase.begin.*cpu) / seconds * 100;
  };
  report->Number(name + "_s", seconds, 2);
  report->Number(name + "_cpu_percent", percent(&ProcessUsage::cpu_s), 2);
  report->Number(name + "_thread_cpu_percent", percent(&ProcessUsage::main_cpu_s), 2);
  report->Count(name + "_rss_kib", phase.end.rss_bytes / 1024);
  if (phase.lag.count() == 0) return;
  report->Latency(name + "_delivered", phase.there.delivered);
  report->Latency(name + "_stored", phase.there.stored);
  report->Count(name + "_delivered_there", phase.there.delivered.count());
  report->Count(name + "_delivered_away", phase.away.delivered.count());
  report->Number(name + "_delivered_away_p50_us", phase.away.delivered.PercentileUs(50));
  report->Number(name + "_lag_p99_us", phase.lag.PercentileUs(99));
}

int ConnectionsRun::Print() {
  const auto n = static_cast<double>(options_.connections);
  const double connect_cpu_s = connected_.cpu_s - empty_.cpu_s;
  const double connect_thread_s = connected_.main_cpu_s - empty_.main_cpu_s;
  const double storm_cpu_s = storm_.end.cpu_s - storm_.begin.cpu_s;
  Report report;
  report.Text("mode", "connections");
  report.Text("broker", workload_.plain ? "plain" : "parley");
  report.Count("connections", options_.connections);
  report.Count("active", Actives());
  report.Number("rate", options_.rate, 0);
  report.Number("connects_per_s", n / connect_s_, 0);
  report.Number("cpu_us_per_connect", connect_cpu_s * 1e6 / n);
  report.Number("thread_cpu_us_per_connect", connect_thread_s * 1e6 / n);
  report.Count("rss_empty_kib", empty_.rss_bytes / 1024);
  const double added = static_cast<double>(quiet_.end.rss_bytes - empty_.rss_bytes);
  report.Number("rss_bytes_per_connection", added / n, 0);
  PrintPhase(&report, "quiet", quiet_);
  PrintPhase(&report, "before", before_);
  PrintPhase(&report, "storm", storm_);
  PrintPhase(&report, "after", after_);
  report.Number("all_back_s", all_back_s_, 2);
  report.Number("storm_cpu_us_per_connection", storm_cpu_s * 1e6 / n);
  const uint64_t faults = PrintFaults(&report);
  report.Print(workload_.json);
  const bool in_time = all_back_s_ <= static_cast<double>(kAllBackNs) / 1e9;
  return faults == 0 && in_time && (workload_.plain || !said_.empty()) ? 0 : 1;
}

}  // namespace

int RunConnections(const Workload& workload, const ConnectionsOptions& options) {
  if (workload.pid == 0) Die("connections needs --pid");
  if (options.connections / options.active_every < 2) Die("two active devices at least");
  return ConnectionsRun(workload, options).Run();
}

}  // namespace parley::bench
