// The engine under any commands of several users, while reads come back in any order and the
// journal, the stores and the database fail and heal. Whatever happens: what is committed has no
// gap, nothing twice and nothing that somebody may not see (committed.h); what devices are shown is
// what is committed; each request has one answer, and it is JSON that says what it may.
//
// The input is a script, so that a corpus can be written and read. A line is a letter and what
// belongs to it; a digit names one of kDevices:
//
//   +0  -0  !0        device 0 connects, leaves, loses its connection
//   s0 FILTER         … subscribes; u0 FILTER unsubscribes (what it may not is left out)
//   p0 TOPIC PAYLOAD  … publishes; t0 as text/plain, j0 as application/json, v0 with a response
//                     topic. `{` at the end begins a turn of many commands; `}` ends it
//   R1 T1 C1 D1       runs a read, takes one that was run, commits batches, delivers effects
//   S                 all of it until nothing is left
//   W100              milliseconds pass
//   F K X             the journal refuses (again F: the engine hears of it), sticks, is restarted
//   B0 U0 O E         store of device 0's user goes down, can't be read (10, 11: of the groups g
//   and
//                     h); the roster goes down; the database breaks
#include <nlohmann/json.hpp>
#include <optional>

#include "plugin/access.h"
#include "tests/chat/world.h"
#include "tests/fuzz/committed.h"
#include "tests/fuzz/fuzz.h"

namespace parley::fuzz {
namespace {

using nlohmann::json;

constexpr size_t kLinesMax = 300;

struct Name {
  const char* user;
  const char* device;
  Role role;
};
constexpr Name kDevices[] = {
    {"alice", "alice:1", Role::kUser}, {"alice", "alice:2", Role::kUser},
    {"bob", "bob:1", Role::kUser},     {"bob", "bob:2", Role::kUser},
    {"carol", "carol", Role::kUser},   {"dave", "dave", Role::kUser},
    {"eve", "eve", Role::kUser},       {"frank", "frank", Role::kUser},
    {"gina", "gina", Role::kUser},     {"gate", "gate", Role::kService},
};
constexpr size_t kDeviceCount = sizeof kDevices / sizeof kDevices[0];

// One of kDevices, over all its connections.
struct Gadget {
  TestDevice* now = nullptr;  // connected as
  size_t looked_at = 0;       // effects of this connection that were checked
  bool inbox = false;
  uint64_t begin = 0;                // the end of its user's log when it subscribed
  std::optional<uint64_t> last;      // it was shown all of its inbox from where it began to this
  uint64_t confirmed = 0;            // it said, ever, that it has all up to this
  std::map<std::string, int> asked;  // by correlation data; how many answers came

  void Begin(TestDevice* connected) {
    now = connected;
    looked_at = 0;
    inbox = false;
    asked.clear();
  }
};

class Play {
 public:
  Play() : world_(Options()) {
    const KeyName key("k");
    world_.accounts.keys = {{"eve", key}, {"frank", key}};
    world_.accounts.limits[key] = {.rate = 20, .quota = 30};
    world_.accounts.no_strangers = {key};
    world_.accounts.passwords["alice"] = "old";
  }

  void Line(std::string_view line) {
    Input input(line);
    const char what = static_cast<char>(input.Byte());
    if (std::string_view("+-!suptjv").find(what) != std::string_view::npos) {
      const size_t device = static_cast<size_t>(input.Byte() - '0');
      if (device < kDeviceCount) Act(what, device, input.rest().substr(input.empty() ? 0 : 1));
    } else {
      Happen(what, NumberOf(input.rest()));
    }
    Look();
  }

  // All heals, everybody comes; then everybody must see all that is theirs.
  void Finish() {
    EndTurn();
    Heal();
    for (int64_t ms : {1000, 61000, 1000}) {
      world_.Settle();
      Look();
      for (size_t device = 0; device < kDeviceCount; ++device) ConnectAgain(device);
      world_.Tick(ms);
    }
    world_.Settle();
    Look();
    for (size_t device = 0; device < kDeviceCount; ++device) CheckLog(device);
    for (const Gadget& gadget : gadgets_) {
      for (const auto& [correlation, answers] : gadget.asked) {
        FUZZ_REQUIRE(answers == 1, correlation + " has answers: " + std::to_string(answers));
      }
    }
  }

 private:
  static EngineOptions Options() {
    EngineOptions options;
    options.window = 3;
    options.max_body = 4096;
    options.user_rate = 50;
    options.user_burst_s = 2;
    options.cache_bytes = 4000;
    options.user_cache_messages = 3;
    options.parked_max = 10;
    options.sync_waiting_max = 2;
    options.user_idle_ms = 2000;
    options.inbox_members_max = 4;
    options.topic_members_max = 6;
    options.receipt_members_max = 3;
    options.contacts_max = 3;
    return options;
  }
  static std::string User(size_t device) { return kDevices[device].user; }
  static Who WhoIs(size_t device) {
    const Name& name = kDevices[device];
    return {UserId(name.user), DeviceId(name.device), name.role};
  }
  // Digits at the front.
  static uint64_t NumberOf(std::string_view text) {
    uint64_t number = 0;
    for (size_t i = 0; i < text.size() && i < 6 && text[i] >= '0' && text[i] <= '9'; ++i) {
      number = number * 10 + static_cast<uint64_t>(text[i] - '0');
    }
    return number;
  }

  // Devices.

  void Act(char what, size_t device, std::string_view rest) {
    Gadget& gadget = gadgets_[device];
    if (what == '+') {
      if (gadget.now == nullptr) Connect(device);
      return;
    }
    if (gadget.now == nullptr) return;
    if (what == '-' || what == '!') return Leave(device, what == '!');
    if (what == 's') return Subscribe(device, rest);
    if (what == 'u') return Unsubscribe(device, rest);
    Input words(rest);
    const std::string_view topic = words.Until(' ');
    std::string_view payload = words.rest();
    const bool more = payload.ends_with(" {");  // the turn goes on
    if (more) payload.remove_suffix(2);
    Publish(device, what, topic, payload);
    if (!more) EndTurn();
  }
  void Connect(size_t device) {
    const Name& name = kDevices[device];
    gadgets_[device].Begin(&world_.Connect(name.user, name.device, name.role == Role::kService));
  }
  void ConnectAgain(size_t device) {
    if (gadgets_[device].now == nullptr) Connect(device);
    if (!gadgets_[device].inbox) Subscribe(device, "chat/" + User(device));
  }
  void Leave(size_t device, bool lost) {
    TestDevice& now = *gadgets_[device].now;
    gadgets_[device].Begin(nullptr);
    lost ? world_.Lose(now) : world_.Leave(now);
  }
  // As the plugin does.
  void Subscribe(size_t device, std::string_view filter) {
    auto to = MaySubscribe(WhoIs(device), filter);
    if (!to || to->admin || !Drained(to->channel)) return;
    if (to->channel == Channel::kGroup && !world_.topic_members.Has(to->group, WhoIs(device).user))
      return;
    Gadget& gadget = gadgets_[device];
    if (to->channel == Channel::kInbox && !gadget.inbox) {
      gadget.inbox = true;
      gadget.begin = committed_.Log(User(device)).size();
      gadget.last = committed_.Begin(User(device), gadget.now->id);
      // What waits for a read may get its number before the device begins, or after it.
      if (!world_.readers.jobs.empty() || !world_.readers.done.empty()) gadget.last.reset();
    }
    world_.Turn(Subscribed{gadget.now->session, to->channel, to->group, 1});
  }
  void Unsubscribe(size_t device, std::string_view filter) {
    auto to = MaySubscribe(WhoIs(device), filter);
    if (!to || to->admin || !Drained(to->channel)) return;
    if (to->channel == Channel::kInbox) gadgets_[device].inbox = false;
    world_.Turn(Unsubscribed{gadgets_[device].now->session, to->channel, to->group});
  }
  // What is on its way to an inbox would come mixed with what the next subscription brings.
  bool Drained(Channel channel) {
    if (channel != Channel::kInbox) return true;
    EndTurn();
    world_.log.Commit();
    world_.Deliver();
    Look();
    return world_.release->size() == 0;
  }
  void Publish(size_t device, char how, std::string_view topic, std::string_view payload) {
    if (!ValidUtf8(topic)) return;  // the broker refuses it
    auto may = MayPublish(WhoIs(device), topic);
    if (!may || *may != PublishKind::kCommand) return;
    Gadget& gadget = gadgets_[device];
    Published published = world_.PublishOf(*gadget.now, std::string(topic), std::string(payload));
    if (how == 't') published.content_type = ContentType::kText;
    if (how == 'j') published.content_type = ContentType::kObject;
    if (how == 'v') published.response_topic = "answer/" + gadget.now->id + "/r";
    // Of a message it would be the id.
    if (topic.starts_with("ask/") || topic.find("/ask/") != topic.npos) {
      published.correlation = "c" + std::to_string(++correlations_);
      gadget.asked[published.correlation] = 0;
    }
    if (topic.starts_with("receipt/")) NoteReceipt(gadget, payload);
    world_.engine->Handle(std::move(published));
  }
  static void NoteReceipt(Gadget& gadget, std::string_view payload) {
    const auto receipt = ParseObject(payload);
    if (!receipt) return;
    for (const char* kind : {"delivered", "read"}) {
      uint64_t seq = 0;
      if (ReadNumber(*receipt, kind, 0, UINT64_MAX, &seq).ok()) {
        gadget.confirmed = std::max(gadget.confirmed, seq);
      }
    }
  }
  void EndTurn() { world_.engine->EndTurn(); }

  // The machine.

  void Happen(char what, uint64_t number) {
    // A user's store, or from 10 on that of a group.
    const UserId owner(number < kDeviceCount ? User(number) : number % 2 == 0 ? "g" : "h");
    switch (what) {
      case '}':
        return EndTurn();
      case 'R':
        if (!world_.readers.jobs.empty()) world_.RunRead(number % world_.readers.jobs.size());
        return;
      case 'T':
        if (!world_.readers.done.empty()) world_.TakeRead(number % world_.readers.done.size());
        return;
      case 'C':
        return world_.log.Commit(1 + number);
      case 'D':
        return world_.Deliver(1 + number);
      case 'S':
        EndTurn();
        return world_.Settle();
      case 'W':
        return world_.Tick(static_cast<int64_t>(number % 100'000));
      case 'F':
        return Refuse();
      case 'K':
        if (refused_) return;
        stuck_ = !stuck_;
        return world_.log.SetStuck(stuck_);
      case 'X':
        return Restart();
      case 'B':
        world_.log.SetDown(owner, world_.log.store_ok(owner.str()));
        return world_.TellStores();
      case 'U':
        if (unreadable_.erase(owner) == 0) unreadable_.insert(owner);
        return world_.log.SetUnreadable(owner, unreadable_.contains(owner));
      case 'O':
        return world_.log.SetRosterDown(world_.log.roster_ok());
      case 'E':
        world_.accounts.broken =
            world_.accounts.broken.ok() ? Status(Code::kIoError, "/disk: broken") : Status();
        return;
      default:
        return;
    }
  }
  void Refuse() {
    EndTurn();
    if (refused_) {
      world_.TellFailed(*std::exchange(refused_, std::nullopt));
    } else if (!stuck_) {
      refused_ = world_.log.Fail();
    }
  }
  void Restart() {
    EndTurn();
    refused_.reset();
    stuck_ = false;
    for (Gadget& gadget : gadgets_) gadget.Begin(nullptr);
    world_.Restart();
  }
  void Heal() {
    if (stuck_) world_.log.SetStuck(stuck_ = false);
    if (refused_) world_.TellFailed(*std::exchange(refused_, std::nullopt));
    for (const char* owner :
         {"alice", "bob", "carol", "dave", "eve", "frank", "gina", "gate", "g", "h"}) {
      world_.log.SetDown(UserId(owner), false);
      world_.log.SetUnreadable(UserId(owner), false);
    }
    world_.log.SetRosterDown(false);
    world_.accounts.broken = Status();
    world_.TellStores();
  }

  // What devices were shown.

  void Look() {
    committed_.Grow(world_.log.transactions());
    for (size_t device = 0; device < kDeviceCount; ++device) {
      Gadget& gadget = gadgets_[device];
      if (gadget.now == nullptr) continue;
      for (; gadget.looked_at < gadget.now->effects.size(); ++gadget.looked_at) {
        Look(device, gadget.now->effects[gadget.looked_at]);
      }
      for (const std::string& text : gadget.now->group) LookAtGroup(device, text);
      gadget.now->group.clear();
      if (gadget.now->closed) Leave(device, false);  // as the broker does
    }
  }
  void Look(size_t device, const Effect& effect) {
    FUZZ_REQUIRE(effect.needs <= world_.log.committed(), "shown before it was committed");
    if (effect.channel == Channel::kInbox) return LookAtInbox(device, effect);
    if (effect.close || effect.payload.empty()) return;
    const json told = json::parse(effect.payload, nullptr, false);
    FUZZ_REQUIRE(told.is_object(), effect.payload);
    FUZZ_REQUIRE(effect.payload.size() <= kAnswerBytesMax, std::to_string(effect.payload.size()));
    if (effect.channel == Channel::kReceipt) LookAtReceipt(device, told);
    if (effect.channel == Channel::kAnswer) LookAtAnswer(device, effect, told);
  }
  void LookAtInbox(size_t device, const Effect& effect) {
    Gadget& gadget = gadgets_[device];
    std::string text;
    AppendMessage(effect.seq, *effect.rest, &text);
    const auto& log = committed_.Log(User(device));
    const uint64_t seq = effect.seq.value();
    FUZZ_REQUIRE(seq >= 1 && seq <= log.size() && text == log[seq - 1], text);
    if (!gadget.last && seq > gadget.begin) gadget.last = seq;
    if (!gadget.last) return;
    // No gap. Again what it has had: the outcome of what it sent again.
    FUZZ_REQUIRE(seq <= std::max(*gadget.last, gadget.confirmed) + 1,
                 "after " + std::to_string(*gadget.last) + " came " + text);
    gadget.last = std::max(*gadget.last, seq);
  }
  void LookAtGroup(size_t device, const std::string& text) {
    const json message = json::parse(text);
    const std::string group = message["group"];
    const uint64_t gseq = message["gseq"];
    const auto& log = committed_.GroupLog(group);
    FUZZ_REQUIRE(gseq >= 1 && gseq <= log.size() && text == log[gseq - 1], text);
    FUZZ_REQUIRE(committed_.MaySee(User(device), group, gseq), User(device) + " " + text);
  }
  void LookAtReceipt(size_t device, const json& receipt) {
    const size_t most = receipt.contains("group") ? committed_.GroupLog(receipt["group"]).size()
                                                  : committed_.Log(User(device)).size();
    for (const char* kind : {"delivered", "read"}) {
      FUZZ_REQUIRE(receipt.value(kind, uint64_t{0}) <= most, receipt.dump());
    }
  }
  void LookAtAnswer(size_t device, const Effect& effect, const json& answer) {
    auto asked = gadgets_[device].asked.find(effect.correlation);
    if (asked != gadgets_[device].asked.end()) ++asked->second;
    FUZZ_REQUIRE(answer["ok"].is_boolean() && answer["ok"] != answer.contains("error"),
                 effect.payload);
    if (!answer["ok"]) {
      const std::string code = answer["error"]["code"];
      static const std::set<std::string> codes = {"bad_request", "too_large",  "denied",
                                                  "not_found",   "conflict",   "quota",
                                                  "busy",        "unavailable"};
      FUZZ_REQUIRE(codes.contains(code), effect.payload);
      const std::string why = answer["error"]["message"];
      FUZZ_REQUIRE(!why.starts_with("/disk") && !why.starts_with("/roster"), effect.payload);
    }
    if (answer.contains("messages") && answer.contains("floor"))
      LookAtSync(device, effect.payload, answer);
  }
  void LookAtSync(size_t device, const std::string& payload, const json& answer) {
    const std::string user = answer.value("user", User(device));
    for (const json& message : answer["messages"]) {
      const bool own = message.contains("seq");
      const auto& log = own ? committed_.Log(user) : committed_.GroupLog(message["group"]);
      const uint64_t seq = message[own ? "seq" : "gseq"];
      FUZZ_REQUIRE(seq >= 1 && seq <= log.size() && payload.find(log[seq - 1]) != payload.npos,
                   message.dump());
    }
  }

  // The whole log, page by page, is what was committed.
  void CheckLog(size_t device) {
    const auto& log = committed_.Log(User(device));
    uint64_t after = 0;
    for (;;) {
      json page = world_.Ask(*gadgets_[device].now, "sync",
                             "\"limit\":1000,\"after\":" + std::to_string(after));
      Look();
      FUZZ_REQUIRE(page["ok"] == true && page["head"] == log.size(), page.dump());
      for (const json& message : page["messages"]) {
        FUZZ_REQUIRE(message["seq"] == ++after, message.dump());
      }
      if (!page["more"].get<bool>()) break;
    }
    FUZZ_REQUIRE(after == log.size(), User(device) + " has " + std::to_string(after));
  }

  World world_;
  Committed committed_;
  std::vector<Gadget> gadgets_ = std::vector<Gadget>(kDeviceCount);
  std::optional<Lsn> refused_;  // the journal has, and the engine hasn't heard of it
  bool stuck_ = false;
  std::set<UserId> unreadable_;
  uint64_t correlations_ = 0;
};

}  // namespace

void Run(std::string_view bytes) {
  Input input(bytes);
  Play play;
  for (size_t i = 0; i < kLinesMax && !input.empty(); ++i) play.Line(input.Until('\n'));
  play.Finish();
}

}  // namespace parley::fuzz
