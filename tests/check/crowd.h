// The people of a chat run: users with their devices, what they have on its way, and the groups
// that they are in. Sees to it that devices return and that every message with an id finds its
// outcome: what has none is sent again, from whatever device of its sender is there. What people do
// besides is Moves' matter.
//
// One thread. Times are Clock's.
#ifndef PARLEY_TESTS_CHECK_CROWD_H_
#define PARLEY_TESTS_CHECK_CROWD_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/check/chat_device.h"

namespace parley::check {

using Random = std::mt19937_64;

// Both ends included.
uint64_t Between(Random* random, uint64_t from, uint64_t to);

struct Account {
  std::string user;
  std::string secret;  // password or token
};

// A message without an outcome.
struct Open {
  Outgoing message;
  const ChatDevice* via = nullptr;  // sent there last,
  uint64_t connection = 0;          // on its connection of this number
  uint64_t times = 0;
  uint64_t refused = 0;
  Clock::time_point due;  // sent again then, whatever became of the connection
};

struct Person {
  std::string id;
  std::string secret;
  std::deque<ChatDevice> devices;
  std::map<std::string, Open> open;
  std::deque<Outgoing> stored;  // the last ones that have an outcome
  std::deque<Shown> seen;       // the last messages that it was shown
  uint64_t sent = 0;
  uint64_t head = 0;  // of its log, as a sync told last
};

struct Room {
  std::string id;
  size_t owner = 0;  // makes it and stays
  bool topic = false;
  bool open = false;
  bool all = false;  // members see what was said before they came
  bool made = false;
  std::set<std::string> members;  // as an answer told last
  std::map<std::string, uint64_t> comings;
  uint64_t head = 0;
};

struct CrowdOptions {
  uint64_t seed = 1;
  size_t devices = 2;  // of each user
  size_t groups = 8;
};

class Crowd : public ChatEvents {
 public:
  Crowd(const CrowdOptions& options, const std::vector<Account>& accounts, const Address& address,
        Recorder* recorder);

  std::deque<Person>& people() { return people_; }
  std::deque<Room>& rooms() { return rooms_; }
  Random* random() { return &random_; }

  // Between turns: returns and sends again what is due.
  void Tick();
  // All that listen; the links of others are added by those who own them.
  void AddLinks(std::vector<Link*>* links) const;
  // Sends a new message of the person's.
  void Send(Person* person, ChatDevice* device, Outgoing message);
  void SendAgain(Open* open, ChatDevice* device);
  // The device comes back after `pause`.
  void Leave(ChatDevice* device, bool cleanly, std::chrono::milliseconds pause);
  // Cuts the connections of about one in `of`.
  void Cut(uint64_t of);
  ChatDevice* ReadyDevice(Person* person);

  // Before anything else: everybody comes, the groups are made, and every device that confirms has
  // its place in the log. True when it is so.
  bool Introduce();
  // Nothing new is sent any more: true when all messages have outcomes and all devices that listen
  // have all of their log, twice in a row.
  void BeginSettle();
  bool Settle();
  uint64_t open_count() const;
  // What Settle still waits for, for people.
  std::string Unsettled();

  void OnShown(ChatDevice* device, const Shown& message) override;
  void OnOutcome(ChatDevice* device, const std::string& id, const std::string& code) override;
  void OnAnswer(ChatDevice* device, const Event& ask, const Event& answer) override;

 private:
  Person& PersonOf(const ChatDevice& device) { return people_[index_.at(device.user())]; }
  void AddPerson(const Account& account, const Address& address, Recorder* recorder);
  void AddRoom(size_t n);
  void Make(Room* room);
  bool SettleRound();
  bool Place(Person* person, ChatDevice* device);
  void SendDue(Person* person);
  bool IsGone(const Person& person, const Open& open) const;
  bool HasAll(const Person& person, const ChatDevice& device) const;

  const CrowdOptions options_;
  Random random_;
  std::deque<Person> people_;
  std::map<std::string, size_t> index_;
  std::deque<Room> rooms_;
  Recorder* const recorder_;
  std::map<const ChatDevice*, Clock::time_point> returns_;
  std::set<const ChatDevice*> placed_;
  Clock::time_point next_round_;
  int settled_ = 0;  // times in a row
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_CROWD_H_
