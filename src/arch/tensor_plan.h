// Where every parameter of a model lies in its checkpoint. build_tensor_plan() reads safetensors headers only
// (a TensorCatalog) and answers, per logical parameter, with views into stored tensors: whatever the file's
// layout, names or quantisation, a graph asks for the same names and gets the same shapes. A plan owns no
// weight data and is immutable.
//
// Names. A parameter has its Hugging Face v5 module name without the model prefix, and without ".weight":
// "embed_tokens", "norm", "lm_head", "layers.3.self_attn.q_proj"; other parameters keep their last word:
// "layers.3.self_attn.q_proj.bias", "layers.3.self_attn.sinks", "layers.0.linear_attn.A_log". Each family's
// file (arch/families/*.cpp) lists its names. Routed experts are not in the maps but in `experts`.
//
// Reading a view: the bytes of plane row r begin at tensors[plane.tensor].offset + plane.offset + r *
// plane.row_stride of shard tensors[plane.tensor].shard.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/model_config.h"
#include "io/tensor_catalog.h"
#include "quant/weight.h"

namespace mach {

// A stored tensor that the plan uses.
struct TensorLocation {
  std::string name;     // in the file
  uint32_t shard = 0;   // index into the checkpoint's shard list
  uint64_t offset = 0;  // bytes from the start of the shard file
  uint64_t size = 0;    // bytes
};

struct PlaneRef {
  uint32_t tensor = 0;  // index into TensorPlan::tensors
  uint64_t offset = 0;  // bytes from the start of the tensor
  uint64_t row_stride =
      0;  // bytes; kFp8Block scales: from one block row to the next, 0 when one scale serves all
};

// One number, e.g. the NVFP4 scale of a whole matrix.
struct ScalarRef {
  uint32_t tensor = 0;
  uint64_t offset = 0;
  bool divide = false;  // weights are divided by it instead of multiplied (compressed-tensors)
};

// y = W x, W [rows, cols]. With `transposed` the file holds [cols, rows] (gpt-oss bf16: in x out) and has no
// quantisation: element (r, c) lies at codes.offset + r * codes.row_stride + c * col_stride. Otherwise
// columns are contiguous.
struct WeightRef {
  WeightFormat format;
  uint32_t rows = 0;
  uint32_t cols = 0;
  PlaneRef codes;
  std::optional<PlaneRef> scales;         // absent for kF32, kF16, kBF16
  std::optional<PlaneRef> biases;         // kAffine
  std::optional<ScalarRef> global_scale;  // kNvFp4 of ModelOpt and compressed-tensors
  bool transposed = false;
  bool eight_bit = false;   // Parameter::eight_bit
  uint64_t col_stride = 0;  // bytes, only if transposed

  uint64_t bytes() const noexcept;  // codes, scales and biases that this view covers
};

// A norm weight, bias, sink, small table (row-major, `count` elements in all) or scalar; value i is
// stored[i * stride] + add.
struct VectorRef {
  CodecId type = CodecId::kF32;  // kF32, kF16 or kBF16
  uint32_t tensor = 0;
  uint64_t offset = 0;  // bytes from the start of the tensor
  uint64_t count = 0;
  uint32_t stride = 0;  // bytes from one element to the next
  float add = 0.0F;     // 1 for zero-centred norms stored without the 1
  uint64_t bytes() const noexcept;
};

// Whole numbers, row-major (tid2eid [vocab_size, top_k]).
struct IntRef {
  uint32_t tensor = 0;
  uint64_t offset = 0;
  uint32_t rows = 0, cols = 0;
  uint8_t width = 8;  // bytes of one little-endian signed number: 4 or 8
  uint64_t bytes() const noexcept { return uint64_t{rows} * cols * width; }
};

// Projections of one routed expert. gate, up [intermediate, hidden], down [hidden, intermediate].
struct ExpertRef {
  WeightRef gate, up, down;
  std::optional<VectorRef> gate_bias, up_bias, down_bias;
  uint64_t bytes() const noexcept;
};

struct ExpertLayerPlan {
  uint32_t layer = 0;
  std::vector<ExpertRef> experts;  // [MoeConfig::experts]; all of one layer have equal formats
};

enum class ExpertLayout : uint8_t {
  kNone,     // no routed experts
  kStacked,  // one tensor per projection, experts on axis 0
  kSliced,   // one tensor per expert and projection
  kSidecar,  // not in the shards: expert_sidecar/
};
std::string_view expert_layout_name(ExpertLayout layout) noexcept;

// "bf16", "affine 4-bit g64", "mxfp4 (4-bit)", "fp8 (8-bit)": for one-line reports.
std::string weight_format_label(const WeightFormat& format);

struct SkippedTensor {
  std::string name;
  std::string reason;  // "vision tower", "multi-token prediction head", "tied to embed_tokens", ...
};

struct TensorPlan {
  std::vector<TensorLocation> tensors;
  std::map<std::string, WeightRef, std::less<>> matrices;
  std::map<std::string, VectorRef, std::less<>> vectors;
  std::map<std::string, IntRef, std::less<>> integers;
  std::vector<ExpertLayerPlan> experts;  // one per MoE layer, ascending; empty with kSidecar
  uint32_t mtp_layers = 0;  // planned under "mtp." names; their experts follow as layers layer_count(), ...

  ExpertLayout layout = ExpertLayout::kNone;
  bool tied_head = false;              // matrices["lm_head"] is the embedding
  bool mlx = false;                    // names and conventions of mlx-lm
  std::string prefix;                  // of the text model's tensors in the file
  std::string quant;                   // for reports: "bf16", "affine 4-bit g64", "mxfp4 (4-bit)", ...
  std::vector<SkippedTensor> skipped;  // recognised and not needed
  std::vector<std::string> unused;     // not recognised: worth a warning

  // The parameter of this name. Throws Error{kInternal} if the family has none: a graph asked for a wrong
  // name.
  const WeightRef& matrix(std::string_view name) const;
  const VectorRef& vector(std::string_view name) const;
  const IntRef& integer(std::string_view name) const;
  // Null if the parameter is absent (biases and scalars that a checkpoint may lack).
  const WeightRef* find_matrix(std::string_view name) const noexcept;
  const VectorRef* find_vector(std::string_view name) const noexcept;
  const ExpertLayerPlan* experts_of(uint32_t layer) const noexcept;
};

struct PlanOptions {
  // Plan the multi-token prediction block too, where the file holds it (TensorPlan::mtp_layers tells).
  bool mtp = false;
  // Routed experts may be missing from the shards because a sidecar holds them. Implied by
  // QuantConfig::gguf_experts.
  bool experts_in_sidecar = false;
};

// Throws Error{kCorruptFile} naming the tensor, what it is and what it should be, when one is missing or has
// the wrong shape or type; Error{kUnsupported} for a quantisation that mach cannot read.
TensorPlan build_tensor_plan(const ModelConfig& config, const TensorCatalog& catalog,
                             const PlanOptions& options = {});

}  // namespace mach
