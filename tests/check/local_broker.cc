#include "tests/check/local_broker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/free_port.h"

namespace parley::check {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kStartDeadline{60000};
constexpr milliseconds kExitDeadline{60000};
constexpr milliseconds kPoll{5};
constexpr rlim_t kSmallFile = 4096;

[[noreturn]] void Fail(const std::string& what) { throw std::runtime_error(what); }

std::string Errno(const std::string& what) { return what + ": " + std::strerror(errno); }

// In a forked child.
[[noreturn]] void Exec(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  dprintf(STDERR_FILENO, "%s: %s\n", arguments[0], std::strerror(errno));
  _exit(127);
}

pid_t Spawn(const std::vector<std::string>& command, const fs::path& input, const fs::path& log) {
  const int in = open(input.c_str(), O_RDONLY | O_CLOEXEC);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (in < 0 || out < 0) Fail(Errno("can't start " + command[0]));
  const pid_t pid = fork();
  if (pid == 0) {
    // RLIMIT_FSIZE's writes are to fail, not to kill; it is inherited.
    signal(SIGXFSZ, SIG_IGN);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    Exec(command);
  }
  close(in);
  close(out);
  if (pid < 0) Fail(Errno("fork"));
  return pid;
}

void Run(const std::vector<std::string>& command, const fs::path& input, const fs::path& log) {
  const pid_t pid = Spawn(command, input, log);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) Fail(command[0] + " failed; see " + log.string());
}

// build/bin/parley-check has its plugin in build/lib; installed, in the libraries' directory.
std::string BesideThis(const std::string& path) {
  const fs::path found = fs::read_symlink("/proc/self/exe").parent_path() / path;
  return fs::exists(found) ? found.lexically_normal().string() : "";
}

std::string FindPlugin(const std::string& given) {
  if (!given.empty()) return given;
  for (const char* path :
       {"../lib/mosquitto_parley.so", PARLEY_CHECK_LIBDIR "/mosquitto_parley.so"}) {
    const std::string found = path[0] == '/' && fs::exists(path) ? path : BesideThis(path);
    if (!found.empty()) return found;
  }
  Fail("no mosquitto_parley.so beside this program; name it with --plugin");
}

std::string FindCtl() {
  const std::string found = BesideThis("parleyctl");
  return found.empty() ? "parleyctl" : found;
}

std::string EnvironmentOr(const char* name, const std::string& otherwise) {
  const char* value = getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

// A file that others can't read at any moment.
void WriteSecret(const fs::path& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) Fail(Errno(path));
  const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (close(file) != 0 || !written) Fail(Errno(path));
}

std::string RandomPassword() {
  std::random_device random;
  std::string password;
  for (int n = 0; n < 24; ++n) password += "abcdefghijklmnopqrstuvwxyz234567"[random() % 32];
  return password;
}

}  // namespace

LocalBroker::LocalBroker(LocalOptions options)
    : options_(std::move(options)), admin_password_(RandomPassword()) {
  address_.port = FreePort();
  MakeDirectories();
  try {
    if (options_.small_disk) Mount();
    if (options_.kind == BrokerKind::kParley) MakeAccounts();
  } catch (...) {
    if (disk_fault_ == DiskFault::kTmpfs) umount2((dir_ / "data").c_str(), MNT_DETACH);
    fs::remove_all(dir_);
    throw;
  }
}

LocalBroker::~LocalBroker() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    AwaitExit(kExitDeadline);
  }
  if (disk_fault_ == DiskFault::kTmpfs) umount2((dir_ / "data").c_str(), MNT_DETACH);
  std::error_code ignored;
  fs::remove_all(dir_, ignored);
}

void LocalBroker::MakeDirectories() {
  std::string pattern = (fs::temp_directory_path() / "parley-check-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) Fail(Errno(pattern));
  dir_ = pattern;
  fs::permissions(dir_, fs::perms(0755));  // user mosquitto passes through
  fs::create_directory(dir_ / "data");
  fs::permissions(dir_ / "data", fs::perms(0700));
}

void LocalBroker::Mount() {
  const std::string size = "mode=0700,size=" + std::to_string(options_.disk_bytes);
  const bool mounted =
      mount("tmpfs", (dir_ / "data").c_str(), "tmpfs", MS_NOSUID | MS_NODEV, size.c_str()) == 0;
  disk_fault_ = mounted ? DiskFault::kTmpfs : DiskFault::kFileLimit;
}

void LocalBroker::MakeAccounts() {
  const std::string data = (dir_ / "data").string();
  Run({FindCtl(), "--data", data, "init"}, "/dev/null", dir_ / "log");
  const fs::path password = dir_ / "password";
  WriteSecret(password, admin_password_ + '\n');
  Run({FindCtl(), "--data", data, "user", "add", "admin", "--role", "admin"}, password,
      dir_ / "log");
  fs::remove(password);
}

// It belongs to the user that the broker turns into.
void LocalBroker::OwnData() const {
  const passwd* user = geteuid() == 0 ? getpwnam("mosquitto") : nullptr;
  if (user == nullptr) return;
  const auto give = [&](const fs::path& path) {
    if (lchown(path.c_str(), user->pw_uid, user->pw_gid) != 0) Fail(Errno(path));
  };
  give(dir_ / "data");
  for (const auto& entry : fs::recursive_directory_iterator(dir_ / "data")) give(entry.path());
}

// As mosquitto.conf at the repository's top has it, with smaller segments: so that they are changed
// often, and that a small disk holds some. Stock Mosquitto keeps sessions, and more in them than
// its default of 1,000 messages.
void LocalBroker::WriteMosquittoConf() const {
  std::ofstream out(dir_ / "mosquitto.conf");
  out << "listener " << address_.port << " 127.0.0.1\nlog_dest stderr\n"
      << "set_tcp_nodelay true\nallow_duplicate_messages true\n";
  for (const std::string& line : options_.lines) out << line << '\n';
  if (options_.kind == BrokerKind::kParley) {
    // As user mosquitto, it may not be let into the folders above the build.
    const fs::path plugin = dir_ / "mosquitto_parley.so";
    fs::copy_file(FindPlugin(options_.plugin), plugin, fs::copy_options::skip_existing);
    out << "per_listener_settings false\nallow_anonymous false\npersistence false\n"
        << "max_inflight_messages 500\nmax_queued_messages 10000\nmax_packet_size 1048576\n"
        << "plugin " << plugin.string() << "\nplugin_opt_data_dir " << (dir_ / "data").string()
        << "\nplugin_opt_journal_segment_bytes 4194304\n";
  } else {
    out << "allow_anonymous true\nmax_queued_messages 1000000\npersistence true\n"
        << "persistence_location " << (dir_ / "data").string() << "/\n";
  }
  if (!out.flush()) Fail("can't write the broker's configuration");
}

void LocalBroker::WriteEjabberdYml() const {
  std::ofstream out(dir_ / "ejabberd.yml");
  out << "hosts: [localhost]\nloglevel: warning\n"
      << "auth_method: anonymous\nanonymous_protocol: login_anon\n"
      << "allow_multiple_connections: true\n"
      << "listen:\n  - port: " << address_.port << "\n    ip: 127.0.0.1\n    module: mod_mqtt\n"
      << "    backlog: 1000\n"
      << "modules:\n  mod_mqtt: {session_expiry: 86400, max_queue: 1000000}\n";
  if (!out.flush()) Fail("can't write the broker's configuration");
}

std::vector<std::string> LocalBroker::Command() const {
  if (options_.kind == BrokerKind::kEjabberd) {
    const std::string dir = dir_.string();
    return {"env",
            "HOME=" + dir,
            "ERL_LIBS=" PARLEY_CHECK_ERL_LIBS,
            "ERL_CRASH_DUMP=" + dir + "/crash",
            "EJABBERD_CONFIG_PATH=" + dir + "/ejabberd.yml",
            "EJABBERD_LOG_PATH=" + dir + "/ejabberd.log",
            "SPOOL_DIR=" + dir + "/data",
            "erl",
            "-mnesia",
            "dir",
            "\"" + dir + "/data\"",
            "-s",
            "ejabberd",
            "-noinput"};
  }
  // It is in a folder that users' PATH lacks.
  const std::string usual = fs::exists("/usr/sbin/mosquitto") ? "/usr/sbin/mosquitto" : "mosquitto";
  std::vector<std::string> command = {"env"};
  std::istringstream environment(EnvironmentOr("PARLEY_MOSQUITTO_ENV", ""));
  for (std::string word; environment >> word;) command.push_back(word);
  command.insert(command.end(), {EnvironmentOr("PARLEY_MOSQUITTO", usual), "-c",
                                 (dir_ / "mosquitto.conf").string()});
  return command;
}

void LocalBroker::Launch() {
  if (options_.kind == BrokerKind::kEjabberd) {
    WriteEjabberdYml();
  } else {
    OwnData();
    WriteMosquittoConf();
  }
  pid_ = Spawn(Command(), "/dev/null", dir_ / "log");
}

void LocalBroker::StartAndKill(milliseconds after) {
  Launch();
  std::this_thread::sleep_for(after);  // when it dies, not a wait
  Kill();
}

void LocalBroker::Start() {
  Launch();
  const auto deadline = Clock::now() + kStartDeadline;
  while (!Serves()) {
    if (!Runs()) Fail("the broker has ended at its start:\n" + LogTail());
    if (Clock::now() > deadline) Fail("the broker doesn't serve:\n" + LogTail());
    std::this_thread::sleep_for(kPoll);
  }
}

bool LocalBroker::Serves() const {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(address_.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  // Any CONNACK will do.
  static constexpr char kConnect[] = "\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe";
  char answer = 0;
  const bool serves = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
                      send(fd, kConnect, sizeof(kConnect) - 1, MSG_NOSIGNAL) > 0 &&
                      recv(fd, &answer, 1, 0) == 1;
  close(fd);
  return serves;
}

void LocalBroker::Stop() {
  Signal(SIGTERM);
  if (!AwaitExit(kExitDeadline)) Fail("the broker doesn't end on SIGTERM:\n" + LogTail());
  if (exit_code_ != 0) {
    Fail("the broker ended with " + std::to_string(exit_code_) + ":\n" + LogTail());
  }
}

void LocalBroker::Kill() {
  Signal(SIGKILL);
  AwaitExit(kExitDeadline);
}

void LocalBroker::Signal(int number) const {
  if (pid_ > 0) kill(pid_, number);
}

bool LocalBroker::Runs() { return pid_ > 0 && !AwaitExit(milliseconds(0)); }

bool LocalBroker::AwaitExit(milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (pid_ > 0) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      pid_ = -1;
      break;
    }
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

void LocalBroker::Remount(uint64_t bytes) const {
  const std::string size = "size=" + std::to_string(bytes);
  if (mount(nullptr, (dir_ / "data").c_str(), nullptr, MS_REMOUNT | MS_NOSUID | MS_NODEV,
            size.c_str()) != 0) {
    Fail(Errno("can't change the size of the broker's disk"));
  }
}

// As small as what it holds; what is written meanwhile makes that more.
void LocalBroker::FillDisk() {
  if (disk_fault_ != DiskFault::kTmpfs) return LimitFiles(true);
  for (int attempt = 0; attempt < 100; ++attempt) {
    struct statvfs disk {};
    if (statvfs((dir_ / "data").c_str(), &disk) != 0) Fail(Errno("statvfs"));
    const uint64_t used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize;
    // A size of 0 were no limit.
    const std::string size = "size=" + std::to_string(std::max<uint64_t>(used, disk.f_frsize));
    if (mount(nullptr, (dir_ / "data").c_str(), nullptr, MS_REMOUNT | MS_NOSUID | MS_NODEV,
              size.c_str()) == 0) {
      return;
    }
  }
  Fail("can't fill the broker's disk");
}

void LocalBroker::FreeDisk() {
  if (disk_fault_ != DiskFault::kTmpfs) return LimitFiles(false);
  Remount(options_.disk_bytes);
}

void LocalBroker::LimitFiles(bool limited) const {
  if (pid_ <= 0) return;
  const rlimit limit{limited ? kSmallFile : RLIM_INFINITY, RLIM_INFINITY};
  if (prlimit(pid_, RLIMIT_FSIZE, &limit, nullptr) != 0) Fail(Errno("prlimit"));
}

std::string LocalBroker::LogTail(int lines) const {
  std::ifstream in(dir_ / "log", std::ios::binary);
  const std::string log{std::istreambuf_iterator<char>(in), {}};
  size_t begin = log.size();
  for (; begin > 0 && lines >= 0; --lines) begin = log.rfind('\n', begin - 1) + 1 - 1;
  return begin < log.size() ? log.substr(begin) : log;
}

}  // namespace parley::check
