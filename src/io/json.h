// Parsing of small and middling JSON (configs, requests) into nlohmann values, with limits that hold before memory is
// taken: text size, nesting, number of values. Errors name the text's origin and the byte position.
// Large files (tokenizer.json, shard indexes, safetensors headers) have own readers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "mach/error.h"

namespace mach {

enum class DuplicateKeys : uint8_t { kRefuse, kKeepLast };

struct JsonLimits {
  uint64_t max_bytes = uint64_t{64} << 20;  // over it: kTooLarge
  size_t max_depth = 128;                   // of arrays and objects
  size_t max_values = size_t{4} << 20;      // numbers, strings, arrays ... together
  DuplicateKeys duplicates = DuplicateKeys::kRefuse;
  ErrorCode error = ErrorCode::kCorruptFile;  // of everything but size; a server says kInvalidRequest
};

// `what` is the file or request part the text comes from. No comments, no NaN or Infinity, no trailing commas.
nlohmann::json parse_json(std::string_view text, std::string_view what, const JsonLimits& limits = {});
// Keeps the order of keys.
nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view what,
                                          const JsonLimits& limits = {});

// Throws kNotFound, kIo, kTooLarge or kCorruptFile.
nlohmann::json read_json_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{64} << 20);

}  // namespace mach
