#include "io/hub/http_client.h"

#include <algorithm>
#include <cctype>
#include <exception>
#include <string_view>
#include <utility>

// The header's argument checks are macros that name libcurl's functions; here they are pointers.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>

#include "mach/error.h"

namespace mach {
namespace {

constexpr long kMaxRedirects = 8;

// libcurl, loaded by the first client: it brings thirty libraries along, whose relocation takes longer than all the rest
// of a command that needs no network.
struct Curl {
  decltype(&curl_global_init) global_init;
  decltype(&curl_global_cleanup) global_cleanup;
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_easy_reset) easy_reset;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&curl_easy_perform) easy_perform;
  decltype(&curl_easy_strerror) easy_strerror;
  decltype(&curl_slist_append) slist_append;
  decltype(&curl_slist_free_all) slist_free_all;

  static const Curl& get() {
    static const Curl curl;
    return curl;
  }
  Curl(const Curl&) = delete;
  Curl& operator=(const Curl&) = delete;

 private:
  Curl() : library_(::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr)
      throw Error(ErrorCode::kIo, std::string("network access needs libcurl: ") + ::dlerror());
    find(global_init, "curl_global_init");
    find(global_cleanup, "curl_global_cleanup");
    find(easy_init, "curl_easy_init");
    find(easy_cleanup, "curl_easy_cleanup");
    find(easy_reset, "curl_easy_reset");
    find(easy_setopt, "curl_easy_setopt");
    find(easy_perform, "curl_easy_perform");
    find(easy_strerror, "curl_easy_strerror");
    find(slist_append, "curl_slist_append");
    find(slist_free_all, "curl_slist_free_all");
    global_init(CURL_GLOBAL_DEFAULT);
  }
  // The library stays loaded: its own exit handlers run after this.
  ~Curl() { global_cleanup(); }

  template <class Function>
  void find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(library_, name));
    if (function == nullptr) throw Error(ErrorCode::kIo, std::string("libcurl has no function ") + name);
  }

  void* library_;
};

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
  void operator()(curl_slist* list) const noexcept { Curl::get().slist_free_all(list); }
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
  const Curl& api = Curl::get();
  CURL* handle = api.easy_init();
  Cancelled cancelled;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { api.easy_cleanup(handle); }
};

std::optional<std::string> HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

HttpClient::HttpClient(Cancelled cancelled) {
  impl_ = std::make_unique<Impl>();
  if (impl_->handle == nullptr) throw Error(ErrorCode::kIo, "cannot start the HTTP client");
  impl_->cancelled = std::move(cancelled);
}

HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

HttpResponse HttpClient::get(const HttpRequest& request, const Sink& sink) {
  const Curl& api = impl_->api;
  CURL* curl = impl_->handle;
  api.easy_reset(curl);  // keeps connections

  Transfer transfer;
  transfer.sink = &sink;
  transfer.cancelled = &impl_->cancelled;
  transfer.max_body_bytes = request.max_body_bytes;

  std::unique_ptr<curl_slist, SlistDeleter> headers;
  if (!request.bearer_token.empty()) {
    headers.reset(api.slist_append(nullptr, ("Authorization: Bearer " + request.bearer_token).c_str()));
    api.easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  }
  std::string range;
  if (request.range_begin) {
    range = std::to_string(*request.range_begin) + "-";
    if (request.range_end) range += std::to_string(*request.range_end);
    api.easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  }
  char message[CURL_ERROR_SIZE] = "";
  api.easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  api.easy_setopt(curl, CURLOPT_USERAGENT, "mach");
  api.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  api.easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  api.easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  api.easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
  api.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  api.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(request.connect_timeout.count()));
  api.easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  api.easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.stall_timeout.count()));
  api.easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(request.total_timeout.count()));
  api.easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
  api.easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  api.easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  api.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  api.easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  api.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  api.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  api.easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);

  const CURLcode code = api.easy_perform(curl);
  const std::string where = without_query(request.url);
  if (transfer.exception) std::rethrow_exception(transfer.exception);
  if (transfer.stopped) throw Error(ErrorCode::kCancelled, "stopped while reading " + where);
  if (transfer.too_large) {
    throw Error(ErrorCode::kTooLarge, where + ": the answer is longer than the allowed " +
                                          std::to_string(request.max_body_bytes) + " bytes");
  }
  if (code != CURLE_OK) {
    throw Error(ErrorCode::kIo, where + ": " + (message[0] != '\0' ? message : api.easy_strerror(code)));
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
