// A program whose standard input and output a test holds, line by line. Killed when it goes.
#ifndef PARLEY_TESTS_E2E_ANY_CLIENT_PROCESS_H_
#define PARLEY_TESTS_E2E_ANY_CLIENT_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace parley::e2e {

class LineProcess {
 public:
  explicit LineProcess(const std::vector<std::string>& command);
  ~LineProcess();
  LineProcess(const LineProcess&) = delete;
  LineProcess& operator=(const LineProcess&) = delete;

  void Write(const std::string& line);
  // The next line without its end. Throws MqttError at the deadline and at the output's end.
  std::string ReadLine();
  // The end of its standard input.
  void CloseInput();
  pid_t pid() const { return pid_; }
  // SIGTERM, and waits.
  void Stop();

 private:
  pid_t pid_ = -1;
  int in_ = -1;   // the program's
  int out_ = -1;  // the program's
  std::string name_;
  std::string buffer_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_ANY_CLIENT_PROCESS_H_
