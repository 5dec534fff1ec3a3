#include "roofline/roofline.h"

#include <vector>

#include <gtest/gtest.h>

namespace mach::roofline {
namespace {

// The loops must do the work they are counted for: what they return depends on all of it.
TEST(Peaks, ReadSumsEveryByte) {
  alignas(64) static std::byte data[4096];
  for (const Peaks& row : peaks()) {
    if (!probe_cpu_features().has(row.required)) continue;
    std::fill(std::begin(data), std::end(data), std::byte{0});
    EXPECT_EQ(row.read(data, sizeof data), 0U) << row.name;
    for (size_t i = 0; i < sizeof data; i += 8) data[i] = std::byte{1};
    EXPECT_EQ(row.read(data, sizeof data), sizeof data / 8) << row.name;
  }
}

TEST(Roofline, MeasuresEveryRateOfTheBestRow) {
  ThreadPool pool(2);
  const Roofline r = measure_roofline(best_peaks(), pool, {.read_bytes = 8 << 20, .rounds = 1});
  EXPECT_GT(r.read_bytes, 0);
  EXPECT_GT(r.fp32_macs, 0);
  EXPECT_GT(r.int8_macs, 0);
  EXPECT_EQ(r.bf16_macs > 0, best_peaks().bf16 != nullptr);
}

}  // namespace
}  // namespace mach::roofline
