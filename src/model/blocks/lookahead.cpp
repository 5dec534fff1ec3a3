#include "model/blocks/lookahead.h"

#include <span>

#include "model/blocks/router.h"
#include "model/workspace.h"

namespace mach {
namespace {

constexpr uint32_t kMostRows = 8;  // beyond them a pass uses most experts anyway

}  // namespace

void guess_experts(Workspace& workspace, const NextRouter& next, const FloatRows& h) {
  if (h.count > kMostRows || !next.provider->wants_guesses()) return;
  const ScratchArena::Frame frame(workspace.arena());
  const FloatRows x = rms_norm(workspace, *next.norm, h);
  const FloatRows logits = workspace.rows(x.count, next.router->rows());
  const auto input = workspace.prepare(x);
  workspace.multiply({next.router->times(*input, logits, Precision::kExact)});
  const auto chosen = workspace.arena().take<uint32_t>(size_t{x.count} * next.top_k);
  for (uint32_t row = 0; row < x.count; ++row) {
    select_top_k(std::span<const float>(logits.row(row), logits.dim),
                 chosen.subspan(size_t{row} * next.top_k, next.top_k));
  }
  next.provider->prefetch(next.layer, chosen, PrefetchHint::kGuess);
}

}  // namespace mach
