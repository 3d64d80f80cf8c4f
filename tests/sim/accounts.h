// The users of a simulation: all that are named exist, and nothing else is kept of them.
#ifndef PARLEY_TESTS_SIM_ACCOUNTS_H_
#define PARLEY_TESTS_SIM_ACCOUNTS_H_

#include <set>
#include <string>
#include <vector>

#include "chat/ports.h"

namespace parley::sim {

class FixedAccounts : public Accounts {
 public:
  explicit FixedAccounts(const std::vector<std::string>& users)
      : users_(users.begin(), users.end()) {}

  bool Exists(const UserId& user) const override { return users_.contains(user.str()); }
  KeyName KeyOf(const UserId&) const override { return KeyName(); }
  KeyLimits Limits(const KeyName&) const override { return {}; }
  KeyUse UsedToday(const KeyName&) const override { return {}; }
  void RecordUse(const KeyName&, const KeyUse&) override {}
  void RecordSeen(const UserId&, const DeviceId&, int64_t) override {}
  bool StrangersAllowed(const KeyName&) const override { return true; }
  std::shared_ptr<const Webhook> WebhookOf(const KeyName&) const override { return nullptr; }
  bool AnyWebhook() const override { return false; }
  Result<std::vector<Device>> Devices(const UserId&) override { return std::vector<Device>(); }
  Status RemoveDevice(const UserId&, const DeviceId&) override { return NotKept(); }
  Result<std::vector<int64_t>> LastSeen(const std::vector<UserId>& users) override {
    return std::vector<int64_t>(users.size(), 0);
  }
  Result<AccountInfo> Info(const UserId&) override { return Error(NotKept()); }
  Status SetName(const UserId&, const std::string&) override { return NotKept(); }
  Status ChangePassword(const UserId&, const std::string&, const std::string&) override {
    return NotKept();
  }
  Result<std::string> IssueToken(const UserId&, const DeviceId&, int64_t) override {
    return Error(NotKept());
  }

 private:
  static Status NotKept() { return {Code::kNotFound, "not kept in a simulation"}; }

  const std::set<std::string> users_;
};

}  // namespace parley::sim

#endif  // PARLEY_TESTS_SIM_ACCOUNTS_H_
