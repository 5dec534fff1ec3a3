// Which expert a full bank gives up. A policy gives every expert a key from the times it was used; the smallest key goes
// first. Keys are comparable at any time without being updated.
//
//   lru        the time of the last use. Falls to no hits at all where a token's working set does not fit.
//   lfru       frequency that fades: each use adds 1 to an expert's heat, and heat halves every kHalfLife tokens
//              (the LRFU policy of Lee et al., IEEE Trans. Computers 50(12), 2001, in logarithms)
//   lookahead  as lfru, and experts predicted for the coming layer stay
//
// Times are counted in tokens (passes over the layers). Not thread-safe: the bank's lock guards it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace mach {

enum class EvictionKind : uint8_t { kLfru, kLru, kLookahead };
std::string_view eviction_name(EvictionKind kind) noexcept;  // "lfru", "lru", "lookahead"
std::optional<EvictionKind> find_eviction(std::string_view name) noexcept;

class EvictionPolicy {
 public:
  static constexpr double kHalfLife = 64;  // tokens

  // `experts` of all layers together; ids are below it.
  EvictionPolicy(EvictionKind kind, uint32_t experts) : kind_(kind), keys_(experts, kNever) {}

  // `token` never goes back.
  void used(uint32_t expert, uint64_t token) noexcept;
  double key(uint32_t expert) const noexcept { return keys_[expert]; }
  bool keeps_predicted() const noexcept { return kind_ == EvictionKind::kLookahead; }
  EvictionKind kind() const noexcept { return kind_; }

 private:
  static constexpr double kNever = -1e300;

  EvictionKind kind_;
  uint64_t clock_ = 0;  // uses so far
  std::vector<double> keys_;
};

}  // namespace mach
