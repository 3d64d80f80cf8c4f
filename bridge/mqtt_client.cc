#include "bridge/mqtt_client.h"

#include <mqtt/async_client.h>
#include <sodium.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "bridge/mqtt_tls.h"
#include "bridge/no_delay.h"

namespace parley {
namespace {

// CONNACK of MQTT 3.1.1: bad user name or password, not authorized. SUBACK: failure.
constexpr int kConnackBadLogin = 4;
constexpr int kConnackNotAuthorized = 5;
constexpr int kSubackFailure = 0x80;

Status StatusOf(const mqtt::exception& error, const std::string& where) {
  int code = error.get_return_code();
  if (code == kConnackBadLogin || code == kConnackNotAuthorized) {
    return Status(Code::kDenied, where + ": the broker refused the login");
  }
  return Status(Code::kUnavailable, where + ": " + error.what());
}

}  // namespace

std::string MqttUri(const MqttOptions& options) {
  bool v6 = options.host.find(':') != std::string::npos;
  std::string host = v6 ? "[" + options.host + "]" : options.host;
  return (options.ca_file.empty() ? "tcp://" : "ssl://") + host + ":" +
         std::to_string(options.port);
}

std::string FreshClientId(const std::string& user) {
  char text[17];
  uint8_t random[8];
  randombytes_buf(random, sizeof random);
  sodium_bin2hex(text, sizeof text, random, sizeof random);
  return user + ":" + text;
}

struct MqttClient::Paho {
  explicit Paho(const MqttOptions& from)
      : options(from), uri(MqttUri(from)), client(uri, from.client_id) {
    connect.set_mqtt_version(MQTTVERSION_3_1_1);
    connect.set_clean_session(true);
    connect.set_user_name(from.username);
    connect.set_password(from.password);
    connect.set_keep_alive_interval(30);
    connect.set_connect_timeout(from.timeout);
    if (!from.ca_file.empty()) connect.set_ssl(TrustIn(from.ca_file));
    client.set_connection_lost_handler([this](const std::string&) {
      std::lock_guard lock(mutex);
      lost = true;
      changed.notify_all();
    });
    client.set_message_callback([this](const mqtt::const_message_ptr& message) {
      std::lock_guard lock(mutex);
      messages.push_back({message->get_topic(), message->to_string()});
      changed.notify_all();
    });
  }

  // The outcome of an operation that paho has begun.
  Status Await(const mqtt::token_ptr& token) {
    if (token->wait_for(options.timeout)) return Status();
    return Status(Code::kUnavailable,
                  uri + ": no answer within " + std::to_string(options.timeout.count()) + " ms");
  }

  const MqttOptions options;
  const std::string uri;
  mqtt::connect_options connect;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<MqttMessage> messages;
  bool lost = false;

  mqtt::async_client client;  // last: its threads use all of the above
};

MqttClient::MqttClient(std::unique_ptr<Paho> paho) : paho_(std::move(paho)) {}

Result<std::unique_ptr<MqttClient>> MqttClient::Connect(const MqttOptions& options) {
  std::string where = MqttUri(options);
  try {
    auto paho = std::make_unique<Paho>(options);
    Status status = paho->Await(paho->client.connect(paho->connect));
    if (!status.ok()) return Error(status);
    SetNoDelay(options.port);
    return std::unique_ptr<MqttClient>(new MqttClient(std::move(paho)));
  } catch (const mqtt::exception& error) {
    return Error(StatusOf(error, where));
  }
}

MqttClient::~MqttClient() {
  try {
    if (paho_->client.is_connected()) paho_->client.disconnect()->wait_for(paho_->options.timeout);
  } catch (const mqtt::exception&) {
    // It is closed either way.
  }
}

Status MqttClient::Publish(const std::string& topic, const std::string& payload) {
  try {
    return paho_->Await(paho_->client.publish(topic, payload.data(), payload.size(), 1, false));
  } catch (const mqtt::exception& error) {
    return StatusOf(error, paho_->uri);
  }
}

Status MqttClient::Subscribe(const std::string& filter) {
  try {
    return paho_->Await(paho_->client.subscribe(filter, 1));
  } catch (const mqtt::exception& error) {
    if (error.get_return_code() != kSubackFailure) return StatusOf(error, paho_->uri);
    return Status(Code::kDenied, paho_->uri + ": the broker refused the subscription " + filter);
  }
}

Result<std::optional<MqttMessage>> MqttClient::Receive(std::chrono::milliseconds timeout) {
  std::unique_lock lock(paho_->mutex);
  paho_->changed.wait_for(lock, timeout,
                          [this] { return !paho_->messages.empty() || paho_->lost; });
  if (!paho_->messages.empty()) {
    MqttMessage message = std::move(paho_->messages.front());
    paho_->messages.pop_front();
    return message;
  }
  if (paho_->lost) return Error(Code::kUnavailable, paho_->uri + ": the connection is lost");
  return std::nullopt;
}

}  // namespace parley
