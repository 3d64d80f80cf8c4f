#include "tests/check/moves.h"

#include <algorithm>

namespace parley::check {

namespace {

using std::chrono::milliseconds;

constexpr size_t kOpenMax = 12;       // messages of a person without an outcome
constexpr uint64_t kComingsMax = 25;  // of one person in one group: older stretches are forgotten

std::string WithId(const Outgoing& message) {
  Json payload{{"id", message.id}, {"type", message.type}};
  if (!message.body.empty()) payload["body"] = Json::parse(message.body);
  if (!message.ref.empty()) {
    const size_t slash = message.ref.find('/');
    payload["ref"] = {{"from", message.ref.substr(0, slash)},
                      {"id", message.ref.substr(slash + 1)}};
  }
  return payload.dump();
}

}  // namespace

struct Moves::Row {
  uint64_t weight;
  void (Moves::*move)(Person*, ChatDevice*);
};

const Moves::Row Moves::kRows[] = {
    {34, &Moves::Say},     {14, &Moves::SayInGroup}, {4, &Moves::Note},
    {6, &Moves::Refer},    {3, &Moves::Repeat},      {1, &Moves::Contradict},
    {13, &Moves::Confirm}, {6, &Moves::Sync},        {6, &Moves::History},
    {2, &Moves::Overview}, {4, &Moves::Subscribe},   {2, &Moves::ChangeGroup},
    {1, &Moves::Snoop},    {4, &Moves::Leave},
};

void Moves::Move() {
  Person& person = Anybody();
  ChatDevice& device = person.devices[Pick(0, person.devices.size() - 1)];
  static constexpr uint64_t kWeights = 100;
  uint64_t at = Pick(1, kWeights);
  const Row* row = kRows;
  while (at > row->weight) at -= (row++)->weight;
  if (device.ready()) (this->*row->move)(&person, &device);
}

Person& Moves::Anybody() { return crowd_->people()[Pick(0, crowd_->people().size() - 1)]; }

Room* Moves::AnyRoom() {
  auto& rooms = crowd_->rooms();
  return rooms.empty() ? nullptr : &rooms[Pick(0, rooms.size() - 1)];
}

// One that the person believes to be in, mostly.
Room* Moves::RoomOf(const Person& person) {
  Room* room = AnyRoom();
  for (int tries = 0; room != nullptr && tries < 10; ++tries) {
    if (room->members.count(person.id) > 0) return room;
    room = AnyRoom();
  }
  return room;
}

// Starts with what no other body has.
std::string Moves::Body(const Person& person) {
  std::string text = person.id + "#" + std::to_string(person.sent) + " ";
  const uint64_t size = OneIn(30) ? Pick(1000, 6000) : Pick(0, 80);
  for (uint64_t n = 0; n < size; ++n) text.push_back(static_cast<char>(Pick(' ', '~')));
  if (OneIn(4)) return Json{{"kind", "note"}, {"text", text}}.dump();
  return Json(text).dump();
}

Outgoing Moves::Compose(Person* person, const std::string& topic) {
  Outgoing message;
  message.topic = topic;
  message.id = "m" + std::to_string(++person->sent);
  message.body = Body(*person);
  message.qos = static_cast<int>(Pick(0, 2));
  return message;
}

void Moves::Say(Person* person, ChatDevice* device) {
  if (person->open.size() >= kOpenMax) return;
  // Mostly to a few, so that conversations come about.
  auto& people = crowd_->people();
  const size_t span = OneIn(3) ? people.size() - 1 : std::min<size_t>(people.size() - 1, 4);
  const auto self = static_cast<size_t>(
      std::find_if(people.begin(), people.end(), [&](const Person& p) { return &p == person; }) -
      people.begin());
  const Person& peer = people[(self + Pick(0, span)) % people.size()];
  Outgoing message = Compose(person, "chat/" + peer.id);
  if (!person->seen.empty() && OneIn(4)) {
    const Shown& replied = person->seen[Pick(0, person->seen.size() - 1)];
    if (replied.group.empty() && (replied.from == peer.id || replied.to == peer.id)) {
      message.ref = replied.from + "/" + replied.id;
    }
  }
  message.payload = WithId(message);
  crowd_->Send(person, device, message);
}

void Moves::SayInGroup(Person* person, ChatDevice* device) {
  Room* room = OneIn(20) ? AnyRoom() : RoomOf(*person);
  if (room == nullptr || person->open.size() >= kOpenMax) return;
  Outgoing message = Compose(person, "group/" + room->id);
  message.payload = WithId(message);
  crowd_->Send(person, device, message);
}

// A text without an id: it is sent once, and may be lost with its connection.
void Moves::Note(Person* person, ChatDevice* device) {
  Room* room = OneIn(3) ? RoomOf(*person) : nullptr;
  Outgoing message =
      Compose(person, room == nullptr ? "chat/" + Anybody().id : "group/" + room->id);
  message.id.clear();
  message.payload = person->id + " says " + std::to_string(person->sent);
  message.body = Json(message.payload).dump();
  crowd_->Send(person, device, message);
}

// An edit, a retraction, a reaction.
void Moves::Refer(Person* person, ChatDevice* device) {
  if (person->seen.empty() || person->open.size() >= kOpenMax) return;
  const Shown to = person->seen[Pick(0, person->seen.size() - 1)];
  const bool mine = to.from == person->id;
  const std::string peer = mine ? to.to : to.from;
  Outgoing message = Compose(person, to.group.empty() ? "chat/" + peer : "group/" + to.group);
  message.ref = to.from + "/" + to.id;
  message.type = mine ? (OneIn(3) ? "retract" : "edit") : "reaction";
  if (message.type == "retract") message.body.clear();
  message.payload = WithId(message);
  crowd_->Send(person, device, message);
}

// What is stored already is sent again: nothing may come of it.
void Moves::Repeat(Person* person, ChatDevice* device) {
  if (person->stored.empty()) return;
  const Outgoing& message = person->stored[Pick(0, person->stored.size() - 1)];
  if (person->open.count(message.id) == 0) crowd_->Send(person, device, message);
}

// Another message under an id that is taken.
void Moves::Contradict(Person* person, ChatDevice* device) {
  if (person->stored.empty()) return;
  Outgoing message = person->stored[Pick(0, person->stored.size() - 1)];
  if (message.type != "message" || person->open.count(message.id) > 0) return;
  message.body = Json("another " + message.id).dump();
  message.payload = WithId(message);
  device->Send(message);
}

void Moves::Confirm(Person* person, ChatDevice* device) {
  if (device->profile().acks) return device->Confirm(OneIn(3));
  Room* room = RoomOf(*person);
  const bool subscribed = room != nullptr && room->topic && room->members.count(person->id) > 0;
  if (!subscribed) return;
  for (auto seen = person->seen.rbegin(); seen != person->seen.rend(); ++seen) {
    if (seen->group == room->id) return device->ConfirmGroup(room->id, seen->gseq);
  }
}

void Moves::Sync(Person* person, ChatDevice* device) {
  Room* room = OneIn(4) ? RoomOf(*person) : nullptr;
  const uint64_t head = room == nullptr ? std::max(person->head, device->through()) : room->head;
  Json members{{"after", OneIn(2) ? head - std::min<uint64_t>(head, 10) : Pick(0, head)},
               {"limit", Pick(1, 50)}};
  if (room != nullptr) members["group"] = room->id;
  device->Ask("sync", members);
}

void Moves::History(Person* person, ChatDevice* device) {
  Room* room = OneIn(3) ? RoomOf(*person) : nullptr;
  Json members{{"limit", Pick(1, 40)}};
  if (room != nullptr) {
    members["group"] = room->id;
  } else if (!person->seen.empty() && OneIn(2)) {
    const Shown& message = person->seen[Pick(0, person->seen.size() - 1)];
    members["with"] =
        message.group.empty() && message.from == person->id ? message.to : message.from;
  } else {
    members["with"] = Anybody().id;
  }
  const uint64_t head = room == nullptr ? std::max(person->head, device->through()) : room->head;
  if (OneIn(3)) members["before"] = Pick(1, head + 1);
  if (!members.contains("before") && OneIn(3)) members["after"] = Pick(0, head);
  device->Ask("history", members);
}

void Moves::Overview(Person* /*person*/, ChatDevice* device) {
  device->Ask(OneIn(2) ? "recent" : "conversations");
}

void Moves::Subscribe(Person* person, ChatDevice* device) {
  Room* room = RoomOf(*person);
  const bool may = room != nullptr && room->topic && room->members.count(person->id) > 0;
  if (may && device->profile().listens) device->Subscribe("group/" + room->id);
}

void Moves::ChangeGroup(Person* person, ChatDevice* device) {
  Room* room = AnyRoom();
  if (room == nullptr) return;
  if (&crowd_->people()[room->owner] == person) return Manage(room, device);
  const bool in = room->members.count(person->id) > 0;
  if (in && OneIn(2)) {
    device->Ask("groups.leave", {{"group", room->id}});
  } else if (!in && room->open && room->comings[person->id] < kComingsMax) {
    device->Ask("groups.join", {{"group", room->id}});
  } else {
    Person& owner = crowd_->people()[room->owner];
    if (ChatDevice* other = crowd_->ReadyDevice(&owner)) Manage(room, other);
  }
}

// The owner's doing.
void Moves::Manage(Room* room, ChatDevice* device) {
  const std::string& user = Anybody().id;
  if (user == device->user()) {
    Json change{{"group", room->id}};
    if (OneIn(4)) {
      room->topic = !room->topic;
      change["delivery"] = room->topic ? "topic" : "inbox";
    } else {
      change["title"] = room->id + std::to_string(Pick(1, 9));
    }
    device->Ask("groups.set", change);
  } else if (room->members.count(user) > 0) {
    device->Ask("groups.remove", {{"group", room->id}, {"user", user}});
  } else if (room->comings[user] < kComingsMax) {
    device->Ask("groups.add", {{"group", room->id}, {"user", user}});
  }
}

// What belongs to others.
void Moves::Snoop(Person* person, ChatDevice* device) {
  const Person& other = Anybody();
  Room* room = AnyRoom();
  if (other.id == person->id || room == nullptr) return;
  switch (Pick(0, 4)) {
    case 0:
      return device->Subscribe("chat/" + other.id);
    case 1:
      return device->Subscribe("chat/#");
    case 2:
      return device->Subscribe("group/" + room->id);
    case 3:
      device->Ask("sync", {{"group", room->id}, {"after", 0}, {"limit", 20}});
      return;
    default:
      device->Ask("history", {{"group", room->id}, {"limit", 20}});
  }
}

void Moves::Leave(Person* /*person*/, ChatDevice* device) {
  crowd_->Leave(device, OneIn(2), milliseconds(Pick(0, 2000)));
}

}  // namespace parley::check
