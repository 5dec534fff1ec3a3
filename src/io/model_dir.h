// The folder of one model and the well-known files in it. A MODEL argument is a folder if one of that name exists,
// else the id of a repository in the hub cache. Values only; nothing stays open.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "io/checkpoint_files.h"
#include "io/hub_cache.h"

namespace mach {

class ModelDirectory {
 public:
  // Throws kNotFound saying where it looked.
  static ModelDirectory resolve(std::string_view argument, const HubEnvironment& environment);
  // A folder that is known to exist.
  static ModelDirectory at(const std::filesystem::path& folder);

  const std::filesystem::path& path() const noexcept { return path_; }
  const std::optional<HubModelId>& hub_id() const noexcept { return hub_id_; }  // empty for a folder argument

  // Full paths; empty where the file is not there. Throws kCorruptFile for a link that leads out of the model.
  std::optional<std::filesystem::path> config() const { return file("config.json"); }
  std::optional<std::filesystem::path> generation_config() const { return file("generation_config.json"); }
  std::optional<std::filesystem::path> tokenizer() const { return file("tokenizer.json"); }
  std::optional<std::filesystem::path> tokenizer_config() const { return file("tokenizer_config.json"); }
  std::optional<std::filesystem::path> chat_template() const { return file("chat_template.jinja"); }
  std::optional<std::filesystem::path> file(std::string_view name) const;
  // Throws kNotFound naming the file and the folder.
  std::filesystem::path required_file(std::string_view name) const;

  // A name to show and to serve under: the id, else the folder's own name.
  std::string name() const;

  // Weights below this folder, with links held to the model's own files.
  CheckpointOptions checkpoint_options() const;

 private:
  ModelDirectory(std::filesystem::path path, std::filesystem::path link_root, std::optional<HubModelId> id);

  std::filesystem::path path_;
  std::filesystem::path link_root_;
  std::optional<HubModelId> hub_id_;
};

}  // namespace mach
