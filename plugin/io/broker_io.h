// Stands between Mosquitto's main loop and the kernel, and spares it system calls. Mosquitto 2.0
// makes 16 for a message: it tells epoll of EPOLLOUT and takes it back around each packet, and
// reads a packet in three (lib/packet_mosq.c, src/mux_epoll.c).
//
// Interest: what the broker wants of a descriptor is remembered; by the next Wait the kernel is
// told what has changed.
//
// Reads: up to kBlockBytes beyond what was asked for are read at once. The next Read has them from
// here; while bytes remain, each Wait reports the descriptor as readable.
//
// Writes: what one turn of the loop writes to a descriptor goes out as one write in the next Wait.
// Of more than kTurnWritesMax descriptors, the rest waits for the next turns, which don't pause: a
// message to thousands is joined by the next ones while it goes out, and those who have it already
// are heard meanwhile.
//
// One epoll set, of the loop's thread: the loop calls Control, Wait, Read and Write in place of
// epoll_ctl, epoll_wait, read and write, and this class the kernel. Nothing here blocks, throws, or
// allocates but blocks and the table. errno is as those calls leave it.
//
// What it keeps of their promises, and why that is enough for Mosquitto 2.0:
//
// epoll_ctl. ADD and DEL go to the kernel at once, and so do their errors. ADD of what is in the
// set is EEXIST and MOD of what isn't is ENOENT, as ever; MOD of what is in it is 0. A descriptor
// that asks for EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE or EPOLLWAKEUP is told of at once, and is
// neither read ahead nor gathered: its edges are the kernel's.
//
// epoll_wait. Level-triggered: a descriptor is reported, once in a Wait, while there are bytes for
// it here or in the kernel, or room. Those with bytes here take up to half of the events while the
// kernel has others for the rest, in turn, so that neither starves. Wait may return 0 before its
// time: to Mosquitto's loop that is a turn without events.
//
// read. Bytes in their order; the end, or an error, after all of them. A Read may give less than is
// asked though there is more: Mosquitto reads on. The broker reads one packet of a descriptor in a
// turn, so that who sends many delays no other more than before.
//
// write. Order is kept. What Write took is on its way in the next Wait, or when the descriptors
// that were written to before have had their turn; meanwhile a turn takes at most kTurnWritesMax
// events, so that a write waits for about as much work as it did when all of a turn's events were
// handled first. It is out before another call on the descriptor goes on (Flush, Closing). No more
// than kBlockBytes are taken beyond what the kernel has room for: then Write says EAGAIN, and Wait
// EPOLLOUT when there is room. An error that comes after Write took bytes is told by the next
// Write, and until then by each Wait as EPOLLERR | EPOLLHUP; the bytes are lost, as they are in the
// kernel when a connection breaks.
//
// close. What the kernel takes at once is sent, the rest is dropped, as Mosquitto drops its own
// queue. A TCP connection whose bytes weren't all read is reset, as it is when the kernel has them;
// of a Unix socket the peer sees the end, and no reset. Nothing is kept of the descriptor, and its
// number may be used again. A close that wasn't seen is noticed by the ADD of another pointer for
// the same number.
//
// Memory: 64 bytes for each descriptor number up to the highest; a block for each descriptor that
// has bytes to read here, and one for each that has bytes to write.
#ifndef PARLEY_PLUGIN_IO_BROKER_IO_H_
#define PARLEY_PLUGIN_IO_BROKER_IO_H_

#include <sys/epoll.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "plugin/io/blocks.h"

namespace parley::io {

// Descriptors that one Wait writes to; and events that it gives while more wait to be written to.
inline constexpr int kTurnWritesMax = 32;

// The calls below this class. As libc's.
struct Kernel {
  int (*epoll_ctl)(int set, int operation, int fd, epoll_event* event);
  int (*epoll_wait)(int set, epoll_event* events, int events_max, int timeout_ms);
  ssize_t (*read)(int fd, void* data, size_t bytes);
  ssize_t (*write)(int fd, const void* data, size_t bytes);
  ssize_t (*readv)(int fd, const iovec* parts, int count);
  ssize_t (*writev)(int fd, const iovec* parts, int count);
};

class BrokerIo {
 public:
  // For the epoll set `set`, which has nothing in it.
  BrokerIo(const Kernel& kernel, int set) : kernel_(kernel), set_(set) {}
  // Frees; sends nothing.
  ~BrokerIo();
  BrokerIo(const BrokerIo&) = delete;
  BrokerIo& operator=(const BrokerIo&) = delete;

  int set() const { return set_; }

  int Control(int operation, int fd, epoll_event* event);
  int Wait(epoll_event* events, int events_max, int timeout_ms);
  ssize_t Read(int fd, void* data, size_t bytes);
  ssize_t Write(int fd, const void* data, size_t bytes);

  // Before a call on `fd` that this class doesn't have: what was gathered for it goes to the
  // kernel.
  void Flush(int fd);
  // The same of all descriptors.
  void FlushAll();
  // Before `fd` is closed.
  void Closing(int fd);
  // When the number `fd` is found to be another descriptor's, whose the bytes here aren't.
  void Forget(int fd);

  // Blocks in use: 0 when all that was read was asked for, and all that was written is out.
  size_t blocks() const { return blocks_.taken(); }

 private:
  struct Descriptor {
    epoll_event wanted{};  // by the broker
    uint32_t told = 0;     // to the kernel
    int error = 0;         // of a write after Write took the bytes
    uint32_t turn = 0;     // the last in which the kernel reported it
    Bytes in;
    Bytes out;
    bool in_set = false;
    bool buffered = false;  // a stream socket, level-triggered
    bool full = false;      // the kernel had no room for all of `out`
    // Whether it stands in the list of that name. Outlives Forget, as its place in the list does.
    bool is_changed = false;
    bool is_gathered = false;
    bool is_due = false;
  };
  // Descriptor numbers, each at most once.
  struct List {
    int* fds = nullptr;
    int count = 0;
    void Add(int fd, bool* is_listed);
  };

  Descriptor* Find(int fd) { return fd >= 0 && fd < table_size_ ? &table_[fd] : nullptr; }
  // Makes the table and the lists reach to fd. False without memory.
  bool Reach(int fd);

  int Add(int fd, epoll_event* event);
  int Modify(int fd, Descriptor* descriptor, const epoll_event& event);
  int Delete(int fd, Descriptor* descriptor);
  int Tell(int fd, Descriptor* descriptor);

  ssize_t ReadAhead(int fd, Descriptor* descriptor, void* data, size_t bytes);
  ssize_t WriteThrough(int fd, Descriptor* descriptor, const void* data, size_t bytes);
  void WriteOut(int fd, Descriptor* descriptor);
  void Full(int fd, Descriptor* descriptor);
  // What Wait owes the broker of it, beside what the kernel says.
  static uint32_t Due(const Descriptor& descriptor);

  int WriteGathered(int most);
  void TellChanged();
  int PruneDue();
  int Translate(epoll_event* events, int count);
  uint32_t Settle(int fd, Descriptor* descriptor, uint32_t events);
  int AddDue(epoll_event* events, int count, int events_max);

  const Kernel kernel_;
  const int set_;
  Descriptor* table_ = nullptr;
  int table_size_ = 0;
  List changed_;   // `told` may not be what is wanted
  List gathered_;  // have bytes in `out` since the last Wait
  List due_;       // may owe the broker an event
  uint32_t turn_ = 0;
  Blocks blocks_;
};

}  // namespace parley::io

#endif  // PARLEY_PLUGIN_IO_BROKER_IO_H_
