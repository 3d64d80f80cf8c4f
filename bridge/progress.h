// How far a long job is, on stderr: a bar that moves where a person watches, else a line now and
// then, for a log.
#ifndef PARLEY_BRIDGE_PROGRESS_H_
#define PARLEY_BRIDGE_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace parley {

class Progress {
 public:
  // `things` are counted ("users"); how far the job is, is measured in parts of `total`. Where the
  // total isn't known it is 0.
  Progress(std::string things, uint64_t total);
  ~Progress();  // ends the bar's line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(uint64_t count, uint64_t done);

 private:
  std::string Line(uint64_t count, uint64_t done) const;

  const std::string things_;
  const uint64_t total_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point shown_;
  bool drawn_ = false;
};

}  // namespace parley

#endif  // PARLEY_BRIDGE_PROGRESS_H_
