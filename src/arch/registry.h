// The one authority on which architectures load: a row per family. Loader, server gates, `mach check`,
// `mach-archs` and GET /v1/capabilities read these rows, so they cannot disagree. A constant table;
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "arch/model_config.h"
#include "arch/tensor_plan.h"

namespace mach {

class ConfigReader;    // arch/config_reader.h
struct ParameterList;  // arch/parameters.h

enum class KvCacheKind : uint8_t {
  kStandard,    // paged KV in every layer
  kHybridGdn,   // paged KV in some layers, conv and recurrent state in the others
  kRotating,    // sliding rings plus full layers
  kCompressed,  // window rings, compressed entries, pending rows
};
std::string_view kv_cache_kind_name(
    KvCacheKind kind) noexcept;  // "standard", "hybrid_gdn", "rotating", "compressed"

struct ArchRow {
  Family family;
  std::string_view model_type;                    // canonical
  std::span<const std::string_view> model_types;  // all spellings that config.json may use
  std::string_view example;                       // a published checkpoint
  std::string_view swiglu;  // "plain_swiglu", "silu_limited", "plain_geglu", "clamped_swiglu"
  bool stacked;             // the upstream axis-0 stacked layout loads directly
  bool expert_bias;
  bool wrapped;          // published configs nest the text model under text_config
  uint8_t default_bits;  // routed experts, where a config does not say
  uint16_t default_group;
  KvCacheKind kv_cache_kind;
  std::string_view specdec_kind;  // "specdec_v7", "mtp_eagle3" or empty
  std::string_view model_module;  // the graph's source file below src/
  // Fills everything but model_type and quant, which parse_model_config has set. `text` is the object with
  // the text model's keys, `root` the whole file (the same object in flat configs).
  void (*parse)(const ConfigReader& text, const ConfigReader& root, ModelConfig& out);
  // The parameters and expert layers that this config calls for (arch/parameters.h).
  ParameterList (*parameters)(const ModelConfig& config);
  // Those of the multi-token prediction block, the one that tells its presence first. Null: the family has none.
  ParameterList (*mtp_parameters)(const ModelConfig& config);
};

std::span<const ArchRow> arch_rows() noexcept;  // in enum order
const ArchRow& arch_row(Family family) noexcept;
const ArchRow* find_arch(std::string_view model_type) noexcept;

// "deepseek_v4, gemma4, ..." plus the spelling nearest to `model_type`, for errors.
std::string known_model_types(std::string_view model_type);

}  // namespace mach
