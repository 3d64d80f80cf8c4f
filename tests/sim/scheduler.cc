#include "tests/sim/scheduler.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace parley::sim {
namespace {

constexpr size_t kStackBytes = 512 << 10;
constexpr int kMainWeight = 16;
constexpr uint64_t kSpuriousOneIn = 64;

Scheduler* current = nullptr;

}  // namespace

struct Scheduler::Fiber {
  int id = 0;
  std::string name;
  std::function<void()> body;
  ucontext_t context;
  void* stack = nullptr;
  const void* waits_on = nullptr;  // null: it can run
  int64_t deadline_us = kNever;
  bool timed_out = false;
  int locks = 0;
  uint64_t weight = kMainWeight;

  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber() {
    if (stack != nullptr) munmap(stack, kStackBytes);
  }
  void MakeStack() {
    stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) std::abort();
    mprotect(stack, 4096, PROT_NONE);
  }
};

Scheduler::Scheduler(uint64_t seed) : random_(seed) {
  static constexpr uint64_t kYields[] = {1000, 50, 10, 3};
  yield_one_in_ = kYields[random_.Below(4)];
}

Scheduler::~Scheduler() = default;

Scheduler* Scheduler::Current() { return current; }

void Scheduler::Run(const std::function<void()>& main) {
  fibers_.push_back(std::make_unique<Fiber>());
  running_ = fibers_.back().get();
  running_->id = ++last_id_;
  running_->name = "main";
  current = this;
  main();
  Kill();
  current = nullptr;
}

// ---- Threads

int Scheduler::Start(std::string name, std::function<void()> body) {
  std::unique_ptr<Fiber> fiber;
  if (!ended_.empty() && ended_.back().get() != running_) {
    fiber = std::move(ended_.back());
    ended_.pop_back();
  } else {
    fiber = std::make_unique<Fiber>();
    fiber->MakeStack();
  }
  static constexpr uint64_t kWeights[] = {16, 16, 16, 64, 4, 1};
  fiber->id = ++last_id_;
  fiber->name = std::move(name);
  fiber->body = std::move(body);
  fiber->waits_on = nullptr;
  fiber->deadline_us = kNever;
  fiber->locks = 0;
  fiber->weight = kWeights[random_.Below(std::size(kWeights))];
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, &Scheduler::Enter, 0);
  fibers_.push_back(std::move(fiber));
  MaybeYield();
  return last_id_;
}

void Scheduler::Enter() {
  current->running_->body();
  current->End();
}

void Scheduler::End() {
  auto self = std::find_if(fibers_.begin(), fibers_.end(),
                           [this](const auto& fiber) { return fiber.get() == running_; });
  WakeAllAt(running_);
  running_->body = nullptr;
  ended_.push_back(std::move(*self));
  fibers_.erase(self);
  Switch();
}

Scheduler::Fiber* Scheduler::Find(int id) const {
  for (const auto& fiber : fibers_) {
    if (fiber->id == id) return fiber.get();
  }
  return nullptr;
}

void Scheduler::Join(int thread) {
  while (Fiber* other = Find(thread)) Block(other, kNever);
}

void Scheduler::Name(const char* name) { running_->name = name; }

std::string_view Scheduler::name() const { return running_->name; }

void Scheduler::Kill() {
  for (auto& fiber : fibers_) {
    if (fiber.get() == running_) continue;
    new std::function<void()>(std::move(fiber->body));  // its captures live on, as all it owned
    ended_.push_back(std::move(fiber));
  }
  std::erase(fibers_, nullptr);
  dead_through_ = last_id_;
}

std::string Scheduler::Describe() const {
  std::string text;
  for (const auto& fiber : fibers_) {
    text += "  " + std::to_string(fiber->id) + " " + fiber->name;
    if (fiber->waits_on != nullptr) text += " waits";
    if (fiber->deadline_us != kNever) {
      text += " until " + std::to_string(fiber->deadline_us / 1000) + " ms";
    }
    text += '\n';
  }
  return text;
}

// ---- Who runs

void Scheduler::Yield() { Switch(); }

void Scheduler::MaybeYield() {
  if (running_->locks == 0 && random_.OneIn(yield_one_in_)) Switch();
}

void Scheduler::SleepUs(int64_t us) { SleepUntilUs(now_us_ + us); }

void Scheduler::SleepUntilUs(int64_t us) {
  if (us > now_us_) Block(running_, us);
}

void Scheduler::Block(const void* on, int64_t deadline_us) {
  running_->waits_on = on;
  running_->deadline_us = deadline_us;
  running_->timed_out = false;
  next_deadline_us_ = std::min(next_deadline_us_, deadline_us);
  Switch();
}

void Scheduler::Switch() {
  ++now_us_;
  ++switches_;
  if (now_us_ >= next_deadline_us_) WakeDue();
  Fiber* next = Pick();
  while (next == nullptr) {
    if (next_deadline_us_ == kNever) {
      std::fprintf(stderr, "all threads wait for each other:\n%s", Describe().c_str());
      std::abort();
    }
    now_us_ = std::max(now_us_, next_deadline_us_);
    WakeDue();
    next = Pick();
  }
  hash_ = (hash_ ^ static_cast<uint64_t>(next->id)) * 0x9e3779b97f4a7c15 + (hash_ >> 29);
  Resume(next);
}

Scheduler::Fiber* Scheduler::Pick() {
  uint64_t weights = 0;
  for (const auto& fiber : fibers_) weights += fiber->waits_on == nullptr ? fiber->weight : 0;
  if (weights == 0) return nullptr;
  uint64_t at = random_.Below(weights);
  for (const auto& fiber : fibers_) {
    if (fiber->waits_on != nullptr) continue;
    if (at < fiber->weight) return fiber.get();
    at -= fiber->weight;
  }
  return nullptr;
}

void Scheduler::WakeDue() {
  next_deadline_us_ = kNever;
  for (const auto& fiber : fibers_) {
    if (fiber->waits_on == nullptr || fiber->deadline_us == kNever) continue;
    if (fiber->deadline_us <= now_us_) {
      fiber->waits_on = nullptr;
      fiber->timed_out = true;
    } else {
      next_deadline_us_ = std::min(next_deadline_us_, fiber->deadline_us);
    }
  }
}

void Scheduler::Resume(Fiber* next) {
  if (next == running_) return;
  Fiber* before = std::exchange(running_, next);
  swapcontext(&before->context, &next->context);
}

void Scheduler::WakeAllAt(const void* place) {
  for (const auto& fiber : fibers_) {
    if (fiber->waits_on == place) fiber->waits_on = nullptr;
  }
}

// ---- Locks. Their state is kept where the C library keeps its own, so that a lock that is free is
// free for both.

bool Scheduler::HeldByOther(const pthread_mutex_t* mutex) const {
  if (mutex->__data.__lock == 0 || mutex->__data.__owner == running_->id) return false;
  // The main thread outlives those that it killed.
  return mutex->__data.__owner > dead_through_ || mutex->__data.__owner == fibers_.front()->id;
}

void Scheduler::Take(pthread_mutex_t* mutex) {
  bool again = mutex->__data.__lock != 0 && mutex->__data.__owner == running_->id;
  if (again && (mutex->__data.__kind & 3) != PTHREAD_MUTEX_RECURSIVE_NP) {
    std::fprintf(stderr, "'%s' locks again what it has locked\n", running_->name.c_str());
    std::abort();
  }
  mutex->__data.__count = again ? mutex->__data.__count + 1 : 1;
  mutex->__data.__lock = 1;
  mutex->__data.__owner = running_->id;
  running_->locks += !again;
}

void Scheduler::Lock(pthread_mutex_t* mutex) {
  MaybeYield();
  while (HeldByOther(mutex)) Block(mutex, kNever);
  Take(mutex);
}

bool Scheduler::TryLock(pthread_mutex_t* mutex) {
  MaybeYield();
  if (HeldByOther(mutex)) return false;
  Take(mutex);
  return true;
}

void Scheduler::Unlock(pthread_mutex_t* mutex) {
  if (--mutex->__data.__count > 0) return;
  mutex->__data.__lock = 0;
  mutex->__data.__owner = 0;
  --running_->locks;
  WakeAllAt(mutex);
}

// Owned by objects that die with their threads, so there are no dead owners.
void Scheduler::LockShared(pthread_rwlock_t* lock) {
  MaybeYield();
  while (lock->__data.__cur_writer != 0) Block(lock, kNever);
  ++lock->__data.__readers;
  ++running_->locks;
}

void Scheduler::LockExclusive(pthread_rwlock_t* lock) {
  MaybeYield();
  while (lock->__data.__cur_writer != 0 || lock->__data.__readers != 0) Block(lock, kNever);
  lock->__data.__cur_writer = running_->id;
  ++running_->locks;
}

void Scheduler::Unlock(pthread_rwlock_t* lock) {
  if (lock->__data.__cur_writer != 0) {
    lock->__data.__cur_writer = 0;
  } else {
    --lock->__data.__readers;
  }
  --running_->locks;
  WakeAllAt(lock);
}

// ---- Conditions

bool Scheduler::Wait(pthread_cond_t* condition, pthread_mutex_t* mutex, int64_t deadline_us) {
  Unlock(mutex);
  bool spurious = random_.OneIn(kSpuriousOneIn);
  if (spurious) {
    Switch();
  } else {
    Block(condition, deadline_us);
  }
  bool timed_out = !spurious && running_->timed_out;
  while (HeldByOther(mutex)) Block(mutex, kNever);
  Take(mutex);
  return !timed_out;
}

void Scheduler::Signal(pthread_cond_t* condition, bool all) {
  if (all) return WakeAllAt(condition);
  std::vector<Fiber*> waiting;
  for (const auto& fiber : fibers_) {
    if (fiber->waits_on == condition) waiting.push_back(fiber.get());
  }
  if (!waiting.empty()) waiting[random_.Below(waiting.size())]->waits_on = nullptr;
}

}  // namespace parley::sim
