// parley_fill: makes a data directory with millions of messages without a broker, and times reads
// of it. What it writes goes through the durable log, so that a broker starts on it. Make the
// directory with `parleyctl init` first, and the accounts with it, when a broker is to serve it.
// Who writes to whom is as bench/history.h says.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/clients.h"
#include "bench/report.h"
#include "bench/workload.h"
#include "storage/data_dir.h"
#include "storage/log.h"
#include "storage/roster.h"

namespace parley::bench {
namespace {

constexpr uint64_t kMessagesOfBatch = 100;
constexpr size_t kBacklogBytesMax = 64 << 20;
constexpr size_t kTextBytes = 1 << 20;
constexpr int64_t kFirstMs = 1764000000000;

struct Options {
  std::string data_dir;
  uint64_t messages = 10'000'000;
  size_t users = 10'000;
  size_t peers = 10;
  size_t body_bytes = 100;
  int stores = 4;
  uint64_t cache_bytes = 64 << 20;
  uint64_t pages = 20'000;
  uint64_t warmup_pages = 20'000;
  size_t page = 20;
  uint64_t seed = 1;
  bool json = false;
};

class Listener : public Log::Listener {
 public:
  void Committed(Lsn) override {}
  void Failed(Lsn, Lsn, const Status& why) override { Die(why.ToString()); }
  void StoresChanged() override { Die("a store went down"); }
  void LogLine(const std::string& line) override { std::fprintf(stderr, "%s\n", line.c_str()); }
};

double SecondsSince(int64_t start_ns) { return static_cast<double>(NowNs() - start_ns) / 1e9; }

// A data directory of its own, locked while it is open.
class Directory {
 public:
  explicit Directory(const Options& options) : lock_(Lock(options.data_dir)) {
    LogOptions log;
    log.data_dir = options.data_dir;
    log.stores = options.stores;
    log.store_cache_bytes = options.cache_bytes;
    const int64_t start_ns = NowNs();
    auto roster = Roster::Open(options.data_dir, Env::Posix());
    if (!roster) Die(roster.error().ToString());
    roster_ = std::move(*roster);
    log.roster = roster_.get();
    auto opened = Log::Open(log, Env::Posix(), &listener_);
    if (!opened) Die(opened.error().ToString());
    log_ = std::move(*opened);
    open_seconds_ = SecondsSince(start_ns);
  }
  Log& log() { return *log_; }
  double open_seconds() const { return open_seconds_; }

 private:
  static DataDirLock Lock(const std::string& data_dir) {
    if (Status status = Env::Posix()->MakeDir(data_dir); !status.ok()) Die(status.ToString());
    if (Status status = BecomeOwnerOf(data_dir); !status.ok()) Die(status.ToString());
    auto lock = DataDirLock::Take(data_dir);
    if (!lock) Die(lock.error().ToString());
    return std::move(*lock);
  }

  DataDirLock lock_;
  Listener listener_;
  std::unique_ptr<Roster> roster_;
  std::unique_ptr<Log> log_;
  double open_seconds_ = 0;
};

// Makes the messages one by one, numbered as the engine would.
class Traffic {
 public:
  explicit Traffic(const Options& options) : options_(options), last_(options.users) {
    for (size_t user = 0; user < options.users; ++user) ids_.emplace_back(UserName(user));
    std::vector<std::string> words(2000);
    std::mt19937_64 random(options.seed);
    for (std::string& word : words) {
      for (size_t left = 2 + random() % 8; left > 0; --left) word += "etaoinshrdlu"[random() % 12];
    }
    while (text_.size() < kTextBytes) text_ += words[random() % words.size()] + ' ';
  }

  MessageRecord Next() {
    const size_t from = count_ % options_.users;
    const size_t to = (from + 1 + count_ / options_.users % options_.peers) % options_.users;
    MessageRecord message;
    message.from = ids_[from];
    message.to = ids_[to];
    message.from_seq = last_[from] = last_[from].Next();
    message.to_seq = last_[to] = last_[to].Next();
    message.ts_ms = kFirstMs + static_cast<int64_t>(count_);
    message.id = "fill-" + std::to_string(count_);
    message.body = '"' + text_.substr(count_ * 7919 % (kTextBytes / 2), options_.body_bytes) + '"';
    message.content_hash = ++count_ * 0x9e3779b97f4a7c15;
    return message;
  }

 private:
  const Options& options_;
  std::vector<UserId> ids_;
  std::vector<Seq> last_;
  std::string text_;  // words, since what is stored is compressed
  uint64_t count_ = 0;
};

int Fill(const Options& options) {
  auto directory = std::make_unique<Directory>(options);
  Log& log = directory->log();
  if (log.next_lsn() != Lsn(1)) Die(options.data_dir + " holds messages already");
  Traffic traffic(options);
  const int64_t start_ns = NowNs();
  for (uint64_t left = options.messages, tenths = 0; left > 0;) {
    const uint64_t count = std::min(left, kMessagesOfBatch);
    std::vector<Transaction> batch;
    for (Lsn lsn = log.next_lsn(); batch.size() < count; lsn = lsn.Next()) {
      batch.push_back({lsn, {traffic.Next()}});
    }
    log.Append(std::move(batch));
    left -= count;
    while (log.backlog_bytes() > kBacklogBytesMax) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const uint64_t done = (options.messages - left) * 10 / options.messages;
    if (done == tenths) continue;
    tenths = done;
    std::fprintf(stderr, "%d0 %% after %.1f s\n", static_cast<int>(done), SecondsSince(start_ns));
  }
  directory.reset();  // commits, applies and syncs the rest
  const double seconds = SecondsSince(start_ns);
  Report report;
  report.Text("mode", "fill");
  report.Count("messages", options.messages);
  report.Count("users", options.users);
  report.Number("seconds", seconds, 1);
  report.Number("msg_per_s", static_cast<double>(options.messages) / seconds, 0);
  report.Print(options.json);
  return 0;
}

template <class T>
T Must(Result<T> result) {
  if (!result) Die(result.error().ToString());
  return std::move(*result);
}

// Times pages of random conversations from a random place in the newer half of the user's log.
class Reads {
 public:
  Reads(const Options& options, Log* log) : options_(options), log_(log), random_(options.seed) {}

  void ReadPage() {
    const size_t index = random_() % options_.users;
    const size_t away = 1 + random_() % options_.peers;
    const UserId user(UserName(index));
    const UserId peer(UserName((random_() % 2 == 0 ? index + away : index + options_.users - away) %
                               options_.users));
    const auto store = Must(log_->store(user.str()));

    const int64_t start_ns = NowNs();
    const LogTail tail = Must(store->ReadTail(user));
    const int64_t tail_ns = NowNs();
    const uint64_t half = tail.last.value() / 2;
    const Seq before(half + random_() % (half + 1) + 1);
    const int64_t page_start_ns = NowNs();
    const LogPage page = Must(store->ReadConversation(
        user, {peer, GroupId(), Seq()},
        Page{.before = before, .descending = true, .limit = options_.page}));
    const int64_t page_ns = NowNs();
    for (const LogEntry& entry : page.entries) Must(store->ReadReferring(user, entry.seq));
    Must(store->ReadPeerMarks(user, peer));
    const int64_t history_ns = NowNs();

    tail_.Add(tail_ns - start_ns);
    page_.Add(page_ns - page_start_ns);
    history_.Add(history_ns - page_start_ns);
    short_pages_ += page.entries.size() < options_.page;
  }

  void Put(const std::string& prefix, Report* report) const {
    report->Latency(prefix + "page", page_);
    report->Latency(prefix + "history", history_);  // with who refers to each, and the peer's marks
    report->Latency(prefix + "tail", tail_);
    report->Count(prefix + "short_pages", short_pages_);
  }
  uint64_t short_pages() const { return short_pages_; }

 private:
  const Options& options_;
  Log* const log_;
  std::mt19937_64 random_;
  Histogram page_, history_, tail_;
  uint64_t short_pages_ = 0;
};

int Read(const Options& options) {
  Directory directory(options);
  Reads warmup(options, &directory.log());
  for (uint64_t i = 0; i < options.warmup_pages; ++i) warmup.ReadPage();
  Reads reads(options, &directory.log());
  for (uint64_t i = 0; i < options.pages; ++i) reads.ReadPage();
  Report report;
  report.Text("mode", "read");
  report.Number("open_s", directory.open_seconds(), 3);
  report.Count("pages", options.pages);
  report.Count("page_size", options.page);
  reads.Put("", &report);
  warmup.Put("warmup_", &report);
  report.Print(options.json);
  if (reads.short_pages() == 0) return 0;
  std::fprintf(stderr,
               "parley_fill: %" PRIu64
               " pages were short: the conversations have too few messages for --page %zu\n",
               reads.short_pages(), static_cast<size_t>(options.page));
  return 1;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("parley_fill: makes a data directory with messages, and times reads of it");
  app.require_subcommand(1);
  CLI::App* fill = app.add_subcommand("fill", "write messages into a new data directory");
  CLI::App* read = app.add_subcommand("read", "time pages of random conversations");
  for (CLI::App* mode : {fill, read}) {
    mode->add_option("--data", options.data_dir, "the data directory")->required();
    mode->add_option("--users", options.users, "u0, u1, …")->check(CLI::Range(2, 10'000'000));
    mode->add_option("--peers", options.peers, "whom each user writes to");
    mode->add_flag("--json", options.json, "one JSON object on one line");
  }
  fill->add_option("--messages", options.messages, "how many")->check(CLI::PositiveNumber);
  fill->add_option("--body-bytes", options.body_bytes, "of a message's text")
      ->check(CLI::Range(size_t{1}, kTextBytes / 2));
  fill->add_option("--stores", options.stores, "of the new directory")->check(CLI::Range(1, 256));
  read->add_option("--pages", options.pages, "that count");
  read->add_option("--warmup-pages", options.warmup_pages, "before");
  read->add_option("--page", options.page, "messages to a page");
  read->add_option("--cache-bytes", options.cache_bytes, "the stores' block cache");
  read->add_option("--seed", options.seed, "of who is asked");
  CLI11_PARSE(app, argc, argv);
  return fill->parsed() ? Fill(options) : Read(options);
}

}  // namespace
}  // namespace parley::bench

int main(int argc, char** argv) { return parley::bench::Main(argc, argv); }
