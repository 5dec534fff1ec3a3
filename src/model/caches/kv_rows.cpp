#include "model/caches/kv_rows.h"

#include <cstring>
#include <utility>

#include "model/state_io.h"

namespace mach {
void store_kv_row(const KernelSet& kernels, KvElement element, std::span<const float> values,
                  std::byte* row) noexcept {
  const auto n = static_cast<uint32_t>(values.size());
  switch (element) {
    case KvElement::kF32:
      std::memcpy(row, values.data(), values.size_bytes());
      return;
    case KvElement::kBF16:
      kernels.bf16_from_f32(values.data(), n, row);
      return;
    case KvElement::kQ8:
      kernels.q8_from_f32(values.data(), n, row);
      return;
  }
}

KvRows::KvRows(const KvShape& shape, uint32_t tokens)
    : shape_(shape), tokens_(tokens), own_(shape.token_bytes() * tokens) {}

KvRows::KvRows(const KvShape& shape, uint32_t tokens, SlabPool::Piece piece) noexcept
    : shape_(shape), tokens_(tokens), piece_(std::move(piece)) {}

void KvRows::write(const KernelSet& kernels, uint32_t slot, std::span<const float> k,
                   std::span<const float> v) noexcept {
  for (uint32_t h = 0; h < shape_.kv_heads; ++h) {
    const size_t first = size_t{h} * shape_.head_dim;
    store_kv_row(kernels, shape_.element, k.subspan(first, shape_.head_dim), data() + offset(0, h, slot));
    store_kv_row(kernels, shape_.element, v.subspan(first, shape_.head_dim), data() + offset(1, h, slot));
  }
}

void KvRows::copy_from(const KvRows& source, uint32_t source_slot, uint32_t slot, uint32_t count) noexcept {
  if (count == 0) return;
  for (uint32_t plane = 0; plane < 2; ++plane) {
    for (uint32_t h = 0; h < shape_.kv_heads; ++h) {
      std::memcpy(data() + offset(plane, h, slot), source.data() + source.offset(plane, h, source_slot),
                  count * shape_.head_bytes());
    }
  }
}

KvRun KvRows::run(uint32_t slot, uint32_t count, uint32_t position) const noexcept {
  return {.begin = position,
          .count = count,
          .head_stride = tokens_,
          .k = data() + offset(0, 0, slot),
          .v = data() + offset(1, 0, slot)};
}

void KvRows::save(StateWriter& writer, uint32_t slot, uint32_t count) const {
  for (uint32_t plane = 0; plane < 2; ++plane) {
    for (uint32_t h = 0; h < shape_.kv_heads; ++h) {
      writer.bytes({data() + offset(plane, h, slot), count * shape_.head_bytes()});
    }
  }
}

void KvRows::load(StateReader& reader, uint32_t slot, uint32_t count) {
  for (uint32_t plane = 0; plane < 2; ++plane) {
    for (uint32_t h = 0; h < shape_.kv_heads; ++h) {
      const auto bytes = reader.bytes(count * shape_.head_bytes(), "keys and values");
      if (!bytes.empty()) std::memcpy(data() + offset(plane, h, slot), bytes.data(), bytes.size());
    }
  }
}

void save_shape(StateWriter& writer, const KvShape& shape) {
  writer.number(shape.kv_heads);
  writer.number(shape.head_dim);
  writer.number(static_cast<uint64_t>(shape.element));
}

void check_shape(StateReader& reader, const KvShape& shape) {
  reader.expect(shape.kv_heads, "KV heads");
  reader.expect(shape.head_dim, "head dimension");
  reader.expect(static_cast<uint64_t>(shape.element), "KV element type");
}

}  // namespace mach
