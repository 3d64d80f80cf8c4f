#include "bench/connections.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <random>
#include <vector>

#include "bench/arrivals.h"
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
constexpr uint64_t kReceiptEvery = 8;
constexpr uint64_t kSyncLimit = 1000;
constexpr size_t kSyncsAtOnce = 16;
constexpr int kErrorsShown = 3;

int64_t Ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

struct Device {
  bool there = false;
  int64_t since_ns = 0;  // of being there, or not
  uint64_t last_seq = 0;
  uint64_t receipt_seq = 0;       // acknowledged up to here
  std::deque<uint64_t> unstored;  // numbers of what it has to say, without their own copies
};

struct Message {
  size_t from;
  size_t to;
  int64_t due_ns;
  bool stored = false;   // seen by its sender
  bool arrived = false;  // seen by its receiver
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

class ConnectionsRun : public ClientEvents {
 public:
  ConnectionsRun(const Workload& workload, const ConnectionsOptions& options);
  int Run();

  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;
  void OnPuback(Client& client, uint8_t code) override;
  void OnSubscribed(Client& client, int64_t now_ns) override;
  void OnLost(Client& client, const std::string& why) override;

 private:
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
  void Say(size_t from, uint64_t number);
  void PingDue(int64_t now_ns);
  void TakeMessage(Client& client, std::string_view payload, int64_t now_ns);
  void TakeSeq(Client& client, uint64_t seq);
  void Stored(Message* message, uint64_t number, int64_t now_ns);
  void Arrived(Message* message, int64_t now_ns);
  void Record(const Message& message, Histogram Latencies::*which, int64_t now_ns);

  void CheckLogs();
  void AskLog(size_t index, uint64_t after);
  void TakeLog(Client& client, std::string_view answer);
  void TakeEntry(size_t owner, const Messages::Arrival& entry);
  void Complain(std::string_view what, std::string_view text);
  uint64_t PrintFaults(Report* report) const;
  void PrintPhase(Report* report, const std::string& name, const Phase& phase) const;
  int Print();

  const Workload& workload_;
  const ConnectionsOptions& options_;
  Messages texts_;
  Clients clients_;
  std::vector<Device> devices_;
  std::deque<Message> messages_;  // by number
  Returns returns_;
  Arrivals arrivals_;
  std::mt19937_64 random_;
  int64_t next_ping_ns_ = Returns::kNever;
  size_t next_ping_ = 0;
  std::string payload_;

  ProcessUsage empty_;
  ProcessUsage connected_;
  double connect_s_ = 0;
  double all_back_s_ = 0;
  Phase quiet_, before_, storm_, after_;
  Phase* phase_ = &quiet_;

  uint64_t stored_ = 0;
  uint64_t arrived_ = 0;
  uint64_t again_ = 0;    // deliveries of a number that the device had
  uint64_t retries_ = 0;  // connections that failed in the storm
  uint64_t gaps_ = 0;
  uint64_t doubled_ = 0;
  uint64_t errors_ = 0;
  std::vector<uint64_t> log_end_;  // by device: the last number read with sync
  size_t logs_open_ = 0;
};

ConnectionsRun::ConnectionsRun(const Workload& workload, const ConnectionsOptions& options)
    : workload_(workload),
      options_(options),
      texts_(options.body_bytes),
      clients_(
          [&] {
            Endpoint endpoint = workload.endpoint;
            endpoint.keep_alive_s = kKeepAliveS;
            return endpoint;
          }(),
          this),
      devices_(options.connections),
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
  for (size_t i = 0; i < clients_.size(); ++i) {
    clients_.Close(clients_[i], false);
    devices_[i].there = false;
    devices_[i].since_ns = storm_.begin_ns;
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
  uint64_t last = 0;
  for (bool progress = true; progress && stored_ + arrived_ < 2 * messages_.size();) {
    last = stored_ + arrived_;
    RunUntil(NowNs() + kStallNs, [&] { return stored_ + arrived_ > last; });
    progress = stored_ + arrived_ > last;
  }
}

void ConnectionsRun::SayDue(int64_t now_ns) {
  for (int64_t due_ns = 0; arrivals_.Take(now_ns, &due_ns);) {
    const size_t from = RandomActive();
    const size_t away = (1 + random_() % (Actives() - 1)) * options_.active_every;
    const size_t to = (from + away) % (Actives() * options_.active_every);
    const uint64_t number = messages_.size();
    messages_.push_back({from, to, due_ns});
    devices_[from].unstored.push_back(number);
    phase_->lag.Add(now_ns - due_ns);
    if (devices_[from].there) Say(from, number);
  }
}

void ConnectionsRun::Say(size_t from, uint64_t number) {
  if (!clients_[from].CanPublish()) Die("too much under way: lower the rate");
  texts_.Sent(number, &payload_);
  clients_.Publish(clients_[from], "chat/" + UserName(messages_[number].to), payload_);
}

void ConnectionsRun::PingDue(int64_t now_ns) {
  const auto gap_ns = Ns(1 / (kPingsPerS * static_cast<double>(clients_.size())));
  while (next_ping_ns_ <= now_ns) {
    next_ping_ns_ += gap_ns;
    next_ping_ = (next_ping_ + 1) % clients_.size();
    if (devices_[next_ping_].there) clients_.Ping(clients_[next_ping_]);
  }
}

void ConnectionsRun::OnSubscribed(Client& client, int64_t now_ns) {
  Device& device = devices_[client.index];
  if (device.since_ns != 0) returns_.Done();
  device.there = true;
  device.since_ns = now_ns;
  for (const uint64_t number : device.unstored) Say(client.index, number);
}

void ConnectionsRun::OnLost(Client& client, const std::string& why) {
  if (phase_ != &storm_) Die(why);
  Device& device = devices_[client.index];
  if (!device.there) returns_.Done();
  if (retries_++ == 0) std::fprintf(stderr, "parley_load: in the storm: %s\n", why.c_str());
  device.there = false;
  device.since_ns = NowNs();
  returns_.Add(client.index, device.since_ns + kSecondNs);
}

void ConnectionsRun::OnPuback(Client& client, uint8_t code) {
  if (code >= 0x80) Complain("refused", client.client_id);
}

void ConnectionsRun::OnPublish(Client& client, const Publish& publish, int64_t now_ns) {
  if (publish.topic.starts_with("chat/")) return TakeMessage(client, publish.payload, now_ns);
  if (publish.payload.find(R"("ok":true)") == publish.payload.npos) {
    return Complain("answer", publish.payload);
  }
  if (logs_open_ > 0) TakeLog(client, publish.payload);
}

void ConnectionsRun::TakeMessage(Client& client, std::string_view payload, int64_t now_ns) {
  Messages::Arrival arrival{};
  const bool ours = texts_.Parse(payload, &arrival);
  TakeSeq(client, arrival.seq);
  if (!ours) return;  // of an earlier run, in the catch-up
  if (arrival.number >= messages_.size()) return Complain("never sent", payload);
  Message& message = messages_[arrival.number];
  if (message.from == client.index) {
    Stored(&message, arrival.number, now_ns);
  } else if (message.to == client.index) {
    Arrived(&message, now_ns);
  } else {
    Complain("somebody else's", payload);
  }
}

void ConnectionsRun::TakeSeq(Client& client, uint64_t seq) {
  Device& device = devices_[client.index];
  if (seq <= device.last_seq) {
    ++again_;
    return;
  }
  // A device that never acknowledged anything starts live.
  if (device.receipt_seq != 0 && seq != device.last_seq + 1) ++gaps_;
  device.last_seq = seq;
  if (device.receipt_seq != 0 && seq < device.receipt_seq + kReceiptEvery) return;
  device.receipt_seq = seq;
  payload_ = R"({"delivered":)";
  AppendNumber(&payload_, seq);
  clients_.Publish(client, "receipt/" + client.user, payload_ + "}");
}

void ConnectionsRun::Stored(Message* message, uint64_t number, int64_t now_ns) {
  if (message->stored) return;
  message->stored = true;
  ++stored_;
  std::erase(devices_[message->from].unstored, number);
  Record(*message, &Latencies::stored, now_ns);
}

void ConnectionsRun::Arrived(Message* message, int64_t now_ns) {
  if (message->arrived) return;
  message->arrived = true;
  ++arrived_;
  Record(*message, &Latencies::delivered, now_ns);
}

void ConnectionsRun::Record(const Message& message, Histogram Latencies::*which, int64_t now_ns) {
  for (Phase* phase : {&before_, &storm_, &after_}) {
    if (message.due_ns < phase->begin_ns || message.due_ns >= phase->end_ns) continue;
    const bool there = devices_[message.from].since_ns <= message.due_ns &&
                       devices_[message.to].since_ns <= message.due_ns;
    ((there ? phase->there : phase->away).*which).Add(now_ns - message.due_ns);
    return;
  }
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
    const bool ours = texts_.TakeStart(&entry, &arrival);
    if (arrival.seq != ++end) return Complain("a gap in a log", answer.substr(at));
    if (ours) TakeEntry(client.index, arrival);
  }
  if (answer.find(R"("more":true)") != answer.npos) return AskLog(client.index, end);
  --logs_open_;
}

void ConnectionsRun::TakeEntry(size_t owner, const Messages::Arrival& entry) {
  if (entry.number >= messages_.size()) return Complain("never sent", UserName(owner));
  Message& message = messages_[entry.number];
  if (owner != message.from && owner != message.to) {
    return Complain("somebody else's in the log of", UserName(owner));
  }
  bool& there = owner == message.from ? message.in_senders_log : message.in_receivers_log;
  doubled_ += there;
  there = true;
}

void ConnectionsRun::Complain(std::string_view what, std::string_view text) {
  if (errors_++ >= kErrorsShown) return;
  std::fprintf(stderr, "parley_load: %.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(std::min<size_t>(text.size(), 300)), text.data());
}

uint64_t ConnectionsRun::PrintFaults(Report* report) const {
  uint64_t lost = 0;
  uint64_t unstored = 0;
  for (const Message& message : messages_) {
    lost += !message.in_senders_log || !message.in_receivers_log;
    unstored += !message.stored || !message.arrived;
  }
  report->Count("messages", messages_.size());
  report->Count("lost", lost);  // not in both logs
  report->Count("unseen", unstored);
  report->Count("doubled", doubled_);
  report->Count("gaps", gaps_);
  report->Count("errors", errors_);
  const uint64_t faults = lost + unstored + doubled_ + gaps_ + errors_;
  report->Count("faults", faults);
  report->Count("delivered_again", again_);
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
  return faults == 0 && in_time && (workload_.plain || !messages_.empty()) ? 0 : 1;
}

}  // namespace

int RunConnections(const Workload& workload, const ConnectionsOptions& options) {
  if (workload.pid == 0) Die("connections needs --pid");
  if (options.connections / options.active_every < 2) Die("two active devices at least");
  return ConnectionsRun(workload, options).Run();
}

}  // namespace parley::bench
