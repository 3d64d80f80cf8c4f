// RunFill of bench/history.h.
#include <algorithm>
#include <vector>

#include "bench/delivery_check.h"
#include "bench/history.h"
#include "bench/report.h"

namespace parley::bench {
namespace {

constexpr int64_t kStallNs = 30'000'000'000;

class Fill : public ClientEvents {
 public:
  Fill(const Workload& workload, const FillOptions& options);
  int Run();

  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;

 private:
  struct User {
    uint64_t sent = 0;
    uint64_t last_seq = 0;
    DeliveryCheck own;
  };

  void SendNext(Client& client);
  uint64_t QuotaOf(size_t index) const;

  const Workload& workload_;
  const FillOptions& options_;
  Messages messages_;
  Clients clients_;
  std::vector<User> users_;
  std::string payload_;
  uint64_t arrived_ = 0;
  uint64_t seq_gaps_ = 0;
};

Fill::Fill(const Workload& workload, const FillOptions& options)
    : workload_(workload),
      options_(options),
      messages_(options.body_bytes),
      clients_(workload.endpoint, this),
      users_(options.users) {
  const Credentials credentials(workload.credentials);
  for (size_t i = 0; i < options.users; ++i) {
    AddUser(&clients_, credentials, i, {"chat/" + UserName(i)});
  }
}

// The messages are spread evenly; the first users send what remains.
uint64_t Fill::QuotaOf(size_t index) const {
  return options_.messages / users_.size() + (index < options_.messages % users_.size() ? 1 : 0);
}

void Fill::SendNext(Client& client) {
  User& user = users_[client.index];
  const size_t peer = (client.index + 1 + user.sent % options_.peers) % users_.size();
  messages_.Sent(user.sent, &payload_);
  // The id's number is the sender's own count; the peer sees it too, but only seq matters there.
  clients_.Publish(client, "chat/" + UserName(peer), payload_);
  ++user.sent;
}

void Fill::OnPublish(Client& client, const Publish& publish, int64_t /*now_ns*/) {
  Messages::Arrival arrival{};
  if (!messages_.Parse(publish.payload, &arrival)) {
    Die("unexpected: " + std::string(publish.topic) + " " +
        std::string(publish.payload.substr(0, 300)));
  }
  User& user = users_[client.index];
  if (user.last_seq != 0 && arrival.seq != user.last_seq + 1) ++seq_gaps_;
  user.last_seq = arrival.seq;
  ++arrived_;
  const std::string from = R"("from":")" + client.user + "\"";
  if (publish.payload.find(from) == publish.payload.npos) return;
  user.own.Take(arrival.number);
  if (user.sent < QuotaOf(client.index)) SendNext(client);
}

int Fill::Run() {
  clients_.ConnectAll();
  const int64_t start_ns = NowNs();
  for (size_t i = 0; i < clients_.size(); ++i) {
    const uint64_t at_once = std::min(options_.window, QuotaOf(i));
    while (users_[i].sent < at_once) SendNext(clients_[i]);
  }
  int64_t progress_ns = start_ns;
  while (arrived_ < 2 * options_.messages && NowNs() < progress_ns + kStallNs) {
    const uint64_t before = arrived_;
    clients_.Turn(progress_ns + kStallNs);
    if (arrived_ > before) progress_ns = NowNs();
  }
  const double seconds = static_cast<double>(NowNs() - start_ns) / 1e9;
  uint64_t lost = 2 * options_.messages - std::min(arrived_, 2 * options_.messages);
  uint64_t faults = seq_gaps_ + (arrived_ > 2 * options_.messages ? 1 : 0);
  for (const User& user : users_) faults += user.own.doubled() + user.own.disordered();
  Report report;
  report.Text("mode", "fill");
  report.Count("messages", options_.messages);
  report.Count("users", options_.users);
  report.Number("seconds", seconds, 3);
  report.Number("msg_per_s", static_cast<double>(options_.messages) / seconds, 0);
  report.Count("lost", lost);
  report.Count("doubled_or_disordered", faults);
  report.Print(workload_.json);
  return lost + faults == 0 ? 0 : 1;
}

}  // namespace

int RunFill(const Workload& workload, const FillOptions& options) {
  return Fill(workload, options).Run();
}

}  // namespace parley::bench
