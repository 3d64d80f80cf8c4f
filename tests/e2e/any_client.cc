#include "tests/e2e/any_client.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "tests/e2e/any_client_process.h"
#include "tests/e2e/broker.h"
#include "tests/e2e/mqtt_client.h"
#include "tests/e2e/paho_device.h"

namespace parley::e2e {

namespace {

using Json = nlohmann::json;

std::string ClientId(const AnyClientOptions& options) { return options.user + ":phone"; }

// What has arrived and was not asked for yet.
class Arrivals {
 public:
  void Add(std::string topic, std::string payload) {
    messages_.emplace_back(std::move(topic), std::move(payload));
  }
  std::optional<std::string> Take(const std::string& topic) {
    const auto found = std::find_if(messages_.begin(), messages_.end(),
                                    [&](const auto& message) { return message.first == topic; });
    if (found == messages_.end()) return std::nullopt;
    std::string payload = std::move(found->second);
    messages_.erase(found);
    return payload;
  }

 private:
  std::deque<std::pair<std::string, std::string>> messages_;
};

class MosquittoToolsClient : public AnyClient {
 public:
  explicit MosquittoToolsClient(const AnyClientOptions& options) : options_(options) {}

  void Open() override {
    // -d tells when it is subscribed; stdbuf has it tell at once.
    std::vector<std::string> command = {"stdbuf", "-oL"};
    Append(&command, Tool("mosquitto_sub", ClientId(options_)));
    Append(&command, {"-d", "-F", kMark + "%t %p", "-t", "chat/" + options_.user, "-t",
                      "receipt/" + options_.user});
    listener_.emplace(command);
    while (listener_->ReadLine().rfind("Subscribed (", 0) != 0) {
    }
  }

  void Close() override { listener_.reset(); }

  void Publish(const std::string& topic, const std::string& payload) override {
    PublishAs(options_.user + ":pub", topic, payload);
  }

  // By the device's own client id, which one program at a time can have.
  void Confirm(const std::string& receipt) override {
    const bool open = listener_.has_value();
    Close();
    PublishAs(ClientId(options_), "receipt/" + options_.user, receipt);
    if (open) Open();
  }

  std::string Next(const std::string& topic) override {
    for (;;) {
      if (auto payload = arrivals_.Take(topic)) return *payload;
      const std::string line = listener_->ReadLine();
      if (line.rfind(kMark, 0) != 0) continue;
      const size_t space = line.find(' ', kMark.size());
      arrivals_.Add(line.substr(kMark.size(), space - kMark.size()), line.substr(space + 1));
    }
  }

  std::string Request(const std::string& topic, const std::string& payload) override {
    const std::string id = options_.user + ":rr";
    std::vector<std::string> command = Tool("mosquitto_rr", id);
    Append(&command, {"-W", "20", "-t", topic, "-e", "answer/" + id, "-m", payload});
    std::string answer = Done(command);
    if (!answer.empty() && answer.back() == '\n') answer.pop_back();
    return answer;
  }

 private:
  static inline const std::string kMark = ">>> ";

  static void Append(std::vector<std::string>* command, const std::vector<std::string>& more) {
    command->insert(command->end(), more.begin(), more.end());
  }

  std::vector<std::string> Tool(const std::string& name, const std::string& id) const {
    std::vector<std::string> command = {name,
                                        "-h",
                                        "127.0.0.1",
                                        "-p",
                                        std::to_string(options_.port),
                                        "-u",
                                        options_.user,
                                        "-P",
                                        options_.password,
                                        "-i",
                                        id,
                                        "-q",
                                        "1",
                                        "-V",
                                        options_.version == 5 ? "mqttv5" : "mqttv311"};
    if (!options_.ca_file.empty()) Append(&command, {"--cafile", options_.ca_file});
    return command;
  }

  void PublishAs(const std::string& id, const std::string& topic, const std::string& payload) {
    std::vector<std::string> command = Tool("mosquitto_pub", id);
    Append(&command, {"-t", topic, "-m", payload});
    Done(command);
  }

  static std::string Done(const std::vector<std::string>& command) {
    const CommandResult result = RunCommand(command);
    if (result.exit_code == 0) return result.out;
    throw MqttError(command[0] + " ended with " + std::to_string(result.exit_code) + ": " +
                    result.out + result.err);
  }

  const AnyClientOptions options_;
  std::optional<LineProcess> listener_;
  Arrivals arrivals_;
};

class PahoClient : public AnyClient {
 public:
  explicit PahoClient(const AnyClientOptions& options) : options_(options) {}

  void Open() override {
    device_.emplace(PahoOptions{.port = options_.port,
                                .user = options_.user,
                                .password = options_.password,
                                .client_id = ClientId(options_),
                                .version = options_.version,
                                .ca_file = options_.ca_file,
                                .websockets = options_.websockets});
    device_->Login();
    device_->Subscribe(device_->inbox());
    device_->Subscribe("receipt/" + options_.user);
  }
  void Close() override {
    device_->Disconnect();
    device_.reset();
  }
  void Publish(const std::string& topic, const std::string& payload) override {
    device_->Publish(topic, payload);
    device_->Flush();
  }
  void Confirm(const std::string& receipt) override {
    Publish("receipt/" + options_.user, receipt);
  }
  std::string Next(const std::string& topic) override { return device_->Next(topic).payload; }
  std::string Request(const std::string& topic, const std::string& payload) override {
    Publish(topic, payload);
    return Next(device_->answers());
  }

 private:
  const AnyClientOptions options_;
  std::optional<PahoDevice> device_;
};

class MqttJsClient : public AnyClient {
 public:
  explicit MqttJsClient(const AnyClientOptions& options) : options_(options) {
    if (!std::filesystem::exists(PARLEY_E2E_JS "/node_modules/mqtt")) {
      throw MqttError("MQTT.js is not there: run `npm ci --prefix " PARLEY_E2E_JS "`");
    }
    node_.emplace(std::vector<std::string>{"node", PARLEY_E2E_JS "/device.js"});
  }

  void Open() override {
    Do({{"do", "open"},
        {"port", options_.port},
        {"user", options_.user},
        {"password", options_.password},
        {"clientId", ClientId(options_)},
        {"version", options_.version}});
    Do({{"do", "subscribe"}, {"topic", "chat/" + options_.user}});
    Do({{"do", "subscribe"}, {"topic", "receipt/" + options_.user}});
  }
  void Close() override { Do({{"do", "close"}}); }
  void Publish(const std::string& topic, const std::string& payload) override {
    Do({{"do", "publish"}, {"topic", topic}, {"payload", payload}});
  }
  void Confirm(const std::string& receipt) override {
    Publish("receipt/" + options_.user, receipt);
  }
  std::string Next(const std::string& topic) override {
    for (;;) {
      if (auto payload = arrivals_.Take(topic)) return *payload;
      TakeLine();
    }
  }
  std::string Request(const std::string& topic, const std::string& payload) override {
    Publish(topic, payload);
    return Next("answer/" + ClientId(options_));
  }

 private:
  void Do(const Json& command) {
    node_->Write(command.dump());
    while (!TakeLine()) {
    }
  }

  // True for the end of a command.
  bool TakeLine() {
    const Json line = Json::parse(node_->ReadLine());
    if (line.contains("failed")) throw MqttError("MQTT.js: " + line["failed"].get<std::string>());
    if (line.contains("done")) return true;
    arrivals_.Add(line["topic"].get<std::string>(), line["payload"].get<std::string>());
    return false;
  }

  const AnyClientOptions options_;
  std::optional<LineProcess> node_;
  Arrivals arrivals_;
};

}  // namespace

std::unique_ptr<AnyClient> MosquittoTools(const AnyClientOptions& options) {
  return std::make_unique<MosquittoToolsClient>(options);
}

std::unique_ptr<AnyClient> Paho(const AnyClientOptions& options) {
  return std::make_unique<PahoClient>(options);
}

std::unique_ptr<AnyClient> MqttJs(const AnyClientOptions& options) {
  return std::make_unique<MqttJsClient>(options);
}

}  // namespace parley::e2e
