#include "storage/env.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace parley {
namespace {

// What people write to each other is nobody else's on this machine, whoever may look into the data
// directory.
constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirMode = 0700;

Status Failure(const char* call, const std::string& path, int error) {
  const Code code = error == ENOENT ? Code::kNotFound : Code::kIoError;
  return Status(code, path + ": " + call + ": " + std::strerror(error));
}

// Owns a descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class PosixFile : public WritableFile {
 public:
  PosixFile(std::string path, Descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  Status WriteAt(uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      const ssize_t n = ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Failure("write", path_, errno);
      data.remove_prefix(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return Status();
  }

  Status Sync() override {
    if (::fdatasync(fd_.get()) != 0) return Failure("fdatasync", path_, errno);
    return Status();
  }

  Status Allocate(uint64_t bytes) override {
    const int error = ::posix_fallocate(fd_.get(), 0, static_cast<off_t>(bytes));
    if (error != 0) return Failure("fallocate", path_, error);
    return Status();
  }

  Status Truncate(uint64_t bytes) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) {
      return Failure("ftruncate", path_, errno);
    }
    return Status();
  }

 private:
  const std::string path_;
  const Descriptor fd_;
};

class PosixEnv : public Env {
 public:
  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path) override {
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode));
    if (fd.get() < 0) return Error(Failure("open", path, errno));
    return std::make_unique<PosixFile>(path, std::move(fd));
  }

  Result<std::string> ReadFile(const std::string& path) override {
    return ReadStart(path, SIZE_MAX);
  }

  Result<std::string> ReadStart(const std::string& path, size_t bytes_max) override {
    Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return Error(Failure("open", path, errno));
    struct stat about;
    if (::fstat(fd.get(), &about) != 0) return Error(Failure("fstat", path, errno));
    std::string data(std::min(static_cast<size_t>(about.st_size), bytes_max), '\0');
    size_t have = 0;
    while (have < data.size()) {
      const ssize_t n = ::read(fd.get(), data.data() + have, data.size() - have);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Error(Failure("read", path, errno));
      if (n == 0) break;
      have += static_cast<size_t>(n);
    }
    data.resize(have);
    return data;
  }

  bool Exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  Result<std::vector<std::string>> List(const std::string& dir) override {
    DIR* stream = ::opendir(dir.c_str());
    if (stream == nullptr) return Error(Failure("opendir", dir, errno));
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string_view name(entry->d_name);
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    ::closedir(stream);
    if (error != 0) return Error(Failure("readdir", dir, error));
    std::sort(names.begin(), names.end());
    return names;
  }

  Status MakeDir(const std::string& dir) override {
    if (::mkdir(dir.c_str(), kDirMode) == 0) return Status();
    const int error = errno;
    struct stat about;
    if (error == EEXIST && ::stat(dir.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) {
      return Status();
    }
    return Failure("mkdir", dir, error);
  }

  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return Failure("unlink", path, errno);
    return Status();
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return Failure("rename", from, errno);
    return Status();
  }

  Status SyncDir(const std::string& dir) override {
    Descriptor fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return Failure("open", dir, errno);
    if (::fsync(fd.get()) != 0) return Failure("fsync", dir, errno);
    return Status();
  }

  int64_t NowMs() override {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  }

  int64_t MonotonicUs() override {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  }

  void Random(void* data, size_t bytes) override {
    char* next = static_cast<char*>(data);
    while (bytes > 0) {
      const ssize_t n = ::getrandom(next, bytes, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) std::abort();  // every Linux that runs us has it
      next += n;
      bytes -= static_cast<size_t>(n);
    }
  }
};

std::string DirOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Leaves the whole data in the file, durable.
Status WriteWhole(Env* env, const std::string& path, std::string_view data) {
  auto file = env->OpenWritable(path);
  if (!file) return file.error();
  Status status = (*file)->Truncate(0);
  if (status.ok()) status = (*file)->WriteAt(0, data);
  if (status.ok()) status = (*file)->Sync();
  return status;
}

}  // namespace

Env* Env::Posix() {
  static PosixEnv env;
  return &env;
}

Result<std::string> Env::ReadStart(const std::string& path, size_t bytes_max) {
  auto data = ReadFile(path);
  if (data && data->size() > bytes_max) data->resize(bytes_max);
  return data;
}

Status Env::ReplaceFile(const std::string& path, std::string_view data) {
  const std::string next = path + ".tmp";
  Status status = WriteWhole(this, next, data);
  if (status.ok()) status = Rename(next, path);
  if (status.ok()) status = SyncDir(DirOf(path));
  return status;
}

Status Env::WriteAgain(const std::string& path) {
  auto data = ReadFile(path);
  if (!data) return data.error();
  auto file = OpenWritable(path);
  if (!file) return file.error();
  Status status = (*file)->WriteAt(0, *data);
  if (status.ok()) status = (*file)->Sync();
  return status.ok() ? SyncDir(DirOf(path)) : status;
}

}  // namespace parley
