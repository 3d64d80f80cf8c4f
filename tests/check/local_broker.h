// A broker of the run's own on 127.0.0.1, in a temporary directory: Mosquitto with Parley or
// without, or ejabberd's MQTT. What can be done to it are the faults of a run.
//
// PARLEY_MOSQUITTO and PARLEY_MOSQUITTO_ENV (NAME=value, separated by spaces) name another
// mosquitto and its environment.
//
// Works as root, where Mosquitto turns into user mosquitto, and as any other user. One thread.
// Whatever fails throws std::runtime_error, with the end of the broker's log where there is one.
#ifndef PARLEY_TESTS_CHECK_LOCAL_BROKER_H_
#define PARLEY_TESTS_CHECK_LOCAL_BROKER_H_

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/check/link.h"

namespace parley::check {

enum class BrokerKind {
  kParley,
  kStock,     // Mosquitto alone, open to everybody, which saves its sessions
  kEjabberd,  // mod_mqtt, open to everybody; users are user@localhost
};

struct LocalOptions {
  BrokerKind kind = BrokerKind::kParley;
  std::string plugin = {};              // empty: the one beside this program
  std::vector<std::string> lines = {};  // of mosquitto.conf, before Parley's
  bool small_disk = false;              // the disk is to be filled
  uint64_t disk_bytes = 0;
};

// How its disk is filled.
enum class DiskFault {
  kNone,
  kTmpfs,      // the data directory is a tmpfs of its own, which is shrunk to what is in it: ENOSPC
  kFileLimit,  // without the right to mount: RLIMIT_FSIZE of the broker, which makes writes EFBIG
};

class LocalBroker {
 public:
  explicit LocalBroker(LocalOptions options);
  ~LocalBroker();  // kills it and removes its directory
  LocalBroker(const LocalBroker&) = delete;
  LocalBroker& operator=(const LocalBroker&) = delete;

  const Address& address() const { return address_; }
  // The password of user `admin`.
  const std::string& admin_password() const { return admin_password_; }
  const std::filesystem::path& dir() const { return dir_; }
  DiskFault disk_fault() const { return disk_fault_; }

  void Start();  // returns when it answers a CONNECT
  // Kills it while it starts.
  void StartAndKill(std::chrono::milliseconds after);
  void Stop();  // cleanly
  void Kill();
  // Pauses and goes on.
  void Signal(int number) const;
  // True while it runs; false once it has ended by itself.
  bool Runs();
  void FillDisk();
  void FreeDisk();

  std::string LogTail(int lines = 20) const;

 private:
  void MakeDirectories();
  void Mount();
  void MakeAccounts();
  void OwnData() const;
  void WriteMosquittoConf() const;
  void WriteEjabberdYml() const;
  std::vector<std::string> Command() const;
  void Launch();
  bool Serves() const;
  bool AwaitExit(std::chrono::milliseconds timeout);
  void LimitFiles(bool limited) const;
  void Remount(uint64_t bytes) const;

  const LocalOptions options_;
  std::filesystem::path dir_;
  std::string admin_password_;
  Address address_;
  DiskFault disk_fault_ = DiskFault::kNone;
  pid_t pid_ = -1;
  int exit_code_ = 0;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_LOCAL_BROKER_H_
