// Random numbers by position instead of by history: draw i of a seed is a pure function of both, so a
// sequence that is rolled back, restored or verified in another batch draws the same numbers again, on every
// machine. SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014) read by
// index.
#pragma once

#include <cstdint>

namespace mach {

class CounterRandom {
 public:
  // The seed is mixed first: neighbouring seeds must not give the same stream one step apart.
  explicit CounterRandom(uint64_t seed) noexcept : start_(mix(seed + kStep)) {}

  uint64_t at(uint64_t index) const noexcept { return mix(start_ + (index + 1) * kStep); }

  // Uniform in [0, bound) up to a bias of bound / 2^64. Precondition: bound > 0.
  uint64_t below(uint64_t bound, uint64_t index) const noexcept {
    __extension__ using Uint128 = unsigned __int128;
    return static_cast<uint64_t>((static_cast<Uint128>(at(index)) * bound) >> 64);
  }

 private:
  static constexpr uint64_t kStep = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio, odd

  static constexpr uint64_t mix(uint64_t z) noexcept {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  uint64_t start_;
};

}  // namespace mach
