// What Prometheus would read, taken apart as strictly as `promtool check metrics` does.
#ifndef PARLEY_TESTS_E2E_SCRAPE_H_
#define PARLEY_TESTS_E2E_SCRAPE_H_

#include <map>
#include <set>
#include <string>

namespace parley::e2e {

struct Scrape {
  std::map<std::string, std::string> types;  // of each family
  std::map<std::string, double> samples;     // by `name{label="value",…}`, as it is written
  std::set<std::string> names;               // of the samples

  // Throws std::runtime_error with the line that breaks a rule: a family has HELP, then TYPE, then
  // its samples, once; names and labels are well formed; counters end in _total and nothing else
  // does; no series stands there twice; a histogram's buckets grow, end with +Inf and agree with
  // its count.
  static Scrape Parse(const std::string& text);
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_SCRAPE_H_
