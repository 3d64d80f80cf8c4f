// The engine with everything around it in the test's hands: clock, accounts, log, readers, and
// devices that keep what they get. One thread; nothing happens until the test says so.
#ifndef PARLEY_TESTS_CHAT_WORLD_H_
#define PARLEY_TESTS_CHAT_WORLD_H_

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chat/engine.h"
#include "tests/chat/fake_log.h"
#include "tests/chat/fake_roster.h"

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
  std::map<KeyName, Webhook> webhooks;
  std::set<KeyName> no_strangers;  // may write to accounts of these keys
  std::map<std::string, std::map<std::string, int64_t>> seen;    // user → device → when
  std::map<std::string, std::set<std::string>> removed_devices;  // of each user
  std::map<std::string, std::string> names;
  std::map<std::string, std::string> passwords;
  size_t last_seen_reads = 0;
  Status broken;  // what reads of the database say

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
  void RecordSeen(const UserId& user, const DeviceId& device, int64_t ts_ms) override {
    seen[user.str()][device.str()] = ts_ms;
  }
  bool StrangersAllowed(const KeyName& key) const override { return !no_strangers.contains(key); }
  std::shared_ptr<const Webhook> WebhookOf(const KeyName& key) const override {
    auto found = webhooks.find(key);
    return found == webhooks.end() ? nullptr : std::make_shared<const Webhook>(found->second);
  }
  bool AnyWebhook() const override { return !webhooks.empty(); }

  Result<std::vector<Device>> Devices(const UserId& user) override {
    if (!broken.ok()) return Error(broken);
    std::vector<Device> devices;
    for (const auto& [device, ts_ms] : seen[user.str()]) {
      devices.push_back({DeviceId(device), ts_ms});
    }
    std::sort(devices.begin(), devices.end(),
              [](const auto& a, const auto& b) { return a.last_seen_ms > b.last_seen_ms; });
    return devices;
  }
  Status RemoveDevice(const UserId& user, const DeviceId& device) override {
    if (!broken.ok()) return broken;
    if (seen[user.str()].erase(device.str()) == 0) return {Code::kNotFound, "no such device"};
    removed_devices[user.str()].insert(device.str());
    return {};
  }
  Result<std::vector<int64_t>> LastSeen(const std::vector<UserId>& which) override {
    if (!broken.ok()) return Error(broken);
    ++last_seen_reads;
    std::vector<int64_t> last;
    for (const UserId& user : which) {
      last.push_back(0);
      for (const auto& [device, ts_ms] : seen[user.str()]) {
        last.back() = std::max(last.back(), ts_ms);
      }
    }
    return last;
  }
  Result<AccountInfo> Info(const UserId& user) override {
    if (!broken.ok()) return Error(broken);
    return AccountInfo{"user", KeyOf(user), names[user.str()], passwords.contains(user.str()),
                       1750000000000};
  }
  Status SetName(const UserId& user, const std::string& name) override {
    if (!broken.ok()) return broken;
    names[user.str()] = name;
    return {};
  }
  Status ChangePassword(const UserId& user, const std::string& old_password,
                        const std::string& new_password) override {
    if (!broken.ok()) return broken;
    std::string& password = passwords[user.str()];
    if (password != old_password) return {Code::kDenied, "the old password is wrong"};
    password = new_password;
    return {};
  }
  Result<std::string> IssueToken(const UserId& user, const DeviceId& device,
                                 int64_t ttl_s) override {
    if (!broken.ok()) return Error(broken);
    return user.str() + "/" + device.str() + "/" + std::to_string(ttl_s);
  }
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
struct TestDevice {
  SessionId session = 0;
  std::string user;
  std::string id;
  std::vector<std::string> inbox;
  std::vector<std::string> receipts;
  std::vector<std::string> presence;
  std::vector<std::string> typing;
  std::vector<std::string> group;  // what came on group/<id>, all of them
  std::vector<std::string> answers;
  std::vector<std::string> pushes;
  std::vector<Effect> effects;  // all to it alone, in order
  bool closed = false;          // the engine wants its connection ended
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

  TestDevice& Connect(const std::string& user, const std::string& device, bool service = false,
                      bool held = false) {
    TestDevice& made = devices[++last_session_];
    made.session = last_session_;
    made.user = user;
    made.id = device;
    Turn(Connected{made.session, UserId(user), DeviceId(device), service, held});
    return made;
  }
  // Connected, and subscribed to inbox and receipts.
  TestDevice& Join(const std::string& user, const std::string& device) {
    TestDevice& made = Connect(user, device);
    Turn(Subscribed{made.session, Channel::kInbox});
    Turn(Subscribed{made.session, Channel::kReceipt});
    return made;
  }
  // Connected, and subscribed to presence and typing.
  TestDevice& Watch(const std::string& user, const std::string& device) {
    TestDevice& made = Connect(user, device);
    Turn(Subscribed{made.session, Channel::kPresence});
    Turn(Subscribed{made.session, Channel::kTyping});
    return made;
  }
  void Leave(TestDevice& device) {
    SessionId session = device.session;
    Turn(Disconnected{session});
    devices.erase(session);
  }
  // Its connection breaks, and the broker finds a will on its user's presence.
  void Lose(TestDevice& device) {
    UserId user(device.user);
    Leave(device);
    Turn(Lost{user});
  }
  void SubscribeGroup(const TestDevice& device, const std::string& group, int8_t qos = 0) {
    Turn(Subscribed{device.session, Channel::kGroup, GroupId(group), qos});
  }
  void Subscribe(const TestDevice& device, Channel channel = Channel::kInbox) {
    Turn(Subscribed{device.session, channel});
  }
  void Unsubscribe(const TestDevice& device, Channel channel = Channel::kInbox) {
    Turn(Unsubscribed{device.session, channel});
  }
  void Publish(const TestDevice& device, const std::string& topic, const std::string& payload) {
    Turn(PublishOf(device, topic, payload));
  }
  Published PublishOf(const TestDevice& device, const std::string& topic,
                      const std::string& payload) {
    Published published;
    published.session = device.session;
    published.ts_ms = env.now_ms;
    published.topic = topic;
    published.payload = payload;
    return published;
  }
  // A message with an id and a string as its body.
  void Send(const TestDevice& device, const std::string& to, const std::string& id,
            const std::string& body) {
    Publish(device, "chat/" + to, R"({"id":")" + id + R"(","body":")" + body + R"("})");
  }
  void Confirm(const TestDevice& device, uint64_t delivered) {
    Publish(device, "receipt/" + device.user, "{\"delivered\":" + std::to_string(delivered) + "}");
  }
  void ConfirmRead(const TestDevice& device, uint64_t read) {
    Publish(device, "receipt/" + device.user, "{\"read\":" + std::to_string(read) + "}");
  }
  // A request and its answer, everything settled.
  nlohmann::json Ask(TestDevice& device, const std::string& method,
                     const std::string& members = "") {
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
  // Time passes as it does on the engine's thread, everything settled.
  void Pass(int64_t ms) {
    Settle();
    for (; ms > 0; ms -= kTickMs) {
      Tick(std::min(ms, kTickMs));
      Settle();
    }
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
      if (effect.fanout) {
        ArriveAtAll(effect);
        continue;
      }
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
  FakeRoster roster;
  TopicMembers topic_members;
  FakeLog log;
  ManualReaders readers;
  std::unique_ptr<Release> release;
  std::unique_ptr<Engine> engine;
  std::map<SessionId, TestDevice> devices;

 private:
  static constexpr int64_t kTickMs = 100;

  void Start() {
    release = std::make_unique<Release>([] {});
    log.roster = &roster;
    log.on_committed = [this](Lsn last) { release->Committed(last); };
    (void)roster.ForEachTopicMember(
        [this](const GroupId& group, const UserId& user) { topic_members.Add(group, user); });
    engine = std::make_unique<Engine>(options, &env, &log, &accounts, &roster, &topic_members,
                                      &readers, release.get());
    Status loaded = engine->LoadPush();
    if (!loaded.ok()) throw std::runtime_error(loaded.ToString());
  }

  void ArriveAtAll(const Effect& effect) {
    for (uint32_t i = effect.first; i < effect.end; ++i) {
      auto device = devices.find(effect.fanout->to.at(i).session);
      if (device == devices.end()) continue;
      std::string payload;
      AppendGroupMessage(*effect.rest, &payload);
      device->second.group.push_back(payload);
    }
  }

  static void Arrive(TestDevice& device, Effect effect) {
    if (effect.channel == Channel::kInbox) {
      std::string payload;
      AppendMessage(effect.seq, *effect.rest, &payload);
      device.inbox.push_back(payload);
    } else if (effect.close) {
      device.closed = true;
    } else if (!effect.payload.empty()) {
      ListOf(device, effect.channel).push_back(effect.payload);
    }
    device.effects.push_back(std::move(effect));
  }

  static std::vector<std::string>& ListOf(TestDevice& device, Channel channel) {
    if (channel == Channel::kReceipt) return device.receipts;
    if (channel == Channel::kPresence) return device.presence;
    if (channel == Channel::kTyping) return device.typing;
    if (channel >= Channel::kPushWebPush && channel <= Channel::kPushApns) return device.pushes;
    return device.answers;
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
