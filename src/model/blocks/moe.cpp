#include "model/blocks/moe.h"

#include <algorithm>

#include "model/blocks/round_trip.h"
#include "model/workspace.h"

namespace mach {
namespace {

// A pass over more rows is a stretch of a prompt. Batches of running sequences and drafts under verification are shorter.
constexpr uint32_t kMostDecodeRows = 32;

// Token-expert pairs in the order of their experts. Pair p = token * top_k + rank.
struct SortedPairs {
  std::span<uint32_t> experts;  // the chosen ones, ascending
  std::span<uint32_t> begins;   // [experts + 1]: those of experts[i] have places [begins[i], begins[i + 1])
  std::span<uint32_t> tokens;   // [pairs], by place
  std::span<uint32_t> place;    // [pairs], by pair
};

SortedPairs sort_pairs(ScratchArena& arena, const Routing& routing, uint32_t expert_count) {
  const auto pair_count = static_cast<uint32_t>(routing.experts.size());
  const auto next = arena.take<uint32_t>(expert_count);  // counts, then the next free place of each expert
  std::fill(next.begin(), next.end(), 0U);
  for (const uint32_t expert : routing.experts) ++next[expert];

  SortedPairs sorted{.experts = arena.take<uint32_t>(std::min(expert_count, pair_count)),
                     .begins = arena.take<uint32_t>(size_t{expert_count} + 1),
                     .tokens = arena.take<uint32_t>(pair_count),
                     .place = arena.take<uint32_t>(pair_count)};
  uint32_t chosen = 0;
  uint32_t begin = 0;
  for (uint32_t expert = 0; expert < expert_count; ++expert) {
    const uint32_t count = next[expert];
    next[expert] = begin;
    if (count == 0) continue;
    sorted.experts[chosen] = expert;
    sorted.begins[chosen++] = begin;
    begin += count;
  }
  sorted.begins[chosen] = begin;
  sorted.experts = sorted.experts.first(chosen);
  for (uint32_t pair = 0; pair < pair_count; ++pair) {
    const uint32_t place = next[routing.experts[pair]]++;
    sorted.place[pair] = place;
    sorted.tokens[place] = pair / routing.top_k();
  }
  return sorted;
}

// One wave: experts [first, last) of the sorted list.
class Wave {
 public:
  Wave(Workspace& workspace, const RoutedExperts& experts, const SortedPairs& pairs, uint32_t first,
       uint32_t last)
      : workspace_(workspace),
        experts_(experts),
        pairs_(pairs),
        first_(first),
        count_(last - first),
        begin_(pairs.begins[first]),
        rows_(pairs.begins[last] - begin_),
        products_(workspace.arena().take<Product>(2 * size_t{count_} + 2)),
        gate_(workspace.rows(rows_, experts.intermediate)),
        up_(workspace.rows(rows_, experts.intermediate)) {}

  // outputs [pairs, hidden], by place. `shared` may be null.
  void run(const ExpertLease& lease, const Activations& x, const FloatRows& outputs,
           const SharedExpert* shared) {
    FloatRows shared_gate;
    FloatRows shared_up;
    size_t product = 0;
    for (uint32_t i = 0; i < count_; ++i) {
      const auto columns = pairs_.tokens.subspan(place(i), place(i + 1) - place(i));
      products_[product++] =
          part(lease[i].gate, lease[i].gate_bias, x, columns, gate_.row(place(i) - begin_), gate_.dim);
      products_[product++] =
          part(lease[i].up, lease[i].up_bias, x, columns, up_.row(place(i) - begin_), up_.dim);
    }
    if (shared != nullptr) {
      shared_gate = workspace_.rows(x.count(), shared->mlp->gate.rows());
      shared_up = workspace_.rows(x.count(), shared->mlp->up.rows());
      products_[product++] = shared->mlp->gate.times(x, shared_gate);
      products_[product++] = shared->mlp->up.times(x, shared_up);
    }
    workspace_.multiply(products_.first(product));

    activate(shared_gate, shared_up);

    const auto inner = workspace_.prepare(gate_);
    const auto shared_inner = workspace_.prepare(shared_gate);
    const auto own_rows = workspace_.arena().take<uint32_t>(rows_);
    for (uint32_t i = 0; i < rows_; ++i) own_rows[i] = i;
    product = 0;
    for (uint32_t i = 0; i < count_; ++i) {
      const auto columns = own_rows.subspan(place(i) - begin_, place(i + 1) - place(i));
      products_[product++] =
          part(lease[i].down, lease[i].down_bias, *inner, columns, outputs.row(place(i)), outputs.dim);
    }
    if (shared != nullptr) products_[product++] = shared->mlp->down.times(*shared_inner, shared->out);
    workspace_.multiply(products_.first(product));
  }

 private:
  uint32_t place(uint32_t i) const noexcept { return pairs_.begins[first_ + i]; }

  static Product part(const WeightMatrix& weight, const float* bias, const Activations& x,
                      std::span<const uint32_t> columns, float* y, size_t y_stride) noexcept {
    return {.weight = &weight, .x = &x, .columns = columns, .y = y, .y_stride = y_stride, .bias = bias};
  }

  // gate = act(gate, up), for the routed and the shared rows.
  void activate(const FloatRows& shared_gate, const FloatRows& shared_up) {
    const KernelSet& kernels = workspace_.kernels();
    const auto activate_row = [&](const FloatRows& gate, const FloatRows& up, uint32_t row) {
      kernels.gated_activation(experts_.activation, gate.row(row), up.row(row), gate.dim, gate.row(row));
      if (experts_.fp8_input_block > 0) fp8_round_trip(gate.row_span(row), experts_.fp8_input_block);
    };
    workspace_.for_rows(rows_ + shared_gate.count, 8 * size_t{gate_.dim}, [&](uint32_t row) {
      if (row < rows_) {
        activate_row(gate_, up_, row);
      } else {
        activate_row(shared_gate, shared_up, row - rows_);
      }
    });
  }

  Workspace& workspace_;
  const RoutedExperts& experts_;
  const SortedPairs& pairs_;
  const uint32_t first_, count_;
  const uint32_t begin_, rows_;  // places of this wave's pairs
  const std::span<Product> products_;
  const FloatRows gate_, up_;
};

}  // namespace

void run_experts(Workspace& workspace, const RoutedExperts& experts, const Activations& x,
                 const Routing& routing, const FloatRows& out, const SharedExpert* shared) {
  if (workspace.routing_observer) workspace.routing_observer(experts.layer, routing.experts, routing.top_k());
  const ScratchArena::Frame frame(workspace.arena());
  const SortedPairs pairs = sort_pairs(workspace.arena(), routing, experts.expert_count);
  const FloatRows outputs = workspace.rows(static_cast<uint32_t>(routing.experts.size()), out.dim);
  const auto chosen = static_cast<uint32_t>(pairs.experts.size());
  const uint32_t wave_size = std::max(1U, experts.provider->max_lease(experts.layer));

  const ExpertUse use = out.count > kMostDecodeRows ? ExpertUse::kPrefill : ExpertUse::kDecode;

  for (uint32_t first = 0; first < chosen;) {
    const uint32_t last = first + std::min(wave_size, chosen - first);
    const ScratchArena::Frame wave_frame(workspace.arena());
    // Everything that is left, so that reading never stops while waves compute.
    if (last < chosen) {
      experts.provider->prefetch(experts.layer, pairs.experts.subspan(first), PrefetchHint::kNext);
    }
    const ExpertLease lease =
        experts.provider->acquire(experts.layer, pairs.experts.subspan(first, last - first), use);
    Wave(workspace, experts, pairs, first, last).run(lease, x, outputs, first == 0 ? shared : nullptr);
    first = last;
  }

  const KernelSet& kernels = workspace.kernels();
  const uint32_t top_k = routing.top_k();
  workspace.for_rows(out.count, size_t{top_k} * out.dim * 2, [&](uint32_t row) {
    std::fill_n(out.row(row), out.dim, 0.0F);
    for (uint32_t k = 0; k < top_k; ++k) {
      const uint32_t place = pairs.place[size_t{row} * top_k + k];
      kernels.axpy(routing.weights.row(row)[k], outputs.row(place), out.dim, out.row(row));
    }
  });
}

}  // namespace mach
