#include "tests/e2e/replay_log.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
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

template <typename Line>
void ForEachLine(std::string_view log, const Line& visit) {
  while (!log.empty()) {
    const size_t end = std::min(log.find('\n'), log.size());
    visit(log.substr(0, end));
    log.remove_prefix(std::min(end + 1, log.size()));
  }
}

std::string ReadWhole(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("can't read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> Words(std::string_view line) {
  std::istringstream in{std::string(line)};
  return {std::istream_iterator<std::string>(in), {}};
}

// Who is who in a room.
class Room {
 public:
  void Take(std::string_view line) {
    if (auto said = ParseLine(line)) {
      Happens(RoomEvent::Kind::kSays, Present(said->from), std::move(said->text));
    } else if (line.starts_with("=== ")) {
      TakeNotice(Words(line));
    }
  }
  RoomLog Done() { return std::move(log_); }

 private:
  void TakeNotice(const std::vector<std::string>& words) {
    using namespace std::string_literals;
    const bool moves = words.size() >= 6 && words[2].starts_with('[') && words[2].ends_with(']') &&
                       words[3] == "has" && words[5].starts_with('#');
    if (moves && words[4] == "joined") {
      Joins(words[1]);
    } else if (moves && words[4] == "left") {
      const size_t person = Present(words[1]);
      Happens(RoomEvent::Kind::kLeaves, person);
      in_[person] = false;
    } else if (words.size() == 7 && std::vector(words.begin() + 2, words.begin() + 6) ==
                                        std::vector{"is"s, "now"s, "known"s, "as"s}) {
      const size_t person = Present(words[1]);
      bearers_.erase(words[1]);
      bearers_[words[6]] = person;
      Happens(RoomEvent::Kind::kIsRenamed, person, words[6]);
    }
  }

  void Joins(const std::string& nick) {
    const auto known = bearers_.find(nick);
    if (known != bearers_.end() && in_[known->second]) {
      return Happens(RoomEvent::Kind::kReturns, known->second);
    }
    const size_t person = known != bearers_.end() ? known->second : NewPerson(nick, false);
    in_[person] = true;
    Happens(RoomEvent::Kind::kJoins, person);
  }

  // The person of that nick, who is in the room, however it got there.
  size_t Present(const std::string& nick) {
    const auto known = bearers_.find(nick);
    if (known == bearers_.end()) return NewPerson(nick, true);
    if (!in_[known->second]) Joins(nick);
    return known->second;
  }

  size_t NewPerson(const std::string& nick, bool from_start) {
    const int n = ++bearer_counts_[nick];
    log_.people.push_back({n == 1 ? nick : nick + " " + std::to_string(n), from_start});
    in_.push_back(from_start);
    return bearers_[nick] = in_.size() - 1;
  }

  void Happens(RoomEvent::Kind kind, size_t person, std::string text = "") {
    log_.events.push_back({kind, person, std::move(text)});
  }

  RoomLog log_;
  std::vector<bool> in_;                   // by person
  std::map<std::string, size_t> bearers_;  // of the nicks, now
  std::map<std::string, int> bearer_counts_;
};

}  // namespace

std::vector<ReplayLine> ParseReplayLog(std::string_view log) {
  std::vector<ReplayLine> lines;
  ForEachLine(log, [&](std::string_view text) {
    if (auto line = ParseLine(text)) lines.push_back(std::move(*line));
  });
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
  return ParseReplayLog(ReadWhole(path));
}

RoomLog ParseRoomLog(std::string_view log) {
  Room room;
  ForEachLine(log, [&](std::string_view line) { room.Take(line); });
  return room.Done();
}

RoomLog ReadRoomLog(const std::filesystem::path& path) { return ParseRoomLog(ReadWhole(path)); }

std::vector<std::filesystem::path> ReplayLogFiles() {
  std::vector<std::filesystem::path> files;
  const char* folder = getenv("PARLEY_REPLAY_LOGS");
  if (folder == nullptr || *folder == '\0') return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().string().ends_with(".raw.txt")) files.push_back(entry.path());
  }
  if (files.empty()) throw std::runtime_error(std::string("no logs in ") + folder);
  std::sort(files.begin(), files.end());
  return files;
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
