// The Hugging Face hub's HTTP interface, as far as mach uses it: which files a repository has at a revision, and small
// files or byte ranges of them. Downloads of whole checkpoints are in hub_download.h.
//   GET {endpoint}/api/models/{repo}/revision/{revision}?blobs=true
//   GET {endpoint}/{repo}/resolve/{revision}/{path}
// Source: the hub's public API as used by huggingface_hub.
// Thread rule: as HttpClient, one per thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/hub/http_client.h"
#include "io/hub_cache.h"

namespace mach {

struct HubSettings {
  std::string endpoint = "https://huggingface.co";  // HF_ENDPOINT
  std::string token;                                // HF_TOKEN; never printed
  int tries = 6;  // of one request, while a second can mend what went wrong (429, 5xx, a broken connection)

  // HF_ENDPOINT, HF_TOKEN (older HUGGING_FACE_HUB_TOKEN), else the token file below HF_HOME.
  static HubSettings from_process();
};

struct HubFile {
  std::string path;   // in the repository; checked: relative, no "..", no control characters
  uint64_t size = 0;  // bytes
  std::string
      etag;  // name of its blob: sha256 of LFS files (64 hex digits), git blob sha1 of the others (40)
  bool lfs() const noexcept { return etag.size() == 64; }
};

struct HubRepository {
  std::string commit;  // 40 hex digits
  std::vector<HubFile> files;
};

class HubClient {
 public:
  explicit HubClient(HubSettings settings, HttpClient::Cancelled cancelled = {});

  // Throws Error{kUnauthorized} for 401 and 403 (naming HF_TOKEN), kNotFound for 404, kOverloaded for a 429 that
  // outlasts the retries, kCorruptFile for an answer that is not what the hub sends, kIo, kCancelled.
  HubRepository repository(const HubModelId& id);

  // A small file's text; empty when the repository has none of that name.
  std::optional<std::string> small_file(const HubModelId& id, const std::string& revision,
                                        const std::string& path, uint64_t max_bytes);

  // One response for (part of) a file, from byte `begin` on, retried where retrying can help. The sink sees 200 and
  // 206 bodies; `head.status` tells which.
  void file_bytes(const HubModelId& id, const std::string& revision, const std::string& path, uint64_t begin,
                  uint64_t max_bytes, const HttpClient::Sink& sink);

  // `size` bytes of a file from `begin` on, fewer where the file ends before. A hub that ignores ranges is read up to
  // the end of the part and then left.
  std::string file_part(const HubModelId& id, const std::string& revision, const std::string& path,
                        uint64_t begin, uint64_t size);

 private:
  HttpResponse get(const HttpRequest& request, const std::string& what, const HttpClient::Sink& sink = {});
  HttpRequest request_for(const std::string& path_and_query) const;
  void wait(std::chrono::milliseconds time) const;

  HubSettings settings_;
  HttpClient::Cancelled cancelled_;
  HttpClient http_;
};

// True for a path that may be created below a snapshot folder.
bool is_safe_repository_path(std::string_view path) noexcept;

}  // namespace mach
