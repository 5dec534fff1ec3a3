#include "model/blocks/attention.h"

#include <algorithm>
#include <vector>

#include "mach/error.h"

#include "model/blocks/attention_tile.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace mach {
namespace {

// A tile and one of its spans.
struct TileSpan {
  uint32_t tile, span;
};

struct Plan {
  std::span<AttentionTile> tiles;
  uint32_t spans = 0;  // of all tiles
  size_t floats = 0;   // multiply-adds
};

Plan make_tiles(Workspace& workspace, const TileAttention& attention, uint32_t kv_heads, uint32_t q_dim,
                std::span<const AttentionSequence> sequences) {
  std::vector<KvRun>& runs = workspace.kv_runs();
  runs.clear();
  const auto run_ends = workspace.arena().take<size_t>(sequences.size());
  size_t count = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto seen = attention.visible(sequences[i], 0, sequences[i].rows);
    sequences[i].cache->runs(seen.begin, seen.end, runs);
    run_ends[i] = runs.size();
    count += (sequences[i].rows + attention.tile_tokens() - 1) / attention.tile_tokens() * kv_heads;
  }

  Plan plan{.tiles = workspace.arena().take<AttentionTile>(count)};
  size_t next = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const AttentionSequence& sequence = sequences[i];
    const size_t first_run = i == 0 ? 0 : run_ends[i - 1];
    for (uint32_t first = 0; first < sequence.rows; first += attention.tile_tokens()) {
      const uint32_t tokens = std::min(attention.tile_tokens(), sequence.rows - first);
      const auto seen = attention.visible(sequence, first, tokens);
      const uint32_t first_span = seen.begin / TileAttention::kSpanKeys;
      const uint32_t span_count = (seen.end - 1) / TileAttention::kSpanKeys - first_span + 1;
      for (uint32_t h = 0; h < kv_heads; ++h) {
        plan.tiles[next++] = {.sequence = &sequence,
                              .runs = std::span(runs).subspan(first_run, run_ends[i] - first_run),
                              .first_token = first,
                              .tokens = tokens,
                              .kv_head = h,
                              .first_span = first_span,
                              .span_count = span_count};
      }
      plan.spans += span_count * kv_heads;
      plan.floats += 2 * size_t{q_dim} * tokens * (seen.end - seen.begin);
    }
  }
  return plan;
}

// The ordinary case: a thread takes a whole tile.
void attend_tiles(Workspace& workspace, const TileAttention& attention, const Plan& plan) {
  const size_t sums = attention.sums_floats();
  workspace.reserve_worker_floats(2 * sums + attention.scratch_floats());
  workspace.for_items(plan.tiles.size(), plan.floats, [&](size_t i, size_t worker) {
    const AttentionTile& tile = plan.tiles[i];
    float* const memory = workspace.worker_floats(worker);
    float* const scratch = memory;
    const SoftmaxSums total(memory + attention.scratch_floats(), attention.tile_lanes());
    const SoftmaxSums part(memory + attention.scratch_floats() + sums, attention.tile_lanes());
    attention.clear(tile, total);
    for (uint32_t s = 0; s < tile.span_count; ++s) {
      attention.sum_span(tile, tile.first_span + s, scratch, part);
      attention.merge(tile, total, part);
    }
    attention.finish(tile, total);
  });
}

// Few tiles and a long past: a thread takes a span, and then the spans of each tile are merged.
void attend_spans(Workspace& workspace, const TileAttention& attention, const Plan& plan) {
  const size_t sums = attention.sums_floats();
  const auto spans = workspace.arena().take<TileSpan>(plan.spans);
  const auto parts = workspace.arena().take<float>(sums * plan.spans);
  size_t next = 0;
  for (uint32_t t = 0; t < plan.tiles.size(); ++t) {
    for (uint32_t s = 0; s < plan.tiles[t].span_count; ++s) spans[next++] = {t, s};
  }
  const auto part = [&](size_t i) { return SoftmaxSums(&parts[sums * i], attention.tile_lanes()); };

  workspace.reserve_worker_floats(attention.scratch_floats());
  workspace.for_items(spans.size(), plan.floats, [&](size_t i, size_t worker) {
    const AttentionTile& tile = plan.tiles[spans[i].tile];
    attention.sum_span(tile, tile.first_span + spans[i].span, workspace.worker_floats(worker), part(i));
  });

  const auto firsts = workspace.arena().take<size_t>(plan.tiles.size());
  for (size_t t = 0, first = 0; t < plan.tiles.size(); first += plan.tiles[t++].span_count) firsts[t] = first;
  workspace.for_items(plan.tiles.size(), parts.size(), [&](size_t t, size_t) {
    const AttentionTile& tile = plan.tiles[t];
    for (uint32_t s = 1; s < tile.span_count; ++s)
      attention.merge(tile, part(firsts[t]), part(firsts[t] + s));
    attention.finish(tile, part(firsts[t]));
  });
}

}  // namespace

std::span<const AttentionSequence> attention_sequences(Workspace& workspace, const Pass& pass, size_t layer) {
  const auto sequences = workspace.arena().take<AttentionSequence>(pass.sequences().size());
  for (size_t i = 0; i < sequences.size(); ++i) {
    const PassSequence& from = pass.sequences()[i];
    sequences[i] = {.cache = &from.state->layer<KvCache>(layer),
                    .first_row = from.first_row,
                    .rows = from.rows,
                    .position = from.position};
  }
  return sequences;
}

void store_kv(Workspace& workspace, std::span<const AttentionSequence> sequences, const FloatRows& k,
              const FloatRows& v) {
  for (const AttentionSequence& sequence : sequences) {
    sequence.cache->stage(sequence.rows);
    workspace.for_rows(sequence.rows, 4 * size_t{k.dim}, [&](uint32_t i) {
      const uint32_t row = sequence.first_row + i;
      sequence.cache->write(workspace.kernels(), sequence.position + i, k.row_span(row), v.row_span(row));
    });
  }
}

void attend(Workspace& workspace, const AttentionShape& shape, std::span<const AttentionSequence> sequences,
            const FloatRows& q, const FloatRows& out) {
  if (sequences.empty()) return;
  const KvShape& kv = sequences.front().cache->shape();
  if (shape.heads % kv.kv_heads != 0 || q.dim != shape.heads * kv.head_dim || out.dim != q.dim) {
    throw Error(ErrorCode::kInternal, "attention: queries, result and cache differ in shape");
  }
  const ScratchArena::Frame frame(workspace.arena());
  uint32_t most_rows = 0;
  for (const AttentionSequence& sequence : sequences) most_rows = std::max(most_rows, sequence.rows);
  const TileAttention attention(workspace.kernels(), workspace.compute().numerics, shape, kv, most_rows, q,
                                out);
  const Plan plan = make_tiles(workspace, attention, kv.kv_heads, q.dim, sequences);
  // Pieces small enough that threads finish together, also where another process takes time from one of them.
  const bool enough_tiles = plan.tiles.size() >= 8 * workspace.threads() || workspace.threads() == 1;
  if (enough_tiles || plan.spans == plan.tiles.size()) {
    attend_tiles(workspace, attention, plan);
  } else {
    attend_spans(workspace, attention, plan);
  }
}

}  // namespace mach
