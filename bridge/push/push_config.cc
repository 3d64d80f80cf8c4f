#include "bridge/push/push_config.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "bridge/push/providers.h"
#include "bridge/secret_input.h"

namespace parley::push {
namespace {

using nlohmann::json;

constexpr int64_t kTtlMaxS = 28 * 86400;  // of FCM, the least of them

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return Error(Code::kIoError, path + " can't be read");
  return text.str();
}

// An object's members, each taken once; the first thing that is wrong is kept.
class Members {
 public:
  Members(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) Fail("must be an object");
  }

  void Text(const char* name, std::string* out, bool needed = false) {
    const json* member = Take(name);
    if (member == nullptr) return needed ? Fail("lacks '" + std::string(name) + "'") : void();
    if (!member->is_string()) return Fail("'" + std::string(name) + "' must be a string");
    *out = member->get<std::string>();
    if (needed && out->empty()) Fail("'" + std::string(name) + "' is empty");
  }
  template <class T>
  void Number(const char* name, int64_t least, int64_t most, T* out) {
    const json* member = Take(name);
    if (member == nullptr) return;
    bool fits = member->is_number_integer() && *member >= least && *member <= most;
    if (!fits) {
      return Fail("'" + std::string(name) + "' must be a whole number from " +
                  std::to_string(least) + " to " + std::to_string(most));
    }
    *out = static_cast<T>(member->get<int64_t>());
  }
  void Bool(const char* name, bool* out) {
    const json* member = Take(name);
    if (member == nullptr) return;
    if (!member->is_boolean()) return Fail("'" + std::string(name) + "' must be true or false");
    *out = member->get<bool>();
  }
  // Null: it isn't there.
  const json* Take(const char* name) {
    taken_.emplace_back(name);
    auto found = object_.is_object() ? object_.find(name) : object_.end();
    return found == object_.end() ? nullptr : &*found;
  }
  // What was wrong; unknown members are, too.
  Status Done() {
    for (auto member = object_.begin(); object_.is_object() && member != object_.end(); ++member) {
      if (std::find(taken_.begin(), taken_.end(), member.key()) == taken_.end()) {
        Fail("has an unknown member '" + member.key() + "'");
      }
    }
    return failed_;
  }

 private:
  void Fail(const std::string& what) {
    if (failed_.ok()) failed_ = {Code::kBadRequest, where_ + " " + what};
  }

  const json& object_;
  const std::string where_;
  std::vector<std::string> taken_;
  Status failed_;
};

Status ReadBroker(const json& object, MqttOptions* broker) {
  Members members(object, "'broker'");
  std::string token_file;
  members.Text("host", &broker->host);
  members.Number("port", 1, 65535, &broker->port);
  members.Text("user", &broker->username, true);
  members.Text("token_file", &token_file, true);
  members.Text("ca_file", &broker->ca_file);
  std::string name;
  members.Text("name", &name);
  if (Status status = members.Done(); !status.ok()) return status;
  broker->client_id =
      name.empty() ? FreshClientId(broker->username) : broker->username + ":" + name;
  auto token = ReadPasswordFile(token_file);
  if (!token) return token.error();
  broker->password = std::move(*token);
  return {};
}

using Made = Result<std::unique_ptr<Provider>>;

Made ReadWebPush(const json& object) {
  Members members(object, "'webpush'");
  std::string key_file, subject;
  int64_t ttl_s = 86400;
  members.Text("key_file", &key_file, true);
  members.Text("subject", &subject, true);
  members.Number("ttl_s", 0, kTtlMaxS, &ttl_s);
  if (Status status = members.Done(); !status.ok()) return Error(status);
  if (!subject.starts_with("mailto:") && !subject.starts_with("https://")) {
    return Error(Code::kBadRequest, "'webpush' 'subject' begins with mailto: or https://");
  }
  auto key = PrivateKey::FromFile(key_file);
  if (!key) return Error(key.error());
  if (!key->is_p256()) return Error(Code::kBadRequest, key_file + " holds no key of P-256");
  return MakeWebPush(std::move(*key), subject, ttl_s);
}

Made ReadNtfy(const json& object) {
  Members members(object, "'ntfy'");
  const json* files = members.Take("token_files");
  if (Status status = members.Done(); !status.ok()) return Error(status);
  std::map<std::string, std::string> tokens;
  if (files != nullptr && !files->is_object()) {
    return Error(Code::kBadRequest, "'ntfy' 'token_files' must be an object of server: file");
  }
  const json none = json::object();
  for (const auto& [server, file] : (files != nullptr ? *files : none).items()) {
    std::string origin = OriginOf(server);
    if (origin.empty() || !file.is_string()) {
      return Error(Code::kBadRequest, "'ntfy' 'token_files' must be an object of server: file");
    }
    auto token = ReadPasswordFile(file.get<std::string>());
    if (!token) return Error(token.error());
    tokens[origin] = std::move(*token);
  }
  return MakeNtfy(std::move(tokens));
}

Made ReadWebhook(const json& object) {
  Members members(object, "'webhook'");
  if (Status status = members.Done(); !status.ok()) return Error(status);
  return MakeWebhook();
}

Made ReadFcm(const json& object) {
  Members members(object, "'fcm'");
  FcmOptions options;
  std::string file;
  members.Text("service_account_file", &file, true);
  members.Text("base_url", &options.base_url);
  members.Number("ttl_s", 0, kTtlMaxS, &options.ttl_s);
  if (Status status = members.Done(); !status.ok()) return Error(status);
  auto account = ReadFile(file);
  if (!account) return Error(account.error());
  options.account = std::move(*account);
  auto made = MakeFcm(options);
  if (!made) return Error(Code::kBadRequest, file + ": " + made.error().message());
  return made;
}

Made ReadApns(const json& object) {
  Members members(object, "'apns'");
  ApnsOptions options;
  std::string key_file;
  members.Text("key_file", &key_file, true);
  members.Text("key_id", &options.key_id, true);
  members.Text("team_id", &options.team_id, true);
  members.Text("topic", &options.topic, true);
  members.Text("base_url", &options.base_url);
  members.Number("ttl_s", 0, kTtlMaxS, &options.ttl_s);
  if (Status status = members.Done(); !status.ok()) return Error(status);
  auto key = PrivateKey::FromFile(key_file);
  if (!key) return Error(key.error());
  if (!key->is_p256()) return Error(Code::kBadRequest, key_file + " holds no key of P-256");
  return MakeApns(std::move(*key), std::move(options));
}

// One row a provider.
constexpr std::pair<const char*, Made (*)(const json&)> kProviders[] = {{"webpush", ReadWebPush},
                                                                        {"ntfy", ReadNtfy},
                                                                        {"webhook", ReadWebhook},
                                                                        {"fcm", ReadFcm},
                                                                        {"apns", ReadApns}};

}  // namespace

Result<Config> ReadConfig(const std::string& path) {
  auto text = ReadFile(path);
  if (!text) return Error(text.error());
  const json object = json::parse(*text, nullptr, false);
  if (!object.is_object()) return Error(Code::kBadRequest, path + " is no JSON object");
  Config config;
  Members members(object, path);
  members.Number("concurrency", 1, 1000, &config.http.concurrency);
  members.Number("timeout_ms", 1, 60'000, &config.http.timeout_ms);
  members.Bool("allow_private", &config.http.allow_private);
  members.Text("ca_file", &config.http.ca_file);
  const json* broker = members.Take("broker");
  if (broker == nullptr) return Error(Code::kBadRequest, path + " lacks 'broker'");
  Status status = ReadBroker(*broker, &config.broker);
  for (const auto& [name, read] : kProviders) {
    const json* settings = members.Take(name);
    if (settings == nullptr || !status.ok()) continue;
    auto provider = read(*settings);
    if (!provider) {
      status = provider.error();
    } else {
      config.providers.push_back(std::move(*provider));
    }
  }
  if (status.ok()) status = members.Done();
  if (status.ok() && config.providers.empty()) {
    status = {Code::kBadRequest, path + " names no provider: webpush, ntfy, webhook, fcm, apns"};
  }
  if (!status.ok()) return Error(status);
  return config;
}

}  // namespace parley::push
