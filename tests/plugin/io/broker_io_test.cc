#include "plugin/io/broker_io.h"

#include <algorithm>
#include <csignal>
#include <map>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/plugin/io/sockets.h"

namespace parley::io {
namespace {

// A loop's view: BrokerIo, and connections in its set whose data is their descriptor.
class Loop {
 public:
  Loop() : set_(Checked(epoll_create1(0))), io_(CountingKernel(), set_) { Calls::Reset(); }
  ~Loop() {
    for (const Pair& pair : pairs_) {
      close(pair.ours);
      close(pair.peer);
    }
    close(set_);
  }

  Pair Connect(Pair pair = Pair::Unix()) {
    pairs_.push_back(pair);
    REQUIRE(Control(EPOLL_CTL_ADD, pair.ours, EPOLLIN) == 0);
    Calls::Reset();
    return pair;
  }
  int Control(int operation, int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    return io_.Control(operation, fd, &event);
  }
  // As Mosquitto wants EPOLLOUT: ADD, which fails, then MOD (src/mux_epoll.c).
  void Want(int fd, uint32_t events) {
    REQUIRE(Control(EPOLL_CTL_ADD, fd, events) == -1);
    REQUIRE(errno == EEXIST);
    REQUIRE(Control(EPOLL_CTL_MOD, fd, events) == 0);
  }
  // The events of one turn, by descriptor.
  std::map<int, uint32_t> Turn(int events_max = 100, int timeout_ms = 0) {
    std::vector<epoll_event> events(static_cast<size_t>(events_max));
    int count = io_.Wait(events.data(), events_max, timeout_ms);
    REQUIRE(count >= 0);
    std::map<int, uint32_t> found;
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      REQUIRE(found.emplace(event.data.fd, event.events).second);
    }
    return found;
  }
  std::string Read(int fd, size_t bytes) {
    std::string data(bytes, '\0');
    ssize_t got = io_.Read(fd, data.data(), bytes);
    REQUIRE(got >= 0);
    data.resize(static_cast<size_t>(got));
    return data;
  }
  ssize_t Write(int fd, const std::string& data) { return io_.Write(fd, data.data(), data.size()); }
  // Writes until there is no room, as much as 1 MiB.
  size_t Fill(int fd, std::string* sent) {
    const std::string chunk(1000, 'x');
    size_t turns = 0;
    while (sent->size() < 1 << 20) {
      ssize_t taken = Write(fd, chunk);
      if (taken < 0) {
        REQUIRE(errno == EAGAIN);
        return turns;
      }
      sent->append(chunk, 0, static_cast<size_t>(taken));
      if (++turns % 3 == 0) Turn();
    }
    FAIL("the socket never filled");
    return 0;
  }
  void Close(int fd) {
    io_.Closing(fd);
    auto pair =
        std::find_if(pairs_.begin(), pairs_.end(), [fd](const Pair& p) { return p.ours == fd; });
    REQUIRE(pair != pairs_.end());
    close(pair->ours);
    close(pair->peer);
    pairs_.erase(pair);
  }
  void CloseOurs(int fd) {
    io_.Closing(fd);
    for (Pair& pair : pairs_) {
      if (pair.ours == fd) pair.ours = -1;
    }
    close(fd);
  }
  void LeavePeer(int fd) {
    for (Pair& pair : pairs_) {
      if (pair.peer == fd) pair.peer = -1;
    }
    close(fd);
  }
  BrokerIo& io() { return io_; }

 private:
  int set_;
  BrokerIo io_;
  std::vector<Pair> pairs_;
};

void Send(int fd, const std::string& data) {
  REQUIRE(write(fd, data.data(), data.size()) == static_cast<ssize_t>(data.size()));
}

TEST_CASE("what a loop wants for a moment is never told to the kernel") {
  Loop loop;
  Pair pair = loop.Connect();
  for (int i = 0; i < 10; ++i) {
    loop.Want(pair.ours, EPOLLIN | EPOLLOUT);
    loop.Want(pair.ours, EPOLLIN);
  }
  CHECK(loop.Turn().empty());
  CHECK(Calls::Get().controls == 0);
}

TEST_CASE("what a loop still wants in the next turn is told once") {
  Loop loop;
  Pair pair = loop.Connect();
  loop.Want(pair.ours, EPOLLIN | EPOLLOUT);
  CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLOUT}});
  CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLOUT}});
  CHECK(Calls::Get().controls == 1);
  loop.Want(pair.ours, EPOLLIN);
  CHECK(loop.Turn().empty());
  CHECK(Calls::Get().controls == 2);
}

TEST_CASE("epoll_ctl refuses what the kernel refuses") {
  Loop loop;
  Pair pair = loop.Connect();
  CHECK(loop.Control(EPOLL_CTL_MOD, pair.peer, EPOLLIN) == -1);
  CHECK(errno == ENOENT);
  CHECK(loop.Control(EPOLL_CTL_DEL, pair.peer, 0) == -1);
  CHECK(errno == ENOENT);
  CHECK(loop.Control(EPOLL_CTL_ADD, -1, EPOLLIN) == -1);
  CHECK(errno == EBADF);
  CHECK(loop.io().Control(EPOLL_CTL_MOD, pair.ours, nullptr) == -1);
  CHECK(errno == EFAULT);
  CHECK(loop.Control(99, pair.ours, EPOLLIN) == -1);
  CHECK(errno == EINVAL);
  CHECK(loop.Control(EPOLL_CTL_DEL, pair.ours, 0) == 0);
  CHECK(loop.Control(EPOLL_CTL_MOD, pair.ours, EPOLLIN) == -1);
  CHECK(errno == ENOENT);
}

TEST_CASE("a loop hears nothing of a descriptor that it took out") {
  Loop loop;
  Pair pair = loop.Connect();
  Send(pair.peer, "hello");
  CHECK(loop.Read(pair.ours, 1) == "h");
  REQUIRE(loop.Control(EPOLL_CTL_DEL, pair.ours, 0) == 0);
  CHECK(loop.Turn().empty());
  CHECK(loop.Read(pair.ours, 10) == "ello");
  SECTION("and hears of it again when it is back") {
    Send(pair.peer, "more");
    REQUIRE(loop.Control(EPOLL_CTL_ADD, pair.ours, EPOLLIN) == 0);
    CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLIN}});
    CHECK(loop.Read(pair.ours, 10) == "more");
  }
}

TEST_CASE("three packets are one read, and a turn each") {
  Loop loop;
  Pair pair = loop.Connect();
  Send(pair.peer, "aAbBcC");
  std::string packets;
  for (int turn = 0; turn < 3; ++turn) {
    REQUIRE(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLIN}});
    packets += loop.Read(pair.ours, 1);
    packets += loop.Read(pair.ours, 1);
  }
  CHECK(packets == "aAbBcC");
  CHECK(Calls::Get().reads == 1);
  CHECK(loop.Turn(100, 1).empty());
  CHECK(Calls::Get().timeout_ms == 1);  // nothing is left to hurry for
  CHECK(loop.io().blocks() == 0);
}

TEST_CASE("the end comes after the last byte") {
  Loop loop;
  Pair pair = loop.Connect();
  Send(pair.peer, "last");
  REQUIRE(shutdown(pair.peer, SHUT_WR) == 0);
  CHECK((loop.Turn()[pair.ours] & EPOLLIN) != 0);
  CHECK(loop.Read(pair.ours, 1) == "l");
  CHECK((loop.Turn()[pair.ours] & EPOLLIN) != 0);
  CHECK(loop.Read(pair.ours, 10) == "ast");
  CHECK((loop.Turn()[pair.ours] & EPOLLIN) != 0);
  CHECK(loop.Read(pair.ours, 10).empty());
}

TEST_CASE("who doesn't want EPOLLIN isn't told of bytes, until it does") {
  Loop loop;
  Pair pair = loop.Connect();
  Send(pair.peer, "hello");
  CHECK(loop.Read(pair.ours, 1) == "h");
  loop.Want(pair.ours, 0);
  CHECK(loop.Turn().empty());
  loop.Want(pair.ours, EPOLLIN);
  CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLIN}});
}

TEST_CASE("the writes of a turn are one") {
  Loop loop;
  Pair pair = loop.Connect();
  for (const char* part : {"one ", "two ", "three"}) CHECK(loop.Write(pair.ours, part) > 0);
  CHECK(ReadAvailable(pair.peer).empty());
  loop.Turn();
  CHECK(ReadAvailable(pair.peer) == "one two three");
  CHECK(Calls::Get().writes == 1);
  CHECK(loop.io().blocks() == 0);
}

TEST_CASE("of many that were written to, the longest waiting are first, and more joins the rest") {
  Loop loop;
  std::vector<Pair> pairs;
  for (int i = 0; i < kTurnWritesMax + 2; ++i) pairs.push_back(loop.Connect());
  for (const Pair& pair : pairs) REQUIRE(loop.Write(pair.ours, "one ") == 4);
  loop.Turn(100, 1000);
  CHECK(Calls::Get().timeout_ms == 0);
  CHECK(ReadAvailable(pairs[kTurnWritesMax - 1].peer) == "one ");
  CHECK(ReadAvailable(pairs[kTurnWritesMax].peer).empty());
  for (const Pair& pair : pairs) REQUIRE(loop.Write(pair.ours, "two") == 3);
  loop.Turn(100, 1000);
  CHECK(ReadAvailable(pairs[kTurnWritesMax + 1].peer) == "one two");
  CHECK(ReadAvailable(pairs[0].peer) == "one two");
  loop.Turn(100, 1);
  CHECK(Calls::Get().timeout_ms == 1);
  CHECK(ReadAvailable(pairs[kTurnWritesMax - 1].peer) == "two");
  CHECK(Calls::Get().writes == 2 * kTurnWritesMax + 2);
}

TEST_CASE("while many wait to be written to, a turn isn't longer for those who send") {
  Loop loop;
  std::vector<Pair> pairs;
  for (int i = 0; i < 2 * kTurnWritesMax; ++i) {
    pairs.push_back(loop.Connect());
    Send(pairs.back().peer, "x");
  }
  for (const Pair& pair : pairs) REQUIRE(loop.Write(pair.ours, "y") == 1);
  CHECK(loop.Turn(1000).size() == static_cast<size_t>(kTurnWritesMax));
  CHECK(loop.Turn(1000).size() == 2 * static_cast<size_t>(kTurnWritesMax));
}

TEST_CASE("what doesn't fit into a block goes with what was gathered") {
  Loop loop;
  Pair pair = loop.Connect();
  std::string small = "small";
  std::string big(2 * kBlockBytes, 'b');
  CHECK(loop.Write(pair.ours, small) == 5);
  CHECK(loop.Write(pair.ours, big) == static_cast<ssize_t>(big.size()));
  CHECK(ReadAvailable(pair.peer) == small + big);
  CHECK(Calls::Get().writes == 1);
}

TEST_CASE("a kernel with room for what was gathered alone says EAGAIN for the rest") {
  Loop loop;
  Pair pair = loop.Connect();
  const std::string big(2 * kBlockBytes, 'b');
  REQUIRE(loop.Write(pair.ours, "12345") == 5);
  Calls::Get().room = GENERATE(3u, 5u);
  CHECK(loop.Write(pair.ours, big) == -1);
  CHECK(errno == EAGAIN);
  Calls::Get().room = ~size_t{0};
  loop.Turn();
  CHECK(loop.Write(pair.ours, "6") == 1);
  loop.Turn();
  CHECK(ReadAvailable(pair.peer) == "123456");
}

TEST_CASE("a kernel with room for more takes a part of it") {
  Loop loop;
  Pair pair = loop.Connect();
  REQUIRE(loop.Write(pair.ours, "12345") == 5);
  Calls::Get().room = 7;
  CHECK(loop.Write(pair.ours, std::string(kBlockBytes, 'b')) == 2);
  CHECK(ReadAvailable(pair.peer) == "12345bb");
}

TEST_CASE("what was gathered is out before its descriptor is used otherwise") {
  Loop loop;
  Pair pair = loop.Connect();
  REQUIRE(loop.Write(pair.ours, "gathered") == 8);
  SECTION("by another call") {
    loop.io().Flush(pair.ours);
    CHECK(ReadAvailable(pair.peer) == "gathered");
  }
  SECTION("by all, as before fork") {
    loop.io().FlushAll();
    CHECK(ReadAvailable(pair.peer) == "gathered");
  }
  SECTION("closed") {
    loop.io().Closing(pair.ours);
    CHECK(ReadAvailable(pair.peer) == "gathered");
  }
  SECTION("taken out of the set") {
    REQUIRE(loop.Control(EPOLL_CTL_DEL, pair.ours, 0) == 0);
    CHECK(ReadAvailable(pair.peer) == "gathered");
  }
  CHECK(loop.io().blocks() == 0);
}

TEST_CASE("a slow reader's socket fills, says so, and tells of room") {
  Loop loop;
  Pair pair = loop.Connect(GENERATE(0, 1) == 0 ? Pair::Unix() : Pair::Tcp());
  std::string sent;
  loop.Fill(pair.ours, &sent);
  CHECK(loop.io().blocks() <= 1);
  loop.Want(pair.ours, EPOLLIN | EPOLLOUT);
  CHECK(loop.Turn().empty());
  CHECK(loop.Write(pair.ours, "y") == -1);
  CHECK(errno == EAGAIN);

  std::string got = ReadAvailable(pair.peer);
  while (loop.Turn(100, 1000).count(pair.ours) == 0) got += ReadAvailable(pair.peer);
  CHECK(loop.Write(pair.ours, "end") == 3);
  loop.Want(pair.ours, EPOLLIN);
  loop.Turn();
  for (int tries = 0; got.size() < sent.size() + 3 && tries < 1000; ++tries) {
    got += ReadAvailable(pair.peer);
    loop.Turn(100, 1);
  }
  CHECK(got == sent + "end");
  CHECK(loop.io().blocks() == 0);
}

TEST_CASE("a full socket gets what was promised though the loop doesn't ask for room") {
  Loop loop;
  Pair pair = loop.Connect();
  std::string sent;
  loop.Fill(pair.ours, &sent);
  std::string got;
  for (int tries = 0; got.size() < sent.size() && tries < 1000; ++tries) {
    got += ReadAvailable(pair.peer);
    CHECK(loop.Turn(100, 1).empty());
  }
  CHECK(got == sent);
  Calls::Reset();
  loop.Turn();
  CHECK(Calls::Get().controls <= 1);
  CHECK(Calls::Get().events == 0);  // EPOLLOUT was taken back
}

TEST_CASE("a full socket that leaves the set and comes back keeps its order") {
  Loop loop;
  Pair pair = loop.Connect();
  std::string sent;
  loop.Fill(pair.ours, &sent);
  REQUIRE(loop.Control(EPOLL_CTL_DEL, pair.ours, 0) == 0);
  if (GENERATE(false, true)) {
    CHECK(loop.Write(pair.ours, "z") == -1);
    CHECK(errno == EAGAIN);
  }
  loop.Turn();
  REQUIRE(loop.Control(EPOLL_CTL_ADD, pair.ours, EPOLLIN) == 0);
  std::string got;
  for (int tries = 0; got.size() < sent.size() && tries < 1000; ++tries) {
    got += ReadAvailable(pair.peer);
    loop.Turn(100, 1);
  }
  CHECK(got == sent);
}

TEST_CASE("an error after a write was taken is told by the next, and by epoll") {
  Loop loop;
  Pair pair = loop.Connect();
  REQUIRE(loop.Write(pair.ours, "lost") == 4);
  Calls::Get().write_error = EPIPE;
  CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLERR | EPOLLHUP}});
  CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLERR | EPOLLHUP}});
  CHECK(loop.Write(pair.ours, "more") == -1);
  CHECK(errno == EPIPE);
  CHECK(loop.Turn().empty());
}

TEST_CASE("a peer that is gone is noticed, and nothing is kept for it") {
  Loop loop;
  Pair pair = loop.Connect(GENERATE(0, 1) == 0 ? Pair::Unix() : Pair::Tcp());
  signal(SIGPIPE, SIG_IGN);
  Send(pair.peer, "bye");
  REQUIRE(loop.Write(pair.ours, "unread") == 6);
  loop.Turn();
  loop.LeavePeer(pair.peer);
  CHECK((loop.Turn(100, 1000)[pair.ours] & EPOLLIN) != 0);
  REQUIRE(loop.Write(pair.ours, "to nobody") == 9);
  CHECK((loop.Turn(100, 1000)[pair.ours] & (EPOLLIN | EPOLLHUP)) != 0);
  loop.io().Closing(pair.ours);
  CHECK(loop.io().blocks() == 0);
}

TEST_CASE("a TCP connection that is closed with bytes unread is reset, and else ended") {
  Loop loop;
  Pair pair = loop.Connect(Pair::Tcp());
  Send(pair.peer, "ab");
  CHECK(loop.Turn(100, 1000).count(pair.ours) == 1);
  bool all_read = GENERATE(false, true);
  CHECK(loop.Read(pair.ours, 1) == "a");
  if (all_read) CHECK(loop.Read(pair.ours, 1) == "b");
  loop.CloseOurs(pair.ours);
  pollfd readable{pair.peer, POLLIN, 0};
  REQUIRE(poll(&readable, 1, 1000) == 1);
  char byte;
  ssize_t got = read(pair.peer, &byte, 1);
  if (all_read) {
    CHECK(got == 0);
  } else {
    CHECK(got == -1);
    CHECK(errno == ECONNRESET);
  }
}

TEST_CASE("a descriptor's number can be used again") {
  Loop loop;
  Pair old_pair = loop.Connect();
  Send(old_pair.peer, "of the old one");
  CHECK(loop.Read(old_pair.ours, 1) == "o");
  loop.Want(old_pair.ours, EPOLLIN | EPOLLOUT);
  REQUIRE(loop.Write(old_pair.ours, "for the old one") > 0);
  loop.Close(old_pair.ours);

  Pair pair = loop.Connect();
  REQUIRE(pair.ours == old_pair.ours);
  CHECK(loop.Turn().empty());
  CHECK(ReadAvailable(pair.peer).empty());
  Send(pair.peer, "of the new one");
  CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLIN}});
  CHECK(loop.Read(pair.ours, 100) == "of the new one");
}

TEST_CASE("a number that was closed unseen is noticed by its next owner's pointer") {
  Loop loop;
  Pair pair = loop.Connect();
  Send(pair.peer, "of the old one");
  CHECK(loop.Read(pair.ours, 1) == "o");
  REQUIRE(loop.Write(pair.ours, "for the old one") > 0);
  Pair next = Pair::Unix();
  REQUIRE(dup2(next.ours, pair.ours) == pair.ours);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = 12345;
  REQUIRE(loop.io().Control(EPOLL_CTL_ADD, pair.ours, &event) == 0);
  CHECK(loop.Turn().empty());
  CHECK(ReadAvailable(next.peer).empty());
  Send(next.peer, "new");
  CHECK(loop.Turn() == std::map<int, uint32_t>{{12345, EPOLLIN}});
  CHECK(loop.Read(pair.ours, 100) == "new");
  close(next.ours);
  close(next.peer);
}

TEST_CASE("edge-triggered and one-shot descriptors are the kernel's") {
  Loop loop;
  Pair pair = loop.Connect();
  uint32_t mode = GENERATE(static_cast<uint32_t>(EPOLLET), static_cast<uint32_t>(EPOLLONESHOT));
  REQUIRE(loop.Control(EPOLL_CTL_MOD, pair.ours, EPOLLIN | mode) == 0);
  Send(pair.peer, "hello");
  CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLIN}});
  CHECK(loop.Read(pair.ours, 1) == "h");
  CHECK(loop.Turn().empty());
  REQUIRE(loop.Control(EPOLL_CTL_MOD, pair.ours, EPOLLIN | mode) == 0);
  CHECK(loop.Turn() == std::map<int, uint32_t>{{pair.ours, EPOLLIN}});
  CHECK(loop.Write(pair.ours, "out") == 3);
  CHECK(ReadAvailable(pair.peer) == "out");
}

TEST_CASE("what isn't a stream socket is left alone") {
  Loop loop;
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
  REQUIRE(loop.Control(EPOLL_CTL_ADD, ends[0], EPOLLIN) == 0);
  Send(ends[1], "abc");
  CHECK(loop.Turn() == std::map<int, uint32_t>{{ends[0], EPOLLIN}});
  CHECK(loop.Read(ends[0], 1) == "a");
  CHECK(ReadAvailable(ends[0]) == "bc");
  loop.io().Closing(ends[0]);
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("who sends a flood is heard once in a turn, and so is everybody else") {
  Loop loop;
  Pair flood = loop.Connect();
  Pair other = loop.Connect();
  Send(flood.peer, std::string(3 * kBlockBytes, 'f'));
  for (int turn = 0; turn < 20; ++turn) {
    REQUIRE(loop.Turn().count(flood.ours) == 1);
    CHECK(loop.Read(flood.ours, 2) == "ff");
  }
  Send(other.peer, "o");
  std::map<int, uint32_t> events = loop.Turn();
  CHECK(events.count(flood.ours) == 1);
  CHECK(events.count(other.ours) == 1);
}

TEST_CASE("when there are more than events, each has its turn") {
  Loop loop;
  constexpr int kFloods = 7;
  std::vector<Pair> floods;
  for (int i = 0; i < kFloods; ++i) {
    floods.push_back(loop.Connect());
    Send(floods.back().peer, std::string(1000, 'f'));
  }
  for (const Pair& pair : floods) REQUIRE(loop.Read(pair.ours, 1) == "f");
  const Pair quiet[] = {loop.Connect(), loop.Connect()};
  for (const Pair& pair : quiet) Send(pair.peer, "q");
  std::map<int, int> heard;
  for (int turn = 0; turn < 12; ++turn) {
    for (const auto& [fd, events] : loop.Turn(4)) {
      ++heard[fd];
      if (fd != quiet[0].ours && fd != quiet[1].ours) loop.Read(fd, 2);
    }
  }
  for (const Pair& pair : quiet) CHECK(heard[pair.ours] == 12);  // the kernel's half
  for (const Pair& pair : floods) CHECK(heard[pair.ours] >= 3);
}

TEST_CASE("a loop that can't wait for its bytes is never kept waiting") {
  Loop loop;
  Pair pair = loop.Connect();
  Send(pair.peer, "ab");
  CHECK(loop.Read(pair.ours, 1) == "a");
  CHECK(loop.Turn(1, -1) == std::map<int, uint32_t>{{pair.ours, EPOLLIN}});
}

}  // namespace
}  // namespace parley::io
