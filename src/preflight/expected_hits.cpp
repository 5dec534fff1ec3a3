#include "preflight/expected_hits.h"

#include <array>
#include <cstddef>

namespace mach {
namespace {

struct Point {
  double share, hits;
};
constexpr std::array<Point, 6> kCurve = {
    {{0.0, 0.0}, {0.06, 0.40}, {0.12, 0.62}, {0.24, 0.84}, {0.48, 0.94}, {1.0, 1.0}}};

}  // namespace

double expected_hit_rate(double share) noexcept {
  if (share <= 0.0) return 0.0;
  for (size_t i = 1; i < kCurve.size(); ++i) {
    const Point& left = kCurve[i - 1];
    const Point& right = kCurve[i];
    if (share > right.share) continue;
    return left.hits + (right.hits - left.hits) * (share - left.share) / (right.share - left.share);
  }
  return 1.0;
}

}  // namespace mach
