#include "chat/readers.h"

#include "storage/thread_name.h"

namespace parley {

ReaderPool::ReaderPool(int threads, std::function<void(Continuation)> deliver)
    : deliver_(std::move(deliver)) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

ReaderPool::~ReaderPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
}

void ReaderPool::Submit(std::function<Continuation()> job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  ready_.notify_one();
}

size_t ReaderPool::queued() const {
  std::lock_guard lock(mutex_);
  return jobs_.size();
}

void ReaderPool::Run() {
  NameThread("parley-reader");
  std::unique_lock lock(mutex_);
  for (;;) {
    ready_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    deliver_(job());
    job = nullptr;
    lock.lock();
  }
}

}  // namespace parley
