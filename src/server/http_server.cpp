#include "server/http_server.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>
#include <unordered_set>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "mach/error.h"

#include "base/quoted_name.h"

namespace mach::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using ErrorCodeOf = boost::system::error_code;

constexpr std::chrono::milliseconds kLingerTime{2'000};
constexpr size_t kLingerBytes = size_t{64} << 20;
constexpr size_t kWriteSlice = size_t{64} << 10;
constexpr std::chrono::milliseconds kAcceptRetry{100};
constexpr std::chrono::milliseconds kPipelinedCheck{500};
constexpr std::chrono::milliseconds kCutAfter{5'000};

// Lets any thread resume a coroutine that sleeps on the connection's thread. wake() is safe at any time; it does its work
// on that thread, so it cannot fall between the coroutine's last look and its going to sleep.
class WakeSignal : public std::enable_shared_from_this<WakeSignal> {
 public:
  explicit WakeSignal(const asio::any_io_executor& executor) : timer_(executor) {}

  void wake() {
    if (pending_.exchange(true)) return;
    asio::post(timer_.get_executor(), [self = shared_from_this()] { self->timer_.cancel(); });
  }
  // On the connection's thread.
  void clear() { pending_.store(false); }
  asio::awaitable<void> sleep_until(std::optional<Clock::time_point> time) {
    timer_.expires_at(time.value_or(Clock::time_point::max()));
    ErrorCodeOf ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

 private:
  std::atomic<bool> pending_{false};
  asio::steady_timer timer_;
};

// Bytes of bodies in memory. Reservations release themselves.
class BodyBudget {
 public:
  explicit BodyBudget(size_t limit) : limit_(limit) {}

  class Reservation {
   public:
    Reservation() = default;
    Reservation(BodyBudget* budget, size_t bytes) : budget_(budget), bytes_(bytes) {}
    Reservation(Reservation&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Reservation() {
      if (budget_ != nullptr) budget_->used_ -= bytes_;
    }

   private:
    BodyBudget* budget_ = nullptr;
    size_t bytes_ = 0;
  };

  // Connection thread only.
  std::optional<Reservation> reserve(size_t bytes) {
    if (bytes > limit_ - used_) return std::nullopt;
    used_ += bytes;
    return Reservation(this, bytes);
  }

 private:
  const size_t limit_;
  size_t used_ = 0;
};

std::string without_line_ends(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
  return text;
}

}  // namespace

struct HttpServer::Impl {
  class Connection;

  Impl(HttpServerOptions given, HttpHandler& to, EventLog writer)
      : options(std::move(given)),
        handler(to),
        log(std::move(writer)),
        budget(options.max_pending_body_bytes),
        acceptor(io),
        handlers(std::max(1U, options.handler_threads)) {}

  void listen();
  asio::awaitable<void> accept_loop();
  void refuse_connection(tcp::socket socket);
  void left(Connection* connection);
  void connection_failed(const std::exception_ptr& failure) const;

  // In this order: connections that are left when the io_context goes use what stands above it.
  const HttpServerOptions options;
  HttpHandler& handler;
  const EventLog log;
  BodyBudget budget;
  std::atomic<uint64_t> request_count{0};
  std::unordered_set<Connection*> open;  // connection thread only, as is `draining`
  bool draining = false;
  std::mutex mutex;
  std::condition_variable changed;
  size_t open_count = 0;  // guarded by mutex

  asio::io_context io{1};
  tcp::acceptor acceptor;
  tcp::endpoint endpoint;
  asio::thread_pool handlers;
  std::thread thread;
};

class HttpServer::Impl::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Impl& server, tcp::socket socket) : server_(server), stream_(std::move(socket)) {
    ErrorCodeOf ignored;
    tcp::socket& raw = stream_.socket();
    raw.set_option(tcp::no_delay(true), ignored);
    raw.set_option(asio::socket_base::keep_alive(true), ignored);
    const unsigned timeout = 60'000;
    ::setsockopt(raw.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    const tcp::endpoint peer = raw.remote_endpoint(ignored);
    if (!ignored) peer_ = fmt::format("{}:{}", peer.address().to_string(), peer.port());
    server_.open.insert(this);
    const std::scoped_lock lock(server_.mutex);
    ++server_.open_count;
  }
  ~Connection() { server_.left(this); }

  asio::awaitable<void> run() {
    const auto self = shared_from_this();
    bool go_on = true;
    while (go_on && !server_.draining) go_on = co_await serve_one();
    ErrorCodeOf ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
  }

  // Connection thread.
  void close_if_idle() {
    if (idle_) close();
  }
  void end_early() {
    if (reply_) reply_->end_early();
  }
  void close() {
    ErrorCodeOf ignored;
    gone_ = true;
    stream_.socket().close(ignored);
    if (signal_) signal_->wake();
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  // One request and its reply; false: the connection is to be closed.
  asio::awaitable<bool> serve_one() {
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(server_.options.max_header_bytes));
    parser.body_limit(server_.options.max_body_bytes);
    ErrorCodeOf error;
    if (!co_await wait_for_request()) co_return false;

    stream_.expires_after(server_.options.header_timeout);
    co_await http::async_read_header(stream_, buffer_, parser,
                                     asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      co_await refuse_wire(error, parser);
      co_return false;
    }
    auto reserved = co_await reserve_body(parser);
    if (!reserved) co_return false;
    if (!parser.is_done()) {
      stream_.expires_after(server_.options.body_timeout);
      co_await http::async_read(stream_, buffer_, parser, asio::redirect_error(asio::use_awaitable, error));
      if (error) {
        co_await refuse_wire(error, parser);
        co_return false;
      }
    }
    stream_.expires_never();

    HttpRequest request = take_request(parser);
    const Clock::time_point start = Clock::now();
    std::unique_ptr<Reply> reply = co_await asio::co_spawn(
        server_.handlers,
        [this, &request]() -> asio::awaitable<std::unique_ptr<Reply>> {
          co_return server_.handler.handle(request);
        },
        asio::use_awaitable);
    std::string().swap(request.body);
    reserved.reset();
    const bool whole = co_await send_reply(std::move(reply));
    log_request(request, start);
    co_return whole&& keep_alive_;
  }

  // The first byte of the next request, or false.
  asio::awaitable<bool> wait_for_request() {
    if (buffer_.size() > 0) co_return true;
    idle_ = true;
    stream_.expires_after(server_.options.idle_timeout);
    ErrorCodeOf error;
    const size_t count = co_await stream_.async_read_some(buffer_.prepare(4096),
                                                          asio::redirect_error(asio::use_awaitable, error));
    idle_ = false;
    buffer_.commit(count);
    co_return !error && count > 0;
  }

  // Room for the body, and the client's leave to send it. Empty: refused.
  asio::awaitable<std::optional<BodyBudget::Reservation>> reserve_body(Parser& parser) {
    const auto length = parser.content_length();
    const size_t bytes = length ? static_cast<size_t>(*length)
                                : (parser.chunked() ? server_.options.max_body_bytes : size_t{0});
    auto reserved = server_.budget.reserve(bytes);
    if (!reserved) {
      co_await refuse_request(parser, 503, "too many request bodies at once, try again");
      co_return std::nullopt;
    }
    if (parser.get()[http::field::expect] == "100-continue") {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      if (!co_await write(std::string(kContinue))) co_return std::nullopt;
    }
    co_return reserved;
  }

  asio::awaitable<void> refuse_wire(ErrorCodeOf error, Parser& parser) {
    if (error == http::error::body_limit) {
      co_await refuse_request(
          parser, 413, fmt::format("the body is larger than {} bytes", server_.options.max_body_bytes));
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      co_await refuse_request(
          parser, 431, fmt::format("the headers are larger than {} bytes", server_.options.max_header_bytes));
    } else if (error == beast::error::timeout) {
      co_await refuse_request(parser, 408, "the request did not arrive in time");
    } else if (error.category() == http::make_error_code(http::error::bad_method).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      co_await refuse_request(parser, 400, "malformed HTTP: " + printable(error.message(), 100));
    }
  }

  asio::awaitable<void> refuse_request(Parser& parser, int status, std::string message) {
    // A timed-out stream has closed its socket.
    if (!stream_.socket().is_open()) co_return;
    version11_ = true;
    keep_alive_ = false;
    head_only_ = false;
    const std::string target(parser.get().target());
    server_.log.info("refused", {{"client", peer_}, {"status", int64_t{status}}, {"reason", message}});
    std::unique_ptr<Reply> reply =
        server_.handler.refuse(status, std::string_view(target).substr(0, target.find('?')), message);
    const bool sent = co_await send_reply(std::move(reply));
    if (sent) co_await linger();
  }

  // Closing with unread bytes would reset the connection and could take the answer with it.
  asio::awaitable<void> linger() {
    ErrorCodeOf error;
    stream_.socket().shutdown(tcp::socket::shutdown_send, error);
    stream_.expires_after(kLingerTime);
    std::array<char, 16384> sink;
    for (size_t seen = 0; !error && seen < kLingerBytes;) {
      seen += co_await stream_.async_read_some(asio::buffer(sink),
                                               asio::redirect_error(asio::use_awaitable, error));
    }
  }

  HttpRequest take_request(Parser& parser) {
    auto message = parser.release();
    version11_ = message.version() >= 11;
    keep_alive_ = message.keep_alive();
    HttpRequest request;
    request.method = std::string(message.method_string());
    head_only_ = request.method == "HEAD";
    const std::string_view target(message.target().data(), message.target().size());
    request.path = std::string(target.substr(0, target.find('?')));
    for (const auto& field : message) {
      request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
    }
    request.body = std::move(message.body());
    request.peer = peer_;
    request.id = fmt::format("req-{:08x}", ++server_.request_count);
    request_id_ = request.id;
    return request;
  }

  // True: sent whole.
  asio::awaitable<bool> send_reply(std::unique_ptr<Reply> given) {
    const auto self = shared_from_this();
    signal_ = std::make_shared<WakeSignal>(stream_.get_executor());
    const auto signal = signal_;
    const auto watching = std::make_shared<bool>(true);
    asio::co_spawn(stream_.get_executor(), watch(self, signal, watching), asio::detached);
    status_ = 0;
    sent_bytes_ = 0;
    reply_ = std::move(given);
    reply_->start([signal] { signal->wake(); });

    bool chunked = false;
    bool last = false;
    while (!last && !gone_) {
      signal->clear();
      ReplyPart part = reply_->pull(Clock::now());
      last = part.last;
      std::string out;
      if (part.head) {
        chunked = !last;
        out = head_text(*part.head, last ? std::optional(part.body.size()) : std::nullopt);
      }
      append_body(out, std::move(part.body), chunked, last);
      if (!out.empty()) {
        if (!co_await write(std::move(out))) gone_ = true;
      } else if (!last) {
        co_await signal->sleep_until(reply_->next_pull());
      }
    }
    *watching = false;
    ErrorCodeOf ignored;
    if (stream_.socket().is_open()) stream_.socket().cancel(ignored);
    const bool whole = last && !gone_;
    if (!whole) status_ = status_ == 0 ? 499 : status_;
    aborted_ = !whole;
    reply_.reset();
    signal_.reset();
    co_return whole;
  }

  void append_body(std::string& out, std::string body, bool chunked, bool last) {
    sent_bytes_ += body.size();
    if (head_only_) return;
    if (!chunked || !version11_) {
      out += body;
      return;
    }
    if (!body.empty()) {
      out += fmt::format("{:x}\r\n", body.size());
      out += body;
      out += "\r\n";
    }
    if (last) out += "0\r\n\r\n";
  }

  std::string head_text(const ResponseHead& head, std::optional<size_t> length) {
    status_ = head.status;
    http::response<http::empty_body> response;
    response.version(11);
    response.result(static_cast<unsigned>(head.status));
    if (head.status == 499) response.reason("Client Closed Request");
    response.set(http::field::content_type, head.content_type);
    for (const HttpHeader& one : head.headers) response.insert(one.name, without_line_ends(one.value));
    if (!request_id_.empty()) response.set("X-Request-Id", request_id_);
    if (length && head.status != 204) {
      response.set(http::field::content_length, std::to_string(*length));
    } else if (!length && version11_) {
      response.set(http::field::transfer_encoding, "chunked");
    } else if (!length) {
      keep_alive_ = false;  // HTTP/1.0: the end of the connection is the end of the body
    }
    if (server_.draining) keep_alive_ = false;
    response.set(http::field::connection, keep_alive_ ? "keep-alive" : "close");
    std::ostringstream text;
    text << response.base();
    return std::move(text).str();
  }

  // In slices, so that the limit is on a client that takes nothing, not on a long answer.
  asio::awaitable<bool> write(std::string data) {
    ErrorCodeOf error;
    for (size_t at = 0; at < data.size();) {
      const size_t length = std::min(kWriteSlice, data.size() - at);
      stream_.expires_after(server_.options.write_timeout);
      at += co_await asio::async_write(stream_, asio::buffer(data.data() + at, length),
                                       asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return false;
    }
    stream_.expires_never();
    co_return true;
  }

  // Notices that the client went away while its reply is pending. What it sends meanwhile is left for the next request.
  static asio::awaitable<void> watch(std::shared_ptr<Connection> self, std::shared_ptr<WakeSignal> signal,
                                     std::shared_ptr<bool> watching) {
    tcp::socket& socket = self->stream_.socket();
    asio::steady_timer pause(socket.get_executor());
    ErrorCodeOf error;
    while (*watching && !self->gone_) {
      co_await socket.async_wait(tcp::socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
      if (!*watching || error) co_return;
      char byte = 0;
      const ssize_t count = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) break;
      if (count < 0) continue;
      // Bytes of a next request hide the end of the stream from recv().
      pollfd state{socket.native_handle(), POLLRDHUP, 0};
      if (::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) break;
      pause.expires_after(kPipelinedCheck);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
    if (!*watching) co_return;
    self->gone_ = true;
    signal->wake();
  }

  void log_request(const HttpRequest& request, Clock::time_point start) const {
    if (!server_.log.enabled(LogLevel::kInfo)) return;
    server_.log.info("request", {{"id", request.id},
                                 {"client", request.peer},
                                 {"method", printable(request.method, 16)},
                                 {"path", printable(request.path, 128)},
                                 {"status", int64_t{status_}},
                                 {"bytes", uint64_t{sent_bytes_}},
                                 {"seconds", std::chrono::duration<double>(Clock::now() - start).count()},
                                 {"aborted", aborted_}});
  }

  Impl& server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::string peer_;
  std::string request_id_;
  std::unique_ptr<Reply> reply_;        // while one is pending
  std::shared_ptr<WakeSignal> signal_;  // the same
  bool idle_ = false;
  bool gone_ = false;
  bool aborted_ = false;
  bool version11_ = true;
  bool keep_alive_ = true;
  bool head_only_ = false;
  int status_ = 0;
  size_t sent_bytes_ = 0;
};

void HttpServer::Impl::left(Connection* connection) {
  open.erase(connection);
  const std::scoped_lock lock(mutex);
  --open_count;
  changed.notify_all();
}

// Out of memory, most likely: it costs this connection, not the server.
void HttpServer::Impl::connection_failed(const std::exception_ptr& failure) const {
  if (!failure) return;
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    log.warning("connection_failed", {{"reason", std::string(e.what())}});
  }
}

void HttpServer::Impl::listen() {
  const auto fail = [&](const std::string& why) {
    throw Error(ErrorCode::kIo, fmt::format("cannot listen on {} port {}: {}", printable(options.host, 100),
                                            options.port, why));
  };
  ErrorCodeOf error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) fail(error.message());
  endpoint = found.begin()->endpoint();
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) fail(error.message());
  endpoint = acceptor.local_endpoint();
}

asio::awaitable<void> HttpServer::Impl::accept_loop() {
  asio::steady_timer pause(io);
  while (!draining) {
    ErrorCodeOf error;
    tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (draining) co_return;
    if (error) {  // out of descriptors, most likely
      pause.expires_after(kAcceptRetry);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (open.size() >= options.max_connections) {
      refuse_connection(std::move(socket));
      continue;
    }
    const auto connection = std::make_shared<Connection>(*this, std::move(socket));
    asio::co_spawn(
        io, [connection]() { return connection->run(); },
        [this](const std::exception_ptr& failure) { connection_failed(failure); });
  }
}

void HttpServer::Impl::refuse_connection(tcp::socket socket) {
  log.warning("connection_refused", {{"reason", std::string("too many connections")}});
  static constexpr std::string_view kBusy =
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  ErrorCodeOf ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(kBusy.data(), kBusy.size()), ignored);
}

HttpServer::HttpServer(HttpServerOptions options, HttpHandler& handler, EventLog log)
    : impl_(std::make_unique<Impl>(std::move(options), handler, std::move(log))) {
  impl_->listen();
}

void HttpServer::start() {
  asio::co_spawn(impl_->io, impl_->accept_loop(), asio::detached);
  impl_->thread = std::thread([this] { impl_->io.run(); });
}

uint16_t HttpServer::port() const noexcept { return impl_->endpoint.port(); }

std::string HttpServer::address() const {
  const std::string host = impl_->endpoint.address().to_string();
  return impl_->endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, port())
                                           : fmt::format("{}:{}", host, port());
}

bool HttpServer::loopback() const noexcept { return impl_->endpoint.address().is_loopback(); }

size_t HttpServer::connections() const noexcept {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->open_count;
}

void HttpServer::drain(std::chrono::milliseconds limit) {
  const auto each = [this](void (Impl::Connection::*act)()) {
    asio::post(impl_->io, [this, act] {
      const std::vector<Impl::Connection*> all(impl_->open.begin(), impl_->open.end());
      for (Impl::Connection* one : all) (one->*act)();
    });
  };
  const auto all_left = [&](std::chrono::milliseconds within) {
    std::unique_lock lock(impl_->mutex);
    return impl_->changed.wait_for(lock, within, [&] { return impl_->open_count == 0; });
  };
  asio::post(impl_->io, [this] {
    impl_->draining = true;
    ErrorCodeOf ignored;
    impl_->acceptor.close(ignored);
  });
  each(&Impl::Connection::close_if_idle);
  if (all_left(limit)) return;
  each(&Impl::Connection::end_early);
  if (all_left(kCutAfter)) return;
  each(&Impl::Connection::close);
  all_left(kCutAfter);
}

HttpServer::~HttpServer() {
  if (impl_->thread.joinable()) {
    drain(std::chrono::milliseconds(0));
    impl_->handlers.join();
    impl_->io.stop();
    impl_->thread.join();
  }
}

}  // namespace mach::server
