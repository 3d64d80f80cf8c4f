#include "tests/e2e/crash_ledger.h"

namespace parley::e2e {

namespace {

constexpr size_t kNotedMax = 20;
constexpr size_t kNoteBytesMax = 400;

using Ordered = nlohmann::ordered_json;

// The end of the payload, and of the message that becomes of it.
std::string BodyOf(const Attempt& attempt) {
  return attempt.payload.substr(attempt.payload.find("\"body\":"));
}

}  // namespace

ShownMessage::ShownMessage(const std::string& object) : ShownMessage(Ordered::parse(object)) {}

ShownMessage::ShownMessage(const Ordered& object)
    : seq(object.at("seq").get<uint64_t>()),
      id(object.at("id").get<std::string>()),
      from(object.at("from").get<std::string>()),
      to(object.at("to").get<std::string>()),
      text(object.dump()) {}

void CrashLedger::Note(const std::string& what) {
  if (++contradiction_count_ <= kNotedMax) contradictions_.push_back(what.substr(0, kNoteBytesMax));
}

void CrashLedger::Contradiction(const std::string& what) {
  const std::lock_guard lock(mutex_);
  Note(what);
}

void CrashLedger::SawLocked(const std::string& name, User* user, const ShownMessage& message,
                            const std::string& how) {
  const auto [seen, first] = user->seen.emplace(message.seq, message.text);
  if (!first && seen->second != message.text) {
    Note(name + " saw by " + how + " " + message.text + " and before it " + seen->second);
  }
  const auto [known, first_id] =
      user->seqs.emplace(std::pair(message.from, message.id), message.seq);
  if (!first_id && known->second != message.seq) {
    Note(name + " saw by " + how + " " + message.text + " that it knows under number " +
         std::to_string(known->second));
  }
}

void CrashLedger::Saw(const std::string& user, const ShownMessage& message,
                      const std::string& how) {
  const std::lock_guard lock(mutex_);
  SawLocked(user, &users_[user], message, how);
}

void CrashLedger::Sending(const Attempt& attempt) {
  const std::lock_guard lock(mutex_);
  User& user = users_[attempt.sender];
  Attempt& kept = user.attempts[attempt.id] = attempt;
  kept.sends = 1;
  user.open[attempt.id] = &kept;
}

void CrashLedger::Stored(const std::string& sender, const std::string& id, uint64_t seq) {
  const std::lock_guard lock(mutex_);
  User& user = users_[sender];
  const auto found = user.attempts.find(id);
  if (found == user.attempts.end()) return;  // a text: the server made the id
  Attempt& attempt = found->second;
  if (attempt.outcome == Attempt::Outcome::kRefused) {
    Note(sender + " was told that " + id + " is not stored, then that it is number " +
         std::to_string(seq));
  } else if (attempt.outcome == Attempt::Outcome::kStored && attempt.seq != seq) {
    Note(sender + " was told that " + id + " is number " + std::to_string(attempt.seq) +
         ", then number " + std::to_string(seq));
  }
  attempt.outcome = Attempt::Outcome::kStored;
  attempt.seq = seq;
  user.open.erase(id);
}

void CrashLedger::Refused(const std::string& sender, const std::string& id,
                          const std::string& code) {
  const std::lock_guard lock(mutex_);
  if (code != "unavailable" && code != "busy") Note(sender + " is refused " + id + ": " + code);
  User& user = users_[sender];
  const auto found = user.attempts.find(id);
  if (found == user.attempts.end()) return;
  Attempt& attempt = found->second;
  if (attempt.outcome == Attempt::Outcome::kStored) return;
  if (attempt.sends > 1) {
    attempt.via = {};  // the first time it may have been stored: the sender goes on
    return;
  }
  attempt.outcome = Attempt::Outcome::kRefused;
  user.open.erase(id);
}

size_t CrashLedger::Open(const std::string& sender) const {
  const std::lock_guard lock(mutex_);
  const auto user = users_.find(sender);
  return user == users_.end() ? 0 : user->second.open.size();
}

bool CrashLedger::SentTwice(const std::string& sender, const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const User& user = users_.at(sender);
  const auto found = user.attempts.find(id);
  return found != user.attempts.end() && found->second.sends > 1;
}

void CrashLedger::CheckLog(const std::string& name, const std::vector<ShownMessage>& log) {
  const std::lock_guard lock(mutex_);
  User& user = users_[name];
  uint64_t seq = 0;
  for (const ShownMessage& message : log) {
    if (message.seq != ++seq) {
      Note(name + "'s log has number " + std::to_string(message.seq) + " in the place of " +
           std::to_string(seq));
      seq = message.seq;
    }
    SawLocked(name, &user, message, "the log at the end");
  }
  // What was seen and differs has been noted; what was seen past the log's end is lost.
  for (auto lost = user.seen.upper_bound(seq); lost != user.seen.end(); ++lost) {
    Note(name + " saw " + lost->second + " and its log ends at " + std::to_string(seq));
  }
}

void CrashLedger::CheckOutcomes() {
  const std::lock_guard lock(mutex_);
  for (auto& [name, user] : users_) {
    for (const auto& [id, attempt] : user.attempts) {
      const auto mine = user.seqs.find({name, id});
      const User& receiver = users_[attempt.receiver];
      const auto theirs = receiver.seqs.find({name, id});
      const bool in_mine = mine != user.seqs.end();
      const bool in_theirs = theirs != receiver.seqs.end();
      const std::string what = name + "'s message " + id + " to " + attempt.receiver;
      if (attempt.outcome == Attempt::Outcome::kOpen) {
        Note(what + " has no outcome");
      } else if (attempt.outcome == Attempt::Outcome::kRefused) {
        if (in_mine || in_theirs) Note(what + " was refused and is in a log");
      } else if (!in_mine || !in_theirs) {
        Note(what + " was stored and is missing in a log");
      } else if (mine->second != attempt.seq) {
        Note(what + " was number " + std::to_string(attempt.seq) + " and is number " +
             std::to_string(mine->second));
      } else if (!user.seen.at(mine->second).ends_with(BodyOf(attempt)) ||
                 !receiver.seen.at(theirs->second).ends_with(BodyOf(attempt))) {
        Note(what + " has another body: " + user.seen.at(mine->second));
      }
    }
  }
}

std::vector<std::string> CrashLedger::contradictions() const {
  const std::lock_guard lock(mutex_);
  return contradictions_;
}

size_t CrashLedger::contradiction_count() const {
  const std::lock_guard lock(mutex_);
  return contradiction_count_;
}

size_t CrashLedger::stored() const {
  const std::lock_guard lock(mutex_);
  size_t count = 0;
  for (const auto& [name, user] : users_) {
    for (const auto& [id, attempt] : user.attempts) {
      if (attempt.outcome == Attempt::Outcome::kStored) ++count;
    }
  }
  return count;
}

size_t CrashLedger::sent_again() const {
  const std::lock_guard lock(mutex_);
  return sent_again_;
}

}  // namespace parley::e2e
