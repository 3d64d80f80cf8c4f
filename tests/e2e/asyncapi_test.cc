// docs/asyncapi.yaml is valid, has what the program has, and its examples do what they say.
#include <fstream>
#include <string>

#include "chat/engine.h"
#include "plugin/access.h"
#include "tests/catch.h"
#include "tests/e2e/device.h"

namespace parley::e2e {
namespace {

TEST_CASE("the AsyncAPI document and the program agree, and its examples run") {
  ChatServer server({}, 0);
  for (const char* user : {"alice", "bob", "carol"}) {
    server.AddUser(user, ChatServer::PasswordOf(user));
  }
  server.AddUser("gateway", ChatServer::PasswordOf("gateway"), {"--role", "service"});
  const std::string table = server.dir() / "table.json";
  std::ofstream(table)
      << Json{{"methods", Engine::Methods()}, {"publish", PublishAddresses()}}.dump();
  const std::string port = std::to_string(server.port());
  const CommandResult result =
      RunCommand({"node", PARLEY_E2E_JS "/asyncapi.js", port, table, PARLEY_ASYNCAPI});
  INFO(result.out + result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.out.find("examples") != std::string::npos);
}

}  // namespace
}  // namespace parley::e2e
