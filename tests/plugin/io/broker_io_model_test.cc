// A broker's loop as Mosquitto has it, over BrokerIo and over plain system calls, with clients that
// split and merge what they send, read slowly, close half or all, and flood. Whatever the loop
// stands on, each side gets what the other sent: in order, whole, and then the end.
//
// PARLEY_IO_SEEDS=FIRST:COUNT runs other seeds; script/io-model does so for hours.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "plugin/io/broker_io.h"
#include "tests/catch.h"
#include "tests/plugin/io/sockets.h"

namespace parley::io {
namespace {

// Catch2's own assertions would be most of the time.
#define PARLEY_MUST(holds) \
  if (!(holds)) FAIL(#holds)

// The kernel itself, with BrokerIo's face.
class PlainIo {
 public:
  PlainIo(const Kernel&, int set) : set_(set) {}
  int Control(int operation, int fd, epoll_event* event) {
    return epoll_ctl(set_, operation, fd, event);
  }
  int Wait(epoll_event* events, int events_max, int timeout_ms) {
    return epoll_wait(set_, events, events_max, timeout_ms);
  }
  ssize_t Read(int fd, void* data, size_t bytes) { return read(fd, data, bytes); }
  ssize_t Write(int fd, const void* data, size_t bytes) { return write(fd, data, bytes); }
  void Closing(int) {}
  size_t blocks() const { return 0; }

 private:
  int set_;
};

// A packet: two bytes of length, the number of the client that it is for, and text.
std::string Packet(size_t to, const std::string& text) {
  std::string packet;
  packet += static_cast<char>(text.size() >> 8);
  packet += static_cast<char>(text.size() & 0xFF);
  packet += static_cast<char>(to);
  return packet + text;
}

// One connection, both sides of it.
struct Connection {
  Pair pair;
  // The client's: what it has yet to send, what it got.
  std::string unsent;
  std::string got;
  bool saw_end = false;
  bool said_end = false;
  bool slow = false;
  // The broker's: the packet being read, the queue to write, and what is wanted of epoll.
  std::string packet;
  std::deque<std::string> queue;
  uint32_t events = EPOLLIN;
  bool closed = false;
  // The model's: what each side is to get.
  std::string to_broker;
  std::string at_broker;
  std::string to_client;
};

template <class Io>
class World {
 public:
  explicit World(unsigned seed)
      : random_(seed), set_(Checked(epoll_create1(0))), io_(CountingKernel(), set_) {
    for (size_t i = 0; i < kConnections; ++i) Open(i);
  }
  ~World() {
    for (auto& connection : connections_) Drop(connection.get());
    close(set_);
  }

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      ClientStep(Below(kConnections));
      if (Below(3) == 0) Turn();
    }
    Finish();
  }

 private:
  static constexpr size_t kConnections = 5;
  static constexpr size_t kUnsentMax = 200000;

  size_t Below(size_t bound) { return random_() % bound; }

  void Open(size_t at) {
    connections_[at] = std::make_unique<Connection>();
    Connection& connection = *connections_[at];
    connection.pair = Below(2) == 0 ? Pair::Unix() : Pair::Tcp();
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &connection;
    PARLEY_MUST(io_.Control(EPOLL_CTL_ADD, connection.pair.ours, &event) == 0);
  }

  // --- the clients ---

  void ClientStep(size_t at) {
    Connection& connection = *connections_[at];
    switch (Below(12)) {
      case 0:
      case 1:
      case 2:
        return Say(&connection, 1 + Below(4));
      case 3:
        return Say(&connection, 1 + Below(200));  // a flood
      case 4:
      case 5:
      case 6:
      case 7:
        return Send(&connection, 1 + Below(Below(2) == 0 ? 7 : 20000));
      case 8:
      case 9:
        if (!connection.slow) Receive(&connection, 1 + Below(50000));
        return;
      case 10:
        connection.slow = !connection.slow && Below(4) == 0;
        return;
      default:
        if (Below(8) == 0) HalfClose(&connection);
        if (Below(40) == 0) Leave(at);
    }
  }

  void Say(Connection* connection, size_t packets) {
    if (connection->said_end || connection->unsent.size() > kUnsentMax) return;
    for (size_t i = 0; i < packets; ++i) {
      std::string text(Below(10) == 0 ? Below(20000) : Below(300), '\0');
      for (char& c : text) c = static_cast<char>('a' + random_() % 26);
      std::string packet = Packet(Below(kConnections), text);
      connection->unsent += packet;
      connection->to_broker += packet;
    }
  }
  // Part of what is unsent, whatever packet it ends in.
  void Send(Connection* connection, size_t bytes) {
    bytes = std::min(bytes, connection->unsent.size());
    if (bytes == 0) return;
    ssize_t sent = write(connection->pair.peer, connection->unsent.data(), bytes);
    if (sent > 0) connection->unsent.erase(0, static_cast<size_t>(sent));
  }
  void Receive(Connection* connection, size_t bytes) {
    std::string data(bytes, '\0');
    ssize_t got = read(connection->pair.peer, data.data(), bytes);
    if (got > 0) connection->got.append(data, 0, static_cast<size_t>(got));
    connection->saw_end |= got == 0;
    CheckClient(*connection);
  }
  void HalfClose(Connection* connection) {
    if (connection->said_end || !connection->unsent.empty()) return;
    connection->said_end = true;
    PARLEY_MUST(shutdown(connection->pair.peer, SHUT_WR) == 0);
  }
  // Without a word; another comes in its place, maybe with its descriptors.
  void Leave(size_t at) {
    close(connections_[at]->pair.peer);
    connections_[at]->pair.peer = -1;
    for (int turns = 0; !connections_[at]->closed; ++turns) {
      PARLEY_MUST(turns < 100000);
      Turn(1);
    }
    gone_.push_back(std::move(connections_[at]));
    Open(at);
  }

  // --- the broker, as src/mux_epoll.c and lib/packet_mosq.c ---

  void Turn(int timeout_ms = 0) {
    std::array<epoll_event, 4> events;
    int count = io_.Wait(events.data(), static_cast<int>(events.size()), timeout_ms);
    PARLEY_MUST(count >= 0);
    for (int i = 0; i < count; ++i) {
      auto* connection = static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
      Handle(connection, events[static_cast<size_t>(i)].events);
    }
    gone_.clear();
    PARLEY_MUST(io_.blocks() <= 2 * kConnections);
  }
  void Handle(Connection* connection, uint32_t events) {
    if (connection->closed) return;
    if ((events & EPOLLOUT) != 0 && !WriteQueue(connection)) return Disconnect(connection);
    if ((events & EPOLLIN) != 0) {
      if (!ReadPacket(connection)) Disconnect(connection);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
      Disconnect(connection);
    }
  }
  // At most one, and what there is of it.
  bool ReadPacket(Connection* connection) {
    std::string& packet = connection->packet;
    for (;;) {
      size_t wanted = 1;
      if (packet.size() >= 2) {
        size_t length = static_cast<unsigned char>(packet[0]) * 256u +
                        static_cast<unsigned char>(packet[1]) + 3;
        if (packet.size() == length) break;
        wanted = length - packet.size();
      }
      std::string data(wanted, '\0');
      ssize_t got = io_.Read(connection->pair.ours, data.data(), wanted);
      if (got < 0) return errno == EAGAIN;
      if (got == 0) return false;
      packet.append(data, 0, static_cast<size_t>(got));
      connection->at_broker.append(data, 0, static_cast<size_t>(got));
    }
    Connection* to = connections_[static_cast<size_t>(packet[2])].get();
    std::string text = std::move(packet);
    packet.clear();
    return Queue(to, text) || to != connection;
  }
  bool Queue(Connection* to, const std::string& packet) {
    if (to->closed || to->queue.size() > 50) return true;
    to->queue.push_back(packet);
    to->to_client += packet;
    return WriteQueue(to);
  }
  bool WriteQueue(Connection* connection) {
    if (connection->queue.empty()) return true;
    Want(connection, EPOLLIN | EPOLLOUT);
    while (!connection->queue.empty()) {
      std::string& packet = connection->queue.front();
      ssize_t taken = io_.Write(connection->pair.ours, packet.data(), packet.size());
      if (taken < 0) return errno == EAGAIN;
      packet.erase(0, static_cast<size_t>(taken));
      if (packet.empty()) connection->queue.pop_front();
    }
    Want(connection, EPOLLIN);
    return true;
  }
  void Want(Connection* connection, uint32_t wanted) {
    if (connection->events == wanted) return;
    epoll_event event{};
    event.events = connection->events = wanted;
    event.data.ptr = connection;
    if (io_.Control(EPOLL_CTL_ADD, connection->pair.ours, &event) == 0) FAIL("it was in the set");
    PARLEY_MUST(errno == EEXIST);
    PARLEY_MUST(io_.Control(EPOLL_CTL_MOD, connection->pair.ours, &event) == 0);
  }
  void Disconnect(Connection* connection) {
    PARLEY_MUST(io_.Control(EPOLL_CTL_DEL, connection->pair.ours, nullptr) == 0);
    io_.Closing(connection->pair.ours);
    close(connection->pair.ours);
    connection->pair.ours = -1;
    connection->closed = true;
    CheckBroker(*connection);
  }
  void Drop(Connection* connection) {
    if (!connection->closed) Disconnect(connection);
    if (connection->pair.peer >= 0) close(connection->pair.peer);
    connection->pair.peer = -1;
  }

  // --- what must hold ---

  static void CheckBroker(const Connection& connection) {
    PARLEY_MUST(connection.to_broker.starts_with(connection.at_broker));
    // A client that closed its half without a fault has been heard to its end.
    if (connection.said_end && connection.queue.empty() && connection.pair.peer >= 0) {
      PARLEY_MUST(connection.at_broker.size() == connection.to_broker.size());
    }
  }
  static void CheckClient(const Connection& connection) {
    PARLEY_MUST(connection.to_client.starts_with(connection.got));
  }

  // Everybody sends and reads all.
  void Finish() {
    for (int turns = 0; !AllIsThere(); ++turns) {
      PARLEY_MUST(turns < 100000);
      for (auto& connection : connections_) {
        Send(connection.get(), kUnsentMax);
        Receive(connection.get(), kUnsentMax);
      }
      Turn();
    }
    for (auto& connection : connections_) Drop(connection.get());
    PARLEY_MUST(io_.blocks() == 0);
  }
  bool AllIsThere() const {
    return std::all_of(connections_.begin(), connections_.end(), [](const auto& connection) {
      if (connection->closed) return connection->saw_end || connection->said_end;
      return !connection->said_end && connection->unsent.empty() &&
             connection->at_broker == connection->to_broker &&
             connection->got == connection->to_client;
    });
  }

  std::mt19937 random_;
  int set_;
  Io io_;
  std::array<std::unique_ptr<Connection>, kConnections> connections_;
  std::vector<std::unique_ptr<Connection>> gone_;  // until the next turn, as Mosquitto's
};

struct Seeds {
  unsigned first = 1;
  unsigned count = 6;
};

Seeds ChosenSeeds() {
  Seeds seeds;
  if (const char* chosen = std::getenv("PARLEY_IO_SEEDS")) {
    char* rest = nullptr;
    seeds.first = static_cast<unsigned>(std::strtoul(chosen, &rest, 10));
    if (*rest == ':') seeds.count = static_cast<unsigned>(std::strtoul(rest + 1, nullptr, 10));
  }
  return seeds;
}

template <class Io>
void RunSeeds(Seeds seeds) {
  signal(SIGPIPE, SIG_IGN);
  for (unsigned seed = seeds.first; seed < seeds.first + seeds.count; ++seed) {
    INFO("PARLEY_IO_SEEDS=" << seed << ":1");
    World<Io>(seed).Run(1000);
  }
}

TEST_CASE("over plain system calls, both sides get all that was sent, in order") {
  RunSeeds<PlainIo>({.first = ChosenSeeds().first, .count = 2});
}

TEST_CASE("over BrokerIo, both sides get all that was sent, in order") {
  RunSeeds<BrokerIo>(ChosenSeeds());
}

}  // namespace
}  // namespace parley::io
