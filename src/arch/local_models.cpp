#include "arch/local_models.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/model_config.h"
#include "io/json.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 3;
constexpr size_t kMaxEntries = 20000;  // of one folder that is no checkpoint
constexpr uint64_t kMaxConfigBytes = 16U << 20;

uint64_t bytes_below(const fs::path& folder) {
  uint64_t sum = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) {
      const uint64_t size = it->file_size(ignored);
      if (!ignored) sum += size;
    }
  }
  return sum;
}

LocalModel inspect(const std::string& name, const fs::path& folder) {
  LocalModel model{.name = name, .path = folder};
  model.bytes = bytes_below(folder);
  const fs::path config = folder / "config.json";
  try {
    const nlohmann::json json = read_json_file(config, kMaxConfigBytes);
    const auto type = json.is_object() ? json.find("model_type") : json.end();
    if (json.is_object() && type != json.end() && type->is_string())
      model.model_type = type->get<std::string>();
    parse_model_config(json, config.string());
    model.supported = true;
  } catch (const Error& error) {
    model.problem = error.what();
  }
  return model;
}

class Scan {
 public:
  void folder(const fs::path& root) { visit(root, root, 0); }

  // ROOT/models--ORG--NAME/snapshots/<commit>: the one refs/main names, else all.
  void hub_cache(const fs::path& root) {
    std::error_code error;
    for (fs::directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
      const std::string folder = it->path().filename().string();
      if (!folder.starts_with("models--")) continue;
      std::string name = folder.substr(8);
      if (const size_t split = name.find("--"); split != std::string::npos) name.replace(split, 2, "/");
      std::error_code ignored;
      for (fs::directory_iterator snapshot(it->path() / "snapshots", ignored), none;
           !ignored && snapshot != none; snapshot.increment(ignored)) {
        add(name, snapshot->path());
      }
    }
  }

  std::vector<LocalModel> take() {
    std::sort(models_.begin(), models_.end(), [](const LocalModel& a, const LocalModel& b) {
      return a.name != b.name ? a.name < b.name : a.path < b.path;
    });
    return std::move(models_);
  }

 private:
  void add(const std::string& name, const fs::path& folder) {
    std::error_code error;
    if (!fs::is_regular_file(folder / "config.json", error)) return;
    if (seen_.insert(fs::weakly_canonical(folder, error)).second) models_.push_back(inspect(name, folder));
  }

  void visit(const fs::path& root, const fs::path& folder, int depth) {
    std::error_code error;
    if (fs::is_regular_file(folder / "config.json", error)) {
      const fs::path below = folder.lexically_relative(root);
      add(below == "." || below.empty() ? fs::absolute(folder).lexically_normal().filename().string()
                                        : below.generic_string(),
          folder);
      return;
    }
    if (depth == kMaxDepth) return;
    size_t entries = 0;
    for (fs::directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), end;
         !error && it != end && entries < kMaxEntries; it.increment(error), ++entries) {
      std::error_code ignored;
      const std::string name = it->path().filename().string();
      if (it->is_directory(ignored) && !name.starts_with(".")) visit(root, it->path(), depth + 1);
    }
  }

  std::set<fs::path> seen_;
  std::vector<LocalModel> models_;
};

}  // namespace

std::vector<LocalModel> find_local_models(std::span<const fs::path> roots, const HubEnvironment& hub) {
  Scan scan;
  for (const fs::path& root : hub_cache_roots(hub)) scan.hub_cache(root);
  for (const fs::path& root : roots) scan.folder(root);
  return scan.take();
}

}  // namespace mach
