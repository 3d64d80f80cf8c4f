// What people do at random: write, answer, edit, react, repeat themselves, confirm, ask, come and
// go, change groups, and try what they may not. One seed, one sequence of choices; who is connected
// when is another matter.
#ifndef PARLEY_TESTS_CHECK_MOVES_H_
#define PARLEY_TESTS_CHECK_MOVES_H_

#include <string>

#include "tests/check/crowd.h"

namespace parley::check {

class Moves {
 public:
  explicit Moves(Crowd* crowd) : crowd_(crowd), random_(crowd->random()) {}

  // Somebody does something; nothing, where the one chosen isn't connected.
  void Move();

 private:
  struct Row;
  static const Row kRows[];

  uint64_t Pick(uint64_t from, uint64_t to) { return Between(random_, from, to); }
  bool OneIn(uint64_t n) { return Pick(1, n) == 1; }
  Person& Anybody();
  Room* AnyRoom();
  Room* RoomOf(const Person& person);
  std::string Topic(const Person& person);
  std::string Body(const Person& person);
  Outgoing Compose(Person* person, const std::string& topic);
  void Encode(Outgoing* message);

  void Say(Person* person, ChatDevice* device);
  void SayInGroup(Person* person, ChatDevice* device);
  void Note(Person* person, ChatDevice* device);
  void Refer(Person* person, ChatDevice* device);
  void Repeat(Person* person, ChatDevice* device);
  void Contradict(Person* person, ChatDevice* device);
  void Confirm(Person* person, ChatDevice* device);
  void Sync(Person* person, ChatDevice* device);
  void History(Person* person, ChatDevice* device);
  void Overview(Person* person, ChatDevice* device);
  void Subscribe(Person* person, ChatDevice* device);
  void ChangeGroup(Person* person, ChatDevice* device);
  void Manage(Room* room, ChatDevice* device);
  void Snoop(Person* person, ChatDevice* device);
  void Leave(Person* person, ChatDevice* device);

  Crowd* const crowd_;
  Random* const random_;
};

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_MOVES_H_
