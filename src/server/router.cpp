#include "server/router.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/quoted_name.h"
#include "base/utf8.h"

namespace mach::server {
namespace {

// Adds headers to the first part of another reply.
class WithHeaders final : public Reply {
 public:
  WithHeaders(std::unique_ptr<Reply> inner, std::vector<HttpHeader> headers)
      : inner_(std::move(inner)), headers_(std::move(headers)) {}

  void start(std::function<void()> wake) override { inner_->start(std::move(wake)); }
  ReplyPart pull(Clock::time_point now) noexcept override {
    ReplyPart part = inner_->pull(now);
    if (part.head) {
      for (HttpHeader& header : headers_) part.head->headers.push_back(std::move(header));
    }
    return part;
  }
  std::optional<Clock::time_point> next_pull() const noexcept override { return inner_->next_pull(); }
  void end_early() noexcept override { inner_->end_early(); }

 private:
  const std::unique_ptr<Reply> inner_;
  std::vector<HttpHeader> headers_;
};

std::unique_ptr<Reply> error_reply(const ApiError& error, ApiStyle style) {
  ResponseHead head;
  head.status = error.status;
  if (error.retry_after) head.headers.push_back({"Retry-After", std::to_string(*error.retry_after)});
  if (error.status == 401) head.headers.push_back({"WWW-Authenticate", "Bearer"});
  return whole_reply(std::move(head),
                     error_body(error, style).dump(-1, ' ', false, Json::error_handler_t::replace));
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape =
        text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
    if (!escape) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
    i += 2;
  }
  return replace_invalid_utf8(out);
}

// The rest that "*" stands for; empty optional: another path.
std::optional<std::string_view> match(std::string_view pattern, std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (!pattern.ends_with('*')) return pattern == path ? std::optional(std::string_view()) : std::nullopt;
  pattern.remove_suffix(1);
  if (!path.starts_with(pattern) || path.size() == pattern.size()) return std::nullopt;
  return path.substr(pattern.size());
}

bool same_method(std::string_view route, std::string_view method) {
  return route == method || (route == "GET" && method == "HEAD");
}

// A page that this server itself could have delivered to this machine's browser.
bool is_own_origin(std::string_view origin, const std::string* host) {
  constexpr std::string_view kScheme = "http://";
  if (host == nullptr || !origin.starts_with(kScheme) || origin.substr(kScheme.size()) != *host) return false;
  const std::string_view name = std::string_view(*host).substr(0, host->find(':'));
  return name == "localhost" || name == "127.0.0.1" || host->starts_with("[::1]");
}

}  // namespace

bool equal_secret(std::string_view given, std::string_view expected) {
  const auto digest = [](std::string_view text) {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> sum{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum.data());
    return sum;
  };
  const auto a = digest(given);
  const auto b = digest(expected);
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Router::Router(std::vector<Route> routes, RouterOptions options, EventLog log, ErrorObserver on_error)
    : routes_(std::move(routes)),
      options_(std::move(options)),
      log_(std::move(log)),
      on_error_(std::move(on_error)) {}

std::unique_ptr<Reply> Router::handle(const HttpRequest& request) noexcept {
  const Route* route = nullptr;
  ApiError error = internal_error();
  std::vector<HttpHeader> cors;
  try {
    cors = cors_headers(request);
    std::unique_ptr<Reply> reply = dispatch(request, route);
    if (cors.empty()) return reply;
    return std::make_unique<WithHeaders>(std::move(reply), std::move(cors));
  } catch (const Error& e) {
    error = api_error(e);
    if (error.status >= 500)
      log_.write(LogLevel::kError, "request_failed", {{"id", request.id}, {"reason", std::string(e.what())}});
  } catch (const std::exception& e) {
    log_.write(LogLevel::kError, "request_failed", {{"id", request.id}, {"reason", std::string(e.what())}});
  }
  if (on_error_) on_error_(route != nullptr ? route->path : "other", error.status);
  const ApiStyle style = route != nullptr ? route->style : ApiStyle::kOpenAi;
  std::unique_ptr<Reply> reply = error_reply(error, style);
  if (cors.empty()) return reply;
  return std::make_unique<WithHeaders>(std::move(reply), std::move(cors));
}

std::unique_ptr<Reply> Router::dispatch(const HttpRequest& request, const Route*& route) const {
  if (request.method == "OPTIONS") return preflight(request);
  bool path_known = false;
  std::string_view tail;
  for (const Route& one : routes_) {
    const auto rest = match(one.path, request.path);
    if (!rest) continue;
    path_known = true;
    route = &one;
    if (!same_method(one.method, request.method)) continue;
    tail = *rest;
    break;
  }
  const std::string_view wanted = route != nullptr ? route->method : "";
  if (route == nullptr || !route->open) check_key(request);
  if (!path_known) {
    throw Error(ErrorCode::kNotFound, fmt::format("there is no {}", quoted_name(request.path)));
  }
  if (!same_method(wanted, request.method)) {
    constexpr int kMethodNotAllowed = 405;
    throw RequestRefused(ErrorCode::kInvalidRequest, "method_not_allowed",
                         fmt::format("{} takes {}", quoted_name(request.path), wanted), kMethodNotAllowed);
  }
  return route->handler(request, percent_decoded(tail));
}

std::unique_ptr<Reply> Router::refuse(int status, std::string_view path,
                                      const std::string& message) noexcept {
  const auto route = std::find_if(routes_.begin(), routes_.end(),
                                  [&](const Route& one) { return match(one.path, path).has_value(); });
  const bool known = route != routes_.end();
  if (on_error_) on_error_(known ? route->path : "other", status);
  ApiError error = {status, status >= 500 ? "server_error" : "invalid_request_error", "", "", message, {}};
  if (status == 413) error.code = "too_large";
  if (status == 503) error.retry_after = 1;
  return error_reply(error, known ? route->style : ApiStyle::kOpenAi);
}

void Router::check_key(const HttpRequest& request) const {
  if (options_.api_keys.empty()) return;
  std::string_view given;
  constexpr std::string_view kBearer = "bearer ";
  if (const std::string* header = request.header("authorization");
      header != nullptr && header->size() > kBearer.size() &&
      same_name(std::string_view(*header).substr(0, kBearer.size()), kBearer)) {
    given = std::string_view(*header).substr(kBearer.size());
  } else if (const std::string* key = request.header("x-api-key")) {
    given = *key;
  }
  bool known = false;
  for (const std::string& key : options_.api_keys) known = equal_secret(given, key) || known;
  if (known) return;
  throw RequestRefused(ErrorCode::kUnauthorized, "invalid_api_key",
                       "the API key is missing or wrong (Authorization: Bearer KEY, or x-api-key: KEY)");
}

// Pages of foreign origin may not use a server just because it listens on this machine.
std::vector<HttpHeader> Router::cors_headers(const HttpRequest& request) const {
  const std::string* origin = request.header("origin");
  if (origin == nullptr) return {};
  for (const std::string& allowed : options_.cors_origins) {
    if (allowed == "*") return {{"Access-Control-Allow-Origin", "*"}, {"Access-Control-Expose-Headers", "*"}};
    if (allowed == *origin) {
      return {{"Access-Control-Allow-Origin", allowed},
              {"Access-Control-Expose-Headers", "X-Request-Id, X-Decode-Mode, Retry-After"},
              {"Vary", "Origin"}};
    }
  }
  if (is_own_origin(*origin, request.header("host"))) return {};
  constexpr int kForbidden = 403;
  throw RequestRefused(ErrorCode::kUnauthorized, "origin_not_allowed",
                       fmt::format("pages of {} may not use this server; start it with --cors to allow them",
                                   quoted_name(*origin)),
                       kForbidden);
}

std::unique_ptr<Reply> Router::preflight(const HttpRequest& request) const {
  ResponseHead head;
  head.status = 204;
  head.headers = {{"Allow", "GET, POST, OPTIONS"}};
  if (request.header("origin") != nullptr) {
    head.headers.push_back({"Access-Control-Allow-Methods", "GET, POST, OPTIONS"});
    head.headers.push_back({"Access-Control-Max-Age", "600"});
    const std::string* wanted = request.header("access-control-request-headers");
    head.headers.push_back({"Access-Control-Allow-Headers", wanted != nullptr ? *wanted : "*"});
  }
  return whole_reply(std::move(head), "");
}

}  // namespace mach::server
