#include "preflight/draft_facts.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/config_reader.h"
#include "io/checkpoint_files.h"
#include "io/json.h"
#include "preflight/model_source.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr const char* kArchitecture = "DFlashDraftModel";
constexpr uint32_t kMaxWidth = 1U << 20;

void require_equal(const ConfigReader& reader, const char* key, uint32_t value, uint32_t target) {
  if (value != target) reader.fail(key, fmt::format("{} as in the model", target));
}

void check_config(const fs::path& path, const ModelConfig& target) {
  const nlohmann::json json = read_json_file(path, kMaxCheckedConfigBytes);
  const ConfigReader reader(json, path.string());
  const auto architectures = reader.maybe_strings("architectures", 1);
  if (!architectures ||
      std::find(architectures->begin(), architectures->end(), kArchitecture) == architectures->end())
    reader.fail("architectures", fmt::format("[\"{}\"]", kArchitecture));
  require_equal(reader, "hidden_size", reader.count("hidden_size", kMaxWidth), target.hidden_size);
  require_equal(reader, "vocab_size", reader.count("vocab_size", UINT32_MAX), target.vocab_size);
  if (const auto layers = reader.maybe_count("num_target_layers", kMaxLayers))
    require_equal(reader, "num_target_layers", *layers, target.layer_count());
}

}  // namespace

DraftFacts inspect_draft(const fs::path& folder, const ModelConfig& target) {
  DraftFacts facts{.state = DraftState::kUnusable};
  try {
    std::error_code error;
    if (!fs::is_directory(folder, error))
      throw Error(ErrorCode::kNotFound, folder.string() + ": there is no such folder");
    check_config(folder / "config.json", target);
    facts.bytes = read_tensor_catalog(folder).total_bytes();
    facts.state = DraftState::kUsable;
  } catch (const Error& error) {
    facts.fault = std::string("draft ") + error.what();
  }
  return facts;
}

}  // namespace mach
