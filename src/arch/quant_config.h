// What config.json says about quantised weights: the MLX `quantization` block with its overrides, or a
// Hugging Face `quantization_config`. It is a claim about the file: whether one matrix is quantised is
// decided by the tensors (see tensor_lookup.h), and a contradiction between the two is an error.
//
// Sources: specs/formats.md section 4; mlx-lm utils.py; transformers quantizers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "quant/weight.h"

namespace mach {

enum class QuantMethod : uint8_t {
  kNone,               // no block in config.json
  kMlx,                // affine, mxfp4, mxfp8, nvfp4 with per-module overrides
  kMxFp4,              // gpt-oss: packed experts as blocks + scales
  kFp8,                // E4M3 with block scales; with expert_dtype fp4 the routed experts are MXFP4
  kCompressedTensors,  // pack-quantized int4 or nvfp4
  kModelOpt,           // nvfp4
};

// Parameters of one MLX-quantised module.
struct MlxQuant {
  CodecId codec = CodecId::kAffine;  // kAffine, kMxFp4, kMxFp8 or kNvFp4
  uint8_t bits = 4;
  uint16_t group = 64;
  bool operator==(const MlxQuant&) const = default;
};

struct QuantConfig {
  QuantMethod method = QuantMethod::kNone;
  MlxQuant body;  // kMlx
  std::map<std::string, std::optional<MlxQuant>, std::less<>>
      overrides;              // kMlx: module path -> settings; none = dense
  uint32_t block_rows = 0;    // kFp8; 0 = one scale per tensor
  uint32_t block_cols = 0;    // kFp8; 0 = one scale per tensor
  bool e8m0_scales = false;   // kFp8: scales are powers of two
  bool fp4_experts = false;   // kFp8 beside expert_dtype "fp4"
  bool gguf_experts = false;  // experts are GGUF blocks in expert_sidecar/, not in the shards

  // Settings of a module by its path in the file, with or without a leading "language_model."; the body if it
  // has no entry of its own. Empty: listed as not quantised.
  std::optional<MlxQuant> module(std::string_view path) const;
  bool has_override(std::string_view path) const;
};

}  // namespace mach
