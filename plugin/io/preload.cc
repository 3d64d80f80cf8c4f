// libparley_io.so, for LD_PRELOAD: the calls of a Mosquitto that it knows go through BrokerIo.
//
// It engages where the broker's own code makes its epoll set, for that set and the thread that made
// it. From then on
//
//  - epoll_ctl and epoll_wait of that thread on that set,
//  - read and write of that thread by the executable's own code, of descriptors in the set
//
// go through BrokerIo. Everything else passes through: other threads, other programs, other
// versions, and read and write by a library, which are OpenSSL's of a TLS connection (its bytes
// stay in the kernel until it asks, so that SSL_pending and poll are right), the plugin's of its
// eventfd, LevelDB's, SQLite's. Mosquitto's WebSockets are libwebsockets' recv and send, and pass
// through too.
//
// Calls of the broker's thread that end, send on or multiply a descriptor first send what was
// gathered for it: close, shutdown, dup*, fcntl(F_DUPFD*), send*, sendfile, splice, writev; of all
// descriptors, fork, execve, execv and execvp. A child of a serving broker passes everything
// through (daemon mode forks before there is a set). exit sends too; what a killed broker had
// gathered in its last turn is lost, like all that it hadn't written. Bytes read ahead stay with
// the descriptor's number: Mosquitto reads a connection neither through a duplicate nor by another
// call than read.
//
// PARLEY_IO=off in the environment: everything passes through. It says on stderr, once, when the
// broker makes its set, whether it is engaged.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "plugin/io/broker_io.h"
#include "plugin/io/known_broker.h"

namespace parley::io {
namespace {

// The function of that name that the next library has, looked up in the first call. Threads that
// look it up at once find the same.
template <auto* kOurs>
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}

  template <class... Arguments>
  auto operator()(Arguments... arguments) {
    return get()(arguments...);
  }
  auto get() {
    void* found = found_.load(std::memory_order_relaxed);
    if (found == nullptr) found_ = found = dlsym(RTLD_NEXT, name_);
    return reinterpret_cast<decltype(kOurs)>(found);
  }

 private:
  const char* const name_;
  std::atomic<void*> found_ = nullptr;
};

#define PARLEY_IO_NEXT(function) \
  constinit Next<&::function> next_##function { #function }

PARLEY_IO_NEXT(accept);
PARLEY_IO_NEXT(accept4);
PARLEY_IO_NEXT(close);
PARLEY_IO_NEXT(dup);
PARLEY_IO_NEXT(dup2);
PARLEY_IO_NEXT(dup3);
PARLEY_IO_NEXT(epoll_create);
PARLEY_IO_NEXT(epoll_create1);
PARLEY_IO_NEXT(epoll_ctl);
PARLEY_IO_NEXT(epoll_wait);
PARLEY_IO_NEXT(execv);
PARLEY_IO_NEXT(execve);
PARLEY_IO_NEXT(execvp);
PARLEY_IO_NEXT(fcntl);
PARLEY_IO_NEXT(fcntl64);
PARLEY_IO_NEXT(read);
PARLEY_IO_NEXT(readv);
PARLEY_IO_NEXT(send);
PARLEY_IO_NEXT(sendfile);
PARLEY_IO_NEXT(sendfile64);
PARLEY_IO_NEXT(sendmsg);
PARLEY_IO_NEXT(sendto);
PARLEY_IO_NEXT(shutdown);
PARLEY_IO_NEXT(socket);
PARLEY_IO_NEXT(splice);
PARLEY_IO_NEXT(write);
PARLEY_IO_NEXT(writev);

Kernel NextKernel() {
  return {.epoll_ctl = next_epoll_ctl.get(),
          .epoll_wait = next_epoll_wait.get(),
          .read = next_read.get(),
          .write = next_write.get(),
          .readv = next_readv.get(),
          .writev = next_writev.get()};
}

// The loop's thread; none while there is no set.
constinit std::atomic<pthread_t> loop_thread = 0;
// Used by that thread alone. Set in the place below.
constinit BrokerIo* broker_io = nullptr;
alignas(BrokerIo) unsigned char broker_io_place[sizeof(BrokerIo)];
constinit Span broker_code;

bool OnLoop() { return loop_thread.load(std::memory_order_relaxed) == pthread_self(); }
bool IsLoopsSet(int set) { return OnLoop() && set == broker_io->set(); }
bool IsBrokers(const void* caller) { return OnLoop() && broker_code.Contains(caller); }

void Say(const char* what, const char* versions, const char* why) {
  char line[200];
  int length = snprintf(line, sizeof line, "parley_io: %s mosquitto %s%s\n", what, versions, why);
  (void)!next_write(STDERR_FILENO, line, static_cast<size_t>(length));
}

void Disengage() {
  if (broker_io == nullptr) return;
  loop_thread = 0;
  broker_io->~BrokerIo();
  broker_io = nullptr;
}

void BeforeFork() {
  if (OnLoop()) broker_io->FlushAll();
}

// Whether this is a program for it, and not switched off; looked at once, and said once.
constinit pthread_once_t looked = PTHREAD_ONCE_INIT;
constinit bool is_wanted = false;

void Look() {
  const char* choice = getenv("PARLEY_IO");
  if (choice != nullptr && std::strcmp(choice, "off") == 0) return;
  Program program = FindProgram();
  broker_code = program.code;
  is_wanted = program.version != nullptr;
  if (is_wanted) {
    pthread_atfork(BeforeFork, nullptr, Disengage);
    Say("gathers the reads and writes of", program.version, "");
  } else {
    Say("this is no", kKnownVersions, ": its calls pass through");
  }
}

// A set that the broker's own code has made; one at a time.
int Engage(int set, const void* caller) {
  pthread_once(&looked, Look);
  if (set < 0 || broker_io != nullptr || !is_wanted || !broker_code.Contains(caller)) return set;
  broker_io = new (broker_io_place) BrokerIo(NextKernel(), set);
  loop_thread = pthread_self();
  return set;
}

void Flush(int fd) {
  if (OnLoop()) broker_io->Flush(fd);
}

void FlushAll() {
  if (OnLoop()) broker_io->FlushAll();
}

void Closing(int fd) {
  if (!OnLoop()) return;
  broker_io->Closing(fd);
  if (fd == broker_io->set()) {
    broker_io->FlushAll();
    Disengage();
  }
}

// A number that a new descriptor got: an old one of that number was closed unseen.
int New(int fd) {
  if (fd >= 0 && OnLoop()) broker_io->Forget(fd);
  return fd;
}

__attribute__((destructor)) void AtExit() { FlushAll(); }

}  // namespace
}  // namespace parley::io

using namespace parley::io;  // NOLINT(google-build-using-namespace): of this library alone

#define PARLEY_IO_EXPORT extern "C" __attribute__((visibility("default")))

PARLEY_IO_EXPORT int epoll_create(int size) noexcept {
  return Engage(next_epoll_create(size), __builtin_return_address(0));
}

PARLEY_IO_EXPORT int epoll_create1(int flags) noexcept {
  return Engage(next_epoll_create1(flags), __builtin_return_address(0));
}

PARLEY_IO_EXPORT int epoll_ctl(int set, int operation, int fd, epoll_event* event) noexcept {
  if (IsLoopsSet(set)) return broker_io->Control(operation, fd, event);
  return next_epoll_ctl(set, operation, fd, event);
}

PARLEY_IO_EXPORT int epoll_wait(int set, epoll_event* events, int events_max, int timeout_ms) {
  if (IsLoopsSet(set)) return broker_io->Wait(events, events_max, timeout_ms);
  return next_epoll_wait(set, events, events_max, timeout_ms);
}

PARLEY_IO_EXPORT ssize_t read(int fd, void* data, size_t bytes) {
  if (IsBrokers(__builtin_return_address(0))) return broker_io->Read(fd, data, bytes);
  return next_read(fd, data, bytes);
}

PARLEY_IO_EXPORT ssize_t write(int fd, const void* data, size_t bytes) {
  if (IsBrokers(__builtin_return_address(0))) return broker_io->Write(fd, data, bytes);
  Flush(fd);
  return next_write(fd, data, bytes);
}

PARLEY_IO_EXPORT int close(int fd) {
  Closing(fd);
  return next_close(fd);
}

PARLEY_IO_EXPORT int shutdown(int fd, int how) noexcept {
  Flush(fd);
  return next_shutdown(fd, how);
}

PARLEY_IO_EXPORT int dup(int fd) noexcept {
  Flush(fd);
  return New(next_dup(fd));
}

PARLEY_IO_EXPORT int dup2(int fd, int wanted) noexcept {
  Flush(fd);
  if (fd != wanted) Closing(wanted);
  return next_dup2(fd, wanted);
}

PARLEY_IO_EXPORT int dup3(int fd, int wanted, int flags) noexcept {
  Flush(fd);
  if (fd != wanted) Closing(wanted);
  return next_dup3(fd, wanted, flags);
}

#define PARLEY_IO_FCNTL(name)                                       \
  PARLEY_IO_EXPORT int name(int fd, int command, ...) {             \
    va_list arguments;                                              \
    va_start(arguments, command);                                   \
    void* argument = va_arg(arguments, void*);                      \
    va_end(arguments);                                              \
    bool is_dup = command == F_DUPFD || command == F_DUPFD_CLOEXEC; \
    if (is_dup) Flush(fd);                                          \
    int result = next_##name(fd, command, argument);                \
    return is_dup ? New(result) : result;                           \
  }
PARLEY_IO_FCNTL(fcntl)
PARLEY_IO_FCNTL(fcntl64)

PARLEY_IO_EXPORT int accept(int fd, sockaddr* address, socklen_t* length) {
  return New(next_accept(fd, address, length));
}

PARLEY_IO_EXPORT int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  return New(next_accept4(fd, address, length, flags));
}

PARLEY_IO_EXPORT int socket(int domain, int type, int protocol) noexcept {
  return New(next_socket(domain, type, protocol));
}

PARLEY_IO_EXPORT ssize_t send(int fd, const void* data, size_t bytes, int flags) {
  Flush(fd);
  return next_send(fd, data, bytes, flags);
}

PARLEY_IO_EXPORT ssize_t sendto(int fd, const void* data, size_t bytes, int flags,
                                const sockaddr* address, socklen_t length) {
  Flush(fd);
  return next_sendto(fd, data, bytes, flags, address, length);
}

PARLEY_IO_EXPORT ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  Flush(fd);
  return next_sendmsg(fd, message, flags);
}

PARLEY_IO_EXPORT ssize_t writev(int fd, const iovec* parts, int count) {
  Flush(fd);
  return next_writev(fd, parts, count);
}

PARLEY_IO_EXPORT ssize_t sendfile(int to, int from, off_t* offset, size_t bytes) noexcept {
  Flush(to);
  return next_sendfile(to, from, offset, bytes);
}

PARLEY_IO_EXPORT ssize_t sendfile64(int to, int from, off64_t* offset, size_t bytes) noexcept {
  Flush(to);
  return next_sendfile64(to, from, offset, bytes);
}

PARLEY_IO_EXPORT ssize_t splice(int from, off64_t* from_offset, int to, off64_t* to_offset,
                                size_t bytes, unsigned flags) {
  Flush(to);
  return next_splice(from, from_offset, to, to_offset, bytes, flags);
}

PARLEY_IO_EXPORT int execve(const char* path, char* const* arguments,
                            char* const* environment) noexcept {
  FlushAll();
  return next_execve(path, arguments, environment);
}

PARLEY_IO_EXPORT int execv(const char* path, char* const* arguments) noexcept {
  FlushAll();
  return next_execv(path, arguments);
}

PARLEY_IO_EXPORT int execvp(const char* file, char* const* arguments) noexcept {
  FlushAll();
  return next_execvp(file, arguments);
}
