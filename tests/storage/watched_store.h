// A store in front of another one, so that a test can watch, hold up or refuse what the log writes.
#ifndef PARLEY_TESTS_STORAGE_WATCHED_STORE_H_
#define PARLEY_TESTS_STORAGE_WATCHED_STORE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/message_store.h"

namespace parley {

class WatchedStore : public MessageStore {
 public:
  // Called before each Apply and Sync (with no transactions); its error is theirs.
  using Watch = std::function<Status(std::span<const Transaction* const>)>;

  // `read` is called after each ReadConversation.
  WatchedStore(std::unique_ptr<MessageStore> store, Watch watch, std::function<void()> read = {})
      : store_(std::move(store)), watch_(std::move(watch)), read_(std::move(read)) {}

  Status Apply(std::span<const Transaction* const> transactions, const Mine& mine) override {
    Status status = watch_(transactions);
    return status.ok() ? store_->Apply(transactions, mine) : status;
  }
  Status Sync() override {
    Status status = watch_({});
    return status.ok() ? store_->Sync() : status;
  }
  Result<Lsn> Applied() const override { return store_->Applied(); }
  Result<LogTail> ReadTail(const UserId& user) const override { return store_->ReadTail(user); }
  Result<LogPage> ReadLog(const UserId& user, const Page& page) const override {
    return store_->ReadLog(user, page);
  }
  Result<LogPage> ReadConversation(const UserId& user, const Conversation& with,
                                   const Page& page) const override {
    auto found = store_->ReadConversation(user, with, page);
    if (read_) read_();
    return found;
  }
  Result<std::vector<LogEntry>> ReadReferring(const UserId& user, Seq target) const override {
    return store_->ReadReferring(user, target);
  }
  Result<std::vector<Conversation>> ReadConversations(const UserId& user, Seq before,
                                                      size_t limit) const override {
    return store_->ReadConversations(user, before, limit);
  }
  Result<uint64_t> CountUnread(const UserId& user, const Conversation& with, Seq read,
                               uint64_t max) const override {
    return store_->CountUnread(user, with, read, max);
  }
  Result<std::vector<SentId>> ReadSent(const UserId& user, size_t limit) const override {
    return store_->ReadSent(user, limit);
  }
  Result<SentPlace> FindSent(const UserId& user, const std::string& id) const override {
    return store_->FindSent(user, id);
  }
  Result<PeerMarks> ReadPeerMarks(const UserId& user, const UserId& peer) const override {
    return store_->ReadPeerMarks(user, peer);
  }
  Result<std::vector<DeviceCursor>> ReadDevices(const UserId& user) const override {
    return store_->ReadDevices(user);
  }
  Result<Seq> ReadGroupTail(const GroupId& group) const override {
    return store_->ReadGroupTail(group);
  }
  Result<LogPage> ReadGroup(const GroupId& group, const Page& page) const override {
    return store_->ReadGroup(group, page);
  }
  Result<std::vector<LogEntry>> ReadGroupReferring(const GroupId& group,
                                                   Seq target) const override {
    return store_->ReadGroupReferring(group, target);
  }
  Result<uint64_t> CountGroupUnread(const GroupId& group, const UserId& user, Seq read,
                                    uint64_t max) const override {
    return store_->CountGroupUnread(group, user, read, max);
  }
  Result<std::vector<GroupMark>> ReadGroupMarks(const GroupId& group, const UserId& after,
                                                size_t limit) const override {
    return store_->ReadGroupMarks(group, after, limit);
  }
  Result<GroupMark> ReadGroupMark(const GroupId& group, const UserId& user) const override {
    return store_->ReadGroupMark(group, user);
  }

 private:
  const std::unique_ptr<MessageStore> store_;
  const Watch watch_;
  const std::function<void()> read_;
};

}  // namespace parley

#endif  // PARLEY_TESTS_STORAGE_WATCHED_STORE_H_
