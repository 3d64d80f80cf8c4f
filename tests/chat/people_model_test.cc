// Random operations on groups, contacts and blocks against a plain model in memory: every answer,
// every delivery and all that can be read must be the same, across restarts.
//
// RC_PARAMS="max_success=5000" makes it longer; a failing run prints what replays it.
#include <rapidcheck.h>

#include "tests/catch.h"
#include "tests/chat/world.h"

namespace parley {
namespace {

using nlohmann::json;

const std::vector<std::string> kPeople = {"alice", "bob", "carol", "dave", "eve"};
const std::vector<std::string> kGroups = {"g", "h"};

// One thing that somebody does. What a member means depends on `kind`.
struct Op {
  int kind = 0;
  size_t who = 0;
  size_t whom = 0;
  size_t group = 0;
  bool flag = false;
  int choice = 0;
};

std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << "{" << op.kind << " " << kPeople[op.who] << " " << kPeople[op.whom] << " "
             << kGroups[op.group] << " " << op.flag << " " << op.choice << "}";
}

rc::Gen<Op> Ops() {
  auto weighted = rc::gen::weightedElement<int>({{3, 0},
                                                 {6, 1},
                                                 {3, 2},
                                                 {3, 3},
                                                 {3, 4},
                                                 {3, 5},
                                                 {4, 6},
                                                 {1, 7},
                                                 {12, 8},
                                                 {4, 9},
                                                 {4, 10},
                                                 {3, 11},
                                                 {2, 12},
                                                 {2, 13},
                                                 {1, 14}});
  return rc::gen::build<Op>(rc::gen::set(&Op::kind, weighted),
                            rc::gen::set(&Op::who, rc::gen::inRange<size_t>(0, kPeople.size())),
                            rc::gen::set(&Op::whom, rc::gen::inRange<size_t>(0, kPeople.size())),
                            rc::gen::set(&Op::group, rc::gen::inRange<size_t>(0, kGroups.size())),
                            rc::gen::set(&Op::flag, rc::gen::arbitrary<bool>()),
                            rc::gen::set(&Op::choice, rc::gen::inRange<int>(0, 4)));
}

// The rules, said a second time and as plainly as can be.
class Model {
 public:
  enum Role { kNone, kRemoved, kMember, kAdmin, kOwner };
  struct Member {
    Role role = kNone;
    std::vector<std::pair<size_t, size_t>> spans;  // the second 0: still
    bool in() const { return role >= kMember; }
  };
  struct Group {
    bool was = false, gone = false, topic = false, open = false, all = false;
    std::string title;
    std::map<std::string, Member> members;
    std::vector<std::string> said;  // by gseq, from 1
    bool exists() const { return was && !gone; }
    size_t count() const {
      size_t n = 0;
      for (const auto& [user, member] : members) n += member.in();
      return n;
    }
    size_t owners() const {
      size_t n = 0;
      for (const auto& [user, member] : members) n += member.role == kOwner;
      return n;
    }
    bool has(const std::string& user) const {
      auto found = members.find(user);
      return exists() && found != members.end() && found->second.in();
    }
  };
  struct Side {
    std::string state = "none";
    bool blocked = false;
  };

  static constexpr size_t kInboxMax = 4;

  // Who got what by the last operation: user, where, what. In order for each user.
  std::map<std::string, std::vector<std::string>> told;
  std::map<std::string, Group> groups;
  std::map<std::pair<std::string, std::string>, Side> sides;
  std::map<std::string, std::set<std::string>> subscribed;  // group → users

  bool Blocks(const std::string& a, const std::string& b) { return sides[{a, b}].blocked; }

  std::string Create(const std::string& who, const std::string& id,
                     const std::vector<std::string>& with, bool topic, bool open, bool all) {
    Group& group = groups[id];
    if (group.was) return "conflict";
    std::set<std::string> members(with.begin(), with.end());
    members.insert(who);
    if (!topic && members.size() > kInboxMax) return "too_large";
    for (const std::string& user : members) {
      if (user != who && Blocks(user, who)) return "denied";
    }
    group.was = true;
    group.topic = topic;
    group.open = open;
    group.all = all;
    for (const std::string& user : members) Enter(&group, user, user == who ? kOwner : kMember);
    Tell(id, "created", Current(group), false);
    return "ok";
  }
  std::string Add(const std::string& who, const std::string& id, const std::string& user) {
    Group& group = groups[id];
    if (!group.has(who)) return "denied";
    if (group.members[who].role < kAdmin) return "denied";
    if (group.has(user)) return "ok";
    if (!group.topic && group.count() == kInboxMax) return "too_large";
    if (Blocks(user, who)) return "denied";
    std::set<std::string> before = Current(group);
    Enter(&group, user, kMember);
    before.insert(user);
    Tell(id, "added", before, group.topic);
    return "ok";
  }
  std::string Join(const std::string& who, const std::string& id) {
    Group& group = groups[id];
    if (group.has(who)) return "ok";
    if (!group.exists() || !group.open || group.members[who].role == kRemoved) return "denied";
    if (!group.topic && group.count() == kInboxMax) return "too_large";
    std::set<std::string> before = Current(group);
    Enter(&group, who, kMember);
    before.insert(who);
    Tell(id, "joined", before, group.topic);
    return "ok";
  }
  std::string Remove(const std::string& who, const std::string& id, const std::string& user) {
    Group& group = groups[id];
    if (!group.has(who) || group.members[who].role < kAdmin) return "denied";
    if (user == who) return "bad_request";
    if (!group.has(user)) return "not_found";
    if (group.members[user].role > kMember && group.members[who].role != kOwner) return "denied";
    std::set<std::string> before = Current(group);
    Exit(&group, user, kRemoved);
    Tell(id, "removed", before, group.topic);
    subscribed[id].erase(user);
    return "ok";
  }
  std::string Leave(const std::string& who, const std::string& id, const std::string& next) {
    Group& group = groups[id];
    if (!group.has(who)) return "denied";
    if (next == who) return "bad_request";
    if (!next.empty() && !group.has(next)) return "not_found";
    bool last_owner = group.members[who].role == kOwner && group.owners() == 1;
    if (last_owner && group.count() > 1 && next.empty()) return "denied";
    std::set<std::string> before = Current(group);
    if (!next.empty()) group.members[next].role = kOwner;
    Exit(&group, who, kNone);
    if (group.count() == 0) group.gone = true;
    Tell(id, "left", before, group.topic);
    subscribed[id].erase(who);
    return "ok";
  }
  std::string SetRole(const std::string& who, const std::string& id, const std::string& user,
                      Role role) {
    Group& group = groups[id];
    if (!group.has(who) || group.members[who].role != kOwner) return "denied";
    if (!group.has(user)) return "not_found";
    Role& now = group.members[user].role;
    if (now == kOwner && role != kOwner && group.owners() == 1) return "denied";
    if (now == role) return "ok";
    now = role;
    Tell(id, "role", Current(group), group.topic);
    return "ok";
  }
  std::string SetTitle(const std::string& who, const std::string& id, const std::string& title) {
    Group& group = groups[id];
    if (!group.has(who) || group.members[who].role < kAdmin) return "denied";
    if (group.title == title) return "ok";
    group.title = title;
    Tell(id, "set", Current(group), group.topic);
    return "ok";
  }
  std::string SetDelivery(const std::string& who, const std::string& id, bool topic) {
    Group& group = groups[id];
    if (!group.has(who) || group.members[who].role != kOwner) return "denied";
    if (!topic && group.count() > kInboxMax) return "too_large";
    if (group.topic == topic) return "ok";
    group.topic = topic;
    // Told both ways.
    Tell(id, "set", Current(group), true);
    if (topic) {
      for (const std::string& user : Current(group)) ToInbox(id, user, group.said.size());
    }
    if (!topic) subscribed[id].clear();
    return "ok";
  }
  std::string SetOpen(const std::string& who, const std::string& id, bool open) {
    Group& group = groups[id];
    if (!group.has(who) || group.members[who].role != kOwner) return "denied";
    if (group.open == open) return "ok";
    group.open = open;
    Tell(id, "set", Current(group), group.topic);
    return "ok";
  }
  std::string Delete(const std::string& who, const std::string& id) {
    Group& group = groups[id];
    if (!group.has(who) || group.members[who].role != kOwner) return "denied";
    std::set<std::string> before = Current(group);
    for (const std::string& user : before) Exit(&group, user, kNone);
    group.gone = true;
    Tell(id, "deleted", before, group.topic);
    subscribed[id].clear();
    return "ok";
  }
  std::string Send(const std::string& who, const std::string& id, const std::string& text) {
    Group& group = groups[id];
    if (!group.has(who)) return "denied";
    Tell(id, text, Current(group), group.topic);
    return "ok";
  }
  std::string Subscribe(const std::string& who, const std::string& id) {
    if (!groups[id].has(who) || !groups[id].topic) return "denied";
    subscribed[id].insert(who);
    return "ok";
  }
  std::string Write(const std::string& who, const std::string& whom, const std::string& text) {
    if (who != whom && Blocks(whom, who)) return "denied";
    told[who].push_back("inbox " + text);
    if (who != whom) told[whom].push_back("inbox " + text);
    return "ok";
  }
  std::string Contact(const std::string& what, const std::string& who, const std::string& whom) {
    if (who == whom) return "bad_request";
    Side& mine = sides[{who, whom}];
    Side& theirs = sides[{whom, who}];
    if (what == "block" || what == "unblock") {
      mine.blocked = what == "block";
    } else if (what == "remove") {
      mine.state = theirs.state = "none";
    } else if (theirs.blocked) {
      return "denied";
    } else if (mine.state == "asked") {
      mine.state = theirs.state = "accepted";
    } else if (what == "accept" && mine.state != "accepted") {
      return "not_found";
    } else if (mine.state == "none") {
      mine.state = "requested";
      theirs.state = "asked";
    }
    return "ok";
  }

  // What a member sees of a group.
  std::vector<std::string> Visible(const std::string& who, const std::string& id) {
    const Group& group = groups[id];
    std::vector<std::string> seen;
    for (size_t gseq = 1; gseq <= group.said.size(); ++gseq) {
      bool in = group.all;
      for (auto [first, last] : group.members.at(who).spans) {
        in = in || (gseq >= first && (last == 0 || gseq <= last));
      }
      if (in) seen.push_back(std::to_string(gseq) + " " + group.said[gseq - 1]);
    }
    return seen;
  }

 private:
  static std::set<std::string> Current(const Group& group) {
    std::set<std::string> in;
    for (const auto& [user, member] : group.members) {
      if (member.in()) in.insert(user);
    }
    return in;
  }
  static void Enter(Group* group, const std::string& user, Role role) {
    group->members[user].role = role;
    group->members[user].spans.push_back({group->said.size() + 1, 0});
  }
  static void Exit(Group* group, const std::string& user, Role role) {
    group->members[user].role = role;
    group->members[user].spans.back().second = group->said.size() + 1;
  }
  // The next message of the group, to `inboxes` or to who is subscribed.
  void Tell(const std::string& id, const std::string& what, const std::set<std::string>& inboxes,
            bool topic) {
    Group& group = groups[id];
    group.said.push_back(what);
    std::string text = id + std::to_string(group.said.size()) + " " + what;
    if (!topic && !group.topic) {
      for (const std::string& user : inboxes) told[user].push_back("inbox " + text);
    } else if (!group.topic) {  // it was, and is no longer
      for (const std::string& user : inboxes) told[user].push_back("inbox " + text);
      for (const std::string& user : subscribed[id]) told[user].push_back("topic " + text);
    } else {
      for (const std::string& user : subscribed[id]) told[user].push_back("topic " + text);
    }
  }
  void ToInbox(const std::string& id, const std::string& user, size_t gseq) {
    told[user].insert(told[user].begin(),
                      "inbox " + id + std::to_string(gseq) + " " + groups[id].said[gseq - 1]);
  }
};

class Run {
 public:
  Run() : world_(Options()) { Enter(); }

  void Do(const Op& op) {
    model_.told.clear();
    const std::string& who = kPeople[op.who];
    const std::string& whom = kPeople[op.whom];
    const std::string& id = kGroups[op.group];
    const std::string group = R"("group":")" + id + "\"";
    const std::string user = R"("user":")" + whom + "\"";
    switch (op.kind) {
      case 0:
        return Create(who, id, op);
      case 1:
        return Ask(who, "groups.add", group + "," + user, model_.Add(who, id, whom));
      case 2:
        return Ask(who, "groups.join", group, model_.Join(who, id));
      case 3:
        return Ask(who, "groups.remove", group + "," + user, model_.Remove(who, id, whom));
      case 4:
        return Ask(who, "groups.leave", op.flag ? group + "," + user : group,
                   model_.Leave(who, id, op.flag ? whom : ""));
      case 5: {
        const char* roles[] = {"member", "admin", "owner", "owner"};
        Model::Role kinds[] = {Model::kMember, Model::kAdmin, Model::kOwner, Model::kOwner};
        return Ask(who, "groups.set_role",
                   group + "," + user + R"(,"role":")" + roles[op.choice] + "\"",
                   model_.SetRole(who, id, whom, kinds[op.choice]));
      }
      case 6:
        return Set(who, id, op);
      case 7:
        if (op.choice > 0) return;
        return Ask(who, "groups.delete", group, model_.Delete(who, id));
      case 8:
        return Send(who, id);
      case 9: {
        std::string code = model_.Subscribe(who, id);
        size_t before = devices_[who]->answers.size();
        world_.Turn(Subscribed{devices_[who]->session, Channel::kGroup, GroupId(id), 1});
        world_.Settle();
        RC_ASSERT((devices_[who]->answers.size() == before ? "ok" : LastError(who)) == code);
        return Compare();
      }
      case 10: {
        const char* what[] = {"add", "accept", "remove", "add"};
        return Contact(what[op.choice], who, whom);
      }
      case 11:
        return Contact(op.flag ? "block" : "unblock", who, whom);
      case 12: {
        std::string text = "private" + std::to_string(++sent_);
        std::string code = model_.Write(who, whom, text);
        world_.Publish(*devices_[who], "chat/" + whom, R"({"body":")" + text + R"("})");
        world_.Settle();
        if (code != "ok") RC_ASSERT(LastError(who) == code);
        return Compare();
      }
      case 13:
        return ReadAll();
      default:
        world_.Restart();
        for (auto& [name, users] : model_.subscribed) users.clear();
        return Enter();
    }
  }

  void ReadAll() {
    for (const std::string& who : kPeople) {
      for (const std::string& id : kGroups) CompareGroup(who, id);
      CompareContacts(who);
      CompareLog(who);
    }
  }

 private:
  static EngineOptions Options() {
    EngineOptions options;
    options.inbox_members_max = Model::kInboxMax;
    options.user_rate = 0;
    return options;
  }
  void Enter() {
    for (const std::string& user : kPeople) {
      devices_[user] = &world_.Join(user, user + ":1");
      read_inbox_[user] = read_topic_[user] = 0;
    }
    world_.Settle();
  }
  void Create(const std::string& who, const std::string& id, const Op& op) {
    std::vector<std::string> with;
    json list = json::array();
    for (size_t i = 0; i < kPeople.size(); ++i) {
      if (((op.whom + 7 * static_cast<size_t>(op.choice)) >> i & 1) == 0) continue;
      with.push_back(kPeople[i]);
      list.push_back(kPeople[i]);
    }
    bool topic = op.choice == 3;
    bool all = op.choice == 1;
    std::string members = R"("group":")" + id + R"(","members":)" + list.dump() +
                          R"(,"delivery":")" + (topic ? "topic" : "inbox") + R"(","open":)" +
                          (op.flag ? "true" : "false") + R"(,"history":")" +
                          (all ? "all" : "joined") + "\"";
    Ask(who, "groups.create", members, model_.Create(who, id, with, topic, op.flag, all));
  }
  void Set(const std::string& who, const std::string& id, const Op& op) {
    const std::string group = R"("group":")" + id + "\"";
    const char* on = op.flag ? "true" : "false";
    if (op.choice == 0) {
      return Ask(who, "groups.set", group + R"(,"open":)" + on, model_.SetOpen(who, id, op.flag));
    }
    if (op.choice == 1) {
      return Ask(who, "groups.set", group + R"(,"title":")" + on + "\"",
                 model_.SetTitle(who, id, on));
    }
    Ask(who, "groups.set", group + R"(,"delivery":")" + (op.flag ? "topic" : "inbox") + "\"",
        model_.SetDelivery(who, id, op.flag));
  }
  void Send(const std::string& who, const std::string& id) {
    std::string text = "said" + std::to_string(++sent_);
    std::string code = model_.Send(who, id, text);
    world_.Publish(*devices_[who], "group/" + id, R"({"body":")" + text + R"("})");
    world_.Settle();
    if (code != "ok") RC_ASSERT(LastError(who) == code);
    Compare();
  }
  void Contact(const std::string& what, const std::string& who, const std::string& whom) {
    Ask(who, "contacts." + what, R"("user":")" + whom + "\"", model_.Contact(what, who, whom));
  }
  void Ask(const std::string& who, const std::string& method, const std::string& members,
           const std::string& code) {
    json answer = world_.Ask(*devices_[who], method, members);
    RC_ASSERT(answer.value("/error/code"_json_pointer, std::string("ok")) == code);
    Compare();
  }
  std::string LastError(const std::string& who) {
    RC_ASSERT(!devices_[who]->answers.empty());
    return json::parse(devices_[who]->answers.back())
        .value("/error/code"_json_pointer, std::string("ok"));
  }

  static std::string WordOf(const json& message) {
    std::string text;
    if (message.contains("group")) {
      text = message["group"].get<std::string>() + std::to_string(message["gseq"].get<uint64_t>()) +
             " ";
    }
    bool system = message["type"] == "system";
    return text + (system ? message["body"]["event"] : message["body"]).get<std::string>();
  }
  // What the devices got since the last time is what the model says.
  void Compare() {
    for (const std::string& user : kPeople) {
      std::vector<std::string> got;
      const TestDevice& device = *devices_[user];
      for (size_t& i = read_inbox_[user]; i < device.inbox.size(); ++i) {
        json message = json::parse(device.inbox[i]);
        RC_ASSERT(message["seq"].get<uint64_t>() == ++seq_[user]);
        got.push_back("inbox " + WordOf(message));
        logs_[user].push_back(device.inbox[i]);
      }
      for (size_t& i = read_topic_[user]; i < device.group.size(); ++i) {
        got.push_back("topic " + WordOf(json::parse(device.group[i])));
      }
      RC_ASSERT(got == model_.told[user]);
    }
  }
  void CompareGroup(const std::string& who, const std::string& id) {
    Model::Group& group = model_.groups[id];
    const std::string named = R"("group":")" + id + "\"";
    json sync = world_.Ask(*devices_[who], "sync", named + R"(,"after":0,"limit":1000)");
    json got = world_.Ask(*devices_[who], "groups.get", named);
    if (!group.has(who)) {
      RC_ASSERT(sync["error"]["code"] == "denied");
      RC_ASSERT(got["error"]["code"] == "denied");
      return;
    }
    std::vector<std::string> seen;
    for (const json& message : sync["messages"]) seen.push_back(WordOf(message).substr(id.size()));
    RC_ASSERT(seen == model_.Visible(who, id));
    RC_ASSERT(got["count"] == group.count());
    RC_ASSERT(got["head"] == group.said.size());
    RC_ASSERT(got["title"] == group.title);
    RC_ASSERT(got["open"] == group.open);
    RC_ASSERT(got["delivery"] == (group.topic ? "topic" : "inbox"));
    for (const json& member : got["members"]) {
      const char* names[] = {"none", "none", "member", "admin", "owner"};
      RC_ASSERT(member["role"] == names[group.members[member["user"]].role]);
    }
  }
  void CompareContacts(const std::string& who) {
    json list = world_.Ask(*devices_[who], "contacts.list");
    std::map<std::string, std::string> expected, got;
    for (const std::string& whom : kPeople) {
      const Model::Side& side = model_.sides[{who, whom}];
      if (side.state == "none" && !side.blocked) continue;
      expected[whom] = side.state + (side.blocked ? " blocked" : "");
    }
    for (const json& contact : list["contacts"]) {
      got[contact["user"]] =
          contact["state"].get<std::string>() + (contact.value("blocked", false) ? " blocked" : "");
    }
    RC_ASSERT(got == expected);
  }
  void CompareLog(const std::string& who) {
    std::vector<std::string> log;
    for (;;) {
      json page = world_.Ask(*devices_[who], "sync",
                             R"("after":)" + std::to_string(log.size()) + R"(,"limit":1000)");
      for (const json& message : page["messages"]) {
        log.push_back(std::to_string(message["seq"].get<uint64_t>()) + " " + WordOf(message));
      }
      if (!page["more"].get<bool>()) break;
    }
    std::vector<std::string> seen;
    for (const std::string& text : logs_[who]) {
      json message = json::parse(text);
      seen.push_back(std::to_string(message["seq"].get<uint64_t>()) + " " + WordOf(message));
    }
    RC_ASSERT(log == seen);
  }

  World world_;
  Model model_;
  std::map<std::string, TestDevice*> devices_;
  std::map<std::string, size_t> read_inbox_, read_topic_;
  std::map<std::string, uint64_t> seq_;
  std::map<std::string, std::vector<std::string>> logs_;
  uint64_t sent_ = 0;
};

TEST_CASE("groups, contacts and blocks do what a plain model does") {
  CHECK(rc::check([] {
    auto ops = *rc::gen::scale(2.0, rc::gen::container<std::vector<Op>>(Ops()));
    Run run;
    for (const Op& op : ops) run.Do(op);
    run.ReadAll();
  }));
}

}  // namespace
}  // namespace parley
