// The plugin_opt_* of mosquitto.conf: one row an option in options.cc, from which the docs are
// checked (tests/plugin/options_test.cc). An unknown or bad one refuses the broker's start.
#ifndef PARLEY_PLUGIN_OPTIONS_H_
#define PARLEY_PLUGIN_OPTIONS_H_

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/engine_thread.h"
#include "plugin/login.h"
#include "plugin/sessions.h"
#include "storage/log.h"

namespace parley {

// How the broker's loop is woken when there is something to deliver.
enum class WakeMethod { kAuto, kEventfd, kLoopback, kTick };

struct Options {
  std::string data_dir = "/var/lib/parley";
  LogOptions log;
  EngineThread::Options engine;
  LoginOptions login;
  size_t password_memory_kib = 4096;
  Sessions::Limits sessions;
  size_t tick_deliveries_max = 500;
  int64_t sys_interval_s = 10;
  WakeMethod wake = WakeMethod::kAuto;
};

struct OptionRow {
  std::string_view name;
  std::string_view default_value;
  std::string_view unit;  // empty: none
};

// kBadRequest names the option, what is wrong with it and what it takes.
Result<Options> ParseOptions(std::span<const std::pair<std::string, std::string>> given);

// All options, for docs and their test.
std::vector<OptionRow> OptionRows();

}  // namespace parley

#endif  // PARLEY_PLUGIN_OPTIONS_H_
