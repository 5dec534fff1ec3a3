// How large an expert bank must be, can be and should be: from record sizes alone, before anything is allocated. The
// loader, `mach check` and the server ask the same functions. Pure, but for the exceptions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "arch/expert_record.h"
#include "base/memory_info.h"

namespace mach {

// Records that are read at a time where nothing was measured.
inline constexpr uint32_t kDefaultLanes = 2;

// All experts of all layers, as records.
uint64_t expert_record_bytes(std::span<const ExpertLayerSpec> layers) noexcept;
uint64_t expert_total(std::span<const ExpertLayerSpec> layers) noexcept;

// One token's working set: top_k records of every layer. Below it no eviction policy can have a hit, so a smaller bank
// is refused.
uint64_t bank_floor_bytes(std::span<const ExpertLayerSpec> layers, uint32_t top_k) noexcept;

// Slots for records of one size. Layers of one format share them, so what one layer does not need another has.
struct SlotClass {
  uint64_t record_size = 0;
  uint32_t slots = 0;
  uint32_t experts = 0;          // of its layers together; slots is at most that
  std::vector<uint32_t> layers;  // ExpertLayerSpec::layer
};

// Divides `budget_bytes` among the record sizes of a model in proportion to their part of a token's working set. The slots
// never take more than the budget. Throws Error{kOutOfBudget} below the floor, saying what would do.
std::vector<SlotClass> plan_slots(std::span<const ExpertLayerSpec> layers, uint32_t top_k,
                                  uint64_t budget_bytes);

// What a bank takes when nobody says: the memory that is available now, less `other_bytes` (resident weights that are
// still to be loaded, caches of the context) and a reserve for the rest of the machine; at most all experts. It may come
// out below the floor, or 0.
uint64_t auto_bank_bytes(std::span<const ExpertLayerSpec> layers, const MemoryInfo& memory,
                         uint64_t other_bytes) noexcept;

// Kept free by auto_bank_bytes(): a sixteenth of the memory, between 256 MiB and 2 GiB.
uint64_t memory_reserve(const MemoryInfo& memory) noexcept;

}  // namespace mach
