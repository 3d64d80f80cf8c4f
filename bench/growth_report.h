// Draws what script/bench growth measured: cost over the number of stored messages, and over that
// of users, on logarithmic axes.
#ifndef PARLEY_BENCH_GROWTH_REPORT_H_
#define PARLEY_BENCH_GROWTH_REPORT_H_

#include <istream>
#include <string>

namespace parley::bench {

// Reads lines of "users messages" and a median for each of the picture's lines: CPU µs for a
// message of the broker and of its main thread, p50 and p99 µs of a page warm, and of a page from
// the disk. The first line's users are those of the pictures over messages, the last line's
// messages those of the ones over users; each series ascends. Ends the program where it isn't that.
// SVG.
std::string DrawGrowth(std::istream& figures);

// Writes the picture of the file `figures` to `svg`. Returns the exit code.
int RunGrowthReport(const std::string& figures, const std::string& svg);

}  // namespace parley::bench

#endif  // PARLEY_BENCH_GROWTH_REPORT_H_
