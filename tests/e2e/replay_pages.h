// Everything that `sync` or `history` has to tell, read page by page through a stock client.
#ifndef PARLEY_TESTS_E2E_REPLAY_PAGES_H_
#define PARLEY_TESTS_E2E_REPLAY_PAGES_H_

#include <string>
#include <vector>

#include "tests/e2e/paho_device.h"

namespace parley::e2e {

// The objects of an answer's `messages`, byte for byte. Throws MqttError where it has no such
// member. Any thread.
std::vector<std::string> RawMessages(const std::string& answer);

// The first page is asked for at once, so that many can be under way.
class Pages {
 public:
  // `ask` are the request's other members, each with a comma behind it. `direction` is the member
  // that pages go by: "after" reads forwards, "before" backwards. `number` is what numbers the
  // messages: "seq" or "gseq". The device must outlive this.
  Pages(PahoDevice* device, std::string method, std::string ask, std::string direction, int limit,
        std::string number);

  // The messages in ascending order, once. The test fails where an answer is an error.
  std::vector<std::string> All();

 private:
  void AskAfter(const std::string& number);

  PahoDevice* device_;
  const std::string method_;
  const std::string ask_;
  const std::string direction_;
  const int limit_;
  const std::string number_;
  std::string rid_;
  std::vector<std::string> messages_;
};

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_REPLAY_PAGES_H_
