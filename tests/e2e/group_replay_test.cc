// A room's log, replayed as the group that it was: people talk, come, go, return and change their
// names, on stock paho clients. Afterwards everybody has exactly what was said while it was in,
// whichever device or request shows it.
//
//   PARLEY_REPLAY_LOGS   a folder of IRC logs (*.raw.txt, see replay_log.h) to replay one after the
//                        other; without it group_sample.raw.txt is, once with each delivery
//   PARLEY_CRASH_SEED    of when the broker is killed; printed (random)
//
// Each log is a group of its own, by turns of delivery `inbox` and `topic`. Who is seen to join
// does so itself or is added, by turns. Everybody has a phone, every other user's devices speak
// MQTT 5; some are offline while they say nothing. The busiest have a laptop besides, whose
// connection is cut throughout. One thing happens after the other, so that the group's order is the
// log's.
#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "storage/credentials.h"
#include "storage/env.h"
#include "tests/catch.h"
#include "tests/e2e/device.h"
#include "tests/e2e/group_member.h"
#include "tests/e2e/paho_device.h"
#include "tests/e2e/paho_pace.h"
#include "tests/e2e/replay_log.h"
#include "tests/e2e/replay_pages.h"

namespace parley::e2e {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

constexpr size_t kBusiest = 6;           // who get a laptop
constexpr size_t kUnsettledMax = 20;     // messages of one sender under way
constexpr size_t kAbsenceMin = 12;       // events in which somebody does nothing
constexpr size_t kLookEvery = 25;        // events
constexpr size_t kEndEvery = 7;          // messages, among kills
constexpr size_t kLoseEvery = 2;         // answers, among kills
constexpr size_t kKills = 8;             // of the broker, in each log
const std::string kOwner = "the owner";  // no nick: those have no spaces

struct Person {
  std::string id;
  std::string token;
  int version = 4;
  // Of the inbox, through all groups.
  uint64_t head = 0;
  Seen phone;
  std::optional<Seen> laptop;
};

using People = std::map<std::string, Person>;  // by user id

// What the group's messages must be, and who must see which.
class ExpectedGroup {
 public:
  struct Message {
    std::string from;
    std::string type;
    Json body;
  };

  void Enter(const std::string& user, const std::string& role = "member") {
    members_[user].role = role;
  }
  // The message of the next number; who is in sees it.
  void Tell(const std::string& from, const std::string& type, Json body) {
    messages_.push_back({from, type, std::move(body)});
    for (auto& [user, member] : members_) {
      if (!member.role.empty()) member.sees.push_back(messages_.size());
    }
  }
  void Exit(const std::string& user) { members_.at(user).role.clear(); }
  void Rename(const std::string& user, const std::string& name) { members_.at(user).name = name; }

  const std::vector<Message>& messages() const { return messages_; }
  bool IsIn(const std::string& user) const {
    const auto member = members_.find(user);
    return member != members_.end() && !member->second.role.empty();
  }
  // The numbers.
  std::vector<uint64_t> SeenBy(const std::string& user) const {
    const auto member = members_.find(user);
    return member == members_.end() ? std::vector<uint64_t>{} : member->second.sees;
  }
  // As groups.get lists them.
  Json Members() const {
    Json members = Json::array();
    for (const auto& [user, member] : members_) {
      if (member.role.empty()) continue;
      Json& listed = members.emplace_back(Json{{"user", user}, {"role", member.role}});
      if (!member.name.empty()) listed["name"] = member.name;
    }
    return members;
  }

 private:
  struct Member {
    std::string role;  // empty: it is not in
    std::string name;
    std::vector<uint64_t> sees;
  };
  std::vector<Message> messages_;
  std::map<std::string, Member> members_;
};

// Kills the broker and starts it again while a log is replayed: each time a moment after the replay
// has begun with some event, and once behind the last, so that what is compared comes from the
// files. It has the broker to itself until Finish.
class Outages {
 public:
  Outages(Broker* broker, size_t events, unsigned seed) : broker_(*broker), random_(seed) {
    for (size_t n = 0; n < kKills; ++n) {
      const size_t from = events * n / kKills;
      kill_at_.push_back(1 + from + Below(std::max<size_t>(events * (n + 1) / kKills - from, 1)));
    }
    kill_at_.push_back(SIZE_MAX);
    thread_ = std::thread([this] {
      try {
        Run();
      } catch (const std::exception& error) {
        failure_ = error.what();
      }
      uptime_.Set(true);
    });
  }
  ~Outages() { Finish(); }

  const Uptime& uptime() const { return uptime_; }
  void HaveBegun(size_t events) {
    const std::lock_guard lock(mutex_);
    begun_ = events;
    changed_.notify_all();
  }
  // Returns after the last one, with the broker up.
  void Finish() {
    HaveBegun(SIZE_MAX);
    if (thread_.joinable()) thread_.join();
  }
  size_t kills() const { return kills_; }
  const std::string& failure() const { return failure_; }

 private:
  void Run() {
    for (const size_t events : kill_at_) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return begun_ >= events; });
      }
      std::this_thread::sleep_for(std::chrono::microseconds(Below(15'000)));  // when it dies
      uptime_.Set(false);
      broker_.Kill();
      ++kills_;
      broker_.Start();
      uptime_.Set(true);
    }
  }
  size_t Below(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random_); }

  Broker& broker_;
  std::mt19937 random_;
  std::vector<size_t> kill_at_;  // events begun, ascending
  Uptime uptime_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t begun_ = 0;
  size_t kills_ = 0;
  std::string failure_;
  std::thread thread_;
};

// Empty where they are the same.
std::string Difference(const Texts& got, const Texts& expected) {
  const auto [a, b] = std::mismatch(got.begin(), got.end(), expected.begin(), expected.end());
  if (a == got.end() && b == expected.end()) return "";
  return "after " + std::to_string(a - got.begin()) + " that are right, of " +
         std::to_string(got.size()) + " and " + std::to_string(expected.size()) + ": got " +
         (a == got.end() ? "nothing" : *a) + ", not " + (b == expected.end() ? "nothing" : *b);
}

// An inbox's message as the group has it.
std::string WithoutSeq(const std::string& message) {
  if (!message.starts_with("{\"seq\":")) return message;
  return "{" + message.substr(message.find(',') + 1);
}

// What a member is shown of the group, when it is all over.
class MemberCheck {
 public:
  struct Records {
    const ReplayedGroup& group;
    const ExpectedGroup& expected;
    Texts messages;  // all, by gseq
  };

  MemberCheck(const Records* records, const Person* person, MemberDevice* phone, const Seen* laptop,
              bool last_may_be_missing)
      : records_(*records),
        person_(*person),
        phone_(*phone),
        laptop_(laptop),
        last_may_be_missing_(last_may_be_missing) {
    const std::string in_group = "\"group\":\"" + records_.group.id + "\",";
    log_.emplace(&phone_.client(), "sync", "", "after", 700, "seq");
    if (!records_.expected.IsIn(person_.id)) return;
    const bool odd = person_.id.size() % 2 == 1;
    sync_.emplace(&phone_.client(), "sync", in_group, "after", odd ? 7 * 31 : 1000, "gseq");
    history_.emplace(&phone_.client(), "history", in_group, odd ? "after" : "before",
                     odd ? 37 : 100, "gseq");
  }

  void Check() {
    INFO("user " << person_.id << " in " << records_.group.id);
    for (const uint64_t gseq : records_.expected.SeenBy(person_.id)) {
      visible_.push_back(records_.messages.at(gseq - 1));
    }
    in_pages_ = visible_;
    CheckLog();
    if (records_.group.by_topic) CheckSeenByTopic();
    if (!sync_) return CheckRefused();
    REQUIRE(Difference(sync_->All(), in_pages_) == "");
    REQUIRE(Difference(history_->All(), in_pages_) == "");
    CheckMembers();
  }

 private:
  // The user's own log, and what its devices have seen of it.
  void CheckLog() {
    const Texts log = log_->All();
    for (size_t n = 0; n < log.size(); ++n) {
      REQUIRE(log[n].starts_with("{\"seq\":" + std::to_string(n + 1) + ","));
    }
    REQUIRE(log.size() >= person_.head);
    Texts of_group;
    for (size_t n = person_.head; n < log.size(); ++n) of_group.push_back(WithoutSeq(log[n]));
    REQUIRE(Difference(of_group, records_.group.by_topic ? Texts{} : visible_) == "");
    if (records_.group.by_topic) return;
    in_pages_.assign(log.begin() + static_cast<ptrdiff_t>(person_.head), log.end());
    REQUIRE(Difference(phone_.seen().Messages(), log) == "");
    if (laptop_ == nullptr) return;
    const auto since = log.begin() + static_cast<ptrdiff_t>(laptop_->since());
    REQUIRE(Difference(laptop_->Messages(), {since, log.end()}) == "");
  }

  void CheckSeenByTopic() {
    Texts expected = visible_;
    if (last_may_be_missing_ && phone_.seen().Messages().size() < expected.size()) {
      expected.pop_back();
    }
    REQUIRE(Difference(phone_.seen().Messages(), expected) == "");
    if (laptop_ != nullptr) REQUIRE(Difference(laptop_->Messages(), visible_) == "");
  }

  void CheckRefused() {
    for (const char* method : {"sync", "history", "groups.get"}) {
      const auto answer = phone_.Ask(method, {{"group", records_.group.id}});
      REQUIRE(answer);
      INFO(method << " is answered " << *answer);
      REQUIRE((*answer)["ok"] == false);
      REQUIRE((*answer)["error"]["code"] == "denied");
    }
  }

  void CheckMembers() {
    Json members = Json::array();
    Json ask{{"group", records_.group.id}, {"limit", 90}};
    for (bool more = true; more;) {
      const auto answer = phone_.Ask("groups.get", ask);
      REQUIRE(answer);
      INFO("groups.get is answered " << *answer);
      REQUIRE((*answer)["ok"] == true);
      REQUIRE((*answer)["head"] == records_.messages.size());
      REQUIRE((*answer)["delivery"] == (records_.group.by_topic ? "topic" : "inbox"));
      for (const Json& member : (*answer)["members"]) members.push_back(member);
      more = (*answer)["more"].get<bool>();
      if (more) ask["after"] = members.back()["user"];
      if (!more) REQUIRE((*answer)["count"] == members.size());
    }
    REQUIRE(members == records_.expected.Members());
  }

  const Records& records_;
  const Person& person_;
  MemberDevice& phone_;
  const Seen* const laptop_;
  const bool last_may_be_missing_;
  std::optional<Pages> log_, sync_, history_;
  Texts visible_;   // without any member's numbers
  Texts in_pages_;  // with its own, where it has some
};

// One log.
class GroupReplay {
 public:
  // With `outages` the broker is killed meanwhile.
  GroupReplay(const Broker& broker, const RoomLog& log, ReplayedGroup group, People* people,
              NickIds* ids, Outages* outages)
      : broker_(broker), log_(log), group_(std::move(group)), outages_(outages) {
    for (const RoomLog::Person& person : log_.people) {
      people_.push_back(&people->at(ids->IdOf(person.nick)));
    }
    owner_ = &people->at(ids->IdOf(kOwner));
    for (Person* person : people_) AddPhone(person);
    AddPhone(owner_);
    PlanAbsences();
    AddLaptops();
  }

  void Connect() {
    std::vector<MemberDevice*> all;
    for (auto& [id, phone] : phones_) all.push_back(&phone);
    for (MemberLaptop& laptop : laptops_) all.push_back(&laptop.device());
    for (MemberDevice* device : all) device->StartLogin();
    for (MemberDevice* device : all) device->AwaitLogin();
    for (MemberDevice* device : all) device->AwaitListening();
  }

  void Create() {
    Json members = Json::array();
    expected_.Enter(owner_->id, "owner");
    for (size_t n = 0; n < people_.size(); ++n) {
      if (!log_.people[n].from_start) continue;
      members.push_back(people_[n]->id);
      expected_.Enter(people_[n]->id);
    }
    Change(Phone(*owner_), "groups.create",
           {{"title", "Room " + group_.id},
            {"members", members},
            {"delivery", group_.by_topic ? "topic" : "inbox"},
            {"open", true}},
           "conflict");
    expected_.Tell(owner_->id, "system", {{"event", "created"}});
    for (auto& [id, phone] : phones_) {
      if (expected_.IsIn(id)) phone.Follow();
    }
    for (MemberLaptop& laptop : laptops_) {
      laptop.device().Follow();
      laptop.Run();
    }
  }

  void Replay() {
    for (size_t n = 0; n < log_.events.size(); ++n) {
      begun_ = n + 1;
      for (const size_t person : absences_[n]) GoOffline(*people_[person]);
      Happen(log_.events[n]);
      if (n % kLookEvery == 0) {
        for (auto& [id, phone] : phones_) phone.Look();
      }
    }
    Settle();
  }

  // Everybody has everything, and all agree.
  void Finish() {
    if (outages_ != nullptr) {
      outages_->Finish();
      REQUIRE(outages_->failure() == "");
    }
    for (MemberLaptop& laptop : laptops_) {
      laptop.Settle();
      REQUIRE(laptop.failure() == "");
      AwaitAll(laptop.device());
    }
    for (auto& [id, phone] : phones_) AwaitAll(phone);
    Compare();
    for (MemberLaptop& laptop : laptops_) laptop.device().GoOffline();
    for (auto& [id, phone] : phones_) phone.GoOffline();
  }

  int drops() const {
    int sum = 0;
    for (const MemberLaptop& laptop : laptops_) sum += laptop.drops();
    return sum;
  }
  size_t absences() const { return absence_count_; }
  // Sends and requests that got no outcome and were made again.
  size_t retries() const { return retries_; }
  size_t members() const { return phones_.size(); }
  uint64_t head() const { return expected_.messages().size(); }

 private:
  MemberDevice& Phone(const Person& person) { return phones_.at(person.id); }

  void AddPhone(Person* person) {
    Seen* seen = group_.by_topic ? &seen_by_topic_.emplace_back() : &person->phone;
    phones_.emplace(person->id, MemberDevice(Client(*person, "phone"), group_, seen, UptimeFor()));
  }
  // Those who do most. Of a group of delivery `topic` only who is never out of it can listen
  // throughout.
  void AddLaptops() {
    std::vector<size_t> activity(people_.size());
    for (size_t n = 0; n < people_.size(); ++n) activity[n] = log_.people[n].from_start ? 1 : 0;
    if (!group_.by_topic) std::fill(activity.begin(), activity.end(), 1);
    for (const RoomEvent& event : log_.events) {
      size_t& count = activity[event.person];
      if (event.kind == RoomEvent::Kind::kLeaves && group_.by_topic) count = 0;
      if (count > 0) ++count;
    }
    std::vector<std::pair<size_t, size_t>> busiest;
    for (size_t n = 0; n < activity.size(); ++n) busiest.emplace_back(activity[n], n);
    std::sort(busiest.rbegin(), busiest.rend());
    for (const auto& [count, n] : busiest) {
      if (laptops_.size() < kBusiest && count > 0) AddLaptop(people_[n]);
    }
  }
  void AddLaptop(Person* person) {
    if (!group_.by_topic && !person->laptop) person->laptop.emplace(person->head);
    Seen* seen = group_.by_topic ? &seen_by_topic_.emplace_back() : &*person->laptop;
    laptop_seen_[person->id] = seen;
    laptops_.emplace_back(broker_.port(), Client(*person, "laptop"), group_, seen, UptimeFor(),
                          20041115 + static_cast<unsigned>(laptops_.size()));
  }
  PahoOptions Client(const Person& person, const std::string& device) const {
    return {broker_.port(), person.id, person.token, person.id + ":" + device, person.version};
  }
  const Uptime* UptimeFor() const {
    static const Uptime always;
    return outages_ != nullptr ? &outages_->uptime() : &always;
  }

  // Who gets its connection back has lost it some time before. Every third other pause is one, too.
  void PlanAbsences() {
    std::map<size_t, size_t> last;  // person → event
    size_t pauses = 0;
    for (size_t n = 0; n < log_.events.size(); ++n) {
      const RoomEvent& event = log_.events[n];
      const auto before = last.find(event.person);
      const size_t from = before == last.end() ? 0 : before->second + 1;
      const bool pauses_here = before != last.end() && n - from >= kAbsenceMin;
      if (event.kind == RoomEvent::Kind::kReturns || (pauses_here && ++pauses % 3 == 0)) {
        absences_[from + (n - from) / 4].push_back(event.person);
      }
      last[event.person] = n;
    }
    for (const auto& [person, event] : last) {
      if (log_.events.size() - event >= kAbsenceMin && ++pauses % 3 == 0) {
        absences_[event + 1].push_back(person);
      }
    }
  }

  void GoOffline(const Person& person) {
    Settle();
    if (!Phone(person).connected()) return;
    Phone(person).GoOffline();
    ++absence_count_;
  }

  void Happen(const RoomEvent& event) {
    const Person& person = *people_[event.person];
    using Kind = RoomEvent::Kind;
    if (event.kind == Kind::kSays) return Say(person, event.text);
    Settle();
    TellBegun();
    if (event.kind == Kind::kJoins) Join(person);
    if (event.kind == Kind::kReturns) Change(Phone(person), "groups.join", {});  // it is in
    if (event.kind == Kind::kLeaves) Leave(person);
    if (event.kind == Kind::kIsRenamed) Rename(person, event.text);
  }

  // The next message may follow before this one is known to be stored, if it is the same person's:
  // one connection keeps its order.
  void Say(const Person& person, const std::string& text) {
    if (speaker_ != &person || unsettled_.size() == kUnsettledMax) Settle();
    speaker_ = &person;
    const std::string id = "line-" + std::to_string(++said_);
    const bool as_text = outages_ == nullptr && said_ % 2 == 0 && text.rfind('{', 0) != 0;
    unsettled_.push_back(as_text ? text : Json{{"id", id}, {"body", text}}.dump());
    expected_.Tell(person.id, "message", text);
    if (!Phone(person).connected()) Phone(person).Return();
    Phone(person).Send(unsettled_.back());
    TellBegun();
    // Now and then an application ends before it sees its own copy.
    if (outages_ != nullptr && said_ % kEndEvery == 0) SayAgain();
  }

  void TellBegun() {
    if (outages_ != nullptr) outages_->HaveBegun(begun_);
  }

  // The last speaker has seen its own copies of all that it said. Where its connection was lost
  // meanwhile, it says all that again, under the same ids.
  void Settle() {
    if (unsettled_.empty()) return;
    MemberDevice& phone = Phone(*speaker_);
    while (!phone.AwaitNumber(Newest(speaker_->id))) {
      if (outages_ == nullptr) throw MqttError(speaker_->id + "'s phone lost its connection");
      SayAgain();
    }
    last_said_[speaker_->id] = unsettled_.back();
    unsettled_.clear();
  }
  // What it said before that, too: an application that was started again may not know that it got
  // through.
  void SayAgain() {
    ++retries_;
    MemberDevice& phone = Phone(*speaker_);
    phone.Return();
    const auto before = last_said_.find(speaker_->id);
    if (before != last_said_.end()) phone.Send(before->second);
    for (const std::string& payload : unsettled_) phone.Send(payload);
  }

  // Of what the user sees, as its devices count.
  uint64_t Newest(const std::string& user) const {
    const std::vector<uint64_t> sees = expected_.SeenBy(user);
    if (group_.by_topic) return sees.empty() ? 0 : sees.back();
    return PersonOf(user).head + sees.size();
  }
  const Person& PersonOf(const std::string& user) const {
    if (user == owner_->id) return *owner_;
    return **std::find_if(people_.begin(), people_.end(),
                          [&](const Person* person) { return person->id == user; });
  }

  void AwaitAll(MemberDevice& device) {
    const std::string user = device.client().options().user;  // Return replaces the client
    if (!device.connected()) device.Return();
    // Who is out can't ask any more for what it was told as it left.
    if (group_.by_topic && !expected_.IsIn(user)) return device.Look();
    while (!device.AwaitNumber(Newest(user))) device.Return();
  }

  void Join(const Person& person) {
    const bool by_itself = ++joins_ % 2 == 0;
    if (by_itself) {
      Change(Phone(person), "groups.join", {});
    } else {
      Change(Phone(*owner_), "groups.add", {{"user", person.id}});
    }
    expected_.Enter(person.id);
    if (by_itself) {
      expected_.Tell(person.id, "system", {{"event", "joined"}, {"user", person.id}});
    } else {
      expected_.Tell(owner_->id, "system", {{"event", "added"}, {"users", {person.id}}});
    }
    Phone(person).Follow();
  }

  void Leave(const Person& person) {
    MemberDevice& phone = Phone(person);
    AwaitAll(phone);
    phone.Unfollow();
    Change(phone, "groups.leave", {}, "denied");
    expected_.Tell(person.id, "system", {{"event", "left"}, {"user", person.id}});
    expected_.Exit(person.id);
    if (outages_ == nullptr) REQUIRE(phone.AwaitNumber(Newest(person.id)));
  }

  void Rename(const Person& person, const std::string& name) {
    Change(Phone(person), "groups.set", {{"name", name}});
    expected_.Rename(person.id, name);
    expected_.Tell(person.id, "system",
                   {{"event", "renamed"}, {"user", person.id}, {"name", name}});
  }

  // Asks until there is an answer. Where one was lost, `done` is what says that it was done.
  void Change(MemberDevice& by, const std::string& method, Json members,
              const std::string& done = "") {
    members["group"] = group_.id;
    for (bool again = false;; again = true, ++retries_) {
      if (!by.connected()) by.Return();
      const std::optional<Json> answer = by.Ask(method, members);
      const bool lost = outages_ != nullptr && !again && ++asked_ % kLoseEvery == 0;  // so it says
      if (!answer || lost) continue;
      INFO(by.client().options().user << "'s " << method << " is answered " << *answer);
      if ((*answer)["ok"] == true) return;
      REQUIRE(again);
      REQUIRE((*answer)["error"]["code"] == done);
      return;
    }
  }

  // The group as its owner reads it is the log.
  Texts CheckedMessages() {
    Texts messages = Pages(&Phone(*owner_).client(), "sync", "\"group\":\"" + group_.id + "\",",
                           "after", 300, "gseq")
                         .All();
    REQUIRE(messages.size() == expected_.messages().size());
    for (size_t n = 0; n < messages.size(); ++n) {
      INFO("message " << n + 1 << " is " << messages[n]);
      const Json message = Json::parse(messages[n]);
      const ExpectedGroup::Message& expected = expected_.messages()[n];
      REQUIRE(message["gseq"] == n + 1);
      REQUIRE(message["group"] == group_.id);
      REQUIRE(message["from"] == expected.from);
      REQUIRE(message["type"] == expected.type);
      if (n == 0) {
        REQUIRE(message["body"]["event"] == expected.body["event"]);
      } else {
        REQUIRE(message["body"] == expected.body);
      }
      messages[n] = WithoutSeq(messages[n]);
    }
    return messages;
  }

  void Compare() {
    const MemberCheck::Records records{group_, expected_, CheckedMessages()};
    std::vector<Person*> all = people_;
    all.push_back(owner_);
    std::deque<MemberCheck> checks;
    for (Person* person : all) {
      const auto laptop = laptop_seen_.find(person->id);
      checks.emplace_back(&records, person, &Phone(*person),
                          laptop == laptop_seen_.end() ? nullptr : laptop->second,
                          outages_ != nullptr && !expected_.IsIn(person->id));
    }
    for (MemberCheck& check : checks) check.Check();
    if (group_.by_topic) return;
    for (Person* person : all) person->head += expected_.SeenBy(person->id).size();
  }

  const Broker& broker_;
  const RoomLog& log_;
  const ReplayedGroup group_;
  Outages* const outages_;
  std::vector<Person*> people_;  // as in the log
  Person* owner_ = nullptr;
  ExpectedGroup expected_;

  std::deque<Seen> seen_by_topic_;
  std::map<std::string, Seen*> laptop_seen_;
  std::map<std::string, MemberDevice> phones_;  // by user
  std::deque<MemberLaptop> laptops_;

  std::map<size_t, std::vector<size_t>> absences_;  // event → who goes offline before it
  size_t absence_count_ = 0;
  size_t joins_ = 0;
  size_t retries_ = 0;
  size_t asked_ = 0;
  size_t begun_ = 0;  // events
  static inline uint64_t said_ = 0;

  const Person* speaker_ = nullptr;
  Texts unsettled_;                               // what it said, as it was sent
  std::map<std::string, std::string> last_said_;  // by user: the last that was settled
};

// As `parleyctl token issue` does, which takes a process for each.
People MakePeople(Broker* broker, const std::vector<RoomLog>& logs, NickIds* ids) {
  std::vector<std::string> nicks = {kOwner};
  for (const RoomLog& log : logs) {
    for (const RoomLog::Person& person : log.people) nicks.push_back(person.nick);
  }
  People people;
  std::vector<std::string> import;
  for (const std::string& nick : nicks) {
    const std::string& id = ids->IdOf(nick);
    Person& person = people[id];
    if (!person.id.empty()) continue;
    person.id = id;
    person.version = people.size() % 2 == 0 ? 4 : 5;
    import.push_back(id + ",");
  }
  broker->ImportUsers(import);
  const auto credentials =
      Credentials::Load(broker->data_dir().string(), kPasswordMemoryKibDefault, Env::Posix());
  REQUIRE(credentials);
  for (auto& [id, person] : people) person.token = credentials->IssueToken(id, 86400);
  return people;
}

std::vector<RoomLog> Logs(size_t at_most = SIZE_MAX) {
  std::vector<fs::path> files = ReplayLogFiles();
  if (files.empty()) files = {PARLEY_GROUP_SAMPLE, PARLEY_GROUP_SAMPLE};
  files.resize(std::min(files.size(), at_most));
  std::vector<RoomLog> logs;
  for (const fs::path& file : files) logs.push_back(ReadRoomLog(file));
  return logs;
}

TEST_CASE("people in a room come, go and change their names") {
  using Kind = RoomEvent::Kind;
  const RoomLog log = ParseRoomLog(
      "[10:00] <Ann> hello?\n"
      "=== Ben [ben@example.org]  has joined #room\n"
      "=== Ann yawns\n"
      "=== Ann has joined [x] #room\n"
      "[10:01] <Ben>  two  spaces \n"
      "=== Ann is now known as Ann|away\n"
      "=== Ann|away is now known as a far traveller\n"
      "=== Ben [ben@example.org] has left #room [\"bye\"]\n"
      "=== Ann [other@example.org] has joined #Room\n"
      "[10:02]  * Ann|away returns\n"
      "[10:02] <Ben> unseen\n"
      "=== Ben [ben@example.org] has joined #room\n"
      "=== Cy has left [x] #room\n"
      "=== Ann|away is now known as Ben\n"
      "[10:03] <Ben> who?");
  const std::vector<std::pair<std::string, bool>> people = {
      {"Ann", true}, {"Ben", false}, {"Ann 2", false}};
  REQUIRE(log.people.size() == people.size());
  for (size_t n = 0; n < people.size(); ++n) {
    CHECK(log.people[n].nick == people[n].first);
    CHECK(log.people[n].from_start == people[n].second);
  }
  const std::vector<RoomEvent> events = {{Kind::kSays, 0, "hello?"},
                                         {Kind::kJoins, 1, ""},
                                         {Kind::kSays, 1, " two  spaces "},
                                         {Kind::kIsRenamed, 0, "Ann|away"},
                                         {Kind::kLeaves, 1, ""},
                                         {Kind::kJoins, 2, ""},
                                         {Kind::kSays, 0, "* Ann|away returns"},
                                         {Kind::kJoins, 1, ""},
                                         {Kind::kSays, 1, "unseen"},
                                         {Kind::kReturns, 1, ""},
                                         {Kind::kIsRenamed, 0, "Ben"},
                                         {Kind::kSays, 0, "who?"}};
  REQUIRE(log.events.size() == events.size());
  for (size_t n = 0; n < events.size(); ++n) {
    CAPTURE(n);
    CHECK(log.events[n].kind == events[n].kind);
    CHECK(log.events[n].person == events[n].person);
    CHECK(log.events[n].text == events[n].text);
  }
}

TEST_CASE("a group's members all have what was said while they were in") {
  const std::vector<RoomLog> logs = Logs();
  const PahoPace pace;
  Broker broker;
  NickIds ids;
  People people = MakePeople(&broker, logs, &ids);
  broker.Start();
  for (size_t n = 0; n < logs.size(); ++n) {
    const Clock::time_point begin = Clock::now();
    const ReplayedGroup group{"room-" + std::to_string(n + 1), n % 2 == 1};
    GroupReplay replay(broker, logs[n], group, &people, &ids, nullptr);
    replay.Connect();
    replay.Create();
    replay.Replay();
    replay.Finish();
    std::cout << group.id << (group.by_topic ? " (topic): " : " (inbox): ") << replay.members()
              << " people, " << replay.head() << " messages, " << replay.absences() << " absences, "
              << replay.drops() << " drops, "
              << std::chrono::duration<double>(Clock::now() - begin).count() << " s" << std::endl;
    CHECK(replay.absences() > 0);
    CHECK(replay.drops() >= 10);
  }
}

TEST_CASE("they have it however often the broker is killed meanwhile") {
  const char* given = getenv("PARLEY_CRASH_SEED");
  const unsigned seed = given != nullptr && *given != '\0'
                            ? static_cast<unsigned>(strtoul(given, nullptr, 10))
                            : std::random_device{}();
  INFO("seed " << seed);
  const std::vector<RoomLog> logs = Logs(2);
  const PahoPace pace;
  Broker broker;
  NickIds ids;
  People people = MakePeople(&broker, logs, &ids);
  broker.Start();
  for (size_t n = 0; n < logs.size(); ++n) {
    const ReplayedGroup group{"room-" + std::to_string(n + 1), n % 2 == 1};
    Outages outages(&broker, logs[n].events.size(), seed + static_cast<unsigned>(n));
    GroupReplay replay(broker, logs[n], group, &people, &ids, &outages);
    replay.Connect();
    replay.Create();
    replay.Replay();
    replay.Finish();
    std::cout << "seed " << seed << ": " << group.id << ", " << outages.kills() << " kills, "
              << replay.retries() << " retries\n";
    CHECK(replay.retries() >= 2 * kKills);
    CHECK(outages.kills() > kKills);
  }
}

}  // namespace
}  // namespace parley::e2e
