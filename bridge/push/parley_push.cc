// parley-push: carries push jobs from the broker to the providers.
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <iostream>
#include <thread>

#include "bridge/push/dispatcher.h"
#include "bridge/push/keys.h"
#include "bridge/push/push_config.h"

namespace parley::push {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;
constexpr std::chrono::milliseconds kIdleWait{250};  // for a job
constexpr std::chrono::milliseconds kBusyWait{20};   // … while requests are under way
constexpr std::chrono::milliseconds kReconnectMin{100};
constexpr std::chrono::milliseconds kReconnectMax{10'000};

std::atomic<bool> stopping = false;

int Fail(int code, const std::string& why) {
  std::cerr << "parley-push: " << why << "\n";
  return code;
}

void Say(const std::string& line) { std::cerr << "parley-push: " << line << std::endl; }

// One line for each job that wasn't delivered; never a token, never what was said.
void SayFailed(const Job& job, const Outcome& outcome) {
  constexpr const char* kNames[] = {"ok", "gone", "failed", "dropped"};
  Say(std::string(kNames[static_cast<size_t>(outcome.kind)]) + " job=" + job.name +
      " provider=" + job.provider + " user=" + job.content.value("user", "") + " reason=\"" +
      outcome.reason + "\"");
}

// The broker's connection, the dispatcher, and what is to be said of the jobs.
class Gateway {
 public:
  explicit Gateway(Config config)
      : broker_(std::move(config.broker)),
        sender_(config.http),
        dispatcher_(std::move(config.providers), &sender_, config.http.timeout_ms,
                    {[] { return static_cast<int64_t>(std::time(nullptr)); }, MonotonicMs},
                    [this](const Job& job, const Outcome& outcome) { Done(job, outcome); }) {}

  // Until SIGTERM; then what is under way still gets its end.
  int Run() {
    while (!stopping || dispatcher_.busy() > 0 || !done_.empty()) {
      if (client_ == nullptr) {
        if (stopping) break;
        if (int code = Connect(); code != 0) return code;
        continue;
      }
      TakeJobs();
      if (sender_.pending() > 0) sender_.Poll(kBusyWait);
      TellDone();
    }
    return 0;
  }

 private:
  static int64_t MonotonicMs() {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  }

  // One try. Not 0: there is no use in another.
  int Connect() {
    auto client = MqttClient::Connect(broker_);
    Status status = client ? Status() : client.error();
    for (const std::string& name : dispatcher_.providers()) {
      if (status.ok()) status = (*client)->Subscribe("push/" + name);
    }
    if (status.ok()) {
      client_ = std::move(*client);
      reconnect_ = kReconnectMin;
      Say("ready, connected to " + broker_.host + ":" + std::to_string(broker_.port));
      return 0;
    }
    if (status.code() == Code::kDenied && !was_connected_) return Fail(kFailed, status.message());
    Say(status.message() + "; trying again in " + std::to_string(reconnect_.count()) + " ms");
    Wait(reconnect_);
    reconnect_ = std::min(2 * reconnect_, kReconnectMax);
    return 0;
  }

  // Requests that are under way go on meanwhile.
  void Wait(std::chrono::milliseconds wait) {
    auto end = std::chrono::steady_clock::now() + wait;
    while (!stopping && std::chrono::steady_clock::now() < end) {
      if (sender_.pending() > 0) {
        sender_.Poll(kBusyWait);
      } else {
        std::this_thread::sleep_for(kBusyWait);
      }
    }
  }

  void TakeJobs() {
    bool busy = sender_.pending() > 0 || !done_.empty();
    auto wait = busy ? std::chrono::milliseconds(0) : kIdleWait;
    for (;;) {
      auto message = client_->Receive(wait);
      if (!message) return Lost(message.error());
      if (!*message) return;
      was_connected_ = true;
      wait = std::chrono::milliseconds(0);
      auto job = ParseJob((*message)->payload);
      // Who stops takes no more: the broker hands them to another.
      if (job && !stopping) dispatcher_.Take(std::move(*job));
    }
  }

  void Done(const Job& job, const Outcome& outcome) {
    if (outcome.kind != Outcome::Kind::kOk) SayFailed(job, outcome);
    done_.push_back(DoneJson(job.name, outcome));
  }

  void TellDone() {
    while (client_ != nullptr && !done_.empty()) {
      if (Status status = client_->Publish("push/done", done_.front()); !status.ok()) {
        return Lost(status);
      }
      done_.pop_front();
    }
  }

  void Lost(const Status& why) {
    client_.reset();
    was_connected_ = true;
    dispatcher_.SessionLost();
    Say(why.message());
  }

  const MqttOptions broker_;
  HttpSender sender_;
  Dispatcher dispatcher_;
  std::unique_ptr<MqttClient> client_;
  bool was_connected_ = false;
  std::chrono::milliseconds reconnect_ = kReconnectMin;
  std::deque<std::string> done_;  // to be said to the broker
};

int RunGateway(const std::string& config_file, bool allow_private) {
  auto config = ReadConfig(config_file);
  if (!config) return Fail(kWrongUsage, config.error().message());
  config->http.allow_private = config->http.allow_private || allow_private;
  if (config->http.allow_private) Say("targets may be private addresses, and without TLS");
  std::signal(SIGTERM, [](int) { stopping = true; });
  std::signal(SIGINT, [](int) { stopping = true; });
  return Gateway(std::move(*config)).Run();
}

// A new key in `path`, which must not be there; or the public key of the one that is.
int Vapid(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) {
    int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const std::string pem = PrivateKey::NewP256().Pem();
    bool written = fd >= 0 && write(fd, pem.data(), pem.size()) == static_cast<ssize_t>(pem.size());
    if (fd >= 0) written = close(fd) == 0 && written;
    if (!written) return Fail(kFailed, path + " can't be written");
  }
  auto key = PrivateKey::FromFile(path);
  if (!key) return Fail(kFailed, key.error().message());
  if (!key->is_p256()) return Fail(kFailed, path + " holds no key of P-256");
  std::cout << Base64Url(key->PublicPoint()) << std::endl;
  return 0;
}

}  // namespace

int Main(int argc, char** argv) {
  CLI::App app("Carries push jobs from the broker to the providers; see docs/push.md.",
               "parley-push");
  std::string config_file, key_file;
  bool allow_private = false;
  app.add_option("--config", config_file, "the configuration, a JSON file");
  app.add_flag("--allow-private", allow_private,
               "users' URLs may lead to private addresses, and be http: for an ntfy of one's own");
  CLI::App* vapid = app.add_subcommand(
      "vapid", "makes a key for Web Push where there is none, and prints its public key");
  vapid->add_option("file", key_file, "the private key's file (PEM)")->required();
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  if (*vapid) return Vapid(key_file);
  if (config_file.empty()) return Fail(kWrongUsage, "--config is needed; see --help");
  return RunGateway(config_file, allow_private);
}

}  // namespace parley::push

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  try {
    return parley::push::Main(argc, argv);
  } catch (const std::exception& error) {
    return parley::push::Fail(parley::push::kFailed, error.what());
  }
}
