// The tensors of an artifact that are no routed experts: copied byte for byte, except that what belongs to single experts
// (router rows, score biases, hash tables) follows the experts that are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "convert/keep_plan.h"
#include "convert/source_checkpoint.h"
#include "io/safetensors_writer.h"

namespace mach {

// Hands out the bytes of a tensor in order, in pieces.
using ByteSink = std::function<void(std::span<const std::byte>)>;

struct OutputTensor {
  TensorSpec spec;
  uint64_t bytes = 0;
  std::function<void(const ByteSink&)> write;  // from the source's mapping; a megabyte of memory at most
};

// In the order of the source's shards. A token whose hash table names an expert that is gone gets the next kept one (upwards,
// around the end) that it does not have yet. Throws Error{kUnsupported} for a tensor whose rows cannot be told apart.
std::vector<OutputTensor> resident_tensors(const SourceCheckpoint& source, const KeptExperts& kept);

// The id that stands for each old id of a row of a hash table, after pruning; `row` is changed in place.
void remap_token_experts(const std::vector<uint32_t>& kept, std::vector<uint32_t>& row);

}  // namespace mach
