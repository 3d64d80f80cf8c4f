// The engine with everything around it in the test's hands: clock, accounts, log, readers, and
// devices that keep what they get. One thread; nothing happens until the test says so.
#ifndef PARLEY_TESTS_CHAT_WORLD_H_
#define PARLEY_TESTS_CHAT_WORLD_H_

#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "chat/engine.h"
#include "tests/chat/fake_log.h"

namespace parley {

// A clock that the test moves; no files.
class TestEnv : public Env {
 public:
  int64_t now_ms = 1764000000000;
  uint64_t random = 42;

  int64_t NowMs() override { return now_ms; }
  int64_t MonotonicUs() override { return now_ms * 1000; }
  void Random(void* data, size_t bytes) override {
    for (size_t i = 0; i < bytes; ++i) {
      random = random * 6364136223846793005 + 1442695040888963407;
      static_cast<unsigned char*>(data)[i] = static_cast<unsigned char>(random >> 56);
    }
  }
  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string&) override {
    return Error(NoFiles());
  }
  Result<std::string> ReadFile(const std::string&) override { return Error(NoFiles()); }
  bool Exists(const std::string&) override { return false; }
  Result<std::vector<std::string>> List(const std::string&) override { return Error(NoFiles()); }
  Status MakeDir(const std::string&) override { return NoFiles(); }
  Status Remove(const std::string&) override { return NoFiles(); }
  Status Rename(const std::string&, const std::string&) override { return NoFiles(); }
  Status SyncDir(const std::string&) override { return NoFiles(); }

 private:
  static Status NoFiles() { return {Code::kIoError, "there are no files here"}; }
};

class FakeAccounts : public Accounts {
 public:
  std::set<std::string> users;
  std::map<std::string, KeyName> keys;
  std::map<KeyName, KeyLimits> limits;
  std::map<KeyName, KeyUse> used;

  bool Exists(const UserId& user) const override { return users.contains(user.str()); }
  KeyName KeyOf(const UserId& user) const override {
    auto key = keys.find(user.str());
    return key == keys.end() ? KeyName() : key->second;
  }
  KeyLimits Limits(const KeyName& key) const override {
    auto found = limits.find(key);
    return found == limits.end() ? KeyLimits() : found->second;
  }
  KeyUse UsedToday(const KeyName& key) const override {
    auto found = used.find(key);
    return found == used.end() ? KeyUse() : found->second;
  }
  void RecordUse(const KeyName& key, const KeyUse& use) override { used[key] = use; }
};

// Jobs that run when the test says so, in any order; what they return comes back to the engine
// when the test says so, in any order.
class ManualReaders : public Readers {
 public:
  void Submit(std::function<Continuation()> job) override { jobs.push_back(std::move(job)); }

  void Run(size_t which) {
    auto job = std::move(jobs.at(which));
    jobs.erase(jobs.begin() + static_cast<std::ptrdiff_t>(which));
    done.push_back(job());
  }
  Continuation Take(size_t which) {
    Continuation then = std::move(done.at(which));
    done.erase(done.begin() + static_cast<std::ptrdiff_t>(which));
    return then;
  }

  std::deque<std::function<Continuation()>> jobs;
  std::deque<Continuation> done;
};

// What a session got, as the broker would have published it.
struct Device {
  SessionId session = 0;
  std::string user;
  std::string id;
  std::vector<std::string> inbox;
  std::vector<std::string> receipts;
  std::vector<std::string> answers;
  std::vector<Effect> effects;  // all, in order
};

class World {
 public:
  explicit World(EngineOptions given = {}) : options(given) {
    accounts.users = {"alice", "bob", "carol", "dave", "eve", "frank", "gina", "gate"};
    Start();
  }

  // A new engine on what the log has committed; whoever was connected isn't any more.
  void Restart() {
    engine.reset();
    readers.jobs.clear();
    readers.done.clear();
    release.reset();
    log.Crash();
    devices.clear();
    Start();
  }

  // What devices do. Each is a turn of its own; nothing is committed or read by it.

  Device& Connect(const std::string& user, const std::string& device, bool service = false) {
    Device& made = devices[++last_session_];
    made.session = last_session_;
    made.user = user;
    made.id = device;
    Turn(Connected{made.session, UserId(user), DeviceId(device), KeyName(), service});
    return made;
  }
  // Connected, and subscribed to inbox and receipts.
  Device& Join(const std::string& user, const std::string& device) {
    Device& made = Connect(user, device);
    Turn(Subscribed{made.session, Channel::kInbox});
    Turn(Subscribed{made.session, Channel::kReceipt});
    return made;
  }
  void Leave(Device& device) {
    SessionId session = device.session;
    Turn(Disconnected{session});
    devices.erase(session);
  }
  void Subscribe(const Device& device, Channel channel = Channel::kInbox) {
    Turn(Subscribed{device.session, channel});
  }
  void Unsubscribe(const Device& device, Channel channel = Channel::kInbox) {
    Turn(Unsubscribed{device.session, channel});
  }
  void Publish(const Device& device, const std::string& topic, const std::string& payload) {
    Turn(PublishOf(device, topic, payload));
  }
  Published PublishOf(const Device& device, const std::string& topic, const std::string& payload) {
    Published published;
    published.session = device.session;
    published.ts_ms = env.now_ms;
    published.topic = topic;
    published.payload = payload;
    return published;
  }
  // A message with an id and a string as its body.
  void Send(const Device& device, const std::string& to, const std::string& id,
            const std::string& body) {
    Publish(device, "chat/" + to, R"({"id":")" + id + R"(","body":")" + body + R"("})");
  }
  void Confirm(const Device& device, uint64_t delivered) {
    Publish(device, "receipt/" + device.user, "{\"delivered\":" + std::to_string(delivered) + "}");
  }
  void ConfirmRead(const Device& device, uint64_t read) {
    Publish(device, "receipt/" + device.user, "{\"read\":" + std::to_string(read) + "}");
  }
  // A request and its answer, everything settled.
  nlohmann::json Ask(Device& device, const std::string& method, const std::string& members = "") {
    Publish(device, "ask/" + method,
            "{\"rid\":\"q\"" + (members.empty() ? "" : "," + members) + "}");
    Settle();
    for (auto answer = device.answers.rbegin(); answer != device.answers.rend(); ++answer) {
      auto parsed = nlohmann::json::parse(*answer);
      if (parsed.value("rid", "") == "q") return parsed;
    }
    return {};
  }

  void Turn(Command command) {
    engine->Handle(std::move(command));
    engine->EndTurn();
  }
  void Tick(int64_t pass_ms = 0) {
    env.now_ms += pass_ms;
    engine->Tick();
    engine->EndTurn();
  }

  // What the machine does.

  void RunRead(size_t which = 0) { readers.Run(which); }
  void TakeRead(size_t which = 0) { Turn(readers.Take(which)); }
  // Reads until none is waiting; those commit what they wait for.
  void ReadAll() {
    while (!readers.jobs.empty() || !readers.done.empty()) {
      while (!readers.jobs.empty()) RunRead();
      while (!readers.done.empty()) TakeRead();
    }
  }
  // Brings what is released to the devices.
  void Deliver(size_t max = SIZE_MAX) {
    std::vector<Effect> effects;
    release->Take(max, &effects);
    for (Effect& effect : effects) {
      auto device = devices.find(effect.session);
      if (device != devices.end()) Arrive(device->second, std::move(effect));
    }
  }
  void Settle() {
    do {
      ReadAll();
      log.Commit();
    } while (!readers.jobs.empty() || !readers.done.empty());
    Deliver();
  }
  // The journal refuses all that is queued, and the engine hears of it.
  void FailJournal(const Status& why = {Code::kUnavailable, "disk full"}) {
    TellFailed(log.Fail(), why);
  }
  void TellFailed(Lsn first, const Status& why = {Code::kUnavailable, "disk full"}) {
    Turn(Continuation([first, why](Engine& e) { e.JournalFailed(first, why); }));
  }
  void TellStores() {
    Turn(Continuation([](Engine& e) { e.StoresChanged(); }));
  }

  EngineOptions options;
  TestEnv env;
  FakeAccounts accounts;
  FakeLog log;
  ManualReaders readers;
  std::unique_ptr<Release> release;
  std::unique_ptr<Engine> engine;
  std::map<SessionId, Device> devices;

 private:
  void Start() {
    release = std::make_unique<Release>([] {});
    log.on_committed = [this](Lsn last) { release->Committed(last); };
    engine = std::make_unique<Engine>(options, &env, &log, &accounts, &readers, release.get());
  }

  static void Arrive(Device& device, Effect effect) {
    if (effect.channel == Channel::kInbox) {
      std::string payload;
      AppendMessage(effect.seq, *effect.rest, &payload);
      device.inbox.push_back(payload);
    } else if (!effect.payload.empty()) {
      (effect.channel == Channel::kReceipt ? device.receipts : device.answers)
          .push_back(effect.payload);
    }
    device.effects.push_back(std::move(effect));
  }

  SessionId last_session_ = 0;
};

// Numbers as a test compares them: "1-5 7" for 1, 2, 3, 4, 5, 7.
inline std::string Ranges(const std::vector<uint64_t>& seqs) {
  std::string text;
  for (size_t i = 0; i < seqs.size();) {
    size_t end = i + 1;
    while (end < seqs.size() && seqs[end] == seqs[end - 1] + 1) ++end;
    text += (text.empty() ? "" : " ") + std::to_string(seqs[i]);
    if (end > i + 1) text += "-" + std::to_string(seqs[end - 1]);
    i = end;
  }
  return text;
}
// Those of the messages in an array, or in a device's inbox.
inline std::string SeqsOf(const nlohmann::json& messages) {
  std::vector<uint64_t> seqs;
  for (const auto& message : messages) seqs.push_back(message.at("seq").get<uint64_t>());
  return Ranges(seqs);
}
inline std::string SeqsOf(const std::vector<std::string>& inbox) {
  std::vector<uint64_t> seqs;
  for (const std::string& message : inbox) {
    seqs.push_back(nlohmann::json::parse(message).at("seq").get<uint64_t>());
  }
  return Ranges(seqs);
}

}  // namespace parley

#endif  // PARLEY_TESTS_CHAT_WORLD_H_
