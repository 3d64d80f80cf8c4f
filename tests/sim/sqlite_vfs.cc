#include "tests/sim/sqlite_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace parley::sim::sqlite_vfs {
namespace {

// What the connections to one file share.
struct Shared {
  int readers = 0;  // with SHARED or more
  bool reserved = false;
  bool pending = false;
  bool exclusive = false;
  std::vector<std::unique_ptr<std::string>> regions;  // of the WAL's index
  std::array<int, SQLITE_SHM_NLOCK> index_locks{};    // readers, or -1
};

struct Machine {
  Disk* disk = nullptr;
  std::map<std::string, Shared> shared;
  Dice random{1};
};
Machine machine;

struct Open {
  std::string path;
  std::unique_ptr<WritableFile> writable;
  std::shared_ptr<FaultEnv::File> file;
  bool unnamed = false;  // its name isn't durable yet
  int lock = SQLITE_LOCK_NONE;
  std::array<int, SQLITE_SHM_NLOCK> index_locks{};  // 1: reads, -1: writes
};

// As SQLite keeps it: raw memory that it frees.
struct File {
  sqlite3_file base;
  Open* open;
};

Open& Of(sqlite3_file* file) { return *reinterpret_cast<File*>(file)->open; }
Shared& SharedOf(const Open& open) { return machine.shared[open.path]; }

// ---- Bytes

int Close(sqlite3_file* file) {
  delete reinterpret_cast<File*>(file)->open;
  return SQLITE_OK;
}

int Read(sqlite3_file* file, void* out, int bytes, sqlite3_int64 offset) {
  auto read =
      machine.disk->Read(*Of(file).file, static_cast<uint64_t>(offset), static_cast<size_t>(bytes));
  if (!read) return SQLITE_IOERR_READ;
  std::memcpy(out, read->data(), read->size());
  if (read->size() == static_cast<size_t>(bytes)) return SQLITE_OK;
  std::memset(static_cast<char*>(out) + read->size(), 0, static_cast<size_t>(bytes) - read->size());
  return SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* data, int bytes, sqlite3_int64 offset) {
  std::string_view written(static_cast<const char*>(data), static_cast<size_t>(bytes));
  Status status = Of(file).writable->WriteAt(static_cast<uint64_t>(offset), written);
  if (status.ok()) return SQLITE_OK;
  return status.message().ends_with("no space left") ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

int Truncate(sqlite3_file* file, sqlite3_int64 bytes) {
  Status status = Of(file).writable->Truncate(static_cast<uint64_t>(bytes));
  return status.ok() ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

std::string DirOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

int Sync(sqlite3_file* file, int) {
  Open& open = Of(file);
  if (!open.writable->Sync().ok()) return SQLITE_IOERR_FSYNC;
  if (!open.unnamed) return SQLITE_OK;
  if (!machine.disk->SyncDir(DirOf(open.path)).ok()) return SQLITE_IOERR_DIR_FSYNC;
  open.unnamed = false;
  return SQLITE_OK;
}

int FileSize(sqlite3_file* file, sqlite3_int64* bytes) {
  auto size = machine.disk->Size(Of(file).path);
  if (!size) return SQLITE_IOERR_FSTAT;
  *bytes = static_cast<sqlite3_int64>(*size);
  return SQLITE_OK;
}

// ---- Locks on the database

int Lock(sqlite3_file* file, int wanted) {
  Open& open = Of(file);
  Shared& shared = SharedOf(open);
  if (open.lock >= wanted) return SQLITE_OK;
  if (open.lock == SQLITE_LOCK_NONE) {
    if (shared.pending || shared.exclusive) return SQLITE_BUSY;
    ++shared.readers;
    open.lock = SQLITE_LOCK_SHARED;
  }
  if (wanted >= SQLITE_LOCK_RESERVED && open.lock < SQLITE_LOCK_RESERVED) {
    if (shared.reserved) return SQLITE_BUSY;
    shared.reserved = true;
    open.lock = SQLITE_LOCK_RESERVED;
  }
  if (wanted < SQLITE_LOCK_EXCLUSIVE) return SQLITE_OK;
  shared.pending = true;
  open.lock = SQLITE_LOCK_PENDING;
  if (shared.readers > 1) return SQLITE_BUSY;
  shared.exclusive = true;
  open.lock = SQLITE_LOCK_EXCLUSIVE;
  return SQLITE_OK;
}

int Unlock(sqlite3_file* file, int kept) {
  Open& open = Of(file);
  Shared& shared = SharedOf(open);
  if (open.lock >= SQLITE_LOCK_RESERVED && kept < SQLITE_LOCK_RESERVED) {
    shared.reserved = shared.pending = shared.exclusive = false;
  }
  if (open.lock >= SQLITE_LOCK_SHARED && kept == SQLITE_LOCK_NONE) --shared.readers;
  open.lock = std::min(open.lock, kept);
  return SQLITE_OK;
}

int CheckReservedLock(sqlite3_file* file, int* reserved) {
  *reserved = SharedOf(Of(file)).reserved;
  return SQLITE_OK;
}

int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file*) { return 4096; }
int DeviceCharacteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

// ---- The WAL's index

int ShmMap(sqlite3_file* file, int region, int bytes, int extend, void volatile** out) {
  Shared& shared = SharedOf(Of(file));
  *out = nullptr;
  while (shared.regions.size() <= static_cast<size_t>(region)) {
    if (extend == 0) return SQLITE_OK;
    shared.regions.push_back(std::make_unique<std::string>(static_cast<size_t>(bytes), '\0'));
  }
  *out = shared.regions[static_cast<size_t>(region)]->data();
  return SQLITE_OK;
}

int ShmLock(sqlite3_file* file, int first, int count, int flags) {
  Open& open = Of(file);
  Shared& shared = SharedOf(open);
  for (int i = first; i < first + count; ++i) {
    int all = shared.index_locks[static_cast<size_t>(i)];
    int own = open.index_locks[static_cast<size_t>(i)];
    if ((flags & SQLITE_SHM_UNLOCK) != 0) continue;
    if (own != 0) continue;
    bool shares = (flags & SQLITE_SHM_SHARED) != 0;
    if (shares ? all < 0 : all != 0) return SQLITE_BUSY;
  }
  for (int i = first; i < first + count; ++i) {
    int& all = shared.index_locks[static_cast<size_t>(i)];
    int& own = open.index_locks[static_cast<size_t>(i)];
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      all = own < 0 ? 0 : all - own;
      own = 0;
    } else if (own == 0) {
      own = (flags & SQLITE_SHM_SHARED) != 0 ? 1 : -1;
      all = own < 0 ? -1 : all + 1;
    }
  }
  return SQLITE_OK;
}

void ShmBarrier(sqlite3_file*) {}

int ShmUnmap(sqlite3_file* file, int forget) {
  ShmLock(file, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK);
  if (forget != 0) SharedOf(Of(file)).regions.clear();
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = Close,
    .xRead = Read,
    .xWrite = Write,
    .xTruncate = Truncate,
    .xSync = Sync,
    .xFileSize = FileSize,
    .xLock = Lock,
    .xUnlock = Unlock,
    .xCheckReservedLock = CheckReservedLock,
    .xFileControl = FileControl,
    .xSectorSize = SectorSize,
    .xDeviceCharacteristics = DeviceCharacteristics,
    .xShmMap = ShmMap,
    .xShmLock = ShmLock,
    .xShmBarrier = ShmBarrier,
    .xShmUnmap = ShmUnmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

// ---- Names

int OpenFile(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out_flags) {
  file->pMethods = nullptr;
  if (path == nullptr) return SQLITE_CANTOPEN;  // a file in memory was asked for
  bool made = !machine.disk->Exists(path);
  if (made && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
  auto open = std::make_unique<Open>();
  auto writable = machine.disk->OpenWritable(path);
  if (!writable) return SQLITE_CANTOPEN;
  auto found = machine.disk->Find(path);
  if (!found) return SQLITE_CANTOPEN;
  open->path = path;
  open->writable = std::move(*writable);
  open->file = std::move(*found);
  open->unnamed = made && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
  reinterpret_cast<File*>(file)->open = open.release();
  file->pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs*, const char* path, int sync_dir) {
  if (!machine.disk->Exists(path)) return SQLITE_IOERR_DELETE_NOENT;
  if (!machine.disk->Remove(path).ok()) return SQLITE_IOERR_DELETE;
  if (sync_dir != 0 && !machine.disk->SyncDir(DirOf(path)).ok()) return SQLITE_IOERR_DIR_FSYNC;
  return SQLITE_OK;
}

int Access(sqlite3_vfs*, const char* path, int, int* result) {
  *result = machine.disk->Exists(path);
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* path, int bytes, char* out) {
  sqlite3_snprintf(bytes, out, "%s", path);
  return SQLITE_OK;
}

int Randomness(sqlite3_vfs*, int bytes, char* out) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<char>(machine.random.Next());
  return bytes;
}

int Sleep(sqlite3_vfs*, int us) {
  Scheduler::Current()->SleepUs(us);
  return us;
}

int CurrentTime(sqlite3_vfs*, sqlite3_int64* now) {
  constexpr sqlite3_int64 kUnixEpoch = 24405875 * sqlite3_int64{8640000};
  *now = kUnixEpoch + machine.disk->NowMs();
  return SQLITE_OK;
}

int CurrentTimeDays(sqlite3_vfs* vfs, double* days) {
  sqlite3_int64 now = 0;
  CurrentTime(vfs, &now);
  *days = static_cast<double>(now) / 86400000.0;
  return SQLITE_OK;
}

int LastError(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

void Install() {
  static sqlite3_vfs vfs = {};
  vfs.iVersion = 2;
  vfs.szOsFile = sizeof(File);
  vfs.mxPathname = 512;
  vfs.zName = "simulation";
  vfs.xOpen = OpenFile;
  vfs.xDelete = Delete;
  vfs.xAccess = Access;
  vfs.xFullPathname = FullPathname;
  vfs.xRandomness = Randomness;
  vfs.xSleep = Sleep;
  vfs.xCurrentTime = CurrentTimeDays;
  vfs.xCurrentTimeInt64 = CurrentTime;
  vfs.xGetLastError = LastError;
  if (sqlite3_initialize() != SQLITE_OK || sqlite3_vfs_register(&vfs, 1) != SQLITE_OK) std::abort();
}

void Reset(Disk* disk) {
  machine.disk = disk;
  machine.shared.clear();
  uint64_t seed = 0;
  disk->Random(&seed, sizeof seed);
  machine.random = Dice(seed);
}

}  // namespace parley::sim::sqlite_vfs
