// Pairs of connected stream sockets, and BrokerIo on a real epoll set with calls that can be
// counted and made to fail.
#ifndef PARLEY_TESTS_PLUGIN_IO_SOCKETS_H_
#define PARLEY_TESTS_PLUGIN_IO_SOCKETS_H_

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <utility>

#include "plugin/io/broker_io.h"

namespace parley::io {

// What the calls below BrokerIo did since Reset, and what they are told to do.
struct Calls {
  int controls = 0;  // epoll_ctl
  int reads = 0;
  int writes = 0;
  int events = 0;            // that epoll_wait told
  int timeout_ms = -2;       // of the last epoll_wait
  int write_error = 0;       // if not 0, writes fail with it
  size_t room = ~size_t{0};  // bytes that one write takes at most

  static Calls& Get() {
    static Calls calls;
    return calls;
  }
  static void Reset() { Get() = Calls(); }
};

inline ssize_t WriteParts(int fd, const iovec* parts, int count, size_t room) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  }
  return write(fd, bytes.data(), std::min(bytes.size(), room));
}

inline Kernel CountingKernel() {
  return {
      .epoll_ctl =
          [](int set, int operation, int fd, epoll_event* event) {
            ++Calls::Get().controls;
            return epoll_ctl(set, operation, fd, event);
          },
      .epoll_wait =
          [](int set, epoll_event* events, int events_max, int timeout_ms) {
            Calls::Get().timeout_ms = timeout_ms;
            int count = epoll_wait(set, events, events_max, timeout_ms);
            Calls::Get().events += std::max(count, 0);
            return count;
          },
      .read =
          [](int fd, void* data, size_t bytes) {
            ++Calls::Get().reads;
            return read(fd, data, bytes);
          },
      .write = [](int fd, const void* data, size_t bytes) -> ssize_t {
        ++Calls::Get().writes;
        if (Calls::Get().write_error == 0)
          return write(fd, data, std::min(bytes, Calls::Get().room));
        errno = Calls::Get().write_error;
        return -1;
      },
      .readv =
          [](int fd, const iovec* parts, int count) {
            ++Calls::Get().reads;
            return readv(fd, parts, count);
          },
      .writev = [](int fd, const iovec* parts, int count) -> ssize_t {
        ++Calls::Get().writes;
        if (Calls::Get().write_error == 0) return WriteParts(fd, parts, count, Calls::Get().room);
        errno = Calls::Get().write_error;
        return -1;
      },
  };
}

inline int Checked(int result) {
  if (result < 0) throw std::runtime_error("errno " + std::to_string(errno));
  return result;
}

// Two ends, both non-blocking, with a small buffer at `ours`.
struct Pair {
  int ours = -1;
  int peer = -1;

  static Pair Unix() {
    int ends[2];
    Checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
    return {ends[0], ends[1]};
  }
  static Pair Tcp() {
    int listener = Checked(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    Checked(bind(listener, reinterpret_cast<sockaddr*>(&address), length));
    Checked(listen(listener, 1));
    Checked(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length));
    Pair pair;
    pair.peer = Checked(socket(AF_INET, SOCK_STREAM, 0));
    Checked(connect(pair.peer, reinterpret_cast<sockaddr*>(&address), length));
    pair.ours = Checked(accept(listener, nullptr, nullptr));
    close(listener);
    int bytes = 8192;
    Checked(setsockopt(pair.ours, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
    Checked(setsockopt(pair.peer, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes));
    for (int fd : {pair.ours, pair.peer}) Checked(fcntl(fd, F_SETFL, O_NONBLOCK));
    return pair;
  }
};

// What there is now, up to its end; `*end` if that came.
inline std::string ReadAvailable(int fd, bool* end = nullptr) {
  std::string all;
  char data[65536];
  for (;;) {
    ssize_t got = read(fd, data, sizeof data);
    if (got <= 0) {
      if (end != nullptr) *end = got == 0 || errno == ECONNRESET;
      return all;
    }
    all.append(data, static_cast<size_t>(got));
  }
}

}  // namespace parley::io

#endif  // PARLEY_TESTS_PLUGIN_IO_SOCKETS_H_
