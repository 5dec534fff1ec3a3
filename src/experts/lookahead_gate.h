// Whether reading ahead on a guess pays is measured, not believed: tokens run in short stretches with and without it, and
// the faster way is kept for a while before it is tried again. Where nothing misses there is nothing to gain, and it stays
// off. Not thread-safe: the bank's lock guards it.
#pragma once

#include <array>
#include <cstdint>

namespace mach {

class LookaheadGate {
 public:
  static constexpr uint32_t kStretch = 8;  // tokens
  static constexpr uint32_t kWarmUp = 4;   // tokens before the first stretch
  static constexpr uint32_t kHold = 512;   // tokens that a decision stands
  static constexpr double kGain = 0.97;    // it must be so much faster to be kept

  bool on() const noexcept { return on_; }

  // A decode pass over all layers took so long and missed so many experts.
  void passed(double seconds, uint64_t misses) noexcept;

 private:
  enum class Phase : uint8_t { kWait, kOff1, kOn1, kOff2, kOn2 };
  void decide() noexcept;
  void enter(Phase phase) noexcept;

  Phase phase_ = Phase::kWait;
  uint32_t left_ = kWarmUp;  // passes of this phase
  bool on_ = false;
  uint64_t misses_ = 0;              // in stretches without
  std::array<double, 2> seconds_{};  // without, with
};

}  // namespace mach
