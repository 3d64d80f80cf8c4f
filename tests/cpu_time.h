#ifndef PARLEY_TESTS_CPU_TIME_H_
#define PARLEY_TESTS_CPU_TIME_H_

#include <sys/resource.h>
#include <time.h>

namespace parley {

// What the calling thread has computed so far: on a busy machine what it waits for a CPU isn't in
// it.
inline double ThreadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// The same of the child processes that were waited for.
inline double ChildrenCpuSeconds() {
  rusage used{};
  getrusage(RUSAGE_CHILDREN, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

}  // namespace parley

#endif  // PARLEY_TESTS_CPU_TIME_H_
