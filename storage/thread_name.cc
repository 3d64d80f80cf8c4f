#include "storage/thread_name.h"

#include <pthread.h>
#include <sys/resource.h>

namespace parley {
namespace {
constexpr int kBackgroundNice = 10;
}

void NameThread(const char* name) { pthread_setname_np(pthread_self(), name); }

// On Linux a nice value is a thread's own (setpriority(2), "C library/kernel differences").
void WorkInBackground() { setpriority(PRIO_PROCESS, 0, kBackgroundNice); }

}  // namespace parley
