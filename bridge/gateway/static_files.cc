#include "bridge/gateway/static_files.h"

#include <xxhash.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "bridge/gateway/problem.h"

namespace parley::gateway {
namespace {

constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
    {".css", "text/css; charset=utf-8"},
    {".html", "text/html; charset=utf-8"},
    {".ico", "image/x-icon"},
    {".jpg", "image/jpeg"},
    {".js", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".png", "image/png"},
    {".svg", "image/svg+xml"},
    {".txt", "text/plain; charset=utf-8"},
    {".wasm", "application/wasm"},
    {".webmanifest", "application/manifest+json"},
    {".webp", "image/webp"},
    {".woff2", "font/woff2"},
};

// The best first.
constexpr std::pair<std::string_view, std::string_view> kEncodings[] = {{"br", ".br"},
                                                                        {"gzip", ".gz"}};

std::string_view TypeOf(std::string_view name) {
  for (const auto& [suffix, type] : kTypes) {
    if (name.ends_with(suffix)) return type;
  }
  return "application/octet-stream";
}

std::string EtagOf(const std::string& bytes) {
  char text[20];
  std::snprintf(text, sizeof text, "\"%016llx\"",
                static_cast<unsigned long long>(XXH3_64bits(bytes.data(), bytes.size())));
  return text;
}

// Whether a list such as `gzip, deflate;q=0.5, br;q=0` has `item` without a q of 0 (RFC 9110
// §12.5.3).
bool Lists(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view one = list.substr(0, comma);
    list = comma == list.npos ? std::string_view() : list.substr(comma + 1);
    while (one.starts_with(' ')) one.remove_prefix(1);
    std::string_view name = one.substr(0, one.find_first_of("; "));
    if (name != item) continue;
    size_t q = one.find("q=");
    return q == one.npos || one.substr(q + 2).find_first_of("123456789") != one.npos;
  }
  return false;
}

std::string PolicyFor(const std::string& origin) {
  std::string connect = origin.empty() ? "'self'" : "'self' " + origin;
  return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
         "font-src 'self'; manifest-src 'self'; worker-src 'self'; connect-src " +
         connect + "; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
}

}  // namespace

Result<std::string> OriginOf(std::string_view mqtt_ws) {
  size_t scheme = mqtt_ws.starts_with("wss://") ? 6 : mqtt_ws.starts_with("ws://") ? 5 : 0;
  std::string_view origin = mqtt_ws.substr(0, mqtt_ws.find('/', scheme));
  bool plain = origin.find_first_not_of(
                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789.-:[]/") == origin.npos;
  if (scheme > 0 && origin.size() > scheme && plain) return std::string(origin);
  return Error(Code::kBadRequest, "'" + std::string(mqtt_ws) + "' is no ws:// or wss:// URL");
}

Result<StaticFiles> StaticFiles::Load(const std::string& directory, const std::string& mqtt_ws) {
  StaticFiles files;
  std::string origin;
  if (!mqtt_ws.empty()) {
    auto named = OriginOf(mqtt_ws);
    if (!named) return Error(named.error());
    origin = *named;
  }
  files.policy_ = PolicyFor(origin);
  if (Status status = files.Read(directory); !status.ok()) return Error(status);
  if (files.files_.contains("/index.html")) return files;
  return Error(Code::kNotFound, directory + " has no index.html: the page isn't built");
}

Status StaticFiles::Read(const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code error;
  size_t bytes = 0;
  fs::recursive_directory_iterator it(directory, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (!it->is_regular_file(error)) continue;
    bytes += it->file_size(error);
    if (bytes > kStaticBytesMax) return {Code::kTooLarge, directory + " holds more than 64 MiB"};
    Status status = Add(it->path(), "/" + it->path().lexically_relative(directory).string());
    if (!status.ok()) return status;
  }
  if (error) return {Code::kNotFound, directory + ": " + error.message()};
  return {};
}

// A compressed form belongs to the file beside it; without that it is a file like others.
Status StaticFiles::Add(const std::string& path, const std::string& name) {
  std::ifstream in(path, std::ios::binary);
  auto bytes = std::make_shared<const std::string>(std::istreambuf_iterator<char>(in),
                                                   std::istreambuf_iterator<char>());
  if (!in) return {Code::kIoError, path + " can't be read"};
  Form form{bytes, EtagOf(*bytes)};
  for (const auto& [encoding, suffix] : kEncodings) {
    std::string beside = path.substr(0, path.size() - std::min(suffix.size(), path.size()));
    if (!path.ends_with(suffix) || !std::filesystem::exists(beside)) continue;
    files_[name.substr(0, name.size() - suffix.size())].encoded[std::string(encoding)] = form;
    return {};
  }
  File& file = files_[name];
  file.type = TypeOf(name);
  file.plain = std::move(form);
  return {};
}

HttpResponse StaticFiles::Answer(const HttpRequest& request) const {
  std::string path;
  bool decoded = PercentDecode(request.path(), &path);
  if (path == "/") path = "/index.html";
  auto it = decoded ? files_.find(path) : files_.end();
  if (it == files_.end()) return Problem({Code::kNotFound, "there is nothing at this path"});
  const File& file = it->second;
  const Form* form = &file.plain;
  HttpResponse response;
  auto& headers = response.headers;
  for (const auto& [encoding, suffix] : kEncodings) {
    auto encoded = file.encoded.find(std::string(encoding));
    if (encoded == file.encoded.end() || !Lists(request.Header("accept-encoding"), encoding)) {
      continue;
    }
    form = &encoded->second;
    headers.emplace_back("Content-Encoding", std::string(encoding));
    break;
  }
  headers.emplace_back("ETag", form->etag);
  headers.emplace_back("Vary", "Accept-Encoding");
  headers.emplace_back("Cache-Control", path.starts_with("/assets/")
                                            ? "public, max-age=31536000, immutable"
                                            : "no-cache");
  headers.emplace_back("Content-Security-Policy", policy_);
  headers.emplace_back("X-Content-Type-Options", "nosniff");
  headers.emplace_back("Referrer-Policy", "no-referrer");
  headers.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
  if (request.Header("if-none-match").find(form->etag) != std::string_view::npos) {
    response.status = 304;
    return response;
  }
  headers.emplace_back("Content-Type", file.type);
  response.body = form->bytes;
  return response;
}

}  // namespace parley::gateway
