// The administrator's commands, in the form of Mosquitto's dynamic-security plugin. One
// implementation for both ways in: parleyctl on a directory at rest, and $CONTROL/parley/v1 on a
// running broker.
//
//   {"commands":[{"command":"createUser","username":"alice","correlationData":"x"}, …]}
//   {"responses":[{"command":"createUser","correlationData":"x","data":{…}}, …]}
//
// An answer has "data", or "error" (for people) and "code" (PROTOCOL §8). A command that fails
// changes nothing and doesn't stop those after it. Members (? optional); others are refused, so
// that a misspelt password doesn't make an account without one:
//
// clang-format off
//   createUser        username password? role? key?       without a password: tokens only
//   createUsers       users: [{username password? role? key?}]    at most kBatchMax; existing ones
//                     are left as they are → created, existing, failed: [{username error code}]
//   listUsers         limit? after?   → users: [{username role key disabled password created name?}],
//                     more
//   disableUser, enableUser   username                  disabling voids tokens
//   setPassword       username password                 null: tokens only; voids tokens
//   issueToken        username ttl?                     seconds, 24 h → token, expires
//   createKey         key rate? quota? strangers?       messages a second, a day; 0: no limit;
//                     strangers false: only contacts may write to its accounts
//   setKey            key rate? quota? strangers?       what is absent stays
//   issueKeySecret    key revoke?                       → secret, which voids the one of before;
//                     revoke true: no secret is good any more
//   setWebhook        key url? secret?                  told of messages to its accounts that aren't
//                     connected (docs/push.md); without url: no more
//   listKeys          → keys: [{key rate quota used strangers secret webhook?}] (used today; has it
//                     a secret? the webhook's URL)
//   status            → figures
//   deadletters       limit?                            → what the hook says
//   replayDeadletters
//   pushDeadletters   limit?                            pushes that were given up, latest first →
//                     push: [{ts reason user device? provider with|group count created}]
// clang-format on
//
// Owner: the plugin or parleyctl. Threads: any one at a time. It blocks: SQLite, and some
// milliseconds for each password; never the broker's or the engine's thread.
#ifndef PARLEY_CHAT_CONTROL_H_
#define PARLEY_CHAT_CONTROL_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "storage/credentials.h"
#include "storage/directory.h"
#include "storage/env.h"
#include "storage/roster.h"
#include "storage/status.h"
#include "storage/types.h"

namespace parley {

inline constexpr std::string_view kControlTopic = "$CONTROL/parley/v1";
inline constexpr std::string_view kControlResponseTopic = "$CONTROL/parley/v1/response";

// What is not the directory's. All may be empty; called on the caller's thread.
struct ControlHooks {
  std::function<nlohmann::json()> status;  // an object of figures, added to the directory's own
  std::function<Result<nlohmann::json>(size_t limit)> deadletters;
  std::function<Result<nlohmann::json>()> replay_deadletters;
  std::function<Result<std::vector<PushDeadLetter>>(size_t limit)> push_deadletters;
  // Who logged in before must log in again: a new password, or disabled.
  std::function<void(const UserId&)> account_changed;
};

class Control {
 public:
  static constexpr size_t kBatchMax = 1000;
  static constexpr int64_t kTtlDefaultS = 24 * 3600;
  static constexpr int64_t kTtlMaxS = kTokenTtlMaxS;

  // All must outlive it.
  Control(Directory* directory, const Credentials* credentials, Env* env, ControlHooks hooks);

  // Never fails: what is wrong with the request stands in the answer. The request as a whole is
  // one as ParseObject takes it (payload.h).
  std::string Handle(std::string_view request);

 private:
  using Json = nlohmann::json;
  struct Command;  // a row of the table of commands
  static const Command* FindCommand(std::string_view name);

  Json Respond(const Json& request);
  Result<Json> Run(const Json& request);

  Result<Json> CreateUser(const Json& request);
  Result<Json> CreateUsers(const Json& request);
  Result<Json> ListUsers(const Json& request);
  Result<Json> DisableUser(const Json& request);
  Result<Json> EnableUser(const Json& request);
  Result<Json> SetPassword(const Json& request);
  Result<Json> IssueToken(const Json& request);
  Result<Json> CreateKey(const Json& request);
  Result<Json> SetKey(const Json& request);
  Result<Json> IssueKeySecret(const Json& request);
  Result<Json> ListKeys(const Json& request);
  Result<Json> ShowStatus(const Json& request);
  Result<Json> DeadLetters(const Json& request);
  Result<Json> ReplayDeadLetters(const Json& request);
  Result<Json> SetWebhook(const Json& request);
  Result<Json> PushDeadLetters(const Json& request);

  Result<NewUser> ParseUser(const Json& user) const;
  void AccountChanged(const UserId& user) const;

  Directory* const directory_;
  const Credentials* const credentials_;
  Env* const env_;
  const ControlHooks hooks_;
};

}  // namespace parley

#endif  // PARLEY_CHAT_CONTROL_H_
