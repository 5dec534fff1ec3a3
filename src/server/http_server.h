// HTTP/1.1 over TCP: one thread for all connections (Boost.Beast, coroutines) and a few for handlers, so that neither a
// slow client nor a long prompt to tokenise holds up the others. What comes in is bounded before it is kept: headers,
// bodies, connections, the time each may take. The only file that includes Beast is http_server.cpp.
//
// A client that goes away is noticed while its reply is pending: the Reply is destroyed then.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/event_log.h"
#include "server/http.h"

namespace mach::server {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free one
  size_t max_header_bytes = size_t{32} << 10;
  size_t max_body_bytes = size_t{32} << 20;
  size_t max_pending_body_bytes = size_t{256} << 20;  // of all requests that are being read or handled
  size_t max_connections = 512;
  std::chrono::milliseconds header_timeout{15'000};  // from a request's first byte to the end of its headers
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds idle_timeout{75'000};   // between requests
  std::chrono::milliseconds write_timeout{30'000};  // without the client taking anything
  unsigned handler_threads = 2;
};

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // On a handler thread; several at a time. Never null.
  virtual std::unique_ptr<Reply> handle(const HttpRequest& request) noexcept = 0;
  // What the wire refuses (413, 431, 400, 503) in the words of the API; `path` may be empty.
  virtual std::unique_ptr<Reply> refuse(int status, std::string_view path,
                                        const std::string& message) noexcept = 0;
};

class HttpServer {
 public:
  // Listens when it returns; nothing is accepted before start(). Throws Error{kIo} naming host and port.
  // The handler must outlive the server; whoever wakes its Replies must have stopped before the server is destroyed.
  HttpServer(HttpServerOptions options, HttpHandler& handler, EventLog log);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();  // closes everything at once

  uint16_t port() const noexcept;
  std::string address() const;  // "127.0.0.1:8080", "[::1]:8080"
  bool loopback() const noexcept;

  void start();
  // Accepts no more, closes idle connections and waits for replies under way; after `limit` these are ended early, and
  // what then still is open after a few seconds is cut. Any thread, once.
  void drain(std::chrono::milliseconds limit);

  size_t connections() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mach::server
