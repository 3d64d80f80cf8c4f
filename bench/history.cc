#include "bench/history.h"

#include <algorithm>
#include <random>
#include <vector>

#include "bench/report.h"

namespace parley::bench {
namespace {

constexpr int64_t kAnswerNs = 10'000'000'000;

uint64_t CountOf(std::string_view text, std::string_view what) {
  uint64_t count = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) {
    ++count;
  }
  return count;
}

// The number after `name`; false where there is none.
bool NumberAfter(std::string_view text, std::string_view name, uint64_t* value) {
  const size_t at = text.find(name);
  if (at == text.npos) return false;
  text.remove_prefix(at + name.size());
  return TakeNumber(&text, value);
}

class History : public ClientEvents {
 public:
  History(const Workload& workload, const HistoryOptions& options);
  int Run();

  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;

 private:
  void LearnHeads();
  void AskPage();
  void Ask(Client& client, std::string_view topic, const std::string& members);

  const Workload& workload_;
  const HistoryOptions& options_;
  Clients clients_;
  std::vector<size_t> users_;      // by client
  std::vector<uint64_t> heads_;    // each one's last seq, by client
  std::vector<int64_t> asked_ns_;  // by rid
  std::mt19937_64 random_;
  std::string payload_;
  bool learning_ = true;
  size_t outstanding_ = 0;
  int64_t answered_ns_ = 0;
  int64_t begin_ns_ = 0;
  uint64_t pages_ = 0;
  uint64_t short_pages_ = 0;
  Histogram first_;
  Histogram latency_;
};

History::History(const Workload& workload, const HistoryOptions& options)
    : workload_(workload),
      options_(options),
      clients_(workload.endpoint, this),
      random_(workload.seed) {
  const Credentials credentials(workload.credentials);
  const size_t connections = std::min(options.connections, options.users);
  for (size_t i = 0; i < connections; ++i) {
    users_.push_back(i * options.users / connections);
    AddUser(&clients_, credentials, users_.back(), {"chat/" + UserName(users_.back())});
  }
  heads_.resize(connections);
}

int History::Run() {
  clients_.ConnectAll();
  LearnHeads();
  const int64_t start_ns = NowNs();
  begin_ns_ = start_ns + static_cast<int64_t>(options_.warmup_s * 1e9);
  const int64_t end_ns = begin_ns_ + static_cast<int64_t>(options_.seconds * 1e9);
  answered_ns_ = start_ns;
  while (NowNs() < end_ns || outstanding_ > 0) {
    while (outstanding_ < options_.outstanding && NowNs() < end_ns) AskPage();
    clients_.Turn(answered_ns_ + kAnswerNs);
    if (NowNs() > answered_ns_ + kAnswerNs) Die("no answer within 10 s");
  }
  Report report;
  report.Text("mode", "history");
  report.Count("users", options_.users);
  report.Count("page", options_.limit);
  report.Count("outstanding", options_.outstanding);
  report.Count("pages", pages_);
  report.Number("pages_per_s", static_cast<double>(pages_) / options_.seconds, 0);
  report.Latency("page", latency_);
  report.Latency("first_pages", first_);  // of the warm-up
  report.Count("short_pages", short_pages_);
  report.Print(workload_.json);
  return short_pages_ == 0 && pages_ > 0 ? 0 : 1;
}

void History::LearnHeads() {
  answered_ns_ = NowNs();
  for (size_t i = 0; i < clients_.size(); ++i) {
    Ask(clients_[i], "ask/sync", R"("after":0,"limit":1)");
    while (outstanding_ > 0) {
      clients_.Turn(answered_ns_ + kAnswerNs);
      if (NowNs() > answered_ns_ + kAnswerNs) Die("no answer within 10 s");
    }
    if (heads_[i] == 0) Die(clients_[i].user + " has no messages: fill the store first");
  }
  learning_ = false;
}

// A page from somewhere in the newer half of the user's log, so that it is full.
void History::AskPage() {
  const size_t index = random_() % clients_.size();
  const size_t peer = (users_[index] + 1 + random_() % options_.peers) % options_.users;
  const uint64_t before = heads_[index] - random_() % (heads_[index] / 2 + 1) + 1;
  Ask(clients_[index], "ask/history",
      R"("with":")" + UserName(peer) + R"(","limit":)" + std::to_string(options_.limit) +
          R"(,"before":)" + std::to_string(before));
}

void History::Ask(Client& client, std::string_view topic, const std::string& members) {
  payload_ = R"({"rid":")" + std::to_string(asked_ns_.size()) + R"(",)" + members + "}";
  asked_ns_.push_back(NowNs());
  ++outstanding_;
  clients_.Publish(client, topic, payload_);
}

void History::OnPublish(Client& client, const Publish& publish, int64_t now_ns) {
  if (!publish.topic.starts_with("answer/")) return;
  uint64_t rid = 0;
  const std::string_view answer = publish.payload;
  const bool known = NumberAfter(answer, R"("rid":")", &rid) && rid < asked_ns_.size();
  if (!known || answer.find(R"("ok":true)") == answer.npos) {
    Die("an error as answer: " + std::string(answer.substr(0, 300)));
  }
  answered_ns_ = now_ns;
  --outstanding_;
  if (learning_) {
    NumberAfter(answer, R"("head":)", &heads_[client.index]);
    return;
  }
  const int64_t latency_ns = now_ns - asked_ns_[rid];
  if (asked_ns_[rid] < begin_ns_) return first_.Add(latency_ns);
  latency_.Add(latency_ns);
  ++pages_;
  if (CountOf(answer, R"({"seq":)") != options_.limit) ++short_pages_;
}

}  // namespace

int RunHistory(const Workload& workload, const HistoryOptions& options) {
  return History(workload, options).Run();
}

}  // namespace parley::bench
