#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/check/rules.h"

namespace parley::check {

namespace {

using Json = nlohmann::json;

std::string Number(uint64_t n) { return std::to_string(n); }

std::vector<std::string> NamesIn(const Json& body) {
  if (body.contains("users")) return body["users"].get<std::vector<std::string>>();
  if (body.contains("user")) return {body["user"].get<std::string>()};
  return {};
}

}  // namespace

void GroupRule::Take(const Event& event, Line line) {
  if (event.kind == EventKind::kAsk && event.method.rfind("groups.", 0) == 0) {
    asked_[{event.device, event.rid}] = event;
  } else if (event.kind == EventKind::kAnswer && event.method.rfind("groups.", 0) == 0) {
    const auto found = asked_.find({event.device, event.rid});
    if (found == asked_.end()) return;
    if (event.code.empty()) changes_.push_back({std::move(found->second), event, line});
    asked_.erase(found);
  }
}

void GroupRule::Enter(const std::string& user, uint64_t gseq, Story* story) {
  std::vector<Stretch>& stretches = story->members[user];
  if (stretches.empty() || stretches.back().last != 0) stretches.push_back({gseq, 0});
}

void GroupRule::Leave(const std::string& user, uint64_t gseq, Story* story) {
  std::vector<Stretch>& stretches = story->members[user];
  if (!stretches.empty() && stretches.back().last == 0) stretches.back().last = gseq;
}

// What a system message (docs/topics.md) changes. *inbox: the group's delivery.
void GroupRule::Apply(const Shown& message, Story* story, bool* inbox) {
  const Json body = Json::parse(message.body, nullptr, false);
  if (!body.is_object()) return;
  const std::string event = body.value("event", "");
  const std::vector<std::string> names = NamesIn(body);
  if (event == "created" || event == "added" || event == "joined") {
    for (const std::string& user : names) Enter(user, message.gseq, story);
  } else if (event == "removed" || event == "left") {
    for (const std::string& user : names) Leave(user, message.gseq, story);
  } else if (event == "deleted") {
    for (auto& [user, stretches] : story->members) Leave(user, message.gseq, story);
  }
  if (body.contains("delivery")) *inbox = body["delivery"] == "inbox";
  if (body.value("history", "") == "all") story->all = true;
}

GroupRule::Story GroupRule::Tell(const GroupLog& group) const {
  Story story;
  story.inbox.resize(group.messages.size());
  bool inbox = true;
  for (size_t n = 0; n < group.messages.size(); ++n) {
    if (group.messages[n] == kNoMessage) continue;
    const Message& message = book_->message(group.messages[n]);
    const bool before = inbox;
    if (message.is_system()) Apply(message.shown, &story, &inbox);
    story.inbox[n] = inbox || (before && n > 0);
  }
  return story;
}

bool GroupRule::IsIn(const Story& story, const std::string& user, uint64_t gseq) {
  const auto member = story.members.find(user);
  if (member == story.members.end()) return false;
  return std::any_of(member->second.begin(), member->second.end(), [&](const Stretch& stretch) {
    return gseq >= stretch.first && (stretch.last == 0 || gseq < stretch.last);
  });
}

void GroupRule::Finish(bool complete) {
  for (const auto& [id, group] : book_->groups()) {
    const Story& story = stories_[id] = Tell(group);
    CheckSeen(group, story);
    CheckJumps(group, story);
    if (complete) CheckInboxes(group, story);
  }
  if (!complete) return;
  for (const Change& change : changes_) CheckChange(change);
}

bool GroupRule::MaySee(const Story& story, const std::string& user, uint64_t gseq) {
  const auto member = story.members.find(user);
  if (member == story.members.end()) return false;
  return std::any_of(member->second.begin(), member->second.end(),
                     [&](const Stretch& stretch) { return stretch.Has(gseq); });
}

void GroupRule::CheckSeen(const GroupLog& group, const Story& story) {
  for (const auto& [index, seen] : group.seen) {
    const std::string& user = book_->log(index).id;
    for (uint64_t gseq = 1; gseq <= seen.size(); ++gseq) {
      if (seen[gseq - 1] == 0 || MaySee(story, user, gseq)) continue;
      if (story.all && story.members.count(user) > 0) continue;
      const uint64_t gone = GoneAt(story, user, gseq);
      std::vector<Cited> events = {{seen[gseq - 1], "is shown to " + user}};
      if (gone > 0) {
        events.push_back({book_->message(group.messages[gone - 1]).line,
                          user + " is out from number " + Number(gone) + " on"});
      }
      verdict_->Add(rule::kIntruder,
                    user + " is shown " + book_->Name(group.messages[gseq - 1]) +
                        (gone > 0 ? " after it had gone" : " and wasn't in"),
                    events);
    }
  }
}

// The number with which the user had gone, 0 where it hadn't come before.
uint64_t GroupRule::GoneAt(const Story& story, const std::string& user, uint64_t gseq) {
  const auto member = story.members.find(user);
  if (member == story.members.end()) return 0;
  uint64_t gone = 0;
  for (const Stretch& stretch : member->second) {
    if (stretch.last != 0 && stretch.last < gseq) gone = stretch.last;
  }
  return gone;
}

void GroupRule::CheckJumps(const GroupLog& group, const Story& story) {
  for (const Jump& jump : group.jumps) {
    const std::string& user = book_->log(jump.user).id;
    for (uint64_t gseq = jump.after + 1; gseq < jump.next; ++gseq) {
      if (!MaySee(story, user, gseq)) continue;
      verdict_->Add(
          rule::kGap,
          "a page of group " + group.id + " for " + user + " lacks number " + Number(gseq),
          {{jump.line, "after " + Number(jump.after) + " comes " + Number(jump.next)}});
      break;
    }
  }
}

void GroupRule::CheckInboxes(const GroupLog& group, const Story& story) {
  for (uint64_t gseq = 1; gseq <= group.messages.size(); ++gseq) {
    const uint32_t index = group.messages[gseq - 1];
    if (index == kNoMessage || !story.inbox[gseq - 1]) continue;
    const Message& message = book_->message(index);
    for (const auto& [user, stretches] : story.members) {
      if (!MaySee(story, user, gseq)) continue;
      const UserIndex who = book_->User(user);
      if (!book_->log(who).read_whole || message.NumberOf(who) > 0) continue;
      verdict_->Add(rule::kLost, book_->Name(index) + " is not in " + user + "'s log",
                    {{message.line, "is shown"},
                     {book_->log(who).read_line, user + "'s log ends without it"}});
    }
  }
}

// An answer tells the members as of the number `head`, after the change that was asked for.
void GroupRule::CheckChange(const Change& change) {
  const Story& story = stories_[change.ask.group];
  if (!change.answer.head) return CheckLeft(change, story);
  const uint64_t head = *change.answer.head;
  if (!Holds(change, story, head)) {
    verdict_->Add(rule::kMembership,
                  change.ask.method + " of group " + change.ask.group +
                      " is answered ok and isn't so at number " + Number(head),
                  {{change.line, "it is answered"}});
  }
  if (!change.answer.members) return;
  std::vector<std::string> in;
  for (const auto& [user, stretches] : story.members) {
    if (IsIn(story, user, head)) in.push_back(user);
  }
  std::vector<std::string> told = *change.answer.members;
  std::sort(told.begin(), told.end());
  if (told == in) return;
  verdict_->Add(rule::kMembership,
                "the members of group " + change.ask.group + " at number " + Number(head) +
                    " are others than its messages say",
                {{change.line, "they are told"}});
}

bool GroupRule::Holds(const Change& change, const Story& story, uint64_t head) const {
  const Event& ask = change.ask;
  const std::string asker(UserOf(ask.device));
  if (ask.method == "groups.remove") return !IsIn(story, ask.user, head);
  if (ask.method == "groups.add" && !IsIn(story, ask.user, head)) return false;
  for (const std::string& user : ask.members.value_or(std::vector<std::string>())) {
    if (!IsIn(story, user, head)) return false;
  }
  return IsIn(story, asker, head);
}

// Whoever left is out somewhere, as often as it was told so.
void GroupRule::CheckLeft(const Change& change, const Story& story) {
  if (change.ask.method != "groups.leave") return;
  const std::string user(UserOf(change.ask.device));
  const auto member = story.members.find(user);
  const uint64_t left = ++left_[{change.ask.group, user}];
  uint64_t ends = 0;
  if (member != story.members.end()) {
    ends = static_cast<uint64_t>(std::count_if(member->second.begin(), member->second.end(),
                                               [](const Stretch& s) { return s.last != 0; }));
  }
  if (ends >= left) return;
  verdict_->Add(rule::kMembership,
                user + " has left group " + change.ask.group + " and no message tells of it",
                {{change.line, "it is answered"}});
}

}  // namespace parley::check
