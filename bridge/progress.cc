#include "bridge/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace parley {
namespace {

using std::chrono::steady_clock;

constexpr int kBarWidth = 30;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::seconds kLogEvery{5};

}  // namespace

Progress::Progress(std::string things, uint64_t total)
    : things_(std::move(things)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(steady_clock::now()),
      shown_(start_) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\n", stderr);
}

void Progress::Update(uint64_t count, uint64_t done) {
  auto now = steady_clock::now();
  bool finished = total_ > 0 && done >= total_;
  if (now - shown_ < (terminal_ ? kRedraw : std::chrono::milliseconds(kLogEvery)) &&
      !(terminal_ && finished)) {
    return;
  }
  shown_ = now;
  std::string line = Line(count, done);
  if (terminal_) {
    std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
    drawn_ = true;
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

std::string Progress::Line(uint64_t count, uint64_t done) const {
  double seconds = std::chrono::duration<double>(steady_clock::now() - start_).count();
  double share =
      total_ == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  std::string line;
  if (terminal_ && total_ > 0) {
    auto filled = static_cast<size_t>(share * kBarWidth);
    line = "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '-') + "] ";
  }
  char text[128];
  std::snprintf(text, sizeof text, "%llu %s, %.0f/s", static_cast<unsigned long long>(count),
                things_.c_str(), static_cast<double>(count) / std::max(seconds, 0.001));
  line += text;
  if (total_ > 0 && share > 0) {
    std::snprintf(text, sizeof text, ", %.0f%%, %.0f s left", 100 * share,
                  seconds / share - seconds);
    line += text;
  }
  return line;
}

}  // namespace parley
