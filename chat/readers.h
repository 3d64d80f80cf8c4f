// A pool of threads that read the stores for the engine.
//
// Owner: whoever runs the engine; destroyed before the log. Submit by the engine's thread.
#ifndef PARLEY_CHAT_READERS_H_
#define PARLEY_CHAT_READERS_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "chat/ports.h"

namespace parley {

class ReaderPool : public Readers {
 public:
  // `deliver` takes a continuation to the engine's thread; called by the pool's threads.
  ReaderPool(int threads, std::function<void(Continuation)> deliver);
  ~ReaderPool() override;  // what is queued is dropped, what runs is waited for

  void Submit(std::function<Continuation()> job) override;
  size_t queued() const;

 private:
  void Run();

  const std::function<void(Continuation)> deliver_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<Continuation()>> jobs_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace parley

#endif  // PARLEY_CHAT_READERS_H_
