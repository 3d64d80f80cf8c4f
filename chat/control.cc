#include "chat/control.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "chat/payload.h"
#include "chat/push_jobs.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr int64_t kMsPerDay = 24 * 3600 * 1000;
constexpr size_t kDeadLettersDefault = 100;
constexpr int64_t kDeadLettersMax = 1000;

Status BadRequest(std::string message) { return {Code::kBadRequest, std::move(message)}; }

// Absent members and null are the same to all but setPassword.
const json* Member(const json& request, std::string_view name) {
  auto it = request.find(name);
  return it == request.end() || it->is_null() ? nullptr : &*it;
}

Result<std::optional<std::string>> OptionalText(const json& request, std::string_view name) {
  const json* member = Member(request, name);
  if (member == nullptr) return std::nullopt;
  if (member->is_string()) return member->get<std::string>();
  return Error(BadRequest("'" + std::string(name) + "' must be a string"));
}

Result<std::string> Text(const json& request, std::string_view name) {
  Result<std::optional<std::string>> text = OptionalText(request, name);
  if (!text) return Error(text.error());
  if (*text) return **text;
  return Error(BadRequest("'" + std::string(name) + "' is missing"));
}

Result<std::optional<int64_t>> OptionalNumber(const json& request, std::string_view name,
                                              int64_t least, int64_t most) {
  const json* member = Member(request, name);
  if (member == nullptr) return std::nullopt;
  bool fits = member->is_number_integer();
  if (fits && member->is_number_unsigned()) {
    fits = member->get<uint64_t>() <= static_cast<uint64_t>(most);
  }
  if (fits && member->get<int64_t>() >= least && member->get<int64_t>() <= most) {
    return member->get<int64_t>();
  }
  return Error(BadRequest("'" + std::string(name) + "' must be a whole number from " +
                          std::to_string(least) + " to " + std::to_string(most)));
}

Result<std::optional<bool>> OptionalBool(const json& request, std::string_view name) {
  const json* member = Member(request, name);
  if (member == nullptr) return std::nullopt;
  if (member->is_boolean()) return member->get<bool>();
  return Error(BadRequest("'" + std::string(name) + "' must be true or false"));
}

Status OnlyMembers(const json& object, std::span<const std::string_view> members) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(members.begin(), members.end(), name) == members.end()) {
      return BadRequest("unknown member '" + name + "'");
    }
  }
  return Status();
}

// What createKey and setKey set.
struct KeyMembers {
  std::optional<int64_t> rate;
  std::optional<int64_t> quota;
  std::optional<bool> strangers;
};

Result<KeyMembers> ParseKey(const json& request) {
  constexpr int64_t kMost = int64_t{1} << 53;  // JSON numbers are exact up to there everywhere
  auto rate = OptionalNumber(request, "rate", 0, kMost);
  if (!rate) return Error(rate.error());
  auto quota = OptionalNumber(request, "quota", 0, kMost);
  if (!quota) return Error(quota.error());
  auto strangers = OptionalBool(request, "strangers");
  if (!strangers) return Error(strangers.error());
  return KeyMembers{*rate, *quota, *strangers};
}

constexpr std::array<std::string_view, 4> kUserMembers = {"username", "password", "role", "key"};

}  // namespace

struct Control::Command {
  std::string_view name;
  Result<Json> (Control::*run)(const Json& request);
  std::vector<std::string_view> members;
};

const Control::Command* Control::FindCommand(std::string_view name) {
  static const std::array<Command, 16> commands = {{
      {"createUser", &Control::CreateUser, {kUserMembers.begin(), kUserMembers.end()}},
      {"createUsers", &Control::CreateUsers, {"users"}},
      {"listUsers", &Control::ListUsers, {"limit", "after"}},
      {"disableUser", &Control::DisableUser, {"username"}},
      {"enableUser", &Control::EnableUser, {"username"}},
      {"setPassword", &Control::SetPassword, {"username", "password"}},
      {"issueToken", &Control::IssueToken, {"username", "ttl"}},
      {"createKey", &Control::CreateKey, {"key", "rate", "quota", "strangers"}},
      {"setKey", &Control::SetKey, {"key", "rate", "quota", "strangers"}},
      {"issueKeySecret", &Control::IssueKeySecret, {"key", "revoke"}},
      {"setWebhook", &Control::SetWebhook, {"key", "url", "secret"}},
      {"listKeys", &Control::ListKeys, {}},
      {"status", &Control::ShowStatus, {}},
      {"deadletters", &Control::DeadLetters, {"limit"}},
      {"replayDeadletters", &Control::ReplayDeadLetters, {}},
      {"pushDeadletters", &Control::PushDeadLetters, {"limit"}},
  }};
  auto it = std::find_if(commands.begin(), commands.end(),
                         [&](const Command& command) { return command.name == name; });
  return it == commands.end() ? nullptr : &*it;
}

Control::Control(Directory* directory, const Credentials* credentials, Env* env, ControlHooks hooks)
    : directory_(directory), credentials_(credentials), env_(env), hooks_(std::move(hooks)) {}

std::string Control::Handle(std::string_view request) {
  json responses = json::array();
  Result<json> parsed = ParseObject(request);
  const json* commands = parsed ? Member(*parsed, "commands") : nullptr;
  if (commands != nullptr && commands->is_array()) {
    for (const json& command : *commands) responses.push_back(Respond(command));
  } else {
    responses.push_back(
        {{"command", ""},
         {"error", parsed ? "the request is not {\"commands\":[…]}" : parsed.error().message()},
         {"code", CodeName(Code::kBadRequest)}});
  }
  return json{{"responses", std::move(responses)}}.dump(-1, ' ', false,
                                                        json::error_handler_t::replace);
}

json Control::Respond(const json& request) {
  json response = {{"command", ""}};
  if (request.is_object()) {
    if (const json* name = Member(request, "command")) response["command"] = *name;
    if (const json* data = Member(request, "correlationData")) response["correlationData"] = *data;
  }
  Result<json> result = Run(request);
  if (result) {
    response["data"] = std::move(*result);
  } else {
    response["error"] = result.error().message();
    response["code"] = CodeName(result.error().code());
  }
  return response;
}

Result<json> Control::Run(const json& request) {
  if (!request.is_object()) return Error(BadRequest("a command must be an object"));
  Result<std::string> name = Text(request, "command");
  if (!name) return Error(name.error());
  const Command* command = FindCommand(*name);
  if (command == nullptr) return Error(BadRequest("unknown command '" + *name + "'"));
  std::vector<std::string_view> members = command->members;
  members.insert(members.end(), {"command", "correlationData"});
  if (Status status = OnlyMembers(request, members); !status.ok()) return Error(status);
  return (this->*command->run)(request);
}

// Without the command's own members; hashes the password.
Result<NewUser> Control::ParseUser(const json& user) const {
  Result<std::string> id = Text(user, "username");
  if (!id) return Error(id.error());
  auto password = OptionalText(user, "password");
  if (!password) return Error(password.error());
  auto role_name = OptionalText(user, "role");
  if (!role_name) return Error(role_name.error());
  auto key = OptionalText(user, "key");
  if (!key) return Error(key.error());
  std::optional<Role> role = RoleFromName(role_name->value_or("user"));
  if (!role) return Error(BadRequest("'role' must be user, service or admin"));

  NewUser result{.id = UserId(*id), .role = *role};
  if (*key) result.key = KeyName(**key);
  if (Status status = directory_->CheckNew(result); !status.ok()) return Error(status);
  if (*password) {
    Result<std::string> hash = credentials_->HashPassword(**password);
    if (!hash) return Error(hash.error());
    result.password_hash = std::move(*hash);
  }
  return result;
}

Result<json> Control::CreateUser(const json& request) {
  Result<NewUser> user = ParseUser(request);
  if (!user) return Error(user.error());
  if (Status status = directory_->AddUser(*user); !status.ok()) return Error(status);
  return json::object();
}

Result<json> Control::CreateUsers(const json& request) {
  const json* users = Member(request, "users");
  if (users == nullptr || !users->is_array() || users->size() > kBatchMax) {
    return Error(BadRequest("'users' must be an array of at most " + std::to_string(kBatchMax)));
  }
  std::vector<NewUser> parsed;
  json failed = json::array();
  size_t existing = 0;
  for (const json& one : *users) {
    // Known ones first: their passwords need not be hashed for nothing.
    const json* id = one.is_object() ? Member(one, "username") : nullptr;
    if (id != nullptr && id->is_string() && directory_->Find(UserId(id->get<std::string>()))) {
      ++existing;
      continue;
    }
    Status status =
        one.is_object() ? OnlyMembers(one, kUserMembers) : BadRequest("a user must be an object");
    Result<NewUser> user = status.ok() ? ParseUser(one) : Error(status);
    if (user) {
      parsed.push_back(std::move(*user));
    } else {
      failed.push_back({{"username", id != nullptr ? *id : json()},
                        {"error", user.error().message()},
                        {"code", CodeName(user.error().code())}});
    }
  }
  Result<std::vector<bool>> created = directory_->ImportUsers(parsed);
  if (!created) return Error(created.error());
  auto made = std::count(created->begin(), created->end(), true);
  existing += created->size() - static_cast<size_t>(made);
  return json{{"created", made}, {"existing", existing}, {"failed", std::move(failed)}};
}

Result<json> Control::ListUsers(const json& request) {
  auto limit = OptionalNumber(request, "limit", 1, static_cast<int64_t>(kUsersPageMax));
  if (!limit) return Error(limit.error());
  auto after = OptionalText(request, "after");
  if (!after) return Error(after.error());
  size_t wanted = static_cast<size_t>(limit->value_or(100));
  Result<std::vector<UserRow>> rows = directory_->ListUsers(UserId(after->value_or("")), wanted);
  if (!rows) return Error(rows.error());
  json users = json::array();
  for (const UserRow& row : *rows) {
    json user = {{"username", row.id.str()},     {"role", RoleName(row.role)},
                 {"key", row.key.str()},         {"disabled", row.disabled},
                 {"password", row.has_password}, {"created", row.created_ms}};
    if (!row.name.empty()) user["name"] = row.name;
    users.push_back(std::move(user));
  }
  bool more = false;
  if (rows->size() == wanted) {
    Result<std::vector<UserRow>> next = directory_->ListUsers(rows->back().id, 1);
    if (!next) return Error(next.error());
    more = !next->empty();
  }
  return json{{"users", std::move(users)}, {"more", more}};
}

Result<json> Control::DisableUser(const json& request) {
  Result<std::string> user = Text(request, "username");
  if (!user) return Error(user.error());
  Status status = directory_->SetDisabled(UserId(*user), true);
  if (!status.ok()) return Error(status);
  AccountChanged(UserId(*user));
  return json::object();
}

Result<json> Control::EnableUser(const json& request) {
  Result<std::string> user = Text(request, "username");
  if (!user) return Error(user.error());
  Status status = directory_->SetDisabled(UserId(*user), false);
  if (!status.ok()) return Error(status);
  return json::object();
}

Result<json> Control::SetPassword(const json& request) {
  Result<std::string> user = Text(request, "username");
  if (!user) return Error(user.error());
  auto password = OptionalText(request, "password");
  if (!password) return Error(password.error());
  if (!request.contains("password")) {
    return Error(BadRequest("'password' is missing (null: tokens only)"));
  }
  std::optional<std::string> hash;
  if (*password) {
    Result<std::string> hashed = credentials_->HashPassword(**password);
    if (!hashed) return Error(hashed.error());
    hash = std::move(*hashed);
  }
  Status status = directory_->SetPassword(UserId(*user), hash);
  if (!status.ok()) return Error(status);
  AccountChanged(UserId(*user));
  return json::object();
}

Result<json> Control::IssueToken(const json& request) {
  Result<std::string> user = Text(request, "username");
  if (!user) return Error(user.error());
  auto ttl = OptionalNumber(request, "ttl", 1, kTtlMaxS);
  if (!ttl) return Error(ttl.error());
  std::optional<Account> account = directory_->Find(UserId(*user));
  if (!account) return Error(Code::kNotFound, "no account '" + *user + "'");
  if (account->disabled) return Error(Code::kDenied, "account '" + *user + "' is disabled");
  int64_t ttl_s = ttl->value_or(kTtlDefaultS);
  std::string token = credentials_->IssueToken(*user, ttl_s);
  return json{{"token", std::move(token)}, {"expires", env_->NowMs() / 1000 + ttl_s}};
}

Result<json> Control::CreateKey(const json& request) {
  Result<std::string> name = Text(request, "key");
  if (!name) return Error(name.error());
  Result<KeyMembers> key = ParseKey(request);
  if (!key) return Error(key.error());
  Status status = directory_->AddKey(KeyName(*name), key->rate.value_or(0), key->quota.value_or(0),
                                     key->strangers.value_or(true));
  if (!status.ok()) return Error(status);
  return json::object();
}

Result<json> Control::SetKey(const json& request) {
  Result<std::string> name = Text(request, "key");
  if (!name) return Error(name.error());
  Result<KeyMembers> key = ParseKey(request);
  if (!key) return Error(key.error());
  Status status = directory_->SetKey(KeyName(*name), key->rate, key->quota, key->strangers);
  if (!status.ok()) return Error(status);
  return json::object();
}

Result<json> Control::IssueKeySecret(const json& request) {
  Result<std::string> name = Text(request, "key");
  if (!name) return Error(name.error());
  auto revoke = OptionalBool(request, "revoke");
  if (!revoke) return Error(revoke.error());
  std::string secret = revoke->value_or(false) ? "" : credentials_->MakeKeySecret(KeyName(*name));
  Status status = directory_->SetKeySecret(
      KeyName(*name), secret.empty() ? "" : Credentials::KeySecretHash(secret));
  if (!status.ok()) return Error(status);
  return secret.empty() ? json::object() : json{{"secret", std::move(secret)}};
}

Result<json> Control::SetWebhook(const json& request) {
  Result<std::string> name = Text(request, "key");
  if (!name) return Error(name.error());
  auto url = OptionalText(request, "url");
  if (!url) return Error(url.error());
  auto secret = OptionalText(request, "secret");
  if (!secret) return Error(secret.error());
  if (url->has_value() != secret->has_value()) {
    return Error(BadRequest("a webhook has 'url' and 'secret'; neither: it is removed"));
  }
  std::optional<Webhook> webhook;
  if (*url) webhook = Webhook{**url, **secret};
  if (webhook && !webhook->url.starts_with("https://") && !webhook->url.starts_with("http://")) {
    return Error(BadRequest("'url' begins with https:// or http://"));
  }
  Status status = directory_->SetWebhook(KeyName(*name), webhook);
  if (!status.ok()) return Error(status);
  return json::object();
}

Result<json> Control::ListKeys(const json&) {
  int64_t today = env_->NowMs() / kMsPerDay;
  json keys = json::array();
  for (const ApiKey& key : directory_->Keys()) {
    keys.push_back({{"key", key.name.str()},
                    {"rate", key.rate_per_s},
                    {"quota", key.quota_per_day},
                    {"used", key.day == today ? key.used : 0},
                    {"strangers", key.strangers},
                    {"secret", !key.secret_hash.empty()}});
    if (auto webhook = directory_->WebhookOf(key.name)) keys.back()["webhook"] = webhook->url;
  }
  return json{{"keys", std::move(keys)}};
}

Result<json> Control::ShowStatus(const json&) {
  json figures = {{"users", directory_->user_count()}, {"keys", directory_->Keys().size()}};
  if (hooks_.status) figures.update(hooks_.status());
  return figures;
}

Result<json> Control::DeadLetters(const json& request) {
  auto limit = OptionalNumber(request, "limit", 1, kDeadLettersMax);
  if (!limit) return Error(limit.error());
  if (!hooks_.deadletters) return Error(Code::kUnavailable, "no dead letters can be read here");
  return hooks_.deadletters(static_cast<size_t>(limit->value_or(kDeadLettersDefault)));
}

Result<json> Control::ReplayDeadLetters(const json&) {
  if (!hooks_.replay_deadletters) {
    return Error(Code::kUnavailable, "no dead letters can be replayed here");
  }
  return hooks_.replay_deadletters();
}

Result<json> Control::PushDeadLetters(const json& request) {
  auto limit = OptionalNumber(request, "limit", 1, kDeadLettersMax);
  if (!limit) return Error(limit.error());
  if (!hooks_.push_deadletters) return Error(Code::kUnavailable, "none can be read here");
  auto letters = hooks_.push_deadletters(static_cast<size_t>(limit->value_or(kDeadLettersDefault)));
  if (!letters) return Error(letters.error());
  json push = json::array();
  for (const PushDeadLetter& letter : *letters) {
    const PushJobRecord& job = letter.job;
    json one = {{"ts", letter.ts_ms},     {"reason", letter.reason},
                {"user", job.user.str()}, {"provider", PushProviderName(job.provider)},
                {"count", job.count},     {"created", job.created_ms}};
    if (!job.device.empty()) one["device"] = job.device.str();
    if (job.group.empty()) {
      one["with"] = job.from.str();
    } else {
      one["group"] = job.group.str();
    }
    push.push_back(std::move(one));
  }
  return json{{"push", std::move(push)}};
}

void Control::AccountChanged(const UserId& user) const {
  if (hooks_.account_changed) hooks_.account_changed(user);
}

}  // namespace parley
