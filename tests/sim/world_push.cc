// Pushes: who is to be woken, and the gateways. README.md has what must hold.
#include <algorithm>
#include <utility>

#include "tests/sim/world.h"

namespace parley::sim {
namespace {

using nlohmann::json;

constexpr char kSleeper[] = "erin";

std::string ConversationOf(const std::string& from, const std::string& group) {
  return group.empty() ? from : "group/" + group;
}

}  // namespace

bool World::StaysAway(const Phone& phone) const {
  return has_pushes_ && (phone.gateway || phone.user == kSleeper);
}

void World::StartPushes() {
  for (uint64_t i = random_.Between(1, 2); i > 0; --i) {
    Phone& gateway = broker_.AddPhone("gateway", "gateway" + std::to_string(i), false);
    gateway.gateway = true;
    gateways_.push_back(&gateway);
  }
  broker_.on_push = [this](Phone& gateway, const json& job) { TakePush(gateway, job); };
  OptIn();
}

// The sleeper opts in, again where it has, and is away from then on.
void World::OptIn() {
  Phone& phone = **std::find_if(auditors_.begin(), auditors_.end(),
                                [](const Phone* one) { return one->user == kSleeper; });
  const json request = {{"provider", "ntfy"}, {"target", "https://ntfy.example/erin"}};
  json answer = AskUntilAnswered(phone, "push.subscribe", request);
  if (answer["ok"] == false) throw Violation{"no push for " + phone.name + ": " + answer.dump()};
  broker_.Disconnect(phone);
  pushes_.gone = pushes_.mended = false;
  pushes_.away_since = oracle_.tried();
}

void World::RunGateways() {
  for (Phone* gateway : gateways_) {
    if (server_.state() != Server::State::kUp || gateway->session != 0) continue;
    if (!pushes_.mended && !random_.OneIn(5)) continue;
    broker_.Connect(*gateway);
    broker_.SubscribePushes(*gateway);
  }
}

void World::TakePush(Phone& gateway, const json& job) {
  if (!job.contains("job")) {  // what it has said is refused
    pushes_.amiss = true;
    return;
  }
  const uint64_t what = pushes_.mended ? 99 : random_.Below(40);
  if (what == 0) return Lose(gateway, "dies with a push");
  if (what == 1) {
    EndPush(gateway, job, "delivers", {{"ok", true}});
    return Lose(gateway, "dies before it can say so");
  }
  if (what < 6) {
    json failed = {{"job", job["job"]}, {"failed", "can't reach it"}};
    if (random_.OneIn(2)) failed["retry_after_ms"] = random_.Below(2000);
    return broker_.Publish(gateway, {"push/done", failed.dump()});
  }
  if (what == 6) return EndPush(gateway, job, "drops", {{"drop", "not a token"}});
  if (what == 7) return;  // until its lease ends
  if (what == 8 && random_.OneIn(4)) {
    pushes_.gone = true;
    return broker_.Publish(gateway,
                           {"push/done", json{{"job", job["job"]}, {"gone", true}}.dump()});
  }
  EndPush(gateway, job, "delivers", {{"ok", true}});
}

void World::EndPush(Phone& gateway, const json& job, const char* how, const json& outcome) {
  // The end of a push may have been among what a full journal refused.
  pushes_.amiss |= broker_.TakeJournalRefused();
  const std::string with = ConversationOf(job.at("from"), job.value("group", ""));
  const uint64_t seq = job.value("seq", uint64_t{0});
  trace_.Note(gateway.name + " " + how + " " + job["job"].get<std::string>());
  if (seq > 0) {
    uint64_t& told = pushes_.told[with];
    if (seq <= pushes_.done[with])
      throw Violation{"pushed again though it was done: " + job.dump()};
    if (seq <= told && !pushes_.amiss) throw Violation{"pushed twice: " + job.dump()};
    told = std::max(told, seq);
  } else {
    // One of a group that is no longer copied into logs, and of what was before.
    uint64_t& told = pushes_.told_gseq[with];
    told = std::max(told, job.at("gseq").get<uint64_t>());
  }
  json done = outcome;
  done["job"] = job["job"];
  broker_.Publish(gateway, {"push/done", done.dump()});
}

void World::Lose(Phone& gateway, const char* how) {
  trace_.Note(gateway.name + " " + how);
  pushes_.amiss = true;
  broker_.Disconnect(gateway);
}

// No job is open. What was told by now is never told again.
bool World::PushesAreDone() {
  auto jobs = server_.roster().PushJobs();
  auto letters = server_.roster().PushDeadLetters(kPushDeadLettersMax);
  if (!jobs || !letters || !jobs->empty()) return false;
  for (const PushDeadLetter& letter : *letters) {
    const std::string with = ConversationOf(letter.job.from.str(), letter.job.group.str());
    const bool in_log = letter.job.seq > Seq();
    uint64_t& last = in_log ? pushes_.dead[with] : pushes_.told_gseq[with];
    last = std::max(last, in_log ? letter.job.seq.value() : letter.job.gseq.value());
  }
  pushes_.done = pushes_.told;
  pushes_.amiss = false;
  broker_.TakeJournalRefused();
  return true;
}

// All logs have been read.
void World::CheckPushes() {
  if (pushes_.gone) return;
  for (const auto& [seq, entry] : oracle_.LogOf(kSleeper)) {
    if (entry.token == 0 || entry.type != "message" || entry.from == kSleeper) continue;
    if (oracle_.message(entry.token).first_tried <= pushes_.away_since) continue;
    const std::string with = ConversationOf(entry.from, entry.group);
    if (seq <= pushes_.told[with] || seq <= pushes_.dead[with]) continue;
    if (entry.gseq > 0 && entry.gseq <= pushes_.told_gseq[with]) continue;
    throw Violation{"no push for " + std::to_string(seq) + ": " + entry.text};
  }
}

}  // namespace parley::sim
