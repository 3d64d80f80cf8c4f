// The accounts of a run's users: made for it through $CONTROL/parley/v1 as an admin, with tokens,
// and disabled at its end; or the user's own, from a file.
#ifndef PARLEY_TESTS_CHECK_ACCOUNTS_H_
#define PARLEY_TESTS_CHECK_ACCOUNTS_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/check/crowd.h"
#include "tests/check/link.h"

namespace parley::check {

// An admin's connection. Whatever fails throws std::runtime_error.
class Admin : private LinkEvents {
 public:
  Admin(const Address& address, const std::string& user, const std::string& password);

  // `count` users, whose ids begin with `prefix`; their tokens are good for `ttl_s`.
  std::vector<Account> MakeAccounts(const std::string& prefix, size_t count, uint64_t ttl_s);
  void DisableAccounts(const std::vector<Account>& accounts);

 private:
  void Subscribe();
  nlohmann::json Run(const nlohmann::json& commands);
  void Await(const bool& done, const std::string& what);

  void OnConnected(bool kept) override;
  void OnClosed() override;
  void OnGranted(int packet, int granted) override;
  void OnAcked(int packet) override;
  void OnMessage(const std::string& topic, std::string_view payload) override;

  const std::string name_;
  std::unique_ptr<Link> link_;
  bool connected_ = false;
  bool closed_ = false;
  bool subscribed_ = false;
  bool answered_ = false;
  int granted_ = 0;
  std::string answer_;
};

// Lines of `user,password`. Throws std::runtime_error.
std::vector<Account> ReadAccounts(const std::string& path);

}  // namespace parley::check

#endif  // PARLEY_TESTS_CHECK_ACCOUNTS_H_
