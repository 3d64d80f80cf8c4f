#include "plugin/wake.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace parley {
namespace {

// Calls f(fd, what /proc says it is) for each open descriptor of this process.
template <class F>
void ForEachDescriptor(F f) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir("/proc/self/fd"), closedir);
  if (!dir) return;
  while (const dirent* entry = readdir(dir.get())) {
    char target[64];
    std::string path = std::string("/proc/self/fd/") + entry->d_name;
    ssize_t length = readlink(path.c_str(), target, sizeof target);
    if (length > 0)
      f(std::atoi(entry->d_name), std::string_view(target, static_cast<size_t>(length)));
  }
}

// Mosquitto's epoll set holds pointers to structs whose first member says what they are (2.0.11
// lib/mosquitto_internal.h:209: "This *must* be the first element"); 0 is an invalid one, and
// mux_epoll.c passes over it. So this is what our descriptor points to.
struct {
  int ident = 0;
  char rest[60] = {};
} invalid_context;

void AppendMqttString(std::string_view text, std::string* out) {
  out->push_back(static_cast<char>(text.size() >> 8));
  out->push_back(static_cast<char>(text.size() & 0xFF));
  *out += text;
}

// MQTT 3.1.1, 3.1: CONNECT, clean session, keepalive 60 s.
std::string ConnectPacket(const std::string& user, const std::string& password) {
  std::string body;
  AppendMqttString("MQTT", &body);
  body += "\x04";
  body += '\xC2';
  body += '\0';
  body += '\x3C';
  AppendMqttString("$parley-wake", &body);
  AppendMqttString(user, &body);
  AppendMqttString(password, &body);
  std::string packet = "\x10";
  for (size_t left = body.size();;) {
    auto digit = static_cast<unsigned char>(left % 128);
    left /= 128;
    packet.push_back(static_cast<char>(left > 0 ? digit | 0x80 : digit));
    if (left == 0) break;
  }
  return packet + body;
}

// Reads exactly `bytes` within a second.
bool ReadAll(int fd, char* data, size_t bytes) {
  while (bytes > 0) {
    pollfd poll_fd{fd, POLLIN, 0};
    if (poll(&poll_fd, 1, 1000) <= 0) return false;
    ssize_t got = read(fd, data, bytes);
    if (got <= 0) return false;
    data += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

int ConnectTo(const std::string& listener, const std::string& packet) {
  size_t colon = listener.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(listener.c_str() + colon + 1)));
  if (inet_pton(AF_INET, listener.substr(0, colon).c_str(), &address.sin_addr) != 1) return -1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  char connack[4];
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      write(fd, packet.data(), packet.size()) == static_cast<ssize_t>(packet.size()) &&
      ReadAll(fd, connack, sizeof connack) && connack[0] == 0x20 && connack[3] == 0) {
    return fd;
  }
  close(fd);
  return -1;
}

bool Ping(int fd) {
  static constexpr char kPingRequest[] = {'\xC0', 0};
  char response[2];
  return write(fd, kPingRequest, sizeof kPingRequest) == sizeof kPingRequest &&
         ReadAll(fd, response, sizeof response);
}

}  // namespace

std::vector<std::string> FindListeners() {
  std::vector<std::string> found;
  ForEachDescriptor([&](int fd, std::string_view what) {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (!what.starts_with("socket:") ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0) {
      return;
    }
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return;
    char host[INET6_ADDRSTRLEN] = "";
    if (address.ss_family == AF_INET) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(address);
      inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
      std::string name = v4.sin_addr.s_addr == INADDR_ANY ? "127.0.0.1" : host;
      found.push_back(name + ":" + std::to_string(ntohs(v4.sin_port)));
    } else if (address.ss_family == AF_INET6) {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
      inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
      std::string name = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr) ? "::1" : host;
      found.push_back("[" + name + "]:" + std::to_string(ntohs(v6.sin6_port)));
    }
  });
  return found;
}

Wake::~Wake() {
  stopping_ = true;
  if (loopback_.joinable()) {
    { std::lock_guard lock(mutex_); }
    ready_.notify_one();
    loopback_.join();
  }
  if (eventfd_ >= 0) close(eventfd_);  // leaves the epoll set with it
}

std::string Wake::Attach(WakeMethod method, const std::vector<std::string>& listeners,
                         const std::string& user, const std::string& token) {
  if ((method == WakeMethod::kAuto || method == WakeMethod::kEventfd) && AttachEventfd()) {
    return "eventfd";
  }
  if (method != WakeMethod::kTick && method != WakeMethod::kEventfd && !listeners.empty()) {
    loopback_ = std::thread(
        [this, listeners, packet = ConnectPacket(user, token)] { Loopback(listeners, packet); });
    return "loopback";
  }
  return "tick";
}

bool Wake::AttachEventfd() {
  int epoll = -1;
  int count = 0;
  ForEachDescriptor([&](int fd, std::string_view what) {
    if (what != "anon_inode:[eventpoll]") return;
    epoll = fd;
    ++count;
  });
  if (count != 1) return false;
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return false;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &invalid_context;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    close(fd);
    return false;
  }
  in_epoll_ = true;
  eventfd_ = fd;
  return true;
}

void Wake::Signal() {
  if (signalled_.exchange(true)) return;
  int fd = eventfd_;
  if (fd >= 0) {
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof one);
    return;
  }
  { std::lock_guard lock(mutex_); }
  ready_.notify_one();
}

void Wake::Drain() {
  if (!signalled_.load(std::memory_order_relaxed)) return;
  if (in_epoll_) {
    uint64_t count;
    (void)!read(eventfd_, &count, sizeof count);
  }
  signalled_ = false;
}

// Sends a PINGREQ for each signal, and now and then one to stay connected.
void Wake::Loopback(const std::vector<std::string>& listeners, const std::string& connect_packet) {
  int fd = -1;
  size_t next = 0;
  while (!stopping_) {
    {
      std::unique_lock lock(mutex_);
      ready_.wait_for(lock, std::chrono::seconds(20), [this] { return stopping_ || signalled_; });
    }
    if (stopping_) break;
    if (fd < 0) fd = ConnectTo(listeners[next++ % listeners.size()], connect_packet);
    bool pinged = fd >= 0 && Ping(fd);
    if (pinged) continue;
    if (fd >= 0) close(fd);
    fd = -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the broker's own tick serves
  }
  if (fd >= 0) close(fd);
}

}  // namespace parley
