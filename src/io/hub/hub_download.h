// Downloads a repository's files into the Hugging Face cache layout: several files at a time, resumed after a kill,
// every file checked against its hash before it gets its name, the snapshot linked when all of it is there.
//   blobs/<etag>.incomplete  while bytes come; kept on failure, so that the next run goes on from there
//   blobs/<etag>             whole and checked
//   snapshots/<commit>/path  link to the blob, made after the blob
//   refs/<revision>          written last, so that a revision never names a snapshot that is not whole
// Two processes may download the same repository: a lock file per blob makes the second wait.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/hub/hub_client.h"

namespace mach {

// What the download of a repository will do, known before the first byte.
struct HubDownloadPlan {
  HubModelId id;
  std::string commit;
  std::filesystem::path repository;  // ROOT/models--ORG--NAME
  std::vector<HubFile> files;        // to be there in the end, largest first
  uint64_t total_bytes = 0;          // of all files
  uint64_t missing_bytes = 0;        // not on disk yet
  std::filesystem::path snapshot() const { return repository / "snapshots" / commit; }
};

// With no patterns: the files that mach reads (configs, tokenizer, templates, weights as safetensors, the expert
// sidecar). Patterns are shell globs over whole paths ("*.safetensors", "expert_sidecar/*").
// Throws as HubClient::repository, kNotFound where no file matches.
HubDownloadPlan plan_hub_download(HubClient& client, const HubModelId& id,
                                  const std::filesystem::path& cache_root,
                                  const std::vector<std::string>& include);

struct HubProgress {
  uint64_t bytes_done = 0;  // of plan.total_bytes, what was already there included
  uint32_t files_done = 0;
};

struct HubDownloadOptions {
  uint32_t parallel = 4;
  HttpClient::Cancelled cancelled;
  std::function<void(const HubProgress&)> progress;  // several times a second, on the calling thread
};

// Throws Error{kOutOfBudget} before the first byte where the disk has no room (naming both numbers), kCorruptFile where
// a file's hash stays wrong, and what HubClient throws. On failure everything checked so far stays.
// Returns the snapshot folder.
std::filesystem::path download_hub_files(const HubSettings& settings, const HubDownloadPlan& plan,
                                         const HubDownloadOptions& options = {});

// Deletes a repository from the cache: first made unfindable by one rename, then removed. Returns the bytes freed.
// Throws kNotFound where the cache has none of it.
uint64_t remove_hub_repository(const HubModelId& id, const std::filesystem::path& cache_root);

}  // namespace mach
