// GET over HTTP and HTTPS, as the hub and the catalogue need it: bounded, cancellable, resumable, with errors that say
// what to do. A thin layer over libcurl; nothing here knows what a model is.
// Credentials go to the host they were given for and are dropped when a redirect leads to another one.
// Thread rule: one HttpClient per thread (it keeps its connections open between requests).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace mach {

struct HttpRequest {
  std::string url;
  std::string bearer_token;             // empty: none
  std::optional<uint64_t> range_begin;  // Range: bytes=begin-
  std::optional<uint64_t> range_end;    // inclusive, with range_begin
  uint64_t max_body_bytes = 16U << 20;  // a longer body is Error{kTooLarge}
  std::chrono::seconds connect_timeout{10};
  std::chrono::seconds stall_timeout{30};  // without a byte
  std::chrono::seconds total_timeout{0};   // 0: none
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // of the last response; names in lower case
  std::string body;                            // empty where a sink took it

  std::optional<std::string> header(const std::string& name) const;
};

class HttpClient {
 public:
  // Asked several times a second during a transfer; true stops it with Error{kCancelled}.
  using Cancelled = std::function<bool()>;
  // Takes body bytes of a 2xx response as they come; what it throws ends the transfer and is rethrown by get().
  using Sink = std::function<void(const HttpResponse& head, std::span<const std::byte> bytes)>;

  explicit HttpClient(Cancelled cancelled = {});
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;

  // Any HTTP status is a result. Throws Error{kIo} where no complete response came (name resolution, refused
  // connection, time-out, body cut short), Error{kTooLarge}, Error{kCancelled}. Errors name the URL without its query.
  HttpResponse get(const HttpRequest& request, const Sink& sink = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// `text` percent-encoded for one path segment; '/' stays where keep_slashes.
std::string url_encode(const std::string& text, bool keep_slashes);

}  // namespace mach
