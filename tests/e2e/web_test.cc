// The page to chat on, in a browser: web/test/browser.js looks at it, and has the broker killed.
// script/page builds it, the gateway serves it.
#include <string>

#include "tests/catch.h"
#include "tests/e2e/any_client_process.h"
#include "tests/e2e/device.h"
#include "tests/e2e/rest_client.h"
#include "tests/free_port.h"

namespace parley::e2e {
namespace {

TEST_CASE("people chat on the page in a browser, also through kills of the broker") {
  const uint16_t port = FreePort();
  BrokerConfig config;
  config.options = {{"plugin_opt_presence_delay_ms", "100"},
                    {"plugin_opt_presence_batch_ms", "50"}};
  config.lines = {"listener " + std::to_string(port) + " 127.0.0.1", "protocol websockets"};
  ChatServer server(config, 0);
  for (const char* user : {"alice", "bob", "carol", "dave"}) {
    server.AddUser(user, ChatServer::PasswordOf(user));
  }
  const std::string ws = "ws://127.0.0.1:" + std::to_string(port);
  // A key of the right form, of which nobody has the other half.
  const std::string push_key = "B" + std::string(86, 'A');
  const Gateway gateway(
      server, {"--web", PARLEY_WEB "/dist", "--mqtt-ws", ws, "--vapid-public-key", push_key});
  LineProcess browser({"node", PARLEY_WEB "/test/browser.js",
                       "http://127.0.0.1:" + std::to_string(gateway.port()) + "/", ws});
  for (std::string line; line != "done";) {
    line = browser.ReadLine();
    UNSCOPED_INFO(line);
    REQUIRE(line.rfind("failed", 0) != 0);
    if (line == "kill") server.Kill();
    if (line == "start") server.Start();
    if (line == "kill" || line == "start") browser.Write("");
  }
}

}  // namespace
}  // namespace parley::e2e
