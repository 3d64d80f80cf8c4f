#include "tests/e2e/any_client_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "tests/e2e/mqtt_client.h"

namespace parley::e2e {

LineProcess::LineProcess(const std::vector<std::string>& command) : name_(command[0]) {
  std::array<int, 2> in{}, out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    throw MqttError(std::string("pipe: ") + strerror(errno));
  }
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    execvp(arguments[0], arguments.data());
    dprintf(STDERR_FILENO, "%s: %s\n", arguments[0], strerror(errno));
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  in_ = in[1];
  out_ = out[0];
}

LineProcess::~LineProcess() {
  Stop();
  CloseInput();
  close(out_);
}

void LineProcess::CloseInput() {
  if (in_ >= 0) close(in_);
  in_ = -1;
}

void LineProcess::Stop() {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void LineProcess::Write(const std::string& line) {
  const std::string text = line + '\n';
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t put = write(in_, text.data() + sent, text.size() - sent);
    if (put < 0) throw MqttError(name_ + " takes no more: " + strerror(errno));
    sent += static_cast<size_t>(put);
  }
}

std::string LineProcess::ReadLine() {
  const Clock::time_point deadline = Clock::now() + kDeadline;
  for (;;) {
    const size_t end = buffer_.find('\n');
    if (end != buffer_.npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ready{out_, POLLIN, 0};
    if (left <= 0 || poll(&ready, 1, static_cast<int>(left)) == 0) {
      throw MqttError("no line from " + name_ + " by the deadline");
    }
    std::array<char, 4096> bytes{};
    const ssize_t got = read(out_, bytes.data(), bytes.size());
    if (got <= 0) throw MqttError(name_ + " has ended its output: " + buffer_);
    buffer_.append(bytes.data(), static_cast<size_t>(got));
  }
}

}  // namespace parley::e2e
