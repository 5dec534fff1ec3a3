// The parameters that a config calls for: canonical name, shape and spelling in files. One list per model drives the
// tensor plan (where is each), the byte sums (how large is each) and the parameter counts, so they cannot disagree.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mach {

enum class ParameterKind : uint8_t {
  kMatrix,    // [rows, cols], maybe quantised
  kVector,    // rows * cols floats, stored in that shape give or take axes of length 1
  kIntegers,  // [rows, cols] whole numbers
};

// How converters usually store a parameter; only estimates without headers depend on it.
enum class WeightPrecision : uint8_t {
  kModel,   // in the model's dtype (bf16), or quantised in MLX files if it is a matrix
  kLinear,  // the same, and FP8 in FP8 checkpoints
  kFloat,   // fp32 always
};

struct Parameter {
  std::string name;  // canonical; see tensor_plan.h
  ParameterKind kind = ParameterKind::kMatrix;
  uint32_t rows = 1;
  uint32_t cols = 1;
  // Other module paths in files, tried after `name`, all relative to the prefix of the text model.
  std::vector<std::string> spellings = {};
  bool zero_centred = false;  // a norm whose file holds weight - 1, unless mlx-lm converted it
  bool optional = false;
  bool per_expert =
      false;  // an entry (row) per routed expert of its layer: routers and what belongs to their scores
  WeightPrecision precision = WeightPrecision::kModel;
  // A matrix that stays as it is stored in fast mode too: looked up row by row, or multiplied in fp32. What `per_expert` or
  // kFloat marks does so as well; see stays_as_stored().
  bool as_stored = false;
  // A matrix that bears 8 bits: fast mode may hold it so where the file has floats (quant/eight_bit.h).
  bool eight_bit = false;
};

inline bool stays_as_stored(const Parameter& parameter) noexcept {
  return parameter.as_stored || parameter.per_expert || parameter.precision == WeightPrecision::kFloat;
}

// The routed experts of one layer: gate and up [intermediate, hidden], down [hidden, intermediate] each.
struct ExpertLayer {
  uint32_t layer = 0;
  std::vector<std::string> bases;  // the module that holds "experts" or "switch_mlp": "layers.3.mlp"
};

struct ParameterList {
  std::vector<Parameter> parameters;
  std::vector<ExpertLayer> experts;
  // Tensors that a complete checkpoint may hold although nothing reads them: name prefix below the text model's prefix,
  // and why.
  struct Ignored {
    std::string prefix;
    std::string reason;
  };
  std::vector<Ignored> ignored;
  // mlx-lm moves the axes of the DeltaNet convolution, and whoever did that also added 1 to the zero-centred norms. The
  // name of such a parameter, or empty.
  std::string conv_probe;
  bool head_may_be_absent = false;  // a file without lm_head means a tied head, whatever the config says
  bool fused_experts_in_out =
      false;  // fused float experts are [E, in, out], columns of gate and up taking turns (gpt-oss)
};

}  // namespace mach
