// Reads the quantisation block of config.json.
#pragma once

#include "arch/config_reader.h"
#include "arch/quant_config.h"

namespace mach {

inline constexpr uint32_t kDefaultFp8Block = 128;  // rows and columns, where an fp8 config does not say

// Order: `quantization` (MLX), then `quantization_config`, each at the root and then inside the text model. Throws
// Error{kUnsupported} naming the method, mode or width that mach cannot read.
QuantConfig read_quant_config(const ConfigReader& text, const ConfigReader& root);

}  // namespace mach
