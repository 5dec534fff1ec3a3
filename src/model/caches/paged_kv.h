// Keys and values of every position, in reference-counted blocks of kBlockTokens tokens. A snapshot shares the
// blocks, so that sequences with a common prefix keep one copy of it; the first write into a shared, partly
// filled block copies it. Any suffix can be dropped. Block b holds positions [b * 64, b * 64 + 64).
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "model/caches/kv_cache.h"

namespace mach {

class PagedKv final : public KvCache {
 public:
  static constexpr uint32_t kBlockTokens = 64;

  // The blocks come from `memory`, which the layers of a model share.
  explicit PagedKv(const KvShape& shape, std::shared_ptr<SlabPool> memory = SlabPool::make())
      : KvCache(shape), memory_(std::move(memory)) {}

  void stage(uint32_t tokens) override;
  void write(const KernelSet& kernels, uint32_t position, std::span<const float> k,
             std::span<const float> v) noexcept override;
  void runs(uint32_t begin, uint32_t end, std::vector<KvRun>& out) const override;

  void commit() noexcept override;
  void discard() noexcept override { drop_blocks_from(length_); }

  uint32_t length() const noexcept override { return length_; }
  uint32_t truncatable_to() const noexcept override { return 0; }
  bool keeps_every_position() const noexcept override { return true; }
  void truncate(uint32_t length) override;
  std::unique_ptr<LayerSnapshot> snapshot() const override;
  void restore(const LayerSnapshot& snapshot) override;
  uint64_t bytes() const noexcept override;
  void save(StateWriter& writer) const override;
  void load(StateReader& reader) override;

 private:
  using Blocks = std::vector<std::shared_ptr<KvRows>>;
  struct Snapshot;

  void drop_blocks_from(uint32_t length) noexcept;
  std::shared_ptr<KvRows> new_block(uint32_t more = 0);

  std::shared_ptr<SlabPool> memory_;
  Blocks blocks_;
  uint32_t length_ = 0;
  uint32_t staged_ = 0;
};

}  // namespace mach
