// expert_sidecar/layout.json: what the layer files of a sidecar hold (docs/SIDECAR.md is the format). The table is enough
// to answer for sizes, formats and missing files without touching a record, so `mach check` and the loader read the same
// facts. Values; parsing and printing are pure. layout.json comes from outside: whatever parse_sidecar_layout() accepts
// is consistent (planes inside the record and apart, sizes that follow from format and shape).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/expert_record.h"
#include "arch/model_config.h"

namespace mach {

inline constexpr std::string_view kSidecarFolder = "expert_sidecar";
inline constexpr std::string_view kSidecarLayoutFile = "layout.json";
inline constexpr std::string_view kSidecarFormat = "mach-expert-sidecar";
inline constexpr uint32_t kSidecarVersion = 1;
inline constexpr uint64_t kMaxRecordBytes = uint64_t{1} << 32;

struct SidecarLayer {
  uint32_t layer = 0;
  uint32_t experts = 0;
  ExpertRecord record;
  std::vector<uint64_t> checksums;  // [experts] XXH3-64 of each whole record
  uint64_t file_size() const noexcept { return experts * record.size; }
  uint64_t record_offset(uint32_t expert) const noexcept { return expert * record.size; }
};

struct SidecarLayout {
  std::string model_type;            // as in the config.json beside it
  std::vector<SidecarLayer> layers;  // ascending
  const SidecarLayer* find(uint32_t layer) const noexcept;
  uint64_t bytes() const noexcept;  // of all layer files
};

// "layer_07.bin"
std::string sidecar_layer_file(uint32_t layer);

// `what` names the file in errors. Throws Error{kUnsupported} for another format id, version, codec or plane order,
// Error{kCorruptFile} for everything that contradicts itself, naming layer and plane.
SidecarLayout parse_sidecar_layout(std::string_view json, std::string_view what);
std::string sidecar_layout_text(const SidecarLayout& layout);

// The layout of `checkpoint`/expert_sidecar; empty if there is no layout.json. Throws kIo, kTooLarge and as parsing.
std::optional<SidecarLayout> read_sidecar_layout(const std::filesystem::path& checkpoint);

// Does the sidecar belong to this model: the same model_type, every MoE layer of the config (further layers are allowed:
// a multi-token prediction block), expert counts, shapes and biases? Throws Error{kCorruptFile} naming the layer.
void check_sidecar_layout(const SidecarLayout& layout, const ModelConfig& config, std::string_view what);

// Every declared layer file is there and has its size. Reads no record. Throws Error{kNotFound, kCorruptFile}.
void check_sidecar_files(const SidecarLayout& layout, const std::filesystem::path& checkpoint);

// As expert_layers() of a plan.
std::vector<ExpertLayerSpec> expert_layers(const SidecarLayout& layout);

}  // namespace mach
