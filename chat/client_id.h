// What MQTT client ids the devices of a user may have (PROTOCOL: identity), and how a gateway is
// told for whom it has acted. Whether another user holds a client id is not known here.
//
// Pure functions, any thread.
#ifndef PARLEY_CHAT_CLIENT_ID_H_
#define PARLEY_CHAT_CLIENT_ID_H_

#include <string>
#include <string_view>

#include "storage/credentials.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

inline constexpr size_t kClientIdBytesMax = kTokenDeviceBytesMax;  // each can have a token

// May a device of `user` have this client id?
Status CheckClientId(std::string_view client_id, const UserId& user);

// The same of one that a request names as its `device`: kBadRequest.
Status CheckDevice(std::string_view device, const UserId& user);

// `"user":"alice",`, as it was written, valid or not; nothing where that is longer than an id may
// be.
std::string ActorHead(std::string_view actor);

}  // namespace parley

#endif  // PARLEY_CHAT_CLIENT_ID_H_
