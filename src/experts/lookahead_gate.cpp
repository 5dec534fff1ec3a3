#include "experts/lookahead_gate.h"

namespace mach {

void LookaheadGate::passed(double seconds, uint64_t misses) noexcept {
  if (phase_ != Phase::kWait) {
    seconds_[on_ ? 1 : 0] += seconds;
    if (!on_) misses_ += misses;
  }
  if (--left_ > 0) return;
  switch (phase_) {
    case Phase::kWait:
      return enter(Phase::kOff1);
    case Phase::kOff1:
      // Nothing to read ahead: not worth the trial.
      return misses_ == 0 ? enter(Phase::kWait) : enter(Phase::kOn1);
    case Phase::kOn1:
      return enter(Phase::kOff2);
    case Phase::kOff2:
      return enter(Phase::kOn2);
    case Phase::kOn2:
      return decide();
  }
}

void LookaheadGate::enter(Phase phase) noexcept {
  if (phase == Phase::kOff1) {
    misses_ = 0;
    seconds_ = {};
  }
  phase_ = phase;
  on_ = phase == Phase::kOn1 || phase == Phase::kOn2;
  left_ = phase == Phase::kWait ? kHold : kStretch;
}

void LookaheadGate::decide() noexcept {
  const bool pays = seconds_[1] < kGain * seconds_[0];
  enter(Phase::kWait);
  on_ = pays;
}

}  // namespace mach
