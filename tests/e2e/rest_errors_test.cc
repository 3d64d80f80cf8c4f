// What goes wrong by REST: every code of PROTOCOL's errors, and clients that behave badly.
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/rest_client.h"
#include "tests/e2e/small_disk.h"

namespace parley::e2e {
namespace {

ChatServer& Server() {
  static ChatServer server({{{"plugin_opt_sync_waiting_max", "2"}}}, 30);
  return server;
}

Gateway& Rest() {
  static Gateway gateway(Server(), {"--request-timeout", "1"});
  return gateway;
}

// A problem as RFC 9457 has it, with this status and code.
void CheckProblem(const RestResponse& response, int status, const std::string& code) {
  CAPTURE(response.text);
  CHECK(response.status == status);
  REQUIRE(response.headers.at("content-type") == "application/problem+json");
  const Json problem = response.json();
  CHECK(problem["code"] == code);
  CHECK(problem["status"] == status);
  CHECK(problem["type"] == "about:blank");
  CHECK(!problem["title"].get<std::string>().empty());
  CHECK(problem["detail"].is_string());
  CHECK(response.headers.contains("retry-after") == (status == 429 || status == 503));
}

Json To(const std::string& user, const std::string& id, const std::string& text) {
  return {{"to", user}, {"id", id}, {"message_text", text}};
}

TEST_CASE("bad_request: what is malformed, unknown or out of range") {
  const std::string alice = Server().NewUser("alice");
  RestClient rest = Rest().As(alice);
  for (const char* body :
       {"", "hi", "[]", "{}", R"({"to":"bob"})", R"({"to":"Bob","message_text":"x"})",
        R"({"to":"a/b","message_text":"x"})", R"({"to":"#","message_text":"x"})",
        R"({"to":"bob","group":"town","message_text":"x"})", R"({"to":"bob","message_text":1})",
        R"({"to":"bob","message_text":"x","body":"y"})",
        R"({"to":"bob","message_text":"x","id":""})",
        R"({"to":"bob","message_text":"x","colour":"red"})",
        R"({"to":"bob","to":"bob","message_text":"x"})",
        R"({"to":"bob","message_text":"x","type":"shout"})",
        "{\"to\":\"bob\",\"message_text\":\"\xff\"}"}) {
    CAPTURE(body);
    CheckProblem(rest.Call("POST", "/v1/messages", body), 400, "bad_request");
  }
  for (const char* target :
       {"/v1/messages", "/v1/messages?with=bob&limit=0", "/v1/messages?with=bob&limit=1000",
        "/v1/messages?with=bob&limit=-1", "/v1/messages?with=bob&limit=1&limit=2",
        "/v1/messages?with=bob&before=2&after=1", "/v1/messages?with=%zz", "/v1/updates?timeout=61",
        "/v1/updates?timeout=x", "/v1/updates?after=x", "/v1/updates?wait=5&timeout=5",
        "/v1/updates?after=0&colour=red", "/v1/presence?contacts=maybe", "/v1/groups/UPPER"}) {
    CAPTURE(target);
    CheckProblem(rest.Get(target), 400, "bad_request");
  }
  CHECK(rest.Get("/v1/updates?after=0&wait=5").text.find("'timeout'") != std::string::npos);
  for (const char* body :
       {R"({"to":"bob"})", R"({"to":"bob","on":1})", R"({"to":"bob","on":true,"off":false})"}) {
    CAPTURE(body);
    CheckProblem(rest.Call("POST", "/v1/typing", body), 400, "bad_request");
  }
}

TEST_CASE("too_large: a body over the broker's limit, and one over the gateway's") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  RestClient rest = Rest().As(alice);
  CheckProblem(rest.Post("/v1/messages", To(bob, "1", std::string(70'000, 'x'))), 413, "too_large");
  CheckProblem(rest.Post("/v1/messages", To(bob, "2", std::string(600'000, 'x'))), 413,
               "too_large");
  RestClient header = Rest().Open();
  header.With("X-Long", std::string(20'000, 'x'));
  CheckProblem(header.Get("/v1/account"), 431, "too_large");
}

TEST_CASE("denied: without credentials, with bad ones, and for what isn't one's own") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  for (const char* authorization :
       {"", "Bearer", "Bearer x", "Basic YWxpY2U6cA==", "Bearer a.b.c"}) {
    RestClient stranger = Rest().Open();
    if (*authorization != 0) stranger.With("Authorization", authorization);
    RestResponse refused = stranger.Post("/v1/messages", To(bob, "1", "hi"));
    CheckProblem(refused, 401, "denied");
    CHECK(refused.headers.at("www-authenticate").starts_with("Bearer"));
  }
  RestClient rest = Rest().As(alice);
  CheckProblem(rest.Post("/v1/messages", {{"author_id", bob}, {"to", bob}, {"message_text", "x"}}),
               403, "denied");
  CheckProblem(Rest().As(alice).With("X-Parley-User", bob).Get("/v1/account"), 403, "denied");
  CheckProblem(Rest().As(alice).With("X-Parley-User", bob).Call("POST", "/v1/account/token"), 403,
               "denied");
  RestClient forger = Rest().Open();
  forger.With("Authorization", "Bearer " + Server().IssueToken(alice) + "x");
  CheckProblem(
      forger.Post("/v1/messages", {{"author_id", bob}, {"to", bob}, {"message_text", "x"}}), 401,
      "denied");
  CheckProblem(rest.Get("/v1/groups/no-group-of-mine"), 403, "denied");
  CHECK(Rest().As(bob).Call("PUT", "/v1/blocks/" + alice).status == 200);
  CheckProblem(rest.Post("/v1/messages", To(bob, "1", "hi")), 403, "denied");
}

TEST_CASE("a token that was voided is refused by a gateway that hasn't just seen it") {
  const std::string alice = Server().NewUser("alice");
  RestClient rest = Rest().As(alice);
  Server().CtlDone({"user", "disable", alice});
  CheckProblem(rest.Get("/v1/account"), 401, "denied");
}

TEST_CASE("not_found: nobody of that name, and nothing at that path") {
  const std::string alice = Server().NewUser("alice");
  RestClient rest = Rest().As(alice);
  CheckProblem(rest.Post("/v1/messages", To("nobody-of-this-name", "1", "hi")), 404, "not_found");
  CheckProblem(rest.Get("/v1/nothing"), 404, "not_found");
  CheckProblem(rest.Get("/"), 404, "not_found");  // this one serves no page
}

TEST_CASE("conflict: the same id with another content") {
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  RestClient rest = Rest().As(alice);
  CHECK(rest.Post("/v1/messages", To(bob, "1", "hi")).status == 201);
  CheckProblem(rest.Post("/v1/messages", To(bob, "1", "ho")), 409, "conflict");
}

TEST_CASE("quota: the API key's rate, and when to try again") {
  Server().CtlDone({"key", "add", "slow", "--quota", "1/day"});
  Server().AddUser("sloth", "secret of sloth", {"--key", "slow"});
  RestClient rest = Rest().As("sloth");
  const std::string bob = Server().NewUser("bob");
  CHECK(rest.Post("/v1/messages", To(bob, "1", "hi")).status == 201);
  RestResponse refused = rest.Post("/v1/messages", To(bob, "2", "hi"));
  CheckProblem(refused, 429, "quota");
  const int64_t retry_ms = refused.json()["retry_after_ms"];
  CHECK(retry_ms > 0);
  CHECK(std::stoll(refused.headers.at("retry-after")) == (retry_ms + 999) / 1000);
  CHECK(rest.Post("/v1/messages", To(bob, "1", "hi")).status == 201);  // sent before
}

TEST_CASE("quota: wrong passwords are slowed, by the client's own address") {
  Gateway behind(Server(), {"--behind-proxy"});
  const std::string alice = Server().NewUser("alice");
  auto login = [&](const char* address, const std::string& password) {
    RestClient client = behind.Open();
    client.With("X-Forwarded-For", "10.0.0.1, " + std::string(address));
    return client.Post("/v1/login", {{"user", alice}, {"password", password}});
  };
  int tries = 0;
  RestResponse refused = login("203.0.113.7", "guess 0");
  while (refused.status == 401 && ++tries < 50) {
    refused = login("203.0.113.7", "guess " + std::to_string(tries));
  }
  CheckProblem(refused, 429, "quota");
  CHECK(login("198.51.100.9", ChatServer::PasswordOf(alice)).status == 200);
}

TEST_CASE("busy: more of a user's polls than may wait, and more requests than the gateway holds") {
  const std::string alice = Server().NewUser("alice");
  std::vector<RestClient> polls;
  for (int limit = 1; limit <= 2; ++limit) {  // for different pages, or they would be one
    polls.push_back(Rest().As(alice));
    polls.back().Start("GET", "/v1/updates?after=0&timeout=60&limit=" + std::to_string(limit));
  }
  RestClient rest = Rest().As(alice);
  CHECK(rest.Get("/v1/account").status == 200);  // the polls have got through
  CheckProblem(rest.Get("/v1/updates?after=0&timeout=60&limit=3"), 503, "busy");
  Gateway small(Server(), {"--polls-max", "0"});
  CheckProblem(small.As(alice).Get("/v1/updates?after=0&timeout=60"), 503, "busy");
}

TEST_CASE("busy: more requests than the gateway holds for a broker that doesn't answer") {
  ChatServer server({}, 2);
  Gateway small(server, {"--in-flight-max", "1"});
  RestClient first = small.As(server.NewUser("alice"));
  RestClient second = small.As(server.NewUser("bob"));
  CHECK(first.Get("/v1/account").status == 200);
  CHECK(second.Get("/v1/account").status == 200);
  server.Signal(SIGSTOP);
  first.Start("GET", "/v1/account");
  CHECK(small.Open().Get("/healthz").status == 200);  // the first one's has been read
  CheckProblem(second.Get("/v1/account"), 503, "busy");
  server.Signal(SIGCONT);
  CHECK(first.Finish().status == 200);
  CHECK(second.Get("/v1/account").status == 200);
}

TEST_CASE("unavailable: without the broker; and all is well when it is back") {
  ChatServer server({}, 2);
  const std::string alice = server.NewUser("alice");
  Gateway gateway(server);
  RestClient rest = gateway.As(alice);
  RestClient poll = gateway.As(alice);
  CHECK(rest.Get("/v1/account").status == 200);
  poll.Start("GET", "/v1/updates?after=0&timeout=60");
  server.Kill();
  CheckProblem(poll.Finish(), 503, "unavailable");
  gateway.AwaitHealth(503);
  CheckProblem(rest.Get("/v1/account"), 503, "unavailable");
  server.Start();
  gateway.AwaitHealth(200);
  CHECK(rest.Get("/v1/account").status == 200);
}

TEST_CASE("unavailable: a full disk; and what was refused is stored when there is room") {
  ChatServer server({.options = {{"plugin_opt_journal_segment_bytes", "1048576"}}}, 4);
  const auto disk = MoveToSmallDisk(&server);
  if (disk == nullptr) return;
  Gateway gateway(server);
  const std::string bob = server.NewUser("bob");
  RestClient rest = gateway.As(server.NewUser("alice"));
  disk->Fill();
  const std::string large(20'000, 'x');
  int n = 0;
  RestResponse response;
  do {
    REQUIRE(++n < 2000);
    response = rest.Post("/v1/messages", To(bob, std::to_string(n), large));
  } while (response.status == 201);
  CheckProblem(response, 503, "unavailable");
  disk->Free();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  do {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    response = rest.Post("/v1/messages", To(bob, std::to_string(n), large));
  } while (response.status != 201);
  CHECK(response.json()["seq"] == n);
  CHECK(rest.Get("/v1/messages?limit=2&with=" + bob).json()["messages"][1]["seq"] == n - 1);
  server.Kill();
}

TEST_CASE("who is slow with a request is closed, and nobody else is held up") {
  RestClient slow = Rest().Open();
  slow.Send("POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Le");
  CHECK(Rest().Open().Get("/healthz").status == 200);
  CHECK(slow.AwaitEnd());
}

TEST_CASE("past --connections-max who is silent makes room, and who was served goes on") {
  Gateway gateway(Server(), {"--connections-max", "3"});
  RestClient served = gateway.Open();
  CHECK(served.Get("/healthz").status == 200);
  std::vector<RestClient> silent;
  for (int i = 0; i < 500; ++i) {
    silent.push_back(gateway.Open());
    silent.back().Send("");
  }
  CHECK(served.Get("/healthz").status == 200);
  CHECK(silent.front().AwaitEnd());
  RestClient newcomer = gateway.Open();
  CHECK(newcomer.Get("/healthz").status == 200);
  CHECK(silent.back().Get("/healthz").status == 200);  // 2 others: it still has its place
  CHECK(served.Get("/healthz").status == 200);
}

TEST_CASE("at --connections-max all are served, and where none is idle the next one is refused") {
  Gateway gateway(Server(), {"--connections-max", "3"});
  const std::string alice = Server().NewUser("alice");
  const std::string bob = Server().NewUser("bob");
  RestClient idle = gateway.As(alice);
  CHECK(idle.Get("/v1/account").status == 200);
  std::vector<RestClient> polls;
  for (const std::string& user : {alice, bob}) {
    polls.push_back(gateway.As(user));
    polls.back().Start("GET", "/v1/updates?after=0&timeout=60");
  }
  CHECK(idle.Get("/v1/account").status == 200);  // the polls have been read
  polls.push_back(gateway.As(bob));
  polls.back().Start("GET", "/v1/updates?after=0&timeout=60");
  CHECK(idle.AwaitEnd());  // it was idle longest
  idle.Close();
  CheckProblem(idle.Get("/v1/account"), 503, "busy");
  CHECK(Rest().As(alice).Post("/v1/messages", To(bob, "1", "hi")).status == 201);
  for (RestClient& poll : polls) CHECK(poll.Finish().status == 200);
  CHECK(idle.Get("/v1/account").status == 200);
}

TEST_CASE("who connects and asks nothing is closed") {
  RestClient silent = Rest().Open();
  silent.Send("");
  const auto begin = std::chrono::steady_clock::now();
  CHECK(silent.AwaitEnd());
  // Not only when an idle connection's time is over.
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(60));
}

TEST_CASE("a request names its host, and its target may be a whole URL") {
  for (const char* request :
       {"GET /healthz HTTP/1.1\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"}) {
    CAPTURE(request);
    RestClient client = Rest().Open();
    client.Send(request);
    CheckProblem(client.Finish(), 400, "bad_request");
  }
  RestClient old = Rest().Open();
  old.Send("GET /healthz HTTP/1.0\r\n\r\n");
  CHECK(old.Finish().status == 200);
  RestClient rest = Rest().As(Server().NewUser("alice"));
  CHECK(rest.Get("http://chat.example:8080/v1/conversations?limit=1").status == 200);
  CHECK(rest.Get("HTTPS://chat.example/healthz").status == 200);
  CheckProblem(rest.Get("http://chat.example?x=1"), 404, "not_found");
}

TEST_CASE("what is no HTTP is told so") {
  RestClient client = Rest().Open();
  client.Send("\x10\x0e MQTT\r\n\r\n");
  CheckProblem(client.Finish(), 400, "bad_request");
  RestClient put = Rest().Open();
  RestResponse refused = put.Call("PUT", "/healthz", "x");
  CHECK(refused.status == 405);
  CHECK(refused.headers.at("allow") == "GET, HEAD");
  CHECK(Rest().Open().Call("PUT", "/v1/messages").headers.at("allow") == "GET, HEAD, POST");
}

TEST_CASE("requests behind one another on one connection are answered in their order") {
  const std::string alice = Server().NewUser("alice");
  RestClient rest = Rest().As(alice);
  rest.Start("GET", "/v1/updates?timeout=1");
  rest.Start("GET", "/v1/account");
  CHECK(rest.Finish().json().contains("messages"));
  CHECK(rest.Finish().json().contains("role"));
}

TEST_CASE("a gateway that is told to end answers what waits, and ends with 0") {
  Gateway gateway(Server());
  const std::string alice = Server().NewUser("alice");
  RestClient poll = gateway.As(alice);
  RestClient rest = gateway.As(alice);
  poll.Start("GET", "/v1/updates?after=0&timeout=60");
  CHECK(rest.Get("/v1/account").status == 200);
  gateway.Terminate();
  CheckProblem(poll.Finish(), 503, "unavailable");
  CHECK(gateway.AwaitExit() == 0);
}

TEST_CASE("a token that others may read isn't taken") {
  const std::string file = Server().dir() / "open.token";
  CHECK(RunCommand({"sh", "-c", "echo x > " + file + " && chmod 644 " + file}).exit_code == 0);
  CommandResult result = RunCommand({PARLEY_E2E_GATEWAY, "--port", "0", "--token-file", file});
  CHECK(result.exit_code == 2);
  CHECK(result.err.find("chmod 600") != std::string::npos);
}

}  // namespace
}  // namespace parley::e2e
