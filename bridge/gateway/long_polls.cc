#include "bridge/gateway/long_polls.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "bridge/gateway/answer.h"
#include "bridge/gateway/json_text.h"

namespace parley::gateway {
namespace {

// PROTOCOL: asking. What the broker lets a sync wait at most.
constexpr std::chrono::seconds kSyncWait{60};

std::string SyncTopic(const std::string& user) { return "as/" + user + "/ask/sync"; }

// True where the sync's time was over and there was nothing.
bool Empty(const Result<std::string>& text) {
  if (!text) return false;
  for (const JsonMember& member : MembersOf(*text)) {
    if (member.name == "messages") return member.value == "[]";
  }
  return false;
}

}  // namespace

struct LongPolls::Poll {
  Poll(ExchangePtr from, boost::asio::io_context* io) : exchange(std::move(from)), timer(*io) {}
  ExchangePtr exchange;
  boost::asio::steady_timer timer;
};

void LongPolls::Wait(const ExchangePtr& exchange, const std::string& user, const std::string& page,
                     std::chrono::seconds timeout) {
  const std::string key = user + " " + page;
  uint64_t number = ++last_number_;
  auto poll = std::make_shared<Poll>(exchange, io_);
  poll->timer.expires_after(timeout);
  poll->timer.async_wait([weak = weak_from_this(), key, number](const auto& cancelled) {
    auto polls = weak.lock();
    if (!cancelled && polls) polls->OnTimeout(key, number);
  });
  exchange->OnGone([weak = weak_from_this(), key, number] {
    if (auto polls = weak.lock()) polls->Take(key, number);
  });
  ++waiting_;
  auto [it, first] = shared_.try_emplace(key, Shared{user, page, {}});
  it->second.polls.emplace(number, std::move(poll));
  if (first) Ask(key);
}

void LongPolls::Ask(const std::string& key) {
  const Shared& shared = shared_.at(key);
  std::string payload = "{\"wait\":" + std::to_string(kSyncWait.count()) +
                        (shared.page.empty() ? "" : ",") + shared.page + "}";
  link_->Ask(
      SyncTopic(shared.user), payload,
      [weak = weak_from_this(), key](const Result<std::string>& text) {
        if (auto polls = weak.lock()) polls->OnAnswer(key, text);
      },
      kSyncWait);
}

void LongPolls::OnAnswer(const std::string& key, const Result<std::string>& text) {
  auto it = shared_.find(key);
  if (it == shared_.end()) return;
  if (Empty(text) && !it->second.polls.empty()) return Ask(key);  // some came later than it
  Shared shared = std::move(it->second);
  shared_.erase(it);
  AnswerAll(std::move(shared), text);
}

void LongPolls::AnswerAll(Shared shared, const Result<std::string>& text) {
  if (shared.polls.empty()) return;
  waiting_ -= shared.polls.size();
  HttpResponse response = RestAnswer(ReadAnswer(text));
  for (auto& [number, poll] : shared.polls) {
    poll->timer.cancel();
    poll->exchange->Answer(response);
  }
}

void LongPolls::End() {
  for (auto& [key, shared] : std::exchange(shared_, {})) {
    AnswerAll(std::move(shared), Error(Code::kUnavailable, "this gateway stops; try again"));
  }
}

// Its time is over: what there is now, which is nothing as a rule.
void LongPolls::OnTimeout(const std::string& key, uint64_t number) {
  auto it = shared_.find(key);
  if (it == shared_.end()) return;
  std::string topic = SyncTopic(it->second.user);
  std::string payload = "{" + it->second.page + "}";
  auto poll = Take(key, number);
  if (!poll) return;
  link_->Ask(topic, payload, [exchange = poll->exchange](const Result<std::string>& text) {
    exchange->Answer(RestAnswer(ReadAnswer(text)));
  });
}

// The shared sync stays, be it for nobody.
std::shared_ptr<LongPolls::Poll> LongPolls::Take(const std::string& key, uint64_t number) {
  auto it = shared_.find(key);
  if (it == shared_.end()) return nullptr;
  auto found = it->second.polls.extract(number);
  if (found.empty()) return nullptr;
  --waiting_;
  found.mapped()->timer.cancel();
  return std::move(found.mapped());
}

}  // namespace parley::gateway
