#include "tests/check/link.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>

namespace parley::check {

namespace {

constexpr int kKeepAliveS = 60;
constexpr std::chrono::seconds kKeepAliveEvery{1};

// Once for the process.
void StartLibrary() {
  static const int started = mosquitto_lib_init();
  if (started != MOSQ_ERR_SUCCESS) throw std::runtime_error("libmosquitto doesn't start");
}

::mosquitto* NewClient(const LinkOptions& options, void* self) {
  StartLibrary();
  ::mosquitto* client = mosquitto_new(options.client_id.c_str(), options.clean, self);
  if (client == nullptr) throw std::runtime_error("no client '" + options.client_id + "'");
  return client;
}

}  // namespace

struct Link::Callbacks {
  static LinkEvents* EventsOf(void* self) { return static_cast<Link*>(self)->events_; }

  static void Connected(::mosquitto*, void* self, int code, int flags) {
    if (code == 0) EventsOf(self)->OnConnected((flags & 1) != 0);
  }
  static void Closed(::mosquitto*, void* self, int) { EventsOf(self)->OnClosed(); }
  static void Granted(::mosquitto*, void* self, int packet, int, const int* granted) {
    EventsOf(self)->OnGranted(packet, granted[0]);
  }
  static void Acked(::mosquitto*, void* self, int packet) { EventsOf(self)->OnAcked(packet); }
  static void Came(::mosquitto*, void* self, const mosquitto_message* message) {
    const auto size = static_cast<size_t>(message->payloadlen);
    EventsOf(self)->OnMessage(message->topic,
                              std::string_view(static_cast<const char*>(message->payload), size));
  }
};

Link::Link(LinkOptions options, LinkEvents* events)
    : options_(std::move(options)), events_(events), client_(NewClient(options_, this)) {
  mosquitto_connect_with_flags_callback_set(client_, &Callbacks::Connected);
  mosquitto_disconnect_callback_set(client_, &Callbacks::Closed);
  mosquitto_subscribe_callback_set(client_, &Callbacks::Granted);
  mosquitto_publish_callback_set(client_, &Callbacks::Acked);
  mosquitto_message_callback_set(client_, &Callbacks::Came);
  mosquitto_int_option(client_, MOSQ_OPT_PROTOCOL_VERSION,
                       options_.v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
  mosquitto_int_option(client_, MOSQ_OPT_SEND_MAXIMUM, 65535);
  mosquitto_int_option(client_, MOSQ_OPT_RECEIVE_MAXIMUM, 65535);
  mosquitto_username_pw_set(client_, options_.user.c_str(), options_.password.c_str());
  const std::string& authorities = options_.address.ca_file;
  if (!authorities.empty() && mosquitto_tls_set(client_, authorities.c_str(), nullptr, nullptr,
                                                nullptr, nullptr) != MOSQ_ERR_SUCCESS) {
    throw std::runtime_error("can't read " + authorities);
  }
}

Link::~Link() { mosquitto_destroy(client_); }

void Link::Open() {
  const int result = opened_ ? mosquitto_reconnect_async(client_)
                             : mosquitto_connect_async(client_, options_.address.host.c_str(),
                                                       options_.address.port, kKeepAliveS);
  opened_ = true;
  if (result != MOSQ_ERR_SUCCESS) events_->OnClosed();
}

int Link::Subscribe(const std::string& topic, int qos) {
  int packet = -1;
  return mosquitto_subscribe(client_, &packet, topic.c_str(), qos) == MOSQ_ERR_SUCCESS ? packet
                                                                                       : -1;
}

int Link::Publish(const std::string& topic, std::string_view payload, int qos) {
  int packet = -1;
  const int result =
      mosquitto_publish(client_, &packet, topic.c_str(), static_cast<int>(payload.size()),
                        payload.data(), qos, false);
  return result == MOSQ_ERR_SUCCESS || qos > 0 ? packet : -1;
}

void Link::Disconnect() { mosquitto_disconnect(client_); }

void Link::Cut() {
  if (fd() >= 0) shutdown(fd(), SHUT_RDWR);
}

int Link::fd() const { return mosquitto_socket(client_); }

bool Link::wants_write() const { return mosquitto_want_write(client_); }

void Link::Ready(bool readable, bool writable) {
  if (writable && fd() >= 0) mosquitto_loop_write(client_, 1);
  if (readable && fd() >= 0) mosquitto_loop_read(client_, 1);
}

void Link::KeepAlive(Clock::time_point now) {
  if (now - kept_alive_ <= kKeepAliveEvery) return;
  kept_alive_ = now;
  if (fd() >= 0) mosquitto_loop_misc(client_);
}

void Links::Turn(const std::vector<Link*>& links, Clock::time_point deadline) {
  std::vector<pollfd> sockets;
  std::vector<Link*> polled;
  const Clock::time_point now = Clock::now();
  for (Link* link : links) {
    link->KeepAlive(now);
    if (link->fd() < 0) continue;
    const auto events = static_cast<short>(link->wants_write() ? POLLIN | POLLOUT : POLLIN);
    sockets.push_back({link->fd(), events, 0});
    polled.push_back(link);
  }
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (poll(sockets.data(), sockets.size(), static_cast<int>(std::max<int64_t>(left, 0))) <= 0) {
    return;
  }
  for (size_t n = 0; n < sockets.size(); ++n) {
    const short ready = sockets[n].revents;
    if (ready == 0) continue;
    polled[n]->Ready((ready & (POLLIN | POLLHUP | POLLERR)) != 0, (ready & POLLOUT) != 0);
  }
}

}  // namespace parley::check
