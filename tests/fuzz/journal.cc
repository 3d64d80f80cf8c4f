// Opening a journal whose files hold anything. It either refuses, naming the file and leaving all
// as it was; or what it has can be read, goes on, and is the same when it is opened again.
//
//   input   := kind:u8 segment*          the bits of kind: kRaw, kUnsyncedOptions
//   segment := raw: bytes:text           a file as it is
//            | header:fields frames:u8 frame* damages:u8 damage*
//   frame   := count:u8 first:number synced:number payload:text
//   damage  := at:u16 xor:u8
//
// Frames and headers get their checksums right, so that what is behind those is reached.
#include "storage/journal.h"

#include <map>
#include <optional>

#include "tests/fuzz/forged_frame.h"
#include "tests/storage/fault_env.h"

namespace parley::fuzz {
namespace {

constexpr char kDir[] = "/data/journal";
constexpr uint64_t kSegmentBytes = 1 << 16;
constexpr uint8_t kRaw = 1;
constexpr uint8_t kUnsyncedOptions = 2;
constexpr int kSegmentsMax = 4;
constexpr int kFramesMax = 16;

std::string PathOf(uint64_t index) {
  char name[64];
  std::snprintf(name, sizeof name, "%s/%012llu.log", kDir, static_cast<unsigned long long>(index));
  return name;
}

std::string SegmentOf(uint64_t index, Input* input) {
  SegmentHeader header;
  header.flags = input->Byte();
  header.index = index + input->AnyNumber();
  header.nonce = 1 + index;
  header.start = Lsn(input->AnyNumber() + 1);
  header.prev_index = index - 1 + input->AnyNumber();
  header.prev_end = kFramesStart + 8 * input->AnyNumber();
  std::string file = EncodeHeader(header);
  uint64_t next = header.start.value();
  for (int left = input->Byte() % kFramesMax; left > 0; --left) {
    std::string frame = ForgedFrame(file.size(), header.nonce, next, input);
    next += FrameCount(frame);
    file += frame;
  }
  for (int left = input->Byte() % 4; left > 0; --left) {
    const size_t at = input->Number<uint16_t>();
    const char flip = static_cast<char>(input->Byte());
    if (at < file.size()) file[at] = static_cast<char>(file[at] ^ flip);
  }
  return file;
}

void Write(Env* env, const std::string& path, std::string_view data) {
  auto file = env->OpenWritable(path);
  FUZZ_REQUIRE(file && (*file)->WriteAt(0, data).ok() && (*file)->Sync().ok(), path);
}

std::map<std::string, std::string> FilesOf(Env* env) {
  std::map<std::string, std::string> files;
  auto names = env->List(kDir);
  if (!names) return files;
  for (const std::string& name : *names) files[name] = *env->ReadFile(kDir + ("/" + name));
  return files;
}

Result<std::unique_ptr<Journal>> OpenIn(Env* env, bool unsynced) {
  JournalOptions options;
  options.dir = kDir;
  options.segment_bytes = kSegmentBytes;
  options.unsynced = unsynced;
  return Journal::Open(options, env, [](const std::string&) {});
}

// All that the journal has; nothing where it says that it is damaged.
std::optional<std::vector<Transaction>> ReadAll(const Journal& journal) {
  std::vector<Transaction> all;
  const Lsn after(journal.first().value() - 1);
  Status status = journal.Read(after, journal.last(), [&](std::vector<Transaction> some) {
    for (Transaction& transaction : some) {
      FUZZ_REQUIRE(transaction.lsn > after && transaction.lsn <= journal.last(), "out of range");
      FUZZ_REQUIRE(all.empty() || transaction.lsn > all.back().lsn, "not ascending");
      all.push_back(std::move(transaction));
    }
    return Status();
  });
  if (status.ok()) return all;
  FUZZ_REQUIRE(status.code() == Code::kCorruption, status.ToString());
  FUZZ_REQUIRE(status.message().starts_with(kDir), status.ToString());
  return std::nullopt;
}

void RequireSame(const std::vector<Transaction>& was, const std::vector<Transaction>& is) {
  FUZZ_REQUIRE(was.size() == is.size(), std::to_string(was.size()));
  for (size_t i = 0; i < was.size(); ++i) {
    FUZZ_REQUIRE(was[i].lsn == is[i].lsn && was[i].records == is[i].records, "another record");
  }
}

// What was there is still there, with one more behind it.
void GoOn(FaultEnv* env, std::unique_ptr<Journal> journal, bool unsynced) {
  auto all = ReadAll(*journal);
  const Lsn last = journal->last();
  if (last.value() > uint64_t{1} << 62) return;  // past what numbers ever reach
  std::vector<Transaction> more(1);
  more[0].lsn = last.Next();
  more[0].records.emplace_back(MarksRecord{UserId("alice"), Seq(1), Seq(1)});
  Status status = journal->Commit(more, true);
  FUZZ_REQUIRE(status.ok(), status.ToString());
  if (all) all->push_back(more[0]);
  journal.reset();
  env->CutPower();
  env->PowerOn();
  auto again = OpenIn(env, unsynced);
  FUZZ_REQUIRE(again, again.error().ToString());
  FUZZ_REQUIRE((*again)->last() == last.Next(), std::to_string((*again)->last().value()));
  auto read = ReadAll(**again);
  FUZZ_REQUIRE(read.has_value() == all.has_value(), "damaged by going on");
  if (all) RequireSame(*all, *read);
}

}  // namespace

void Run(std::string_view bytes) {
  Input input(bytes);
  const uint8_t kind = input.Byte();
  FaultEnv env(1);
  (void)env.MakeDir("/data");
  (void)env.MakeDir(kDir);
  for (uint64_t index = 1; index <= kSegmentsMax && !input.empty(); ++index) {
    const bool raw = (kind & kRaw) != 0;
    Write(&env, PathOf(index), raw ? std::string(input.Text()) : SegmentOf(index, &input));
  }
  (void)env.SyncDir("/data");
  (void)env.SyncDir(kDir);
  const auto before = FilesOf(&env);
  auto journal = OpenIn(&env, (kind & kUnsyncedOptions) != 0);
  if (journal) return GoOn(&env, std::move(*journal), (kind & kUnsyncedOptions) != 0);
  FUZZ_REQUIRE(journal.error().code() == Code::kCorruption, journal.error().ToString());
  FUZZ_REQUIRE(journal.error().message().starts_with(kDir), journal.error().ToString());
  FUZZ_REQUIRE(FilesOf(&env) == before, "a refused start has changed the files");
}

}  // namespace parley::fuzz
