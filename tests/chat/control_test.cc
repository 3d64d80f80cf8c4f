#include "chat/control.h"

#include "tests/catch.h"
#include "tests/storage/clock_env.h"

namespace parley {
namespace {

using nlohmann::json;

class ControlFixture {
 public:
  ControlFixture() {
    REQUIRE(Directory::Create(temp_.path(), &env_));
    directory_ = std::move(*Directory::Open(temp_.path(), &env_));
    credentials_.emplace(*Credentials::Load(temp_.path(), 64, &env_));
    control_ = std::make_unique<Control>(
        directory_.get(), &*credentials_, &env_,
        ControlHooks{
            .status =
                [] {
                  return json{{"stored", 7}};
                },
            .deadletters = [](size_t limit) -> Result<json> {
              return json{{"limit", limit}};
            },
            .replay_deadletters = []() -> Result<json> {
              return Error(Code::kUnavailable, "store-1 is down");
            },
            .push_deadletters = [](size_t) -> Result<std::vector<PushDeadLetter>> {
              PushDeadLetter letter;
              letter.job.user = UserId("bob");
              letter.job.from = UserId("alice");
              letter.reason = "no such host";
              return std::vector{letter};
            },
            .account_changed = [this](const UserId& user) { changed_ += user.str() + " "; }});
  }

  json Handle(const std::string& request) { return json::parse(control_->Handle(request)); }
  // One command's response.
  json Run(json command) {
    json answer = Handle(json{{"commands", {command}}}.dump());
    REQUIRE(answer.size() == 1);
    REQUIRE(answer["responses"].size() == 1);
    json response = answer["responses"][0];
    CHECK(response["command"] == command["command"]);
    CHECK(response.contains("data") != response.contains("error"));
    return response;
  }
  json Data(const json& command) {
    json response = Run(command);
    INFO(response.dump());
    REQUIRE(response.contains("data"));
    return response["data"];
  }
  std::string ErrorCode(const json& command) { return Run(command).value("code", "none"); }

  Directory* directory() { return directory_.get(); }
  Credentials& credentials() { return *credentials_; }
  ClockEnv& env() { return env_; }
  // Who was to log in again, since it was asked last.
  std::string TakeChanged() { return std::exchange(changed_, {}); }
  bool PasswordIs(const char* user, const char* password) {
    auto hash = directory_->PasswordHash(UserId(user));
    return hash && *hash && credentials_->VerifyPassword(**hash, password) == PasswordCheck::kRight;
  }

 private:
  TempDir temp_;
  ClockEnv env_;
  std::unique_ptr<Directory> directory_;
  std::optional<Credentials> credentials_;
  std::unique_ptr<Control> control_;
  std::string changed_;
};

TEST_CASE("commands are answered in their order, with their correlation data") {
  ControlFixture fixture;
  json answer = fixture.Handle(
      R"({"commands":[{"command":"createUser","username":"alice","correlationData":"x"},)"
      R"({"command":"createUser","username":"alice","correlationData":7},)"
      R"({"command":"fly"},{"command":"listKeys"}]})");
  REQUIRE(answer["responses"].size() == 4);
  json& responses = answer["responses"];
  CHECK(responses[0] ==
        json({{"command", "createUser"}, {"correlationData", "x"}, {"data", json::object()}}));
  CHECK(responses[1]["correlationData"] == 7);
  CHECK(responses[1]["code"] == "conflict");
  CHECK(responses[1]["error"] == "account 'alice' exists already");
  CHECK(responses[2]["code"] == "bad_request");
  CHECK(responses[3].contains("data"));
}

TEST_CASE("what is no request is told so") {
  ControlFixture fixture;
  for (const char* request : {"", "x", "[]", "{}", R"({"commands":{}})", R"({"commands":null})",
                              "\xff", R"({"commands":[)"}) {
    INFO(request);
    json answer = fixture.Handle(request);
    REQUIRE(answer["responses"].size() == 1);
    CHECK(answer["responses"][0]["code"] == "bad_request");
  }
  CHECK(fixture.Handle(R"({"commands":[]})")["responses"].empty());
  for (const char* command : {"7", "[]", "{}", R"({"command":7})", "null"}) {
    json answer = fixture.Handle(std::string(R"({"commands":[)") + command + "]}");
    CHECK(answer["responses"][0]["code"] == "bad_request");
  }
}

TEST_CASE("a user is made with password, role and key") {
  ControlFixture fixture;
  fixture.Data({{"command", "createKey"}, {"key", "mobile"}});
  fixture.Data({{"command", "createUser"},
                {"username", "gw"},
                {"password", "secret"},
                {"role", "service"},
                {"key", "mobile"}});
  auto account = fixture.directory()->Find(UserId("gw"));
  REQUIRE(account);
  CHECK(account->role == Role::kService);
  CHECK(account->key.str() == "mobile");
  CHECK(fixture.PasswordIs("gw", "secret"));
  fixture.Data({{"command", "createUser"}, {"username", "alice"}});
  CHECK_FALSE(fixture.directory()->Find(UserId("alice"))->has_password);
}

TEST_CASE("a user is not made where anything is wrong with it") {
  ControlFixture fixture;
  auto code = [&](const char* members) {
    json command = json::parse(members);
    command["command"] = "createUser";
    return fixture.ErrorCode(command);
  };
  CHECK(code("{}") == "bad_request");
  CHECK(code(R"({"username":"Alice"})") == "bad_request");
  CHECK(code(R"({"username":7})") == "bad_request");
  CHECK(code(R"({"username":"alice","role":"god"})") == "bad_request");
  CHECK(code(R"({"username":"alice","role":7})") == "bad_request");
  CHECK(code(R"({"username":"alice","key":"none"})") == "not_found");
  CHECK(code(R"({"username":"alice","password":""})") == "bad_request");
  CHECK(code(R"({"username":"alice","password":["x"]})") == "bad_request");
  CHECK(code(R"({"username":"alice","passwrod":"x"})") == "bad_request");
  CHECK(fixture.directory()->user_count() == 0);
}

TEST_CASE("a batch makes what is good, leaves what exists and tells what failed") {
  ControlFixture fixture;
  fixture.Data({{"command", "createUser"}, {"username", "bob"}, {"password", "kept"}});
  json data = fixture.Data(
      {{"command", "createUsers"}, {"users", json::parse(R"([{"username":"alice","password":"x"},
          {"username":"bob","password":"other"}, {"username":"No"}, {"username":"carol"},
          {"username":"carol"}, {"username":"dave","key":"none"}, 7, {"username":"eve","x":1}])")}});
  CHECK(data["created"] == 2);
  CHECK(data["existing"] == 2);
  REQUIRE(data["failed"].size() == 4);
  CHECK(data["failed"][0]["username"] == "No");
  CHECK(data["failed"][0]["code"] == "bad_request");
  CHECK(data["failed"][1]["code"] == "not_found");
  CHECK(fixture.PasswordIs("alice", "x"));
  CHECK(fixture.PasswordIs("bob", "kept"));
  CHECK(fixture.directory()->user_count() == 3);
  json many = json::array();
  for (size_t i = 0; i <= Control::kBatchMax; ++i) many.push_back({{"username", "u"}});
  CHECK(fixture.ErrorCode({{"command", "createUsers"}, {"users", many}}) == "bad_request");
}

TEST_CASE("users are listed page by page") {
  ControlFixture fixture;
  for (const char* user : {"a", "b", "c"}) {
    fixture.Data({{"command", "createUser"}, {"username", user}});
  }
  fixture.Data({{"command", "disableUser"}, {"username", "a"}});
  json page = fixture.Data({{"command", "listUsers"}, {"limit", 2}});
  CHECK(page["more"] == true);
  REQUIRE(page["users"].size() == 2);
  CHECK(page["users"][0] == json({{"username", "a"},
                                  {"role", "user"},
                                  {"key", "default"},
                                  {"disabled", true},
                                  {"password", false},
                                  {"created", fixture.env().NowMs()}}));
  REQUIRE(fixture.directory()->SetName(UserId("c"), "Carol").ok());
  CHECK_FALSE(page["users"][1].contains("name"));
  page = fixture.Data({{"command", "listUsers"}, {"limit", 2}, {"after", "b"}});
  CHECK(page["more"] == false);
  REQUIRE(page["users"].size() == 1);
  CHECK(page["users"][0]["username"] == "c");
  CHECK(page["users"][0]["name"] == "Carol");
  CHECK(fixture.Data({{"command", "listUsers"}, {"limit", 3}})["more"] == false);
  for (const json& limit :
       {json(0), json(1001), json(-1), json("3"), json(1.5), json(UINT64_MAX)}) {
    CHECK(fixture.ErrorCode({{"command", "listUsers"}, {"limit", limit}}) == "bad_request");
  }
}

TEST_CASE("a new password and a disabled account send the user to log in again") {
  ControlFixture fixture;
  fixture.Data({{"command", "createUser"}, {"username", "alice"}, {"password", "old"}});
  CHECK(fixture.TakeChanged().empty());
  fixture.Data({{"command", "setPassword"}, {"username", "alice"}, {"password", "new"}});
  CHECK(fixture.PasswordIs("alice", "new"));
  CHECK(fixture.TakeChanged() == "alice ");
  fixture.Data({{"command", "disableUser"}, {"username", "alice"}});
  CHECK(fixture.TakeChanged() == "alice ");
  CHECK(fixture.directory()->Find(UserId("alice"))->disabled);
  fixture.Data({{"command", "enableUser"}, {"username", "alice"}});
  CHECK_FALSE(fixture.directory()->Find(UserId("alice"))->disabled);
  fixture.Data({{"command", "setPassword"}, {"username", "alice"}, {"password", nullptr}});
  CHECK_FALSE(fixture.directory()->Find(UserId("alice"))->has_password);
  fixture.TakeChanged();

  CHECK(fixture.ErrorCode({{"command", "setPassword"}, {"username", "alice"}}) == "bad_request");
  CHECK(fixture.ErrorCode({{"command", "setPassword"}, {"username", "bob"}, {"password", "x"}}) ==
        "not_found");
  CHECK(fixture.ErrorCode({{"command", "disableUser"}, {"username", "bob"}}) == "not_found");
  CHECK(fixture.ErrorCode({{"command", "enableUser"}, {"username", "bob"}}) == "not_found");
  CHECK(fixture.TakeChanged().empty());
}

TEST_CASE("a token is issued for an account that may log in") {
  ControlFixture fixture;
  fixture.Data({{"command", "createUser"}, {"username", "alice"}});
  json data = fixture.Data({{"command", "issueToken"}, {"username", "alice"}, {"ttl", 60}});
  CHECK(data["expires"] == fixture.env().NowMs() / 1000 + 60);
  auto claims = fixture.credentials().VerifyToken(data["token"].get<std::string>(), "alice");
  REQUIRE(claims);
  CHECK(claims->expires_s == data["expires"]);
  CHECK_FALSE(claims->admin);
  data = fixture.Data({{"command", "issueToken"}, {"username", "alice"}});
  CHECK(data["expires"] == fixture.env().NowMs() / 1000 + 24 * 3600);
  CHECK(fixture.ErrorCode({{"command", "issueToken"}, {"username", "alice"}, {"ttl", 0}}) ==
        "bad_request");
  const int64_t ten_years = kTokenTtlMaxS;
  data = fixture.Data({{"command", "issueToken"}, {"username", "alice"}, {"ttl", ten_years}});
  CHECK(data["expires"] == fixture.env().NowMs() / 1000 + ten_years);
  CHECK(fixture.ErrorCode(
            {{"command", "issueToken"}, {"username", "alice"}, {"ttl", ten_years + 1}}) ==
        "bad_request");
  CHECK(fixture.ErrorCode({{"command", "issueToken"}, {"username", "bob"}}) == "not_found");
  CHECK(fixture.ErrorCode({{"command", "issueToken"}, {"username", "$parleyctl"}}) == "not_found");
  fixture.Data({{"command", "disableUser"}, {"username", "alice"}});
  CHECK(fixture.ErrorCode({{"command", "issueToken"}, {"username", "alice"}}) == "denied");
}

TEST_CASE("keys are made, changed in part and listed with today's use") {
  ControlFixture fixture;
  fixture.Data({{"command", "createKey"}, {"key", "mobile"}, {"rate", 100}, {"quota", 5000}});
  fixture.Data({{"command", "setKey"}, {"key", "mobile"}, {"quota", 0}});
  int64_t today = fixture.env().NowMs() / 86400000;
  std::vector<std::pair<KeyName, int64_t>> used = {{KeyName("mobile"), 42}};
  REQUIRE(fixture.directory()->RecordKeyUse(today, used).ok());
  json keys = fixture.Data({{"command", "listKeys"}})["keys"];
  REQUIRE(keys.size() == 2);
  CHECK(keys[0]["key"] == "default");
  CHECK(keys[1] == json({{"key", "mobile"},
                         {"rate", 100},
                         {"quota", 0},
                         {"used", 42},
                         {"strangers", true},
                         {"secret", false}}));
  fixture.env().Advance(86400000);
  CHECK(fixture.Data({{"command", "listKeys"}})["keys"][1]["used"] == 0);
  CHECK(fixture.ErrorCode({{"command", "createKey"}, {"key", "mobile"}}) == "conflict");
  CHECK(fixture.ErrorCode({{"command", "setKey"}, {"key", "none"}}) == "not_found");
  CHECK(fixture.ErrorCode({{"command", "setKey"}, {"key", "mobile"}, {"rate", -1}}) ==
        "bad_request");
}

TEST_CASE("pushes that were given up are listed with why, and without what was said") {
  ControlFixture fixture;
  const json push = fixture.Data({{"command", "pushDeadletters"}})["push"];
  REQUIRE(push.size() == 1);
  CHECK(push[0]["user"] == "bob");
  CHECK(push[0]["with"] == "alice");
  CHECK(push[0]["reason"] == "no such host");
  CHECK_FALSE(push[0].contains("body"));
}

TEST_CASE("a key's webhook is set with a secret that is never shown, and removed") {
  ControlFixture fixture;
  fixture.Data({{"command", "createKey"}, {"key", "mobile"}});
  const KeyName mobile("mobile");
  CHECK_FALSE(fixture.directory()->AnyWebhook());
  fixture.Data({{"command", "setWebhook"},
                {"key", "mobile"},
                {"url", "https://hook.example/"},
                {"secret", "sixteen letters!"}});
  CHECK(*fixture.directory()->WebhookOf(mobile) ==
        Webhook{"https://hook.example/", "sixteen letters!"});
  CHECK(fixture.directory()->WebhookOf(KeyName("default")) == nullptr);
  const json keys = fixture.Data({{"command", "listKeys"}})["keys"];
  CHECK(keys[1]["webhook"] == "https://hook.example/");
  CHECK_FALSE(keys[0].contains("webhook"));
  CHECK(keys.dump().find("sixteen") == std::string::npos);
  auto code = [&](const char* members) {
    json command = json::parse(members);
    command["command"] = "setWebhook";
    return fixture.ErrorCode(command);
  };
  CHECK(code(R"({"key":"none"})") == "not_found");
  CHECK(code(R"({"key":"mobile","url":"https://x"})") == "bad_request");
  CHECK(code(R"({"key":"mobile","url":"https://x","secret":"short"})") == "bad_request");
  CHECK(code(R"({"key":"mobile","url":"file:///x","secret":"sixteen letters!"})") == "bad_request");
  CHECK(fixture.directory()->AnyWebhook());
  fixture.Data({{"command", "setWebhook"}, {"key", "mobile"}});
  CHECK_FALSE(fixture.directory()->AnyWebhook());
}

TEST_CASE("a key says whether strangers may write to its accounts") {
  ControlFixture fixture;
  auto strangers = [&] { return fixture.Data({{"command", "listKeys"}})["keys"][1]["strangers"]; };
  fixture.Data({{"command", "createKey"}, {"key", "shut"}, {"rate", 7}, {"strangers", false}});
  CHECK(strangers() == false);
  fixture.Data({{"command", "setKey"}, {"key", "shut"}, {"rate", 8}});
  CHECK(strangers() == false);
  fixture.Data({{"command", "setKey"}, {"key", "shut"}, {"strangers", true}});
  CHECK(strangers() == true);
  CHECK(fixture.directory()->FindKey(KeyName("shut"))->rate_per_s == 8);
  for (const char* command : {"createKey", "setKey"}) {
    CHECK(fixture.ErrorCode({{"command", command}, {"key", "shut"}, {"strangers", "no"}}) ==
          "bad_request");
  }
  CHECK(strangers() == true);
}

TEST_CASE("a key's secret names its key, is kept as a hash, and voids the one of before") {
  ControlFixture fixture;
  fixture.Data({{"command", "createKey"}, {"key", "a.shop"}});
  auto issue = [&] {
    return fixture.Data({{"command", "issueKeySecret"}, {"key", "a.shop"}})["secret"]
        .get<std::string>();
  };
  auto good = [&](const std::string& secret) {
    return fixture.directory()->FindKey(Credentials::KeyOfSecret(secret))->secret_hash ==
           Credentials::KeySecretHash(secret);
  };
  const std::string first = issue();
  CHECK(Credentials::KeyOfSecret(first) == KeyName("a.shop"));
  CHECK(good(first));
  const std::string second = issue();
  CHECK(good(second));
  CHECK_FALSE(good(first));
  CHECK(fixture.Data({{"command", "listKeys"}})["keys"][0]["secret"] == true);
  CHECK_FALSE(fixture.Data({{"command", "issueKeySecret"}, {"key", "a.shop"}, {"revoke", true}})
                  .contains("secret"));
  CHECK_FALSE(good(second));
  CHECK(fixture.Data({{"command", "listKeys"}})["keys"][0]["secret"] == false);
  CHECK(fixture.ErrorCode({{"command", "issueKeySecret"}, {"key", "none"}}) == "not_found");
}

TEST_CASE("a request that is no plain object is refused as a whole") {
  ControlFixture fixture;
  const size_t deep = 200'000;  // more than a stack has room for
  for (const std::string& request :
       {R"({"commands":[{"command":"status","correlationData":)" + std::string(deep, '[') +
            std::string(deep, ']') + "}]}",
        std::string(R"({"commands":[{"command":"status"}],"commands":[]})"),
        std::string("{\"commands\":[{\"command\":\"\xff\"}]}"), std::string("7"), std::string()}) {
    json answer = fixture.Handle(request);
    REQUIRE(answer["responses"].size() == 1);
    CHECK(answer["responses"][0]["code"] == "bad_request");
    CHECK(answer["responses"][0]["command"] == "");
  }
}

TEST_CASE("status and dead letters come from the hooks") {
  ControlFixture fixture;
  json figures = fixture.Data({{"command", "status"}});
  CHECK(figures["stored"] == 7);
  CHECK(figures["users"] == 0);
  CHECK(figures["keys"] == 1);
  CHECK(fixture.Data({{"command", "deadletters"}, {"limit", 5}})["limit"] == 5);
  json response = fixture.Run({{"command", "replayDeadletters"}});
  CHECK(response["code"] == "unavailable");
  CHECK(response["error"] == "store-1 is down");
}

}  // namespace
}  // namespace parley
