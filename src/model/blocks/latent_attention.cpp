#include "model/blocks/latent_attention.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "base/scratch_layout.h"
#include "model/blocks/attention_tile.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace mach {
namespace {

using Run = RowRing::Run;

constexpr uint32_t kHeadGroup = 16;   // heads that share a reading of the rows in fp32
constexpr uint32_t kFastHeads = 128;  // and at most in fast mode

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

// What a lane of the fast path works in; see kernels/attention_types.h.
struct FastScratch {
  std::byte* queries;
  std::byte* kernel;
  std::byte* rows;  // gathered
  float *m, *l, *acc;
  size_t bytes;

  FastScratch(std::byte* memory, uint32_t lanes, const CompressedShape& kv) noexcept {
    ScratchLayout layout(memory);
    const size_t padded = kernel::padded_lanes(lanes);
    queries = layout.take<std::byte>(kernel::packed_query_bytes(lanes, kv.head_dim));
    kernel = layout.take<std::byte>(kernel::attention_scratch_bytes(kv.head_dim));
    rows = layout.take<std::byte>(kernel::kAttentionKeys * kv.row_bytes());
    m = layout.take<float>(padded);
    l = layout.take<float>(padded);
    acc = layout.take<float>(padded * kv.head_dim);
    bytes = layout.bytes();
  }
};

// Some heads of one token over the rows of `runs`, block by block: rows lie scattered and are gathered. Keys are values.
void attend_row_fast(const KernelSet& kernels, const kernel::AttentionKernels& fast, const LatentShape& shape,
                     const CompressedShape& kv, std::span<const Run> runs, std::span<const float> sinks,
                     const float* q, float* out, std::byte* memory) {
  const auto heads = static_cast<uint32_t>(sinks.size());
  const uint32_t d = shape.head_dim;
  const FastScratch scratch(memory, heads, kv);
  std::array<const float*, kFastHeads> queries{};
  for (uint32_t h = 0; h < heads; ++h) queries[h] = q + size_t{h} * d;
  fast.pack(queries.data(), heads, d, shape.scale, scratch.queries);
  const uint32_t padded = kernel::padded_lanes(heads);
  std::fill_n(scratch.m, padded, -std::numeric_limits<float>::infinity());
  std::fill_n(scratch.l, padded, 0.0F);
  std::fill_n(scratch.acc, size_t{padded} * d, 0.0F);

  const size_t row_bytes = kv.row_bytes();
  kernel::AttentionJob job{.lanes = heads,
                           .dim = d,
                           .queries = scratch.queries,
                           .k = scratch.rows,
                           .v = scratch.rows,
                           .stride = row_bytes,
                           .count = 0,
                           .next_v = nullptr,
                           .begin = nullptr,
                           .end = nullptr,
                           .m = scratch.m,
                           .l = scratch.l,
                           .acc = scratch.acc,
                           .scratch = scratch.kernel};
  const auto flush = [&] {
    if (job.count > 0) fast.attend(job);
    job.count = 0;
  };
  for (const Run& run : runs) {
    for (uint32_t i = 0; i < run.count;) {
      const uint32_t part = std::min(run.count - i, kernel::kAttentionKeys - job.count);
      std::memcpy(scratch.rows + job.count * row_bytes, run.rows + i * row_bytes, part * row_bytes);
      job.count += part;
      i += part;
      if (job.count == kernel::kAttentionKeys) flush();
    }
  }
  flush();

  for (uint32_t h = 0; h < heads; ++h) {
    const float m = std::max(scratch.m[h], sinks[h]);
    float shares[2] = {scratch.m[h] - m, sinks[h] - m};
    kernels.exp(2, shares);
    float* const to = out + size_t{h} * d;
    std::copy_n(scratch.acc + size_t{h} * d, d, to);
    kernels.scale(shares[0] / (scratch.l[h] * shares[0] + shares[1]), d, to);
  }
}

void attend_latent_fast(Workspace& workspace, const kernel::AttentionKernels& fast, const LatentShape& shape,
                        const PassSequence& sequence, CompressedKv& cache, const ChosenEntries& chosen,
                        const FloatRows& q, const FloatRows& out) {
  const KernelSet& kernels = workspace.kernels();
  const CompressedShape& kv = cache.shape();
  // All heads share one gathering of the rows where tokens keep the threads busy.
  const uint32_t group = sequence.rows >= 2 * workspace.threads()
                             ? std::min(shape.heads, kFastHeads)
                             : std::min(shape.heads, kernel::kAttentionLanes);
  const uint32_t groups = (shape.heads + group - 1) / group;
  const uint32_t last = sequence.position + sequence.rows;
  const size_t most = std::min(shape.window, last) + (cache.entries() ? cache.entries()->closed_at(last) : 0);
  workspace.reserve_worker_floats(FastScratch(nullptr, group, kv).bytes / sizeof(float));
  const size_t work = 2 * size_t{sequence.rows} * shape.heads * shape.head_dim * most;
  workspace.for_items(size_t{sequence.rows} * groups, work, [&](size_t item, size_t worker) {
    const auto i = static_cast<uint32_t>(item / groups);
    const uint32_t row = sequence.first_row + i;
    const auto first = static_cast<uint32_t>(item % groups) * group;
    std::vector<Run>& runs = workspace.row_runs(worker);
    visible_runs(cache, shape, sequence.position + i, chosen.of_row.empty() ? nullptr : &chosen.of_row[row],
                 runs);
    const size_t offset = size_t{first} * shape.head_dim;
    attend_row_fast(kernels, fast, shape, kv, runs,
                    shape.sinks.subspan(first, std::min(group, shape.heads - first)), q.row(row) + offset,
                    out.row(row) + offset, reinterpret_cast<std::byte*>(workspace.worker_floats(worker)));
  });
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
    if (const auto* fast = fast_attention(kernels, workspace.compute().numerics, kv.element, d)) {
      attend_latent_fast(workspace, *fast, shape, sequence, cache, chosen, q, out);
      continue;
    }
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
