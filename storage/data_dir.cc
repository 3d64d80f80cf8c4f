#include "storage/data_dir.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace parley {
namespace {

namespace fs = std::filesystem;

// What may lie in a directory that is to become Parley's.
constexpr std::array<std::string_view, 5> kOwnNames = {"LOCK", "run", "secret", "secret.tmp",
                                                       "lost+found"};

Status ErrnoStatus(const std::string& path, std::string_view call) {
  int error = errno;
  std::string message = path + ": " + std::string(call) + ": " + std::strerror(error);
  if (error == EACCES || error == EPERM) {
    message += " (this process runs as uid " + std::to_string(geteuid()) + ")";
  }
  return Status(Code::kIoError, std::move(message));
}

std::string OwnName() {
  std::ifstream comm("/proc/self/comm");
  std::string name;
  std::getline(comm, name);
  return name.empty() ? "unknown" : name;
}

// "1234 (mosquitto)", as the holder wrote it, or "unknown" in the moment before it did.
std::string Holder(int fd) {
  char text[128];
  ssize_t n = pread(fd, text, sizeof text, 0);
  std::string holder(text, n > 0 ? static_cast<size_t>(n) : 0);
  holder.resize(std::min(holder.size(), holder.find('\n')));
  return holder.empty() ? "unknown" : holder;
}

bool HoldsOtherThings(const std::string& data_dir) {
  if (fs::exists(DatabasePath(data_dir))) return false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(data_dir, error)) {
    std::string name = entry.path().filename();
    if (std::find(kOwnNames.begin(), kOwnNames.end(), name) == kOwnNames.end()) return true;
  }
  return false;
}

Status WriteWhole(int fd, const std::string& path, std::string_view data) {
  while (!data.empty()) {
    ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(path, "write");
    data.remove_prefix(static_cast<size_t>(n));
  }
  return fsync(fd) == 0 ? Status() : ErrnoStatus(path, "fsync");
}

Status SyncDirectory(const std::string& dir) {
  int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(dir, "open");
  Status status = fsync(fd) == 0 ? Status() : ErrnoStatus(dir, "fsync");
  close(fd);
  return status;
}

// Turns root for good into another user, with the groups that this user has.
bool TurnInto(uid_t uid, gid_t gid) {
  const passwd* user = getpwuid(uid);
  bool groups = user != nullptr ? initgroups(user->pw_name, gid) == 0 : setgroups(1, &gid) == 0;
  return groups && setgid(gid) == 0 && setuid(uid) == 0;
}

// Tried in a child: the parents' rights, ACLs and mounts all have a say.
bool Reaches(uid_t uid, gid_t gid, const std::string& dir) {
  pid_t child = fork();
  if (child == 0) {
    _exit(TurnInto(uid, gid) && access(dir.c_str(), R_OK | W_OK | X_OK) == 0 ? 0 : 1);
  }
  int status = 1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return child > 0 && status == 0;
}

}  // namespace

std::string LockPath(const std::string& data_dir) { return data_dir + "/LOCK"; }
std::string DatabasePath(const std::string& data_dir) { return data_dir + "/directory.db"; }
std::string SecretPath(const std::string& data_dir) { return data_dir + "/secret"; }
std::string ListenersPath(const std::string& data_dir) { return data_dir + "/run/listeners"; }

pid_t LastHolder(const std::string& data_dir) {
  std::ifstream lock(LockPath(data_dir));
  pid_t pid = 0;
  lock >> pid;
  return lock ? pid : 0;
}

Result<DataDirLock> DataDirLock::Take(const std::string& data_dir) {
  std::string path = LockPath(data_dir);
  DataDirLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return Error(ErrnoStatus(path, "open"));
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Error(ErrnoStatus(path, "flock"));
    return Error(Code::kBusy, data_dir + " is in use by process " + Holder(lock.fd_));
  }
  // Only told to people: the lock itself is the kernel's.
  std::string line = std::to_string(getpid()) + " (" + OwnName() + ")\n";
  if (ftruncate(lock.fd_, 0) != 0) return Error(ErrnoStatus(path, "ftruncate"));
  ssize_t written = pwrite(lock.fd_, line.data(), line.size(), 0);
  if (written < 0 && errno != ENOSPC) return Error(ErrnoStatus(path, "write"));
  return lock;
}

DataDirLock::~DataDirLock() {
  if (fd_ >= 0) close(fd_);
}

Status PrepareDataDir(const std::string& data_dir, const std::string& broker_user) {
  std::error_code error;
  fs::path parent = fs::path(data_dir).lexically_normal();
  if (!parent.has_filename()) parent = parent.parent_path();  // "dir/"
  parent = parent.parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  if (error) return Status(Code::kIoError, parent.string() + ": mkdir: " + error.message());
  if (mkdir(data_dir.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoStatus(data_dir, "mkdir");

  struct stat info;
  if (stat(data_dir.c_str(), &info) != 0) return ErrnoStatus(data_dir, "stat");
  if (!S_ISDIR(info.st_mode)) return Status(Code::kConflict, data_dir + " is not a directory");
  if (HoldsOtherThings(data_dir)) {
    return Status(Code::kConflict, data_dir +
                                       " holds other files than Parley's: "
                                       "name a new or an empty directory");
  }
  if (geteuid() != 0 || info.st_uid != 0 || fs::exists(DatabasePath(data_dir))) return Status();
  const passwd* user = getpwnam(broker_user.c_str());
  if (user == nullptr) return Status();
  uid_t uid = user->pw_uid;
  gid_t gid = user->pw_gid;
  if (chown(data_dir.c_str(), uid, gid) != 0) return ErrnoStatus(data_dir, "chown");
  if (Reaches(uid, gid, data_dir)) return Status();
  return chown(data_dir.c_str(), 0, info.st_gid) == 0 ? Status() : ErrnoStatus(data_dir, "chown");
}

Status BecomeOwnerOf(const std::string& data_dir) {
  if (geteuid() != 0) return Status();
  struct stat info;
  if (stat(data_dir.c_str(), &info) != 0) return ErrnoStatus(data_dir, "stat");
  if (info.st_uid == 0 || !Reaches(info.st_uid, info.st_gid, data_dir)) return Status();
  return TurnInto(info.st_uid, info.st_gid) ? Status() : ErrnoStatus(data_dir, "setuid");
}

Status MakeSecret(const std::string& data_dir, const std::string& secret) {
  std::string path = SecretPath(data_dir);
  if (access(path.c_str(), F_OK) == 0) return Status();
  std::string temporary = path + ".tmp";
  unlink(temporary.c_str());  // of an init that was cut short
  int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(temporary, "open");
  Status status = WriteWhole(fd, temporary, secret);
  close(fd);
  if (!status.ok()) return status;
  if (rename(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus(path, "rename");
  return SyncDirectory(data_dir);
}

}  // namespace parley
