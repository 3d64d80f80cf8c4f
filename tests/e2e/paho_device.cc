#include "tests/e2e/paho_device.h"

#include <mqtt/async_client.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace parley::e2e {

namespace {

mqtt::create_options CreateOptions(int version) {
  constexpr int kBufferedMax = 100'000;  // messages; 100 otherwise
  return {version == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1, kBufferedMax};
}

std::string Address(const PahoOptions& options) {
  const bool tls = !options.ca_file.empty();
  const std::string scheme = options.websockets ? (tls ? "wss" : "ws") : (tls ? "ssl" : "tcp");
  return scheme + "://127.0.0.1:" + std::to_string(options.port);
}

mqtt::connect_options ConnectOptions(const PahoOptions& from) {
  mqtt::connect_options connect;
  if (from.version == 5) {
    connect.set_mqtt_version(MQTTVERSION_5);
    connect.set_clean_start(true);
  } else {
    connect.set_mqtt_version(MQTTVERSION_3_1_1);
    connect.set_clean_session(true);
  }
  connect.set_user_name(from.user);
  connect.set_password(from.password);
  connect.set_keep_alive_interval(60);
  connect.set_connect_timeout(kDeadline);
  if (!from.ca_file.empty()) {
    mqtt::ssl_options tls;
    tls.set_trust_store(from.ca_file);
    tls.set_verify(true);  // the name, too
    connect.set_ssl(tls);
  }
  return connect;
}

}  // namespace

struct PahoDevice::Paho {
  explicit Paho(PahoOptions from)
      : options(std::move(from)),
        connect(ConnectOptions(options)),
        client(Address(options), options.client_id, CreateOptions(options.version)) {
    client.set_connection_lost_handler([this](const std::string&) {
      const std::lock_guard lock(mutex);
      lost = true;
      changed.notify_all();
    });
    // MQTT 5: the server has said so before it closed.
    client.set_disconnected_handler([this](const mqtt::properties&, mqtt::ReasonCode) {
      const std::lock_guard lock(mutex);
      lost = true;
      changed.notify_all();
    });
    client.set_message_callback([this](const mqtt::const_message_ptr& message) {
      const std::lock_guard lock(mutex);
      MqttMessage& kept = inbox.emplace_back();
      kept.topic = message->get_topic();
      kept.payload = message->to_string();
      kept.qos = message->get_qos();
      changed.notify_all();
    });
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw MqttError(options.client_id + ": " + what);
  }

  // The outcome of something that paho has begun. It may have forgotten it where the connection was
  // lost meanwhile.
  void Await(const mqtt::token_ptr& token, const std::string& what) {
    const Clock::time_point deadline = Clock::now() + kDeadline;
    try {
      while (!token->wait_for(std::chrono::milliseconds(100))) {
        const std::lock_guard lock(mutex);
        if (lost) Fail(what + ": the connection is lost");
        if (Clock::now() > deadline) Fail(what + ": nothing by the deadline");
      }
    } catch (const mqtt::exception& error) {
      Fail(what + ": " + error.what());
    }
  }

  // The first message that `wanted` accepts.
  template <typename Wanted>
  MqttMessage Await(const Wanted& wanted, const std::string& what, Clock::duration timeout) {
    std::unique_lock lock(mutex);
    auto found = inbox.end();
    const bool came = changed.wait_for(lock, timeout, [&] {
      found = std::find_if(inbox.begin(), inbox.end(), wanted);
      return found != inbox.end() || lost;
    });
    if (found == inbox.end()) {
      Fail("no " + what + (came ? ": the connection is lost" : " by the deadline"));
    }
    MqttMessage message = std::move(*found);
    inbox.erase(found);
    return message;
  }

  const PahoOptions options;
  const mqtt::connect_options connect;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<MqttMessage> inbox;
  bool lost = false;

  // The using thread's.
  mqtt::token_ptr connecting;
  std::vector<mqtt::token_ptr> subscribing;
  std::vector<mqtt::delivery_token_ptr> publishing;
  uint64_t last_rid = 0;

  mqtt::async_client client;  // last: its threads use what is above
};

PahoDevice::PahoDevice(PahoOptions options) : paho_(std::make_unique<Paho>(std::move(options))) {}

PahoDevice::PahoDevice(PahoDevice&&) noexcept = default;
PahoDevice& PahoDevice::operator=(PahoDevice&&) noexcept = default;

PahoDevice::~PahoDevice() {
  if (paho_ == nullptr) return;
  try {
    if (paho_->client.is_connected()) paho_->client.disconnect()->wait_for(kDeadline);
  } catch (const mqtt::exception&) {
    // It is closed either way.
  }
}

const PahoOptions& PahoDevice::options() const { return paho_->options; }

void PahoDevice::StartLogin() {
  {
    const std::lock_guard lock(paho_->mutex);
    paho_->lost = false;
  }
  paho_->publishing.clear();
  try {
    paho_->connecting = paho_->client.connect(paho_->connect);
  } catch (const mqtt::exception& error) {
    paho_->Fail(std::string("connect: ") + error.what());
  }
}

void PahoDevice::AwaitLogin() { paho_->Await(paho_->connecting, "connect"); }

void PahoDevice::StartSubscribe(const std::string& topic) {
  paho_->subscribing.push_back(paho_->client.subscribe(topic, 1));
}

void PahoDevice::AwaitSubscribed() {
  for (const mqtt::token_ptr& token : std::exchange(paho_->subscribing, {})) {
    paho_->Await(token, "subscribe");
    if (token->get_reason_code() >= 0x80) paho_->Fail("a subscription is refused");
  }
}

void PahoDevice::Publish(const std::string& topic, const std::string& payload) {
  paho_->publishing.push_back(
      paho_->client.publish(topic, payload.data(), payload.size(), 1, false));
}

void PahoDevice::Flush() {
  for (const auto& token : std::exchange(paho_->publishing, {})) paho_->Await(token, "publish");
}

std::vector<MqttMessage> PahoDevice::Take(const std::string& topic) {
  const std::lock_guard lock(paho_->mutex);
  std::vector<MqttMessage> taken;
  std::deque<MqttMessage> rest;
  for (MqttMessage& message : paho_->inbox) {
    if (message.topic == topic) {
      taken.push_back(std::move(message));
    } else {
      rest.push_back(std::move(message));
    }
  }
  paho_->inbox = std::move(rest);
  return taken;
}

MqttMessage PahoDevice::Next(const std::string& topic, Clock::duration timeout) {
  return paho_->Await([&](const MqttMessage& message) { return message.topic == topic; },
                      "message on " + topic, timeout);
}

bool PahoDevice::AwaitArrival(Clock::duration timeout) {
  std::unique_lock lock(paho_->mutex);
  paho_->changed.wait_for(lock, timeout, [&] { return !paho_->inbox.empty() || paho_->lost; });
  return !paho_->lost;
}

std::string PahoDevice::StartAsk(const std::string& method, const std::string& members) {
  const std::string rid = std::to_string(++paho_->last_rid);
  Publish("ask/" + method,
          R"({"rid":")" + rid + '"' + (members.empty() ? "" : ",") + members + "}");
  return rid;
}

std::string PahoDevice::AwaitAnswer(const std::string& rid) {
  const std::string head = R"({"rid":")" + rid + "\",";
  const std::string topic = answers();
  return paho_
      ->Await(
          [&](const MqttMessage& message) {
            return message.topic == topic && message.payload.rfind(head, 0) == 0;
          },
          "answer to rid " + rid, kDeadline)
      .payload;
}

void PahoDevice::Disconnect() { paho_->Await(paho_->client.disconnect(), "disconnect"); }

void PahoDevice::AwaitLost() {
  std::unique_lock lock(paho_->mutex);
  if (!paho_->changed.wait_for(lock, kDeadline, [this] { return paho_->lost; })) {
    paho_->Fail("still connected at the deadline");
  }
}

}  // namespace parley::e2e
