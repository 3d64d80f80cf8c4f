#include "storage/leveldb_env.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace parley {
namespace {

constexpr size_t kBlockBytes = 32768;
constexpr size_t kHeaderBytes = 7;  // masked CRC-32C: u32, length: u16, type: u8
constexpr std::string_view kLogSuffix = ".log";
enum Fragment : uint8_t { kFull = 1, kFirst, kMiddle, kLast };

constexpr std::array<uint32_t, 256> Crc32cTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    table[byte] = crc;
  }
  return table;
}

// LevelDB stores a CRC turned and shifted by a constant.
uint32_t MaskedCrc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = Crc32cTable();
  uint32_t crc = 0xffffffff;
  for (char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

uint32_t LittleEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

leveldb::Status ReadWhole(leveldb::Env* env, const std::string& path, std::string* content) {
  uint64_t size = 0;
  leveldb::SequentialFile* opened = nullptr;
  leveldb::Status status = env->GetFileSize(path, &size);
  if (status.ok()) status = env->NewSequentialFile(path, &opened);
  if (!status.ok()) return status;
  std::unique_ptr<leveldb::SequentialFile> file(opened);
  content->resize(size);
  size_t have = 0;
  while (have < size) {
    leveldb::Slice got;
    status = file->Read(size - have, &got, content->data() + have);
    if (!status.ok()) return status;
    if (got.empty()) break;
    std::copy_n(got.data(), got.size(), content->data() + have);
    have += got.size();
  }
  content->resize(have);
  return leveldb::Status::OK();
}

leveldb::Status Replace(leveldb::Env* env, const std::string& path, std::string_view content) {
  std::string draft = path + ".cut";
  leveldb::WritableFile* opened = nullptr;
  leveldb::Status status = env->NewWritableFile(draft, &opened);
  if (!status.ok()) return status;
  std::unique_ptr<leveldb::WritableFile> file(opened);
  status = file->Append({content.data(), content.size()});
  if (status.ok()) status = file->Sync();
  if (status.ok()) status = file->Close();
  return status.ok() ? env->RenameFile(draft, path) : status;
}

bool IsLog(std::string_view name) {
  if (!name.ends_with(kLogSuffix) || name.size() == kLogSuffix.size()) return false;
  name.remove_suffix(kLogSuffix.size());
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The logs of a database by their number.
std::vector<std::string> Logs(leveldb::Env* env, const std::string& dir) {
  std::vector<std::string> names;
  if (!env->GetChildren(dir, &names).ok()) return {};  // a new one
  std::erase_if(names, [](const std::string& name) { return !IsLog(name); });
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return std::pair(a.size(), a) < std::pair(b.size(), b);
  });
  return names;
}

leveldb::Status CutLast(leveldb::Env* env, const std::string& dir,
                        const std::vector<std::string>& logs) {
  bool later_has_records = false;
  for (auto name = logs.rbegin(); name != logs.rend(); ++name) {
    std::string path = dir + '/' + *name, content;
    leveldb::Status status = ReadWhole(env, path, &content);
    if (!status.ok()) return status;
    size_t whole = WholeRecordBytes(content);
    if (whole < content.size()) {
      if (later_has_records) return leveldb::Status::Corruption(path, "damaged before its end");
      status = Replace(env, path, std::string_view(content).substr(0, whole));
      if (!status.ok()) return status;
    }
    later_has_records = later_has_records || whole > 0;
  }
  return leveldb::Status::OK();
}

}  // namespace

// A log of the database's: synced when it is closed, its name with its first sync.
class StoreEnv::LogFile : public leveldb::WritableFile {
 public:
  LogFile(StoreEnv* env, leveldb::WritableFile* file) : env_(env), file_(file) {}
  ~LogFile() override { env_->Note(Sync()); }
  leveldb::Status Append(const leveldb::Slice& data) override {
    leveldb::Status failure = env_->failure();
    return failure.ok() ? file_->Append(data) : failure;
  }
  leveldb::Status Flush() override { return file_->Flush(); }
  leveldb::Status Close() override {
    leveldb::Status status = Sync();
    return status.ok() ? file_->Close() : status;
  }
  leveldb::Status Sync() override {
    leveldb::Status status = file_->Sync();
    if (!status.ok() || named_) return status;
    status = env_->sync_dir_();
    named_ = status.ok();
    return status;
  }

 private:
  StoreEnv* env_;
  std::unique_ptr<leveldb::WritableFile> file_;
  bool named_ = false;
};

StoreEnv::StoreEnv(leveldb::Env* base, std::function<leveldb::Status()> sync_dir)
    : leveldb::EnvWrapper(base), sync_dir_(std::move(sync_dir)) {}

leveldb::Status StoreEnv::NewWritableFile(const std::string& path, leveldb::WritableFile** file) {
  leveldb::Status status = target()->NewWritableFile(path, file);
  if (status.ok() && std::string_view(path).ends_with(kLogSuffix)) *file = new LogFile(this, *file);
  return status;
}

leveldb::Status StoreEnv::RenameFile(const std::string& from, const std::string& to) {
  leveldb::Status status = target()->RenameFile(from, to);
  bool happened = status.ok() || (!target()->FileExists(from) && target()->FileExists(to));
  if (!happened || !std::string_view(to).ends_with("/CURRENT")) return status;
  Note(sync_dir_());
  return leveldb::Status::OK();
}

leveldb::Status StoreEnv::RemoveFile(const std::string& path) {
  leveldb::Status status = target()->RemoveFile(path);
  if (status.ok() && std::string_view(path).ends_with(kLogSuffix)) Note(sync_dir_());
  return status;
}

void StoreEnv::Note(const leveldb::Status& status) {
  std::lock_guard lock(mutex_);
  if (!status.ok() && failure_.ok()) failure_ = status;
}

leveldb::Status StoreEnv::failure() {
  std::lock_guard lock(mutex_);
  return failure_;
}

leveldb::Status StoreEnv::TakeFailure() {
  std::lock_guard lock(mutex_);
  return std::exchange(failure_, leveldb::Status());
}

size_t WholeRecordBytes(std::string_view log) {
  size_t whole = 0;
  bool inside = false;  // a record has begun that hasn't ended
  for (size_t at = 0; at + kHeaderBytes <= log.size();) {
    size_t left = kBlockBytes - at % kBlockBytes;
    if (left < kHeaderBytes) {
      at += left;  // the block's end is padding
      continue;
    }
    std::string_view header = log.substr(at, kHeaderBytes);
    size_t length = LittleEndian(header.substr(4, 2));
    uint8_t type = static_cast<uint8_t>(header[6]);
    if (length > left - kHeaderBytes || length > log.size() - at - kHeaderBytes) break;
    std::string_view checked = log.substr(at + 6, 1 + length);
    if (MaskedCrc32c(checked) != LittleEndian(header.substr(0, 4))) break;
    bool begins = type == kFull || type == kFirst;
    if (type < kFull || type > kLast || begins == inside) break;
    inside = type == kFirst || type == kMiddle;
    at += kHeaderBytes + length;
    if (!inside) whole = at;
  }
  return whole;
}

leveldb::Status CutTornLog(leveldb::Env* env, const std::string& dir) {
  std::vector<std::string> logs = Logs(env, dir);
  if (logs.empty()) return leveldb::Status::OK();
  leveldb::FileLock* lock = nullptr;  // nobody's database is open
  leveldb::Status status = env->LockFile(dir + "/LOCK", &lock);
  if (!status.ok()) return status;
  status = CutLast(env, dir, logs);
  leveldb::Status unlocked = env->UnlockFile(lock);
  return status.ok() ? unlocked : status;
}

}  // namespace parley
