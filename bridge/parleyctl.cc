// parleyctl: the administrator's tool. It works on the data directory itself while the broker is
// down and through the broker while it is up (control_channel.h); the commands are the same.
//
// Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 somebody has the directory open and
// can't be reached. Results go to standard output, everything else to standard error. With --json a
// result, or {"error":…,"code":…}, is one line of JSON on standard output.
//
// Each command is one function here: its options, and what it does when it is chosen.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "bridge/control_channel.h"
#include "bridge/progress.h"
#include "bridge/secret_input.h"
#include "bridge/status_watch.h"
#include "bridge/units.h"
#include "bridge/user_import.h"
#include "chat/control.h"
#include "storage/data_dir.h"
#include "storage/directory.h"

namespace parley {
namespace {

using nlohmann::json;

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2, kUnreachable = 3 };

// What all commands share.
struct Tool {
  std::string data_dir = "/var/lib/parley";
  bool as_json = false;
  int wait_s = static_cast<int>(ControlChannel::kPatience.count());
  std::function<ExitCode()> chosen;

  std::unique_ptr<ControlChannel> channel;

  ExitCode Fail(const Status& status) const {
    std::fprintf(stderr, "parleyctl: %s\n", status.message().c_str());
    if (as_json) Print({{"error", status.message()}, {"code", CodeName(status.code())}});
    return channel == nullptr && status.code() == Code::kUnavailable ? kUnreachable : kFailed;
  }

  static void Print(const json& data) {
    std::puts(data.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  }

  // The result of a command that yields nothing but that it is done.
  ExitCode Done(const std::string& text) const {
    if (as_json) {
      Print(json::object());
    } else {
      std::puts(text.c_str());
    }
    return kDone;
  }

  // Before this, files of the caller's are read; after it, the process may be another user.
  Status Open() {
    if (Status status = BecomeOwnerOf(data_dir); !status.ok()) return status;
    auto opened = ControlChannel::Open(data_dir, Env::Posix(), std::chrono::seconds(wait_s));
    if (!opened) return opened.error();
    channel = std::move(*opened);
    return Status();
  }

  Result<json> Run(json command) {
    if (channel == nullptr) {
      if (Status status = Open(); !status.ok()) return Error(status);
    }
    return channel->Run(std::move(command));
  }

  // A command whose answer holds nothing.
  ExitCode RunAndSay(json command, const std::string& done) {
    Result<json> data = Run(std::move(command));
    return data ? Done(done) : Fail(data.error());
  }
  // Prints one member of the answer, a text; with --json the whole answer.
  ExitCode RunAndPrint(json command, const char* member) {
    Result<json> data = Run(std::move(command));
    if (!data) return Fail(data.error());
    if (as_json) {
      Print(*data);
    } else {
      std::puts(data->value(member, "").c_str());
    }
    return kDone;
  }
};

std::string Date(int64_t ms) {
  std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string Limit(const json& value, const char* unit) {
  int64_t number = value.is_number() ? value.get<int64_t>() : 0;
  return number == 0 ? "none" : std::to_string(number) + unit;
}

CLI::App* AddCommand(CLI::App* parent, Tool* tool, const char* name, const char* description,
                     std::function<ExitCode()> run) {
  CLI::App* command = parent->add_subcommand(name, description);
  command->callback([tool, run = std::move(run)] { tool->chosen = run; });
  return command;
}

// A check for CLI11: empty where the text is good.
CLI::Validator Check(bool (*good)(const std::string&), const char* otherwise) {
  return CLI::Validator(
      [good, otherwise](std::string& text) { return good(text) ? "" : std::string(otherwise); },
      "");
}

// --- init ----------------------------------------------------------------------------------------

ExitCode Init(Tool* tool, const std::string& owner) {
  Status status = PrepareDataDir(tool->data_dir, owner);
  if (status.ok()) status = BecomeOwnerOf(tool->data_dir);
  if (!status.ok()) return tool->Fail(status);
  Result<bool> created = Directory::Create(tool->data_dir, Env::Posix());
  // In use, so it was made.
  if (!created && created.error().code() == Code::kBusy) created = false;
  if (!created) return tool->Fail(created.error());
  if (tool->as_json) {
    Tool::Print({{"created", *created}, {"data", tool->data_dir}});
  } else if (*created) {
    std::printf("made the data directory %s\n", tool->data_dir.c_str());
  } else {
    std::printf("%s is a data directory already; nothing was changed\n", tool->data_dir.c_str());
  }
  return kDone;
}

void AddInit(CLI::App* app, Tool* tool) {
  auto owner = std::make_shared<std::string>("mosquitto");
  auto* command = AddCommand(app, tool, "init",
                             "Make the data directory. Does nothing where it is made already",
                             [=] { return Init(tool, *owner); });
  command
      ->add_option("--owner", *owner,
                   "The user that the broker runs as: a directory that root makes is given to "
                   "that user")
      ->capture_default_str();
}

// --- user ----------------------------------------------------------------------------------------

struct PasswordOptions {
  std::string file;
  bool none = false;

  void AddTo(CLI::App* command) {
    auto* file_option = command->add_option("--password-file", file,
                                            "Read the password from the first line of this file");
    command->add_flag("--no-password", none, "No password: the account logs in with tokens only")
        ->excludes(file_option);
  }

  Result<std::string> Read(const std::string& user) const {
    if (none) return "";
    return file.empty() ? AskPassword(user) : ReadPasswordFile(file);
  }
};

struct UserAddOptions {
  std::string id;
  std::string role = "user";
  std::string key{kDefaultKey};
  PasswordOptions password;
};

ExitCode UserAdd(Tool* tool, const UserAddOptions& options) {
  Result<std::string> password = options.password.Read(options.id);
  if (!password) return tool->Fail(password.error());
  json command = {{"command", "createUser"},
                  {"username", options.id},
                  {"role", options.role},
                  {"key", options.key}};
  if (!password->empty()) command["password"] = *password;
  std::string done = "added " + options.id;
  if (password->empty()) done += " (no password: tokens only)";
  return tool->RunAndSay(std::move(command), done);
}

void AddUserAdd(CLI::App* user, Tool* tool) {
  auto options = std::make_shared<UserAddOptions>();
  auto* command = AddCommand(
      user, tool, "add",
      "Add an account. The password comes from standard input; an empty one means tokens only",
      [=] { return UserAdd(tool, *options); });
  command->add_option("ID", options->id, "User id")->required();
  command->add_option("--role", options->role, "user, service (a gateway) or admin")
      ->capture_default_str()
      ->check(CLI::IsMember({"user", "service", "admin"}));
  command->add_option("--key", options->key, "API key whose limits the account shares")
      ->capture_default_str();
  options->password.AddTo(command);
}

ExitCode UserPasswd(Tool* tool, const std::string& id, const PasswordOptions& options) {
  Result<std::string> password = options.Read(id);
  if (!password) return tool->Fail(password.error());
  if (password->empty() && !options.none) {
    return tool->Fail(
        Status(Code::kBadRequest, "the password is empty; --no-password leaves tokens only"));
  }
  json command = {{"command", "setPassword"}, {"username", id}, {"password", nullptr}};
  if (!password->empty()) command["password"] = *password;
  return tool->RunAndSay(std::move(command),
                         "changed the password of " + id + "; earlier tokens are void");
}

void AddUserPasswd(CLI::App* user, Tool* tool) {
  auto id = std::make_shared<std::string>();
  auto password = std::make_shared<PasswordOptions>();
  auto* command = AddCommand(user, tool, "passwd",
                             "Change a password, from standard input. Voids the user's tokens",
                             [=] { return UserPasswd(tool, *id, *password); });
  command->add_option("ID", *id, "User id")->required();
  password->AddTo(command);
}

void AddUserDisable(CLI::App* user, Tool* tool) {
  auto id = std::make_shared<std::string>();
  auto* disable = AddCommand(
      user, tool, "disable", "Shut an account out. Voids its tokens; its messages stay", [=] {
        return tool->RunAndSay({{"command", "disableUser"}, {"username", *id}}, "disabled " + *id);
      });
  disable->add_option("ID", *id, "User id")->required();
  auto* enable = AddCommand(user, tool, "enable", "Let a disabled account in again", [=] {
    return tool->RunAndSay({{"command", "enableUser"}, {"username", *id}}, "enabled " + *id);
  });
  enable->add_option("ID", *id, "User id")->required();
}

void PrintUser(const json& user) {
  std::printf("%-24s %-8s %-16s %-9s %-8s %s\n", user.value("username", "").c_str(),
              user.value("role", "").c_str(), user.value("key", "").c_str(),
              user.value("password", false) ? "password" : "token",
              user.value("disabled", false) ? "disabled" : "enabled",
              Date(user.value("created", int64_t{0})).c_str());
}

ExitCode UserList(Tool* tool) {
  json all = json::array();
  json command = {{"command", "listUsers"}, {"limit", kUsersPageMax}};
  bool first = true;
  for (;;) {
    Result<json> page = tool->Run(command);
    if (!page) return tool->Fail(page.error());
    if (first && !tool->as_json) {
      std::printf("%-24s %-8s %-16s %-9s %-8s %s\n", "ID", "ROLE", "KEY", "LOGIN", "STATE", "MADE");
    }
    first = false;
    json& users = (*page)["users"];
    for (json& user : users) {
      command["after"] = user["username"];
      if (tool->as_json) {
        all.push_back(std::move(user));
      } else {
        PrintUser(user);
      }
    }
    if (!page->value("more", false)) break;
  }
  if (tool->as_json) Tool::Print({{"users", std::move(all)}});
  return kDone;
}

// 0 where it has no size: a pipe.
uint64_t SizeOf(std::istream* file) {
  file->seekg(0, std::ios::end);
  auto size = file->tellg();
  file->clear();
  file->seekg(0);
  file->clear();
  return size > 0 ? static_cast<uint64_t>(size) : 0;
}

ExitCode UserImportFile(Tool* tool, const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path);
    if (!file) return tool->Fail(Status(Code::kIoError, path + " can't be read"));
  }
  std::istream& input = path == "-" ? std::cin : file;
  Result<ImportOutcome> outcome;
  {
    Progress progress("users", path == "-" ? 0 : SizeOf(&input));
    UserImport import([&](json command) { return tool->Run(std::move(command)); },
                      [&](uint64_t line, const std::string& why) {
                        std::fprintf(stderr, "%s:%llu: %s\n", path.c_str(),
                                     static_cast<unsigned long long>(line), why.c_str());
                      },
                      [&](uint64_t users, uint64_t bytes) { progress.Update(users, bytes); });
    // So that an empty file, too, is only done where there is a directory.
    if (Status status = tool->Open(); !status.ok()) return tool->Fail(status);
    outcome = import.Import(input);
  }
  if (!outcome) {
    return tool->Fail(Status(outcome.error().code(),
                             path + ": " + outcome.error().message() +
                                 "; run it again to go on: what was imported is skipped"));
  }
  if (tool->as_json) {
    Tool::Print({{"created", outcome->created},
                 {"existing", outcome->existing},
                 {"failed", outcome->failed}});
  } else {
    std::printf("%llu added, %llu existed already and were left as they are, %llu refused\n",
                static_cast<unsigned long long>(outcome->created),
                static_cast<unsigned long long>(outcome->existing),
                static_cast<unsigned long long>(outcome->failed));
  }
  return outcome->failed == 0 ? kDone : kFailed;
}

void AddUserImport(CLI::App* user, Tool* tool) {
  auto path = std::make_shared<std::string>();
  auto* command = AddCommand(user, tool, "import",
                             "Add the accounts of a file of lines id,password[,key]; an empty "
                             "password means tokens only. Existing accounts are left as they are",
                             [=] { return UserImportFile(tool, *path); });
  command->add_option("FILE", *path, "The file; - is standard input")->required();
}

void AddUser(CLI::App* app, Tool* tool) {
  CLI::App* user = app->add_subcommand("user", "Accounts");
  user->require_subcommand(1);
  AddUserAdd(user, tool);
  AddUserImport(user, tool);
  AddCommand(user, tool, "list", "List all accounts", [=] { return UserList(tool); });
  AddUserDisable(user, tool);
  AddUserPasswd(user, tool);
}

// --- token ---------------------------------------------------------------------------------------

ExitCode TokenIssue(Tool* tool, const std::string& id, const std::string& ttl) {
  return tool->RunAndPrint(
      {{"command", "issueToken"}, {"username", id}, {"ttl", ParseDuration(ttl).value_or(0)}},
      "token");
}

void AddToken(CLI::App* app, Tool* tool) {
  CLI::App* token = app->add_subcommand("token", "Access tokens");
  token->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  auto ttl = std::make_shared<std::string>("24h");
  auto* command = AddCommand(token, tool, "issue",
                             "Print a token that its user logs in with instead of a password",
                             [=] { return TokenIssue(tool, *id, *ttl); });
  command->add_option("ID", *id, "User id")->required();
  command->add_option("--ttl", *ttl, "How long it is good: 90s, 30m, 24h, 7d")
      ->capture_default_str()
      ->check(Check([](const std::string& text) { return ParseDuration(text).has_value(); },
                    "must be a time such as 90s, 30m, 24h or 7d"));
}

// --- key -----------------------------------------------------------------------------------------

struct KeyOptions {
  std::string name;
  std::string rate;
  std::string quota;
  std::string strangers;
};

ExitCode KeyChange(Tool* tool, const char* name, const KeyOptions& options) {
  json command = {{"command", name}, {"key", options.name}};
  if (!options.rate.empty()) command["rate"] = *ParseLimit(options.rate, "/s");
  if (!options.quota.empty()) command["quota"] = *ParseLimit(options.quota, "/day");
  if (!options.strangers.empty()) command["strangers"] = options.strangers == "allow";
  std::string verb = std::string_view(name) == "createKey" ? "added " : "changed ";
  return tool->RunAndSay(std::move(command), verb + options.name);
}

void AddKeyChange(CLI::App* key, Tool* tool, const char* name, const char* description,
                  const char* control_command) {
  auto options = std::make_shared<KeyOptions>();
  auto* command = AddCommand(key, tool, name, description,
                             [=] { return KeyChange(tool, control_command, *options); });
  command->add_option("NAME", options->name, "The key's name")->required();
  command->add_option("--rate", options->rate, "Messages a second of all its accounts: N/s or none")
      ->check(Check([](const std::string& text) { return ParseLimit(text, "/s").has_value(); },
                    "must be a number such as 100/s, or none"));
  command
      ->add_option("--quota", options->quota,
                   "Messages a day (UTC) of all its accounts: N/day "
                   "or none")
      ->check(Check([](const std::string& text) { return ParseLimit(text, "/day").has_value(); },
                    "must be a number such as 5000/day, or none"));
  command
      ->add_option("--strangers", options->strangers,
                   "May those who are no contacts write to its accounts: allow or deny")
      ->check(CLI::IsMember({"allow", "deny"}));
}

ExitCode KeySecret(Tool* tool, const std::string& name, bool revoke) {
  json command = {{"command", "issueKeySecret"}, {"key", name}, {"revoke", revoke}};
  if (revoke) return tool->RunAndSay(std::move(command), name + " has no secret now");
  return tool->RunAndPrint(std::move(command), "secret");
}

void AddKeySecret(CLI::App* key, Tool* tool) {
  auto name = std::make_shared<std::string>();
  auto revoke = std::make_shared<bool>(false);
  auto* command = AddCommand(key, tool, "secret",
                             "Print a new secret, by which a server speaks for the key's accounts "
                             "over REST. It is shown once; the one of before is void",
                             [=] { return KeySecret(tool, *name, *revoke); });
  command->add_option("NAME", *name, "The key's name")->required();
  command->add_flag("--revoke", *revoke, "Void the secret and make none");
}

ExitCode KeyList(Tool* tool) {
  Result<json> data = tool->Run({{"command", "listKeys"}});
  if (!data) return tool->Fail(data.error());
  if (tool->as_json) {
    Tool::Print(*data);
    return kDone;
  }
  std::printf("%-24s %14s %18s %14s %10s  %s\n", "KEY", "RATE", "QUOTA", "USED TODAY", "STRANGERS",
              "WEBHOOK");
  for (const json& key : (*data)["keys"]) {
    std::printf("%-24s %14s %18s %14lld %10s  %s\n", key.value("key", "").c_str(),
                Limit(key["rate"], "/s").c_str(), Limit(key["quota"], "/day").c_str(),
                static_cast<long long>(key.value("used", int64_t{0})),
                key.value("strangers", true) ? "allow" : "deny",
                key.value("webhook", "none").c_str());
  }
  return kDone;
}

struct WebhookOptions {
  std::string name;
  std::string url;
  std::string secret_file;
  bool none = false;
};

ExitCode KeyWebhook(Tool* tool, const WebhookOptions& options) {
  json command = {{"command", "setWebhook"}, {"key", options.name}};
  if (options.none) {
    return tool->RunAndSay(std::move(command), options.name + " has no webhook any more");
  }
  if (options.url.empty() || options.secret_file.empty()) {
    (void)tool->Fail({Code::kBadRequest, "URL and --secret-file are needed, or --none"});
    return kUsage;
  }
  Result<std::string> secret = ReadPasswordFile(options.secret_file);
  if (!secret) return tool->Fail(secret.error());
  command["url"] = options.url;
  command["secret"] = *secret;
  return tool->RunAndSay(std::move(command), "webhook of " + options.name + ": " + options.url);
}

void AddWebhook(CLI::App* key, Tool* tool) {
  auto options = std::make_shared<WebhookOptions>();
  auto* command =
      AddCommand(key, tool, "webhook",
                 "Have a URL told of messages to the key's accounts that aren't connected",
                 [=] { return KeyWebhook(tool, *options); });
  command->add_option("NAME", options->name, "The key's name")->required();
  command->add_option("URL", options->url, "Where parley-push POSTs to");
  command->add_option("--secret-file", options->secret_file,
                      "What is sent is signed with the first line of this file, 16 to 256 bytes");
  command->add_flag("--none", options->none, "No webhook any more");
}

void AddKey(CLI::App* app, Tool* tool) {
  CLI::App* key =
      app->add_subcommand("key", "API keys: limits and rules that a developer's accounts share");
  key->require_subcommand(1);
  AddKeyChange(key, tool, "add",
               "Add a key; without limits, and open to strangers, where nothing is given",
               "createKey");
  AddKeyChange(key, tool, "set", "Change a key; what isn't given stays", "setKey");
  AddKeySecret(key, tool);
  AddWebhook(key, tool);
  AddCommand(key, tool, "list", "List all keys and what was used of them today",
             [=] { return KeyList(tool); });
}

// --- deadletter, status --------------------------------------------------------------------------

// A list of objects under `name`, one a line; else the figures alone.
ExitCode Show(Tool* tool, json command) {
  Result<json> data = tool->Run(std::move(command));
  if (!data) return tool->Fail(data.error());
  if (tool->as_json) {
    Tool::Print(*data);
    return kDone;
  }
  for (const auto& [name, value] : data->items()) {
    if (value.is_array()) {
      for (const json& entry : value) std::puts(entry.dump().c_str());
    } else {
      std::printf("%s: %s\n", name.c_str(),
                  value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
    }
  }
  return kDone;
}

void AddDeadletter(CLI::App* app, Tool* tool) {
  CLI::App* deadletter = app->add_subcommand(
      "deadletter", "Messages that a failing store could not take, kept until it works again");
  deadletter->require_subcommand(1);
  AddCommand(deadletter, tool, "list", "Show what waits", [=] {
    return Show(tool, {{"command", "deadletters"}});
  });
  AddCommand(deadletter, tool, "push", "Show the pushes that were given up, latest first", [=] {
    return Show(tool, {{"command", "pushDeadletters"}});
  });
  AddCommand(deadletter, tool, "replay", "Write them to their stores now", [=] {
    return Show(tool, {{"command", "replayDeadletters"}});
  });
}

ExitCode ShowStatus(Tool* tool) {
  Result<json> data = tool->Run({{"command", "status"}});
  if (!data) return tool->Fail(data.error());
  (*data)["broker"] = tool->channel->broker_runs() ? tool->channel->Where() : "down";
  if (tool->as_json) {
    Tool::Print(*data);
    return kDone;
  }
  for (const auto& [name, value] : data->items()) {
    std::printf("%s: %s\n", name.c_str(),
                value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
  return kDone;
}

// On a terminal one table, drawn again and again in its place; else a line each time.
void ShowWatched(const std::vector<WatchedFigure>& watched, bool again) {
  if (!isatty(STDOUT_FILENO)) {
    std::string line;
    for (const auto& [name, value] : watched)
      line += (line.empty() ? "" : "  ") + name + "=" + value;
    std::puts(line.c_str());
    return;
  }
  if (again) std::printf("\033[%zuA", watched.size());
  for (const auto& [name, value] : watched) {
    std::printf("%-24s %s\033[K\n", name.c_str(), value.c_str());
  }
}

// Until it is interrupted, or the broker goes.
ExitCode WatchStatus(Tool* tool, int64_t every_s) {
  using Clock = std::chrono::steady_clock;
  json before;
  Clock::time_point looked;
  for (bool again = false;; std::this_thread::sleep_for(std::chrono::seconds(every_s))) {
    Result<json> now = tool->Run({{"command", "status"}});
    if (!now) return tool->Fail(now.error());
    if (!tool->channel->broker_runs()) {
      return tool->Fail(
          Status(Code::kUnavailable, "the broker is down: there is nothing to watch"));
    }
    Clock::time_point at = Clock::now();
    double seconds = std::chrono::duration<double>(at - looked).count();
    if (tool->as_json && !before.is_null()) {
      json line = WatchedJson(before, *now, seconds);
      line["seconds"] = seconds;
      Tool::Print(line);
    } else if (!before.is_null()) {
      ShowWatched(Watched(before, *now, seconds), std::exchange(again, true));
    }
    if (std::fflush(stdout) != 0) return kFailed;
    before = std::move(*now);
    looked = at;
  }
}

void AddStatus(CLI::App* app, Tool* tool) {
  // Nothing: once. Empty: every second.
  auto every = std::make_shared<std::string>();
  auto* command =
      app->add_subcommand("status", "Figures of the directory, and of the broker where it runs");
  auto* watch = command
                    ->add_option("--watch", *every,
                                 "Show the broker's rates a second and what waits, every SECONDS "
                                 "(1 unless given) until interrupted")
                    ->type_name("[SECONDS]")
                    ->expected(0, 1);
  command->callback([=] {
    tool->chosen = [=] {
      if (watch->count() == 0) return ShowStatus(tool);
      if (every->empty() || *every == "true") return WatchStatus(tool, 1);
      if (auto seconds = ParseDuration(*every)) return WatchStatus(tool, *seconds);
      std::fprintf(stderr, "parleyctl: --watch takes a time such as 5 or 1m, not '%s'\n",
                   every->c_str());
      return kUsage;
    };
  });
}

int Main(int argc, char** argv) {
  Tool tool;
  CLI::App app(
      "Administers Parley: on the data directory itself while the broker is down, through "
      "the broker while it is up.",
      "parleyctl");
  app.footer(
      "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the broker can't be "
      "reached.");
  app.add_option("--data", tool.data_dir, "The data directory")
      ->capture_default_str()
      ->take_last()
      ->envname("PARLEY_DATA");
  app.add_flag("--json", tool.as_json, "Results as one line of JSON");
  app.add_option("--wait", tool.wait_s,
                 "Seconds to wait for a broker that is starting, or another parleyctl at work")
      ->capture_default_str()
      ->take_last()
      ->check(CLI::Range(0, 3600));
  app.require_subcommand(1);
  app.fallthrough();
  AddInit(&app, &tool);
  AddUser(&app, &tool);
  AddToken(&app, &tool);
  AddKey(&app, &tool);
  AddDeadletter(&app, &tool);
  AddStatus(&app, &tool);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  ExitCode code = tool.chosen();
  if (std::fflush(stdout) != 0) return kFailed;  // a full disk behind a redirection
  return code;
}

}  // namespace
}  // namespace parley

int main(int argc, char** argv) { return parley::Main(argc, argv); }
