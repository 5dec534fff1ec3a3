#include "model/caches/paged_kv.h"

#include <algorithm>

#include "mach/error.h"

#include "model/state_io.h"

namespace mach {
namespace {

constexpr std::string_view kTag = "paged_kv";

uint32_t blocks_for(uint32_t tokens) noexcept {
  return tokens / PagedKv::kBlockTokens + (tokens % PagedKv::kBlockTokens != 0 ? 1 : 0);
}

uint64_t sum_bytes(const std::vector<std::shared_ptr<KvRows>>& blocks, bool only_unshared) noexcept {
  uint64_t sum = 0;
  for (const auto& block : blocks) {
    if (!only_unshared || block.use_count() == 1) sum += block->bytes();
  }
  return sum;
}

}  // namespace

struct PagedKv::Snapshot final : LayerSnapshot {
  KvShape shape;
  Blocks blocks;
  uint32_t length = 0;
  uint64_t bytes() const noexcept override { return sum_bytes(blocks, true); }
  uint32_t truncatable_to() const noexcept override { return 0; }
  void visit_memory(FunctionRef<void(const void*, uint64_t)> visit) const override {
    for (const auto& block : blocks) visit(block.get(), block->bytes());
  }
};

// `more` further blocks will be wanted at once.
std::shared_ptr<KvRows> PagedKv::new_block(uint32_t more) {
  return std::make_shared<KvRows>(shape_, kBlockTokens,
                                  memory_->take(shape_.token_bytes() * kBlockTokens, more));
}

void PagedKv::stage(uint32_t tokens) {
  const uint32_t used = length_ % kBlockTokens;
  if (used != 0 && blocks_.back().use_count() > 1) {
    auto own = new_block();
    own->copy_from(*blocks_.back(), 0, 0, used);
    blocks_.back() = std::move(own);
  }
  const uint32_t wanted = blocks_for(length_ + tokens);
  while (blocks_.size() < wanted)
    blocks_.push_back(new_block(wanted - static_cast<uint32_t>(blocks_.size()) - 1));
  staged_ = tokens;
}

void PagedKv::write(const KernelSet& kernels, uint32_t position, std::span<const float> k,
                    std::span<const float> v) noexcept {
  blocks_[position / kBlockTokens]->write(kernels, position % kBlockTokens, k, v);
}

void PagedKv::runs(uint32_t begin, uint32_t end, std::vector<KvRun>& out) const {
  while (begin < end) {
    const uint32_t slot = begin % kBlockTokens;
    const uint32_t count = std::min(end - begin, kBlockTokens - slot);
    out.push_back(blocks_[begin / kBlockTokens]->run(slot, count, begin));
    begin += count;
  }
}

void PagedKv::commit() noexcept {
  length_ += staged_;
  staged_ = 0;
}

void PagedKv::drop_blocks_from(uint32_t length) noexcept {
  if (blocks_.size() > blocks_for(length)) blocks_.resize(blocks_for(length));
  staged_ = 0;
}

void PagedKv::truncate(uint32_t length) {
  drop_blocks_from(length);
  length_ = length;
}

std::unique_ptr<LayerSnapshot> PagedKv::snapshot() const {
  auto copy = std::make_unique<Snapshot>();
  copy->shape = shape_;
  copy->blocks = blocks_;
  copy->length = length_;
  return copy;
}

void PagedKv::restore(const LayerSnapshot& snapshot) {
  const auto* from = dynamic_cast<const Snapshot*>(&snapshot);
  if (from == nullptr || from->shape != shape_) {
    throw Error(ErrorCode::kInternal, "paged KV cache: snapshot of another kind of cache");
  }
  blocks_ = from->blocks;
  length_ = from->length;
  staged_ = 0;
}

uint64_t PagedKv::bytes() const noexcept { return sum_bytes(blocks_, false); }

void PagedKv::save(StateWriter& writer) const {
  writer.text(kTag);
  save_shape(writer, shape_);
  writer.number(length_);
  for (uint32_t first = 0; first < length_; first += kBlockTokens) {
    blocks_[first / kBlockTokens]->save(writer, 0, std::min(kBlockTokens, length_ - first));
  }
}

void PagedKv::load(StateReader& reader) {
  reader.expect_text(kTag);
  check_shape(reader, shape_);
  const uint32_t length = reader.count(shape_.token_bytes(), "length");
  truncate(0);
  stage(length);
  for (uint32_t first = 0; first < length; first += kBlockTokens) {
    blocks_[first / kBlockTokens]->load(reader, 0, std::min(kBlockTokens, length - first));
  }
  commit();
}

}  // namespace mach
