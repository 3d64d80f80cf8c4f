// parley_tokens DIR COUNT: prints "u<n> <token>" lines, a day's token for each of the bench's
// users, signed with the data directory's secret. `parleyctl token issue` does it one at a time.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/workload.h"
#include "storage/credentials.h"
#include "storage/env.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: parley_tokens DIR COUNT\n");
    return 2;
  }
  const auto credentials =
      parley::Credentials::Load(argv[1], parley::kPasswordMemoryKibDefault, parley::Env::Posix());
  if (!credentials) {
    std::fprintf(stderr, "parley_tokens: %s\n", credentials.error().ToString().c_str());
    return 1;
  }
  constexpr int64_t kDay = 86400;
  for (size_t index = 0; index < std::strtoull(argv[2], nullptr, 10); ++index) {
    const std::string user = parley::bench::UserName(index);
    std::printf("%s %s\n", user.c_str(), credentials->IssueToken(user, kDay).c_str());
  }
  return 0;
}
