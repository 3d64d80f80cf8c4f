// The gateway's HTTP/1.1 server, by Boost.Beast; the only file that knows it.
//
// Asynchronous: a connection that waits (a long poll, an idle keep-alive) costs its buffers and no
// thread. One thread runs everything. More cores are used by more gateways side by side.
//
// Limits (HttpLimits): what is over one is answered (431, 413, 503) or, where a client is slow,
// closed. A request must be there as a whole within request_timeout of its first byte (slow-loris),
// the first byte within request_timeout of the connection, an answer be taken within write_timeout;
// a connection that asks nothing more for idle_timeout is closed. A connection past connections_max
// takes the place of the one that has been idle longest, of those that have asked nothing first;
// where none is idle, it is told so.
#ifndef PARLEY_BRIDGE_GATEWAY_HTTP_SERVER_H_
#define PARLEY_BRIDGE_GATEWAY_HTTP_SERVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bridge/gateway/http.h"
#include "storage/status.h"

namespace boost::asio {
class io_context;
}

namespace parley::gateway {

struct HttpLimits {
  size_t header_bytes_max = 16 << 10;
  size_t body_bytes_max = 512 << 10;  // a message of 64 KiB may take six times that, escaped
  size_t connections_max = 10'000;
  std::chrono::seconds idle_timeout{75};
  std::chrono::seconds request_timeout{10};
  std::chrono::seconds write_timeout{30};
};

class HttpServer {
 public:
  using Handler = std::function<void(const ExchangePtr&)>;

  // Listens. `port` 0: a free one. kUnavailable: the address can't be listened on. Handlers are
  // called on the thread that runs `io`.
  static Result<std::shared_ptr<HttpServer>> Listen(boost::asio::io_context* io,
                                                    const std::string& address, uint16_t port,
                                                    const HttpLimits& limits, Handler handler);
  virtual ~HttpServer() = default;

  virtual uint16_t port() const = 0;
  virtual size_t connections() const = 0;
  // Takes no more connections or requests. What is being answered still is, and its connection
  // closed then.
  virtual void Stop() = 0;
};

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_HTTP_SERVER_H_
