// What attention asks of a layer's keys and values, whichever cache holds them. In a pass: stage(n) makes
// room for n tokens behind length(), write() fills each of them (any order, any thread), runs() shows
// committed and staged rows alike, commit() or discard() ends it. A layer that shares another's KV reads that
// layer's runs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/caches/kv_rows.h"
#include "model/layer_cache.h"

namespace mach {

class KvCache : public LayerCache {
 public:
  const KvShape& shape() const noexcept { return shape_; }

  // Once per pass. If it throws (Error{kOutOfBudget}) the cache is unchanged after discard().
  virtual void stage(uint32_t tokens) = 0;

  // `position` is a staged one. k, v [kv_heads * head_dim] fp32, head-major. Thread-safe for different
  // positions.
  virtual void write(const KernelSet& kernels, uint32_t position, std::span<const float> k,
                     std::span<const float> v) noexcept = 0;

  // Appends runs that cover positions [begin, end) in ascending order. All of them must be held: committed
  // and not fallen out of the window, or staged.
  virtual void runs(uint32_t begin, uint32_t end, std::vector<KvRun>& out) const = 0;

 protected:
  explicit KvCache(const KvShape& shape) noexcept : shape_(shape) {}
  const KvShape shape_;
};

}  // namespace mach
