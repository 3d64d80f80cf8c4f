// The functions of the C library that a simulation takes the place of; scheduler.h tells how. The
// dynamic linker finds a program's own definitions first, whoever calls.
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "tests/sim/scheduler.h"

#define PARLEY_INTERPOSE extern "C" __attribute__((visibility("default")))

namespace parley::sim {
namespace {

constexpr int64_t kUsPerS = 1'000'000;

// The C library's own function of that name.
template <class Function>
Function* Original(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

int64_t ToUs(const timespec& time) { return time.tv_sec * kUsPerS + time.tv_nsec / 1000; }

int64_t ClockStartUs(clockid_t clock) {
  return clock == CLOCK_REALTIME ? Scheduler::kEpochMs * 1000 : 0;
}

int TimedWait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
              const timespec* deadline) {
  bool woken = Scheduler::Current()->Wait(condition, mutex, ToUs(*deadline) - ClockStartUs(clock));
  return woken ? 0 : ETIMEDOUT;
}

}  // namespace
}  // namespace parley::sim

using parley::sim::Original;
using parley::sim::Scheduler;

// ---- Threads

PARLEY_INTERPOSE int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                    void* (*body)(void*), void* argument) {
  static auto* original = Original<decltype(pthread_create)>("pthread_create");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(thread, attributes, body, argument);
  *thread = static_cast<pthread_t>(scheduler->Start("thread", [=] { body(argument); }));
  return 0;
}

PARLEY_INTERPOSE int pthread_join(pthread_t thread, void** result) {
  static auto* original = Original<decltype(pthread_join)>("pthread_join");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(thread, result);
  scheduler->Join(static_cast<int>(thread));
  return 0;
}

PARLEY_INTERPOSE int pthread_detach(pthread_t thread) {
  static auto* original = Original<decltype(pthread_detach)>("pthread_detach");
  return Scheduler::Current() == nullptr ? original(thread) : 0;
}

PARLEY_INTERPOSE int pthread_setname_np(pthread_t thread, const char* name) {
  static auto* original = Original<decltype(pthread_setname_np)>("pthread_setname_np");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(thread, name);
  scheduler->Name(name);
  return 0;
}

PARLEY_INTERPOSE int setpriority(__priority_which_t which, id_t who, int priority) {
  static auto* original = Original<decltype(setpriority)>("setpriority");
  return Scheduler::Current() == nullptr ? original(which, who, priority) : 0;
}

PARLEY_INTERPOSE int sched_yield() {
  static auto* original = Original<decltype(sched_yield)>("sched_yield");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original();
  scheduler->Yield();
  return 0;
}

// ---- Locks

PARLEY_INTERPOSE int pthread_mutex_lock(pthread_mutex_t* mutex) {
  static auto* original = Original<decltype(pthread_mutex_lock)>("pthread_mutex_lock");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(mutex);
  scheduler->Lock(mutex);
  return 0;
}

PARLEY_INTERPOSE int pthread_mutex_trylock(pthread_mutex_t* mutex) {
  static auto* original = Original<decltype(pthread_mutex_trylock)>("pthread_mutex_trylock");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(mutex);
  return scheduler->TryLock(mutex) ? 0 : EBUSY;
}

PARLEY_INTERPOSE int pthread_mutex_unlock(pthread_mutex_t* mutex) {
  static auto* original = Original<decltype(pthread_mutex_unlock)>("pthread_mutex_unlock");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(mutex);
  scheduler->Unlock(mutex);
  return 0;
}

PARLEY_INTERPOSE int pthread_rwlock_rdlock(pthread_rwlock_t* lock) {
  static auto* original = Original<decltype(pthread_rwlock_rdlock)>("pthread_rwlock_rdlock");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(lock);
  scheduler->LockShared(lock);
  return 0;
}

PARLEY_INTERPOSE int pthread_rwlock_wrlock(pthread_rwlock_t* lock) {
  static auto* original = Original<decltype(pthread_rwlock_wrlock)>("pthread_rwlock_wrlock");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(lock);
  scheduler->LockExclusive(lock);
  return 0;
}

PARLEY_INTERPOSE int pthread_rwlock_unlock(pthread_rwlock_t* lock) {
  static auto* original = Original<decltype(pthread_rwlock_unlock)>("pthread_rwlock_unlock");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(lock);
  scheduler->Unlock(lock);
  return 0;
}

// ---- Conditions

PARLEY_INTERPOSE int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  static auto* original = Original<decltype(pthread_cond_wait)>("pthread_cond_wait");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(condition, mutex);
  scheduler->Wait(condition, mutex);
  return 0;
}

PARLEY_INTERPOSE int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                            const timespec* deadline) {
  static auto* original = Original<decltype(pthread_cond_timedwait)>("pthread_cond_timedwait");
  if (Scheduler::Current() == nullptr) return original(condition, mutex, deadline);
  return parley::sim::TimedWait(condition, mutex, CLOCK_REALTIME, deadline);
}

PARLEY_INTERPOSE int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                            clockid_t clock, const timespec* deadline) {
  static auto* original = Original<decltype(pthread_cond_clockwait)>("pthread_cond_clockwait");
  if (Scheduler::Current() == nullptr) return original(condition, mutex, clock, deadline);
  return parley::sim::TimedWait(condition, mutex, clock, deadline);
}

PARLEY_INTERPOSE int pthread_cond_signal(pthread_cond_t* condition) {
  static auto* original = Original<decltype(pthread_cond_signal)>("pthread_cond_signal");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(condition);
  scheduler->Signal(condition, false);
  return 0;
}

PARLEY_INTERPOSE int pthread_cond_broadcast(pthread_cond_t* condition) {
  static auto* original = Original<decltype(pthread_cond_broadcast)>("pthread_cond_broadcast");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(condition);
  scheduler->Signal(condition, true);
  return 0;
}

// ---- Clocks

PARLEY_INTERPOSE int clock_gettime(clockid_t clock, timespec* time) {
  static auto* original = Original<decltype(clock_gettime)>("clock_gettime");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(clock, time);
  int64_t us = scheduler->now_us() + parley::sim::ClockStartUs(clock);
  *time = {us / parley::sim::kUsPerS, us % parley::sim::kUsPerS * 1000};
  return 0;
}

PARLEY_INTERPOSE int nanosleep(const timespec* time, timespec* left) {
  static auto* original = Original<decltype(nanosleep)>("nanosleep");
  Scheduler* scheduler = Scheduler::Current();
  if (scheduler == nullptr) return original(time, left);
  scheduler->SleepUs(parley::sim::ToUs(*time) + 1);
  return 0;
}
