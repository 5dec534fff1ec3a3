#include "model/blocks/moe.h"

#include <algorithm>

#include "kernels/grouped_products.h"
#include "model/blocks/round_trip.h"
#include "model/workspace.h"

namespace mach {
namespace {

// A pass over more rows is a stretch of a prompt. Batches of running sequences and drafts under verification are shorter.
constexpr uint32_t kMostDecodeRows = 32;

// What gated_products() hands to an activation at a time, at least.
constexpr uint32_t kPieceRows = 128;

// Token-expert pairs in the order of their experts. Pair p = token * top_k + rank.
struct SortedPairs {
  std::span<uint32_t> experts;  // the chosen ones, ascending
  std::span<uint32_t> begins;   // [experts + 1]: those of experts[i] have places [begins[i], begins[i + 1])
  std::span<uint32_t> tokens;   // [pairs], by place
  std::span<float> weights;     // [pairs], by place
  std::span<uint32_t> places;   // [tokens][top_k], a token's in ascending order
};

SortedPairs sort_pairs(ScratchArena& arena, const Routing& routing, uint32_t expert_count) {
  const auto pair_count = static_cast<uint32_t>(routing.experts.size());
  const auto next = arena.take<uint32_t>(expert_count);  // counts, then the next free place of each expert
  std::fill(next.begin(), next.end(), 0U);
  for (const uint32_t expert : routing.experts) ++next[expert];

  SortedPairs sorted{.experts = arena.take<uint32_t>(std::min(expert_count, pair_count)),
                     .begins = arena.take<uint32_t>(size_t{expert_count} + 1),
                     .tokens = arena.take<uint32_t>(pair_count),
                     .weights = arena.take<float>(pair_count),
                     .places = arena.take<uint32_t>(pair_count)};
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
  const uint32_t top_k = routing.top_k();
  for (uint32_t pair = 0; pair < pair_count; ++pair) {
    const uint32_t token = pair / top_k;
    const uint32_t place = next[routing.experts[pair]]++;
    sorted.places[pair] = place;
    sorted.tokens[place] = token;
    sorted.weights[place] = routing.weights.row(token)[pair % top_k];
  }
  for (uint32_t pair = 0; pair < pair_count; pair += top_k) {
    const auto places = sorted.places.subspan(pair, top_k);
    std::sort(places.begin(), places.end());
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
        rows_(pairs.begins[last] - begin_) {}

  // Adds the experts' weighted results to out [tokens, hidden]. `shared` may be null.
  void run(const ExpertLease& lease, const Activations& x, const FloatRows& out, const SharedExpert* shared) {
    const bool whole_blocks = experts_.fp8_input_block == 0 || kPieceRows % experts_.fp8_input_block == 0;
    if (out.count > kMostDecodeRows && whole_blocks && takes_groups(lease)) {
      run_grouped(lease, x, out);
      if (shared != nullptr) run_shared(*shared, x);
    } else {
      run_apart(lease, x, out, shared);
    }
  }

 private:
  uint32_t place(uint32_t i) const noexcept { return pairs_.begins[first_ + i]; }
  std::span<const uint32_t> tokens_of(uint32_t i) const noexcept {
    return pairs_.tokens.subspan(place(i), place(i + 1) - place(i));
  }

  bool takes_groups(const ExpertLease& lease) const {
    for (uint32_t i = 0; i < count_; ++i) {
      for (const WeightMatrix* weight : {&lease[i].gate, &lease[i].up, &lease[i].down}) {
        if (!grouped_products_take(workspace_.compute(), *weight)) return false;
      }
    }
    return true;
  }

  // Of a prompt: what lies between the matrices stays in caches.
  void run_grouped(const ExpertLease& lease, const Activations& x, const FloatRows& out) {
    ScratchArena& arena = workspace_.arena();
    const auto gated = arena.take<GatedProduct>(count_);
    const auto summed = arena.take<SummedProduct>(count_);
    for (uint32_t i = 0; i < count_; ++i) {
      gated[i] = {.gate = &lease[i].gate,
                  .up = &lease[i].up,
                  .gate_bias = lease[i].gate_bias,
                  .up_bias = lease[i].up_bias,
                  .columns = tokens_of(i),
                  .out_first = place(i) - begin_};
      summed[i] = {.weight = &lease[i].down,
                   .bias = lease[i].down_bias,
                   .x_first = place(i) - begin_,
                   .targets = tokens_of(i),
                   .weights = pairs_.weights.subspan(place(i), place(i + 1) - place(i))};
    }
    auto inner = workspace_.prepare_pieces(rows_, experts_.intermediate);
    gated_products(
        workspace_.compute(), x, gated,
        [&](const float* gate, const float* up, uint32_t n, float* y) { activate_row(gate, up, n, y); },
        inner.to_fill());
    summed_products(workspace_.compute(), *inner, summed, out.data, out.count);
  }

  void run_shared(const SharedExpert& shared, const Activations& x) {
    const FloatRows gate = workspace_.rows(x.count(), shared.mlp->gate.rows());
    const FloatRows up = workspace_.rows(x.count(), shared.mlp->up.rows());
    workspace_.multiply({shared.mlp->gate.times(x, gate), shared.mlp->up.times(x, up)});
    activate({}, {}, gate, up);
    const auto inner = workspace_.prepare(gate);
    workspace_.multiply({shared.mlp->down.times(*inner, shared.out)});
  }

  // All matrices of a step in one region.
  void run_apart(const ExpertLease& lease, const Activations& x, const FloatRows& out,
                 const SharedExpert* shared) {
    const auto products = workspace_.arena().take<Product>(2 * size_t{count_} + 2);
    const FloatRows gate = workspace_.rows(rows_, experts_.intermediate);
    const FloatRows up = workspace_.rows(rows_, experts_.intermediate);
    FloatRows shared_gate;
    FloatRows shared_up;
    size_t product = 0;
    for (uint32_t i = 0; i < count_; ++i) {
      products[product++] =
          part(lease[i].gate, lease[i].gate_bias, x, tokens_of(i), gate.row(place(i) - begin_), gate.dim);
      products[product++] =
          part(lease[i].up, lease[i].up_bias, x, tokens_of(i), up.row(place(i) - begin_), up.dim);
    }
    if (shared != nullptr) {
      shared_gate = workspace_.rows(x.count(), shared->mlp->gate.rows());
      shared_up = workspace_.rows(x.count(), shared->mlp->up.rows());
      products[product++] = shared->mlp->gate.times(x, shared_gate);
      products[product++] = shared->mlp->up.times(x, shared_up);
    }
    workspace_.multiply(products.first(product));

    activate(gate, up, shared_gate, shared_up);

    const auto inner = workspace_.prepare(gate);
    const auto shared_inner = workspace_.prepare(shared_gate);
    const FloatRows outputs = workspace_.rows(rows_, out.dim);
    const auto own_rows = workspace_.arena().take<uint32_t>(rows_);
    for (uint32_t i = 0; i < rows_; ++i) own_rows[i] = i;
    product = 0;
    for (uint32_t i = 0; i < count_; ++i) {
      const auto columns = own_rows.subspan(place(i) - begin_, place(i + 1) - place(i));
      products[product++] = part(lease[i].down, lease[i].down_bias, *inner, columns,
                                 outputs.row(place(i) - begin_), outputs.dim);
    }
    if (shared != nullptr) products[product++] = shared->mlp->down.times(*shared_inner, shared->out);
    workspace_.multiply(products.first(product));
    add_outputs(outputs, out);
  }

  // out += the wave's outputs times their weights, a token's in the order of its experts.
  void add_outputs(const FloatRows& outputs, const FloatRows& out) {
    const KernelSet& kernels = workspace_.kernels();
    const size_t top_k = pairs_.places.size() / std::max(out.count, 1U);
    workspace_.for_rows(out.count, top_k * out.dim * 2, [&](uint32_t row) {
      for (const uint32_t place : pairs_.places.subspan(row * top_k, top_k)) {
        if (place < begin_ || place - begin_ >= rows_) continue;
        kernels.axpy(pairs_.weights[place], outputs.row(place - begin_), out.dim, out.row(row));
      }
    });
  }

  static Product part(const WeightMatrix& weight, const float* bias, const Activations& x,
                      std::span<const uint32_t> columns, float* y, size_t y_stride) noexcept {
    return {.weight = &weight, .x = &x, .columns = columns, .y = y, .y_stride = y_stride, .bias = bias};
  }

  void activate_row(const float* gate, const float* up, uint32_t n, float* y) const {
    workspace_.kernels().gated_activation(experts_.activation, gate, up, n, y);
    if (experts_.fp8_input_block > 0) fp8_round_trip({y, n}, experts_.fp8_input_block);
  }

  // gate = act(gate, up), for the routed and the shared rows.
  void activate(const FloatRows& gate, const FloatRows& up, const FloatRows& shared_gate,
                const FloatRows& shared_up) {
    const uint32_t routed = gate.count;
    const size_t dim = std::max(gate.dim, shared_gate.dim);
    workspace_.for_rows(routed + shared_gate.count, 8 * dim, [&](uint32_t row) {
      if (row < routed) {
        activate_row(gate.row(row), up.row(row), gate.dim, gate.row(row));
      } else {
        const uint32_t own = row - routed;
        activate_row(shared_gate.row(own), shared_up.row(own), shared_gate.dim, shared_gate.row(own));
      }
    });
  }

  Workspace& workspace_;
  const RoutedExperts& experts_;
  const SortedPairs& pairs_;
  const uint32_t first_, count_;
  const uint32_t begin_, rows_;  // places of this wave's pairs
};

}  // namespace

void run_experts(Workspace& workspace, const RoutedExperts& experts, const Activations& x,
                 const Routing& routing, const FloatRows& out, const SharedExpert* shared) {
  if (workspace.routing_observer) workspace.routing_observer(experts.layer, routing.experts, routing.top_k());
  const ScratchArena::Frame frame(workspace.arena());
  const SortedPairs pairs = sort_pairs(workspace.arena(), routing, experts.expert_count);
  const auto chosen = static_cast<uint32_t>(pairs.experts.size());
  const uint32_t wave_size = std::max(1U, experts.provider->max_lease(experts.layer));

  workspace.for_rows(out.count, out.dim, [&](uint32_t row) { std::fill_n(out.row(row), out.dim, 0.0F); });
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
    Wave(workspace, experts, pairs, first, last).run(lease, x, out, first == 0 ? shared : nullptr);
    first = last;
  }
}

}  // namespace mach
