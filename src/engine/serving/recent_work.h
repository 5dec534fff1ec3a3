// Rates of the last seconds of work: sums in which older passes count less, by a factor of e per kSpan. Time in which
// nothing runs does not count.
#pragma once

#include <cmath>
#include <cstdint>

namespace mach {

class RecentWork {
 public:
  static constexpr double kSpan = 10;  // seconds

  void add_pass(double seconds, uint64_t prompt_tokens, uint64_t generated_tokens) noexcept {
    const double keep = std::exp(-seconds / kSpan);
    seconds_ = seconds_ * keep + seconds;
    prompt_tokens_ = prompt_tokens_ * keep + static_cast<double>(prompt_tokens);
    generated_tokens_ = generated_tokens_ * keep + static_cast<double>(generated_tokens);
    decode_passes_ = decode_passes_ * keep + (generated_tokens > 0 ? 1 : 0);
  }

  double prompt_rate() const noexcept { return seconds_ > 0 ? prompt_tokens_ / seconds_ : 0; }
  double generated_rate() const noexcept { return seconds_ > 0 ? generated_tokens_ / seconds_ : 0; }
  double batch_width() const noexcept { return decode_passes_ > 0 ? generated_tokens_ / decode_passes_ : 0; }

 private:
  double seconds_ = 0;
  double prompt_tokens_ = 0;
  double generated_tokens_ = 0;
  double decode_passes_ = 0;
};

}  // namespace mach
