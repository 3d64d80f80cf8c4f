// What one fdatasync costs on a disk, the unit in which a durable message's latency is measured;
// and what a data directory takes of it.
#ifndef PARLEY_BENCH_DISK_H_
#define PARLEY_BENCH_DISK_H_

#include <cstdint>
#include <string>

namespace parley::bench {

// Writes and syncs `rounds` times in a file of its own in `directory`, which it removes: 170 bytes
// appended to a growing file, and 4 KiB overwritten one after the other in a file that was written
// before, as a preallocated journal is; the last again with O_DSYNC in place of fdatasync. Prints
// the report; returns the exit code.
int RunFsync(const std::string& directory, int rounds, bool json);

// Allocated bytes of a data directory's parts.
struct DiskUse {
  uint64_t journal = 0;
  uint64_t stores = 0;
  uint64_t sqlite = 0;
  uint64_t rest = 0;
};

// Files that come and go meanwhile count or not.
DiskUse ReadDiskUse(const std::string& data_dir);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_DISK_H_
