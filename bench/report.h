// A run's figures in their order, printed as one JSON object on one line or as a table for people.
#ifndef PARLEY_BENCH_REPORT_H_
#define PARLEY_BENCH_REPORT_H_

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "bench/histogram.h"

namespace parley::bench {

class Report {
 public:
  void Text(const std::string& name, const std::string& value) {
    rows_.push_back({name, value, true});
  }

  void Count(const std::string& name, uint64_t value) {
    rows_.push_back({name, std::to_string(value), false});
  }

  void Number(const std::string& name, double value, int decimals = 1) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    rows_.push_back({name, text, false});
  }

  // p50, p99, p99.9 and the maximum, in µs.
  void Latency(const std::string& name, const Histogram& histogram) {
    Number(name + "_p50_us", histogram.PercentileUs(50));
    Number(name + "_p99_us", histogram.PercentileUs(99));
    Number(name + "_p999_us", histogram.PercentileUs(99.9));
    Number(name + "_max_us", static_cast<double>(histogram.max_ns()) / 1000);
  }

  void Print(bool json) const {
    const char* separator = "{";
    for (const Row& row : rows_) {
      const char* quote = row.quoted ? "\"" : "";
      if (json) {
        std::printf("%s\"%s\":%s%s%s", separator, row.name.c_str(), quote, row.value.c_str(),
                    quote);
        separator = ",";
      } else {
        std::printf("%-28s %s\n", row.name.c_str(), row.value.c_str());
      }
    }
    if (json) std::printf("}\n");
    std::fflush(stdout);
  }

 private:
  struct Row {
    std::string name;
    std::string value;
    bool quoted;
  };
  std::vector<Row> rows_;
};

}  // namespace parley::bench

#endif  // PARLEY_BENCH_REPORT_H_
