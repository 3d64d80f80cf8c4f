// Push: who is woken, by whom, and until when.
#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;

constexpr const char* kOptIn = R"("provider":"ntfy","target":"https://ntfy.example/bob")";

std::string CodeOf(const json& answer) {
  return answer.value("ok", false) ? "ok" : answer.at("error").at("code").get<std::string>();
}

// alice writes; bob has opted in and left; a gateway takes jobs of ntfy.
class Push {
 public:
  explicit Push(EngineOptions options = {}) : world(options) {
    alice = &world.Join("alice", "alice:1");
    OptIn("bob", kOptIn);
    Serve();
  }
  // A device of the user's opts in, and leaves.
  void OptIn(const std::string& user, const std::string& members) {
    TestDevice& device = world.Join(user, user + ":phone");
    REQUIRE(CodeOf(world.Ask(device, "push.subscribe", members)) == "ok");
    world.Leave(device);
    world.Settle();
  }
  void Serve() {
    gateway = &world.Connect("gate", "gate:1", true);
    world.Subscribe(*gateway, Channel::kPushNtfy);
  }
  void Say(const std::string& to, const std::string& body) {
    world.Send(*alice, to, "m" + std::to_string(++said_), body);
    world.Settle();
  }
  // What the gateway got since the last call.
  std::vector<json> Jobs() {
    world.Settle();
    std::vector<json> jobs;
    for (const std::string& push : gateway->pushes) jobs.push_back(json::parse(push));
    gateway->pushes.clear();
    return jobs;
  }
  json OneJob() {
    auto jobs = Jobs();
    REQUIRE(jobs.size() == 1);
    return jobs[0];
  }
  void Done(const json& job, const std::string& members = R"("ok":true)") {
    world.Publish(*gateway, "push/done", "{\"job\":" + job["job"].dump() + "," + members + "}");
    world.Settle();
  }
  std::vector<std::string> Dead() {
    CatchUp();
    std::vector<std::string> reasons;
    const auto letters = world.roster.PushDeadLetters(100);
    for (const PushDeadLetter& letter : *letters) reasons.push_back(letter.reason);
    return reasons;
  }
  size_t Kept() {
    CatchUp();
    return world.roster.PushJobs()->size();
  }
  void Restart() {
    world.Settle();
    world.Restart();
    alice = &world.Join("alice", "alice:1");
    Serve();
  }

  World world;
  TestDevice* alice = nullptr;
  TestDevice* gateway = nullptr;

 private:
  // The roster has all that is committed.
  void CatchUp() {
    world.Settle();
    world.log.CatchUpRoster();
  }

  int said_ = 0;
};

EngineOptions Eager() {
  EngineOptions options;
  options.push_delay_ms = 100;
  options.push_again_s = 0;
  return options;
}

}  // namespace

TEST_CASE("a message to somebody who isn't connected becomes a job that a gateway gets") {
  Push push;
  push.Say("bob", "hi");
  push.world.Pass(1000);
  CHECK(push.Jobs().empty());
  push.world.Pass(1100);
  json job = push.OneJob();
  CHECK(job["user"] == "bob");
  CHECK(job["device"] == "bob:phone");
  CHECK(job["provider"] == "ntfy");
  CHECK(job["target"] == "https://ntfy.example/bob");
  CHECK(job["with"] == "alice");
  CHECK(job["from"] == "alice");
  CHECK(job["seq"] == 1);
  CHECK(job["count"] == 1);
  CHECK(job["body"] == "hi");
  CHECK(job["tag"].get<std::string>().size() == 16);
  CHECK(job["lease_ms"] == 60000);
  push.Done(job);
  CHECK(push.gateway->answers.empty());
  CHECK(push.Kept() == 0);
  push.world.Pass(120'000);
  CHECK(push.Jobs().empty());
}

TEST_CASE("who is connected, with whatever device, is not woken") {
  Push push;
  TestDevice& laptop = push.world.Join("bob", "bob:laptop");
  push.Say("bob", "one");
  push.world.Pass(5000);
  CHECK(push.Jobs().empty());
  CHECK(push.Kept() == 0);
  push.world.Leave(laptop);
  push.Say("bob", "two");
  push.world.Join("bob", "bob:laptop");  // before the job is due
  push.world.Pass(5000);
  CHECK(push.Jobs().empty());
  CHECK(push.Kept() == 0);
}

TEST_CASE("what a lost connection had not confirmed wakes its device") {
  Push push(Eager());
  TestDevice& phone = push.world.Join("bob", "bob:phone");
  push.Say("bob", "confirmed");
  push.world.Confirm(phone, 1);
  push.Say("bob", "sent into the void");
  push.Say("bob", "and another");
  bool lost = GENERATE(true, false);
  lost ? push.world.Lose(phone) : push.world.Leave(phone);
  push.world.Pass(300);
  if (lost) {
    json job = push.OneJob();
    CHECK(job["seq"] == 3);
    CHECK(job["count"] == 2);
    CHECK(job["body"] == "and another");
  } else {
    CHECK(push.Jobs().empty());  // it said goodbye
  }
}

TEST_CASE("what a job tells of already isn't counted again when a connection is lost") {
  Push push;
  TestDevice& phone = push.world.Join("bob", "bob:phone");
  push.Say("bob", "confirmed");
  push.world.Confirm(phone, 1);
  push.world.Leave(phone);
  push.Say("bob", "two");
  push.world.Lose(push.world.Join("bob", "bob:phone"));
  push.world.Settle();
  push.Say("bob", "three");
  push.world.Pass(3000);
  json job = push.OneJob();
  CHECK(job["seq"] == 3);
  CHECK(job["count"] == 2);
}

TEST_CASE("a gateway whose password is still being checked gets no jobs") {
  Push push(Eager());
  push.world.Leave(*push.gateway);
  TestDevice& held = push.world.Connect("gate", "gate:2", true, true);
  push.world.Subscribe(held, Channel::kPushNtfy);
  push.gateway = &held;
  push.Say("bob", "one");
  push.world.Pass(300);
  CHECK(push.Jobs().empty());
  push.world.Turn(Welcomed{held.session});
  push.world.Pass(300);
  CHECK(push.OneJob()["body"] == "one");
}

TEST_CASE("a connection that is taken over, or confirmed everything, wakes nobody when lost") {
  Push push(Eager());
  TestDevice& phone = push.world.Join("bob", "bob:phone");
  push.Say("bob", "one");
  push.world.Confirm(phone, 1);
  bool taken_over = GENERATE(true, false);
  if (taken_over) {
    push.Say("bob", "two");
    push.world.Join("bob", "bob:phone");
  }
  push.world.Lose(phone);
  push.world.Pass(300);
  CHECK(push.Jobs().empty());
}

TEST_CASE("who waits for messages by sync is not woken") {
  Push push;
  TestDevice& poller = push.world.Connect("gate", "gate:2", true);
  push.world.Publish(poller, "as/bob/ask/sync", R"({"rid":"1","after":0,"wait":30})");
  push.world.Settle();
  push.Say("bob", "one");
  CHECK(push.Kept() == 0);
}

TEST_CASE("ten messages in two conversations wake a device once for each") {
  Push push;
  TestDevice& carol = push.world.Join("carol", "carol:1");
  for (int i = 1; i <= 5; ++i) {
    push.Say("bob", "from alice " + std::to_string(i));
    push.world.Send(carol, "bob", "c" + std::to_string(i), "from carol " + std::to_string(i));
  }
  push.world.Pass(3000);
  auto jobs = push.Jobs();
  REQUIRE(jobs.size() == 2);
  CHECK(jobs[0]["tag"] != jobs[1]["tag"]);
  for (const json& job : jobs) {
    CHECK(job["count"] == 5);
    CHECK(job["body"] == "from " + job["with"].get<std::string>() + " 5");
    push.Done(job);
  }
  push.world.Pass(3000);
  CHECK(push.Jobs().empty());
}

TEST_CASE("what comes while a job is out is the next job, and not at once") {
  Push push;
  push.Say("bob", "one");
  push.world.Pass(3000);
  json first = push.OneJob();
  push.Say("bob", "two");
  push.Say("bob", "three");
  push.world.Pass(3000);
  CHECK(push.Jobs().empty());
  push.Done(first);
  CHECK(push.Kept() == 1);
  push.world.Pass(20'000);
  CHECK(push.Jobs().empty());
  push.world.Pass(11'000);
  json next = push.OneJob();
  CHECK(next["job"] != first["job"]);
  CHECK(next["tag"] == first["tag"]);
  CHECK(next["count"] == 2);
  CHECK(next["body"] == "three");
}

TEST_CASE("a device that has been here since it was woken is woken at once again") {
  Push push;
  push.Say("bob", "one");
  push.world.Pass(3000);
  push.Done(push.OneJob());
  push.Say("bob", "two");
  push.world.Pass(3000);
  CHECK(push.Jobs().empty());
  push.world.Leave(push.world.Join("bob", "bob:phone"));
  push.world.Send(*push.alice, "bob", "again", "three");
  push.world.Pass(31'000);
  CHECK(push.OneJob()["body"] == "three");
}

TEST_CASE("what was read elsewhere in time is not pushed") {
  Push push;
  push.Say("bob", "one");
  TestDevice& poller = push.world.Connect("gate", "gate:2", true);
  push.world.Publish(poller, "as/bob/receipt/bob", R"({"read":1})");
  push.world.Settle();
  CHECK(push.Kept() == 0);
  push.world.Pass(3000);
  CHECK(push.Jobs().empty());
  push.Say("bob", "two");
  push.world.Publish(poller, "as/bob/receipt/bob", R"({"delivered":2})");
  push.world.Pass(3000);
  CHECK(push.OneJob()["body"] == "two");
}

TEST_CASE("edits, retractions and reactions wake nobody") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  push.Done(push.OneJob());
  for (const char* type : {"edit", "reaction", "retract"}) {
    push.world.Publish(
        *push.alice, "chat/bob",
        std::string(R"({"type":")") + type + R"(","body":"x","ref":{"from":"alice","id":"m1"}})");
    push.world.Settle();
  }
  push.world.Pass(300);
  CHECK(push.Jobs().empty());
}

TEST_CASE("a job that isn't done in time is handed out again, to whoever is there") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  json job = push.OneJob();
  push.world.Pass(60'500);
  CHECK(push.Jobs().empty());  // it waits a little first
  push.world.Pass(5'000);
  CHECK(push.OneJob()["job"] == job["job"]);
  push.world.Leave(*push.gateway);
  push.Serve();
  push.world.Pass(4'500);
  CHECK(push.Jobs().empty());
  push.world.Pass(800);
  json again = push.OneJob();
  CHECK(again == job);
  push.Done(again);
  CHECK(push.Kept() == 0);
}

TEST_CASE("a late answer ends a job that waits to be handed out again") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  json job = push.OneJob();
  push.world.Pass(61'000);
  push.Done(job);
  push.world.Pass(20'000);
  CHECK(push.Jobs().empty());
  CHECK(push.Kept() == 0);
}

TEST_CASE("what a gateway failed to deliver is tried later each time, then given up") {
  EngineOptions options = Eager();
  options.push_attempts_max = 3;
  Push push(options);
  push.Say("bob", "one");
  push.world.Pass(300);
  push.Done(push.OneJob(), R"("failed":"503")");
  push.world.Pass(4'800);
  CHECK(push.Jobs().empty());
  push.world.Pass(400);
  push.Done(push.OneJob(), R"("failed":"503","retry_after_ms":30000)");
  push.world.Pass(29'000);
  CHECK(push.Jobs().empty());
  push.world.Pass(1'500);
  push.Done(push.OneJob(), R"("failed":"503 the last")");
  CHECK(push.Kept() == 0);
  CHECK(push.Dead() == std::vector<std::string>{"503 the last"});
  CHECK(push.world.engine->counts().push_dead == 1);
}

TEST_CASE("a job that nobody takes grows old and is given up") {
  Push push;
  push.world.Leave(*push.gateway);
  push.Say("bob", "one");
  push.world.Tick(14'400'000);
  push.world.Settle();
  CHECK(push.Kept() == 1);
  push.world.Tick(1000);
  push.world.Settle();
  CHECK(push.Kept() == 0);
  CHECK(push.Dead().size() == 1);
}

TEST_CASE("a job that can't be delivered ever is a dead letter at once") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  push.Done(push.OneJob(), R"("drop":"400 bad request")");
  CHECK(push.Dead() == std::vector<std::string>{"400 bad request"});
  push.Say("bob", "two");
  push.world.Pass(300);
  CHECK(push.OneJob()["body"] == "two");
}

TEST_CASE("a target that is gone ends the opt-in, but not one that replaced it meanwhile") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  json job = push.OneJob();
  bool renewed = GENERATE(false, true);
  if (renewed) push.OptIn("bob", R"("provider":"ntfy","target":"https://ntfy.example/new")");
  push.Done(job, R"("gone":true)");
  push.Say("bob", "two");
  push.world.Pass(6000);
  auto jobs = push.Jobs();
  REQUIRE(jobs.size() == (renewed ? 1 : 0));
  if (renewed) CHECK(jobs[0]["target"] == "https://ntfy.example/new");
  TestDevice& phone = push.world.Join("bob", "bob:phone");
  CHECK(push.world.Ask(phone, "push.list")["push"].size() == (renewed ? 1 : 0));
}

TEST_CASE("a restart loses no job, and takes an answer to what was handed out before") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  json job = push.OneJob();
  push.Restart();
  bool answered = GENERATE(false, true);
  if (answered) push.Done(job);
  push.world.Pass(10'300);
  auto jobs = push.Jobs();
  REQUIRE(jobs.size() == (answered ? 0 : 1));
  if (!answered) CHECK(jobs[0] == job);
  push.Say("bob", "two");  // who has opted in is known
  push.world.Pass(300);
  CHECK(push.Kept() == 1);
}

TEST_CASE("after a restart devices have time to come back before they are woken") {
  EngineOptions options = Eager();
  options.presence_grace_ms = 5000;
  Push push(options);
  push.OptIn("carol", kOptIn);
  push.Say("bob", "one");
  push.Say("carol", "two");
  push.Restart();
  push.world.Pass(4500);
  CHECK(push.Jobs().empty());
  push.world.Join("bob", "bob:phone");
  push.world.Pass(1000);
  CHECK(push.OneJob()["user"] == "carol");
  CHECK(push.Kept() == 1);
}

TEST_CASE("a gateway that goes away is no attempt of its jobs, but a hundred end one") {
  EngineOptions options = Eager();
  options.push_attempts_max = 1;
  Push push(options);
  push.Say("bob", "one");
  push.world.Pass(300);
  for (uint32_t i = 1; i < kPushLossesMax; ++i) {
    REQUIRE(push.Jobs().size() == 1);
    push.world.Leave(*push.gateway);
    push.Serve();
    push.world.Tick(60'000);
  }
  REQUIRE(push.Jobs().size() == 1);
  CHECK(push.Dead().empty());
  push.world.Leave(*push.gateway);
  CHECK(push.Kept() == 0);
  CHECK(push.Dead() == std::vector<std::string>{"its gateway went away"});
  const EngineCounts counts = push.world.engine->counts();
  CHECK(counts.push_failed[static_cast<size_t>(PushProvider::kNtfy)] == 0);
}

TEST_CASE("a provider is left alone for a day at most, however long it says") {
  EngineOptions options = Eager();
  options.push_age_max_s = 1'000'000;
  Push push(options);
  push.Say("bob", "one");
  push.world.Pass(300);
  push.Done(push.OneJob(), R"("failed":"503","retry_after_ms":18446744073709551615)");
  push.world.Tick(24 * 3'600'000 - 1000);
  CHECK(push.Jobs().empty());
  push.world.Pass(2000);
  CHECK(push.Jobs().size() == 1);
}

TEST_CASE("what was delivered, failed or is gone is counted by provider") {
  Push push(Eager());
  push.OptIn("bob", R"("provider":"fcm","target":"token")");
  push.world.Subscribe(*push.gateway, Channel::kPushFcm);
  push.Say("bob", "one");
  push.world.Pass(300);
  for (const json& job : push.Jobs()) {
    push.Done(job, job["provider"] == "fcm" ? R"("gone":true)" : R"("failed":"503")");
  }
  push.world.Pass(6000);
  push.Done(push.OneJob());
  const EngineCounts counts = push.world.engine->counts();
  const size_t ntfy = static_cast<size_t>(PushProvider::kNtfy);
  const size_t fcm = static_cast<size_t>(PushProvider::kFcm);
  CHECK(counts.push_handed[ntfy] == 2);
  CHECK(counts.push_failed[ntfy] == 1);
  CHECK(counts.push_delivered[ntfy] == 1);
  CHECK(counts.push_gone[ntfy] == 0);
  CHECK(counts.push_handed[fcm] == 1);
  CHECK(counts.push_gone[fcm] == 1);
}

TEST_CASE(
    "a job that is out when its group's delivery changes is done, and what came is the next") {
  Push push(Eager());
  REQUIRE(CodeOf(push.world.Ask(*push.alice, "groups.create",
                                R"("group":"readers","members":["bob"])")) == "ok");
  for (int i = 0; i < 10; ++i) push.Say("bob", "so that bob's numbers are past the group's");
  push.world.Pass(300);
  push.Done(push.OneJob());
  push.world.Publish(*push.alice, "group/readers", "one");
  push.world.Pass(300);
  const json first = push.OneJob();
  REQUIRE(CodeOf(push.world.Ask(*push.alice, "groups.set",
                                R"("group":"readers","delivery":"topic")")) == "ok");
  push.world.Publish(*push.alice, "group/readers", "two");
  push.world.Settle();
  push.Done(first);
  push.world.Pass(300);
  const json second = push.OneJob();
  CHECK(second["count"] == 1);
  CHECK(second["gseq"] > first["gseq"]);
  CHECK_FALSE(second.contains("seq"));
  push.Done(second);
  CHECK(push.Kept() == 0);
}

TEST_CASE("a job whose message the journal refuses was never there") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  json first = push.OneJob();
  push.world.Send(*push.alice, "bob", "lost", "lost");
  push.world.FailJournal();
  push.world.Settle();
  push.Done(first);
  CHECK(push.Kept() == 0);
  push.world.Pass(300);
  CHECK(push.Jobs().empty());
  push.Say("bob", "two");
  push.world.Pass(300);
  CHECK(push.OneJob()["count"] == 1);
}

TEST_CASE("an end that the journal refuses is no end") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  json job = push.OneJob();
  push.world.Publish(*push.gateway, "push/done", "{\"job\":" + job["job"].dump() + ",\"ok\":true}");
  push.world.FailJournal();
  push.world.Pass(70'000);
  CHECK(push.OneJob() == job);
}

TEST_CASE("gateways take turns, and none has more than its window") {
  EngineOptions options = Eager();
  options.push_window = 2;
  Push push(options);
  TestDevice& other = push.world.Connect("gate", "gate:2", true);
  push.world.Subscribe(other, Channel::kPushNtfy);
  for (const char* user : {"carol", "dave", "eve", "frank", "gina"}) push.OptIn(user, kOptIn);
  for (const char* user : {"bob", "carol", "dave", "eve", "frank", "gina"}) push.Say(user, "hi");
  push.world.Pass(300);
  auto jobs = push.Jobs();
  CHECK(jobs.size() == 2);
  CHECK(other.pushes.size() == 2);
  push.Done(jobs[0]);
  push.world.Pass(300);
  CHECK(push.Jobs().size() == 1);
}

TEST_CASE("only service accounts get jobs and end them") {
  Push push(Eager());
  push.world.Subscribe(*push.alice, Channel::kPushNtfy);
  push.Say("bob", "one");
  push.world.Pass(300);
  CHECK(push.alice->pushes.empty());
  json job = push.OneJob();
  push.alice->answers.clear();
  push.world.Publish(*push.alice, "push/done", "{\"job\":" + job["job"].dump() + ",\"ok\":true}");
  push.world.Settle();
  REQUIRE(push.alice->answers.size() == 1);
  CHECK(CodeOf(json::parse(push.alice->answers[0])) == "denied");
  CHECK(push.Kept() == 1);
}

TEST_CASE("an answer that makes no sense is refused and changes nothing") {
  Push push(Eager());
  push.Say("bob", "one");
  push.world.Pass(300);
  json job = push.OneJob();
  const std::string name = job["job"].get<std::string>();
  auto code = [&](const std::string& payload) {
    push.gateway->answers.clear();
    push.world.Publish(*push.gateway, "push/done", payload);
    push.world.Settle();
    return CodeOf(json::parse(push.gateway->answers.at(0)));
  };
  CHECK(code("ok") == "bad_request");
  CHECK(code(R"({"ok":true})") == "bad_request");
  CHECK(code(R"({"job":"1","ok":true})") == "bad_request");
  CHECK(code(R"({"job":"1.1","ok":true})") == "not_found");
  CHECK(code(R"({"job":")" + name + R"("})") == "bad_request");
  CHECK(code(R"({"job":")" + name + R"(","ok":true,"gone":true})") == "bad_request");
  CHECK(code(R"({"job":")" + name + R"(","failed":""})") == "bad_request");
  CHECK(code(R"({"job":")" + name + R"(","ok":true,"failed":5})") == "bad_request");
  CHECK(code(R"({"job":")" + name + R"(","drop":"x","failed":null})") == "bad_request");
  CHECK(code(R"({"job":")" + name + R"(7","ok":true})") == "not_found");  // not yet said
  CHECK(push.Kept() == 1);
}

TEST_CASE("a device lists, renews and ends its own opt-ins") {
  World world;
  TestDevice& phone = world.Join("bob", "bob:phone");
  TestDevice& other = world.Join("bob", "bob:other");
  CHECK(CodeOf(world.Ask(phone, "push.subscribe", kOptIn)) == "ok");
  CHECK(CodeOf(world.Ask(
            phone, "push.subscribe",
            R"("provider":"webpush","preview":false,"muted":["carol","group/readers"],)"
            R"("target":{"endpoint":"https://p","keys":{"p256dh":"k","auth":"a"}})")) == "ok");
  CHECK(CodeOf(world.Ask(phone, "push.subscribe",
                         R"("provider":"ntfy","target":"https://ntfy.example/2")")) == "ok");
  json listed = world.Ask(phone, "push.list")["push"];
  REQUIRE(listed.size() == 2);
  CHECK(listed[0]["target"]["endpoint"] == "https://p");
  CHECK(listed[0]["preview"] == false);
  CHECK(listed[0]["muted"] == json({"carol", "group/readers"}));
  CHECK(listed[1]["target"] == "https://ntfy.example/2");
  CHECK(world.Ask(other, "push.list")["push"].empty());
  CHECK(world.Ask(other, "push.list", R"("device":"bob:phone")")["push"].size() == 2);
  CHECK(CodeOf(world.Ask(phone, "push.unsubscribe", R"("provider":"ntfy")")) == "ok");
  CHECK(CodeOf(world.Ask(phone, "push.unsubscribe", R"("provider":"ntfy")")) == "ok");
  CHECK(world.Ask(phone, "push.list")["push"].size() == 1);
  CHECK(CodeOf(world.Ask(phone, "push.unsubscribe")) == "ok");
  CHECK(world.Ask(phone, "push.list")["push"].empty());
}

TEST_CASE("a browser's subscription is the same as an object and as a string, and ends by itself") {
  World world;
  TestDevice& page = world.Join("bob", "bob:page");
  const std::string object = R"({"keys":{"auth":"a","p256dh":"k"},"endpoint":"https://p"})";
  const std::string text = json(object).dump();
  CHECK(CodeOf(world.Ask(page, "push.subscribe", R"("provider":"webpush","target":)" + text)) ==
        "ok");
  CHECK(world.Ask(page, "push.list")["push"][0]["target"] == json::parse(object));
  world.Ask(page, "push.unsubscribe", R"("provider":"webpush","target":{"endpoint":"https://q"})");
  CHECK(world.Ask(page, "push.list")["push"].size() == 1);
  world.Ask(page, "push.unsubscribe", R"("provider":"webpush","target":)" + object);
  CHECK(world.Ask(page, "push.list")["push"].empty());
}

TEST_CASE("an opt-in that can't be is refused") {
  EngineOptions options;
  options.push_targets_max = 2;
  World world(options);
  TestDevice& phone = world.Join("bob", "bob:phone");
  auto code = [&](const std::string& members) {
    return CodeOf(world.Ask(phone, "push.subscribe", members));
  };
  CHECK(code(R"("target":"x")") == "bad_request");
  CHECK(code(R"("provider":"webhook","target":"x")") == "bad_request");
  CHECK(code(R"("provider":"pigeon","target":"x")") == "bad_request");
  CHECK(code(R"("provider":"ntfy")") == "bad_request");
  CHECK(code(R"("provider":"ntfy","target":"")") == "bad_request");
  CHECK(code(R"("provider":"webpush","target":"https://p")") == "bad_request");
  CHECK(code(R"("provider":"webpush","target":{"endpoint":"https://p"})") == "bad_request");
  CHECK(code(R"("provider":"fcm","target":"t","preview":1)") == "bad_request");
  CHECK(code(R"("provider":"fcm","target":"t","muted":["No"])") == "bad_request");
  std::string muted = "\"group/g\"";
  for (int n = 1; n < 100; ++n) muted += ",\"u" + std::to_string(n) + "\"";
  const std::string mutes = R"("provider":"fcm","target":"t","muted":[)" + muted;
  CHECK(code(mutes + "]") == "ok");
  CHECK(code(mutes + R"(,"u100"])") == "bad_request");
  CHECK(code(R"("provider":"fcm","target":")" + std::string(2047, 'x') + "\"") == "too_large");
  CHECK(code(R"("provider":"fcm","target":")" + std::string(2046, 'x') + "\"") == "ok");
  CHECK(code(R"("provider":"apns","target":"t")") == "ok");
  CHECK(code(R"("provider":"ntfy","target":"t")") == "too_large");
  CHECK(code(R"("provider":"apns","target":"another")") == "ok");  // it replaces one
  for (const char* device : {"alice:phone", "a/b", "#"}) {
    CHECK(code(std::string(R"("provider":"apns","target":"t","device":")") + device + "\"") ==
          "bad_request");
  }
}

TEST_CASE("a gateway names the device that it speaks for") {
  Push push(Eager());
  TestDevice& rest = push.world.Connect("gate", "gate:rest", true);
  auto ask = [&](const std::string& members) {
    rest.answers.clear();
    push.world.Publish(rest, "as/carol/ask/push.subscribe", "{" + members + "}");
    push.world.Settle();
    return CodeOf(json::parse(rest.answers.at(0)));
  };
  CHECK(ask(kOptIn) == "bad_request");
  CHECK(ask(std::string(kOptIn) + R"(,"device":"carol:app")") == "ok");
  push.Say("carol", "hi");
  push.world.Pass(300);
  CHECK(push.OneJob()["device"] == "carol:app");
}

TEST_CASE("an opt-in that ends takes its jobs with it") {
  Push push;
  push.Say("bob", "one");
  TestDevice& other = push.world.Join("bob", "bob:other");
  bool removed = GENERATE(false, true);
  json answer = push.world.Ask(other, removed ? "devices.remove" : "push.unsubscribe",
                               R"("device":"bob:phone")");
  CHECK(CodeOf(answer) == "ok");
  push.world.Leave(other);
  push.world.Settle();
  CHECK(push.Kept() == 0);
  push.Say("bob", "two");
  CHECK(push.Kept() == 0);
}

TEST_CASE("an opt-in says what may be shown, and which conversations are quiet") {
  Push push(Eager());
  push.OptIn("bob", std::string(kOptIn) + R"(,"preview":false,"muted":["carol"])");
  TestDevice& carol = push.world.Join("carol", "carol:1");
  push.world.Send(carol, "bob", "c1", "quiet");
  push.Say("bob", "secret");
  push.world.Pass(300);
  json job = push.OneJob();
  CHECK(job["with"] == "alice");
  CHECK_FALSE(job.contains("body"));
}

TEST_CASE("a preview is the beginning of a text, whole characters; large objects are left out") {
  Push push(Eager());
  std::string text;
  for (int i = 0; i < 400; ++i) text += "ä";
  push.Say("bob", text);
  push.world.Pass(300);
  json job = push.OneJob();
  const std::string body = job["body"].get<std::string>();
  CHECK(body.size() > 200);
  CHECK(body.size() <= 512);
  CHECK(body.ends_with("…"));
  CHECK(text.starts_with(body.substr(0, body.size() - 3)));
  push.Done(job);
  push.world.Publish(*push.alice, "chat/bob", R"({"body":{"url":"https://x"}})");
  push.world.Pass(300);
  job = push.OneJob();
  CHECK(job["body"]["url"] == "https://x");
  push.Done(job);
  push.world.Publish(*push.alice, "chat/bob", R"({"body":{"data":")" + text + R"("}})");
  push.world.Pass(300);
  CHECK_FALSE(push.OneJob().contains("body"));
}

TEST_CASE("members of a group are woken, whether it is copied to them or not") {
  Push push(Eager());
  const std::string delivery = GENERATE("inbox", "topic");
  REQUIRE(CodeOf(push.world.Ask(
              *push.alice, "groups.create",
              R"("group":"readers","members":["bob"],"delivery":")" + delivery + "\"")) == "ok");
  push.world.Pass(300);
  CHECK(push.Jobs().empty());  // for a system message
  push.world.Publish(*push.alice, "group/readers", "hello, all");
  push.world.Pass(300);
  json job = push.OneJob();
  CHECK(job["group"] == "readers");
  CHECK(job["from"] == "alice");
  CHECK(job["gseq"] == 2);
  CHECK(job.contains("seq") == (delivery == "inbox"));
  CHECK_FALSE(job.contains("with"));
  push.Done(job);
  CHECK(push.Kept() == 0);
  push.world.Publish(*push.alice, "group/readers", "read elsewhere");
  push.world.Settle();
  TestDevice& poller = push.world.Connect("gate", "gate:2", true);
  push.world.Publish(poller, "as/bob/receipt/bob", R"({"group":"readers","read":3})");
  if (delivery == "inbox") push.world.Publish(poller, "as/bob/receipt/bob", R"({"read":3})");
  push.world.Settle();
  CHECK(push.Kept() == 0);
}

TEST_CASE("a member whose store is down keeps nobody from writing to a group of delivery topic") {
  Push push(Eager());
  REQUIRE(CodeOf(push.world.Ask(*push.alice, "groups.create",
                                R"("group":"readers","members":["bob"],"delivery":"topic")")) ==
          "ok");
  push.world.Restart();  // nothing of bob's is in memory
  push.alice = &push.world.Join("alice", "alice:1");
  push.Serve();
  push.world.log.SetDown(UserId("bob"), true);
  push.world.Publish(*push.alice, "group/readers", "hello, all");
  push.world.Pass(300);
  REQUIRE(push.alice->answers.size() == 1);
  CHECK(CodeOf(json::parse(push.alice->answers[0])) == "ok");
}

TEST_CASE("nobody is woken in a group by somebody whom it has blocked") {
  Push push(Eager());
  REQUIRE(CodeOf(push.world.Ask(*push.alice, "groups.create",
                                R"("group":"readers","members":["bob"])")) == "ok");
  TestDevice& bob = push.world.Join("bob", "bob:phone");
  REQUIRE(CodeOf(push.world.Ask(bob, "contacts.block", R"("user":"alice")")) == "ok");
  push.world.Leave(bob);
  push.world.Publish(*push.alice, "group/readers", "hello");
  push.world.Pass(300);
  CHECK(push.Jobs().empty());
}

TEST_CASE("a key's webhook is told of messages to its accounts") {
  Push push(Eager());
  push.world.accounts.keys["dave"] = KeyName("mobile");
  push.world.accounts.webhooks[KeyName("mobile")] = {"https://hook.example/",
                                                     "a secret of the key"};
  push.world.Subscribe(*push.gateway, Channel::kPushWebhook);
  push.Say("dave", "hi");
  push.world.Pass(300);
  json job = push.OneJob();
  CHECK(job["provider"] == "webhook");
  CHECK_FALSE(job.contains("device"));
  CHECK(job["target"] == json{{"url", "https://hook.example/"}, {"secret", "a secret of the key"}});
  push.Done(job);
  push.Say("dave", "two");
  push.world.accounts.webhooks.clear();
  push.world.Pass(300);
  CHECK(push.Jobs().empty());
  CHECK(push.Kept() == 0);
}

TEST_CASE("jobs are bounded, of one user and of all") {
  EngineOptions options = Eager();
  options.push_jobs_max = 2;
  Push push(options);
  for (const char* user : {"carol", "dave"}) push.OptIn(user, kOptIn);
  for (const char* user : {"bob", "carol", "dave", "bob"}) push.Say(user, "hi");
  CHECK(push.Kept() == 2);
  CHECK(push.world.engine->counts().push_refused == 1);
}

TEST_CASE("a user has 200 open jobs, and others theirs") {
  EngineOptions options = Eager();
  options.push_targets_max = 201;
  Push push(options);
  push.OptIn("carol", kOptIn);
  for (int n = 2; n <= 201; ++n) {
    TestDevice& device = push.world.Join("bob", "bob:" + std::to_string(n));
    REQUIRE(CodeOf(push.world.Ask(device, "push.subscribe", kOptIn)) == "ok");
    push.world.Leave(device);
    push.world.Settle();
  }
  push.Say("bob", "hi");
  CHECK(push.Kept() == 200);
  CHECK(push.world.engine->counts().push_refused == 1);
  push.Say("carol", "hi");
  CHECK(push.Kept() == 201);
  CHECK(push.world.engine->counts().push_refused == 1);
}

TEST_CASE("of those woken lately so many are remembered, and others are woken again at once") {
  EngineOptions options = Eager();
  options.push_again_s = 30;
  options.push_woken_max = 1;
  Push push(options);
  push.OptIn("carol", kOptIn);
  const auto wake = [&](const char* user) {
    push.Say(user, "hi");
    push.world.Pass(300);
    const auto jobs = push.Jobs();
    for (const json& job : jobs) push.Done(job);
    return jobs.size();
  };
  CHECK(wake("bob") == 1);
  CHECK(wake("bob") == 0);
  CHECK(wake("carol") == 1);
  CHECK(wake("carol") == 1);
}

TEST_CASE("nobody is woken in a group of delivery topic that is larger than an inbox group") {
  EngineOptions options = Eager();
  options.inbox_members_max = 3;
  Push push(options);
  const auto woken = [&] {
    push.world.Publish(*push.alice, "group/readers", "hello, all");
    push.world.Pass(300);
    const auto jobs = push.Jobs();
    for (const json& job : jobs) push.Done(job);
    return jobs.size();
  };
  const std::string members = R"("group":"readers","members":["bob","carol"],"delivery":"topic")";
  REQUIRE(CodeOf(push.world.Ask(*push.alice, "groups.create", members)) == "ok");
  CHECK(woken() == 1);
  const std::string more = R"("group":"readers","user":"dave")";
  REQUIRE(CodeOf(push.world.Ask(*push.alice, "groups.add", more)) == "ok");
  CHECK(woken() == 0);
}

TEST_CASE("a message to a user without opt-ins needs nothing of the roster") {
  World world;
  TestDevice& alice = world.Join("alice", "alice:1");
  world.Send(alice, "bob", "1", "hi");  // reads alice's contacts
  world.Settle();
  world.roster.unreadable = true;
  world.Send(alice, "carol", "2", "hi");
  world.Settle();
  CHECK(alice.inbox.size() == 2);
}

}  // namespace parley
