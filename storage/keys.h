// The keys of a store, as bytes that sort the way they are read (the grammar: docs/log_format.md).
//
//   key    := shard:u16 table:u8 rest      big-endian numbers, so that a shard is one key range
//   id     := length:u8 bytes              ids before the end of a key: 'a' never runs into 'ab'
//
//   'u' user seq:u64           the user's log                    → the message's record
//   'c' user peer seq:u64      its conversations                 → direction and type, one byte
//   'l' user peer              the newest of each conversation   → seq:u64
//   's' user seq:u64           what the user sent, by number     → content hash:u64, message id
//   'i' user message_id        … by id (to the key's end)        → seq:u64
//   'x' user target:u64 seq:u64  who refers to `target`          → empty
//   'r' user 'm'               the user's marks                  → delivered:u64 read:u64
//   'r' user 'd' peer, 'r' user 'r' peer   what the peer got, read → seq:u64 ts:u64
//   'r' user 'v' device        a device (to the key's end)       → delivered:u64 ts:u64
//
// A prefix ends where a number or the key's last id begins.
#ifndef PARLEY_STORAGE_KEYS_H_
#define PARLEY_STORAGE_KEYS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/types.h"

namespace parley::keys {

std::string LogPrefix(const UserId& user);
std::string ConversationPrefix(const UserId& user, const UserId& peer);
std::string PeersPrefix(const UserId& user);
std::string SentPrefix(const UserId& user);
std::string ReferringPrefix(const UserId& user, Seq target);
std::string DevicesPrefix(const UserId& user);

std::string Log(const UserId& user, Seq seq);
std::string Conversation(const UserId& user, const UserId& peer, Seq seq);
std::string Peer(const UserId& user, const UserId& peer);
std::string Sent(const UserId& user, Seq seq);
std::string SentById(const UserId& user, std::string_view message_id);
std::string Referring(const UserId& user, Seq target, Seq seq);
std::string Marks(const UserId& user);
std::string PeerDelivered(const UserId& user, const UserId& peer);
std::string PeerRead(const UserId& user, const UserId& peer);
std::string Device(const UserId& user, const DeviceId& device);

// What concerns the whole store stands behind all shards.
std::string Meta(std::string_view name);

// What follows a number's or an id's prefix, taken off the front of *in; false where it isn't
// there.
bool TakeNumber(std::string_view* in, uint64_t* number);
bool TakeId(std::string_view* in, std::string_view* id);
void PutNumber(uint64_t number, std::string* out);

}  // namespace parley::keys

#endif  // PARLEY_STORAGE_KEYS_H_
