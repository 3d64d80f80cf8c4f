#include "tests/check/accounts.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace parley::check {

namespace {

constexpr std::chrono::seconds kDeadline{30};
constexpr std::chrono::milliseconds kAgain{100};
constexpr size_t kBatch = 500;

}  // namespace

Admin::Admin(const Address& address, const std::string& user, const std::string& password)
    : name_(user) {
  link_.reset(new Link(LinkOptions{user + ":check", user, password, false, true, address}, this));
  link_->Open();
  Await(connected_, "doesn't let '" + user + "' in");
  Subscribe();
}

// A broker that still verifies the password refuses what only admins may.
void Admin::Subscribe() {
  const Clock::time_point deadline = Clock::now() + kDeadline;
  for (;;) {
    subscribed_ = false;
    link_->Subscribe("$CONTROL/parley/v1/response", 1);
    Await(subscribed_, "doesn't answer '" + name_ + "'");
    if (granted_ < 0x80) return;
    if (Clock::now() > deadline) throw std::runtime_error("'" + name_ + "' is no admin");
    const Clock::time_point again = Clock::now() + kAgain;
    while (Clock::now() < again) Links::Turn({link_.get()}, again);
  }
}

void Admin::Await(const bool& done, const std::string& what) {
  const Clock::time_point deadline = Clock::now() + kDeadline;
  while (!done) {
    if (closed_ || Clock::now() > deadline) throw std::runtime_error("the broker " + what);
    Links::Turn({link_.get()}, std::min(deadline, Clock::now() + std::chrono::seconds(1)));
  }
}

nlohmann::json Admin::Run(const nlohmann::json& commands) {
  answered_ = false;
  link_->Publish("$CONTROL/parley/v1", nlohmann::json{{"commands", commands}}.dump(), 1);
  Await(answered_, "doesn't answer a command of '" + name_ + "'");
  const auto answer = nlohmann::json::parse(answer_, nullptr, false);
  if (!answer.is_object() || !answer.contains("responses")) {
    throw std::runtime_error("the broker answers a command with " + answer_);
  }
  for (const auto& response : answer["responses"]) {
    if (response.contains("error")) throw std::runtime_error(response["error"].get<std::string>());
  }
  return answer["responses"];
}

std::vector<Account> Admin::MakeAccounts(const std::string& prefix, size_t count, uint64_t ttl_s) {
  std::vector<Account> accounts;
  for (size_t n = 1; n <= count; ++n) accounts.push_back({prefix + std::to_string(n), ""});
  for (size_t from = 0; from < count; from += kBatch) {
    const size_t end = std::min(count, from + kBatch);
    auto users = nlohmann::json::array();
    auto tokens = nlohmann::json::array();
    for (size_t n = from; n < end; ++n) {
      users.push_back({{"username", accounts[n].user}});
      tokens.push_back({{"command", "issueToken"}, {"username", accounts[n].user}, {"ttl", ttl_s}});
    }
    Run({{{"command", "createUsers"}, {"users", users}}});
    const auto issued = Run(tokens);
    for (size_t n = from; n < end; ++n) {
      accounts[n].secret = issued.at(n - from).at("data").at("token").get<std::string>();
    }
  }
  return accounts;
}

void Admin::DisableAccounts(const std::vector<Account>& accounts) {
  for (size_t from = 0; from < accounts.size(); from += kBatch) {
    auto commands = nlohmann::json::array();
    for (size_t n = from; n < std::min(accounts.size(), from + kBatch); ++n) {
      commands.push_back({{"command", "disableUser"}, {"username", accounts[n].user}});
    }
    Run(commands);
  }
}

void Admin::OnConnected(bool /*kept*/) { connected_ = true; }

void Admin::OnClosed() { closed_ = true; }

void Admin::OnGranted(int /*packet*/, int granted) {
  subscribed_ = true;
  granted_ = granted;
}

void Admin::OnAcked(int /*packet*/) {}

void Admin::OnMessage(const std::string& topic, std::string_view payload) {
  if (topic.rfind("$CONTROL/", 0) != 0) return;
  answer_ = payload;
  answered_ = true;
}

std::vector<Account> ReadAccounts(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("can't read " + path);
  std::vector<Account> accounts;
  for (std::string line; std::getline(in, line);) {
    const size_t comma = line.find(',');
    if (line.empty() || line[0] == '#') continue;
    if (comma == line.npos) throw std::runtime_error(path + ": a line is user,password");
    accounts.push_back({line.substr(0, comma), line.substr(comma + 1)});
  }
  if (accounts.size() < 2) throw std::runtime_error(path + " holds fewer than two accounts");
  return accounts;
}

}  // namespace parley::check
