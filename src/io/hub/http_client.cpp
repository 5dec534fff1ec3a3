#include "io/hub/http_client.h"

#include <algorithm>
#include <cctype>
#include <exception>
#include <string_view>
#include <utility>

#include <curl/curl.h>

#include "mach/error.h"

namespace mach {
namespace {

constexpr long kMaxRedirects = 8;

// Process-wide set-up of libcurl; it counts its calls, and a function-local object makes it once.
void ensure_curl_ready() {
  struct Global {
    Global() { curl_global_init(CURL_GLOBAL_DEFAULT); }
    ~Global() { curl_global_cleanup(); }
  };
  static const Global global;
}

std::string without_query(const std::string& url) { return url.substr(0, url.find_first_of("?#")); }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto space = " \t\r\n";
  const size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

struct SlistDeleter {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

// What the callbacks of one transfer share. libcurl is C: nothing may be thrown through it, so the first
// exception waits here.
struct Transfer {
  HttpResponse response;
  const HttpClient::Sink* sink = nullptr;
  const HttpClient::Cancelled* cancelled = nullptr;
  uint64_t max_body_bytes = 0;
  uint64_t received = 0;
  bool too_large = false;
  bool stopped = false;
  std::exception_ptr exception;
};

size_t on_header(char* data, size_t size, size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  try {
    const std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) {  // a redirect's headers are those of another response
      transfer.response.headers.clear();
      const size_t space = line.find(' ');
      transfer.response.status =
          space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space + 1, 3)).c_str());
    } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
      transfer.response.headers[lower(trimmed(line.substr(0, colon)))] =
          std::string(trimmed(line.substr(colon + 1)));
    }
  } catch (...) {
    transfer.exception = std::current_exception();
    return 0;
  }
  return size * count;
}

size_t on_body(char* data, size_t size, size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  try {
    transfer.received += bytes;
    if (transfer.received > transfer.max_body_bytes) {
      transfer.too_large = true;
      return 0;
    }
    const bool success = transfer.response.status >= 200 && transfer.response.status < 300;
    if (success && *transfer.sink) {
      (*transfer.sink)(transfer.response, std::as_bytes(std::span(data, bytes)));
    } else {
      transfer.response.body.append(data, bytes);
    }
  } catch (...) {
    transfer.exception = std::current_exception();
    return 0;
  }
  return bytes;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  try {
    if (*transfer.cancelled && (*transfer.cancelled)()) transfer.stopped = true;
  } catch (...) {
    transfer.exception = std::current_exception();
    return 1;
  }
  return transfer.stopped ? 1 : 0;
}

}  // namespace

struct HttpClient::Impl {
  CURL* handle = nullptr;
  Cancelled cancelled;

  Impl() : handle(curl_easy_init()) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { curl_easy_cleanup(handle); }
};

std::optional<std::string> HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

HttpClient::HttpClient(Cancelled cancelled) {
  ensure_curl_ready();
  impl_ = std::make_unique<Impl>();
  if (impl_->handle == nullptr) throw Error(ErrorCode::kIo, "cannot start the HTTP client");
  impl_->cancelled = std::move(cancelled);
}

HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

HttpResponse HttpClient::get(const HttpRequest& request, const Sink& sink) {
  CURL* curl = impl_->handle;
  curl_easy_reset(curl);  // keeps connections

  Transfer transfer;
  transfer.sink = &sink;
  transfer.cancelled = &impl_->cancelled;
  transfer.max_body_bytes = request.max_body_bytes;

  std::unique_ptr<curl_slist, SlistDeleter> headers;
  if (!request.bearer_token.empty()) {
    headers.reset(curl_slist_append(nullptr, ("Authorization: Bearer " + request.bearer_token).c_str()));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  }
  std::string range;
  if (request.range_begin) {
    range = std::to_string(*request.range_begin) + "-";
    if (request.range_end) range += std::to_string(*request.range_end);
    curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  }
  char message[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "mach");
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(request.connect_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(request.total_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);

  const CURLcode code = curl_easy_perform(curl);
  const std::string where = without_query(request.url);
  if (transfer.exception) std::rethrow_exception(transfer.exception);
  if (transfer.stopped) throw Error(ErrorCode::kCancelled, "stopped while reading " + where);
  if (transfer.too_large) {
    throw Error(ErrorCode::kTooLarge, where + ": the answer is longer than the allowed " +
                                          std::to_string(request.max_body_bytes) + " bytes");
  }
  if (code != CURLE_OK) {
    throw Error(ErrorCode::kIo, where + ": " + (message[0] != '\0' ? message : curl_easy_strerror(code)));
  }
  return std::move(transfer.response);
}

std::string url_encode(const std::string& text, bool keep_slashes) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain || (keep_slashes && c == '/')) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace mach
