#include "bench/fanout.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <vector>

#include "bench/delivery_check.h"
#include "bench/one_request.h"
#include "bench/process_usage.h"
#include "bench/report.h"

namespace parley::bench {
namespace {

constexpr int64_t kDrainNs = 10'000'000'000;  // without any progress, when the run is over

int64_t Ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

struct Sample {
  int64_t now_ns = 0;
  uint64_t deliveries = 0;
  double own_cpu_s = 0;
  ProcessUsage broker;
};

class Fanout : public ClientEvents {
 public:
  Fanout(const Workload& workload, const FanoutOptions& options)
      : workload_(workload),
        options_(options),
        run_(std::to_string(NowNs())),
        group_("b" + run_),
        body_(options.body_bytes, 'x'),
        clients_(workload.endpoint, this),
        checks_(options.members) {}

  int Run();
  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;
  void OnPuback(Client& /*client*/, uint8_t code) override { errors_ += code >= 0x80; }

 private:
  bool inbox() const { return options_.delivery == "inbox"; }
  void Fill(int64_t now_ns);
  void Write(int64_t now_ns);
  Sample Take() const;
  void RunUntil(int64_t end_ns);
  int Print(const Sample& begin, const Sample& end);

  struct Open {
    int64_t sent_ns = 0;
    size_t reached = 0;
  };

  const Workload& workload_;
  const FanoutOptions& options_;
  const std::string run_;
  const std::string group_;  // one for each run
  const std::string body_;
  Clients clients_;
  std::vector<DeliveryCheck> checks_;
  std::deque<Open> open_;  // from done_ on
  uint64_t sent_ = 0;
  uint64_t done_ = 0;
  uint64_t deliveries_ = 0;
  uint64_t errors_ = 0;
  bool sending_ = true;
  bool measuring_ = false;
  std::string payload_;
  Histogram to_all_;
};

int Fanout::Run() {
  const Credentials credentials(workload_.credentials);
  if (!workload_.plain) {
    OneRequest(workload_, credentials).MakeGroup(group_, options_.delivery, 0, options_.members);
  }
  for (size_t i = 0; i < options_.members; ++i) {
    const bool own = !workload_.plain && inbox();
    AddUser(&clients_, credentials, i, {own ? "chat/" + UserName(i) : "group/" + group_});
  }
  clients_.ConnectAll();
  const int64_t start_ns = NowNs();
  Fill(start_ns);
  RunUntil(start_ns + Ns(options_.warmup_s));
  measuring_ = true;
  const Sample begin = Take();
  RunUntil(begin.now_ns + Ns(options_.seconds));
  const Sample end = Take();
  measuring_ = sending_ = false;
  int64_t progress_ns = NowNs();
  for (uint64_t last = deliveries_; done_ < sent_ && NowNs() < progress_ns + kDrainNs;) {
    clients_.Turn(progress_ns + kDrainNs);
    if (deliveries_ == last) continue;
    last = deliveries_;
    progress_ns = NowNs();
  }
  return Print(begin, end);
}

void Fanout::RunUntil(int64_t end_ns) {
  while (NowNs() < end_ns) clients_.Turn(end_ns);
}

void Fanout::Fill(int64_t now_ns) {
  while (sending_ && sent_ - done_ < options_.window && clients_[0].CanPublish()) Write(now_ns);
}

// To a plain broker the bytes go that Parley would deliver.
void Fanout::Write(int64_t now_ns) {
  payload_.clear();
  if (workload_.plain) {
    if (inbox()) payload_ += "{\"seq\":" + std::to_string(1'000'000 + sent_) + ",";
    payload_ += inbox() ? "" : "{";
    payload_ += "\"type\":\"message\",\"id\":\"" + run_ + "-" + std::to_string(sent_) +
                "\",\"from\":\"u0\",\"group\":\"" + group_ +
                "\",\"gseq\":" + std::to_string(1'000'000 + sent_) +
                ",\"ts\":1764000000000,\"body\":\"" + body_ + "\"}";
  } else {
    payload_ +=
        "{\"id\":\"" + run_ + "-" + std::to_string(sent_) + "\",\"body\":\"" + body_ + "\"}";
  }
  clients_.Publish(clients_[0], "group/" + group_, payload_);
  open_.push_back({now_ns, 0});
  ++sent_;
}

void Fanout::OnPublish(Client& client, const Publish& publish, int64_t now_ns) {
  const std::string mark = "\"id\":\"" + run_ + "-";
  std::string_view payload = publish.payload;
  const size_t at = payload.find(mark);
  uint64_t number = 0;
  if (at == payload.npos) {
    if (payload.find("\"type\":\"system\"") == payload.npos) ++errors_;
    return;
  }
  payload.remove_prefix(at + mark.size());
  if (!TakeNumber(&payload, &number) || number >= sent_ || !checks_[client.index].Take(number)) {
    ++errors_;
    return;
  }
  ++deliveries_;
  if (number < done_) return;
  Open& open = open_[number - done_];
  if (++open.reached == options_.members && measuring_) to_all_.Add(now_ns - open.sent_ns);
  while (!open_.empty() && open_.front().reached == options_.members) {
    open_.pop_front();
    ++done_;
  }
  Fill(now_ns);
}

Sample Fanout::Take() const {
  Sample sample{NowNs(), deliveries_, OwnCpuSeconds(), {}};
  if (workload_.pid != 0) sample.broker = ReadUsage(workload_.pid);
  return sample;
}

int Fanout::Print(const Sample& begin, const Sample& end) {
  const double seconds = static_cast<double>(end.now_ns - begin.now_ns) / 1e9;
  const auto deliveries = static_cast<double>(end.deliveries - begin.deliveries);
  const double each_us = 1e6 / std::max(1.0, deliveries);
  Report report;
  report.Text("mode", "fanout");
  report.Text("broker", workload_.plain ? "plain" : "parley");
  report.Text("delivery", options_.delivery);
  report.Count("members", options_.members);
  report.Number("deliveries_per_s", deliveries / seconds, 0);
  report.Number("msg_per_s", deliveries / seconds / static_cast<double>(options_.members), 1);
  report.Latency("to_all", to_all_);
  if (workload_.pid != 0) {
    const double cpu_s = end.broker.cpu_s - begin.broker.cpu_s;
    const double main_cpu_s = end.broker.main_cpu_s - begin.broker.main_cpu_s;
    report.Number("broker_cpu_us_per_delivery", cpu_s * each_us, 2);
    report.Number("thread_cpu_us_per_delivery", main_cpu_s * each_us, 2);
  }
  report.Number("load_cpu_us_per_delivery", (end.own_cpu_s - begin.own_cpu_s) * each_us, 2);
  uint64_t lost = 0, doubled = 0, disordered = 0;
  for (const DeliveryCheck& check : checks_) {
    lost += check.Lost(sent_);
    doubled += check.doubled();
    disordered += check.disordered();
  }
  report.Count("lost", lost);
  report.Count("doubled", doubled);
  report.Count("disordered", disordered);
  report.Count("errors", errors_);
  report.Print(workload_.json);
  return lost + doubled + disordered + errors_ == 0 && deliveries > 0 ? 0 : 1;
}

}  // namespace

int RunFanout(const Workload& workload, const FanoutOptions& options) {
  return Fanout(workload, options).Run();
}

}  // namespace parley::bench
