#include "bench/chatters.h"

#include <algorithm>
#include <cstdio>

namespace parley::bench {
namespace {

constexpr uint64_t kReceiptEvery = 8;
constexpr int kFaultsShown = 10;

}  // namespace

Chatters::Device& Chatters::At(size_t index) {
  if (devices_.size() < clients_->size()) devices_.resize(clients_->size());
  return devices_[index];
}

uint64_t Chatters::Say(size_t from, size_t to, int64_t due_ns) {
  const uint64_t number = said();
  open_.push_back({from, to, due_ns});
  At(from).unstored.push_back(number);
  if (There(from)) Publish(from, number);
  return number;
}

void Chatters::Publish(size_t from, uint64_t number) {
  Client& sender = (*clients_)[from];
  if (!sender.CanPublish()) Die("too much under way: lower the rate");
  texts_.Sent(number, &payload_);
  clients_->Publish(sender, "chat/" + (*clients_)[open_[number - first_open_].to].user, payload_);
}

void Chatters::Came(size_t index, int64_t now_ns) {
  Device& device = At(index);
  device.there = true;
  device.since_ns = now_ns;
  for (const uint64_t number : device.unstored) Publish(index, number);
}

void Chatters::Went(size_t index, int64_t now_ns) {
  At(index).there = false;
  At(index).since_ns = now_ns;
}

void Chatters::Take(Client& client, std::string_view payload, int64_t now_ns) {
  Messages::Arrival arrival{};
  const bool ours = texts_.Parse(payload, &arrival);
  if (arrival.seq == 0) return Complain("no message", payload);
  TakeSeq(client, arrival.seq);
  if (ours && arrival.number >= said()) return Complain("never sent", payload);
  if (ours && arrival.number >= first_open_) TakeOurs(client, arrival.number, now_ns);
}

void Chatters::TakeSeq(Client& client, uint64_t seq) {
  Device& device = At(client.index);
  if (seq <= device.last_seq) {
    ++again_;
    return;
  }
  // A device that never acknowledged anything starts live.
  if (device.receipt_seq != 0 && seq != device.last_seq + 1) {
    ++gaps_;
    Show("a gap", client.user + " got " + std::to_string(seq) + " after " +
                      std::to_string(device.last_seq) + ", having acknowledged " +
                      std::to_string(device.receipt_seq));
  }
  device.last_seq = seq;
  if (device.receipt_seq != 0 && seq < device.receipt_seq + kReceiptEvery) return;
  device.receipt_seq = seq;
  payload_ = R"({"delivered":)";
  AppendNumber(&payload_, seq);
  clients_->Publish(client, "receipt/" + client.user, payload_ + "}");
}

void Chatters::TakeOurs(const Client& client, uint64_t number, int64_t now_ns) {
  Message& message = open_[number - first_open_];
  const bool own = client.index == message.from;
  if (!own && client.index != message.to) return Complain("somebody else's came to", client.user);
  bool& seen = own ? message.stored : message.arrived;
  if (seen) return;
  seen = true;
  ++seen_;
  if (own) {
    std::erase(At(client.index).unstored, number);
    events_->OnStored(message, ThereSince(message), now_ns);
  } else {
    events_->OnArrived(message, ThereSince(message), now_ns);
  }
  Forget();
}

bool Chatters::ThereSince(const Message& message) const {
  return There(message.from) && There(message.to) &&
         devices_[message.from].since_ns <= message.due_ns &&
         devices_[message.to].since_ns <= message.due_ns;
}

void Chatters::Forget() {
  while (!open_.empty() && open_.front().stored && open_.front().arrived) {
    open_.pop_front();
    ++first_open_;
  }
}

void Chatters::Complain(std::string_view what, std::string_view text) {
  ++errors_;
  Show(what, text);
}

void Chatters::Show(std::string_view what, std::string_view text) {
  if (shown_++ >= kFaultsShown) return;
  std::fprintf(stderr, "parley_load: %.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(std::min<size_t>(text.size(), 300)), text.data());
}

}  // namespace parley::bench
