#include "storage/keys.h"

#include <cassert>

#include "storage/shard_map.h"

namespace parley::keys {
namespace {

constexpr char kLog = 'u';
constexpr char kConversation = 'c';
constexpr char kNewest = 'l';
constexpr char kSent = 's';
constexpr char kSentById = 'i';
constexpr char kReferring = 'x';
constexpr char kMarks = 'r';
constexpr char kGroupLog = 'g';
constexpr char kGroupAuthors = 'w';
constexpr char kGroupReferring = 'y';
constexpr char kGroupMarks = 'm';

constexpr char kOwnMarks = 'm';
constexpr char kDelivered = 'd';
constexpr char kRead = 'r';
constexpr char kDevice = 'v';
constexpr char kGroupMark = '#';  // before a group's id as a conversation's other side

constexpr size_t kUsualKeyBytes = 64;  // saves growing step by step

std::string Start(char table, std::string_view owner) {
  uint16_t shard = static_cast<uint16_t>(ShardOf(owner));
  std::string key;
  key.reserve(kUsualKeyBytes);
  key.push_back(static_cast<char>(shard >> 8));
  key.push_back(static_cast<char>(shard & 0xff));
  key.push_back(table);
  PutId(owner, &key);
  return key;
}
std::string Start(char table, const UserId& user) { return Start(table, user.str()); }
std::string Start(char table, const GroupId& group) { return Start(table, group.str()); }

std::string WithNumber(std::string key, Seq seq) {
  PutNumber(seq.value(), &key);
  return key;
}

std::string WithId(std::string key, std::string_view id) {
  PutId(id, &key);
  return key;
}

std::string StartMarks(const UserId& user, char which) {
  std::string key = Start(kMarks, user);
  key.push_back(which);
  return key;
}

std::string MemberMark(const GroupId& group, const UserId& user, char which) {
  std::string key = GroupMarksPrefix(group).append(user.str());
  key.push_back('\0');
  key.push_back(which);
  return key;
}

}  // namespace

std::string LogPrefix(const UserId& user) { return Start(kLog, user); }
std::string ConversationPrefix(const UserId& user, std::string_view with) {
  return WithId(Start(kConversation, user), with);
}
std::string NewestPrefix(const UserId& user) { return Start(kNewest, user); }
std::string SentPrefix(const UserId& user) { return Start(kSent, user); }
std::string ReferringPrefix(const UserId& user, Seq target) {
  return WithNumber(Start(kReferring, user), target);
}
std::string DevicesPrefix(const UserId& user) { return StartMarks(user, kDevice); }
std::string GroupLogPrefix(const GroupId& group) { return Start(kGroupLog, group); }
std::string GroupAuthorsPrefix(const GroupId& group) { return Start(kGroupAuthors, group); }
std::string GroupReferringPrefix(const GroupId& group, Seq target) {
  return WithNumber(Start(kGroupReferring, group), target);
}
std::string GroupMarksPrefix(const GroupId& group) { return Start(kGroupMarks, group); }

std::string_view With(const UserId& peer) { return peer.str(); }
std::string With(const GroupId& group) { return kGroupMark + group.str(); }
bool TakeGroup(std::string_view* with) {
  if (!with->starts_with(kGroupMark)) return false;
  with->remove_prefix(1);
  return true;
}

std::string Log(const UserId& user, Seq seq) { return WithNumber(LogPrefix(user), seq); }
std::string Conversation(const UserId& user, std::string_view with, Seq seq) {
  return WithNumber(ConversationPrefix(user, with), seq);
}
std::string Newest(const UserId& user, std::string_view with) {
  return WithId(NewestPrefix(user), with);
}
std::string Sent(const UserId& user, Lsn lsn) {
  std::string key = SentPrefix(user);
  PutNumber(lsn.value(), &key);
  return key;
}
std::string SentById(const UserId& user, std::string_view message_id) {
  return Start(kSentById, user).append(message_id);
}
std::string Referring(const UserId& user, Seq target, Seq seq) {
  return WithNumber(ReferringPrefix(user, target), seq);
}
std::string Marks(const UserId& user) { return StartMarks(user, kOwnMarks); }
std::string PeerDelivered(const UserId& user, const UserId& peer) {
  return WithId(StartMarks(user, kDelivered), peer.str());
}
std::string PeerRead(const UserId& user, const UserId& peer) {
  return WithId(StartMarks(user, kRead), peer.str());
}
std::string Device(const UserId& user, const DeviceId& device) {
  return DevicesPrefix(user).append(device.str());
}
std::string GroupLog(const GroupId& group, Seq gseq) {
  return WithNumber(GroupLogPrefix(group), gseq);
}
std::string GroupAuthor(const GroupId& group, Seq gseq) {
  return WithNumber(GroupAuthorsPrefix(group), gseq);
}
std::string GroupReferring(const GroupId& group, Seq target, Seq gseq) {
  return WithNumber(GroupReferringPrefix(group, target), gseq);
}
std::string MemberDelivered(const GroupId& group, const UserId& user) {
  return MemberMark(group, user, kDelivered);
}
std::string MemberRead(const GroupId& group, const UserId& user) {
  return MemberMark(group, user, kRead);
}
std::string PastMember(const GroupId& group, const UserId& user) {
  return GroupMarksPrefix(group).append(user.str()).append(1, '\1');
}

std::string Meta(std::string_view name) { return std::string("\xff\xff").append(name); }

bool TakeNumber(std::string_view* in, uint64_t* number) {
  if (in->size() < 8) return false;
  *number = 0;
  for (size_t i = 0; i < 8; ++i) *number = *number << 8 | static_cast<uint8_t>((*in)[i]);
  in->remove_prefix(8);
  return true;
}

bool TakeId(std::string_view* in, std::string_view* id) {
  if (in->empty()) return false;
  size_t size = static_cast<uint8_t>(in->front());
  if (size == 0 || size > in->size() - 1) return false;
  *id = in->substr(1, size);
  in->remove_prefix(1 + size);
  return true;
}

bool TakeMember(std::string_view in, std::string_view* user, bool* read) {
  if (in.size() < 3 || in[in.size() - 2] != '\0') return false;
  if (in.back() != kDelivered && in.back() != kRead) return false;
  *user = in.substr(0, in.size() - 2);
  *read = in.back() == kRead;
  return true;
}

void PutNumber(uint64_t number, std::string* out) {
  char bytes[8];
  for (int i = 7; i >= 0; --i, number >>= 8) bytes[i] = static_cast<char>(number & 0xff);
  out->append(bytes, sizeof bytes);
}

void PutId(std::string_view id, std::string* out) {
  assert(!id.empty() && id.size() <= 1 + kIdBytesMax);  // a group's may have its mark before it
  out->push_back(static_cast<char>(id.size()));
  out->append(id);
}

}  // namespace parley::keys
