// SQLite on the simulated disk: a VFS that is SQLite's default from Install on.
//
// As SQLite's own for Unix does (os_unix.c): a new WAL's or rollback journal's name is made durable
// with its first sync; locks and the WAL's index are shared by the connections of this process, and
// are gone when it dies. Files of other kinds (sorting, statements) are in memory: SQLite is told
// to keep them there.
#ifndef PARLEY_TESTS_SIM_SQLITE_VFS_H_
#define PARLEY_TESTS_SIM_SQLITE_VFS_H_

#include "tests/sim/disk.h"

namespace parley::sim::sqlite_vfs {

// Before the first connection of the process.
void Install();
// From now on files are on this disk, and nobody holds a lock: the program starts.
void Reset(Disk* disk);

}  // namespace parley::sim::sqlite_vfs

#endif  // PARLEY_TESTS_SIM_SQLITE_VFS_H_
