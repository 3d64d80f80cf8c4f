// What one fdatasync costs on a disk: the unit in which a durable message's latency is measured.
#ifndef PARLEY_BENCH_DISK_H_
#define PARLEY_BENCH_DISK_H_

#include <string>

namespace parley::bench {

// Writes and syncs `rounds` times in a file of its own in `directory`, which it removes: 170 bytes
// appended to a growing file, and 4 KiB overwritten one after the other in a file that was written
// before, as a preallocated journal is. Prints the report; returns the exit code.
int RunFsync(const std::string& directory, int rounds, bool json);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_DISK_H_
