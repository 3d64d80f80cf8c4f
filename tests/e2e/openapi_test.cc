// docs/openapi.yaml is valid, has what the gateway has, and its examples do what they say.
#include <fstream>
#include <string>

#include "bridge/gateway/api.h"
#include "tests/catch.h"
#include "tests/e2e/rest_client.h"

namespace parley::e2e {
namespace {

Json RoutesOfTheProgram() {
  gateway::Router router;
  gateway::Api api(nullptr, nullptr, false);
  api.AddTo(&router);
  Json routes = router.Routes();
  // The program's own, beside the API.
  routes.push_back("GET /healthz");
  routes.push_back("GET /v1/config.json");
  return routes;
}

TEST_CASE("the OpenAPI document and the gateway agree, and its examples run") {
  ChatServer server({}, 0);
  server.CtlDone({"key", "add", "shop"});
  Json headers = {{"nobody", Json::object()}};
  for (const char* user : {"alice", "bob", "carol", "dora"}) {
    const bool shops = user == std::string("carol");
    server.AddUser(user, ChatServer::PasswordOf(user), {"--key", shops ? "shop" : "default"});
    headers[user] = {{"Authorization", "Bearer " + server.IssueToken(user)}};
  }
  std::string secret = server.CtlDone({"key", "secret", "shop"});
  secret.pop_back();  // the end of the line
  headers["key"] = {{"X-Api-Key", secret}};
  Gateway gateway(server);
  const std::string table = server.dir() / "table.json";
  std::ofstream(table) << Json{{"routes", RoutesOfTheProgram()}, {"headers", headers}}.dump();
  const std::string url = "http://127.0.0.1:" + std::to_string(gateway.port());
  const CommandResult result =
      RunCommand({"node", PARLEY_E2E_JS "/openapi.js", url, table, PARLEY_OPENAPI});
  INFO(result.out + result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.out.find("examples") != std::string::npos);
}

}  // namespace
}  // namespace parley::e2e
