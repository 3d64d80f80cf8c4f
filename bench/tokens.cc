// parley_tokens DIR COUNT [STEP]: prints "u<n> <token>" lines, a month's token for each of the
// bench's users u0, u(STEP), u(2 STEP), … below COUNT, signed with the data directory's secret.
// `parleyctl token issue` does it one at a time.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/workload.h"
#include "storage/credentials.h"
#include "storage/env.h"

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: parley_tokens DIR COUNT [STEP]\n");
    return 2;
  }
  const auto credentials =
      parley::Credentials::Load(argv[1], parley::kPasswordMemoryKibDefault, parley::Env::Posix());
  if (!credentials) {
    std::fprintf(stderr, "parley_tokens: %s\n", credentials.error().ToString().c_str());
    return 1;
  }
  constexpr int64_t kMonth = 30 * 86400;
  const size_t count = std::strtoull(argv[2], nullptr, 10);
  const size_t step = argc == 4 ? std::strtoull(argv[3], nullptr, 10) : 1;
  for (size_t index = 0; step > 0 && index < count; index += step) {
    const std::string user = parley::bench::UserName(index);
    std::printf("%s %s\n", user.c_str(), credentials->IssueToken(user, kMonth).c_str());
  }
  return 0;
}
