#include "bridge/gateway/doorkeeper.h"

#include <memory>
#include <string>

#include "tests/catch.h"
#include "tests/gateway/asked.h"

namespace parley::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A broker that says yes to everybody.
class YesLink final : public BrokerLink {
 public:
  void Ask(const std::string&, const std::string&, Answered answered, seconds) override {
    ++asked;
    answered(std::string(R"({"ok":true})"));
  }
  void Tell(const std::string&, const std::string&) override {}
  bool connected() const override { return true; }
  uint64_t connections() const override { return 1; }
  size_t in_flight() const override { return 0; }
  void Stop() override {}

  int asked = 0;
};

class Door {
 public:
  // True where the broker was asked.
  bool AsksFor(const std::string& user) {
    const int before = link_->asked;
    HttpRequest request;
    request.headers = {{"x-api-key", "shop.secret"}, {"x-parley-user", user}};
    std::string admitted;
    doorkeeper_.Admit(std::make_shared<Asked>(std::move(request)), "",
                      [&](const std::string& who) { admitted = who; });
    CHECK(admitted == user);
    return link_->asked > before;
  }
  void Pass(milliseconds time) { now_ += time; }

 private:
  Doorkeeper::Clock::time_point now_{seconds(1000)};
  const std::shared_ptr<YesLink> link_ = std::make_shared<YesLink>();
  Doorkeeper doorkeeper_{link_, false, [this] { return now_; }};
};

TEST_CASE("what the broker said yes to is believed for ten seconds, whatever was asked meanwhile") {
  for (int late_ms = 0; late_ms < 10'000; late_ms += 700) {
    CAPTURE(late_ms);
    Door door;
    CHECK(door.AsksFor("alice"));
    door.Pass(milliseconds(late_ms));
    CHECK(door.AsksFor("bob"));
    for (int i = 0; i < 9; ++i) {
      door.Pass(seconds(1));
      CHECK_FALSE(door.AsksFor("bob"));
    }
    door.Pass(milliseconds(999));
    CHECK_FALSE(door.AsksFor("bob"));
    door.Pass(milliseconds(1));
    CHECK(door.AsksFor("bob"));
  }
}

}  // namespace
}  // namespace parley::gateway
