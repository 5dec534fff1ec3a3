#include "io/hub_cache.h"

#include <algorithm>
#include <cstdlib>

#include "mach/error.h"

#include "base/file.h"
#include "base/quoted_name.h"
#include "io/checkpoint_files.h"
#include "io/contained_path.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCommitDigits = 40;
constexpr uint64_t kMaxRefBytes = 4096;

std::optional<std::string> variable(const char* name) {
  const char* value =
      std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here changes the environment
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

bool is_alnum(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_commit(std::string_view text) noexcept {
  return text.size() == kCommitDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

// [A-Za-z0-9][A-Za-z0-9._-]{0,95}
bool is_id_part(std::string_view part) noexcept {
  return !part.empty() && part.size() <= 96 && is_alnum(part[0]) &&
         std::all_of(part.begin(), part.end(),
                     [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_repo(std::string_view repo) noexcept {
  if (repo.find("--") != std::string_view::npos || repo.find("..") != std::string_view::npos) return false;
  const size_t slash = repo.find('/');
  if (slash == std::string_view::npos) return is_id_part(repo);
  return is_id_part(repo.substr(0, slash)) && is_id_part(repo.substr(slash + 1));
}

// A revision names a file below refs/: parts of plain characters, none of them "." or "..".
bool is_revision(std::string_view revision) noexcept {
  if (revision.empty() || revision.size() > 255 || revision.find("..") != std::string_view::npos)
    return false;
  if (revision.find("//") != std::string_view::npos || revision.front() == '/' || revision.back() == '/')
    return false;
  if (revision == "." || revision.starts_with("./") || revision.find("/./") != std::string_view::npos)
    return false;
  return std::all_of(revision.begin(), revision.end(), [](char c) {
    return is_alnum(c) || c == '.' || c == '_' || c == '-' || c == '/' || c == '+';
  });
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
}

// The snapshot in one cache folder, or why there is none.
struct Attempt {
  std::optional<HubSnapshot> snapshot;
  std::string fault;
};

Attempt look_in(const fs::path& root, const HubModelId& id) {
  const fs::path repository = root / id.folder_name();
  std::error_code error;
  if (!fs::is_directory(repository, error)) return {std::nullopt, repository.string() + " does not exist"};
  std::string commit = id.revision;
  if (!is_commit(commit)) {
    const fs::path ref = repository / "refs" / id.revision;
    if (!contained_file(repository / "refs", id.revision, repository)) {
      return {std::nullopt, ref.string() + " does not exist"};
    }
    commit = trimmed(read_text_file(ref, kMaxRefBytes));
    if (!is_commit(commit))
      return {std::nullopt, ref.string() + " does not hold a commit of 40 hexadecimal digits"};
  }
  HubSnapshot snapshot{repository / "snapshots" / commit, repository, commit};
  if (!fs::is_directory(snapshot.folder, error)) {
    return {std::nullopt, snapshot.folder.string() + " does not exist"};
  }
  if (const auto fault = snapshot_fault(snapshot.folder, repository)) {
    return {std::nullopt, snapshot.folder.string() + " is not complete: " + *fault};
  }
  return {std::move(snapshot), ""};
}

}  // namespace

HubEnvironment HubEnvironment::from_process() {
  return {variable("HF_HUB_CACHE"),   variable("HUGGINGFACE_HUB_CACHE"), variable("HF_HOME"),
          variable("XDG_CACHE_HOME"), variable("TRANSFORMERS_CACHE"),    variable("HOME")};
}

fs::path hub_cache_root(const HubEnvironment& environment) {
  if (environment.hf_hub_cache) return *environment.hf_hub_cache;
  if (environment.huggingface_hub_cache) return *environment.huggingface_hub_cache;
  if (environment.hf_home) return fs::path(*environment.hf_home) / "hub";
  if (environment.xdg_cache_home) return fs::path(*environment.xdg_cache_home) / "huggingface" / "hub";
  return fs::path(environment.home.value_or("/")) / ".cache" / "huggingface" / "hub";
}

std::vector<fs::path> hub_cache_roots(const HubEnvironment& environment) {
  std::vector<fs::path> roots = {hub_cache_root(environment)};
  for (const auto& older : {environment.huggingface_hub_cache, environment.transformers_cache}) {
    if (older && std::find(roots.begin(), roots.end(), fs::path(*older)) == roots.end())
      roots.emplace_back(*older);
  }
  return roots;
}

std::string HubModelId::folder_name() const {
  std::string name = "models--" + repo;
  if (const size_t slash = name.find('/'); slash != std::string::npos) name.replace(slash, 1, "--");
  return name;
}

std::optional<HubModelId> parse_hub_model_id(std::string_view text) {
  HubModelId id;
  const size_t at = text.find('@');
  const std::string_view repo = text.substr(0, at);
  if (!is_repo(repo)) return std::nullopt;
  id.repo = repo;
  if (at != std::string_view::npos) {
    const std::string_view revision = text.substr(at + 1);
    if (!is_revision(revision)) return std::nullopt;
    id.revision = revision;
  }
  return id;
}

std::optional<std::string> snapshot_fault(const fs::path& folder, const fs::path& repository) {
  if (!contained_file(folder, "config.json", repository)) return "config.json is missing";
  try {
    CheckpointOptions options;
    options.link_root = repository;
    for (const fs::path& shard : list_checkpoint_shards(folder, options)) {
      const fs::path target = fs::weakly_canonical(shard);
      if (target.extension() == ".incomplete")
        return shard.filename().string() + " is still being downloaded";
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return error.what();
  }
  return std::nullopt;
}

HubSnapshot find_hub_snapshot(const HubModelId& id, const HubEnvironment& environment) {
  std::string places;
  for (const fs::path& root : hub_cache_roots(environment)) {
    Attempt attempt = look_in(root, id);
    if (attempt.snapshot) return std::move(*attempt.snapshot);
    if (!places.empty()) places += "; ";
    places += attempt.fault;
  }
  throw Error(ErrorCode::kNotFound, "model " + quoted_name(id.repo) + " (revision " +
                                        quoted_name(id.revision) + ") is not in the hub cache: " + places);
}

}  // namespace mach
