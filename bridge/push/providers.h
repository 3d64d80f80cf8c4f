// The providers that there are; see docs/push.md. Each in a file of its name.
#ifndef PARLEY_BRIDGE_PUSH_PROVIDERS_H_
#define PARLEY_BRIDGE_PUSH_PROVIDERS_H_

#include <map>
#include <memory>
#include <string>

#include "bridge/push/keys.h"
#include "bridge/push/provider.h"

namespace parley::push {

// Web Push: RFC 8030, 8291 (encryption), 8292 (VAPID). `subject`: whom a push service may write to,
// mailto:… or https://…. `key` is P-256.
std::unique_ptr<Provider> MakeWebPush(PrivateKey key, std::string subject, int64_t ttl_s);

// ntfy: a POST to the topic's URL. `tokens`: access tokens, by the server's origin.
std::unique_ptr<Provider> MakeNtfy(std::map<std::string, std::string> tokens);

// A POST of the job's content as JSON, signed with the API key's secret.
std::unique_ptr<Provider> MakeWebhook();

// FCM, HTTP v1. `account` is what the service account's JSON file holds; kBadRequest names what it
// lacks. `base_url` empty: Google's.
struct FcmOptions {
  std::string account;
  std::string base_url;
  int64_t ttl_s = 86400;
};
Result<std::unique_ptr<Provider>> MakeFcm(const FcmOptions& options);

// APNs with a token of `key` (P-256, the .p8 file). `base_url` empty: Apple's, for production.
struct ApnsOptions {
  std::string key_id;
  std::string team_id;
  std::string topic;  // the app's bundle id
  std::string base_url;
  int64_t ttl_s = 86400;
};
std::unique_ptr<Provider> MakeApns(PrivateKey key, ApnsOptions options);

}  // namespace parley::push

#endif  // PARLEY_BRIDGE_PUSH_PROVIDERS_H_
