#include "tests/check/crowd.h"

#include <algorithm>

namespace parley::check {

namespace {

using std::chrono::milliseconds;

constexpr size_t kConnectingMax = 50;
constexpr milliseconds kPatience{15000};  // for an outcome, on a connection that stands
constexpr milliseconds kRound{300};       // between two rounds of asking in Introduce and Settle
constexpr milliseconds kRefusedPause{500};
constexpr size_t kRemembered = 20;

bool IsTransient(const std::string& code) {
  return code == "unavailable" || code == "busy" || code == "quota";
}

}  // namespace

uint64_t Between(Random* random, uint64_t from, uint64_t to) {
  return std::uniform_int_distribution<uint64_t>(from, to)(*random);
}

Crowd::Crowd(const CrowdOptions& options, const std::vector<Account>& accounts,
             const Address& address, Recorder* recorder)
    : options_(options), random_(options.seed), recorder_(recorder) {
  for (const Account& account : accounts) AddPerson(account, address, recorder);
  for (size_t n = 0; n < options.groups; ++n) AddRoom(n);
}

// Of the devices the first listens and confirms, the second listens; the others are of any kind.
void Crowd::AddPerson(const Account& account, const Address& address, Recorder* recorder) {
  index_[account.user] = people_.size();
  Person& person = people_.emplace_back();
  person.id = account.user;
  person.secret = account.secret;
  for (size_t n = 0; n < options_.devices; ++n) {
    DeviceProfile profile;
    profile.name = "d" + std::to_string(n + 1);
    profile.v5 = Between(&random_, 0, 1) == 1;
    profile.qos = static_cast<int>(Between(&random_, 0, 2));
    profile.clean = profile.v5 || Between(&random_, 0, 2) > 0;
    profile.acks = n == 0 || (n > 1 && Between(&random_, 0, 1) == 1);
    profile.listens = profile.acks || n == 1 || Between(&random_, 0, 1) == 1;
    person.devices.emplace_back(account.user, account.secret, profile, address, recorder, this);
  }
}

void Crowd::AddRoom(size_t n) {
  Room& room = rooms_.emplace_back();
  room.owner = Between(&random_, 0, people_.size() - 1);
  // Of this run: its owner's id is.
  room.id = people_[room.owner].id + "-g" + std::to_string(n + 1);
  room.topic = n % 2 == 1;
  room.open = n % 3 == 0;
  room.all = n % 4 == 3;
  const uint64_t size = Between(&random_, 2, 8);
  for (uint64_t k = 0; k < size; ++k) {
    room.members.insert(people_[Between(&random_, 0, people_.size() - 1)].id);
  }
}

void Crowd::Tick() {
  const Clock::time_point now = Clock::now();
  size_t connecting = 0;
  for (Person& person : people_) {
    for (ChatDevice& device : person.devices) {
      device.Sweep();
      connecting += !device.away() && !device.ready();
    }
  }
  for (Person& person : people_) {
    for (ChatDevice& device : person.devices) {
      if (!device.away() || connecting >= kConnectingMax) continue;
      const auto pause = returns_.find(&device);
      if (pause != returns_.end() && now < pause->second) continue;
      // Should it be refused, it tries again a little later.
      returns_[&device] = now + milliseconds(Between(&random_, 20, 300));
      device.Return();
      ++connecting;
    }
    SendDue(&person);
  }
}

void Crowd::AddLinks(std::vector<Link*>* links) const {
  for (const Person& person : people_) {
    for (const ChatDevice& device : person.devices) {
      if (!device.away()) links->push_back(device.link());
    }
  }
}

ChatDevice* Crowd::ReadyDevice(Person* person) {
  std::vector<ChatDevice*> ready;
  for (ChatDevice& device : person->devices) {
    if (device.ready()) ready.push_back(&device);
  }
  return ready.empty() ? nullptr : ready[Between(&random_, 0, ready.size() - 1)];
}

void Crowd::Send(Person* person, ChatDevice* device, Outgoing message) {
  if (message.id.empty()) return device->Send(message);
  Open& open = person->open[message.id];
  open.message = std::move(message);
  SendAgain(&open, device);
}

void Crowd::SendAgain(Open* open, ChatDevice* device) {
  open->via = device;
  open->connection = device->connection();
  ++open->times;
  open->due = Clock::now() + kPatience;
  device->Send(open->message);
}

bool Crowd::IsGone(const Person& person, const Open& open) const {
  return std::none_of(person.devices.begin(), person.devices.end(), [&](const ChatDevice& device) {
    return &device == open.via && device.ready() && device.connection() == open.connection;
  });
}

void Crowd::SendDue(Person* person) {
  for (auto& [id, open] : person->open) {
    const bool refused = open.via == nullptr;
    if (Clock::now() < open.due && (refused || !IsGone(*person, open))) continue;
    if (ChatDevice* device = ReadyDevice(person)) SendAgain(&open, device);
  }
}

void Crowd::Leave(ChatDevice* device, bool cleanly, milliseconds pause) {
  returns_[device] = Clock::now() + pause;
  device->Leave(cleanly);
}

void Crowd::Cut(uint64_t of) {
  for (Person& person : people_) {
    for (ChatDevice& device : person.devices) {
      if (!device.away() && Between(&random_, 1, of) == 1) Leave(&device, false, milliseconds(0));
    }
  }
}

bool Crowd::Introduce() {
  if (Clock::now() < next_round_) return false;
  next_round_ = Clock::now() + kRound;
  bool done = true;
  for (Person& person : people_) {
    for (ChatDevice& device : person.devices) done &= Place(&person, &device);
  }
  for (Room& room : rooms_) {
    if (!room.made) Make(&room);
    done &= room.made;
  }
  return done && open_count() == 0;
}

// A device that confirms: it hears of a message, confirms it, and asks whether that is known.
bool Crowd::Place(Person* person, ChatDevice* device) {
  if (!device->ready()) return false;
  if (!device->profile().acks || placed_.count(device) > 0) return true;
  if (device->through() == 0) {
    if (person->open.empty()) {
      Outgoing hello;
      hello.topic = "chat/" + person->id;
      hello.id = device->profile().name + "-hello" + std::to_string(++person->sent);
      hello.body = Json(hello.id + " of " + device->client_id()).dump();
      hello.payload = "{\"id\":\"" + hello.id + "\",\"body\":" + hello.body + "}";
      Send(person, device, hello);
    }
  } else if (!device->asking()) {
    device->Confirm(false);
    device->Ask("devices.list");
  }
  return false;
}

void Crowd::Make(Room* room) {
  ChatDevice* device = ReadyDevice(&people_[room->owner]);
  if (device == nullptr || device->asking()) return;
  device->Ask("groups.create", {{"group", room->id},
                                {"title", room->id},
                                {"members", room->members},
                                {"delivery", room->topic ? "topic" : "inbox"},
                                {"open", room->open},
                                {"history", room->all ? "all" : "joined"}});
}

uint64_t Crowd::open_count() const {
  uint64_t count = 0;
  for (const Person& person : people_) count += person.open.size();
  return count;
}

void Crowd::BeginSettle() {
  settled_ = 0;
  for (Person& person : people_) person.head = 0;
}

bool Crowd::Settle() {
  if (Clock::now() < next_round_) return false;
  next_round_ = Clock::now() + kRound;
  if (!SettleRound()) return false;
  // What had no id may come after the head was told.
  for (Person& person : people_) person.head = 0;
  return ++settled_ == 2;
}

bool Crowd::SettleRound() {
  const bool sent = open_count() == 0;
  bool done = sent;
  for (Person& person : people_) {
    for (ChatDevice& device : person.devices) {
      done &= device.ready() && !device.asking() && HasAll(person, device);
      if (device.ready() && device.profile().acks) device.Confirm(false);
    }
    ChatDevice* device = ReadyDevice(&person);
    if (sent && person.head == 0 && device != nullptr && !device->asking()) {
      device->Ask("sync", {{"after", 0}, {"limit", 1}});
    }
  }
  return done;
}

bool Crowd::HasAll(const Person& person, const ChatDevice& device) const {
  if (person.head == 0) return false;
  if (!device.profile().listens) return true;
  return device.through() >= person.head || (!device.profile().acks && device.through() == 0);
}

std::string Crowd::Unsettled() {
  if (open_count() > 0) return std::to_string(open_count()) + " messages have no outcome";
  for (Person& person : people_) {
    for (ChatDevice& device : person.devices) {
      if (!device.ready()) return device.client_id() + " can't connect";
      if (device.asking()) return device.client_id() + " gets no answer";
      if (HasAll(person, device)) continue;
      return device.client_id() + " has its log through " + std::to_string(device.through()) +
             " of " + std::to_string(person.head);
    }
  }
  return "nothing";
}

void Crowd::OnShown(ChatDevice* device, const Shown& message) {
  Person& person = PersonOf(*device);
  if (message.type != "message") return;
  person.seen.push_back(message);
  if (person.seen.size() > kRemembered) person.seen.pop_front();
}

void Crowd::OnOutcome(ChatDevice* device, const std::string& id, const std::string& code) {
  Person& person = PersonOf(*device);
  const auto found = person.open.find(id);
  if (found == person.open.end()) return;
  Open& open = found->second;
  if (!code.empty()) {
    ++open.refused;
    // Whether it gives up is its own choice, where nothing else can come.
    const bool gives_up = open.refused >= open.times && Between(&random_, 0, 2) == 0;
    if (IsTransient(code) && !gives_up) {
      open.via = nullptr;
      open.due = Clock::now() + kRefusedPause;
      return;
    }
  } else {
    person.stored.push_back(open.message);
    if (person.stored.size() > kRemembered) person.stored.pop_front();
  }
  person.open.erase(found);
}

void Crowd::OnAnswer(ChatDevice* device, const Event& ask, const Event& answer) {
  if (!answer.code.empty()) return;
  if (ask.method == "devices.list" && answer.delivered > 0) placed_.insert(device);
  if (ask.method == "sync" && ask.group.empty()) {
    PersonOf(*device).head = answer.head.value_or(0);
  }
  for (Room& room : rooms_) {
    if (room.id != ask.group) continue;
    if (answer.head) room.head = *answer.head;
    if (ask.method == "groups.create") room.made = true;
    if (!answer.members) continue;
    for (const std::string& user : *answer.members) {
      if (room.members.count(user) == 0) ++room.comings[user];
    }
    room.members = {answer.members->begin(), answer.members->end()};
  }
}

}  // namespace parley::check
