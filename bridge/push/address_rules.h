// Which addresses a URL that a user gave may lead to: public ones.
//
// Asked about the very address that is connected to, so that no name can resolve to something else
// meanwhile. Pure functions, any thread.
#ifndef PARLEY_BRIDGE_PUSH_ADDRESS_RULES_H_
#define PARLEY_BRIDGE_PUSH_ADDRESS_RULES_H_

#include <sys/socket.h>

#include <string>

namespace parley::push {

// False for loopback, private, link-local, shared (RFC 6598), multicast, reserved and unspecified
// addresses (RFC 6890), also where an IPv6 address carries an IPv4 one; and for what is no address.
bool IsPublicAddress(const sockaddr* address);
// The same of an address as text, "203.0.113.7" or "2001:db8::1".
bool IsPublicAddress(const std::string& address);

}  // namespace parley::push

#endif  // PARLEY_BRIDGE_PUSH_ADDRESS_RULES_H_
