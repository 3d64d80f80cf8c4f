#include "plugin/options.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>

namespace parley {
namespace {

Result<uint64_t> Number(std::string_view text, uint64_t min, uint64_t max) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) {
    return Error(Code::kBadRequest,
                 "takes a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return value;
}

using Setter = std::function<Status(std::string_view, Options*)>;

// A row whose value is a number that goes to where `place` points.
template <class Place>
Setter ToNumber(uint64_t min, uint64_t max, Place place) {
  return [=](std::string_view text, Options* options) -> Status {
    auto value = Number(text, min, max);
    if (!value) return value.error();
    auto& field = place(*options);
    field = static_cast<std::decay_t<decltype(field)>>(*value);
    return {};
  };
}

Status SetDurability(std::string_view text, Options* options) {
  if (text == "commit") {
    options->log.durability = Durability::kCommit;
  } else if (text == "os") {
    options->log.durability = Durability::kOs;
  } else if (text.starts_with("interval ")) {
    auto ms = Number(text.substr(9), 1, 60'000);
    if (!ms) return {Code::kBadRequest, "takes interval <ms>, where <ms> " + ms.error().message()};
    options->log.durability = Durability::kInterval;
    options->log.interval_ms = static_cast<int64_t>(*ms);
  } else {
    return {Code::kBadRequest, "takes commit, interval <ms> or os"};
  }
  return {};
}

Status SetWake(std::string_view text, Options* options) {
  static constexpr std::pair<std::string_view, WakeMethod> kMethods[] = {
      {"auto", WakeMethod::kAuto},
      {"eventfd", WakeMethod::kEventfd},
      {"loopback", WakeMethod::kLoopback},
      {"tick", WakeMethod::kTick}};
  for (auto [name, method] : kMethods) {
    if (text != name) continue;
    options->wake = method;
    return {};
  }
  return {Code::kBadRequest, "takes auto, eventfd, loopback or tick"};
}

Status SetDataDir(std::string_view text, Options* options) {
  if (!text.starts_with('/')) return {Code::kBadRequest, "takes an absolute path"};
  options->data_dir = options->log.data_dir = text;
  return {};
}

struct Row {
  OptionRow row;
  Setter set;
};

constexpr uint64_t kAny = std::numeric_limits<int64_t>::max();

const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = {
      {{"data_dir", "/var/lib/parley", ""}, SetDataDir},
      {{"stores", "4", "stores"},
       ToNumber(
           1, 100, [](Options & o) -> auto& { return o.log.stores; })},
      {{"durability", "commit", ""}, SetDurability},
      {{"max_body", "65536", "bytes"},
       ToNumber(
           1, 200'000, [](Options & o) -> auto& { return o.engine.engine.max_body; })},
      {{"queue_max", "10000", "commands"},
       ToNumber(
           1, 10'000'000, [](Options & o) -> auto& { return o.engine.queue_max; })},
      {{"queue_bytes_max", "67108864", "bytes"},
       ToNumber(
           1 << 20, kAny, [](Options & o) -> auto& { return o.engine.queue_bytes_max; })},
      {{"backlog_bytes_max", "67108864", "bytes"},
       ToNumber(
           1 << 20, kAny, [](Options & o) -> auto& { return o.engine.backlog_bytes_max; })},
      {{"effects_max", "100000", "publishes"},
       ToNumber(
           1000, kAny, [](Options & o) -> auto& { return o.engine.effects_max; })},
      {{"effects_bytes_max", "67108864", "bytes"},
       ToNumber(
           1 << 20, kAny, [](Options & o) -> auto& { return o.engine.effects_bytes_max; })},
      {{"window", "500", "messages"},
       ToNumber(
           1, 100'000, [](Options & o) -> auto& { return o.engine.engine.window; })},
      {{"user_rate", "1000", "messages/s, 0 = no limit; 10 s of it at once"},
       ToNumber(
           0, 1'000'000, [](Options & o) -> auto& { return o.engine.engine.user_rate; })},
      {{"parked_max", "1000", "messages of one sender that wait for a read"},
       ToNumber(
           1, 1'000'000, [](Options & o) -> auto& { return o.engine.engine.parked_max; })},
      {{"parked_bytes_max", "67108864", "bytes, of all senders"},
       ToNumber(
           1 << 20, kAny, [](Options & o) -> auto& { return o.engine.engine.parked_bytes_max; })},
      {{"user_sessions_max", "1000", "connections of one user"},
       ToNumber(
           1, 1'000'000, [](Options & o) -> auto& { return o.engine.engine.sessions_max; })},
      {{"asks_max", "1000", "requests of one user that have no answer yet"},
       ToNumber(
           1, 10'000, [](Options & o) -> auto& { return o.engine.engine.asks_max; })},
      {{"sync_waiting_max", "8", "waiting syncs of one user"},
       ToNumber(
           1, 10'000, [](Options & o) -> auto& { return o.engine.engine.sync_waiting_max; })},
      {{"inbox_members_max", "256", "members"},
       ToNumber(
           1, 10'000, [](Options & o) -> auto& { return o.engine.engine.inbox_members_max; })},
      {{"topic_members_max", "100000", "members"},
       ToNumber(
           1, 1'000'000, [](Options & o) -> auto& { return o.engine.engine.topic_members_max; })},
      {{"receipt_members_max", "64", "members"},
       ToNumber(
           0, 10'000, [](Options & o) -> auto& { return o.engine.engine.receipt_members_max; })},
      {{"groups_max", "1000", "groups that a user is in, to make or join another"},
       ToNumber(
           1, 1'000'000, [](Options & o) -> auto& { return o.engine.engine.groups_max; })},
      {{"contacts_max", "5000", "contacts and blocks of one user"},
       ToNumber(
           1, 100'000, [](Options & o) -> auto& { return o.engine.engine.contacts_max; })},
      {{"presence_delay_ms", "3000", "ms"},
       ToNumber(
           0, 600'000, [](Options & o) -> auto& { return o.engine.engine.presence_delay_ms; })},
      {{"presence_grace_ms", "10000", "ms"},
       ToNumber(
           0, 3'600'000, [](Options & o) -> auto& { return o.engine.engine.presence_grace_ms; })},
      {{"presence_batch_ms", "1000", "ms"},
       ToNumber(
           1, 60'000, [](Options & o) -> auto& { return o.engine.engine.presence_batch_ms; })},
      {{"typing_rate", "5", "events/s of one user"},
       ToNumber(
           1, 1000, [](Options & o) -> auto& { return o.engine.engine.typing_rate; })},
      {{"push_targets_max", "20", "opt-ins of one user"},
       ToNumber(
           1, 1000, [](Options & o) -> auto& { return o.engine.engine.push_targets_max; })},
      {{"push_jobs_max", "100000", "jobs that aren't done, of all users"},
       ToNumber(
           0, 10'000'000, [](Options & o) -> auto& { return o.engine.engine.push_jobs_max; })},
      {{"push_delay_ms", "2000", "ms"},
       ToNumber(
           0, 600'000, [](Options & o) -> auto& { return o.engine.engine.push_delay_ms; })},
      {{"push_again_s", "30", "s, of one device and conversation"},
       ToNumber(
           0, 86'400, [](Options & o) -> auto& { return o.engine.engine.push_again_s; })},
      {{"push_lease_s", "60", "s"},
       ToNumber(
           1, 3600, [](Options & o) -> auto& { return o.engine.engine.push_lease_s; })},
      {{"push_window", "100", "jobs that one gateway has at a time"},
       ToNumber(
           1, 900, [](Options & o) -> auto& { return o.engine.engine.push_window; })},
      {{"push_retry_ms", "5000", "ms, doubled each time"},
       ToNumber(
           1, 3'600'000, [](Options & o) -> auto& { return o.engine.engine.push_retry_ms; })},
      {{"push_attempts_max", "10", "attempts"},
       ToNumber(
           1, 1000, [](Options & o) -> auto& { return o.engine.engine.push_attempts_max; })},
      {{"push_age_max_s", "14400", "s"},
       ToNumber(
           1, 2'592'000, [](Options & o) -> auto& { return o.engine.engine.push_age_max_s; })},
      {{"cache_bytes", "67108864", "bytes"},
       ToNumber(
           0, kAny, [](Options & o) -> auto& { return o.engine.engine.cache_bytes; })},
      {{"store_cache_bytes", "67108864", "bytes"},
       ToNumber(
           1 << 20, kAny, [](Options & o) -> auto& { return o.log.store_cache_bytes; })},
      {{"sent_ids_max", "2000000", "message ids of all senders in memory"},
       ToNumber(
           1024, kAny, [](Options & o) -> auto& { return o.engine.engine.sent_ids_max; })},
      {{"user_idle_ms", "60000", "ms"},
       ToNumber(
           0, 86'400'000, [](Options & o) -> auto& { return o.engine.engine.user_idle_ms; })},
      {{"readers", "2", "threads"},
       ToNumber(
           1, 64, [](Options & o) -> auto& { return o.engine.readers; })},
      {{"journal_segment_bytes", "67108864", "bytes"},
       ToNumber(
           1 << 20, uint64_t{1} << 32,
           [](Options & o) -> auto& { return o.log.journal_segment_bytes; })},
      {{"journal_bytes_max", "4294967296", "bytes"},
       ToNumber(
           2 << 20, kAny, [](Options & o) -> auto& { return o.log.journal_bytes_max; })},
      {{"store_queue_bytes_max", "67108864", "bytes"},
       ToNumber(
           1 << 20, kAny, [](Options & o) -> auto& { return o.log.store_queue_bytes_max; })},
      {{"retry_ms", "100", "ms, doubled each time"},
       ToNumber(
           1, 60'000, [](Options & o) -> auto& { return o.log.retry_ms; })},
      {{"retry_max", "5", "tries"},
       ToNumber(
           0, 100, [](Options & o) -> auto& { return o.log.retry_max; })},
      {{"login_wait_ms", "4", "ms"},
       ToNumber(
           0, 5, [](Options & o) -> auto& { return o.login.wait_ms; })},
      {{"login_pending_max", "1000", "logins"},
       ToNumber(
           1, 1'000'000, [](Options & o) -> auto& { return o.login.pending_max; })},
      {{"login_address_rate", "1",
        "wrong passwords/s from one address, 0 = no limit; 100 s of it at once"},
       ToNumber(
           0, 1'000'000, [](Options & o) -> auto& { return o.login.address_rate; })},
      {{"password_memory_kib", "4096", "KiB"},
       ToNumber(
           8, 1 << 20, [](Options & o) -> auto& { return o.password_memory_kib; })},
      {{"session_expiry_s", "86400", "s"},
       ToNumber(
           0, 31'536'000, [](Options & o) -> auto& { return o.sessions.expiry_s; })},
      {{"user_lasting_max", "100", "lasting sessions of one user that are away"},
       ToNumber(
           1, 1'000'000, [](Options & o) -> auto& { return o.sessions.lasting_max; })},
      {{"tick_deliveries_max", "500", "publishes"},
       ToNumber(
           1, 1'000'000, [](Options & o) -> auto& { return o.tick_deliveries_max; })},
      {{"sys_interval_s", "10", "s, 0 = never"},
       ToNumber(
           0, 86'400, [](Options & o) -> auto& { return o.sys_interval_s; })},
      {{"wake", "auto", ""}, SetWake},
  };
  return rows;
}

}  // namespace

Result<Options> ParseOptions(std::span<const std::pair<std::string, std::string>> given) {
  Options options;
  options.log.data_dir = options.data_dir;
  for (const auto& [name, value] : given) {
    auto row = std::find_if(Rows().begin(), Rows().end(),
                            [&, &wanted = name](const Row& r) { return r.row.name == wanted; });
    if (row == Rows().end()) {
      return Error(Code::kBadRequest, "there is no option plugin_opt_" + name);
    }
    if (Status status = row->set(value, &options); !status.ok()) {
      return Error(Code::kBadRequest,
                   "plugin_opt_" + name + " " + status.message() +
                       (row->row.unit.empty() ? "" : " (") + std::string(row->row.unit) +
                       (row->row.unit.empty() ? "" : ")") + ", not '" + value + "'");
    }
  }
  return options;
}

std::vector<OptionRow> OptionRows() {
  std::vector<OptionRow> rows;
  for (const Row& row : Rows()) rows.push_back(row.row);
  return rows;
}

}  // namespace parley
