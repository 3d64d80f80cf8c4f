#include <algorithm>

#include "tests/check/rules.h"

namespace parley::check {

namespace {

std::string Number(uint64_t n) { return std::to_string(n); }

}  // namespace

void ReceiptRule::Take(const Event& event, Line line) {
  if (event.kind == EventKind::kReceipt) Confirms(event, line);
  if (event.kind == EventKind::kTold) TakeTold(event, line);
  if (event.kind == EventKind::kAsk && !event.with.empty()) Ask(event, line);
  if (event.kind == EventKind::kAnswer && event.method == "history") Answer(event, line);
}

// What was read was delivered.
void ReceiptRule::Confirms(const Event& receipt, Line line) {
  const UserIndex user = book_->User(UserOf(receipt.device));
  Confirmed& confirmed =
      receipt.group.empty() ? confirmed_[user] : confirmed_in_groups_[{user, receipt.group}];
  const uint64_t delivered = std::max(receipt.delivered, receipt.read);
  if (delivered > confirmed.delivered.number) confirmed.delivered = {delivered, line};
  if (receipt.read > confirmed.read.number) confirmed.read = {receipt.read, line};
}

void ReceiptRule::TakeTold(const Event& told, Line line) {
  const std::string user(UserOf(told.device));
  const Confirmed now{{told.delivered, line}, {told.read, line}};
  Confirmed& before = told_devices_[{told.device, told.by, told.group}];
  Confirmed& ever = told_users_[{user, told.by, told.group}];
  for (Mark Confirmed::*kind : {&Confirmed::delivered, &Confirmed::read}) {
    if ((now.*kind).number == 0) continue;
    if ((now.*kind).number < (before.*kind).number) {
      backward_.push_back({told.group, told.by + "'s receipts to " + told.device + " go back",
                           before.*kind, now.*kind});
    }
    before.*kind = now.*kind;
    if ((now.*kind).number > (ever.*kind).number) ever.*kind = now.*kind;
  }
  AddTold(book_->User(user), told.by, told.group, now);
}

void ReceiptRule::AddTold(UserIndex user, const std::string& by, const std::string& group,
                          const Confirmed& told) {
  const UserIndex other = book_->User(by);
  const Confirmed& confirmed = confirmed_[other];
  const Confirmed& in_group = confirmed_in_groups_[{other, group}];
  if (told.delivered.number > 0) {
    told_.push_back({user, other, group, told.delivered.number, told.delivered.line,
                     confirmed.delivered, in_group.delivered, "delivered"});
  }
  if (told.read.number > 0) {
    told_.push_back({user, other, group, told.read.number, told.read.line, confirmed.read,
                     in_group.read, "read"});
  }
}

void ReceiptRule::Ask(const Event& ask, Line line) {
  const auto told = told_users_.find({std::string(UserOf(ask.device)), ask.with, ""});
  asked_[{ask.device, ask.rid}] = {ask.with, line,
                                   told == told_users_.end() ? Confirmed() : told->second};
}

void ReceiptRule::Answer(const Event& answer, Line line) {
  const auto found = asked_.find({answer.device, answer.rid});
  if (found == asked_.end()) return;
  const auto [peer, asked, told] = std::move(found->second);
  asked_.erase(found);
  if (!answer.code.empty()) return;
  const std::string user(UserOf(answer.device));
  const Confirmed now{{answer.delivered, line}, {answer.read, line}};
  for (Mark Confirmed::*kind : {&Confirmed::delivered, &Confirmed::read}) {
    if ((now.*kind).number >= (told.*kind).number) continue;
    verdict_->Add(rule::kStale, "history tells " + user + " less of " + peer + "'s receipts",
                  {{(told.*kind).line, "a receipt tells of " + Number((told.*kind).number)},
                   {asked, "then history is asked"},
                   {line, "it tells of " + Number((now.*kind).number)}});
  }
  if (user != peer) AddTold(book_->User(user), peer, "", now);
}

void ReceiptRule::Finish(bool complete) {
  for (const Told& told : told_) Check(told, complete);
  for (const Backward& told : backward_) CheckBackward(told);
}

// A group whose delivery was changed is confirmed by its own numbers for some time and by those of
// the members' logs for another: then it may be told of either.
bool ReceiptRule::HasSwitched(const std::string& group) {
  const auto& messages = book_->Group(group).messages;
  return std::any_of(messages.begin(), messages.end(), [&](uint32_t index) {
    if (index == kNoMessage) return false;
    const Message& message = book_->message(index);
    return message.is_system() && message.shown.gseq > 1 &&
           message.shown.body.find("\"delivery\":") != std::string::npos;
  });
}

void ReceiptRule::CheckBackward(const Backward& told) {
  if (!told.group.empty() && HasSwitched(told.group)) return;
  verdict_->Add(rule::kReceipt, told.what,
                {{told.before.line, "one tells of " + Number(told.before.number)},
                 {told.now.line, "one tells of " + Number(told.now.number)}});
}

// complete: all messages are known.
void ReceiptRule::Check(const Told& told, bool complete) {
  const UserLog& user = book_->log(told.user);
  const UserLog& by = book_->log(told.by);
  const std::string what = user.id + " is told that " + by.id + " has " + told.kind + " through " +
                           (told.group.empty() ? "" : told.group + "'s ") + Number(told.number);
  uint32_t message = kNoMessage;
  if (told.group.empty()) {
    const uint64_t at = told.number - 1;
    const bool known = at < user.places.size() && user.places[at].line != 0;
    if (known) message = user.places[at].message;
  } else {
    const GroupLog& group = book_->Group(told.group);
    if (told.number <= group.messages.size()) message = group.messages[told.number - 1];
  }
  if (message == kNoMessage && !complete) return;
  if (message == kNoMessage) {
    return verdict_->Add(rule::kReceipt, what + ", and there is no such message",
                         {{told.line, "it is told"}});
  }
  const Shown& shown = book_->message(message).shown;
  if (told.group.empty() && (shown.from != user.id || shown.to != by.id)) {
    return verdict_->Add(
        rule::kReceipt, what + ", which is " + book_->Name(message),
        {{user.places[told.number - 1].line, "shows that number"}, {told.line, "it is told"}});
  }
  CheckKind(told, message, complete);
}

// The other had confirmed the message by then.
void ReceiptRule::CheckKind(const Told& told, uint32_t message, bool complete) {
  const UserLog& by = book_->log(told.by);
  const uint64_t number = book_->message(message).NumberOf(told.by);
  if (number == 0 && !complete) return;
  if (number > 0 && told.confirmed.number >= number) return;
  if (!told.group.empty() && told.in_group.number >= told.number) return;
  const std::string confirmed = told.confirmed.line == 0
                                    ? "nothing"
                                    : "no more than " + Number(told.confirmed.number) + " (line " +
                                          Number(told.confirmed.line) + ")";
  std::vector<Cited> events = {{told.line, "is told that it is " + std::string(told.kind) +
                                               ", when " + by.id + " had confirmed " + confirmed}};
  if (told.group.empty()) {
    const UserLog& user = book_->log(told.user);
    events.push_back(
        {user.places[told.number - 1].line, "is " + user.id + "'s number " + Number(told.number)});
  }
  if (number > 0) {
    events.push_back({by.places[number - 1].line, "is " + by.id + "'s number " + Number(number)});
  }
  verdict_->Add(rule::kReceipt,
                book_->log(told.user).id + " is told that " + by.id + " has " +
                    book_->Name(message) + " before it said so",
                events);
}

}  // namespace parley::check
