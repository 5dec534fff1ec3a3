// Token ids from a file: a JSON array of whole numbers, or a .safetensors with a vector `input_ids` (I32 or I64).
#pragma once

#include <filesystem>
#include <vector>

#include "mach/session.h"

namespace mach::tools {

// Throws Error{kNotFound, kIo, kTooLarge}, and Error{kInvalidRequest} naming the file and what is wrong in it.
std::vector<TokenId> read_token_ids(const std::filesystem::path& path);

}  // namespace mach::tools
