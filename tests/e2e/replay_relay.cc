#include "tests/e2e/replay_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace parley::e2e {

namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int NewSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

// Closes with a reset: nothing that waits is sent any more.
void Reset(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(fd);
}

}  // namespace

Relay::Relay(uint16_t broker_port, Filter filter)
    : broker_port_(broker_port),
      filter_(std::move(filter)),
      listener_(NewSocket()),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener_, generic, size) != 0 || listen(listener_, 8) != 0 ||
      getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error(std::string("relay: ") + strerror(errno));
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

Relay::~Relay() {
  stop_ = true;
  Cut();
  thread_.join();
  close(listener_);
  close(wake_);
}

void Relay::Cut() {
  const uint64_t one = 1;
  if (write(wake_, &one, sizeof(one)) < 0) throw std::runtime_error("relay: eventfd");
}

void Relay::Run() {
  while (!stop_) {
    std::vector<pollfd> ready = {{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Link& link : links_) {
      ready.push_back({link.device, POLLIN, 0});
      ready.push_back({link.broker, POLLIN, 0});
    }
    if (poll(ready.data(), ready.size(), -1) < 0) continue;
    if (ready[0].revents != 0) {
      CutAll();
      continue;
    }
    std::vector<Link> alive;
    for (size_t n = 0; n < links_.size(); ++n) {
      const Link& link = links_[n];
      const bool fine = (ready[2 + 2 * n].revents == 0 || PassOn(link, false)) &&
                        (ready[3 + 2 * n].revents == 0 || PassOn(link, true));
      if (fine) {
        alive.push_back(link);
      } else {
        close(link.device);
        close(link.broker);
      }
    }
    links_ = std::move(alive);
    if (ready[1].revents != 0) Accept();
  }
  CutAll();
}

void Relay::Accept() {
  Link link;
  link.device = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (link.device < 0) return;
  link.connection = ++connections_;
  link.broker = NewSocket();
  const sockaddr_in address = Loopback(broker_port_);
  if (connect(link.broker, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    links_.push_back(link);
  } else {
    close(link.device);
    close(link.broker);
  }
}

void Relay::CutAll() {
  uint64_t count = 0;
  if (read(wake_, &count, sizeof(count)) < 0 && links_.empty()) return;
  for (const Link& link : links_) {
    Reset(link.device);
    Reset(link.broker);
  }
  links_.clear();
}

bool Relay::PassOn(const Link& link, bool to_device) const {
  std::array<char, 16384> buffer{};
  const ssize_t got = recv(to_device ? link.broker : link.device, buffer.data(), buffer.size(), 0);
  if (got <= 0) return false;
  std::string bytes(buffer.data(), static_cast<size_t>(got));
  if (to_device && filter_) bytes = filter_(link.connection, bytes);
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t put = send(to_device ? link.device : link.broker, bytes.data() + sent,
                             bytes.size() - sent, MSG_NOSIGNAL);
    if (put < 0) return false;
    sent += static_cast<size_t>(put);
  }
  return true;
}

}  // namespace parley::e2e
