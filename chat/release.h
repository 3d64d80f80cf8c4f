// The gate between the engine and the devices: holds each turn's effects until the journal has what
// they tell of, then hands them on in order.
//
// Threads: Hold and Pass by the engine's thread, Committed by the committer's, Take by the
// broker's, Failed by the engine's.
#ifndef PARLEY_CHAT_RELEASE_H_
#define PARLEY_CHAT_RELEASE_H_

#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "chat/effect.h"
#include "storage/types.h"

namespace parley {

class Release {
 public:
  // `wake` is called, from any thread, when there is something to take and there was nothing.
  explicit Release(std::function<void()> wake) : wake_(std::move(wake)) {}

  // The effects are released once `after` is committed; at once where it is already.
  void Hold(Lsn after, std::vector<Effect> effects);
  // Releases them at once, past all that is held.
  void Pass(std::vector<Effect> effects);
  void Committed(Lsn last);
  Lsn committed() const;
  // Takes back what waits for `first` or later. The caller says what becomes of it.
  std::vector<Effect> TakeBack(Lsn first);

  // Moves what is released to *out, until that is `max` publishes or more. True where more is
  // waiting.
  bool Take(size_t max, std::vector<Effect>* out);
  // Effects held or released and not yet taken.
  size_t size() const;
  // … their bytes. What is shared counts for each.
  size_t bytes() const;

 private:
  struct Turn {
    Lsn after;
    std::vector<Effect> effects;
  };
  void ReleaseReady(std::unique_lock<std::mutex> lock);
  void MakeReady(std::vector<Effect>* effects);

  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  Lsn committed_;
  std::deque<Turn> held_;
  std::deque<Effect> ready_;
  size_t held_count_ = 0;
  size_t bytes_ = 0;  // held and ready
};

}  // namespace parley

#endif  // PARLEY_CHAT_RELEASE_H_
