#include "io/model_dir.h"

#include <string>
#include <system_error>
#include <utility>

#include "mach/error.h"

#include "base/quoted_name.h"
#include "io/contained_path.h"

namespace mach {

namespace fs = std::filesystem;

ModelDirectory::ModelDirectory(fs::path path, fs::path link_root, std::optional<HubModelId> id)
    : path_(std::move(path)), link_root_(std::move(link_root)), hub_id_(std::move(id)) {}

ModelDirectory ModelDirectory::at(const fs::path& folder) {
  return {folder, default_link_root(folder), std::nullopt};
}

ModelDirectory ModelDirectory::resolve(std::string_view argument, const HubEnvironment& environment) {
  const fs::path folder(argument);
  std::error_code error;
  if (!argument.empty() && fs::is_directory(folder, error)) return at(folder);
  if (!argument.empty() && fs::exists(folder, error)) {
    throw Error(ErrorCode::kNotFound, quoted_name(argument) +
                                          " is a file; a model is a folder with config.json, or "
                                          "the id ORG/NAME of one in the hub cache");
  }
  std::optional<HubModelId> id = parse_hub_model_id(argument);
  if (!id) {
    throw Error(ErrorCode::kNotFound, "there is no folder " + quoted_name(argument) +
                                          ", and it is no hub id of the form ORG/NAME or ORG/NAME@revision");
  }
  try {
    HubSnapshot snapshot = find_hub_snapshot(*id, environment);
    return {std::move(snapshot.folder), std::move(snapshot.repository), std::move(id)};
  } catch (const Error& failure) {
    if (failure.code() != ErrorCode::kNotFound) throw;
    throw Error(ErrorCode::kNotFound,
                "there is no folder " + quoted_name(argument) + ", and " + failure.what());
  }
}

std::optional<fs::path> ModelDirectory::file(std::string_view name) const {
  return contained_file(path_, name, link_root_);
}

fs::path ModelDirectory::required_file(std::string_view name) const {
  std::optional<fs::path> path = file(name);
  if (!path) throw Error(ErrorCode::kNotFound, (path_ / name).string() + " is missing; the model needs it");
  return std::move(*path);
}

std::string ModelDirectory::name() const {
  if (hub_id_) return hub_id_->repo;
  std::error_code error;
  const fs::path real = fs::canonical(path_, error);
  return (error ? path_ : real).filename().string();
}

CheckpointOptions ModelDirectory::checkpoint_options() const {
  CheckpointOptions options;
  options.link_root = link_root_;
  return options;
}

}  // namespace mach
