// The web page: the files of one directory, read once at the start. What isn't in memory then can't
// be had, so no path leads out of the directory.
//
// Each file has its type, an ETag, and, where `file.br` or `file.gz` stands beside it, a compressed
// form for those who take it. Below /assets/ names carry a hash (as vite makes them): they are kept
// for ever. All are sent with a content-security policy that lets the page load and connect to
// nothing but this server and the broker's WebSocket, and run no script but its files.
//
// Limits: kStaticBytesMax in all. Immutable; any thread.
#ifndef PARLEY_BRIDGE_GATEWAY_STATIC_FILES_H_
#define PARLEY_BRIDGE_GATEWAY_STATIC_FILES_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "bridge/gateway/http.h"
#include "storage/status.h"

namespace parley::gateway {

inline constexpr size_t kStaticBytesMax = 64 << 20;

class StaticFiles {
 public:
  // `mqtt_ws`: the broker's WebSocket URL, or empty. kNotFound: no directory, or no index.html in
  // it. kTooLarge. kBadRequest: `mqtt_ws` is no ws:// or wss:// URL.
  static Result<StaticFiles> Load(const std::string& directory, const std::string& mqtt_ws);

  // 200, 304 (If-None-Match), or 404 as a problem. "/" is index.html.
  HttpResponse Answer(const HttpRequest& request) const;

 private:
  struct Form {
    std::shared_ptr<const std::string> bytes;
    std::string etag;
  };
  struct File {
    std::string type;
    Form plain;
    std::map<std::string, Form> encoded;  // "br", "gzip"
  };

  Status Read(const std::string& directory);
  Status Add(const std::string& path, const std::string& name);

  std::map<std::string, File, std::less<>> files_;  // by "/index.html"
  std::string policy_;
};

// "ws://host:port" of "ws://host:port/path", as a content-security policy names it.
Result<std::string> OriginOf(std::string_view mqtt_ws);

}  // namespace parley::gateway

#endif  // PARLEY_BRIDGE_GATEWAY_STATIC_FILES_H_
