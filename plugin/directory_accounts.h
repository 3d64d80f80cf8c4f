// What the engine asks of accounts (chat/ports.h): from the directory's memory, by the directory's
// thread, or on a reader's thread, as the port says.
//
// Owner: the plugin; the directory, its thread and the credentials outlive it, save that the thread
// ends first: what it was given is done then.
// Limits: kSeenMax devices that are yet to be written as seen; past them new ones are not.
#ifndef PARLEY_PLUGIN_DIRECTORY_ACCOUNTS_H_
#define PARLEY_PLUGIN_DIRECTORY_ACCOUNTS_H_

#include <mutex>
#include <string>
#include <vector>

#include "chat/ports.h"
#include "plugin/directory_thread.h"
#include "storage/credentials.h"
#include "storage/directory.h"

namespace parley {

class DirectoryAccounts final : public Accounts {
 public:
  static constexpr std::chrono::milliseconds kSeenDelay{1000};
  static constexpr size_t kSeenMax = 100'000;

  DirectoryAccounts(Directory* directory, const Credentials* credentials, DirectoryThread* thread)
      : directory_(directory), credentials_(credentials), thread_(thread) {}

  bool Exists(const UserId& user) const override;
  KeyName KeyOf(const UserId& user) const override;
  KeyLimits Limits(const KeyName& name) const override;
  KeyUse UsedToday(const KeyName& name) const override;
  void RecordUse(const KeyName& name, const KeyUse& use) override;
  void RecordSeen(const UserId& user, const DeviceId& device, int64_t ts_ms) override;
  bool StrangersAllowed(const KeyName& name) const override;
  std::shared_ptr<const Webhook> WebhookOf(const KeyName& name) const override;
  bool AnyWebhook() const override;

  Result<std::vector<Device>> Devices(const UserId& user) override;
  Status RemoveDevice(const UserId& user, const DeviceId& device) override;
  Result<std::vector<int64_t>> LastSeen(const std::vector<UserId>& users) override;
  Result<AccountInfo> Info(const UserId& user) override;
  Status SetName(const UserId& user, const std::string& name) override;
  Status ChangePassword(const UserId& user, const std::string& old_password,
                        const std::string& new_password) override;
  Result<std::string> IssueToken(const UserId& user, const DeviceId& device,
                                 int64_t ttl_s) override;

 private:
  void ScheduleSeen();
  Status WriteSeen();
  void DropWritten(uint64_t end);

  Directory* const directory_;
  const Credentials* const credentials_;
  DirectoryThread* const thread_;

  // What is yet to be written. It stays until it is, so that no reader misses it.
  std::mutex seen_mutex_;
  std::vector<DeviceSeen> seen_;  // as it came
  uint64_t seen_dropped_ = 0;     // how many came before those
  bool seen_scheduled_ = false;
};

}  // namespace parley

#endif  // PARLEY_PLUGIN_DIRECTORY_ACCOUNTS_H_
