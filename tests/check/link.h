// A stock MQTT client: libmosquitto, many in one thread. The only file of this folder that knows
// that library is link.cc.
//
// A Links owns no Link; a Link outlives its part in one. Its callbacks come from within
// Links::Turn, Open or Disconnect; there a Link may be used, but not destroyed.
#ifndef PARLEY_TESTS_CHECK_LINK_H_
#define PARLEY_TESTS_CHECK_LINK_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct mosquitto;

namespace parley::check {

using Clock = std::chrono::steady_clock;

struct Address {
  std::string host = "127.0.0.1";
  uint16_t port = 1883;
  std::string ca_file = {};  // TLS, with certificates that these authorities have signed
};

struct LinkOptions {
  std::string client_id;
  std::string user;
  std::string password;
  bool v5 = false;    // MQTT 5; else 3.1.1
  bool clean = true;  // else the broker keeps the session, and this side what is unacknowledged
  Address address;
};

class LinkEvents {
 public:
  virtual ~LinkEvents() = default;
  // CONNACK; kept: the broker had kept the session.
  virtual void OnConnected(bool kept) = 0;
  // The connection has ended or was refused, whoever's doing it was.
  virtual void OnClosed() = 0;
  virtual void OnGranted(int packet, int granted) = 0;
  virtual void OnAcked(int packet) = 0;  // PUBACK or PUBCOMP; QoS 0: it is written
  virtual void OnMessage(const std::string& topic, std::string_view payload) = 0;
};

class Link {
 public:
  Link(LinkOptions options, LinkEvents* events);
  ~Link();  // ends the connection as if it were lost
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Begins to connect; later again with what this side and the broker have kept of the session.
  void Open();
  // The packet's number, or -1 where the connection is lost.
  int Subscribe(const std::string& topic, int qos);
  int Publish(const std::string& topic, std::string_view payload, int qos);
  void Disconnect();  // cleanly
  void Cut();         // as if the network had failed

  // For Links.
  int fd() const;
  bool wants_write() const;
  void Ready(bool readable, bool writable);
  void KeepAlive(Clock::time_point now);  // once a second is enough: what comes sooner is nothing

 private:
  struct Callbacks;

  const LinkOptions options_;
  LinkEvents* const events_;
  ::mosquitto* const client_;
  bool opened_ = false;
  Clock::time_point kept_alive_;
};

// Waits for all that it is given, and keeps their connections alive.
class Links {
 public:
  // Until something happens, or the deadline.
  static void Turn(const std::vector<Link*>& links, Clock::time_point deadline);
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_LINK_H_
