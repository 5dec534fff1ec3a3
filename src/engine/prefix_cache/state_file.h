// A sequence state on disk, under the tokens that it holds. Little-endian:
//
//   offset  0  "MACHPFX\n"
//           8  u64 version
//          16  f64 effective hits, i64 time of the last one (Unix seconds): rewritten in place, not in the checksum
//          32  u64 u64 identity of the model (model_identity.h)
//          48  u64 tokens
//          56  u64 the smallest length that the state can be truncated to
//          64  u64 bytes of the state
//          72  i32 per token
//              u64 XXH3-64 of bytes 0 to 16 and 32 to here
//              the state, in the form of model/state_io.h, which carries a checksum of its own; the file ends with it
//
// Written under a temporary name and renamed, so a file is whole or absent. Whatever else is read is
// Error{kCorruptFile} naming the file and the field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "mach/session.h"

#include "engine/prefix_cache/model_identity.h"
#include "model/sequence_state.h"

namespace mach {

inline constexpr uint64_t kStateFileVersion = 1;
inline constexpr std::string_view kStateFileSuffix = ".machkv";

struct FileUse {
  double effective_hits = 0;
  int64_t last_used = 0;  // Unix seconds
};

struct StateFileHeader {
  FileUse use;
  ModelIdentity identity;
  std::vector<TokenId> tokens;
  uint32_t truncatable_to = 0;
  uint64_t state_offset = 0;
  uint64_t state_bytes = 0;  // to the end of the file, not looked at
};

// `head` is the beginning of a file of `file_bytes`, at least to the end of the header.
StateFileHeader parse_state_file(std::span<const std::byte> head, uint64_t file_bytes, std::string_view name);

// `state` holds `tokens`. Returns the bytes of the file. Throws Error{kIo}.
uint64_t write_state_file(const std::filesystem::path& path, const ModelIdentity& identity,
                          const FileUse& use, std::span<const TokenId> tokens, uint32_t truncatable_to,
                          const SequenceState& state);

// Fills a state of the same model, reading through `window`. Throws Error{kCorruptFile, kIo, kNotFound}, also when the file is of another model or
// holds other tokens; the state is then empty.
void read_state_file(const std::filesystem::path& path, const ModelIdentity& identity,
                     std::span<const TokenId> tokens, std::span<std::byte> window, SequenceState& state);

void write_file_use(const std::filesystem::path& path, const FileUse& use);

}  // namespace mach
