#include "model/blocks/rope.h"

#include <cmath>

#include "model/workspace.h"

namespace mach {
namespace {

// An angle's cosine and sine cost about this many multiply-adds.
constexpr size_t kAngleCost = 32;

}  // namespace

Rope::Rope(const RopeConfig& config)
    : config_(config), inverse_frequencies_(rope_inverse_frequencies(config)) {}

RopeTables Rope::tables(Workspace& workspace, std::span<const uint32_t> positions, bool inverse) const {
  const auto rows = static_cast<uint32_t>(positions.size());
  const auto pairs = static_cast<uint32_t>(inverse_frequencies_.size());
  const bool interleaved = config_.pairing == RopePairing::kInterleavedTrailing;
  const KernelSet& kernels = workspace.kernels();
  const RopeTables tables{.cos = workspace.rows(rows, pairs),
                          .sin = workspace.rows(rows, pairs),
                          .first_dim = interleaved ? config_.head_dim - config_.rotary_dims : 0,
                          .rotate_pairs = interleaved ? kernels.rope_interleaved : kernels.rope_half_split};
  const double factor = config_.attention_factor;
  const double turn = inverse ? -factor : factor;
  workspace.for_rows(rows, pairs * kAngleCost, [&](uint32_t row) {
    for (uint32_t i = 0; i < pairs; ++i) {
      const float angle = static_cast<float>(positions[row]) * inverse_frequencies_[i];
      tables.cos.row(row)[i] = static_cast<float>(factor * std::cos(static_cast<double>(angle)));
      tables.sin.row(row)[i] = static_cast<float>(turn * std::sin(static_cast<double>(angle)));
    }
  });
  return tables;
}

}  // namespace mach
