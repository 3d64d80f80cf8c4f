#include "plugin/disk_figures.h"

#include <sys/statvfs.h>

#include <filesystem>

namespace parley {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStorePrefix = "store-";

uint64_t BytesIn(const fs::path& directory) {
  std::error_code error;
  uint64_t bytes = 0;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    uint64_t size = it->file_size(gone);
    if (!gone) bytes += size;
  }
  return bytes;
}

// Keeps in *sizes the disk that is fuller.
void NoteDisk(const fs::path& path, DiskFigures::Sizes* sizes) {
  struct statvfs disk {};
  if (statvfs(path.c_str(), &disk) != 0 || disk.f_blocks == 0) return;
  uint64_t free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  uint64_t size_bytes = uint64_t{disk.f_blocks} * disk.f_frsize;
  auto share = [](uint64_t part, uint64_t of) {
    return static_cast<double>(part) / static_cast<double>(of);
  };
  if (sizes->size_bytes > 0 &&
      share(sizes->free_bytes, sizes->size_bytes) <= share(free_bytes, size_bytes)) {
    return;
  }
  sizes->free_bytes = free_bytes;
  sizes->size_bytes = size_bytes;
}

}  // namespace

void DiskFigures::Measure() {
  Sizes now;
  NoteDisk(data_dir_, &now);
  std::error_code error;
  for (fs::directory_iterator it(data_dir_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code gone;
    if (name.starts_with(kStorePrefix)) {
      now.stores[name.substr(kStorePrefix.size())] = BytesIn(it->path());
      NoteDisk(it->path(), &now);
    } else if (name.find(".db") != std::string::npos) {  // with -wal and -shm
      uint64_t size = it->file_size(gone);
      if (!gone) now.directory_bytes += size;
    }
  }
  std::lock_guard lock(mutex_);
  sizes_ = std::move(now);
}

DiskFigures::Sizes DiskFigures::sizes() const {
  std::lock_guard lock(mutex_);
  return sizes_;
}

}  // namespace parley
