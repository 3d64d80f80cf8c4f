#include "bench/presence.h"

#include <algorithm>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include "bench/process_usage.h"
#include "bench/report.h"

namespace parley::bench {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kAnswerNs = 60 * kSecondNs;
constexpr size_t kRequestsAtOnce = 500;

// With the plugin's defaults: the grace, or the delay, and a batch. The rest is the generator's own
// lag and the engine's tick.
constexpr double kOnlineTooLongS = 10 + 1 + 1;
constexpr double kOfflineTooLongS = 3 + 1 + 1;

double Seconds(int64_t ns) { return static_cast<double>(ns) / 1e9; }

// Users in a ring: the first half of somebody's contacts come after it, the others before.
class Ring {
 public:
  Ring(size_t users, size_t contacts) : users_(users), half_(contacts / 2) {}

  size_t contacts() const { return 2 * half_; }
  size_t Contact(size_t user, size_t slot) const {
    return slot < half_ ? (user + slot + 1) % users_
                        : (user + users_ - (slot - half_) - 1) % users_;
  }
  // contacts() where they are none.
  size_t SlotOf(size_t user, size_t contact) const {
    const size_t after = (contact + users_ - user) % users_;
    if (after >= 1 && after <= half_) return after - 1;
    const size_t before = users_ - after;
    return before <= half_ ? half_ + before - 1 : contacts();
  }

 private:
  const size_t users_;
  const size_t half_;
};

// Everybody asks those that come after it, who accept.
class ContactMaker : public ClientEvents {
 public:
  ContactMaker(const Workload& workload, const PresenceOptions& options)
      : options_(options),
        ring_(options.users, options.contacts),
        clients_(workload.endpoint, this),
        total_(options.users * options.contacts / 2) {
    const Credentials credentials(workload.credentials);
    for (size_t i = 0; i < options.users; ++i) {
      AddUser(&clients_, credentials, i, {"receipt/" + UserName(i)});
    }
  }
  int Run(bool json) {
    clients_.ConnectAll();
    const int64_t start_ns = NowNs();
    while (done_ < total_) {
      while (asked_ < total_ && asked_ - done_ < kRequestsAtOnce) Ask(asked_++);
      const size_t before = done_;
      const int64_t until_ns = NowNs() + kAnswerNs;
      while (done_ == before && NowNs() < until_ns) clients_.Turn(until_ns);
      if (done_ == before) Die("no answers");
    }
    Report report;
    report.Text("mode", "contacts");
    report.Count("contacts", total_);
    report.Number("contacts_per_s", static_cast<double>(total_) / Seconds(NowNs() - start_ns), 0);
    report.Print(json);
    return 0;
  }
  void OnPublish(Client& /*client*/, const Publish& publish, int64_t /*now_ns*/) override {
    std::string_view answer = publish.payload;
    uint64_t number = 0;
    bool accepted = TakeText(&answer, "{\"rid\":\"accept-");
    bool ours = accepted || TakeText(&answer, "{\"rid\":\"add-");
    ours = ours && TakeNumber(&answer, &number) && TakeText(&answer, "\",\"ok\":true");
    if (!ours) Die("a contact was refused: " + std::string(publish.payload));
    accepted ? static_cast<void>(++done_) : Accept(number);
  }

 private:
  std::pair<size_t, size_t> Edge(size_t number) const {
    const size_t user = number % options_.users;
    return {user, ring_.Contact(user, number / options_.users)};
  }
  void Ask(size_t number) {
    auto [user, contact] = Edge(number);
    Publish(user, "add", number, contact);
  }
  void Accept(size_t number) {
    auto [user, contact] = Edge(number);
    Publish(contact, "accept", number, user);
  }
  void Publish(size_t who, const std::string& what, size_t number, size_t whom) {
    clients_.Publish(clients_[who], "ask/contacts." + what,
                     "{\"rid\":\"" + what + "-" + std::to_string(number) + "\",\"user\":\"" +
                         UserName(whom) + "\"}");
  }

  const PresenceOptions& options_;
  const Ring ring_;
  Clients clients_;
  const size_t total_;
  size_t asked_ = 0;
  size_t done_ = 0;
};

class PresenceRun : public ClientEvents {
 public:
  PresenceRun(const Workload& workload, const PresenceOptions& options)
      : workload_(workload),
        options_(options),
        ring_(options.users, options.contacts),
        clients_(workload.endpoint, this),
        random_(workload.seed),
        people_(options.users) {}

  int Run();
  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;

 private:
  struct Person {
    bool online = false;
    int64_t since_ns = 0;
    std::vector<bool> shown;  // online, by contact
  };
  struct Counts {
    uint64_t events = 0;  // devices that came or went
    uint64_t naive_publishes = 0;
    uint64_t naive_bytes = 0;
    uint64_t publishes = 0;
    uint64_t bytes = 0;  // of topics and payloads, both times
  };
  struct Sample {
    int64_t now_ns = 0;
    Counts counts;
    ProcessUsage broker;
  };

  bool Flaps(size_t user) const { return user % options_.flapping_every == 0; }
  int64_t Between(double from_s, double to_s) {
    return static_cast<int64_t>(std::uniform_real_distribution(from_s, to_s)(random_) * 1e9);
  }
  void AddAll();
  void Came(size_t user, int64_t now_ns);
  void Went(size_t user, int64_t now_ns);
  void CountNaive(size_t user);
  void Flap(size_t user, int64_t now_ns);
  void RunUntil(int64_t end_ns);
  void Shown(size_t receiver, size_t contact, bool online, int64_t now_ns);
  void LookAtAll(int64_t now_ns);
  Sample Take() const;
  int Print(const Sample& begin, const Sample& end) const;

  const Workload& workload_;
  const PresenceOptions& options_;
  const Ring ring_;
  Clients clients_;
  std::mt19937_64 random_;
  std::vector<Person> people_;
  using Due = std::pair<int64_t, size_t>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> flaps_;
  Counts counts_;
  bool measuring_ = false;
  int64_t looked_ns_ = 0;
  int64_t online_longest_ns_ = 0;   // shown online without being it
  int64_t offline_longest_ns_ = 0;  // not shown though it was
  uint64_t errors_ = 0;
};

void PresenceRun::AddAll() {
  const Credentials credentials(workload_.credentials);
  for (size_t i = 0; i < options_.users; ++i) {
    const std::string presence = "presence/" + UserName(i);
    AddUser(&clients_, credentials, i, {options_.unwatched ? "receipt/" + UserName(i) : presence});
    if (!options_.unwatched) clients_[i].will = {presence, "offline"};
    people_[i].shown.resize(ring_.contacts());
  }
}

int PresenceRun::Run() {
  if (workload_.plain) Die("presence is Parley's");
  AddAll();
  clients_.ConnectAll();
  const int64_t start_ns = NowNs();
  for (size_t i = 0; i < options_.users; ++i) {
    people_[i].online = true;
    people_[i].since_ns = start_ns;
    if (Flaps(i)) flaps_.emplace(start_ns + Between(5, 15), i);
  }
  RunUntil(start_ns + static_cast<int64_t>(options_.warmup_s * 1e9));
  measuring_ = true;
  const Sample begin = Take();
  RunUntil(begin.now_ns + static_cast<int64_t>(options_.seconds * 1e9));
  return Print(begin, Take());
}

void PresenceRun::RunUntil(int64_t end_ns) {
  for (int64_t now_ns = NowNs(); now_ns < end_ns; now_ns = NowNs()) {
    while (!flaps_.empty() && flaps_.top().first <= now_ns) {
      const size_t user = flaps_.top().second;
      flaps_.pop();
      Flap(user, now_ns);
    }
    if (now_ns - looked_ns_ >= kSecondNs) LookAtAll(now_ns);
    clients_.Turn(
        std::min({end_ns, looked_ns_ + kSecondNs, flaps_.empty() ? end_ns : flaps_.top().first}));
  }
}

// Three times of four the connection is lost for a moment, else its user closes it for longer.
void PresenceRun::Flap(size_t user, int64_t now_ns) {
  Client& client = clients_[user];
  if (client.fd < 0) {
    clients_.Reopen(client);
    Came(user, now_ns);
    flaps_.emplace(now_ns + Between(2, 15), user);
  } else if (!client.subscribed) {
    flaps_.emplace(now_ns + Between(1, 2), user);  // the broker is slow
  } else {
    const bool lost = random_() % 4 != 0;
    clients_.Close(client, !lost);
    Went(user, now_ns);
    flaps_.emplace(now_ns + (lost ? Between(1, 15) : Between(5, 20)), user);
  }
}

void PresenceRun::Came(size_t user, int64_t now_ns) {
  people_[user].online = true;
  people_[user].since_ns = now_ns;
  CountNaive(user);
}

void PresenceRun::Went(size_t user, int64_t now_ns) {
  people_[user].online = false;
  people_[user].since_ns = now_ns;
  CountNaive(user);
}

// What it would take to tell each contact that is there, at once, in the same words.
void PresenceRun::CountNaive(size_t user) {
  ++counts_.events;
  std::string payload = "{\"users\":[{\"user\":\"" + UserName(user) + "\",\"online\":";
  payload += people_[user].online ? "true}]}" : "false,\"last_seen\":1764000000000}]}";
  for (size_t slot = 0; slot < ring_.contacts(); ++slot) {
    const size_t contact = ring_.Contact(user, slot);
    if (!people_[contact].online) continue;
    ++counts_.naive_publishes;
    counts_.naive_bytes +=
        payload.size() + std::string("presence/").size() + UserName(contact).size();
  }
}

void PresenceRun::OnPublish(Client& client, const Publish& publish, int64_t now_ns) {
  constexpr std::string_view kUser = "{\"user\":\"u";
  if (!publish.topic.starts_with("presence/")) {
    ++errors_;
    return;
  }
  ++counts_.publishes;
  counts_.bytes += publish.topic.size() + publish.payload.size();
  std::string_view rest = publish.payload;
  for (size_t at = rest.find(kUser); at != rest.npos; at = rest.find(kUser)) {
    rest.remove_prefix(at + kUser.size());
    uint64_t contact = 0;
    const bool known = TakeNumber(&rest, &contact) && TakeText(&rest, "\",\"online\":");
    if (!known || contact >= options_.users) {
      ++errors_;
      return;
    }
    Shown(client.index, contact, rest.starts_with("true"), now_ns);
  }
}

void PresenceRun::Shown(size_t receiver, size_t contact, bool online, int64_t now_ns) {
  const size_t slot = ring_.SlotOf(receiver, contact);
  if (slot == ring_.contacts()) {
    ++errors_;  // a stranger
    return;
  }
  Person& person = people_[receiver];
  const Person& other = people_[contact];
  if (measuring_ && !Flaps(receiver) && person.shown[slot] != online && other.online == online) {
    int64_t& longest = online ? offline_longest_ns_ : online_longest_ns_;
    longest = std::max(longest, now_ns - other.since_ns);
  }
  person.shown[slot] = online;
}

// Also of what was never told. Who flaps and doesn't ask what it missed has no right picture.
void PresenceRun::LookAtAll(int64_t now_ns) {
  looked_ns_ = now_ns;
  for (size_t user = 0; measuring_ && !options_.unwatched && user < options_.users; ++user) {
    if (Flaps(user)) continue;
    for (size_t slot = 0; slot < ring_.contacts(); ++slot) {
      const Person& contact = people_[ring_.Contact(user, slot)];
      if (people_[user].shown[slot] == contact.online) continue;
      int64_t& longest = contact.online ? offline_longest_ns_ : online_longest_ns_;
      longest = std::max(longest, now_ns - contact.since_ns);
    }
  }
}

PresenceRun::Sample PresenceRun::Take() const {
  Sample sample{NowNs(), counts_, {}};
  if (workload_.pid != 0) sample.broker = ReadUsage(workload_.pid);
  return sample;
}

int PresenceRun::Print(const Sample& begin, const Sample& end) const {
  const double seconds = Seconds(end.now_ns - begin.now_ns);
  auto rate = [&](uint64_t Counts::*count) {
    return static_cast<double>(end.counts.*count - begin.counts.*count) / seconds;
  };
  Report report;
  report.Text("mode", options_.unwatched ? "presence unwatched" : "presence");
  report.Count("users", options_.users);
  report.Number("events_per_s", rate(&Counts::events), 0);
  report.Number("naive_publishes_per_s", rate(&Counts::naive_publishes), 0);
  report.Number("naive_bytes_per_s", rate(&Counts::naive_bytes), 0);
  report.Number("publishes_per_s", rate(&Counts::publishes), 0);
  report.Number("bytes_per_s", rate(&Counts::bytes), 0);
  report.Number("online_longest_s", Seconds(online_longest_ns_));
  report.Number("offline_longest_s", Seconds(offline_longest_ns_));
  if (workload_.pid != 0) {
    const double main_cpu_s = end.broker.main_cpu_s - begin.broker.main_cpu_s;
    report.Number("thread_cpu_percent", main_cpu_s / seconds * 100, 2);
    report.Number("broker_cpu_percent", (end.broker.cpu_s - begin.broker.cpu_s) / seconds * 100, 2);
  }
  report.Count("errors", errors_);
  report.Print(workload_.json);
  const bool late = Seconds(online_longest_ns_) > kOnlineTooLongS ||
                    Seconds(offline_longest_ns_) > kOfflineTooLongS;
  const bool told = end.counts.publishes > begin.counts.publishes;
  return errors_ == 0 && !late && told != options_.unwatched ? 0 : 1;
}

}  // namespace

int MakeContacts(const Workload& workload, const PresenceOptions& options) {
  return ContactMaker(workload, options).Run(workload.json);
}

int RunPresence(const Workload& workload, const PresenceOptions& options) {
  return PresenceRun(workload, options).Run();
}

}  // namespace parley::bench
