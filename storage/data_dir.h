// The data directory as a place: who holds it, who owns it, and its making.
//
//   LOCK          flock'ed by the process that has the directory open; its pid and name inside
//   directory.db  accounts, keys, devices (directory.h)
//   roster.db     groups' members, contacts, blocks (roster.h)
//   secret        32 random bytes, mode 0600: signs tokens and peppers passwords (credentials.h)
//   run/          what the running broker tells parleyctl: run/listeners
//   and what the durable log makes for itself: journal/, shards, store-N/, deadletter/ (log.h)
//
// Files are made for their owner alone. LevelDB's are not, but lie in directories that are. A tool
// that root runs on the broker's directory first becomes the owner of the directory
// (BecomeOwnerOf), so that the broker, which is another user, finds no file of root's later: not
// even SQLite's or LevelDB's.
#ifndef PARLEY_STORAGE_DATA_DIR_H_
#define PARLEY_STORAGE_DATA_DIR_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "storage/status.h"

namespace parley {

std::string LockPath(const std::string& data_dir);
std::string DatabasePath(const std::string& data_dir);
std::string SecretPath(const std::string& data_dir);
std::string ListenersPath(const std::string& data_dir);

// The flock on LOCK, held as long as the object lives; the kernel lets go of it when the process
// dies, however it dies.
class DataDirLock {
 public:
  // kBusy: another process holds it; the message names it. Other errors name the file.
  static Result<DataDirLock> Take(const std::string& data_dir);
  DataDirLock(DataDirLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  DataDirLock(const DataDirLock&) = delete;
  DataDirLock& operator=(const DataDirLock&) = delete;
  DataDirLock& operator=(DataDirLock&&) = delete;
  ~DataDirLock();

 private:
  explicit DataDirLock(int fd) : fd_(fd) {}
  int fd_;
};

// The process that took the LOCK last, as it wrote there; 0: nobody did.
pid_t LastHolder(const std::string& data_dir);

// Makes the directory (mode 0700) and its parents where they are missing. Root's new or still
// root-owned directory is given to `broker_user` where there is such a user who can reach it, since
// the broker drops to it before the plugin starts. A directory that holds something else than
// Parley's is refused (kConflict).
Status PrepareDataDir(const std::string& data_dir, const std::string& broker_user);

// When root runs this: turns the process for good into the user who owns the directory, unless that
// user can't reach it (a broker that works on it then runs as root).
Status BecomeOwnerOf(const std::string& data_dir);

// Writes 32 random bytes into the secret file unless it is there; durable on return.
Status MakeSecret(const std::string& data_dir, const std::string& secret);

}  // namespace parley

#endif  // PARLEY_STORAGE_DATA_DIR_H_
