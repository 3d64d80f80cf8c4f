// A disk in memory that fails when told to, and that forgets what wasn't synced when its power is
// cut. The fault model:
//
// - An operation is anything that changes the disk: making, writing, syncing, allocating,
// truncating,
//   renaming and removing files, making and syncing directories. They are counted; a test says
//   which one fails, or at which one the power goes.
// - A write that fails may have written nothing, a part, or all of it. A sync that fails leaves
// some
//   of what was written since the last one durable and the rest lost, and a later sync brings
//   nothing of it back, though reads still show it (as Linux does). Other operations may fail after
//   the deed.
// - A power cut keeps what was synced. Of every write since then it is a matter of chance whether
//   it is kept, dropped or torn (a beginning of it is kept, or some of its sectors are); of every
//   name made, renamed or removed since its directory's last SyncDir, whether that is kept. In a
//   directory of LevelDB's, both are kept in order up to some point, and the sync of a file there
//   also keeps all names made before: LevelDB relies on it, and ext4 and XFS do so.
// - All chance comes from the seed.
//
// Threads: any.
#ifndef PARLEY_TESTS_STORAGE_FAULT_ENV_H_
#define PARLEY_TESTS_STORAGE_FAULT_ENV_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "storage/env.h"

namespace parley {

class FaultEnv : public Env {
 public:
  struct File;  // one file's bytes, whatever its name

  explicit FaultEnv(uint64_t seed) : random_(seed) {}

  // ---- Faults. `operation` counts from 1 on, beginning with the call.
  uint64_t operations() const;
  void FailAt(uint64_t operation, uint64_t how_many = 1);
  void CutPowerAt(uint64_t operation);
  bool power_is_off() const;
  void CutPower();
  // Brings back what survived. Files open before stay dead.
  void PowerOn();
  // As PowerOn, but the machine never stopped, only the process: all that was written is there.
  void StartProcess();
  void SetFull(bool full);  // nothing can grow, nothing can be made
  // Every operation under the path fails, or by chance one in so many, until Mend.
  void Break(const std::string& path, unsigned one_in = 1);
  // The same for reads.
  void BreakReads(const std::string& path, unsigned one_in = 1);
  void Mend();
  void FlipBit(const std::string& path, size_t offset);

  // ---- Env
  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path) override;
  Result<std::string> ReadFile(const std::string& path) override;
  bool Exists(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& dir) override;
  Status MakeDir(const std::string& dir) override;
  Status Remove(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status SyncDir(const std::string& dir) override;
  int64_t NowMs() override { return Env::Posix()->NowMs(); }
  int64_t MonotonicUs() override { return Env::Posix()->MonotonicUs(); }
  void Random(void* data, size_t bytes) override;

  // ---- For LevelDB: appended to only, found under its name and then held.
  Result<std::unique_ptr<WritableFile>> Create(const std::string& path);  // empties what is there
  Result<std::shared_ptr<File>> Find(const std::string& path);
  Result<std::string> Read(const File& file, uint64_t offset, size_t bytes);
  Result<uint64_t> Size(const std::string& path);

 protected:
  // Called before each access to the disk, without locks: a simulation takes its time here.
  virtual void Reached(const char* what, const std::string& path) { (void)what, (void)path; }

 private:
  class OpenFile;
  using FilePtr = std::shared_ptr<File>;
  // What is written to the names of a directory at once; a null file: the name goes.
  using NameChange = std::vector<std::pair<std::string, FilePtr>>;
  struct Dir {
    std::map<std::string, FilePtr> now;  // by path
    std::map<std::string, FilePtr> durable;
    std::vector<NameChange> pending;
    bool made_durably = false;
    bool ordered = false;
  };

  enum class Verdict { kGo, kFail, kCut };
  Status Off() const { return Status(Code::kIoError, "the power is off"); }
  void Restart();
  using Broken = std::map<std::string, unsigned>;  // by a path's beginning, one in so many
  Verdict Judge(const std::string& path);
  bool Fails(const Broken& broken, const std::string& path);
  bool Chance(unsigned of) { return random_() % of == 0; }
  // Runs `deed` unless it is to fail; where it fails it may be done all the same.
  Status Do(const std::string& path, const std::function<Status()>& deed);
  Status Change(NameChange change);
  Dir* DirOf(const std::string& path);
  Result<FilePtr> FindLocked(const std::string& path);
  Result<FilePtr> FindOrMake(const std::string& path, bool append_only, bool afresh);

  Status WriteAt(File* file, const std::string& path, uint64_t offset, std::string_view data);
  Status Resize(File* file, const std::string& path, uint64_t bytes, bool grow_only);
  Status SyncFile(File* file, const std::string& path);
  void LoseSome(File* file);
  void Settle(File* file);
  void Tear(uint64_t offset, std::string_view data, std::string* durable);
  void SettleNames(Dir* dir);

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::map<std::string, Dir> dirs_;
  uint64_t operations_ = 0;
  uint64_t fail_from_ = UINT64_MAX;
  uint64_t fail_to_ = 0;
  uint64_t cut_at_ = UINT64_MAX;
  bool off_ = false;
  bool full_ = false;
  Broken broken_;
  Broken broken_reads_;
  uint64_t generation_ = 0;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_FAULT_ENV_H_
