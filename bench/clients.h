// Many MQTT clients on one epoll set, in one thread, as cheap for each message as can be: one read
// takes all that came, PUBACKs and publishes are gathered and written once for each client at the
// end of a turn. Time is taken once for each read. Any failure of a connection ends the program,
// for a bench that lost a client has no result, unless the run overrides ClientEvents::OnLost.
#ifndef PARLEY_BENCH_CLIENTS_H_
#define PARLEY_BENCH_CLIENTS_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "bench/mqtt_frames.h"

namespace parley::bench {

// Prints the message and exits with code 2.
[[noreturn]] void Die(const std::string& message);

// CLOCK_MONOTONIC.
int64_t NowNs();

struct Endpoint {
  std::string host = "127.0.0.1";
  uint16_t port = 1883;
  MqttVersion version = MqttVersion::k311;
  int qos = 1;                // of publishes
  int sub_qos = 1;            // of subscriptions
  uint16_t keep_alive_s = 0;  // that CONNECT asks for; the run sends the pings. 0: none
};

struct Client {
  size_t index;
  std::string user;
  std::string client_id;
  std::string password;
  std::vector<std::string> filters;
  Will will;

  int fd = -1;
  bool subscribed = false;
  bool dirty = false;       // in the list of those with something to write
  bool want_write = false;  // epoll tells when it can be written
  uint16_t receive_max = 0xffff;
  uint16_t unacked = 0;  // QoS 1 publishes without their PUBACK
  uint16_t last_packet_id = 0;
  std::string in;  // a packet's first part
  std::string out;

  bool CanPublish() const { return unacked < receive_max; }
};

class ClientEvents {
 public:
  virtual ~ClientEvents() = default;
  // A PUBLISH came; it is acknowledged already. `now_ns` is when it was read.
  virtual void OnPublish(Client& client, const Publish& publish, int64_t now_ns) = 0;
  // A publish of ours was acknowledged; `code` is its MQTT 5 reason.
  virtual void OnPuback(Client& client, uint8_t code);
  // It is connected and all of its filters are granted.
  virtual void OnSubscribed(Client& client, int64_t now_ns);
  // Its connection failed, or the broker closed it; it is closed on this side, too. Ends the
  // program. Not called for Close().
  virtual void OnLost(Client& client, const std::string& why);
};

class Clients {
 public:
  Clients(const Endpoint& endpoint, ClientEvents* events);
  ~Clients();  // sends DISCONNECTs
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  // A client that subscribes to `filters` once connected. All are added before ConnectAll().
  void Add(std::string user, std::string client_id, std::string password,
           std::vector<std::string> filters);
  // Returns when all are connected and subscribed; a few at once, fewer than a broker's backlog.
  void ConnectAll();

  size_t size() const { return clients_.size(); }
  size_t subscribed() const { return subscribed_; }
  Client& operator[](size_t index) { return clients_[index]; }

  // Between turns: ends a connection, with a DISCONNECT or as if it were lost; and opens one again,
  // which then subscribes.
  void Close(Client& client, bool cleanly);
  void Reopen(Client& client) { Connect(client); }

  // Queues a PUBLISH, written at the end of the turn.
  void Publish(Client& client, std::string_view topic, std::string_view payload);
  // Queues a PINGREQ.
  void Ping(Client& client);

  // Waits for events, at most until `until_ns`, hands them on, and writes what is queued.
  void Turn(int64_t until_ns);

 private:
  void Connect(Client& client);
  void Watch(Client& client, int operation);
  void MarkDirty(Client& client);
  void Flush();
  void Write(Client& client);
  void Read(Client& client);
  void Take(Client& client, const Packet& packet, int64_t now_ns);
  void TakePublish(Client& client, const Packet& packet, int64_t now_ns);
  void TakeConnack(Client& client, const Packet& packet);
  void Lose(Client& client, const std::string& why);

  const Endpoint endpoint_;
  ClientEvents* const events_;
  const int epoll_;
  std::deque<Client> clients_;
  std::vector<Client*> dirty_;
  std::vector<char> buffer_;
  size_t subscribed_ = 0;
};

}  // namespace parley::bench

#endif  // PARLEY_BENCH_CLIENTS_H_
