// What every family must make of its expert provider, whichever that is: leases of any size give the same bits,
// and a failed acquire leaves the sequence as it was before the pass. For nano checkpoints (support/golden.h).
#pragma once

#include <filesystem>

namespace mach::testing {

// A provider that leases one or three experts at a time gives the results of one that leases all.
void check_waves(const std::filesystem::path& folder);

// Fails each acquire of a pass in turn: the pass throws, every layer is at its former length, and the same pass
// then gives the result it would have given at once.
void check_failed_reads(const std::filesystem::path& folder);

}  // namespace mach::testing
