// A real mosquitto with the Parley plugin, for one test file: its own temporary directory, data
// directory, port and log. The configuration is the repository's mosquitto.conf with the listener,
// the plugin's path and the data directory replaced, and whatever a test overrides: so the default
// that operators start from is what is tested.
//
// Environment (all optional):
//   PARLEY_MOSQUITTO      the broker to run; /usr/sbin/mosquitto otherwise
//   PARLEY_PLUGIN         the plugin to load; the one of this build otherwise
//   PARLEY_CTL            parleyctl; the one of this build otherwise
//   PARLEY_MOSQUITTO_ENV  more environment for the broker alone: NAME=value, separated by spaces
//                         (LD_PRELOAD for a sanitizer, LD_LIBRARY_PATH for another mosquitto)
//   PARLEY_E2E_KEEP       keep the temporary directories
//
// Works as root, where the broker turns into user mosquitto, and as any other user. One thread uses
// a Broker. Failures of the set-up throw std::runtime_error with the end of the broker's log.
#ifndef PARLEY_TESTS_E2E_BROKER_H_
#define PARLEY_TESTS_E2E_BROKER_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace parley::e2e {

struct BrokerConfig {
  // Options that replace the default's line of that name or are added: {"plugin_opt_window", "10"}.
  std::map<std::string, std::string> options = {};
  // Added at the end as they are: a bridge's section, for one.
  std::vector<std::string> lines = {};
  // False: mosquitto alone, open to everybody, to try the harness itself or to stand for a foreign
  // broker.
  bool plugin = true;
};

struct CommandResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

class Broker {
 public:
  // Makes the directories; with the plugin also the data directory, by `parleyctl init`. Starts
  // nothing.
  explicit Broker(BrokerConfig config = {});
  // Kills the broker if it still runs and removes its directory.
  ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  // Starts it and returns when it answers a CONNECT.
  void Start();
  // For a start that must be refused: waits until the broker has ended by itself and returns its
  // exit code.
  int StartRefused();
  // Starts it and kills it so soon that it may not have answered yet.
  void StartAndKill(std::chrono::milliseconds after);
  // SIGTERM; waits for the end and throws unless it exits with 0.
  void Stop();
  // SIGKILL.
  void Kill();
  void Restart() {
    Stop();
    Start();
  }
  void Signal(int number) const;
  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  uint16_t port() const { return port_; }

  // Replaces options for the next start.
  BrokerConfig& config() { return config_; }

  const std::filesystem::path& dir() const { return dir_; }
  std::filesystem::path data_dir() const { return dir_ / "data"; }
  // What the broker has written to its log, over all its starts, and the last lines of it.
  std::string Log() const;
  std::string LogTail(int lines = 40) const;
  // Waits until the log holds `text` somewhere after the byte `from`.
  void AwaitLog(const std::string& text, size_t from = 0) const;

  // parleyctl --data <data_dir> <arguments>, while the broker runs or not.
  CommandResult Ctl(const std::vector<std::string>& arguments, std::string_view input = "") const;
  // The same, which must succeed; returns its standard output.
  std::string CtlDone(const std::vector<std::string>& arguments, std::string_view input = "") const;
  void AddUser(const std::string& id, const std::string& password,
               const std::vector<std::string>& more = {}) const;
  // `users` are lines of `user import`: id,password[,key].
  void ImportUsers(const std::vector<std::string>& users) const;
  std::string IssueToken(const std::string& id, const std::string& ttl = "24h") const;

 private:
  void MakeDirectories();
  void Forget();  // removes the directories, unless they are to be kept
  void OwnDataDirectory() const;
  std::filesystem::path ReachablePlugin() const;
  void WriteConfiguration() const;
  void Spawn();
  bool Serves() const;
  // The exit code once the broker has ended (128 + signal for one that was killed), or nothing by
  // the deadline.
  std::optional<int> AwaitExit(std::chrono::milliseconds timeout);

  BrokerConfig config_;
  std::filesystem::path dir_;
  uint16_t port_ = 0;
  pid_t pid_ = -1;
};

// Runs a program with a text on standard input until it ends, two minutes at most.
CommandResult RunCommand(const std::vector<std::string>& command, std::string_view input = "");

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_BROKER_H_
