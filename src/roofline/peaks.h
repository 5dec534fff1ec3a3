// What a core can do at most, per instruction set: loops without memory traffic, and a plain read of memory. Each function
// returns something that depends on all its work, so that none of it can be left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/cpu_features.h"

namespace mach::roofline {

struct Peaks {
  std::string_view name;
  CpuFeatures required;
  uint64_t (*read)(const std::byte* data, size_t bytes);  // data 64-aligned, bytes a multiple of 1024
  float (*fp32)(uint64_t steps);                          // fp32_per_step multiply-adds each
  int32_t (*int8)(uint64_t steps);  // int8_per_step 8-bit products each, summed to 32 bits
  float (*bf16)(uint64_t steps);    // bf16_per_step products of bf16 pairs each, summed in fp32; null: none
  uint32_t fp32_per_step, int8_per_step, bf16_per_step;
};

std::span<const Peaks> peaks() noexcept;  // best first; not empty, and the last runs wherever any does

}  // namespace mach::roofline
