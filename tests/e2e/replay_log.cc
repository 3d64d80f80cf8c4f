#include "tests/e2e/replay_log.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>

namespace parley::e2e {

namespace {

char LowerChar(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), LowerChar);
  return text;
}

// Speaker and text, or nothing where the line is no message.
std::optional<ReplayLine> ParseLine(std::string_view line) {
  constexpr size_t kTime = 8;  // "[HH:MM] "
  if (line.size() <= kTime || line[0] != '[' || line[6] != ']') return std::nullopt;
  const std::string_view rest = line.substr(kTime);
  ReplayLine parsed;
  if (rest[0] == '<') {
    const size_t end = rest.find('>');
    if (end == rest.npos || end == 1) return std::nullopt;
    parsed.from = rest.substr(1, end - 1);
    const size_t text = end + 1 < rest.size() && rest[end + 1] == ' ' ? end + 2 : end + 1;
    parsed.text = rest.substr(text);
    return parsed;
  }
  constexpr std::string_view kAction = " * ";
  if (rest.rfind(kAction, 0) != 0) return std::nullopt;
  const std::string_view action = rest.substr(kAction.size());
  parsed.from = action.substr(0, action.find(' '));
  parsed.text = rest.substr(1);
  if (parsed.from.empty()) return std::nullopt;
  return parsed;
}

// The nicks of a log, to find the one that a text begins with.
class Nicks {
 public:
  explicit Nicks(const std::vector<ReplayLine>& lines) {
    for (const ReplayLine& line : lines) {
      nicks_.insert(line.from);
      by_lower_.emplace(Lower(line.from), line.from);
    }
  }

  std::optional<std::string> Addressee(const std::string& text) const {
    const size_t end = text.find_first_of(":, ");
    if (end == text.npos || text[end] == ' ') return std::nullopt;
    std::string nick = text.substr(0, end);
    if (nicks_.count(nick) > 0) return nick;
    const auto found = by_lower_.find(Lower(nick));
    if (found == by_lower_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::set<std::string> nicks_;
  std::map<std::string, std::string> by_lower_;
};

}  // namespace

std::vector<ReplayLine> ParseReplayLog(std::string_view log) {
  std::vector<ReplayLine> lines;
  while (!log.empty()) {
    const size_t end = std::min(log.find('\n'), log.size());
    if (auto line = ParseLine(log.substr(0, end))) lines.push_back(std::move(*line));
    log.remove_prefix(std::min(end + 1, log.size()));
  }
  const Nicks nicks(lines);
  std::string last, before_last;  // the last speaker, and the last one who isn't that one
  for (ReplayLine& line : lines) {
    const std::string& other = last == line.from ? before_last : last;
    line.to = nicks.Addressee(line.text).value_or(other.empty() ? line.from : other);
    if (last != line.from) before_last = std::exchange(last, line.from);
  }
  return lines;
}

std::vector<ReplayLine> ReadReplayLog(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("can't read " + path.string());
  const std::string log{std::istreambuf_iterator<char>(in), {}};
  return ParseReplayLog(log);
}

const std::string& NickIds::IdOf(const std::string& nick) {
  const auto known = ids_.find(nick);
  if (known != ids_.end()) return known->second;
  std::string id;
  for (const char c : Lower(nick)) {
    const bool allowed = std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_';
    id += allowed ? c : '-';
  }
  if (!std::isalnum(static_cast<unsigned char>(id[0]))) id.insert(0, "x");
  id.resize(std::min<size_t>(id.size(), 56));  // an id has 64; the rest is for a number
  const std::string stem = id;
  for (int n = 2; !taken_.insert(id).second; ++n) id = stem + "-" + std::to_string(n);
  return ids_.emplace(nick, id).first->second;
}

}  // namespace parley::e2e
