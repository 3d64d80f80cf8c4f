// The roster on SQLite: <data>/roster.db in WAL mode, one connection that writes and one that
// reads.
//
// A change is one SQLite transaction with the number of the last transaction applied, durable when
// Apply returns. Where none of the transactions is the roster's, that number waits in memory for
// Sync: what it would keep from being applied twice is nothing.
//
//   members.spans        "1-7,12-": the gseqs in which the member was in; open at the end: still
//   push_targets.muted   conversations, a line each
#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <mutex>
#include <optional>
#include <utility>

#include "storage/roster.h"
#include "storage/sqlite_db.h"

namespace parley {
namespace {

// One entry a version: the n-th takes a database of version n to n + 1. Only ever appended to.
constexpr std::array<const char*, 2> kMigrations = {
    R"sql(
CREATE TABLE groups (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  delivery INTEGER NOT NULL,      -- GroupDelivery
  open INTEGER NOT NULL,
  history_all INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  gseq INTEGER NOT NULL,          -- of the system message that told of the last change
  members INTEGER NOT NULL        -- how many are in now
) STRICT, WITHOUT ROWID;
CREATE TABLE members (
  group_id TEXT NOT NULL,
  user TEXT NOT NULL,
  role INTEGER NOT NULL,          -- GroupRole; those who are not in now stay
  name TEXT NOT NULL,
  spans TEXT NOT NULL,
  PRIMARY KEY (group_id, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user, group_id);
CREATE TABLE contacts (
  user TEXT NOT NULL,
  peer TEXT NOT NULL,
  state INTEGER NOT NULL,         -- ContactState
  blocked INTEGER NOT NULL,
  blocked_by INTEGER NOT NULL,
  PRIMARY KEY (user, peer)
) STRICT, WITHOUT ROWID;
CREATE TABLE meta (applied INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES (0);
)sql",
    R"sql(
CREATE TABLE push_targets (
  user TEXT NOT NULL,
  device TEXT NOT NULL,
  provider INTEGER NOT NULL,      -- PushProvider
  target TEXT NOT NULL,           -- JSON
  preview INTEGER NOT NULL,
  muted TEXT NOT NULL,
  ts_ms INTEGER NOT NULL,
  PRIMARY KEY (user, device, provider)
) STRICT, WITHOUT ROWID;
CREATE TABLE push_jobs (
  id INTEGER PRIMARY KEY,
  user TEXT NOT NULL,
  device TEXT NOT NULL,           -- empty: a webhook's
  provider INTEGER NOT NULL,
  from_user TEXT NOT NULL,
  group_id TEXT NOT NULL,         -- empty: none
  seq INTEGER NOT NULL,
  gseq INTEGER NOT NULL,
  body TEXT NOT NULL,
  count INTEGER NOT NULL,
  ts_ms INTEGER NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE push_dead (          -- the latest that were given up
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id INTEGER NOT NULL,
  user TEXT NOT NULL,
  device TEXT NOT NULL,
  provider INTEGER NOT NULL,
  from_user TEXT NOT NULL,
  group_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  gseq INTEGER NOT NULL,
  body TEXT NOT NULL,             -- always empty
  count INTEGER NOT NULL,
  ts_ms INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  reason TEXT NOT NULL,
  given_up_ms INTEGER NOT NULL
) STRICT;
)sql",
};

constexpr std::string_view kPutGroup =
    "INSERT INTO groups VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0) ON CONFLICT DO UPDATE SET "
    "title = ?2, delivery = ?3, open = ?4, history_all = ?5, deleted = ?6, created_ms = ?7, "
    "gseq = ?8";
constexpr std::string_view kCountMembers = "UPDATE groups SET members = members + ?2 WHERE id = ?1";
constexpr std::string_view kRoleOf = "SELECT role FROM members WHERE group_id = ?1 AND user = ?2";
constexpr std::string_view kPutMember =
    "INSERT INTO members VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET role = ?3, "
    "name = ?4, spans = ?5";
constexpr std::string_view kPutContact =
    "INSERT INTO contacts VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET state = ?3, "
    "blocked = ?4, blocked_by = ?5";
constexpr std::string_view kDropContact = "DELETE FROM contacts WHERE user = ?1 AND peer = ?2";
constexpr std::string_view kPutPushTarget =
    "INSERT OR REPLACE INTO push_targets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
constexpr std::string_view kDropPushTarget =
    "DELETE FROM push_targets WHERE user = ?1 AND device = ?2 AND provider = ?3";
constexpr std::string_view kPutPushJob =
    "INSERT OR REPLACE INTO push_jobs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
constexpr std::string_view kDropPushJob = "DELETE FROM push_jobs WHERE id = ?1";
constexpr std::string_view kBuryPushJob =
    "INSERT INTO push_dead SELECT NULL, id, user, device, provider, from_user, group_id, seq, "
    "gseq, "
    "'', count, ts_ms, created_ms, ?2, ?3 FROM push_jobs WHERE id = ?1";
constexpr std::string_view kTrimPushDead =
    "DELETE FROM push_dead WHERE number <= (SELECT max(number) FROM push_dead) - ?1";
constexpr std::string_view kSetApplied = "UPDATE meta SET applied = ?1";

constexpr std::string_view kReadGroup =
    "SELECT title, delivery, open, history_all, deleted, created_ms, m.user, role, name, spans "
    "FROM groups g LEFT JOIN members m ON m.group_id = g.id WHERE g.id = ?1 ORDER BY m.user";
constexpr std::string_view kGroupsOf =
    "SELECT title, delivery, open, history_all, deleted, created_ms, g.id, role, members "
    "FROM members m JOIN groups g ON g.id = m.group_id WHERE m.user = ?1 AND m.group_id > ?2 "
    "AND role BETWEEN 1 AND 3 AND NOT deleted ORDER BY m.group_id LIMIT ?3";
constexpr std::string_view kCountGroups =
    "SELECT count(*) FROM members m JOIN groups g ON g.id = m.group_id WHERE m.user = ?1 "
    "AND role BETWEEN 1 AND 3 AND NOT deleted";
constexpr std::string_view kContacts =
    "SELECT peer, state, blocked, blocked_by FROM contacts WHERE user = ?1 ORDER BY peer";
constexpr std::string_view kPushTargets =
    "SELECT device, provider, target, preview, muted, ts_ms FROM push_targets WHERE user = ?1 "
    "ORDER BY device, provider";
constexpr std::string_view kPushUsers = "SELECT DISTINCT user FROM push_targets";
constexpr std::string_view kPushJobs =
    "SELECT id, user, device, provider, from_user, group_id, seq, gseq, body, count, ts_ms, "
    "created_ms FROM push_jobs ORDER BY id";
constexpr std::string_view kPushDead =
    "SELECT id, user, device, provider, from_user, group_id, seq, gseq, body, count, ts_ms, "
    "created_ms, reason, given_up_ms FROM push_dead ORDER BY number DESC LIMIT ?1";
constexpr std::string_view kTopicMembers =
    "SELECT g.id, m.user FROM groups g JOIN members m ON m.group_id = g.id "
    "WHERE delivery = 1 AND NOT deleted AND role BETWEEN 1 AND 3";

bool IsIn(GroupRole role) {
  return role == GroupRole::kMember || role == GroupRole::kAdmin || role == GroupRole::kOwner;
}

std::string SpansText(const std::vector<GroupSpan>& spans) {
  std::string text;
  for (const GroupSpan& span : spans) {
    if (!text.empty()) text += ',';
    text += std::to_string(span.first.value()) + '-';
    if (span.last > Seq()) text += std::to_string(span.last.value());
  }
  return text;
}

bool TakeNumber(std::string_view* text, Seq* seq) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  *seq = Seq(value);
  return true;
}

bool ParseSpans(std::string_view text, std::vector<GroupSpan>* spans) {
  while (!text.empty()) {
    GroupSpan span;
    if (!TakeNumber(&text, &span.first) || !text.starts_with('-')) return false;
    text.remove_prefix(1);
    if (!text.empty() && text[0] != ',' && !TakeNumber(&text, &span.last)) return false;
    spans->push_back(span);
    if (text.empty()) return true;
    if (text[0] != ',' || text.size() == 1) return false;
    text.remove_prefix(1);
  }
  return true;
}

std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

std::vector<std::string> ParseLines(std::string_view text) {
  std::vector<std::string> lines;
  for (size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1)) {
    lines.emplace_back(text.substr(0, end));
  }
  return lines;
}

// A statement goes back to its beginning, whatever way its reader takes.
class Resetting {
 public:
  explicit Resetting(SqliteStatement* statement) : statement_(statement) {}
  Resetting(const Resetting&) = delete;
  Resetting& operator=(const Resetting&) = delete;
  ~Resetting() { statement_->Reset(); }

 private:
  SqliteStatement* const statement_;
};

// The statements of a connection, prepared once.
struct WriteStatements {
  SqliteStatement put_group;
  SqliteStatement count_members;
  SqliteStatement role_of;
  SqliteStatement put_member;
  SqliteStatement put_contact;
  SqliteStatement drop_contact;
  SqliteStatement put_push_target;
  SqliteStatement drop_push_target;
  SqliteStatement put_push_job;
  SqliteStatement drop_push_job;
  SqliteStatement bury_push_job;
  SqliteStatement trim_push_dead;
  SqliteStatement set_applied;
};

struct ReadStatements {
  SqliteStatement group;
  SqliteStatement groups_of;
  SqliteStatement count_groups;
  SqliteStatement contacts;
  SqliteStatement push_targets;
  SqliteStatement push_users;
  SqliteStatement push_jobs;
  SqliteStatement push_dead;
  SqliteStatement topic_members;
};

// Prepares each, and makes a T of them. Braces keep the order.
template <class T, class... Sql>
Result<T> PrepareAll(SqliteDb* db, Sql... sql) {
  Status failed;
  auto prepare = [&](std::string_view text) -> std::optional<SqliteStatement> {
    auto statement = db->Prepare(text);
    if (statement) return std::move(*statement);
    failed = statement.error();
    return std::nullopt;
  };
  std::array<std::optional<SqliteStatement>, sizeof...(Sql)> all{prepare(sql)...};
  if (!failed.ok()) return Error(failed);
  size_t next = 0;
  return T{(static_cast<void>(sql), std::move(*all[next++]))...};
}

class SqliteRoster final : public Roster {
 public:
  SqliteRoster(std::string path, SqliteDb writer, WriteStatements write, SqliteDb reader,
               ReadStatements read, Lsn applied)
      : path_(std::move(path)),
        writer_(std::move(writer)),
        write_(std::move(write)),
        reader_(std::move(reader)),
        read_(std::move(read)),
        applied_(applied.value()),
        kept_(applied) {}

  Status Apply(std::span<const Transaction* const> transactions, const Mine& mine) override;
  Status Sync() override;
  Result<Lsn> Applied() const override { return Lsn(applied_.load()); }

  Result<GroupState> ReadGroup(const GroupId& group) override;
  Result<std::vector<Membership>> GroupsOf(const UserId& user, const GroupId& after,
                                           size_t limit) override;
  Result<uint64_t> CountGroups(const UserId& user) override;
  Result<std::vector<ContactRecord>> Contacts(const UserId& user) override;
  Status ForEachTopicMember(
      const std::function<void(const GroupId&, const UserId&)>& visit) override;

  Result<std::vector<PushTargetRecord>> PushTargets(const UserId& user) override;
  Status ForEachPushUser(const std::function<void(const UserId&)>& visit) override;
  Result<std::vector<PushJobRecord>> PushJobs() override;
  Result<std::vector<PushDeadLetter>> PushDeadLetters(size_t limit) override;

 private:
  Status Write(std::span<const Transaction* const> transactions, Lsn last);
  Status Put(const Record& record);
  Status PutGroup(const GroupRecord& group);
  // What the change adds to the number of those who are in: -1, 0, 1.
  Result<int> PutMember(const GroupId& group, const GroupMember& member);
  Status PutContact(const ContactRecord& contact);
  Status PutPushTarget(const PushTargetRecord& target);
  Status PutPushJob(const PushJobRecord& job);
  Status EndPushJob(const PushDoneRecord& done);

  Result<GroupSettings> SettingsOf(const SqliteStatement& row) const;
  Result<GroupMember> MemberOf(const SqliteStatement& row) const;
  Result<GroupRole> RoleOf(int64_t value) const;
  Result<PushProvider> ProviderOf(int64_t value) const;
  Result<PushJobRecord> PushJobOf(const SqliteStatement& row) const;
  Status Corrupt(const std::string& what) const;

  const std::string path_;
  // The log's writer only.
  SqliteDb writer_;
  WriteStatements write_;

  std::mutex read_mutex_;  // guards reader_, read_
  SqliteDb reader_;
  ReadStatements read_;

  std::atomic<uint64_t> applied_;
  Lsn kept_;  // what the file says; the log's writer only
};

Status SqliteRoster::Apply(std::span<const Transaction* const> transactions, const Mine&) {
  std::vector<const Transaction*> changes;
  Lsn last(applied_.load());
  for (const Transaction* transaction : transactions) {
    if (transaction->lsn <= last) continue;
    last = transaction->lsn;
    bool mine = std::any_of(transaction->records.begin(), transaction->records.end(),
                            [](const Record& record) { return ConcernsRoster(record); });
    if (mine) changes.push_back(transaction);
  }
  if (!changes.empty()) {
    if (Status status = Write(changes, last); !status.ok()) return status;
  }
  applied_ = last.value();
  return Status();
}

Status SqliteRoster::Sync() {
  Lsn applied(applied_.load());
  return applied == kept_ ? Status() : Write({}, applied);
}

Status SqliteRoster::Write(std::span<const Transaction* const> transactions, Lsn last) {
  auto writing = SqliteTransaction::Begin(&writer_);
  if (!writing) return writing.error();
  for (const Transaction* transaction : transactions) {
    for (const Record& record : transaction->records) {
      if (Status status = Put(record); !status.ok()) return status;
    }
  }
  Status status = write_.set_applied.Bind(1, static_cast<int64_t>(last.value())).Run();
  if (status.ok()) status = writing->Commit();
  if (status.ok()) kept_ = last;
  return status;
}

Status SqliteRoster::Put(const Record& record) {
  if (const auto* group = std::get_if<GroupRecord>(&record)) return PutGroup(*group);
  if (const auto* contact = std::get_if<ContactRecord>(&record)) return PutContact(*contact);
  if (const auto* target = std::get_if<PushTargetRecord>(&record)) return PutPushTarget(*target);
  if (const auto* job = std::get_if<PushJobRecord>(&record)) return PutPushJob(*job);
  if (const auto* done = std::get_if<PushDoneRecord>(&record)) return EndPushJob(*done);
  return Status();
}

Status SqliteRoster::PutGroup(const GroupRecord& group) {
  const GroupSettings& settings = group.settings;
  SqliteStatement& put = write_.put_group;
  put.Bind(1, group.group.str()).Bind(2, settings.title);
  put.Bind(3, static_cast<int64_t>(settings.delivery)).Bind(4, int64_t{settings.open});
  put.Bind(5, int64_t{settings.history_all}).Bind(6, int64_t{settings.deleted});
  put.Bind(7, settings.created_ms).Bind(8, static_cast<int64_t>(group.gseq.value()));
  if (Status status = put.Run(); !status.ok()) return status;
  int64_t more = 0;
  for (const GroupMember& member : group.changed) {
    Result<int> one = PutMember(group.group, member);
    if (!one) return one.error();
    more += *one;
  }
  if (more == 0) return Status();
  return write_.count_members.Bind(1, group.group.str()).Bind(2, more).Run();
}

Result<int> SqliteRoster::PutMember(const GroupId& group, const GroupMember& member) {
  SqliteStatement& role_of = write_.role_of;
  bool was_in = false;
  {
    Resetting resetting(&role_of);
    Result<bool> row = role_of.Bind(1, group.str()).Bind(2, member.user.str()).Step();
    if (!row) return Error(row.error());
    was_in = *row && IsIn(static_cast<GroupRole>(role_of.Int(0)));
  }
  std::string spans = SpansText(member.spans);
  SqliteStatement& put = write_.put_member;
  put.Bind(1, group.str()).Bind(2, member.user.str());
  put.Bind(3, static_cast<int64_t>(member.role)).Bind(4, member.name).Bind(5, spans);
  if (Status status = put.Run(); !status.ok()) return Error(status);
  return int{IsIn(member.role)} - int{was_in};
}

Status SqliteRoster::PutContact(const ContactRecord& contact) {
  bool empty = contact.state == ContactState::kNone && !contact.blocked && !contact.blocked_by;
  SqliteStatement& change = empty ? write_.drop_contact : write_.put_contact;
  change.Bind(1, contact.user.str()).Bind(2, contact.peer.str());
  if (!empty) {
    change.Bind(3, static_cast<int64_t>(contact.state));
    change.Bind(4, int64_t{contact.blocked}).Bind(5, int64_t{contact.blocked_by});
  }
  return change.Run();
}

Status SqliteRoster::PutPushTarget(const PushTargetRecord& target) {
  bool gone = target.target.empty();
  std::string muted = Lines(target.muted);
  SqliteStatement& change = gone ? write_.drop_push_target : write_.put_push_target;
  change.Bind(1, target.user.str()).Bind(2, target.device.str());
  change.Bind(3, static_cast<int64_t>(target.provider));
  if (!gone) {
    change.Bind(4, target.target).Bind(5, int64_t{target.preview});
    change.Bind(6, muted).Bind(7, target.ts_ms);
  }
  return change.Run();
}

Status SqliteRoster::PutPushJob(const PushJobRecord& job) {
  SqliteStatement& put = write_.put_push_job;
  put.Bind(1, static_cast<int64_t>(job.id)).Bind(2, job.user.str()).Bind(3, job.device.str());
  put.Bind(4, static_cast<int64_t>(job.provider)).Bind(5, job.from.str());
  put.Bind(6, job.group.str()).Bind(7, static_cast<int64_t>(job.seq.value()));
  put.Bind(8, static_cast<int64_t>(job.gseq.value())).Bind(9, job.body);
  put.Bind(10, static_cast<int64_t>(job.count)).Bind(11, job.ts_ms).Bind(12, job.created_ms);
  return put.Run();
}

Status SqliteRoster::EndPushJob(const PushDoneRecord& done) {
  int64_t id = static_cast<int64_t>(done.id);
  if (!done.reason.empty()) {
    SqliteStatement& bury = write_.bury_push_job;
    Status status = bury.Bind(1, id).Bind(2, done.reason).Bind(3, done.ts_ms).Run();
    if (!status.ok()) return status;
    status = write_.trim_push_dead.Bind(1, static_cast<int64_t>(kPushDeadLettersMax)).Run();
    if (!status.ok()) return status;
  }
  return write_.drop_push_job.Bind(1, id).Run();
}

Result<GroupState> SqliteRoster::ReadGroup(const GroupId& group) {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.group;
  Resetting resetting(&rows);
  rows.Bind(1, group.str());
  GroupState state;
  for (bool first = true;; first = false) {
    Result<bool> row = rows.Step();
    if (!row) return Error(row.error());
    if (!*row && first) return Error(Code::kNotFound, "no group '" + group.str() + "'");
    if (!*row) return state;
    if (first) {
      Result<GroupSettings> settings = SettingsOf(rows);
      if (!settings) return Error(settings.error());
      state.settings = std::move(*settings);
      if (rows.IsNull(6)) return state;
    }
    Result<GroupMember> member = MemberOf(rows);
    if (!member) return Error(member.error());
    state.members.push_back(std::move(*member));
  }
}

Result<std::vector<Membership>> SqliteRoster::GroupsOf(const UserId& user, const GroupId& after,
                                                       size_t limit) {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.groups_of;
  Resetting resetting(&rows);
  constexpr size_t kMost = INT64_MAX;
  rows.Bind(1, user.str()).Bind(2, after.str());
  rows.Bind(3, static_cast<int64_t>(std::min(limit, kMost)));
  std::vector<Membership> groups;
  for (;;) {
    Result<bool> row = rows.Step();
    if (!row) return Error(row.error());
    if (!*row) return groups;
    Result<GroupSettings> settings = SettingsOf(rows);
    if (!settings) return Error(settings.error());
    Result<GroupRole> role = RoleOf(rows.Int(7));
    if (!role) return Error(role.error());
    groups.push_back(
        {GroupId(rows.Text(6)), *role, std::move(*settings), static_cast<uint64_t>(rows.Int(8))});
  }
}

Result<uint64_t> SqliteRoster::CountGroups(const UserId& user) {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.count_groups;
  Resetting resetting(&rows);
  rows.Bind(1, user.str());
  Result<bool> row = rows.Step();
  if (!row) return Error(row.error());
  return static_cast<uint64_t>(rows.Int(0));
}

Result<std::vector<ContactRecord>> SqliteRoster::Contacts(const UserId& user) {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.contacts;
  Resetting resetting(&rows);
  rows.Bind(1, user.str());
  std::vector<ContactRecord> contacts;
  for (;;) {
    Result<bool> row = rows.Step();
    if (!row) return Error(row.error());
    if (!*row) return contacts;
    int64_t state = rows.Int(1);
    if (state < 0 || state > static_cast<int64_t>(ContactState::kAccepted)) {
      return Error(Corrupt("a contact of '" + user.str() + "' is of an unknown state"));
    }
    contacts.push_back({user, UserId(rows.Text(0)), static_cast<ContactState>(state),
                        rows.Int(2) != 0, rows.Int(3) != 0});
  }
}

Status SqliteRoster::ForEachTopicMember(
    const std::function<void(const GroupId&, const UserId&)>& visit) {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.topic_members;
  Resetting resetting(&rows);
  for (;;) {
    Result<bool> row = rows.Step();
    if (!row) return row.error();
    if (!*row) return Status();
    visit(GroupId(rows.Text(0)), UserId(rows.Text(1)));
  }
}

Result<std::vector<PushTargetRecord>> SqliteRoster::PushTargets(const UserId& user) {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.push_targets;
  Resetting resetting(&rows);
  rows.Bind(1, user.str());
  std::vector<PushTargetRecord> targets;
  for (;;) {
    Result<bool> row = rows.Step();
    if (!row) return Error(row.error());
    if (!*row) return targets;
    Result<PushProvider> provider = ProviderOf(rows.Int(1));
    if (!provider) return Error(provider.error());
    targets.push_back({user, DeviceId(rows.Text(0)), *provider, std::string(rows.Text(2)),
                       rows.Int(3) != 0, ParseLines(rows.Text(4)), rows.Int(5)});
  }
}

Status SqliteRoster::ForEachPushUser(const std::function<void(const UserId&)>& visit) {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.push_users;
  Resetting resetting(&rows);
  for (;;) {
    Result<bool> row = rows.Step();
    if (!row) return row.error();
    if (!*row) return Status();
    visit(UserId(rows.Text(0)));
  }
}

Result<std::vector<PushJobRecord>> SqliteRoster::PushJobs() {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.push_jobs;
  Resetting resetting(&rows);
  std::vector<PushJobRecord> jobs;
  for (;;) {
    Result<bool> row = rows.Step();
    if (!row) return Error(row.error());
    if (!*row) return jobs;
    Result<PushJobRecord> job = PushJobOf(rows);
    if (!job) return Error(job.error());
    jobs.push_back(std::move(*job));
  }
}

Result<std::vector<PushDeadLetter>> SqliteRoster::PushDeadLetters(size_t limit) {
  std::lock_guard lock(read_mutex_);
  SqliteStatement& rows = read_.push_dead;
  Resetting resetting(&rows);
  rows.Bind(1, static_cast<int64_t>(limit));
  std::vector<PushDeadLetter> letters;
  for (;;) {
    Result<bool> row = rows.Step();
    if (!row) return Error(row.error());
    if (!*row) return letters;
    Result<PushJobRecord> job = PushJobOf(rows);
    if (!job) return Error(job.error());
    letters.push_back({std::move(*job), std::string(rows.Text(12)), rows.Int(13)});
  }
}

// Columns 0 to 5 of kReadGroup and kGroupsOf.
Result<GroupSettings> SqliteRoster::SettingsOf(const SqliteStatement& row) const {
  int64_t delivery = row.Int(1);
  if (delivery < 0 || delivery > static_cast<int64_t>(GroupDelivery::kTopic)) {
    return Error(Corrupt("a group of an unknown delivery"));
  }
  return GroupSettings{std::string(row.Text(0)), static_cast<GroupDelivery>(delivery),
                       row.Int(2) != 0,          row.Int(3) != 0,
                       row.Int(4) != 0,          row.Int(5)};
}

// Columns 6 to 9 of kReadGroup.
Result<GroupMember> SqliteRoster::MemberOf(const SqliteStatement& row) const {
  GroupMember member;
  member.user = UserId(row.Text(6));
  member.name = row.Text(8);
  Result<GroupRole> role = RoleOf(row.Int(7));
  if (!role) return Error(role.error());
  member.role = *role;
  if (ParseSpans(row.Text(9), &member.spans)) return member;
  return Error(Corrupt("'" + std::string(row.Text(9)) + "' are no spans"));
}

Result<GroupRole> SqliteRoster::RoleOf(int64_t value) const {
  if (value >= 0 && value <= static_cast<int64_t>(GroupRole::kRemoved)) {
    return static_cast<GroupRole>(value);
  }
  return Error(Corrupt("a member of an unknown role"));
}

Result<PushProvider> SqliteRoster::ProviderOf(int64_t value) const {
  if (value >= 0 && value <= static_cast<int64_t>(PushProvider::kApns)) {
    return static_cast<PushProvider>(value);
  }
  return Error(Corrupt("a push by an unknown provider"));
}

// Columns 0 to 11 of kPushJobs and kPushDead.
Result<PushJobRecord> SqliteRoster::PushJobOf(const SqliteStatement& row) const {
  Result<PushProvider> provider = ProviderOf(row.Int(3));
  if (!provider) return Error(provider.error());
  auto number = [&row](int column) { return static_cast<uint64_t>(row.Int(column)); };
  PushJobRecord job;
  job.id = number(0);
  job.user = UserId(row.Text(1));
  job.device = DeviceId(row.Text(2));
  job.provider = *provider;
  job.from = UserId(row.Text(4));
  job.group = GroupId(row.Text(5));
  job.seq = Seq(number(6));
  job.gseq = Seq(number(7));
  job.body = row.Text(8);
  job.count = number(9);
  job.ts_ms = row.Int(10);
  job.created_ms = row.Int(11);
  return job;
}

Status SqliteRoster::Corrupt(const std::string& what) const {
  return Status(Code::kCorruption, path_ + ": " + what + "; restore it from a backup");
}

Status Prepare(SqliteDb* db, const std::string& path) {
  Status status = db->Exec("PRAGMA journal_mode = WAL");
  if (status.ok()) {
    status = db->Exec("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;");
  }
  return status.ok() ? MigrateSqlite(db, path, kMigrations) : status;
}

}  // namespace

Result<std::unique_ptr<Roster>> Roster::Open(const std::string& data_dir, Env* env) {
  const std::string path = data_dir + "/roster.db";
  if (!env->Exists(path)) {
    Status status = MakePrivateFile(path);
    if (status.ok()) status = env->SyncDir(data_dir);
    if (!status.ok()) return Error(status);
  }
  // A process that died, or whose sync failed, leaves transactions in the WAL that SQLite can read
  // now and that would be gone, wholly or in part, after a power cut. The log counts on them.
  if (const std::string wal = path + "-wal"; env->Exists(wal)) {
    if (Status status = env->WriteAgain(wal); !status.ok()) return Error(status);
  }
  auto writer = SqliteDb::Open(path, SqliteDb::Mode::kReadWrite);
  if (!writer) return Error(writer.error());
  if (Status status = Prepare(&*writer, path); !status.ok()) return Error(status);
  auto reader = SqliteDb::Open(path, SqliteDb::Mode::kReadOnly);
  if (!reader) return Error(reader.error());
  auto applied = reader->QueryInt("SELECT applied FROM meta");
  if (!applied) return Error(applied.error());
  auto write = PrepareAll<WriteStatements>(&*writer, kPutGroup, kCountMembers, kRoleOf, kPutMember,
                                           kPutContact, kDropContact, kPutPushTarget,
                                           kDropPushTarget, kPutPushJob, kDropPushJob, kBuryPushJob,
                                           kTrimPushDead, kSetApplied);
  if (!write) return Error(write.error());
  auto read =
      PrepareAll<ReadStatements>(&*reader, kReadGroup, kGroupsOf, kCountGroups, kContacts,
                                 kPushTargets, kPushUsers, kPushJobs, kPushDead, kTopicMembers);
  if (!read) return Error(read.error());
  return std::make_unique<SqliteRoster>(path, std::move(*writer), std::move(*write),
                                        std::move(*reader), std::move(*read),
                                        Lsn(static_cast<uint64_t>(*applied)));
}

}  // namespace parley
