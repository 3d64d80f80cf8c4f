#include "bench/workload.h"

#include <charconv>
#include <chrono>
#include <fstream>

namespace parley::bench {
namespace {

uint64_t UnixMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace

Credentials::Credentials(const std::string& path) {
  if (path.empty()) return;
  std::ifstream file(path);
  if (!file) Die("can't read " + path);
  std::string user;
  std::string password;
  while (file >> user >> password) passwords_[user] = password;
}

std::string Credentials::PasswordOf(const std::string& user) const {
  const auto found = passwords_.find(user);
  return found == passwords_.end() ? std::string() : found->second;
}

std::string UserName(size_t index) { return "u" + std::to_string(index); }

void AddUser(Clients* clients, const Credentials& credentials, size_t index,
             std::vector<std::string> filters) {
  const std::string user = UserName(index);
  clients->Add(user, user + ":bench", credentials.PasswordOf(user), std::move(filters));
}

Messages::Messages(size_t body_bytes) : run_(std::to_string(UnixMs())) {
  after_seq_ = R"(,"type":"message","id":")" + run_ + "-";
  for (size_t i = 0; i < body_bytes; ++i) body_.push_back(static_cast<char>('a' + i % 26));
}

void Messages::Sent(uint64_t number, std::string* payload) const {
  payload->assign(R"({"id":")").append(run_).push_back('-');
  AppendNumber(payload, number);
  payload->append(R"(","body":")").append(body_).append(R"("})");
}

void Messages::Delivered(uint64_t seq, uint64_t number, std::string_view from, std::string_view to,
                         std::string* payload) const {
  payload->assign(R"({"seq":)");
  AppendNumber(payload, seq);
  payload->append(after_seq_);
  AppendNumber(payload, number);
  payload->append(R"(","from":")").append(from).append(R"(","to":")").append(to);
  payload->append(R"(","ts":)").append(run_);
  payload->append(R"(,"body":")").append(body_).append(R"("})");
}

bool Messages::TakeStart(std::string_view* text, Arrival* arrival) const {
  return TakeText(text, R"({"seq":)") && TakeNumber(text, &arrival->seq) &&
         TakeText(text, after_seq_) && TakeNumber(text, &arrival->number);
}

bool Messages::Parse(std::string_view payload, Arrival* arrival) const {
  return TakeStart(&payload, arrival) && payload.size() > body_.size() + 2 &&
         payload.substr(payload.size() - body_.size() - 2, body_.size()) == body_;
}

void AppendNumber(std::string* out, uint64_t value) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out->append(digits, end);
}

bool TakeNumber(std::string_view* in, uint64_t* value) {
  const auto parsed = std::from_chars(in->data(), in->data() + in->size(), *value);
  if (parsed.ec != std::errc()) return false;
  in->remove_prefix(static_cast<size_t>(parsed.ptr - in->data()));
  return true;
}

bool TakeText(std::string_view* in, std::string_view text) {
  if (in->substr(0, text.size()) != text) return false;
  in->remove_prefix(text.size());
  return true;
}

}  // namespace parley::bench
