#include "chat/client_id.h"

#include "chat/json_out.h"

namespace parley {

Status CheckClientId(std::string_view client_id, const UserId& user) {
  if (client_id.size() > kClientIdBytesMax) {
    return {Code::kTooLarge,
            "a client id is longer than " + std::to_string(kClientIdBytesMax) + " bytes"};
  }
  if (client_id.find_first_of("+#/") != client_id.npos) {
    return {Code::kDenied, "a client id holds no +, # or /"};
  }
  size_t colon = client_id.find(':');
  if (colon != client_id.npos && client_id.substr(0, colon) != user.str()) {
    return {Code::kDenied, "a client id with ':' begins with its own user id"};
  }
  return {};
}

Status CheckDevice(std::string_view device, const UserId& user) {
  Status status = CheckClientId(device, user);
  if (status.ok()) return status;
  return {Code::kBadRequest, "'device' can't be yours: " + status.message()};
}

std::string ActorHead(std::string_view actor) {
  if (actor.empty() || actor.size() > kIdBytesMax) return {};
  std::string head = "\"user\":";
  AppendJsonString(actor, &head);
  head += ',';
  return head;
}

}  // namespace parley
