#include "bridge/push/http_sender.h"

#include <curl/curl.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "bridge/push/address_rules.h"

namespace parley::push {
namespace {

constexpr size_t kAnswerBytesMax = 16 << 10;

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

}  // namespace

struct HttpSender::Transfer {
  HttpRequest request;
  Done done;
  Wanted wanted;
  bool any_address = false;
  HttpAnswer answer;
  char error[CURL_ERROR_SIZE] = "";
  std::unique_ptr<curl_slist, FreeList> headers;
  std::unique_ptr<CURL, FreeEasy> easy;

  void SetUp(const HttpOptions& options);

  static size_t Write(char* data, size_t size, size_t count, void* user);
  static curl_socket_t OpenSocket(void* user, curlsocktype purpose, curl_sockaddr* address);
  static int BeforeRequest(void* user, char* peer, char* own, int peer_port, int own_port);
};

// More than is kept of an answer ends the transfer: nobody can keep it busy by a long one.
size_t HttpSender::Transfer::Write(char* data, size_t size, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  std::string& body = transfer->answer.body;
  if (body.size() + size * count > kAnswerBytesMax) return 0;
  body.append(data, size * count);
  return size * count;
}

curl_socket_t HttpSender::Transfer::OpenSocket(void* user, curlsocktype, curl_sockaddr* address) {
  auto* transfer = static_cast<Transfer*>(user);
  if (!transfer->any_address && !IsPublicAddress(&address->addr)) {
    transfer->answer.refused = true;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// Connections are shared: the one that is taken may have been opened for a request that may go
// anywhere.
int HttpSender::Transfer::BeforeRequest(void* user, char* peer, char*, int, int) {
  auto* transfer = static_cast<Transfer*>(user);
  if (transfer->any_address || IsPublicAddress(std::string(peer))) return CURL_PREREQFUNC_OK;
  transfer->answer.refused = true;
  return CURL_PREREQFUNC_ABORT;
}

void HttpSender::Transfer::SetUp(const HttpOptions& options) {
  any_address = request.trusted || options.allow_private;
  easy.reset(curl_easy_init());
  CURL* curl = easy.get();
  curl_easy_setopt(curl, CURLOPT_PRIVATE, this);
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, any_address ? "https,http" : "https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout_ms));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, OpenSocket);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, BeforeRequest);
  curl_easy_setopt(curl, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Write);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(curl, CURLOPT_PIPEWAIT, 1L);  // for a connection that others have
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "parley-push");
  if (!options.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options.ca_file.c_str());
  for (const auto& [name, value] : request.headers) {
    headers.reset(curl_slist_append(headers.release(), (name + ": " + value).c_str()));
  }
  headers.reset(curl_slist_append(headers.release(), "Expect:"));
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_POST, 1L);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
}

HttpSender::HttpSender(const HttpOptions& options) : options_(options), multi_(curl_multi_init()) {
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options.concurrency));
}

HttpSender::~HttpSender() {
  for (auto& [transfer, owned] : active_) {
    curl_multi_remove_handle(multi_, transfer->easy.get());
  }
  active_.clear();
  curl_multi_cleanup(multi_);
}

void HttpSender::Send(HttpRequest request, Done done, Wanted wanted) {
  auto transfer = std::make_unique<Transfer>();
  transfer->request = std::move(request);
  transfer->done = std::move(done);
  transfer->wanted = std::move(wanted);
  waiting_.push_back(std::move(transfer));
}

void HttpSender::StartWaiting() {
  while (!waiting_.empty() && active_.size() < options_.concurrency) {
    std::unique_ptr<Transfer> transfer = std::move(waiting_.front());
    waiting_.pop_front();
    if (!StillWanted(transfer.get())) continue;
    transfer->SetUp(options_);
    curl_multi_add_handle(multi_, transfer->easy.get());
    Transfer* key = transfer.get();
    active_.emplace(key, std::move(transfer));
  }
}

bool HttpSender::StillWanted(Transfer* transfer) {
  if (!transfer->wanted || transfer->wanted()) return true;
  transfer->answer.unsent = true;
  transfer->done(transfer->answer);
  return false;
}

void HttpSender::DropUnwanted() {
  for (auto& transfer : std::exchange(waiting_, {})) {
    if (StillWanted(transfer.get())) waiting_.push_back(std::move(transfer));
  }
}

void HttpSender::Poll(std::chrono::milliseconds wait) {
  StartWaiting();
  int running = 0;
  curl_multi_perform(multi_, &running);
  if (running > 0) {
    curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait.count()), nullptr);
    curl_multi_perform(multi_, &running);
  }
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    char* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    Finish(reinterpret_cast<Transfer*>(transfer), message->data.result);
  }
}

void HttpSender::Finish(Transfer* transfer, int code) {
  std::unique_ptr<Transfer> owned = std::move(active_.at(transfer));
  active_.erase(transfer);
  CURL* curl = transfer->easy.get();
  curl_multi_remove_handle(multi_, curl);
  HttpAnswer& answer = transfer->answer;
  bool too_long = code == CURLE_WRITE_ERROR;  // its status is known all the same
  if (code == CURLE_OK || too_long) {
    long status = 0;
    curl_off_t retry_after_s = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after_s);
    answer.status = static_cast<int>(status);
    answer.retry_after_s = retry_after_s > 0 ? retry_after_s : -1;
    answer.refused = false;  // another of its addresses may have been
  } else if (answer.refused) {
    answer.error = "its address isn't public";
  } else {
    answer.refused = code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT;
    answer.error =
        transfer->error[0] != 0 ? transfer->error : curl_easy_strerror(static_cast<CURLcode>(code));
  }
  transfer->done(answer);
}

}  // namespace parley::push
