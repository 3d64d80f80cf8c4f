// parley_rest_load: load for the REST gateway, and what it took. Run by `script/bench gateway`.
//
//   sends   a closed loop: each connection sends a message, as a user of its own, when the one
//   before
//           was answered as stored
//   polls   many users wait in a long poll each; messages go to them at a rate, and the time from
//           when one was sent to when its receiver's poll was answered counts
//
// Exits with 1 where anything was answered otherwise than it should be: such a run has no figures.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/arrivals.h"
#include "bench/histogram.h"
#include "bench/report.h"

namespace parley::bench {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kPatienceNs = 30 * kSecondNs;

struct RestOptions {
  uint16_t port = 0;
  std::string credentials;
  size_t connections = 64;
  size_t polls = 1000;
  double rate = 200;
  double seconds = 5;
  int pid = 0;
};

struct Account {
  std::string user;
  std::string token;
};

int64_t NowNs() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "parley_rest_load: %s\n", why.c_str());
  std::exit(1);
}

std::vector<Account> ReadAccounts(const std::string& path, size_t count) {
  std::ifstream in(path);
  std::vector<Account> accounts;
  Account account;
  while (accounts.size() < count && in >> account.user >> account.token)
    accounts.push_back(account);
  if (accounts.size() < count) Die(path + " has too few accounts");
  return accounts;
}

// One HTTP connection of one user, with one request at a time.
class RestConnection {
 public:
  RestConnection(uint16_t port, Account account, int epoll) : account_(std::move(account)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) Die("no connection");
    int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{EPOLLIN, {.ptr = this}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, socket_, &event);
  }
  ~RestConnection() { ::close(socket_); }
  RestConnection(const RestConnection&) = delete;
  RestConnection& operator=(const RestConnection&) = delete;

  void Request(const std::string& line, const std::string& body) {
    std::string text = line + " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " +
                       account_.token + "\r\nContent-Length: " + std::to_string(body.size()) +
                       "\r\n\r\n" + body;
    if (::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(text.size())) {
      Die("a request can't be sent");
    }
  }
  void Send(const std::string& to, const std::string& id) {
    Request("POST /v1/messages", "{\"to\":\"" + to + "\",\"id\":\"" + id +
                                     "\",\"message_text\":\"" + std::string(100, 'x') + "\"}");
  }
  void Poll() { Request("GET /v1/updates?timeout=60&after=" + std::to_string(after), ""); }

  // What has come; true once an answer is whole, which `answer` is then, status line and all.
  bool Read(std::string* answer) {
    char bytes[16384];
    ssize_t count = ::recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count == 0) Die("the gateway has closed a connection");
    if (count > 0) unread_.append(bytes, static_cast<size_t>(count));
    size_t end = unread_.find("\r\n\r\n");
    if (end == unread_.npos) return false;
    size_t length = unread_.find("Content-Length: ");
    size_t whole = end + 4 + std::strtoull(unread_.c_str() + length + 16, nullptr, 10);
    if (unread_.size() < whole) return false;
    *answer = unread_.substr(0, whole);
    unread_.erase(0, whole);
    return true;
  }

  const std::string& user() const { return account_.user; }

  int64_t sent_ns = 0;
  uint64_t after = 0;

 private:
  const Account account_;
  int socket_ = -1;
  std::string unread_;
};

using Connections = std::vector<std::unique_ptr<RestConnection>>;

// Calls `on_answer` for each answer that comes within `wait_ms`.
template <class OnAnswer>
void Await(int epoll, int wait_ms, const OnAnswer& on_answer) {
  epoll_event events[256];
  int count = ::epoll_wait(epoll, events, 256, wait_ms);
  std::string answer;
  for (int i = 0; i < count; ++i) {
    auto* connection = static_cast<RestConnection*>(events[i].data.ptr);
    while (connection->Read(&answer)) on_answer(*connection, answer);
  }
}

void CheckStatus(const std::string& answer, std::string_view status) {
  if (answer.compare(9, 3, status) != 0) Die("answered: " + answer);
}

Connections Open(const RestOptions& options, const std::vector<Account>& accounts, int epoll) {
  Connections connections;
  for (const Account& account : accounts) {
    connections.push_back(std::make_unique<RestConnection>(options.port, account, epoll));
  }
  return connections;
}

// "VmRSS" (KiB), "Threads" of the gateway.
uint64_t StatusOf(int pid, const std::string& field) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(field + ":"))
      return std::strtoull(line.c_str() + field.size() + 1, nullptr, 10);
  }
  return 0;
}

// All polls wait in the gateway, and nothing else happens.
Connections OpenPolls(const RestOptions& options, const std::vector<Account>& accounts, int epoll) {
  Connections polls = Open(options, accounts, epoll);
  for (auto& poll : polls) poll->Poll();
  int64_t settled = NowNs() + 2 * kSecondNs;
  while (NowNs() < settled) {
    Await(epoll, 100,
          [](RestConnection&, const std::string& answer) { Die("too early: " + answer); });
  }
  return polls;
}

Report Sends(const RestOptions& options) {
  int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  auto accounts = ReadAccounts(options.credentials, options.connections);
  Connections connections = Open(options, accounts, epoll);
  uint64_t made = 0;
  auto send = [&](RestConnection& from) {
    from.sent_ns = NowNs();
    from.Send(accounts[made % accounts.size()].user, std::to_string(made));
    ++made;
  };
  for (auto& connection : connections) send(*connection);
  Histogram times;
  int64_t begin = NowNs() + kSecondNs;  // after a second of warm-up
  int64_t end = begin + static_cast<int64_t>(options.seconds * 1e9);
  while (NowNs() < end) {
    Await(epoll, 100, [&](RestConnection& from, const std::string& answer) {
      CheckStatus(answer, "201");
      int64_t now = NowNs();
      if (now >= begin) times.Add(now - from.sent_ns);
      send(from);
    });
  }
  Report report;
  report.Number("stored_per_s", static_cast<double>(times.count()) / options.seconds, 0);
  report.Count("connections", options.connections);
  report.Latency("answer", times);
  report.Count("rss_kib", StatusOf(options.pid, "VmRSS"));
  return report;
}

// Users who wait, and some connections of one more user, who writes to them in turn.
class PollRun {
 public:
  explicit PollRun(const RestOptions& options) : options_(options) {
    before_kib_ = StatusOf(options.pid, "VmRSS");
    auto accounts = ReadAccounts(options.credentials, options.polls + 1);
    std::vector<Account> writer(kWriters, accounts.back());
    accounts.pop_back();
    polls_ = OpenPolls(options, accounts, epoll_);
    writers_ = Open(options, writer, epoll_);
    for (auto& one : writers_) idle_.push_back(one.get());
  }

  Report Run() {
    Report report;
    report.Count("polls", options_.polls);
    report.Count("gateway_threads", StatusOf(options_.pid, "Threads"));
    report.Count("rss_before_kib", before_kib_);
    report.Count("rss_kib", StatusOf(options_.pid, "VmRSS"));
    int64_t begin = NowNs();
    int64_t end = begin + static_cast<int64_t>(options_.seconds * 1e9);
    Arrivals arrivals(options_.rate, 1, begin);
    while (NowNs() < end || open_ > 0) {
      if (NowNs() > end + kPatienceNs) Die("polls were never answered");
      if (NowNs() < end) TakeDue(&arrivals);
      SendDue();
      Await(epoll_, 1, [this](auto& from, const std::string& answer) { OnAnswer(from, answer); });
    }
    report.Count("messages", times_.count());
    report.Latency("send_to_answer", times_);
    return report;
  }

 private:
  static constexpr size_t kWriters = 16;

  void TakeDue(Arrivals* arrivals) {
    int64_t due_ns = 0;
    while (arrivals->Take(NowNs(), &due_ns)) {
      RestConnection& to = *polls_[next_ % polls_.size()];
      if (to.sent_ns != 0) Die("messages come faster than all polls are answered");
      to.sent_ns = due_ns;
      due_.push_back(next_++);
      ++open_;
    }
  }

  void SendDue() {
    while (!idle_.empty() && !due_.empty()) {
      const std::string& to = polls_[due_.front() % polls_.size()]->user();
      idle_.back()->Send(to, std::to_string(due_.front()));
      due_.pop_front();
      idle_.pop_back();
    }
  }

  void OnAnswer(RestConnection& from, const std::string& answer) {
    if (answer.compare(9, 3, "201") == 0) return idle_.push_back(&from);
    CheckStatus(answer, "200");
    if (from.sent_ns == 0 || answer.find("\"author_id\"") == answer.npos) Die("odd: " + answer);
    times_.Add(NowNs() - from.sent_ns);
    from.sent_ns = 0;
    --open_;
    ++from.after;
    from.Poll();
  }

  const RestOptions& options_;
  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  uint64_t before_kib_ = 0;
  Connections polls_;
  Connections writers_;
  std::vector<RestConnection*> idle_;
  std::deque<size_t> due_;
  size_t next_ = 0;
  size_t open_ = 0;  // messages whose poll isn't answered yet
  Histogram times_;
};

}  // namespace
}  // namespace parley::bench

int main(int argc, char** argv) {
  using namespace parley::bench;
  CLI::App app("Load for the REST gateway", "parley_rest_load");
  RestOptions options;
  bool json = false;
  app.require_subcommand(1);
  app.add_option("--port", options.port, "The gateway's port")->required();
  app.add_option("--credentials", options.credentials, "Lines of user and token")->required();
  app.add_option("--pid", options.pid, "The gateway's process, for its memory");
  app.add_option("--seconds", options.seconds, "To measure")->capture_default_str();
  app.add_flag("--json", json, "Print one line of JSON");
  auto* sends = app.add_subcommand("sends", "Messages a second, stored");
  sends->add_option("--connections", options.connections, "Each a user's")->capture_default_str();
  auto* polls = app.add_subcommand("polls", "Send to answer, with many polls open");
  polls->add_option("--polls", options.polls, "Users who wait")->capture_default_str();
  polls->add_option("--rate", options.rate, "Messages a second")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  (sends->parsed() ? Sends(options) : PollRun(options).Run()).Print(json);
  return 0;
}
