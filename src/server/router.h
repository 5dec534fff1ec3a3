// Which handler answers which request, and what is checked before any of them: the key, the origin of browser requests, the
// method. Whatever a handler throws becomes an error object in the style of its API. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_error.h"
#include "server/event_log.h"
#include "server/http.h"
#include "server/http_server.h"

namespace mach::server {

// `tail` is what stands for "*" at the end of the route's path, percent escapes decoded.
using RouteHandler = std::function<std::unique_ptr<Reply>(const HttpRequest& request, std::string_view tail)>;

struct Route {
  std::string_view method;  // "GET" answers HEAD too
  std::string_view path;    // "/v1/models/*": any rest
  ApiStyle style = ApiStyle::kOpenAi;
  bool open = false;  // needs no key
  RouteHandler handler;
};

struct RouterOptions {
  std::vector<std::string> api_keys;      // empty: none is asked for
  std::vector<std::string> cors_origins;  // browsers' pages that may use the API; "*" is all
};

class Router final : public HttpHandler {
 public:
  using ErrorObserver = std::function<void(std::string_view route, int status)>;

  Router(std::vector<Route> routes, RouterOptions options, EventLog log, ErrorObserver on_error = {});

  std::unique_ptr<Reply> handle(const HttpRequest& request) noexcept override;
  std::unique_ptr<Reply> refuse(int status, std::string_view path,
                                const std::string& message) noexcept override;

 private:
  std::unique_ptr<Reply> dispatch(const HttpRequest& request, const Route*& route) const;
  void check_key(const HttpRequest& request) const;
  std::vector<HttpHeader> cors_headers(const HttpRequest& request) const;
  std::unique_ptr<Reply> preflight(const HttpRequest& request) const;

  const std::vector<Route> routes_;
  const RouterOptions options_;
  const EventLog log_;
  const ErrorObserver on_error_;
};

// Equal, in a time that tells nothing about where they differ or how long `expected` is.
bool equal_secret(std::string_view given, std::string_view expected);

}  // namespace mach::server
