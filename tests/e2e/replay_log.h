// Reads an IRC log as messages between two people.
//
//   [HH:MM] <nick> text      a message
//   [HH:MM]  * nick text     an action: a message of nick's whose text is "* nick text"
//   === anything             who comes and goes: not a message
//
// To whom: a text that begins `nick:` or `nick,` goes to that nick, if it says anything in this log
// (as written, or else in another case). Every other text goes to the one other than its speaker
// who spoke last before; where nobody did, to the speaker.
#ifndef PARLEY_TESTS_E2E_REPLAY_LOG_H_
#define PARLEY_TESTS_E2E_REPLAY_LOG_H_

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace parley::e2e {

struct ReplayLine {
  std::string from;  // nicks
  std::string to;
  std::string text;  // byte for byte
};

// The messages of a log in its order. Throws where the file can't be read.
std::vector<ReplayLine> ReadReplayLog(const std::filesystem::path& path);
std::vector<ReplayLine> ParseReplayLog(std::string_view log);

// Gives each nick a user id of its own: nicks hold characters that ids don't allow.
class NickIds {
 public:
  const std::string& IdOf(const std::string& nick);

 private:
  std::map<std::string, std::string> ids_;
  std::set<std::string> taken_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_REPLAY_LOG_H_
