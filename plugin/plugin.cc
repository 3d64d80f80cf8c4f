// What the broker calls. Only wires: each event goes to the Host, and no exception leaves.
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plugin/host.h"
#include "plugin/mosquitto_api.h"

namespace {

using parley::Host;

constexpr const char* kControlTopic = parley::kControlTopic.data();  // a literal: ends with 0

struct Plugin {
  mosquitto_plugin_id_t* id = nullptr;
  std::unique_ptr<Host> host;
};

// Runs `f` on the host, and records how long it took. What would be thrown is logged, and answered
// with `failure`.
template <class F>
int Guard(void* data, int failure, F f) {
  try {
    Host& host = *static_cast<Plugin*>(data)->host;
    parley::Timed timed(host.callbacks());
    return f(host);
  } catch (const std::exception& error) {
    mosquitto_log_printf(MOSQ_LOG_ERR, "parley: %s", error.what());
    return failure;
  }
}

int OnBasicAuth(int, void* event, void* data) {
  return Guard(data, MOSQ_ERR_AUTH, [&](Host& host) {
    return host.OnBasicAuth(static_cast<mosquitto_evt_basic_auth*>(event));
  });
}

int OnAclCheck(int, void* event, void* data) {
  return Guard(data, MOSQ_ERR_ACL_DENIED, [&](Host& host) {
    return host.OnAclCheck(static_cast<mosquitto_evt_acl_check*>(event));
  });
}

int OnMessage(int, void* event, void* data) {
  return Guard(data, MOSQ_ERR_ACL_DENIED, [&](Host& host) {
    return host.OnMessage(static_cast<mosquitto_evt_message*>(event));
  });
}

// Anything but success would disconnect the admin (2.0): errors are in the answer.
int OnControl(int, void* event, void* data) {
  return Guard(data, MOSQ_ERR_SUCCESS, [&](Host& host) {
    return host.OnControl(static_cast<mosquitto_evt_control*>(event));
  });
}

int OnDisconnect(int, void* event, void* data) {
  return Guard(data, MOSQ_ERR_SUCCESS, [&](Host& host) {
    host.OnDisconnect(static_cast<mosquitto_evt_disconnect*>(event)->client);
    return MOSQ_ERR_SUCCESS;
  });
}

#if PARLEY_MOSQUITTO_2_1
int OnClientOffline(int, void* event, void* data) {
  return Guard(data, MOSQ_ERR_SUCCESS, [&](Host& host) {
    host.OnDisconnect(static_cast<mosquitto_evt_client_offline*>(event)->client);
    return MOSQ_ERR_SUCCESS;
  });
}
#endif

int OnTick(int, void* event, void* data) {
  return Guard(data, MOSQ_ERR_SUCCESS, [&](Host& host) {
    host.OnTick(static_cast<mosquitto_evt_tick*>(event));
    return MOSQ_ERR_SUCCESS;
  });
}

int OnReload(int, void*, void* data) {
  return Guard(data, MOSQ_ERR_SUCCESS, [&](Host& host) {
    host.OnReload();
    return MOSQ_ERR_SUCCESS;
  });
}

struct Registration {
  int event;
  MOSQ_FUNC_generic_callback callback;
  const char* data;
};

constexpr Registration kRegistrations[] = {
    {MOSQ_EVT_BASIC_AUTH, OnBasicAuth, nullptr},
    {MOSQ_EVT_ACL_CHECK, OnAclCheck, nullptr},
    {MOSQ_EVT_MESSAGE, OnMessage, nullptr},
    {MOSQ_EVT_CONTROL, OnControl, kControlTopic},
    {MOSQ_EVT_DISCONNECT, OnDisconnect, nullptr},
#if PARLEY_MOSQUITTO_2_1
    {MOSQ_EVT_CLIENT_OFFLINE, OnClientOffline, nullptr},
#endif
    {MOSQ_EVT_TICK, OnTick, nullptr},
    {MOSQ_EVT_RELOAD, OnReload, nullptr},
};

void Unregister(Plugin* plugin) {
  for (const Registration& row : kRegistrations) {
    mosquitto_callback_unregister(plugin->id, row.event, row.callback, row.data);
  }
}

int Refuse(const std::string& why) {
  mosquitto_log_printf(MOSQ_LOG_ERR, "parley: not started: %s", why.c_str());
  return MOSQ_ERR_INVAL;
}

int Init(mosquitto_plugin_id_t* id, void** user_data, mosquitto_opt* given, int count) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (int i = 0; i < count; ++i) {
    pairs.emplace_back(given[i].key, given[i].value == nullptr ? "" : given[i].value);
  }
  auto options = parley::ParseOptions(pairs);
  if (!options) return Refuse(options.error().message());
  auto host = Host::Start(*options);
  if (!host) return Refuse(host.error().message());
  auto plugin = std::make_unique<Plugin>();
  plugin->id = id;
  plugin->host = std::move(*host);
  for (const Registration& row : kRegistrations) {
    int rc = mosquitto_callback_register(id, row.event, row.callback, row.data, plugin.get());
    if (rc == MOSQ_ERR_SUCCESS) continue;
    Unregister(plugin.get());
    return Refuse("the broker refuses event " + std::to_string(row.event) + ": " +
                  mosquitto_strerror(rc));
  }
  *user_data = plugin.release();
  return MOSQ_ERR_SUCCESS;
}

}  // namespace

#define PARLEY_EXPORT extern "C" __attribute__((visibility("default")))

PARLEY_EXPORT int mosquitto_plugin_version(int count, const int* versions) {
  for (int i = 0; i < count; ++i) {
    if (versions[i] == 5) return 5;
  }
  return -1;
}

PARLEY_EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t* identifier, void** user_data,
                                        mosquitto_opt* options, int option_count) {
  try {
    return Init(identifier, user_data, options, option_count);
  } catch (const std::exception& error) {
    return Refuse(error.what());
  }
}

PARLEY_EXPORT int mosquitto_plugin_cleanup(void* user_data, mosquitto_opt*, int) {
  std::unique_ptr<Plugin> plugin(static_cast<Plugin*>(user_data));
  if (!plugin) return MOSQ_ERR_SUCCESS;
  Unregister(plugin.get());
  return MOSQ_ERR_SUCCESS;
}
