#include "bench/idle.h"

#include "bench/process_usage.h"
#include "bench/report.h"

namespace parley::bench {
namespace {

class Silence : public ClientEvents {
 public:
  void OnPublish(Client& client, const Publish& publish, int64_t /*now_ns*/) override {
    Die("an idle client, " + client.client_id + ", got " + std::string(publish.topic) + ": " +
        std::string(publish.payload));
  }
};

}  // namespace

int RunIdle(const Workload& workload, const IdleOptions& options) {
  if (workload.pid == 0) Die("idle needs --pid");
  const Credentials credentials(workload.credentials);
  Silence silence;
  Clients clients(workload.endpoint, &silence);
  for (size_t i = 0; i < options.connections; ++i) {
    AddUser(&clients, credentials, i, {"chat/" + UserName(i)});
  }

  const ProcessUsage empty = ReadUsage(workload.pid);
  const int64_t start_ns = NowNs();
  clients.ConnectAll();
  const int64_t connected_ns = NowNs();
  const ProcessUsage connected = ReadUsage(workload.pid);
  const int64_t end_ns = connected_ns + static_cast<int64_t>(options.seconds * 1e9);
  while (NowNs() < end_ns) clients.Turn(end_ns);
  const ProcessUsage settled = ReadUsage(workload.pid);

  const auto n = static_cast<double>(options.connections);
  Report report;
  report.Text("mode", "idle");
  report.Text("broker", workload.plain ? "plain" : "parley");
  report.Count("connections", options.connections);
  report.Number("connects_per_s", n / (static_cast<double>(connected_ns - start_ns) / 1e9), 0);
  report.Number("cpu_us_per_connect", (connected.cpu_s - empty.cpu_s) * 1e6 / n);
  report.Count("rss_empty_kib", empty.rss_bytes / 1024);
  report.Count("rss_idle_kib", settled.rss_bytes / 1024);
  const double added =
      static_cast<double>(settled.rss_bytes) - static_cast<double>(empty.rss_bytes);
  report.Number("rss_bytes_per_connection", added / n, 0);
  report.Number("idle_cpu_percent", (settled.cpu_s - connected.cpu_s) / options.seconds * 100, 2);
  report.Print(workload.json);
  return 0;
}

}  // namespace parley::bench
