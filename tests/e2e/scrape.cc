#include "tests/e2e/scrape.h"

#include <cmath>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace parley::e2e {
namespace {

void Require(bool ok, const std::string& line) {
  if (!ok) throw std::runtime_error("not what Prometheus takes: " + line);
}

class Parser {
 public:
  Scrape Run(const std::string& text) {
    Require(text.ends_with('\n'), "no line end at the end");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      line.starts_with("# ") ? Comment(line) : Sample(line);
    }
    EndFamily();
    return scrape_;
  }

 private:
  void Comment(const std::string& line) {
    static const std::regex help(R"(# HELP ([a-z][a-z0-9_]*) \S.*)");
    static const std::regex type(R"(# TYPE ([a-z][a-z0-9_]*) (counter|gauge|histogram))");
    std::smatch match;
    if (std::regex_match(line, match, help)) {
      EndFamily();
      family_ = match[1];
      Require(!scrape_.types.contains(family_), line);
      return;
    }
    Require(std::regex_match(line, match, type) && match[1] == family_, line);
    Require(scrape_.types.emplace(family_, match[2]).second, line);
    Require((match[2] == "counter") == family_.ends_with("_total"), line);
  }

  void Sample(const std::string& line) {
    static const std::regex sample(
        R"re(([a-z][a-z0-9_]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+\})? (\S+))re");
    std::smatch match;
    Require(std::regex_match(line, match, sample), line);
    const std::string name = match[1];
    const double value = std::stod(match[3]);
    Require(scrape_.types.contains(family_), line);
    Require(scrape_.samples.emplace(name + match[2].str(), value).second, line);
    scrape_.names.insert(name);
    if (scrape_.types[family_] != "histogram") return Require(name == family_, line);
    HistogramSample(name, match[2], value, line);
  }

  void HistogramSample(const std::string& name, const std::string& labels, double value,
                       const std::string& line) {
    static const std::regex le(R"re(,?le="([^"]+)")re");
    std::smatch bound;
    if (name == family_ + "_bucket") {
      Require(std::regex_search(labels, bound, le), line);
      Buckets& buckets = buckets_[std::regex_replace(labels, le, "")];
      const double at = std::stod(bound[1]);
      Require(buckets.number == 0 || (at > buckets.bound && value >= buckets.count), line);
      buckets = {buckets.number + 1, at, value};
    } else if (name == family_ + "_count") {
      counts_[labels.empty() ? "{}" : labels] = value;
    } else {
      Require(name == family_ + "_sum", line);
    }
  }

  void EndFamily() {
    Require(buckets_.size() == counts_.size(), family_);
    for (const auto& [labels, buckets] : buckets_) {
      Require(std::isinf(buckets.bound) && counts_.at(labels) == buckets.count, family_ + labels);
    }
    buckets_.clear();
    counts_.clear();
  }

  struct Buckets {
    int number = 0;
    double bound = 0;
    double count = 0;
  };
  Scrape scrape_;
  std::string family_;
  std::map<std::string, Buckets> buckets_;  // by the labels but `le`
  std::map<std::string, double> counts_;
};

}  // namespace

Scrape Scrape::Parse(const std::string& text) { return Parser().Run(text); }

}  // namespace parley::e2e
