// What a process has used, from /proc: CPU of all its threads and of its main thread, and its
// memory. CPU has the kernel's tick as its resolution (10 ms).
#ifndef PARLEY_BENCH_PROCESS_USAGE_H_
#define PARLEY_BENCH_PROCESS_USAGE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace parley::bench {

struct ProcessUsage {
  double cpu_s = 0;            // all threads, user and system
  double main_cpu_s = 0;       // the main thread: in Mosquitto the one that does all of MQTT
  uint64_t main_switches = 0;  // how often the main thread waited (voluntary context switches)
  uint64_t rss_bytes = 0;      // resident set
};

// Exits with a message when there is no such process.
ProcessUsage ReadUsage(pid_t pid);

// CPU seconds of the process's threads of this name, user and system; 0 where there are none.
double ThreadCpuSeconds(pid_t pid, const std::string& name);

// What a process holds now.
struct ProcessSize {
  uint64_t rss_bytes = 0;   // resident set
  uint64_t anon_bytes = 0;  // of it, memory that no file backs
  uint64_t threads = 0;
  uint64_t files = 0;  // open descriptors
};

// Exits with a message when there is no such process.
ProcessSize ReadSize(pid_t pid);

// CPU seconds of this process.
double OwnCpuSeconds();

}  // namespace parley::bench

#endif  // PARLEY_BENCH_PROCESS_USAGE_H_
