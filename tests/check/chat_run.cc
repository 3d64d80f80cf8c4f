#include "tests/check/chat_run.h"

#include <algorithm>
#include <stdexcept>

#include "tests/check/reading.h"

namespace parley::check {

namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kIntroduceDeadline{120};
constexpr std::chrono::seconds kReadDeadline{1800};
constexpr milliseconds kTurn{10};

}  // namespace

ChatRun::ChatRun(const ChatRunOptions& options, const std::vector<Account>& accounts,
                 const Address& address, Recorder* recorder,
                 std::function<void(const std::string&)> progress)
    : options_(options),
      accounts_(accounts),
      address_(address),
      recorder_(recorder),
      progress_(std::move(progress)),
      crowd_(options.crowd, accounts, address, recorder) {}

void ChatRun::Turn(Clock::time_point until) {
  Links::Turn(links_, until);
  links_.clear();
}

bool ChatRun::Await(std::chrono::seconds deadline, const std::function<bool()>& done,
                    const std::function<std::string()>& what) {
  const Clock::time_point end = Clock::now() + deadline;
  while (!done()) {
    if (Clock::now() > end) return false;
    progress_(what());
    crowd_.AddLinks(&links_);
    Turn(Clock::now() + kTurn);
    crowd_.Tick();
  }
  return true;
}

void ChatRun::Introduce() {
  const auto what = [this] {
    return std::to_string(crowd_.people().size()) + " users come and make their groups";
  };
  if (Await(
          kIntroduceDeadline, [this] { return crowd_.Introduce(); }, what))
    return;
  throw std::runtime_error("the users can't get in and make their groups: " + crowd_.Unsettled());
}

void ChatRun::Work(Faults* faults) {
  Moves moves(&crowd_);
  const Clock::time_point begin = Clock::now();
  const Clock::time_point end = begin + options_.duration;
  double due = 0;
  Clock::time_point last = begin;
  for (Clock::time_point now = begin; now < end; now = Clock::now()) {
    // What wasn't done while the broker was started isn't made up for.
    const std::chrono::duration<double> passed = std::min<Clock::duration>(now - last, kTurn * 10);
    last = now;
    for (due += passed.count() * options_.rate; due >= 1; due -= 1) moves.Move();
    if (faults != nullptr) faults->Tick();
    crowd_.Tick();
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(end - now).count();
    progress_(std::to_string(left) + " s to go");
    crowd_.AddLinks(&links_);
    Turn(Clock::now() + kTurn);
  }
  if (faults != nullptr) faults->Heal();
}

bool ChatRun::Settle(std::string* why) {
  crowd_.BeginSettle();
  const auto what = [this] { return "settling: " + crowd_.Unsettled(); };
  const bool settled = Await(
      options_.settle, [this] { return crowd_.Settle(); }, what);
  if (!settled) *why = crowd_.Unsettled();
  return settled;
}

bool ChatRun::Read(std::string* why) {
  recorder_->Write({.kind = EventKind::kReading});
  std::vector<std::string> groups;
  for (const Room& room : crowd_.rooms()) groups.push_back(room.id);
  Reading reading(accounts_, groups, address_, recorder_);
  const auto done = [&] {
    reading.Tick();
    reading.AddLinks(&links_);
    return reading.done();
  };
  const auto what = [&] {
    return "reading all logs: " + std::to_string(reading.read()) + " of " +
           std::to_string(accounts_.size());
  };
  const bool read = Await(kReadDeadline, done, what);
  links_.clear();
  if (!read) *why = "not all logs could be read; " + reading.At();
  return read;
}

}  // namespace parley::check
