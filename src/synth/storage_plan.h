// Which tensors a synthetic checkpoint consists of, how each is stored and how its rows are made. Names, shapes and types are
// those that the registry's parameter lists call for, in the spelling of the release that uses the storage:
//   affine4, affine8, mxfp4   mlx-lm: packed U32 codes with scales (and biases), routers in 8-bit affine, experts stacked
//   mxfp4 of gpt_oss          blocks and scales of the fused experts, the rest bf16
//   mxfp4 of deepseek_v4      FP8 with block scales, experts as FP4
//   bf16                      plain matrices, experts stacked
// Magnitudes: embeddings and normed activations are of size 1, projections keep size, and each layer adds 1/(2 layers) of the
// residual stream's variance, so no depth overflows or vanishes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "arch/model_config.h"
#include "base/thread_pool.h"
#include "io/safetensors_writer.h"
#include "synth/model_shapes.h"
#include "synth/random_matrix.h"

namespace mach::synth {

inline constexpr uint16_t kAffineGroup = 64;
inline constexpr uint16_t kFp8BlockSize = 128;

// Routers and the gate of the shared expert: kept in 8 bits by converters.
bool is_routing_matrix(std::string_view name) noexcept;

struct SynthTensor {
  TensorSpec spec;
  uint64_t row_bytes = 0;
  uint64_t rows = 0;
  RowFill fill;
  uint64_t bytes() const noexcept { return rows * row_bytes; }
};

struct Routing {
  double zipf = 0.0;  // exponent of the popularity of experts; 0: all alike
};

// `config` is what synthetic_config() made for `quant`, parsed. Fits the routers of all layers (seconds for a large model),
// one layer per chunk of the pool. Throws Error{kUnsupported} for a shape that cannot be stored so.
std::vector<SynthTensor> plan_storage(const ModelConfig& config, Quant quant, const Routing& routing,
                                      uint64_t seed, ThreadPool& pool);

// The same tensors by name, type and shape alone.
std::vector<TensorSpec> storage_specs(const ModelConfig& config, Quant quant);

}  // namespace mach::synth
