// parley_sim: runs simulations by their seeds. `--help` tells how.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/sim/sqlite_vfs.h"
#include "tests/sim/world.h"

namespace {

using parley::sim::Violation;
using parley::sim::World;

constexpr char kHelp[] = R"(parley_sim [OPTION…]

Runs chat/ and storage/ on a simulated machine, one simulation for each seed, and checks that no
promise is broken. Prints the seeds that failed and the last events of the first of them.

  --seed N       this one alone, here in this process; its trace's hash is printed
  --seeds N      so many (100)
  --from N       beginning with this one (1)
  --file FILE    the seeds in this file, one a line; # begins a comment
  --jobs N       so many processes at once (as many as there are processors)
  --stop         stop at the first one that fails
  --verbose      print everything that happens (with --seed)

Exit codes: 0 all are right, 1 some failed, 2 wrong usage.
)";

constexpr unsigned kSecondsMax = 60;  // of one seed

struct Arguments {
  uint64_t seed = 0;
  uint64_t seeds = 100;
  uint64_t from = 1;
  std::string file;
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  bool stop = false;
  bool verbose = false;
};

uint64_t Number(const char* text) {
  char* end = nullptr;
  uint64_t number = text == nullptr ? 0 : std::strtoull(text, &end, 10);
  if (text == nullptr || *text == '\0' || *end != '\0') {
    std::fprintf(stderr, "parley_sim: a number is missing; --help tells more\n");
    std::exit(2);
  }
  return number;
}

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name(argv[i]);
    auto number = [&] { return Number(++i < argc ? argv[i] : nullptr); };
    if (name == "--seed") {
      arguments.seed = number();
    } else if (name == "--seeds") {
      arguments.seeds = number();
    } else if (name == "--from") {
      arguments.from = number();
    } else if (name == "--file" && i + 1 < argc) {
      arguments.file = argv[++i];
    } else if (name == "--jobs") {
      arguments.jobs = static_cast<unsigned>(std::max<uint64_t>(1, number()));
    } else if (name == "--stop") {
      arguments.stop = true;
    } else if (name == "--verbose") {
      arguments.verbose = true;
    } else if (name == "--help") {
      std::fputs(kHelp, stdout);
      std::exit(0);
    } else {
      std::fprintf(stderr, "parley_sim: what is '%s'? --help tells more\n", argv[i]);
      std::exit(2);
    }
  }
  return arguments;
}

std::vector<uint64_t> SeedsOf(const Arguments& arguments) {
  std::vector<uint64_t> seeds;
  if (arguments.file.empty()) {
    for (uint64_t i = 0; i < arguments.seeds; ++i) seeds.push_back(arguments.from + i);
    return seeds;
  }
  std::ifstream file(arguments.file);
  if (!file) {
    std::fprintf(stderr, "parley_sim: %s can't be read\n", arguments.file.c_str());
    std::exit(2);
  }
  for (std::string line; std::getline(file, line);) {
    line.resize(std::min(line.size(), line.find('#')));
    if (line.find_first_not_of(" \t") != std::string::npos) {
      seeds.push_back(std::strtoull(line.c_str(), nullptr, 10));
    }
  }
  return seeds;
}

// The simulation's exit code. What a failed one did goes to stdout.
int RunOne(uint64_t seed, bool verbose, bool print_hash) {
  std::setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
  World* world = new World(seed, verbose);  // never deleted: the dead leave things behind
  try {
    world->Run();
  } catch (const Violation& violation) {
    if (!verbose) {
      for (const std::string& line : world->trace().last()) std::printf("  %s\n", line.c_str());
    }
    std::printf("  threads:\n%s", world->Threads().c_str());
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), violation.what.c_str());
    std::fflush(stdout);
    return 1;
  }
  if (print_hash) {
    std::printf("seed %llu: right, %llu steps, hash %016llx\n",
                static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(world->steps()),
                static_cast<unsigned long long>(world->hash()));
  }
  std::fflush(stdout);
  return 0;
}

// Runs each seed in a process of its own, some at once.
class Runs {
 public:
  explicit Runs(const Arguments& arguments) : arguments_(arguments), seeds_(SeedsOf(arguments)) {}

  int Run() {
    const auto start = std::chrono::steady_clock::now();
    size_t next = 0;
    while ((next < seeds_.size() && !Enough()) || !children_.empty()) {
      if (next < seeds_.size() && !Enough() && children_.size() < arguments_.jobs) {
        Begin(seeds_[next++]);
      } else {
        WaitForOne();
      }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (isatty(2)) std::fprintf(stderr, "\r\033[K");
    std::printf("%zu simulations in %.1f s, %zu failed%s", done_, took.count(), failed_.size(),
                failed_.empty() ? "\n" : ":");
    std::sort(failed_.begin(), failed_.end());
    for (uint64_t seed : failed_) std::printf(" %llu", static_cast<unsigned long long>(seed));
    if (!failed_.empty()) std::printf("\nreplay: parley_sim --seed N --verbose\n");
    return failed_.empty() ? 0 : 1;
  }

 private:
  struct Child {
    uint64_t seed = 0;
    int output = -1;
  };

  bool Enough() const { return arguments_.stop && !failed_.empty(); }

  void Begin(uint64_t seed) {
    // A file, not a pipe: a child that fails may say more than a pipe holds.
    int output = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    std::fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
      dup2(output, 1);
      dup2(output, 2);
      alarm(kSecondsMax);
      _exit(RunOne(seed, false, false));
    }
    if (pid < 0) std::perror("parley_sim: fork"), std::exit(1);
    children_[pid] = {seed, output};
  }

  void WaitForOne() {
    int status = 0;
    auto child = children_.find(waitpid(-1, &status, 0));
    if (child == children_.end()) return;
    ++done_;
    if (isatty(2)) {
      std::fprintf(stderr, "\r%zu of %zu, %zu failed ", done_, seeds_.size(), failed_.size());
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) Tell(child->second, status);
    close(child->second.output);
    children_.erase(child);
  }

  void Tell(const Child& child, int status) {
    std::string text(static_cast<size_t>(lseek(child.output, 0, SEEK_END)), '\0');
    if (pread(child.output, text.data(), text.size(), 0) < 0) text.clear();
    if (!failed_.empty())
      text = text.substr(text.rfind("seed ") == std::string::npos ? 0 : text.rfind("seed "));
    if (isatty(2)) std::fprintf(stderr, "\r\033[K");
    std::fputs(text.c_str(), stdout);
    if (WIFSIGNALED(status)) {
      std::printf("seed %llu: ended by signal %d\n", static_cast<unsigned long long>(child.seed),
                  WTERMSIG(status));
    }
    std::fflush(stdout);
    failed_.push_back(child.seed);
  }

  const Arguments arguments_;
  const std::vector<uint64_t> seeds_;
  std::map<pid_t, Child> children_;
  std::vector<uint64_t> failed_;
  size_t done_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = Parse(argc, argv);
  parley::sim::sqlite_vfs::Install();
  if (arguments.seed != 0) return RunOne(arguments.seed, arguments.verbose, true);
  return Runs(arguments).Run();
}
