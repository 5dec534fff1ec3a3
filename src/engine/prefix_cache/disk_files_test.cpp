#include "engine/prefix_cache/disk_files.h"

#include <gtest/gtest.h>

namespace mach {
namespace {

constexpr int64_t kNow = 1'000'000;

DiskFiles::File file(uint64_t bytes, uint32_t tokens, double hits = 0, int64_t last_used = kNow) {
  return {"x", bytes, tokens, {hits, last_used}};
}

TEST(DiskFiles, ValueIsHitsAndTokensPerByte) {
  EXPECT_DOUBLE_EQ(file_value(file(1000, 100), kNow), 0.1);
  EXPECT_DOUBLE_EQ(file_value(file(1000, 100, 3), kNow), 0.4);
  EXPECT_DOUBLE_EQ(file_value(file(2000, 100, 3), kNow), 0.2);
}

TEST(DiskFiles, HitsLoseHalfTheirWeightPerHalfLife) {
  EXPECT_DOUBLE_EQ(effective_hits({4, kNow}, kNow + DiskFiles::kHalfLife), 2);
  EXPECT_DOUBLE_EQ(effective_hits({4, kNow}, kNow + 3 * DiskFiles::kHalfLife), 0.5);
  EXPECT_DOUBLE_EQ(effective_hits({4, kNow}, kNow - 50), 4);  // a clock that was set back
  DiskFiles files;
  const FileId id = files.add(file(10, 1, 4));
  files.hit(id, kNow + DiskFiles::kHalfLife);
  EXPECT_DOUBLE_EQ(files.at(id).use.effective_hits, 3);
  EXPECT_EQ(files.at(id).use.last_used, kNow + DiskFiles::kHalfLife);
}

TEST(DiskFiles, TheLeastValuableGoesFirstAndOfEqualOnesTheOldest) {
  DiskFiles files;
  const FileId often = files.add(file(1000, 100, 5));
  const FileId older = files.add(file(1000, 100, 0, kNow - 5));
  const FileId newer = files.add(file(1000, 100, 0, kNow));
  const FileId dense = files.add(file(500, 100));
  EXPECT_EQ(files.bytes(), 3500U);
  EXPECT_EQ(files.least_valuable(kNow, 0), older);
  EXPECT_EQ(files.least_valuable(kNow, older), newer);
  files.remove(older);
  files.remove(newer);
  EXPECT_EQ(files.least_valuable(kNow, 0), dense);
  EXPECT_EQ(files.least_valuable(kNow + 20 * DiskFiles::kHalfLife, 0), often);  // its hits are forgotten
  files.remove(dense);
  EXPECT_EQ(files.least_valuable(kNow, often), std::nullopt);
  files.set_bytes(often, 10);
  EXPECT_EQ(files.bytes(), 10U);
  files.remove(often);
  files.remove(often);
  EXPECT_EQ(files.bytes(), 0U);
}

}  // namespace
}  // namespace mach
