#include "bridge/gateway/http_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <list>
#include <optional>
#include <unordered_set>

#include "bridge/gateway/problem.h"

namespace parley::gateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using ErrorCode = beast::error_code;

constexpr size_t kFirstReadBytes = 2048;
// Where the accepting fails, as for want of file descriptors.
constexpr std::chrono::milliseconds kAcceptAgain{100};
constexpr std::chrono::seconds kLinger{2};
// Newcomers that are told that there are too many; past that they are closed without a word.
constexpr size_t kRefusedMax = 100;

std::string LowerCase(beast::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

// "http://chat.example/v1/account" → "/v1/account" (RFC 9112 §3.2.2).
std::string OriginForm(std::string target) {
  const std::string lower = LowerCase(target);
  if (!lower.starts_with("http://") && !lower.starts_with("https://")) return target;
  size_t path = target.find_first_of("/?", target.find("//") + 2);
  if (path == target.npos) return "/";
  return (target[path] == '/' ? "" : "/") + target.substr(path);
}

class Connection;
class Server;
using Waiting = std::list<Connection*>::iterator;

// One connection: waits for a request, reads it, has it answered, writes the answer, and again.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Server> server, tcp::socket socket)
      : server_(std::move(server)), stream_(std::move(socket)) {}
  ~Connection();

  void Begin();
  // In place of Begin.
  void Refuse();
  // For another to have its place; it waits for a request.
  void MakeRoom() { Close(); }
  // From HttpServer::Stop.
  void Stop();
  void Answer(HttpResponse response);
  void OnGone(std::function<void()> gone) { gone_ = std::move(gone); }

 private:
  enum class Doing { kIdle, kReading, kAnswering, kWriting };

  void AwaitRequest();
  void ReadHeader();
  void OnHeader(ErrorCode error);
  void ReadBody();
  void OnRequest(ErrorCode error);
  void RefuseRequest(ErrorCode error);
  HttpRequest TakeRequest();
  void WatchForEnd();
  void OnReadable(ErrorCode error);
  void OnWritten(ErrorCode error);
  void Linger();
  void Discard();
  void EndIdle();
  void Close();

  const std::shared_ptr<Server> server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::span_body<const char>>> response_;
  std::shared_ptr<const std::string> body_;  // of response_
  std::function<void()> gone_;
  Doing doing_ = Doing::kIdle;
  std::optional<Waiting> waiting_;  // doing_ is kIdle: its place in the server's list
  bool silent_ = true;              // it has asked nothing yet
  bool watching_ = false;
  bool keep_alive_ = false;
  bool head_ = false;  // the request was a HEAD
};

class ConnectionExchange final : public Exchange {
 public:
  ConnectionExchange(std::shared_ptr<Connection> connection, HttpRequest request)
      : Exchange(std::move(request)), connection_(std::move(connection)) {}
  void Answer(HttpResponse response) override {
    NoteAnswer(response.status);
    if (auto connection = std::exchange(connection_, {})) connection->Answer(std::move(response));
  }
  void OnGone(std::function<void()> gone) override {
    if (connection_) connection_->OnGone(std::move(gone));
  }

 private:
  std::shared_ptr<Connection> connection_;
};

class Server final : public HttpServer, public std::enable_shared_from_this<Server> {
 public:
  Server(asio::io_context* io, const HttpLimits& limits, Handler handler)
      : limits_(limits), handler_(std::move(handler)), acceptor_(*io), again_(*io) {}

  Status Open(const std::string& address, uint16_t port);
  void Accept();
  void AcceptLater();
  void Admit(const std::shared_ptr<Connection>& connection);

  uint16_t port() const override { return acceptor_.local_endpoint().port(); }
  size_t connections() const override { return connections_.size(); }
  void Stop() override;

  const HttpLimits& limits() const { return limits_; }
  bool stopping() const { return stopping_; }
  void Handle(const ExchangePtr& exchange) { handler_(exchange); }
  void Add(Connection* connection) { connections_.insert(connection); }
  void Remove(Connection* connection) { connections_.erase(connection); }
  void AddRefused(Connection* connection) { refused_.insert(connection); }
  void RemoveRefused(Connection* connection) { refused_.erase(connection); }
  Waiting AddWaiting(Connection* connection, bool silent) {
    std::list<Connection*>& list = silent ? silent_ : idle_;
    return list.insert(list.end(), connection);
  }
  void RemoveWaiting(Waiting waiting, bool silent) { (silent ? silent_ : idle_).erase(waiting); }

 private:
  bool MakeRoom();

  const HttpLimits limits_;
  const Handler handler_;
  tcp::acceptor acceptor_;
  asio::steady_timer again_;
  std::unordered_set<Connection*> connections_;
  std::unordered_set<Connection*> refused_;
  // Those that wait for a request, the longest first: for their first one, and for another.
  std::list<Connection*> silent_;
  std::list<Connection*> idle_;
  bool stopping_ = false;
};

// Server.

Status Server::Open(const std::string& address, uint16_t port) {
  ErrorCode error;
  tcp::endpoint at(asio::ip::make_address(address, error), port);
  if (error) return {Code::kBadRequest, "'" + address + "' is no address to listen on"};
  acceptor_.open(at.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(at, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return {};
  return {Code::kUnavailable,
          address + ":" + std::to_string(port) + " can't be listened on: " + error.message()};
}

void Server::Accept() {
  acceptor_.async_accept([self = shared_from_this()](ErrorCode error, tcp::socket socket) {
    if (self->stopping_) return;
    if (error) return self->AcceptLater();
    socket.set_option(tcp::no_delay(true), error);
    self->Admit(std::make_shared<Connection>(self, std::move(socket)));
    self->Accept();
  });
}

void Server::Admit(const std::shared_ptr<Connection>& connection) {
  if (connections_.size() < limits_.connections_max || MakeRoom()) return connection->Begin();
  if (refused_.size() < kRefusedMax) connection->Refuse();
}

// Who has asked nothing yet goes before who has.
bool Server::MakeRoom() {
  if (silent_.empty() && idle_.empty()) return false;
  (silent_.empty() ? idle_ : silent_).front()->MakeRoom();
  return true;
}

void Server::AcceptLater() {
  again_.expires_after(kAcceptAgain);
  again_.async_wait([self = shared_from_this()](ErrorCode) {
    if (!self->stopping_) self->Accept();
  });
}

void Server::Stop() {
  stopping_ = true;
  ErrorCode ignored;
  acceptor_.close(ignored);
  again_.cancel();
  auto open = connections_;
  for (Connection* connection : open) connection->shared_from_this()->Stop();
}

// Connection.

Connection::~Connection() {
  EndIdle();
  server_->Remove(this);
  server_->RemoveRefused(this);
}

void Connection::Begin() {
  server_->Add(this);
  AwaitRequest();
}

void Connection::Refuse() {
  server_->AddRefused(this);
  Answer(Problem({Code::kBusy, "too many connections; try again"}));
}

void Connection::Stop() {
  keep_alive_ = false;
  if (doing_ == Doing::kIdle) Close();
}

// The next request may be long in coming; the first, and what belongs to one, may not.
void Connection::AwaitRequest() {
  if (buffer_.size() > 0) return ReadHeader();
  doing_ = Doing::kIdle;
  waiting_ = server_->AddWaiting(this, silent_);
  stream_.expires_after(silent_ ? server_->limits().request_timeout
                                : server_->limits().idle_timeout);
  stream_.async_read_some(buffer_.prepare(kFirstReadBytes),
                          [self = shared_from_this()](ErrorCode error, size_t bytes) {
                            if (error) return self->Close();
                            self->buffer_.commit(bytes);
                            self->ReadHeader();
                          });
}

void Connection::ReadHeader() {
  EndIdle();
  doing_ = Doing::kReading;
  silent_ = false;
  head_ = false;
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(server_->limits().header_bytes_max));
  parser_->body_limit(server_->limits().body_bytes_max);
  stream_.expires_after(server_->limits().request_timeout);
  http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](ErrorCode error, size_t) { self->OnHeader(error); });
}

void Connection::OnHeader(ErrorCode error) {
  if (error) return RefuseRequest(error);
  const auto& header = parser_->get();
  if (header.version() == 11 && header.count(http::field::host) != 1) {
    keep_alive_ = false;
    return Answer(Problem({Code::kBadRequest, "a request names its Host, once"}));
  }
  if (LowerCase(header[http::field::expect]) != "100-continue") return ReadBody();
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
                    [self = shared_from_this()](ErrorCode failed, size_t) {
                      if (failed) return self->Close();
                      self->ReadBody();
                    });
}

void Connection::ReadBody() {
  http::async_read(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](ErrorCode error, size_t) { self->OnRequest(error); });
}

void Connection::OnRequest(ErrorCode error) {
  if (error) return RefuseRequest(error);
  keep_alive_ = parser_->get().keep_alive() && !server_->stopping();
  auto exchange = std::make_shared<ConnectionExchange>(shared_from_this(), TakeRequest());
  doing_ = Doing::kAnswering;
  stream_.expires_never();
  server_->Handle(exchange);
  if (doing_ == Doing::kAnswering) WatchForEnd();
}

// What can't be read as a request: answered where it is the request's fault.
void Connection::RefuseRequest(ErrorCode error) {
  keep_alive_ = false;
  if (error == http::error::header_limit) {
    return Answer(ProblemWithStatus(431, {Code::kTooLarge, "the header is too large"}));
  }
  if (error == http::error::body_limit) {
    return Answer(Problem({Code::kTooLarge, "the body is too large"}));
  }
  bool malformed = error.category() == make_error_code(http::error::bad_method).category() &&
                   error != http::error::end_of_stream && error != http::error::partial_message;
  if (!malformed) return Close();
  Answer(Problem({Code::kBadRequest, "not an HTTP request: " + error.message()}));
}

HttpRequest Connection::TakeRequest() {
  auto message = parser_->release();
  head_ = message.method() == http::verb::head;
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.target = OriginForm(std::string(message.target()));
  for (const auto& field : message) {
    request.headers[LowerCase(field.name_string())] = std::string(field.value());
  }
  request.body = std::move(message.body());
  ErrorCode error;
  auto from = stream_.socket().remote_endpoint(error);
  if (!error) request.address = from.address().to_string();
  return request;
}

// While somebody else works on the answer, the client may go.
void Connection::WatchForEnd() {
  watching_ = true;
  stream_.socket().async_wait(tcp::socket::wait_read, [self = shared_from_this()](ErrorCode error) {
    self->OnReadable(error);
  });
}

void Connection::OnReadable(ErrorCode error) {
  watching_ = false;
  if (doing_ != Doing::kAnswering) return;
  if (!error) {
    char byte = 0;
    ssize_t got = ::recv(stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    // Its next request is waiting already, or nothing is.
    if (got > 0 || (got < 0 && errno == EAGAIN)) return;
  }
  if (auto gone = std::exchange(gone_, {})) gone();
}

void Connection::Answer(HttpResponse response) {
  gone_ = {};
  doing_ = Doing::kWriting;
  if (watching_) stream_.socket().cancel();
  body_ = std::move(response.body);
  response_.emplace();
  response_->version(11);
  response_->result(static_cast<unsigned>(response.status));
  for (const auto& [name, value] : response.headers) response_->insert(name, value);
  if (body_ && !head_) response_->body() = {body_->data(), body_->size()};
  if (server_->stopping()) keep_alive_ = false;
  response_->keep_alive(keep_alive_);
  response_->prepare_payload();
  if (body_ && head_) response_->content_length(body_->size());
  stream_.expires_after(server_->limits().write_timeout);
  http::async_write(stream_, *response_, [self = shared_from_this()](ErrorCode error, size_t) {
    self->OnWritten(error);
  });
}

void Connection::OnWritten(ErrorCode error) {
  response_.reset();
  body_.reset();
  if (error) return Close();
  if (!keep_alive_) return Linger();
  AwaitRequest();
}

// What a client still sends would reset the connection, and with it the answer on its way: it has a
// moment to read that and to close.
void Connection::Linger() {
  ErrorCode ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kLinger);
  Discard();
}

void Connection::Discard() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(kFirstReadBytes),
                          [self = shared_from_this()](ErrorCode error, size_t) {
                            if (error) return self->Close();
                            self->Discard();
                          });
}

void Connection::EndIdle() {
  if (waiting_) server_->RemoveWaiting(*waiting_, silent_);
  waiting_.reset();
}

void Connection::Close() {
  EndIdle();
  server_->Remove(this);
  ErrorCode ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
  stream_.socket().close(ignored);
}

}  // namespace

Result<std::shared_ptr<HttpServer>> HttpServer::Listen(asio::io_context* io,
                                                       const std::string& address, uint16_t port,
                                                       const HttpLimits& limits, Handler handler) {
  auto server = std::make_shared<Server>(io, limits, std::move(handler));
  if (Status status = server->Open(address, port); !status.ok()) return Error(status);
  server->Accept();
  return server;
}

}  // namespace parley::gateway
