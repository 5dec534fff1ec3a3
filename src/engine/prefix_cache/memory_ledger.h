// What a set of snapshots takes in memory, pieces that several of them share counted once. Single owner.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "model/sequence_state.h"

namespace mach {

class MemoryLedger {
 public:
  uint64_t bytes() const noexcept { return bytes_; }

  static uint64_t bytes_of(const StateSnapshot& snapshot) {
    uint64_t sum = 0;
    snapshot.visit_memory([&sum](const void*, uint64_t bytes) { sum += bytes; });
    return sum;
  }

  void add(const StateSnapshot& snapshot) {
    snapshot.visit_memory([this](const void* piece, uint64_t bytes) {
      if (++holders_[piece] == 1) bytes_ += bytes;
    });
  }

  // One that was added.
  void remove(const StateSnapshot& snapshot) {
    snapshot.visit_memory([this](const void* piece, uint64_t bytes) {
      const auto holders = holders_.find(piece);
      if (--holders->second > 0) return;
      holders_.erase(holders);
      bytes_ -= bytes;
    });
  }

 private:
  std::unordered_map<const void*, uint32_t> holders_;  // a piece: snapshots that hold it
  uint64_t bytes_ = 0;
};

}  // namespace mach
