// Reads rotary settings from config.json in any of their forms: rope_theta beside rope_scaling (transformers v4),
// rope_parameters (v5), rope_parameters nested per kind of layer (Gemma 4, DeepSeek V4).
#pragma once

#include <cstdint>
#include <optional>

#include "arch/config_reader.h"
#include "arch/rope_config.h"

namespace mach {

// What a family does differently.
struct RopeRules {
  uint32_t head_dim = 0;
  uint32_t max_position = 0;  // max_position_embeddings: the original length where none is given
  double default_theta = 10000.0;
  double default_partial = 1.0;          // share of the head that rotates
  bool default_type_rotates_all = true;  // type "default" ignores partial_rotary_factor
  RopePairing pairing = RopePairing::kHalfSplitLeading;
  uint32_t rotary_dims = 0;  // not 0: as many rotate, and partial_rotary_factor is not looked at
};

// The settings object of a level: rope_scaling if it is a non-empty object, else rope_parameters, else none.
std::optional<ConfigReader> find_rope_settings(const ConfigReader& level);

// `settings` over fall-backs at `level` (rope_theta, partial_rotary_factor, original_max_position_embeddings). Throws
// Error{kUnsupported} for a rope type whose frequencies mach cannot make, Error{kCorruptFile} for wrong numbers.
RopeConfig read_rope(const ConfigReader& level, const ConfigReader& settings, const RopeRules& rules);

// The same where there may be no settings at all: then the level's keys and the rules' defaults.
RopeConfig read_rope(const ConfigReader& level, const RopeRules& rules);

}  // namespace mach
