#include "storage/epoch.h"

#include <cstdint>
#include <cstdio>
#include <string_view>

namespace parley {
namespace {

constexpr size_t kDigits = 16;

bool IsEpoch(std::string_view text) {
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

Result<std::string> MakeEpoch(Env* env, const std::string& path) {
  uint64_t random = 0;
  env->Random(&random, sizeof random);
  char text[kDigits + 1];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(random));
  Status status = env->ReplaceFile(path, std::string(text) + "\n");
  if (!status.ok()) return Error(std::move(status));
  return std::string(text);
}

}  // namespace

Result<std::string> ReadEpoch(Env* env, const std::string& data_dir) {
  const std::string path = data_dir + "/epoch";
  auto text = env->ReadFile(path);
  if (!text && text.error().code() == Code::kNotFound) return MakeEpoch(env, path);
  if (!text) return text;
  if (text->empty()) return MakeEpoch(env, path);
  std::string epoch = text->substr(0, text->find('\n'));
  if (IsEpoch(epoch)) return epoch;
  return Error(Code::kCorruption,
               path +
                   ": it doesn't hold 16 hex digits; restore it from a backup, or remove it: "
                   "clients then read all anew");
}

}  // namespace parley
