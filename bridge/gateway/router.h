// Which handler a request is for: a table of methods and paths, one row each.
#ifndef PARLEY_BRIDGE_GATEWAY_ROUTER_H_
#define PARLEY_BRIDGE_GATEWAY_ROUTER_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/gateway/http.h"

namespace parley::gateway {

// What stands for the `{name}` parts of a route's path, percent-decoded.
using PathMembers = std::map<std::string, std::string>;

class Router {
 public:
  using Handler = std::function<void(const ExchangePtr&, const PathMembers&)>;

  // `pattern`: "/v1/groups/{group}"; a part in braces matches any one part that isn't empty. Of two
  // that match, the one added first has it.
  void Add(std::string method, std::string_view pattern, Handler handler);
  // What no row matches.
  void Otherwise(Handler handler) { otherwise_ = std::move(handler); }
  // Calls the handler. Of a path that is there for other methods: 405 with Allow. HEAD is GET's.
  void Handle(const ExchangePtr& exchange) const;
  // "GET /v1/groups/{group}" of each row.
  std::vector<std::string> Routes() const;

 private:
  struct Row {
    std::string method;
    std::string pattern;
    std::vector<std::string> parts;
    Handler handler;
  };

  static bool Matches(const Row& row, const std::vector<std::string>& parts, PathMembers* members);

  std::vector<Row> rows_;
  Handler otherwise_;
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_ROUTER_H_
