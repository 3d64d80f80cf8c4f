// All is read and checked: everything that users were shown, or were told is stored, must be there.
#include <utility>

#include "tests/sim/world.h"

namespace parley::sim {
namespace {

using nlohmann::json;

constexpr char kDataDir[] = "/data";
constexpr int64_t kPatienceUs = 600'000'000;
constexpr int64_t kQuietUs = 2'000'000;

bool IsUp(Server& server) {
  if (server.state() != Server::State::kUp) return false;
  const LogFigures figures = server.log().figures();
  return server.log().journal_ok() && figures.stores_down == 0 && figures.dead_letters == 0;
}

// None where it is no directory.
std::vector<std::string> NamesIn(Disk* disk, const std::string& dir) {
  auto names = disk->List(dir);
  return names ? *names : std::vector<std::string>();
}

}  // namespace

void World::Audit() {
  trace_.Note("audit");
  pushes_.mended = true;
  do {
    forgotten_ = false;
    Mend();
    Quiet();
    ReadAll();
  } while (forgotten_);
  oracle_.Check(users_);
  if (has_pushes_) {
    CheckPushes();
    OptIn();
  }
  for (Phone* phone : auditors_) broker_.Disconnect(*phone);
  trace_.Note("audited");
}

void World::ReadAll() {
  for (Phone* phone : auditors_) AuditUser(*phone);
  for (Phone* phone : auditors_) AuditGroups(*phone);
  AuditContacts();
}

// Everything works again and nothing is under way.
void World::Quiet() {
  const int64_t give_up_us = scheduler_.now_us() + kPatienceUs;
  do {
    if (scheduler_.now_us() > give_up_us) throw Violation{"pushes stay open"};
    ComeToRest();
  } while (has_pushes_ && !PushesAreDone());
}

void World::ComeToRest() {
  const int64_t give_up_us = scheduler_.now_us() + kPatienceUs;
  int64_t quiet_since_us = scheduler_.now_us();
  while (scheduler_.now_us() - quiet_since_us < kQuietUs) {
    if (scheduler_.now_us() > give_up_us) throw Violation{"it doesn't come to rest"};
    NoticePowerCut();
    if (server_.state() == Server::State::kDown) StartServer();
    RunGateways();
    if (broker_.Turn(500) || !IsUp(server_)) quiet_since_us = scheduler_.now_us();
    scheduler_.SleepUs(10'000);
  }
}

json World::AskUntilAnswered(Phone& phone, const std::string& method, json request) {
  const int64_t give_up_us = scheduler_.now_us() + kPatienceUs;
  while (scheduler_.now_us() < give_up_us) {
    std::optional<json> answer = AskOnce(phone, method, request);
    if (answer && (*answer)["ok"] == true) return *answer;
    const std::string code = answer ? (*answer)["error"]["code"] : json("unavailable");
    if (code != "unavailable" && code != "busy") return *answer;
    scheduler_.SleepUs(100'000);
  }
  throw Violation{phone.name + " gets no answer to " + method + " " + request.dump()};
}

// Nothing: the connection was lost, or it takes too long.
std::optional<json> World::AskOnce(Phone& phone, const std::string& method, const json& request) {
  if (phone.session == 0) {
    Quiet();
    broker_.Connect(phone);
  }
  const int64_t give_up_us = scheduler_.now_us() + kPatienceUs;
  const std::string rid = broker_.Ask(phone, method, request);
  std::optional<json> answer;
  while (!answer && phone.session != 0 && scheduler_.now_us() < give_up_us) {
    NoticePowerCut();
    broker_.Turn(500);
    scheduler_.SleepUs(2'000);
    answer = broker_.TakeAnswer(rid);
  }
  return answer;
}

void World::AuditUser(Phone& phone) {
  uint64_t after = 0;
  json page;
  do {
    page = AskUntilAnswered(phone, "sync", {{"after", after}, {"limit", 1000}});
    if (page["ok"] == false) throw Violation{phone.name + " can't sync: " + page.dump()};
    if (!page["messages"].empty()) after = page["messages"].back()["seq"].get<uint64_t>();
  } while (page["more"] == true);
  AskUntilAnswered(phone, "recent", json::object());
  AskUntilAnswered(phone, "devices.list", json::object());
  for (const std::string& peer : users_) {
    AskUntilAnswered(phone, "history", {{"with", peer}, {"limit", 100}});
  }
}

void World::AuditGroups(Phone& phone) {
  json list = AskUntilAnswered(phone, "groups.list", json::object());
  oracle_.ShownGroups(phone.user, list["groups"]);
  for (const std::string& group : groups_) {
    json known = AskUntilAnswered(phone, "groups.get", {{"group", group}});
    if (known["ok"] == false) continue;
    oracle_.ShownGroup(known);
    uint64_t after = 0;
    json page;
    do {
      page = AskUntilAnswered(phone, "sync", {{"group", group}, {"after", after}, {"limit", 1000}});
      if (page["ok"] == false) throw Violation{phone.name + " can't sync: " + page.dump()};
      if (!page["messages"].empty()) after = page["messages"].back()["gseq"].get<uint64_t>();
    } while (page["more"] == true);
  }
}

// What stands between two users is the same for both.
void World::AuditContacts() {
  std::map<std::pair<std::string, std::string>, std::string> states;
  for (Phone* phone : auditors_) {
    json list = AskUntilAnswered(*phone, "contacts.list", json::object());
    for (const json& contact : list["contacts"]) {
      states[{phone->user, contact["user"]}] = contact["state"];
    }
  }
  for (const auto& [who, state] : states) {
    auto other = states.find({who.second, who.first});
    const std::string expected = state == "requested" ? "asked"
                                 : state == "asked"   ? "requested"
                                                      : state;
    if (other == states.end() || other->second != expected) {
      throw Violation{who.first + " and " + who.second + " don't agree: " + state};
    }
  }
}

// A bit of what is on the disk turns while nothing runs. That is told, or does no harm: whatever is
// answered must still be right.
void World::Rot() {
  StopServer();
  while (server_.state() != Server::State::kDown) {
    if (disk_.power_is_off()) return;  // it didn't stop in order
    scheduler_.SleepUs(1'000);
  }
  disk_.StartProcess();  // nothing else goes wrong
  size_t offset = 0;
  const std::string path = RotSomething(&offset);
  trace_.Note("a bit of " + path + " turns, in byte " + std::to_string(offset));
  server_.Start();
  while (server_.state() == Server::State::kStarting) scheduler_.SleepUs(1'000);
  if (server_.state() == Server::State::kUp) {
    for (Phone* phone : auditors_) {
      broker_.Connect(*phone);
      AskOnce(*phone, "sync", {{"after", 0}, {"limit", 1000}});
      AskOnce(*phone, "recent", json::object());
      AskOnce(*phone, "conversations", json::object());
      for (const std::string& peer : users_) AskOnce(*phone, "history", {{"with", peer}});
    }
    return;
  }
  if (server_.failure().code() != Code::kCorruption) {
    throw Violation{"a bit turned, and it says " + server_.failure().ToString()};
  }
  trace_.Note("not started: " + server_.failure().ToString());
  auto size = disk_.Size(path);
  if (!size || *size <= offset) return;  // it is gone: the directory comes from a backup
  disk_.FlipBit(path, offset);           // this file does
  server_.Start();
  Audit();
}

// SQLite has no checksums of its pages, so not in the roster.
std::string World::RotSomething(size_t* offset) {
  std::vector<std::string> paths;
  for (const std::string& name : NamesIn(&disk_, kDataDir)) {
    const std::string path = std::string(kDataDir) + "/" + name;
    if (name.starts_with("roster")) continue;
    paths.push_back(path);
    for (const std::string& file : NamesIn(&disk_, path)) paths.push_back(path + "/" + file);
  }
  std::erase_if(paths, [this](const std::string& path) {
    auto size = disk_.Size(path);
    return !size || *size == 0;
  });
  const std::string& path = paths[random_.Below(paths.size())];
  *offset = random_.Below(*disk_.Size(path));
  disk_.FlipBit(path, *offset);
  return path;
}

}  // namespace parley::sim
