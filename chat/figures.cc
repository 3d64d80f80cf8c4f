#include "chat/figures.h"

#include <algorithm>

namespace parley {
namespace {

using enum FigureKind;

constexpr FigureRow kRows[] = {
    {"messages/accepted", kCounter, "parley_messages_accepted_total",
     "Publishes taken from clients, requests and receipts included."},
    {"messages/refused", kCounter, "parley_messages_denied_total",
     "Publishes that the rules of access refused."},
    {"messages/stored", kCounter, "parley_messages_stored_total",
     "Messages made durable, those of groups once."},
    {"messages/delivered", kCounter, "parley_messages_delivered_total",
     "Publishes to devices, answers included."},
    {"refused", kCounters, "parley_refused_total", "Errors told to clients, by the error's code.",
     "reason"},
    {"typing/dropped", kCounter, "parley_typing_dropped_total",
     "Typing that was dropped because the engine had other work."},
    {"subscriptions/refused", kCounter, "parley_subscriptions_refused_total",
     "Subscriptions refused."},
    {"logins/accepted", kCounter, "parley_logins_accepted_total", "Logins accepted."},
    {"logins/refused", kCounter, "parley_logins_refused_total", "Logins refused."},
    {"sessions", kGauge, "parley_sessions", "Connections that have logged in."},
    {"users/online", kGauge, "parley_users_online",
     "Users that are shown online or away: people's accounts, neither services nor parleyctl."},
    {"accounts", kGauge, "parley_accounts", "Accounts."},
    {"callbacks/seconds", kHistogram, "parley_callback_seconds",
     "How long the plugin held the broker's thread, each time: everybody waits meanwhile."},
    {"wakes", kCounter, "parley_wakes_total", "Turns of the broker's loop that delivered."},
    {"wake", kText, "parley_wake_info", "How the broker's loop is woken.", "method"},
    {"engine/commands", kCounter, "parley_engine_commands_total", "Commands handled."},
    {"engine/turns", kCounter, "parley_engine_turns_total",
     "Turns of the engine; what a turn changes goes to the journal together."},
    {"engine/queued", kGauge, "parley_engine_queued", "Commands that wait for the engine."},
    {"engine/refused_busy", kCounter, "parley_engine_refused_busy_total",
     "Commands refused because the engine's queue was full."},
    {"engine/users", kGauge, "parley_engine_users", "Users in memory."},
    {"engine/cached_bytes", kGauge, "parley_engine_cached_bytes",
     "Bytes of messages that are kept in memory."},
    {"engine/effects_waiting", kGauge, "parley_engine_effects_waiting",
     "Publishes that wait for the journal or for the broker's thread."},
    {"push/jobs", kGauge, "parley_push_jobs", "Push jobs that are open."},
    {"push/handed", kCounters, "parley_push_handed_total",
     "Push jobs given to gateways, by provider.", "provider"},
    {"push/delivered", kCounters, "parley_push_delivered_total",
     "Push jobs that were delivered, by provider.", "provider"},
    {"push/failed", kCounters, "parley_push_failed_total",
     "Tries of push jobs that failed, by provider; a lease that ended has failed.", "provider"},
    {"push/gone", kCounters, "parley_push_gone_total",
     "Opt-ins that ended since their provider knows the device no more, by provider.", "provider"},
    {"push/dead_letters", kCounter, "parley_push_dead_letters_total", "Push jobs given up."},
    {"push/refused", kCounter, "parley_push_refused_total",
     "Messages that woke nobody, for there were too many push jobs."},
    {"cache/hits", kCounter, "parley_cache_hits_total",
     "Messages caught up with, and pages, that were in memory."},
    {"cache/misses", kCounter, "parley_cache_misses_total", "The same that a store was read for."},
    {"presence/changes", kCounter, "parley_presence_changes_total",
     "Changes of presence told, once for each device that was told."},
    {"presence/publishes", kCounter, "parley_presence_publishes_total",
     "Publishes that told them: changes by publishes are a batch's size."},
    {"journal/commits", kCounter, "parley_journal_commits_total", "Syncs of the journal."},
    {"journal/transactions", kCounter, "parley_journal_transactions_total",
     "Transactions made durable."},
    {"journal/bytes", kGauge, "parley_journal_bytes", "Bytes of the journal's segments."},
    {"journal/errors", kCounter, "parley_journal_errors_total",
     "Writes or syncs of the journal that failed."},
    {"journal/backlog_bytes", kGauge, "parley_journal_backlog_bytes",
     "Bytes that wait for the journal."},
    {"journal/commit_seconds", kHistogram, "parley_journal_commit_seconds",
     "How long a write to the journal took, with its sync."},
    {"stores/unapplied", kGauge, "parley_stores_unapplied",
     "Transactions that are durable and not yet in every store."},
    {"stores/queued_bytes", kGauge, "parley_stores_queued_bytes",
     "Bytes that wait for the stores, once for each store."},
    {"stores/oldest_ms", kGauge, "parley_stores_oldest_seconds",
     "How long what waits longest for a store has waited.", "", 0.001},
    {"stores/write_seconds", kHistogram, "parley_stores_write_seconds",
     "How long a batch took to be written to a store."},
    {"stores/retries", kCounter, "parley_stores_retries_total", "Writes to stores tried again."},
    {"stores/down", kGauge, "parley_stores_down", "Stores that can't be written."},
    {"stores/dead_letters", kGauge, "parley_dead_letters",
     "Transactions that a store couldn't take and that wait for it."},
    {"stores/dead_letter_bytes", kGauge, "parley_dead_letters_bytes",
     "Bytes of the files that hold them."},
    {"stores/bytes", kGauges, "parley_store_bytes", "Bytes of each store's files.", "store"},
    {"directory/bytes", kGauge, "parley_directory_bytes",
     "Bytes of the databases of accounts, groups and contacts."},
    {"disk/free_bytes", kGauge, "parley_disk_free_bytes",
     "Bytes that are free where the data lies; of several disks, on the fullest."},
    {"disk/size_bytes", kGauge, "parley_disk_size_bytes", "The same disk's size."},
    {"version", kText, "parley_build_info", "The plugin's version.", "version"},
    {"started", kGauge, "parley_start_time_seconds", "When the plugin started, Unix time."},
    {"updated", kGauge, "parley_last_update_seconds",
     "When these figures were published, Unix time."},
};

}  // namespace

std::span<const FigureRow> FigureRows() { return kRows; }

const FigureRow* FindFigure(std::string_view name) {
  auto row = std::find_if(std::begin(kRows), std::end(kRows),
                          [&](const FigureRow& one) { return one.name == name; });
  return row == std::end(kRows) ? nullptr : row;
}

nlohmann::json HistogramJson(const HistogramCounts& counts) {
  nlohmann::json le = nlohmann::json::array();
  nlohmann::json cumulative = nlohmann::json::array();
  for (int64_t bound_ns : kHistogramBoundsNs) le.push_back(static_cast<double>(bound_ns) / 1e9);
  uint64_t total = 0;
  for (uint64_t count : counts.counts) cumulative.push_back(total += count);
  return {{"le", std::move(le)},
          {"count", std::move(cumulative)},
          {"sum", static_cast<double>(counts.sum_ns) / 1e9}};
}

}  // namespace parley
