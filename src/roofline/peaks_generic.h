// What the compiler makes of plain loops, on any processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mach::roofline::generic {

uint64_t read(const std::byte* data, size_t bytes);
float fp32(uint64_t steps);    // 64
int32_t int8(uint64_t steps);  // 64

}  // namespace mach::roofline::generic
