// Runs jobs that may wait for the directory's database, one after another.
//
// Threads: Post and PostAfter by any. Limits: kJobsMax jobs wait.
#ifndef PARLEY_PLUGIN_DIRECTORY_THREAD_H_
#define PARLEY_PLUGIN_DIRECTORY_THREAD_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace parley {

class DirectoryThread {
 public:
  static constexpr size_t kJobsMax = 10'000;

  DirectoryThread();
  ~DirectoryThread();  // finishes what is queued, also what was to come later
  // False where too much is waiting.
  bool Post(std::function<void()> job);
  // The same, after `delay`; false, too, where the thread is ending.
  bool PostAfter(std::chrono::milliseconds delay, std::function<void()> job);

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  bool MoveDue();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> jobs_;
  std::multimap<Clock::time_point, std::function<void()>> later_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace parley

#endif  // PARLEY_PLUGIN_DIRECTORY_THREAD_H_
