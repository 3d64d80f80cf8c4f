#include "bridge/secret_input.h"

#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>

namespace parley {
namespace {

// The terminal without echo, as it was before when this ends.
class SilentTerminal {
 public:
  SilentTerminal() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silenced_ = tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;
  ~SilentTerminal() {
    if (silenced_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }

 private:
  termios before_;
  bool silenced_ = false;
};

void DropCarriageReturn(std::string* line) {
  if (line->ends_with('\r')) line->pop_back();
}

std::string Prompt(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::string line;
  std::getline(std::cin, line);
  std::fputs("\n", stderr);
  return line;
}

}  // namespace

Result<std::string> ReadPasswordFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  std::string line;
  if (!file || (!std::getline(file, line) && !file.eof())) {
    return Error(Code::kIoError, path + ": " + std::strerror(errno != 0 ? errno : EIO));
  }
  DropCarriageReturn(&line);
  return line;
}

Result<std::string> AskPassword(const std::string& whose) {
  if (isatty(STDIN_FILENO) != 1) {
    std::string line;
    std::getline(std::cin, line);
    DropCarriageReturn(&line);
    return line;
  }
  SilentTerminal silent;
  std::string password = Prompt("Password for " + whose + ": ");
  if (password.empty()) return password;
  if (Prompt("Once more: ") == password) return password;
  return Error(Code::kBadRequest, "the two passwords differ");
}

}  // namespace parley
