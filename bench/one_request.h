// Asks for one thing at a time, as user u0, and waits until it is done.
#ifndef PARLEY_BENCH_ONE_REQUEST_H_
#define PARLEY_BENCH_ONE_REQUEST_H_

#include <string>

#include "bench/clients.h"
#include "bench/workload.h"

namespace parley::bench {

class OneRequest : public ClientEvents {
 public:
  OneRequest(const Workload& workload, const Credentials& credentials);

  // Ends the program where the answer is an error or none comes within a minute.
  void Ask(const std::string& method, const std::string& request);
  // Makes a group of users u(first) … u(first + members - 1), and of u0, its owner.
  void MakeGroup(const std::string& group, const std::string& delivery, size_t first,
                 size_t members);

  void OnPublish(Client& client, const Publish& publish, int64_t now_ns) override;

 private:
  Clients clients_;
  std::string answer_;
};

}  // namespace parley::bench

#endif  // PARLEY_BENCH_ONE_REQUEST_H_
