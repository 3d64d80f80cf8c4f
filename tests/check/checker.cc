#include "tests/check/checker.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

#include "tests/check/plain_rule.h"

namespace parley::check {

namespace {

constexpr uint64_t kProgressLines = 50000;
constexpr size_t kLineShown = 400;

}  // namespace

Checker::Checker(const HistoryHead& head) : plain_(head.plain), book_(&verdict_) {
  if (plain_) {
    rules_.push_back(std::make_unique<PlainRule>(&verdict_));
    return;
  }
  rules_.push_back(std::make_unique<LiveRule>(&book_, &verdict_));
  rules_.push_back(std::make_unique<PageRule>(&book_, &verdict_));
  rules_.push_back(std::make_unique<ReceiptRule>(&book_, &verdict_));
  rules_.push_back(std::make_unique<GroupRule>(&book_, &verdict_));
  rules_.push_back(std::make_unique<EndRule>(&book_, &verdict_));
  rules_.push_back(std::make_unique<OrderRule>(&book_, &verdict_));
}

Checker::~Checker() = default;

void Checker::Take(const Event& event, Line line) {
  if (!plain_) Enter(event, line);
  for (const auto& rule : rules_) rule->Take(event, line);
  if (event.kind == EventKind::kEnd) complete_ = true;
  if (event.kind == EventKind::kFault && event.what != "started") ++faults_[event.what];
}

// What the book is told. It knows every user that has a device, also one that is shown nothing.
void Checker::Enter(const Event& event, Line line) {
  switch (event.kind) {
    case EventKind::kUp:
      book_.User(UserOf(event.device));
      break;
    case EventKind::kSend:
      book_.Sent(event, line);
      break;
    case EventKind::kGot:
    case EventKind::kAnswer: {
      const UserIndex user = book_.User(UserOf(event.device));
      const bool sync = event.kind == EventKind::kAnswer && event.method == "sync";
      for (const Shown& message : event.messages) book_.Saw(user, message, line, sync);
      pages_ += event.kind == EventKind::kAnswer && !event.messages.empty();
      break;
    }
    case EventKind::kOutcome:
      book_.Outcome(book_.User(UserOf(event.device)), event, line);
      break;
    case EventKind::kReading:
      book_.Reading();
      break;
    default:
      break;
  }
}

Verdict Checker::Finish() {
  for (const auto& rule : rules_) rule->Finish(complete_);
  if (!plain_) CountChat();
  for (const auto& [kind, count] : faults_) verdict_.Count("faults: " + kind, count);
  return std::move(verdict_);
}

void Checker::CountChat() {
  uint64_t acknowledged = 0, again = 0, times = 0, refused = 0, entries = 0, users = 0;
  for (const auto& [key, send] : book_.sends()) {
    times += send.times;
    again += send.times > 1;
    acknowledged += send.stored != 0;
    refused += send.stored == 0 && !send.refusals.empty();
  }
  for (const UserLog& log : book_.logs()) {
    entries += log.places.size();
    ++users;
  }
  verdict_.Count("users", users);
  verdict_.Count("groups", book_.groups().size());
  verdict_.Count("messages", book_.messages().size());
  verdict_.Count("sends with an id", times);
  verdict_.Count("messages sent again", again);
  verdict_.Count("messages acknowledged", acknowledged);
  verdict_.Count("messages refused", refused);
  verdict_.Count("entries of users' logs", entries);
  verdict_.Count("times that a message was shown", book_.shown());
  verdict_.Count("pages", pages_);
}

Verified VerifyFile(const std::string& path,
                    const std::function<void(uint64_t, uint64_t)>& progress) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(path + ": " + std::strerror(errno));
  std::error_code ignored;
  const uint64_t size = std::filesystem::file_size(path, ignored);
  std::string line;
  std::getline(in, line);
  const auto head = DecodeHead(line);
  if (!head) throw std::runtime_error(path + " is no history: its first line isn't one's");
  Checker checker(*head);
  Verified verified{*head, {}, false, 1};
  uint64_t bytes = line.size() + 1;
  while (std::getline(in, line)) {
    ++verified.lines;
    bytes += line.size() + 1;
    const auto event = DecodeEvent(line);
    if (!event && in.eof()) break;  // whoever wrote it was stopped within a line
    if (!event) {
      throw std::runtime_error(path + ":" + std::to_string(verified.lines) + " is no event");
    }
    checker.Take(*event, verified.lines);
    verified.complete = event->kind == EventKind::kEnd;
    if (progress && verified.lines % kProgressLines == 0) progress(bytes, size);
  }
  verified.verdict = checker.Finish();
  return verified;
}

std::string Explain(const Violation& violation, const std::string& path) {
  std::map<Line, std::string> texts;
  for (const Cited& event : violation.events) texts[event.line];
  std::ifstream in(path, std::ios::binary);
  Line number = 0;
  for (std::string line; !texts.empty() && number < texts.rbegin()->first;) {
    if (!std::getline(in, line)) break;
    const auto wanted = texts.find(++number);
    if (wanted == texts.end()) continue;
    wanted->second = line.size() > kLineShown ? line.substr(0, kLineShown) + "…" : line;
  }
  std::string text = std::string(violation.rule) + ": " + violation.what + "\n";
  for (const Cited& event : violation.events) {
    text += "  " + path + ":" + std::to_string(event.line) + ": " + event.says + "\n    " +
            texts[event.line] + "\n";
  }
  return text;
}

}  // namespace parley::check
