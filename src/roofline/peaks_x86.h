#pragma once

#include <cstddef>
#include <cstdint>

namespace mach::roofline {

namespace avx2 {
uint64_t read(const std::byte* data, size_t bytes);
float fp32(uint64_t steps);    // 12 chains of 8
int32_t int8(uint64_t steps);  // 8 chains of 32
}  // namespace avx2

namespace avx512 {
uint64_t read(const std::byte* data, size_t bytes);
float fp32(uint64_t steps);    // 12 chains of 16
int32_t int8(uint64_t steps);  // 12 chains of 64
}  // namespace avx512

namespace avx512bf16 {
float bf16(uint64_t steps);  // 12 chains of 32
}  // namespace avx512bf16

}  // namespace mach::roofline
