// parley-check against the plugin, with a liar between them that does one thing wrong to what comes
// live on each connection: the whole chain from the clients to the verdict can fail, and names it.
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/catch.h"
#include "tests/e2e/broker.h"
#include "tests/e2e/replay_relay.h"

namespace parley::check {
namespace {

using e2e::Broker;
using e2e::CommandResult;
using e2e::Relay;
using e2e::RunCommand;

// Which of a connection's messages it happens to: some must have come before, to be missed after.
constexpr int kVictim = 4;

enum class Lie { kNone, kDrop, kTwice, kSwap, kAnotherNumber, kAnotherTime };

// The packets of one connection from the broker.
class LyingTo {
 public:
  explicit LyingTo(Lie lie) : lie_(lie) {}

  std::string Pass(std::string_view bytes) {
    buffer_ += bytes;
    std::string passed;
    while (const std::optional<std::string> packet = Take()) {
      passed += Live(*packet) ? Tell(*packet) : *packet;
    }
    return passed;
  }

 private:
  // A whole packet (MQTT 5, 2.1.4: the length has 7 bits a byte); nothing: the rest is yet to come.
  std::optional<std::string> Take() {
    size_t length = 0, at = 1;
    for (int shift = 0; at < buffer_.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(buffer_[at++]);
      length |= static_cast<size_t>(byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (buffer_.size() < at + length) return std::nullopt;
      std::string packet = buffer_.substr(0, at + length);
      buffer_.erase(0, at + length);
      return packet;
    }
    return std::nullopt;
  }

  // A message of QoS 0 on chat/<user>: nothing awaits its acknowledgement.
  static bool Live(std::string_view packet) {
    return (static_cast<unsigned char>(packet[0]) & 0xf6) == 0x30 &&
           packet.substr(0, 16).find("chat/") != packet.npos &&
           packet.find("{\"seq\":") != packet.npos;
  }

  std::string Tell(std::string packet) {
    if (++live_ == kVictim + 1) return packet + std::exchange(held_, "");
    if (live_ != kVictim) return packet;
    switch (lie_) {
      case Lie::kDrop:
        return "";
      case Lie::kTwice:
        return packet + packet;
      case Lie::kSwap:
        held_ = packet;
        return "";
      case Lie::kAnotherNumber:
        return Change(std::move(packet), "\"seq\":");
      case Lie::kAnotherTime:
        return Change(std::move(packet), "\"ts\":");
      default:
        return packet;
    }
  }

  // The number's first digit becomes another.
  static std::string Change(std::string packet, std::string_view member) {
    char& digit = packet[packet.find(member) + member.size()];
    digit = digit == '9' ? '1' : static_cast<char>(digit + 1);
    return packet;
  }

  const Lie lie_;
  std::string buffer_;
  int live_ = 0;
  std::string held_;
};

nlohmann::json CheckThrough(Lie lie) {
  Broker broker;
  broker.ImportUsers({"ann,one", "ben,two", "cas,three"});
  broker.Start();
  const auto accounts = broker.dir() / "accounts.csv";
  std::ofstream(accounts) << "ann,one\nben,two\ncas,three\n";
  std::map<uint64_t, LyingTo> liars;
  Relay relay(broker.port(), [&](uint64_t connection, std::string_view bytes) {
    return liars.try_emplace(connection, lie).first->second.Pass(bytes);
  });
  // What was kept back from a connection's end isn't made up for: no use in waiting for it.
  const std::string settle = lie == Lie::kNone ? "90" : "5";
  const CommandResult result = RunCommand(
      {PARLEY_CHECK, "--json", "--host=127.0.0.1", "--port=" + std::to_string(relay.port()),
       "--accounts=" + accounts.string(), "--history=" + (broker.dir() / "history").string(),
       "--groups=1", "--seconds=2", "--rate=60", "--seed=1", "--settle=" + settle});
  INFO(result.out << result.err);
  REQUIRE(result.exit_code == (lie == Lie::kNone ? 0 : 1));
  return nlohmann::json::parse(result.out)["violations"];
}

TEST_CASE("what is done wrong between the broker and its clients is found, and named") {
  CHECK(CheckThrough(Lie::kNone).empty());
  CHECK(CheckThrough(Lie::kDrop).contains("gap"));
  CHECK(CheckThrough(Lie::kTwice).contains("order"));
  CHECK(CheckThrough(Lie::kSwap).contains("order"));
  CHECK(CheckThrough(Lie::kAnotherNumber).contains("doubled"));
  CHECK(CheckThrough(Lie::kAnotherTime).contains("differs"));
}

}  // namespace
}  // namespace parley::check
