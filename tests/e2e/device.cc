#include "tests/e2e/device.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

namespace parley::e2e {

namespace {

constexpr std::array<const char*, 4> kPreparedNames = {"alice", "bob", "carol", "mallory"};

// A payload as JSON, or null if it is none.
Json Parsed(const std::string& payload) { return Json::parse(payload, nullptr, false); }

bool Has(const Json& object, const char* member, const Json& value) {
  return object.is_object() && object.contains(member) && object[member] == value;
}

}  // namespace

Device::Device(uint16_t port, std::string user, std::string password, DeviceOptions options)
    : MqttClient(port),
      user_(std::move(user)),
      password_(std::move(password)),
      options_(std::move(options)) {}

MqttConnect Device::ConnectOptions() const {
  MqttConnect connect;
  connect.client_id = user_ + ":" + options_.name;
  connect.user = user_;
  connect.password = password_;
  connect.version = options_.version;
  connect.clean = options_.clean;
  connect.session_expiry_s = options_.session_expiry_s;
  connect.will = options_.will;
  connect.source_address = options_.source_address;
  return connect;
}

void Device::Login() {
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (!TryLogin()) {
    if (Clock::now() > deadline) throw MqttError(user_ + " can't log in");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

bool Device::TryLogin() {
  if (Connect(ConnectOptions()) != 0) return false;
  try {
    AskText("sync", {{"limit", 1}});
  } catch (const MqttError&) {
    if (connected()) throw;
    return false;
  }
  return true;
}

void Device::Listen() {
  ListenTo(inbox());
  ListenTo("receipt/" + user_);
}

void Device::ListenTo(const std::string& topic) {
  const int granted = Subscribe(topic, options_.qos);
  if (granted != options_.qos) {
    throw MqttError(user_ + " can't subscribe to " + topic + ": " + std::to_string(granted));
  }
}

Json Device::Say(const std::string& peer, const Json& body) {
  const std::string id = FreshId();
  const std::string got = Send(peer, Json{{"id", id}, {"body", body}}.dump(), id);
  Json copy = Json::parse(got);
  if (!copy.contains("seq")) throw MqttError(user_ + " can't write to " + peer + ": " + got);
  return copy;
}

std::string Device::Send(const std::string& peer, std::string_view payload, const std::string& id,
                         const MqttPublish& options) {
  Publish("chat/" + peer, payload, options);
  const auto outcome = [&](const MqttMessage& message) {
    const Json object = Parsed(message.payload);
    if (message.topic == answers()) return object.is_object() && !object.contains("rid");
    return message.topic == inbox() && Has(object, "from", user_) &&
           (id.empty() || Has(object, "id", id));
  };
  return NextWhere(outcome, "outcome of a message to " + peer).payload;
}

Json Device::SayIn(const std::string& group, const Json& body) {
  const std::string id = FreshId();
  const std::string got = SendIn(group, Json{{"id", id}, {"body", body}}.dump(), id);
  Json outcome = Json::parse(got);
  if (!outcome.contains("gseq")) throw MqttError(user_ + " can't write in " + group + ": " + got);
  return outcome;
}

std::string Device::SendIn(const std::string& group, std::string_view payload,
                           const std::string& id, const MqttPublish& options) {
  const std::string topic = "group/" + group;
  Publish(topic, payload, options);
  const auto outcome = [&](const MqttMessage& message) {
    const Json object = Parsed(message.payload);
    if (message.topic == answers()) return Has(object, "topic", topic);
    return (message.topic == topic || message.topic == inbox()) && Has(object, "group", group) &&
           Has(object, "from", user_) && (id.empty() || Has(object, "id", id));
  };
  return NextWhere(outcome, "outcome of a message to group " + group).payload;
}

std::string Device::ReceiveTextIn(const std::string& group) {
  const auto in = [&](const MqttMessage& message) {
    return (message.topic == inbox() || message.topic == "group/" + group) &&
           Has(Parsed(message.payload), "group", group);
  };
  return NextWhere(in, "message in group " + group).payload;
}

Json Device::ReceiveIn(const std::string& group) {
  for (;;) {
    Json message = Json::parse(ReceiveTextIn(group));
    if (message["type"] != "system") return message;
  }
}

Json Device::AwaitEvent(const std::string& group, const std::string& event) {
  const auto tells = [&](const MqttMessage& message) {
    const Json object = Parsed(message.payload);
    return Has(object, "group", group) && Has(object, "type", "system") &&
           Has(object.value("body", Json()), "event", event);
  };
  return Json::parse(NextWhere(tells, "'" + event + "' in group " + group).payload);
}

std::string Device::ReceiveText() { return Next(inbox()).payload; }

Json Device::ReceiveFrom(const std::string& sender) {
  const auto from = [&](const MqttMessage& message) {
    return message.topic == inbox() && Has(Parsed(message.payload), "from", sender);
  };
  return Json::parse(NextWhere(from, "message from " + sender).payload);
}

std::string Device::StartAsk(const std::string& method, Json members) {
  const std::string rid = FreshId();
  members["rid"] = rid;
  Publish("ask/" + method, members.dump());
  return rid;
}

std::string Device::AwaitAnswer(const std::string& rid) {
  const auto answer = [&](const MqttMessage& message) {
    return message.topic == answers() && Has(Parsed(message.payload), "rid", rid);
  };
  return NextWhere(answer, "answer to rid " + rid).payload;
}

std::string Device::AskText(const std::string& method, Json members) {
  return AwaitAnswer(StartAsk(method, std::move(members)));
}

Json Device::Ask(const std::string& method, Json members) {
  Json answer = Json::parse(AskText(method, std::move(members)));
  answer.erase("rid");
  return answer;
}

Json Device::AskDone(const std::string& method, Json members) {
  Json answer = Ask(method, std::move(members));
  if (!Has(answer, "ok", true)) throw MqttError(method + " failed: " + answer.dump());
  return answer;
}

Json Device::NextOutcome() {
  const auto outcome = [&](const MqttMessage& message) {
    const Json object = Parsed(message.payload);
    return message.topic == answers() && object.is_object() && !object.contains("rid");
  };
  return Json::parse(NextWhere(outcome, "outcome on " + answers()).payload);
}

Json Device::NextError() {
  Json outcome = NextOutcome();
  if (!Has(outcome, "ok", false)) throw MqttError("no error but " + outcome.dump());
  return outcome;
}

void Device::SendReceipt(const Json& receipt) { Publish("receipt/" + user_, receipt.dump()); }

Json Device::NextReceipt() { return Json::parse(Next("receipt/" + user_).payload); }

Json Device::AwaitReceipt(const std::string& by, const std::string& kind, uint64_t seq) {
  for (;;) {
    Json receipt = NextReceipt();
    if (Has(receipt, "by", by) && receipt.contains(kind) && receipt[kind].get<uint64_t>() >= seq) {
      return receipt;
    }
  }
}

std::vector<MqttMessage> Device::ArrivedByNow() {
  const std::string id = FreshId();
  Publish(inbox(), Json{{"id", id}, {"body", "marker"}}.dump());
  const auto marker = [&](const MqttMessage& message) {
    return (message.topic == inbox() || message.topic == answers()) &&
           Has(Parsed(message.payload), "id", id);
  };
  NextWhere(marker, "marker");
  return Arrived("#");
}

std::vector<MqttMessage> Device::ArrivedByAnswer() {
  AskText("sync", {{"limit", 1}});
  return Arrived("#");
}

std::string Device::FreshId() { return options_.name + "-" + std::to_string(++last_id_); }

bool GetsIn(uint16_t port, const MqttConnect& options) {
  MqttClient client(port);
  if (client.Connect(options) != 0) return false;
  client.Publish("ask/sync", R"({"rid":"in?","limit":1})");
  try {
    client.Next("answer/#");
  } catch (const MqttError&) {
    if (client.connected()) throw;
    return false;
  }
  return true;
}

ChatServer::ChatServer(BrokerConfig config, int count) : Broker(std::move(config)), count_(count) {
  std::vector<std::string> lines;
  for (const char* name : kPreparedNames) {
    for (int n = 1; n <= count_; ++n) {
      const std::string user = name + std::to_string(n);
      lines.push_back(user + "," + PasswordOf(user));
    }
  }
  ImportUsers(lines);
  Start();
}

std::string ChatServer::NewUser(const std::string& name) {
  const int n = ++taken_[name];
  std::string user = name + std::to_string(n);
  const bool prepared =
      std::find(kPreparedNames.begin(), kPreparedNames.end(), name) != kPreparedNames.end();
  if (!prepared || n > count_) AddUser(user, PasswordOf(user));
  return user;
}

Device ChatServer::Offline(const std::string& user, DeviceOptions options) const {
  return Device(port(), user, PasswordOf(user), std::move(options));
}

Device ChatServer::OpenDeaf(const std::string& user, DeviceOptions options) const {
  Device device = Offline(user, std::move(options));
  device.Login();
  return device;
}

Device ChatServer::Open(const std::string& user, DeviceOptions options) const {
  Device device = OpenDeaf(user, std::move(options));
  device.Listen();
  return device;
}

}  // namespace parley::e2e
