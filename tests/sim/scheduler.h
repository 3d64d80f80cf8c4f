// The threads of a simulation: all of the program's threads in one, in an order that a seed
// decides, on a clock that moves only when the simulation says so.
//
// The program under test is what production runs, unchanged: its std::thread, std::mutex,
// std::condition_variable and clocks, and those inside LevelDB and SQLite, end in a few functions
// of the C library (pthread_create, pthread_mutex_lock, clock_gettime, …). This program has its own
// definitions of them (threads.cc), which the dynamic linker takes for all libraries too. While a
// Scheduler runs they lead here: a thread is a fiber with a stack of its own, a wait picks another
// fiber that can run, and where none can, the clock moves to the next deadline. Outside of Run they
// are the C library's.
//
// What a seed decides: who runs next (each thread has a weight by chance, so that some lag behind),
// whether a thread stops before it takes a lock, who gets a lock or a signal, and spurious wakes.
// A thread that holds a lock stops only where it waits or where the disk is reached.
//
// Kill ends all threads but the caller's where they stand, as the death of a process does: no
// destructor runs, and what they owned is leaked. Locks of dead threads are free.
#ifndef PARLEY_TESTS_SIM_SCHEDULER_H_
#define PARLEY_TESTS_SIM_SCHEDULER_H_

#include <pthread.h>
#include <ucontext.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace parley::sim {

// All chance in a simulation.
class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  uint64_t Next() { return engine_(); }
  uint64_t Below(uint64_t end) { return engine_() % end; }
  uint64_t Between(uint64_t first, uint64_t last) { return first + Below(last - first + 1); }
  bool OneIn(uint64_t many) { return Below(many) == 0; }

 private:
  std::mt19937_64 engine_;
};

class Scheduler {
 public:
  static constexpr int64_t kEpochMs = 1'764'000'000'000;  // the wall clock's time at the start

  explicit Scheduler(uint64_t seed);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // The one that runs now; null: none.
  static Scheduler* Current();
  // Runs `main` as the first thread. All others are dead when it returns.
  void Run(const std::function<void()>& main);

  // --- by the threads ---
  int Start(std::string name, std::function<void()> body);
  void Join(int thread);
  void Name(const char* name);
  void Yield();  // lets another go first, perhaps
  void SleepUs(int64_t us);
  void SleepUntilUs(int64_t us);
  // All but the calling thread are gone.
  void Kill();

  void Lock(pthread_mutex_t* mutex);
  bool TryLock(pthread_mutex_t* mutex);
  void Unlock(pthread_mutex_t* mutex);
  void LockShared(pthread_rwlock_t* lock);
  void LockExclusive(pthread_rwlock_t* lock);
  void Unlock(pthread_rwlock_t* lock);
  // False: the deadline came first.
  bool Wait(pthread_cond_t* condition, pthread_mutex_t* mutex, int64_t deadline_us = kNever);
  void Signal(pthread_cond_t* condition, bool all);

  static constexpr int64_t kNever = INT64_MAX;
  int64_t now_us() const { return now_us_; }
  uint64_t switches() const { return switches_; }
  // Depends on every choice that was made.
  uint64_t hash() const { return hash_; }
  std::string_view name() const;
  // What all threads do, for people.
  std::string Describe() const;

 private:
  struct Fiber;

  static void Enter();
  Fiber* Find(int id) const;
  void End();
  void Switch();
  Fiber* Pick();
  void WakeDue();
  void Resume(Fiber* next);
  void Block(const void* on, int64_t deadline_us);
  void WakeAllAt(const void* place);
  void MaybeYield();
  bool HeldByOther(const pthread_mutex_t* mutex) const;
  void Take(pthread_mutex_t* mutex);

  Dice random_;
  std::vector<std::unique_ptr<Fiber>> fibers_;  // alive ones, ascending by id
  std::vector<std::unique_ptr<Fiber>> ended_;   // their stacks are used again
  Fiber* running_ = nullptr;
  int last_id_ = 0;
  int dead_through_ = 0;  // threads up to this one that aren't alive are no owners
  int64_t now_us_ = 0;
  int64_t next_deadline_us_ = kNever;
  uint64_t yield_one_in_ = 1;
  uint64_t switches_ = 0;
  uint64_t hash_ = 0;
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_SCHEDULER_H_
