#include "plugin/directory_accounts.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "chat/payload.h"

namespace parley {
namespace {

// For people to read: text, and all of it on one line.
bool Readable(std::string_view text) {
  bool control = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  return !control && ValidUtf8(text);
}

}  // namespace

bool DirectoryAccounts::Exists(const UserId& user) const {
  return directory_->Find(user).has_value();
}

KeyName DirectoryAccounts::KeyOf(const UserId& user) const {
  auto account = directory_->Find(user);
  return account ? account->key : KeyName();
}

KeyLimits DirectoryAccounts::Limits(const KeyName& name) const {
  auto key = directory_->FindKey(name);
  if (!key) return {};
  return {static_cast<double>(key->rate_per_s), static_cast<uint64_t>(key->quota_per_day)};
}

KeyUse DirectoryAccounts::UsedToday(const KeyName& name) const {
  auto key = directory_->FindKey(name);
  if (!key) return {};
  return {key->day, static_cast<uint64_t>(key->used)};
}

void DirectoryAccounts::RecordUse(const KeyName& name, const KeyUse& use) {
  // A queue that is full, or a write that fails: the next count holds this one too.
  (void)thread_->Post([directory = directory_, name, use] {
    std::pair<KeyName, int64_t> used{name, static_cast<int64_t>(use.used)};
    (void)directory->RecordKeyUse(use.day, {&used, 1});
  });
}

bool DirectoryAccounts::StrangersAllowed(const KeyName& name) const {
  auto key = directory_->FindKey(name);
  return !key || key->strangers;
}

std::shared_ptr<const Webhook> DirectoryAccounts::WebhookOf(const KeyName& name) const {
  return directory_->WebhookOf(name);
}

bool DirectoryAccounts::AnyWebhook() const { return directory_->AnyWebhook(); }

// Devices seen: gathered for kSeenDelay, then written at once.

void DirectoryAccounts::RecordSeen(const UserId& user, const DeviceId& device, int64_t ts_ms) {
  std::lock_guard lock(seen_mutex_);
  if (seen_.size() < kSeenMax) seen_.push_back({user, {device, ts_ms}});
  ScheduleSeen();
}

// seen_mutex_ is held.
void DirectoryAccounts::ScheduleSeen() {
  if (seen_scheduled_ || seen_.empty()) return;
  seen_scheduled_ = thread_->PostAfter(kSeenDelay, [this] {
    {
      std::lock_guard lock(seen_mutex_);
      seen_scheduled_ = false;  // what comes from now on has a turn of its own, also at the end
    }
    (void)WriteSeen();
    std::lock_guard lock(seen_mutex_);
    ScheduleSeen();  // what couldn't be written
  });
}

Status DirectoryAccounts::WriteSeen() {
  std::vector<DeviceSeen> seen;
  uint64_t end = 0;
  {
    std::lock_guard lock(seen_mutex_);
    seen = seen_;
    end = seen_dropped_ + seen.size();
  }
  if (seen.empty()) return {};
  Status status = directory_->TouchDevices(seen);
  if (status.ok()) DropWritten(end);
  return status;
}

// Somebody else may have dropped some of it already.
void DirectoryAccounts::DropWritten(uint64_t end) {
  std::lock_guard lock(seen_mutex_);
  if (end <= seen_dropped_) return;
  auto written = static_cast<std::ptrdiff_t>(end - seen_dropped_);
  // A new one: after ten thousand have connected at once, it should not stay so large.
  seen_ = std::vector<DeviceSeen>(seen_.begin() + written, seen_.end());
  seen_dropped_ = end;
}

Result<std::vector<Device>> DirectoryAccounts::Devices(const UserId& user) {
  if (Status status = WriteSeen(); !status.ok()) return Error(status);
  return directory_->Devices(user);
}

Status DirectoryAccounts::RemoveDevice(const UserId& user, const DeviceId& device) {
  if (Status status = WriteSeen(); !status.ok()) return status;
  return directory_->RemoveDevice(user, device);
}

// What waits is looked at first: what is gone from there is in the database.
Result<std::vector<int64_t>> DirectoryAccounts::LastSeen(const std::vector<UserId>& users) {
  std::unordered_map<UserId, int64_t> waiting;
  for (const UserId& user : users) waiting[user] = 0;
  {
    std::lock_guard lock(seen_mutex_);
    for (const DeviceSeen& one : seen_) {
      auto asked = waiting.find(one.user);
      if (asked != waiting.end()) asked->second = std::max(asked->second, one.device.last_seen_ms);
    }
  }
  auto seen = directory_->LastSeen(users);
  if (!seen) return seen;
  for (size_t i = 0; i < users.size(); ++i) {
    (*seen)[i] = std::max((*seen)[i], waiting[users[i]]);
  }
  return seen;
}

// The user's own account.

Result<AccountInfo> DirectoryAccounts::Info(const UserId& user) {
  auto row = directory_->Info(user);
  if (!row) return Error(row.error());
  return AccountInfo{std::string(RoleName(row->role)), row->key, row->name, row->has_password,
                     row->created_ms};
}

Status DirectoryAccounts::SetName(const UserId& user, const std::string& name) {
  if (!Readable(name)) return {Code::kBadRequest, "a name is one line of UTF-8 text"};
  return directory_->SetName(user, name);
}

Status DirectoryAccounts::ChangePassword(const UserId& user, const std::string& old_password,
                                         const std::string& new_password) {
  auto old_hash = directory_->PasswordHash(user);
  if (!old_hash) return old_hash.error();
  if (!*old_hash) return {Code::kDenied, "the account has no password: it uses tokens only"};
  if (credentials_->VerifyPassword(**old_hash, old_password) == PasswordCheck::kWrong) {
    return {Code::kDenied, "the old password is wrong"};
  }
  auto new_hash = credentials_->HashPassword(new_password);
  if (!new_hash) return new_hash.error();
  return directory_->ChangePassword(user, **old_hash, *new_hash);
}

Result<std::string> DirectoryAccounts::IssueToken(const UserId& user, const DeviceId& device,
                                                  int64_t ttl_s) {
  auto account = directory_->Find(user);
  if (!account) return Error(Code::kNotFound, "no account '" + user.str() + "'");
  if (account->disabled) return Error(Code::kDenied, "account '" + user.str() + "' is disabled");
  if (ttl_s < 1 || ttl_s > kTokenTtlMaxS) {
    return Error(Code::kBadRequest,
                 "a token is good for 1 to " + std::to_string(kTokenTtlMaxS) + " seconds");
  }
  if (device.str().size() > kTokenDeviceBytesMax || !Readable(device.str())) {
    return Error(Code::kBadRequest, "no token can be issued for that client id");
  }
  return credentials_->IssueToken(user.str(), ttl_s, false, device.str());
}

}  // namespace parley
