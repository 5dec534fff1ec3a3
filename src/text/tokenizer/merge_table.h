// The merges of a byte-pair encoding: (left id, right id) -> (rank, merged id), by open addressing. Half a million merges
// take 16 MiB and a lookup touches one cache line.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "mach/session.h"

namespace mach {

struct Merge {
  uint32_t rank = UINT32_MAX;  // the lowest is applied first; UINT32_MAX: these two do not merge
  TokenId merged = -1;
};

class MergeTable {
 public:
  void reserve(size_t count) {
    const size_t wanted = std::bit_ceil(count * 2 < 16 ? size_t{16} : count * 2);
    if (wanted > slots_.size()) grow(wanted);
  }

  // Ids are not negative. A pair inserted again takes the new rank.
  void insert(TokenId left, TokenId right, Merge merge) {
    if ((count_ + 1) * 2 > slots_.size()) grow(slots_.empty() ? 16 : slots_.size() * 2);
    const uint64_t key = key_of(left, right);
    size_t i = index_of(key);
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & mask();
    if (slots_[i].key == kEmpty) ++count_;
    slots_[i] = {key, merge};
  }

  Merge find(TokenId left, TokenId right) const noexcept {
    if (count_ == 0) return {};
    const uint64_t key = key_of(left, right);
    for (size_t i = index_of(key);; i = (i + 1) & mask()) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) return {};
    }
  }

  // Asks memory for the place of a pair that is about to be inserted or looked up.
  void prefetch(TokenId left, TokenId right) const noexcept {
    if (!slots_.empty()) __builtin_prefetch(&slots_[index_of(key_of(left, right))]);
  }

  size_t size() const noexcept { return count_; }

  // visit(merged id) for every merge, in no order.
  template <class Visit>
  void for_each_merged(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.key != kEmpty) visit(slot.merge.merged);
    }
  }

 private:
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;

  static uint64_t key_of(TokenId left, TokenId right) noexcept {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t mask() const noexcept { return slots_.size() - 1; }
  // Fibonacci hashing; the xor brings the left id into the low half first.
  size_t index_of(uint64_t key) const noexcept { return ((key ^ key >> 29) * 0x9e3779b97f4a7c15U) >> shift_; }

  void grow(size_t slot_count) {
    std::vector<Slot> old(slot_count);
    old.swap(slots_);
    shift_ = 64 - std::countr_zero(slot_count);
    for (const Slot& slot : old) {
      if (slot.key == kEmpty) continue;
      size_t i = index_of(slot.key);
      while (slots_[i].key != kEmpty) i = (i + 1) & mask();
      slots_[i] = slot;
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t count_ = 0;
  int shift_ = 0;
};

}  // namespace mach
