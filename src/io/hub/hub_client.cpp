#include "io/hub/hub_client.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "io/json.h"

namespace mach {
namespace {

constexpr std::chrono::milliseconds kFirstBackoff{500};
constexpr std::chrono::seconds kLongestWait{120};
constexpr uint64_t kMaxListingBytes = 64U << 20;

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

bool is_hex(std::string_view text, size_t length) {
  return text.size() == length && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// Seconds only; the other form, a date, falls back to our own backoff.
std::optional<std::chrono::seconds> retry_after(const HttpResponse& response) {
  const auto text = response.header("retry-after");
  if (!text) return std::nullopt;
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc() || end != text->data() + text->size() || seconds < 0) return std::nullopt;
  return std::min(std::chrono::seconds(seconds), kLongestWait);
}

[[noreturn]] void refuse(const std::string& what, const std::string& why) {
  throw Error(ErrorCode::kCorruptFile, "the hub's listing of " + what + ": " + why);
}

HubFile parse_file(const nlohmann::json& entry, const std::string& what) {
  const auto text = [&](const nlohmann::json& object, const char* key) -> std::string {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) refuse(what, std::string(key) + " is not a string");
    return found->get<std::string>();
  };
  const auto count = [&](const nlohmann::json& object) -> uint64_t {
    const auto found = object.find("size");
    if (found == object.end() || !found->is_number_unsigned()) refuse(what, "size is not a number");
    return found->get<uint64_t>();
  };
  if (!entry.is_object()) refuse(what, "an entry of siblings is not an object");
  HubFile file;
  file.path = text(entry, "rfilename");
  if (!is_safe_repository_path(file.path)) refuse(what, "file name \"" + file.path + "\" is not acceptable");
  const auto lfs = entry.find("lfs");
  if (lfs != entry.end() && lfs->is_object()) {
    file.etag = text(*lfs, "sha256");
    file.size = count(*lfs);
    if (!is_hex(file.etag, 64)) refuse(what, "lfs.sha256 of " + file.path + " is not 64 hex digits");
  } else {
    file.etag = text(entry, "blobId");
    file.size = count(entry);
    if (!is_hex(file.etag, 40)) refuse(what, "blobId of " + file.path + " is not 40 hex digits");
  }
  return file;
}

}  // namespace

bool is_safe_repository_path(std::string_view path) noexcept {
  if (path.empty() || path.size() > 1024 || path.front() == '/') return false;
  if (std::any_of(path.begin(), path.end(),
                  [](unsigned char c) { return c < 0x20 || c == 0x7F || c == '\\' || c == ':'; })) {
    return false;
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

HubSettings HubSettings::from_process() {
  HubSettings settings;
  if (const auto endpoint = environment("HF_ENDPOINT")) settings.endpoint = *endpoint;
  while (!settings.endpoint.empty() && settings.endpoint.back() == '/') settings.endpoint.pop_back();
  if (const auto token = environment("HF_TOKEN")) {
    settings.token = *token;
  } else if (const auto older = environment("HUGGING_FACE_HUB_TOKEN")) {
    settings.token = *older;
  } else if (environment("HF_HOME") || environment("HOME")) {
    const std::filesystem::path home =
        environment("HF_HOME") ? *environment("HF_HOME") : *environment("HOME") + "/.cache/huggingface";
    std::error_code ignored;
    if (std::filesystem::is_regular_file(home / "token", ignored)) {
      settings.token = read_text_file(home / "token", 4096);
      while (!settings.token.empty() && static_cast<unsigned char>(settings.token.back()) <= ' ')
        settings.token.pop_back();
    }
  }
  return settings;
}

HubClient::HubClient(HubSettings settings, HttpClient::Cancelled cancelled)
    : settings_(std::move(settings)), cancelled_(cancelled), http_(std::move(cancelled)) {}

HttpRequest HubClient::request_for(const std::string& path_and_query) const {
  HttpRequest request;
  request.url = settings_.endpoint + path_and_query;
  request.bearer_token = settings_.token;
  return request;
}

void HubClient::wait(std::chrono::milliseconds time) const {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    if (cancelled_ && cancelled_()) throw Error(ErrorCode::kCancelled, "stopped while waiting for the hub");
    std::this_thread::sleep_for(std::min<std::chrono::milliseconds>(time, std::chrono::milliseconds(50)));
  }
}

// Retries what a second try can mend (429, 5xx, a broken connection) while no body byte has gone to a sink; a
// download that broke off in the middle is its caller's to resume.
HttpResponse HubClient::get(const HttpRequest& request, const std::string& what,
                            const HttpClient::Sink& sink) {
  std::chrono::milliseconds backoff = kFirstBackoff;
  for (int attempt = 1;; ++attempt, backoff *= 2) {
    bool delivered = false;
    const HttpClient::Sink guarded = [&](const HttpResponse& head, std::span<const std::byte> bytes) {
      delivered = true;
      sink(head, bytes);
    };
    HttpResponse response;
    try {
      response = http_.get(request, sink ? guarded : sink);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kIo || delivered || attempt == settings_.tries) throw;
      wait(backoff);
      continue;
    }
    const bool again = response.status == 429 || response.status >= 500;
    if (again && attempt < settings_.tries) {
      wait(retry_after(response).value_or(std::chrono::duration_cast<std::chrono::seconds>(backoff)));
      if (response.status != 429) wait(backoff);
      continue;
    }
    switch (response.status) {
      case 200:
      case 206:
        return response;
      case 401:
      case 403:
        throw Error(ErrorCode::kUnauthorized,
                    what + ": the hub refuses access (" + std::to_string(response.status) + "); " +
                        (settings_.token.empty() ? "set HF_TOKEN if the repository is private or gated"
                                                 : "the token in use may not read this repository"));
      case 404:
        throw Error(ErrorCode::kNotFound, what + ": the hub has no such repository, revision or file");
      case 429:
        throw Error(ErrorCode::kOverloaded, what + ": the hub still says to slow down (429) after " +
                                                std::to_string(settings_.tries) + " tries");
      default:
        throw Error(ErrorCode::kIo,
                    what + ": the hub answered with status " + std::to_string(response.status));
    }
  }
}

HubRepository HubClient::repository(const HubModelId& id) {
  const std::string what = id.repo + "@" + id.revision;
  HttpRequest request = request_for("/api/models/" + url_encode(id.repo, true) + "/revision/" +
                                    url_encode(id.revision, false) + "?blobs=true");
  request.max_body_bytes = kMaxListingBytes;
  const nlohmann::json listing = parse_json(get(request, what).body, "the hub's listing of " + what);
  if (!listing.is_object()) refuse(what, "not an object");
  HubRepository out;
  const auto sha = listing.find("sha");
  if (sha == listing.end() || !sha->is_string() || !is_hex(sha->get_ref<const std::string&>(), 40)) {
    refuse(what, "sha is not 40 hex digits");
  }
  out.commit = sha->get<std::string>();
  const auto siblings = listing.find("siblings");
  if (siblings == listing.end() || !siblings->is_array()) refuse(what, "siblings is not a list");
  for (const nlohmann::json& entry : *siblings) out.files.push_back(parse_file(entry, what));
  return out;
}

std::optional<std::string> HubClient::small_file(const HubModelId& id, const std::string& revision,
                                                 const std::string& path, uint64_t max_bytes) {
  HttpRequest request = request_for("/" + url_encode(id.repo, true) + "/resolve/" +
                                    url_encode(revision, false) + "/" + url_encode(path, true));
  request.max_body_bytes = max_bytes;
  try {
    return get(request, id.repo + ": " + path).body;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) return std::nullopt;
    throw;
  }
}

void HubClient::file_bytes(const HubModelId& id, const std::string& revision, const std::string& path,
                           uint64_t begin, uint64_t max_bytes, const HttpClient::Sink& sink) {
  HttpRequest request = request_for("/" + url_encode(id.repo, true) + "/resolve/" +
                                    url_encode(revision, false) + "/" + url_encode(path, true));
  if (begin > 0) request.range_begin = begin;
  request.max_body_bytes = max_bytes;
  get(request, id.repo + ": " + path, sink);
}

std::string HubClient::file_part(const HubModelId& id, const std::string& revision, const std::string& path,
                                 uint64_t begin, uint64_t size) {
  struct Enough {};  // ends the transfer of a whole file
  if (size == 0) return {};
  HttpRequest request = request_for("/" + url_encode(id.repo, true) + "/resolve/" +
                                    url_encode(revision, false) + "/" + url_encode(path, true));
  request.range_begin = begin;
  request.range_end = begin + size - 1;
  request.max_body_bytes = std::numeric_limits<uint64_t>::max();
  std::string part;
  uint64_t skip = 0;
  bool first = true;
  try {
    get(request, id.repo + ": " + path, [&](const HttpResponse& head, std::span<const std::byte> bytes) {
      if (std::exchange(first, false) && head.status == 200) skip = begin;
      const uint64_t passed = std::min<uint64_t>(skip, bytes.size());
      skip -= passed;
      bytes = bytes.subspan(passed);
      bytes = bytes.first(std::min<uint64_t>(bytes.size(), size - part.size()));
      part.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      if (part.size() == size) throw Enough{};
    });
  } catch (const Enough&) {  // what was wanted is here
  }
  return part;
}

}  // namespace mach
