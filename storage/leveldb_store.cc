#include "storage/leveldb_store.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "storage/env.h"
#include "storage/keys.h"
#include "storage/leveldb_env.h"

namespace parley {
namespace {

constexpr std::string_view kFormat = "parley-store 3";
constexpr size_t kTableBytes = 8 << 20;
// Four times LevelDB's own: a table's index stays in memory while the table is open, and has an
// entry for each block.
constexpr size_t kBlockBytes = 16 << 10;
constexpr int kOpenFilesMax = 200;
constexpr int kFilterBitsPerKey = 10;

// The byte of a conversation's index entry.
constexpr uint8_t kIncoming = 0x80;  // or'ed to the message's type

// What a pointer in a user's log begins with; a message's record begins with its kind.
constexpr char kPointer = 'p';

leveldb::Slice ToSlice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view ToView(const leveldb::Slice& slice) { return {slice.data(), slice.size()}; }

leveldb::ReadOptions Checked() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

std::string Number(uint64_t number) {
  std::string bytes;
  keys::PutNumber(number, &bytes);
  return bytes;
}

std::string Numbers(uint64_t first, uint64_t second) {
  std::string bytes;
  keys::PutNumber(first, &bytes);
  keys::PutNumber(second, &bytes);
  return bytes;
}

// Takes a message's type; false where there is no such one.
bool TakeType(std::string_view* in, MessageType* type) {
  if (in->empty() ||
      static_cast<uint8_t>(in->front()) > static_cast<uint8_t>(MessageType::kSystem)) {
    return false;
  }
  *type = static_cast<MessageType>(in->front());
  in->remove_prefix(1);
  return true;
}

void PutPlace(const SentPlace& place, std::string* out) {
  keys::PutNumber(place.seq.value(), out);
  if (place.group.empty()) return out->push_back(0);
  keys::PutId(place.group.str(), out);
  keys::PutNumber(place.gseq.value(), out);
}

bool TakePlace(std::string_view* in, SentPlace* place) {
  uint64_t seq, gseq;
  if (!keys::TakeNumber(in, &seq) || in->empty()) return false;
  place->seq = Seq(seq);
  if (in->front() == 0) return in->remove_prefix(1), true;
  std::string_view group;
  if (!keys::TakeId(in, &group) || !keys::TakeNumber(in, &gseq)) return false;
  place->group = GroupId(group);
  place->gseq = Seq(gseq);
  return true;
}

std::string Pointer(const GroupMessageRecord& record, Lsn lsn) {
  std::string value{kPointer, static_cast<char>(record.message.type)};
  keys::PutNumber(record.gseq.value(), &value);
  keys::PutNumber(lsn.value(), &value);
  keys::PutNumber(static_cast<uint64_t>(record.message.ts_ms), &value);
  keys::PutId(record.group.str(), &value);
  return value.append(record.message.from.str());
}

bool TakePointer(std::string_view in, LogEntry* entry) {
  uint64_t gseq, lsn, ts;
  std::string_view group;
  if (in.empty() || in.front() != kPointer) return false;
  in.remove_prefix(1);
  if (!TakeType(&in, &entry->message.type) || !keys::TakeNumber(&in, &gseq) ||
      !keys::TakeNumber(&in, &lsn) || !keys::TakeNumber(&in, &ts) || !keys::TakeId(&in, &group) ||
      in.empty()) {
    return false;
  }
  entry->message.ts_ms = static_cast<int64_t>(ts);
  entry->message.from = UserId(in);
  entry->group = GroupId(group);
  entry->gseq = Seq(gseq);
  entry->lsn = Lsn(lsn);
  return true;
}

// Adds a record's entries, for those owners of it that belong to this store.
class BatchWriter {
 public:
  // `marked` tells how far a mark is in the store, by its key.
  BatchWriter(const Mine& mine, std::function<Seq(const std::string&)> marked,
              leveldb::WriteBatch* batch)
      : mine_(mine), marked_(std::move(marked)), batch_(batch) {}

  void Add(const Transaction& transaction) {
    lsn_ = transaction.lsn;
    for (const Record& record : transaction.records) std::visit(*this, record);
  }

  void operator()(const MessageRecord& message) {
    bool sender = mine_(message.from.str());
    bool receiver = message.to != message.from && mine_(message.to.str());
    if (!sender && !receiver) return;
    value_.clear();
    EncodeRecord(message, &value_);
    if (sender) {
      Entry(message, message.from, message.from_seq, keys::With(message.to));
      if (Refers(message)) Referring(message.from, message.ref->from_seq, message.from_seq);
      Sent(message, {message.from_seq, GroupId(), Seq()});
    }
    if (receiver) {
      Entry(message, message.to, message.to_seq, keys::With(message.from));
      if (Refers(message)) Referring(message.to, message.ref->to_seq, message.to_seq);
    }
  }
  void operator()(const GroupMessageRecord& record) {
    const MessageRecord& message = record.message;
    if (mine_(record.group.str())) GroupMessage(record);
    if (message.type != MessageType::kSystem && mine_(message.from.str())) {
      Sent(message, {message.from_seq, record.group, record.gseq});
    }
    if (record.entries.empty()) return;
    value_ = Pointer(record, lsn_);
    const std::string with = keys::With(record.group);
    for (const GroupEntry& entry : record.entries) {
      if (mine_(entry.user.str())) Entry(message, entry.user, entry.seq, with);
    }
  }
  void operator()(const GroupMarksRecord& marks) {
    if (!mine_(marks.group.str())) return;
    Advance(keys::MemberDelivered(marks.group, marks.user), marks.delivered, marks.ts_ms);
    Advance(keys::MemberRead(marks.group, marks.user), marks.read, marks.ts_ms);
  }
  void operator()(const GroupRecord&) {}  // the roster's
  void operator()(const ContactRecord&) {}
  void operator()(const PushTargetRecord&) {}
  void operator()(const PushJobRecord&) {}
  void operator()(const PushDoneRecord&) {}
  void operator()(const DeviceGoneRecord& gone) {
    if (mine_(gone.user.str())) batch_->Delete(keys::Device(gone.user, gone.device));
  }
  void operator()(const DeviceCursorRecord& cursor) {
    if (!mine_(cursor.user.str())) return;
    Put(keys::Device(cursor.user, cursor.device),
        Numbers(cursor.delivered.value(), static_cast<uint64_t>(cursor.ts_ms)));
  }
  void operator()(const MarksRecord& marks) {
    if (!mine_(marks.user.str())) return;
    Put(keys::Marks(marks.user), Numbers(marks.delivered.value(), marks.read.value()));
  }
  void operator()(const PeerMarksRecord& marks) {
    if (!mine_(marks.user.str())) return;
    uint64_t ts = static_cast<uint64_t>(marks.ts_ms);
    if (marks.delivered != Seq()) {
      Put(keys::PeerDelivered(marks.user, marks.peer), Numbers(marks.delivered.value(), ts));
    }
    if (marks.read != Seq()) {
      Put(keys::PeerRead(marks.user, marks.peer), Numbers(marks.read.value(), ts));
    }
  }

  // After the last record: one entry for each conversation, however much was said in it.
  void Finish() {
    for (const auto& [key, seq] : newest_) Put(key, Number(seq.value()));
    newest_.clear();
  }

 private:
  static bool Refers(const MessageRecord& message) {
    return message.type != MessageType::kMessage && message.type != MessageType::kSystem &&
           message.ref.has_value();
  }
  void Put(std::string_view key, std::string_view value) {
    batch_->Put(ToSlice(key), ToSlice(value));
  }
  // In a group whose delivery was changed, members confirm older messages after newer ones.
  void Advance(const std::string& key, Seq to, int64_t ts_ms) {
    if (to == Seq()) return;
    auto [mark, first] = advanced_.try_emplace(key);
    if (first) mark->second = marked_(key);
    if (to < mark->second) return;
    mark->second = to;
    Put(key, Numbers(to.value(), static_cast<uint64_t>(ts_ms)));
  }
  // value_ is what the user's log holds.
  void Entry(const MessageRecord& message, const UserId& user, Seq seq, std::string_view with) {
    uint8_t direction = user == message.from ? 0 : kIncoming;
    char index = static_cast<char>(direction | static_cast<uint8_t>(message.type));
    Put(keys::Log(user, seq), value_);
    Put(keys::Conversation(user, with, seq), {&index, 1});
    newest_[keys::Newest(user, with)] = seq;  // ascending: the last one counts
  }
  void Referring(const UserId& user, Seq target, Seq seq) {
    if (target != Seq()) Put(keys::Referring(user, target, seq), {});
  }
  void GroupMessage(const GroupMessageRecord& record) {
    const MessageRecord& message = record.message;
    value_.clear();
    EncodeRecord(GroupMessageRecord{record.group, record.gseq, message, {}}, &value_);
    Put(keys::GroupLog(record.group, record.gseq), value_);
    Put(keys::GroupAuthor(record.group, record.gseq),
        std::string(1, static_cast<char>(message.type)).append(message.from.str()));
    if (Refers(message) && message.ref->to_seq != Seq()) {
      Put(keys::GroupReferring(record.group, message.ref->to_seq, record.gseq), {});
    }
  }
  void Sent(const MessageRecord& message, const SentPlace& place) {
    std::string where, sent;
    PutPlace(place, &where);
    keys::PutNumber(message.content_hash, &sent);
    Put(keys::Sent(message.from, lsn_), sent.append(where).append(message.id));
    Put(keys::SentById(message.from, message.id), where);
  }

  const Mine& mine_;
  const std::function<Seq(const std::string&)> marked_;
  leveldb::WriteBatch* batch_;
  Lsn lsn_;
  std::string value_;
  std::unordered_map<std::string, Seq> newest_;    // by the key of a conversation
  std::unordered_map<std::string, Seq> advanced_;  // by the key of a member's mark
};

// The entries of one prefix, in their order, from a key on.
class PrefixCursor {
 public:
  PrefixCursor(leveldb::DB* db, std::string prefix) : PrefixCursor(db, prefix, prefix) {}
  PrefixCursor(leveldb::DB* db, std::string prefix, const std::string& from)
      : prefix_(std::move(prefix)), entries_(db->NewIterator(Checked())) {
    entries_->Seek(from);
  }
  bool Valid() const { return entries_->Valid() && ToView(entries_->key()).starts_with(prefix_); }
  void Next() { entries_->Next(); }
  std::string_view suffix() const { return ToView(entries_->key()).substr(prefix_.size()); }
  std::string_view value() const { return ToView(entries_->value()); }
  leveldb::Status status() const { return entries_->status(); }

 private:
  std::string prefix_;
  std::unique_ptr<leveldb::Iterator> entries_;
};

// The entries of one prefix whose keys end in a number, between the page's bounds, in its
// direction.
class SeqCursor {
 public:
  SeqCursor(leveldb::DB* db, std::string prefix, const Page& page)
      : prefix_(std::move(prefix)), page_(page), entries_(db->NewIterator(Checked())) {
    if (page_.descending) {
      SeekBefore();
    } else if (page_.after.value() != UINT64_MAX) {
      entries_->Seek(Key(page_.after.Next()));
    }
    Look();
  }
  bool Valid() const { return valid_; }
  Seq seq() const { return seq_; }
  std::string_view value() const { return ToView(entries_->value()); }
  leveldb::Status status() const { return entries_->status(); }
  void Next() {
    page_.descending ? entries_->Prev() : entries_->Next();
    Look();
  }

 private:
  std::string Key(Seq seq) const {
    std::string key = prefix_;
    keys::PutNumber(seq.value(), &key);
    return key;
  }
  void SeekBefore() {
    entries_->Seek(Key(page_.before));
    if (entries_->Valid()) {
      entries_->Prev();
    } else if (entries_->status().ok()) {
      entries_->SeekToLast();
    }
  }
  void Look() {
    valid_ = false;
    if (!entries_->Valid() || !ToView(entries_->key()).starts_with(prefix_)) return;
    std::string_view suffix = ToView(entries_->key()).substr(prefix_.size());
    uint64_t number;
    if (!keys::TakeNumber(&suffix, &number)) return;
    seq_ = Seq(number);
    valid_ = seq_ > page_.after && seq_ < page_.before;
  }

  std::string prefix_;
  Page page_;
  std::unique_ptr<leveldb::Iterator> entries_;
  bool valid_ = false;
  Seq seq_;
};

constexpr Page kNewest{.descending = true};

class LevelDbStoreImpl : public LevelDbStore {
 public:
  explicit LevelDbStoreImpl(const LevelDbOptions& options)
      : path_(options.path),
        env_(options.env != nullptr ? options.env : leveldb::Env::Default()),
        block_cache_(options.block_cache),
        filter_(leveldb::NewBloomFilterPolicy(kFilterBitsPerKey)) {
    options_.env = &env_;
    options_.create_if_missing = options.create;
    options_.paranoid_checks = true;
    options_.write_buffer_size = options.write_buffer_bytes;
    options_.max_file_size = kTableBytes;
    options_.block_size = kBlockBytes;
    options_.max_open_files = kOpenFilesMax;
    options_.block_cache = block_cache_.get();
    options_.filter_policy = filter_.get();
    options_.compression = leveldb::kSnappyCompression;
  }

  // Opens the database, or closes it and opens it again.
  Status Reopen() {
    std::unique_lock lock(db_mutex_);
    db_.reset();
    Status status = OpenDb();
    if (status.ok()) status = CheckFormat();
    if (status.ok()) status = LoadApplied();
    if (!status.ok()) db_.reset();
    must_reopen_ = !status.ok();
    return status;
  }

  Status Apply(std::span<const Transaction* const> transactions, const Mine& mine) override {
    if (must_reopen_) {
      if (Status status = Reopen(); !status.ok()) return status;
    }
    Lsn applied = applied_;
    leveldb::WriteBatch batch;
    Status status;
    auto marked = [&](const std::string& key) {
      Seq mark, ts;
      if (status.ok()) status = GetSeqs(key, &mark, &ts);
      return mark;
    };
    BatchWriter writer(mine, marked, &batch);
    for (const Transaction* transaction : transactions) {
      if (transaction->lsn <= applied) continue;
      writer.Add(*transaction);
      applied = transaction->lsn;
    }
    writer.Finish();
    if (!status.ok() || applied == applied_.load()) return status;
    batch.Put(keys::Meta("applied"), ToSlice(Number(applied.value())));
    status = Write(&batch);
    if (status.ok()) applied_ = applied;
    return status;
  }

  Status Sync() override {
    if (must_reopen_) {
      if (Status status = Reopen(); !status.ok()) return status;
    }
    if (synced_ == applied_.load()) return Status();
    Status status = MakeTable();
    if (status.ok()) synced_ = applied_;
    return status;
  }

  Result<Lsn> Applied() const override {
    std::shared_lock lock(db_mutex_);
    if (!db_) return Closed();
    return applied_.load();
  }

  Result<LogTail> ReadTail(const UserId& user) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    LogTail tail;
    tail.floor = Seq(1);
    std::string prefix = keys::LogPrefix(user);
    SeqCursor newest(db_.get(), prefix, kNewest);
    if (newest.Valid()) {
      SeqCursor oldest(db_.get(), prefix, Page());
      if (!oldest.status().ok()) return Failed(oldest.status());
      if (!oldest.Valid()) return Damaged("a user's log");
      tail.last = newest.seq();
      tail.floor = oldest.seq();
    }
    if (!newest.status().ok()) return Failed(newest.status());
    Status status = GetSeqs(keys::Marks(user), &tail.delivered, &tail.read);
    if (!status.ok()) return Error(status);
    return tail;
  }

  Result<LogPage> ReadLog(const UserId& user, const Page& page) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    SeqCursor cursor(db_.get(), keys::LogPrefix(user), page);
    return ReadPage(&cursor, page, [&] { return Decode(user, cursor.seq(), cursor.value()); });
  }

  Result<LogPage> ReadConversation(const UserId& user, const Conversation& with,
                                   const Page& page) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    SeqCursor cursor(db_.get(), PrefixOf(user, with), page);
    return ReadPage(&cursor, page, [&] { return GetEntry(user, cursor.seq()); });
  }

  Result<std::vector<LogEntry>> ReadReferring(const UserId& user, Seq target) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    return ReadNewest(keys::ReferringPrefix(user, target),
                      [&](Seq seq) { return GetEntry(user, seq); });
  }

  Result<std::vector<Conversation>> ReadConversations(const UserId& user, Seq before,
                                                      size_t limit) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    auto later = [](const Conversation& a, const Conversation& b) { return a.last > b.last; };
    std::vector<Conversation> latest;  // a heap, the oldest of them on top
    PrefixCursor cursor(db_.get(), keys::NewestPrefix(user));
    for (; cursor.Valid(); cursor.Next()) {
      std::string_view suffix = cursor.suffix(), value = cursor.value(), with;
      uint64_t last;
      if (!keys::TakeId(&suffix, &with) || !suffix.empty() || !keys::TakeNumber(&value, &last)) {
        return Damaged("a list of conversations");
      }
      if (Seq(last) >= before) continue;
      const bool group = keys::TakeGroup(&with);
      latest.push_back({UserId(group ? "" : with), GroupId(group ? with : ""), Seq(last)});
      std::push_heap(latest.begin(), latest.end(), later);
      if (latest.size() <= limit) continue;
      std::pop_heap(latest.begin(), latest.end(), later);
      latest.pop_back();
    }
    if (!cursor.status().ok()) return Failed(cursor.status());
    std::sort_heap(latest.begin(), latest.end(), later);
    return latest;
  }

  Result<uint64_t> CountUnread(const UserId& user, const Conversation& with, Seq read,
                               uint64_t max) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    SeqCursor cursor(db_.get(), PrefixOf(user, with), Page{.after = read});
    return Count(&cursor, max, "a conversation's index", [](std::string_view index, bool* counts) {
      if (index.size() != 1) return false;
      const uint8_t byte = static_cast<uint8_t>(index[0]);
      *counts =
          byte >= kIncoming && byte != (kIncoming | static_cast<uint8_t>(MessageType::kSystem));
      return true;
    });
  }

  Result<std::vector<SentId>> ReadSent(const UserId& user, size_t limit) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    std::vector<SentId> sent;
    SeqCursor cursor(db_.get(), keys::SentPrefix(user), kNewest);
    for (; cursor.Valid() && sent.size() < limit; cursor.Next()) {
      SentId id;
      SentPlace place;
      std::string_view value = cursor.value();
      if (!keys::TakeNumber(&value, &id.content_hash) || !TakePlace(&value, &place)) {
        return Damaged("a list of sent ids");
      }
      id.lsn = Lsn(cursor.seq().value());
      id.seq = place.seq;
      id.id = value;
      id.group = std::move(place.group);
      id.gseq = place.gseq;
      sent.push_back(std::move(id));
    }
    if (!cursor.status().ok()) return Failed(cursor.status());
    return sent;
  }

  Result<SentPlace> FindSent(const UserId& user, const std::string& id) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    std::string value;
    leveldb::Status status = db_->Get(Checked(), keys::SentById(user, id), &value);
    if (status.IsNotFound()) return SentPlace();
    if (!status.ok()) return Failed(status);
    std::string_view rest = value;
    SentPlace place;
    if (!TakePlace(&rest, &place) || !rest.empty()) return Damaged("a sent id");
    return place;
  }

  Result<PeerMarks> ReadPeerMarks(const UserId& user, const UserId& peer) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    PeerMarks marks;
    Status status = GetSeqs(keys::PeerDelivered(user, peer), &marks.delivered, nullptr);
    if (status.ok()) status = GetSeqs(keys::PeerRead(user, peer), &marks.read, nullptr);
    if (!status.ok()) return Error(status);
    return marks;
  }

  Result<std::vector<DeviceCursor>> ReadDevices(const UserId& user) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    std::vector<DeviceCursor> devices;
    PrefixCursor cursor(db_.get(), keys::DevicesPrefix(user));
    for (; cursor.Valid(); cursor.Next()) {
      std::string_view value = cursor.value();
      uint64_t delivered, ts;
      if (!keys::TakeNumber(&value, &delivered) || !keys::TakeNumber(&value, &ts)) {
        return Damaged("a device's cursor");
      }
      devices.push_back({DeviceId(cursor.suffix()), Seq(delivered), static_cast<int64_t>(ts)});
    }
    if (!cursor.status().ok()) return Failed(cursor.status());
    return devices;
  }

  Result<Seq> ReadGroupTail(const GroupId& group) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    SeqCursor newest(db_.get(), keys::GroupLogPrefix(group), kNewest);
    if (!newest.status().ok()) return Failed(newest.status());
    return newest.Valid() ? newest.seq() : Seq();
  }

  Result<LogPage> ReadGroup(const GroupId& group, const Page& page) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    SeqCursor cursor(db_.get(), keys::GroupLogPrefix(group), page);
    return ReadPage(&cursor, page, [&] { return Decode(group, cursor.seq(), cursor.value()); });
  }

  Result<std::vector<LogEntry>> ReadGroupReferring(const GroupId& group,
                                                   Seq target) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    return ReadNewest(keys::GroupReferringPrefix(group, target),
                      [&](Seq gseq) { return GetEntry(group, gseq); });
  }

  Result<uint64_t> CountGroupUnread(const GroupId& group, const UserId& user, Seq read,
                                    uint64_t max) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    SeqCursor cursor(db_.get(), keys::GroupAuthorsPrefix(group), Page{.after = read});
    return Count(&cursor, max, "a group's authors", [&](std::string_view author, bool* counts) {
      MessageType type;
      if (!TakeType(&author, &type)) return false;
      *counts = type != MessageType::kSystem && author != user.str();
      return true;
    });
  }

  Result<std::vector<GroupMark>> ReadGroupMarks(const GroupId& group, const UserId& after,
                                                size_t limit) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    std::vector<GroupMark> marks;
    PrefixCursor cursor(db_.get(), keys::GroupMarksPrefix(group), keys::PastMember(group, after));
    for (; cursor.Valid(); cursor.Next()) {
      std::string_view user, value = cursor.value();
      bool read;
      uint64_t gseq, ts;
      if (!keys::TakeMember(cursor.suffix(), &user, &read) || !keys::TakeNumber(&value, &gseq) ||
          !keys::TakeNumber(&value, &ts)) {
        return Damaged("a member's mark");
      }
      if (marks.empty() || marks.back().user.str() != user) {
        if (marks.size() == limit) break;
        marks.push_back({UserId(user), Seq(), Seq(), 0});
      }
      GroupMark& mark = marks.back();
      (read ? mark.read : mark.delivered) = Seq(gseq);
      mark.ts_ms = std::max(mark.ts_ms, static_cast<int64_t>(ts));
    }
    if (!cursor.status().ok()) return Failed(cursor.status());
    return marks;
  }

  Result<GroupMark> ReadGroupMark(const GroupId& group, const UserId& user) const override {
    std::shared_lock lock(db_mutex_);
    if (!Readable()) return Closed();
    GroupMark mark;
    mark.user = user;
    Seq got, seen;
    Status status = GetSeqs(keys::MemberDelivered(group, user), &mark.delivered, &got);
    if (status.ok()) status = GetSeqs(keys::MemberRead(group, user), &mark.read, &seen);
    if (!status.ok()) return Error(status);
    mark.ts_ms = std::max(static_cast<int64_t>(got.value()), static_cast<int64_t>(seen.value()));
    return mark;
  }

 private:
  static std::string PrefixOf(const UserId& user, const Conversation& with) {
    return with.group.empty() ? keys::ConversationPrefix(user, keys::With(with.peer))
                              : keys::ConversationPrefix(user, keys::With(with.group));
  }

  Status ToStatus(const leveldb::Status& status) const {
    if (status.IsCorruption() || status.IsNotFound()) {
      return Status(Code::kCorruption, "store " + path_ + ": " + status.ToString() +
                                           "; restore this directory from a backup");
    }
    if (status.IsInvalidArgument()) {
      return Status(Code::kNotFound, "store " + path_ + ": " + status.ToString());
    }
    return Status(Code::kIoError, "store " + path_ + ": " + status.ToString());
  }
  tl::unexpected<Status> Failed(const leveldb::Status& status) const {
    return Error(ToStatus(status));
  }
  tl::unexpected<Status> Damaged(const std::string& what) const {
    return Failed(leveldb::Status::Corruption(what + " doesn't hold what it must"));
  }
  tl::unexpected<Status> Closed() const {
    return Error(Code::kUnavailable, "store " + path_ + " isn't open, or not whole again yet");
  }

  // False while it lacks what it had before it was opened again.
  bool Readable() const { return db_ && applied_.load() >= whole_.load(); }

  Status OpenDb() {
    leveldb::DB* db = nullptr;
    leveldb::Status status = leveldb::DB::Open(options_, path_, &db);
    db_.reset(db);
    return status.ok() ? Status() : ToStatus(status);
  }

  // Without a batch LevelDB begins a new memtable, and waits until the one before it is a table and
  // in the manifest, both synced.
  Status MakeTable() {
    Status status = Write(nullptr);
    return status.ok() ? Write(nullptr) : status;
  }

  Status Write(leveldb::WriteBatch* batch) {
    leveldb::Status status = db_->Write(leveldb::WriteOptions(), batch);
    if (status.ok()) return Status();
    must_reopen_ = true;
    return ToStatus(status);
  }

  // A new store is given its format; any other must have it.
  Status CheckFormat() {
    std::string format;
    leveldb::Status got = db_->Get(Checked(), keys::Meta("format"), &format);
    if (got.ok() && format == kFormat) return Status();
    if (got.ok()) {
      return Status(Code::kCorruption, "store " + path_ + ": its format is '" + format +
                                           "', this program knows '" + std::string(kFormat) + "'");
    }
    if (!got.IsNotFound()) return ToStatus(got);
    std::unique_ptr<leveldb::Iterator> any(db_->NewIterator(Checked()));
    any->SeekToFirst();
    if (any->Valid() || !any->status().ok()) {
      return ToStatus(leveldb::Status::Corruption("its format entry is missing"));
    }
    leveldb::WriteBatch batch;
    batch.Put(keys::Meta("format"), ToSlice(kFormat));
    Status status = Write(&batch);
    return status.ok() ? MakeTable() : status;
  }

  // What wasn't a table yet is applied again, from the journal.
  Status LoadApplied() {
    Seq applied;
    Status status = GetSeqs(keys::Meta("applied"), &applied, nullptr);
    if (!status.ok()) return status;
    whole_ = std::max(whole_.load(), applied_.load());
    applied_ = Lsn(applied.value());
    synced_ = Lsn();  // what was found may be in the system's memory alone, CURRENT's name included
    return status;
  }

  // One or two numbers; zeros where there is no such key.
  Status GetSeqs(const std::string& key, Seq* first, Seq* second) const {
    std::string value;
    leveldb::Status status = db_->Get(Checked(), key, &value);
    if (status.IsNotFound()) return Status();
    if (!status.ok()) return ToStatus(status);
    std::string_view rest = value;
    for (Seq* seq : {first, second}) {
      uint64_t number;
      if (seq == nullptr) continue;
      if (!keys::TakeNumber(&rest, &number)) return Damaged("a number").value();
      *seq = Seq(number);
    }
    return Status();
  }

  Result<LogEntry> GetEntry(const UserId& user, Seq seq) const {
    std::string value;
    leveldb::Status status = db_->Get(Checked(), keys::Log(user, seq), &value);
    if (!status.ok()) return Failed(status);
    return Decode(user, seq, value);
  }

  Result<LogEntry> GetEntry(const GroupId& group, Seq gseq) const {
    std::string value;
    leveldb::Status status = db_->Get(Checked(), keys::GroupLog(group, gseq), &value);
    if (!status.ok()) return Failed(status);
    return Decode(group, gseq, value);
  }

  // The record must be the user's and stand under the number it says.
  Result<LogEntry> Decode(const UserId& user, Seq seq, std::string_view value) const {
    if (value.starts_with(kPointer)) {
      LogEntry entry;
      entry.seq = seq;
      if (!TakePointer(value, &entry)) return Damaged("a pointer to a group's message");
      return entry;
    }
    Result<Record> record = DecodeRecord(&value);
    if (!record) return Damaged("a message (" + record.error().message() + ")");
    MessageRecord* message = std::get_if<MessageRecord>(&*record);
    if (message == nullptr || !value.empty()) return Damaged("a message");
    bool sender = message->from == user;
    if (!sender && message->to != user) return Damaged("a message");
    Seq own = sender ? message->from_seq : message->to_seq;
    Seq peer = sender ? message->to_seq : message->from_seq;
    if (own != seq) return Damaged("a message's number");
    return LogEntry{own, peer, std::move(*message), GroupId(), Seq(), Lsn()};
  }

  Result<LogEntry> Decode(const GroupId& group, Seq gseq, std::string_view value) const {
    Result<Record> record = DecodeRecord(&value);
    if (!record) return Damaged("a group's message (" + record.error().message() + ")");
    auto* found = std::get_if<GroupMessageRecord>(&*record);
    if (found == nullptr || !value.empty() || found->group != group || found->gseq != gseq) {
      return Damaged("a group's message");
    }
    return LogEntry{gseq, Seq(), std::move(found->message), group, gseq, Lsn()};
  }

  // The newest kReferringMax entries whose numbers the prefix lists, ascending.
  template <class Get>
  Result<std::vector<LogEntry>> ReadNewest(std::string prefix, Get get) const {
    std::vector<LogEntry> entries;
    SeqCursor cursor(db_.get(), std::move(prefix), kNewest);
    for (; cursor.Valid() && entries.size() < kReferringMax; cursor.Next()) {
      Result<LogEntry> entry = get(cursor.seq());
      if (!entry) return Error(entry.error());
      entries.push_back(std::move(*entry));
    }
    if (!cursor.status().ok()) return Failed(cursor.status());
    std::reverse(entries.begin(), entries.end());
    return entries;
  }

  // Counts up to `max` those for whose value `look` sets what it is given; false: it is damaged.
  template <class Look>
  Result<uint64_t> Count(SeqCursor* cursor, uint64_t max, const char* what, Look look) const {
    uint64_t counted = 0, seen = 0;
    for (; cursor->Valid() && counted < max && seen < kUnreadScanMax; cursor->Next(), ++seen) {
      bool counts = false;
      if (!look(cursor->value(), &counts)) return Damaged(what);
      counted += counts;
    }
    if (!cursor->status().ok()) return Failed(cursor->status());
    return counted;
  }

  // Collects what `entry` gives at each place of the cursor, within the page's limits.
  template <class Entry>
  Result<LogPage> ReadPage(SeqCursor* cursor, const Page& page, Entry entry) const {
    LogPage out;
    size_t bytes = 0;
    for (; cursor->Valid(); cursor->Next()) {
      if (out.entries.size() == page.limit) {
        out.more = true;
        break;
      }
      Result<LogEntry> next = entry();
      if (!next) return Error(next.error());
      bytes += next->message.body.size();
      if (bytes > page.bytes_max && !out.entries.empty()) {
        out.more = true;
        break;
      }
      out.entries.push_back(std::move(*next));
    }
    if (!cursor->status().ok()) return Failed(cursor->status());
    return out;
  }

  const std::string path_;
  StoreEnv env_;
  const std::shared_ptr<leveldb::Cache> block_cache_;
  const std::unique_ptr<const leveldb::FilterPolicy> filter_;
  leveldb::Options options_;

  mutable std::shared_mutex db_mutex_;  // held exclusively only while the database is reopened
  std::unique_ptr<leveldb::DB> db_;     // null where that failed
  std::atomic<Lsn> applied_;
  std::atomic<Lsn> whole_;  // what it had before it was opened again; reads wait for that
  Lsn synced_;              // the writer's, as is the next
  bool must_reopen_ = false;
};

}  // namespace

std::shared_ptr<leveldb::Cache> LevelDbStore::NewBlockCache(size_t bytes) {
  return std::shared_ptr<leveldb::Cache>(leveldb::NewLRUCache(bytes));
}

Result<std::unique_ptr<LevelDbStore>> LevelDbStore::Open(const LevelDbOptions& options) {
  auto store = std::make_unique<LevelDbStoreImpl>(options);
  if (Status status = store->Reopen(); !status.ok()) return Error(status);
  return store;
}

}  // namespace parley
