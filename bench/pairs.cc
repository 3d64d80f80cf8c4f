#include "bench/pairs.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <random>
#include <vector>

#include "bench/delivery_check.h"
#include "bench/process_usage.h"
#include "bench/report.h"

namespace parley::bench {
namespace {

constexpr int64_t kDrainNs = 10'000'000'000;  // without any progress, when the run is over
constexpr int64_t kLingerNs = 300'000'000;    // a double may come after the last message
constexpr int kErrorsShown = 3;

int64_t Ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

// What arrives at one end of a pair.
struct End {
  DeliveryCheck numbers;
  uint64_t last_seq = 0;
  uint64_t seq_gaps = 0;

  // Takes an arrival; true the first time. Parley numbers each user's messages without gaps.
  bool Take(const Messages::Arrival& arrival) {
    if (last_seq != 0 && arrival.seq != last_seq + 1) ++seq_gaps;
    last_seq = arrival.seq;
    return numbers.Take(arrival.number);
  }
};

struct Pair {
  std::string topic;          // where the sender publishes
  std::string receipt_topic;  // where the receiver acknowledges
  uint64_t sent = 0;
  uint64_t done = 0;           // both copies have arrived, up to here
  std::deque<int64_t> due_ns;  // of the messages from `done` on
  std::deque<int64_t> held;    // due, but the broker takes no more unacknowledged ones
  End own;
  End receiver;
};

// The state of a run at one moment.
struct Sample {
  int64_t now_ns = 0;
  uint64_t done = 0;
  double own_cpu_s = 0;
  ProcessUsage broker;
};

class Pairs : public ClientEvents {
 public:
  Pairs(const Workload& workload, const PairsOptions& options);
  int Run();

  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;
  void OnPuback(Client& client, uint8_t code) override;

 private:
  size_t UserOf(size_t client) const;
  void AddPair(const Credentials& credentials, size_t index);
  void RunUntil(int64_t end_ns);
  void Drain();
  Sample TakeSample() const;
  void Send(size_t index, int64_t due_ns);
  void SendArrivals(int64_t now_ns);
  void FillWindow(size_t index, int64_t now_ns);
  void Arrived(Client& client, const Messages::Arrival& arrival, int64_t now_ns);
  void Acknowledge(Client& receiver, uint64_t seq);
  void Advance(size_t index);
  void Complain(std::string_view what, std::string_view text);
  bool Measured(int64_t due_ns) const { return due_ns >= begin_ns_ && due_ns < end_ns_; }
  uint64_t Outstanding() const;
  int Print(const Sample& begin, const Sample& end);
  uint64_t PrintFaults(Report* report) const;

  const Workload& workload_;
  const PairsOptions& options_;
  Messages messages_;
  Clients clients_;
  std::vector<Pair> pairs_;
  std::mt19937_64 random_;
  std::exponential_distribution<double> gap_s_;
  std::string payload_;
  bool sending_ = true;
  int64_t begin_ns_ = 0;  // of the measured time
  int64_t end_ns_ = 0;
  int64_t next_arrival_ns_ = 0;
  uint64_t done_ = 0;
  uint64_t errors_ = 0;
  uint64_t receipts_ = 0;
  Histogram to_receiver_;
  Histogram to_own_;
  Histogram send_lag_;
};

Pairs::Pairs(const Workload& workload, const PairsOptions& options)
    : workload_(workload),
      options_(options),
      messages_(options.body_bytes),
      clients_(workload.endpoint, this),
      pairs_(options.pairs),
      random_(workload.seed),
      gap_s_(options.rate > 0 ? options.rate : 1) {
  if (options.users != 0 && options.users < 2 * options.pairs) Die("too few users for the pairs");
  const Credentials credentials(workload.credentials);
  for (size_t i = 0; i < options.pairs; ++i) AddPair(credentials, i);
}

size_t Pairs::UserOf(size_t client) const {
  return options_.users == 0 ? client : client * options_.users / (2 * options_.pairs);
}

void Pairs::AddPair(const Credentials& credentials, size_t index) {
  const std::string sender = UserName(UserOf(2 * index));
  const std::string receiver = UserName(UserOf(2 * index + 1));
  const std::string shared = "pair/" + std::to_string(index);
  Pair& pair = pairs_[index];
  pair.topic = workload_.plain ? shared : "chat/" + receiver;
  // Parley turns the receiver's receipt into one for the sender.
  pair.receipt_topic = "receipt/" + (workload_.plain ? sender : receiver);
  std::vector<std::string> at_sender = {workload_.plain ? shared : "chat/" + sender};
  if (options_.receipts_every > 0) at_sender.push_back("receipt/" + sender);
  AddUser(&clients_, credentials, UserOf(2 * index), at_sender);
  AddUser(&clients_, credentials, UserOf(2 * index + 1),
          {workload_.plain ? shared : "chat/" + receiver});
}

int Pairs::Run() {
  clients_.ConnectAll();
  const int64_t start_ns = NowNs();
  begin_ns_ = start_ns + Ns(options_.warmup_s);
  end_ns_ = begin_ns_ + Ns(options_.seconds);
  next_arrival_ns_ = start_ns;
  if (options_.rate == 0) {
    for (size_t i = 0; i < pairs_.size(); ++i) FillWindow(i, start_ns);
  }
  RunUntil(begin_ns_);
  const Sample begin = TakeSample();
  RunUntil(end_ns_);
  const Sample end = TakeSample();
  sending_ = false;
  Drain();
  return Print(begin, end);
}

void Pairs::RunUntil(int64_t end_ns) {
  while (true) {
    const int64_t now_ns = NowNs();
    if (now_ns >= end_ns) return;
    if (options_.rate > 0) SendArrivals(now_ns);
    clients_.Turn(options_.rate > 0 ? std::min(end_ns, next_arrival_ns_) : end_ns);
  }
}

void Pairs::Drain() {
  int64_t progress_ns = NowNs();
  uint64_t last = Outstanding();
  while (Outstanding() > 0 && NowNs() < progress_ns + kDrainNs) {
    clients_.Turn(progress_ns + kDrainNs);
    if (Outstanding() == last) continue;
    last = Outstanding();
    progress_ns = NowNs();
  }
  const int64_t linger_until = NowNs() + kLingerNs;
  while (NowNs() < linger_until) clients_.Turn(linger_until);
}

uint64_t Pairs::Outstanding() const {
  uint64_t outstanding = 0;
  for (const Pair& pair : pairs_) {
    outstanding += pair.own.numbers.Lost(pair.sent) + pair.receiver.numbers.Lost(pair.sent);
    outstanding += pair.held.size();
  }
  return outstanding;
}

Sample Pairs::TakeSample() const {
  Sample sample;
  sample.now_ns = NowNs();
  sample.done = done_;
  sample.own_cpu_s = OwnCpuSeconds();
  if (workload_.pid != 0) sample.broker = ReadUsage(workload_.pid);
  return sample;
}

void Pairs::Send(size_t index, int64_t due_ns) {
  Pair& pair = pairs_[index];
  Client& sender = clients_[2 * index];
  if (!sender.CanPublish()) {
    pair.held.push_back(due_ns);
    return;
  }
  if (workload_.plain) {
    messages_.Delivered(pair.sent + 1, pair.sent, sender.user, clients_[2 * index + 1].user,
                        &payload_);
  } else {
    messages_.Sent(pair.sent, &payload_);
  }
  clients_.Publish(sender, pair.topic, payload_);
  pair.due_ns.push_back(due_ns);
  ++pair.sent;
}

void Pairs::SendArrivals(int64_t now_ns) {
  while (next_arrival_ns_ <= now_ns) {
    if (Measured(next_arrival_ns_)) send_lag_.Add(now_ns - next_arrival_ns_);
    Send(random_() % pairs_.size(), next_arrival_ns_);
    next_arrival_ns_ += std::max<int64_t>(1, Ns(gap_s_(random_)));
  }
}

void Pairs::FillWindow(size_t index, int64_t now_ns) {
  Pair& pair = pairs_[index];
  while (sending_ && pair.held.empty() && pair.sent - pair.done < options_.window) {
    Send(index, now_ns);
  }
}

void Pairs::OnPuback(Client& client, uint8_t code) {
  if (code >= 0x80) Complain("refused", client.client_id);
  Pair& pair = pairs_[client.index / 2];
  if (client.index % 2 != 0 || pair.held.empty()) return;
  const int64_t due_ns = pair.held.front();
  pair.held.pop_front();
  Send(client.index / 2, due_ns);
}

void Pairs::OnPublish(Client& client, const Publish& publish, int64_t now_ns) {
  if (publish.topic.starts_with("receipt/")) {
    ++receipts_;
    return;
  }
  if (publish.topic.starts_with("answer/")) {
    Complain("answer", publish.payload);
    return;
  }
  Messages::Arrival arrival{};
  if (!messages_.Parse(publish.payload, &arrival)) {
    Complain("not a message of this run", publish.payload);
    return;
  }
  if (arrival.number >= pairs_[client.index / 2].sent) {
    Complain("never sent", publish.payload);
    return;
  }
  Arrived(client, arrival, now_ns);
}

void Pairs::Arrived(Client& client, const Messages::Arrival& arrival, int64_t now_ns) {
  const size_t index = client.index / 2;
  const bool at_sender = client.index % 2 == 0;
  Pair& pair = pairs_[index];
  const bool first = (at_sender ? pair.own : pair.receiver).Take(arrival);
  if (first && arrival.number >= pair.done) {
    const int64_t due_ns = pair.due_ns[arrival.number - pair.done];
    if (Measured(due_ns)) (at_sender ? to_own_ : to_receiver_).Add(now_ns - due_ns);
  }
  if (!at_sender && options_.receipts_every > 0) Acknowledge(client, arrival.seq);
  Advance(index);
  if (options_.rate == 0) FillWindow(index, now_ns);
}

void Pairs::Acknowledge(Client& receiver, uint64_t seq) {
  if (seq % options_.receipts_every != 0 || !receiver.CanPublish()) return;
  payload_.assign(R"({"delivered":)");
  AppendNumber(&payload_, seq);
  payload_.push_back('}');
  clients_.Publish(receiver, pairs_[receiver.index / 2].receipt_topic, payload_);
}

void Pairs::Advance(size_t index) {
  Pair& pair = pairs_[index];
  const uint64_t done = std::min(pair.own.numbers.next(), pair.receiver.numbers.next());
  while (pair.done < done) {
    pair.due_ns.pop_front();
    ++pair.done;
    ++done_;
  }
}

void Pairs::Complain(std::string_view what, std::string_view text) {
  if (errors_++ >= kErrorsShown) return;
  std::fprintf(stderr, "parley_load: %.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(std::min<size_t>(text.size(), 300)), text.data());
}

uint64_t Pairs::PrintFaults(Report* report) const {
  uint64_t lost = 0;
  uint64_t doubled = 0;
  uint64_t disordered = 0;
  for (const Pair& pair : pairs_) {
    for (const End* end : {&pair.own, &pair.receiver}) {
      lost += end->numbers.Lost(pair.sent);
      doubled += end->numbers.doubled();
      disordered += end->numbers.disordered() + end->seq_gaps;
    }
    lost += pair.held.size();
  }
  report->Count("lost", lost);
  report->Count("doubled", doubled);
  report->Count("disordered", disordered);
  report->Count("errors", errors_);
  return lost + doubled + disordered + errors_;
}

int Pairs::Print(const Sample& begin, const Sample& end) {
  const double seconds = static_cast<double>(end.now_ns - begin.now_ns) / 1e9;
  const uint64_t messages = end.done - begin.done;
  const double per_message_us = 1e6 / static_cast<double>(std::max<uint64_t>(1, messages));
  Report report;
  report.Text("mode", options_.rate > 0 ? "open" : "closed");
  report.Text("broker", workload_.plain ? "plain" : "parley");
  report.Count("pairs", options_.pairs);
  if (options_.rate > 0) report.Number("rate", options_.rate, 0);
  if (options_.rate == 0) report.Count("window", options_.window);
  report.Count("messages", messages);
  report.Number("seconds", seconds, 3);
  report.Number("msg_per_s", static_cast<double>(messages) / seconds, 0);
  report.Latency("receiver", to_receiver_);
  report.Latency("own", to_own_);
  if (options_.rate > 0) report.Latency("send_lag", send_lag_);
  if (options_.receipts_every > 0) report.Count("receipts", receipts_);
  if (workload_.pid != 0) {
    const double cpu_s = end.broker.cpu_s - begin.broker.cpu_s;
    const double main_cpu_s = end.broker.main_cpu_s - begin.broker.main_cpu_s;
    const auto waits = static_cast<double>(end.broker.main_switches - begin.broker.main_switches);
    report.Number("broker_cpu_us_per_msg", cpu_s * per_message_us, 2);
    report.Number("thread_cpu_us_per_msg", main_cpu_s * per_message_us, 2);
    report.Number("broker_cpu_percent", cpu_s / seconds * 100);
    report.Number("thread_cpu_percent", main_cpu_s / seconds * 100);
    report.Number("thread_waits_per_msg", waits * per_message_us / 1e6, 3);
  }
  const double load_cpu_s = end.own_cpu_s - begin.own_cpu_s;
  report.Number("load_cpu_us_per_msg", load_cpu_s * per_message_us, 2);
  report.Number("load_cpu_percent", load_cpu_s / seconds * 100);
  const uint64_t faults = PrintFaults(&report);
  report.Print(workload_.json);
  return faults == 0 && messages > 0 ? 0 : 1;
}

}  // namespace

int RunPairs(const Workload& workload, const PairsOptions& options) {
  return Pairs(workload, options).Run();
}

}  // namespace parley::bench
