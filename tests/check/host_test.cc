// parley-check as people run it against a broker of their own.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/catch.h"
#include "tests/e2e/broker.h"
#include "tests/free_port.h"

namespace parley::check {
namespace {

using e2e::Broker;
using e2e::CommandResult;
using e2e::RunCommand;

std::vector<std::string> Command(const Broker& broker, const std::string& port,
                                 const std::vector<std::string>& more) {
  std::vector<std::string> command = {
      PARLEY_CHECK, "--host",    "127.0.0.1", "--port",
      port,         "--seconds", "1",         "--groups",
      "2",          "--json",    "--history", (broker.dir() / "history").string()};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

nlohmann::json Run(const std::vector<std::string>& command) {
  const CommandResult result = RunCommand(command);
  INFO(result.out << result.err);
  REQUIRE(result.exit_code == 0);
  return nlohmann::json::parse(result.out);
}

TEST_CASE("an admin's broker is checked with accounts that are disabled afterwards") {
  Broker broker;
  broker.AddUser("root", "secret", {"--role", "admin"});
  broker.Start();
  const auto password = broker.dir() / "password";
  std::ofstream(password) << "secret\n";
  const auto result =
      Run(Command(broker, std::to_string(broker.port()),
                  {"--users", "4", "--admin", "root", "--admin-password-file", password.string()}));
  CHECK(result["ok"] == true);
  CHECK(result["figures"]["users"] == 4);
  CHECK(result["figures"]["messages acknowledged"] > 4);
  size_t disabled = 0;
  const auto users = nlohmann::json::parse(broker.CtlDone({"user", "list", "--json"}));
  for (const auto& user : users["users"]) disabled += user["disabled"] == true;
  CHECK(disabled == 4);
}

// A listener with TLS, whose certificate is its own authority: the file and the port.
std::pair<std::string, std::string> AddTls(Broker* broker) {
  const std::string certificate = (broker->dir() / "crt").string();
  const std::string key = (broker->dir() / "key").string();
  const CommandResult made = RunCommand(
      {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
       "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=a test's broker",
       "-addext", "subjectAltName=IP:127.0.0.1"});
  REQUIRE(made.exit_code == 0);
  std::filesystem::permissions(key, std::filesystem::perms(0644));  // the broker's user reads it
  const std::string port = std::to_string(FreePort());
  broker->config().lines = {"listener " + port + " 127.0.0.1", "certfile " + certificate,
                            "keyfile " + key};
  return {certificate, port};
}

TEST_CASE("a broker is checked over TLS with the accounts of a file") {
  Broker broker;
  const auto [certificate, port] = AddTls(&broker);
  broker.ImportUsers({"ann,one", "ben,two", "cas,three"});
  broker.Start();
  const auto accounts = broker.dir() / "accounts.csv";
  std::ofstream(accounts) << "# user,password\nann,one\nben,two\ncas,three\n";
  const auto result =
      Run(Command(broker, port, {"--accounts", accounts.string(), "--ca-file", certificate}));
  CHECK(result["ok"] == true);
  CHECK(result["figures"]["users"] == 3);
  // The written history says the same.
  const auto again = Run({PARLEY_CHECK, "verify", "--json", (broker.dir() / "history").string()});
  CHECK(again["figures"] == result["figures"]);
}

TEST_CASE("wrong usage has an exit code of its own, and so has a broker that isn't there") {
  CHECK(RunCommand({PARLEY_CHECK, "--host", "127.0.0.1"}).exit_code == 2);
  CHECK(RunCommand({PARLEY_CHECK, "--host", "127.0.0.1", "--faults", "kill", "--admin", "a",
                    "--admin-password-file", "/dev/null"})
            .exit_code == 2);
  CHECK(RunCommand({PARLEY_CHECK, "--faults", "earthquake"}).exit_code == 2);
  CHECK(RunCommand({PARLEY_CHECK, "verify", "/dev/null"}).exit_code == 3);
  const CommandResult absent =
      RunCommand({PARLEY_CHECK, "--host", "127.0.0.1", "--port", std::to_string(FreePort()),
                  "--admin", "a", "--admin-password-file", "/etc/hostname"});
  CHECK(absent.exit_code == 3);
  CHECK(absent.err.find("'a'") != std::string::npos);
}

}  // namespace
}  // namespace parley::check
