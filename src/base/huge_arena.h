// Memory on huge pages that is taken in pieces and given back all at once. A piece of its own for every matrix would waste a
// part of a huge page each; here only the last page of a block is shared out incompletely. Pages appear when they are
// touched, so what is left of a block costs nothing. Single owner; pieces never move.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"

namespace mach {

class HugeArena {
 public:
  // Uninitialised, at a multiple of kVectorAlignment. Throws kOutOfBudget where the system has no such memory.
  std::span<std::byte> take(uint64_t size);

 private:
  std::vector<AlignedBuffer> blocks_;
  std::span<std::byte> rest_;  // of the block that is being shared out
};

}  // namespace mach
