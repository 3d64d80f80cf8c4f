#include "tests/sim/oracle.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace parley::sim {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* member) { return object.value(member, ""); }

// "m17 and more" → 17; 0: it doesn't begin so.
int NumberAfter(char letter, const std::string& text) {
  return !text.empty() && text[0] == letter ? std::atoi(text.c_str() + 1) : 0;
}

// "i17" → 17; 0: an id that the server made.
int TokenIn(const std::string& id) {
  bool made = id.find_first_not_of("0123456789", 1) != std::string::npos;
  return made ? 0 : NumberAfter('i', id);
}

}  // namespace

// ---- What users do

Message& Oracle::NewMessage(const std::string& from) {
  Message& made = messages_.emplace_back();
  made.token = static_cast<int>(messages_.size());
  made.from = from;
  sent_by_[from].push_back(made.token);
  return made;
}

Message* Oracle::WithId(const std::string& from, uint64_t among) {
  const auto& tokens = sent_by_[from];
  if (tokens.empty()) return nullptr;
  Message& found = message(tokens[tokens.size() - 1 - among % tokens.size()]);
  return found.id.empty() || found.attempts == 0 ? nullptr : &found;
}

bool Oracle::WasResent(const std::string& user, const json& shown) {
  int token = TokenOf(shown);
  return token != 0 && Text(shown, "from") == user && message(token).attempts > 1;
}

void Oracle::Confirmed(const std::string& user, uint64_t seq) {
  confirmed_[user] = std::max(confirmed_[user], seq);
}

// ---- What they are shown

int Oracle::TokenOf(const json& message) {
  if (message.at("type") == "system") return 0;
  const json body = message.value("body", json(""));
  const std::string text = body.is_string() ? body.get<std::string>() : "";
  int token = TokenIn(Text(message, "id"));
  if (token == 0) token = NumberAfter('m', text);
  if (token < 1 || token > static_cast<int>(messages_.size())) {
    Fail("a message that nobody sent: " + message.dump());
  }
  const Message& sent = messages_[static_cast<size_t>(token - 1)];
  bool same = Text(message, "from") == sent.from && Text(message, "to") == sent.to &&
              Text(message, "group") == sent.group && Text(message, "type") == sent.type &&
              (sent.type == "retract" || NumberAfter('m', text) == token);
  if (!same) Fail("not as it was sent: " + message.dump() + ", sent: " + sent.payload);
  return token;
}

uint64_t Oracle::Shown(const std::string& user, json message) {
  const uint64_t seq = message.at("seq").get<uint64_t>();
  message.erase("seq");
  Entry entry;
  entry.text = message.dump();
  auto known = logs_[user].find(seq);
  if (known != logs_[user].end()) {
    if (known->second.text == entry.text) return seq;
    Fail(user + "'s " + std::to_string(seq) + " is " + entry.text + ", and was " +
         known->second.text);
  }
  entry.token = TokenOf(message);
  entry.from = Text(message, "from");
  entry.to = Text(message, "to");
  entry.group = Text(message, "group");
  entry.gseq = message.value("gseq", uint64_t{0});
  entry.type = Text(message, "type");
  entry.id = Text(message, "id");
  if (entry.token != 0) {
    auto [place, first] = places_[user].emplace(entry.token, seq);
    if (!first && place->second != seq) {
      Fail("twice in " + user + "'s log, at " + std::to_string(place->second) + " and " +
           std::to_string(seq) + ": " + entry.text);
    }
  }
  if (!entry.group.empty()) ToGroup(entry.group, entry.gseq, entry.text);
  logs_[user].emplace(seq, std::move(entry));
  return seq;
}

void Oracle::ToGroup(const std::string& group, uint64_t gseq, const std::string& text) {
  auto [known, first] = groups_[group].emplace(gseq, text);
  if (!first && known->second != text) {
    Fail(group + "'s " + std::to_string(gseq) + " is " + text + ", and was " + known->second);
  }
}

void Oracle::ShownInGroup(const std::string& user, json message) {
  (void)TokenOf(message);
  const std::string group = Text(message, "group");
  const uint64_t gseq = message.at("gseq").get<uint64_t>();
  message.erase("seq");
  ToGroup(group, gseq, message.dump());
  seen_in_group_[group][user].insert(gseq);
}

// A page shows it under its number in the user's log, where that has it.
void Oracle::ShownInGroupPage(const std::string& user, const json& message) {
  ShownInGroup(user, message);
  if (message.contains("seq")) {
    Shown(user, message);
  } else {
    unnumbered_[Text(message, "group")][user].insert(message["gseq"].get<uint64_t>());
  }
}

void Oracle::MayHaveLeft(const std::string& user, const std::string& group) {
  may_have_left_[group].insert(user);
}

void Oracle::Answered(const std::string& user, const json& answer) {
  int token = TokenIn(Text(answer, "id"));
  if (token == 0) return;
  Message& sent = message(token);
  if (sent.from != user) Fail(user + " is answered " + answer.dump());
  if (answer.at("ok") == false) {
    ++sent.refusals;
    return;
  }
  sent.accepted = true;
  if (!answer.contains("seq")) return;
  auto [place, first] = places_[user].emplace(token, answer["seq"].get<uint64_t>());
  if (!first && place->second != answer["seq"]) {
    Fail(user + " is answered " + answer.dump() + ", and was shown it at " +
         std::to_string(place->second));
  }
}

void Oracle::ShownReceipt(const std::string& user, const json& receipt) {
  const std::string by = Text(receipt, "by");
  const std::string group = Text(receipt, "group");
  for (const char* what : {"delivered", "read"}) {
    if (!receipt.contains(what)) continue;
    const uint64_t seq = receipt[what].get<uint64_t>();
    uint64_t& mark = marks_[user + " " + by + " " + group + " " + what];
    if (seq < mark) {
      Fail(user + " is told " + receipt.dump() + ", and was told " + std::to_string(mark));
    }
    mark = seq;
    if (!group.empty()) continue;
    auto own = logs_[user].find(seq);
    if (own == logs_[user].end()) continue;
    if (own->second.from != user || own->second.to != by) {
      Fail(user + " is told " + receipt.dump() + ", which is " + own->second.text);
    }
    auto theirs = places_[by].find(own->second.token);
    if (theirs != places_[by].end() && theirs->second > confirmed_[by]) {
      Fail(user + " is told " + receipt.dump() + ", but nobody confirmed " +
           std::to_string(theirs->second));
    }
  }
}

uint64_t Oracle::Mark(const std::string& user, const std::string& by, const char* what) {
  return marks_[user + " " + by + "  " + what];
}

void Oracle::ShownCursor(const std::string& device, uint64_t delivered) {
  uint64_t& cursor = cursors_[device];
  if (delivered < cursor) {
    Fail("the cursor of " + device + " is " + std::to_string(delivered) + ", and was " +
         std::to_string(cursor));
  }
  cursor = delivered;
}

uint64_t Oracle::Head(const std::string& user) const {
  auto log = logs_.find(user);
  return log == logs_.end() || log->second.empty() ? 0 : log->second.rbegin()->first;
}

uint64_t Oracle::GroupHead(const std::string& group) const {
  auto log = groups_.find(group);
  return log == groups_.end() || log->second.empty() ? 0 : log->second.rbegin()->first;
}

// ---- When all was read

void Oracle::ShownGroup(const json& group) { rosters_[Text(group, "group")] = group; }

void Oracle::ShownGroups(const std::string& user, const json& groups) {
  lists_[user].clear();
  for (const json& group : groups) lists_[user][Text(group, "group")] = group;
}

void Oracle::Check(const std::vector<std::string>& users) {
  for (const std::string& user : users) CheckLog(user);
  for (const Message& message : messages_) CheckMessage(message);
  for (const std::string& one : users) {
    CheckOrder(one);
    for (const std::string& other : users) {
      if (one < other) CheckPair(one, other);
    }
  }
  CheckGroups(users);
  rosters_.clear();
  lists_.clear();
  before_.clear();
}

void Oracle::CheckLog(const std::string& user) {
  uint64_t expected = 1;
  for (const auto& [seq, entry] : logs_[user]) {
    if (seq != expected) Fail(user + "'s log has no " + std::to_string(expected));
    ++expected;
    auto before = before_[user].find(seq);
    if (before != before_[user].end() && before->second.text != entry.text) {
      Fail(user + "'s " + std::to_string(seq) + " is " + entry.text + ", and was " +
           before->second.text + " before the power cut");
    }
  }
  for (const auto& [token, seq] : places_[user]) {
    auto entry = logs_[user].find(seq);
    if (entry == logs_[user].end() || entry->second.token != token) {
      Fail(user + " was told that message " + std::to_string(token) + " is its " +
           std::to_string(seq) + ", but it isn't");
    }
  }
}

void Oracle::CheckMessage(const Message& message) {
  bool in_from = places_[message.from].contains(message.token);
  if (message.group.empty() && message.attempts > 0) {
    bool in_to = places_[message.to].contains(message.token);
    if (in_from != in_to) {
      Fail("message " + std::to_string(message.token) + " is in the log of " +
           (in_from ? message.from + " and not of " + message.to
                    : message.to + " and not of " + message.from));
    }
  }
  bool refused = message.attempts > 0 && message.refusals == message.attempts;
  if (refused && in_from) {
    Fail("message " + std::to_string(message.token) + " was refused and is in " + message.from +
         "'s log");
  }
  if (message.accepted && message.group.empty() && !in_from) {
    Fail("message " + std::to_string(message.token) + " was acknowledged and is gone");
  }
}

void Oracle::CheckPair(const std::string& one, const std::string& other) {
  auto said = [this](const std::string& user, const std::string& peer) {
    std::vector<int> tokens;
    for (const auto& [seq, entry] : logs_[user]) {
      bool theirs =
          (entry.from == peer && entry.to == user) || (entry.from == user && entry.to == peer);
      if (theirs) tokens.push_back(entry.token);
    }
    return tokens;
  };
  if (said(one, other) == said(other, one)) return;
  Fail(one + " and " + other + " see what they said to each other in another order");
}

void Oracle::CheckOrder(const std::string& user) {
  std::map<uint64_t, int> once;  // by when it was tried
  for (int token : sent_by_[user]) {
    if (message(token).attempts == 1) once[message(token).first_tried] = token;
  }
  uint64_t before = 0;
  for (auto [when, token] : once) {
    auto place = places_[user].find(token);
    if (place == places_[user].end()) continue;
    if (place->second < before) {
      Fail(user + " sent message " + std::to_string(token) + " after what stands behind it");
    }
    before = place->second;
  }
}

// ---- Groups

bool Oracle::Membership::Sees(const std::string& user, uint64_t gseq) const {
  auto known = spans.find(user);
  if (known == spans.end()) return false;
  return std::any_of(known->second.begin(), known->second.end(), [&](const auto& span) {
    return gseq >= span.first && (span.second == 0 || gseq <= span.second);
  });
}

void Oracle::Membership::Enter(const std::string& user, uint64_t gseq, const std::string& role) {
  if (!roles.contains(user)) spans[user].push_back({gseq, 0});
  roles[user] = role;
}

void Oracle::Membership::Leave(const std::string& user, uint64_t gseq) {
  if (roles.erase(user) > 0) spans[user].back().second = gseq;
}

void Oracle::Membership::Take(uint64_t gseq, const json& message) {
  bool was_inbox = inbox;
  if (message.at("type") == "system") {
    const json& body = message.at("body");
    const std::string event = body.at("event");
    const std::string from = message.at("from");
    if (body.contains("delivery")) inbox = body["delivery"] == "inbox";
    if (event == "created") was_inbox = inbox;
    for (const json& user : body.value("users", json::array())) Enter(user, gseq, "member");
    if (event == "created") Enter(from, gseq, "owner");
    if (event == "joined") Enter(from, gseq, "member");
    if (event == "left" && body.contains("owner")) Enter(body["owner"], gseq, "owner");
    if (event == "left") Leave(from, gseq);
    if (event == "removed") Leave(body.at("user"), gseq);
    if (event == "role") Enter(body.at("user"), gseq, body.at("role"));
    if (event == "deleted") {
      for (auto& [user, role] : std::map(roles)) Leave(user, gseq);
    }
  }
  if (inbox || was_inbox) in_inboxes.insert(gseq);
}

void Oracle::CheckGroups(const std::vector<std::string>& users) {
  for (const auto& [group, messages] : groups_) {
    Membership membership;
    uint64_t expected = 1;
    for (const auto& [gseq, text] : messages) {
      if (gseq != expected++) break;
      membership.Take(gseq, json::parse(text));
    }
    // What only those know who aren't in any more can't be asked for.
    if (expected != messages.rbegin()->first + 1) continue;
    CheckMembers(group, membership, users);
    CheckRoster(group, membership, users);
  }
}

void Oracle::CheckMembers(const std::string& group, const Membership& membership,
                          const std::vector<std::string>& users) {
  const uint64_t head = GroupHead(group);
  for (const std::string& user : users) {
    std::set<uint64_t> has;
    for (const auto& [seq, entry] : logs_[user]) {
      if (entry.group == group) has.insert(entry.gseq);
    }
    for (uint64_t gseq = 1; gseq <= head; ++gseq) {
      bool should = membership.Sees(user, gseq) && membership.in_inboxes.contains(gseq);
      if (should == has.contains(gseq)) continue;
      Fail(user + (should ? " misses " : " has ") + group + "'s " + std::to_string(gseq) +
           (should ? "" : ", and was not in"));
    }
    for (uint64_t gseq : unnumbered_[group][user]) {
      if (has.contains(gseq)) {
        Fail(user + " was shown " + group + "'s " + std::to_string(gseq) + " without its seq");
      }
    }
    for (uint64_t gseq : seen_in_group_[group][user]) {
      if (!membership.Sees(user, gseq)) {
        Fail(user + " was shown " + group + "'s " + std::to_string(gseq) + ", and was not in");
      }
    }
  }
}

void Oracle::CheckRoster(const std::string& group, const Membership& membership,
                         const std::vector<std::string>& users) {
  const json roles(membership.roles);
  const std::string said = "; the messages of " + group + " say " + roles.dump() + " at " +
                           std::to_string(GroupHead(group));
  auto roster = rosters_.find(group);
  if (roster == rosters_.end()) {
    // That all left a group that copies nothing are messages which nobody may ask for any more.
    for (const auto& [user, role] : membership.roles) {
      if (membership.inbox || !may_have_left_[group].contains(user)) {
        Fail("no member may see the group" + said);
      }
    }
    if (!roles.empty()) return;
  } else {
    json listed = json::object();
    for (const json& member : roster->second.at("members")) listed[member["user"]] = member["role"];
    bool same = listed == roles && roster->second["head"] == GroupHead(group) &&
                roster->second["count"] == roles.size();
    if (!same) Fail("the roster says " + roster->second.dump() + said);
  }
  for (const std::string& user : users) {
    const json own = roles.value(user, json());
    const json& listed = lists_[user][group];
    const json role = listed.is_null() ? json() : listed.at("role");
    if (role == own && (own.is_null() || listed["count"] == roles.size())) continue;
    Fail(user + "'s list of groups says " + listed.dump() + said);
  }
}

void Oracle::Forget() {
  before_ = std::exchange(logs_, {});
  places_.clear();
  groups_.clear();
  seen_in_group_.clear();
  marks_.clear();
  cursors_.clear();
  for (Message& message : messages_) {
    message.accepted = false;
    message.attempts += message.attempts > 0;
  }
}

}  // namespace parley::sim
