// Rotary position settings of one kind of layer, resolved: every default, alias and old spelling of
// config.json is already applied, so two layers with equal RopeConfigs share their tables. Values, no state.
//
// Sources: transformers 5.17 modeling_rope_utils.py as described in specs of the families; YaRN arXiv
// 2309.00071.
#pragma once

#include <cstdint>
#include <vector>

namespace mach {

enum class RopeType : uint8_t {
  kDefault,       // inv_i = theta^(-2i / rotary_dims)
  kLinear,        // the same divided by factor
  kYarn,          // low frequencies divided by factor, high ones kept, a ramp between
  kLlama3,        // as kYarn with wavelength bounds
  kProportional,  // pairs over the whole head; only the first `active` frequencies are not zero (Gemma 4)
};

// Which elements of a head form a pair, and where in the head the rotary block lies.
enum class RopePairing : uint8_t {
  kHalfSplitLeading,     // dims [0, rotary_dims), pairs (i, i + rotary_dims / 2)
  kInterleavedTrailing,  // dims [head_dim - rotary_dims, head_dim), pairs (2i, 2i + 1) of the block
                         // (DeepSeek)
};

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  RopePairing pairing = RopePairing::kHalfSplitLeading;
  double theta = 10000.0;
  uint32_t head_dim = 0;               // of the vectors that are rotated
  uint32_t rotary_dims = 0;            // even, at most head_dim; the others pass through
  uint32_t active = 0;                 // kProportional: frequencies that rotate; else rotary_dims / 2
  double factor = 1.0;                 // all types but kDefault
  double attention_factor = 1.0;       // multiplies cos and sin, so scores grow by its square
  double original_max_position = 0.0;  // kYarn, kLlama3
  double beta_fast = 32.0;             // kYarn
  double beta_slow = 1.0;              // kYarn
  bool truncate = true;                // kYarn: floor and ceil of the ramp's ends
  double low_freq_factor = 1.0;        // kLlama3
  double high_freq_factor = 4.0;       // kLlama3
  bool operator==(const RopeConfig&) const = default;
};

// [rotary_dims / 2] fp32, rounded once from double. The angle at position p is float(p) * inv_i, a product in
// fp32 (the reference's rounding at long contexts depends on it). The attention factor is not in it.
std::vector<float> rope_inverse_frequencies(const RopeConfig& rope);

}  // namespace mach
