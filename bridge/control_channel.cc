#include "bridge/control_channel.h"

#include <unistd.h>

#include <charconv>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include "bridge/mqtt_client.h"
#include "bridge/resting_log.h"
#include "chat/control.h"
#include "storage/credentials.h"
#include "storage/data_dir.h"
#include "storage/directory.h"

namespace parley {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;

constexpr int64_t kTokenTtlS = 60;
// A batch of a thousand passwords takes seconds; a replay of dead letters may take long.
constexpr std::chrono::seconds kAnswerTimeout{300};

Result<json> DataOf(const json& response) {
  if (auto data = response.find("data"); data != response.end()) return *data;
  return Error(CodeNamed(response.value("code", "")).value_or(Code::kIoError),
               response.value("error", "an answer without data and error"));
}

Result<std::string> RequestOf(const json& command) {
  try {
    return json{{"commands", json::array({command})}}.dump();
  } catch (const json::exception&) {
    return Error(Code::kBadRequest, "only UTF-8 text can be sent");
  }
}

ControlHooks HooksFor(const std::string& data_dir, Env* env) {
  ControlHooks hooks;
  hooks.deadletters = [=](size_t) { return CountDeadLetters(data_dir, env); };
  hooks.replay_deadletters = [=] { return ReplayDeadLetters(data_dir, env); };
  hooks.push_deadletters = [=](size_t limit) { return ListPushDeadLetters(data_dir, limit, env); };
  return hooks;
}

class DirectoryChannel final : public ControlChannel {
 public:
  DirectoryChannel(std::unique_ptr<Directory> directory, Credentials credentials,
                   const std::string& data_dir, Env* env)
      : directory_(std::move(directory)),
        credentials_(std::move(credentials)),
        control_(directory_.get(), &credentials_, env, HooksFor(data_dir, env)) {}

  Result<json> Run(json command) override {
    Result<std::string> request = RequestOf(command);
    if (!request) return Error(request.error());
    return DataOf(json::parse(control_.Handle(*request))["responses"][0]);
  }
  std::string Where() const override { return "the directory itself"; }
  bool broker_runs() const override { return false; }

 private:
  std::unique_ptr<Directory> directory_;
  Credentials credentials_;
  Control control_;
};

class BrokerChannel final : public ControlChannel {
 public:
  BrokerChannel(std::unique_ptr<MqttClient> client, std::string client_id, std::string where)
      : client_(std::move(client)), client_id_(std::move(client_id)), where_(std::move(where)) {}

  Result<json> Run(json command) override {
    std::string id = std::to_string(++last_id_);
    command["correlationData"] = id;
    Result<std::string> request = RequestOf(command);
    if (!request) return Error(request.error());
    Status status = client_->Publish(std::string(kControlTopic), *request);
    if (!status.ok()) return Error(status);
    return AwaitAnswer(id);
  }
  std::string Where() const override { return where_; }
  bool broker_runs() const override { return true; }

 private:
  Result<json> AwaitAnswer(const std::string& id) {
    auto deadline = steady_clock::now() + kAnswerTimeout;
    while (steady_clock::now() < deadline) {
      auto message = client_->Receive(std::chrono::milliseconds(1000));
      if (!message) return Error(message.error());
      if (!*message) continue;
      json answer = json::parse((*message)->payload, nullptr, false);
      if (!answer.is_object()) continue;
      if ((*message)->topic == "answer/" + client_id_ && answer.contains("error")) {
        const json& error = answer["error"];
        return Error(CodeNamed(error.value("code", "")).value_or(Code::kIoError),
                     error.value("message", "refused"));
      }
      if ((*message)->topic != kControlResponseTopic || !answer["responses"].is_array()) continue;
      for (const json& response : answer["responses"]) {
        if (response.is_object() && response.value("correlationData", json()) == id) {
          return DataOf(response);
        }
      }
    }
    return Error(Code::kUnavailable,
                 where_ + ": no answer within " + std::to_string(kAnswerTimeout.count()) + " s");
  }

  std::unique_ptr<MqttClient> client_;
  const std::string client_id_;
  const std::string where_;
  uint64_t last_id_ = 0;
};

Result<std::unique_ptr<ControlChannel>> EnterBroker(const Listener& listener,
                                                    const Credentials& credentials, Env* env) {
  uint64_t random = 0;
  env->Random(&random, sizeof random);
  MqttOptions options;
  options.host = listener.host;
  options.port = listener.port;
  options.client_id = "parleyctl-" + std::to_string(getpid()) + "-" + std::to_string(random);
  options.username = kControlUser;
  options.password = credentials.IssueToken(kControlUser, kTokenTtlS, true);
  auto client = MqttClient::Connect(options);
  if (!client) return Error(client.error());
  std::string where = listener.host + ":" + std::to_string(listener.port);
  return std::make_unique<BrokerChannel>(std::move(*client), options.client_id, std::move(where));
}

// True where it was written by who has the directory open. A broker that was killed leaves its own,
// and by now another program may listen there, to which no token must go.
bool WrittenByHolder(const std::string& listeners, const std::string& data_dir) {
  return listeners.starts_with("# " + std::to_string(LastHolder(data_dir)) + "\n");
}

// Each listener in turn: some may speak TLS or WebSockets.
Result<std::unique_ptr<ControlChannel>> EnterAnyBroker(const std::string& data_dir,
                                                       const Credentials& credentials, Env* env) {
  Status last(Code::kUnavailable, ListenersPath(data_dir) + " names no listener");
  Result<std::string> text = env->ReadFile(ListenersPath(data_dir));
  if (!text || !WrittenByHolder(*text, data_dir)) return Error(last);
  for (const Listener& listener : ParseListeners(*text)) {
    auto channel = EnterBroker(listener, credentials, env);
    if (channel) return channel;
    last = channel.error();
  }
  return Error(last);
}

}  // namespace

Result<std::unique_ptr<ControlChannel>> ControlChannel::Open(const std::string& data_dir, Env* env,
                                                             std::chrono::milliseconds patience) {
  auto deadline = steady_clock::now() + patience;
  std::optional<Credentials> credentials;
  for (;;) {
    auto directory = Directory::Open(data_dir, env);
    if (!directory && directory.error().code() != Code::kBusy) return Error(directory.error());
    if (!credentials) {
      Result<Credentials> loaded = Credentials::Load(data_dir, kPasswordMemoryKibDefault, env);
      if (!loaded) return Error(loaded.error());
      credentials = std::move(*loaded);
    }
    if (directory) {
      return std::make_unique<DirectoryChannel>(std::move(*directory), std::move(*credentials),
                                                data_dir, env);
    }
    auto broker = EnterAnyBroker(data_dir, *credentials, env);
    if (broker) return broker;
    if (steady_clock::now() >= deadline) {
      return Error(Code::kUnavailable, directory.error().message() +
                                           ", which can't be reached: " + broker.error().message());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

std::vector<Listener> ParseListeners(const std::string& text) {
  std::vector<Listener> listeners;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    size_t colon = line.rfind(':');
    if (colon == std::string::npos) continue;
    Listener listener{.host = line.substr(0, colon)};
    const char* end = line.data() + line.size();
    auto [stop, error] = std::from_chars(line.data() + colon + 1, end, listener.port);
    if (error != std::errc() || stop != end || listener.port == 0) continue;
    std::string& host = listener.host;
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    if (host.empty() || host == "*" || host == "0.0.0.0") host = "127.0.0.1";
    if (host == "::") host = "::1";
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

}  // namespace parley
