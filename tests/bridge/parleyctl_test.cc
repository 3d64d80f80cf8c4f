// parleyctl as people and scripts call it, on directories that no broker has open; with a broker it
// is tested in tests/e2e/control_test.cc.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "bridge/control_channel.h"
#include "storage/credentials.h"
#include "storage/data_dir.h"
#include "storage/directory.h"
#include "storage/leveldb_store.h"
#include "storage/log.h"
#include "tests/catch.h"
#include "tests/cpu_time.h"
#include "tests/e2e/broker.h"
#include "tests/free_port.h"
#include "tests/storage/clock_env.h"
#include "tests/storage/watched_store.h"

namespace parley {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using e2e::CommandResult;
using nlohmann::json;

class Ctl {
 public:
  Ctl() {
    // A broker's user has to reach what root makes for it.
    fs::permissions(temp_.path(), fs::perms(0755));
  }

  std::vector<std::string> Command(const std::vector<std::string>& arguments) const {
    std::vector<std::string> command = {PARLEYCTL, "--data", data(), "--wait", "0"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  CommandResult Run(const std::vector<std::string>& arguments, std::string_view input = "") const {
    return e2e::RunCommand(Command(arguments), input);
  }
  std::string Done(const std::vector<std::string>& arguments, std::string_view input = "") const {
    CommandResult result = Run(arguments, input);
    INFO(result.out << result.err);
    REQUIRE(result.exit_code == 0);
    return result.out;
  }
  std::string File(const std::string& name, const std::string& text) const {
    std::ofstream(temp_.path() + "/" + name) << text;
    return temp_.path() + "/" + name;
  }
  std::string data() const { return temp_.path() + "/data"; }
  std::string dir() const { return temp_.path(); }

  // The password is checked as the broker will check it.
  bool PasswordIs(const std::string& user, const std::string& password) const {
    auto directory = Directory::Open(data(), Env::Posix());
    auto credentials = Credentials::Load(data(), kPasswordMemoryKibDefault, Env::Posix());
    REQUIRE(directory);
    REQUIRE(credentials);
    auto hash = (*directory)->PasswordHash(UserId(user));
    return hash && *hash && credentials->VerifyPassword(**hash, password) == PasswordCheck::kRight;
  }

 private:
  TempDir temp_;
};

// Runs a program on a terminal of its own, types what it is given, and returns all that was shown.
// Each line is typed once the text before it has appeared.
struct Typed {
  std::string after;
  std::string line;
};
std::string RunOnTerminal(const std::vector<std::string>& command, const std::vector<Typed>& typed,
                          int* exit_code) {
  int terminal = -1;
  pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  std::string shown;
  size_t next = 0;
  char buffer[4096];
  for (ssize_t n; (n = read(terminal, buffer, sizeof buffer)) > 0;) {
    shown.append(buffer, static_cast<size_t>(n));
    if (next < typed.size() && shown.find(typed[next].after) != std::string::npos) {
      std::string line = typed[next++].line + "\n";
      REQUIRE(write(terminal, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
    }
  }
  close(terminal);
  int status = 0;
  waitpid(child, &status, 0);
  *exit_code = WEXITSTATUS(status);
  return shown;
}

// What this process made in a directory of the broker's user, as root.
void GiveToOwner(const std::string& dir) {
  struct stat info;
  REQUIRE(stat(dir.c_str(), &info) == 0);
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    REQUIRE(lchown(entry.path().c_str(), info.st_uid, info.st_gid) == 0);
  }
}

TEST_CASE("a directory is made once, and made again changes nothing") {
  Ctl ctl;
  CHECK_THAT(ctl.Done({"init"}), Contains("made the data directory"));
  ctl.Done({"user", "add", "alice"}, "secret\n");
  std::string secret = *Env::Posix()->ReadFile(SecretPath(ctl.data()));
  CHECK_THAT(ctl.Done({"init"}), Contains("already"));
  CHECK(json::parse(ctl.Done({"init", "--json"}))["created"] == false);
  CHECK(*Env::Posix()->ReadFile(SecretPath(ctl.data())) == secret);
  CHECK(ctl.PasswordIs("alice", "secret"));
}

TEST_CASE("a folder with other things in it is not made a data directory") {
  Ctl ctl;
  fs::create_directory(ctl.data());
  std::ofstream(ctl.data() + "/letter.txt") << "dear";
  CommandResult result = ctl.Run({"init"});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains(ctl.data()));
  CHECK_FALSE(fs::exists(DatabasePath(ctl.data())));
}

TEST_CASE("without a directory every command says how to make one") {
  Ctl ctl;
  for (const auto& command : std::vector<std::vector<std::string>>{
           {"user", "list"}, {"status"}, {"user", "add", "alice"}, {"deadletter", "replay"}}) {
    CommandResult result = ctl.Run(command, "secret\n");
    CHECK(result.exit_code == 1);
    CHECK(result.out.empty());
    CHECK_THAT(result.err, Contains(ctl.data()));
  }
  fs::create_directory(ctl.data());
  CHECK_THAT(ctl.Run({"user", "list"}).err, Contains("init"));
}

TEST_CASE("wrong usage is told from a refusal by the exit code") {
  Ctl ctl;
  ctl.Done({"init"});
  for (const auto& command : std::vector<std::vector<std::string>>{
           {},
           {"fly"},
           {"user"},
           {"user", "add"},
           {"user", "add", "alice", "--role", "king"},
           {"user", "add", "alice", "--password", "secret"},
           {"user", "add", "alice", "secret"},
           {"token", "issue", "alice", "--ttl", "soon"},
           {"key", "add", "k", "--rate", "fast"},
           {"key", "add", "k", "--strangers", "some"},
           {"key", "add", "k", "--quota", "5/s"},
           {"key", "webhook", "default"},
           {"key", "webhook", "default", "https://app.example"}}) {
    CommandResult result = ctl.Run(command, "secret\n");
    INFO(result.out << result.err);
    CHECK(result.exit_code == 2);
    CHECK_FALSE(result.err.empty());
  }
  CHECK(ctl.Run({"--help"}).exit_code == 0);
  CHECK(ctl.Run({"user", "add", "Alice"}, "x\n").exit_code == 1);
  CHECK(ctl.Run({"user", "disable", "alice"}).exit_code == 1);
  CHECK(ctl.Run({"token", "issue", "alice"}).exit_code == 1);
}

TEST_CASE("a password comes from a file or standard input, an empty one means tokens only") {
  Ctl ctl;
  ctl.Done({"init"});
  ctl.Done({"user", "add", "stdin"}, "from stdin\nnot this\n");
  CHECK(ctl.PasswordIs("stdin", "from stdin"));
  ctl.Done({"user", "add", "file", "--password-file", ctl.File("pw", "from file\r\n")});
  CHECK(ctl.PasswordIs("file", "from file"));
  CHECK_THAT(ctl.Done({"user", "add", "empty"}), Contains("tokens only"));
  CHECK_THAT(ctl.Done({"user", "add", "none", "--no-password"}, "unread\n"),
             Contains("tokens only"));
  CHECK(ctl.Run({"user", "add", "x", "--password-file", ctl.dir() + "/none"}).exit_code == 1);
  CHECK(ctl.Run({"user", "add", "x", "--password-file", ctl.dir()}).exit_code == 1);
  CHECK(ctl.Run({"user", "add", "x"}, "\xff\n").exit_code == 1);
  json users = json::parse(ctl.Done({"user", "list", "--json"}))["users"];
  REQUIRE(users.size() == 4);
  CHECK(users[0]["username"] == "empty");
  CHECK(users[0]["password"] == false);
  CHECK(users[2]["username"] == "none");
  CHECK(users[2]["password"] == false);
}

TEST_CASE("a password is changed to nothing only when that is said") {
  Ctl ctl;
  ctl.Done({"init"});
  ctl.Done({"user", "add", "alice"}, "old\n");
  CHECK(ctl.Run({"user", "passwd", "alice"}, "\n").exit_code == 1);
  CHECK(ctl.PasswordIs("alice", "old"));
  ctl.Done({"user", "passwd", "alice"}, "new\n");
  CHECK(ctl.PasswordIs("alice", "new"));
  ctl.Done({"user", "passwd", "alice", "--no-password"});
  CHECK_FALSE(ctl.PasswordIs("alice", "new"));
}

TEST_CASE("on a terminal a password is asked for twice and not shown") {
  Ctl ctl;
  ctl.Done({"init"});
  int code = -1;
  std::string shown =
      RunOnTerminal(ctl.Command({"user", "add", "alice"}),
                    {{"Password for alice: ", "quiet"}, {"Once more: ", "quiet"}}, &code);
  CHECK(code == 0);
  CHECK_THAT(shown, Contains("added alice") && !Contains("quiet"));
  CHECK(ctl.PasswordIs("alice", "quiet"));
  shown = RunOnTerminal(ctl.Command({"user", "passwd", "alice"}),
                        {{"Password for alice: ", "one"}, {"Once more: ", "other"}}, &code);
  CHECK(code == 1);
  CHECK_THAT(shown, Contains("differ"));
  CHECK(ctl.PasswordIs("alice", "quiet"));
}

TEST_CASE("50,000 users without passwords are imported in seconds, and again in fewer") {
  Ctl ctl;
  ctl.Done({"init"});
  std::string lines;
  for (int i = 0; i < 50000; ++i) lines += "user" + std::to_string(i) + ",\n";
  std::string file = ctl.File("users.csv", lines);
  double start = ChildrenCpuSeconds();
  json outcome = json::parse(ctl.Done({"user", "import", file, "--json"}));
  double cpu_s = ChildrenCpuSeconds() - start;
  CHECK(outcome == json({{"created", 50000}, {"existing", 0}, {"failed", 0}}));
  CHECK(cpu_s < 20);
  outcome = json::parse(ctl.Done({"user", "import", "-", "--json"}, lines + "one-more,\n"));
  CHECK(outcome == json({{"created", 1}, {"existing", 50000}, {"failed", 0}}));
  CHECK(json::parse(ctl.Done({"status", "--json"}))["users"] == 50001);
  int code = -1;
  std::string shown = RunOnTerminal(ctl.Command({"user", "import", file}), {}, &code);
  CHECK(code == 0);
  CHECK_THAT(shown, Contains("[##############################]") && Contains("100%"));
}

TEST_CASE("an import of a bad line imports the others and is not done") {
  Ctl ctl;
  ctl.Done({"init"});
  CommandResult result = ctl.Run({"user", "import", ctl.File("u.csv", "a,\nB,\nc,\n")});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains("u.csv:2: "));
  CHECK(json::parse(ctl.Done({"user", "list", "--json"}))["users"].size() == 2);
}

TEST_CASE("a directory that is in use by what can't be reached is exit code 3") {
  Ctl ctl;
  ctl.Done({"init"});
  {
    auto lock = DataDirLock::Take(ctl.data());
    REQUIRE(lock);
    CommandResult result = ctl.Run({"user", "list"});
    CHECK(result.exit_code == 3);
    CHECK_THAT(result.err, Contains("in use by process " + std::to_string(getpid())));
    result = ctl.Run({"user", "list", "--json"});
    CHECK(result.exit_code == 3);
    CHECK(json::parse(result.out)["code"] == "unavailable");
    CHECK(ctl.Run({"init"}).exit_code == 0);
    // Named, but nobody answers there.
    ctl.File("data/run/listeners",
             "# " + std::to_string(getpid()) + "\n127.0.0.1:" + std::to_string(FreePort()) + "\n");
    CHECK(ctl.Run({"user", "list"}).exit_code == 3);
  }
  CHECK(ctl.Run({"user", "list"}).exit_code == 0);
}

TEST_CASE("no token goes to who listens where a broker did that is gone") {
  Ctl ctl;
  ctl.Done({"init"});
  auto lock = DataDirLock::Take(ctl.data());  // a tool at work, say
  REQUIRE(lock);
  const int stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(bind(stranger, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(listen(stranger, 5) == 0);
  REQUIRE(getsockname(stranger, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const std::string there = "127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "\n";
  std::atomic<int> came = 0;
  std::jthread hanging_up([&](const std::stop_token& stop) {
    pollfd somebody{stranger, POLLIN, 0};
    while (!stop.stop_requested()) {
      if (poll(&somebody, 1, 20) <= 0) continue;
      ++came;
      close(accept(stranger, nullptr, nullptr));
    }
  });
  auto comes_to = [&](const std::string& listeners) {
    ctl.File("data/run/listeners", listeners);
    came = 0;
    CHECK(ctl.Run({"status"}).exit_code == 3);
    return came > 0;
  };
  CHECK_FALSE(comes_to(there));
  CHECK_FALSE(comes_to("# 1\n" + there));
  CHECK(comes_to("# " + std::to_string(getpid()) + "\n" + there));
  hanging_up.request_stop();
  hanging_up.join();
  close(stranger);
}

TEST_CASE("tools at work at the same time wait for each other") {
  Ctl ctl;
  ctl.Done({"init"});
  std::vector<std::thread> tools;
  std::vector<CommandResult> results(8);
  for (size_t i = 0; i < results.size(); ++i) {
    tools.emplace_back([&, i] {
      results[i] = ctl.Run({"--wait", "60", "user", "add", "u" + std::to_string(i)}, "pw\n");
    });
  }
  for (std::thread& tool : tools) tool.join();
  for (const CommandResult& result : results) {
    INFO(result.err);
    CHECK(result.exit_code == 0);
  }
  CHECK(json::parse(ctl.Done({"status", "--json"}))["users"] == results.size());
}

TEST_CASE("a key's strangers are allowed unless they are denied, and shown in both lists") {
  Ctl ctl;
  ctl.Done({"init"});
  ctl.Done({"key", "add", "open", "--rate", "5/s"});
  ctl.Done({"key", "add", "shut", "--strangers", "deny"});
  auto keys = [&] { return json::parse(ctl.Done({"key", "list", "--json"}))["keys"]; };
  REQUIRE(keys().size() == 3);
  CHECK(keys()[1] == json({{"key", "open"},
                           {"rate", 5},
                           {"quota", 0},
                           {"used", 0},
                           {"strangers", true},
                           {"secret", false}}));
  CHECK(keys()[2]["strangers"] == false);
  std::string list = ctl.Done({"key", "list"});
  CHECK_THAT(list, Contains("STRANGERS") && Contains("allow") && Contains("deny"));
  ctl.Done({"key", "set", "open", "--strangers", "deny"});
  ctl.Done({"key", "set", "shut", "--strangers", "allow"});
  CHECK(keys()[1]["strangers"] == false);
  CHECK(keys()[1]["rate"] == 5);
  CHECK(keys()[2]["strangers"] == true);
}

TEST_CASE("a user's name is listed where it has one") {
  Ctl ctl;
  ctl.Done({"init"});
  ctl.Done({"user", "add", "alice", "--no-password"});
  ctl.Done({"user", "add", "bob", "--no-password"});
  {
    auto directory = Directory::Open(ctl.data(), Env::Posix());
    REQUIRE(directory);
    REQUIRE((*directory)->SetName(UserId("alice"), "Alice Lidell").ok());
  }
  GiveToOwner(ctl.data());
  json users = json::parse(ctl.Done({"user", "list", "--json"}))["users"];
  REQUIRE(users.size() == 2);
  CHECK(users[0]["name"] == "Alice Lidell");
  CHECK_FALSE(users[1].contains("name"));
}

TEST_CASE("output that can't be written is not done") {
  Ctl ctl;
  ctl.Done({"init"});
  std::string command = std::string(PARLEYCTL) + " --data " + ctl.data() + " key list >/dev/full";
  CHECK(e2e::RunCommand({"/bin/sh", "-c", command}).exit_code == 1);
}

class Quiet : public Log::Listener {
 public:
  void Committed(Lsn) override {}
  void Failed(Lsn, Lsn, const Status&) override {}
  void StoresChanged() override {}
  void LogLine(const std::string&) override {}
};

// A broker whose stores refuse a message that alice sends to bob.
void LeaveDeadLetter(const std::string& data_dir) {
  LogOptions options;
  options.data_dir = data_dir;
  options.stores = 1;
  options.retry_ms = 1;
  options.retry_max = 1;
  options.open_store = [](int, const std::string& path,
                          bool create) -> Result<std::unique_ptr<MessageStore>> {
    auto store = LevelDbStore::Open({.path = path, .create = create});
    if (!store) return Error(store.error());
    return std::make_unique<WatchedStore>(
        std::move(*store), [](std::span<const Transaction* const> transactions) {
          return transactions.empty() ? Status() : Status(Code::kIoError, "broken");
        });
  };
  Quiet quiet;
  auto log = Log::Open(options, Env::Posix(), &quiet);
  REQUIRE(log);
  MessageRecord message;
  message.from = UserId("alice");
  message.to = UserId("bob");
  message.id = "m";
  message.body = "\"hi\"";
  message.from_seq = message.to_seq = Seq(1);
  (*log)->Append({Transaction{(*log)->next_lsn(), {message}}});
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while ((*log)->figures().dead_letters == 0) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    std::this_thread::yield();
  }
}

TEST_CASE("dead letters are counted and replayed while the broker is down") {
  Ctl ctl;
  ctl.Done({"init"});
  json none = {{"waiting", 0}, {"stores_down", 0}};
  CHECK(json::parse(ctl.Done({"deadletter", "list", "--json"})) == none);
  CHECK(json::parse(ctl.Done({"deadletter", "replay", "--json"})) == json({{"replayed", 0}}));
  CHECK_FALSE(fs::exists(ctl.data() + "/journal"));  // that is the broker's to make

  LeaveDeadLetter(ctl.data());
  GiveToOwner(ctl.data());
  CHECK(json::parse(ctl.Done({"deadletter", "list", "--json"})) ==
        json({{"waiting", 1}, {"stores_down", 1}}));
  CHECK(json::parse(ctl.Done({"deadletter", "replay", "--json"})) == json({{"replayed", 1}}));
  CHECK(json::parse(ctl.Done({"deadletter", "list", "--json"})) == none);
  Quiet quiet;
  LogOptions options;
  options.data_dir = ctl.data();
  auto log = Log::Open(options, Env::Posix(), &quiet);
  REQUIRE(log);
  CHECK((*(*log)->store("bob"))->ReadTail(UserId("bob"))->last == Seq(1));
}

TEST_CASE("what root does leaves every file to the directory's owner") {
  const passwd* broker = getpwnam("mosquitto");
  if (geteuid() != 0 || broker == nullptr) {
    WARN("not root, or no user mosquitto: nothing to see");
    return;
  }
  uid_t uid = broker->pw_uid;
  Ctl ctl;
  ctl.Done({"init"});
  std::string password = ctl.File("password", "secret\n");
  std::string users = ctl.File("users.csv", "a,\nb,\n");
  fs::permissions(password, fs::perms(0600));
  fs::permissions(users, fs::perms(0600));
  ctl.Done({"user", "add", "alice", "--password-file", password});
  ctl.Done({"user", "import", users});
  auto owned_by = [&](uid_t owner) {
    struct stat info;
    REQUIRE(stat(ctl.data().c_str(), &info) == 0);
    CHECK(info.st_uid == owner);
    for (const auto& entry : fs::recursive_directory_iterator(ctl.data())) {
      REQUIRE(lstat(entry.path().c_str(), &info) == 0);
      INFO(entry.path());
      CHECK(info.st_uid == owner);
    }
  };
  owned_by(uid);

  // An owner who can't come in is not who works on it: the directory is root's.
  fs::remove_all(ctl.data());
  fs::permissions(ctl.dir(), fs::perms(0700));
  ctl.Done({"init"});
  ctl.Done({"user", "import", users});
  owned_by(0);
  fs::permissions(ctl.dir(), fs::perms(0755));

  // Given to somebody else by hand.
  fs::remove_all(ctl.data());
  fs::create_directory(ctl.data());
  REQUIRE(chown(ctl.data().c_str(), 12345, 12345) == 0);
  ctl.Done({"init"});
  ctl.Done({"user", "add", "alice"}, "secret\n");
  owned_by(12345);
}

}  // namespace
}  // namespace parley
