#include "tests/e2e/rest_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace parley::e2e {
namespace {

constexpr int kDeadlineMs = 120'000;

void Require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error("rest client: " + what);
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), ::tolower);
  return text;
}

}  // namespace

std::string RestResponse::code() const {
  auto it = headers.find("content-type");
  if (it == headers.end() || it->second != "application/problem+json") return "";
  return json().at("code");
}

RestClient::RestClient(RestClient&& other) noexcept
    : port_(other.port_),
      headers_(std::move(other.headers_)),
      socket_(std::exchange(other.socket_, -1)),
      unread_(std::move(other.unread_)) {}

RestClient& RestClient::With(std::string name, std::string value) {
  headers_[std::move(name)] = std::move(value);
  return *this;
}

void RestClient::Open() {
  if (socket_ >= 0) return;
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port_);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Require(::connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0, "no connection");
}

void RestClient::Close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  unread_.clear();
}

void RestClient::Send(std::string_view bytes) {
  Open();
  while (!bytes.empty()) {
    ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // it was closed; what was answered before can still be read
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

bool RestClient::ReadMore() {
  pollfd ready{socket_, POLLIN, 0};
  Require(::poll(&ready, 1, kDeadlineMs) == 1, "nothing comes");
  char bytes[65536];
  ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
  if (count <= 0) return false;
  unread_.append(bytes, static_cast<size_t>(count));
  return true;
}

bool RestClient::AwaitEnd() {
  while (ReadMore()) {
  }
  return true;
}

void RestClient::Start(const std::string& method, const std::string& target,
                       std::string_view body) {
  std::string request = method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  for (const auto& [name, value] : headers_) request += name + ": " + value + "\r\n";
  if (!body.empty()) request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  Send(request + "\r\n" + std::string(body));
}

RestResponse RestClient::Finish() {
  while (unread_.find("\r\n\r\n") == std::string::npos) Require(ReadMore(), "closed, no answer");
  RestResponse response;
  size_t end = unread_.find("\r\n\r\n");
  response.status = std::stoi(unread_.substr(9, 3));
  for (size_t at = unread_.find("\r\n") + 2; at < end;) {
    size_t line_end = unread_.find("\r\n", at);
    std::string line = unread_.substr(at, line_end - at);
    size_t colon = line.find(": ");
    response.headers[Lower(line.substr(0, colon))] = line.substr(colon + 2);
    at = line_end + 2;
  }
  unread_.erase(0, end + 4);
  auto length = response.headers.find("content-length");
  size_t bytes = length == response.headers.end() ? 0 : std::stoul(length->second);
  while (unread_.size() < bytes) Require(ReadMore(), "closed in an answer");
  response.text = unread_.substr(0, bytes);
  unread_.erase(0, bytes);
  auto connection = response.headers.find("connection");
  if (connection != response.headers.end() && connection->second == "close") Close();
  return response;
}

RestResponse RestClient::Call(const std::string& method, const std::string& target,
                              std::string_view body) {
  Start(method, target, body);
  return Finish();
}

Gateway::Gateway(const ChatServer& server, std::vector<std::string> more) : server_(server) {
  const std::string token_file = server.dir() / "gateway.token";
  (void)server.Ctl({"user", "add", "gateway", "--role", "service"}, "\n");
  std::ofstream(token_file) << server.IssueToken("gateway") << "\n";
  ::chmod(token_file.c_str(), 0600);
  std::vector<std::string> arguments = {PARLEY_E2E_GATEWAY, "--port", "0", "--token-file",
                                        token_file};
  if (std::find(more.begin(), more.end(), "--broker-port") == more.end()) {
    more.insert(more.end(), {"--broker-port", std::to_string(server.port())});
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int out[2];
  Require(::pipe2(out, O_CLOEXEC) == 0, "no pipe");
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(out[1], STDOUT_FILENO);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(out[1]);
  std::string line;
  char byte = 0;
  while (::read(out[0], &byte, 1) == 1 && byte != '\n') line += byte;
  ::close(out[0]);
  Require(line.find("ready on") != line.npos, "the gateway didn't start: " + line);
  port_ = static_cast<uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
  AwaitHealth(200);
}

Gateway::~Gateway() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Gateway::AwaitHealth(int status) const {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMs);
  while (Open().Get("/healthz").status != status) {
    Require(std::chrono::steady_clock::now() < deadline,
            "/healthz isn't " + std::to_string(status));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Gateway::Terminate() const { ::kill(pid_, SIGTERM); }

int Gateway::AwaitExit() {
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

RestClient Gateway::As(const std::string& user) const {
  RestClient client(port_);
  client.With("Authorization", "Bearer " + server_.IssueToken(user));
  return client;
}

}  // namespace parley::e2e
