#include "experts/eviction.h"

#include <array>
#include <cmath>

namespace mach {
namespace {

struct EvictionRow {
  EvictionKind kind;
  std::string_view name;
};

// In enum order.
constexpr std::array<EvictionRow, 3> kEvictions = {
    {{EvictionKind::kLfru, "lfru"}, {EvictionKind::kLru, "lru"}, {EvictionKind::kLookahead, "lookahead"}}};

}  // namespace

std::string_view eviction_name(EvictionKind kind) noexcept {
  return kEvictions[static_cast<size_t>(kind)].name;
}

std::optional<EvictionKind> find_eviction(std::string_view name) noexcept {
  for (const EvictionRow& row : kEvictions) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

// Heat at time t is sum over uses u of 2^((u - t) / H). Its logarithm plus t / H does not change while time passes, so that
// is the key: log2(sum of 2^(u / H)), and a use at t makes it log2(2^key + 2^(t / H)).
void EvictionPolicy::used(uint32_t expert, uint64_t token) noexcept {
  ++clock_;
  if (kind_ == EvictionKind::kLru) {
    keys_[expert] = static_cast<double>(clock_);
    return;
  }
  const double now = static_cast<double>(token) / kHalfLife;
  keys_[expert] = keys_[expert] == kNever ? now : now + std::log2(1.0 + std::exp2(keys_[expert] - now));
}

}  // namespace mach
