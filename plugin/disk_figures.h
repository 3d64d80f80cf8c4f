// How large the data directory has become, and what is free where it lies.
//
// Measure walks the stores' directories: a few milliseconds, and as long as it takes on a disk that
// hangs. So it is the directory thread's; the rest is any thread's and only reads memory.
#ifndef PARLEY_PLUGIN_DISK_FIGURES_H_
#define PARLEY_PLUGIN_DISK_FIGURES_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace parley {

class DiskFigures {
 public:
  struct Sizes {
    std::map<std::string, uint64_t> stores;  // bytes, by number: "0"
    uint64_t directory_bytes = 0;            // of the SQLite databases
    uint64_t free_bytes = 0;                 // to the broker's user, on the fullest of the disks
    uint64_t size_bytes = 0;                 // of that disk
  };

  explicit DiskFigures(std::string data_dir) : data_dir_(std::move(data_dir)) {}

  // What can't be read counts as nothing: it may be gone by now.
  void Measure();
  Sizes sizes() const;

 private:
  const std::string data_dir_;
  mutable std::mutex mutex_;  // held to copy alone
  Sizes sizes_;
};

}  // namespace parley

#endif  // PARLEY_PLUGIN_DISK_FIGURES_H_
