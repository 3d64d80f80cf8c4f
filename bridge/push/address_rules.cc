#include "bridge/push/address_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace parley::push {
namespace {

struct Network4 {
  uint32_t base;
  int bits;
};
// Those of RFC 6890 and its updates that aren't globally reachable, and multicast.
constexpr Network4 kClosed4[] = {
    {0x00000000, 8},   // this network
    {0x0a000000, 8},   // private
    {0x64400000, 10},  // shared
    {0x7f000000, 8},   // loopback
    {0xa9fe0000, 16},  // link-local; clouds' metadata
    {0xac100000, 12},  // private
    {0xc0000000, 24},  // protocol assignments
    {0xc0000200, 24},  // documentation
    {0xc0586300, 24},  // 6to4 relays
    {0xc0a80000, 16},  // private
    {0xc6120000, 15},  // benchmarks
    {0xc6336400, 24},  // documentation
    {0xcb007100, 24},  // documentation
    {0xe0000000, 4},   // multicast
    {0xf0000000, 4},   // reserved, broadcast
};

bool IsPublic4(uint32_t address) {
  return std::none_of(std::begin(kClosed4), std::end(kClosed4), [&](const Network4& network) {
    return (address ^ network.base) >> (32 - network.bits) == 0;
  });
}

using Address6 = std::array<uint8_t, 16>;

uint32_t Embedded4(const Address6& address, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | address[at + i];
  return value;
}

bool StartsWith(const Address6& address, std::initializer_list<uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

bool IsPublic6(const Address6& address) {
  // What carries an IPv4 address is as public as that: mapped, NAT64, 6to4.
  if (StartsWith(address, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) ||
      StartsWith(address, {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) {
    return IsPublic4(Embedded4(address, 12));
  }
  if (StartsWith(address, {0x20, 0x02})) return IsPublic4(Embedded4(address, 2));
  if (StartsWith(address, {0x20, 0x01, 0x0d, 0xb8})) return false;                  // documentation
  if (StartsWith(address, {0x3f, 0xff}) && (address[2] & 0xf0) == 0) return false;  // the same
  if (StartsWith(address, {0x20, 0x01}) && (address[2] & 0xfe) == 0) return false;  // protocols
  return (address[0] & 0xe0) == 0x20;  // 2000::/3, all that is given out
}

}  // namespace

bool IsPublicAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return IsPublic4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family != AF_INET6) return false;
  sockaddr_in6 v6{};
  std::memcpy(&v6, address, sizeof v6);
  Address6 bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return IsPublic6(bytes);
}

bool IsPublicAddress(const std::string& address) {
  sockaddr_in v4{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    return IsPublicAddress(reinterpret_cast<const sockaddr*>(&v4));
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  return inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1 &&
         IsPublicAddress(reinterpret_cast<const sockaddr*>(&v6));
}

}  // namespace parley::push
