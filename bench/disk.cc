#include "bench/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "bench/clients.h"
#include "bench/report.h"

namespace parley::bench {
namespace {

constexpr size_t kAppendBytes = 170;
constexpr size_t kBlockBytes = 4096;

// A file that goes with it.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& directory) : path_(directory + "/fsync-XXXXXX") {
    fd_ = mkostemp(path_.data(), O_CLOEXEC);
    if (fd_ < 0) Die("can't write in " + directory + ": " + std::strerror(errno));
    unlink(path_.c_str());
  }
  ~ScratchFile() { close(fd_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void Write(const std::string& bytes, off_t offset) const {
    if (pwrite(fd_, bytes.data(), bytes.size(), offset) != static_cast<ssize_t>(bytes.size())) {
      Die(std::string("write: ") + std::strerror(errno));
    }
  }

  void Sync() const {
    if (fdatasync(fd_) != 0) Die(std::string("fdatasync: ") + std::strerror(errno));
  }

  // Its bytes in the same place, by a descriptor that syncs each write of its own accord.
  void ReopenDsync() {
    const std::string same = "/proc/self/fd/" + std::to_string(fd_);
    const int fd = open(same.c_str(), O_WRONLY | O_DSYNC | O_CLOEXEC);
    if (fd < 0) Die(std::string("O_DSYNC: ") + std::strerror(errno));
    close(std::exchange(fd_, fd));
  }

 private:
  std::string path_;
  int fd_;
};

// Writes `bytes` behind each other and syncs each, where the file doesn't by itself; times write
// and sync together.
Histogram TimeWrites(const ScratchFile& file, const std::string& bytes, int rounds,
                     bool dsync = false) {
  Histogram times;
  for (int i = 0; i < rounds; ++i) {
    const int64_t start_ns = NowNs();
    file.Write(bytes, static_cast<off_t>(bytes.size()) * i);
    if (!dsync) file.Sync();
    times.Add(NowNs() - start_ns);
  }
  return times;
}

uint64_t* PartOf(const std::string& file, DiskUse* use) {
  if (file.starts_with("journal/")) return &use->journal;
  if (file.starts_with("store-")) return &use->stores;
  return file.find(".db") != file.npos ? &use->sqlite : &use->rest;
}

}  // namespace

int RunFsync(const std::string& directory, int rounds, bool json) {
  const ScratchFile growing(directory);
  const Histogram append = TimeWrites(growing, std::string(kAppendBytes, 'a'), rounds);
  ScratchFile preallocated(directory);
  preallocated.Write(std::string(kBlockBytes * static_cast<size_t>(rounds), '\0'), 0);
  preallocated.Sync();
  const Histogram overwrite = TimeWrites(preallocated, std::string(kBlockBytes, 'b'), rounds);
  preallocated.ReopenDsync();
  const Histogram dsync = TimeWrites(preallocated, std::string(kBlockBytes, 'c'), rounds, true);
  Report report;
  report.Text("mode", "fsync");
  report.Count("rounds", static_cast<uint64_t>(rounds));
  report.Latency("append", append);
  report.Latency("overwrite", overwrite);
  report.Latency("dsync", dsync);
  report.Print(json);
  return 0;
}

DiskUse ReadDiskUse(const std::string& data_dir) {
  DiskUse use;
  std::error_code gone;
  for (std::filesystem::recursive_directory_iterator at(data_dir, gone), end; !gone && at != end;
       at.increment(gone)) {
    struct stat file {};
    if (lstat(at->path().c_str(), &file) != 0 || !S_ISREG(file.st_mode)) continue;
    *PartOf(at->path().lexically_relative(data_dir).string(), &use) +=
        static_cast<uint64_t>(file.st_blocks) * 512;
  }
  return use;
}

}  // namespace parley::bench
