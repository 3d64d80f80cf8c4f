#include "tests/e2e/garbage.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <exception>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>

#include "bench/mqtt_frames.h"

namespace parley::e2e {

namespace {

using bench::AppendConnect;
using bench::AppendPublish;
using bench::AppendSubscribe;
using bench::MqttVersion;
using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kSendPatience{2000};
constexpr milliseconds kAnswerPatience{20};  // for the broker to close a connection
constexpr milliseconds kLoginPatience{10'000};
constexpr size_t kHeldMax = 50;  // half-open connections of one thread
constexpr size_t kFilters = 100;
constexpr size_t kPayloadMax = 8192;

// A connection that expects nothing. Lasts until it is destroyed or the broker has closed it.
class RawConnection {
 public:
  RawConnection(uint16_t port, const std::string& source) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in from = Loopback(source, 0);
    const sockaddr_in to = Loopback("127.0.0.1", port);
    if (fd_ < 0 || bind(fd_, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0 ||
        connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      throw std::runtime_error("the broker takes no connections: " +
                               std::generic_category().message(errno));
    }
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  RawConnection(RawConnection&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), closed_(other.closed_) {}
  RawConnection& operator=(RawConnection&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(closed_, other.closed_);
    return *this;
  }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;
  ~RawConnection() {
    if (fd_ >= 0) close(fd_);
  }

  bool closed() const { return closed_; }

  // As much of it as the broker takes.
  void Send(std::string_view bytes) {
    while (!bytes.empty() && !closed_) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
      } else if (errno != EAGAIN || !Wait(POLLOUT | POLLIN, kSendPatience)) {
        closed_ = true;
      } else {
        Read();  // it may wait for us
      }
    }
  }
  // Reads and drops what comes until nothing has for so long, or the broker has closed.
  void Drain(milliseconds quiet) {
    while (!closed_ && Wait(POLLIN, quiet)) Read();
  }
  // The code of a CONNACK; -1 where another thing or nothing comes.
  int AwaitConnack() {
    std::string got;
    while (!closed_ && got.size() < 4 && Wait(POLLIN, kLoginPatience)) got += Read();
    const bool connack = got.size() >= 4 && got[0] == 0x20;
    return connack ? static_cast<unsigned char>(got[3]) : -1;
  }

 private:
  static sockaddr_in Loopback(const std::string& address, uint16_t port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_port = htons(port);
    inet_pton(AF_INET, address.c_str(), &result.sin_addr);
    return result;
  }
  bool Wait(short events, milliseconds patience) const {
    pollfd entry{fd_, events, 0};
    return poll(&entry, 1, static_cast<int>(patience.count())) > 0;
  }
  std::string Read() {
    char buffer[16384];
    const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
    closed_ = got == 0 || (got < 0 && errno != EAGAIN);
    return std::string(buffer, got > 0 ? static_cast<size_t>(got) : 0);
  }

  int fd_ = -1;
  bool closed_ = false;
};

std::vector<std::string> ReadCorpus(const std::filesystem::path& folder) {
  std::vector<std::string> inputs;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::string input((std::istreambuf_iterator<char>(file)), {});
    inputs.push_back(input.substr(0, kPayloadMax));
  }
  if (inputs.empty()) throw std::runtime_error("no fuzz corpus in " + folder.string());
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

// A packet of `bytes` remaining bytes that holds no more than its header says.
std::string Header(uint8_t type, size_t bytes) {
  std::string out(1, static_cast<char>(type));
  do {
    const size_t low = bytes & 0x7f;
    bytes >>= 7;
    out.push_back(static_cast<char>(bytes > 0 ? low | 0x80 : low));
  } while (bytes > 0);
  return out;
}

}  // namespace

// One thread's: what it holds open, and where it is logged in.
class Garbage::Thrower {
 public:
  Thrower(Garbage* garbage, size_t number)
      : garbage_(*garbage),
        options_(garbage->options_),
        user_(options_.users[number]),
        source_("127.0.1." + std::to_string(1 + number)),
        random_(options_.seed * 1000 + static_cast<unsigned>(number)) {}

  void Throw(size_t kind) {
    switch (kind) {
      case 0:
        return StrangeBytes();
      case 1:
        return HalfOpen();
      case 2:
        return BadLogin();
      case 3:
        return MutatedPackets();
      case 4:
        return Oversized();
      case 5:
        return FuzzCorpus();
      default:
        return Subscriptions();
    }
  }

 private:
  size_t Pick(size_t count) { return random_() % count; }
  template <class T>
  const T& One(const std::vector<T>& of) {
    return of[Pick(of.size())];
  }
  std::string Noise(size_t bytes) {
    std::string noise(bytes, '\0');
    for (char& c : noise) c = static_cast<char>(random_());
    return noise;
  }
  MqttVersion AVersion() { return Pick(2) == 0 ? MqttVersion::k311 : MqttVersion::k5; }
  RawConnection Open() const { return {options_.port, source_}; }
  // What the broker makes of it may be to close; either way it is over then.
  void End(RawConnection connection, milliseconds quiet = kAnswerPatience) {
    connection.Drain(quiet);
    garbage_.closed_ += connection.closed();
  }
  std::string ConnectPacket(MqttVersion version, const std::string& device) const {
    std::string packet;
    AppendConnect(&packet, version, 60, user_ + ":" + device, user_, PasswordOf(user_));
    return packet;
  }
  RawConnection Login(MqttVersion version, const std::string& device) {
    RawConnection connection = Open();
    connection.Send(ConnectPacket(version, device));
    const int code = connection.AwaitConnack();
    if (code != 0) throw std::runtime_error(user_ + " can't log in: " + std::to_string(code));
    return connection;
  }

  void StrangeBytes() {
    static const std::vector<std::string> greetings = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
        "SSH-2.0-Go\r\n",
        std::string("\x03\x00\x00\x13\x0e\xe0\x00\x00", 8),
        "",
    };
    RawConnection connection = Open();
    connection.Send(Pick(3) == 0 ? Noise(1 + Pick(300)) : One(greetings));
    End(std::move(connection), milliseconds(2));
  }

  // Held until there are many; those before it go on a little each time.
  void HalfOpen() {
    const std::string packet = ConnectPacket(AVersion(), "half");
    held_.push_back({Open(), packet, Pick(3) == 0 ? 0 : Pick(packet.size() - 1)});
    held_.back().connection.Send(packet.substr(0, held_.back().sent));
    for (Held& held : held_) {
      if (held.sent == 0 || held.sent + 2 > held.packet.size()) continue;
      held.connection.Send(held.packet.substr(held.sent++, 1));
    }
    if (held_.size() > kHeldMax) {
      garbage_.closed_ += held_.front().connection.closed();
      held_.pop_front();
    }
  }

  void BadLogin() {
    const MqttVersion version = AVersion();
    const std::string& victim = One(options_.victims);
    const std::string device = user_ + ":bad";
    std::string packet;
    switch (Pick(9)) {
      case 0:
        AppendConnect(&packet, version, 60, "x", "nobody" + std::to_string(Pick(1000)), "x");
        break;
      case 1:
        AppendConnect(&packet, version, 60, "x", user_, "wrong");
        break;
      case 2:  // another's device
        AppendConnect(&packet, version, 60, victim + ":phone", user_, PasswordOf(user_));
        break;
      case 3:
        AppendConnect(&packet, version, 60, "a/b+#", user_, PasswordOf(user_));
        break;
      case 4:
        AppendConnect(&packet, version, 60, Noise(20), Noise(8), Noise(8));
        break;
      case 5:
        AppendConnect(&packet, version, 60, std::string(60'000, 'x'), user_, PasswordOf(user_));
        break;
      case 6:  // its will is for another
        AppendConnect(&packet, version, 60, device, user_, PasswordOf(user_),
                      {"chat/" + victim, "from the grave"});
        break;
      case 7:
        AppendConnect(&packet, version, 60, device, user_, PasswordOf(user_),
                      {"presence/" + victim, Noise(10)});
        break;
      default:
        AppendConnect(&packet, version, 60, device, user_, PasswordOf(user_));
        packet[2 + Pick(10)] ^= static_cast<char>(1 << Pick(8));  // protocol, version, flags
    }
    RawConnection connection = Open();
    connection.Send(packet);
    End(std::move(connection));
  }

  // One packet of each kind that a client sends.
  std::vector<std::string> Packets(MqttVersion version) {
    std::vector<std::string> packets(3);
    AppendPublish(&packets[0], version, Topic(), One(garbage_.corpus_), static_cast<int>(Pick(3)),
                  static_cast<uint16_t>(1 + Pick(9)));
    AppendSubscribe(&packets[1], version, 7, {Topic(), "chat/" + user_}, 1);
    packets[2] = ConnectPacket(version, "mutant");
    using namespace std::string_literals;
    for (const std::string& packet :
         {"\x40\x02\x00\x01"s, "\x50\x02\x00\x01"s, "\x62\x02\x00\x01"s, "\x70\x02\x00\x01"s,
          "\xa2\x08\x00\x01\x00\x04test"s, "\xc0\x00"s, "\xe0\x00"s, "\xe0\x02\x04\x00"s,
          "\xf0\x02\x19\x00"s, "\x20\x02\x00\x00"s, "\x90\x03\x00\x01\x00"s,
          // MQTT 5, properties: an alias, an expiry, a response topic, a user property
          "\x30\x1b\x00\x06"
          "chat/x\x0f\x23\x00\x01\x02\x00\x00\x00\x01\x08\x00\x03"
          "a/bhi"s,
          "\x30\x14\x00\x06"
          "chat/x\x09\x26\x00\x01k\x00\x02vvhi"s}) {
      packets.push_back(packet);
    }
    return packets;
  }
  void Mutate(std::string* packet) {
    if (packet->empty()) return;
    switch (Pick(6)) {
      case 0:
        (*packet)[Pick(packet->size())] ^= static_cast<char>(1 << Pick(8));
        break;
      case 1:
        packet->resize(Pick(packet->size()) + 1);
        break;
      case 2:
        packet->insert(Pick(packet->size()), Noise(1 + Pick(9)));
        break;
      case 3:  // the length
        (*packet)[std::min<size_t>(1, packet->size() - 1)] = static_cast<char>(random_());
        break;
      case 4:
        *packet += packet->substr(Pick(packet->size()));
        break;
      default:
        (*packet)[0] = static_cast<char>(random_());
    }
  }
  void MutatedPackets() {
    const MqttVersion version = AVersion();
    RawConnection connection = Pick(4) == 0 ? Open() : Login(version, "mutant");
    const std::vector<std::string> packets = Packets(version);
    for (size_t left = 1 + Pick(8); left > 0 && !connection.closed(); --left) {
      std::string packet = One(packets);
      for (size_t changes = 1 + Pick(3); changes > 0; --changes) Mutate(&packet);
      connection.Send(packet);
    }
    End(std::move(connection));
  }

  void Oversized() {
    const std::string topic = "chat/" + One(options_.victims);
    RawConnection connection = Login(MqttVersion::k311, "large");
    std::string packet;
    switch (Pick(4)) {
      case 0:  // 256 MiB are announced, 64 KiB come
        connection.Send(Header(0x30, 268'435'455) + Noise(65'536));
        break;
      case 1:  // over max_packet_size, and all of it comes
        AppendPublish(&packet, MqttVersion::k311, topic, Noise(2 << 20), 1, 1);
        connection.Send(packet);
        break;
      case 2:  // over max_body only: refused by an answer
        AppendPublish(&packet, MqttVersion::k311, topic, std::string(100'000, 'x'), 1, 1);
        connection.Send(packet);
        break;
      default: {
        RawConnection fresh = Open();
        fresh.Send(Header(0x10, 200'000'000) + Noise(4096));
        End(std::move(fresh));
      }
    }
    End(std::move(connection));
  }

  // A topic of any kind, most of somebody who is no concern of ours.
  std::string Topic() {
    static const std::vector<std::string> heads = {
        "chat/", "group/", "receipt/", "presence/", "typing/", "typing/group/", "answer/"};
    static const std::vector<std::string> methods = {
        "sync",          "history",          "conversations",   "recent",          "presence",
        "contacts.list", "contacts.add",     "contacts.accept", "contacts.remove", "contacts.block",
        "groups.create", "groups.get",       "groups.list",     "groups.add",      "groups.remove",
        "groups.join",   "groups.leave",     "groups.set_role", "groups.set",      "groups.delete",
        "push.list",     "push.subscribe",   "devices.list",    "devices.remove",  "account.get",
        "account.set",   "account.password", "account.token",   "nothing"};
    const std::string name = Pick(3) == 0 ? user_ : One(options_.victims);
    switch (Pick(8)) {
      case 0:
        return "as/" + name + "/chat/" + One(options_.victims);
      case 1:
        return "$CONTROL/parley/v1";
      case 2:
      case 3:
        return "ask/" + One(methods);
      case 4:
        return One(heads) + std::string(1 + Pick(3000), 'x');
      default:
        return One(heads) + name;
    }
  }
  RawConnection& Session() {
    if (!session_ || session_->closed()) session_ = Login(session_version_, "steady");
    return *session_;
  }
  void FuzzCorpus() {
    std::string packet;
    const size_t qos = Pick(2);
    last_id_ = static_cast<uint16_t>(last_id_ == 0xffff ? 1 : last_id_ + 1);
    AppendPublish(&packet, session_version_, Topic(), One(garbage_.corpus_), static_cast<int>(qos),
                  last_id_);
    RawConnection& session = Session();
    session.Send(packet);
    session.Drain(milliseconds(0));
    garbage_.closed_ += session.closed();
  }

  void Subscriptions() {
    static const std::vector<std::string> odd = {
        "#", "+", "+/+", "chat/#", "chat/+", "$SYS/#", "$share/g/chat/+", "answer/#", "/", "a//b"};
    std::vector<std::string> filters;
    for (size_t left = kFilters; left > 0; --left) {
      std::string deep = One(odd);
      for (size_t levels = Pick(50); levels > 0; --levels) deep += "/x";
      filters.push_back(Pick(2) == 0 ? Topic() : deep);
    }
    std::string packet;
    AppendSubscribe(&packet, session_version_, 9, filters, static_cast<int>(Pick(3)));
    RawConnection& session = Session();
    session.Send(packet);
    session.Drain(kAnswerPatience);
    garbage_.closed_ += session.closed();
  }

  struct Held {
    RawConnection connection;
    std::string packet;
    size_t sent;
  };

  Garbage& garbage_;
  const GarbageOptions& options_;
  const std::string user_;
  const std::string source_;
  std::mt19937 random_;
  std::deque<Held> held_;
  const MqttVersion session_version_ = MqttVersion::k311;
  std::optional<RawConnection> session_;
  uint16_t last_id_ = 0;
};

Garbage::Garbage(GarbageOptions options)
    : options_(std::move(options)), corpus_(ReadCorpus(options_.corpus)) {}

void Garbage::Run(const std::atomic<bool>& stop) {
  std::vector<size_t> kinds;
  for (size_t kind = 0; kind < kGarbage.size(); ++kind) {
    const double count = static_cast<double>(kGarbage[kind].per_day) * options_.days;
    kinds.insert(kinds.end(), std::max<size_t>(1, static_cast<size_t>(count)), kind);
  }
  std::mt19937 random(options_.seed);
  std::shuffle(kinds.begin(), kinds.end(), random);
  const auto begin = SteadyClock::now();
  const auto apart =
      std::chrono::duration<double>(options_.time) / static_cast<double>(kinds.size());
  const size_t threads = options_.users.size();
  std::vector<std::exception_ptr> failures(threads);
  auto run = [&](size_t number) {
    Thrower thrower(this, number);
    for (size_t i = number; i < kinds.size() && !stop; i += threads) {
      std::this_thread::sleep_until(begin + std::chrono::duration_cast<SteadyClock::duration>(
                                                apart * static_cast<double>(i)));
      thrower.Throw(kinds[i]);
      ++thrown_[kinds[i]];
    }
  };
  {
    std::vector<std::jthread> running;
    for (size_t number = 0; number < threads; ++number) {
      running.emplace_back([&, number] {
        try {
          run(number);
        } catch (...) {
          failures[number] = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace parley::e2e
