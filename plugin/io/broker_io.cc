#include "plugin/io/broker_io.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace parley::io {
namespace {

// The kernel's events carry the descriptor, below a mark that no pointer of a program has.
constexpr uint64_t kMark = 0xB10C0DE5ull << 32;
constexpr uint64_t kMarkBits = 0xFFFFFFFFull << 32;

// What a level-triggered descriptor may ask for.
constexpr uint32_t kLevelEvents = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP;

constexpr int kTableStep = 1024;

epoll_event KernelEvent(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = kMark | static_cast<uint32_t>(fd);
  return event;
}

bool IsLevelTriggered(uint32_t events) { return (events & ~kLevelEvents) == 0; }

bool IsStreamSocket(int fd) {
  int error = errno;
  int type = 0;
  socklen_t size = sizeof type;
  bool is_stream = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
  errno = error;
  return is_stream;
}

// As the kernel does when there are bytes that nobody has read (RFC 1122, 4.2.2.13).
void ResetOnClose(int fd) {
  int error = errno;
  linger at_once{1, 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  errno = error;
}

int Fail(int error) {
  errno = error;
  return -1;
}

template <class T>
bool Grow(T** items, int from, int to) {
  void* grown = std::realloc(static_cast<void*>(*items), static_cast<size_t>(to) * sizeof(T));
  if (grown == nullptr) return false;
  *items = static_cast<T*>(grown);
  for (int i = from; i < to; ++i) new (*items + i) T();
  return true;
}

}  // namespace

void BrokerIo::List::Add(int fd, bool* is_listed) {
  if (*is_listed) return;
  *is_listed = true;
  fds[count++] = fd;
}

BrokerIo::~BrokerIo() {
  for (int fd = 0; fd < table_size_; ++fd) {
    table_[fd].in.Clear(&blocks_);
    table_[fd].out.Clear(&blocks_);
  }
  std::free(table_);
  std::free(changed_.fds);
  std::free(gathered_.fds);
  std::free(due_.fds);
}

bool BrokerIo::Reach(int fd) {
  if (fd < table_size_) return true;
  int size = (fd / kTableStep + 1) * kTableStep;
  if (!Grow(&changed_.fds, table_size_, size) || !Grow(&gathered_.fds, table_size_, size) ||
      !Grow(&due_.fds, table_size_, size) || !Grow(&table_, table_size_, size)) {
    return false;
  }
  table_size_ = size;
  return true;
}

int BrokerIo::Control(int operation, int fd, epoll_event* event) {
  Descriptor* descriptor = Find(fd);
  bool is_known = descriptor != nullptr && descriptor->in_set;
  if (operation == EPOLL_CTL_DEL && is_known) return Delete(fd, descriptor);
  if (event != nullptr && operation == EPOLL_CTL_MOD && is_known) {
    return Modify(fd, descriptor, *event);
  }
  if (event == nullptr || fd < 0 || operation != EPOLL_CTL_ADD) {
    return kernel_.epoll_ctl(set_, operation, fd, event);
  }
  if (is_known && descriptor->wanted.data.u64 == event->data.u64) return Fail(EEXIST);
  return Add(fd, event);
}

int BrokerIo::Add(int fd, epoll_event* event) {
  if (!Reach(fd)) return Fail(ENOMEM);
  epoll_event told = KernelEvent(fd, event->events);
  int result = kernel_.epoll_ctl(set_, EPOLL_CTL_ADD, fd, &told);
  if (result != 0) return result;
  Descriptor* descriptor = Find(fd);
  if (descriptor->in_set) Forget(fd);  // it was closed unseen
  descriptor->wanted = *event;
  descriptor->told = event->events;
  descriptor->in_set = true;
  descriptor->buffered = IsLevelTriggered(event->events) && IsStreamSocket(fd);
  changed_.Add(fd, &descriptor->is_changed);  // where it has been in the set before, and is full
  if (Due(*descriptor) != 0) due_.Add(fd, &descriptor->is_due);
  return 0;
}

int BrokerIo::Modify(int fd, Descriptor* descriptor, const epoll_event& event) {
  descriptor->wanted = event;
  if (IsLevelTriggered(event.events | descriptor->told)) {
    changed_.Add(fd, &descriptor->is_changed);
    if (Due(*descriptor) != 0) due_.Add(fd, &descriptor->is_due);
    return 0;
  }
  descriptor->buffered = false;
  return Tell(fd, descriptor);
}

int BrokerIo::Delete(int fd, Descriptor* descriptor) {
  Flush(fd);
  descriptor->in_set = false;
  return kernel_.epoll_ctl(set_, EPOLL_CTL_DEL, fd, nullptr);
}

int BrokerIo::Tell(int fd, Descriptor* descriptor) {
  uint32_t events = descriptor->wanted.events | (descriptor->full ? EPOLLOUT : 0u);
  epoll_event told = KernelEvent(fd, events);
  descriptor->told = events;
  return kernel_.epoll_ctl(set_, EPOLL_CTL_MOD, fd, &told);
}

ssize_t BrokerIo::Read(int fd, void* data, size_t bytes) {
  Descriptor* descriptor = Find(fd);
  if (descriptor == nullptr || bytes == 0) return kernel_.read(fd, data, bytes);
  Bytes& in = descriptor->in;
  if (in.empty()) {
    if (!descriptor->in_set || !descriptor->buffered) return kernel_.read(fd, data, bytes);
    return ReadAhead(fd, descriptor, data, bytes);
  }
  size_t taken = std::min(bytes, in.size());
  std::memcpy(data, in.data(), taken);
  in.Consume(taken, &blocks_);
  return static_cast<ssize_t>(taken);
}

ssize_t BrokerIo::ReadAhead(int fd, Descriptor* descriptor, void* data, size_t bytes) {
  Block* block = blocks_.Take();
  if (block == nullptr) return kernel_.read(fd, data, bytes);
  iovec parts[] = {{data, bytes}, {block->data, kBlockBytes}};
  ssize_t got = kernel_.readv(fd, parts, 2);
  if (got <= static_cast<ssize_t>(bytes)) {
    blocks_.Give(block);
    return got;
  }
  descriptor->in = {block, 0, static_cast<uint16_t>(static_cast<size_t>(got) - bytes)};
  due_.Add(fd, &descriptor->is_due);
  return static_cast<ssize_t>(bytes);
}

ssize_t BrokerIo::Write(int fd, const void* data, size_t bytes) {
  Descriptor* descriptor = Find(fd);
  if (descriptor == nullptr || bytes == 0) return kernel_.write(fd, data, bytes);
  if (descriptor->error != 0) {
    int error = descriptor->error;
    descriptor->error = 0;
    return Fail(error);
  }
  if (descriptor->full && !descriptor->in_set) WriteOut(fd, descriptor);  // nothing else will
  if (descriptor->full) return Fail(EAGAIN);
  if (!descriptor->in_set || !descriptor->buffered) return kernel_.write(fd, data, bytes);
  Bytes& out = descriptor->out;
  if (out.empty() && bytes < kBlockBytes) out.block = blocks_.Take();
  if (out.empty() || bytes > out.room()) return WriteThrough(fd, descriptor, data, bytes);
  out.Append(data, bytes);
  gathered_.Add(fd, &descriptor->is_gathered);
  return static_cast<ssize_t>(bytes);
}

// What was gathered and what doesn't fit beside it, in one write.
ssize_t BrokerIo::WriteThrough(int fd, Descriptor* descriptor, const void* data, size_t bytes) {
  Bytes& out = descriptor->out;
  if (out.empty()) return kernel_.write(fd, data, bytes);
  size_t gathered = out.size();
  iovec parts[] = {{const_cast<char*>(out.data()), gathered}, {const_cast<void*>(data), bytes}};
  ssize_t written = kernel_.writev(fd, parts, 2);
  if (written < 0 && errno != EAGAIN && errno != EINTR) {
    out.Clear(&blocks_);
    return -1;
  }
  auto taken = static_cast<size_t>(std::max<ssize_t>(written, 0));
  out.Consume(std::min(taken, gathered), &blocks_);
  if (!out.empty()) Full(fd, descriptor);
  if (taken <= gathered) return Fail(EAGAIN);
  return static_cast<ssize_t>(taken - gathered);
}

void BrokerIo::WriteOut(int fd, Descriptor* descriptor) {
  Bytes& out = descriptor->out;
  ssize_t written = kernel_.write(fd, out.data(), out.size());
  if (written < 0 && errno != EAGAIN && errno != EINTR) {
    descriptor->error = errno;
    out.Clear(&blocks_);
    due_.Add(fd, &descriptor->is_due);
  } else if (written > 0) {
    out.Consume(static_cast<size_t>(written), &blocks_);
  }
  if (!out.empty()) {
    Full(fd, descriptor);
  } else if (descriptor->full) {
    descriptor->full = false;
    changed_.Add(fd, &descriptor->is_changed);
  }
}

// Until Wait hears of room.
void BrokerIo::Full(int fd, Descriptor* descriptor) {
  descriptor->full = true;
  changed_.Add(fd, &descriptor->is_changed);
}

void BrokerIo::Flush(int fd) {
  Descriptor* descriptor = Find(fd);
  if (descriptor == nullptr || descriptor->out.empty()) return;
  int error = errno;
  WriteOut(fd, descriptor);
  errno = error;
}

void BrokerIo::FlushAll() {
  int error = errno;
  WriteGathered(gathered_.count);
  errno = error;
}

void BrokerIo::Closing(int fd) {
  Descriptor* descriptor = Find(fd);
  if (descriptor == nullptr) return;
  Flush(fd);
  if (!descriptor->in.empty()) ResetOnClose(fd);
  Forget(fd);
}

void BrokerIo::Forget(int fd) {
  Descriptor* descriptor = Find(fd);
  if (descriptor == nullptr) return;
  descriptor->in.Clear(&blocks_);
  descriptor->out.Clear(&blocks_);
  Descriptor forgotten;
  forgotten.is_changed = descriptor->is_changed;
  forgotten.is_gathered = descriptor->is_gathered;
  forgotten.is_due = descriptor->is_due;
  *descriptor = forgotten;
}

uint32_t BrokerIo::Due(const Descriptor& descriptor) {
  if (!descriptor.in_set) return 0;
  uint32_t events = descriptor.error != 0 ? EPOLLERR | EPOLLHUP : 0u;
  if (!descriptor.in.empty()) events |= descriptor.wanted.events & EPOLLIN;
  return events;
}

int BrokerIo::Wait(epoll_event* events, int events_max, int timeout_ms) {
  if (events_max <= 0) return kernel_.epoll_wait(set_, events, events_max, timeout_ms);
  ++turn_;
  bool is_behind = WriteGathered(kTurnWritesMax) > 0;
  TellChanged();
  int due = PruneDue();
  if (due > 0 || is_behind) timeout_ms = 0;
  if (is_behind) events_max = std::min(events_max, kTurnWritesMax);
  int room = events_max - std::min(due, events_max / 2);
  int count = kernel_.epoll_wait(set_, events, room, timeout_ms);
  if (count < 0) {
    if (due == 0) return count;
    count = 0;
  }
  return AddDue(events, Translate(events, count), events_max);
}

// The longest waiting, as many as `most`; returns how many are left.
int BrokerIo::WriteGathered(int most) {
  int passed = std::min(most, gathered_.count);
  for (int i = 0; i < passed; ++i) {
    int fd = gathered_.fds[i];
    Descriptor& descriptor = table_[fd];
    descriptor.is_gathered = false;
    if (!descriptor.out.empty() && !descriptor.full) WriteOut(fd, &descriptor);
  }
  std::copy(gathered_.fds + passed, gathered_.fds + gathered_.count, gathered_.fds);
  gathered_.count -= passed;
  return gathered_.count;
}

void BrokerIo::TellChanged() {
  for (int i = 0; i < changed_.count; ++i) {
    int fd = changed_.fds[i];
    Descriptor& descriptor = table_[fd];
    descriptor.is_changed = false;
    if (!descriptor.in_set) continue;
    uint32_t events = descriptor.wanted.events | (descriptor.full ? EPOLLOUT : 0u);
    if (events == descriptor.told) continue;
    if (Tell(fd, &descriptor) != 0) Forget(fd);  // it was closed unseen
  }
  changed_.count = 0;
}

// Returns how many are left.
int BrokerIo::PruneDue() {
  int kept = 0;
  for (int i = 0; i < due_.count; ++i) {
    int fd = due_.fds[i];
    table_[fd].is_due = Due(table_[fd]) != 0;
    if (table_[fd].is_due) due_.fds[kept++] = fd;
  }
  due_.count = kept;
  return kept;
}

// The kernel's events as the broker's; returns how many are left.
int BrokerIo::Translate(epoll_event* events, int count) {
  int kept = 0;
  for (int i = 0; i < count; ++i) {
    epoll_event event = events[i];
    if ((event.data.u64 & kMarkBits) == kMark) {
      auto fd = static_cast<int>(event.data.u64 & ~kMarkBits);
      Descriptor* descriptor = Find(fd);
      if (descriptor == nullptr || !descriptor->in_set) continue;
      event.events = Settle(fd, descriptor, event.events);
      event.data = descriptor->wanted.data;
      if (event.events == 0) continue;
      descriptor->turn = turn_;
    }
    events[kept++] = event;
  }
  return kept;
}

// Of what the kernel says of a descriptor, what the broker is to hear.
uint32_t BrokerIo::Settle(int fd, Descriptor* descriptor, uint32_t events) {
  if ((events & EPOLLOUT) != 0 && descriptor->full) {
    WriteOut(fd, descriptor);
    if (descriptor->full) events &= ~EPOLLOUT;
  }
  if ((descriptor->wanted.events & EPOLLOUT) == 0) events &= ~EPOLLOUT;
  return events | Due(*descriptor);
}

// Those that the kernel said nothing of. The ones that found no place come first in the next Wait.
int BrokerIo::AddDue(epoll_event* events, int count, int events_max) {
  int passed = 0;
  for (; passed < due_.count && count < events_max; ++passed) {
    Descriptor& descriptor = table_[due_.fds[passed]];
    uint32_t due = Due(descriptor);
    if (due == 0 || descriptor.turn == turn_) continue;
    events[count] = descriptor.wanted;
    events[count++].events = due;
  }
  std::rotate(due_.fds, due_.fds + passed, due_.fds + due_.count);
  return count;
}

}  // namespace parley::io
