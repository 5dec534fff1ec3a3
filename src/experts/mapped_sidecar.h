// A sidecar as resident experts: its layer files mapped and used where they lie, if they are in the order that is wanted;
// otherwise read and rearranged into memory of its own. What mapped pages are in memory is up to the system.
#pragma once

#include <filesystem>
#include <memory>

#include "arch/sidecar_layout.h"
#include "experts/expert_provider.h"

namespace mach {

// `layer_count`: layers are provided by their index below it. Throws kNotFound, kCorruptFile, kIo, kOutOfBudget.
std::unique_ptr<ExpertProvider> resident_sidecar(const std::filesystem::path& checkpoint,
                                                 const SidecarLayout& layout, RecordOrder order,
                                                 uint32_t layer_count, bool verify);

}  // namespace mach
