// The keys of a store, as bytes that sort the way they are read (the grammar: docs/log_format.md).
//
//   key    := shard:u16 table:u8 rest      big-endian numbers, so that a shard is one key range
//   id     := length:u8 bytes              ids before the end of a key: 'a' never runs into 'ab'
//
//   'u' user seq:u64           the user's log                    → the message's record, or pointer
//   'c' user with seq:u64      its conversations                 → direction and type, one byte
//   'l' user with              the newest of each conversation   → seq:u64
//   's' user lsn:u64           what the user sent, by transaction → content hash:u64 place
//   message_id 'i' user message_id        … by id (to the key's end)        → place 'x' user
//   target:u64 seq:u64  who refers to `target`          → empty 'r' user 'm'               the
//   user's marks                  → delivered:u64 read:u64 'r' user 'd' peer, 'r' user 'r' peer
//   what the peer got, read → seq:u64 ts:u64 'r' user 'v' device        a device (to the key's end)
//   → delivered:u64 ts:u64
//
//   'g' group gseq:u64         the group's log                   → the message's record, no entries
//   'w' group gseq:u64         who wrote it                      → type:u8 user (to the end)
//   'y' group target:u64 gseq:u64  who refers to `target`        → empty
//   'm' group user 0x00 'd', … 0x00 'r'   what a member got, read → gseq:u64 ts:u64
//
//   with    := peer, or the id '#' group; no user's id has a '#'
//   place   := seq:u64 length:u8 [group gseq:u64]    length 0: no group
//   pointer := 'p' type:u8 gseq:u64 lsn:u64 ts:u64 group from (to the end)
//
// The user's and the group's tables have letters of their own, since both may have the same id.
// Marks of members stand in the order of their ids, which have no 0x00. A prefix ends where a
// number or the key's last id begins.
#ifndef PARLEY_STORAGE_KEYS_H_
#define PARLEY_STORAGE_KEYS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/types.h"

namespace parley::keys {

std::string LogPrefix(const UserId& user);
std::string ConversationPrefix(const UserId& user, std::string_view with);
std::string NewestPrefix(const UserId& user);
std::string SentPrefix(const UserId& user);
std::string ReferringPrefix(const UserId& user, Seq target);
std::string DevicesPrefix(const UserId& user);
std::string GroupLogPrefix(const GroupId& group);
std::string GroupAuthorsPrefix(const GroupId& group);
std::string GroupReferringPrefix(const GroupId& group, Seq target);
std::string GroupMarksPrefix(const GroupId& group);

// A conversation's other side.
std::string_view With(const UserId& peer);
std::string With(const GroupId& group);
// Of what With gave: true where it is a group, whose id is left in *with.
bool TakeGroup(std::string_view* with);

std::string Log(const UserId& user, Seq seq);
std::string Conversation(const UserId& user, std::string_view with, Seq seq);
std::string Newest(const UserId& user, std::string_view with);
std::string Sent(const UserId& user, Lsn lsn);
std::string SentById(const UserId& user, std::string_view message_id);
std::string Referring(const UserId& user, Seq target, Seq seq);
std::string Marks(const UserId& user);
std::string PeerDelivered(const UserId& user, const UserId& peer);
std::string PeerRead(const UserId& user, const UserId& peer);
std::string Device(const UserId& user, const DeviceId& device);
std::string GroupLog(const GroupId& group, Seq gseq);
std::string GroupAuthor(const GroupId& group, Seq gseq);
std::string GroupReferring(const GroupId& group, Seq target, Seq gseq);
std::string MemberDelivered(const GroupId& group, const UserId& user);
std::string MemberRead(const GroupId& group, const UserId& user);
// The first key past those of `user` and of all before it.
std::string PastMember(const GroupId& group, const UserId& user);

// What concerns the whole store stands behind all shards.
std::string Meta(std::string_view name);

// What follows a number's or an id's prefix, taken off the front of *in; false where it isn't
// there.
bool TakeNumber(std::string_view* in, uint64_t* number);
bool TakeId(std::string_view* in, std::string_view* id);
// The end of a member's mark: whose it is, and whether it says what the member read.
bool TakeMember(std::string_view in, std::string_view* user, bool* read);
void PutNumber(uint64_t number, std::string* out);
void PutId(std::string_view id, std::string* out);

}  // namespace parley::keys

#endif  // PARLEY_STORAGE_KEYS_H_
