// Judges what a soak recorded (the CSV of bench/soak.h): a table, a picture, and whether it is
// flat.
//
// The first third of the run is warm-up: caches fill. Over the rest a figure is flat if it grew, an
// hour, by no more than a share of its median, and besides by what is noise: a step in which it
// comes, or twice what its means over twelve parts of the time scatter about their trend, whichever
// is more. What comes and goes, as memtables do, is small in such a mean; a longer run finds slower
// growth. The shares and steps stand in the table of soak_report.cc. What shrinks is flat. A
// latency may also grow by four times what the generator's own lag (p99) grew by: a machine that
// gets busier holds up each of the threads on a message's way. All faults must be 0.
//
// The CPU of the stores' compaction is told and not judged: LevelDB writes a message anew for each
// level that it sinks to, so that it grows as the first levels fill, with the logarithm of what is
// stored.
#ifndef PARLEY_BENCH_SOAK_REPORT_H_
#define PARLEY_BENCH_SOAK_REPORT_H_

#include <istream>
#include <map>
#include <string>
#include <vector>

#include "bench/trend.h"

namespace parley::bench {

inline constexpr double kSoakShortestS = 600;  // for a verdict

enum class SoakVerdict { kFlat, kGrows, kTooShort, kFaults };

class SoakReport {
 public:
  // Reads the CSV. Ends the program where it isn't one of a soak.
  explicit SoakReport(std::istream& csv);

  SoakVerdict verdict() const;
  std::string Table() const;    // Markdown, and the verdict in words
  std::string Picture() const;  // SVG

 private:
  struct Judged;

  std::vector<Point> PointsOf(const std::string& column) const;
  std::vector<Point> Settled(const std::string& column) const;
  std::vector<Judged> JudgeAll() const;
  double seconds() const;

  std::map<std::string, std::vector<double>> columns_;
};

// Prints the table, writes the picture to `svg` unless that is empty. Returns the exit code: 0
// flat, or too short to tell; 1 it grows; 3 faults.
int RunSoakReport(const std::string& csv, const std::string& svg);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_SOAK_REPORT_H_
