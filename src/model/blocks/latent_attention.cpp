#include "model/blocks/latent_attention.h"

#include <algorithm>
#include <array>
#include <vector>

#include "model/pass.h"
#include "model/workspace.h"

namespace mach {
namespace {

using Run = RowRing::Run;

constexpr uint32_t kHeadGroup = 16;  // heads that share a reading of the rows

// The rows that one query sees, as runs of consecutive rows, oldest window row first, then entries.
void visible_runs(CompressedKv& cache, const LatentShape& shape, uint32_t position,
                  const std::span<const uint32_t>* chosen, std::vector<Run>& runs) {
  runs.clear();
  const uint32_t begin = position + 1 > shape.window ? position + 1 - shape.window : 0;
  cache.window().runs(begin, position + 1, runs);
  const EntryPool* pool = cache.entries();
  if (pool == nullptr) return;
  const EntryList& entries = pool->entries();
  const uint32_t closed = pool->closed_at(position + 1);
  const bool all = chosen == nullptr || chosen->data() == nullptr;
  const auto count = all ? closed : static_cast<uint32_t>(chosen->size());
  for (uint32_t i = 0; i < count;) {
    const uint32_t first = all ? i : (*chosen)[i];
    uint32_t length = 1;  // consecutive entries of one block
    while (i + length < count && (all ? i + length : (*chosen)[i + length]) == first + length &&
           (first + length) % EntryList::kBlockEntries != 0) {
      ++length;
    }
    runs.push_back({entries.row(first), length});
    i += length;
  }
}

}  // namespace

void attend_latent(Workspace& workspace, const LatentShape& shape, const Pass& pass, size_t cache_index,
                   const ChosenEntries& chosen, const FloatRows& q, const FloatRows& out) {
  const KernelSet& kernels = workspace.kernels();
  const uint32_t groups = (shape.heads + kHeadGroup - 1) / kHeadGroup;
  const uint32_t d = shape.head_dim;
  for (const PassSequence& sequence : pass.sequences()) {
    CompressedKv& cache = sequence.state->layer<CompressedKv>(cache_index);
    const CompressedShape& kv = cache.shape();
    const bool f32 = kv.element == KvElement::kF32;
    const auto dot_rows = f32 ? kernels.dot_rows_f32 : kernels.dot_rows_bf16;
    const auto mix_rows = f32 ? kernels.mix_rows_f32 : kernels.mix_rows_bf16;

    const uint32_t last = sequence.position + sequence.rows;
    const size_t most =
        std::min(shape.window, last) + (cache.entries() ? cache.entries()->closed_at(last) : 0);
    workspace.reserve_worker_floats(kHeadGroup * (most + d));
    const size_t work = 2 * size_t{sequence.rows} * shape.heads * d * most;
    workspace.for_items(size_t{sequence.rows} * groups, work, [&](size_t item, size_t worker) {
      const auto i = static_cast<uint32_t>(item / groups);
      const uint32_t row = sequence.first_row + i;
      const auto first_head = static_cast<uint32_t>(item % groups) * kHeadGroup;
      const uint32_t heads = std::min(kHeadGroup, shape.heads - first_head);
      std::vector<Run>& runs = workspace.row_runs(worker);
      visible_runs(cache, shape, sequence.position + i, chosen.of_row.empty() ? nullptr : &chosen.of_row[row],
                   runs);
      uint32_t count = 0;
      for (const Run& run : runs) count += run.count;

      float* const scores = workspace.worker_floats(worker);  // [heads, count]
      float* const sum = scores + kHeadGroup * most;          // [heads, d]
      std::array<const float*, kHeadGroup> queries{};
      for (uint32_t h = 0; h < heads; ++h) queries[h] = q.row(row) + size_t{first_head + h} * d;
      uint32_t at = 0;
      for (const Run& run : runs) {
        dot_rows({run.rows, kv.row_bytes(), run.count}, d, queries.data(), heads, scores + at, count);
        at += run.count;
      }
      for (uint32_t h = 0; h < heads; ++h) {
        kernels.scale(shape.scale, count, scores + size_t{h} * count);
        kernels.softmax(&shape.sinks[first_head + h], count, scores + size_t{h} * count);
      }
      std::fill_n(sum, size_t{heads} * d, 0.0F);
      at = 0;
      for (const Run& run : runs) {
        mix_rows({run.rows, kv.row_bytes(), run.count}, d, scores + at, count, heads, sum, d);
        at += run.count;
      }
      std::copy_n(sum, size_t{heads} * d, out.row(row) + size_t{first_head} * d);
    });
  }
}

}  // namespace mach
