// Administrators' commands on a real directory: any request has an answer that is JSON, one
// response for each command, with either data or an error; what it says was done is done.
//
//   input := the request
#include "chat/control.h"

#include <nlohmann/json.hpp>
#include <set>

#include "tests/fuzz/fuzz.h"
#include "tests/storage/clock_env.h"

namespace parley::fuzz {
namespace {

using nlohmann::json;

// Made anew only where the input before it has changed something: that takes milliseconds.
class Administration {
 public:
  static Administration& Fresh() {
    static std::unique_ptr<Administration> it;
    if (!it || it->changed_) {
      it.reset();
      it = std::make_unique<Administration>();
    }
    return *it;
  }

  Administration() {
    FUZZ_REQUIRE(Directory::Create(temp_.path(), &env_), temp_.path());
    directory_ = std::move(*Directory::Open(temp_.path(), &env_));
    credentials_ = std::make_unique<Credentials>(*Credentials::Load(temp_.path(), 8, &env_));
    ControlHooks hooks;
    hooks.status = [] { return json{{"stored", 7}}; };
    hooks.deadletters = [](size_t limit) -> Result<json> { return json{{"limit", limit}}; };
    control_ = std::make_unique<Control>(directory_.get(), credentials_.get(), &env_, hooks);
    NewUser alice;
    alice.id = UserId("alice");
    FUZZ_REQUIRE(directory_->AddUser(alice).ok(), "alice");
  }

  void Handle(std::string_view request) {
    const std::string text = control_->Handle(request);
    const json answer = json::parse(text, nullptr, false);
    FUZZ_REQUIRE(answer.is_object() && answer["responses"].is_array(), text);
    for (const json& response : answer["responses"]) {
      FUZZ_REQUIRE(response.contains("data") != response.contains("error"), text);
      FUZZ_REQUIRE(response.contains("code") == response.contains("error"), text);
      if (response.contains("data")) Done(response);
    }
    CheckAccounts();
  }

 private:
  void Done(const json& response) {
    static const std::set<std::string> reading = {"listUsers", "listKeys", "status", "deadletters",
                                                  "issueToken"};
    changed_ |= !reading.contains(response["command"]);
    if (response["command"] != "issueToken") return;
    const std::string token = response["data"]["token"];
    FUZZ_REQUIRE(credentials_->VerifyToken(token, "alice") || directory_->user_count() > 1, token);
  }
  // Whatever was asked for, there are only accounts that could be logged in to.
  void CheckAccounts() {
    auto rows = directory_->ListUsers(UserId(), kUsersPageMax);
    FUZZ_REQUIRE(rows && rows->size() == directory_->user_count(), "users");
    for (const UserRow& row : *rows) {
      FUZZ_REQUIRE(ValidId(row.id.str()), row.id.str());
      FUZZ_REQUIRE(directory_->FindKey(row.key), row.key.str());
      FUZZ_REQUIRE(directory_->Find(row.id)->has_password == row.has_password, row.id.str());
    }
    for (const ApiKey& key : directory_->Keys()) {
      FUZZ_REQUIRE(ValidId(key.name.str()) && key.rate_per_s >= 0 && key.quota_per_day >= 0,
                   key.name.str());
    }
  }

  TempDir temp_;
  ClockEnv env_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<Credentials> credentials_;
  std::unique_ptr<Control> control_;
  bool changed_ = false;
};

}  // namespace

void Run(std::string_view request) { Administration::Fresh().Handle(request); }

}  // namespace parley::fuzz
