#include "tests/e2e/talks.h"

#include <deque>
#include <exception>
#include <random>
#include <thread>

namespace parley::e2e {

namespace {

constexpr size_t kGroupSize = 4;
constexpr uint64_t kReceiptEvery = 16;
// How late a message may come: what is slow shows in the latency, and is no failure.
constexpr std::chrono::seconds kPatience{120};

std::string TextOf(std::mt19937* random) {
  std::string text = "said ";
  for (auto letters = 1 + (*random)() % 120; letters > 0; --letters) {
    text += static_cast<char>('a' + (*random)() % 26);
  }
  return text;
}

std::string Without(std::string text, const std::string& part) {
  for (size_t at; (at = text.find(part)) != text.npos;) text.erase(at, part.size());
  return text;
}

// What one of a talk hears, with the numbers that it must have.
struct Ear {
  Device device;
  uint64_t seq = 0;

  // Takes the next message of the inbox, which must be this one.
  void Hear(const std::string& from, const std::string& id, const std::string& text) {
    const std::string got = device.Next(device.inbox(), kPatience).payload;
    const Json message = Json::parse(got);
    if (message["seq"] != ++seq || message["from"] != from || message["id"] != id ||
        message["body"] != text) {
      throw MqttError(device.user() + " should have heard " + id + " of " + from + " as number " +
                      std::to_string(seq) + ", not " + got);
    }
  }
};

// One writes to the other, who accepts: they are no strangers.
void Befriend(Ear* a, Ear* b) {
  a->device.AskDone("contacts.add", {{"user", b->device.user()}});
  b->device.AskDone("contacts.accept", {{"user", a->device.user()}});
}

}  // namespace

Talks::Talks(const Broker* broker, TalkOptions options)
    : broker_(broker), options_(std::move(options)) {
  for (size_t i = 0; i < options_.pairs + options_.groups; ++i) {
    const bool group = i >= options_.pairs;
    Talk talk;
    if (group) talk.group = options_.prefix + "-group" + std::to_string(i - options_.pairs);
    for (size_t n = 0; n < (group ? kGroupSize : 2); ++n) {
      talk.people.push_back(options_.prefix + "-" + std::to_string(i) + "-" + std::to_string(n));
    }
    users_.insert(users_.end(), talk.people.begin(), talk.people.end());
    talks_.push_back(std::move(talk));
  }
  const std::string key = options_.prefix + "-key";
  broker_->CtlDone({"key", "add", key, "--strangers", "deny"});
  std::vector<std::string> lines;
  for (const std::string& user : users_) lines.push_back(user + "," + PasswordOf(user) + "," + key);
  broker_->ImportUsers(lines);
}

Device Talks::Open(const std::string& user) const {
  Device device(broker_->port(), user, PasswordOf(user));
  device.Login();
  device.Listen();
  return device;
}

void Talks::Run() {
  std::deque<bench::Histogram> latencies(talks_.size());
  std::vector<std::exception_ptr> failures(talks_.size());
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < talks_.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          RunTalk(talks_[i], options_.seed + static_cast<unsigned>(i), &latencies[i]);
        } catch (...) {
          failures[i] = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  for (const bench::Histogram& latency : latencies) latency_.Add(latency);
}

void Talks::RunTalk(const Talk& talk, unsigned seed, bench::Histogram* latency) const {
  std::mt19937 random(seed);
  std::deque<Ear> ears;
  for (const std::string& user : talk.people) ears.push_back({Open(user)});
  for (size_t i = 1; i < ears.size(); ++i) Befriend(&ears[0], &ears[i]);
  if (!talk.group.empty()) {
    const std::vector<std::string> others(talk.people.begin() + 1, talk.people.end());
    ears[0].device.AskDone("groups.create", {{"group", talk.group}, {"members", others}});
    for (Ear& ear : ears) ear.seq = Json::parse(ear.device.ReceiveText())["seq"];
  }
  Clock::time_point next = Clock::now();
  for (uint64_t n = 0; n < options_.messages; ++n, next += options_.pause) {
    std::this_thread::sleep_until(next);  // their pace
    Ear& speaker = ears[n % ears.size()];
    const std::string& to = talk.people[(n + 1) % ears.size()];
    const std::string topic = talk.group.empty() ? "chat/" + to : "group/" + talk.group;
    const std::string id = std::to_string(n);
    const std::string text = TextOf(&random);
    const Clock::time_point begin = Clock::now();
    speaker.device.Publish(topic, Json{{"id", id}, {"body", text}}.dump());
    for (Ear& ear : ears) ear.Hear(speaker.device.user(), id, text);
    latency->Add(std::chrono::nanoseconds(Clock::now() - begin).count());
    if (n % kReceiptEvery == 0) speaker.device.SendReceipt({{"read", speaker.seq}});
  }
  for (Ear& ear : ears) ear.device.Disconnect();
}

std::map<std::string, std::vector<std::string>> Talks::Logs() const {
  std::map<std::string, std::vector<std::string>> logs;
  for (const std::string& user : users_) {
    Device reader(broker_->port(), user, PasswordOf(user), {.name = "reader"});
    reader.Login();
    auto& log = logs[Without(user, options_.prefix)];
    uint64_t after = 0;
    for (bool more = true; more;) {
      Json page = reader.AskDone("sync", {{"after", after}, {"limit", 1000}});
      more = page["more"];
      for (Json& message : page["messages"]) {
        after = message["seq"];
        message.erase("ts");
        if (message["type"] == "system") message.erase("id");  // the server's
        log.push_back(Without(message.dump(), options_.prefix));
      }
    }
  }
  return logs;
}

}  // namespace parley::e2e
