#include "plugin/directory_thread.h"

#include <utility>

#include "storage/thread_name.h"

namespace parley {

DirectoryThread::DirectoryThread() : thread_([this] { Run(); }) {}

DirectoryThread::~DirectoryThread() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_one();
  thread_.join();
}

bool DirectoryThread::Post(std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    if (jobs_.size() >= kJobsMax) return false;
    jobs_.push_back(std::move(job));
  }
  ready_.notify_one();
  return true;
}

bool DirectoryThread::PostAfter(std::chrono::milliseconds delay, std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || later_.size() >= kJobsMax) return false;
    later_.emplace(Clock::now() + delay, std::move(job));
  }
  ready_.notify_one();
  return true;
}

// Queues what is due; true where there is something to do.
bool DirectoryThread::MoveDue() {
  auto due = stopping_ ? later_.end() : later_.upper_bound(Clock::now());
  for (auto it = later_.begin(); it != due; it = later_.erase(it)) {
    jobs_.push_back(std::move(it->second));
  }
  return !jobs_.empty();
}

void DirectoryThread::Run() {
  NameThread("parley-accounts");
  std::unique_lock lock(mutex_);
  for (;;) {
    while (!MoveDue()) {
      if (stopping_) return;
      if (later_.empty()) {
        ready_.wait(lock);
      } else {
        ready_.wait_until(lock, Clock::time_point(later_.begin()->first));
      }
    }
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

}  // namespace parley
