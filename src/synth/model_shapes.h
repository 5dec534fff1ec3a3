// The released models whose shapes `mach synth` can imitate: one row each. Constant data.
// Sources: the config.json files of Qwen/Qwen3-30B-A3B, Qwen/Qwen3.6-35B-A3B, openai/gpt-oss-20b, google/gemma-4-26b-a4b-it,
// deepseek-ai/DeepSeek-V4-Flash.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace mach::synth {

// How the matrices of a synthetic checkpoint are stored; see storage_plan.h for what that means per family.
enum class Quant : uint8_t { kAffine4, kAffine8, kMxFp4, kBF16 };

struct ModelShape {
  std::string_view name;    // as in `--like`
  std::string_view config;  // JSON
  Quant quant;              // of the release that people run
};

std::span<const ModelShape> model_shapes() noexcept;

}  // namespace mach::synth
