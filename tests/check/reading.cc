#include "tests/check/reading.h"

#include <algorithm>

namespace parley::check {

namespace {

constexpr size_t kAtOnce = 8;
constexpr uint64_t kPage = 100;
constexpr std::chrono::milliseconds kPause{200};  // before an ask that failed is repeated

bool IsTransient(const std::string& code) {
  return code == "unavailable" || code == "busy" || code == "quota";
}

}  // namespace

LogReader::LogReader(const Account& account, const Address& address,
                     const std::vector<std::string>& groups, Recorder* recorder)
    : device_(account.user, account.secret, {.name = "reader", .listens = false}, address, recorder,
              this),
      groups_(groups) {
  tasks_.push_back({"sync", nlohmann::json::object()});
}

void LogReader::Tick() {
  device_.Sweep();
  if (done_ || Clock::now() < due_) return;
  if (device_.away()) {
    due_ = Clock::now() + kPause;
    return device_.Return();
  }
  if (device_.ready() && !device_.asking()) Next();
}

void LogReader::Next() {
  if (tasks_.empty()) {
    done_ = true;
    return device_.Leave(true);
  }
  const Task& task = tasks_.front();
  nlohmann::json members = task.members;
  if (task.method != "groups.get") {
    members["after"] = task.after;
    members["limit"] = kPage;
  }
  method_ = task.method;
  device_.Ask(task.method, members);
}

void LogReader::OnShown(ChatDevice*, const Shown&) {}
void LogReader::OnOutcome(ChatDevice*, const std::string&, const std::string&) {}

void LogReader::OnAnswer(ChatDevice* device, const Event& ask, const Event& answer) {
  if (IsTransient(answer.code)) {
    due_ = Clock::now() + kPause;
    return;
  }
  const bool log = ask.method == "sync" && ask.group.empty();
  for (const Shown& message : answer.messages) {
    tasks_.front().after = ask.group.empty() ? message.seq : message.gseq;
    if (log && message.group.empty()) {
      peers_.insert(message.from == device->user() ? message.to : message.from);
    }
  }
  if (answer.code.empty() && answer.more && !answer.messages.empty()) return;
  tasks_.pop_front();
  if (!log) return;
  for (const std::string& peer : peers_) tasks_.push_back({"history", {{"with", peer}}});
  // Of those that it isn't in it is told nothing.
  for (const std::string& group : groups_) {
    tasks_.push_back({"sync", {{"group", group}}});
    tasks_.push_back({"history", {{"group", group}}});
    tasks_.push_back({"groups.get", {{"group", group}}});
  }
}

Reading::Reading(const std::vector<Account>& accounts, const std::vector<std::string>& groups,
                 Address address, Recorder* recorder)
    : accounts_(accounts), groups_(groups), address_(std::move(address)), recorder_(recorder) {}

void Reading::Tick() {
  for (const auto& reader : readers_) reader->Tick();
  std::erase_if(readers_, [](const auto& reader) { return reader->done(); });
  while (next_ < accounts_.size() && readers_.size() < kAtOnce) {
    readers_.push_back(
        std::make_unique<LogReader>(accounts_[next_++], address_, groups_, recorder_));
  }
}

void Reading::AddLinks(std::vector<Link*>* links) const {
  for (const auto& reader : readers_) {
    if (reader->link() != nullptr) links->push_back(reader->link());
  }
}

}  // namespace parley::check
