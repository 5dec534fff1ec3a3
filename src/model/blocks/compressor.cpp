#include "model/blocks/compressor.h"

#include <algorithm>
#include <vector>

#include "model/pass.h"
#include "model/workspace.h"

namespace mach {
namespace {

// One slot of a window: the channels of a token's projection that go into the entry.
struct Slot {
  const float* content;
  const float* gate;
};

// The slots of entry w, oldest first: with overlap the first halves of the window before and the second halves of its own.
size_t slots_of(const EntryPool& pool, uint32_t w, std::span<Slot> slots) {
  const PoolShape& shape = pool.shape();
  size_t count = 0;
  if (shape.overlap && w > 0) {
    for (uint32_t p = (w - 1) * shape.ratio; p < w * shape.ratio; ++p)
      slots[count++] = {pool.content(p), pool.gate(p)};
  }
  const uint32_t half = shape.overlap ? shape.dim : 0;
  for (uint32_t p = w * shape.ratio; p < (w + 1) * shape.ratio; ++p)
    slots[count++] = {pool.content(p) + half, pool.gate(p) + half};
  return count;
}

// entry[c] = sum over slots of softmax(gate[.][c]) content[.][c]. memory: 3 * dim floats.
void pool_slots(const KernelSet& kernels, std::span<const Slot> slots, uint32_t dim, float* memory,
                float* entry) {
  float* largest = memory;
  float* sum = largest + dim;
  float* weight = sum + dim;
  std::copy_n(slots[0].gate, dim, largest);
  for (const Slot& slot : slots.subspan(1)) {
    for (uint32_t c = 0; c < dim; ++c) largest[c] = std::max(largest[c], slot.gate[c]);
  }
  std::fill_n(sum, dim, 0.0F);
  std::fill_n(entry, dim, 0.0F);
  for (const Slot& slot : slots) {
    for (uint32_t c = 0; c < dim; ++c) weight[c] = slot.gate[c] - largest[c];
    kernels.exp(dim, weight);
    for (uint32_t c = 0; c < dim; ++c) {
      sum[c] += weight[c];
      entry[c] += weight[c] * slot.content[c];
    }
  }
  for (uint32_t c = 0; c < dim; ++c) entry[c] /= sum[c];
}

}  // namespace

void extend_entries(Workspace& workspace, const Compressor& compressor, const Pass& pass, size_t cache_index,
                    EntryPool* (CompressedKv::*pool_of)(), const Activations& x, const EntryFilter& filter) {
  const PoolShape& shape = compressor.shape;
  const KernelSet& kernels = workspace.kernels();
  const uint32_t width = shape.width();

  // [rows, 2 * width]: content, then gate with its bias.
  const FloatRows raw = workspace.rows(x.count(), 2 * width);
  Product content = compressor.content.times(x, raw, Precision::kExact);
  Product gate = compressor.gate.times(x, raw, Precision::kExact);
  gate.y = raw.data + width;
  workspace.multiply({content, gate});
  const auto positions = pass.positions();
  workspace.for_rows(raw.count, width, [&](uint32_t row) {
    const float* bias = compressor.position_bias.data() + size_t{positions[row] % shape.ratio} * width;
    kernels.add(bias, width, raw.row(row) + width);
  });

  for (const PassSequence& sequence : pass.sequences()) {
    EntryPool& pool = *(sequence.state->layer<CompressedKv>(cache_index).*pool_of)();
    const uint32_t first = pool.closed_at(pool.length());
    const uint32_t count =
        pool.attach(reinterpret_cast<const std::byte*>(raw.row(sequence.first_row)), sequence.rows);
    if (count == 0) continue;

    const ScratchArena::Frame frame(workspace.arena());
    const auto starts = workspace.arena().take<uint32_t>(count);
    for (uint32_t i = 0; i < count; ++i) starts[i] = (first + i) * shape.ratio;
    const RopeTables rope = compressor.rope->tables(workspace, starts);
    const uint32_t max_slots = shape.ratio * shape.windows_needed();
    const size_t slot_floats = (size_t{max_slots} * sizeof(Slot) + sizeof(float) - 1) / sizeof(float);
    workspace.reserve_worker_floats(slot_floats + 4 * size_t{shape.dim});
    workspace.for_items(count, size_t{count} * max_slots * shape.dim * 8, [&](size_t i, size_t worker) {
      float* const memory = workspace.worker_floats(worker);
      const std::span<Slot> slots(reinterpret_cast<Slot*>(memory), max_slots);
      float* const entry = memory + slot_floats;
      const auto w = static_cast<uint32_t>(first + i);
      const size_t used = slots_of(pool, w, slots);
      pool_slots(kernels, slots.first(used), shape.dim, entry + shape.dim, entry);
      kernels.rms_norm(entry, compressor.norm.weight.data(), compressor.norm.eps, shape.dim, entry);
      rope.rotate(static_cast<uint32_t>(i), entry);
      if (filter) filter({entry, shape.dim});
      store_kv_row(kernels, shape.element, {entry, shape.dim}, pool.writable_entry(w));
    });
  }
}

}  // namespace mach
