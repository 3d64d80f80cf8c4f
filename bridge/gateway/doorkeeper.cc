#include "bridge/gateway/doorkeeper.h"

#include <sodium.h>

#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "bridge/gateway/answer.h"
#include "bridge/gateway/json_text.h"
#include "bridge/gateway/problem.h"
#include "chat/json_out.h"
#include "storage/types.h"

namespace parley::gateway {
namespace {

using nlohmann::json;

constexpr size_t kTokenBytesMax = 1024;

// The claims of a JSON web token, unverified: whom it says it is of.
json ClaimsOf(std::string_view token) {
  size_t first = token.find('.');
  size_t second = first == token.npos ? first : token.find('.', first + 1);
  if (second == token.npos || token.size() > kTokenBytesMax) return {};
  std::string_view encoded = token.substr(first + 1, second - first - 1);
  std::string text(encoded.size(), '\0');
  size_t bytes = 0;
  int rc = sodium_base642bin(reinterpret_cast<uint8_t*>(text.data()), text.size(), encoded.data(),
                             encoded.size(), nullptr, &bytes, nullptr,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  text.resize(rc == 0 ? bytes : 0);
  return json::parse(text, nullptr, false);
}

std::string TextIn(const json& claims, const char* name) {
  if (!claims.is_object()) return "";
  auto it = claims.find(name);
  return it != claims.end() && it->is_string() ? it->get<std::string>() : "";
}

// "Bearer x" → "x"; the scheme in any case (RFC 9110 §11.1).
std::string BearerToken(std::string_view authorization) {
  constexpr std::string_view kBearer = "bearer ";
  if (authorization.size() < kBearer.size()) return "";
  for (size_t i = 0; i < kBearer.size(); ++i) {
    char c = authorization[i];
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (c != kBearer[i]) return "";
  }
  std::string_view token = authorization.substr(kBearer.size());
  while (token.starts_with(' ')) token.remove_prefix(1);
  return std::string(token);
}

void AppendText(const char* name, std::string_view value, std::string* out) {
  if (value.empty()) return;
  *out += out->size() > 1 ? ",\"" : "\"";
  *out += name;
  *out += "\":";
  AppendJsonString(value, out);
}

int64_t ExpiryIn(const std::string& members) {
  int64_t expires_ms = 0;
  for (const JsonMember& member : MembersOf("{" + members + "}")) {
    if (member.name != "expires") continue;
    std::from_chars(member.value.data(), member.value.data() + member.value.size(), expires_ms);
  }
  return expires_ms;
}

// Else answers the exchange.
bool IsWhoIsNamed(const ExchangePtr& exchange, const std::string& user, const std::string& named) {
  if (named.empty() || named == user) return true;
  exchange->Answer(Problem({Code::kDenied, "the token is another user's"}));
  return false;
}

void Refuse(const ExchangePtr& exchange, const Status& why, int64_t retry_after_ms = 0) {
  bool unauthorized = why.code() == Code::kDenied;
  exchange->Answer(unauthorized ? Unauthorized(why.message()) : Problem(why, retry_after_ms));
}

}  // namespace

void Doorkeeper::Admit(const ExchangePtr& exchange, const std::string& author, Admitted admitted) {
  auto read = ReadCredentials(exchange->request(), author);
  if (!read) return Refuse(exchange, read.error());
  const Credentials& credentials = *read;
  std::string known = credentials.user + '\n' + credentials.token + '\n' + credentials.secret;
  auto enter = [exchange, credentials, admitted = std::move(admitted)] {
    if (!IsWhoIsNamed(exchange, credentials.user, credentials.named)) return;
    admitted(credentials.user);
  };
  if (Believed(known)) return enter();
  auto good = [this, known, enter](const BrokerAnswer& answer) {
    Believe(known, ExpiryIn(answer.members));
    enter();
  };
  credentials.token.empty() ? CheckKey(exchange, credentials, good)
                            : CheckToken(exchange, credentials, "", good);
}

void Doorkeeper::GiveToken(const ExchangePtr& exchange, const std::string& user,
                           const std::string& password, const std::string& wanted) {
  std::string payload = "{\"password\":";
  AppendJsonString(password, &payload);
  AppendText("address", AddressOf(exchange->request()), &payload);
  Check(exchange, user, payload + ",\"token\":" + wanted + "}",
        [exchange, user](const BrokerAnswer& answer) {
          BrokerAnswer named = answer;
          named.Add("user", user);
          exchange->Answer(RestAnswer(named));
        });
}

void Doorkeeper::GiveToken(const ExchangePtr& exchange, const std::string& wanted,
                           int http_status) {
  auto credentials = ReadCredentials(exchange->request(), "");
  if (!credentials) return Refuse(exchange, credentials.error());
  if (credentials->token.empty()) {
    return exchange->Answer(Problem({Code::kDenied, "an API key gets no token"}));
  }
  CheckToken(exchange, *credentials, wanted,
             [exchange, credentials = *credentials, http_status](const BrokerAnswer& answer) {
               if (!IsWhoIsNamed(exchange, credentials.user, credentials.named)) return;
               exchange->Answer(RestAnswer(answer, http_status));
             });
}

// `wanted`: the broker's member `token`; empty: none. A key beside the token is asked about first.
void Doorkeeper::CheckToken(const ExchangePtr& exchange, const Credentials& credentials,
                            const std::string& wanted, Yes yes) {
  std::string payload = "{";
  AppendText("password", credentials.token, &payload);
  AppendText("device", credentials.device, &payload);
  AppendText("address", AddressOf(exchange->request()), &payload);
  payload += wanted.empty() ? "}" : ",\"token\":" + wanted + "}";
  if (credentials.secret.empty()) return Check(exchange, credentials.user, payload, std::move(yes));
  AskKey(credentials, [this, exchange, user = credentials.user, payload,
                       yes = std::move(yes)](const BrokerAnswer& answer) {
    if (answer.status.ok()) return Check(exchange, user, payload, yes);
    if (answer.status.code() != Code::kDenied) {
      return Refuse(exchange, answer.status, answer.retry_after_ms);
    }
    exchange->Answer(Problem({Code::kDenied, "the API key isn't that of the token's account"}));
  });
}

void Doorkeeper::CheckKey(const ExchangePtr& exchange, const Credentials& credentials, Yes yes) {
  AskKey(credentials, [exchange, yes = std::move(yes)](const BrokerAnswer& answer) {
    if (answer.status.ok()) return yes(answer);
    Refuse(exchange, answer.status, answer.retry_after_ms);
  });
}

void Doorkeeper::AskKey(const Credentials& credentials, Yes answered) {
  std::string payload = "{";
  AppendText("key", credentials.secret, &payload);
  link_->Ask("as/" + credentials.user + "/login", payload + "}",
             [answered = std::move(answered)](const Result<std::string>& text) {
               answered(ReadAnswer(text));
             });
}

// kDenied: 401. kBadRequest: it can't be meant so.
Result<Doorkeeper::Credentials> Doorkeeper::ReadCredentials(const HttpRequest& request,
                                                            const std::string& author) const {
  Credentials credentials;
  credentials.secret = request.Header("x-api-key");
  std::string named(request.Header("x-parley-user"));
  if (named.empty()) named = author;
  if (!author.empty() && named != author) {
    return Error(Code::kBadRequest, "'author_id' and X-Parley-User name two users");
  }
  std::string_view authorization = request.Header("authorization");
  credentials.named = named;
  if (authorization.empty() && !credentials.secret.empty()) {
    if (named.empty()) return Error(Code::kBadRequest, "X-Parley-User must name the user");
    if (!ValidId(named)) return Error(Code::kBadRequest, "X-Parley-User is no user id");
    credentials.user = named;
    return credentials;
  }
  credentials.token = BearerToken(authorization);
  if (credentials.token.empty()) {
    return Error(Code::kDenied,
                 "a token (Authorization: Bearer) or an API key (X-Api-Key) is needed");
  }
  json claims = ClaimsOf(credentials.token);
  credentials.user = TextIn(claims, "sub");
  credentials.device = TextIn(claims, "dev");
  if (!ValidId(credentials.user)) return Error(Code::kDenied, "this is no token");
  return credentials;
}

void Doorkeeper::Check(const ExchangePtr& exchange, const std::string& user,
                       const std::string& payload, Yes yes) {
  link_->Ask("as/" + user + "/login", payload,
             [exchange, yes = std::move(yes)](const Result<std::string>& text) {
               BrokerAnswer answer = ReadAnswer(text);
               if (answer.status.ok()) return yes(answer);
               Refuse(exchange, answer.status, answer.retry_after_ms);
             });
}

std::string Doorkeeper::AddressOf(const HttpRequest& request) const {
  std::string_view forwarded = request.Header("x-forwarded-for");
  if (!behind_proxy_ || forwarded.empty()) return request.address;
  forwarded = forwarded.substr(forwarded.rfind(',') + 1);
  while (forwarded.starts_with(' ')) forwarded.remove_prefix(1);
  return std::string(forwarded);
}

bool Doorkeeper::Believed(const std::string& credentials) {
  Forget();
  auto it = young_.find(credentials);
  if (it == young_.end() && (it = old_.find(credentials)) == old_.end()) return false;
  const Belief& belief = it->second;
  return now_() < belief.until &&
         (belief.expires_ms == 0 || belief.expires_ms / 1000 > std::time(nullptr));
}

void Doorkeeper::Believe(const std::string& credentials, int64_t expires_ms) {
  Forget();
  young_[credentials] = {expires_ms, now_() + kBelievedFor};
}

// What is old goes; what is young becomes old.
void Doorkeeper::Forget() {
  auto now = now_();
  if (now - turned_ < kBelievedFor && young_.size() < kBelievedMax / 2) return;
  old_ = std::move(young_);
  young_.clear();
  turned_ = now;
}

}  // namespace parley::gateway
