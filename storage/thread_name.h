// What the system is told of a thread of ours. Called by the thread itself, at its start.
#ifndef PARLEY_STORAGE_THREAD_NAME_H_
#define PARLEY_STORAGE_THREAD_NAME_H_

namespace parley {

// As ps, top and perf show it: 15 bytes at most, "parley-engine".
void NameThread(const char* name);

// For work that is durable already and that nobody waits for: where processors are short, the
// threads on a message's way go first. Threads that it starts inherit this.
void WorkInBackground();

}  // namespace parley

#endif  // PARLEY_STORAGE_THREAD_NAME_H_
