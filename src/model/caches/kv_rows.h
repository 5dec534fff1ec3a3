// Keys and values of some tokens of one layer, and how attention reads them. KvRows is the storage that every
// KV cache is made of (a block of a paged cache, a ring, the rows of a pass not yet committed, a snapshot); a
// KvRun is a view of consecutive positions in it. Elements are fp32, bf16 or 8 bits, laid out
//   K [kv_heads][tokens] rows of head_dim, then V the same,
// so that one head's keys are contiguous. Writes to different slots may run on different threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "base/slab_pool.h"
#include "kernels/kernel_set.h"
#include "quant/kv_row.h"

namespace mach {

class StateWriter;
class StateReader;

// Stores fp32 values as a row.
void store_kv_row(const KernelSet& kernels, KvElement element, std::span<const float> values,
                  std::byte* row) noexcept;

struct KvShape {
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  KvElement element = KvElement::kF32;

  size_t head_bytes() const noexcept {
    return kv_row_bytes(element, head_dim);
  }  // K or V, one token, one head
  size_t token_bytes() const noexcept { return 2 * kv_heads * head_bytes(); }
  bool operator==(const KvShape&) const = default;
};

// The keys and values of positions [begin, begin + count). Row i of head h starts (h * head_stride + i) rows
// behind `k` and `v`.
struct KvRun {
  uint32_t begin = 0;
  uint32_t count = 0;
  uint32_t head_stride = 0;  // rows
  const std::byte* k = nullptr;
  const std::byte* v = nullptr;
};

class KvRows {
 public:
  KvRows() noexcept = default;
  // Contents are undefined until written. Throws Error{kOutOfBudget}.
  KvRows(const KvShape& shape, uint32_t tokens);
  // In a piece of shape.token_bytes() * tokens.
  KvRows(const KvShape& shape, uint32_t tokens, SlabPool::Piece piece) noexcept;

  uint32_t tokens() const noexcept { return tokens_; }
  uint64_t bytes() const noexcept { return shape_.token_bytes() * tokens_; }

  // k, v [kv_heads * head_dim] fp32, head-major.
  void write(const KernelSet& kernels, uint32_t slot, std::span<const float> k,
             std::span<const float> v) noexcept;

  // Copies `count` rows of every head. Same shape; the ranges do not overlap.
  void copy_from(const KvRows& source, uint32_t source_slot, uint32_t slot, uint32_t count) noexcept;

  KvRun run(uint32_t slot, uint32_t count, uint32_t position) const noexcept;

  void save(StateWriter& writer, uint32_t slot, uint32_t count) const;
  void load(StateReader& reader, uint32_t slot, uint32_t count);

 private:
  std::byte* data() noexcept { return own_.empty() ? piece_.bytes().data() : own_.data(); }
  const std::byte* data() const noexcept { return own_.empty() ? piece_.bytes().data() : own_.data(); }
  // plane 0 is K, 1 is V.
  size_t offset(uint32_t plane, uint32_t head, uint32_t slot) const noexcept {
    return ((size_t{plane} * shape_.kv_heads + head) * tokens_ + slot) * shape_.head_bytes();
  }

  KvShape shape_;
  uint32_t tokens_ = 0;
  AlignedBuffer own_;  // one of the two
  SlabPool::Piece piece_;
};

void save_shape(StateWriter& writer, const KvShape& shape);
// Throws Error{kCorruptFile} unless the saved shape equals `shape`.
void check_shape(StateReader& reader, const KvShape& shape);

}  // namespace mach
