#include "engine/prefix_cache/snapshot_plan.h"

#include <algorithm>

namespace mach {
namespace {

constexpr size_t kLastTurns = 2;
constexpr size_t kMaxNamed = 16;
// Processing so few tokens again costs about one pass, whatever their number.
constexpr uint32_t kNear = 32;

}  // namespace

std::vector<uint32_t> snapshot_lengths(std::span<const TokenId> prompt, const SnapshotHints& hints) {
  const auto size = static_cast<uint32_t>(prompt.size());
  const uint32_t end = hints.whole_prompt_is_prefix ? size : size - 1;
  std::vector<uint32_t> lengths;

  std::vector<uint32_t> turns;
  for (uint32_t i = 0; i < end; ++i) {
    if (std::find(hints.turn_ends.begin(), hints.turn_ends.end(), prompt[i]) != hints.turn_ends.end()) {
      turns.push_back(i + 1);
    }
  }
  if (!turns.empty()) lengths.push_back(turns.front());
  lengths.insert(lengths.end(), turns.end() - static_cast<std::ptrdiff_t>(std::min(kLastTurns, turns.size())),
                 turns.end());

  const auto named = hints.boundaries.last(std::min(kMaxNamed, hints.boundaries.size()));
  lengths.insert(lengths.end(), named.begin(), named.end());
  lengths.push_back(hints.common);
  for (uint64_t at = hints.interval; hints.interval > 0 && at <= end; at += hints.interval) {
    lengths.push_back(static_cast<uint32_t>(at));
  }

  std::erase_if(lengths, [&](uint32_t length) {
    return length <= hints.restored || length < hints.least || length > end;
  });
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());

  const uint32_t last = lengths.empty() ? hints.restored : lengths.back();
  if (end >= hints.least && (end - last > kNear || (hints.whole_prompt_is_prefix && end > last))) {
    lengths.push_back(end);
  }
  return lengths;
}

}  // namespace mach
