// as/<user>/login: a service asks whether somebody is who they say, so that it need not log in as
// them. What decides is what decides at CONNECT, guesses slowed by the address that the service
// names; nobody comes online by it.
//
// {"rid":"1","password":"…","device":"alice:phone","address":"203.0.113.7"}, where the password may
// be a token, or {"rid":"1","key":"…"}, an API key's secret: it speaks for all accounts of that
// key. Answered with {"rid":"1","ok":true,"user":"alice"} and, for a token, its `expires` (ms).
// With "token":{"ttl":3600,"device":"alice:tablet"} (both optional) beside a password, a new token
// comes along: who proves to be the user may have one, the service by itself may not.
#include <utility>

#include "chat/client_id.h"
#include "chat/glance.h"
#include "chat/json_out.h"
#include "chat/payload.h"
#include "plugin/host.h"

namespace parley {
namespace {

constexpr size_t kVouchBytesMax = 8192;
constexpr int64_t kSlowedRetryMs = 1000;

struct VouchRequest {
  std::string rid;  // as JSON
  std::string password;
  std::string device;
  std::string address;
  std::string key;
  std::optional<WantedToken> token;
};

Result<WantedToken> ParseWanted(const nlohmann::json& object, const UserId& user) {
  WantedToken wanted;
  uint64_t ttl_s = kTokenTtlDefaultS;
  Status status = object.is_object() ? OnlyKnown(object, {"ttl", "device"})
                                     : Status(Code::kBadRequest, "'token' must be an object");
  if (status.ok()) status = ReadNumber(object, "ttl", kTokenTtlMinS, kTokenTtlAskedMaxS, &ttl_s);
  if (status.ok()) status = ReadString(object, "device", &wanted.device);
  if (status.ok()) status = CheckDevice(wanted.device, user);
  if (!status.ok()) return Error(status);
  wanted.ttl_s = static_cast<int64_t>(ttl_s);
  return wanted;
}

// The rid also where something behind it is wrong.
Status ParseVouch(std::string_view payload, const UserId& user, VouchRequest* request) {
  if (payload.size() > kVouchBytesMax) {
    return {Code::kTooLarge, "longer than " + std::to_string(kVouchBytesMax) + " bytes"};
  }
  auto object = ParseObject(payload);
  if (!object) return object.error();
  std::string rid;
  Status status = ReadString(*object, "rid", &rid);
  if (status.ok() && object->contains("rid")) AppendJsonString(rid, &request->rid);
  if (status.ok()) {
    status = OnlyKnown(*object, {"rid", "password", "device", "address", "key", "token"});
  }
  if (status.ok()) status = ReadString(*object, "password", &request->password);
  if (status.ok()) status = ReadString(*object, "device", &request->device);
  if (status.ok()) status = ReadString(*object, "address", &request->address);
  if (status.ok()) status = ReadString(*object, "key", &request->key);
  if (status.ok() && object->contains("password") == object->contains("key")) {
    status = {Code::kBadRequest, "'password' or 'key', one of them"};
  }
  if (status.ok() && object->contains("token")) {
    auto wanted = ParseWanted((*object)["token"], user);
    if (!wanted) return wanted.error();
    request->token = std::move(*wanted);
    if (object->contains("key")) status = {Code::kDenied, "a key gets no token"};
  }
  return status;
}

Status RefusalStatus(LoginRefusal refusal) {
  switch (refusal) {
    case LoginRefusal::kSlowed:
      return {Code::kQuota, "too many wrong passwords; try again later"};
    case LoginRefusal::kBusy:
      return {Code::kBusy, "too many logins at once; try again"};
    case LoginRefusal::kDisabled:
      return {Code::kDenied, "the account is disabled"};
    case LoginRefusal::kBadToken:
      return {Code::kDenied, "the token is not, or no longer, valid"};
    default:
      return {Code::kDenied, "wrong user or password"};
  }
}

}  // namespace

void Host::Vouch(const Session& session, const Published& published) {
  std::string_view user = ActorOf(published.topic);
  AnswerTo to{published.response_topic, published.correlation};
  VouchRequest request;
  Status status = ParseVouch(published.payload, UserId(user), &request);
  if (!status.ok() && request.rid.empty()) {
    const std::string rid =
        Glance(std::string_view(published.payload).substr(0, kGlanceBytesMax), "rid", kRidBytesMax);
    if (!rid.empty()) AppendJsonString(rid, &request.rid);
  }
  if (status.ok() && session.held) {
    status = {Code::kBusy, "too many logins; try again"};
  }
  std::string head;
  if (!request.rid.empty()) head = "\"rid\":" + request.rid + ",";
  head += ActorHead(user);
  if (!status.ok()) return RefuseWith(session, head, status, 0, to);
  Vouching vouching{session.id, UserId(user), std::move(head), std::move(to), request.token};
  if (!request.key.empty()) return AnswerVouch(vouching, CheckKey(UserId(user), request.key));
  LoginResult result;
  if (ValidId(user)) {
    result = logins_->Check(user, request.device, request.password, request.address);
  }
  if (result.kind != LoginResult::Kind::kPending) return AnswerVouch(vouching, result);
  vouches_.emplace(result.ticket, std::move(vouching));
}

LoginResult Host::CheckKey(const UserId& user, std::string_view secret) const {
  LoginResult result;
  result.refusal = LoginRefusal::kWrongPassword;
  std::optional<ApiKey> key = directory_->FindKey(Credentials::KeyOfSecret(secret));
  std::optional<Account> account = directory_->Find(user);
  bool good = key && Credentials::KeySecretMatches(key->secret_hash, secret);
  if (!good || !account || account->key != key->name) return result;
  if (account->disabled) {
    result.refusal = LoginRefusal::kDisabled;
    return result;
  }
  result.kind = LoginResult::Kind::kAccepted;
  result.account = *account;
  return result;
}

void Host::AnswerVouch(const Vouching& vouching, const LoginResult& result) {
  const Session* session = sessions_.Find(vouching.session);
  if (session == nullptr) return;
  Status status;
  std::string members;
  if (result.kind != LoginResult::Kind::kAccepted) {
    status = RefusalStatus(result.refusal);
  } else if (vouching.token) {
    status = IssueVouched(vouching.user, *vouching.token, &members);
  } else if (result.expires_s > 0) {
    members = ",\"expires\":" + std::to_string(result.expires_s * 1000);
  }
  if (status.ok()) return AnswerWith(*session, OkAnswer(vouching.head, members), vouching.to);
  int64_t retry_ms = result.refusal == LoginRefusal::kSlowed ? kSlowedRetryMs : 0;
  RefuseWith(*session, vouching.head, status, retry_ms, vouching.to);
}

// Microseconds: a token is signed, and written nowhere.
Status Host::IssueVouched(const UserId& user, const WantedToken& wanted, std::string* members) {
  int64_t expires_ms = env_->NowMs() + wanted.ttl_s * 1000;
  auto token = accounts_->IssueToken(user, DeviceId(wanted.device), wanted.ttl_s);
  if (!token) return token.error();
  *members = ",\"expires\":" + std::to_string(expires_ms) + ",\"token\":";
  AppendJsonString(*token, members);
  return {};
}

}  // namespace parley
