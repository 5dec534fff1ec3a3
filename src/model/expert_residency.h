// Where a model's routed experts live: all in memory, or on disk behind an expert bank. Decides by the options and by what
// fits, opens the source that the checkpoint has (a sidecar before the shards), and makes the provider that graphs use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "experts/eviction.h"
#include "experts/expert_bank.h"
#include "experts/expert_provider.h"
#include "io/file_reader.h"
#include "kernels/compute.h"
#include "model/weights.h"

namespace mach {

enum class ResidencyMode : uint8_t {
  kAuto,       // resident where everything fits into available memory, else streaming
  kResident,   // refused with the numbers where it does not fit
  kStreaming,  // through a bank, whatever fits
};

struct ResidencyOptions {
  ResidencyMode mode = ResidencyMode::kAuto;
  std::optional<uint64_t> bank_bytes;  // of a streaming bank; empty: auto_bank_bytes()
  std::optional<ReaderKind> reader;    // empty: measured
  uint32_t lanes = 0;                  // records read at a time; 0: measured
  EvictionKind eviction = EvictionKind::kLfru;
  bool verify = false;  // hold records of a sidecar against their checksums
  Lookahead lookahead = Lookahead::kMeasured;
  uint64_t other_bytes = 0;  // memory that others will still take: caches of the context, intermediate values
  uint64_t spare_bytes = 0;  // what an automatic size leaves free beside them; never a reason to refuse
  std::filesystem::path hot_list;  // BankOptions::hot_list
};

// The store is of the same checkpoint folder and outlives the provider. Throws Error{kOutOfBudget} with the numbers,
// Error{kNotFound, kCorruptFile, kUnsupported, kIo}.
std::unique_ptr<ExpertProvider> open_experts(const std::filesystem::path& folder, const ModelConfig& config,
                                             WeightStore& weights, Numerics numerics,
                                             const ResidencyOptions& options);

}  // namespace mach
