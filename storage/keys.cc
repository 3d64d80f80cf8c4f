#include "storage/keys.h"

#include <cassert>

#include "storage/shard_map.h"

namespace parley::keys {
namespace {

constexpr char kLog = 'u';
constexpr char kConversation = 'c';
constexpr char kPeers = 'l';
constexpr char kSent = 's';
constexpr char kSentById = 'i';
constexpr char kReferring = 'x';
constexpr char kMarks = 'r';

constexpr char kOwnMarks = 'm';
constexpr char kDelivered = 'd';
constexpr char kRead = 'r';
constexpr char kDevice = 'v';

constexpr size_t kUsualKeyBytes = 64;  // saves growing step by step

void PutId(const UserId& id, std::string* out) {
  assert(!id.empty() && id.str().size() <= kIdBytesMax);
  out->push_back(static_cast<char>(id.str().size()));
  out->append(id.str());
}

std::string Start(char table, const UserId& user) {
  uint16_t shard = static_cast<uint16_t>(ShardOf(user));
  std::string key;
  key.reserve(kUsualKeyBytes);
  key.push_back(static_cast<char>(shard >> 8));
  key.push_back(static_cast<char>(shard & 0xff));
  key.push_back(table);
  PutId(user, &key);
  return key;
}

std::string WithNumber(std::string key, Seq seq) {
  PutNumber(seq.value(), &key);
  return key;
}

std::string WithId(std::string key, const UserId& id) {
  PutId(id, &key);
  return key;
}

std::string StartMarks(const UserId& user, char which) {
  std::string key = Start(kMarks, user);
  key.push_back(which);
  return key;
}

}  // namespace

std::string LogPrefix(const UserId& user) { return Start(kLog, user); }
std::string ConversationPrefix(const UserId& user, const UserId& peer) {
  return WithId(Start(kConversation, user), peer);
}
std::string PeersPrefix(const UserId& user) { return Start(kPeers, user); }
std::string SentPrefix(const UserId& user) { return Start(kSent, user); }
std::string ReferringPrefix(const UserId& user, Seq target) {
  return WithNumber(Start(kReferring, user), target);
}
std::string DevicesPrefix(const UserId& user) { return StartMarks(user, kDevice); }

std::string Log(const UserId& user, Seq seq) { return WithNumber(LogPrefix(user), seq); }
std::string Conversation(const UserId& user, const UserId& peer, Seq seq) {
  return WithNumber(ConversationPrefix(user, peer), seq);
}
std::string Peer(const UserId& user, const UserId& peer) { return WithId(PeersPrefix(user), peer); }
std::string Sent(const UserId& user, Seq seq) { return WithNumber(SentPrefix(user), seq); }
std::string SentById(const UserId& user, std::string_view message_id) {
  return Start(kSentById, user).append(message_id);
}
std::string Referring(const UserId& user, Seq target, Seq seq) {
  return WithNumber(ReferringPrefix(user, target), seq);
}
std::string Marks(const UserId& user) { return StartMarks(user, kOwnMarks); }
std::string PeerDelivered(const UserId& user, const UserId& peer) {
  return WithId(StartMarks(user, kDelivered), peer);
}
std::string PeerRead(const UserId& user, const UserId& peer) {
  return WithId(StartMarks(user, kRead), peer);
}
std::string Device(const UserId& user, const DeviceId& device) {
  return DevicesPrefix(user).append(device.str());
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

void PutNumber(uint64_t number, std::string* out) {
  char bytes[8];
  for (int i = 7; i >= 0; --i, number >>= 8) bytes[i] = static_cast<char>(number & 0xff);
  out->append(bytes, sizeof bytes);
}

}  // namespace parley::keys
