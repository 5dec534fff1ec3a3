#include "arch/registry.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "arch/families/family.h"

namespace mach {
namespace {

constexpr std::array<std::string_view, 1> kQwen3MoeTypes = {"qwen3_moe"};
constexpr std::array<std::string_view, 2> kQwen3_5MoeTypes = {"qwen3_5_moe", "qwen3_5_moe_text"};
constexpr std::array<std::string_view, 1> kGptOssTypes = {"gpt_oss"};
// gemma4_unified differs in its vision part only.
constexpr std::array<std::string_view, 4> kGemma4Types = {"gemma4", "gemma4_text", "gemma4_unified",
                                                          "gemma4_unified_text"};
constexpr std::array<std::string_view, 1> kDeepSeekV4Types = {"deepseek_v4"};

constexpr std::array<ArchRow, 5> kRows = {{
    {.family = Family::kQwen3Moe,
     .model_type = "qwen3_moe",
     .model_types = kQwen3MoeTypes,
     .example = "Qwen3-30B-A3B",
     .swiglu = "plain_swiglu",
     .stacked = true,
     .expert_bias = false,
     .wrapped = false,
     .default_bits = 4,
     .default_group = 64,
     .kv_cache_kind = KvCacheKind::kStandard,
     .specdec_kind = "specdec_v7",
     .model_module = "model/families/qwen3_moe.cpp",
     .parse = parse_qwen3_moe,
     .parameters = qwen3_moe_parameters,
     .mtp_parameters = nullptr},
    {.family = Family::kQwen3_5Moe,
     .model_type = "qwen3_5_moe",
     .model_types = kQwen3_5MoeTypes,
     .example = "Qwen3.6-35B-A3B",
     .swiglu = "plain_swiglu",
     .stacked = true,
     .expert_bias = false,
     .wrapped = true,
     .default_bits = 4,
     .default_group = 64,
     .kv_cache_kind = KvCacheKind::kHybridGdn,
     .specdec_kind = "specdec_v7",
     .model_module = "model/families/qwen3_5_moe.cpp",
     .parse = parse_qwen3_5_moe,
     .parameters = qwen3_5_moe_parameters,
     .mtp_parameters = qwen3_5_moe_mtp_parameters},
    {.family = Family::kGptOss,
     .model_type = "gpt_oss",
     .model_types = kGptOssTypes,
     .example = "gpt-oss-20b",
     .swiglu = "clamped_swiglu",
     .stacked = true,
     .expert_bias = true,
     .wrapped = false,
     .default_bits = 4,
     .default_group = 32,
     .kv_cache_kind = KvCacheKind::kRotating,
     .specdec_kind = "",
     .model_module = "model/families/gpt_oss.cpp",
     .parse = parse_gpt_oss,
     .parameters = gpt_oss_parameters,
     .mtp_parameters = nullptr},
    {.family = Family::kGemma4,
     .model_type = "gemma4",
     .model_types = kGemma4Types,
     .example = "gemma-4-26B-A4B",
     .swiglu = "plain_geglu",
     .stacked = true,
     .expert_bias = false,
     .wrapped = true,
     .default_bits = 4,
     .default_group = 64,
     .kv_cache_kind = KvCacheKind::kRotating,
     .specdec_kind = "",
     .model_module = "model/families/gemma4.cpp",
     .parse = parse_gemma4,
     .parameters = gemma4_parameters,
     .mtp_parameters = nullptr},
    {.family = Family::kDeepSeekV4,
     .model_type = "deepseek_v4",
     .model_types = kDeepSeekV4Types,
     .example = "DeepSeek-V4-Flash",
     .swiglu = "silu_limited",
     .stacked = false,
     .expert_bias = false,
     .wrapped = false,
     .default_bits = 4,
     .default_group = 32,
     .kv_cache_kind = KvCacheKind::kCompressed,
     .specdec_kind = "mtp_eagle3",
     .model_module = "model/families/deepseek_v4.cpp",
     .parse = parse_deepseek_v4,
     .parameters = deepseek_v4_parameters,
     .mtp_parameters = deepseek_v4_mtp_parameters},
}};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<size_t>(kRows[i].family) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

constexpr size_t kLongestModelType = 64;  // names beyond it are nobody's typing error

// Edits (insert, delete, replace) between two short words.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string_view kv_cache_kind_name(KvCacheKind kind) noexcept {
  switch (kind) {
    case KvCacheKind::kStandard:
      return "standard";
    case KvCacheKind::kHybridGdn:
      return "hybrid_gdn";
    case KvCacheKind::kRotating:
      return "rotating";
    case KvCacheKind::kCompressed:
      return "compressed";
  }
  return "";
}

std::span<const ArchRow> arch_rows() noexcept { return kRows; }

const ArchRow& arch_row(Family family) noexcept { return kRows[static_cast<size_t>(family)]; }

const ArchRow* find_arch(std::string_view model_type) noexcept {
  for (const ArchRow& row : kRows) {
    if (std::find(row.model_types.begin(), row.model_types.end(), model_type) != row.model_types.end())
      return &row;
  }
  return nullptr;
}

std::string known_model_types(std::string_view model_type) {
  std::string list;
  std::string_view nearest;
  size_t fewest = kLongestModelType;
  for (const ArchRow& row : kRows) {
    list += fmt::format("{}{}", list.empty() ? "" : ", ", row.model_type);
    for (const std::string_view known : row.model_types) {
      if (model_type.size() > kLongestModelType) break;
      const size_t edits = edit_distance(model_type, known);
      if (edits >= fewest) continue;
      fewest = edits;
      nearest = known;
    }
  }
  return nearest.empty() ? fmt::format("one of {}", list)
                         : fmt::format("one of {} (nearest: {})", list, nearest);
}

}  // namespace mach
