// Tells one loaded model from every other whose states would not fit it or mean something else: 128 bits over what a saved
// state depends on. Equal for copies of a checkpoint in different places.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace mach {

struct ModelIdentity {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const ModelIdentity&) const = default;
  std::string hex() const;  // 32 digits
};

// Over config.json, the name, size and header of every weight file of the folder and samples of its content, the version
// of saved states, and `settings`: whatever else changes what a state holds (numeric mode, kernels, KV element type).
// Reads a few hundred kilobytes per weight file. Throws Error{kIo, kNotFound}.
ModelIdentity model_identity(const std::filesystem::path& folder, std::string_view settings);

}  // namespace mach
