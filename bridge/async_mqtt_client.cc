#include "bridge/async_mqtt_client.h"

#include <mqtt/async_client.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "bridge/mqtt_tls.h"
#include "bridge/no_delay.h"

namespace parley {
namespace {

// CONNACK of MQTT 5: bad user name or password, not authorized.
constexpr int kConnackBadLogin = 0x86;
constexpr int kConnackNotAuthorized = 0x87;

bool RefusedLogin(const mqtt::exception& error) {
  for (int code : {error.get_return_code(), static_cast<int>(error.get_reason_code())}) {
    if (code == kConnackBadLogin || code == kConnackNotAuthorized) return true;
  }
  return false;
}

}  // namespace

struct AsyncMqttClient::Paho {
  Paho(const MqttOptions& from, Events to)
      : options(from),
        events(std::move(to)),
        uri(MqttUri(from)),
        answers("answer/" + from.client_id + "/"),
        client(uri, from.client_id, Creation()) {
    connect.set_mqtt_version(MQTTVERSION_5);
    connect.set_clean_start(true);
    connect.set_user_name(options.username);
    connect.set_password(options.password);
    connect.set_keep_alive_interval(30);
    connect.set_connect_timeout(options.timeout);
    if (!options.ca_file.empty()) connect.set_ssl(TrustIn(options.ca_file));
    client.set_connection_lost_handler([this](const std::string&) { Wake(&lost); });
    client.set_disconnected_handler(
        [this](const mqtt::properties&, mqtt::ReasonCode) { Wake(&lost); });
    client.set_message_callback([this](const mqtt::const_message_ptr& message) {
      events.message({message->get_topic(), message->to_string()});
    });
    keeper = std::jthread([this] { Keep(); });
  }

  ~Paho() {
    Wake(&stop);
    keeper.join();
    Disconnect();
  }

  static mqtt::create_options Creation() {
    mqtt::create_options creation(MQTTVERSION_5);
    creation.set_max_buffered_messages(kUnsentMax);
    return creation;
  }

  void Wake(bool* what) {
    std::lock_guard lock(mutex);
    *what = true;
    changed.notify_all();
  }

  // The keeper's thread: connects, waits for the loss, and again.
  void Keep() {
    auto retry = kRetryFirst;
    for (;;) {
      Status status = Connect();
      if (status.ok()) {
        retry = kRetryFirst;
        events.connected();
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return lost || stop; });
        if (stop) return;
        status = {Code::kUnavailable, uri + ": the connection is lost"};
      }
      events.lost(status);
      std::unique_lock lock(mutex);
      if (changed.wait_for(lock, retry, [this] { return stop; })) return;
      retry = std::min(retry * 2, kRetryMax);
    }
  }

  Status Connect() {
    try {
      {
        std::lock_guard lock(mutex);
        lost = false;
      }
      if (!client.connect(connect)->wait_for(options.timeout)) return TimedOut();
      SetNoDelay(options.port);
      if (!client.subscribe(answers + "#", 0)->wait_for(options.timeout)) return TimedOut();
      return {};
    } catch (const mqtt::exception& error) {
      if (RefusedLogin(error)) return {Code::kDenied, uri + ": the broker refused the login"};
      return {Code::kUnavailable, uri + ": " + error.what()};
    }
  }

  Status TimedOut() {
    Disconnect();
    return {Code::kUnavailable, uri + ": no answer"};
  }

  void Disconnect() {
    try {
      if (client.is_connected()) client.disconnect()->wait_for(options.timeout);
    } catch (const mqtt::exception&) {
      // It is closed either way.
    }
  }

  const MqttOptions options;
  const Events events;
  const std::string uri;
  const std::string answers;
  mqtt::connect_options connect;

  std::mutex mutex;
  std::condition_variable changed;
  bool lost = false;
  bool stop = false;

  mqtt::async_client client;  // its threads use all of the above
  std::jthread keeper;
};

AsyncMqttClient::AsyncMqttClient(const MqttOptions& options, Events events)
    : paho_(std::make_unique<Paho>(options, std::move(events))) {}

AsyncMqttClient::~AsyncMqttClient() = default;

Status AsyncMqttClient::Publish(const std::string& topic, const std::string& payload,
                                const std::string& answer_to) {
  try {
    mqtt::properties properties;
    properties.add({mqtt::property::RESPONSE_TOPIC, paho_->answers + answer_to});
    paho_->client.publish(
        std::make_shared<mqtt::message>(topic, payload, 0, false, std::move(properties)));
    return {};
  } catch (const mqtt::exception& error) {
    bool full = error.get_return_code() == MQTTASYNC_MAX_BUFFERED_MESSAGES;
    if (full) return {Code::kBusy, "too much waits for the broker; try again"};
    return {Code::kUnavailable, "the broker can't be reached now; try again"};
  }
}

}  // namespace parley
