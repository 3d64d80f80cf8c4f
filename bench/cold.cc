#include "bench/cold.h"

#include <cstdio>

#include "bench/histogram.h"
#include "bench/process_usage.h"
#include "bench/report.h"

namespace parley::bench {
namespace {

constexpr int64_t kAnswerNs = 60'000'000'000;

class ColdRun : public ClientEvents {
 public:
  ColdRun(const Workload& workload, const ColdOptions& options)
      : workload_(workload), options_(options), clients_(workload.endpoint, this) {
    const Credentials credentials(workload.credentials);
    for (size_t user = 0; user < options.users; user += options.step) {
      AddUser(&clients_, credentials, user, {"chat/" + UserName(user)});
    }
  }

  int Run() {
    const ProcessSize before = ReadSize(workload_.pid);
    for (size_t i = 0; i < clients_.size(); ++i) Visit(i);
    const ProcessSize after = ReadSize(workload_.pid);
    Report report;
    report.Text("mode", "cold");
    report.Count("users", clients_.size());
    report.Latency("login", login_);
    report.Latency("recent", recent_);
    report.Latency("sync", sync_);
    report.Latency("history", history_);
    report.Count("rss_before_kib", before.rss_bytes / 1024);
    report.Count("anon_before_kib", before.anon_bytes / 1024);
    report.Count("rss_after_kib", after.rss_bytes / 1024);
    report.Count("anon_after_kib", after.anon_bytes / 1024);
    report.Count("files_after", after.files);
    report.Count("errors", errors_);
    report.Print(workload_.json);
    return errors_ == 0 ? 0 : 1;
  }

  void OnSubscribed(Client& /*client*/, int64_t now_ns) override { done_ns_ = now_ns; }
  void OnPublish(Client& /*client*/, const Publish& publish, int64_t now_ns) override {
    done_ns_ = now_ns;
    const std::string_view answer = publish.payload;
    if (answer.find(R"("ok":true)") != answer.npos && answer.find(R"({"seq":)") != answer.npos) {
      return;
    }
    if (++errors_ == 1) std::fprintf(stderr, "parley_load: %.300s\n", std::string(answer).c_str());
  }

 private:
  void Visit(size_t index) {
    const std::string peer = UserName((index * options_.step + 1) % options_.users);
    Client& client = clients_[index];
    Time(&login_, [&] { clients_.Reopen(client); });
    Ask(client, "recent", "", &recent_);
    Ask(client, "sync", R"(,"after":0)", &sync_);
    Ask(client, "history", R"(,"with":")" + peer + "\"", &history_);
    clients_.Close(client, true);
  }

  void Ask(Client& client, const std::string& method, const std::string& members,
           Histogram* times) {
    Time(times,
         [&] { clients_.Publish(client, "ask/" + method, R"({"rid":"1")" + members + "}"); });
  }

  template <class Start>
  void Time(Histogram* times, Start start) {
    done_ns_ = 0;
    const int64_t start_ns = NowNs();
    start();
    while (done_ns_ == 0) {
      clients_.Turn(start_ns + kAnswerNs);
      if (NowNs() > start_ns + kAnswerNs) Die("no answer within a minute");
    }
    times->Add(done_ns_ - start_ns);
  }

  const Workload& workload_;
  const ColdOptions& options_;
  Clients clients_;
  Histogram login_, recent_, sync_, history_;
  int64_t done_ns_ = 0;
  uint64_t errors_ = 0;
};

}  // namespace

int RunCold(const Workload& workload, const ColdOptions& options) {
  if (workload.pid == 0) Die("cold needs --pid");
  return ColdRun(workload, options).Run();
}

}  // namespace parley::bench
