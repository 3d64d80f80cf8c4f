#include "bench/clients.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace parley::bench {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr size_t kConnectsAtOnce = 64;        // Mosquitto listens with a backlog of 100
constexpr size_t kConnectsPerAddress = 5000;  // of about 28,000 ports; those closed rest a minute
constexpr int64_t kConnectTimeoutNs = 30'000'000'000;

std::string Errno(const std::string& what) { return what + ": " + std::strerror(errno); }

// Loopback has as many source addresses as one likes: 127.0.0.1, 127.0.0.2, …
void BindSource(int fd, size_t index, const in_addr& target) {
  const uint32_t host = ntohl(target.s_addr);
  if (host >> 24 != 127 || index < kConnectsPerAddress) return;
  sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr = htonl(host + static_cast<uint32_t>(index / kConnectsPerAddress));
  const int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
    Die(Errno("bind to a loopback source address"));
  }
}

}  // namespace

void Die(const std::string& message) {
  std::fprintf(stderr, "parley_load: %s\n", message.c_str());
  std::exit(2);
}

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void ClientEvents::OnPuback(Client& /*client*/, uint8_t /*code*/) {}

void ClientEvents::OnSubscribed(Client& /*client*/, int64_t /*now_ns*/) {}

void ClientEvents::OnLost(Client& /*client*/, const std::string& why) { Die(why); }

Clients::Clients(const Endpoint& endpoint, ClientEvents* events)
    : endpoint_(endpoint), events_(events), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) Die(Errno("epoll_create1"));
  buffer_.resize(kBufferBytes);
}

Clients::~Clients() {
  std::string bye;
  AppendDisconnect(&bye);
  for (Client& client : clients_) {
    if (client.fd < 0) continue;
    [[maybe_unused]] const ssize_t sent = send(client.fd, bye.data(), bye.size(), MSG_NOSIGNAL);
    close(client.fd);
  }
  close(epoll_);
}

void Clients::Add(std::string user, std::string client_id, std::string password,
                  std::vector<std::string> filters) {
  Client& client = clients_.emplace_back();
  client.index = clients_.size() - 1;
  client.user = std::move(user);
  client.client_id = std::move(client_id);
  client.password = std::move(password);
  client.filters = std::move(filters);
}

void Clients::ConnectAll() {
  const int64_t deadline = NowNs() + kConnectTimeoutNs;
  size_t started = 0;
  int64_t last_progress = NowNs();
  while (subscribed_ < clients_.size()) {
    while (started < clients_.size() && started - subscribed_ < kConnectsAtOnce) {
      Connect(clients_[started++]);
    }
    const size_t before = subscribed_;
    Turn(std::max(deadline, last_progress + kConnectTimeoutNs));
    if (subscribed_ > before) last_progress = NowNs();
    if (NowNs() > last_progress + kConnectTimeoutNs) Die("the broker answers no CONNECT");
  }
}

void Clients::Connect(Client& client) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint_.port);
  if (inet_pton(AF_INET, endpoint_.host.c_str(), &address.sin_addr) != 1) {
    Die("--host takes an IPv4 address, not " + endpoint_.host);
  }
  client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (client.fd < 0) Die(Errno("socket"));
  BindSource(client.fd, client.index, address.sin_addr);
  const int on = 1;
  setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(client.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    const std::string where = endpoint_.host + ":" + std::to_string(endpoint_.port);
    return Lose(client, Errno("connect to " + where));
  }
  Watch(client, EPOLL_CTL_ADD);
  AppendConnect(&client.out, endpoint_.version, endpoint_.keep_alive_s, client.client_id,
                client.user, client.password, client.will);
  MarkDirty(client);
}

void Clients::Close(Client& client, bool cleanly) {
  if (cleanly) {
    AppendDisconnect(&client.out);
    [[maybe_unused]] const ssize_t sent =
        send(client.fd, client.out.data(), client.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  close(client.fd);  // epoll forgets it, too
  client.fd = -1;
  subscribed_ -= client.subscribed;
  client.subscribed = client.want_write = false;
  client.unacked = 0;
  client.in.clear();
  client.out.clear();
}

void Clients::Lose(Client& client, const std::string& why) {
  Close(client, false);
  events_->OnLost(client, why);
}

void Clients::Watch(Client& client, int operation) {
  epoll_event event{};
  event.events = client.want_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &client;
  if (epoll_ctl(epoll_, operation, client.fd, &event) != 0) Die(Errno("epoll_ctl"));
}

void Clients::MarkDirty(Client& client) {
  if (client.dirty || client.want_write) return;
  client.dirty = true;
  dirty_.push_back(&client);
}

void Clients::Publish(Client& client, std::string_view topic, std::string_view payload) {
  if (endpoint_.qos > 0) {
    if (++client.last_packet_id == 0) client.last_packet_id = 1;
    ++client.unacked;
  }
  AppendPublish(&client.out, endpoint_.version, topic, payload, endpoint_.qos,
                client.last_packet_id);
  MarkDirty(client);
}

void Clients::Ping(Client& client) {
  AppendPingreq(&client.out);
  MarkDirty(client);
}

void Clients::Turn(int64_t until_ns) {
  Flush();
  std::array<epoll_event, 256> events;
  const int64_t wait = std::max<int64_t>(0, until_ns - NowNs());
  const timespec timeout = {wait / 1'000'000'000, wait % 1'000'000'000};
  const int n = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
  if (n < 0 && errno != EINTR) Die(Errno("epoll_pwait2"));
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    Client& client = *static_cast<Client*>(event.data.ptr);
    if (event.events & EPOLLOUT) Write(client);
    if (event.events & ~static_cast<uint32_t>(EPOLLOUT)) Read(client);
  }
  Flush();
}

void Clients::Flush() {
  for (size_t i = 0; i < dirty_.size(); ++i) {
    dirty_[i]->dirty = false;
    Write(*dirty_[i]);
  }
  dirty_.clear();
}

void Clients::Write(Client& client) {
  if (client.fd < 0) return;
  if (!client.out.empty()) {
    const ssize_t n =
        send(client.fd, client.out.data(), client.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return Lose(client, Errno("write of " + client.client_id));
    if (n > 0) client.out.erase(0, static_cast<size_t>(n));
  }
  const bool want_write = !client.out.empty();
  if (want_write == client.want_write) return;
  client.want_write = want_write;
  Watch(client, EPOLL_CTL_MOD);
}

void Clients::Read(Client& client) {
  if (client.fd < 0) return;  // closed earlier in this turn
  const size_t kept = client.in.size();
  std::memcpy(buffer_.data(), client.in.data(), kept);
  const ssize_t n = recv(client.fd, buffer_.data() + kept, buffer_.size() - kept, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) return Lose(client, Errno("read of " + client.client_id));
  if (n == 0) return Lose(client, "the broker closed the connection of " + client.client_id);
  const int64_t now_ns = NowNs();
  std::string_view rest(buffer_.data(), kept + static_cast<size_t>(n));
  Packet packet{};
  while (!rest.empty()) {
    const int64_t length = NextPacket(rest, &packet);
    if (length < 0) Die("a malformed packet for " + client.client_id);
    if (length == 0) break;
    Take(client, packet, now_ns);
    rest.remove_prefix(static_cast<size_t>(length));
  }
  if (rest.size() == buffer_.size()) Die("a packet over 1 MiB for " + client.client_id);
  client.in.assign(rest);
}

void Clients::Take(Client& client, const Packet& packet, int64_t now_ns) {
  uint16_t packet_id = 0;
  uint8_t code = 0;
  switch (packet.type) {
    case PacketType::kPublish:
      return TakePublish(client, packet, now_ns);
    case PacketType::kPuback:
      if (!ParsePuback(packet, &packet_id, &code)) Die("a malformed PUBACK");
      if (client.unacked > 0) --client.unacked;
      return events_->OnPuback(client, code);
    case PacketType::kConnack:
      return TakeConnack(client, packet);
    case PacketType::kSuback:
      if (!ParseSuback(endpoint_.version, packet, &code)) Die("a malformed SUBACK");
      if (code != 0) Die("a subscription of " + client.client_id + " was refused");
      client.subscribed = true;
      ++subscribed_;
      return events_->OnSubscribed(client, now_ns);
    case PacketType::kPingresp:
      return;
    case PacketType::kDisconnect:
      Die("the broker sent DISCONNECT to " + client.client_id);
  }
  Die("an unexpected packet for " + client.client_id);
}

void Clients::TakePublish(Client& client, const Packet& packet, int64_t now_ns) {
  struct Publish publish {};
  if (!ParsePublish(endpoint_.version, packet, &publish)) Die("a malformed PUBLISH");
  if (publish.qos == 2) Die("a PUBLISH with QoS 2");
  if (publish.qos == 1) {
    AppendPuback(&client.out, publish.packet_id);
    MarkDirty(client);
  }
  events_->OnPublish(client, publish, now_ns);
}

void Clients::TakeConnack(Client& client, const Packet& packet) {
  Connack connack{};
  if (!ParseConnack(endpoint_.version, packet, &connack)) Die("a malformed CONNACK");
  if (connack.code != 0) {
    Die("CONNECT of " + client.client_id + " refused with code " + std::to_string(connack.code));
  }
  client.receive_max = connack.receive_max;
  AppendSubscribe(&client.out, endpoint_.version, 1, client.filters, endpoint_.sub_qos);
  client.last_packet_id = 1;
  MarkDirty(client);
}

}  // namespace parley::bench
