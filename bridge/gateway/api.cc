#include "bridge/gateway/api.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "bridge/gateway/answer.h"
#include "bridge/gateway/problem.h"
#include "bridge/gateway/rest_request.h"
#include "chat/json_out.h"
#include "chat/payload.h"
#include "storage/types.h"

namespace parley::gateway {
namespace {

constexpr std::chrono::seconds kPollDefault{30};
constexpr uint64_t kPollSecondsMax = 60;

// Behind a receipt: what is asked doesn't matter, only that it is answered after the receipt is.

std::string As(const std::string& user, const std::string& topic) {
  return "as/" + user + "/" + topic;
}

Answered Pass(const ExchangePtr& exchange, int http_status) {
  return [exchange, http_status](const Result<std::string>& text) {
    exchange->Answer(RestAnswer(ReadAnswer(text), http_status));
  };
}

// How long a poll may wait; the others are the sync's.
Result<std::chrono::seconds> TakeTimeout(Query* query) {
  auto found = query->extract("timeout");
  if (found.empty()) return kPollDefault;
  const std::string& text = found.mapped();
  uint64_t seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds > kPollSecondsMax) {
    return Error(Code::kBadRequest, "'timeout' must be a number from 0 to 60");
  }
  return std::chrono::seconds(seconds);
}

// What /v1/login takes.
struct LoginRequest {
  std::string user;
  std::string password;
  std::string token;  // what is wanted of it, as JSON
};

Result<LoginRequest> ReadLogin(const std::string& body) {
  auto object = ParseObject(body);
  if (!object) return Error(object.error());
  LoginRequest login;
  Status status = OnlyKnown(*object, {"user", "password", "ttl", "device"});
  if (status.ok()) status = ReadString(*object, "user", &login.user);
  if (status.ok()) status = ReadString(*object, "password", &login.password);
  if (status.ok() && !(ValidId(login.user) && !login.password.empty())) {
    status = {Code::kBadRequest, "'user', an id, and 'password' are needed"};
  }
  if (!status.ok()) return Error(status);
  object->erase("user");
  object->erase("password");
  login.token = object->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return login;
}

}  // namespace

struct Api::AskRow {
  const char* verb;
  const char* path;
  const char* method;  // of ask/
  int http_status = 200;
};

const Api::AskRow Api::kAsks[] = {
    {"GET", "/v1/messages", "history"},
    {"GET", "/v1/conversations", "conversations"},
    {"GET", "/v1/recent", "recent"},
    {"GET", "/v1/presence", "presence"},
    {"GET", "/v1/contacts", "contacts.list"},
    {"POST", "/v1/contacts", "contacts.add", 201},
    {"POST", "/v1/contacts/{user}/accept", "contacts.accept"},
    {"DELETE", "/v1/contacts/{user}", "contacts.remove"},
    {"PUT", "/v1/blocks/{user}", "contacts.block"},
    {"DELETE", "/v1/blocks/{user}", "contacts.unblock"},
    {"GET", "/v1/groups", "groups.list"},
    {"POST", "/v1/groups", "groups.create", 201},
    {"GET", "/v1/groups/{group}", "groups.get"},
    {"PATCH", "/v1/groups/{group}", "groups.set"},
    {"DELETE", "/v1/groups/{group}", "groups.delete"},
    {"POST", "/v1/groups/{group}/join", "groups.join"},
    {"POST", "/v1/groups/{group}/leave", "groups.leave"},
    {"POST", "/v1/groups/{group}/members", "groups.add"},
    {"PATCH", "/v1/groups/{group}/members/{user}", "groups.set_role"},
    {"DELETE", "/v1/groups/{group}/members/{user}", "groups.remove"},
    {"GET", "/v1/devices", "devices.list"},
    {"GET", "/v1/push", "push.list"},
    {"POST", "/v1/push", "push.subscribe", 201},
    {"DELETE", "/v1/push", "push.unsubscribe"},
    {"GET", "/v1/account", "account.get"},
    {"PATCH", "/v1/account", "account.set"},
};

Api::Api(boost::asio::io_context* io, std::shared_ptr<BrokerLink> link, bool behind_proxy)
    : link_(link), doorkeeper_(link, behind_proxy), polls_(std::make_shared<LongPolls>(io, link)) {}

void Api::AddTo(Router* router) {
  for (const AskRow& row : kAsks) {
    router->Add(row.verb, row.path, [this, &row](const ExchangePtr& exchange, const auto& path) {
      AskAs(exchange, path, row);
    });
  }
  using Own = void (Api::*)(const ExchangePtr&);
  struct Row {
    const char* verb;
    const char* path;
    Own own;
  };
  static constexpr Row kOwn[] = {
      {"POST", "/v1/login", &Api::Login},    {"POST", "/v1/messages", &Api::SendMessage},
      {"GET", "/v1/updates", &Api::Updates}, {"POST", "/v1/receipts", &Api::Receipts},
      {"POST", "/v1/typing", &Api::Typing},  {"POST", "/v1/account/token", &Api::NewToken},
  };
  for (const Row& row : kOwn) {
    router->Add(row.verb, row.path,
                [this, own = row.own](const ExchangePtr& exchange, const auto&) {
                  (this->*own)(exchange);
                });
  }
}

void Api::AskAs(const ExchangePtr& exchange, const PathMembers& path, const AskRow& row) {
  doorkeeper_.Admit(exchange, "", [this, exchange, path, &row](const std::string& user) {
    auto query = ReadQuery(exchange->request().query());
    if (!query) return exchange->Answer(Problem(query.error()));
    auto members = AskMembers(path, *query, exchange->request().body);
    if (!members) return exchange->Answer(Problem(members.error()));
    link_->Ask(As(user, std::string("ask/") + row.method), "{" + *members + "}",
               Pass(exchange, row.http_status));
  });
}

// The password is checked as at CONNECT; what is answered is a token, so that it need not be sent
// again.
void Api::Login(const ExchangePtr& exchange) {
  auto login = ReadLogin(exchange->request().body);
  if (!login) return exchange->Answer(Problem(login.error()));
  doorkeeper_.GiveToken(exchange, login->user, login->password, login->token);
}

void Api::NewToken(const ExchangePtr& exchange) {
  const std::string& body = exchange->request().body;
  const std::string wanted = body.empty() ? "{}" : body;
  if (auto object = ParseObject(wanted); !object) return exchange->Answer(Problem(object.error()));
  doorkeeper_.GiveToken(exchange, wanted, 201);
}

// Answered when it is stored.
void Api::SendMessage(const ExchangePtr& exchange) {
  auto read = ReadMessage(exchange->request().body);
  // Who may not speak isn't told what is wrong with what they say.
  std::string author = read ? read->author : "";
  doorkeeper_.Admit(exchange, author, [this, exchange, read](const std::string& user) {
    if (!read) return exchange->Answer(Problem(read.error()));
    link_->Ask(As(user, read->target), read->payload,
               [exchange, user](const Result<std::string>& text) {
                 BrokerAnswer answer = ReadAnswer(text);
                 answer.Add("author_id", user);
                 exchange->Answer(RestAnswer(answer, 201));
               });
  });
}

void Api::Updates(const ExchangePtr& exchange) {
  doorkeeper_.Admit(exchange, "", [this, exchange](const std::string& user) {
    auto query = ReadQuery(exchange->request().query());
    if (!query) return exchange->Answer(Problem(query.error()));
    if (query->contains("wait")) {  // what the broker's sync has for it
      return exchange->Answer(
          Problem({Code::kBadRequest, "there is no 'wait': 'timeout' says how long it may wait"}));
    }
    bool group = query->contains("group");
    auto timeout = TakeTimeout(&*query);
    if (!timeout) return exchange->Answer(Problem(timeout.error()));
    auto page = AskMembers({}, *query, "");
    if (!page) return exchange->Answer(Problem(page.error()));
    // A group of delivery `topic` has no waiting sync: its members would all wake at once.
    if (group || timeout->count() == 0) {
      return link_->Ask(As(user, "ask/sync"), "{" + *page + "}", Pass(exchange, 200));
    }
    polls_->Wait(exchange, user, *page, *timeout);
  });
}

void Api::Receipts(const ExchangePtr& exchange) {
  doorkeeper_.Admit(exchange, "", [this, exchange](const std::string& user) {
    link_->Ask(As(user, "receipt/" + user), exchange->request().body, Pass(exchange, 204));
  });
}

// Never stored, and lost where there is no time for it: so nothing is waited for.
void Api::Typing(const ExchangePtr& exchange) {
  doorkeeper_.Admit(exchange, "", [this, exchange](const std::string& user) {
    auto typing = ReadTyping(exchange->request().body);
    if (!typing) return exchange->Answer(Problem(typing.error()));
    link_->Tell(As(user, typing->target), typing->payload);
    exchange->Answer({.status = 202});
  });
}

}  // namespace parley::gateway
