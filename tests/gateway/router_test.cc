#include "bridge/gateway/router.h"

#include <optional>

#include "tests/catch.h"
#include "tests/gateway/asked.h"

namespace parley::gateway {
namespace {

class Routes {
 public:
  Routes() {
    for (const char* pattern : {"/v1/groups", "/v1/groups/{group}", "/v1/groups/{group}/join"}) {
      router_.Add("POST", pattern, [this, pattern](const ExchangePtr& exchange, const auto& parts) {
        taken_ = pattern;
        members_ = parts;
        exchange->Answer({});
      });
    }
    router_.Otherwise([this](const ExchangePtr& exchange, const auto&) {
      taken_ = "otherwise";
      exchange->Answer({});
    });
  }

  std::string Taken(const std::string& method, const std::string& target) {
    taken_.clear();
    asked_ = Ask([&](const ExchangePtr& e) { router_.Handle(e); }, {method, target, {}, {}, {}});
    return taken_;
  }
  const PathMembers& members() const { return members_; }
  const HttpResponse& response() const { return asked_; }

 private:
  Router router_;
  std::string taken_;
  PathMembers members_;
  HttpResponse asked_;
};

TEST_CASE("a request goes to the row with its method and path") {
  Routes routes;
  CHECK(routes.Taken("POST", "/v1/groups?limit=1") == "/v1/groups");
  CHECK(routes.Taken("POST", "/v1/groups/town") == "/v1/groups/{group}");
  CHECK(routes.members() == PathMembers{{"group", "town"}});
  CHECK(routes.Taken("POST", "/v1/groups/town/join") == "/v1/groups/{group}/join");
  for (const char* other :
       {"/", "/v1", "/v1/groups/town/leave", "/v1/groups/town/join/", "*", ""}) {
    CHECK(routes.Taken("POST", other) == "otherwise");
  }
}

TEST_CASE("parts of a path are percent-decoded, and a slash in one doesn't part it") {
  Routes routes;
  CHECK(routes.Taken("POST", "/v1/groups/a%2Fb%3a") == "/v1/groups/{group}");
  CHECK(routes.members() == PathMembers{{"group", "a/b:"}});
  for (const char* bad : {"/v1/groups/%", "/v1/groups/%4", "/v1/groups/%zz"}) {
    CHECK(routes.Taken("POST", bad).empty());
    CHECK(routes.response().status == 400);
  }
}

TEST_CASE("a path that is there for another method is answered with what it takes") {
  Routes routes;
  CHECK(routes.Taken("DELETE", "/v1/groups/town").empty());
  CHECK(routes.response().status == 405);
  CHECK(HeaderOf(routes.response(), "Allow") == "POST");
}

}  // namespace
}  // namespace parley::gateway
