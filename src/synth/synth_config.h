// The config.json of a synthetic checkpoint: a real one with fewer layers, and with the quantisation block of the storage
// that was asked for.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "arch/model_config.h"
#include "synth/model_shapes.h"

namespace mach::synth {

struct QuantRow {
  Quant quant;
  std::string_view name;  // as in `--quant`
};
std::span<const QuantRow> quant_rows() noexcept;
std::string_view quant_name(Quant quant) noexcept;
Quant find_quant(std::string_view name);  // throws Error{kInvalidRequest} naming the known ones

// Keeps the first `layers` layers (0: all). Throws Error{kInvalidRequest} for more layers than the model has, and what
// parse_model_config throws.
nlohmann::ordered_json synthetic_config(const nlohmann::ordered_json& original, uint32_t layers, Quant quant);

}  // namespace mach::synth
