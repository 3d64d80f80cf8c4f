// Real conversations, sent through stock paho clients, come back complete and in order.
//
// PARLEY_REPLAY_LOGS names a directory of IRC logs (*.raw.txt, see replay_log.h); without it
// replay_sample.raw.txt is replayed. One broker takes the logs one after the other. Everybody who
// speaks in a log has a phone; the busiest also have a laptop behind a relay, which is cut and
// returns throughout. All devices acknowledge with receipts. Every other message is sent as plain
// text, the others as objects; every other user's devices speak MQTT 5.
#include <algorithm>
#include <atomic>
#include <deque>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "storage/credentials.h"
#include "storage/env.h"
#include "tests/catch.h"
#include "tests/e2e/device.h"
#include "tests/e2e/paho_device.h"
#include "tests/e2e/replay_log.h"
#include "tests/e2e/replay_pages.h"
#include "tests/e2e/replay_relay.h"

namespace parley::e2e {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBusiest = 10;       // of each log, who get a laptop
constexpr size_t kAckEvery = 3;       // messages
constexpr size_t kLookEveryMax = 60;  // lines after which arrivals are looked at
constexpr size_t kAtOnceMax = 120;    // users connected for the comparison

// What a device has seen, over all its connections: everything from the number after `since` on.
class Seen {
 public:
  explicit Seen(uint64_t since = 0) : since_(since), through_(since) {}
  // False where another message stands under its number already.
  bool Add(const std::string& message) {
    const uint64_t seq = Json::parse(message)["seq"].get<uint64_t>();
    const bool same = by_seq_.emplace(seq, message).first->second == message;
    while (by_seq_.count(through_ + 1) > 0) ++through_;
    return same;
  }
  uint64_t since() const { return since_; }
  uint64_t through() const { return through_; }  // it has everything to this
  std::vector<std::string> Messages() const {
    std::vector<std::string> messages;
    for (const auto& [seq, message] : by_seq_) messages.push_back(message);
    return messages;
  }

 private:
  std::map<uint64_t, std::string> by_seq_;
  uint64_t since_;
  uint64_t through_;
};

struct Person {
  std::string id;
  std::string token;
  int version = 4;
  uint64_t head = 0;  // of all that was sent to and by the user
  Seen phone;
  std::optional<Seen> laptop;
  std::map<std::string, std::vector<std::string>> sent;  // receiver → texts
};

using People = std::map<std::string, Person>;  // by user id

// A connected device that keeps what arrives and acknowledges it.
class Listener {
 public:
  Listener(PahoDevice device, Person* person, Seen* seen)
      : device_(std::move(device)), person_(person), seen_(seen) {}

  void StartLogin() { device_.StartLogin(); }
  void AwaitLogin() {
    device_.AwaitLogin();
    device_.StartSubscribe(device_.inbox());
  }
  void AwaitListening() { device_.AwaitSubscribed(); }

  // After a lost connection, with a new client of the library's, as an application that was started
  // again has: paho 1.3.12 can't connect while it winds up what it lost, and may even take the new
  // socket for the lost one, whence the tries.
  void Return() {
    Look();
    const Clock::time_point deadline = Clock::now() + kDeadline;
    for (;;) {
      device_ = PahoDevice(device_.options());
      try {
        StartLogin();
        AwaitLogin();
        AwaitListening();
        return;
      } catch (const MqttError&) {
        if (Clock::now() > deadline) throw;
      }
    }
  }

  PahoDevice& device() { return device_; }
  Person& person() { return *person_; }
  Seen& seen() { return *seen_; }

  // Takes what has arrived.
  void Look() {
    for (const MqttMessage& message : device_.Take(device_.inbox())) {
      if (!seen_->Add(message.payload)) {
        throw MqttError(device_.options().client_id + " got another message under the number of " +
                        message.payload);
      }
      ++looked_at_;
    }
    if (seen_->through() >= acknowledged_ + kAckEvery) Acknowledge();
  }
  void Acknowledge() {
    if (seen_->through() == acknowledged_) return;
    acknowledged_ = seen_->through();
    device_.Publish("receipt/" + person_->id,
                    R"({"delivered":)" + std::to_string(acknowledged_) + "}");
  }
  uint64_t acknowledged() const { return acknowledged_; }
  size_t looked_at() const { return looked_at_; }

  void AwaitThrough(uint64_t head) {
    const Clock::time_point deadline = Clock::now() + kDeadline;
    Look();
    while (seen_->through() < head) {
      if (Clock::now() > deadline) {
        throw MqttError(device_.options().client_id + " has everything through " +
                        std::to_string(seen_->through()) + " of " + std::to_string(head));
      }
      if (!device_.AwaitArrival(std::chrono::milliseconds(100))) {
        throw MqttError(device_.options().client_id + " lost its connection");
      }
      Look();
    }
  }

 private:
  PahoDevice device_;
  Person* person_;
  Seen* seen_;
  uint64_t acknowledged_ = 0;
  size_t looked_at_ = 0;
};

// A laptop: its connection is cut after some messages, and it returns at once, on a thread of its
// own.
class Laptop {
 public:
  Laptop(const Broker& broker, Person* person, unsigned seed)
      : relay_(broker.port()),
        listener_(PahoDevice({relay_.port(), person->id, person->token, person->id + ":laptop",
                              person->version}),
                  person, &*person->laptop),
        random_(seed) {}
  ~Laptop() { Settle(); }

  // The caller's until Run.
  Listener& listener() { return listener_; }
  void Run() {
    thread_ = std::thread([this] {
      try {
        DropAndReturn();
      } catch (const std::exception& error) {
        failure_ = error.what();
      }
    });
  }
  // Ends the dropping: the laptop is connected and the caller's again.
  void Settle() {
    settle_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int drops() const { return drops_; }
  const std::string& failure() const { return failure_; }

 private:
  void DropAndReturn() {
    while (!settle_) {
      if (!ListenForAWhile()) continue;
      // The first acknowledgement must not get lost, or it would return live, with a gap.
      if (drops_ == 0) listener_.device().Flush();
      relay_.Cut();
      listener_.device().AwaitLost();
      ++drops_;
      listener_.Return();
    }
  }

  // True where it is to be cut now.
  bool ListenForAWhile() {
    const size_t until =
        listener_.looked_at() + std::uniform_int_distribution<size_t>(1, 30)(random_);
    while (listener_.looked_at() < until || listener_.acknowledged() == 0) {
      if (settle_) return false;
      if (!listener_.device().AwaitArrival(std::chrono::milliseconds(10))) {
        listener_.Return();  // lost, see there
        return false;
      }
      listener_.Look();
    }
    return true;
  }

  Relay relay_;
  Listener listener_;
  std::mt19937 random_;
  std::atomic<bool> settle_{false};
  int drops_ = 0;
  std::string failure_;
  std::thread thread_;
};

// One log with its people's devices.
class Session {
 public:
  Session(const Broker& broker, const std::vector<ReplayLine>& lines, People* people, NickIds* ids)
      : people_(people), ids_(ids), lines_(lines) {
    std::map<std::string, size_t> activity;
    for (const ReplayLine& line : lines_) {
      ++activity[ids_->IdOf(line.from)];
      ++activity[ids_->IdOf(line.to)];
    }
    std::vector<std::pair<size_t, std::string>> busiest;
    for (const auto& [id, count] : activity) {
      busiest.emplace_back(count, id);
      Person& person = people_->at(id);
      phones_.emplace(id, Listener(PahoDevice({broker.port(), person.id, person.token,
                                               person.id + ":phone", person.version}),
                                   &person, &person.phone));
    }
    std::sort(busiest.rbegin(), busiest.rend());
    busiest.resize(std::min(busiest.size(), kBusiest));
    for (const auto& [count, id] : busiest) AddLaptop(broker, &people_->at(id));
  }

  void Connect() {
    std::vector<Listener*> all;
    for (auto& [id, phone] : phones_) all.push_back(&phone);
    for (Laptop& laptop : laptops_) all.push_back(&laptop.listener());
    for (Listener* listener : all) listener->StartLogin();
    for (Listener* listener : all) listener->AwaitLogin();
    for (Listener* listener : all) listener->AwaitListening();
    for (Laptop& laptop : laptops_) laptop.Run();
  }

  void Replay() {
    const size_t look_every = std::clamp<size_t>(lines_.size() / 20, 1, kLookEveryMax);
    size_t n = 0;
    for (const ReplayLine& line : lines_) {
      Say(line, ++n);
      if (n % look_every != 0) continue;
      // Not faster than the messages get through, so that devices come and go between them.
      Person& speaker = people_->at(ids_->IdOf(line.from));
      phones_.at(speaker.id).AwaitThrough(speaker.head);
      for (auto& [id, phone] : phones_) phone.Look();
    }
  }

  // Everybody has everything.
  void Finish() {
    for (Laptop& laptop : laptops_) {
      laptop.Settle();
      REQUIRE(laptop.failure() == "");
    }
    for (auto& [id, phone] : phones_) Finish(phone);
    for (Laptop& laptop : laptops_) Finish(laptop.listener());
  }

  int drops() const {
    int sum = 0;
    for (const Laptop& laptop : laptops_) sum += laptop.drops();
    return sum;
  }

 private:
  void AddLaptop(const Broker& broker, Person* person) {
    if (!person->laptop) person->laptop.emplace(person->head);
    laptops_.emplace_back(broker, person, 20041115 + static_cast<unsigned>(laptops_.size()));
  }

  void Say(const ReplayLine& line, size_t number) {
    Person& from = people_->at(ids_->IdOf(line.from));
    Person& to = people_->at(ids_->IdOf(line.to));
    const bool as_object = number % 2 == 0 || line.text.rfind('{', 0) == 0;
    const std::string id = "line-" + std::to_string(++sent_);
    phones_.at(from.id).device().Publish(
        "chat/" + to.id, as_object ? Json{{"id", id}, {"body", line.text}}.dump() : line.text);
    from.sent[to.id].push_back(line.text);
    ++from.head;
    if (&from != &to) ++to.head;
  }

  static void Finish(Listener& listener) {
    listener.AwaitThrough(listener.person().head);
    listener.Acknowledge();
    listener.device().Flush();
    listener.device().Disconnect();
  }

  People* people_;
  NickIds* ids_;
  const std::vector<ReplayLine>& lines_;
  std::map<std::string, Listener> phones_;
  std::deque<Laptop> laptops_;
  static inline uint64_t sent_ = 0;
};

// One person's log as asked for, compared with what the devices saw and with what was sent.
class Comparison {
 public:
  Comparison(const Broker& broker, People* people, Person* person)
      : people_(*people),
        person_(*person),
        device_(
            {broker.port(), person->id, person->token, person->id + ":reader", person->version}) {}

  void StartLogin() { device_.StartLogin(); }
  void Ask() {
    device_.AwaitLogin();
    pages_.emplace(&device_, "sync", "", "after", 700, "seq");
  }

  void CompareSync() {
    INFO("user " << person_.id);
    sync_ = pages_->All();
    for (size_t n = 0; n < sync_.size(); ++n) {
      REQUIRE(sync_[n].rfind("{\"seq\":" + std::to_string(n + 1) + ",", 0) == 0);
    }
    REQUIRE(sync_.size() == person_.head);
    REQUIRE(person_.phone.Messages() == sync_);
    if (person_.laptop) {
      const auto at = [&](uint64_t seq) { return sync_.begin() + static_cast<ptrdiff_t>(seq); };
      REQUIRE(person_.laptop->Messages() ==
              std::vector<std::string>(at(person_.laptop->since()), at(person_.laptop->through())));
    }
    SplitByPeer();
    CompareWithSent();
    AskHistories();
  }

  void CompareHistories() {
    for (auto& [peer, pages] : histories_) {
      INFO("user " << person_.id << " with " << peer);
      REQUIRE(pages.All() == by_peer_[peer]);
    }
    device_.Disconnect();
  }

 private:
  void SplitByPeer() {
    for (const std::string& message : sync_) {
      const Json parsed = Json::parse(message);
      const auto from = parsed["from"].get<std::string>();
      const auto to = parsed["to"].get<std::string>();
      REQUIRE((from == person_.id || to == person_.id));
      by_peer_[from == person_.id ? to : from].push_back(message);
      texts_[{from, to}].push_back(parsed["body"].get<std::string>());
    }
  }

  // Each conversation holds what both sent, each in the order of its sender.
  void CompareWithSent() {
    for (const auto& [peer, messages] : by_peer_) {
      INFO("user " << person_.id << " with " << peer);
      REQUIRE(texts_[{person_.id, peer}] == SentBy(person_, peer));
      REQUIRE(texts_[{peer, person_.id}] == SentBy(people_.at(peer), person_.id));
    }
    for (const auto& [peer, texts] : person_.sent) REQUIRE(by_peer_.count(peer) == 1);
  }

  static std::vector<std::string> SentBy(const Person& from, const std::string& to) {
    const auto found = from.sent.find(to);
    return found == from.sent.end() ? std::vector<std::string>{} : found->second;
  }

  void AskHistories() {
    for (const auto& [peer, messages] : by_peer_) {
      const char* direction = histories_.size() % 2 == 0 ? "after" : "before";
      histories_.emplace_back(
          peer, Pages(&device_, "history", "\"with\":\"" + peer + "\",", direction, 50, "seq"));
    }
  }

  const People& people_;
  Person& person_;
  PahoDevice device_;
  std::optional<Pages> pages_;
  std::vector<std::string> sync_;
  std::map<std::string, std::vector<std::string>> by_peer_;
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> texts_;
  std::deque<std::pair<std::string, Pages>> histories_;
};

void Compare(const Broker& broker, People* people) {
  std::deque<Comparison> group;
  const auto finish = [&] {
    for (Comparison& comparison : group) comparison.StartLogin();
    for (Comparison& comparison : group) comparison.Ask();
    for (Comparison& comparison : group) comparison.CompareSync();
    for (Comparison& comparison : group) comparison.CompareHistories();
    group.clear();
  };
  for (auto& [id, person] : *people) {
    group.emplace_back(broker, people, &person);
    if (group.size() == kAtOnceMax) finish();
  }
  finish();
}

std::vector<std::vector<ReplayLine>> Logs() {
  std::vector<fs::path> files = ReplayLogFiles();
  if (files.empty()) files.push_back(PARLEY_REPLAY_SAMPLE);
  std::vector<std::vector<ReplayLine>> logs;
  for (const fs::path& file : files) logs.push_back(ReadReplayLog(file));
  return logs;
}

// As `parleyctl token issue` does, which takes a process for each.
void IssueTokens(const Broker& broker, People* people) {
  const auto credentials =
      Credentials::Load(broker.data_dir().string(), kPasswordMemoryKibDefault, Env::Posix());
  REQUIRE(credentials);
  for (auto& [id, person] : *people) person.token = credentials->IssueToken(id, 86400);
}

People MakePeople(Broker* broker, const std::vector<std::vector<ReplayLine>>& logs, NickIds* ids) {
  People people;
  std::vector<std::string> import;
  for (const auto& lines : logs) {
    for (const ReplayLine& line : lines) {
      for (const std::string& nick : {line.from, line.to}) {
        const std::string& id = ids->IdOf(nick);
        Person& person = people[id];
        if (!person.id.empty()) continue;
        person.id = id;
        person.version = people.size() % 2 == 0 ? 4 : 5;
        import.push_back(id + ",");
      }
    }
  }
  broker->ImportUsers(import);
  IssueTokens(*broker, &people);
  return people;
}

TEST_CASE("a log's lines are messages from one person to another") {
  const std::vector<ReplayLine> lines = ParseReplayLog(
      "[10:00] <Ann> hello?\n"
      "=== Ben [ben@example.org] has joined #room\n"
      "[10:01] <Ben> hi\n"
      "[10:01] <Ben> Ann: how are you?\n"
      "[10:01] <Ben> ann, tell\n"
      "[10:02]  * Ann yawns\n"
      "[10:03] <c|o> Nobody: ...  two spaces \n"
      "[10:03] <c|o>\n"
      "[10:04] <Ann> c|o:off");
  const std::vector<std::vector<std::string>> expected = {
      {"Ann", "Ann", "hello?"},
      {"Ben", "Ann", "hi"},
      {"Ben", "Ann", "Ann: how are you?"},
      {"Ben", "Ann", "ann, tell"},
      {"Ann", "Ben", "* Ann yawns"},
      {"c|o", "Ann", "Nobody: ...  two spaces "},
      {"c|o", "Ann", ""},
      {"Ann", "c|o", "c|o:off"}};
  REQUIRE(lines.size() == expected.size());
  for (size_t n = 0; n < lines.size(); ++n) {
    CHECK(std::vector<std::string>{lines[n].from, lines[n].to, lines[n].text} == expected[n]);
  }
}

TEST_CASE("every nick has a user id of its own") {
  NickIds ids;
  CHECK(ids.IdOf("Ann") == "ann");
  CHECK(ids.IdOf("ann") == "ann-2");
  CHECK(ids.IdOf("a[n]") == "a-n-");
  CHECK(ids.IdOf("a{n}") == "a-n--2");
  CHECK(ids.IdOf("|ann|") == "x-ann-");
  CHECK(ids.IdOf("_ann") == "x_ann");
  CHECK(ids.IdOf(std::string(80, 'a')).size() <= 64);
  CHECK(ids.IdOf("Ann") == "ann");
}

TEST_CASE("conversations come back complete and in order on every device and when asked for") {
  const auto logs = Logs();
  Broker broker;
  NickIds ids;
  People people = MakePeople(&broker, logs, &ids);
  broker.Start();
  size_t messages = 0;
  int drops = 0;
  for (const auto& lines : logs) {
    Session session(broker, lines, &people, &ids);
    session.Connect();
    session.Replay();
    session.Finish();
    messages += lines.size();
    drops += session.drops();
  }
  Compare(broker, &people);
  std::cout << "replayed " << messages << " messages of " << people.size() << " people, " << drops
            << " drops\n";
  CHECK(drops >= 10 * static_cast<int>(logs.size()));
}

}  // namespace
}  // namespace parley::e2e
