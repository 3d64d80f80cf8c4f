#include "bench/soak.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "bench/arrivals.h"
#include "bench/chatters.h"
#include "bench/disk.h"
#include "bench/one_request.h"
#include "bench/process_usage.h"
#include "bench/report.h"
#include "bench/returns.h"

namespace parley::bench {
namespace {

constexpr size_t kGroupMembers = 20;
constexpr int64_t kStallNs = 60'000'000'000;

volatile std::sig_atomic_t stop_asked = 0;

int64_t Ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

// What happened since the last line.
struct Interval {
  int64_t begin_ns = 0;
  ProcessUsage broker;
  double compaction_cpu_s = 0;
  double own_cpu_s = 0;
  uint64_t deliveries = 0;
  Histogram stored, arrived, answers, lag;
};

class SoakRun : public ClientEvents, private Chatters::Events {
 public:
  SoakRun(const Workload& workload, const SoakOptions& options);
  int Run();

  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;
  void OnPuback(Client& client, uint8_t code) override;
  void OnSubscribed(Client& client, int64_t now_ns) override;
  void OnLost(Client& client, const std::string& why) override;

 private:
  using Act = void (SoakRun::*)(int64_t due_ns);
  struct Stream {
    Arrivals arrivals;
    Act act;
  };
  struct Said {
    size_t from;
    std::string id;
  };
  struct Question {
    size_t asker;
    int64_t due_ns;
  };

  void OnStored(const Chatters::Message& message, bool there, int64_t now_ns) override;
  void OnArrived(const Chatters::Message& message, bool there, int64_t now_ns) override;

  void MakeGroups(const Credentials& credentials);
  void AddAll(const Credentials& credentials);
  void StartStreams(int64_t now_ns);
  int64_t RunDue(int64_t now_ns);
  void Turn(int64_t until_ns);
  void Drain();

  size_t Random(size_t below) { return random_() % below; }
  std::string GroupOf(size_t user) const;
  std::string NextId() { return run_ + "-g" + std::to_string(++to_groups_); }
  std::string GroupText();
  void TakeOwn(const Client& client, std::string_view payload);
  void SayToPeer(int64_t due_ns);
  void SayToGroup(int64_t due_ns);
  void SayToAll(int64_t due_ns);
  void Refer(int64_t due_ns);
  void Type(int64_t due_ns);
  void Ask(int64_t due_ns);
  void Leave(int64_t due_ns);

  void Went(size_t index, int64_t now_ns, int64_t back_ns);
  void TakeOfAll(const Client& client, std::string_view payload);
  void TakeAnswer(std::string_view answer, int64_t now_ns);

  Interval NewInterval(int64_t now_ns) const;
  void WriteHead();
  void WriteLine(int64_t now_ns);
  uint64_t Faults() const { return chatters_.gaps() + chatters_.errors() + gaps_of_all_; }
  int Print(double seconds);

  const Workload& workload_;
  const SoakOptions& options_;
  const std::string run_;
  const std::string all_;  // the group of all
  Clients clients_;
  Chatters chatters_;
  Returns returns_;
  std::mt19937_64 random_;
  std::vector<Stream> streams_;
  std::ofstream csv_;
  std::string payload_;

  int64_t start_ns_ = 0;
  Interval interval_;
  std::map<uint64_t, Question> questions_;  // under way, by rid
  std::vector<uint64_t> last_of_all_;       // each device's latest gseq; 0 where it just came
  std::map<std::string, Said> said_;        // the latest of each group that is stored
  uint64_t asked_ = 0;
  uint64_t to_groups_ = 0;
  uint64_t deliveries_ = 0;
  uint64_t departures_ = 0;
  uint64_t gaps_of_all_ = 0;
};

SoakRun::SoakRun(const Workload& workload, const SoakOptions& options)
    : workload_(workload),
      options_(options),
      run_(std::to_string(NowNs())),
      all_("all-" + run_),
      clients_(workload.endpoint, this),
      chatters_(&clients_, options.body_bytes, this),
      random_(workload.seed),
      csv_(options.csv),
      last_of_all_(options.users) {}

std::string SoakRun::GroupOf(size_t user) const {
  return "soak-" + run_ + "-" + std::to_string(user / kGroupMembers);
}

void SoakRun::MakeGroups(const Credentials& credentials) {
  OneRequest request(workload_, credentials);
  for (size_t first = 0; first < options_.users; first += kGroupMembers) {
    request.MakeGroup(GroupOf(first), "inbox", first,
                      std::min(kGroupMembers, options_.users - first));
  }
  request.MakeGroup(all_, "topic", 0, options_.users);
}

void SoakRun::AddAll(const Credentials& credentials) {
  for (size_t i = 0; i < options_.users; ++i) {
    const std::string user = UserName(i);
    AddUser(
        &clients_, credentials, i,
        {"chat/" + user, "receipt/" + user, "presence/" + user, "typing/" + user, "group/" + all_});
    clients_[i].will = {"presence/" + user, "offline"};
  }
}

int SoakRun::Run() {
  if (!csv_) Die("can't write " + options_.csv);
  const Credentials credentials(workload_.credentials);
  MakeGroups(credentials);
  AddAll(credentials);
  clients_.ConnectAll();
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stop_asked = 1; });
  start_ns_ = NowNs();
  StartStreams(start_ns_);
  WriteHead();
  for (int64_t line = 1; stop_asked == 0; ++line) {
    const int64_t line_ns = start_ns_ + Ns(options_.every_s * static_cast<double>(line));
    if (line_ns > start_ns_ + Ns(options_.seconds)) break;
    while (NowNs() < line_ns && stop_asked == 0) Turn(line_ns);
    WriteLine(NowNs());
  }
  const double seconds = static_cast<double>(NowNs() - start_ns_) / 1e9;
  streams_.clear();
  returns_.Hasten(NowNs());
  Drain();
  return Print(seconds);
}

void SoakRun::StartStreams(int64_t now_ns) {
  uint64_t seed = workload_.seed;
  auto start = [&](double share, Act act) {
    streams_.push_back({Arrivals(options_.rate * share, ++seed, now_ns), act});
  };
  start(1, &SoakRun::SayToPeer);
  start(1.0 / 10, &SoakRun::SayToGroup);
  start(1.0 / 200, &SoakRun::SayToAll);
  start(1.0 / 20, &SoakRun::Refer);
  start(1.0 / 20, &SoakRun::Ask);
  start(1.0 / 20, &SoakRun::Type);
  start(1.0 / 50, &SoakRun::Leave);
}

// Does what is due; returns when the next is.
int64_t SoakRun::RunDue(int64_t now_ns) {
  int64_t next_ns = Returns::kNever;
  for (Stream& stream : streams_) {
    for (int64_t due_ns = 0; stream.arrivals.Take(now_ns, &due_ns);) {
      interval_.lag.Add(now_ns - due_ns);
      (this->*stream.act)(due_ns);
    }
    next_ns = std::min(next_ns, stream.arrivals.next_ns());
  }
  return next_ns;
}

void SoakRun::Turn(int64_t until_ns) {
  const int64_t now_ns = NowNs();
  const int64_t next_ns = RunDue(now_ns);
  returns_.OpenDue(&clients_, now_ns);
  clients_.Turn(std::min({until_ns, next_ns, returns_.NextNs()}));
}

// Until all are back, all messages seen and all questions answered, or nothing comes any more.
void SoakRun::Drain() {
  auto open = [this] {
    return chatters_.unseen() + questions_.size() + clients_.size() - clients_.subscribed();
  };
  uint64_t last = open();
  for (int64_t until_ns = NowNs() + kStallNs; last > 0 && NowNs() < until_ns;) {
    Turn(until_ns);
    if (open() < last) until_ns = NowNs() + kStallNs;
    last = open();
  }
}

void SoakRun::SayToPeer(int64_t due_ns) {
  const size_t from = Random(options_.users);
  chatters_.Say(from, (from + 1 + Random(options_.peers)) % options_.users, due_ns);
}

std::string SoakRun::GroupText() {
  return R"({"id":")" + NextId() + R"(","body":")" + std::string(options_.body_bytes, 'x') +
         R"("})";
}

void SoakRun::SayToGroup(int64_t /*due_ns*/) {
  const size_t from = Random(options_.users);
  if (!chatters_.There(from)) return;
  clients_.Publish(clients_[from], "group/" + GroupOf(from), GroupText());
}

void SoakRun::SayToAll(int64_t /*due_ns*/) {
  const size_t from = Random(options_.users);
  if (!chatters_.There(from)) return;
  clients_.Publish(clients_[from], "group/" + all_, GroupText());
}

void SoakRun::Refer(int64_t /*due_ns*/) {
  const size_t member = Random(options_.users);
  const std::string group = GroupOf(member);
  const auto said = said_.find(group);
  if (said == said_.end()) return;
  const bool edit = to_groups_ % 2 == 0;
  const size_t from = edit ? said->second.from : member;
  if (!chatters_.There(from)) return;
  clients_.Publish(clients_[from], "group/" + group,
                   R"({"id":")" + NextId() + R"(","type":")" + (edit ? "edit" : "reaction") +
                       R"(","body":"+1","ref":{"from":")" + UserName(said->second.from) +
                       R"(","id":")" + said->second.id + R"("}})");
}

// A copy of one's own message to a group: it is stored, and can be referred to.
void SoakRun::TakeOwn(const Client& client, std::string_view payload) {
  const std::string head = R"("type":"message","id":")" + run_ + "-g";
  const size_t at = payload.find(head);
  if (at == payload.npos) return;
  const std::string_view number = payload.substr(at + head.size());
  const std::string_view id = number.substr(0, number.find('"'));
  const std::string group = GroupOf(client.index);
  if (payload.find(R"("from":")" + client.user + R"(","group":")" + group + '"') == payload.npos) {
    return;
  }
  said_[group] = {client.index, run_ + "-g" + std::string(id)};
}

void SoakRun::Type(int64_t /*due_ns*/) {
  const size_t from = Random(options_.users);
  if (!chatters_.There(from)) return;
  const std::string peer = UserName((from + 1) % options_.users);
  clients_.Publish(clients_[from], "typing/" + peer, R"({"on":true})");
}

void SoakRun::Ask(int64_t due_ns) {
  const size_t asker = Random(options_.users);
  if (!chatters_.There(asker)) return;
  const std::string peer = UserName((asker + 1) % options_.users);
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"sync", R"("after":)" + std::to_string(Random(1 + chatters_.LastSeq(asker)))},
      {"history", R"("with":")" + peer + R"(","after":)" +
                      std::to_string(Random(1 + chatters_.LastSeq(asker)))},
      {"recent", ""},
      {"conversations", ""},
      {"presence", R"("contacts":true)"},
      {"contacts.add", R"("user":")" + peer + '"'},
      {"contacts.remove", R"("user":")" + peer + '"'},
  };
  const auto& [method, members] = kinds[++asked_ % kinds.size()];
  questions_[asked_] = {asker, due_ns};
  clients_.Publish(
      clients_[asker], "ask/" + method,
      R"({"rid":")" + std::to_string(asked_) + (members.empty() ? "\"" : "\",") + members + "}");
}

void SoakRun::Leave(int64_t due_ns) {
  const size_t index = Random(options_.users);
  // One that has confirmed nothing yet would start live when it is back, without what came between.
  if (!chatters_.There(index) || chatters_.LastSeq(index) == 0) return;
  ++departures_;
  clients_.Close(clients_[index], Random(4) == 0);
  const double away_s = std::uniform_real_distribution(1.0, 15.0)(random_);
  Went(index, NowNs(), due_ns + Ns(away_s));
}

void SoakRun::Went(size_t index, int64_t now_ns, int64_t back_ns) {
  chatters_.Went(index, now_ns);
  returns_.Add(index, back_ns);
  std::erase_if(questions_, [index](const auto& open) { return open.second.asker == index; });
}

void SoakRun::OnSubscribed(Client& client, int64_t now_ns) {
  if (start_ns_ != 0) returns_.Done();
  last_of_all_[client.index] = 0;
  chatters_.Came(client.index, now_ns);
}

// Nobody else closes connections: it counts.
void SoakRun::OnLost(Client& client, const std::string& why) {
  chatters_.Complain("lost", why);
  if (!chatters_.There(client.index)) returns_.Done();
  Went(client.index, NowNs(), NowNs() + Ns(1));
}

void SoakRun::OnPuback(Client& client, uint8_t code) {
  if (code >= 0x80) chatters_.Complain("refused", client.client_id);
}

void SoakRun::OnPublish(Client& client, const Publish& publish, int64_t now_ns) {
  ++deliveries_;
  if (publish.topic.starts_with("chat/")) {
    chatters_.Take(client, publish.payload, now_ns);
    TakeOwn(client, publish.payload);
  } else if (publish.topic.starts_with("group/")) {
    TakeOfAll(client, publish.payload);
  } else if (publish.topic.starts_with("answer/")) {
    TakeAnswer(publish.payload, now_ns);
  }
}

void SoakRun::TakeOfAll(const Client& client, std::string_view payload) {
  constexpr std::string_view kNumber = R"("gseq":)";
  const size_t at = payload.find(kNumber);
  std::string_view rest = payload.substr(std::min(payload.size(), at + kNumber.size()));
  uint64_t number = 0;
  if (at == payload.npos || !TakeNumber(&rest, &number)) {
    return chatters_.Complain("not numbered", payload);
  }
  uint64_t& last = last_of_all_[client.index];
  if (last != 0 && number != last + 1) {
    ++gaps_of_all_;
    chatters_.Show("a gap in the group of all", client.user + " got " + std::to_string(number) +
                                                    " after " + std::to_string(last));
  }
  last = number;
}

void SoakRun::TakeAnswer(std::string_view answer, int64_t now_ns) {
  std::string_view rest = answer;
  uint64_t rid = 0;
  if (!TakeText(&rest, R"({"rid":")") || !TakeNumber(&rest, &rid) ||
      !TakeText(&rest, R"(","ok":true)")) {
    return chatters_.Complain("answer", answer);
  }
  const auto question = questions_.find(rid);
  if (question == questions_.end()) return;  // its asker has been away since
  interval_.answers.Add(now_ns - question->second.due_ns);
  questions_.erase(question);
}

void SoakRun::OnStored(const Chatters::Message& message, bool there, int64_t now_ns) {
  if (there) interval_.stored.Add(now_ns - message.due_ns);
}

void SoakRun::OnArrived(const Chatters::Message& message, bool there, int64_t now_ns) {
  if (there) interval_.arrived.Add(now_ns - message.due_ns);
}

Interval SoakRun::NewInterval(int64_t now_ns) const {
  Interval interval;
  interval.begin_ns = now_ns;
  interval.broker = ReadUsage(workload_.pid);
  interval.compaction_cpu_s = ThreadCpuSeconds(workload_.pid, "parley-compact");
  interval.own_cpu_s = OwnCpuSeconds();
  interval.deliveries = deliveries_;
  return interval;
}

void SoakRun::WriteHead() {
  csv_ << "seconds,rss_kib,anon_kib,files,threads,cpu_percent,thread_cpu_percent,"
          "compaction_cpu_percent,journal_kib,"
          "stores_kib,sqlite_kib,messages,deliveries_per_s,stored_p50_us,stored_p99_us,"
          "arrived_p50_us,arrived_p99_us,answer_p50_us,answer_p99_us,lag_p99_us,connected,"
          "departures,faults,load_cpu_percent\n";
  interval_ = NewInterval(NowNs());
}

void SoakRun::WriteLine(int64_t now_ns) {
  const Interval past = std::move(interval_);
  interval_ = NewInterval(now_ns);
  const double seconds = static_cast<double>(now_ns - past.begin_ns) / 1e9;
  const ProcessSize size = ReadSize(workload_.pid);
  const DiskUse disk = ReadDiskUse(options_.data_dir);
  const std::vector<double> values = {
      static_cast<double>(now_ns - start_ns_) / 1e9,
      static_cast<double>(size.rss_bytes) / 1024,
      static_cast<double>(size.anon_bytes) / 1024,
      static_cast<double>(size.files) - static_cast<double>(clients_.subscribed()),
      static_cast<double>(size.threads),
      (interval_.broker.cpu_s - past.broker.cpu_s) / seconds * 100,
      (interval_.broker.main_cpu_s - past.broker.main_cpu_s) / seconds * 100,
      (interval_.compaction_cpu_s - past.compaction_cpu_s) / seconds * 100,
      static_cast<double>(disk.journal) / 1024,
      static_cast<double>(disk.stores) / 1024,
      static_cast<double>(disk.sqlite) / 1024,
      static_cast<double>(chatters_.said() + to_groups_),
      static_cast<double>(deliveries_ - past.deliveries) / seconds,
      past.stored.PercentileUs(50),
      past.stored.PercentileUs(99),
      past.arrived.PercentileUs(50),
      past.arrived.PercentileUs(99),
      past.answers.PercentileUs(50),
      past.answers.PercentileUs(99),
      past.lag.PercentileUs(99),
      static_cast<double>(clients_.subscribed()),
      static_cast<double>(departures_),
      static_cast<double>(Faults()),
      (interval_.own_cpu_s - past.own_cpu_s) / seconds * 100,
  };
  const char* separator = "";
  for (const double value : values) {
    char text[32];
    std::snprintf(text, sizeof text, "%s%.10g", separator, value);
    csv_ << text;
    separator = ",";
  }
  csv_ << std::endl;  // for those who look while it runs
}

int SoakRun::Print(double seconds) {
  const uint64_t open = chatters_.unseen() + questions_.size();
  Report report;
  report.Text("mode", "soak");
  report.Count("users", options_.users);
  report.Number("seconds", seconds, 0);
  report.Count("messages", chatters_.said());
  report.Count("messages_to_groups", to_groups_);
  report.Count("deliveries", deliveries_);
  report.Count("questions", asked_);
  report.Count("departures", departures_);
  report.Count("unseen", chatters_.unseen());
  report.Count("unanswered", questions_.size());
  report.Count("gaps", chatters_.gaps() + gaps_of_all_);
  report.Count("errors", chatters_.errors());
  report.Print(workload_.json);
  return open + Faults() == 0 && chatters_.said() > 0 ? 0 : 1;
}

}  // namespace

int RunSoak(const Workload& workload, const SoakOptions& options) {
  if (workload.pid == 0) Die("soak needs --pid");
  return SoakRun(workload, options).Run();
}

}  // namespace parley::bench
