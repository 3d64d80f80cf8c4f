#include "tests/storage/fault_env.h"

#include <algorithm>
#include <utility>

namespace parley {
namespace {

constexpr size_t kSectorBytes = 512;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

Status Refused(const std::string& path, const char* what) {
  return Status(Code::kIoError, path + ": " + what);
}

}  // namespace

struct FaultEnv::File {
  struct Change {
    uint64_t offset = 0;
    std::string data;
    bool resize = false;  // to `offset` bytes
  };

  static void Make(const Change& change, std::string* bytes) {
    if (change.resize) {
      bytes->resize(change.offset, '\0');
      return;
    }
    const size_t end = change.offset + change.data.size();
    if (bytes->size() < end) bytes->resize(end, '\0');
    std::copy(change.data.begin(), change.data.end(),
              bytes->begin() + static_cast<std::ptrdiff_t>(change.offset));
  }

  std::string path;  // when it was made
  std::string now;
  std::string durable;
  std::vector<Change> pending;
  bool append_only = false;
};

class FaultEnv::OpenFile : public WritableFile {
 public:
  OpenFile(FaultEnv* env, std::string path, FilePtr file, uint64_t generation)
      : env_(env), path_(std::move(path)), file_(std::move(file)), generation_(generation) {}

  Status WriteAt(uint64_t offset, std::string_view data) override {
    env_->Reached("write", path_);
    std::lock_guard lock(env_->mutex_);
    return Alive() ? env_->WriteAt(file_.get(), path_, offset, data) : env_->Off();
  }
  Status Sync() override {
    env_->Reached("sync", path_);
    std::lock_guard lock(env_->mutex_);
    return Alive() ? env_->SyncFile(file_.get(), path_) : env_->Off();
  }
  Status Allocate(uint64_t bytes) override {
    env_->Reached("allocate", path_);
    std::lock_guard lock(env_->mutex_);
    return Alive() ? env_->Resize(file_.get(), path_, bytes, true) : env_->Off();
  }
  Status Truncate(uint64_t bytes) override {
    env_->Reached("truncate", path_);
    std::lock_guard lock(env_->mutex_);
    return Alive() ? env_->Resize(file_.get(), path_, bytes, false) : env_->Off();
  }

 private:
  bool Alive() const { return generation_ == env_->generation_; }

  FaultEnv* const env_;
  const std::string path_;
  const FilePtr file_;
  const uint64_t generation_;
};

// ---- Faults

uint64_t FaultEnv::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

void FaultEnv::FailAt(uint64_t operation, uint64_t how_many) {
  std::lock_guard lock(mutex_);
  fail_from_ = operations_ + operation;
  fail_to_ = fail_from_ + how_many;
}

void FaultEnv::CutPowerAt(uint64_t operation) {
  std::lock_guard lock(mutex_);
  cut_at_ = operations_ + operation;
}

bool FaultEnv::power_is_off() const {
  std::lock_guard lock(mutex_);
  return off_;
}

void FaultEnv::CutPower() {
  std::lock_guard lock(mutex_);
  off_ = true;
}

void FaultEnv::SetFull(bool full) {
  std::lock_guard lock(mutex_);
  full_ = full;
}

void FaultEnv::Break(const std::string& path, unsigned one_in) {
  std::lock_guard lock(mutex_);
  broken_[path] = one_in;
}

void FaultEnv::BreakReads(const std::string& path, unsigned one_in) {
  std::lock_guard lock(mutex_);
  broken_reads_[path] = one_in;
}

void FaultEnv::Mend() {
  std::lock_guard lock(mutex_);
  broken_.clear();
  broken_reads_.clear();
}

void FaultEnv::FlipBit(const std::string& path, size_t offset) {
  std::lock_guard lock(mutex_);
  File& file = **FindLocked(path);
  for (std::string* bytes : {&file.now, &file.durable}) {
    if (offset < bytes->size()) (*bytes)[offset] = static_cast<char>((*bytes)[offset] ^ 0x10);
  }
}

void FaultEnv::PowerOn() {
  std::lock_guard lock(mutex_);
  off_ = true;
  std::map<std::string, Dir> dirs;
  for (auto& [path, dir] : dirs_) {
    const std::string parent = ParentOf(path);
    const bool top = !dirs_.contains(parent);
    if (!top && !dirs.contains(parent)) continue;  // it went with its parent
    if (!top && !dir.made_durably && Chance(2)) continue;
    SettleNames(&dir);
    dirs.emplace(path, std::move(dir));
  }
  std::set<File*> settled;
  for (auto& [path, dir] : dirs) {
    dir.made_durably = true;
    for (auto& [name, file] : dir.now) {
      if (settled.insert(file.get()).second) Settle(file.get());
    }
  }
  dirs_ = std::move(dirs);
  Restart();
}

void FaultEnv::StartProcess() {
  std::lock_guard lock(mutex_);
  Restart();
}

void FaultEnv::Restart() {
  off_ = false;
  cut_at_ = fail_from_ = UINT64_MAX;
  fail_to_ = 0;
  ++generation_;
}

void FaultEnv::SettleNames(Dir* dir) {
  size_t keep = dir->pending.empty() ? 0 : random_() % (dir->pending.size() + 1);
  for (NameChange& change : dir->pending) {
    const bool kept = dir->ordered ? keep > 0 : Chance(2);
    if (keep > 0) --keep;
    if (!kept) continue;
    for (auto& [name, file] : change) {
      if (file == nullptr) {
        dir->durable.erase(name);
      } else {
        dir->durable[name] = file;
      }
    }
  }
  dir->pending.clear();
  dir->now = dir->durable;
}

// What the disk holds of a file after the power cut.
void FaultEnv::Settle(File* file) {
  const bool in_order = file->append_only;
  for (File::Change& change : file->pending) {
    const uint64_t fate = random_() % 3;
    if (fate == 0) {
      if (in_order) break;
      continue;
    }
    const bool torn = fate == 1 && !change.resize;
    if (torn && !in_order && Chance(2)) {
      Tear(change.offset, change.data, &file->durable);
      continue;
    }
    if (torn) change.data.resize(random_() % (change.data.size() + 1));
    File::Make(change, &file->durable);
    if (torn && in_order) break;
  }
  file->pending.clear();
  file->now = file->durable;
}

// Some of the write's sectors reach the disk.
void FaultEnv::Tear(uint64_t offset, std::string_view data, std::string* durable) {
  while (!data.empty()) {
    const size_t piece = std::min<size_t>(data.size(), kSectorBytes - offset % kSectorBytes);
    if (Chance(2)) File::Make({offset, std::string(data.substr(0, piece)), false}, durable);
    data.remove_prefix(piece);
    offset += piece;
  }
}

FaultEnv::Verdict FaultEnv::Judge(const std::string& path) {
  if (off_) return Verdict::kFail;
  ++operations_;
  if (operations_ == cut_at_) {
    off_ = true;
    return Verdict::kCut;
  }
  if (Fails(broken_, path) || (operations_ >= fail_from_ && operations_ < fail_to_))
    return Verdict::kFail;
  return Verdict::kGo;
}

bool FaultEnv::Fails(const Broken& broken, const std::string& path) {
  return std::any_of(broken.begin(), broken.end(), [&](const auto& one) {
    return path.starts_with(one.first) && Chance(one.second);
  });
}

Status FaultEnv::Do(const std::string& path, const std::function<Status()>& deed) {
  if (off_) return Off();
  const Verdict verdict = Judge(path);
  if (verdict == Verdict::kGo) return deed();
  if (Chance(2)) (void)deed();
  return verdict == Verdict::kCut ? Off() : Refused(path, "told to fail");
}

// ---- Names

FaultEnv::Dir* FaultEnv::DirOf(const std::string& path) {
  auto dir = dirs_.find(ParentOf(path));
  return dir == dirs_.end() ? nullptr : &dir->second;
}

// All names of a change stand in one directory.
Status FaultEnv::Change(NameChange change) {
  Dir* dir = DirOf(change.front().first);
  if (dir == nullptr) return Status(Code::kNotFound, change.front().first + ": no such directory");
  for (auto& [name, file] : change) {
    if (file == nullptr) {
      dir->now.erase(name);
    } else {
      dir->now[name] = file;
    }
  }
  dir->pending.push_back(std::move(change));
  return Status();
}

Result<FaultEnv::FilePtr> FaultEnv::FindLocked(const std::string& path) {
  if (off_) return Error(Off());
  Dir* dir = DirOf(path);
  if (dir != nullptr) {
    if (auto file = dir->now.find(path); file != dir->now.end()) return file->second;
  }
  return Error(Code::kNotFound, path + ": no such file");
}

Result<FaultEnv::FilePtr> FaultEnv::FindOrMake(const std::string& path, bool append_only,
                                               bool afresh) {
  auto found = FindLocked(path);
  if (found && !afresh) return found;
  FilePtr file = std::make_shared<File>();
  file->path = path;
  file->append_only = append_only;
  Status status = Do(path, [&] {
    if (full_) return Refused(path, "no space left");
    if (Dir* dir = DirOf(path); dir != nullptr && append_only) dir->ordered = true;
    return Change({{path, file}});
  });
  if (!status.ok()) return Error(std::move(status));
  return file;
}

Result<std::unique_ptr<WritableFile>> FaultEnv::OpenWritable(const std::string& path) {
  Reached("open", path);
  std::lock_guard lock(mutex_);
  auto file = FindOrMake(path, false, false);
  if (!file) return Error(std::move(file.error()));
  return std::make_unique<OpenFile>(this, path, *file, generation_);
}

Result<std::unique_ptr<WritableFile>> FaultEnv::Create(const std::string& path) {
  Reached("create", path);
  std::lock_guard lock(mutex_);
  auto file = FindOrMake(path, true, true);
  if (!file) return Error(std::move(file.error()));
  return std::make_unique<OpenFile>(this, path, *file, generation_);
}

Result<std::shared_ptr<FaultEnv::File>> FaultEnv::Find(const std::string& path) {
  std::lock_guard lock(mutex_);
  return FindLocked(path);
}

Result<std::string> FaultEnv::ReadFile(const std::string& path) {
  Reached("read", path);
  std::lock_guard lock(mutex_);
  auto file = FindLocked(path);
  if (!file) return Error(std::move(file.error()));
  if (Fails(broken_reads_, path)) return Error(Refused(path, "told to fail"));
  return (*file)->now;
}

Result<std::string> FaultEnv::Read(const File& file, uint64_t offset, size_t bytes) {
  Reached("read", file.path);
  std::lock_guard lock(mutex_);
  if (off_) return Error(Off());
  if (Fails(broken_reads_, file.path)) return Error(Refused(file.path, "told to fail"));
  return offset < file.now.size() ? file.now.substr(offset, bytes) : std::string();
}

Result<uint64_t> FaultEnv::Size(const std::string& path) {
  std::lock_guard lock(mutex_);
  auto file = FindLocked(path);
  if (!file) return Error(std::move(file.error()));
  return (*file)->now.size();
}

bool FaultEnv::Exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  return dirs_.contains(path) || FindLocked(path).has_value();
}

Result<std::vector<std::string>> FaultEnv::List(const std::string& dir) {
  std::lock_guard lock(mutex_);
  if (off_) return Error(Off());
  if (!dirs_.contains(dir)) return Error(Code::kNotFound, dir + ": no such directory");
  std::vector<std::string> names;
  for (auto& [path, file] : dirs_[dir].now) names.push_back(path.substr(dir.size() + 1));
  for (auto& [path, sub] : dirs_) {
    if (!path.empty() && ParentOf(path) == dir) names.push_back(path.substr(dir.size() + 1));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Status FaultEnv::MakeDir(const std::string& dir) {
  Reached("mkdir", dir);
  std::lock_guard lock(mutex_);
  if (off_) return Off();
  if (dirs_.contains(dir)) return Status();
  return Do(dir, [&] {
    if (full_) return Refused(dir, "no space left");
    dirs_[dir];
    return Status();
  });
}

Status FaultEnv::Remove(const std::string& path) {
  Reached("remove", path);
  std::lock_guard lock(mutex_);
  auto file = FindLocked(path);
  if (!file) return file.error();
  return Do(path, [&] { return Change({{path, nullptr}}); });
}

Status FaultEnv::Rename(const std::string& from, const std::string& to) {
  Reached("rename", from);
  std::lock_guard lock(mutex_);
  auto file = FindLocked(from);
  if (!file) return file.error();
  return Do(from, [&] { return Change({{from, nullptr}, {to, *file}}); });
}

Status FaultEnv::SyncDir(const std::string& dir) {
  Reached("syncdir", dir);
  std::lock_guard lock(mutex_);
  if (off_) return Off();
  if (!dirs_.contains(dir)) return Status(Code::kNotFound, dir + ": no such directory");
  return Do(dir, [&] {
    for (auto& [path, sub] : dirs_) {
      if (ParentOf(path) == dir) sub.made_durably = true;
    }
    dirs_[dir].pending.clear();
    dirs_[dir].durable = dirs_[dir].now;
    return Status();
  });
}

void FaultEnv::Random(void* data, size_t bytes) {
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < bytes; ++i) static_cast<char*>(data)[i] = static_cast<char>(random_());
}

// ---- Bytes

Status FaultEnv::WriteAt(File* file, const std::string& path, uint64_t offset,
                         std::string_view data) {
  if (off_) return Off();
  const Verdict verdict = Judge(path);
  const uint64_t size = file->now.size();
  const bool no_room = full_ && offset + data.size() > size;
  if (no_room) {
    data = data.substr(0, offset < size ? size - offset : 0);
  } else if (verdict == Verdict::kFail) {
    data = data.substr(0, random_() % (data.size() + 1));
  }
  if (!data.empty()) {
    file->pending.push_back({offset, std::string(data), false});
    File::Make(file->pending.back(), &file->now);
  }
  if (verdict == Verdict::kCut) return Off();
  if (no_room) return Refused(path, "no space left");
  return verdict == Verdict::kGo ? Status() : Refused(path, "told to fail");
}

Status FaultEnv::Resize(File* file, const std::string& path, uint64_t bytes, bool grow_only) {
  return Do(path, [&] {
    const uint64_t size = file->now.size();
    if (grow_only && bytes <= size) return Status();
    if (full_ && bytes > size) return Refused(path, "no space left");
    file->pending.push_back({bytes, "", true});
    File::Make(file->pending.back(), &file->now);
    return Status();
  });
}

Status FaultEnv::SyncFile(File* file, const std::string& path) {
  if (off_) return Off();
  const Verdict verdict = Judge(path);
  if (verdict == Verdict::kFail) {
    LoseSome(file);
    return Refused(path, "told to fail");
  }
  if (verdict == Verdict::kCut && Chance(2)) return Off();
  for (const File::Change& change : file->pending) File::Make(change, &file->durable);
  file->pending.clear();
  Dir* dir = DirOf(path);
  if (file->append_only && dir != nullptr) {
    dir->durable = dir->now;
    dir->pending.clear();
  }
  return verdict == Verdict::kCut ? Off() : Status();
}

// After a failed sync: some of it is on the disk, the rest never will be, and reads show all.
void FaultEnv::LoseSome(File* file) {
  const std::string shown = file->now;
  Settle(file);
  file->now = shown;
}

}  // namespace parley
