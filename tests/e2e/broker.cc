#define CATCH_CONFIG_EXTERNAL_INTERFACES  // Catch2 2 shows its listeners only then

#include "tests/e2e/broker.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/catch.h"
#include "tests/e2e/mqtt_client.h"
#include "tests/free_port.h"

namespace parley::e2e {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kStartDeadline{60000};
constexpr milliseconds kExitDeadline{60000};
constexpr milliseconds kPollInterval{5};

std::string EnvironmentOr(const char* name, const std::string& otherwise) {
  const char* value = getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

[[noreturn]] void Fail(const std::string& what) { throw std::runtime_error(what); }

std::string ReadWhole(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The option that a line of mosquitto.conf sets; empty for comments and blank lines.
std::string OptionOf(const std::string& line) {
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == line.npos || line[begin] == '#') return "";
  return line.substr(begin, line.find_first_of(" \t", begin) - begin);
}

// The repository's configuration without what names this machine: comments, where it listens, logs
// and keeps data.
std::vector<std::pair<std::string, std::string>> DefaultOptions() {
  static const std::set<std::string> replaced = {
      "listener", "port", "bind_address", "plugin", "pid_file", "log_dest", "plugin_opt_data_dir"};
  std::vector<std::pair<std::string, std::string>> options;
  std::ifstream in(fs::path(PARLEY_SOURCE_DIR) / "mosquitto.conf");
  if (!in) Fail("no mosquitto.conf in " PARLEY_SOURCE_DIR);
  for (std::string line; std::getline(in, line);) {
    const std::string name = OptionOf(line);
    if (name.empty() || replaced.count(name) > 0) continue;
    const size_t value = line.find_first_not_of(" \t", line.find(name) + name.size());
    options.emplace_back(name, value == line.npos ? "" : line.substr(value));
  }
  return options;
}

void Override(std::vector<std::pair<std::string, std::string>>* options, const std::string& name,
              const std::string& value) {
  const auto same = std::find_if(options->begin(), options->end(),
                                 [&](const auto& option) { return option.first == name; });
  if (same == options->end()) {
    options->emplace_back(name, value);
  } else {
    same->second = value;
  }
}

bool IsPluginOption(const std::string& name) { return name.rfind("plugin_opt_", 0) == 0; }

void SetEnvironment(const std::string& assignments) {
  std::istringstream words(assignments);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals != word.npos) {
      setenv(word.substr(0, equals).c_str(), word.substr(equals + 1).c_str(), 1);
    }
  }
}

// In a forked child: becomes the program, or ends with 127.
[[noreturn]] void Exec(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  dprintf(STDERR_FILENO, "%s: %s\n", arguments[0], strerror(errno));
  _exit(127);
}

int ExitCode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

// A CONNECT that is sure to be refused, or accepted without the plugin: any CONNACK means that the
// broker serves.
std::string ProbeConnect() {
  using namespace std::string_literals;
  return "\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe"s;
}

std::vector<Broker*>& LiveBrokers() {
  static std::vector<Broker*> brokers;
  return brokers;
}

#if __has_include(<catch2/catch_all.hpp>)
using CatchListener = Catch::EventListenerBase;
#else
using CatchListener = Catch::TestEventListenerBase;
#endif

// Prints the end of each broker's log after a test that failed.
class LogPrinter : public CatchListener {
 public:
  using CatchListener::CatchListener;
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    if (stats.totals.assertions.failed == 0) return;
    for (const Broker* broker : LiveBrokers()) {
      fprintf(stderr, "--- the broker's log on port %d ends with:\n%s---\n", broker->port(),
              broker->LogTail().c_str());
    }
  }
};
CATCH_REGISTER_LISTENER(LogPrinter)

}  // namespace

CommandResult RunCommand(const std::vector<std::string>& command, std::string_view input) {
  // Files rather than pipes: nothing can block on the other side's buffer.
  std::array<FILE*, 3> files{tmpfile(), tmpfile(), tmpfile()};
  fwrite(input.data(), 1, input.size(), files[0]);
  fflush(files[0]);
  rewind(files[0]);
  const pid_t pid = fork();
  if (pid == 0) {
    for (int fd = 0; fd < 3; ++fd) dup2(fileno(files[static_cast<size_t>(fd)]), fd);
    alarm(120);
    Exec(command);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  CommandResult result;
  result.exit_code = ExitCode(status);
  for (const size_t n : {size_t{1}, size_t{2}}) {
    std::string& text = n == 1 ? result.out : result.err;
    rewind(files[n]);
    char buffer[65536];
    while (const size_t got = fread(buffer, 1, sizeof(buffer), files[n])) text.append(buffer, got);
  }
  for (FILE* file : files) fclose(file);
  return result;
}

Broker::Broker(BrokerConfig config) : config_(std::move(config)), port_(FreePort()) {
  MakeDirectories();
  LiveBrokers().push_back(this);
  if (!config_.plugin) return;
  try {
    CtlDone({"init"});
  } catch (...) {
    Forget();
    throw;
  }
}

Broker::~Broker() {
  if (running()) Kill();
  Forget();
}

void Broker::Forget() {
  auto& live = LiveBrokers();
  live.erase(std::find(live.begin(), live.end(), this));
  std::error_code ignored;
  if (getenv("PARLEY_E2E_KEEP") == nullptr) fs::remove_all(dir_, ignored);
}

void Broker::MakeDirectories() {
  std::string pattern = (fs::temp_directory_path() / "parley-e2e-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) Fail(pattern + ": " + strerror(errno));
  dir_ = pattern;
  // User mosquitto must be able to pass through.
  fs::permissions(dir_, fs::perms(0755));
  fs::create_directory(data_dir());
  fs::permissions(data_dir(), fs::perms(0700));
}

// What root made in the data directory while the broker was down belongs to the user that the
// broker turns into.
void Broker::OwnDataDirectory() const {
  const passwd* user = geteuid() == 0 ? getpwnam("mosquitto") : nullptr;
  if (user == nullptr) return;
  const auto give = [&](const fs::path& path) {
    if (lchown(path.c_str(), user->pw_uid, user->pw_gid) != 0) {
      Fail("chown " + path.string() + ": " + strerror(errno));
    }
  };
  give(data_dir());
  for (const auto& entry : fs::recursive_directory_iterator(data_dir())) give(entry.path());
}

// Started by root, the broker loads the plugin as user mosquitto, who may not be let into the
// folders above the build: it gets a copy beside its configuration.
fs::path Broker::ReachablePlugin() const {
  const fs::path plugin = EnvironmentOr("PARLEY_PLUGIN", PARLEY_DEFAULT_PLUGIN);
  if (geteuid() != 0) return plugin;
  const fs::path copy = dir_ / "mosquitto_parley.so";
  fs::copy_file(plugin, copy, fs::copy_options::skip_existing);
  return copy;
}

void Broker::WriteConfiguration() const {
  std::vector<std::pair<std::string, std::string>> options;
  if (config_.plugin) {
    options = DefaultOptions();
    Override(&options, "plugin_opt_data_dir", data_dir().string());
  } else {
    options = {{"allow_anonymous", "true"}, {"set_tcp_nodelay", "true"}};
  }
  for (const auto& [name, value] : config_.options) Override(&options, name, value);

  std::ofstream out(dir_ / "mosquitto.conf");
  out << "listener " << port_ << " 127.0.0.1\nlog_dest stderr\n";
  for (const auto& [name, value] : options) {
    if (!IsPluginOption(name)) out << name << ' ' << value << '\n';
  }
  if (config_.plugin) {
    out << "plugin " << ReachablePlugin().string() << '\n';
    for (const auto& [name, value] : options) {
      if (IsPluginOption(name)) out << name << ' ' << value << '\n';
    }
  }
  for (const std::string& line : config_.lines) out << line << '\n';
  if (!out.flush()) Fail("can't write " + (dir_ / "mosquitto.conf").string());
}

void Broker::Spawn() {
  if (running()) Fail("the broker runs already");
  if (config_.plugin) OwnDataDirectory();
  WriteConfiguration();
  const int log = open((dir_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) Fail("can't open the log");
  const std::vector<std::string> command = {
      EnvironmentOr("PARLEY_MOSQUITTO", "/usr/sbin/mosquitto"), "-c",
      (dir_ / "mosquitto.conf").string()};
  pid_ = fork();
  if (pid_ == 0) {
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    SetEnvironment(EnvironmentOr("PARLEY_MOSQUITTO_ENV", ""));
    Exec(command);
  }
  close(log);
  if (pid_ < 0) Fail(std::string("fork: ") + strerror(errno));
}

bool Broker::Serves() const {
  MqttClient probe(port_);
  try {
    probe.OpenRaw();
  } catch (const MqttError&) {
    return false;
  }
  probe.SendRaw(ProbeConnect());
  return probe.AwaitConnack().has_value();
}

void Broker::Start() {
  Spawn();
  const Clock::time_point deadline = Clock::now() + kStartDeadline;
  while (!Serves()) {
    if (const auto code = AwaitExit(milliseconds{0})) {
      Fail("the broker ended with " + std::to_string(*code) + ":\n" + LogTail());
    }
    if (Clock::now() > deadline) Fail("the broker doesn't serve:\n" + LogTail());
    std::this_thread::sleep_for(kPollInterval);
  }
}

int Broker::StartRefused() {
  Spawn();
  const auto code = AwaitExit(kExitDeadline);
  if (!code) {
    Kill();
    Fail("the broker runs, where it should refuse to start:\n" + LogTail());
  }
  return *code;
}

void Broker::StartAndKill(milliseconds after) {
  Spawn();
  std::this_thread::sleep_for(after);
  Kill();
}

void Broker::Stop() {
  Signal(SIGTERM);
  const auto code = AwaitExit(kExitDeadline);
  if (!code) Fail("the broker doesn't end on SIGTERM:\n" + LogTail());
  if (*code != 0) Fail("the broker ended with " + std::to_string(*code) + ":\n" + LogTail());
}

void Broker::Kill() {
  Signal(SIGKILL);
  AwaitExit(kExitDeadline);
}

void Broker::Signal(int number) const {
  if (!running()) Fail("the broker doesn't run");
  kill(pid_, number);
}

std::optional<int> Broker::AwaitExit(milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  for (;;) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return ExitCode(status);
    }
    if (Clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(kPollInterval);
  }
}

std::string Broker::Log() const { return ReadWhole(dir_ / "log"); }

std::string Broker::LogTail(int lines) const {
  const std::string log = Log();
  size_t begin = log.size();
  while (begin > 0 && lines > 0) {
    begin = log.rfind('\n', begin - 1);
    if (begin == log.npos) return log;
    --lines;
  }
  return begin < log.size() ? log.substr(begin + 1) : "";
}

void Broker::AwaitLog(const std::string& text, size_t from) const {
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (Log().find(text, from) == std::string::npos) {
    if (Clock::now() > deadline) Fail("the log never says '" + text + "':\n" + LogTail());
    std::this_thread::sleep_for(kPollInterval);
  }
}

CommandResult Broker::Ctl(const std::vector<std::string>& arguments, std::string_view input) const {
  std::vector<std::string> command = {EnvironmentOr("PARLEY_CTL", PARLEY_DEFAULT_CTL), "--data",
                                      data_dir().string()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return RunCommand(command, input);
}

std::string Broker::CtlDone(const std::vector<std::string>& arguments,
                            std::string_view input) const {
  const CommandResult result = Ctl(arguments, input);
  if (result.exit_code == 0) return result.out;
  std::string what = "parleyctl";
  for (const std::string& word : arguments) what += " " + word;
  Fail(what + " ended with " + std::to_string(result.exit_code) + ":\n" + result.out + result.err +
       (fs::exists(dir_ / "log") ? LogTail(10) : ""));
}

void Broker::AddUser(const std::string& id, const std::string& password,
                     const std::vector<std::string>& more) const {
  std::vector<std::string> arguments = {"user", "add", id};
  arguments.insert(arguments.end(), more.begin(), more.end());
  CtlDone(arguments, password + "\n");
}

void Broker::ImportUsers(const std::vector<std::string>& users) const {
  const fs::path file = dir_ / "import.csv";
  {
    std::ofstream out(file);
    for (const std::string& user : users) out << user << '\n';
  }
  CtlDone({"user", "import", file.string()});
}

std::string Broker::IssueToken(const std::string& id, const std::string& ttl) const {
  std::string token = CtlDone({"token", "issue", id, "--ttl", ttl});
  while (!token.empty() && token.back() == '\n') token.pop_back();
  return token;
}

}  // namespace parley::e2e
