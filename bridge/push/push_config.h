// parley-push's configuration: a JSON file (docs/push.md). Secrets stand in files that it names.
#ifndef PARLEY_BRIDGE_PUSH_PUSH_CONFIG_H_
#define PARLEY_BRIDGE_PUSH_PUSH_CONFIG_H_

#include <memory>
#include <string>
#include <vector>

#include "bridge/mqtt_client.h"
#include "bridge/push/http_sender.h"
#include "bridge/push/provider.h"

namespace parley::push {

struct Config {
  MqttOptions broker;
  HttpOptions http;
  std::vector<std::unique_ptr<Provider>> providers;
};

// kBadRequest names the member that is wrong; kIoError the file that can't be read. `path` and the
// paths in it are taken from the directory of the process.
Result<Config> ReadConfig(const std::string& path);

}  // namespace parley::push

#endif  // PARLEY_BRIDGE_PUSH_PUSH_CONFIG_H_
