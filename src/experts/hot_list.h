// Which experts a model uses most, learned from decode and kept in a file between runs, so that a bank can hold the hottest
// from the start and for good. A count is one use by one token; counts of earlier runs fade by half each time.
//
//   {"format": "mach-hot-experts", "version": 1, "experts": [[layer, expert, uses], ...]}
//
// Only advice: a list decides what is held in memory, never a result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/expert_record.h"
#include "experts/expert_source.h"

namespace mach {

struct ExpertUses {
  ExpertId id;
  double uses = 0;
  bool operator==(const ExpertUses&) const = default;
};

// The hottest first; of equals the lower id.
using HotList = std::vector<ExpertUses>;

// Throws Error{kCorruptFile} naming the entry that is wrong: of no layer, twice, or not above 0.
HotList parse_hot_list(std::string_view text, std::string_view what, std::span<const ExpertLayerSpec> layers);
std::string hot_list_text(const HotList& list);

// Empty where there is no file, or none that fits these layers: it is learned anew.
HotList load_hot_list(const std::filesystem::path& path, std::span<const ExpertLayerSpec> layers);

// Makes the folder where it is missing. Throws Error{kIo}.
void save_hot_list(const std::filesystem::path& path, const HotList& list);

// What a run adds to what was known. Experts that have faded below one use are left out.
HotList merge_hot_lists(const HotList& before, const HotList& run);

}  // namespace mach
