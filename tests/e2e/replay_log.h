// Reads an IRC log, as messages between two people or as what it was: a room in which people talk,
// come and go.
//
//   [HH:MM] <nick> text      a message
//   [HH:MM]  * nick text     an action: a message of nick's whose text is "* nick text"
//   === anything             who comes and goes: not a message
//
// Between two people, to whom: a text that begins `nick:` or `nick,` goes to that nick, if it says
// anything in this log (as written, or else in another case). Every other text goes to the one
// other than its speaker who spoke last before; where nobody did, to the speaker.
//
// In a room there are besides, and everything else behind === says nothing:
//
//   === nick [host]  has joined #room
//   === nick [host]  has left #room [why]
//   === nick is now known as another
//
// Logs don't tell who lost its connection. So who says, leaves or is renamed without having been
// seen to join was there from the start, or has come back unseen where it had left; who joins
// without having left has got its connection back. A person keeps its identity through its names. A
// name that its bearer has given up belongs to whoever is seen under it next, who is somebody else;
// so does one that another is renamed to.
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

struct RoomEvent {
  enum class Kind { kSays, kJoins, kReturns, kLeaves, kIsRenamed };
  Kind kind = Kind::kSays;
  size_t person = 0;      // of RoomLog::people
  std::string text = {};  // what it says, byte for byte; its new nick
};

struct RoomLog {
  struct Person {
    std::string nick;  // the first one; with a number behind a space where somebody had it before
    bool from_start = false;
  };
  std::vector<Person> people;
  std::vector<RoomEvent> events;
};

RoomLog ReadRoomLog(const std::filesystem::path& path);
RoomLog ParseRoomLog(std::string_view log);

// The logs (*.raw.txt) of the folder that PARLEY_REPLAY_LOGS names, by name; nothing without it.
std::vector<std::filesystem::path> ReplayLogFiles();

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
