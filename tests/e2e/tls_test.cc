// TLS listeners: what passes them, and what they refuse.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/any_client.h"
#include "tests/e2e/any_client_process.h"
#include "tests/e2e/device.h"
#include "tests/e2e/rest_client.h"
#include "tests/free_port.h"

namespace parley::e2e {
namespace {

namespace fs = std::filesystem;

void OpenSsl(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"openssl"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const CommandResult result = RunCommand(command);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
}

// Makes <name>.crt and <name>.key of a new authority, and <name>-server.crt and .key, a certificate
// for 127.0.0.1 that it has signed.
void MakeAuthority(const std::string& name) {
  const std::vector<std::string> new_key = {"-newkey", "ec", "-pkeyopt",
                                            "ec_paramgen_curve:prime256v1", "-nodes"};
  auto with_key = [&](std::vector<std::string> arguments, const std::vector<std::string>& more) {
    arguments.insert(arguments.end(), new_key.begin(), new_key.end());
    arguments.insert(arguments.end(), more.begin(), more.end());
    OpenSsl(arguments);
  };
  with_key({"req", "-x509"}, {"-keyout", name + ".key", "-out", name + ".crt", "-days", "2",
                              "-subj", "/CN=a test's authority"});
  with_key({"req"}, {"-keyout", name + "-server.key", "-out", name + "-server.csr", "-subj",
                     "/CN=a test's broker"});
  std::ofstream(name + ".ext") << "subjectAltName=IP:127.0.0.1\n";
  OpenSsl({"x509", "-req", "-in", name + "-server.csr", "-CA", name + ".crt", "-CAkey",
           name + ".key", "-CAcreateserial", "-days", "2", "-extfile", name + ".ext", "-out",
           name + "-server.crt"});
  fs::permissions(name + "-server.key", fs::perms(0644));  // the broker's user reads it
}

// A broker with a TLS and a secure WebSocket listener besides its own.
struct TlsServer {
  const uint16_t tls_port = FreePort();
  const uint16_t wss_port = FreePort();
  std::string authority;
  std::string other_authority;
  std::unique_ptr<ChatServer> server;

  TlsServer() {
    std::string pattern = (fs::temp_directory_path() / "parley-tls-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    dir_ = pattern;
    fs::permissions(dir_, fs::perms(0755));
    authority = (dir_ / "ours").string();
    other_authority = (dir_ / "others").string();
    MakeAuthority(authority);
    MakeAuthority(other_authority);
    BrokerConfig config;
    AddListener(tls_port, &config);
    AddListener(wss_port, &config);
    config.lines.push_back("protocol websockets");
    server = std::make_unique<ChatServer>(config, 10);
  }
  ~TlsServer() { fs::remove_all(dir_); }

 private:
  void AddListener(uint16_t port, BrokerConfig* config) const {
    config->lines.insert(config->lines.end(), {"listener " + std::to_string(port) + " 127.0.0.1",
                                               "certfile " + authority + "-server.crt",
                                               "keyfile " + authority + "-server.key"});
  }

  fs::path dir_;
};

TlsServer& Server() {
  static TlsServer server;
  return server;
}

// Both write and hear, and one asks.
void Chat(const MakeAnyClient& make, AnyClientOptions options) {
  ChatServer& server = *Server().server;
  const std::string alice = server.NewUser("alice");
  const std::string bob = server.NewUser("bob");
  auto open = [&](const std::string& user) {
    options.user = user;
    options.password = ChatServer::PasswordOf(user);
    auto client = make(options);
    client->Open();
    return client;
  };
  auto alices = open(alice);
  auto bobs = open(bob);
  alices->Publish("chat/" + bob, "over TLS");
  const std::string message = bobs->Next("chat/" + bob);
  CHECK(Json::parse(message)["body"] == "over TLS");
  CHECK(alices->Next("chat/" + alice) == message);
  bobs->Publish("chat/" + alice, "and back");
  CHECK(Json::parse(alices->Next("chat/" + alice))["body"] == "and back");
  const Json sync = Json::parse(alices->Request("ask/sync", R"({"rid":"1","after":0})"));
  CHECK(sync["messages"].size() == 2);
}

TEST_CASE("stock clients chat over TLS") {
  const int version = GENERATE(4, 5);
  CAPTURE(version);
  const AnyClientOptions options{
      .port = Server().tls_port, .version = version, .ca_file = Server().authority + ".crt"};
  SECTION("mosquitto_pub, mosquitto_sub and mosquitto_rr") { Chat(MosquittoTools, options); }
  SECTION("paho.mqtt.cpp") { Chat(Paho, options); }
}

TEST_CASE("a stock client chats over secure WebSockets") {
  Chat(Paho, {.port = Server().wss_port,
              .version = 5,
              .ca_file = Server().authority + ".crt",
              .websockets = true});
}

TEST_CASE("plain text on a TLS port is refused, also with the right password") {
  const std::string user = Server().server->NewUser("carol");
  for (const uint16_t port : {Server().tls_port, Server().wss_port}) {
    Device device(port, user, ChatServer::PasswordOf(user));
    CHECK(device.Connect(device.ConnectOptions()) == -1);
  }
  Server().server->OpenDeaf(user);  // the broker goes on
}

TEST_CASE("a client that trusts another authority sends no password to the broker") {
  const int version = GENERATE(4, 5);
  const std::string user = Server().server->NewUser("mallory");
  const size_t log = Server().server->Log().size();
  const AnyClientOptions wrong{.port = Server().tls_port,
                               .user = user,
                               .password = ChatServer::PasswordOf(user),
                               .version = version,
                               .ca_file = Server().other_authority + ".crt"};
  CHECK_THROWS_AS(MosquittoTools(wrong)->Publish("chat/" + user, "x"), MqttError);
  CHECK_THROWS_AS(Paho(wrong)->Open(), MqttError);
  CHECK(Server().server->Log().find("user=" + user, log) == std::string::npos);
  // The broker has heard of none of it: its user has no device yet.
  Device device = Server().server->OpenDeaf(user);
  CHECK(device.AskDone("devices.list")["devices"].size() == 1);
}

// What it says on standard error goes to `log`.
std::unique_ptr<LineProcess> StartPush(const std::string& authority, const std::string& log) {
  const fs::path dir = Server().server->dir();
  std::ofstream(dir / "push.token") << Server().server->IssueToken("push");
  fs::permissions(dir / "push.token", fs::perms(0600));
  const Json broker = {{"port", Server().tls_port},
                       {"user", "push"},
                       {"token_file", dir / "push.token"},
                       {"ca_file", authority + ".crt"}};
  std::ofstream(dir / "push.json") << Json{{"broker", broker}, {"ntfy", Json::object()}};
  std::ofstream(log).close();
  return std::make_unique<LineProcess>(
      std::vector<std::string>{"/bin/sh", "-c", "exec \"$0\" --config \"$1\" 2>\"$2\"", PARLEY_PUSH,
                               (dir / "push.json").string(), log});
}

// The first line of the log.
std::string Said(const std::string& log) {
  const Clock::time_point deadline = Clock::now() + kDeadline;
  for (;;) {
    std::ifstream in(log);
    std::string line;
    if (std::getline(in, line) && !in.eof()) return line;
    REQUIRE(Clock::now() < deadline);
  }
}

TEST_CASE("the gateways reach the broker over TLS, and tell no other one their token") {
  ChatServer& server = *Server().server;
  Gateway gateway(server, {"--broker-port", std::to_string(Server().tls_port), "--broker-cafile",
                           Server().authority + ".crt"});
  CHECK(gateway.As(server.NewUser("alice")).Get("/v1/account").status == 200);
  server.AddUser("push", "", {"--role", "service", "--no-password"});
  const std::string log = server.dir() / "push.log";
  {
    auto push = StartPush(Server().authority, log);
    CHECK(Said(log).find("ready") != std::string::npos);
  }
  const size_t before = server.Log().size();
  auto push = StartPush(Server().other_authority, log);
  CHECK(Said(log).find("trying again") != std::string::npos);
  CHECK(server.Log().find("push:", before) == std::string::npos);
}

TEST_CASE("a renewed certificate counts after a reload, and nobody is cut off by it") {
  ChatServer& server = *Server().server;
  Device device = server.Open(server.NewUser("bob"));
  auto put = [&](const std::string& authority) {
    for (const std::string part : {".crt", ".key"}) {
      fs::copy_file(authority + "-server" + part, Server().authority + "-server" + part,
                    fs::copy_options::overwrite_existing);
    }
    server.Signal(SIGHUP);
  };
  auto accepts = [&](const std::string& authority) {
    const std::string user = server.NewUser("carol");
    return RunCommand({"mosquitto_pub", "-h", "127.0.0.1", "-p", std::to_string(Server().tls_port),
                       "--cafile", authority + ".crt", "-u", user, "-P", server.IssueToken(user),
                       "-t", device.inbox(), "-m", "hi"})
               .exit_code == 0;
  };
  REQUIRE_FALSE(accepts(Server().other_authority));
  put(Server().other_authority);
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (!accepts(Server().other_authority)) REQUIRE(Clock::now() < deadline);
  CHECK_FALSE(accepts(Server().authority));
  CHECK(device.Receive()["body"] == "hi");
}

}  // namespace
}  // namespace parley::e2e
